//! What is known about a server, its machine and the way to it. Everything may be unknown, and says why.

use std::collections::BTreeMap;

use core::time::Duration;

use crate::evidence::{Product, Server, Variables};

/// What a check would have had to know, in words: `max_connections is not known`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing(pub String);

/// Something that was looked at, or the reason why it was not.
#[derive(Clone, PartialEq, Debug)]
pub enum Seen<T> {
    /// It was seen.
    Is(T),
    /// It was not, because of this.
    Unseen(String),
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self::Unseen("nobody looked".to_owned())
    }
}

impl<T> Seen<T> {
    /// What was seen.
    ///
    /// # Errors
    /// It was not.
    pub fn get(&self) -> Result<&T, Missing> {
        match self {
            Self::Is(value) => Ok(value),
            Self::Unseen(why) => Err(Missing(why.clone())),
        }
    }

    /// What was seen, if it was.
    pub fn ok(&self) -> Option<&T> {
        self.get().ok()
    }
}

/// All that is known.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Facts {
    /// Which server it is.
    pub server: Option<Server>,
    /// Its global variables.
    pub variables: Variables,
    /// Its counters, SHOW GLOBAL STATUS, by name, lower case.
    pub status: Variables,
    /// The counters again.
    pub later: Seen<Later>,
    /// Where the values of variables come from, but for those that nobody has set.
    pub origins: Seen<BTreeMap<String, Origin>>,
    /// When variables were set at run time, for those that were and where that is known, in seconds since 1970 by the server's
    /// clock; MySQL 8 and later.
    pub set_at: BTreeMap<String, u64>,
    /// Errors that the server has raised since its start, by number; MySQL 8 and later.
    pub errors: Seen<BTreeMap<u16, Raised>>,
    /// Its sessions.
    pub sessions: Seen<Sessions>,
    /// Its open transactions.
    pub transactions: Seen<Vec<Transaction>>,
    /// What it receives from other servers; empty: it is no replica.
    pub replication: Seen<Vec<Channel>>,
    /// Client hosts with failed attempts to connect.
    pub hosts: Seen<Vec<Host>>,
    /// Accounts whose password will expire, and in how many days; negative: it has expired.
    pub expiring: Seen<Vec<(String, i64)>>,
    /// In how many days the server's certificate expires; `None`: it has none.
    pub certificate: Seen<Option<i64>>,
    /// The largest memory the server can have.
    pub memory: Seen<MemoryLimit>,
    /// Its process.
    pub process: Seen<Process>,
    /// The file systems that it writes.
    pub disks: Seen<Vec<Disk>>,
    /// The kernel's settings of TCP where the server runs.
    pub kernel: Seen<KernelTcp>,
    /// When it was restarted, as far as earlier looks tell.
    pub restarts: Seen<Restarts>,
    /// The way to it.
    pub path: Path,
}

/// Counters, some time after the others.
#[derive(Clone, PartialEq, Debug)]
pub struct Later {
    /// How long after.
    pub after: Duration,
    /// The counters.
    pub status: Variables,
}

/// Where a variable's value comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// From an option file or the environment.
    Options,
    /// From the command line, which wins over everything else at the next start.
    CommandLine,
    /// Set at run time, and kept by the server over a restart.
    Persisted,
    /// Set at run time; the next restart undoes it.
    RunTime,
    /// The server has computed it.
    Computed,
}

/// An error that the server has raised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Raised {
    /// How often since its start.
    pub count: u64,
    /// How long ago the last time was.
    pub last: Option<Duration>,
    /// When that was, in seconds since 1970 by the server's clock.
    pub at: Option<u64>,
    /// To whom, the most frequent first.
    pub by: Vec<String>,
}

/// Restarts that earlier looks tell of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Restarts {
    /// It has restarted since the last look, which was so long ago.
    pub since_last_look: Option<Duration>,
    /// Restarts within a day.
    pub within_a_day: usize,
}

/// A server's sessions, all of them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sessions {
    /// By account: how many.
    pub by_account: Vec<(String, u64)>,
    /// Those that wait for a metadata lock or a global lock: state, and how long.
    pub waiting: Vec<(String, Duration)>,
}

/// An open transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// The id of its connection.
    pub connection: u64,
    /// Its account.
    pub account: String,
    /// Since it was begun.
    pub age: Duration,
    /// For how long its session has been idle; `None`: it runs a statement.
    pub idle: Option<Duration>,
    /// Rows that it has locked.
    pub locked: u64,
}

/// What a replica receives from one source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Channel {
    /// Its name; empty for the default one.
    pub name: String,
    /// It receives: `Yes`, `No`, `Connecting`.
    pub receives: String,
    /// It applies: `Yes`, `No`.
    pub applies: String,
    /// How far it is behind.
    pub behind: Option<Duration>,
}

/// A client host in the server's host cache.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// Its address or name.
    pub name: String,
    /// Its failed attempts, which count towards max_connect_errors.
    pub errors: u64,
}

/// The largest memory a server can have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemoryLimit {
    /// In bytes.
    pub bytes: u64,
    /// What limits it: the machine, a control group, or somebody said so.
    pub what: String,
}

/// The server's process, where it runs on this machine.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Process {
    /// Memory that it has now, in bytes.
    pub resident: u64,
    /// The most it has had.
    pub peak: u64,
    /// Of its memory, what is swapped out.
    pub swapped: u64,
    /// Processes of its control group that were killed for memory, since the group was made.
    pub killed: Option<u64>,
    /// Files and sockets that it has open.
    pub open_files: Option<u64>,
    /// How many it may have.
    pub file_limit: Option<u64>,
}

/// A file system that the server writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disk {
    /// A path on it.
    pub path: String,
    /// What for: `datadir`, `tmpdir`.
    pub what: &'static str,
    /// Bytes that are free for it.
    pub free: u64,
    /// Its size in bytes.
    pub size: u64,
}

/// The kernel's settings of TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KernelTcp {
    /// net.ipv4.tcp_keepalive_time
    pub keepalive: Duration,
    /// net.ipv4.tcp_retries2
    pub retries: u32,
}

/// The way from here to the server.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Path {
    /// It stays on this machine; `None`: nobody knows.
    pub local: Option<bool>,
    /// For how long something on it lets a connection be silent, as somebody said.
    pub idle_limit: Option<Duration>,
    /// For how long the client's pool keeps an idle connection, as somebody said.
    pub pool_lifetime: Option<Duration>,
    /// What came of keeping connections silent.
    pub idle: Seen<IdleProbe>,
    /// What came of large packets.
    pub packet: Seen<PacketProbe>,
    /// What came of a client that pauses while it reads a result.
    pub slow_read: Seen<PauseProbe>,
    /// What came of a client that pauses while it sends a statement.
    pub slow_write: Seen<PauseProbe>,
}

/// What came of keeping connections silent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdleProbe {
    /// The longest silence that was tried.
    pub longest: Duration,
    /// Where connections were cut; `None`: nowhere.
    pub cut: Option<Cut>,
}

/// Where silent connections are cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The longest silence that was survived.
    pub survived: Duration,
    /// The shortest that was not.
    pub lost: Duration,
    /// How it showed.
    pub how: CutHow,
    /// Whether keepalive kept a connection that was silent for longer; `None`: not tried.
    pub keepalive_helps: Option<bool>,
}

impl Cut {
    /// The most likely limit: the middle of the two.
    pub fn limit(&self) -> Duration {
        (self.survived + self.lost) / 2
    }
}

/// How a cut showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CutHow {
    /// The connection was closed in order.
    Closed,
    /// It was reset.
    Reset,
    /// Nothing came any more.
    Silent,
}

/// What came of large packets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PacketProbe {
    /// The largest that went up, in bytes.
    pub up: u64,
    /// The largest that came down.
    pub down: u64,
    /// The size and direction that failed, though the server allows it, and how.
    pub failed: Option<String>,
}

/// What came of a pause in the middle of something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PauseProbe {
    /// How long the pause was.
    pub pause: Duration,
    /// How the connection was lost; `None`: it was not.
    pub lost: Option<String>,
}

/// The longest limit of silence that is common, that of many firewalls.
const LONGEST_LIMIT: Duration = Duration::from_secs(3_600);

impl IdleProbe {
    /// What a probe that saw no cut does not tell: silences longer than it tried.
    pub fn untried(&self) -> Option<Missing> {
        (self.cut.is_none() && self.longest < LONGEST_LIMIT).then(|| {
            Missing(format!(
                "connections that were silent for up to {} live; --idle-max TIME tries longer silences",
                crate::words::time(self.longest)
            ))
        })
    }
}

impl Facts {
    /// Which family of servers it is.
    ///
    /// # Errors
    /// It is not known.
    pub fn product(&self) -> Result<Product, Missing> {
        self.server
            .map(|server| server.product)
            .ok_or_else(|| Missing("which server it is is not known".to_owned()))
    }

    /// Whether it is MySQL of this version (80036 is 8.0.36) or a later one.
    pub fn is_mysql_since(&self, version: u32) -> bool {
        self.server
            .is_some_and(|server| server.product == Product::MySql && server.version >= version)
    }

    /// A variable's text.
    ///
    /// # Errors
    /// It is not known.
    pub fn text(&self, name: &str) -> Result<&str, Missing> {
        self.variables.text(name).ok_or_else(|| unknown(name))
    }

    /// A variable that is a number.
    ///
    /// # Errors
    /// It is not known.
    pub fn number(&self, name: &str) -> Result<u64, Missing> {
        self.variables.number(name).ok_or_else(|| unknown(name))
    }

    /// A variable that is a time in seconds.
    ///
    /// # Errors
    /// It is not known.
    pub fn seconds(&self, name: &str) -> Result<Duration, Missing> {
        self.variables.seconds(name).ok_or_else(|| unknown(name))
    }

    /// A variable that is on or off.
    ///
    /// # Errors
    /// It is not known.
    pub fn is_on(&self, name: &str) -> Result<bool, Missing> {
        self.variables.is_on(name).ok_or_else(|| unknown(name))
    }

    /// A counter.
    ///
    /// # Errors
    /// It is not known.
    pub fn counter(&self, name: &str) -> Result<u64, Missing> {
        self.status
            .number(name)
            .ok_or_else(|| Missing(format!("the counter {name} is not known")))
    }

    /// By how much a counter moves, in one second; `None`: it was read only once.
    pub fn rate(&self, name: &str) -> Option<f64> {
        let later = self.later.ok()?;
        let seconds = later.after.as_secs_f64();
        let moved = later
            .status
            .number(name)?
            .saturating_sub(self.status.number(name)?);
        (seconds > 0.0).then(|| moved as f64 / seconds)
    }

    /// An error that the server has raised since its start, if that is known and it has.
    pub fn raised(&self, code: u16) -> Option<&Raised> {
        self.errors
            .ok()?
            .get(&code)
            .filter(|raised| raised.count > 0)
    }
}

/// What was raised longer ago tells nothing about now.
pub(super) const RECENT: Duration = Duration::from_secs(7 * 86_400);

impl Facts {
    /// An error that the server has raised within a week, for a limit that it has now: what was raised before the limit was
    /// set is counted until the next restart, and speaks against the limit of before.
    pub fn raised_lately(&self, code: u16, limit: &str) -> Option<&Raised> {
        let set = self.set_at.get(limit).copied();
        self.raised(code)
            .filter(|raised| raised.last.is_none_or(|last| last < RECENT))
            .filter(|raised| raised.at.zip(set).is_none_or(|(at, set)| at >= set))
    }
}

impl Raised {
    /// `3 times, the last 2 h ago, to app@10.0.0.7`
    pub fn told(&self) -> String {
        let mut text = match self.count {
            1 => "once".to_owned(),
            count => format!("{count} times"),
        };
        if let Some(last) = self.last {
            text.push_str(&format!(", the last {} ago", crate::words::time(last)));
        }
        if !self.by.is_empty() {
            text.push_str(&format!(", to {}", self.by.join(", ")));
        }
        text
    }
}

fn unknown(name: &str) -> Missing {
    Missing(format!("the variable {name} is not known"))
}
