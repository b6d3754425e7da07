//! A TCP forwarder between clients and a server that loses connections on demand.
//!
//! Each connection has two threads, one for each direction (`connection.rs`); every chunk of
//! bytes passes a gate, so that a fault is complete when the call that asked for it returns:
//! nothing is delivered after it.

mod connection;
mod sight;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use connection::Connection;
pub use sight::{Point, Seen, Sight};

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    /// As when a process closes its socket or dies: FIN, and RST to whatever still comes.
    Fin,
    /// As when a host or a middlebox has forgotten the connection: RST.
    Rst,
}

/// An end of a forwarded connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Who connected to the link.
    Client,
    /// Whom the link connected to.
    Server,
}

/// Where bytes are going.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// What a tap decides about a chunk of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Forward it.
    Pass,
    /// Lose it, and keep the connection.
    Drop,
    /// Cut the connection, both sides; the chunk is lost.
    CutBefore(Cut),
    /// Forward the chunk, then cut the connection, both sides.
    CutAfter(Cut),
    /// Forward so many bytes of the chunk, then cut the connection, both sides.
    CutWithin(usize, Cut),
    /// Forward the chunk; after it nothing passes on this connection in either direction, not even a FIN, until both
    /// sides have closed it or it is cut.
    Hole,
    /// Reset the side that sent the chunk, now. The other side stays open and silent, gets the chunk after this time,
    /// as from a network that held it back, and nothing more.
    Late(Duration),
}

type Tap = Box<dyn FnMut(Direction, u64, &[u8]) -> Verdict + Send>;

/// A faulty network between clients and one server. Dropping it cuts everything with RST.
pub struct Link {
    shared: Arc<Shared>,
    addr: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

pub(crate) struct Shared {
    target: SocketAddr,
    /// Where connections to it come from; unspecified: as the system chooses.
    source: Ipv4Addr,
    state: Mutex<State>,
    /// Signalled at every change of `state` that a thread may wait for.
    changed: Condvar,
    /// Read-held while bytes are being written, write-held while a fault begins.
    gate: RwLock<()>,
    tap: Mutex<Option<Tap>>,
}

#[derive(Default)]
struct State {
    closed: bool,
    black_hole: bool,
    refuse: bool,
    delay: Duration,
    cut_after: Option<CutAfter>,
    arms: u64,
    last_id: u64,
    connections: BTreeMap<u64, Arc<Connection>>,
    /// The sides that a `cut_side` left open.
    orphans: Vec<Arc<TcpStream>>,
}

/// An armed [`Link::cut_after`].
#[derive(Clone, Copy)]
struct CutAfter {
    bytes: u64,
    cut: Cut,
    /// Tells one arming from the next, so that a connection counts from this one.
    arm: u64,
}

impl Link {
    /// Listens on a port of 127.0.0.1 that the kernel picks, and forwards to `target`.
    pub fn to(target: SocketAddr) -> io::Result<Link> {
        Self::from_to(Ipv4Addr::UNSPECIFIED, target)
    }

    /// The same; the server sees this address of this machine as its client's.
    pub fn from_to(source: Ipv4Addr, target: SocketAddr) -> io::Result<Link> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            source,
            state: Mutex::default(),
            changed: Condvar::new(),
            gate: RwLock::new(()),
            tap: Mutex::new(None),
        });
        let acceptor = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("link".to_owned())
                .spawn(move || accept(&listener, &shared))?
        };
        Ok(Link {
            shared,
            addr,
            acceptor: Some(acceptor),
        })
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections are being forwarded or held.
    pub fn connections(&self) -> usize {
        let state = self.shared.state();
        let alive = |connection: &&Arc<Connection>| !connection.has_ended();
        state.connections.values().filter(alive).count()
    }

    /// The number of the connection that was accepted last, as a tap gets it; 0: none was.
    pub fn newest(&self) -> u64 {
        self.shared.state().last_id
    }

    /// From where the client of this connection came; `None`: it has ended.
    pub fn client_addr(&self, connection: u64) -> Option<SocketAddr> {
        let state = self.shared.state();
        state.connections.get(&connection)?.client_addr()
    }

    /// Ends one connection on both sides, if it is there.
    pub fn cut_one(&self, connection: u64, cut: Cut) {
        {
            let _stopped = self.shared.stop_bytes();
            if let Some(found) = self.shared.state().connections.get(&connection) {
                found.end(None, cut);
            }
        }
        self.shared.changed.notify_all();
    }

    /// Ends all current connections on both sides. New ones are accepted.
    pub fn cut(&self, cut: Cut) {
        self.end(None, cut);
        self.shared.state().orphans.clear();
    }

    /// Ends one side of all current connections; the other is left open and silent, as for a
    /// peer whose FIN or RST was lost, until [`Link::cut`] or the link's end.
    pub fn cut_side(&self, side: Side, cut: Cut) {
        self.end(Some(side), cut);
    }

    /// While `true`: nothing is forwarded in either direction, not even a FIN; new connections
    /// are accepted but silent. When it ends, everything flows on.
    pub fn black_hole(&self, on: bool) {
        self.change(|state| state.black_hole = on);
    }

    /// While `true`: new connections are closed with RST as soon as they are accepted.
    pub fn refuse(&self, on: bool) {
        self.change(|state| state.refuse = on);
    }

    /// Holds each chunk back for this long, in each direction. A chunk has 64 KiB at most, so
    /// this also limits the throughput of a connection to 64 KiB in this time.
    pub fn delay(&self, delay: Duration) {
        self.change(|state| state.delay = delay);
    }

    /// Cuts, once, the first connection that has carried this many more bytes to its client:
    /// exactly so many are delivered.
    pub fn cut_after(&self, bytes: u64, cut: Cut) {
        self.change(|state| {
            state.arms += 1;
            state.cut_after = Some(CutAfter {
                bytes,
                cut,
                arm: state.arms,
            });
        });
    }

    /// Asks `tap` about every chunk before it is forwarded. It gets the direction, the
    /// connection's number (from 1, in the order of acceptance) and the bytes: what one read of
    /// the socket returned, 64 KiB at most, which may be a part of a protocol packet or several.
    ///
    /// It must not call the link, which may wait for it: that is what the verdict is for.
    pub fn set_tap(&self, tap: impl FnMut(Direction, u64, &[u8]) -> Verdict + Send + 'static) {
        *self.shared.tap() = Some(Box::new(tap));
    }

    /// Removes the tap.
    pub fn clear_tap(&self) {
        *self.shared.tap() = None;
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let _stopped = self.shared.stop_bytes();
        change(&mut self.shared.state());
        self.shared.changed.notify_all();
    }

    fn end(&self, side: Option<Side>, cut: Cut) {
        let ended: Vec<u64> = {
            let _stopped = self.shared.stop_bytes();
            let state = self.shared.state();
            for connection in state.connections.values() {
                connection.end(side, cut);
            }
            state.connections.keys().copied().collect()
        };
        self.shared.changed.notify_all();
        if cut == Cut::Fin {
            return;
        }
        // A RST leaves only when the last thread of a connection has let go of the socket.
        let limit = Duration::from_secs(2);
        let still_there =
            |state: &mut State| ended.iter().any(|id| state.connections.contains_key(id));
        drop(
            self.shared
                .changed
                .wait_timeout_while(self.shared.state(), limit, still_there),
        );
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.changed.notify_all();
        // Wakes the acceptor; it then sees that the link is closed.
        let woken = TcpStream::connect_timeout(&self.addr, Duration::from_secs(1)).is_ok();
        self.cut(Cut::Rst);
        if let Some(acceptor) = self.acceptor.take().filter(|_| woken)
            && acceptor.join().is_err()
        {
            eprintln!("steadfast: the acceptor of a link panicked");
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let accepted = listener.accept();
        let mut state = shared.state();
        if state.closed {
            return;
        }
        match accepted {
            Ok((client, _)) if state.refuse => connection::reset(&client),
            Ok((client, _)) => {
                state.last_id += 1;
                let id = state.last_id;
                let connection = Arc::new(Connection::new(id, client));
                state.connections.insert(id, Arc::clone(&connection));
                drop(state);
                connection::spawn(shared, connection);
            }
            Err(error) => {
                drop(state);
                // Too many open files: the listener stays, so that it recovers.
                eprintln!("steadfast: a link could not accept a connection: {error}");
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn tap(&self) -> MutexGuard<'_, Option<Tap>> {
        self.tap
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Waits for the write calls under way; none begins while the guard lives.
    fn stop_bytes(&self) -> impl Drop + '_ {
        self.gate
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
