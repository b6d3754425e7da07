//! Sizes in settings: a whole number of bytes, or a number and a binary unit, such as `"16MiB"`.

use std::fmt;

use serde::{Deserializer, Serializer, de};

const UNITS: [(&str, u64); 5] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads `"16MiB"`, `"1GiB"`, `"512KiB"` or `"4096B"`: bytes.
///
/// # Errors
/// One clause that says what is wrong and what to write instead.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "{text:?} is not a size; write a whole number and a unit (B, KiB, MiB, GiB, TiB), such as \"16MiB\""
        ));
    }
    if unit.is_empty() {
        return Err(format!(
            "{text:?} has no unit; write \"{digits}B\" for bytes, or use KiB, MiB, GiB or TiB"
        ));
    }
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let binary = match unit.bytes().next().map(|byte| byte.to_ascii_uppercase()) {
            Some(b'K') => "KiB",
            Some(b'G') => "GiB",
            Some(b'T') => "TiB",
            _ => "MiB",
        };
        return Err(format!(
            "{text:?} has no unit that is known; write B, KiB, MiB, GiB or TiB after the number, such as \"{digits}{binary}\""
        ));
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*factor))
        .ok_or_else(|| format!("{text:?} is too large"))
}

/// Writes a size as [`parse_size`] reads it, in the largest unit that fits exactly.
pub fn format_size(bytes: u64) -> String {
    let (name, factor) = UNITS
        .iter()
        .rev()
        .copied()
        .find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor))
        .unwrap_or(UNITS[0]);
    format!("{}{name}", bytes / factor)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    deserializer.deserialize_any(SizeVisitor)
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's `with` passes a reference"
)]
pub(super) fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_size(*bytes))
}

struct SizeVisitor;

impl de::Visitor<'_> for SizeVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size in quotes, such as \"16MiB\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        parse_size(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<u64, E> {
        Err(E::custom(format!(
            "{number} has no unit; write \"{}B\" for bytes, or use KiB, MiB, GiB or TiB",
            number.unsigned_abs()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_unit() {
        for (text, bytes) in [
            ("0B", 0),
            ("4096B", 4096),
            ("512KiB", 512 << 10),
            ("16MiB", 16 << 20),
            ("16 MiB", 16 << 20),
            ("1GiB", 1 << 30),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_one() {
        for (text, part) in [
            ("", "is not a size"),
            ("MiB", "is not a size"),
            ("-1B", "is not a size"),
            ("1.5GiB", "is not a size"),
            ("16", "write \"16B\""),
            ("16MB", "such as \"16MiB\""),
            ("1g", "such as \"1GiB\""),
            ("99999999TiB", "too large"),
        ] {
            let error = parse_size(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for text in ["0B", "1B", "1000B", "512KiB", "16MiB", "1GiB", "1025MiB"] {
            assert_eq!(format_size(parse_size(text).unwrap()), text);
        }
    }
}
