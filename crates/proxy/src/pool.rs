//! Server connections whose clients have left, kept for a moment for the next login on the same thread.
//!
//! A login on one of them is a COM_CHANGE_USER: the server authenticates the account as in any other login, and gives
//! the session what a new one has, but without a TCP connection, a TLS handshake and a thread of its own. What the client
//! before held was given back before the connection came here: COM_RESET_CONNECTION was answered.
//!
//! A client is greeted in the name of its server connection before it has said anything, so that connection is chosen by
//! what the last client from the same address was. Where that proves wrong, the session gets another connection, whose id
//! is not the one that the client was told: as after a loss.
//!
//! Others must not miss them. They are few, and fewer where the server takes few; they end after `timeouts.pool`; and
//! when the server or an account has no room for a login, all of them end at once ([`Pooled::make_room`]).

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use steadfast_wire::Capabilities;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::link::Link;
use crate::shared::Shared;

/// One in so many of the connections that the server takes may be kept, at most.
const SHARE: u64 = 16;

/// After somebody was refused because there was no room, none is kept for this long.
const CROWDED_MILLIS: u64 = 10_000;

/// So long after one has ended a login that finds no room is tried again.
const LEAVING_MILLIS: u64 = 1_000;

/// An older one is not kept: where the server's address has come to mean another server, logins must find out.
const OLDEST: Duration = Duration::from_secs(60);

/// After a client had to be relayed, none from its address is greeted for a connection that is kept for this long.
const RELAYED: Duration = Duration::from_secs(600);

/// Addresses of clients that are remembered; when there are more, all are forgotten.
const CALLERS: usize = 4096;

/// What all threads share: how many are kept.
#[derive(Debug)]
pub(crate) struct Pooled {
    /// `limits.pool`.
    most: u32,
    /// What the server's `max_connections` leaves of it.
    left_by_server: AtomicU32,
    kept: AtomicU32,
    /// When the last one was not kept any more, in milliseconds after `origin`, and one more; 0: none yet.
    left: AtomicU64,
    gauge: Gauge,
    /// Counts when all of them are to end.
    ends: watch::Sender<u64>,
    origin: Instant,
    /// None is kept before this time, in milliseconds after `origin`.
    crowded_until: AtomicU64,
}

impl Pooled {
    /// At most so many, shown there.
    pub(crate) fn new(most: u32, gauge: Gauge) -> Self {
        Self {
            most,
            left_by_server: AtomicU32::new(most),
            kept: AtomicU32::new(0),
            left: AtomicU64::new(0),
            gauge,
            ends: watch::Sender::new(0),
            origin: Instant::now(),
            crowded_until: AtomicU64::new(0),
        }
    }

    /// The server takes so many connections (`max_connections`).
    pub(crate) fn server_takes(&self, connections: u64) {
        let share = u32::try_from(connections / SHARE).unwrap_or(u32::MAX);
        self.left_by_server
            .store(self.most.min(share.max(1)), Ordering::Relaxed);
    }

    /// All that are kept end now: the server was found silent.
    pub(crate) fn end_all(&self) {
        self.ends.send_modify(|count| *count += 1);
    }

    /// There was no room for a login on the server: 1040, or for its account: 1203, 1226. Whether there will be, because
    /// some that are kept end now.
    pub(crate) fn make_room(&self, code: u16) -> bool {
        if !matches!(code, 1040 | 1203 | 1226) || self.most == 0 {
            return false;
        }
        let until = self.now().saturating_add(CROWDED_MILLIS);
        self.crowded_until.store(until, Ordering::Relaxed);
        let some = self.kept.load(Ordering::Relaxed) > 0;
        if some {
            self.end_all();
        }
        // The server takes a moment to see that one has ended.
        let left = self.left.load(Ordering::Relaxed);
        some || (left > 0 && self.now() <= left + LEAVING_MILLIS)
    }

    /// How many may be kept now.
    fn limit(&self) -> u32 {
        if self.now() < self.crowded_until.load(Ordering::Relaxed) {
            return 0;
        }
        self.left_by_server.load(Ordering::Relaxed)
    }

    /// Whether there is a place for one more; when it comes, there may be none.
    pub(crate) fn has_place(&self) -> bool {
        self.kept.load(Ordering::Relaxed) < self.limit()
    }

    /// Whether one more is kept.
    fn takes_one(&self) -> bool {
        let most = self.limit();
        let one_more = |kept| (kept < most).then_some(kept + 1);
        let took = self
            .kept
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        if took.is_ok() {
            self.gauge.inc();
        }
        took.is_ok()
    }

    /// Milliseconds after `origin`.
    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn gives_one(&self) {
        self.left.store(self.now() + 1, Ordering::Relaxed);
        self.kept.fetch_sub(1, Ordering::Relaxed);
        self.gauge.dec();
    }
}

/// What the last client from an address was.
#[derive(Clone, Copy, Debug)]
struct Caller {
    /// [`steadfast_net::Login::session_capabilities`].
    capabilities: Capabilities,
    /// When one from there had to be relayed last: it answers to the server's own nonce, and COM_CHANGE_USER takes
    /// only answers to another.
    relayed: Option<Instant>,
    /// One from there could not even be asked for another answer.
    fixed: bool,
}

struct Resting {
    link: Box<Link>,
    since: Instant,
}

/// Those of one thread.
#[derive(Default)]
pub(crate) struct Pool {
    /// The one that came last is at the end.
    resting: RefCell<VecDeque<Resting>>,
    callers: RefCell<HashMap<Option<IpAddr>, Caller>>,
    /// There is one again.
    filled: Notify,
}

impl Pool {
    /// A client from this address is about to log in: the connection that it will get, if there is one.
    pub(crate) fn take(&self, shared: &Shared, from: Option<IpAddr>) -> Option<Box<Link>> {
        let caller = *self.callers.borrow().get(&from)?;
        if caller.fixed || caller.relayed.is_some_and(|at| at.elapsed() < RELAYED) {
            return None;
        }
        let mut resting = self.resting.borrow_mut();
        let at = resting.iter().rposition(|resting| {
            resting.link.connection.session_capabilities() == caller.capabilities
        })?;
        let taken = resting.remove(at)?;
        shared.pooled.gives_one();
        Some(taken.link)
    }

    /// A client from this address has these capabilities; its answers had to be relayed or not, and it could be asked for
    /// others or not.
    pub(crate) fn called(
        &self,
        from: Option<IpAddr>,
        capabilities: Capabilities,
        relayed: bool,
        can_switch: bool,
    ) {
        let mut callers = self.callers.borrow_mut();
        if callers.len() == CALLERS && !callers.contains_key(&from) {
            callers.clear();
        }
        let caller = callers.entry(from).or_insert(Caller {
            capabilities,
            relayed: None,
            fixed: false,
        });
        caller.capabilities = capabilities;
        caller.fixed |= !can_switch;
        if relayed {
            caller.relayed = Some(Instant::now());
        }
    }

    /// Keeps one whose session holds nothing any more; gives it back where there is no place for it.
    pub(crate) fn keep(&self, shared: &Shared, link: Box<Link>) -> Option<Box<Link>> {
        let kept = link.changes_user && link.made.elapsed() < OLDEST && !shared.drains();
        if !kept || !shared.pooled.takes_one() {
            return Some(link);
        }
        let mut resting = self.resting.borrow_mut();
        resting.push_back(Resting {
            link,
            since: Instant::now(),
        });
        if resting.len() == 1 {
            self.filled.notify_one();
        }
        None
    }

    /// The oldest one that has been here since that time or longer.
    fn since(&self, shared: &Shared, then: Option<Instant>) -> Option<Box<Link>> {
        let mut resting = self.resting.borrow_mut();
        let oldest = resting.front()?;
        if then.is_some_and(|then| oldest.since > then) {
            return None;
        }
        let oldest = resting.pop_front()?;
        shared.pooled.gives_one();
        Some(oldest.link)
    }

    fn oldest(&self) -> Option<Instant> {
        self.resting.borrow().front().map(|resting| resting.since)
    }

    /// Ends those that have been here for `rest`, and all of them when that is asked for and when the process drains.
    pub(crate) async fn tend(self: Rc<Self>, shared: Arc<Shared>, rest: Duration) {
        let mut draining = shared.draining.subscribe();
        let mut ends = shared.pooled.ends.subscribe();
        loop {
            let next = async {
                loop {
                    match self.oldest() {
                        Some(oldest) => return sleep_until(oldest + rest).await,
                        None => self.filled.notified().await,
                    }
                }
            };
            let (all, drains) = tokio::select! {
                biased;
                _ = draining.wait_for(|draining| *draining) => (true, true),
                changed = ends.changed() => (true, changed.is_err()),
                () = next => (false, false),
            };
            let then = (!all).then(|| Instant::now().checked_sub(rest)).flatten();
            if all || then.is_some() {
                while let Some(link) = self.since(&shared, then) {
                    link.connection.quit().await;
                }
            }
            if drains {
                return;
            }
        }
    }
}
