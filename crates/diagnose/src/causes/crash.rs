//! The server ended by a fault of its own.

use crate::cause::Cause;
use crate::evidence::Evidence;
use crate::kernel::{KernelEvent, KernelKind};
use crate::log::LogKind;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{CLIENT_ENDED, SAME_BOOT, SHUT_DOWN_IN_ORDER, SURVIVED};

pub(super) const RULE: Rule = Rule {
    cause: Cause::Crash,
    meaning: "The server ended by a fault of its own: a signal such as 11, or an assertion that failed; its error log has a \
              report with a stack trace.",
    proofs: &[
        Sign {
            what: "the error log has the server's report of a signal or of a failed assertion",
            seen: |evidence| {
                evidence.logged(|kind| matches!(kind, LogKind::Signal(_) | LogKind::Assertion))
            },
        },
        Sign {
            what: "the kernel's log tells of a fault in the server's process",
            seen: |evidence| {
                let event = kernel_fault(evidence)?;
                Some(format!("the kernel's log says: {}", event.line))
            },
        },
    ],
    refutations: &[
        SAME_BOOT,
        CLIENT_ENDED,
        SHUT_DOWN_IN_ORDER,
        SURVIVED,
        Sign {
            what: "the service manager or the container platform says that the process was ended by SIGKILL",
            seen: |evidence| evidence.logged(|kind| kind == LogKind::KilledBySignal9),
        },
        Sign {
            what: "the server began again, and its error log has no report of a crash before that",
            seen: |evidence| {
                let again = evidence.began_again()?;
                if kernel_fault(evidence).is_some() {
                    return None;
                }
                evidence
                    .logged(|kind| matches!(kind, LogKind::Signal(_) | LogKind::Assertion))
                    .is_none()
                    .then(|| format!("{again}, and it has no report of a crash"))
            },
        },
    ],
    hints: &[],
    brings: &[Cause::ProcessKilled],
    question: "Does the server's error log have a line `got signal` or `Assertion failure` before it started again?",
    fix,
};

fn kernel_fault(evidence: &Evidence) -> Option<&KernelEvent> {
    let kernel = evidence.kernel.as_ref()?;
    kernel
        .events
        .iter()
        .find(|event| event.kind == KernelKind::Fault)
}

fn fix(_evidence: &Evidence) -> Vec<Step> {
    vec![
        advise(
            "Read the report in the error log: it names the statement (after `Query` or `Some pointers may be invalid`), \
             which may crash the server again. Keep clients from sending it.",
        ),
        advise(
            "Update to the newest release of the server's series, and look for the topmost functions of the stack trace in \
             bugs.mysql.com or jira.mariadb.org; with none found, report it.",
        ),
        advise("Without a bug to be found, test the memory (memtest) and the disks (smartctl -a)."),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Boot, End, Log, Moment};
    use crate::log::LogEvent;
    use crate::testing::{certain, mariadb, of_server, wire};
    use core::time::Duration;

    #[test]
    fn the_server_reports_its_own_end() {
        let mut evidence = of_server(mariadb(), wire(Moment::Waiting, End::Fin));
        evidence.aside.boot = Some(Boot::Restarted(Some(Duration::from_secs(3))));
        evidence.log = Some(Log {
            events: vec![
                LogEvent {
                    at: String::new(),
                    line: "mariadbd got signal 11".to_owned(),
                    kind: LogKind::Signal(11),
                },
                LogEvent {
                    at: String::new(),
                    line: "InnoDB: Starting crash recovery".to_owned(),
                    kind: LogKind::Recovers,
                },
            ],
            thread: None,
        });
        certain(&evidence, Cause::Crash);
    }
}
