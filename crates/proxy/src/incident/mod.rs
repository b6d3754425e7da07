//! One incident per loss: what happened, to whom, what the client saw.

mod desk;
mod limit;
mod login;
mod store;

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use serde::{Deserialize, Serialize};
use steadfast_diagnose::{Evidence, Told, Variables, diagnose};
use steadfast_session::{End, Failure};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;

pub(crate) use self::desk::look_into;
use self::limit::Limit;
pub(crate) use self::login::{refused, unreached};
pub use self::store::{Store, StoreError, Stored};
use crate::metrics::Recovery;

/// Names an incident: shown in errors and in the log, as six letters.
///
/// No digits: retry helpers look for the numbers of errors anywhere in a message (peewee's ReconnectMixin for 2006 and
/// 2013), and a doubt must not be taken for one of them. No vowels: no words.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct IncidentId(u32);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: &[u8; 16] = b"BCDFGHJKLMNPQRST";
        for place in (0..6).rev() {
            let letter = (self.0 >> (4 * place)) & 0xF;
            write!(f, "{}", char::from(LETTERS[letter as usize]))?;
        }
        Ok(())
    }
}

/// What a loss came to.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Incident {
    /// Its id, which the client's error names too.
    pub id: String,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The user.
    pub user: String,
    /// The default schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// Where the client is.
    pub client: String,
    /// The connection id that the client knows.
    pub connection: u32,
    /// The server's id of the connection that was lost, as its logs have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_connection: Option<u32>,
    /// The statement in flight, without its literals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// What the session was doing: idle, transaction, command, response, recovery.
    pub phase: String,
    /// How the connection ended, in people's words.
    pub end: String,
    /// What became of it, in people's words.
    pub outcome: String,
    /// The client still waits: what comes of it is not known yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
    /// The error that the client was told, or 0.
    pub error: u16,
    /// For how long the client waited, in milliseconds.
    pub waited_ms: u64,
    /// Why, on what evidence, and what to do.
    pub why: Told,
    /// What happened, in its order.
    pub story: Vec<Step>,
    /// What it was judged by.
    #[serde(default)]
    pub evidence: Evidence,
}

/// A step of an incident's story.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Milliseconds since the loss; before it, less than 0.
    pub ms: i64,
    /// What happened.
    pub what: String,
}

/// A loss, to be looked into.
#[derive(Debug)]
pub(crate) struct Report {
    /// All that is known of it so far.
    pub(crate) incident: Incident,
    /// When it was seen.
    pub(crate) lost: Instant,
    /// Since when it may have been so.
    pub(crate) since: Instant,
    /// Settings of the lost connection's own.
    pub(crate) in_force: Variables,
    /// When the lost connection was made.
    pub(crate) made: Option<Instant>,
}

/// Names incidents, and has them looked into and written down.
#[derive(Debug)]
pub(crate) struct Incidents {
    /// Of those without a lost connection.
    pub(crate) limit: Limit,
    next: AtomicU32,
    desk: OnceLock<Desk>,
}

/// Where losses are handed in to be looked into.
#[derive(Debug)]
struct Desk {
    reports: mpsc::Sender<Report>,
    /// Those for which it has no place.
    dropped: Counter,
}

/// Losses that may wait to be looked into.
const WAITING: usize = 16_384;

impl Default for Incidents {
    fn default() -> Self {
        // Ids of one run of the process do not look like those of the run before.
        let start = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u32);
        Self::beginning_at(start)
    }
}

impl Incidents {
    /// Whose ids count from there.
    pub(crate) fn beginning_at(start: u32) -> Self {
        Self {
            limit: Limit::default(),
            next: AtomicU32::new(start & 0x00ff_ffff),
            desk: OnceLock::new(),
        }
    }

    /// A new id.
    pub(crate) fn next_id(&self) -> IncidentId {
        IncidentId(self.next.fetch_add(1, Ordering::Relaxed) & 0x00ff_ffff)
    }

    /// From now on incidents come to this receiver, to be looked into; at once or never, and what is not written down
    /// for that is counted. `None`: they do already.
    pub(crate) fn open_desk(&self, dropped: Counter) -> Option<mpsc::Receiver<Report>> {
        let (reports, receiver) = mpsc::channel(WAITING);
        self.desk.set(Desk { reports, dropped }).ok()?;
        Some(receiver)
    }

    /// Has a loss looked into, or, where nobody does that, judges by what is known and writes it to the log.
    pub(crate) fn record(&self, report: Report) {
        let report = match self.desk.get() {
            Some(desk) => match desk.reports.try_send(report) {
                Ok(()) => return,
                // More at once than can be looked into.
                Err(TrySendError::Full(report) | TrySendError::Closed(report)) => {
                    desk.dropped.inc();
                    report
                }
            },
            None => report,
        };
        if report.incident.waits {
            return;
        }
        let mut incident = report.incident;
        incident.why = why(&incident.evidence);
        log(&incident);
    }
}

/// What the evidence comes to, in words.
pub(crate) fn why(evidence: &Evidence) -> Told {
    diagnose(evidence).told(evidence.server)
}

/// Writes an incident to the log.
pub(crate) fn log(incident: &Incident) {
    let line = format!(
        "{}@{} (connection {}): {}; {}",
        incident.user, incident.client, incident.connection, incident.end, incident.outcome
    );
    let cause = &incident.why.answer;
    if incident.error == 0 {
        tracing::info!(incident = %incident.id, cause, waited_ms = incident.waited_ms, "{line}");
    } else {
        tracing::warn!(incident = %incident.id, cause, waited_ms = incident.waited_ms, error = incident.error, "{line}");
    }
}

/// The server's words for the errors behind which it ends a connection.
pub(crate) fn said(code: u16) -> &'static str {
    match code {
        23 | 24 => "Out of resources when opening file (Errcode: 24 \"Too many open files\")",
        1040 => "Too many connections",
        1053 => "Server shutdown in progress",
        1129 => "Host is blocked because of many connection errors",
        1153 => "Got a packet bigger than 'max_allowed_packet' bytes",
        1156 => "Got packets out of order",
        1159 => "Got timeout reading communication packets",
        1203 | 1226 => "User has exceeded its limit",
        1290 => "The server is running with the --read-only option",
        1836 => "Running in read-only mode",
        1927 => "Connection was killed",
        1969 => "Query execution was interrupted (max_statement_time exceeded)",
        3024 => "Query execution was interrupted, maximum statement execution time exceeded",
        3032 => "The server is currently in offline mode",
        4031 => "The client was disconnected by the server because of inactivity",
        _ => "",
    }
}

/// How a connection ended, in people's words.
pub(crate) fn end_text(end: End) -> String {
    match end {
        End::Fin => "the server closed the connection".to_owned(),
        End::Rst => "the connection to the server was reset".to_owned(),
        End::Silence => "the server did not answer any more".to_owned(),
        End::Said(1053) => "the server is shutting down (1053)".to_owned(),
        End::Said(1927) => "the server said that the connection was killed (1927)".to_owned(),
        End::Said(4031) => "the server ended the idle connection (4031)".to_owned(),
        End::Said(1644) => "the ledger refused the COMMIT's lane (1644)".to_owned(),
        End::Said(code @ (1290 | 1836)) => format!("the server has become read-only ({code})"),
        End::Said(code) => format!("the server ended the connection with error {code}"),
        End::Nonsense => "the server's bytes made no sense".to_owned(),
    }
}

impl Recovery {
    /// What became of a loss that the client did not notice; `replayed` statements.
    pub(crate) fn outcome(self, replayed: u32) -> String {
        let what = match self {
            Self::Replay => {
                format!("the open transaction was replayed ({replayed} statements)")
            }
            Self::Idle => "the session was idle".to_owned(),
            Self::Rerun => "the statement was run again".to_owned(),
            Self::Resend => "the statement had not been sent".to_owned(),
            Self::Resolved => "what was lost had been committed, as the ledger tells".to_owned(),
        };
        format!("{what}, the client saw nothing")
    }
}

/// What became of a loss that the client was told of.
pub(crate) fn failure_text(failure: Failure) -> String {
    format!(
        "the client was told {} ({})",
        failure.kind.code(),
        failure.reason.name()
    )
}

/// What became of a loss that the client could not be told of.
pub(crate) fn closed_text(failure: Failure) -> String {
    format!(
        "the client's connection had to be closed, in the middle of a row ({})",
        failure.reason.name()
    )
}

/// Milliseconds since 1970 for `SystemTime`, and a duration in whole milliseconds.
pub(crate) fn millis(time: SystemTime, waited: Duration) -> (u64, u64) {
    let at = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    (at, waited.as_millis() as u64)
}

#[cfg(test)]
impl Incident {
    /// One that nothing is remarkable about.
    pub(crate) fn example() -> Self {
        Self {
            id: "BCDFGH".to_owned(),
            at_ms: 0,
            user: "app".to_owned(),
            schema: None,
            client: "127.0.0.1:1".to_owned(),
            connection: 7,
            server_connection: Some(9),
            statement: None,
            phase: "idle".to_owned(),
            end: "the server closed the connection".to_owned(),
            outcome: "the session was idle, the client saw nothing".to_owned(),
            waits: false,
            error: 0,
            waited_ms: 0,
            why: why(&Evidence::default()),
            story: Vec::new(),
            evidence: Evidence::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_is_named_by_six_letters() {
        assert_eq!(IncidentId(0x00ff_ffff).to_string(), "TTTTTT");
        assert_eq!(IncidentId(0x0020_1301).to_string(), "DBCFBC");
    }

    #[test]
    fn what_is_too_much_at_once_is_counted() {
        let dropped = Counter::default();
        let incidents = Incidents::default();
        let mut reports = incidents.open_desk(dropped.clone()).unwrap();
        let report = || Report {
            incident: Incident::example(),
            lost: Instant::now(),
            since: Instant::now(),
            in_force: Variables::default(),
            made: None,
        };
        for _ in 0..WAITING + 3 {
            incidents.record(report());
        }
        assert_eq!(dropped.get(), 3);
        reports.try_recv().unwrap();
        incidents.record(report());
        assert_eq!(dropped.get(), 3, "there is a place again");
    }
}
