//! What the sessions of one thread share.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use steadfast_session::SessionState;
use steadfast_session::ledger::{Lane, Lanes, Moment};
use steadfast_sql::ClassCache;
use steadfast_wire::handshake::NONCE_LEN;

use crate::alike::Alike;
use crate::bell::Bell;
use crate::link::Attributes;
use crate::pace::Pace;
use crate::pool::Pool;
use crate::shared::Shared;
use crate::tally::Tally;

/// Rings the bell of this thread, as long as it is not dropped.
pub(crate) async fn ring_the_bell(shared: Arc<Shared>, local: Rc<Local>) {
    let mut draining = shared.draining.subscribe();
    let mut silences = shared.health.silences();
    loop {
        tokio::select! {
            biased;
            changed = draining.changed() => {
                if changed.is_err() {
                    return;
                }
                // The sockets are looked at before this goes on: who has sent a command by now is not taken for idle.
                tokio::task::yield_now().await;
            }
            () = silences.changed() => {}
        }
        local.bell.ring();
    }
}

/// Fills a place with random bytes.
pub(crate) type RandomBytes = Box<dyn Fn(&mut [u8]) -> Result<(), getrandom::Error>>;

/// See the module. No borrow is held over an await.
pub(crate) struct Local {
    /// Classes of texts.
    pub(crate) classes: RefCell<ClassCache>,
    /// Rings when the server was found silent, and when the process drains.
    pub(crate) bell: Bell,
    /// When sessions rest.
    pub(crate) pace: Rc<Pace>,
    /// Server connections whose clients have left.
    pub(crate) pool: Rc<Pool>,
    /// What its sessions count.
    pub(crate) tally: Rc<Tally>,
    /// Of sessions that rest.
    pub(crate) states: Alike<SessionState>,
    /// `session_track_system_variables` of the clients.
    pub(crate) tracked: Alike<[String]>,
    /// Connection attributes.
    pub(crate) attributes: Alike<Attributes>,
    lanes: RefCell<Lanes>,
    random: RandomBytes,
}

impl Local {
    /// With lanes whose numbers come from the system.
    pub(crate) fn new(shared: &Shared) -> Self {
        Self::drawing_from(Box::new(getrandom::fill), shared)
    }

    /// Whose lanes' numbers come from there.
    pub(crate) fn drawing_from(random: RandomBytes, shared: &Shared) -> Self {
        Self {
            tally: Rc::new(shared.metrics.tally()),
            classes: RefCell::default(),
            bell: Bell::default(),
            pace: Rc::default(),
            pool: Rc::default(),
            states: Alike::default(),
            tracked: Alike::default(),
            attributes: Alike::default(),
            lanes: RefCell::default(),
            random,
        }
    }

    /// A lane that no other COMMIT uses now, or has used since the transaction began; `now` in seconds since 1970 by
    /// the server's clock.
    ///
    /// # Errors
    /// The system has no random bytes.
    pub(crate) fn take_lane(&self, now: u64, began: Moment) -> Result<Lane, getrandom::Error> {
        if let Some(lane) = self.lanes.borrow_mut().take(now, began) {
            return Ok(lane);
        }
        let mut bits = [[0; 8]; 2];
        (self.random)(bits.as_flattened_mut())?;
        let [number, mark] = bits.map(u64::from_le_bytes);
        Ok(Lane::new(number, mark, now))
    }

    /// A nonce for a login; `None`: the system has no random bytes. As servers' own, without NUL, which ends it, and
    /// `$`, which divides what MySQL stores of a password.
    pub(crate) fn nonce(&self) -> Option<[u8; NONCE_LEN]> {
        let mut nonce = [0; NONCE_LEN];
        (self.random)(&mut nonce).ok()?;
        for byte in &mut nonce {
            *byte = match *byte & 0x7F {
                0 => 1,
                b'$' => b'%',
                other => other,
            };
        }
        Some(nonce)
    }

    /// Now, in the order in which lanes are given back.
    pub(crate) fn moment(&self) -> Moment {
        self.lanes.borrow().now()
    }

    /// None of those that were given back is used again.
    pub(crate) fn forget_lanes(&self) {
        self.lanes.borrow_mut().forget();
    }

    /// Gives one back, whose every COMMIT was answered with OK.
    pub(crate) fn give_lane_back(&self, lane: Lane) {
        self.lanes.borrow_mut().give_back(lane);
    }
}
