//! Damaged data.

use crate::cause::Cause;
use crate::evidence::Evidence;
use crate::kernel::KernelKind;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{CLIENT_ENDED, SHUT_DOWN_IN_ORDER};

/// Errors that tell of damaged tables or indexes, on both servers.
pub(super) const CODES: &[u16] = &[126, 127, 134, 144, 145, 1034, 1035, 1194, 1195, 1712, 1877];

pub(super) const RULE: Rule = Rule {
    cause: Cause::Corruption,
    meaning: "A table, an index or a page is damaged; InnoDB ends the whole server when it reads such a page, and again \
              each time that a statement comes to it.",
    proofs: &[
        Sign {
            what: "the error log tells of damaged data",
            seen: |evidence| evidence.logged_damage(),
        },
        Sign {
            what: "the server said that a table or an index is damaged",
            seen: |evidence| evidence.told_any(CODES),
        },
    ],
    refutations: &[
        CLIENT_ENDED,
        SHUT_DOWN_IN_ORDER,
        Sign {
            what: "the server was not restarted, and neither it nor its error log said that something is damaged",
            seen: |evidence| {
                let quiet =
                    evidence.told_any(CODES).is_none() && evidence.logged_damage().is_none();
                quiet
                    .then(|| (crate::signs::SAME_BOOT.seen)(evidence))
                    .flatten()
            },
        },
        Sign {
            what: "the error log was read, and tells of nothing damaged, nor did the server",
            seen: |evidence| {
                evidence.log.as_ref()?;
                let told = evidence.told_any(CODES).is_some() || evidence.logged_damage().is_some();
                (!told).then(|| "the server's error log tells of nothing damaged".to_owned())
            },
        },
    ],
    hints: &[Sign {
        what: "the kernel's log tells of a failing disk",
        seen: |evidence| {
            let kernel = evidence.kernel.as_ref()?;
            let event = kernel
                .events
                .iter()
                .find(|event| event.kind == KernelKind::DiskError)?;
            Some(format!("the kernel's log says: {}", event.line))
        },
    }],
    brings: &[Cause::Crash, Cause::ProcessKilled],
    question: "Does CHECK TABLE on the tables of the lost statement end well, and does the error log speak of corruption?",
    fix,
};

fn fix(_evidence: &Evidence) -> Vec<Step> {
    vec![
        advise(
            "Before anything else copy the data directory, or restore the newest backup beside it: repairs can destroy.",
        ),
        Step::Sql {
            mariadb: "CHECK TABLE … EXTENDED;  -- each table that the error log names; then REPAIR TABLE … for MyISAM and Aria",
            mysql: "CHECK TABLE … EXTENDED;  -- each table that the error log names; then REPAIR TABLE … for MyISAM",
        },
        advise(
            "InnoDB: start with innodb_force_recovery = 1 (then 2, 3, no higher without a copy), dump the tables, and load \
             them into a new server. Test the disks (smartctl -a, dmesg): pages are seldom damaged by the server.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Boot, End, Log, Moment};
    use crate::log::{LogEvent, LogKind};
    use crate::testing::{certain, mysql, of_server, wire};
    use core::time::Duration;

    #[test]
    fn a_damaged_page_explains_the_crash() {
        let mut evidence = of_server(mysql(), wire(Moment::Waiting, End::Fin));
        evidence.aside.boot = Some(Boot::Restarted(Some(Duration::from_secs(3))));
        let event = |line: &str, kind| LogEvent {
            at: String::new(),
            line: line.to_owned(),
            kind,
        };
        evidence.log = Some(Log {
            events: vec![
                event("Database page corruption on disk", LogKind::Corruption),
                event("mysqld got signal 6", LogKind::Signal(6)),
            ],
            thread: None,
        });
        certain(&evidence, Cause::Corruption);
        assert_eq!(crate::diagnose(&evidence).also, [Cause::Crash]);
    }
}
