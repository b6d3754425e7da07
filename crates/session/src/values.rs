//! Values of system and user variables as SQL expressions that give the same value again.

use crate::quoting::bytes_expression;

/// The value that session tracking reports for the system variable `name`, as an expression for SET.
///
/// Trackers report text only. What reads as a number is written as one; a variable that wants a string with
/// digits in it refuses that (1232), so `as_string` asks for the other form.
pub fn variable_expression(name: &str, value: &[u8], as_string: bool) -> String {
    if value.is_empty() && name == "character_set_results" {
        // Both servers report NULL as the empty string.
        return "NULL".to_owned();
    }
    if !as_string && is_number(value) {
        return String::from_utf8_lossy(value).into_owned();
    }
    let plain = value
        .iter()
        .all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        && !value.contains(&b'\'')
        && !value.contains(&b'\\');
    if plain {
        format!("'{}'", String::from_utf8_lossy(value))
    } else {
        bytes_expression(value, "utf8mb4")
    }
}

fn is_number(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    let mut parts = digits.splitn(2, |&byte| byte == b'.');
    let all_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    parts.next().is_some_and(all_digits) && parts.next().is_none_or(all_digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_numbers_and_text_is_quoted() {
        assert_eq!(
            variable_expression("wait_timeout", b"28800", false),
            "28800"
        );
        assert_eq!(variable_expression("x", b"28800", true), "'28800'");
        assert_eq!(variable_expression("long_query_time", b"0.5", false), "0.5");
        assert_eq!(
            variable_expression("time_zone", b"+02:00", false),
            "'+02:00'"
        );
        assert_eq!(variable_expression("autocommit", b"ON", false), "'ON'");
        assert_eq!(
            variable_expression("x", b"a'b", false),
            "_utf8mb4 X'612762'"
        );
        assert_eq!(
            variable_expression("character_set_results", b"", false),
            "NULL"
        );
        assert_eq!(variable_expression("sql_mode", b"", false), "''");
    }
}
