//! Text that is safe to put into SQL under every `sql_mode` and `character_set_client`.

use std::fmt::Write as _;

/// An SQL expression for a string of bytes in the character set `charset`: hexadecimal digits, so that neither
/// quotes nor backslashes nor multi-byte characters can be read in two ways.
pub fn bytes_expression(bytes: &[u8], charset: &str) -> String {
    format!("_{charset} X'{}'", hexadecimal(bytes))
}

/// Two digits for each byte, as in `X'…'`.
pub fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02X}");
    }
    text
}

/// An identifier in backticks. Names are ASCII or UTF-8; the caller sets the connection's character set
/// to utf8mb4 before it sends one.
pub fn identifier(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    text.push('`');
    for character in name.chars() {
        if character == '`' {
            text.push('`');
        }
        text.push(character);
    }
    text.push('`');
    text
}

/// USE of a schema by the name that the server reported, which is sent in the connection's character set.
pub fn use_schema(name: &[u8]) -> Vec<u8> {
    format!("USE {}", identifier(&String::from_utf8_lossy(name))).into_bytes()
}
