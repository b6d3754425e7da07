//! The values of user variables, asked for because no server tracks them.
//!
//! A session keeps them within a limit for each and one for their sum. They are asked for in portions, so that no answer
//! comes near what a hidden command may be answered with.

use steadfast_session::{bytes_expression, identifier};

use super::Driver;
use super::before::Before;
use super::hidden::{RowCount, first_row};

/// Bytes of the longest value that is kept.
const LONGEST: usize = 32 << 10;

/// Bytes that a session keeps of all its values: 64 of the longest.
const KEPT: usize = 64 * LONGEST;

/// Variables in one question, and bytes of the values in one answer. A value comes as it is and in hexadecimal digits,
/// in the character set of the results: at most six times its bytes. With it come four columns, each with a name and
/// less than 400 bytes.
const PORTION: (usize, usize) = (64, 96 << 10);

impl Driver {
    /// Asks for the values of user variables that a statement may have assigned. Those that cannot be kept are marked.
    pub(super) async fn ask_user_variables(&mut self, leave: &RowCount) -> Result<(), Before> {
        let names: Vec<Vec<u8>> = self
            .state
            .unknown_user_variables()
            .map(<[u8]>::to_vec)
            .collect();
        let mut kept = self.state.user_variables_size();
        for names in names.chunks(PORTION.0) {
            let mut portion: Vec<&[u8]> = Vec::new();
            let mut size = 0;
            let lengths = self.ask_lengths(names, leave).await?;
            for (name, length) in names.iter().zip(lengths) {
                if length > LONGEST || kept.saturating_add(length) > KEPT {
                    self.state_mut().user_variable_not_kept(name);
                    continue;
                }
                if size + length > PORTION.1 {
                    self.ask_values(&portion, leave).await?;
                    portion.clear();
                    size = 0;
                }
                portion.push(name);
                size += length;
                kept += length;
            }
            self.ask_values(&portion, leave).await?;
        }
        Ok(())
    }

    /// Bytes of each value; 0 for NULL.
    async fn ask_lengths(
        &mut self,
        names: &[Vec<u8>],
        leave: &RowCount,
    ) -> Result<Vec<usize>, Before> {
        let list: Vec<String> = names
            .iter()
            .map(|name| {
                let name = identifier(&String::from_utf8_lossy(name));
                format!("COALESCE(LENGTH(@{name}), 0)")
            })
            .collect();
        let question = format!("SELECT {} LIMIT 1", list.join(", "));
        let row = first_row(self.ask(&[question.as_bytes()], leave).await?);
        let length = |value: Option<Vec<u8>>| {
            let digits = value.and_then(|value| String::from_utf8(value).ok());
            // What is not understood is not kept.
            digits
                .and_then(|digits| digits.parse().ok())
                .unwrap_or(usize::MAX)
        };
        Ok(row.into_iter().map(length).collect())
    }

    /// Asks for these values, in one question.
    async fn ask_values(&mut self, names: &[&[u8]], leave: &RowCount) -> Result<(), Before> {
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
        let question = format!("SELECT {} LIMIT 1", list.join(", "));
        let Some(result) = self.ask(&[question.as_bytes()], leave).await?.pop() else {
            return Ok(());
        };
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
