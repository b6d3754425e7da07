//! `net_write_timeout`: the client reads its result too slowly.

use super::raise;
use crate::cause::Cause;
use crate::evidence::{End, Evidence, Moment, Product};
use crate::log::Aborted;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{
    CLIENT_ENDED, EARLY, FELL_SILENT, IDLE, LEFT_OVER, NOT_ABORTED, NOT_LOGGED_IN, SPOKE, SURVIVED,
};
use crate::words::time;

pub(super) const RULE: Rule = Rule {
    cause: Cause::SlowReader,
    meaning: "The client took no more of its result for net_write_timeout, and the server closed the connection in the \
              middle of it: typical of dumps, exports and clients that work on each row while they read.",
    proofs: &[
        Sign {
            what: "the error log says that writing timed out",
            seen: |evidence| evidence.aborted(&[Aborted::TimeoutWriting]),
        },
        Sign {
            what: "the result stood still because the client took nothing for net_write_timeout, and the server closed the connection",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let limit = evidence.variables.limit("net_write_timeout")?;
                let ended = matches!(
                    evidence.server_end()?,
                    End::Fin | End::Reset | End::ResetInAnswer
                );
                (ended && wire.moment == Moment::Downloading && wire.stalled + EARLY >= limit).then(
                    || {
                        format!(
                            "the client had taken nothing of its result for {}, and net_write_timeout is {}",
                            time(wire.stalled),
                            time(limit)
                        )
                    },
                )
            },
        },
        Sign {
            what: "the error log of MariaDB says that writing failed, and the client had not taken a part of its result",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let slow = wire.moment == Moment::Downloading && !wire.stalled.is_zero();
                (evidence.is(Product::MariaDb) && slow)
                    .then(|| evidence.aborted(&[Aborted::ErrorWriting]))?
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
        SPOKE,
        SURVIVED,
        Sign {
            what: "nothing of a result had come",
            seen: |evidence| {
                let moment = evidence.wire.as_ref()?.moment;
                matches!(moment, Moment::Waiting | Moment::Uploading)
                    .then(|| "nothing of a result had come".to_owned())
            },
        },
        Sign {
            what: "the client had not stopped reading for net_write_timeout",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let limit = evidence.variables.limit("net_write_timeout")?;
                (wire.moment == Moment::Downloading && wire.stalled + EARLY < limit).then(|| {
                    format!(
                        "the client had stopped reading for {} only, and net_write_timeout is {}",
                        time(wire.stalled),
                        time(limit)
                    )
                })
            },
        },
    ],
    hints: &[Sign {
        what: "the client says that it was in the middle of a result",
        seen: |evidence| {
            let client = evidence.client.as_ref()?;
            (client.moment == Some(crate::client::ClientMoment::Reading))
                .then(|| "the client was in the middle of a result".to_owned())
        },
    }],
    brings: &[],
    question: "Was the client reading a large result, and doing something else in between for longer than net_write_timeout?",
    fix,
};

fn fix(evidence: &Evidence) -> Vec<Step> {
    vec![
        advise(
            "Let the client read the whole result first and work on it then (a buffered result, fetchall), or read in \
             portions by key (WHERE id > … ORDER BY id LIMIT …).",
        ),
        raise(
            evidence,
            "net_write_timeout",
            "ten times what it is",
            |limit| limit.saturating_mul(10).clamp(600, 86_400),
        ),
        advise(
            "For one session only: SET SESSION net_write_timeout = 600; mysqldump --quick pipes into something slow: write \
             to a file first.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::testing::{certain, mariadb, mysql, of_server, wire};

    #[test]
    fn a_result_that_stands_still_for_too_long_is_ended() {
        for (server, end) in [(mysql(), End::Fin), (mariadb(), End::Reset)] {
            let mut seen = wire(Moment::Downloading, end);
            seen.stalled = Duration::from_secs(60);
            let mut evidence = of_server(server, seen);
            evidence
                .variables
                .0
                .insert("net_write_timeout".to_owned(), "60".to_owned());
            certain(&evidence, Cause::SlowReader);
        }
    }
}
