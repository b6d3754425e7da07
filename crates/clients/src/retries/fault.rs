//! Takes the server's answers away from Steadfast, as the marker in a statement says.
//!
//! The work of each case writes one row with a marker, `retries/CASE/HELPER/`, so the link sees which case it is, which
//! takes no agreement with the program that runs the helper. Each marker is struck once: what is done again succeeds.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use steadfast_sandbox::{Cut, Direction, Link, Server, Verdict};

use super::cases::Case;

const PREFIX: &[u8] = b"retries/";
/// How long Steadfast holds a client here while no server can be reached.
pub(super) const HOLD: Duration = Duration::from_secs(2);
/// How long no server can be reached: longer than [`HOLD`], and less than twice, so that what comes next is held and
/// answered.
const OUTAGE: Duration = Duration::from_millis(3200);
/// How long a statement has run before it is killed: Steadfast looks at the server's count of KILLs once a second.
const BEFORE_KILL: Duration = Duration::from_millis(2500);
/// COM_STMT_PREPARE (dev.mysql.com): nothing is done yet.
const COM_STMT_PREPARE: u8 = 0x16;

/// What the faults need done from outside the link.
enum Order {
    /// Nobody can connect for a while; says when it has begun.
    Outage(Sender<()>),
    /// Somebody kills the session whose statement holds this text.
    Kill(String),
}

/// A link between Steadfast and its server that strikes by markers.
pub(super) struct Faults {
    link: Arc<Link>,
    struck: Arc<Mutex<BTreeSet<String>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faults {
    /// In front of this server.
    pub(super) fn before(server: Arc<Server>) -> io::Result<Self> {
        let link = Arc::new(Link::to(server.addr())?);
        let struck: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let (orders, taken) = channel();
        let mut tap = Tap {
            struck: Arc::clone(&struck),
            orders,
            armed: BTreeSet::new(),
            cut: BTreeSet::new(),
        };
        link.set_tap(move |direction, connection, bytes| tap.look(direction, connection, bytes));
        let outside = Arc::clone(&link);
        thread::spawn(move || carry_out(&taken, &outside, &server));
        Ok(Self { link, struck })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.link.addr()
    }

    /// Whether the fault of this marker has struck.
    pub(super) fn struck(&self, marker: &str) -> bool {
        lock(&self.struck).contains(marker)
    }
}

fn carry_out(orders: &Receiver<Order>, link: &Link, server: &Server) {
    for order in orders {
        match order {
            Order::Outage(begun) => {
                link.refuse(true);
                if begun.send(()).is_err() {
                    eprintln!("clients: nobody waits for an outage");
                }
                thread::sleep(OUTAGE);
                link.refuse(false);
            }
            Order::Kill(text) => {
                thread::sleep(BEFORE_KILL);
                if let Err(error) = kill(server, &text) {
                    eprintln!("clients: could not kill a session: {error}");
                }
            }
        }
    }
}

/// Kills the session whose statement holds `text`.
fn kill(server: &Server, text: &str) -> Result<(), steadfast_sandbox::Error> {
    let began = Instant::now();
    // In two parts, so that it does not find itself.
    let (one, two) = text.split_at(text.len() / 2);
    let find = format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE CONCAT('%{one}', '{two}%')"
    );
    while began.elapsed() < BEFORE_KILL {
        if let Some(id) = server.sql(&find)?.lines().last() {
            server.sql(&format!("KILL {id}"))?;
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    eprintln!("clients: nobody runs {text}");
    Ok(())
}

struct Tap {
    struck: Arc<Mutex<BTreeSet<String>>>,
    orders: Sender<Order>,
    /// Connections whose next COMMIT is struck.
    armed: BTreeSet<u64>,
    /// Connections whose next answer is lost.
    cut: BTreeSet<u64>,
}

impl Tap {
    fn look(&mut self, direction: Direction, connection: u64, bytes: &[u8]) -> Verdict {
        match direction {
            Direction::ToClient if self.cut.remove(&connection) => Verdict::CutBefore(Cut::Fin),
            Direction::ToClient => Verdict::Pass,
            Direction::ToServer => {
                self.request(connection, bytes);
                Verdict::Pass
            }
        }
    }

    fn request(&mut self, connection: u64, bytes: &[u8]) {
        for command in commands(bytes) {
            self.command(connection, command);
        }
    }

    fn command(&mut self, connection: u64, command: &[u8]) {
        if is_commit(command) && self.armed.remove(&connection) {
            self.cut.insert(connection);
        }
        if command.first() == Some(&COM_STMT_PREPARE) {
            return;
        }
        let Some(marker) = markers(command).into_iter().next() else {
            return;
        };
        let Some(case) = Case::of_marker(&marker) else {
            return;
        };
        if !lock(&self.struck).insert(marker.clone()) {
            return;
        }
        match case {
            Case::Commit => {
                self.armed.insert(connection);
            }
            Case::Write | Case::RolledBack => {
                self.cut.insert(connection);
            }
            Case::Unavailable => {
                self.cut.insert(connection);
                let (begun, begins) = channel();
                self.order(Order::Outage(begun));
                // Else Steadfast could be connected again before it.
                if begins.recv().is_err() {
                    eprintln!("clients: an outage did not begin");
                }
            }
            Case::Killed => self.order(Order::Kill(marker)),
        }
    }

    fn order(&self, order: Order) {
        // The other end lives as long as the link.
        if self.orders.send(order).is_err() {
            eprintln!("clients: nobody carries faults out any more");
        }
    }
}

/// The commands in bytes that begin with one: COM_STMT_CLOSE, which has no answer, may have come together with the next.
/// A command that goes on in the next bytes ends with these.
fn commands(bytes: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let mut rest = bytes;
    while let [a, b, c, _, payload @ ..] = rest {
        let length = usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16;
        let (command, next) = payload.split_at(length.min(payload.len()));
        found.push(command);
        rest = next;
    }
    found
}

fn is_commit(command: &[u8]) -> bool {
    command
        .get(1..7)
        .is_some_and(|text| text.eq_ignore_ascii_case(b"commit"))
}

/// The markers that stand in these bytes.
pub(super) fn markers(bytes: &[u8]) -> Vec<String> {
    let starts = bytes
        .windows(PREFIX.len())
        .enumerate()
        .filter(|(_, window)| *window == PREFIX)
        .map(|(at, _)| at);
    starts
        .filter_map(|at| {
            let rest = &bytes[at..];
            let mut slashes = rest.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            let (end, _) = slashes.nth(2)?;
            String::from_utf8(rest[..=end].to_vec()).ok()
        })
        .collect()
}

/// Counts how often the work of each marker was asked for.
pub(super) struct Counter {
    link: Link,
    seen: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Counter {
    /// On the way to this proxy.
    pub(super) fn before(proxy: SocketAddr) -> io::Result<Self> {
        let link = Link::to(proxy)?;
        let seen: Arc<Mutex<BTreeMap<String, u32>>> = Arc::default();
        let sees = Arc::clone(&seen);
        link.set_tap(move |direction, _, bytes| {
            if direction == Direction::ToServer {
                let executed = commands(bytes)
                    .into_iter()
                    .filter(|command| command.first() != Some(&COM_STMT_PREPARE));
                for marker in executed.flat_map(markers) {
                    *lock(&sees).entry(marker).or_default() += 1;
                }
            }
            Verdict::Pass
        });
        Ok(Self { link, seen })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.link.addr()
    }

    /// How often a helper asked for the work of this marker.
    pub(super) fn count(&self, marker: &str) -> u32 {
        lock(&self.seen).get(marker).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_are_found_in_text_and_in_binary() {
        let found = markers(b"INSERT INTO work VALUES ('retries/commit/a.b/')");
        assert_eq!(found, ["retries/commit/a.b/"]);
        assert_eq!(markers(b"\x11retries/write/x/\0\0"), ["retries/write/x/"]);
        assert!(markers(b"retries/commit").is_empty());
    }

    #[test]
    fn a_commit_behind_a_command_without_an_answer_is_seen() {
        let (orders, _taken) = channel();
        let mut tap = Tap {
            struck: Arc::default(),
            orders,
            armed: BTreeSet::from([1]),
            cut: BTreeSet::new(),
        };
        let close_and_commit = b"\x05\0\0\0\x19\x01\0\0\0\x07\0\0\0\x03commit";
        tap.look(Direction::ToServer, 1, close_and_commit);
        assert_eq!(
            tap.look(Direction::ToClient, 1, b"ok"),
            Verdict::CutBefore(Cut::Fin)
        );
    }

    #[test]
    fn only_the_first_answer_of_a_marker_is_lost() {
        let (orders, _taken) = channel();
        let mut tap = Tap {
            struck: Arc::default(),
            orders,
            armed: BTreeSet::new(),
            cut: BTreeSet::new(),
        };
        let mut say = |direction, bytes: &[u8]| tap.look(direction, 1, bytes);
        say(
            Direction::ToServer,
            b"\x20\0\0\0\x03INSERT 'retries/commit/a/'",
        );
        assert_eq!(say(Direction::ToClient, b"ok"), Verdict::Pass);
        say(Direction::ToServer, b"\x07\0\0\0\x03COMMIT");
        assert_eq!(
            say(Direction::ToClient, b"ok"),
            Verdict::CutBefore(Cut::Fin)
        );
        say(
            Direction::ToServer,
            b"\x20\0\0\0\x03INSERT 'retries/commit/a/'",
        );
        say(Direction::ToServer, b"\x07\0\0\0\x03COMMIT");
        assert_eq!(say(Direction::ToClient, b"ok"), Verdict::Pass);
    }
}
