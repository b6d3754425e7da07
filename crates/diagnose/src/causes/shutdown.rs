//! A shutdown in order.

use crate::cause::Cause;
use crate::evidence::{End, Evidence, Reach};
use crate::log::LogKind;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{CLIENT_ENDED, SAME_BOOT, SURVIVED};

pub(super) const RULE: Rule = Rule {
    cause: Cause::Shutdown,
    meaning: "The server was shut down or restarted in order: by an administrator, an update, its service manager or its \
              platform.",
    proofs: &[
        Sign {
            what: "the error log tells of a shutdown",
            seen: Evidence::logged_shutdown,
        },
        Sign {
            what: "the server said 1053, on the connection or to a new one",
            seen: |evidence| {
                evidence.told(1053).or_else(|| {
                    (evidence.aside.reach? == Reach::Said(1053)).then(|| {
                        "a new connection was told 1053: the server is shutting down".to_owned()
                    })
                })
            },
        },
    ],
    refutations: &[
        SAME_BOOT,
        CLIENT_ENDED,
        SURVIVED,
        Sign {
            what: "the server began again, or reported its end, and its error log tells of no shutdown before that",
            seen: |evidence| {
                let asked = evidence.logged_shutdown();
                let ended = || {
                    evidence.began_again().or_else(|| {
                        evidence.logged(|kind| {
                            matches!(
                                kind,
                                LogKind::Signal(_)
                                    | LogKind::Assertion
                                    | LogKind::OomKilled
                                    | LogKind::KilledBySignal9
                            )
                        })
                    })
                };
                asked.is_none().then(ended)?
            },
        },
        Sign {
            what: "the server said something else",
            seen: |evidence| match evidence.server_end()? {
                End::Said { code, message, .. } if *code != 1053 => {
                    Some(format!("the server said {code}: {message}"))
                }
                End::Reset => Some("the connection was reset, which no shutdown does".to_owned()),
                _ => None,
            },
        },
    ],
    hints: &[],
    brings: &[],
    question: "Who restarted the server at that time: an administrator, an update (unattended-upgrades), the service manager, a \
               failing liveness probe?",
    fix,
};

/// What was amiss before the shutdown of which the error log tells, and may be why somebody asked for it; with the line.
pub(crate) fn amiss_before(evidence: &Evidence) -> Vec<(Cause, String)> {
    let Some(log) = evidence.log.as_ref() else {
        return Vec::new();
    };
    let before = log
        .events
        .iter()
        .take_while(|event| !matches!(event.kind, LogKind::ShutdownAsked | LogKind::ShutDown));
    let mut amiss: Vec<(Cause, String)> = Vec::new();
    for event in before {
        let cause = match event.kind {
            LogKind::DiskFull => Cause::DiskFull,
            LogKind::Corruption => Cause::Corruption,
            LogKind::Demoted => Cause::Demoted,
            LogKind::OpenFiles => Cause::OpenFilesLimit,
            _ => continue,
        };
        if amiss.iter().all(|(known, _)| *known != cause) {
            let line = format!("the server's error log says before that: {}", event.said());
            amiss.push((cause, line));
        }
    }
    amiss
}

fn fix(evidence: &Evidence) -> Vec<Step> {
    let amiss: Vec<&str> = amiss_before(evidence)
        .iter()
        .map(|(cause, _)| cause.name())
        .collect();
    let first = if amiss.is_empty() {
        "Nothing is broken. See who did it (journalctl -u mariadb -u mysql, the provider's event log); plan restarts for quiet \
         hours."
            .to_owned()
    } else {
        format!(
            "Mend what was amiss before it ({}): that may be why somebody shut the server down (journalctl -u mariadb -u mysql, \
             the provider's event log).",
            amiss.join(", ")
        )
    };
    vec![
        advise(first),
        advise(
            "Through Steadfast clients do not notice a restart that is shorter than timeouts.hold; raise it for servers that \
             take longer.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Moment;
    use crate::testing::{certain, mariadb, wire};

    #[test]
    fn the_server_says_it() {
        let said = End::Said {
            code: 1053,
            message: "Server shutdown in progress".to_owned(),
            survives: false,
        };
        let evidence = Evidence {
            server: Some(mariadb()),
            wire: Some(wire(Moment::Waiting, said)),
            ..Evidence::default()
        };
        certain(&evidence, Cause::Shutdown);
    }
}
