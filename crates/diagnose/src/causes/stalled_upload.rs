//! A command that is begun and not sent to its end.

use super::raise;
use crate::cause::Cause;
use crate::evidence::{End, Evidence, Moment};
use crate::log::Aborted;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{
    CLIENT_ENDED, EARLY, FELL_SILENT, IDLE, LEFT_OVER, NOT_ABORTED, NOT_LOGGED_IN, SURVIVED,
};
use crate::words::time;

pub(super) const RULE: Rule = Rule {
    cause: Cause::StalledUpload,
    meaning: "The client began to send a statement and paused for longer than the server waits for its next bytes: wait_timeout \
              within a statement, net_read_timeout within LOAD DATA LOCAL (and not, as is often told, the other way round).",
    proofs: &[
        Sign {
            what: "the server said 1159 while a command was on its way",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                (wire.moment == Moment::Uploading).then(|| evidence.told(1159))?
            },
        },
        Sign {
            what: "the client was told 1159, and the server counted an aborted client and no aborted login",
            seen: |evidence| {
                let logged_in = evidence.wire.is_none()
                    && evidence.moved("Aborted_clients")? > 0
                    && evidence.moved("Aborted_connects")? == 0;
                logged_in.then(|| evidence.told(1159))?.map(|told| {
                    format!(
                        "{told}, and the server counted an aborted client, not an aborted login"
                    )
                })
            },
        },
        Sign {
            what: "a command stood still on its way for wait_timeout or net_read_timeout, and the server ended the connection",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let ended = matches!(evidence.server_end()?, End::Reset | End::ResetInAnswer);
                let (name, limit) = limit(evidence)?;
                (ended && wire.moment == Moment::Uploading && wire.stalled + EARLY >= limit).then(
                    || {
                        format!(
                            "a command stood still on its way for {}, and {name} is {}",
                            time(wire.stalled),
                            time(limit)
                        )
                    },
                )
            },
        },
        Sign {
            what: "the error log says that reading timed out within a packet (MariaDB, log_warnings=4)",
            seen: |evidence| evidence.aborted(&[Aborted::TimeoutWithinPacket]),
        },
        Sign {
            what: "the error log says that reading timed out, and a command was on its way",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                (wire.moment == Moment::Uploading)
                    .then(|| evidence.aborted(&[Aborted::TimeoutReading]))?
            },
        },
    ],
    refutations: &[
        NOT_ABORTED,
        CLIENT_ENDED,
        NOT_LOGGED_IN,
        IDLE,
        FELL_SILENT,
        LEFT_OVER,
        SURVIVED,
        Sign {
            what: "the whole command had been sent",
            seen: |evidence| {
                let moment = evidence.wire.as_ref()?.moment;
                matches!(moment, Moment::Waiting | Moment::Downloading)
                    .then(|| "the whole command had been sent".to_owned())
            },
        },
        Sign {
            what: "the command had not stood still for as long as the server waits",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let (name, limit) = limit(evidence)?;
                (wire.moment == Moment::Uploading && wire.stalled + EARLY < limit).then(|| {
                    format!(
                        "the command had stood still for {} only, and {name} is {}",
                        time(wire.stalled),
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
                _ => None,
            },
        },
    ],
    hints: &[],
    brings: &[],
    question: "Does the client send its statement, or the file of LOAD DATA LOCAL, in one go, or from something that pauses?",
    fix,
};

/// The shorter of the two limits, and its name.
fn limit(evidence: &Evidence) -> Option<(&'static str, core::time::Duration)> {
    ["wait_timeout", "net_read_timeout"]
        .into_iter()
        .filter_map(|name| Some((name, evidence.variables.limit(name)?)))
        .min_by_key(|(_, limit)| *limit)
}

fn fix(evidence: &Evidence) -> Vec<Step> {
    vec![
        advise(
            "Have the whole statement, or the file of LOAD DATA LOCAL, ready before the client begins to send it, and send it \
             without a pause.",
        ),
        raise(
            evidence,
            "net_read_timeout",
            "ten times what it is",
            |limit| limit.saturating_mul(10).clamp(300, 86_400),
        ),
        raise(
            evidence,
            "wait_timeout",
            "no less than 28800 seconds",
            |limit| limit.max(28_800),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{certain, mysql, of_server, wire};

    #[test]
    fn the_server_says_that_it_waited_too_long() {
        let said = End::Said {
            code: 1159,
            message: "Got timeout reading communication packets".to_owned(),
            survives: false,
        };
        certain(
            &of_server(mysql(), wire(Moment::Uploading, said)),
            Cause::StalledUpload,
        );
    }
}
