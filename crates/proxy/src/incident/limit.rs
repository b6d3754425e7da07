//! How many incidents of one kind are told where no connection is lost: an application may meet the same error with every
//! statement, or never say goodbye.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Incidents of a kind that are told at once.
const AT_ONCE: u32 = 10;

/// After that, one in this time.
const EVERY: Duration = Duration::from_secs(10);

/// See the module. Kinds are the errors that clients are told; 0: none.
#[derive(Debug, Default)]
pub(crate) struct Limit(Mutex<BTreeMap<u16, Kind>>);

#[derive(Debug)]
struct Kind {
    /// That may be told now.
    left: u32,
    /// Since when that has not grown.
    since: Instant,
    untold: u64,
}

impl Limit {
    /// Whether one of this kind is told; if so, how many like it have not been since the last one that was.
    pub(crate) fn may_tell(&self, error: u16) -> Option<u64> {
        let now = Instant::now();
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = kinds.entry(error).or_insert(Kind {
            left: AT_ONCE,
            since: now,
            untold: 0,
        });
        while kind.left < AT_ONCE && now - kind.since >= EVERY {
            kind.left += 1;
            kind.since += EVERY;
        }
        if kind.left == AT_ONCE {
            kind.since = now;
        }
        if kind.left == 0 {
            kind.untold += 1;
            return None;
        }
        kind.left -= 1;
        Some(std::mem::take(&mut kind.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_now_and_then() {
        let limit = Limit::default();
        for _ in 0..AT_ONCE {
            assert_eq!(limit.may_tell(1290), Some(0));
        }
        for _ in 0..1_000 {
            assert_eq!(limit.may_tell(1290), None);
        }
        assert_eq!(limit.may_tell(0), Some(0));
        tokio::time::advance(EVERY).await;
        assert_eq!(limit.may_tell(1290), Some(1_000));
        assert_eq!(limit.may_tell(1290), None);
        // It has calmed down.
        tokio::time::advance(EVERY * 100).await;
        assert_eq!(limit.may_tell(1290), Some(1));
        for _ in 1..AT_ONCE {
            assert_eq!(limit.may_tell(1290), Some(0));
        }
        assert_eq!(limit.may_tell(1290), None);
    }
}
