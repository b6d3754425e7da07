//! `connect_timeout`: the login did not end in time.

use super::raise;
use crate::cause::Cause;
use crate::client::ClientMoment;
use crate::evidence::{End, Evidence, Leftover, Moment};
use crate::log::Aborted;
use crate::rule::{Rule, Setting, Sign, Step, advise};
use crate::signs::{EARLY, LATE, LEFT_OVER, LOGGED_IN, SURVIVED};
use crate::words::time;

pub(super) const RULE: Rule = Rule {
    cause: Cause::HandshakeTimeout,
    meaning: "The login did not end within connect_timeout: the client, or something between, was too slow with its answer to \
              the server's greeting (name resolution, an overloaded host, a pool that opens connections ahead of use).",
    proofs: &[
        Sign {
            what: "the server said 1159 during the login",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                matches!(wire.moment, Moment::Connecting | Moment::Login)
                    .then(|| evidence.told(1159))?
            },
        },
        Sign {
            what: "the client was told 1159, and the server counted an aborted login and no aborted client",
            seen: |evidence| {
                let logging_in = evidence.wire.is_none()
                    && evidence.moved("Aborted_connects")? > 0
                    && evidence.moved("Aborted_clients")? == 0;
                logging_in.then(|| evidence.told(1159))?.map(|told| {
                    format!(
                        "{told}, and the server counted an aborted login, not an aborted client"
                    )
                })
            },
        },
        Sign {
            what: "the server ended the connection when connect_timeout had passed and the login had not ended",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let limit = evidence.variables.limit("connect_timeout")?;
                let ended = matches!(evidence.server_end()?, End::Fin | End::Reset);
                let in_time = wire.waited + EARLY >= limit && wire.waited <= limit + LATE;
                (ended && wire.moment == Moment::Login && in_time).then(|| {
                    format!(
                        "the login had taken {}, and connect_timeout is {}",
                        time(wire.waited),
                        time(limit)
                    )
                })
            },
        },
        Sign {
            what: "the error log says that reading timed out before the login had ended",
            seen: |evidence| evidence.aborted(&[Aborted::LoginTimeout]),
        },
    ],
    refutations: &[
        Sign {
            what: "the server has not the connection any more, and counted no aborted login (Aborted_connects did not move)",
            seen: |evidence| {
                let gone = evidence.aside.leftover? == Leftover::Gone;
                (gone && evidence.moved("Aborted_connects")? == 0).then(|| {
                    "the server counted no aborted login (Aborted_connects did not move)".to_owned()
                })
            },
        },
        LEFT_OVER,
        LOGGED_IN,
        SURVIVED,
        Sign {
            what: "the client's attempt to connect was refused, or got no answer: there was no login yet",
            seen: |evidence| {
                let client = evidence.client.as_ref()?;
                let unanswered = matches!(client.os_error, Some(101 | 110 | 111 | 113));
                (client.moment == Some(ClientMoment::Connecting) && unanswered)
                    .then(|| format!("the client never got as far as a login: {}", client.text))
            },
        },
        Sign {
            what: "the login had taken less than connect_timeout",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let limit = evidence.variables.limit("connect_timeout")?;
                (wire.waited + EARLY < limit).then(|| {
                    format!(
                        "the login had taken {} only, and connect_timeout is {}",
                        time(wire.waited),
                        time(limit)
                    )
                })
            },
        },
        Sign {
            what: "the server said something else",
            seen: |evidence| match evidence.server_end()? {
                End::Said { code, message, .. } if *code != 1159 => {
                    Some(format!("the server said {code}: {message}"))
                }
                End::Refused => Some("the attempt to connect was refused".to_owned()),
                _ => None,
            },
        },
    ],
    hints: &[
        Sign {
            what: "the error log says that the connection closed without authentication, as those of health checks do (MariaDB)",
            seen: |evidence| evidence.aborted(&[Aborted::Unauthenticated]),
        },
        Sign {
            what: "the client lost the connection while it logged in",
            seen: |evidence| {
                let moment = evidence.client.as_ref()?.moment?;
                matches!(moment, ClientMoment::Connecting | ClientMoment::Login).then(|| {
                    "the client lost the connection while it connected or logged in".to_owned()
                })
            },
        },
    ],
    brings: &[],
    question: "Do Aborted_connects (on MariaDB also Aborted_connects_preauth) move when it happens, and is the client's host \
               overloaded at that time?",
    fix,
};

fn fix(evidence: &Evidence) -> Vec<Step> {
    vec![
        raise(
            evidence,
            "connect_timeout",
            "three times what it is",
            |limit| limit.saturating_mul(3).clamp(30, 300),
        ),
        Setting::at_start("skip_name_resolve", "ON"),
        advise(
            "skip_name_resolve keeps slow name servers out of the login; first see that no account is named by a host name \
             (SELECT user, host FROM mysql.user WHERE host RLIKE '[a-z]').",
        ),
        advise(
            "Have the pool open connections when they are needed, and not more at once than the server can greet.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::testing::{certain, mariadb, of_server, wire};

    #[test]
    fn a_login_that_takes_too_long_is_ended() {
        let mut seen = wire(Moment::Login, End::Reset);
        seen.waited = Duration::from_millis(10_100);
        let mut evidence = of_server(mariadb(), seen);
        evidence
            .variables
            .0
            .insert("connect_timeout".to_owned(), "10".to_owned());
        certain(&evidence, Cause::HandshakeTimeout);
    }
}
