//! Incidents without a lost server connection: the client went away without a goodbye, or a statement of its was ended.

use std::io;
use std::time::SystemTime;

use steadfast_diagnose::{self as diagnose, Evidence, Moment, Side, Told, Wire};
use tokio::time::Instant;

use super::Driver;
use super::account::{in_force, said, server};
use crate::incident::{Incident, Report, Step, millis};
use crate::link::Link;
use crate::traffic::Seen;

/// Errors with which a server ends a statement that ran too long, and keeps the connection: MariaDB's and MySQL's.
const TOO_LONG: [u16; 2] = [1969, 3024];

/// Errors that answer a command, and behind which a server ends the connection: a packet is too large, or makes no sense.
const ENDS: [u16; 3] = [1153, 1156, 1157];

impl Driver {
    /// The client is gone without COM_QUIT, or what it sent is not the protocol.
    pub(super) fn note_client_gone(&self, error: &io::Error) {
        let seen = self.seen();
        let moment = if self.client.buffered() > 0 {
            Moment::Uploading
        } else if self.core.is_idle() {
            Moment::Idle
        } else if seen.received > 0 {
            Moment::Downloading
        } else {
            Moment::Waiting
        };
        let end = match error.kind() {
            io::ErrorKind::InvalidData => diagnose::End::Nonsense,
            io::ErrorKind::UnexpectedEof => diagnose::End::Fin,
            io::ErrorKind::TimedOut => diagnose::End::Silence,
            _ => diagnose::End::Reset,
        };
        let what = match end {
            diagnose::End::Nonsense => "what the client sent made no sense",
            diagnose::End::Fin => "the client closed its connection without COM_QUIT",
            diagnose::End::Silence => "the client did not answer any more",
            _ => "the client reset its connection",
        };
        self.note(Side::Client, moment, end, what, "the client is gone", 0);
    }

    /// A statement was ended, and the connection goes on.
    pub(super) fn note_error(&mut self, code: u16) {
        if ENDS.contains(&code) {
            self.last_word = Some((code, Instant::now()));
        }
        if TOO_LONG.contains(&code) {
            let end = diagnose::End::Said {
                code,
                message: said(code).to_owned(),
                survives: true,
            };
            let what = "the server ended a statement that ran too long";
            self.note(
                Side::Server,
                Moment::Waiting,
                end,
                what,
                "the client was told so",
                code,
            );
        }
    }

    /// A command of so many bytes is larger than the server takes.
    pub(super) fn note_too_large(&self) {
        let end = diagnose::End::Said {
            code: 1153,
            message: said(1153).to_owned(),
            survives: true,
        };
        let what = "a command is larger than the server takes";
        self.note(
            Side::Server,
            Moment::Uploading,
            end,
            what,
            "the client was told so",
            1153,
        );
    }

    fn seen(&self) -> Seen {
        let link = self.link.as_ref();
        link.map(|link| link.traffic.seen(Instant::now()))
            .unwrap_or_default()
    }

    fn note(
        &self,
        side: Side,
        moment: Moment,
        end: diagnose::End,
        what: &str,
        outcome: &str,
        error: u16,
    ) {
        let link = self.link.as_ref();
        let seen = self.seen();
        let idle = moment == Moment::Idle;
        let statement = (!idle).then(|| self.statement_in_flight()).flatten();
        let evidence = Evidence {
            server: link.map(server),
            wire: Some(Wire {
                side,
                moment,
                end,
                quiet: seen.quiet,
                quiet_before: seen.quiet_before,
                waited: if idle {
                    std::time::Duration::ZERO
                } else {
                    seen.waited
                },
                sent: seen.sent,
                received: seen.received,
                stalled: seen.stalled,
                in_transaction: self.core.transaction().is_open(),
            }),
            variables: link.map(in_force).unwrap_or_default(),
            ..Evidence::default()
        };
        let (at_ms, _) = millis(SystemTime::now(), seen.waited);
        let schema = self.state.schema();
        self.shared.incidents.record(Report {
            incident: Incident {
                id: self.shared.incidents.next_id().to_string(),
                at_ms,
                user: String::from_utf8_lossy(&self.identity.user).into_owned(),
                schema: schema.map(|name| String::from_utf8_lossy(name).into_owned()),
                client: self.peer.clone(),
                connection: self.claim.id(),
                server_connection: link.map(Link::id),
                statement,
                phase: if idle { "idle" } else { "command" }.to_owned(),
                end: what.to_owned(),
                outcome: outcome.to_owned(),
                error,
                waited_ms: 0,
                why: Told::default(),
                story: vec![Step {
                    ms: 0,
                    what: what.to_owned(),
                }],
            },
            lost: Instant::now(),
            evidence,
        });
    }
}
