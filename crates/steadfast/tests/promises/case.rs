//! What a case has: a server that all cases of the run share, a `steadfast serve` of its own, a faulty link between
//! the two, and a database and an account of its own, so that cases cannot see each other's tables.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use steadfast_sandbox::{Cut, Direction, Kind, Link, Server, Verdict};
use steadfast_session::ledger::schema::{self, Flavor};

use crate::client::Client;

/// The account that may do everything, without a password: for looking from the side.
const WITNESS: &str = "witness";

/// The servers of this run. They end with the process: the sandbox sees to it.
static MARIADB: OnceLock<Arc<Server>> = OnceLock::new();
static MYSQL: OnceLock<Arc<Server>> = OnceLock::new();
static CASES: AtomicU32 = AtomicU32::new(1);

fn server(kind: Kind) -> Arc<Server> {
    let place = match kind {
        Kind::MariaDb => &MARIADB,
        Kind::MySql => &MYSQL,
    };
    Arc::clone(place.get_or_init(|| start(kind, &[])))
}

fn start(kind: Kind, options: &[&str]) -> Arc<Server> {
    let builder = options
        .iter()
        .fold(Server::of(kind), |builder, option| builder.option(option));
    let server = builder.start().unwrap();
    server
        .sql(&format!(
            "CREATE USER {WITNESS}@'%' IDENTIFIED BY ''; \
             GRANT ALL ON *.* TO {WITNESS}@'%' WITH GRANT OPTION; \
             SET GLOBAL log_bin_trust_function_creators = 1;"
        ))
        .unwrap();
    Arc::new(server)
}

/// Installs the commit ledger, once on each server.
pub(crate) fn install_ledger(kind: Kind, witness: &mut Client) {
    static INSTALLING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = INSTALLING.lock().unwrap();
    let there = witness.query("SELECT 1 FROM steadfast.commit_ledger LIMIT 0");
    if there.error() == "0" {
        return;
    }
    let flavor = match kind {
        Kind::MariaDb => Flavor::MariaDb,
        Kind::MySql => Flavor::MySql,
    };
    for statement in schema::install(flavor) {
        witness.query(&statement).good();
    }
}

/// A running `steadfast serve`.
pub(crate) struct Steadfast {
    child: Child,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    directory: tempfile::TempDir,
}

impl Steadfast {
    /// In front of `backend`, with these further lines in its settings file.
    #[track_caller]
    pub(crate) fn serve(backend: SocketAddr, settings: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("steadfast.toml");
        // Without TLS to the server, so that the link can see what it cuts.
        let text = format!(
            "listen = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nthreads = 1\n\
             [backend]\naddress = \"{backend}\"\ntls = \"disabled\"\n[tls]\nclient = \"off\"\n{settings}"
        );
        fs::write(&file, text).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_steadfast"))
            .args(["serve", "--log-level", "debug", "--config"])
            .arg(&file)
            .arg("--state-dir")
            .arg(directory.path().join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (send, addresses) = std::sync::mpsc::channel::<SocketAddr>();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // In this order: where clients connect, the admin address.
                let address = line
                    .strip_prefix("listening on ")
                    .or_else(|| line.strip_prefix("admin on http://"));
                if let Some(address) = address {
                    let _ = send.send(address.parse().unwrap());
                }
                kept.lock().unwrap().push(line);
            }
        });
        let next = || match addresses.recv_timeout(Duration::from_secs(30)) {
            Ok(address) => address,
            Err(_) => panic!("steadfast did not start: {:?}", log.lock().unwrap()),
        };
        let (address, admin) = (next(), next());
        Self {
            child,
            address,
            admin,
            log,
            directory,
        }
    }

    /// Where it keeps its files.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// Tells it to drain and end.
    pub(crate) fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal of this name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let told = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(told.unwrap().success());
    }

    /// Whether it ends by itself within this time.
    pub(crate) fn ends_within(&mut self, limit: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if self.child.try_wait().unwrap().is_some() {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// Resident memory now, in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// The same once it has started: it listens before its threads have all that they begin with.
    pub(crate) fn resident_when_started(&self) -> u64 {
        let mut before = 0;
        loop {
            let now = self.resident();
            if now < before + 256 {
                return now;
            }
            before = now;
            std::thread::sleep(Duration::from_millis(400));
        }
    }

    /// The metric's value now, by its name without `steadfast_` and with its labels; 0 while it has none.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text.lines()
            .filter_map(|line| line.strip_prefix("steadfast_")?.strip_prefix(name))
            .find_map(|value| value.strip_prefix(' ')?.parse().ok())
            .unwrap_or(0.0)
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    #[track_caller]
    pub(crate) fn assert_alive(&mut self) {
        assert!(
            self.child.try_wait().unwrap().is_none(),
            "steadfast has ended: {}",
            self.log()
        );
    }
}

impl Drop for Steadfast {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the log of steadfast:\n{}", self.log());
        }
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where in a conversation a connection is to be cut.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At {
    /// A COM_QUERY whose text contains this.
    Text(&'static str),
    /// The first command with this code, such as COM_STMT_EXECUTE (23).
    Code(u8),
}

impl At {
    pub(crate) fn is(self, bytes: &[u8]) -> bool {
        match self {
            At::Text(text) => {
                bytes.get(4) == Some(&3) && bytes.windows(text.len()).any(|w| w == text.as_bytes())
            }
            At::Code(code) => bytes.get(4) == Some(&code),
        }
    }
}

/// Whether a connection has been cut where that was asked for.
#[derive(Clone, Default)]
pub(crate) struct Struck(Arc<AtomicBool>);

impl Struck {
    fn happens(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn has_happened(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Until it has been cut: a COMMIT takes as long as the machine's disk.
    #[track_caller]
    pub(crate) fn wait(&self) {
        let began = Instant::now();
        while !self.has_happened() {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "the connection was not cut"
            );
            thread::sleep(Duration::from_millis(1));
        }
    }
}

pub(crate) struct Case {
    pub(crate) kind: Kind,
    pub(crate) link: Link,
    pub(crate) steadfast: Steadfast,
    pub(crate) server: Arc<Server>,
    pub(crate) database: String,
    pub(crate) user: String,
}

impl Case {
    pub(crate) fn new(kind: Kind) -> Self {
        Self::with(kind, "")
    }

    /// With these further lines in the settings file.
    pub(crate) fn with(kind: Kind, settings: &str) -> Self {
        Self::on(server(kind), settings)
    }

    /// On a server of its own with these options, which ends with the case: for what would disturb the others.
    pub(crate) fn alone(kind: Kind, options: &[&str], settings: &str) -> Self {
        Self::on(start(kind, options), settings)
    }

    /// With the commit ledger, for this case's account alone.
    pub(crate) fn with_ledger(kind: Kind, settings: &str) -> Self {
        Self::set_up(server(kind), settings, true)
    }

    /// Both: a server of its own, and the ledger.
    pub(crate) fn alone_with_ledger(kind: Kind, options: &[&str]) -> Self {
        Self::set_up(start(kind, options), "", true)
    }

    fn on(server: Arc<Server>, settings: &str) -> Self {
        Self::set_up(server, settings, false)
    }

    fn set_up(server: Arc<Server>, settings: &str, ledger: bool) -> Self {
        let kind = server.kind();
        let name = format!("case{}", CASES.fetch_add(1, Ordering::Relaxed));
        let mut witness = Client::connect(server.addr(), WITNESS, "", 0);
        witness.run(&[
            &format!("CREATE DATABASE {name}"),
            &format!("CREATE USER {name}@'%' IDENTIFIED BY ''"),
            &format!("GRANT ALL ON {name}.* TO {name}@'%'"),
            &format!(
                "CREATE TABLE {name}.t (id INT PRIMARY KEY AUTO_INCREMENT, n INT NOT NULL DEFAULT 0) ENGINE=InnoDB"
            ),
        ]);
        if ledger {
            install_ledger(kind, &mut witness);
            witness.run(&[&schema::grant(&format!("{name}@'%'"))]);
        }
        let link = Link::to(server.addr()).unwrap();
        let steadfast = Steadfast::serve(link.addr(), settings);
        Self {
            kind,
            link,
            steadfast,
            server,
            database: name.clone(),
            user: name,
        }
    }

    pub(crate) fn is_mariadb(&self) -> bool {
        self.kind == Kind::MariaDb
    }

    /// A client through Steadfast.
    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.steadfast.address, &self.user, &self.database, 0)
    }

    /// A client through Steadfast with further capabilities.
    #[track_caller]
    pub(crate) fn client_with(&self, capabilities: u32) -> Client {
        Client::connect(
            self.steadfast.address,
            &self.user,
            &self.database,
            capabilities,
        )
    }

    /// A client that is connected directly and may do everything.
    #[track_caller]
    pub(crate) fn witness(&self) -> Client {
        Client::connect(self.server.addr(), WITNESS, &self.database, 0)
    }

    /// Rows of table `t`, as the witness sees them.
    #[track_caller]
    pub(crate) fn rows(&self) -> Vec<String> {
        self.witness().query("SELECT n FROM t ORDER BY id").lines()
    }

    /// Loses all server connections. With RST: a bare FIN near another case's KILL would be taken for one.
    pub(crate) fn cut(&self) {
        self.link.cut(Cut::Rst);
    }

    /// The next time that a command passes, its server connection is cut when the answer comes: the server has acted,
    /// and nobody hears of it. Once.
    pub(crate) fn cut_answer_to(&self, at: At) -> Struck {
        let mut victim = None;
        let struck = Struck::default();
        let done = struck.clone();
        self.link.set_tap(move |direction, connection, bytes| {
            if done.has_happened() {
                return Verdict::Pass;
            }
            if direction == Direction::ToServer && at.is(bytes) {
                victim = Some(connection);
            } else if direction == Direction::ToClient && victim == Some(connection) {
                done.happens();
                return Verdict::CutBefore(Cut::Rst);
            }
            Verdict::Pass
        });
        struck
    }

    /// The next time that a command passes, it is lost together with its server connection: the server has not acted,
    /// and Steadfast cannot know. Once.
    pub(crate) fn cut_instead_of(&self, at: At) -> Struck {
        let struck = Struck::default();
        let done = struck.clone();
        self.link.set_tap(move |direction, _, bytes| {
            if !done.has_happened() && direction == Direction::ToServer && at.is(bytes) {
                done.happens();
                return Verdict::CutBefore(Cut::Rst);
            }
            Verdict::Pass
        });
        struck
    }

    /// Statements that this case's account has running, as the witness sees them.
    #[track_caller]
    pub(crate) fn running(&self, part: &str) -> usize {
        let sql = format!(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = '{}' AND INFO LIKE '%{part}%'",
            self.user
        );
        self.witness().line(&sql).parse().unwrap()
    }

    /// Waits until `done`; fails after `limit`.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, limit: Duration, mut done: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !done() {
            assert!(
                begun.elapsed() < limit,
                "{what}: not within {limit:?}\n{}",
                self.steadfast.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Declares cases that must hold on both servers.
macro_rules! on_both_servers {
    ($(#[settings = $settings:expr])? fn $name:ident($case:ident) $body:block $($rest:tt)*) => {
        mod $name {
            use super::*;
            fn holds($case: &Case) $body
            #[test]
            fn mariadb() { holds(&Case::with(Kind::MariaDb, concat!($($settings)?))); }
            #[test]
            fn mysql() { holds(&Case::with(Kind::MySql, concat!($($settings)?))); }
        }
        on_both_servers! { $($rest)* }
    };
    () => {};
}
pub(crate) use on_both_servers;

/// Declares cases that must hold on both servers, with the ledger.
macro_rules! with_ledger {
    ($(fn $name:ident($case:ident) $body:block)*) => {
        $(mod $name {
            use super::*;
            fn holds($case: &Case) $body
            #[test]
            fn mariadb() { holds(&Case::with_ledger(Kind::MariaDb, "")); }
            #[test]
            fn mysql() { holds(&Case::with_ledger(Kind::MySql, "")); }
        })*
    };
}
pub(crate) use with_ledger;
