//! The sections of the settings that need no further resolution: times, limits, logging.

use std::{collections::BTreeMap, num::NonZeroU32, str::FromStr, time::Duration};

use serde::{
    Deserialize, Serialize,
    de::{self, IntoDeserializer},
};

use super::{size, span};

const SECOND: Duration = Duration::from_secs(1);
const MIB: u64 = 1 << 20;

/// `[timeouts]`: how long Steadfast waits, and for what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// How long a client is held while no server can be reached, before it gets 1053. Default 60 s; 0 s: not at all.
    #[serde(with = "span")]
    pub hold: Duration,
    /// How long one attempt to connect to the server may take, up to the server's greeting. Default 5 s.
    #[serde(with = "span")]
    pub connect: Duration,
    /// How long a client may take to finish its login, TLS included. Default 10 s.
    #[serde(with = "span")]
    pub handshake: Duration,
    /// How long a server that must answer may be silent before its connection counts as lost. A slow query is not
    /// silence: the health check tells them apart. Default 10 s.
    #[serde(with = "span")]
    pub dead_after: Duration,
    /// How long a TCP connection, on either leg, is silent before the first keepalive probe. Whole seconds.
    /// Default 60 s, below the 4 min after which common load balancers forget a flow.
    #[serde(with = "span")]
    pub keepalive_idle: Duration,
    /// The time between keepalive probes. Whole seconds. Default 10 s.
    #[serde(with = "span")]
    pub keepalive_interval: Duration,
    /// How long a shutdown lets open transactions and running statements go on. Default 30 s; 0 s: not at all.
    #[serde(with = "span")]
    pub drain: Duration,
    /// How long a server connection whose client has left is kept for the next login. Default 3 s.
    #[serde(with = "span")]
    pub pool: Duration,
}

impl Timeouts {
    /// How long one attempt at something that takes a new server connection may take: a connection that falls silent
    /// must not use up all the time that is left, because the next one may be answered.
    pub(crate) fn attempt(&self) -> Duration {
        3 * self.dead_after
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            hold: 60 * SECOND,
            connect: 5 * SECOND,
            handshake: 10 * SECOND,
            dead_after: 10 * SECOND,
            keepalive_idle: 60 * SECOND,
            keepalive_interval: 10 * SECOND,
            drain: 30 * SECOND,
            pool: 3 * SECOND,
        }
    }
}

/// `[limits]`: what Steadfast may use. Reaching one is an error for one client, never a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Clients connected at the same time; one more gets 1040. Default 10,000.
    pub clients: NonZeroU32,
    /// Clients that have connected and not finished their login. Default 256.
    pub pending_logins: NonZeroU32,
    /// Server connections whose clients have left, kept for the next logins; never more than a sixteenth of what the
    /// server takes (`max_connections`). Default 32; 0: each login gets a new one.
    pub pool: u32,
    /// Bytes of commands kept for the replay of one transaction; a larger one is not replayed. Default 16 MiB.
    #[serde(with = "size")]
    pub journal_bytes: u64,
    /// Commands kept for the replay of one transaction; a longer one is not replayed. Default 10,000.
    pub journal_commands: NonZeroU32,
    /// How long the replay of one transaction may take. Default 60 s.
    #[serde(with = "span")]
    pub replay_time: Duration,
    /// How often one command may lose its server connection before its client is told. Default 4.
    pub attempts: NonZeroU32,
    /// Bytes of commands kept for replay by all sessions together. Default 256 MiB.
    #[serde(with = "size")]
    pub command_memory: u64,
    /// The largest packet taken from a client or the server, at most 1 GiB (the protocol's own limit). Default 1 GiB.
    #[serde(with = "size")]
    pub packet: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let count = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Self {
            clients: count(10_000),
            pending_logins: count(256),
            pool: 32,
            journal_bytes: 16 * MIB,
            journal_commands: count(10_000),
            replay_time: 60 * SECOND,
            attempts: count(4),
            command_memory: 256 * MIB,
            packet: 1024 * MIB,
        }
    }
}

/// `[ledger]`: whether COMMITs are recorded, so that the loss of an answer leaves no doubt.
#[derive(Clone, PartialEq, Eq, Default, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerSettings {
    /// For everybody. Default `auto`.
    pub mode: LedgerMode,
    /// For users by name; goes before `schemas`. Default: none.
    pub users: BTreeMap<String, LedgerMode>,
    /// For sessions with this default schema. Default: none.
    pub schemas: BTreeMap<String, LedgerMode>,
}

impl LedgerSettings {
    /// Whether it is `off` for everybody.
    pub fn is_off(&self) -> bool {
        let all =
            |map: &BTreeMap<String, LedgerMode>| map.values().all(|mode| *mode == LedgerMode::Off);
        self.mode == LedgerMode::Off && all(&self.users) && all(&self.schemas)
    }

    /// What is set for a user and a default schema.
    pub fn of(&self, user: &[u8], schema: Option<&[u8]>) -> LedgerMode {
        let find = |map: &BTreeMap<String, LedgerMode>, name: Option<&[u8]>| {
            if map.is_empty() {
                return None;
            }
            map.get(std::str::from_utf8(name?).ok()?).copied()
        };
        find(&self.users, Some(user))
            .or_else(|| find(&self.schemas, schema))
            .unwrap_or(self.mode)
    }
}

/// Whether COMMITs are recorded.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LedgerMode {
    /// Where the ledger is installed and the account may use it.
    #[default]
    Auto,
    /// Always: where it cannot be used, nothing is committed.
    Require,
    /// Never.
    Off,
}

/// `[incidents]`: what is kept of losses.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct IncidentSettings {
    /// Statements are kept with their literals, but for those that set passwords. Default `false`: as a digest's text.
    pub literals: bool,
}

/// `[log]`: what is written to the standard error stream.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The least important level that is written. Default `info`.
    pub level: LogLevel,
    /// For people or for machines. Default `text`.
    pub format: LogFormat,
}

/// How important a line of the log is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Something failed for a client or for Steadfast itself.
    Error,
    /// Something was lost and recovered, or is about to fail.
    Warn,
    /// What an operator wants to know of a normal day.
    #[default]
    Info,
    /// What explains a decision.
    Debug,
    /// Each event of a session.
    Trace,
}

impl LogLevel {
    /// The names, as settings and flags have them.
    pub const NAMES: [&'static str; 5] = ["error", "warn", "info", "debug", "trace"];
}

impl FromStr for LogLevel {
    type Err = de::value::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::deserialize(name.into_deserializer())
    }
}

/// How a line of the log is written.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A sentence and its fields.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// The names, as settings and flags have them.
    pub const NAMES: [&'static str; 2] = ["text", "json"];
}

impl FromStr for LogFormat {
    type Err = de::value::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::deserialize(name.into_deserializer())
    }
}
