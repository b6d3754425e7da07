//! `max_connections`, and limits of accounts.

use super::raise;
use crate::cause::Cause;
use crate::evidence::{End, Evidence, Moment, Reach};
use crate::log::LogKind;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{LEFT_OVER, LOGGED_IN, WORDLESS};

/// max_connections; max_user_connections of the server.
const CODES: &[u16] = &[1040, 1203];

/// A limit of the account's: to its connections, or to its statements in an hour.
const OF_THE_ACCOUNT: u16 = 1226;

/// As 1226 names those of connections: at the same time, and in an hour.
const RESOURCES: &[&str] = &["max_user_connections", "max_connections_per_hour"];

/// Whether an error 1226 of this text refused a connection, not a statement.
pub(crate) fn is_of_connections(message: &str) -> bool {
    RESOURCES.iter().any(|resource| message.contains(resource))
}

pub(super) const RULE: Rule = Rule {
    cause: Cause::TooManyConnections,
    meaning: "The server, or the account, has as many connections as it may (max_connections, max_user_connections), and \
              refused another one.",
    proofs: &[
        Sign {
            what: "the server said 1040, 1203, or 1226 of max_user_connections or max_connections_per_hour",
            seen: |evidence| {
                was_told(evidence).or_else(|| {
                    let Reach::Said(code) = evidence.aside.reach? else {
                        return None;
                    };
                    let refused_now = evidence
                        .wire
                        .as_ref()
                        .is_none_or(|wire| wire.end == End::Refused);
                    let too_many = CODES.contains(&code) || code == OF_THE_ACCOUNT;
                    (too_many && refused_now).then(|| format!("a new connection was told {code}"))
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
                    && was_told(evidence).is_none())
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
                (client.code.is_some() && was_told(evidence).is_none())
                    .then(|| format!("the client says: {}", client.text))
            },
        },
        Sign {
            what: "the server said something else",
            seen: |evidence| match evidence.server_end()? {
                End::Said { code, message, .. } if was_told(evidence).is_none() => {
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

/// That a connection was one too many, as the server told it.
fn was_told(evidence: &Evidence) -> Option<String> {
    evidence.told_any(CODES).or_else(|| {
        let text = evidence.told_text(OF_THE_ACCOUNT)?;
        // Statements are counted after the login only.
        let at_login = matches!(evidence.moment(), Some(Moment::Connecting | Moment::Login));
        (at_login || is_of_connections(text)).then(|| evidence.told(OF_THE_ACCOUNT))?
    })
}

/// Whose limit it is.
enum Limit {
    /// The server's, to all connections.
    All,
    /// The server's, to those of one account.
    OfEach,
    /// The account's, at the same time.
    OfThis,
    /// The account's, in an hour.
    InAnHour,
}

fn limit(evidence: &Evidence) -> Limit {
    if let Some(text) = evidence.told_text(OF_THE_ACCOUNT) {
        return match text.contains("per_hour") {
            true => Limit::InAnHour,
            false => Limit::OfThis,
        };
    }
    let in_log = evidence
        .logged(|kind| kind == LogKind::TooManyConnections)
        .is_some_and(|line| line.contains("max_user_connections"));
    match evidence.aside.reach {
        _ if in_log || evidence.told(1203).is_some() => Limit::OfEach,
        _ if evidence.told(1040).is_some() => Limit::All,
        Some(Reach::Said(1203)) => Limit::OfEach,
        Some(Reach::Said(OF_THE_ACCOUNT)) => Limit::OfThis,
        _ => Limit::All,
    }
}

fn fix(evidence: &Evidence) -> Vec<Step> {
    let limit = limit(evidence);
    if matches!(limit, Limit::InAnHour) {
        return vec![
            advise(
                "Keep connections, in a pool, instead of making one for each request: the account may make only so many in an \
                 hour.",
            ),
            advise(
                "Or give it more: ALTER USER … WITH MAX_CONNECTIONS_PER_HOUR 0 (no limit); FLUSH USER_RESOURCES begins the \
                 hour anew.",
            ),
        ];
    }
    let of_account = !matches!(limit, Limit::All);
    let (name, memory) = match of_account {
        true => (
            "the account's limit",
            "See that max_connections leaves room for them.",
        ),
        false => (
            "max_connections",
            "Each connection needs memory: see that the server can afford them.",
        ),
    };
    let raised = match limit {
        Limit::OfThis => advise(
            "Or give the account more: ALTER USER … WITH MAX_USER_CONNECTIONS n (SELECT user, host, max_user_connections FROM \
             mysql.user tells what it has).",
        ),
        Limit::OfEach => raise(evidence, "max_user_connections", TWICE, double),
        Limit::All | Limit::InAnHour => raise(evidence, "max_connections", TWICE, double),
    };
    vec![
        advise(
            "See who holds them: SELECT user, host, command, COUNT(*) FROM information_schema.PROCESSLIST GROUP BY 1, 2, 3 \
             ORDER BY 4 DESC. Many that sleep are a pool that is too large, or connections that are never closed.",
        ),
        advise(format!(
            "Make the pools smaller: what all application processes may open together must stay below {name}; more \
             connections than a few times the cores do not make a server faster."
        )),
        raised,
        advise(memory),
    ]
}

const TWICE: &str = "twice what it is";

fn double(limit: u64) -> u64 {
    limit.saturating_mul(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientMessage;
    use crate::rule::Setting;
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

    fn told(message: &str) -> Evidence {
        Evidence {
            client: ClientMessage::read(message),
            ..Evidence::default()
        }
    }

    #[test]
    fn each_limit_has_its_own_fix() {
        let all = "ERROR 1040 (HY000): Too many connections";
        let of_each = "ERROR 1203 (42000): User app already has more than 'max_user_connections' active connections";
        let of_this = "ERROR 1226 (42000): User 'app' has exceeded the 'max_user_connections' resource (current value: 5)";
        let in_an_hour = "ERROR 1226 (42000): User 'app' has exceeded the 'max_connections_per_hour' resource (current value: 9)";
        for (message, variable, words) in [
            (all, Some("max_connections"), "Raise max_connections"),
            (
                of_each,
                Some("max_user_connections"),
                "Raise max_user_connections",
            ),
            (of_this, None, "MAX_USER_CONNECTIONS n"),
            (in_an_hour, None, "MAX_CONNECTIONS_PER_HOUR"),
        ] {
            let mut evidence = told(message);
            certain(&evidence, Cause::TooManyConnections);
            let steps = fix(&evidence);
            assert!(format!("{steps:?}").contains(words), "{steps:?}");
            // No number is guessed.
            assert!(steps.iter().all(|step| matches!(step, Step::Do(_))));
            for name in ["max_connections", "max_user_connections"] {
                let variables = &mut evidence.variables.0;
                variables.insert(name.to_owned(), "500".to_owned());
            }
            let set: Vec<Step> = fix(&evidence)
                .into_iter()
                .filter(|step| !matches!(step, Step::Do(_)))
                .collect();
            let expected: Vec<Step> = variable
                .into_iter()
                .map(|name| Setting::live(name, 1000))
                .collect();
            assert_eq!(set, expected, "{message}");
        }
    }

    #[test]
    fn a_limit_to_statements_refuses_no_connection() {
        let message = "User 'app' has exceeded the 'max_questions' resource (current value: 5)";
        assert_eq!(
            ClientMessage::read(&format!("ERROR 1226 (42000): {message}")),
            None
        );
        let said = End::Said {
            code: 1226,
            message: message.to_owned(),
            survives: true,
        };
        let evidence = of_server(mysql(), wire(Moment::Waiting, said));
        let answer = crate::diagnose(&evidence).answer;
        assert!(
            !matches!(answer, crate::Answer::Cause(Cause::TooManyConnections, _)),
            "{answer:?}"
        );
    }
}
