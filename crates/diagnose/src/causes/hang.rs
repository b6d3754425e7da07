//! The server runs, and answers nobody.

use crate::cause::Cause;
use crate::evidence::{Boot, Evidence, Moment, Reach};
use crate::kernel::KernelKind;
use crate::log::LogKind;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{CLIENT_ENDED, OTHERS_WERE_GREETED, RESTARTED, SPOKE, WAS_CLOSED};

pub(super) const RULE: Rule = Rule {
    cause: Cause::Hang,
    meaning: "The server's process is there and answers nobody: stopped, without processor time or waiting for a disk, or \
              blocked inside.",
    proofs: &[
        Sign {
            what: "connections to it are made, by the kernel, and no greeting comes",
            seen: |evidence| {
                (evidence.aside.reach? == Reach::Mute).then(|| {
                    "another attempt connected, and got no greeting: the machine answers, the server does not".to_owned()
                })
            },
        },
        Sign {
            what: "the error log tells of a wait for minutes inside the server",
            seen: |evidence| evidence.logged(|kind| kind == LogKind::LongWait),
        },
    ],
    refutations: &[
        CLIENT_ENDED,
        Sign {
            what: "the server was restarted or ended the connection, and its error log tells of no wait",
            seen: |evidence| {
                if evidence.logged(|kind| kind == LogKind::LongWait).is_some() {
                    return None;
                }
                [RESTARTED, SPOKE, WAS_CLOSED, OTHERS_WERE_GREETED]
                    .iter()
                    .find_map(|sign| (sign.seen)(evidence))
            },
        },
        Sign {
            what: "another attempt to connect was refused, or got no answer from the machine either",
            seen: |evidence| match evidence.aside.reach? {
                Reach::Refused => Some("another attempt to connect was refused".to_owned()),
                Reach::Silent => Some(
                    "another attempt to connect got no answer from the machine either".to_owned(),
                ),
                _ => None,
            },
        },
        Sign {
            what: "nothing was asked of it",
            seen: |evidence| {
                (evidence.wire.as_ref()?.moment == Moment::Idle
                    && evidence
                        .aside
                        .reach
                        .is_some_and(|reach| reach != Reach::Mute))
                .then(|| "nothing had been asked of the server".to_owned())
            },
        },
    ],
    hints: &[
        Sign {
            what: "the server went on later, without a restart",
            seen: |evidence| match evidence.aside.boot? {
                Boot::Same(_) => Some("the server went on later, without a restart".to_owned()),
                Boot::Restarted(_) => None,
            },
        },
        Sign {
            what: "the kernel's log tells of a task that waited for minutes, or of a processor that stood still",
            seen: |evidence| {
                let kernel = evidence.kernel.as_ref()?;
                let event = kernel
                    .events
                    .iter()
                    .find(|event| event.kind == KernelKind::Stuck)?;
                Some(format!("the kernel's log says: {}", event.line))
            },
        },
    ],
    brings: &[
        Cause::NetworkDrop,
        Cause::Crash,
        Cause::ProcessKilled,
        Cause::ClientTimeout,
    ],
    question: "Does the server greet a new connection (nc -v HOST 3306), and what does its machine do at that time (top, \
               iostat -x, dmesg)?",
    fix,
};

fn fix(_evidence: &Evidence) -> Vec<Step> {
    vec![
        advise(
            "While it hangs, look at the process: state T is stopped, D waits for a disk (ps -o stat,wchan -C mysqld,mariadbd); \
             iostat -x, vmstat 1; a stack of all threads (gdb -p PID -batch -ex 'thread apply all bt') is what a bug report needs.",
        ),
        Step::Sql {
            mariadb: "SHOW ENGINE INNODB STATUS;  -- SEMAPHORES: who waits, and for whom",
            mysql: "SHOW ENGINE INNODB STATUS;  -- SEMAPHORES: who waits, and for whom",
        },
        advise(
            "Usual reasons: a snapshot or a backup that freezes the file system, a virtual machine that is moved, a disk without \
             credits left, memory that is swapped, a full tmpdir.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::End;
    use crate::testing::{certain, mysql, of_server, wire};

    #[test]
    fn no_greeting_comes() {
        let mut evidence = of_server(mysql(), wire(Moment::Waiting, End::Silence));
        evidence.aside.reach = Some(Reach::Mute);
        certain(&evidence, Cause::Hang);
    }

    #[test]
    fn a_stuck_task_speaks_for_it() {
        let mut evidence = of_server(mysql(), wire(Moment::Waiting, End::Silence));
        let hinted = |evidence: &Evidence| {
            let candidates = crate::diagnose(evidence).candidates;
            candidates
                .iter()
                .find(|one| one.cause == Cause::Hang)
                .map_or(0, |one| one.hints.len())
        };
        let before = hinted(&evidence);
        evidence.kernel = Some(crate::evidence::Kernel {
            events: vec![crate::kernel::KernelEvent {
                line: "INFO: task mysqld:4711 blocked for more than 120 seconds.".to_owned(),
                kind: KernelKind::Stuck,
            }],
            group_kills: None,
        });
        assert_eq!(hinted(&evidence), before + 1);
    }
}
