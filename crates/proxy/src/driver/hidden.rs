//! Hidden work on the server connection: settings that the client does not see, and questions about what servers do not
//! track. It waits until nobody can notice it.

use steadfast_net::{QueryError, QueryResult};
use steadfast_session::{Hidden, bytes_expression, identifier};
use steadfast_sql::{Kind, Uses};
use tokio::time::timeout;

use super::exchange::Before;
use super::{Deferred, Driver};
use crate::command::Stored;
use crate::relay::Ended;

/// Bytes of the longest value of a user variable that is kept.
const KEPT_VARIABLE: usize = 32 << 10;

impl Driver {
    /// Hidden work that waited for a moment when nobody can notice it, and what this command needs done before it.
    pub(super) async fn work_off(&mut self, stored: &Stored) -> Result<(), Before> {
        let looks = self.looks_at_hidden_settings(stored);
        if self.deferred != Deferred::default() && !Self::asks_about_the_statement_before(stored) {
            let mut deferred = std::mem::take(&mut self.deferred);
            if self.turn.is_some() {
                // The connection is not yet what the session is: its transaction is being replayed.
                self.deferred = Deferred {
                    clock: false,
                    hide: false,
                    ..deferred
                };
                deferred = Deferred {
                    clock: deferred.clock,
                    hide: deferred.hide,
                    ..Deferred::default()
                };
            }
            if deferred.clock && !self.state.clock_is_frozen() {
                self.query(b"SET timestamp=DEFAULT").await?;
            }
            if deferred.hide {
                self.hide_settings().await?;
            }
            if deferred.collation {
                self.ask_collation().await?;
            }
            if deferred.user_variables {
                self.ask_user_variables().await?;
            }
            if deferred.variables {
                self.ask_variables().await?;
            }
        }
        if looks {
            self.show_settings().await?;
        }
        Ok(())
    }

    /// A hidden statement.
    pub(super) async fn query(&mut self, text: &[u8]) -> Result<QueryResult, QueryError> {
        let silent = || {
            QueryError::Lost(
                steadfast_net::LossKind::Silence,
                std::io::ErrorKind::TimedOut.into(),
            )
        };
        match &mut self.link {
            // Hidden work is small: a server that takes longer than this for it is gone.
            Some(link) => timeout(
                2 * self.shared.timeouts.dead_after,
                link.connection.query(text),
            )
            .await
            .unwrap_or_else(|_| Err(silent())),
            None => Err(QueryError::Lost(
                steadfast_net::LossKind::Eof,
                std::io::ErrorKind::UnexpectedEof.into(),
            )),
        }
    }

    /// Whether a command's result may show settings that Steadfast made for itself.
    fn looks_at_hidden_settings(&self, stored: &Stored) -> bool {
        let Some(class) = stored.class else {
            return false;
        };
        if !class.uses.contains(Uses::SYSTEM_VARIABLE) || class.kind == Kind::Set {
            return false;
        }
        let text: &[u8] = match &stored.prepared {
            Some(prepared) => prepared.text(),
            None => stored.text().unwrap_or_default(),
        };
        let text = text.to_ascii_lowercase();
        let contains = |name: &[u8]| text.windows(name.len()).any(|part| part == name);
        contains(b"variables")
            || Hidden::SETTINGS
                .iter()
                .any(|(name, _)| contains(name.as_bytes()))
    }

    /// Gives the client its own values of the hidden settings, for one statement.
    async fn show_settings(&mut self) -> Result<(), Before> {
        let Some(link) = &self.link else {
            return Ok(());
        };
        let list: Vec<String> = Hidden::SETTINGS
            .iter()
            .zip(&link.own.hidden)
            .map(|((name, _), own)| {
                let value = self.state.variable(name).unwrap_or(own);
                format!(
                    "{name}={}",
                    steadfast_session::variable_expression(name, value, false)
                )
            })
            .collect();
        let text = format!("SET SESSION {}", list.join(", "));
        self.query(text.as_bytes()).await?;
        self.deferred.hide = true;
        Ok(())
    }

    /// Makes Steadfast's settings again. What is found there that is not Steadfast's is the client's.
    async fn hide_settings(&mut self) -> Result<(), Before> {
        let found = self.query(Hidden::query().as_bytes()).await?;
        let row = found.rows.into_iter().next().unwrap_or_default();
        for ((name, ours), value) in Hidden::SETTINGS.iter().zip(row) {
            let value = value.unwrap_or_default();
            let ours = ours.trim_matches('\'').as_bytes();
            if value != ours {
                self.state_mut().set_variable(name, &value);
            }
        }
        let set = self.query(Hidden::set().as_bytes()).await?;
        if let Some(ok) = set.ok {
            self.note_late_changes(&ok.session_state);
        }
        self.learn_settings();
        Ok(())
    }

    /// Asks for user variables right after they were assigned, where nobody can notice it: the statement left no
    /// warnings, and after it ROW_COUNT() says nothing that a hidden SELECT changes.
    pub(super) async fn ask_at_once(&mut self, stored: &Stored, ended: &Ended) {
        // FOUND_ROWS() is 1 after a hidden SELECT of one row.
        let one_row = ended.rows.is_none_or(|rows| rows == 1);
        let quiet = ended.error == 0
            && ended.warnings == 0
            && stored.class.is_some_and(|class| match class.kind {
                Kind::Set => true,
                Kind::Select => one_row && !class.uses.contains(Uses::CALC_FOUND_ROWS),
                Kind::Execute => ended.rows == Some(1),
                _ => false,
            });
        if self.deferred.collation && quiet {
            match self.ask_collation().await {
                Ok(()) => self.deferred.collation = false,
                Err(_) => {
                    tracing::debug!(client = %self.peer, "the collation could not be asked for");
                    return;
                }
            }
        }
        if !(self.deferred.user_variables && quiet) {
            return;
        }
        match self.ask_user_variables().await {
            Ok(()) => self.deferred.user_variables = false,
            // The next use of the connection finds the loss.
            Err(_) => tracing::debug!(client = %self.peer, "user variables could not be asked for"),
        }
    }

    /// Asks MariaDB for the system variables that are not what they are globally, or that the session is known to have
    /// changed.
    async fn ask_variables(&mut self) -> Result<(), Before> {
        let known: Vec<String> = self
            .state
            .variables()
            .map(|(name, _)| format!("'{name}'"))
            .chain(["''".to_owned()])
            .collect();
        let text = format!(
            "SELECT LOWER(VARIABLE_NAME), SESSION_VALUE FROM information_schema.SYSTEM_VARIABLES \
             WHERE VARIABLE_SCOPE = 'SESSION' AND READ_ONLY = 'NO' AND SESSION_VALUE IS NOT NULL \
             AND (NOT SESSION_VALUE <=> GLOBAL_VALUE OR VARIABLE_NAME IN ({}))",
            known.join(", ")
        );
        let result = self.query(text.as_bytes()).await?;
        for row in result.rows {
            let [Some(name), Some(value)] = row.as_slice() else {
                continue;
            };
            let name = String::from_utf8_lossy(name);
            if !Hidden::contains(&name) {
                self.state_mut().set_variable(&name, value);
            }
        }
        self.learn_dialect();
        Ok(())
    }

    async fn ask_collation(&mut self) -> Result<(), Before> {
        let found = self.query(b"SELECT @@SESSION.collation_connection").await?;
        if let Some(value) = found
            .rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next()?)
        {
            self.state_mut()
                .set_variable("collation_connection", &value);
        }
        Ok(())
    }

    /// Those of the user variables whose values can be kept; the others are marked.
    async fn short_enough(&mut self, names: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Before> {
        let list: Vec<String> = names
            .iter()
            .map(|name| {
                let name = identifier(&String::from_utf8_lossy(name));
                format!("COALESCE(LENGTH(@{name}), 0) > {KEPT_VARIABLE}")
            })
            .collect();
        let result = self
            .query(format!("SELECT {}", list.join(", ")).as_bytes())
            .await?;
        let row = result.rows.into_iter().next().unwrap_or_default();
        let mut short = Vec::new();
        for (name, long) in names.into_iter().zip(row) {
            if long.as_deref() == Some(b"0") {
                short.push(name);
            } else {
                self.state_mut().user_variable_not_kept(&name);
            }
        }
        Ok(short)
    }

    /// Asks for the values of user variables that a statement may have assigned.
    async fn ask_user_variables(&mut self) -> Result<(), Before> {
        let names: Vec<Vec<u8>> = self
            .state
            .unknown_user_variables()
            .map(<[u8]>::to_vec)
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let names = self.short_enough(names).await?;
        if names.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = names
            .iter()
            .map(|name| {
                let name = identifier(&String::from_utf8_lossy(name));
                format!("@{name}, HEX(@{name}), CHARSET(@{name}), COLLATION(@{name})")
            })
            .collect();
        let result = self
            .query(format!("SELECT {}", list.join(", ")).as_bytes())
            .await?;
        let Some(row) = result.rows.first() else {
            return Ok(());
        };
        for (index, name) in names.iter().enumerate() {
            let at = index * 4;
            let (Some(column), Some(values)) = (result.columns.get(at), row.get(at..at + 4)) else {
                continue;
            };
            let expression = user_value(column, values);
            self.state_mut().set_user_variable(name, expression);
        }
        Ok(())
    }
}

/// The value of a user variable as an expression, from `@x, HEX(@x), CHARSET(@x), COLLATION(@x)`.
fn user_value(column: &steadfast_net::OwnedColumn, values: &[Option<Vec<u8>>]) -> String {
    let text = |index: usize| -> Option<String> {
        let value: &Vec<u8> = values.get(index)?.as_ref()?;
        Some(String::from_utf8_lossy(value).into_owned())
    };
    let Some(shown) = text(0) else {
        return "NULL".to_owned();
    };
    const UNSIGNED: u16 = steadfast_wire::response::UNSIGNED_FLAG;
    match column.kind.0 {
        // TINY, SHORT, LONG, LONGLONG, INT24.
        1 | 2 | 3 | 8 | 9 if column.flags & UNSIGNED != 0 => format!("CAST({shown} AS UNSIGNED)"),
        1 | 2 | 3 | 8 | 9 => shown,
        // FLOAT, DOUBLE.
        4 | 5 if shown.contains(['e', 'E']) => shown,
        4 | 5 => format!("{shown}e0"),
        // DECIMAL, NEWDECIMAL: a literal with a point has the same type and digits. What the column says of its
        // decimals is not the value's: MariaDB says 38.
        0 | 246 if shown.contains('.') => shown,
        0 | 246 => format!("CAST({shown} AS DECIMAL(65,0))"),
        _ => {
            let bytes = text(1).map(|hex| unhex(&hex)).unwrap_or_default();
            let charset = text(2).unwrap_or_else(|| "binary".to_owned());
            let collation = text(3).unwrap_or_else(|| "binary".to_owned());
            let expression = bytes_expression(&bytes, &charset);
            if charset == "binary" {
                expression
            } else {
                format!("{expression} COLLATE {collation}")
            }
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    text.as_bytes()
        .chunks(2)
        .map(|pair| {
            let high = pair.first().copied().map_or(0, digit);
            let low = pair.get(1).copied().map_or(0, digit);
            high << 4 | low
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use steadfast_net::OwnedColumn;
    use steadfast_wire::value::ColumnType;

    fn value(kind: u8, flags: u16, decimals: u8, values: [&str; 4]) -> String {
        let column = OwnedColumn {
            name: b"@x".to_vec(),
            kind: ColumnType(kind),
            collation: 63,
            flags,
            decimals,
        };
        user_value(
            &column,
            &values.map(|value| Some(value.as_bytes().to_vec())),
        )
    }

    #[test]
    fn user_variables_keep_type_digits_and_collation() {
        assert_eq!(value(8, 0, 0, ["-5", "", "", ""]), "-5");
        assert_eq!(
            value(
                8,
                steadfast_wire::response::UNSIGNED_FLAG,
                0,
                ["5", "", "", ""]
            ),
            "CAST(5 AS UNSIGNED)"
        );
        assert_eq!(value(5, 0, 31, ["1.5", "", "", ""]), "1.5e0");
        assert_eq!(value(5, 0, 31, ["1e300", "", "", ""]), "1e300");
        assert_eq!(value(246, 0, 38, ["16.0028", "", "", ""]), "16.0028");
        assert_eq!(
            value(246, 0, 38, ["16", "", "", ""]),
            "CAST(16 AS DECIMAL(65,0))"
        );
        assert_eq!(
            value(251, 0, 31, ["é", "C3A9", "utf8mb4", "utf8mb4_bin"]),
            "_utf8mb4 X'C3A9' COLLATE utf8mb4_bin"
        );
    }
}
