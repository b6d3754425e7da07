//! SIGKILL.

use crate::cause::Cause;
use crate::evidence::Evidence;
use crate::kernel::KernelKind;
use crate::log::LogKind;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{CLIENT_ENDED, DIED_OF_ITSELF, SAME_BOOT, SHUT_DOWN_IN_ORDER, SURVIVED};

pub(super) const RULE: Rule = Rule {
    cause: Cause::ProcessKilled,
    meaning: "Something ended the server's process with SIGKILL (kill -9, a service manager or a container platform that lost \
              patience); the server had no time to write a word.",
    proofs: &[
        Sign {
            what: "the service manager says that the process was killed by signal 9, and the kernel killed none for memory",
            seen: |evidence| {
                let killed = evidence.logged(|kind| kind == LogKind::KilledBySignal9)?;
                no_oom(evidence)?.then_some(killed)
            },
        },
        Sign {
            what: "the server began again, its error log does not tell why it had ended, and the kernel killed no process for \
                   memory",
            seen: |evidence| {
                let again = evidence.began_again()?;
                let explained = evidence
                    .logged(|kind| {
                        matches!(
                            kind,
                            LogKind::ShutdownAsked
                                | LogKind::ShutDown
                                | LogKind::Signal(_)
                                | LogKind::Assertion
                                | LogKind::DiskFull
                                | LogKind::OutOfMemory
                                | LogKind::OomKilled
                                | LogKind::OpenFiles
                        )
                    })
                    .or_else(|| evidence.logged_damage())
                    .is_some();
                let fault = evidence
                    .kernel
                    .as_ref()?
                    .events
                    .iter()
                    .any(|event| event.kind == KernelKind::Fault);
                (!explained && !fault && no_oom(evidence)?).then(|| {
                    format!(
                        "{again}; nothing before it tells why the server ended, and the kernel killed no process for memory"
                    )
                })
            },
        },
    ],
    refutations: &[
        SAME_BOOT,
        CLIENT_ENDED,
        SHUT_DOWN_IN_ORDER,
        DIED_OF_ITSELF,
        SURVIVED,
        Sign {
            what: "the kernel, or the service manager, says that the server was killed for memory",
            seen: |evidence| {
                let kernel = evidence.kernel.as_ref();
                let event = kernel.and_then(|kernel| {
                    kernel
                        .events
                        .iter()
                        .find(|event| event.kind == KernelKind::OomKill { server: true })
                });
                event
                    .map(|event| format!("the kernel's log says: {}", event.line))
                    .or_else(|| evidence.logged(|kind| kind == LogKind::OomKilled))
            },
        },
        Sign {
            what: "the error log tells of a full disk, damaged data, refused memory or too many open files before the end",
            seen: |evidence| {
                evidence
                    .logged(|kind| {
                        matches!(
                            kind,
                            LogKind::DiskFull | LogKind::OutOfMemory | LogKind::OpenFiles
                        )
                    })
                    .or_else(|| evidence.logged_damage())
            },
        },
    ],
    hints: &[],
    brings: &[],
    question: "Who sends SIGKILL: a person, a service manager whose stop timeout ran out (TimeoutStopSec), a container platform \
               (terminationGracePeriodSeconds, a liveness probe)?",
    fix,
};

/// Whether the kernel killed no process for memory; `None`: nobody looked.
fn no_oom(evidence: &Evidence) -> Option<bool> {
    let kernel = evidence.kernel.as_ref()?;
    let none_in_log = !kernel
        .events
        .iter()
        .any(|event| matches!(event.kind, KernelKind::OomKill { .. }));
    Some(none_in_log && kernel.group_kills.is_none_or(|kills| kills == 0))
}

fn fix(_evidence: &Evidence) -> Vec<Step> {
    vec![
        advise(
            "Find who did it: journalctl -u mariadb -u mysql, kubectl describe pod (Last State, Events), the shell history; an \
             audit rule names the sender (auditctl -a always,exit -F arch=b64 -S kill -F a1=9).",
        ),
        advise(
            "Give the server time to stop: TimeoutStopSec=900 in its unit, terminationGracePeriodSeconds: 600 in its pod, \
             docker stop -t 600; give its liveness probe more patience than its recovery takes.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Boot, End, Kernel, Log, Moment};
    use crate::log::LogEvent;
    use crate::testing::{certain, mysql, of_server, wire};
    use core::time::Duration;

    #[test]
    fn an_end_that_nobody_explains_came_from_outside() {
        let mut evidence = of_server(mysql(), wire(Moment::Waiting, End::Fin));
        evidence.aside.boot = Some(Boot::Restarted(Some(Duration::from_secs(3))));
        assert_eq!(crate::diagnose(&evidence).answer.name(), "server-restarted");
        evidence.log = Some(Log {
            events: vec![LogEvent {
                at: String::new(),
                line: "Database was not shutdown normally!".to_owned(),
                kind: LogKind::Recovers,
            }],
            thread: None,
        });
        // The kernel says nothing in the server's log.
        assert_eq!(
            crate::diagnose(&evidence).answer.name(),
            "killed-from-outside"
        );
        evidence.kernel = Some(Kernel {
            events: Vec::new(),
            group_kills: Some(0),
        });
        certain(&evidence, Cause::ProcessKilled);
    }
}
