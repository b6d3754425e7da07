//! Bytes that are not the protocol.

use super::demoted;
use crate::cause::Cause;
use crate::evidence::{End, Evidence};
use crate::log::Aborted;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{FELL_SILENT, LEFT_OVER, SURVIVED, WORDLESS};

/// Packets out of order, could not uncompress, and errors in reading them.
const CODES: &[u16] = &[1156, 1157, 1835];

/// An unknown command; also what a Galera node says that takes no part in its cluster.
const UNKNOWN_COMMAND: u16 = 1047;

pub(super) const RULE: Rule = Rule {
    cause: Cause::ProtocolMisuse,
    meaning: "What was sent was not the protocol: most often threads, or processes after a fork, that use one connection at the \
              same time; else a broken driver, or something on the way that changes bytes.",
    proofs: &[
        Sign {
            what: "the server said 1156 (packets out of order), 1157 or 1835, or 1047 of an unknown command",
            seen: |evidence| {
                evidence
                    .told_any(CODES)
                    .or_else(|| unknown_command(evidence))
            },
        },
        Sign {
            what: "the error log says that packets were out of order",
            seen: |evidence| evidence.aborted(&[Aborted::OutOfOrder]),
        },
        Sign {
            what: "what came on the connection was not the protocol",
            seen: |evidence| {
                (evidence.wire.as_ref()?.end == End::Nonsense)
                    .then(|| "what came on the connection was not the protocol".to_owned())
            },
        },
        Sign {
            what: "the client's message says that packets were out of order, or commands out of sync",
            seen: |evidence| {
                let client = evidence.client.as_ref()?;
                client
                    .out_of_order
                    .then(|| format!("the client says: {}", client.text))
            },
        },
    ],
    refutations: &[
        LEFT_OVER,
        FELL_SILENT,
        SURVIVED,
        WORDLESS,
        Sign {
            what: "the server said something else",
            seen: |evidence| match &evidence.wire.as_ref()?.end {
                End::Said { code, message, .. }
                    if !CODES.contains(code) && unknown_command(evidence).is_none() =>
                {
                    Some(format!("the server said {code}: {message}"))
                }
                _ => None,
            },
        },
        Sign {
            what: "the client's side closed the connection, and all that it had sent was the protocol",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let closed = matches!(wire.end, End::Fin | End::Reset | End::ResetInAnswer);
                (wire.side == crate::evidence::Side::Client && closed)
                    .then(|| "all that the client had sent was the protocol".to_owned())
            },
        },
    ],
    hints: &[],
    brings: &[],
    question: "Is the connection used by more than one thread, or was it opened before a fork (gunicorn --preload, Celery, \
               uWSGI without lazy-apps)?",
    fix,
};

/// What was told of a command that the server does not know. Of a client's message, which may be cut, the words must be
/// there.
fn unknown_command(evidence: &Evidence) -> Option<String> {
    let text = evidence.told_text(UNKNOWN_COMMAND)?;
    let is_it = if evidence.wire.is_some() {
        !demoted::is_outside_of_cluster(text)
    } else {
        text.to_ascii_lowercase().contains("unknown command")
    };
    is_it.then(|| evidence.told(UNKNOWN_COMMAND))?
}

fn fix(_evidence: &Evidence) -> Vec<Step> {
    vec![
        advise(
            "Give each thread and each process a connection of its own: open it after the fork (engine.dispose() in \
             SQLAlchemy, post_fork hooks), take it from a pool and give it back, read each result to its end.",
        ),
        advise(
            "Update the driver, and look for a middlebox that inspects or rewrites the traffic.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Moment;
    use crate::testing::{certain, mariadb, of_server, wire};

    #[test]
    fn the_server_says_it() {
        let said = End::Said {
            code: 1156,
            message: "Got packets out of order".to_owned(),
            survives: false,
        };
        certain(
            &of_server(mariadb(), wire(Moment::Idle, said)),
            Cause::ProtocolMisuse,
        );
    }

    #[test]
    fn an_unknown_command_is_misuse() {
        let said = End::Said {
            code: 1047,
            message: "Unknown command".to_owned(),
            survives: false,
        };
        certain(
            &of_server(mariadb(), wire(Moment::Waiting, said)),
            Cause::ProtocolMisuse,
        );
    }
}
