//! The simulated server: a process that accepts, crashes and starts again, with connections that outlive their clients.

mod connection;
mod execute;
mod ledger;
mod session;
pub mod sql;
pub mod storage;
mod values;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::network::Network;
use crate::trace::Trace;
use storage::Storage;

/// Which server it is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// MariaDB 10.11.
    MariaDb,
    /// MySQL 9.7.
    MySql,
}

/// What is wrong with the server on purpose, so that a run must find it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flaws {
    /// `fence` looks at the lane and neither waits for its lock nor fences it: as if the proxy did not fence.
    pub fence_looks_only: bool,
    /// `fence` says that the last COMMIT did not take effect, whatever the lane holds: as if the proxy replayed every
    /// transaction whose COMMIT it had sent.
    pub fence_denies: bool,
    /// A variable that is set while a session is restored keeps its default: as if the journal had forgotten the SET.
    pub forgets_restored: Option<&'static str>,
    /// A write that is the victim of a deadlock is answered with OK, and its transaction is gone: what a proxy takes for
    /// granted that does not wait for the answer before it sends the ledger's call.
    pub hides_deadlocks: bool,
}

/// How a server is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Which server it is like.
    pub dialect: Dialect,
    /// The ledger is installed.
    pub ledger: bool,
    /// A crash takes back what was drawn from AUTO_INCREMENT counters and not written.
    pub forgets_ids: bool,
    /// See [`Flaws`].
    pub flaws: Flaws,
}

/// An entry of the process list.
#[derive(Debug)]
struct Process {
    host: String,
    /// `true`: KILL QUERY; `false`: KILL.
    killed: Cell<Option<bool>>,
    told: Notify,
}

/// The server. What is in [`Storage`] and committed survives its process.
#[derive(Debug)]
pub struct Server {
    network: Network,
    trace: Trace,
    settings: Settings,
    /// Its tables.
    pub storage: RefCell<Storage>,
    processes: RefCell<BTreeMap<u32, Rc<Process>>>,
    kills: Cell<u64>,
    next_id: Cell<u32>,
    booted: Cell<Instant>,
    begun: Instant,
    /// What it answered with an error of its own, by code.
    pub errors: RefCell<BTreeMap<u16, u64>>,
}

/// The server's clock when the run begins, in microseconds since 1970.
const EPOCH: u64 = 1_800_000_000_000_000;

/// Seconds that the first process has been up when the run begins.
const UPTIME: u64 = 60;

impl Server {
    /// A server that does not run yet.
    pub fn new(network: Network, trace: Trace, settings: Settings) -> Rc<Self> {
        let now = Instant::now();
        Rc::new(Self {
            network,
            trace,
            settings,
            storage: RefCell::default(),
            processes: RefCell::default(),
            kills: Cell::new(0),
            next_id: Cell::new(10),
            booted: Cell::new(now),
            begun: now,
            errors: RefCell::default(),
        })
    }

    /// Runs, crashes and runs again until it is dropped.
    pub async fn run(self: Rc<Self>) {
        let changed = self.network.process_changed();
        loop {
            let (mut arrivals, boot) = self.network.server_started();
            self.trace.note("server", || format!("boot {boot}"));
            self.booted.set(Instant::now());
            self.kills.set(0);
            let mut tasks: Vec<JoinHandle<()>> = Vec::new();
            loop {
                let notified = changed.notified();
                tokio::pin!(notified);
                // Registered before the look, so that no crash between the two is missed.
                notified.as_mut().enable();
                if !self.network.lives(boot) {
                    break;
                }
                tokio::select! {
                    biased;
                    () = &mut notified => {}
                    arrived = arrivals.recv() => if let Some(end) = arrived {
                        let id = self.next_id.get();
                        self.next_id.set(id + 1);
                        let server = Rc::clone(&self);
                        tasks.push(tokio::task::spawn_local(connection::serve(server, end, id, boot)));
                    },
                }
            }
            for task in tasks {
                task.abort();
            }
            self.trace.note("server", || "dead".to_owned());
            self.processes.borrow_mut().clear();
            self.storage.borrow_mut().crash(self.settings.forgets_ids);
            // Ids begin again.
            self.next_id.set(5);
            while let Some(at) = self.network.restart_at() {
                if at <= Instant::now() {
                    break;
                }
                sleep_until(at).await;
            }
        }
    }

    /// How many connections its process list shows.
    pub fn connections(&self) -> usize {
        self.processes.borrow().len()
    }

    /// Microseconds since 1970.
    fn clock(&self) -> u64 {
        let elapsed = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        EPOCH.saturating_add(elapsed)
    }

    fn uptime(&self) -> u64 {
        let first = self.booted.get() == self.begun;
        self.booted.get().elapsed().as_secs() + if first { UPTIME } else { 0 }
    }

    /// KILL; false: there is none of this id.
    fn kill(&self, id: u32, query: bool) -> bool {
        let processes = self.processes.borrow();
        let Some(process) = processes.get(&id) else {
            return false;
        };
        self.kills.set(self.kills.get() + 1);
        process.killed.set(Some(query));
        process.told.notify_one();
        true
    }
}
