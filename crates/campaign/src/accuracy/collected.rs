//! What was collected about one injection, as a JSON line: raw, so that it can be judged again when the rules have
//! changed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadfast_diagnose::client::ClientMessage;
use steadfast_diagnose::kernel::KernelEvent;
use steadfast_diagnose::log::LogEvent;
use steadfast_diagnose::{
    Aside, Boot, Evidence, Finding, Kernel, Leftover, Log, Product, Reach, Reading, Server,
    Variables,
};

/// Which evidence a verdict is made from.
///
/// What the proxy itself saw of a connection is not collected here: where clients go through `steadfast serve`
/// ([`Stage::door`](super::stage::Stage::door) says where they connect), its incidents give the verdicts of two more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Look {
    /// What can be seen at the server: its counters, variables, process list and error log, its kernel's log and control
    /// group, and an attempt to connect from beside it.
    Server,
    /// The same, and the client's message.
    ServerAndMessage,
}

impl Look {
    pub(crate) const ALL: [Self; 2] = [Self::Server, Self::ServerAndMessage];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Server => "server only",
            Self::ServerAndMessage => "server and the client's message",
        }
    }
}

/// How much the server logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Logging {
    /// As it comes: log_warnings=2, log_error_verbosity=2.
    Default,
    /// log_warnings=4, log_error_verbosity=3.
    Verbose,
}

impl Logging {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Verbose => "verbose",
        }
    }
}

/// What an attempt to connect met, right after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Met {
    Greeting,
    Said(u16),
    Refused,
    Mute,
    Silent,
}

/// The lost connection in the server's process list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Listed {
    Gone,
    Sleeps,
    Runs,
}

/// One injection and all that was seen of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Collected {
    /// `mariadb` or `mysql`.
    pub(crate) server: String,
    /// 101119, 90704.
    pub(crate) version: u32,
    /// The name of the cause, or of the negative.
    pub(crate) subject: String,
    pub(crate) seed: u64,
    pub(crate) logging: Logging,
    pub(crate) tls: bool,
    /// Others lost their connections at the same time.
    #[serde(default)]
    pub(crate) busy: bool,
    /// What was done, with its numbers.
    pub(crate) what: String,
    /// The server's id of the lost connection; `None`: it was never given one.
    pub(crate) thread: Option<u64>,
    pub(crate) met: Option<Met>,
    pub(crate) listed: Option<Listed>,
    /// The server's uptime afterwards, in seconds, where it is the same process.
    pub(crate) same_boot: Option<u64>,
    /// And where it is another one.
    pub(crate) restarted: Option<u64>,
    pub(crate) moved: Option<BTreeMap<String, u64>>,
    pub(crate) variables: BTreeMap<String, String>,
    /// New lines of the error log.
    pub(crate) log: Vec<String>,
    /// New lines of the kernel's log; `None`: it cannot be read.
    pub(crate) kernel: Option<Vec<String>>,
    pub(crate) group_kills: Option<u64>,
    /// What the client said.
    pub(crate) message: Option<String>,
}

impl Collected {
    pub(crate) fn product(&self) -> Product {
        if self.server == "mariadb" {
            Product::MariaDb
        } else {
            Product::MySql
        }
    }

    /// As the rules take it.
    pub(crate) fn evidence(&self, look: Look) -> Evidence {
        let boot = match (self.same_boot, self.restarted) {
            (Some(up), _) => Some(Boot::Same(Duration::from_secs(up))),
            (None, Some(up)) => Some(Boot::Restarted(Some(Duration::from_secs(up)))),
            (None, None) => None,
        };
        let message = match look {
            Look::Server => None,
            Look::ServerAndMessage => self.message.as_deref(),
        };
        Evidence {
            server: Some(Server {
                product: self.product(),
                version: self.version,
            }),
            wire: None,
            aside: Aside {
                reach: self.met.map(reach),
                boot,
                moved: self.moved.clone(),
                foreign_kill: None,
                leftover: self.listed.map(leftover),
                others: None,
            },
            variables: Variables(self.variables.clone()),
            log: Some(Log::of_last_end(
                self.log
                    .iter()
                    .filter_map(|line| LogEvent::read(line.as_bytes()))
                    .collect(),
                self.thread,
            )),
            kernel: self.kernel.as_ref().map(|lines| Kernel {
                events: lines
                    .iter()
                    .filter_map(|line| KernelEvent::read(line.as_bytes()))
                    .collect(),
                group_kills: self.group_kills,
            }),
            client: message.and_then(ClientMessage::read),
        }
    }

    /// What `why --from` finds in the new lines of the error log.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut reading = Reading::default();
        for line in &self.log {
            reading.line(line.as_bytes());
        }
        reading.finish().0
    }
}

fn reach(met: Met) -> Reach {
    match met {
        Met::Greeting => Reach::Greeted,
        Met::Said(code) => Reach::Said(code),
        Met::Refused => Reach::Refused,
        Met::Mute => Reach::Mute,
        Met::Silent => Reach::Silent,
    }
}

fn leftover(listed: Listed) -> Leftover {
    match listed {
        Listed::Gone => Leftover::Gone,
        Listed::Sleeps => Leftover::Sleeps,
        Listed::Runs => Leftover::Runs,
    }
}
