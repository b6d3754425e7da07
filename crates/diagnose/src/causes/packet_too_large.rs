//! `max_allowed_packet`.

use super::raise;
use crate::cause::Cause;
use crate::evidence::{End, Evidence, Moment};
use crate::log::Aborted;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{CLIENT_ENDED, IDLE, LEFT_OVER, NOT_ABORTED};
use crate::words::size;

/// The most that both servers allow.
const MOST: u64 = 1 << 30;

/// The client library's own error, of a limit of its own.
const CLIENTS_OWN: u16 = 2020;

pub(super) const RULE: Rule = Rule {
    cause: Cause::PacketTooLarge,
    meaning: "A statement, a row or a value was larger than max_allowed_packet on the server or the client, and the server \
              ended the connection; many drivers show it as 2006, 2013 or a broken pipe.",
    proofs: &[
        Sign {
            what: "the server said 1153, or the client library 2020",
            seen: |evidence| evidence.told_any(&[1153, CLIENTS_OWN]),
        },
        Sign {
            what: "the client says that a packet was larger than max_allowed_packet",
            seen: |evidence| {
                let client = evidence.client.as_ref()?;
                client
                    .too_large
                    .then(|| format!("the client says: {}", client.text))
            },
        },
        Sign {
            what: "the error log says that a packet was bigger than max_allowed_packet",
            seen: |evidence| evidence.aborted(&[Aborted::PacketTooLarge]),
        },
        Sign {
            what: "the server reset the connection when more than max_allowed_packet of a command had been sent",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let limit = evidence.variables.number("max_allowed_packet")?;
                let reset = matches!(
                    evidence.server_end()?,
                    End::Reset | End::ResetInAnswer | End::Fin
                );
                (reset
                    && matches!(wire.moment, Moment::Uploading | Moment::Waiting)
                    && wire.sent >= limit)
                    .then(|| {
                        format!(
                            "{} of a command had been sent, and max_allowed_packet is {}",
                            size(wire.sent),
                            size(limit)
                        )
                    })
            },
        },
    ],
    refutations: &[
        NOT_ABORTED,
        CLIENT_ENDED,
        IDLE,
        LEFT_OVER,
        Sign {
            what: "what was sent was smaller than max_allowed_packet",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let limit = evidence.variables.number("max_allowed_packet")?;
                (wire.moment != Moment::Uploading && wire.sent < limit).then(|| {
                    format!(
                        "the command had {}, and max_allowed_packet is {}",
                        size(wire.sent),
                        size(limit)
                    )
                })
            },
        },
        Sign {
            what: "a part of the response had come, and the server said nothing of a packet's size",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let wordless = !matches!(wire.end, End::Said { .. });
                (wire.moment == Moment::Downloading && wordless)
                    .then(|| "a part of the response had come".to_owned())
            },
        },
        Sign {
            what: "the server said something else",
            seen: |evidence| {
                if evidence.wire.is_none() && evidence.told(1153).is_none() {
                    return evidence.client_was_told();
                }
                match evidence.server_end()? {
                    End::Said { code, message, .. } if *code != 1153 => {
                        Some(format!("the server said {code}: {message}"))
                    }
                    _ => None,
                }
            },
        },
        Sign {
            what: "nothing came any more: a server that refuses a packet ends the connection",
            seen: |evidence| {
                (evidence.server_end()? == &End::Silence)
                    .then(|| "nothing came any more, not even the end of the connection".to_owned())
            },
        },
    ],
    hints: &[Sign {
        what: "the connection broke while the client was sending a statement",
        seen: |evidence| {
            let broken_pipe = evidence.client.as_ref()?.os_error == Some(32);
            broken_pipe
                .then(|| "the client could not send all of its statement (broken pipe)".to_owned())
        },
    }],
    brings: &[],
    question: "How large was the statement or the row, and what is max_allowed_packet on the server and in the client?",
    fix,
};

fn fix(evidence: &Evidence) -> Vec<Step> {
    let mut steps = Vec::new();
    let by_client = evidence
        .client
        .as_ref()
        .is_some_and(|client| client.code == Some(CLIENTS_OWN));
    let limit = evidence.variables.number("max_allowed_packet");
    let needed = evidence.wire.as_ref().map_or(0, |wire| wire.sent);
    if by_client {
        steps.push(advise(
            "The client refused it: give it more (--max-allowed-packet=1G of the mysql and mysqldump programs, \
             MYSQL_OPT_MAX_ALLOWED_PACKET in C), and connect anew.",
        ));
    } else {
        if limit.is_none_or(|limit| limit < MOST) {
            let twice =
                "twice what it is, or more than the largest statement or row; at most 1 GiB";
            steps.push(raise(evidence, "max_allowed_packet", twice, |limit| {
                let wanted = needed.max(limit).saturating_add(1);
                wanted.next_power_of_two().clamp(64 << 20, MOST)
            }));
        }
        steps.push(advise(
            "Give the client at least as much (--max-allowed-packet of the mysql and mysqldump programs, maxAllowedPacket \
             of Connector/J), and connect anew: a session keeps the limit that it began with. A replica needs it too.",
        ));
    }
    steps.push(advise(
        "Or send less at once: fewer rows in one INSERT (--net-buffer-length of mysqldump), LOAD DATA, or large values \
         in parts with mysql_stmt_send_long_data.",
    ));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Setting;
    use crate::testing::{certain, mariadb, mysql, of_server, wire};

    #[test]
    fn more_than_the_limit_was_sent() {
        let mut seen = wire(Moment::Uploading, End::Reset);
        seen.sent = 20 << 20;
        let mut evidence = of_server(mariadb(), seen);
        evidence
            .variables
            .0
            .insert("max_allowed_packet".to_owned(), (16 << 20).to_string());
        certain(&evidence, Cause::PacketTooLarge);
        assert_eq!(
            fix(&evidence)[0],
            Setting::live("max_allowed_packet", 64 << 20)
        );
        // No number where the limit is not known, and none where it is the most.
        for limit in [None, Some(MOST)] {
            let variables = &mut evidence.variables.0;
            variables.remove("max_allowed_packet");
            if let Some(limit) = limit {
                variables.insert("max_allowed_packet".to_owned(), limit.to_string());
            }
            let steps = fix(&evidence);
            assert!(
                steps.iter().all(|step| matches!(step, Step::Do(_))),
                "{steps:?}"
            );
        }
    }

    #[test]
    fn the_server_says_it() {
        let said = End::Said {
            code: 1153,
            message: "Got a packet bigger than 'max_allowed_packet' bytes".to_owned(),
            survives: false,
        };
        certain(
            &of_server(mysql(), wire(Moment::Uploading, said)),
            Cause::PacketTooLarge,
        );
    }
}
