//! The order in which sessions come back after a loss: open transactions first, and their statements in the order in
//! which they first completed, so that locks are taken as they were taken and nobody changes what they have read.
//!
//! On a query's way, when nothing is wrong, this costs one relaxed load.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// How long a statement waits at most for the transactions that are being replayed.
pub(crate) const ADMISSION: Duration = Duration::from_secs(5);

/// From when the first of a recovery has its connection, the others are waited for at most this long: one that cannot
/// come back must not hold up all.
const STAY: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Replaying {
    /// For each session that has a transaction to replay: the order of the statement that is due next.
    due: BTreeMap<u64, u64>,
    /// When the first of them was ready to replay.
    begun: Option<Instant>,
}

/// One per server.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    replaying: Mutex<Replaying>,
    count: AtomicUsize,
    /// Counts the times that somebody began to replay while nobody did.
    wave: AtomicU64,
    changed: Notify,
    completions: AtomicU64,
}

impl Gate {
    /// The order of a completed statement among all sessions' statements.
    pub(crate) fn next_order(&self) -> u64 {
        self.completions.fetch_add(1, Ordering::Relaxed)
    }

    /// A session has lost its connection inside a transaction whose first statement has this order; it takes its
    /// turn until the guard is dropped.
    pub(crate) fn enter(self: &Arc<Self>, session: u64, order: u64) -> Turn {
        self.set(session, Some(order));
        Turn {
            gate: Arc::clone(self),
            session,
        }
    }

    /// Which recovery this is: all sessions that replay at the same time are of the same wave.
    pub(crate) fn wave(&self) -> u64 {
        self.wave.load(Ordering::Relaxed)
    }

    /// Whether nobody replays.
    pub(crate) fn is_open(&self) -> bool {
        self.count.load(Ordering::Relaxed) == 0
    }

    /// Waits until nobody replays, at most this long: what would wait longer would make things worse than a
    /// mismatch, which is found out anyway.
    pub(crate) async fn admitted(&self, at_most: Duration) {
        if self.is_open() {
            return;
        }
        let deadline = Instant::now() + at_most;
        self.wait_until(deadline, BTreeMap::is_empty).await;
    }

    async fn wait_until(
        &self,
        deadline: Instant,
        ready: impl Fn(&BTreeMap<u64, u64>) -> bool,
    ) -> bool {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that a change between the two is not missed.
            changed.as_mut().enable();
            let begun = {
                let replaying = self
                    .replaying
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                if ready(&replaying.due) {
                    return true;
                }
                replaying.begun
            };
            let until = begun.map_or(deadline, |begun| deadline.min(begun + STAY));
            if timeout_at(until, changed).await.is_err() {
                return false;
            }
        }
    }

    fn set(&self, session: u64, order: Option<u64>) {
        let mut replaying = self
            .replaying
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if replaying.due.is_empty() && order.is_some() {
            self.wave.fetch_add(1, Ordering::Relaxed);
        }
        match order {
            Some(order) => replaying.due.insert(session, order),
            None => replaying.due.remove(&session),
        };
        if replaying.due.is_empty() {
            replaying.begun = None;
        }
        self.count.store(replaying.due.len(), Ordering::Relaxed);
        drop(replaying);
        self.changed.notify_waiters();
    }

    fn begin(&self) {
        let mut replaying = self
            .replaying
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if replaying.begun.is_none() {
            replaying.begun = Some(Instant::now());
        }
    }
}

/// A session's place among those that replay.
#[derive(Debug)]
pub(crate) struct Turn {
    gate: Arc<Gate>,
    session: u64,
}

impl Turn {
    /// Waits until every statement of an earlier order has been replayed; false if that takes over `at_most`.
    pub(crate) async fn wait(&self, order: u64, at_most: Duration) -> bool {
        self.gate.set(self.session, Some(order));
        self.gate.begin();
        let deadline = Instant::now() + at_most;
        self.gate
            .wait_until(deadline, |replaying| {
                replaying
                    .iter()
                    .all(|(session, due)| *session == self.session || *due >= order)
            })
            .await
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.gate.set(self.session, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn statements_replay_in_their_first_order() {
        let gate = Arc::new(Gate::default());
        let first = gate.enter(1, 10);
        let second = gate.enter(2, 11);
        assert!(!second.wait(11, Duration::from_millis(20)).await);
        assert!(first.wait(10, LONG).await);
        // Now 12 is due for the first: 11 goes before it.
        let (later, earlier) = tokio::join!(first.wait(12, Duration::from_millis(50)), async {
            second.wait(11, LONG).await
        });
        assert!(earlier && !later);
        drop(second);
        assert!(first.wait(12, LONG).await);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_cannot_come_back_holds_up_the_others_for_a_limited_time() {
        let gate = Arc::new(Gate::default());
        let stuck = gate.enter(1, 0);
        let other = gate.enter(2, 1);
        let begun = Instant::now();
        for order in 1..50 {
            other.wait(order, Duration::from_secs(60)).await;
        }
        drop(other);
        for _ in 0..50 {
            gate.admitted(Duration::from_secs(60)).await;
        }
        assert!(begun.elapsed() <= STAY + Duration::from_millis(100));
        drop(stuck);
    }

    #[tokio::test]
    async fn others_are_admitted_when_all_have_replayed() {
        let gate = Arc::new(Gate::default());
        let turn = gate.enter(1, 0);
        assert!(!gate.is_open());
        let waited = Instant::now();
        gate.admitted(Duration::from_millis(30)).await;
        assert!(waited.elapsed() >= Duration::from_millis(30));
        drop(turn);
        gate.admitted(LONG).await;
        assert!(gate.is_open());
    }
}
