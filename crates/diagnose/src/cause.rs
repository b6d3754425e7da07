//! Why connections are lost: the names of all causes, which are stable, and of what cannot be told apart.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a connection to a server was lost, was refused, or lost its statement.
///
/// In the order in which people ask about them most often: with nothing else to go by, the earlier one is the better
/// guess.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cause {
    /// Nobody used it for `wait_timeout` (or `interactive_timeout`), and the server closed it.
    IdleTimeout,
    /// A firewall, NAT or load balancer forgot it while it was idle.
    MiddleboxIdle,
    /// A packet was larger than `max_allowed_packet`.
    PacketTooLarge,
    /// The kernel ended the server because memory had run out.
    OutOfMemory,
    /// The client read its result more slowly than `net_write_timeout` allows.
    SlowReader,
    /// The server crashed.
    Crash,
    /// The server, or what it stores, is damaged.
    Corruption,
    /// The login did not end within `connect_timeout`.
    HandshakeTimeout,
    /// The client gave up waiting, by a timeout of its own.
    ClientTimeout,
    /// What was sent is not the protocol, as when threads or processes share a connection.
    ProtocolMisuse,
    /// A planned or unplanned switch made the server refuse writes.
    Demoted,
    /// A disk is full.
    DiskFull,
    /// Somebody ended it with KILL.
    Killed,
    /// The statement ran longer than a limit, and only the statement was ended.
    QueryTimeout,
    /// The server was shut down in order.
    Shutdown,
    /// Something ended the server's process with SIGKILL.
    ProcessKilled,
    /// The server runs, and answers nobody.
    Hang,
    /// Packets were lost on the way.
    NetworkDrop,
    /// The client went away without saying so.
    ClientGone,
    /// A proxy on the way closed it, by a timeout or a limit of its own.
    ProxyTimeout,
    /// Idle inside an open transaction for longer than `idle_transaction_timeout`.
    IdleTransactionTimeout,
    /// The client began to send a statement and did not go on.
    StalledUpload,
    /// `max_connections`, or a limit of the account, was reached.
    TooManyConnections,
    /// The server refuses the client's host after too many failed logins.
    HostBlocked,
    /// The server was set to `offline_mode`.
    OfflineMode,
    /// The session, or all of them, used more memory than the server allows.
    ServerMemoryLimit,
    /// The server has no file descriptor left.
    OpenFilesLimit,
    /// Nobody listens at the address.
    NotListening,
}

impl Cause {
    /// All of them, those first that people ask about most.
    pub const ALL: [Self; 28] = [
        Self::IdleTimeout,
        Self::MiddleboxIdle,
        Self::PacketTooLarge,
        Self::OutOfMemory,
        Self::SlowReader,
        Self::Crash,
        Self::Corruption,
        Self::HandshakeTimeout,
        Self::ClientTimeout,
        Self::ProtocolMisuse,
        Self::Demoted,
        Self::DiskFull,
        Self::Killed,
        Self::QueryTimeout,
        Self::Shutdown,
        Self::ProcessKilled,
        Self::Hang,
        Self::NetworkDrop,
        Self::ClientGone,
        Self::ProxyTimeout,
        Self::IdleTransactionTimeout,
        Self::StalledUpload,
        Self::TooManyConnections,
        Self::HostBlocked,
        Self::OfflineMode,
        Self::ServerMemoryLimit,
        Self::OpenFilesLimit,
        Self::NotListening,
    ];

    /// Its stable name, in `--json`, metrics and the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::IdleTimeout => "idle-timeout",
            Self::MiddleboxIdle => "middlebox-idle",
            Self::PacketTooLarge => "packet-too-large",
            Self::OutOfMemory => "out-of-memory",
            Self::SlowReader => "slow-reader",
            Self::Crash => "crash",
            Self::Corruption => "corruption",
            Self::HandshakeTimeout => "handshake-timeout",
            Self::ClientTimeout => "client-timeout",
            Self::ProtocolMisuse => "protocol-misuse",
            Self::Demoted => "demoted",
            Self::DiskFull => "disk-full",
            Self::Killed => "killed",
            Self::QueryTimeout => "query-timeout",
            Self::Shutdown => "shutdown",
            Self::ProcessKilled => "process-killed",
            Self::Hang => "hang",
            Self::NetworkDrop => "network-drop",
            Self::ClientGone => "client-gone",
            Self::ProxyTimeout => "proxy-timeout",
            Self::IdleTransactionTimeout => "idle-transaction-timeout",
            Self::StalledUpload => "stalled-upload",
            Self::TooManyConnections => "too-many-connections",
            Self::HostBlocked => "host-blocked",
            Self::OfflineMode => "offline-mode",
            Self::ServerMemoryLimit => "server-memory-limit",
            Self::OpenFilesLimit => "open-files-limit",
            Self::NotListening => "not-listening",
        }
    }

    /// Whether it can end the server's process.
    pub fn ends_server(self) -> bool {
        matches!(
            self,
            Self::OutOfMemory
                | Self::Crash
                | Self::Corruption
                | Self::DiskFull
                | Self::Shutdown
                | Self::ProcessKilled
                | Self::Hang
                // MySQL's InnoDB ends the server where it cannot open its log.
                | Self::OpenFilesLimit
        )
    }

    /// The cause of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Cause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| D::Error::custom(format!("no cause is called {name}")))
    }
}

/// Causes that look alike where less is known: as much as the evidence can say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Class {
    /// Its stable name.
    pub name: &'static str,
    /// What they have in common, in one sentence.
    pub meaning: &'static str,
    /// The causes that it stands for.
    pub members: &'static [Cause],
}

impl Class {
    /// All of them; where one is a part of another, the smaller one comes first.
    pub const ALL: &'static [Self] = &[
        Self {
            name: "killed-from-outside",
            meaning: "Something outside the server ended its process: the kernel for want of memory, or a SIGKILL.",
            members: &[Cause::OutOfMemory, Cause::ProcessKilled],
        },
        Self {
            name: "server-died",
            meaning: "The server's process ended without a shutdown.",
            members: &[
                Cause::OutOfMemory,
                Cause::Crash,
                Cause::ProcessKilled,
                Cause::Corruption,
                Cause::DiskFull,
                Cause::OpenFilesLimit,
            ],
        },
        Self {
            name: "server-restarted",
            meaning: "The server's process ended, by a shutdown or without one.",
            members: &[
                Cause::OutOfMemory,
                Cause::Crash,
                Cause::ProcessKilled,
                Cause::Corruption,
                Cause::DiskFull,
                Cause::OpenFilesLimit,
                Cause::Shutdown,
            ],
        },
        Self {
            name: "read-timeout",
            meaning: "The server waited for the client's next packet, or the rest of one, for longer than it does.",
            members: &[
                Cause::IdleTimeout,
                Cause::IdleTransactionTimeout,
                Cause::StalledUpload,
            ],
        },
        Self {
            name: "client-left",
            meaning: "The client's side closed the connection without saying goodbye.",
            members: &[Cause::ClientGone, Cause::ClientTimeout, Cause::ProxyTimeout],
        },
        Self {
            name: "login-broken-off",
            meaning: "The login did not come to a good end: the server waited too long for it or refused it, or the other \
                      side left.",
            members: &[
                Cause::HandshakeTimeout,
                Cause::TooManyConnections,
                Cause::ProtocolMisuse,
                Cause::ClientGone,
                Cause::ProxyTimeout,
                Cause::NetworkDrop,
                Cause::Hang,
            ],
        },
        Self {
            name: "write-failed",
            meaning: "The server could not send its answer: the client did not read it in time, or was gone.",
            members: &[
                Cause::SlowReader,
                Cause::ClientGone,
                Cause::ClientTimeout,
                Cause::ProxyTimeout,
                Cause::NetworkDrop,
            ],
        },
        Self {
            name: "path",
            meaning: "The server runs, and packets do not get through to it or back.",
            members: &[Cause::MiddleboxIdle, Cause::NetworkDrop],
        },
        Self {
            name: "no-answer",
            meaning: "Nothing came back any more: the server hangs, or the network lost the packets.",
            members: &[Cause::MiddleboxIdle, Cause::NetworkDrop, Cause::Hang],
        },
        Self {
            name: "no-answer-in-time",
            meaning: "The client gave up waiting: the statement took longer than the client waits, or no answer could come.",
            members: &[
                Cause::ClientTimeout,
                Cause::MiddleboxIdle,
                Cause::NetworkDrop,
                Cause::Hang,
                // MySQL waits until there is space again.
                Cause::DiskFull,
            ],
        },
        Self {
            name: "not-by-the-server",
            meaning: "The server did not end the connection: its client, or something between the two, did.",
            members: &[
                Cause::ClientGone,
                Cause::ClientTimeout,
                Cause::ProxyTimeout,
                Cause::MiddleboxIdle,
                Cause::NetworkDrop,
                // Its client left because it got no answer.
                Cause::Hang,
            ],
        },
        Self {
            name: "closed-by-server",
            meaning: "The server runs on and ended this one connection.",
            members: &[
                Cause::IdleTimeout,
                Cause::IdleTransactionTimeout,
                Cause::StalledUpload,
                Cause::SlowReader,
                Cause::PacketTooLarge,
                Cause::Killed,
                Cause::OfflineMode,
                Cause::ServerMemoryLimit,
                Cause::ProtocolMisuse,
            ],
        },
        Self {
            name: "server-unchanged",
            meaning: "The server runs on, and nothing that was looked at tells who ended the connection.",
            members: &[
                Cause::IdleTimeout,
                Cause::IdleTransactionTimeout,
                Cause::StalledUpload,
                Cause::SlowReader,
                Cause::PacketTooLarge,
                Cause::Killed,
                Cause::OfflineMode,
                Cause::ServerMemoryLimit,
                Cause::ProtocolMisuse,
                Cause::ClientGone,
                Cause::ClientTimeout,
                Cause::ProxyTimeout,
                Cause::MiddleboxIdle,
                Cause::NetworkDrop,
                Cause::Hang,
            ],
        },
    ];

    /// The smallest that has all of these, if there is one.
    pub fn of(causes: &[Cause]) -> Option<&'static Self> {
        Self::ALL
            .iter()
            .filter(|class| causes.iter().all(|cause| class.members.contains(cause)))
            .min_by_key(|class| class.members.len())
    }
}
