//! A proxy's own limit.

use core::time::Duration;

use crate::cause::Cause;
use crate::evidence::{End, Evidence, Moment};
use crate::log::Aborted;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{
    ALL_WERE_LOST, FELL_SILENT, LEFT_OVER, NOT_LOGGED_IN, NOTHING_ABORTED, SHORTEST_MIDDLEBOX,
    SPOKE, SURVIVED,
};
use crate::words::time;

/// A command and the end of its connection that are no further apart have crossed.
const AT_THE_MOMENT: Duration = Duration::from_secs(1);

pub(super) const RULE: Rule = Rule {
    cause: Cause::ProxyTimeout,
    meaning: "A proxy between client and server (HAProxy, MySQL Router, ProxySQL, an SSH tunnel, a sidecar) closed the \
              connection on both of its sides, by an idle timeout or another limit of its own.",
    proofs: &[
        Sign {
            what: "the connection was closed, and the server's error log says that its client had closed it: so something \
                   between the two closed both ends",
            seen: |evidence| {
                let closed = matches!(evidence.server_end()?, End::Fin | End::Reset);
                closed.then(|| evidence.aborted(&[Aborted::ErrorReading]))?.map(|line| {
                    format!("the connection was closed on this side, and on the other one too: {line}")
                })
            },
        },
        Sign {
            what: "the message is a proxy's own",
            seen: |evidence| {
                let client = evidence.client.as_ref()?;
                client
                    .proxy
                    .then(|| format!("the message is a proxy's own: {}", client.text))
            },
        },
    ],
    refutations: &[
        NOTHING_ABORTED,
        SPOKE,
        FELL_SILENT,
        LEFT_OVER,
        NOT_LOGGED_IN,
        SURVIVED,
        ALL_WERE_LOST,
        Sign {
            what: "the connection had been used shortly before: a proxy's limit is one to being idle",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                // A command that came at the very moment found the connection ended.
                let begun = wire.received == 0 && wire.waited < AT_THE_MOMENT;
                let idle = if begun {
                    wire.quiet.max(wire.quiet_before)
                } else {
                    wire.quiet
                };
                (idle < SHORTEST_MIDDLEBOX)
                    .then(|| format!("a packet had passed {} before the end", time(idle)))
            },
        },
    ],
    hints: &[Sign {
        what: "the connection had been idle for a round time, as timeouts are",
        seen: |evidence| {
            let wire = evidence.wire.as_ref()?;
            let quiet = wire.quiet.as_secs_f64();
            let round = [10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0]
                .into_iter()
                .find(|limit| (quiet - limit).abs() < 1.1)?;
            (wire.moment == Moment::Idle)
                .then(|| format!("the connection had been idle for {round} s, a round time"))
        },
    }],
    brings: &[],
    question: "Is there a proxy or a tunnel between client and server, and what are its timeouts (HAProxy: timeout client, \
               timeout server)?",
    fix,
};

fn fix(evidence: &Evidence) -> Vec<Step> {
    let idle = evidence
        .wire
        .as_ref()
        .map(|wire| format!(" (here {})", time(wire.quiet)))
        .unwrap_or_default();
    vec![
        advise(format!(
            "Raise the proxy's idle timeouts{idle} above wait_timeout: HAProxy `timeout client` and `timeout server` (both), \
             with `option clitcpka` and `option srvtcpka`; ProxySQL mysql-wait_timeout (milliseconds); MySQL Router \
             client_connect_timeout and connection_sharing; ssh -o ServerAliveInterval=30."
        )),
        advise(
            "Steadfast in its place needs no such timeout: an idle client costs it a few kilobytes.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::evidence::Log;
    use crate::log::{LogEvent, LogKind};
    use crate::testing::{certain, mysql, of_server, wire};

    #[test]
    fn both_ends_were_closed_by_neither() {
        let mut seen = wire(Moment::Idle, End::Fin);
        seen.quiet = Duration::from_secs(60);
        let mut evidence = of_server(mysql(), seen);
        evidence.log = Some(Log {
            events: vec![LogEvent {
                at: String::new(),
                line: "Aborted connection 12 to db (Got an error reading communication packets)"
                    .to_owned(),
                kind: LogKind::Aborted {
                    thread: 12,
                    why: Aborted::ErrorReading,
                },
            }],
            thread: Some(12),
        });
        certain(&evidence, Cause::ProxyTimeout);
    }
}
