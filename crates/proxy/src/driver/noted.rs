//! Incidents without a lost server connection: the client went away without a goodbye, or a statement of its was ended.

use std::io;
use std::time::SystemTime;

use steadfast_diagnose::{
    self as diagnose, Evidence, Moment, Side, Told, may_tell_of_a_cause, tells_of_a_cause,
};
use tokio::time::Instant;

use super::Driver;
use super::account::{in_force, server};
use crate::incident::{Incident, Report, Step, millis, said};
use crate::link::Link;
use crate::traffic::Seen;

/// Errors that answer a command, and behind which a server ends the connection: a packet is too large, or makes no sense;
/// MySQL's limits to a connection's memory.
const ENDS: [u16; 5] = [1153, 1156, 1157, 4081, 4082];

impl Driver {
    /// The client is gone without COM_QUIT, or what it sent is not the protocol.
    pub(super) fn note_client_gone(&self, error: &io::Error) {
        if let Some((code, message)) = self.last_word_before(Instant::now()) {
            let end = diagnose::End::Said {
                code,
                message,
                survives: false,
            };
            let what = format!("the server ended the connection with error {code}");
            let outcome = "the client was told so, and left";
            self.note(Side::Server, Moment::Uploading, end, &what, outcome, code);
            return;
        }
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

    /// A statement was answered with an error, and the connection goes on, or is about to be ended by the server.
    pub(super) fn note_error(&mut self, code: u16) {
        if !ENDS.contains(&code) && !may_tell_of_a_cause(code) {
            return;
        }
        let message = self.link.as_ref().map(|link| link.relay.message());
        let message = message.unwrap_or_default();
        if ENDS.contains(&code) {
            self.last_word = Some(Box::new((code, message, Instant::now())));
        } else if tells_of_a_cause(code, &message) {
            let what = format!("the server ended a statement with error {code}");
            let end = diagnose::End::Said {
                code,
                message,
                survives: true,
            };
            self.note(
                Side::Server,
                Moment::Waiting,
                end,
                &what,
                "the client was told so",
                code,
            );
        }
    }

    /// A command of so many bytes is larger than the server takes.
    pub(super) fn note_too_large(&self, size: u64, limit: u64) {
        let end = diagnose::End::Said {
            code: 1153,
            message: format!(
                "{}: {size} bytes, where max_allowed_packet is {limit}",
                said(1153)
            ),
            survives: true,
        };
        let what = format!("a command of {size} bytes is larger than the server takes ({limit})");
        self.note(
            Side::Server,
            Moment::Uploading,
            end,
            &what,
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
        let Some(untold) = self.shared.incidents.limit.may_tell(error) else {
            return;
        };
        let outcome = match untold {
            0 => outcome.to_owned(),
            _ => format!("{outcome}; {untold} more such incidents before it are not told"),
        };
        let link = self.link.as_ref();
        let seen = self.seen();
        let idle = moment == Moment::Idle;
        // One that is not taken at all is none in flight: the last one that was is another.
        let in_flight = !idle && moment != Moment::Uploading;
        let statement = in_flight.then(|| self.statement_in_flight()).flatten();
        let evidence = Evidence {
            server: link.map(server),
            wire: Some(seen.wire(side, moment, end, self.core.transaction().is_open())),
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
                outcome,
                waits: false,
                error,
                waited_ms: 0,
                why: Told::default(),
                story: vec![Step {
                    ms: 0,
                    what: what.to_owned(),
                }],
                evidence,
            },
            lost: Instant::now(),
            since: Instant::now(),
            in_force: link.map(in_force).unwrap_or_default(),
            made: link.map(|link| link.made),
        });
    }
}
