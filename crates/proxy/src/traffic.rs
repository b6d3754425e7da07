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
    /// Since when it had taken nothing when it last did so for longer than [`STALL`].
    stalled_at: Option<Instant>,
}

/// What the client does not take for longer than this fills the buffers between it and the server.
const STALL: Duration = Duration::from_millis(20);

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
            stalled_at: None,
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
            stalled_at: None,
        };
    }

    /// So many bytes of the command were written.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// So many bytes of the response have come.
    pub(crate) fn received(&mut self, bytes: usize) {
        self.last = Instant::now();
        self.received += bytes as u64;
    }

    /// The client is about to be given what has come: until [`Traffic::taken`] it may not take it.
    pub(crate) fn give(&mut self) {
        self.blocked.get_or_insert_with(Instant::now);
    }

    /// It has taken it.
    pub(crate) fn taken(&mut self) {
        if let Some(since) = self.blocked.take()
            && since.elapsed() > STALL
        {
            self.stalled_at = Some(since);
        }
    }

    /// Since when the server's connection may have ended that is seen to end now: what had come before is read first.
    pub(crate) fn may_have_ended(&self, now: Instant) -> Instant {
        self.blocked.or(self.stalled_at).unwrap_or(now).min(now)
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
            quiet: self.waited + self.quiet_before,
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
        traffic.received(100);
        traffic.give();
        advance(Duration::from_secs(60)).await;
        let seen = traffic.seen(Instant::now());
        assert_eq!(seen.stalled, Duration::from_secs(60));
        assert_eq!(seen.quiet, Duration::from_secs(60));
        let stalled = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        assert_eq!(traffic.may_have_ended(Instant::now()), stalled);
        traffic.taken();
        assert_eq!(traffic.seen(Instant::now()).stalled, Duration::ZERO);
        // What had come meanwhile is still being read.
        assert_eq!(traffic.may_have_ended(Instant::now()), stalled);
        traffic.begin();
        assert_eq!(traffic.may_have_ended(Instant::now()), Instant::now());
    }
}
