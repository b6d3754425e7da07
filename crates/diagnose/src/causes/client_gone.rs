//! The client went away without a goodbye.

use crate::cause::Cause;
use crate::evidence::{Evidence, Moment, Side};
use crate::log::Aborted;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{NOTHING_ABORTED, SERVER_ENDED, SHORTEST_MIDDLEBOX, SPOKE, SURVIVED};
use crate::words::time;

pub(super) const RULE: Rule = Rule {
    cause: Cause::ClientGone,
    meaning: "The client's process ended, or dropped the connection, without the goodbye that the protocol has (COM_QUIT): it \
              crashed, was killed or redeployed, or never closes its connections.",
    proofs: &[Sign {
        what: "the client's side closed the connection without COM_QUIT, soon after it had been used and with nothing in flight",
        seen: |evidence| {
            let wire = evidence.wire.as_ref()?;
            (wire.side == Side::Client
                && wire.moment == Moment::Idle
                && wire.quiet < SHORTEST_MIDDLEBOX)
                .then(|| {
                    format!(
                        "the client closed the connection without COM_QUIT, {} after its last command had ended",
                        time(wire.quiet)
                    )
                })
        },
    }],
    refutations: &[
        NOTHING_ABORTED,
        SERVER_ENDED,
        SPOKE,
        SURVIVED,
        Sign {
            what: "the client is there, and tells of the loss",
            seen: |evidence| {
                let client = evidence.client.as_ref()?;
                Some(format!("the client is there, and says: {}", client.text))
            },
        },
    ],
    hints: &[Sign {
        what: "the error log says that reading from the client failed",
        seen: |evidence| evidence.aborted(&[Aborted::ErrorReading]),
    }],
    brings: &[],
    question: "Was the client's process restarted, killed or redeployed at that time?",
    fix,
};

fn fix(_evidence: &Evidence) -> Vec<Step> {
    vec![
        advise(
            "Close connections before the process ends (close(), a pool's shutdown in the handler of SIGTERM), and give it time \
             to do so when it is redeployed.",
        ),
        advise(
            "Harmless for the data: the server rolls an open transaction back. A statement that was running runs on to its end \
             on the server (SHOW PROCESSLIST, KILL QUERY).",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::End;
    use crate::testing::{certain, mysql, of_server, wire};

    #[test]
    fn the_client_leaves_without_a_goodbye() {
        let mut seen = wire(Moment::Idle, End::Fin);
        seen.side = Side::Client;
        certain(&of_server(mysql(), seen), Cause::ClientGone);
    }
}
