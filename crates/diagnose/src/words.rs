//! Numbers for people.

use core::time::Duration;

/// `40 ms`, `3.2 s`, `12 min`, `8 h`, `3 days`: two digits where the second one tells something.
pub(crate) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        _ if seconds < 1.0 => format!("{} ms", duration.as_millis()),
        _ if seconds < 10.0 => format!("{} s", (seconds * 10.0).round() / 10.0),
        _ if seconds < 120.0 => format!("{} s", seconds.round()),
        _ if seconds < 7_200.0 => format!("{} min", (seconds / 60.0).round()),
        _ if seconds < 172_800.0 => format!("{} h", (seconds / 3_600.0).round()),
        _ => format!("{} days", (seconds / 86_400.0).round()),
    }
}

/// `12 bytes`, `64 KiB`, `1.5 MiB`, `1 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", (value * 10.0).round() / 10.0, UNITS[unit])
}

/// Durations as whole milliseconds, for machines.
pub(crate) mod millis {
    use core::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(of: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(of.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// The same, of one that may be unknown.
pub(crate) mod maybe_millis {
    use core::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        of: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        of.map(|of| u64::try_from(of.as_millis()).unwrap_or(u64::MAX))
            .serialize(to)
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Duration::from_millis))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_the_unit_that_people_would_use() {
        let cases = [
            (40, "40 ms"),
            (3_210, "3.2 s"),
            (20_400, "20 s"),
            (350_000, "6 min"),
            (28_800_000, "8 h"),
            (259_200_000, "3 days"),
        ];
        for (millis, text) in cases {
            assert_eq!(time(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn sizes_have_the_unit_that_people_would_use() {
        let cases = [
            (12, "12 bytes"),
            (64 << 10, "64 KiB"),
            (16 << 20, "16 MiB"),
            (1_610_612_736, "1.5 GiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
    }
}
