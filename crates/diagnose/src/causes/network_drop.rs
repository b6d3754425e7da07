//! Packets that are lost on the way.

use crate::cause::Cause;
use crate::client::ClientMoment;
use crate::evidence::{Boot, End, Evidence, Leftover, Reach};
use crate::kernel::KernelKind;
use crate::log::Aborted;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{CLIENT_ENDED, NOTHING_ABORTED, SHORTEST_MIDDLEBOX, SPOKE};
use crate::words::time;

pub(super) const RULE: Rule = Rule {
    cause: Cause::NetworkDrop,
    meaning: "Packets between client and server were lost, in one direction or both, for longer than TCP sends them again.",
    proofs: &[
        Sign {
            what: "new connections got no answer from the machine either, and the server was not restarted",
            seen: |evidence| {
                let same = matches!(evidence.aside.boot, Some(Boot::Same(_)));
                let has_it = matches!(
                    evidence.aside.leftover,
                    Some(Leftover::Sleeps | Leftover::Runs)
                );
                ((same || has_it) && evidence.aside.reach? == Reach::Silent).then(|| {
                    "another attempt to connect got no answer from the machine either, and the server ran on".to_owned()
                })
            },
        },
        Sign {
            what: "the connection fell silent soon after it had been used, the server still has it, and others get through",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let has_it = matches!(evidence.aside.leftover?, Leftover::Sleeps | Leftover::Runs);
                let others = matches!(evidence.aside.reach?, Reach::Greeted);
                (has_it
                    && others
                    && evidence.server_end()? == &End::Silence
                    && wire.quiet_before < SHORTEST_MIDDLEBOX)
                    .then(|| {
                        format!(
                            "the connection fell silent {} after it had been used, and the server still has it",
                            time(wire.quiet_before)
                        )
                    })
            },
        },
    ],
    refutations: &[
        NOTHING_ABORTED,
        CLIENT_ENDED,
        SPOKE,
        Sign {
            what: "the error log says that the server's own timer ran out, and nothing on the connection tells of more",
            seen: |evidence| {
                evidence.wire.is_none().then(|| {
                    evidence.aborted(&[
                        Aborted::TimeoutReading,
                        Aborted::TimeoutWithinPacket,
                        Aborted::TimeoutWriting,
                    ])
                })?
            },
        },
        Sign {
            what: "the connection was closed with FIN, which only the other side's kernel sends",
            seen: |evidence| {
                (evidence.server_end()? == &End::Fin)
                    .then(|| "the connection was closed with FIN".to_owned())
            },
        },
        Sign {
            what: "the connection was reset: lost packets end in silence",
            seen: |evidence| {
                matches!(evidence.server_end()?, End::Reset | End::ResetInAnswer)
                    .then(|| "the connection was reset".to_owned())
            },
        },
        Sign {
            what: "the machine answered another attempt to connect, and the server did not",
            seen: |evidence| match evidence.aside.reach? {
                Reach::Mute | Reach::NotAccepted => {
                    Some("another attempt connected, and got no greeting".to_owned())
                }
                Reach::Refused => Some("another attempt to connect was refused".to_owned()),
                _ => None,
            },
        },
    ],
    hints: &[
        Sign {
            what: "the client's attempt to connect got no answer",
            seen: |evidence| {
                let client = evidence.client.as_ref()?;
                let unanswered =
                    client.timed_out || matches!(client.os_error, Some(110 | 113 | 101));
                (client.moment == Some(ClientMoment::Connecting) && unanswered)
                    .then(|| "the client's attempt to connect got no answer".to_owned())
            },
        },
        Sign {
            what: "the kernel's log tells of a full table of tracked connections, or of a link that went down",
            seen: |evidence| {
                let kernel = evidence.kernel.as_ref()?;
                let event = kernel.events.iter().find(|event| {
                    matches!(
                        event.kind,
                        KernelKind::ConntrackFull | KernelKind::LinkDown | KernelKind::TcpMemory
                    )
                })?;
                Some(format!("the kernel's log says: {}", event.line))
            },
        },
    ],
    brings: &[],
    question: "Do packets get lost between the two (mtr --tcp --port 3306 HOST), and do retransmissions grow on either host \
               (nstat TcpRetransSegs)?",
    fix,
};

fn fix(_evidence: &Evidence) -> Vec<Step> {
    vec![
        advise(
            "Look at the path: mtr --tcp --port 3306 HOST, nstat -az TcpRetransSegs TcpTimeouts on both hosts, ethtool -S, \
             dmesg for `nf_conntrack: table full` and links that go down; large packets that vanish while small ones pass are \
             an MTU that is too large (ping -M do -s 1472 HOST).",
        ),
        advise(
            "Steadfast finds a dead path in timeouts.dead_after (10 s) and brings the session back by itself; without it, set \
             TCP_USER_TIMEOUT or the driver's read timeout, or the client waits for a quarter of an hour.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Moment;
    use crate::testing::{certain, mariadb, of_server, wire};

    #[test]
    fn the_machine_cannot_be_reached_and_runs_on() {
        let mut evidence = of_server(mariadb(), wire(Moment::Waiting, End::Silence));
        evidence.aside.reach = Some(Reach::Silent);
        certain(&evidence, Cause::NetworkDrop);
    }
}
