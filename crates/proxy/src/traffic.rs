//! What passes on a session's server connection: as much as is needed to say later why it was lost.

use std::sync::LazyLock;
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
    /// Since when it is the server that is waited for.
    free: Instant,
    /// What may be on its way between the server and here.
    on_its_way: usize,
    /// When the last such part of the response that has come whole was begun, and the one that comes.
    parts: [Instant; 2],
    /// Bytes of that one.
    part: usize,
}

/// What may be on its way between the server and here, in bytes: what the kernels of this machine and of one with a proxy
/// between keep for a connection, each 32 MiB at most by default since Linux 6.16 (tcp_rmem in tcp(7)) and 4 MiB of what is
/// to be sent (tcp_wmem), and the server's.
static ON_ITS_WAY: LazyLock<usize> = LazyLock::new(|| {
    let received = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_rmem");
    let most = received
        .ok()
        .and_then(|sizes| sizes.split_whitespace().nth(2)?.parse().ok())
        .unwrap_or(32 << 20);
    2 * most + (8 << 20)
});

/// Where nothing has come for so long while it was waited for, nothing was on its way.
const GAP: Duration = Duration::from_secs(1);

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
            free: now,
            on_its_way: *ON_ITS_WAY,
            parts: [now; 2],
            part: 0,
        }
    }

    /// A command is begun.
    pub(crate) fn begin(&mut self, now: Instant) {
        *self = Self {
            began: now,
            last: now,
            quiet_before: now.saturating_duration_since(self.last),
            sent: 0,
            received: 0,
            blocked: None,
            free: now,
            on_its_way: self.on_its_way,
            parts: [now; 2],
            part: 0,
        };
    }

    /// So many bytes of the command were written.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// So many bytes of the response have come.
    pub(crate) fn received(&mut self, bytes: usize) {
        let now = Instant::now();
        if self.received == 0 || now.saturating_duration_since(self.free) >= GAP {
            self.parts = [now; 2];
            self.part = 0;
        }
        self.last = now;
        self.free = now;
        self.received += bytes as u64;
        self.part += bytes;
        if self.part >= self.on_its_way {
            self.parts = [self.parts[1], now];
            self.part = 0;
        }
    }

    /// The client is about to be given what has come: until [`Traffic::taken`] it may not take it.
    pub(crate) fn give(&mut self) {
        self.blocked.get_or_insert_with(Instant::now);
    }

    /// It has taken it.
    pub(crate) fn taken(&mut self) {
        if self.blocked.take().is_some() {
            self.free = Instant::now();
        }
    }

    /// Since when the server's connection may have ended that is seen to end now: what had been sent before comes first,
    /// however long that takes.
    pub(crate) fn may_have_ended(&self, now: Instant) -> Instant {
        let waited = now.saturating_duration_since(self.free) >= GAP && self.blocked.is_none();
        if self.received == 0 || waited {
            return now;
        }
        self.parts[0].min(now)
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
        traffic.begin(Instant::now());
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
        let ends = |traffic: &Traffic| traffic.may_have_ended(Instant::now());
        let mut traffic = Traffic {
            on_its_way: 8 << 20,
            ..Traffic::new()
        };
        traffic.begin(Instant::now());
        advance(Duration::from_secs(5)).await;
        // While nothing has come, an end would come at once.
        assert_eq!(ends(&traffic), Instant::now());
        let first = Instant::now();
        traffic.received(100);
        advance(Duration::from_millis(500)).await;
        traffic.received(65_536);
        assert_eq!(ends(&traffic), first);
        // As long as all may have been on its way at once.
        for _ in 0..40 {
            advance(Duration::from_millis(100)).await;
            traffic.received(1 << 20);
        }
        let behind = Instant::now() - ends(&traffic);
        let expected = Duration::from_millis(800)..Duration::from_millis(1_700);
        assert!(expected.contains(&behind), "{behind:?}");
        // The client takes nothing: what comes then has been there.
        let before = ends(&traffic);
        traffic.give();
        advance(Duration::from_secs(60)).await;
        assert_eq!(ends(&traffic), before);
        traffic.taken();
        traffic.received(1_000);
        assert_eq!(ends(&traffic), before);
        // The server had nothing to send.
        advance(Duration::from_secs(2)).await;
        assert_eq!(ends(&traffic), Instant::now());
        traffic.received(1_000);
        assert_eq!(ends(&traffic), Instant::now());
        traffic.begin(Instant::now());
        assert_eq!(ends(&traffic), Instant::now());
    }
}
