//! Incidents of logins that came to nothing through no fault of the client's.

use std::time::{Duration, SystemTime};

use steadfast_diagnose::{End, Evidence, Moment, Reach, Side, Told, Variables, Wire};
use steadfast_net::ServerError;
use tokio::time::Instant;

use super::{Incident, Report, Step, millis};
use crate::metrics::LoginRefusal;
use crate::shared::Shared;

/// The server's refusals that have nothing to do with who logs in: it is full, the account is, the host is blocked, it is
/// offline, it shuts down.
const OF_THE_SERVER: [u16; 6] = [1040, 1053, 1129, 1203, 1226, 3032];

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
    // Where nobody was reached, the last attempt tells what was met.
    let reach = shared.around.last_reach();
    let (moment, end) = match reason {
        LoginRefusal::Server if OF_THE_SERVER.contains(&error.code) => (Moment::Connecting, said()),
        LoginRefusal::Timeout => (Moment::Login, said()),
        LoginRefusal::NoServer => match reach {
            Some(Reach::Refused) => (Moment::Connecting, End::Refused),
            _ => (Moment::Connecting, End::Silence),
        },
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
    if reason == LoginRefusal::NoServer {
        evidence.aside.reach = reach;
    }
    let id = shared.incidents.next_id().to_string();
    let (at_ms, waited_ms) = millis(SystemTime::now(), waited);
    let outcome = format!("the client was told {error}");
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
    });
}
