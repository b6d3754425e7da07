//! `max_connections`, and limits of accounts.

use crate::cause::Cause;
use crate::evidence::{End, Evidence, Reach};
use crate::log::LogKind;
use crate::rule::{Rule, Setting, Sign, Step, advise};
use crate::signs::{LEFT_OVER, LOGGED_IN, WORDLESS};

/// max_connections; max_user_connections; a limit of the account's in this hour.
const CODES: &[u16] = &[1040, 1203, 1226];

pub(super) const RULE: Rule = Rule {
    cause: Cause::TooManyConnections,
    meaning: "The server, or the account, has as many connections as it may (max_connections, max_user_connections), and \
              refused another one.",
    proofs: &[
        Sign {
            what: "the server said 1040, 1203 or 1226",
            seen: |evidence| {
                evidence.told_any(CODES).or_else(|| {
                    let Reach::Said(code) = evidence.aside.reach? else {
                        return None;
                    };
                    let refused_now = evidence
                        .wire
                        .as_ref()
                        .is_none_or(|wire| wire.end == End::Refused);
                    (CODES.contains(&code) && refused_now)
                        .then(|| format!("a new connection was told {code}"))
                })
            },
        },
        Sign {
            what: "the error log says that there were too many connections",
            seen: |evidence| evidence.logged(|kind| kind == LogKind::TooManyConnections),
        },
    ],
    refutations: &[
        Sign {
            what: "the server counted no login that failed, and no connection too many (Aborted_connects, \
                   Connection_errors_max_connections)",
            seen: |evidence| {
                // MySQL counts 1040 only in the second, MariaDB only in the first.
                (evidence.moved("Aborted_connects")? == 0
                    && evidence.moved("Connection_errors_max_connections")? == 0
                    && evidence.told_any(CODES).is_none())
                .then(|| {
                    "the server counted no login that failed, and no connection too many".to_owned()
                })
            },
        },
        LEFT_OVER,
        LOGGED_IN,
        WORDLESS,
        Sign {
            what: "the client was told something else",
            seen: |evidence| {
                let client = evidence.client.as_ref()?;
                let code = client.code?;
                (!(CODES.contains(&code))).then(|| format!("the client says: {}", client.text))
            },
        },
        Sign {
            what: "the server said something else",
            seen: |evidence| match evidence.server_end()? {
                End::Said { code, message, .. } if !CODES.contains(code) => {
                    Some(format!("the server said {code}: {message}"))
                }
                End::Refused => Some("nobody listened at the address".to_owned()),
                _ => None,
            },
        },
    ],
    hints: &[Sign {
        what: "the server counted connections that were too many (Connection_errors_max_connections, on MySQL)",
        seen: |evidence| {
            (evidence.moved("Connection_errors_max_connections")? > 0).then(|| {
                "the server counted connections that were too many (Connection_errors_max_connections)"
                    .to_owned()
            })
        },
    }],
    brings: &[],
    question: "How near is Max_used_connections to max_connections (SHOW GLOBAL STATUS LIKE 'Max_used_connections')?",
    fix,
};

fn fix(evidence: &Evidence) -> Vec<Step> {
    let limit = evidence.variables.number("max_connections").unwrap_or(151);
    vec![
        advise(
            "See who holds them: SELECT user, host, command, COUNT(*) FROM information_schema.PROCESSLIST GROUP BY 1, 2, 3 \
             ORDER BY 4 DESC. Many that sleep are a pool that is too large, or connections that are never closed.",
        ),
        advise(
            "Make the pools smaller: what all application processes may open together must stay below max_connections; more \
             connections than a few times the cores do not make a server faster.",
        ),
        Setting::live("max_connections", limit.saturating_mul(2)),
        advise("Each connection needs memory: see that the server can afford them."),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Moment;
    use crate::testing::{certain, mysql, of_server, wire};

    #[test]
    fn the_server_says_it() {
        let said = End::Said {
            code: 1040,
            message: "Too many connections".to_owned(),
            survives: false,
        };
        certain(
            &of_server(mysql(), wire(Moment::Connecting, said)),
            Cause::TooManyConnections,
        );
    }
}
