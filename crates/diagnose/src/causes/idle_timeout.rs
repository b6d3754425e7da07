//! `wait_timeout`: the server closes what nobody uses.

use core::time::Duration;

use crate::cause::Cause;
use crate::evidence::{End, Evidence, Moment, Product};
use crate::log::{Aborted, LogKind};
use crate::rule::{Rule, Setting, Sign, Step, advise};
use crate::signs::{
    BUSY, CLIENT_ENDED, EARLY, FELL_SILENT, LEFT_OVER, NOT_ABORTED, NOT_LOGGED_IN,
    SHORTEST_MIDDLEBOX, SURVIVED, matches_timer,
};
use crate::words::time;

/// MySQL says 4031 before it closes an idle connection since 8.0.24.
const SAYS_4031: u32 = 80_024;

pub(super) const RULE: Rule = Rule {
    cause: Cause::IdleTimeout,
    meaning: "Nobody used the connection for as long as the server's wait_timeout (interactive_timeout for interactive \
              clients), and the server closed it; the client notices with its next statement.",
    proofs: &[
        Sign {
            what: "the server said 4031 (MySQL 8.0.24 and later)",
            seen: |evidence| evidence.told(4031),
        },
        Sign {
            what: "the error log says that the connection was aborted because of inactivity (MySQL, log_error_verbosity=3)",
            seen: |evidence| {
                evidence
                    .aborted(&[Aborted::Inactivity])
                    .or_else(|| evidence.logged(|kind| kind == LogKind::ClosedByTimeout))
            },
        },
        Sign {
            what: "the error log says that reading timed out, and the connection was idle outside a transaction (MariaDB)",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                (wire.moment == Moment::Idle && !wire.in_transaction)
                    .then(|| evidence.aborted(&[Aborted::TimeoutReading]))?
            },
        },
        Sign {
            what: "the server reset or closed the idle connection just when wait_timeout or interactive_timeout had passed",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let ended = matches!(evidence.server_end()?, End::Reset | End::Fin);
                if !ended || wire.moment != Moment::Idle || wire.in_transaction {
                    return None;
                }
                let name = ["wait_timeout", "interactive_timeout"]
                    .into_iter()
                    .find(|name| {
                        evidence
                            .variables
                            .limit(name)
                            .is_some_and(|limit| matches_timer(wire.quiet, limit))
                    })?;
                Some(format!(
                    "the connection was idle for {}, and {name} is {}",
                    time(wire.quiet),
                    time(evidence.variables.limit(name)?)
                ))
            },
        },
        Sign {
            what: "the client had been idle for longer than wait_timeout when it used the connection again",
            seen: |evidence| {
                let idle = client_was_idle(evidence)?;
                let limit = evidence.variables.limit("wait_timeout")?;
                (idle >= limit).then(|| {
                    format!(
                        "the client had been idle for {}, and wait_timeout is {}",
                        time(idle),
                        time(limit)
                    )
                })
            },
        },
    ],
    refutations: &[
        NOT_ABORTED,
        CLIENT_ENDED,
        NOT_LOGGED_IN,
        BUSY,
        FELL_SILENT,
        LEFT_OVER,
        SURVIVED,
        Sign {
            what: "the server said something other than 4031, or on MySQL 8.0.24 and later nothing",
            seen: |evidence| {
                if evidence.wire.is_none() && evidence.told(4031).is_none() {
                    return evidence.client_was_told();
                }
                let server = evidence.server?;
                match evidence.server_end()? {
                    End::Said { code: 4031, .. } => None,
                    End::Said { code, .. } => Some(format!("the server said {code}, not 4031")),
                    _ if server.product == Product::MySql && server.version >= SAYS_4031 => Some(
                        "the server did not say 4031, as MySQL does when wait_timeout has passed"
                            .to_owned(),
                    ),
                    End::Fin if server.product == Product::MariaDb => Some(
                        "the connection was closed with FIN; MariaDB resets it when wait_timeout has passed"
                            .to_owned(),
                    ),
                    _ => None,
                }
            },
        },
        Sign {
            what: "the error log says that reading timed out, where MySQL 8.0.24 and later says inactivity of what is idle",
            seen: |evidence| {
                let server = evidence.server?;
                let says = server.product == Product::MySql && server.version >= SAYS_4031;
                says.then(|| evidence.aborted(&[Aborted::TimeoutReading]))?
            },
        },
        Sign {
            what: "the connection had been used more recently than wait_timeout ago",
            seen: |evidence| {
                let quiet = match &evidence.wire {
                    Some(wire) => wire.quiet,
                    None => client_was_idle(evidence)?,
                };
                let limit = evidence.idle_limit()?;
                (quiet + EARLY < limit).then(|| {
                    format!(
                        "the connection had been idle for {} only, and wait_timeout is {}",
                        time(quiet),
                        time(limit)
                    )
                })
            },
        },
        Sign {
            what: "a transaction was open, and it may be idle for less time than any other connection (MariaDB)",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let (name, limit) = evidence.idle_transaction_limit()?;
                (wire.in_transaction
                    && limit < evidence.idle_limit()?
                    && matches_timer(wire.quiet, limit))
                .then(|| format!("a transaction was open, and {name} is {}", time(limit)))
            },
        },
    ],
    hints: &[
        Sign {
            what: "the connection was lost when the client began to use it again",
            seen: |evidence| {
                let client = evidence.client.as_ref()?;
                (client.moment == Some(crate::client::ClientMoment::Sending)).then(|| {
                    "the client found the connection lost when it began a statement".to_owned()
                })
            },
        },
        Sign {
            what: "the client had been idle for minutes, and wait_timeout is not known",
            seen: |evidence| {
                let idle = client_was_idle(evidence)?;
                (idle >= SHORTEST_MIDDLEBOX && evidence.idle_limit().is_none())
                    .then(|| format!("the client had been idle for {}", time(idle)))
            },
        },
    ],
    brings: &[],
    question: "For how long had the connection been idle, and what is its wait_timeout (SHOW VARIABLES LIKE 'wait_timeout')?",
    fix,
};

fn client_was_idle(evidence: &Evidence) -> Option<Duration> {
    let client = evidence.client.as_ref()?;
    // Connector/J tells both; what was received last is the older one where a statement failed at once.
    client.since_received
}

fn fix(evidence: &Evidence) -> Vec<Step> {
    let pool = match evidence.idle_limit() {
        Some(limit) => format!(
            "Let the client's pool close connections that have been idle for {} (half of wait_timeout), or test them \
             before use; through Steadfast neither is needed.",
            time(limit / 2)
        ),
        None => "Let the client's pool close idle connections well before wait_timeout, or test them before use; through \
                 Steadfast neither is needed."
            .to_owned(),
    };
    let wanted = evidence
        .idle_limit()
        .map_or(28_800, |limit| limit.as_secs().max(28_800));
    vec![
        advise(pool),
        Setting::live("wait_timeout", wanted),
        Setting::live("interactive_timeout", wanted),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{certain, mariadb, mysql, of_server, wire};

    #[test]
    fn mysql_says_it() {
        let said = End::Said {
            code: 4031,
            message: "The client was disconnected by the server because of inactivity.".to_owned(),
            survives: false,
        };
        let mut evidence = of_server(mysql(), wire(Moment::Idle, said));
        certain(&evidence, Cause::IdleTimeout);
        evidence.wire = None;
        evidence.client = Some(crate::client::ClientMessage {
            code: Some(4031),
            ..Default::default()
        });
        certain(&evidence, Cause::IdleTimeout);
    }

    #[test]
    fn mariadb_resets_it_in_time() {
        let mut seen = wire(Moment::Idle, End::Reset);
        seen.quiet = Duration::from_millis(28_800_400);
        let mut evidence = of_server(mariadb(), seen);
        evidence
            .variables
            .0
            .insert("wait_timeout".to_owned(), "28800".to_owned());
        certain(&evidence, Cause::IdleTimeout);
        if let Some(wire) = &mut evidence.wire {
            wire.quiet = Duration::from_secs(350);
        }
        let candidates = crate::diagnose(&evidence).candidates;
        assert!(
            candidates
                .iter()
                .all(|candidate| candidate.cause != Cause::IdleTimeout)
        );
    }
}
