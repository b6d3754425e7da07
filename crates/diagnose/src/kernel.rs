//! The kernel's log, line by line: what it tells about lost connections.
//!
//! Texts are those of Linux 2.6.32 to 6.x, as dmesg, journalctl and syslog print them.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use serde::{Deserialize, Serialize};

use crate::log::{MAX_LINE, Time, cut, time_in};

/// A line that tells something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KernelEvent {
    /// The line, at most [`MAX_LINE`] bytes.
    pub line: String,
    /// What it tells.
    pub kind: KernelKind,
}

impl KernelEvent {
    /// Whether the line is about the process of this number.
    pub fn names(&self, process: u32) -> bool {
        let number = process.to_string();
        ["pid=", "Killed process ", "task ", "process "]
            .iter()
            .filter_map(|before| self.line.split_once(before))
            .any(|(_, after)| {
                after
                    .strip_prefix(&number)
                    .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
            })
    }

    /// The process that was killed, or that failed, if the line names one.
    pub(crate) fn process(&self) -> Option<u32> {
        let lower = self.line.to_ascii_lowercase();
        let number = |after: &str| {
            let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            after[..digits].parse().ok()
        };
        let named = ["killed process ", "kill process ", ",pid="]
            .iter()
            .find_map(|before| number(lower.split_once(before)?.1));
        // `mysqld[4711]: segfault`: the kernel's own lines may have a number in the same place before it.
        let failed = || {
            SERVERS
                .iter()
                .find_map(|name| number(lower.split_once(&format!("{name}["))?.1))
        };
        named.or_else(failed)
    }

    /// When the kernel said it, as it is written, where the line has a date.
    pub(crate) fn at(&self) -> Option<String> {
        Some(time_in(&self.line)?.to_owned())
    }

    /// When the kernel said it, where the line has a date.
    pub(crate) fn time(&self) -> Option<Time> {
        Time::read(time_in(&self.line)?)
    }
}

/// What a line of the kernel's log tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelKind {
    /// It killed a process because memory had run out.
    OomKill {
        /// It was a server's: `mysqld`, `mariadbd`.
        server: bool,
    },
    /// A server's process was ended by a fault of its own.
    Fault,
    /// A disk or its file system failed.
    DiskError,
    /// A task has waited for a disk for minutes, or a processor stood still.
    Stuck,
    /// The table of connections that the firewall tracks is full.
    ConntrackFull,
    /// TCP's own memory had run out.
    TcpMemory,
    /// A network link went down.
    LinkDown,
}

use KernelKind as K;

/// Phrases in lower case, and what they tell; the first that is in a line counts.
const PHRASES: &[(&str, KernelKind)] = &[
    ("nf_conntrack: table full", K::ConntrackFull),
    ("ip_conntrack: table full", K::ConntrackFull),
    ("tcp: out of memory", K::TcpMemory),
    ("nic link is down", K::LinkDown),
    ("link is down", K::LinkDown),
    ("link down", K::LinkDown),
    ("i/o error, dev", K::DiskError),
    ("buffer i/o error", K::DiskError),
    ("critical medium error", K::DiskError),
    ("ext4-fs error", K::DiskError),
    ("remounting filesystem read-only", K::DiskError),
    ("metadata corruption detected", K::DiskError),
    ("metadata i/o error", K::DiskError),
    ("filesystem has been shut down", K::DiskError),
    ("shutting down filesystem", K::DiskError),
    ("blocked for more than", K::Stuck),
    ("soft lockup", K::Stuck),
];

/// The names of servers' processes, cut to the kernel's 15 bytes.
const SERVERS: &[&str] = &["mysqld", "mariadbd", "mysqld-debug", "mysqld_safe"];

/// What ends a process.
const ENDS: &[&str] = &[
    "killed process ",
    "kill process ",
    "oom-kill:constraint",
    "segfault at",
    "general protection",
    "trap invalid opcode",
    "trap divide error",
];

/// Finds the lines that are worth a look among many that are not.
#[expect(
    clippy::unwrap_used,
    reason = "the phrases are constants, and the tests build the automaton"
)]
static INTERESTING: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(aho_corasick::AhoCorasickKind::DFA))
        .build(phrases())
        .unwrap()
});

/// What a line that tells something has in it, in lower case.
pub(crate) fn phrases() -> impl Iterator<Item = &'static str> {
    let phrases = PHRASES.iter().map(|(phrase, _)| *phrase);
    phrases.chain(ENDS.iter().copied())
}

impl KernelEvent {
    /// What a line tells; `None`: nothing about lost connections.
    pub fn read(line: &[u8]) -> Option<Self> {
        let line = &line[..line.len().min(4 << 10)];
        if !INTERESTING.is_match(line) {
            return None;
        }
        let text = String::from_utf8_lossy(line);
        let lower = text.to_ascii_lowercase();
        let kind = kind(&lower)?;
        Some(Self {
            line: cut(text.trim(), 0, MAX_LINE).to_owned(),
            kind,
        })
    }
}

fn kind(lower: &str) -> Option<KernelKind> {
    // Who asked for memory is not who was killed.
    if lower.contains("invoked oom-killer") {
        return None;
    }
    let killed = lower
        .find("killed process ")
        .or_else(|| lower.find("kill process "));
    if let Some(at) = killed {
        return Some(K::OomKill {
            server: SERVERS.contains(&between(&lower[at..], "(", ")")),
        });
    }
    if lower.contains("oom-kill:constraint") {
        let task = between(lower, ",task=", ",");
        return Some(K::OomKill {
            server: SERVERS.contains(&task),
        });
    }
    let server = SERVERS
        .iter()
        .any(|name| lower.contains(&format!("{name}[")));
    let fault = [
        "segfault at",
        "general protection",
        "trap invalid opcode",
        "trap divide error",
    ]
    .iter()
    .any(|phrase| lower.contains(phrase));
    if server && fault {
        return Some(K::Fault);
    }
    PHRASES
        .iter()
        .find(|(phrase, _)| lower.contains(phrase))
        .map(|(_, kind)| *kind)
}

/// What stands between the first `open` and the next `close`; empty: they are not there.
fn between<'a>(text: &'a str, open: &str, close: &str) -> &'a str {
    let Some((_, rest)) = text.split_once(open) else {
        return "";
    };
    rest.split_once(close)
        .map_or(rest, |(inner, _)| inner)
        .trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_was_killed_is_named() {
        for (line, process) in [
            (
                "Out of memory: Killed process 4711 (mysqld) total-vm:1kB",
                Some(4711),
            ),
            (
                "Out of memory: Kill process 12 (mysqld) score 901 or sacrifice child",
                Some(12),
            ),
            (
                "oom-kill:constraint=x,task=mariadbd,pid=47,uid=999",
                Some(47),
            ),
            ("mysqld[99]: segfault at 18 ip 000055d", Some(99)),
            ("nf_conntrack: table full", None),
        ] {
            let event = KernelEvent::read(line.as_bytes()).unwrap();
            assert_eq!(event.process(), process, "{line}");
        }
    }

    #[test]
    fn kernels_of_all_ages_are_understood() {
        let oom = |server| Some(K::OomKill { server });
        let cases = [
            (
                "[64377.426677] Out of memory: Killed process 4711 (mysqld) total-vm:1964kB, anon-rss:9kB, file-rss:0kB, shmem-rss:0kB, UID:27 pgtables:1kB oom_score_adj:0",
                oom(true),
            ),
            (
                "Nov  2 03:04:05 db1 kernel: Memory cgroup out of memory: Killed process 4711 (mariadbd) total-vm:1kB",
                oom(true),
            ),
            (
                "Out of memory: Kill process 4711 (mysqld) score 901 or sacrifice child",
                oom(true),
            ),
            (
                "Killed process 4711, UID 27, (mysqld) total-vm:1kB, anon-rss:1kB, file-rss:1kB",
                oom(true),
            ),
            (
                "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=/db,task_memcg=/db,task=mariadbd,pid=47,uid=999",
                oom(true),
            ),
            (
                "Out of memory: Killed process 99 (java) total-vm:1kB",
                oom(false),
            ),
            (
                "mysqld invoked oom-killer: gfp_mask=0x100cca(GFP_HIGHUSER_MOVABLE), order=0",
                None,
            ),
            (
                "mysqld[4711]: segfault at 18 ip 000055d sp 00007f error 4 in mysqld[55d+1]",
                Some(K::Fault),
            ),
            (
                "java[47]: segfault at 18 ip 000055d sp 00007f error 4 in libjvm.so",
                None,
            ),
            (
                "blk_update_request: I/O error, dev sdb, sector 12 op 0x0:(READ)",
                Some(K::DiskError),
            ),
            (
                "nf_conntrack: nf_conntrack: table full, dropping packet",
                Some(K::ConntrackFull),
            ),
            (
                "INFO: task mysqld:4711 blocked for more than 120 seconds.",
                Some(K::Stuck),
            ),
            (
                "e1000e 0000:00:1f.6 eth0: NIC Link is Down",
                Some(K::LinkDown),
            ),
            ("usb 1-1: new device", None),
            ("", None),
        ];
        for (line, kind) in cases {
            assert_eq!(
                KernelEvent::read(line.as_bytes()).map(|event| event.kind),
                kind,
                "{line}"
            );
        }
    }
}
