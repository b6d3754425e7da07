//! What all sessions of the process share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadfast_net::{Target, tls};
use steadfast_session::Limits;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::around::Around;
use crate::catalogue::Tables;
use crate::clock::ServerClock;
use crate::config::Timeouts;
use crate::gate::Gate;
use crate::health::Health;
use crate::incident::Incidents;
use crate::ledger::Ledger;
use crate::metrics::Metrics;
use crate::own_kills::OwnKills;
use crate::pace::Beat;
use crate::pool::Pooled;
use crate::readiness::Readiness;
use crate::registry::Registry;
use crate::vault::Vault;

/// What is known of the server's tables is asked anew after this time, whatever the server's counters tell.
const TABLES_AGE: Duration = Duration::from_secs(10);

/// By user name: what an account was shown of the tables, when, and at which count of [`Health::tables`].
type KnownTables = HashMap<Vec<u8>, (Instant, u64, Arc<Tables>)>;

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// How to reach the server.
    pub(crate) target: Target,
    /// TLS towards clients.
    pub(crate) acceptor: Option<tls::Acceptor>,
    /// A client without TLS is refused.
    pub(crate) tls_required: bool,
    /// How long Steadfast waits.
    pub(crate) timeouts: Timeouts,
    /// Limits of each session.
    pub(crate) limits: Limits,
    /// How long a replay may take.
    pub(crate) replay_time: Duration,
    /// Payload bytes of the largest packet that is taken from a client.
    pub(crate) packet_limit: u64,
    /// Bytes of commands that may be kept in memory, in KiB permits.
    pub(crate) command_memory: Arc<Semaphore>,
    /// All permits of `command_memory`, in KiB.
    pub(crate) command_memory_kib: u32,
    /// Clients that may be connected.
    pub(crate) clients: Arc<Semaphore>,
    /// Clients that may be between accept and the end of their login.
    pub(crate) pending_logins: Arc<Semaphore>,
    /// Passwords.
    pub(crate) vault: Vault,
    /// Sessions.
    pub(crate) registry: Arc<Registry>,
    /// The order of coming back.
    pub(crate) gate: Arc<Gate>,
    /// The server's health.
    pub(crate) health: Health,
    /// A response up to this many bytes is held back until it is complete, so that its loss leaves no trace; a longer one
    /// until its rows begin.
    pub(crate) hold_back: usize,
    /// Incidents keep statements with their literals.
    pub(crate) literals: bool,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
    /// For `/ready`.
    pub(crate) readiness: Arc<Readiness>,
    /// The server's clock.
    pub(crate) clock: ServerClock,
    /// What happens on other connections around a loss.
    pub(crate) around: Around,
    /// Losses.
    pub(crate) incidents: Incidents,
    /// True once the process is told to end.
    pub(crate) draining: watch::Sender<bool>,
    drains: AtomicBool,
    /// KILL statements that Steadfast has sent or relayed.
    pub(crate) own_kills: OwnKills,
    /// The number of the next session or attachment.
    pub(crate) next_number: AtomicU64,
    /// The last greeting said MariaDB.
    pub(crate) is_mariadb: AtomicBool,
    /// Where COMMITs are recorded.
    pub(crate) ledger: Ledger,
    /// When sessions rest.
    pub(crate) beat: Beat,
    /// How many server connections are kept for logins that come.
    pub(crate) pooled: Pooled,
    tables: Mutex<KnownTables>,
}

/// See [`Shared::hold_back`].
const HOLD_BACK: usize = 48 << 10;

/// The parts of [`Shared`] that have no default.
#[derive(Debug)]
pub(crate) struct Parts {
    /// See [`Shared::target`].
    pub(crate) target: Target,
    /// See [`Shared::acceptor`].
    pub(crate) acceptor: Option<tls::Acceptor>,
    /// See [`Shared::tls_required`].
    pub(crate) tls_required: bool,
    /// See [`Shared::timeouts`].
    pub(crate) timeouts: Timeouts,
    /// See [`Shared::limits`].
    pub(crate) limits: Limits,
    /// See [`Shared::replay_time`].
    pub(crate) replay_time: Duration,
    /// See [`Shared::packet_limit`].
    pub(crate) packet_limit: u64,
    /// Bytes of commands that may be kept.
    pub(crate) command_memory: u64,
    /// Clients that may be connected.
    pub(crate) clients: u32,
    /// Clients that may be logging in.
    pub(crate) pending_logins: u32,
    /// Server connections that may be kept for logins that come.
    pub(crate) pool: u32,
    /// See [`Shared::vault`].
    pub(crate) vault: Vault,
    /// See [`Shared::ledger`].
    pub(crate) ledger: Ledger,
    /// See [`Shared::literals`].
    pub(crate) literals: bool,
    /// See [`Shared::metrics`].
    pub(crate) metrics: Arc<Metrics>,
    /// See [`Shared::readiness`].
    pub(crate) readiness: Arc<Readiness>,
}

impl Shared {
    /// From its parts.
    pub(crate) fn new(parts: Parts) -> Self {
        let kib = u32::try_from(parts.command_memory >> 10).unwrap_or(u32::MAX);
        let kib = kib.min((Semaphore::MAX_PERMITS as u64).min(u64::from(u32::MAX)) as u32);
        let pooled = parts.metrics.server_connections_pooled.clone();
        Self {
            target: parts.target,
            acceptor: parts.acceptor,
            tls_required: parts.tls_required,
            timeouts: parts.timeouts,
            limits: parts.limits,
            replay_time: parts.replay_time,
            packet_limit: parts.packet_limit,
            command_memory: Arc::new(Semaphore::new(kib as usize)),
            command_memory_kib: kib,
            clients: Arc::new(Semaphore::new(parts.clients as usize)),
            pending_logins: Arc::new(Semaphore::new(parts.pending_logins as usize)),
            vault: parts.vault,
            registry: Arc::default(),
            gate: Arc::default(),
            health: Health::default(),
            literals: parts.literals,
            hold_back: HOLD_BACK,
            metrics: parts.metrics,
            readiness: parts.readiness,
            clock: ServerClock::default(),
            around: Around::default(),
            incidents: Incidents::default(),
            draining: watch::Sender::new(false),
            drains: AtomicBool::new(false),
            own_kills: OwnKills::default(),
            next_number: AtomicU64::new(1),
            is_mariadb: AtomicBool::new(false),
            ledger: parts.ledger,
            beat: Beat::default(),
            pooled: Pooled::new(parts.pool, pooled),
            tables: Mutex::default(),
        }
    }

    /// The process is told to end.
    pub(crate) fn drain(&self) {
        // Before those hear of it who look.
        self.drains.store(true, Ordering::SeqCst);
        self.draining.send_replace(true);
    }

    /// Whether it is.
    pub(crate) fn drains(&self) -> bool {
        self.drains.load(Ordering::Relaxed)
    }

    /// A number that nothing else has.
    pub(crate) fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// What this user was shown of the tables lately, if [`Health::tables`] was the same.
    pub(crate) fn tables(&self, user: &[u8], count: u64) -> Option<Arc<Tables>> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, counted, known) = tables.get(user)?;
        (*counted == count && at.elapsed() < TABLES_AGE).then(|| Arc::clone(known))
    }

    /// Remembers it; `count` is what [`Health::tables`] was before it was asked for.
    pub(crate) fn set_tables(&self, user: &[u8], count: u64, known: Arc<Tables>) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.retain(|_, (at, counted, _)| *counted == count && at.elapsed() < TABLES_AGE);
        tables.insert(user.to_vec(), (Instant::now(), count, known));
    }
}
