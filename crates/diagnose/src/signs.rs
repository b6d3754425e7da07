//! What several rules look for.

use core::time::Duration;

use crate::cause::Cause;
use crate::client::{ClientMoment, is_steadfasts};
use crate::evidence::{Aside, Boot, End, Evidence, Leftover, Moment, Product, Reach, Side, Wire};
use crate::log::{Aborted, LogKind, said};
use crate::rule::Sign;
use crate::words::time;

/// How much later than its timer a server may act, and a clock may tell.
pub(crate) const LATE: Duration = Duration::from_secs(3);

/// How much earlier.
pub(crate) const EARLY: Duration = Duration::from_millis(1_100);

/// Below this a firewall or a load balancer does not forget a connection: the shortest limit in the field is a minute,
/// and somebody may have made one for a test.
pub(crate) const SHORTEST_MIDDLEBOX: Duration = Duration::from_secs(10);

/// Whether `quiet` is what a timer of `limit` leaves.
pub(crate) fn matches_timer(quiet: Duration, limit: Duration) -> bool {
    quiet + EARLY >= limit && quiet <= limit + LATE
}

impl Aborted {
    /// Whether a connection that was lost for this cause may have this reason in the error log.
    pub(crate) fn allows(self, cause: Cause) -> bool {
        let causes: &[Cause] = match self {
            Self::TimeoutReading => &[
                Cause::IdleTimeout,
                Cause::IdleTransactionTimeout,
                Cause::StalledUpload,
                // The server does not know that nothing can reach it any more, and its timer runs.
                Cause::MiddleboxIdle,
                Cause::NetworkDrop,
            ],
            Self::TimeoutWithinPacket => &[Cause::StalledUpload, Cause::NetworkDrop],
            Self::TimeoutWriting => &[Cause::SlowReader, Cause::NetworkDrop],
            Self::ErrorReading => &[
                Cause::ClientGone,
                Cause::ClientTimeout,
                Cause::ProxyTimeout,
                Cause::MiddleboxIdle,
                Cause::NetworkDrop,
                // The client got no answer, and left.
                Cause::Hang,
            ],
            // MariaDB says so of a timeout too.
            Self::ErrorWriting => &[
                Cause::SlowReader,
                Cause::ClientGone,
                Cause::ClientTimeout,
                Cause::ProxyTimeout,
                Cause::NetworkDrop,
            ],
            Self::PacketTooLarge => &[Cause::PacketTooLarge],
            Self::OutOfOrder => &[Cause::ProtocolMisuse],
            Self::Inactivity => &[Cause::IdleTimeout],
            // A statement that ran too long leaves the mark of a KILL, of which MariaDB tells at the end.
            Self::Killed => &[Cause::Killed, Cause::Shutdown, Cause::QueryTimeout],
            Self::LoginTimeout => &[Cause::HandshakeTimeout],
            Self::Unauthenticated => &[
                Cause::HandshakeTimeout,
                Cause::ClientGone,
                Cause::NetworkDrop,
                Cause::ProxyTimeout,
                Cause::Hang,
            ],
            Self::Normally | Self::Other => return true,
        };
        causes.contains(&cause)
    }
}

impl Evidence {
    pub(crate) fn is(&self, product: Product) -> bool {
        self.server.is_some_and(|server| server.product == product)
    }

    /// The error that the server, or who speaks for it, gave with this number.
    pub(crate) fn told(&self, wanted: u16) -> Option<String> {
        if let Some(Wire {
            end: End::Said { code, message, .. },
            ..
        }) = &self.wire
            && *code == wanted
        {
            return Some(format!("the server said {code}: {message}"));
        }
        let client = self.client.as_ref()?;
        (client.code == Some(wanted) && !is_steadfasts(&client.text))
            .then(|| format!("the client was told {wanted}"))
    }

    /// The server's own error, as its client tells it.
    pub(crate) fn client_was_told(&self) -> Option<String> {
        let client = self.client.as_ref()?;
        let code = client.servers_own()?;
        Some(format!("the client was told {code}: {}", client.text))
    }

    /// The text with which the server, or who speaks for it, gave the error with this number.
    pub(crate) fn told_text(&self, wanted: u16) -> Option<&str> {
        match self.wire.as_ref().map(|wire| &wire.end) {
            Some(End::Said { code, message, .. }) if *code == wanted => return Some(message),
            _ => {}
        }
        let client = self.client.as_ref()?;
        (client.code == Some(wanted) && !is_steadfasts(&client.text)).then_some(&client.text)
    }

    /// The first of these that was told.
    pub(crate) fn told_any(&self, codes: &[u16]) -> Option<String> {
        codes.iter().find_map(|code| self.told(*code))
    }

    /// The line of the error log that says why this connection was aborted.
    pub(crate) fn aborted(&self, wanted: &[Aborted]) -> Option<String> {
        let (why, line) = self.logged_reason()?;
        wanted
            .contains(&why)
            .then(|| format!("the server's error log says: {}", said(line)))
    }

    /// The reason that the error log gives for this connection's end, and its line. Where the connection's id is not
    /// known, what the log says of connections is about others.
    pub(crate) fn logged_reason(&self) -> Option<(Aborted, &str)> {
        let log = self.log.as_ref()?;
        let ours = |thread| log.thread == Some(thread);
        let detail = log.events.iter().find_map(|event| match event.kind {
            LogKind::PacketFailed { thread, why } if ours(thread) => {
                Some((why, event.line.as_str()))
            }
            _ => None,
        });
        let aborted = log.events.iter().find_map(|event| match event.kind {
            LogKind::Aborted { thread, why } if ours(thread) => Some((why, event.line.as_str())),
            _ => None,
        });
        match (detail, aborted) {
            (Some((more, line)), Some((why, _))) if why.after(more) != why => {
                Some((why.after(more), line))
            }
            (_, Some(aborted)) => Some(aborted),
            (detail, None) => detail,
        }
    }

    /// Why the error log would have a line of this connection's end, had it ended for this cause, and has none.
    pub(crate) fn log_is_silent_of(&self, cause: Cause) -> Option<String> {
        let thread = self.log.as_ref()?.thread?;
        if self.aside.leftover? != Leftover::Gone || self.logged_reason().is_some() {
            return None;
        }
        let suppressed = self.variables.text("log_error_suppression_list");
        if suppressed.is_some_and(|list| !list.is_empty()) {
            return None;
        }
        let (name, level) = match self.server?.product {
            Product::MariaDb => ("log_warnings", 2),
            Product::MySql => ("log_error_verbosity", 3),
        };
        let set = self.variables.number(name)?;
        let logged = match cause {
            Cause::IdleTimeout
            | Cause::IdleTransactionTimeout
            | Cause::StalledUpload
            | Cause::SlowReader
            | Cause::PacketTooLarge
            | Cause::ClientGone
            | Cause::ClientTimeout
            | Cause::ProxyTimeout
            | Cause::HandshakeTimeout
            // The server has the connection, or has ended it by a timer.
            | Cause::MiddleboxIdle
            | Cause::NetworkDrop => set >= level,
            Cause::Killed | Cause::ProtocolMisuse => self.is(Product::MariaDb) && set >= 4,
            _ => false,
        };
        logged.then(|| {
            format!("the server logs such ends ({name}={set}), and has logged none of connection {thread}")
        })
    }

    /// Of a client that gave up waiting, where nothing else is known: why it cannot have been this cause, of which the
    /// client would have heard.
    pub(crate) fn client_would_have_heard(&self, cause: Cause) -> Option<String> {
        let client = self.client.as_ref()?;
        let waited = client.timed_out
            && client.code.is_none_or(|code| (2000..3000).contains(&code))
            && !matches!(
                client.moment,
                Some(ClientMoment::Connecting | ClientMoment::Login)
            );
        let silent = matches!(
            cause,
            Cause::ClientTimeout
                | Cause::MiddleboxIdle
                | Cause::NetworkDrop
                | Cause::Hang
                | Cause::DiskFull
        );
        (waited && !silent && self.is_clients_word_only())
            .then(|| format!("the client says that it timed out: {}", client.text))
    }

    /// Whether a client's message is all there is.
    pub(crate) fn is_clients_word_only(&self) -> bool {
        self.wire.is_none()
            && self.log.is_none()
            && self.kernel.is_none()
            && self.aside == Aside::default()
    }

    /// The line of the error log with which the server begins again.
    pub(crate) fn began_again(&self) -> Option<String> {
        self.logged(|kind| kind == LogKind::Recovers)
            .or_else(|| self.logged(|kind| kind == LogKind::Started))
    }

    /// The line of the error log that tells of a shutdown in order: one that comes after the report of a crash is a part of
    /// the crash.
    pub(crate) fn logged_shutdown(&self) -> Option<String> {
        let events = self.log.as_ref()?.events.iter();
        let event = events
            .take_while(|event| !matches!(event.kind, LogKind::Signal(_) | LogKind::Assertion))
            .find(|event| matches!(event.kind, LogKind::ShutdownAsked | LogKind::ShutDown))?;
        Some(format!("the server's error log says: {}", event.said()))
    }

    /// An error 1290 with this option in its text, that the server or the client told.
    pub(crate) fn told_option(&self, option: &[&str]) -> Option<String> {
        let is_it = |text: &str| option.iter().any(|option| text.contains(option));
        if let Some(Wire {
            end:
                End::Said {
                    code: 1290,
                    message,
                    ..
                },
            ..
        }) = &self.wire
            && is_it(message)
        {
            return Some(format!("the server said 1290: {message}"));
        }
        let client = self.client.as_ref()?;
        (client.code == Some(1290) && is_it(&client.text))
            .then(|| format!("the client was told 1290: {}", client.text))
    }

    /// The first line of the error log that tells this.
    pub(crate) fn logged(&self, tells: impl Fn(LogKind) -> bool) -> Option<String> {
        let log = self.log.as_ref()?;
        let event = log.events.iter().find(|event| tells(event.kind))?;
        Some(format!("the server's error log says: {}", event.said()))
    }

    /// The line of the error log that tells of damaged data. What only shows when the server begins again is what an
    /// abnormal end leaves behind, not its cause, unless the server ends by it again.
    pub(crate) fn logged_damage(&self) -> Option<String> {
        let events = &self.log.as_ref()?.events;
        let is = |kinds: fn(LogKind) -> bool| events.iter().position(|event| kinds(event.kind));
        let damage = is(|kind| kind == LogKind::Corruption)?;
        let begins = is(|kind| {
            matches!(
                kind,
                LogKind::Started | LogKind::Signal(_) | LogKind::Assertion
            )
        })
        .is_some_and(|start| start < damage);
        let ends_again = events[damage..]
            .iter()
            .any(|event| matches!(event.kind, LogKind::Signal(_) | LogKind::Assertion));
        (!begins || ends_again)
            .then(|| format!("the server's error log says: {}", events[damage].said()))
    }

    /// What the connection was doing: as seen on it, else as the client tells.
    pub(crate) fn moment(&self) -> Option<Moment> {
        if let Some(wire) = &self.wire {
            return Some(wire.moment);
        }
        Some(match self.client.as_ref()?.moment? {
            ClientMoment::Connecting => Moment::Connecting,
            ClientMoment::Login => Moment::Login,
            ClientMoment::Sending => Moment::Idle,
            ClientMoment::Waiting => Moment::Waiting,
            ClientMoment::Reading => Moment::Downloading,
        })
    }

    /// How it ended, where the server's side ended it.
    pub(crate) fn server_end(&self) -> Option<&End> {
        let wire = self.wire.as_ref()?;
        (wire.side == Side::Server).then_some(&wire.end)
    }

    /// What the server's counter moved by.
    pub(crate) fn moved(&self, counter: &str) -> Option<u64> {
        self.aside.moved.as_ref()?.get(counter).copied()
    }

    /// What the session's wait for the client's next command was limited to.
    pub(crate) fn idle_limit(&self) -> Option<Duration> {
        // An interactive client's wait_timeout is set from interactive_timeout at its login.
        let wait = self.variables.limit("wait_timeout")?;
        Some(match self.variables.limit("interactive_timeout") {
            Some(interactive) => wait.min(interactive),
            None => wait,
        })
    }

    /// The shortest limit to being idle in a transaction, and its name.
    pub(crate) fn idle_transaction_limit(&self) -> Option<(&'static str, Duration)> {
        [
            "idle_transaction_timeout",
            "idle_readonly_transaction_timeout",
            "idle_write_transaction_timeout",
        ]
        .into_iter()
        .filter_map(|name| Some((name, self.variables.limit(name)?)))
        .min_by_key(|(_, limit)| *limit)
    }
}

/// Against everything that does not end the server's process ([`Cause::ends_server`]).
pub(crate) const RESTARTED: Sign = Sign {
    what: "the server was restarted: its uptime began again",
    seen: |evidence| match evidence.aside.boot? {
        Boot::Restarted(Some(up)) => Some(format!(
            "the server was restarted: it has been up for {} only",
            time(up)
        )),
        Boot::Restarted(None) => Some("the server was restarted".to_owned()),
        Boot::Same(_) => None,
    },
};

/// Against everything that leaves the server running.
pub(crate) const DOWN: Sign = Sign {
    what: "nobody listened at the server's address right after, though somebody had",
    seen: |evidence| {
        let was_there = (LOGGED_IN.seen)(evidence)?;
        (evidence.aside.reach? == Reach::Refused)
            .then(|| format!("nobody listened at the server's address right after; {was_there}"))
    },
};

/// Against everything that ends the server.
pub(crate) const SAME_BOOT: Sign = Sign {
    what: "the server was not restarted: its uptime went on",
    seen: |evidence| match evidence.aside.boot? {
        Boot::Same(up) => Some(format!(
            "the server was not restarted: it has been up for {}",
            time(up)
        )),
        Boot::Restarted(_) => None,
    },
};

/// Against everything that the server does to a connection.
pub(crate) const CLIENT_ENDED: Sign = Sign {
    what: "the client's side ended the connection",
    seen: |evidence| {
        let wire = evidence.wire.as_ref()?;
        (wire.side == Side::Client).then(|| "the client's side ended the connection".to_owned())
    },
};

/// Against everything that the client does.
pub(crate) const SERVER_ENDED: Sign = Sign {
    what: "the server's side ended the connection, or fell silent: the client was there",
    seen: |evidence| {
        Some(match evidence.server_end()? {
            End::Silence => "the client was there when the server's side fell silent".to_owned(),
            _ => "the server's side ended the connection".to_owned(),
        })
    },
};

/// Against everything that ends in an orderly way.
pub(crate) const FELL_SILENT: Sign = Sign {
    what: "nothing came any more, not even the end of the connection",
    seen: |evidence| {
        (evidence.server_end()? == &End::Silence).then(|| {
            "nothing came from the server any more, not even the end of the connection".to_owned()
        })
    },
};

/// Against everything that is silent.
pub(crate) const WAS_CLOSED: Sign = Sign {
    what: "the connection was closed or reset, not silent",
    seen: |evidence| match evidence.server_end()? {
        End::Fin => Some("the connection was closed with FIN".to_owned()),
        End::Reset | End::ResetInAnswer => Some("the connection was reset".to_owned()),
        End::Said { .. } => Some("the server said why".to_owned()),
        End::Refused | End::Silence | End::Nonsense => None,
    },
};

/// Against what ends an established connection.
pub(crate) const NOT_LOGGED_IN: Sign = Sign {
    what: "the connection was still being made",
    seen: |evidence| match evidence.moment()? {
        Moment::Connecting => Some("there was no greeting yet".to_owned()),
        Moment::Login => Some("the login had not ended".to_owned()),
        _ => None,
    },
};

/// Against what refuses a connection.
pub(crate) const LOGGED_IN: Sign = Sign {
    what: "the connection had been made, and its login had ended",
    seen: |evidence| match evidence.moment()? {
        Moment::Connecting | Moment::Login => None,
        _ => Some("the login had ended before".to_owned()),
    },
};

/// Against what ends a connection while it does nothing.
pub(crate) const BUSY: Sign = Sign {
    what: "a command was in flight",
    seen: |evidence| match evidence.moment()? {
        // A client that waits may wait for what was lost before.
        Moment::Waiting if evidence.wire.is_none() => None,
        Moment::Waiting | Moment::Downloading => {
            Some("the server was at work on a command".to_owned())
        }
        Moment::Uploading => Some("a command was on its way to the server".to_owned()),
        _ => None,
    },
};

/// Against what strikes a command.
pub(crate) const IDLE: Sign = Sign {
    what: "nothing was in flight",
    seen: |evidence| {
        (evidence.wire.as_ref()?.moment == Moment::Idle)
            .then(|| "no command was in flight".to_owned())
    },
};

/// Against what the server announces.
pub(crate) const WORDLESS: Sign = Sign {
    what: "the connection ended without an error of the server's",
    seen: |evidence| match evidence.server_end()? {
        End::Fin | End::Reset | End::ResetInAnswer | End::Silence => {
            Some("the server gave no error".to_owned())
        }
        _ => None,
    },
};

/// Against what happens without a word.
pub(crate) const SPOKE: Sign = Sign {
    what: "the server gave an error that says something else",
    seen: |evidence| {
        if evidence.wire.is_none() {
            return evidence.client_was_told();
        }
        match evidence.server_end()? {
            End::Said { code, message, .. } => Some(format!("the server said {code}: {message}")),
            _ => None,
        }
    },
};

/// Against what ends a statement and keeps the connection.
pub(crate) const LOST_IT: Sign = Sign {
    what: "the client lost its connection, which this does not end",
    seen: |evidence| {
        let client = evidence.client.as_ref()?;
        let lost = client.code.is_some_and(|code| (2000..2100).contains(&code));
        (lost && !client.proxy).then(|| format!("the client lost its connection: {}", client.text))
    },
};

/// Against everything but what ends one statement.
pub(crate) const SURVIVED: Sign = Sign {
    what: "the connection went on: only the statement was ended",
    seen: |evidence| match evidence.server_end()? {
        End::Said { survives: true, .. } => {
            Some("the connection went on: only the statement was ended".to_owned())
        }
        _ => None,
    },
};

/// Against what keeps the server from answering.
pub(crate) const OTHERS_WERE_GREETED: Sign = Sign {
    what: "other connections were answered at the same time",
    seen: |evidence| match evidence.aside.reach? {
        Reach::Greeted | Reach::Said(_) => {
            Some("another connection was answered at once".to_owned())
        }
        _ => None,
    },
};

/// Against what the server itself ended: it would be gone there.
pub(crate) const LEFT_OVER: Sign = Sign {
    what: "the server still has the connection in its process list",
    seen: |evidence| match evidence.aside.leftover? {
        Leftover::Sleeps => Some(
            "the server still has the connection, asleep: it does not know of its end".to_owned(),
        ),
        Leftover::Runs => Some(
            "the server still runs its statement: it does not know of the connection's end"
                .to_owned(),
        ),
        Leftover::Gone => None,
    },
};

/// Against what counts as an aborted client.
pub(crate) const NOT_ABORTED: Sign = Sign {
    what: "the server has not the connection any more, and counted no aborted client (Aborted_clients did not move)",
    seen: |evidence| {
        let gone = evidence.aside.leftover? == Leftover::Gone;
        (gone && evidence.moved("Aborted_clients")? == 0).then(|| {
            "the server counted no aborted client (Aborted_clients did not move)".to_owned()
        })
    },
};

/// Against what counts as an aborted client, or during the login as an aborted login.
pub(crate) const NOTHING_ABORTED: Sign = Sign {
    what: "the server has not the connection any more, and counted no aborted client nor login (Aborted_clients, \
           Aborted_connects)",
    seen: |evidence| {
        let gone = evidence.aside.leftover? == Leftover::Gone;
        let none =
            evidence.moved("Aborted_clients")? == 0 && evidence.moved("Aborted_connects")? == 0;
        (gone && none).then(|| {
            "the server counted no aborted client and no aborted login (Aborted_clients, Aborted_connects)".to_owned()
        })
    },
};

/// Against what refuses a connection before it has an id.
pub(crate) const WAS_GREETED: Sign = Sign {
    what: "the server had greeted the connection: it had an id",
    seen: |evidence| {
        let thread = evidence.log.as_ref()?.thread?;
        Some(format!(
            "the server had greeted the connection: its id was {thread}"
        ))
    },
};

/// Against what ends one connection only.
pub(crate) const ALL_WERE_LOST: Sign = Sign {
    what: "several connections were lost in the same second, and none was kept",
    seen: |evidence| {
        let others = evidence.aside.others?;
        (others.lost >= 2 && others.kept == 0).then(|| {
            format!(
                "{} other connections were lost in the same second, and none was kept",
                others.lost
            )
        })
    },
};

/// Against a shutdown and a crash: what the error log would hold.
pub(crate) const SHUT_DOWN_IN_ORDER: Sign = Sign {
    what: "the error log tells of a shutdown in order",
    seen: Evidence::logged_shutdown,
};

/// Against a kill from outside.
pub(crate) const DIED_OF_ITSELF: Sign = Sign {
    what: "the error log has the server's own report of its end",
    seen: |evidence| {
        evidence.logged(|kind| matches!(kind, LogKind::Signal(_) | LogKind::Assertion))
    },
};
