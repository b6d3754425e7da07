//! What the session itself knows of a loss when it sees it: for the incident.

use std::time::Duration;

use steadfast_diagnose as diagnose;
use steadfast_diagnose::{Evidence, Moment, Product, Server, Side, Variables};
use steadfast_session::{End, Hidden, Loss, Sent};
use steadfast_wire::command::code;
use tokio::time::Instant;

use super::Driver;
use crate::incident::{Step, said};
use crate::link::Link;
use crate::traffic::Seen;

/// Bytes of a statement, without its literals, that an incident keeps.
const MAX_STATEMENT: usize = 500;

/// A reset that comes this soon after a command was sent is its answer.
const IN_ANSWER: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub(super) struct Account {
    /// When the loss was seen.
    pub(super) lost: Instant,
    pub(super) evidence: Evidence,
    /// Settings of the connection's own.
    pub(super) in_force: Variables,
    /// Since when it may have been so.
    pub(super) since: Instant,
    /// When the connection was made.
    pub(super) made: Option<Instant>,
    pub(super) server_connection: Option<u32>,
    pub(super) statement: Option<String>,
    pub(super) story: Vec<Step>,
}

impl Account {
    /// Of a server that cannot be reached now, where the connection was lost before.
    pub(super) fn unreached(&self) -> Self {
        let now = Instant::now();
        Self {
            lost: now,
            evidence: Evidence {
                server: self.evidence.server,
                ..Evidence::default()
            },
            in_force: Variables::default(),
            since: now,
            made: None,
            server_connection: None,
            statement: None,
            story: Vec::new(),
        }
    }
}

impl Driver {
    /// Of the connection that is lost, as long as it is there.
    pub(super) fn account(&self, loss: Loss, lost: Instant) -> Account {
        let link = self.link.as_ref();
        let seen = link.map(|link| link.traffic.seen(lost)).unwrap_or_default();
        let unused = !self.core.is_idle() && loss.sent == Sent::Nothing;
        let seen = if unused { seen.unused() } else { seen };
        let mut moment = self.moment(loss, seen);
        let mut end = end(loss.end, moment, seen);
        // What it answered the last command with was its last word.
        if moment == Moment::Idle
            && let Some((code, message)) = self.last_word_before(lost)
        {
            moment = Moment::Uploading;
            end = diagnose::End::Said {
                code,
                message,
                survives: false,
            };
        }
        let statement = (!self.core.is_idle())
            .then(|| self.statement_in_flight())
            .flatten();
        let mut evidence = Evidence {
            server: link.map(server),
            wire: Some(seen.wire(Side::Server, moment, end, self.core.transaction().is_open())),
            ..Evidence::default()
        };
        evidence.aside.foreign_kill = loss.killed.then_some(true);
        Account {
            lost,
            evidence,
            made: link.map(|link| link.made),
            since: link.map_or(lost, |link| link.traffic.may_have_ended(lost)),
            server_connection: link.map(Link::id),
            in_force: link.map(in_force).unwrap_or_default(),
            story: story(moment, seen, statement.as_deref()),
            statement,
        }
    }

    /// The error behind which the server ends the connection, if that was its last word just before then.
    pub(super) fn last_word_before(&self, then: Instant) -> Option<(u16, String)> {
        let (code, message, at) = &**self.last_word.as_ref()?;
        let just_now = then.saturating_duration_since(*at) < IN_ANSWER;
        just_now.then(|| (*code, message.clone()))
    }

    fn moment(&self, loss: Loss, seen: Seen) -> Moment {
        if self.core.is_idle() {
            return Moment::Idle;
        }
        match loss.sent {
            // The connection was lost before it was used.
            Sent::Nothing => Moment::Idle,
            Sent::Part => Moment::Uploading,
            Sent::All if seen.received > 0 => Moment::Downloading,
            Sent::All => Moment::Waiting,
        }
    }

    /// The text of the command in flight, without its literals unless they are asked for; `None`: it has none.
    pub(super) fn statement_in_flight(&self) -> Option<String> {
        let stored = self.store.get(self.next_handle.checked_sub(1)?)?;
        let mut out = String::new();
        let (text, dialect) = match &stored.prepared {
            Some(prepared) => (&prepared.text()[..], prepared.dialect()),
            None if matches!(
                stored.payload.first(),
                Some(&(code::QUERY | code::STMT_PREPARE))
            ) =>
            {
                (stored.payload.get(1..)?, self.dialect)
            }
            None => return None,
        };
        if self.shared.literals && !sets_a_password(text) {
            let kept = text.get(..MAX_STATEMENT).unwrap_or(text);
            out.push_str(&String::from_utf8_lossy(kept));
        } else {
            steadfast_sql::normalize(text, dialect, &mut out, MAX_STATEMENT);
        }
        (!out.is_empty()).then_some(out)
    }
}

/// Whether a statement may have a password in it: those of accounts, of replication, of servers, and any that says so.
fn sets_a_password(text: &[u8]) -> bool {
    const WORDS: [&[u8]; 3] = [b"password", b"identified", b"secret"];
    WORDS.iter().any(|word| {
        text.windows(word.len())
            .any(|window| window.eq_ignore_ascii_case(word))
    })
}

pub(super) fn server(link: &Link) -> Server {
    Server {
        product: if link.connection.greeting.is_mariadb() {
            Product::MariaDb
        } else {
            Product::MySql
        },
        version: link.dialect().version,
    }
}

/// What limits the connection: Steadfast's own settings, not the client's.
pub(super) fn in_force(link: &Link) -> Variables {
    let mut variables = Variables::default();
    let hidden = Hidden::SETTINGS
        .iter()
        .filter(|(name, _)| name.ends_with("_timeout"));
    for (name, value) in hidden {
        variables.0.insert((*name).to_owned(), (*value).to_owned());
        if *name == "wait_timeout" {
            // What a session waits for is the one or the other.
            let name = "interactive_timeout".to_owned();
            variables.0.insert(name, (*value).to_owned());
        }
    }
    variables.0.insert(
        "max_allowed_packet".to_owned(),
        link.own.max_allowed_packet.to_string(),
    );
    variables
}

fn end(end: End, moment: Moment, seen: Seen) -> diagnose::End {
    match end {
        End::Fin => diagnose::End::Fin,
        End::Rst => {
            let busy = matches!(moment, Moment::Waiting | Moment::Uploading);
            if busy && seen.waited < IN_ANSWER {
                diagnose::End::ResetInAnswer
            } else {
                diagnose::End::Reset
            }
        }
        End::Silence => diagnose::End::Silence,
        End::Said(code) => diagnose::End::Said {
            code,
            message: said(code).to_owned(),
            survives: false,
        },
        End::Nonsense => diagnose::End::Nonsense,
    }
}

/// What went before the loss.
fn story(moment: Moment, seen: Seen, statement: Option<&str>) -> Vec<Step> {
    let before = |span: Duration| -i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let mut story = Vec::new();
    if moment == Moment::Idle {
        story.push(Step {
            ms: before(seen.quiet),
            what: "the last packet passed; the session was idle from then on".to_owned(),
        });
        return story;
    }
    if seen.quiet_before > Duration::from_secs(1) {
        story.push(Step {
            ms: before(seen.waited + seen.quiet_before),
            what: "the last packet before the command passed".to_owned(),
        });
    }
    story.push(Step {
        ms: before(seen.waited),
        what: match statement {
            Some(text) => format!("the command was begun: {text}"),
            None => "the command was begun".to_owned(),
        },
    });
    if seen.received > 0 {
        story.push(Step {
            ms: before(seen.quiet),
            what: format!("byte {} of its response came, the last one", seen.received),
        });
    }
    if !seen.stalled.is_zero() {
        story.push(Step {
            ms: before(seen.stalled),
            what: "the client stopped taking its result".to_owned(),
        });
    }
    story
}
