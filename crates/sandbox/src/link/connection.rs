//! One forwarded connection: its two sockets, its two threads, and how it ends.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::{Cut, Direction, Shared, Side, Verdict};

/// What one read takes at most.
const CHUNK: usize = 64 * 1024;
const STACK: usize = 512 * 1024;
/// How long a write to a peer that does not read blocks before it looks whether it was cut.
const WRITE_TURN: Duration = Duration::from_millis(20);
/// How long a socket whose FIN was sent goes on reading: closing it with unread bytes would send
/// a RST right behind the FIN.
const LINGER: Duration = Duration::from_millis(200);

pub(crate) struct Connection {
    id: u64,
    client: Arc<TcpStream>,
    server: OnceLock<Arc<TcpStream>>,
    end: Mutex<Option<End>>,
    /// Set while the last bytes of the other direction are delivered before a cut: an answer to
    /// them must not get through.
    muted: [AtomicBool; 2],
    /// Nothing passes any more, not even an end.
    hole: AtomicBool,
    /// Which sides of a hole have closed their socket.
    left: [AtomicBool; 2],
}

/// How a connection was ended; `side` is `None` for both.
#[derive(Clone, Copy)]
struct End {
    side: Option<Side>,
    cut: Cut,
}

/// Sends a RST at once. A close with SO_LINGER sends it when the last process has closed the socket, and one that is
/// being started has it too, until its own program begins.
///
/// It fails only where the peer has already reset it, or while a thread reads it (Linux 6.4 to 6.6).
pub(crate) fn reset(socket: &TcpStream) {
    let _ = rustix::net::connect_unspec(socket);
}

/// Starts the threads of an accepted connection.
pub(crate) fn spawn(shared: &Arc<Shared>, connection: Arc<Connection>) {
    let id = connection.id;
    let owned = Arc::clone(shared);
    let started = thread::Builder::new()
        .name(format!("link {id}"))
        .stack_size(STACK)
        .spawn(move || run(&owned, connection));
    if let Err(error) = started {
        eprintln!("steadfast: a link could not start a thread: {error}");
        shared.state().connections.remove(&id);
    }
}

fn run(shared: &Arc<Shared>, connection: Arc<Connection>) {
    if shared.wait_open(&connection)
        && let Err(error) = connection.connect(shared)
    {
        // What a client of an unreachable server sees; the reason is the server's absence.
        if error.kind() != ErrorKind::ConnectionRefused {
            eprintln!(
                "steadfast: a link could not reach {}: {error}",
                shared.target
            );
        }
        connection.end(None, Cut::Rst);
    }
    if connection.server.get().is_some() {
        let other = {
            let (shared, connection) = (Arc::clone(shared), Arc::clone(&connection));
            thread::Builder::new()
                .name(format!("link {} back", connection.id))
                .stack_size(STACK)
                .spawn(move || pump(&shared, &connection, Direction::ToClient))
        };
        match other {
            Ok(other) => {
                pump(shared, &connection, Direction::ToServer);
                if other.join().is_err() {
                    eprintln!("steadfast: a thread of a link panicked");
                }
            }
            Err(error) => {
                eprintln!("steadfast: a link could not start a thread: {error}");
                connection.end(None, Cut::Rst);
            }
        }
    }
    let mut state = shared.state();
    if let Some(End { side, cut }) = connection.ended() {
        for this in [Side::Client, Side::Server] {
            let Some(socket) = connection.socket(this) else {
                continue;
            };
            if side.is_some_and(|side| side != this) {
                state.orphans.push(socket);
            } else if cut == Cut::Rst {
                reset(&socket);
            }
        }
    }
    state.connections.remove(&connection.id);
    // The sockets close here, before anybody who waits for the end is told.
    drop(connection);
    drop(state);
    shared.changed.notify_all();
}

/// Carries bytes in one direction until the connection ends.
fn pump(shared: &Shared, connection: &Connection, direction: Direction) {
    let (source_side, sink_side) = match direction {
        Direction::ToServer => (Side::Client, Side::Server),
        Direction::ToClient => (Side::Server, Side::Client),
    };
    let (Some(source), Some(sink)) = (connection.socket(source_side), connection.socket(sink_side))
    else {
        return;
    };
    let mut buffer = vec![0; CHUNK];
    let mut counted = Counted::default();
    while connection.ended().is_none() {
        match (&*source).read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) if connection.is_hole() => connection.leave_hole(direction),
            Err(_) => connection.end_unless_ended(Cut::Rst),
            Ok(_) if !shared.wait_open(connection) => {}
            Ok(0) => {
                // A peer that is gone already cannot be told.
                let _ = sink.shutdown(Shutdown::Write);
                return;
            }
            Ok(length) => {
                let (bytes, then) =
                    shared.judge(connection, direction, &buffer[..length], &mut counted);
                if let Then::Late(delay) = then {
                    let (sink, bytes) = (Arc::clone(&sink), bytes.to_vec());
                    late(connection.id, sink, bytes, delay);
                    connection.end(Some(source_side), Cut::Rst);
                    continue;
                }
                if !matches!(then, Then::GoOn) {
                    connection.mute(direction.opposite());
                }
                let delivered = deliver(shared, connection, direction, &sink, bytes);
                match then {
                    Then::Hole => connection.make_hole(),
                    _ if delivered.is_err() => connection.end_unless_ended(Cut::Rst),
                    Then::Cut(cut) => connection.end_unless_ended(cut),
                    Then::GoOn | Then::Late(_) => {}
                }
            }
        }
    }
    drain(connection, &source, &mut buffer);
}

/// Writes bytes to a socket whose other side is gone, after a delay. A peer that has closed it meanwhile does not get
/// them, as on a real network.
fn late(id: u64, sink: Arc<TcpStream>, bytes: Vec<u8>, delay: Duration) {
    let started = thread::Builder::new()
        .name(format!("link {id} late"))
        .stack_size(STACK)
        .spawn(move || {
            thread::sleep(delay);
            let _ = (&*sink).write_all(&bytes);
        });
    if let Err(error) = started {
        eprintln!("steadfast: a link could not start a thread: {error}");
    }
}

/// What happens to a connection after a chunk.
#[derive(Clone, Copy)]
enum Then {
    GoOn,
    Cut(Cut),
    Hole,
    Late(Duration),
}

/// Writes through the gate; gives up silently when the connection is ended meanwhile.
fn deliver(
    shared: &Shared,
    connection: &Connection,
    direction: Direction,
    sink: &TcpStream,
    mut bytes: &[u8],
) -> io::Result<()> {
    while !bytes.is_empty() && shared.wait_open(connection) {
        let _passing = shared.gate.read().unwrap_or_else(PoisonError::into_inner);
        // A fault may have begun between the wait and the gate.
        if shared.state().black_hole || connection.ended().is_some() {
            continue;
        }
        if connection.is_muted(direction) {
            return Ok(());
        }
        match (&*sink).write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if is_temporary(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// Reads and forgets what still comes from a side that was sent a FIN.
fn drain(connection: &Connection, source: &TcpStream, buffer: &mut [u8]) {
    let begun = Instant::now();
    let polite = |end: End| end.cut == Cut::Fin;
    while connection.ended().is_some_and(polite) && begun.elapsed() < LINGER {
        match (&*source).read(buffer) {
            // After a shutdown this is no end of file: more may come.
            Ok(0) => thread::sleep(Duration::from_millis(5)),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// How much of an armed [`super::Link::cut_after`] a connection has used.
#[derive(Default)]
struct Counted {
    arm: u64,
    bytes: u64,
}

impl Shared {
    /// Waits until bytes may flow; `false` when the connection or the link has ended.
    fn wait_open(&self, connection: &Connection) -> bool {
        let mut state = self.state();
        loop {
            if state.closed || connection.ended().is_some() {
                return false;
            }
            if !state.black_hole {
                return true;
            }
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What of a chunk is to be delivered, and whether the connection is to be cut then.
    fn judge<'a>(
        &self,
        connection: &Connection,
        direction: Direction,
        chunk: &'a [u8],
        counted: &mut Counted,
    ) -> (&'a [u8], Then) {
        self.hold_back(connection);
        let verdict = match &mut *self.tap() {
            // A failed assertion in a test's tap must not leave its client waiting.
            Some(tap) => catch_unwind(AssertUnwindSafe(|| tap(direction, connection.id, chunk)))
                .unwrap_or(Verdict::CutBefore(Cut::Rst)),
            None => Verdict::Pass,
        };
        let (chunk, then) = match verdict {
            Verdict::Pass => (chunk, Then::GoOn),
            Verdict::Drop => (&chunk[..0], Then::GoOn),
            Verdict::CutBefore(cut) => return (&chunk[..0], Then::Cut(cut)),
            Verdict::CutAfter(cut) => (chunk, Then::Cut(cut)),
            Verdict::CutWithin(length, cut) => (&chunk[..length.min(chunk.len())], Then::Cut(cut)),
            Verdict::Hole => return (chunk, Then::Hole),
            Verdict::Late(delay) => return (chunk, Then::Late(delay)),
        };
        let mut state = self.state();
        let armed = match (direction, state.cut_after) {
            (Direction::ToClient, Some(armed)) => armed,
            _ => return (chunk, then),
        };
        if counted.arm != armed.arm {
            *counted = Counted {
                arm: armed.arm,
                bytes: 0,
            };
        }
        let left = armed.bytes.saturating_sub(counted.bytes);
        if left > chunk.len() as u64 {
            counted.bytes += chunk.len() as u64;
            return (chunk, then);
        }
        state.cut_after = None;
        // Not longer than the chunk, so it fits.
        (&chunk[..left as usize], Then::Cut(armed.cut))
    }

    fn hold_back(&self, connection: &Connection) {
        let mut state = self.state();
        let begun = Instant::now();
        while let Some(left) = state.delay.checked_sub(begun.elapsed())
            && !left.is_zero()
            && !state.closed
            && connection.ended().is_none()
        {
            state = match self.changed.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

impl Direction {
    fn opposite(self) -> Direction {
        match self {
            Direction::ToServer => Direction::ToClient,
            Direction::ToClient => Direction::ToServer,
        }
    }
}

impl Connection {
    pub(crate) fn new(id: u64, client: TcpStream) -> Self {
        Connection {
            id,
            client: Arc::new(client),
            server: OnceLock::new(),
            end: Mutex::new(None),
            muted: [const { AtomicBool::new(false) }; 2],
            hole: AtomicBool::new(false),
            left: [const { AtomicBool::new(false) }; 2],
        }
    }

    fn connect(&self, shared: &Shared) -> io::Result<()> {
        let server = if shared.source.is_unspecified() {
            TcpStream::connect(shared.target)?
        } else {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&SocketAddr::from((shared.source, 0)).into())?;
            socket.connect(&shared.target.into())?;
            socket.into()
        };
        for socket in [&self.client, &server] {
            socket.set_nodelay(true)?;
            socket.set_write_timeout(Some(WRITE_TURN))?;
        }
        // A cut that came while connecting ends the new socket with the threads.
        self.server.get_or_init(|| Arc::new(server));
        Ok(())
    }

    pub(crate) fn client_addr(&self) -> Option<SocketAddr> {
        self.client.peer_addr().ok()
    }

    fn socket(&self, side: Side) -> Option<Arc<TcpStream>> {
        match side {
            Side::Client => Some(Arc::clone(&self.client)),
            Side::Server => self.server.get().cloned(),
        }
    }

    fn mute(&self, direction: Direction) {
        self.muted[direction as usize].store(true, Ordering::SeqCst);
    }

    fn is_muted(&self, direction: Direction) -> bool {
        self.muted[direction as usize].load(Ordering::SeqCst)
    }

    fn make_hole(&self) {
        self.mute(Direction::ToServer);
        self.mute(Direction::ToClient);
        self.hole.store(true, Ordering::SeqCst);
    }

    fn is_hole(&self) -> bool {
        self.hole.load(Ordering::SeqCst)
    }

    /// The side that sends in this direction has closed its socket; the other is not told. Returns when it has closed
    /// its own too, or when the connection is cut.
    fn leave_hole(&self, direction: Direction) {
        self.left[direction as usize].store(true, Ordering::SeqCst);
        while self.ended().is_none()
            && !self.left[direction.opposite() as usize].load(Ordering::SeqCst)
        {
            thread::sleep(WRITE_TURN);
        }
        self.end_unless_ended(Cut::Rst);
    }

    /// Whether it was cut or is otherwise on its way out.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended().is_some()
    }

    fn ended(&self) -> Option<End> {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end_unless_ended(&self, cut: Cut) {
        if self.ended().is_none() {
            self.end(None, cut);
        }
    }

    /// Ends the connection on one side or both, and wakes its threads.
    pub(crate) fn end(&self, side: Option<Side>, cut: Cut) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(End { side, cut });
        for this in [Side::Client, Side::Server] {
            let Some(socket) = self.socket(this) else {
                continue;
            };
            let spared = side.is_some_and(|side| side != this);
            // Shutting reading down sends nothing; it wakes the thread that reads. A socket
            // that the peer has closed needs no waking.
            let how = match cut {
                Cut::Fin if !spared => Shutdown::Both,
                _ => Shutdown::Read,
            };
            let _ = socket.shutdown(how);
        }
    }
}
