//! Incidents of logins that came to nothing through no fault of the client's.

use std::time::{Duration, SystemTime};

use steadfast_diagnose::{End, Evidence, Moment, Reach, Side, Told, Variables};
use steadfast_net::ServerError;
use tokio::time::Instant;

use super::{Incident, Report, Step, millis, said};
use crate::around::OF_THE_SERVER;
use crate::metrics::LoginRefusal;
use crate::shared::Shared;
use crate::traffic::Seen;

/// Has it looked into, if it is one; `waited` is how long the client tried.
pub(crate) fn refused(
    shared: &Shared,
    client: String,
    reason: LoginRefusal,
    error: &ServerError,
    waited: Duration,
) {
    let now = Instant::now();
    let by_error = || End::Said {
        code: error.code,
        message: String::from_utf8_lossy(&error.message).into_owned(),
        survives: false,
    };
    // Where nobody was reached, the attempts since then tell what was met.
    let began = now.checked_sub(waited).unwrap_or(now);
    let reach = shared.around.last_failure_since(began);
    let (moment, end) = match reason {
        LoginRefusal::Server if OF_THE_SERVER.contains(&error.code) => {
            (Moment::Connecting, by_error())
        }
        LoginRefusal::Timeout if error.code == 0 => (Moment::Login, End::Silence),
        LoginRefusal::Timeout => (Moment::Login, by_error()),
        // The client has lost its patience, and the server had not been reached.
        LoginRefusal::Gone if reach.is_some() => unreached(reach),
        LoginRefusal::NoServer => unreached(reach),
        _ => return,
    };
    let seen = Seen {
        quiet: waited,
        waited,
        ..Seen::default()
    };
    let mut evidence = Evidence {
        wire: Some(seen.wire(Side::Server, moment, end, false)),
        ..Evidence::default()
    };
    if matches!(reason, LoginRefusal::NoServer | LoginRefusal::Gone) {
        evidence.aside.reach = reach;
    }
    let id = shared.incidents.next_id().to_string();
    let (at_ms, waited_ms) = millis(SystemTime::now(), waited);
    let outcome = match reason {
        LoginRefusal::Gone => "the client gave up".to_owned(),
        // The relay of a login: neither side has said anything.
        LoginRefusal::Timeout if error.code == 0 => "the client got no answer".to_owned(),
        _ => format!("the client was told {error}"),
    };
    shared.incidents.record(Report {
        incident: Incident {
            id,
            at_ms,
            user: String::new(),
            schema: None,
            client,
            connection: 0,
            server_connection: None,
            statement: None,
            phase: "login".to_owned(),
            end: "a login came to nothing".to_owned(),
            outcome: outcome.clone(),
            waits: false,
            error: error.code,
            waited_ms,
            why: Told::default(),
            story: vec![Step {
                ms: 0,
                what: outcome,
            }],
            evidence,
        },
        lost: now,
        since: now,
        in_force: Variables::default(),
        made: None,
    });
}

/// How an attempt ended that reached nobody who would serve it.
pub(crate) fn unreached(reach: Option<Reach>) -> (Moment, End) {
    let end = match reach {
        Some(Reach::Refused) => End::Refused,
        Some(Reach::Said(code)) => End::Said {
            code,
            message: said(code).to_owned(),
            survives: false,
        },
        _ => End::Silence,
    };
    (Moment::Connecting, end)
}
