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

use super::front::Incident;

/// Which evidence a verdict is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Look {
    /// What Steadfast sees of the connection and asks the server, and what the server's machine tells where Steadfast can
    /// read it: the error log, the kernel's log, the control group.
    Both,
    /// What Steadfast sees of the connection and asks the server.
    Proxy,
    /// What can be seen at the server: its counters, variables, process list and error log, its kernel's log and control
    /// group, and an attempt to connect from beside it.
    Server,
    /// The same, and the client's message.
    ServerAndMessage,
}

impl Look {
    pub(crate) const ALL: [Self; 4] = [
        Self::Both,
        Self::Proxy,
        Self::Server,
        Self::ServerAndMessage,
    ];

    /// Those that a line has the evidence for.
    pub(crate) fn of(line: &Collected) -> [Self; 2] {
        if line.steadfast.is_some() {
            [Self::Both, Self::Proxy]
        } else {
            [Self::Server, Self::ServerAndMessage]
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Both => "Steadfast and the server's logs",
            Self::Proxy => "Steadfast only",
            Self::Server => "server only",
            Self::ServerAndMessage => "server and the client's message",
        }
    }
}

/// What Steadfast said of an injection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Through {
    /// Nothing was to be lost.
    pub(crate) prevented: bool,
    /// `None`: nothing was.
    pub(crate) incident: Option<Incident>,
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
    /// Clients came through Steadfast.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) steadfast: Option<Through>,
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
        if let Some(incident) = self.incident() {
            let mut evidence = incident.evidence.clone();
            if look == Look::Proxy {
                (evidence.log, evidence.kernel) = (None, None);
            }
            return evidence;
        }
        let boot = match (self.same_boot, self.restarted) {
            (Some(up), _) => Some(Boot::Same(Duration::from_secs(up))),
            (None, Some(up)) => Some(Boot::Restarted(Some(Duration::from_secs(up)))),
            (None, None) => None,
        };
        let restarted = matches!(boot, Some(Boot::Restarted(_)));
        let message = match look {
            Look::ServerAndMessage => self.message.as_deref(),
            _ => None,
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
                kills_before: None,
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
                restarted,
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

    /// What Steadfast wrote of it.
    pub(crate) fn incident(&self) -> Option<&Incident> {
        self.steadfast.as_ref()?.incident.as_ref()
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
