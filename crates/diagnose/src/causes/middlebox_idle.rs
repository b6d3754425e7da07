//! A firewall, NAT or load balancer between the two that forgets idle connections.

use crate::cause::Cause;
use crate::evidence::{End, Evidence, Leftover, Moment, Reach};
use crate::log::Aborted;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{
    CLIENT_ENDED, IDLE, NOT_ABORTED, NOT_LOGGED_IN, SHORTEST_MIDDLEBOX, SPOKE, SURVIVED,
};
use crate::words::time;

pub(super) const RULE: Rule = Rule {
    cause: Cause::MiddleboxIdle,
    meaning: "A firewall, NAT gateway or load balancer between client and server forgot the connection while it was idle; \
              the next packet is dropped or answered with a reset, and neither side was told.",
    proofs: &[
        Sign {
            what: "the first command after a long pause was answered with a reset, and the server still has the connection, asleep",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let asleep = evidence.aside.leftover? == Leftover::Sleeps;
                (asleep
                    && evidence.server_end()? == &End::ResetInAnswer
                    && wire.quiet_before >= SHORTEST_MIDDLEBOX)
                    .then(|| {
                        format!(
                            "after {} without a packet, the next command was answered with a reset, and the server still \
                             has the connection, asleep",
                            time(wire.quiet_before)
                        )
                    })
            },
        },
        Sign {
            what: "the first command after a long pause was never answered nor acknowledged, the server still has the \
                   connection, asleep, and new connections get through at once",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let asleep = evidence.aside.leftover? == Leftover::Sleeps;
                let others_pass = matches!(evidence.aside.reach?, Reach::Greeted | Reach::Said(_));
                (asleep
                    && others_pass
                    && evidence.server_end()? == &End::Silence
                    && wire.quiet_before >= SHORTEST_MIDDLEBOX)
                    .then(|| {
                        format!(
                            "after {} without a packet, the next command was not even acknowledged; the server still has \
                             the connection, asleep, and another connection got through at once",
                            time(wire.quiet_before)
                        )
                    })
            },
        },
    ],
    refutations: &[
        NOT_ABORTED,
        CLIENT_ENDED,
        NOT_LOGGED_IN,
        IDLE,
        SPOKE,
        SURVIVED,
        Sign {
            what: "the error log says that the server's own timer ran out, and nothing on the connection tells of more",
            seen: |evidence| {
                evidence
                    .wire
                    .is_none()
                    .then(|| evidence.aborted(&[Aborted::TimeoutReading]))?
            },
        },
        Sign {
            what: "the connection was closed with FIN: who forgets a connection does not close it",
            seen: |evidence| {
                (evidence.server_end()? == &End::Fin)
                    .then(|| "the connection was closed with FIN".to_owned())
            },
        },
        Sign {
            what: "a part of the response had come",
            seen: |evidence| {
                (evidence.wire.as_ref()?.moment == Moment::Downloading)
                    .then(|| "a part of the response had come".to_owned())
            },
        },
        Sign {
            what: "the connection had been used shortly before",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let busy = matches!(wire.moment, Moment::Waiting | Moment::Uploading);
                (busy && wire.quiet_before < SHORTEST_MIDDLEBOX).then(|| {
                    format!(
                        "the connection had been used {} before",
                        time(wire.quiet_before)
                    )
                })
            },
        },
        Sign {
            what: "new connections do not get through either",
            seen: |evidence| match evidence.aside.reach? {
                Reach::Refused => Some("another attempt to connect was refused".to_owned()),
                Reach::Mute | Reach::NotAccepted => {
                    Some("another attempt to connect got no greeting".to_owned())
                }
                Reach::Silent => Some("another attempt to connect got no answer".to_owned()),
                Reach::Greeted | Reach::Said(_) => None,
            },
        },
    ],
    hints: &[
        Sign {
            what: "the connection had been idle for as long as a known product's limit: 240 s, 350 s, 600 s, 900 s, 3600 s",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                [240, 350, 600, 900, 3600]
                    .into_iter()
                    .rev()
                    .find(|limit| wire.quiet_before.as_secs() >= *limit)
                    .map(|limit| {
                        format!(
                            "the connection had been idle for {}, which is longer than the {limit} s that some products allow",
                            time(wire.quiet_before)
                        )
                    })
            },
        },
        Sign {
            what: "the client had been idle for minutes, though less than wait_timeout, if that is known",
            seen: |evidence| {
                let idle = evidence.client.as_ref()?.since_received?;
                match evidence.idle_limit() {
                    _ if idle < SHORTEST_MIDDLEBOX => None,
                    Some(limit) => (idle < limit).then(|| {
                        format!(
                            "the client had been idle for {}, less than wait_timeout",
                            time(idle)
                        )
                    }),
                    None => Some(format!("the client had been idle for {}", time(idle))),
                }
            },
        },
    ],
    brings: &[Cause::NetworkDrop],
    question: "What stands between client and server (firewall, NAT, load balancer, VPN), and after which idle time does it \
               forget a connection?",
    fix,
};

fn fix(_evidence: &Evidence) -> Vec<Step> {
    vec![
        advise(
            "Send keepalive probes more often than the middlebox forgets: through Steadfast set timeouts.keepalive_idle \
             below its limit (60 s by default, on both legs).",
        ),
        advise(
            "Without Steadfast: on the client's host sysctl net.ipv4.tcp_keepalive_time=60 net.ipv4.tcp_keepalive_intvl=10, \
             and SO_KEEPALIVE (tcpKeepAlive=true in Connector/J, enableKeepAlive in mysql2) on each connection; or raise \
             the middlebox's idle timeout.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::testing::{certain, mariadb, of_server, wire};

    #[test]
    fn the_first_packet_after_a_pause_meets_nobody() {
        for end in [End::ResetInAnswer, End::Silence] {
            let mut seen = wire(Moment::Waiting, end);
            seen.quiet_before = Duration::from_secs(351);
            let mut evidence = of_server(mariadb(), seen);
            evidence.aside.reach = Some(Reach::Greeted);
            evidence.aside.leftover = Some(Leftover::Sleeps);
            certain(&evidence, Cause::MiddleboxIdle);
        }
    }
}
