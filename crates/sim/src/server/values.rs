//! What expressions give.

use super::connection::{Connection, Failed};
use super::session::defaults;
use super::sql::{Expression, Value};

impl Connection {
    pub(super) fn value(&self, expression: &Expression) -> Result<Value, Failed> {
        let loud = |what: String| {
            self.server
                .trace
                .violation(format!("the simulated server does not know {what}"));
            Failed::sql(1305, b"42000", what)
        };
        Ok(match expression {
            Expression::Value(value) => value.clone(),
            Expression::UserVariable(name) => {
                let value = self.session.user_variables.get(name);
                value.cloned().unwrap_or(Value::Null)
            }
            Expression::SystemVariable(name) => match self.session.variable(name) {
                Some(value) => value.clone(),
                None => return Err(loud(format!("@@{name}"))),
            },
            // No simulated client sets one.
            Expression::GlobalVariable(name) => {
                let globals = defaults(self.server.settings.dialect);
                match globals.get(name.as_str()) {
                    Some(value) => value.clone(),
                    None => return Err(loud(format!("@@GLOBAL.{name}"))),
                }
            }
            Expression::Name(name) => return Err(loud(name.clone())),
            Expression::Call(name, arguments) => {
                let mut values = Vec::new();
                for argument in arguments {
                    values.push(self.value(argument)?);
                }
                let first = values.first().cloned().unwrap_or(Value::Null);
                match name.as_str() {
                    "LAST_INSERT_ID" => Value::Int(self.session.last_insert_id.cast_signed()),
                    "ROW_COUNT" => Value::Int(self.session.row_count),
                    "FOUND_ROWS" => Value::Int(self.session.found_rows.cast_signed()),
                    "CONNECTION_ID" => Value::Int(self.id.into()),
                    "HOST" => Value::Text(self.process.host.clone().into_bytes()),
                    "CLOCK" => Value::Int(self.server.clock().cast_signed()),
                    "COALESCE" => values
                        .into_iter()
                        .find(|value| *value != Value::Null)
                        .unwrap_or(Value::Null),
                    "LENGTH" => first
                        .shown()
                        .map_or(Value::Null, |text| Value::Int(text.len() as i64)),
                    "HEX" => match first {
                        Value::Null => Value::Null,
                        Value::Int(number) => Value::Text(format!("{number:X}").into_bytes()),
                        Value::Text(text) => {
                            let hex: String = text.iter().map(|b| format!("{b:02X}")).collect();
                            Value::Text(hex.into_bytes())
                        }
                    },
                    "CHARSET" => Value::Text(match first {
                        Value::Text(_) => b"utf8mb4".to_vec(),
                        _ => b"binary".to_vec(),
                    }),
                    "COLLATION" => Value::Text(match first {
                        Value::Text(_) => b"utf8mb4_general_ci".to_vec(),
                        _ => b"binary".to_vec(),
                    }),
                    "CONCAT_WS" => {
                        let mut parts = values.iter().filter_map(Value::shown);
                        let separator = parts.next().unwrap_or_default();
                        let parts: Vec<Vec<u8>> = parts.collect();
                        Value::Text(parts.join(separator.as_slice()))
                    }
                    _ => return Err(loud(format!("{name}()"))),
                }
            }
        })
    }

    pub(super) fn number(&self, expression: &Expression) -> Result<i64, Failed> {
        match self.value(expression)? {
            Value::Int(number) => Ok(number),
            other => Err(Failed::sql(
                1366,
                b"HY000",
                format!("{other:?} is no number"),
            )),
        }
    }
}
