//! Lengths of time in settings: a whole number and a unit, such as `"60s"`.

use std::{fmt, time::Duration};

use serde::{Deserializer, Serializer, de};

/// The longest length of time that a setting takes: 365 days. Longer ones are typing errors, and sums of several
/// stay far from overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Reads `"500ms"`, `"60s"`, `"2m"`, `"1h"` or `"1d"`; zero is allowed.
///
/// # Errors
/// One clause that says what is wrong and what to write instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text[digits.len()..].trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "{text:?} is not a length of time; write a whole number and a unit (ms, s, m, h, d), such as \"60s\""
        ));
    }
    if unit.is_empty() {
        return Err(format!(
            "{text:?} has no unit; write \"{digits}s\" for seconds, or use ms, m, h or d"
        ));
    }
    let Some((_, factor)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!(
            "{text:?} has no unit that is known; write ms, s, m, h or d after the number, such as \"{digits}s\""
        ));
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*factor))
        .map(Duration::from_millis)
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| format!("{text:?} is too long; the most is \"365d\""))
}

/// Writes a length of time as [`parse_duration`] reads it, in the largest unit that fits exactly.
pub fn format_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let seconds_or_more = UNITS.iter().rev().take(4);
    // "60s" is how people write a minute in settings; two minutes and more read better in minutes.
    let (name, factor) = seconds_or_more
        .copied()
        .find(|(name, factor)| {
            millis.is_multiple_of(*factor) && (*name == "s" || millis / factor > 1)
        })
        .unwrap_or(UNITS[0]);
    match millis {
        0 => "0s".to_owned(),
        _ => format!("{}{name}", millis / factor),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(DurationVisitor)
}

pub(super) fn serialize<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*duration))
}

struct DurationVisitor;

impl de::Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length of time in quotes, such as \"60s\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse_duration(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Duration, E> {
        Err(E::custom(format!(
            "{number} has no unit; write \"{}s\" for seconds, or use ms, m, h or d",
            number.unsigned_abs()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_unit() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("60s", 60_000),
            ("60 s", 60_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("365d", 31_536_000_000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_is_not_one() {
        for (text, part) in [
            ("", "is not a length of time"),
            ("s", "is not a length of time"),
            ("-1s", "is not a length of time"),
            ("1.5s", "is not a length of time"),
            ("٣s", "is not a length of time"),
            ("60", "write \"60s\""),
            ("60sec", "no unit that is known"),
            ("366d", "too long"),
            ("99999999999999999999999s", "too long"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for text in [
            "0s", "500ms", "1500ms", "10s", "60s", "90s", "2m", "2h", "365d",
        ] {
            assert_eq!(format_duration(parse_duration(text).unwrap()), text);
        }
    }
}
