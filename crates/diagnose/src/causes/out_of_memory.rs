//! The OOM killer.

use crate::cause::Cause;
use crate::evidence::{Boot, Evidence};
use crate::kernel::KernelKind;
use crate::log::LogKind;
use crate::rule::{Rule, Setting, Sign, Step, advise};
use crate::signs::{CLIENT_ENDED, SAME_BOOT, SHUT_DOWN_IN_ORDER, SURVIVED};

pub(super) const RULE: Rule = Rule {
    cause: Cause::OutOfMemory,
    meaning: "Memory had run out, on the machine or in the server's container, and the kernel killed the server's process; \
              the server's own log says nothing of it.",
    proofs: &[
        Sign {
            what: "the kernel's log says that it killed the server's process for memory",
            seen: |evidence| {
                let kernel = evidence.kernel.as_ref()?;
                let event = kernel
                    .events
                    .iter()
                    .find(|event| event.kind == KernelKind::OomKill { server: true })?;
                Some(format!("the kernel's log says: {}", event.line))
            },
        },
        Sign {
            what: "the server's control group counts a process killed for memory (memory.events: oom_kill), and the server was restarted",
            seen: |evidence| {
                let kills = evidence.kernel.as_ref()?.group_kills?;
                let restarted = matches!(evidence.aside.boot?, Boot::Restarted(_));
                (kills > 0 && restarted).then(|| {
                    format!("the server's control group counts {kills} processes killed for memory since just before the loss")
                })
            },
        },
        Sign {
            what: "the service manager says that the server was killed for memory (oom-kill, OOMKilled)",
            seen: |evidence| evidence.logged(|kind| kind == LogKind::OomKilled),
        },
        Sign {
            what: "the server's log says that memory was refused, and the server ended",
            seen: |evidence| {
                let ended = matches!(evidence.aside.boot, Some(Boot::Restarted(_)))
                    || evidence
                        .logged(|kind| matches!(kind, LogKind::Signal(_) | LogKind::Recovers))
                        .is_some();
                ended.then(|| evidence.logged(|kind| kind == LogKind::OutOfMemory))?
            },
        },
    ],
    refutations: &[
        SAME_BOOT,
        CLIENT_ENDED,
        SHUT_DOWN_IN_ORDER,
        SURVIVED,
        Sign {
            what: "neither the kernel's log nor the server's control group tells of a process killed for memory",
            seen: |evidence| {
                let kernel = evidence.kernel.as_ref()?;
                let none_in_log = !kernel
                    .events
                    .iter()
                    .any(|event| matches!(event.kind, KernelKind::OomKill { .. }));
                (none_in_log && kernel.group_kills == Some(0)).then(|| {
                    "neither the kernel's log nor the server's control group tells of a process killed for memory"
                        .to_owned()
                })
            },
        },
        Sign {
            what: "the server's log has its own report of its end",
            seen: |evidence| {
                evidence
                    .logged(|kind| kind == LogKind::OutOfMemory)
                    .is_none()
                    .then(|| (crate::signs::DIED_OF_ITSELF.seen)(evidence))?
            },
        },
    ],
    hints: &[
        Sign {
            what: "the kernel killed a process for memory at that time",
            seen: |evidence| {
                let kernel = evidence.kernel.as_ref()?;
                let event = kernel
                    .events
                    .iter()
                    .find(|event| matches!(event.kind, KernelKind::OomKill { .. }))?;
                Some(format!("the kernel's log says: {}", event.line))
            },
        },
        Sign {
            what: "the server was refused memory: its log says so, or it said 1037, 1041 or 1135",
            seen: |evidence| {
                evidence
                    .logged(|kind| kind == LogKind::OutOfMemory)
                    .or_else(|| evidence.told_any(&[1037, 1041, 1135]))
            },
        },
    ],
    brings: &[Cause::ProcessKilled, Cause::Crash],
    question: "Does the kernel's log (dmesg -T, journalctl -k) or the container's state (OOMKilled, exit code 137) tell of a \
               process killed for memory at that time?",
    fix,
};

fn fix(evidence: &Evidence) -> Vec<Step> {
    let mut steps = vec![advise(
        "Give the server more memory, or let it use less: its buffer pool, and the buffers of each connection times \
         max_connections, must fit into the limit with a fifth to spare.",
    )];
    if let Some(pool) = evidence.variables.number("innodb_buffer_pool_size") {
        steps.push(Setting::live("innodb_buffer_pool_size", pool / 4 * 3));
    }
    steps.push(advise(
        "Look for the statement that needed it: large sorts, GROUP_CONCAT, MEMORY tables, many connections at once; limit \
         them with max_connections, tmp_table_size and max_heap_table_size.",
    ));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{End, Kernel, Moment};
    use crate::kernel::KernelEvent;
    use crate::testing::{certain, mysql, of_server, wire};
    use core::time::Duration;

    #[test]
    fn the_kernel_says_it() {
        let mut evidence = of_server(mysql(), wire(Moment::Waiting, End::Fin));
        evidence.aside.boot = Some(Boot::Restarted(Some(Duration::from_secs(2))));
        evidence.kernel = Some(Kernel {
            events: vec![KernelEvent {
                line: "Memory cgroup out of memory: Killed process 4711 (mysqld)".to_owned(),
                kind: KernelKind::OomKill { server: true },
            }],
            group_kills: Some(1),
        });
        certain(&evidence, Cause::OutOfMemory);
    }
}
