//! What is known about one loss. Everything may be unknown: `None` always means that nobody looked, or could.

use std::collections::BTreeMap;

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::ClientMessage;
use crate::kernel::KernelEvent;
use crate::log::{LogEvent, LogKind};

/// All that is known about one loss.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Evidence {
    /// Which server it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// What was seen on the connection itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wire: Option<Wire>,
    /// What the server looked like from the side, right after.
    pub aside: Aside,
    /// System variables: as the session had them where it could have its own, else the global ones.
    pub variables: Variables,
    /// The server's error log around the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<Log>,
    /// The kernel's log around the loss, and the memory control group of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<Kernel>,
    /// What the client said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientMessage>,
}

/// Which server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Server {
    /// Its family.
    pub product: Product,
    /// 10.11.19 is 101119, 9.7.4 is 90704; 0: unknown.
    pub version: u32,
}

/// The two families of servers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Product {
    /// MariaDB.
    MariaDb,
    /// MySQL, and Percona Server.
    MySql,
}

impl Product {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::MariaDb => "MariaDB",
            Self::MySql => "MySQL",
        }
    }
}

/// What was seen on the connection that ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Wire {
    /// Whose side ended it, as seen from where one looked.
    pub side: Side,
    /// What it was doing.
    pub moment: Moment,
    /// How it ended.
    pub end: End,
    /// For how long no byte had passed in either direction.
    #[serde(rename = "quiet_ms", with = "crate::words::millis")]
    pub quiet: Duration,
    /// For how long nothing had passed when the command in flight was begun; zero if none was.
    #[serde(rename = "quiet_before_ms", with = "crate::words::millis")]
    pub quiet_before: Duration,
    /// Since the command in flight, the login or the attempt to connect was begun; zero if there was none.
    #[serde(rename = "waited_ms", with = "crate::words::millis")]
    pub waited: Duration,
    /// Bytes of the command in flight that were sent.
    pub sent: u64,
    /// Bytes of its response that were received.
    pub received: u64,
    /// For how long the reader of the response had taken nothing, or the writer of the command had sent nothing.
    #[serde(rename = "stalled_ms", with = "crate::words::millis")]
    pub stalled: Duration,
    /// A transaction was open.
    pub in_transaction: bool,
}

/// A side of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The server's, or what stands before it.
    Server,
    /// The client's, or what stands before it.
    Client,
}

/// What a connection was doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// It was being made: no greeting yet.
    Connecting,
    /// The greeting had come, the login had not ended.
    Login,
    /// Nothing was in flight.
    Idle,
    /// A command was begun and not sent to its end.
    Uploading,
    /// A command was sent, nothing of its response had come.
    Waiting,
    /// A part of the response had come.
    Downloading,
}

/// How a connection ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// Nobody listens: the attempt was refused.
    Refused,
    /// In order, without a word.
    Fin,
    /// It was reset, while nothing was on its way to the other side.
    Reset,
    /// It was reset in answer to what was sent on it.
    ResetInAnswer,
    /// Nothing came any more, not even acknowledgements or an answer to a probe.
    Silence,
    /// An error of the server's, after which it ended the connection, or the statement only.
    Said {
        /// Its number.
        code: u16,
        /// Its text.
        message: String,
        /// The connection went on: only the statement was ended.
        survives: bool,
    },
    /// What came was not the protocol.
    Nonsense,
}

/// What the server looked like from the side, right after the loss.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Aside {
    /// What another attempt to connect met first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<Reach>,
    /// Whether the server's process is the one of before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<Boot>,
    /// What its counters (SHOW GLOBAL STATUS) moved by, from just before the loss until just after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<BTreeMap<String, u64>>,
    /// Of the KILLs that the server counted around the loss, whether one was not Steadfast's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_kill: Option<bool>,
    /// Whether others' KILLs were counted in the half minute before as well: where there are many, one just then says little.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kills_before: Option<bool>,
    /// The lost connection in the server's process list, after the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leftover: Option<Leftover>,
    /// Other connections to this server that were lost within a second of this one, of so many in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<Others>,
}

/// What an attempt to connect met.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// The server's greeting.
    Greeted,
    /// An error instead of a greeting, or instead of the login's end.
    Said(u16),
    /// Nobody listens.
    Refused,
    /// It connects, and no greeting comes.
    Mute,
    /// The same, while the server answers on a connection that it has.
    NotAccepted,
    /// Not even a connection.
    Silent,
}

/// Whether the server's process is the one of before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Boot {
    /// The same one, running for so long.
    Same(#[serde(with = "crate::words::millis")] Duration),
    /// Another one; running for so long, if that is known.
    Restarted(#[serde(with = "crate::words::maybe_millis")] Option<Duration>),
}

/// A lost connection in the server's process list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leftover {
    /// It is not there.
    Gone,
    /// It is there and does nothing.
    Sleeps,
    /// It is there and its statement runs on.
    Runs,
}

/// Other connections at the time of the loss.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Others {
    /// Those that were lost too.
    pub lost: u32,
    /// Those that were not.
    pub kept: u32,
}

/// System variables by name, lower case.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Variables(pub BTreeMap<String, String>);

impl Variables {
    /// A variable's text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.trim().parse().ok()
    }

    /// A number of seconds, whole or with a fraction.
    pub fn seconds(&self, name: &str) -> Option<Duration> {
        let seconds: f64 = self.text(name)?.trim().parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// A number of seconds; `None` also where 0 means that there is no limit.
    pub fn limit(&self, name: &str) -> Option<Duration> {
        self.seconds(name).filter(|limit| !limit.is_zero())
    }

    /// ON or OFF.
    pub fn is_on(&self, name: &str) -> Option<bool> {
        match self.text(name)?.trim().to_ascii_uppercase().as_str() {
            "ON" | "1" | "YES" | "TRUE" => Some(true),
            "OFF" | "0" | "NO" | "FALSE" => Some(false),
            _ => None,
        }
    }
}

/// What the server's error log holds around the loss.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Log {
    /// What it tells, in its order.
    pub events: Vec<LogEvent>,
    /// The server's id of the lost connection, if it had one that is known: what the log says of others is not about
    /// this loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<u64>,
}

impl Log {
    /// Of all that a log told since shortly before a loss, what is about it: what the server said after it took
    /// connections for the last time, or, where that is nothing, what went before that. `restarted`: it is known to be
    /// another process than before the loss, whose connections have the numbers of others before it.
    pub fn of_last_end(mut events: Vec<LogEvent>, thread: Option<u64>, restarted: bool) -> Self {
        if restarted
            && let Some(last) = events
                .iter()
                .rposition(|event| event.kind == LogKind::Ready)
        {
            let mut at = 0;
            events.retain(|event| {
                at += 1;
                let of_one = matches!(
                    event.kind,
                    LogKind::Aborted { .. } | LogKind::PacketFailed { .. }
                );
                at <= last || !of_one
            });
        }
        let ready = |events: &[LogEvent]| {
            events
                .iter()
                .rposition(|event| event.kind == LogKind::Ready)
        };
        let about_it = |event: &LogEvent| match event.kind {
            LogKind::Aborted { thread: of, .. } | LogKind::PacketFailed { thread: of, .. } => {
                thread == Some(of)
            }
            _ => true,
        };
        let from = match ready(&events) {
            Some(last) if events[last + 1..].iter().any(about_it) => last + 1,
            Some(last) => ready(&events[..last]).map_or(0, |before| before + 1),
            None => 0,
        };
        events.drain(..from);
        Self { events, thread }
    }
}

/// What the kernel tells around the loss.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Kernel {
    /// Its log, in its order.
    pub events: Vec<KernelEvent>,
    /// Processes of the server's memory control group that were killed for memory, since just before the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_kills: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_read_again_as_it_was_written() {
        let evidence = Evidence {
            server: Some(Server {
                product: Product::MariaDb,
                version: 101_119,
            }),
            wire: Some(Wire {
                side: Side::Server,
                moment: Moment::Waiting,
                end: End::Said {
                    code: 1927,
                    message: "Connection was killed".to_owned(),
                    survives: false,
                },
                quiet: Duration::from_millis(1_500),
                quiet_before: Duration::ZERO,
                waited: Duration::from_secs(2),
                sent: 7,
                received: 0,
                stalled: Duration::ZERO,
                in_transaction: true,
            }),
            aside: Aside {
                reach: Some(Reach::Said(3032)),
                boot: Some(Boot::Restarted(Some(Duration::from_secs(3)))),
                leftover: Some(Leftover::Gone),
                ..Aside::default()
            },
            log: Some(Log {
                events: vec![LogEvent {
                    at: String::new(),
                    line: "mysqld got signal 11 ;".to_owned(),
                    kind: LogKind::Signal(11),
                }],
                thread: Some(9),
            }),
            ..Evidence::default()
        };
        let text = serde_json::to_string(&evidence).unwrap();
        assert!(text.contains(r#""quiet_ms":1500"#), "{text}");
        let again: Evidence = serde_json::from_str(&text).unwrap();
        assert_eq!(again, evidence);
        assert_eq!(
            serde_json::from_str::<Evidence>("{}").unwrap(),
            Evidence::default()
        );
    }

    #[test]
    fn only_the_last_end_of_the_server_counts() {
        use LogKind::{Ready, Recovers, ShutDown, ShutdownAsked, Signal, Started};
        let kept = |kinds: &[LogKind]| {
            let events = kinds.iter().map(|kind| LogEvent {
                at: String::new(),
                line: String::new(),
                kind: *kind,
            });
            let log = Log::of_last_end(events.collect(), None, false);
            log.events
                .iter()
                .map(|event| event.kind)
                .collect::<Vec<LogKind>>()
        };
        let restarted = [ShutdownAsked, ShutDown, Started, Ready];
        assert_eq!(kept(&restarted), restarted);
        assert_eq!(
            kept(&[
                ShutdownAsked,
                ShutDown,
                Started,
                Ready,
                Started,
                Recovers,
                Ready
            ]),
            [Started, Recovers, Ready]
        );
        assert_eq!(kept(&[ShutDown, Started, Ready, Signal(11)]), [Signal(11)]);
    }

    #[test]
    fn a_connection_of_the_same_number_after_a_restart_is_another() {
        use LogKind::{Aborted, DiskFull, Ready, Started};
        let other = Aborted {
            thread: 5,
            why: crate::log::Aborted::ErrorReading,
        };
        let events = [DiskFull, Started, Ready, other].map(|kind| LogEvent {
            at: String::new(),
            line: String::new(),
            kind,
        });
        let log = Log::of_last_end(events.to_vec(), Some(5), true);
        assert_eq!(log.events, events[..3]);
        let log = Log::of_last_end(events.to_vec(), Some(5), false);
        assert_eq!(log.events, events[3..]);
    }
}
