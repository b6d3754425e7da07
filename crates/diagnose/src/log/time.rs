//! The times that logs write, compared as far as they can be: with their zone, without it, and without their year.

use core::time::Duration;

/// How far clocks are behind UTC at the most, in seconds, and ahead of it.
const BEHIND: i64 = 12 * 3_600;
const AHEAD: i64 = 14 * 3_600;

/// Zones are half hours apart, nearly all of them.
const BETWEEN_ZONES: i64 = 1_800;

/// A time as a log has it, to the second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Time {
    /// `None`: the log does not say.
    year: Option<i64>,
    month: i64,
    day: i64,
    /// Of the day.
    second: i64,
    /// Seconds that clocks in its zone are ahead of UTC; `None`: it is not said which zone.
    zone: Option<i64>,
}

/// How two times lie to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Apart {
    /// Not further apart than that.
    Near,
    /// Further.
    Far,
    /// It depends on a zone that is not known.
    Perhaps,
}

impl Time {
    /// Reads a time in one of the formats of servers' and kernels' logs: `2026-11-02T03:04:05.123456+02:00`,
    /// `2026-11-02  3:04:05`, `261102  3:04:05`, `Nov  2 03:04:05`, and the last one with a year behind it.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.first()?.is_ascii_alphabetic() {
            return Self::of_syslog(text);
        }
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (year, month, day, rest) = match digits {
            4 => (
                number(text.get(..4)?)?,
                number(text.get(5..7)?)?,
                number(text.get(8..10)?)?,
                text.get(11..)?,
            ),
            6 => (
                2_000 + number(&text[..2])?,
                number(&text[2..4])?,
                number(&text[4..6])?,
                &text[6..],
            ),
            _ => return None,
        };
        let (second, rest) = clock(rest)?;
        Self {
            year: Some(year),
            month,
            day,
            second,
            zone: zone(rest),
        }
        .checked()
    }

    fn of_syslog(text: &[u8]) -> Option<Self> {
        const MONTHS: &[u8] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
        let name = text.get(..3)?;
        let month = MONTHS.chunks(3).position(|month| month == name)?;
        let (second, rest) = clock(text.get(6..)?)?;
        // As dmesg -T has it.
        let year = rest
            .strip_prefix(b" ")
            .and_then(|rest| rest.get(..4))
            .and_then(number);
        Self {
            year,
            month: i64::try_from(month).ok()? + 1,
            day: number(text.get(4..6)?.trim_ascii_start())?,
            second,
            zone: None,
        }
        .checked()
    }

    fn checked(self) -> Option<Self> {
        ((1..=12).contains(&self.month) && (1..=31).contains(&self.day)).then_some(self)
    }

    /// Seconds since 1970 of the zone it was written in, where it was in that year.
    fn seconds(self, year: i64) -> i64 {
        // The days before a month, in years that begin with March.
        let (year, month) = match self.month {
            1 | 2 => (year - 1, self.month + 9),
            _ => (year, self.month - 3),
        };
        let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
            + year.div_euclid(400)
            + (153 * month + 2) / 5
            + self.day
            - 719_469;
        days * 86_400 + self.second
    }

    /// Seconds from this one to another, both as they are written; where a year is not known, the fewest that can be.
    fn as_written(self, other: Self) -> i64 {
        let years = |year: i64| [year - 1, year, year + 1];
        let nearest = |distances: &mut dyn Iterator<Item = i64>| {
            distances
                .min_by_key(|distance| distance.abs())
                .unwrap_or_default()
        };
        match (self.year, other.year) {
            (Some(year), Some(others)) => other.seconds(others) - self.seconds(year),
            (Some(year), None) => nearest(
                &mut years(year)
                    .into_iter()
                    .map(|others| other.seconds(others) - self.seconds(year)),
            ),
            (None, Some(_)) => -other.as_written(self),
            // A leap year, or another one.
            (None, None) => nearest(&mut [2_000, 2_001].into_iter().flat_map(|year| {
                years(year)
                    .into_iter()
                    .map(move |others| other.seconds(others) - self.seconds(year))
            })),
        }
    }

    /// The fewest and the most seconds from this one to another.
    fn until(self, other: Self) -> (i64, i64) {
        let written = self.as_written(other);
        match (self.zone, other.zone) {
            (Some(zone), Some(others)) => {
                let seconds = written + zone - others;
                (seconds, seconds)
            }
            (None, None) => (written, written),
            (Some(zone), None) => (written + zone - AHEAD, written + zone + BEHIND),
            (None, Some(others)) => (written - others - BEHIND, written - others + AHEAD),
        }
    }

    /// Whether both are within so much of each other.
    pub(crate) fn apart(self, other: Self, limit: Duration) -> Apart {
        let limit = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        let (least, most) = self.until(other);
        if least > limit || most < -limit {
            Apart::Far
        } else if least >= -limit && most <= limit {
            Apart::Near
        } else {
            Apart::Perhaps
        }
    }

    /// Whether both may be the same, but for so much: where a zone is not known, in one of the zones that there are.
    pub(crate) fn may_be(self, other: Self, limit: Duration) -> bool {
        let limit = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        let (least, most) = self.until(other);
        if least == most {
            return least.abs() <= limit;
        }
        let beside = least.rem_euclid(BETWEEN_ZONES);
        least <= limit && most >= -limit && beside.min(BETWEEN_ZONES - beside) <= limit
    }

    /// Whether another one is certainly later by more than that.
    pub(crate) fn is_before(self, other: Self, limit: Duration) -> bool {
        self.until(other).0 > i64::try_from(limit.as_secs()).unwrap_or(i64::MAX)
    }
}

/// `3:04:05` and what is behind it.
fn clock(text: &[u8]) -> Option<(i64, &[u8])> {
    let text = text.trim_ascii_start();
    let colon = text.iter().take(3).position(|byte| *byte == b':')?;
    let hour = number(&text[..colon])?;
    let rest = &text[colon + 1..];
    let minute = number(rest.get(..2)?)?;
    let second = number(rest.get(3..5)?)?;
    Some((hour * 3_600 + minute * 60 + second, &rest[5..]))
}

/// The zone behind a time: by how many seconds its clocks are ahead of UTC.
fn zone(rest: &[u8]) -> Option<i64> {
    let digits = rest
        .iter()
        .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
        .count();
    let rest = &rest[digits..];
    let sign = match rest.first()? {
        b'Z' => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = number(rest.get(1..3)?)?;
    let minutes = rest.get(3..)?;
    let minutes = minutes.strip_prefix(b":").unwrap_or(minutes);
    Some(sign * (hours * 3_600 + number(minutes.get(..2)?)? * 60))
}

fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0, |value, byte| {
        byte.is_ascii_digit()
            .then(|| value * 10 + i64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTES: Duration = Duration::from_secs(15 * 60);

    fn time(text: &str) -> Time {
        Time::read(text).unwrap_or_else(|| panic!("not a time: {text}"))
    }

    #[test]
    fn seconds_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:01Z", 951_782_401),
            ("2026-11-02T03:04:05.123456Z", 1_793_588_645),
            ("2100-03-01 00:00:00", 4_107_542_400),
        ] {
            let time = time(text);
            assert_eq!(time.seconds(time.year.unwrap()), seconds, "{text}");
        }
    }

    #[test]
    fn the_same_time_in_every_format() {
        let times = [
            "2026-11-02T03:04:05.123456Z",
            "2026-11-02T05:04:05+02:00",
            "2026-11-01T21:34:05.1-0530",
            "2026-11-02  3:04:05",
            "261102  3:04:05",
            "Nov  2 03:04:05",
            "Nov 02 03:04:05 2026",
        ];
        for one in times {
            for other in times {
                let (one, other) = (time(one), time(other));
                assert!(one.may_be(other, Duration::ZERO), "{one:?} {other:?}");
                assert_ne!(one.apart(other, MINUTES), Apart::Far);
                assert!(!one.is_before(other, Duration::ZERO));
            }
        }
    }

    #[test]
    fn far_is_what_no_zone_and_no_year_brings_near() {
        for (one, other, apart) in [
            ("2026-11-02 03:04:05", "2026-11-02 03:19:05", Apart::Near),
            ("2026-11-02 03:04:05", "2026-11-02 03:19:06", Apart::Far),
            ("2026-11-02 03:19:06", "2026-11-02 03:04:05", Apart::Far),
            (
                "2026-11-02T03:04:05Z",
                "2026-11-02 13:04:05",
                Apart::Perhaps,
            ),
            ("2026-11-02T03:04:05Z", "2026-11-03 13:04:05", Apart::Far),
            ("2026-11-02 03:04:05", "Nov  2 03:04:06", Apart::Near),
            ("2026-12-31 23:59:59", "Jan  1 00:00:01", Apart::Near),
            ("Dec 31 23:59:59", "Jan  1 00:00:01", Apart::Near),
            ("Feb 28 23:59:59", "Mar  1 00:00:01", Apart::Near),
            ("2026-11-02 03:04:05", "Nov  3 03:04:06", Apart::Far),
        ] {
            assert_eq!(
                time(one).apart(time(other), MINUTES),
                apart,
                "{one} {other}"
            );
        }
        // Zones are half hours apart.
        let here = time("2026-11-02 03:04:05");
        assert!(time("2026-11-02T01:04:07Z").may_be(here, Duration::from_secs(2)));
        assert!(!time("2026-11-02T01:11:07Z").may_be(here, Duration::from_secs(2)));
        assert!(time("2026-11-01T01:04:05Z").is_before(here, MINUTES));
        assert!(!time("2026-11-02T01:04:05Z").is_before(here, MINUTES));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "x",
            "03:04:05",
            "2026",
            "2026-13-02 03:04:05",
            "2026-11-02",
            "Foo  2 03:04:05",
            "999999 3:04:05",
            "2026-11-02T",
            "Nov 2",
            "12345 3:04:05",
            "\u{e4}\u{f6}",
        ] {
            assert_eq!(Time::read(text), None, "{text}");
        }
    }
}
