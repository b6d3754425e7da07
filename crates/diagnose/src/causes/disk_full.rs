//! No space on a disk.

use crate::cause::Cause;
use crate::evidence::{End, Evidence};
use crate::log::LogKind;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{CLIENT_ENDED, SHUT_DOWN_IN_ORDER};

/// Disk full; table full, of which a disk may be the reason.
pub(super) const CODES: &[u16] = &[1021, 1114];

/// Errors on writing, of which the error number 28 is the reason or another one.
pub(super) const WRITING: &[u16] = &[1026, 3];

/// Whether the error number 28 is in it.
pub(super) fn is_space(message: &str) -> bool {
    message.contains("No space left") || message.contains(" 28")
}

/// Whether an error of this number and text may be a full disk's.
fn may_be_space(code: u16, message: &str) -> bool {
    CODES.contains(&code) || (WRITING.contains(&code) && is_space(message))
}

pub(super) const RULE: Rule = Rule {
    cause: Cause::DiskFull,
    meaning: "A disk is full: statements fail or stand still, and MariaDB's InnoDB ends the whole server when it cannot write.",
    proofs: &[
        Sign {
            what: "the error log tells of a full disk",
            seen: |evidence| evidence.logged(|kind| kind == LogKind::DiskFull),
        },
        Sign {
            what: "the server said 1021 (disk full), or 1114 (table full), 3 or 1026 (cannot write) with the error number 28",
            seen: |evidence| match &evidence.wire.as_ref()?.end {
                End::Said { code, message, .. }
                    if *code == 1021 || (may_be_space(*code, message) && is_space(message)) =>
                {
                    Some(format!("the server said {code}: {message}"))
                }
                _ => None,
            },
        },
        Sign {
            what: "the client was told 1021",
            seen: |evidence| {
                evidence.client.as_ref()?;
                evidence.wire.is_none().then(|| evidence.told(1021))?
            },
        },
    ],
    refutations: &[
        Sign {
            what: "the client's side ended the connection, and the error log tells of no full disk",
            seen: |evidence| {
                let full = evidence.logged(|kind| kind == LogKind::DiskFull).is_some();
                (!full).then(|| (CLIENT_ENDED.seen)(evidence))?
            },
        },
        SHUT_DOWN_IN_ORDER,
        Sign {
            what: "the server was not restarted, and did not say that something is full",
            seen: |evidence| {
                let end = evidence.server_end()?;
                let silent = *end == End::Silence;
                let full =
                    matches!(end, End::Said { code, message, .. } if may_be_space(*code, message));
                (!full && !silent)
                    .then(|| (crate::signs::SAME_BOOT.seen)(evidence))
                    .flatten()
            },
        },
        Sign {
            what: "the error log was read, and tells of no full disk, nor did the server",
            seen: |evidence| {
                evidence.log.as_ref()?;
                let told = matches!(evidence.server_end(), Some(End::Said { code, message, .. }) if may_be_space(*code, message))
                    || evidence.logged(|kind| kind == LogKind::DiskFull).is_some();
                (!told).then(|| "the server's error log tells of no full disk".to_owned())
            },
        },
    ],
    hints: &[Sign {
        what: "the server or the client said 1114: the table is full, as one in memory or with a limit of its own may be too",
        seen: |evidence| evidence.told(1114),
    }],
    brings: &[
        Cause::Crash,
        Cause::ProcessKilled,
        Cause::Hang,
        Cause::ClientTimeout,
    ],
    question: "Is there space on the disks of datadir, tmpdir, the binary logs and the redo log (df -h, df -i)?",
    fix,
};

fn fix(_evidence: &Evidence) -> Vec<Step> {
    vec![
        advise(
            "Make space on the disk of datadir, of tmpdir or of the binary logs (df -h, df -i), or give it more.",
        ),
        Step::Sql {
            mariadb: "SHOW BINARY LOGS; PURGE BINARY LOGS BEFORE NOW() - INTERVAL 3 DAY;  -- no replica may need them still",
            mysql: "SHOW BINARY LOGS; PURGE BINARY LOGS BEFORE NOW() - INTERVAL 3 DAY;  -- no replica may need them still",
        },
        advise(
            "Then have them expire by themselves (binlog_expire_logs_seconds), limit temporary tables \
             (innodb_temp_data_file_path with :max:), and have the disks watched.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Boot, Log, Moment};
    use crate::log::LogEvent;
    use crate::testing::{certain, mariadb, of_server, wire};
    use core::time::Duration;

    #[test]
    fn a_full_disk_explains_the_end_of_the_server() {
        let mut evidence = of_server(mariadb(), wire(Moment::Waiting, End::Fin));
        evidence.aside.boot = Some(Boot::Restarted(Some(Duration::from_secs(3))));
        evidence.log = Some(Log {
            events: vec![LogEvent {
                at: String::new(),
                line: "[FATAL] InnoDB: write failed: Out of disk space".to_owned(),
                kind: LogKind::DiskFull,
            }],
            thread: None,
        });
        certain(&evidence, Cause::DiskFull);
    }
}
