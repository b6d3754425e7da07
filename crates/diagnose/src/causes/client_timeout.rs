//! The client's own limit.

use crate::cause::Cause;
use crate::evidence::{Evidence, Leftover, Moment, Side};
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{IDLE, NOT_ABORTED, SERVER_ENDED, SPOKE, SURVIVED};
use crate::words::time;

pub(super) const RULE: Rule = Rule {
    cause: Cause::ClientTimeout,
    meaning: "The client gave up waiting for a response, by a limit of its own (read_timeout, socketTimeout, the 30 s of MySQL \
              Workbench), and closed the connection; the server runs the statement on.",
    proofs: &[Sign {
        what: "the client's message says that it timed out, and the server has not the connection any more",
        seen: |evidence| {
            // Where the server still has the connection, the statement or its answer might not have arrived either; where
            // nothing is known of the server, it might hang.
            let has_it = matches!(
                evidence.aside.leftover,
                Some(Leftover::Runs | Leftover::Sleeps)
            );
            if evidence.wire.is_none() && (has_it || evidence.is_clients_word_only()) {
                return None;
            }
            says_that_it_timed_out(evidence)
        },
    }],
    refutations: &[
        Sign {
            what: "the server still has the connection, asleep: neither a statement nor the client's end has reached it",
            seen: |evidence| {
                (evidence.aside.leftover? == Leftover::Sleeps).then(|| {
                    "the server still has the connection, asleep: neither a statement nor the client's end has reached it"
                        .to_owned()
                })
            },
        },
        NOT_ABORTED,
        IDLE,
        SERVER_ENDED,
        SPOKE,
        SURVIVED,
        Sign {
            what: "the connection was still being made",
            seen: |evidence| {
                matches!(evidence.moment()?, Moment::Connecting | Moment::Login)
                    .then(|| "the login had not ended".to_owned())
            },
        },
        Sign {
            what: "the client's message says something else",
            seen: |evidence| {
                let client = evidence.client.as_ref()?;
                let waited = client
                    .moment
                    .is_none_or(|moment| moment == crate::client::ClientMoment::Waiting);
                (!client.timed_out && client.code.is_some() && !waited)
                    .then(|| format!("the client does not say that it timed out: {}", client.text))
            },
        },
    ],
    hints: &[
        Sign {
            what: "the client's message says that it timed out",
            seen: says_that_it_timed_out,
        },
        Sign {
            what: "the client left just when a whole number of seconds had passed since its command",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                if wire.side != Side::Client || wire.waited.as_secs_f64() < 0.9 {
                    return None;
                }
                let off = wire.waited.as_secs_f64() - wire.waited.as_secs_f64().round();
                (-0.005..0.08).contains(&off).then(|| {
                    format!(
                        "the client left {} after its command, a whole number of seconds",
                        time(wire.waited)
                    )
                })
            },
        },
    ],
    brings: &[Cause::ClientGone],
    question: "Which read timeout does the client set, and is it how long its lost statements had run?",
    fix,
};

fn says_that_it_timed_out(evidence: &Evidence) -> Option<String> {
    let client = evidence.client.as_ref()?;
    client
        .timed_out
        .then(|| format!("the client says that it timed out: {}", client.text))
}

fn fix(evidence: &Evidence) -> Vec<Step> {
    let waited = evidence
        .wire
        .as_ref()
        .map(|wire| format!(" (here after {})", time(wire.waited)))
        .unwrap_or_default();
    vec![
        advise(format!(
            "Raise the client's read timeout{waited} above the longest statement that it should wait for: read_timeout \
             (PyMySQL, mysqlclient), socketTimeout (Connector/J), readTimeout (Go), DBMS connection read timeout (Workbench)."
        )),
        advise(
            "Let the server end statements that are too long, a little earlier than the client gives up: \
             max_execution_time (MySQL, milliseconds, SELECT only) or max_statement_time (MariaDB, seconds); a client that \
             gives up leaves its statement running.",
        ),
        advise("Make the statement faster: EXPLAIN shows what it lacks."),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{ClientMessage, ClientMoment};
    use crate::evidence::End;
    use crate::testing::{certain, mysql, of_server, wire};

    #[test]
    fn the_client_says_that_it_timed_out() {
        let mut seen = wire(Moment::Waiting, End::Fin);
        seen.side = Side::Client;
        let mut evidence = of_server(mysql(), seen);
        evidence.client = Some(ClientMessage {
            code: Some(2013),
            moment: Some(ClientMoment::Waiting),
            timed_out: true,
            text: "Lost connection to MySQL server during query (timed out)".to_owned(),
            ..ClientMessage::default()
        });
        certain(&evidence, Cause::ClientTimeout);
        // Without the message nobody can tell a client that gave up from one that was killed.
        evidence.client = None;
        assert_eq!(crate::diagnose(&evidence).answer.name(), "client-left");
    }
}
