//! The simulated network: TCP between clients, the proxy and the server, with what can go wrong on the way.
//!
//! One state, on one thread. A connection has two [`End`]s and a [`Pipe`] in each direction; bytes that are written are
//! segments with a time of arrival. Nothing moves by itself: who reads takes what has arrived by now, and sleeps until
//! the next arrival. All that goes wrong between the proxy and the server is decided where bytes are written
//! ([`End::write`](end)), by the [`Injector`].

mod end;
mod pipe;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadfast_net::simulation::{Arrivals, Carrier, Connecting};
use steadfast_net::{Address, simulation};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

pub use end::End;
use end::EndState;
use pipe::{Ending, Pipe};

use crate::fault::{Class, Fault, Injector, Phase, Seen};
use crate::random::Random;
use crate::trace::Trace;

/// Which two hosts a connection is between.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leg {
    /// A client and the proxy.
    Client,
    /// The proxy and the server.
    Server,
}

/// How fast things are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// The longest way of a segment, in milliseconds; each takes a random time up to it.
    pub latency: u64,
    /// Writes in a hundred whose bytes arrive in two parts.
    pub split: u64,
}

/// One connection.
#[derive(Debug)]
struct Connection {
    leg: Leg,
    ports: [u16; 2],
    /// 0: who connected; 1: who accepted.
    ends: [EndState; 2],
    /// What each end has sent.
    pipes: [Pipe; 2],
    /// What kind of command runs on it.
    class: Class,
    /// Kinds of the statements that were prepared on it.
    prepared: BTreeMap<u32, Class>,
    in_transaction: bool,
    logged_in: bool,
}

#[derive(Debug)]
struct Host {
    up: bool,
    boot: u64,
    frozen_until: Instant,
    restart_at: Option<Instant>,
}

#[derive(Debug)]
struct State {
    connections: BTreeMap<u64, Connection>,
    next: u64,
    next_port: u16,
    random: Random,
    pace: Pace,
    server: Host,
    partitioned_until: Instant,
    proxy: Option<(Arrivals, u64)>,
    at_server: Option<mpsc::UnboundedSender<End>>,
    /// The proxy's process is to die, and to come back after this long.
    proxy_crash: Option<Duration>,
}

/// The network. Clones are the same.
#[derive(Clone, Debug)]
pub struct Network {
    state: Arc<Mutex<State>>,
    /// Something happened to a process.
    process: Arc<Notify>,
    injector: Injector,
    trace: Trace,
}

const CLIENTS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 3));

impl Network {
    /// A network on which nobody listens yet.
    pub fn new(random: Random, pace: Pace, injector: Injector, trace: Trace) -> Self {
        let now = Instant::now();
        let state = State {
            connections: BTreeMap::new(),
            next: 1,
            next_port: 30_000,
            random,
            pace,
            server: Host {
                up: false,
                boot: 0,
                frozen_until: now,
                restart_at: None,
            },
            partitioned_until: now,
            proxy: None,
            at_server: None,
            proxy_crash: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            process: Arc::default(),
            injector,
            trace,
        }
    }

    /// Where the proxy's listener says that it listens.
    pub fn proxy_address() -> SocketAddr {
        SocketAddr::new(PROXY, 6033)
    }

    /// Where the server says that it listens.
    pub fn server_address() -> SocketAddr {
        SocketAddr::new(SERVER, 3306)
    }

    /// The proxy's process has begun, and takes its clients from there. Gives the process's number.
    pub fn proxy_started(&self, arrivals: Arrivals) -> u64 {
        self.with(|state| {
            let number = state.proxy.as_ref().map_or(1, |(_, number)| number + 1);
            state.proxy = Some((arrivals, number));
            number
        })
    }

    /// The proxy's process is gone: the kernel ends all its connections.
    pub fn proxy_gone(&self) {
        self.with(|state| {
            if let Some((_, number)) = state.proxy.take() {
                // Remembered, so that the next process has another number.
                let (closed, _) = mpsc::unbounded_channel();
                state.proxy = Some((closed, number));
            }
            state.proxy_crash = None;
        });
    }

    /// How long the proxy is to be down, if it is to die now.
    pub fn proxy_crash(&self) -> Option<Duration> {
        self.with(|state| state.proxy_crash)
    }

    /// The server's process has begun. Gives its connections, and the number of the boot.
    pub fn server_started(&self) -> (mpsc::UnboundedReceiver<End>, u64) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let boot = self.with(|state| {
            state.at_server = Some(sender);
            state.server.up = true;
            state.server.restart_at = None;
            state.server.boot += 1;
            state.server.boot
        });
        (receiver, boot)
    }

    /// When the server is to be started again; `None`: it is up.
    pub fn restart_at(&self) -> Option<Instant> {
        self.with(|state| state.server.restart_at)
    }

    /// Tells that something happened to a process.
    pub fn process_changed(&self) -> Arc<Notify> {
        Arc::clone(&self.process)
    }

    /// Whether the server's process of this boot lives.
    pub fn lives(&self, boot: u64) -> bool {
        self.with(|state| state.server.up && state.server.boot == boot)
    }

    /// Waits while the server stands still.
    pub async fn thawed(&self) {
        loop {
            let until = self.with(|state| state.server.frozen_until);
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    /// The server's process is at a point in which no bytes are written. False: it is dead now.
    pub async fn server_point(&self, boot: u64, id: u64, phase: Phase) -> bool {
        let class = self.with(|state| state.class_of(id));
        if let Some(fault) = self.injector.at(phase, class) {
            self.with(|state| match fault {
                Fault::Fin { .. } | Fault::Rst { .. } | Fault::BlackHole { .. } => {
                    // As if at the first byte of the answer.
                    state.strike(self, id, fault);
                }
                Fault::Stall { lost, .. } => {
                    if lost {
                        state.sever(id, Seen::ByProxy, Ending::Fin);
                    }
                }
                Fault::Delay { millis } => state.hold(id, Duration::from_millis(millis.into())),
                _ => state.strike(self, id, fault),
            });
            if let Fault::Stall { millis, .. } = fault {
                sleep(Duration::from_millis(millis.into())).await;
            }
        }
        self.thawed().await;
        self.lives(boot)
    }

    /// A fault strikes at a moment, on some connection.
    pub fn strike_somewhere(&self, fault: Fault) {
        self.with(|state| {
            let ids: Vec<u64> = state
                .connections
                .iter()
                .filter(|(_, connection)| {
                    connection.leg == Leg::Server && !connection.ends[0].closed
                })
                .map(|(id, _)| *id)
                .collect();
            let id = if ids.is_empty() {
                0
            } else {
                state.random.pick(&ids)
            };
            state.strike(self, id, fault);
        });
    }

    /// Whether the server runs and nothing is on its way to it.
    pub fn is_quiet(&self) -> bool {
        self.with(|state| {
            let now = Instant::now();
            let late = |connection: &Connection| {
                let [to_server, to_proxy] = &connection.pipes;
                to_server.next().is_some_and(|at| at > now)
                    || to_proxy.next().is_some_and(|at| at > now)
            };
            state.server.up
                && state.server.frozen_until <= now
                && state.partitioned_until <= now
                && !state.connections.values().any(late)
        })
    }

    /// The server tells what it knows of a connection.
    pub fn note_prepared(&self, id: u64, statement: u32, class: Class) {
        self.with(|state| {
            if let Some(connection) = state.connections.get_mut(&id) {
                connection.prepared.insert(statement, class);
            }
        });
    }

    /// The server tells whether a transaction is open on a connection.
    pub fn note_transaction(&self, id: u64, open: bool) {
        self.with(|state| {
            if let Some(connection) = state.connections.get_mut(&id) {
                connection.in_transaction = open;
                connection.logged_in = true;
            }
        });
    }

    /// A client connects to the proxy.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn connect_client(&self) -> io::Result<End> {
        let pause = self.with(State::latency);
        sleep(pause).await;
        let (mine, other, arrivals) = self.with(|state| {
            let Some((arrivals, _)) = &state.proxy else {
                return Err(io::ErrorKind::ConnectionRefused);
            };
            let arrivals = arrivals.clone();
            if arrivals.is_closed() {
                return Err(io::ErrorKind::ConnectionRefused);
            }
            let (mine, other) = state.open(self, Leg::Client, 6033);
            Ok((mine, other, arrivals))
        })?;
        arrivals
            .send(Box::new(other))
            .map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(mine)
    }

    async fn connect_server(&self) -> io::Result<End> {
        let pause = self.with(State::latency);
        sleep(pause).await;
        loop {
            // The first packet is sent again until it arrives.
            let until = self.with(|state| state.partitioned_until);
            if until <= Instant::now() {
                break;
            }
            sleep_until(until).await;
        }
        let (mine, other, listener) = self.with(|state| {
            let listener = match &state.at_server {
                Some(listener) if state.server.up => listener.clone(),
                _ => return Err(io::ErrorKind::ConnectionRefused),
            };
            let (mine, other) = state.open(self, Leg::Server, 3306);
            Ok((mine, other, listener))
        })?;
        listener
            .send(other)
            .map_err(|_| io::ErrorKind::ConnectionRefused)?;
        Ok(mine)
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl simulation::Network for Network {
    fn connect(&self, _to: &Address) -> Connecting {
        let network = self.clone();
        Box::pin(async move {
            let end = network.connect_server().await?;
            Ok(Box::new(end) as Box<dyn Carrier>)
        })
    }
}

impl State {
    fn latency(&mut self) -> Duration {
        let longest = self.pace.latency;
        Duration::from_millis(self.random.between(0, longest))
    }

    fn open(&mut self, network: &Network, leg: Leg, port: u16) -> (End, End) {
        let id = self.next;
        self.next += 1;
        let from = self.next_port;
        self.next_port = self.next_port.checked_add(1).unwrap_or(30_000);
        let now = Instant::now();
        let mut connection = Connection {
            leg,
            ports: [from, port],
            ends: [EndState::new(now), EndState::new(now)],
            pipes: [Pipe::new(now), Pipe::new(now)],
            class: Class::Login,
            prepared: BTreeMap::new(),
            in_transaction: false,
            logged_in: false,
        };
        if leg == Leg::Server && self.partitioned_until > now {
            for pipe in &mut connection.pipes {
                pipe.hold(self.partitioned_until);
            }
        }
        let ports = connection.ports;
        self.connections.insert(id, connection);
        let end = |side| End::new(network.clone(), id, side).placed(leg, ports);
        (end(0), end(1))
    }

    fn class_of(&self, id: u64) -> Class {
        self.connections
            .get(&id)
            .map_or(Class::None, |connection| connection.class)
    }

    /// Both directions stand still for this long.
    fn hold(&mut self, id: u64, how_long: Duration) {
        if let Some(connection) = self.connections.get_mut(&id) {
            for pipe in &mut connection.pipes {
                pipe.hold(Instant::now() + how_long);
            }
            connection.wake();
        }
    }

    /// What a fault does, once the bytes before it are on their way.
    fn strike(&mut self, network: &Network, id: u64, fault: Fault) {
        let now = Instant::now();
        let after = |millis: u32| now + Duration::from_millis(millis.into());
        match fault {
            Fault::Fin { seen, .. } => self.sever(id, seen, Ending::Fin),
            Fault::Rst { seen, .. } => self.sever(id, seen, Ending::Rst),
            Fault::BlackHole { millis, .. } => {
                self.hold(id, Duration::from_millis(millis.into()));
            }
            Fault::Delay { .. } | Fault::Stall { .. } => {}
            Fault::Partition { millis } => {
                self.partitioned_until = self.partitioned_until.max(after(millis));
                let until = self.partitioned_until;
                for connection in self.connections.values_mut() {
                    if connection.leg == Leg::Server {
                        for pipe in &mut connection.pipes {
                            pipe.hold(until);
                        }
                        connection.wake();
                    }
                }
            }
            Fault::Freeze { millis } => {
                self.server.frozen_until = self.server.frozen_until.max(after(millis));
            }
            Fault::Crash { millis, reset, .. } => {
                self.crash_server(after(millis), reset);
                network.process.notify_waiters();
            }
            Fault::Kill => {
                if let Some(connection) = self.connections.get_mut(&id) {
                    connection.ends[1].killed = true;
                    connection.wake();
                }
            }
            Fault::ProxyCrash { millis } => {
                self.proxy_crash = Some(Duration::from_millis(millis.into()));
                network.process.notify_waiters();
            }
        }
    }

    /// Something between the two ends a connection.
    fn sever(&mut self, id: u64, seen: Seen, how: Ending) {
        let now = Instant::now();
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        // Pipe 1 is what the server sends: its end is what the proxy sees.
        let [to_server, to_proxy] = &mut connection.pipes;
        for (pipe, hears) in [
            (to_proxy, seen != Seen::ByServer),
            (to_server, seen != Seen::ByProxy),
        ] {
            if hears {
                pipe.end(now, how);
            }
            pipe.mute();
        }
        connection.wake();
    }

    fn crash_server(&mut self, restart_at: Instant, reset: bool) {
        if !self.server.up {
            return;
        }
        let now = Instant::now();
        self.server.up = false;
        self.server.frozen_until = now;
        self.server.restart_at = Some(restart_at);
        self.at_server = None;
        for connection in self.connections.values_mut() {
            if connection.leg == Leg::Server && !connection.ends[1].closed {
                let how = if reset { Ending::Rst } else { Ending::Fin };
                connection.pipes[1].end(now, how);
                connection.pipes[0].mute();
                connection.ends[1].broken = Some(io::ErrorKind::ConnectionReset);
                connection.wake();
            }
        }
    }
}

impl Connection {
    fn wake(&mut self) {
        for end in &mut self.ends {
            if let Some(waker) = end.waker.take() {
                waker.wake();
            }
        }
    }
}

/// What kind of command begins with these bytes of the proxy.
fn class_of_bytes(connection: &Connection, bytes: &[u8]) -> Class {
    use steadfast_wire::command::code;
    if !connection.logged_in {
        return Class::Login;
    }
    // Of several in one write, the last says what it is about.
    let mut at = 0;
    let mut class = connection.class;
    while let Some(&[a, b, c, _, first]) = bytes.get(at..at + 5) {
        let len = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        let payload = bytes.get(at + 5..).unwrap_or_default();
        let payload = &payload[..payload.len().min(len.saturating_sub(1))];
        class = match first {
            code::QUERY => class_of_text(payload, connection.in_transaction),
            code::STMT_PREPARE => Class::Prepare,
            code::STMT_EXECUTE => {
                let id = payload
                    .first_chunk()
                    .map(|bytes| u32::from_le_bytes(*bytes));
                let known = id.and_then(|id| connection.prepared.get(&id));
                match known.copied().unwrap_or(Class::None) {
                    Class::Write | Class::Autocommit if !connection.in_transaction => {
                        Class::Autocommit
                    }
                    Class::Autocommit => Class::Write,
                    other => other,
                }
            }
            _ => Class::Hidden,
        };
        at += 4 + len;
    }
    class
}

/// What kind of statement a text is.
pub fn class_of_text(text: &[u8], in_transaction: bool) -> Class {
    let text = String::from_utf8_lossy(text);
    let begins = |with: &str| {
        text.get(..with.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(with))
    };
    match () {
        () if begins("CALL steadfast.commit") => Class::Ledger,
        () if begins("CALL steadfast.fence") => Class::Fence,
        () if begins("BEGIN") || begins("START") => Class::Begin,
        () if begins("COMMIT") => Class::Commit,
        () if begins("ROLLBACK TO") || begins("SAVEPOINT") || begins("RELEASE") => Class::Savepoint,
        () if begins("ROLLBACK") => Class::Rollback,
        () if begins("SET SESSION net_read_timeout") || begins("SET timestamp") => Class::Hidden,
        () if begins("SET") => Class::Set,
        () if text.ends_with("FOR UPDATE") => Class::LockingRead,
        () if begins("SELECT") && text.contains(" FROM t_") => Class::Read,
        () if begins("INSERT") || begins("UPDATE") || begins("DELETE") => {
            if in_transaction {
                Class::Write
            } else {
                Class::Autocommit
            }
        }
        () => Class::Hidden,
    }
}
