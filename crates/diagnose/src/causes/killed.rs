//! KILL.

use crate::cause::Cause;
use crate::evidence::{Boot, End, Evidence, Moment};
use crate::log::Aborted;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{
    CLIENT_ENDED, FELL_SILENT, LEFT_OVER, NOT_ABORTED, NOT_LOGGED_IN, SHORTEST_MIDDLEBOX, SURVIVED,
};

pub(super) const RULE: Rule = Rule {
    cause: Cause::Killed,
    meaning: "Somebody, or a tool such as pt-kill, ended the connection with KILL; the server closes it without a word.",
    proofs: &[
        Sign {
            what: "the server said 1927",
            seen: |evidence| evidence.told(1927),
        },
        Sign {
            what: "the error log says KILLED (MariaDB, log_warnings=4)",
            seen: |evidence| {
                // A statement that ran too long, and a shutdown, leave the same words; who killed has an id.
                let (_, line) = evidence.logged_reason()?;
                let counted = kill_counted(evidence) != Some(false);
                let by_somebody = line.starts_with(|first: char| matches!(first, '1'..='9'));
                (counted && by_somebody).then(|| evidence.aborted(&[Aborted::Killed]))?
            },
        },
        Sign {
            what: "the server closed the connection without a word, it was not restarted, and its counter Com_kill moved; where \
                   KILLs are common, only of a connection that was in use",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                if evidence.aside.kills_before == Some(true) && wire.quiet >= SHORTEST_MIDDLEBOX {
                    return None;
                }
                let same = matches!(evidence.aside.boot, Some(Boot::Same(_)));
                let closed = evidence.server_end()? == &End::Fin;
                (same && closed && kill_counted(evidence)?).then(|| {
                    "the server closed the connection without a word, was not restarted, and counted a KILL just then \
                     (Com_kill)"
                        .to_owned()
                })
            },
        },
    ],
    refutations: &[
        NOT_ABORTED,
        CLIENT_ENDED,
        NOT_LOGGED_IN,
        FELL_SILENT,
        LEFT_OVER,
        SURVIVED,
        Sign {
            what: "the server counted no KILL (Com_kill did not move)",
            seen: |evidence| {
                let said = matches!(evidence.server_end(), Some(End::Said { code: 1927, .. }));
                (!said && !kill_counted(evidence)?)
                    .then(|| "the server counted no KILL (Com_kill did not move)".to_owned())
            },
        },
        Sign {
            what: "the connection was reset, or the server said something: it closes what is killed with FIN",
            seen: |evidence| match evidence.server_end()? {
                End::Reset | End::ResetInAnswer
                    if evidence.wire.as_ref()?.moment != Moment::Downloading =>
                {
                    Some("the connection was reset; what is killed is closed with FIN".to_owned())
                }
                End::Said { code, message, .. } if *code != 1927 => {
                    Some(format!("the server said {code}: {message}"))
                }
                _ => None,
            },
        },
    ],
    hints: &[
        Sign {
            what: "the server counted a KILL just then (Com_kill)",
            seen: |evidence| {
                kill_counted(evidence)?
                    .then(|| "the server counted a KILL just then (Com_kill)".to_owned())
            },
        },
        Sign {
            what: "the server said 3169 (session was killed)",
            seen: |evidence| evidence.told(3169),
        },
    ],
    brings: &[],
    question: "Does the counter Com_kill move when it happens (SHOW GLOBAL STATUS LIKE 'Com_kill'), and does a tool such as \
               pt-kill run?",
    fix,
};

/// Whether somebody's KILL was counted; `None`: nobody looked.
fn kill_counted(evidence: &Evidence) -> Option<bool> {
    evidence
        .aside
        .foreign_kill
        .or_else(|| Some(evidence.moved("Com_kill")? > 0))
}

fn fix(_evidence: &Evidence) -> Vec<Step> {
    vec![
        advise(
            "Ask who may kill (accounts with CONNECTION ADMIN, CONNECTION_ADMIN or SUPER): pt-kill, a cron job, an \
             administrator, a cloud provider's console; and why.",
        ),
        Step::Sql {
            mariadb: "SELECT GRANTEE FROM information_schema.USER_PRIVILEGES \
                      WHERE PRIVILEGE_TYPE IN ('CONNECTION ADMIN', 'SUPER');",
            mysql: "SELECT GRANTEE FROM information_schema.USER_PRIVILEGES \
                    WHERE PRIVILEGE_TYPE IN ('CONNECTION_ADMIN', 'SUPER');",
        },
        advise(
            "If the statement was killed because it ran too long, make it faster; if a transaction was left open, end it in \
             the application.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{certain, mariadb, mysql, of_server, wire};

    #[test]
    fn where_kills_are_common_one_says_little_of_an_idle_connection() {
        let mut evidence = of_server(mysql(), wire(Moment::Idle, End::Fin));
        evidence.aside.foreign_kill = Some(true);
        evidence.aside.kills_before = Some(true);
        if let Some(wire) = &mut evidence.wire {
            wire.quiet = core::time::Duration::from_secs(30);
        }
        let answer = crate::diagnose(&evidence).answer;
        assert!(answer.allows(Cause::Killed), "{answer:?}");
        assert!(answer.allows(Cause::ProxyTimeout), "{answer:?}");
        evidence.aside.kills_before = Some(false);
        certain(&evidence, Cause::Killed);
    }

    #[test]
    fn a_wordless_end_and_the_counter_tell_it() {
        for server in [mysql(), mariadb()] {
            let mut evidence = of_server(server, wire(Moment::Waiting, End::Fin));
            evidence.aside.foreign_kill = Some(true);
            certain(&evidence, Cause::Killed);
            evidence.aside.foreign_kill = Some(false);
            let candidates = crate::diagnose(&evidence).candidates;
            assert!(
                candidates
                    .iter()
                    .all(|candidate| candidate.cause != Cause::Killed)
            );
        }
    }
}
