//! Whether new clients may be sent here.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

use crate::config::format_duration;

/// Whether the process takes clients, and when it last heard of the server. The proxy's core writes it, `/ready`
/// and `/metrics` read it.
#[derive(Debug)]
pub struct Readiness {
    started: Instant,
    lately: Duration,
    stage: AtomicU8,
    server_up: AtomicBool,
    /// Milliseconds from `started` to the last proof that the server answers, plus one; 0: never.
    server_seen: AtomicU64,
    /// Milliseconds from `started` to when `server_up` last changed.
    server_changed: AtomicU64,
}

const STARTING: u8 = 0;
const ACCEPTING: u8 = 1;
const DRAINING: u8 = 2;

/// Why new clients should not be sent here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotReady {
    /// The listeners are not open yet.
    Starting,
    /// It is shutting down.
    Draining,
    /// No connection to the server has succeeded since the start.
    NeverReached,
    /// The server cannot be reached, for this long.
    Unreachable(Duration),
    /// The server was reachable this long ago, and nobody has asked since.
    NotAsked(Duration),
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds =
            |duration: &Duration| format_duration(Duration::from_secs(duration.as_secs()));
        match self {
            Self::Starting => f.write_str("starting: not listening yet"),
            Self::Draining => f.write_str("draining: shutting down, new clients are not accepted"),
            Self::NeverReached => f.write_str("no server: it has not been reached since the start"),
            Self::Unreachable(time) => {
                write!(f, "no server: it cannot be reached for {}", seconds(time))
            }
            Self::NotAsked(time) => {
                write!(
                    f,
                    "no recent health check: the last was {} ago",
                    seconds(time)
                )
            }
        }
    }
}

impl Readiness {
    /// A process that starts now. A server that was reached no longer than `lately` ago counts as reachable; a few
    /// times the health check's interval.
    pub fn new(lately: Duration) -> Self {
        Self {
            started: Instant::now(),
            lately,
            stage: AtomicU8::new(STARTING),
            server_up: AtomicBool::new(false),
            server_seen: AtomicU64::new(0),
            server_changed: AtomicU64::new(0),
        }
    }

    /// The listeners are open.
    pub fn accepting(&self) {
        self.stage.store(ACCEPTING, Relaxed);
    }

    /// The shutdown has begun; there is no way back.
    pub fn draining(&self) {
        self.stage.store(DRAINING, Relaxed);
    }

    /// The server has just answered.
    pub fn server_reached(&self) {
        self.server_seen.store(self.millis() + 1, Relaxed);
        if !self.server_up.swap(true, Relaxed) {
            self.server_changed.store(self.millis(), Relaxed);
        }
    }

    /// The server has just been found unreachable or dead.
    pub fn server_lost(&self) {
        if self.server_up.swap(false, Relaxed) {
            self.server_changed.store(self.millis(), Relaxed);
        }
    }

    /// Whether the last attempt to reach the server succeeded.
    pub fn server_is_up(&self) -> bool {
        self.server_up.load(Relaxed)
    }

    /// How long ago the server last answered; `None`: never.
    pub fn server_seen_ago(&self) -> Option<Duration> {
        let seen = self.server_seen.load(Relaxed).checked_sub(1)?;
        Some(self.since(seen))
    }

    /// How long the process has been running.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether new clients may be sent here.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), NotReady> {
        match self.stage.load(Relaxed) {
            STARTING => return Err(NotReady::Starting),
            DRAINING => return Err(NotReady::Draining),
            _ => {}
        }
        let seen = self.server_seen_ago().ok_or(NotReady::NeverReached)?;
        if !self.server_is_up() {
            return Err(NotReady::Unreachable(
                self.since(self.server_changed.load(Relaxed)),
            ));
        }
        match seen <= self.lately {
            true => Ok(()),
            false => Err(NotReady::NotAsked(seen)),
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.uptime().as_millis()).unwrap_or(u64::MAX)
    }

    fn since(&self, millis: u64) -> Duration {
        Duration::from_millis(self.millis().saturating_sub(millis))
    }
}
