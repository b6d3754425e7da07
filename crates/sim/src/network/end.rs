//! One end of a connection, as its process sees it: a socket.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use steadfast_net::SocketOptions;
use steadfast_net::simulation::Carrier;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::pipe::Ending;
use super::{CLIENTS, Leg, Network, PROXY, SERVER, State, class_of_bytes};
use crate::fault::{Fault, Phase};

/// What the network knows of an end.
#[derive(Debug)]
pub(super) struct EndState {
    pub(super) waker: Option<Waker>,
    /// Its process has let go of it.
    pub(super) closed: bool,
    shut: bool,
    /// Reads and writes fail with this.
    pub(super) broken: Option<io::ErrorKind>,
    /// Somebody KILLed the server's connection.
    pub(super) killed: bool,
    options: Option<SocketOptions>,
    /// When something last arrived.
    heard: Instant,
}

impl EndState {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            waker: None,
            closed: false,
            shut: false,
            broken: None,
            killed: false,
            options: None,
            heard: now,
        }
    }
}

/// One end of a connection. When it is dropped, the kernel closes it: with RST if bytes were not read, else with FIN.
pub struct End {
    network: Network,
    id: u64,
    side: usize,
    timer: Option<Pin<Box<Sleep>>>,
    local: SocketAddr,
    peer: SocketAddr,
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "End({}.{})", self.id, self.side)
    }
}

impl End {
    /// To be made outside of the network's lock's reach only through [`Network`].
    pub(super) fn new(network: Network, id: u64, side: usize) -> Self {
        Self {
            network,
            id,
            side,
            timer: None,
            local: SocketAddr::new(SERVER, 0),
            peer: SocketAddr::new(SERVER, 0),
        }
    }

    /// Finds out its addresses, once the connection is there.
    pub(super) fn placed(mut self, leg: Leg, ports: [u16; 2]) -> Self {
        let hosts = match leg {
            Leg::Client => [CLIENTS, PROXY],
            Leg::Server => [PROXY, SERVER],
        };
        let address = |side: usize| SocketAddr::new(hosts[side], ports[side]);
        self.local = address(self.side);
        self.peer = address(1 - self.side);
        self
    }

    /// The connection's number: no other has the same.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Waits until somebody KILLs the connection through the network's plan.
    pub fn poll_killed(&self, cx: &Context<'_>) -> Poll<()> {
        self.network.with(|state| {
            let Some(connection) = state.connections.get_mut(&self.id) else {
                return Poll::Pending;
            };
            let end = &mut connection.ends[self.side];
            if std::mem::take(&mut end.killed) {
                return Poll::Ready(());
            }
            end.waker = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    /// Reads what arrives; `None`: somebody KILLs the connection through the network's plan.
    pub async fn read_unless_killed(&mut self, into: &mut Vec<u8>) -> Option<io::Result<usize>> {
        std::future::poll_fn(|cx| {
            if self.poll_killed(cx).is_ready() {
                return Poll::Ready(None);
            }
            let mut room = [0; 4096];
            let mut buf = ReadBuf::new(&mut room);
            Pin::new(&mut *self).poll_read(cx, &mut buf).map(|read| {
                into.extend_from_slice(buf.filled());
                Some(read.map(|()| buf.filled().len()))
            })
        })
        .await
    }

    /// What arrives, or until when to wait for it.
    fn look(&self, state: &mut State, buf: &mut ReadBuf<'_>, cx: &Context<'_>) -> Looked {
        let now = Instant::now();
        let Some(connection) = state.connections.get_mut(&self.id) else {
            return Looked::Done(Err(io::ErrorKind::NotConnected.into()));
        };
        let (mine, theirs) = (self.side, 1 - self.side);
        connection.pipes[theirs].arrive(now);
        let incoming = &mut connection.pipes[theirs];
        if !incoming.arrived.is_empty() {
            connection.ends[mine].heard = now;
            let take = buf.remaining().min(incoming.arrived.len());
            let (one, two) = incoming.arrived.as_slices();
            let first = take.min(one.len());
            buf.put_slice(&one[..first]);
            buf.put_slice(&two[..take - first]);
            incoming.arrived.drain(..take);
            return Looked::Done(Ok(()));
        }
        if let Some(kind) = connection.ends[mine].broken {
            return Looked::Done(Err(kind.into()));
        }
        match incoming.ended {
            Some(Ending::Fin) => return Looked::Done(Ok(())),
            Some(Ending::Rst) => {
                connection.ends[mine].broken = Some(io::ErrorKind::ConnectionReset);
                return Looked::Done(Err(io::ErrorKind::ConnectionReset.into()));
            }
            None => {}
        }
        let next = incoming.next();
        let gives_up = self.gives_up_at(connection, now);
        if gives_up.is_some_and(|at| at <= now) {
            connection.ends[mine].broken = Some(io::ErrorKind::TimedOut);
            return Looked::Done(Err(io::ErrorKind::TimedOut.into()));
        }
        connection.ends[mine].waker = Some(cx.waker().clone());
        Looked::WaitUntil([next, gives_up].into_iter().flatten().min())
    }

    /// When the kernel gives the connection up: unacknowledged bytes, or unanswered probes.
    fn gives_up_at(&self, connection: &super::Connection, now: Instant) -> Option<Instant> {
        let end = &connection.ends[self.side];
        let options = end.options.as_ref()?;
        let sent = &connection.pipes[self.side];
        let by_user_timeout = options
            .user_timeout
            .and_then(|limit| sent.unacknowledged_since(now).map(|since| since + limit));
        // Probes get no answer while either direction passes nothing.
        let dead = |pipe: &super::Pipe| pipe.is_muted() || pipe.held_until() > now;
        let probes = options
            .user_timeout
            .unwrap_or(options.keepalive_interval * options.keepalive_probes);
        let by_keepalive = connection
            .pipes
            .iter()
            .any(dead)
            .then(|| end.heard + options.keepalive_idle + probes.max(Duration::from_secs(1)));
        [by_user_timeout, by_keepalive].into_iter().flatten().min()
    }

    fn write(&self, state: &mut State, bytes: &[u8]) -> io::Result<usize> {
        let now = Instant::now();
        let Some(connection) = state.connections.get_mut(&self.id) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let (mine, theirs) = (self.side, 1 - self.side);
        connection.pipes[theirs].arrive(now);
        if let Some(kind) = connection.ends[mine].broken {
            return Err(kind.into());
        }
        if connection.ends[mine].shut || connection.pipes[theirs].ended == Some(Ending::Rst) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut fault = None;
        let mut class = connection.class;
        if connection.leg == Leg::Server {
            let phase = if mine == 0 {
                class = class_of_bytes(connection, bytes);
                connection.class = class;
                Phase::Send
            } else {
                Phase::Answer
            };
            fault = self.network.injector.at(phase, class);
        }
        if connection.ends[theirs].closed && connection.ends[theirs].broken.is_none() {
            // Nobody has this socket any more: the kernel there answers with RST.
            connection.pipes[theirs].end(now, Ending::Rst);
            connection.wake();
            return Ok(bytes.len());
        }
        let leg = connection.leg;
        let arrive = fault.map_or(bytes.len(), |fault| fault.arrive(bytes.len()));
        let latency = state.latency();
        let split = state.pace.split;
        let parted = bytes.len() > 1 && state.random.chance(split);
        let part = state.random.below(bytes.len() as u64) as usize;
        let more = state.latency();
        let late = match fault {
            Some(Fault::Delay { millis } | Fault::Stall { millis, .. }) => {
                Duration::from_millis(millis.into())
            }
            _ => Duration::ZERO,
        };
        self.network.trace.note("net", || {
            let from = match (leg, mine) {
                (Leg::Client, 0) => "client to proxy",
                (Leg::Client, _) => "proxy to client",
                (Leg::Server, 0) => "proxy to server",
                (Leg::Server, _) => "server to proxy",
            };
            let shown: String = String::from_utf8_lossy(bytes)
                .chars()
                .map(|c| {
                    if c.is_ascii_graphic() || c == ' ' {
                        c
                    } else {
                        '.'
                    }
                })
                .take(100)
                .collect();
            format!("#{} {from} {class:?} {} B: {shown}", self.id, bytes.len())
        });
        let Some(connection) = state.connections.get_mut(&self.id) else {
            return Ok(bytes.len());
        };
        let pipe = &mut connection.pipes[mine];
        let first = if parted { part.min(arrive) } else { arrive };
        pipe.send(now + latency + late, &bytes[..first]);
        pipe.send(now + latency + late + more, &bytes[first..arrive]);
        connection.wake();
        if let Some(fault) = fault {
            state.strike(&self.network, self.id, fault);
            // What the sender's kernel sends again once it may.
            if let Some(connection) = state.connections.get_mut(&self.id)
                && matches!(fault, Fault::BlackHole { .. })
            {
                connection.pipes[mine].send(now, &bytes[arrive..]);
            }
        }
        Ok(bytes.len())
    }

    fn shut(&self, state: &mut State) {
        let latency = state.latency();
        if let Some(connection) = state.connections.get_mut(&self.id)
            && !connection.ends[self.side].shut
        {
            connection.ends[self.side].shut = true;
            connection.pipes[self.side].end(Instant::now() + latency, Ending::Fin);
            connection.wake();
        }
    }
}

enum Looked {
    Done(io::Result<()>),
    WaitUntil(Option<Instant>),
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let looked = this.network.clone().with(|state| this.look(state, buf, cx));
            let until = match looked {
                Looked::Done(outcome) => return Poll::Ready(outcome),
                Looked::WaitUntil(None) => {
                    this.timer = None;
                    return Poll::Pending;
                }
                Looked::WaitUntil(Some(until)) => until,
            };
            let timer = this
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(until)));
            if timer.deadline() != until {
                timer.as_mut().reset(until);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.timer = None;
        }
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let network = self.network.clone();
        Poll::Ready(network.with(|state| self.write(state, buf)))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let network = self.network.clone();
        network.with(|state| self.shut(state));
        Poll::Ready(Ok(()))
    }
}

impl Carrier for End {
    fn local_addr(&self) -> SocketAddr {
        self.local
    }

    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn apply(&self, options: &SocketOptions) {
        self.network.with(|state| {
            if let Some(connection) = state.connections.get_mut(&self.id) {
                connection.ends[self.side].options = Some(options.clone());
            }
        });
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let network = self.network.clone();
        network.with(|state| {
            let unread = state
                .connections
                .get(&self.id)
                .is_some_and(|connection| !connection.pipes[1 - self.side].arrived.is_empty());
            if unread && let Some(connection) = state.connections.get_mut(&self.id) {
                connection.ends[self.side].shut = true;
                connection.pipes[self.side].end(Instant::now(), Ending::Rst);
            }
            self.shut(state);
            let Some(connection) = state.connections.get_mut(&self.id) else {
                return;
            };
            connection.ends[self.side].closed = true;
            connection.wake();
            if connection.ends.iter().all(|end| end.closed) {
                state.connections.remove(&self.id);
            }
        });
    }
}
