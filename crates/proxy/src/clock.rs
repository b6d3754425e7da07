//! The server's clock, as closely as looking at it tells.
//!
//! NOW() is pinned inside transactions, before the first run, so a pinned time must not be told from the server's own:
//! an estimate from one answer is wrong by up to its round trip. Each answer bounds the difference of the clocks from
//! both sides, and many answers together bound it closely.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The server's clock in microseconds since 1970, as a column of a query. Not UNIX_TIMESTAMP(NOW(6)), which goes through
/// local time: in the hour that a time zone has twice, it is an hour too early.
pub(crate) const CLOCK: &str = "CAST(@@timestamp * 1000000 AS UNSIGNED)";

/// Samples older than this are forgotten: clocks drift.
const WINDOW: Duration = Duration::from_secs(20);

/// Samples that are kept at most.
const KEPT: usize = 64;

/// No sample yet.
const UNKNOWN: i64 = i64::MIN;

/// The difference between the server's clock and this process's.
#[derive(Debug)]
pub(crate) struct ServerClock {
    origin: Instant,
    /// Microseconds to add to the time since `origin`.
    offset: AtomicI64,
    samples: Mutex<VecDeque<Sample>>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    /// The offset lies between the two.
    low: i64,
    high: i64,
}

impl Default for ServerClock {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            offset: AtomicI64::new(UNKNOWN),
            samples: Mutex::default(),
        }
    }
}

impl ServerClock {
    /// The server's clock now, microseconds since 1970; `None` before the first sample.
    pub(crate) fn now(&self) -> Option<u64> {
        self.at(Instant::now())
    }

    /// The same, at another time.
    pub(crate) fn at(&self, now: Instant) -> Option<u64> {
        let offset = self.offset.load(Ordering::Relaxed);
        (offset != UNKNOWN)
            .then(|| self.since_origin(now).saturating_add(offset))
            .and_then(|now| u64::try_from(now).ok())
    }

    /// The server's clock showed `shown` microseconds since 1970 at some moment between `asked` and `answered`.
    pub(crate) fn sample(&self, shown: u64, asked: Instant, answered: Instant) {
        let shown = i64::try_from(shown).unwrap_or(i64::MAX);
        let new = Sample {
            at: answered,
            low: shown.saturating_sub(self.since_origin(answered)),
            high: shown.saturating_sub(self.since_origin(asked)),
        };
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.retain(|old| {
            answered.saturating_duration_since(old.at) < WINDOW
                // The two exclude each other: a clock was set.
                && old.low <= new.high
                && new.low <= old.high
        });
        if samples.len() == KEPT {
            samples.pop_front();
        }
        samples.push_back(new);
        let low = samples.iter().map(|sample| sample.low).max();
        let high = samples.iter().map(|sample| sample.high).min();
        if let (Some(low), Some(high)) = (low, high) {
            self.offset.store(low.midpoint(high), Ordering::Relaxed);
        }
    }

    fn since_origin(&self, at: Instant) -> i64 {
        let micros = at.saturating_duration_since(self.origin).as_micros();
        i64::try_from(micros).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn many_answers_bound_the_difference_closely() {
        let clock = ServerClock::default();
        assert_eq!(clock.now(), None);
        let origin = clock.origin;
        // The server's clock shows 1,000,000 µs at the origin; answers take 20 ms and look at it at either end.
        let at = |millis: u32| origin + millis * MILLI;
        clock.sample(1_001_000, at(0), at(20));
        clock.sample(1_019_500, at(0), at(20));
        let offset = clock.offset.load(Ordering::Relaxed);
        assert!((999_000..=1_001_100).contains(&offset), "{offset}");
    }

    #[test]
    fn a_clock_that_was_set_is_believed() {
        let clock = ServerClock::default();
        let origin = clock.origin;
        clock.sample(1_000_000, origin, origin + MILLI);
        clock.sample(9_000_000, origin + 2 * MILLI, origin + 3 * MILLI);
        let offset = clock.offset.load(Ordering::Relaxed);
        assert!(offset > 8_900_000, "{offset}");
    }
}
