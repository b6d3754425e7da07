//! What passes on a session's server connection: as much as is needed to say later why it was lost.

use std::time::Duration;

use steadfast_diagnose::{End, Moment, Side, Wire};
use tokio::time::Instant;

/// A server connection's flight recorder. It costs a look at the clock where a command begins and where bytes come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Traffic {
    /// When the command in flight was begun.
    began: Instant,
    /// When a byte passed last.
    last: Instant,
    /// For how long none had passed when the command in flight was begun.
    quiet_before: Duration,
    sent: u64,
    received: u64,
    /// Since when the client takes nothing of what has come for it.
    blocked: Option<Instant>,
    /// When something came last that had been waited for: nothing else was on its way by then.
    fresh: Instant,
    /// The connection's end was read behind other bytes, which had come since then.
    behind: Option<Instant>,
}

impl Traffic {
    /// Of a connection that has just been made.
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            began: now,
            last: now,
            quiet_before: Duration::ZERO,
            sent: 0,
            received: 0,
            blocked: None,
            fresh: now,
            behind: None,
        }
    }

    /// A command is begun.
    pub(crate) fn begin(&mut self) {
        let now = Instant::now();
        *self = Self {
            began: now,
            last: now,
            quiet_before: now.saturating_duration_since(self.last),
            sent: 0,
            received: 0,
            blocked: None,
            fresh: now,
            behind: None,
        };
    }

    /// So many bytes of the command were written.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// So many bytes of the response have come; they had been `waited` for, or had been there already.
    pub(crate) fn received(&mut self, bytes: usize, waited: bool) {
        self.last = Instant::now();
        self.received += bytes as u64;
        if waited {
            self.fresh = self.last;
        }
    }

    /// The connection's end was read; it had been `waited` for, or had been there already.
    pub(crate) fn ended(&mut self, waited: bool) {
        self.behind = (!waited).then_some(self.fresh);
    }

    /// The client is about to be given what has come: until [`Traffic::taken`] it may not take it.
    pub(crate) fn give(&mut self) {
        self.blocked.get_or_insert_with(Instant::now);
    }

    /// It has taken it.
    pub(crate) fn taken(&mut self) {
        self.blocked = None;
    }

    /// Since when the server's connection may have ended that is seen to end now: what had come before is read first,
    /// however long that takes.
    pub(crate) fn may_have_ended(&self, now: Instant) -> Instant {
        let unread = self.blocked.map(|_| self.fresh);
        self.behind.or(unread).unwrap_or(now).min(now)
    }

    /// What was seen until `now`.
    pub(crate) fn seen(&self, now: Instant) -> Seen {
        Seen {
            quiet: now.saturating_duration_since(self.last),
            quiet_before: self.quiet_before,
            waited: now.saturating_duration_since(self.began),
            sent: self.sent,
            received: self.received,
            stalled: self
                .blocked
                .map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
        }
    }
}

/// What [`Traffic`] has to tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Seen {
    /// See [`steadfast_diagnose::Wire::quiet`].
    pub(crate) quiet: Duration,
    /// See [`steadfast_diagnose::Wire::quiet_before`].
    pub(crate) quiet_before: Duration,
    /// See [`steadfast_diagnose::Wire::waited`].
    pub(crate) waited: Duration,
    /// See [`steadfast_diagnose::Wire::sent`].
    pub(crate) sent: u64,
    /// See [`steadfast_diagnose::Wire::received`].
    pub(crate) received: u64,
    /// See [`steadfast_diagnose::Wire::stalled`].
    pub(crate) stalled: Duration,
}

impl Seen {
    /// The same as evidence.
    pub(crate) fn wire(self, side: Side, moment: Moment, end: End, in_transaction: bool) -> Wire {
        Wire {
            side,
            moment,
            end,
            quiet: self.quiet,
            quiet_before: self.quiet_before,
            waited: if moment == Moment::Idle {
                Duration::ZERO
            } else {
                self.waited
            },
            sent: self.sent,
            received: self.received,
            stalled: self.stalled,
            in_transaction,
        }
    }

    /// The same where the command that was begun was not sent: the connection has been quiet since the one before.
    pub(crate) fn unused(self) -> Self {
        Self {
            // What has an answer is the one before.
            quiet: if self.received > 0 {
                self.quiet
            } else {
                self.waited + self.quiet_before
            },
            quiet_before: Duration::ZERO,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn pauses_are_told_apart_from_waiting() {
        let mut traffic = Traffic::new();
        advance(Duration::from_secs(350)).await;
        traffic.begin();
        traffic.sent(20);
        advance(Duration::from_secs(2)).await;
        let seen = traffic.seen(Instant::now());
        assert_eq!(seen.quiet_before, Duration::from_secs(350));
        assert_eq!(seen.waited, Duration::from_secs(2));
        assert_eq!((seen.sent, seen.received), (20, 0));
        // Had nothing of it been sent, nobody would have used the connection.
        let unused = seen.unused();
        assert_eq!(unused.quiet, Duration::from_secs(352));
        assert_eq!(unused.quiet_before, Duration::ZERO);
        traffic.received(100, true);
        traffic.give();
        advance(Duration::from_secs(60)).await;
        let seen = traffic.seen(Instant::now());
        assert_eq!(seen.stalled, Duration::from_secs(60));
        assert_eq!(seen.quiet, Duration::from_secs(60));
        traffic.taken();
        assert_eq!(traffic.seen(Instant::now()).stalled, Duration::ZERO);
        // This one has an answer; the next one was not sent.
        assert_eq!(
            traffic.seen(Instant::now()).unused().quiet,
            Duration::from_secs(60)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_behind_other_bytes_may_be_as_old_as_they_are() {
        let mut traffic = Traffic::new();
        traffic.begin();
        advance(Duration::from_secs(5)).await;
        traffic.received(100, true);
        let fresh = Instant::now();
        // A reader that is slower than the server, without ever standing still.
        for _ in 0..30 {
            advance(Duration::from_millis(100)).await;
            traffic.received(65_536, false);
        }
        assert_eq!(traffic.may_have_ended(Instant::now()), Instant::now());
        traffic.ended(false);
        assert_eq!(traffic.may_have_ended(Instant::now()), fresh);
        // Had all been read before, it would have come just now.
        traffic.ended(true);
        assert_eq!(traffic.may_have_ended(Instant::now()), Instant::now());
        // A client that takes nothing.
        traffic.give();
        assert_eq!(traffic.may_have_ended(Instant::now()), fresh);
    }
}
