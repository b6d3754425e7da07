//! One direction of a connection: segments on their way, and what has arrived.

use std::collections::VecDeque;

use tokio::time::Instant;

/// How a direction ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    Fin,
    Rst,
}

#[derive(Debug)]
struct Segment {
    at: Instant,
    sent: Instant,
    bytes: Vec<u8>,
    ending: Option<Ending>,
}

#[derive(Debug)]
pub(super) struct Pipe {
    on_the_way: VecDeque<Segment>,
    pub(super) arrived: VecDeque<u8>,
    pub(super) ended: Option<Ending>,
    /// Segments keep their order.
    last: Instant,
    /// Nothing arrives before.
    held_until: Instant,
    /// What is sent from now on never arrives; since when the oldest of it waits.
    muted: bool,
    lost_since: Option<Instant>,
}

impl Pipe {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            on_the_way: VecDeque::new(),
            arrived: VecDeque::new(),
            ended: None,
            last: now,
            held_until: now,
            muted: false,
            lost_since: None,
        }
    }

    /// Sends bytes that need at least until `at`.
    pub(super) fn send(&mut self, at: Instant, bytes: &[u8]) {
        self.push(at, bytes, None);
    }

    /// The last thing that is sent.
    pub(super) fn end(&mut self, at: Instant, how: Ending) {
        self.push(at, &[], Some(how));
    }

    fn push(&mut self, at: Instant, bytes: &[u8], ending: Option<Ending>) {
        let now = Instant::now();
        if self.muted {
            self.lost_since.get_or_insert(now);
            return;
        }
        if bytes.is_empty() && ending.is_none() {
            return;
        }
        let at = at.max(self.last).max(self.held_until);
        self.last = at;
        self.on_the_way.push_back(Segment {
            at,
            sent: now,
            bytes: bytes.to_vec(),
            ending,
        });
    }

    /// What is sent from now on never arrives.
    pub(super) fn mute(&mut self) {
        self.muted = true;
    }

    pub(super) fn is_muted(&self) -> bool {
        self.muted
    }

    /// Nothing arrives before `until`, what is on its way neither.
    pub(super) fn hold(&mut self, until: Instant) {
        let now = Instant::now();
        self.arrive(now);
        self.held_until = self.held_until.max(until);
        for segment in &mut self.on_the_way {
            segment.at = segment.at.max(until);
        }
        self.last = self.last.max(until);
    }

    pub(super) fn held_until(&self) -> Instant {
        self.held_until
    }

    /// Takes what has arrived by `now` off the way.
    pub(super) fn arrive(&mut self, now: Instant) {
        while let Some(segment) = self.on_the_way.front() {
            if segment.at > now {
                return;
            }
            if let Some(segment) = self.on_the_way.pop_front()
                && self.ended.is_none()
            {
                self.arrived.extend(segment.bytes);
                self.ended = segment.ending;
            }
        }
    }

    /// When the next segment arrives.
    pub(super) fn next(&self) -> Option<Instant> {
        self.on_the_way.front().map(|segment| segment.at)
    }

    /// Since when the oldest byte waits to be acknowledged by the other side's kernel.
    pub(super) fn unacknowledged_since(&self, now: Instant) -> Option<Instant> {
        let waiting = self
            .on_the_way
            .iter()
            .find(|segment| segment.at > now)
            .map(|segment| segment.sent);
        match (waiting, self.lost_since) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }
}
