//! Incidents of logins that came to nothing through no fault of the client's.

use std::time::{Duration, SystemTime};

use steadfast_diagnose::{End, Evidence, Moment, Reach, Side, Told, Variables, Wire};
use steadfast_net::ServerError;
use tokio::time::Instant;

use super::{Incident, Report, Step, millis};
use crate::around::OF_THE_SERVER;
use crate::driver::said;
use crate::metrics::LoginRefusal;
use crate::shared::Shared;

/// Has it looked into, if it is one; `waited` is how long the client tried.
pub(crate) fn refused(
    shared: &Shared,
    client: String,
    reason: LoginRefusal,
    error: &ServerError,
    waited: Duration,
) {
    let now = Instant::now();
    let said = || End::Said {
        code: error.code,
        message: String::from_utf8_lossy(&error.message).into_owned(),
        survives: false,
    };
    // Where nobody was reached, the attempts since then tell what was met.
    let began = now.checked_sub(waited).unwrap_or(now);
    let reach = shared.around.last_failure_since(began);
    let (moment, end) = match reason {
        LoginRefusal::Server if OF_THE_SERVER.contains(&error.code) => (Moment::Connecting, said()),
        LoginRefusal::Timeout => (Moment::Login, said()),
        // The client has lost its patience, and the server had not been reached.
        LoginRefusal::Gone if reach.is_some() => unreached(reach),
        LoginRefusal::NoServer => unreached(reach),
        _ => return,
    };
    let mut evidence = Evidence {
        wire: Some(Wire {
            side: Side::Server,
            moment,
            end,
            quiet: waited,
            quiet_before: Duration::ZERO,
            waited,
            sent: 0,
            received: 0,
            stalled: Duration::ZERO,
            in_transaction: false,
        }),
        ..Evidence::default()
    };
    if matches!(reason, LoginRefusal::NoServer | LoginRefusal::Gone) {
        evidence.aside.reach = reach;
    }
    let id = shared.incidents.next_id().to_string();
    let (at_ms, waited_ms) = millis(SystemTime::now(), waited);
    let outcome = match reason {
        LoginRefusal::Gone => "the client gave up".to_owned(),
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
        in_force: Variables::default(),
        made: None,
        open: false,
    });
}

/// How an attempt ended that reached nobody who would serve it.
fn unreached(reach: Option<Reach>) -> (Moment, End) {
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
