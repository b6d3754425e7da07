//! Logs of days and weeks: what belongs to one end of the server, and what does not.

use steadfast_diagnose::{Cause, Finding, Reading};

fn findings(text: &str) -> Vec<Finding> {
    let mut reading = Reading::default();
    for line in text.split_inclusive('\n') {
        reading.line(line.as_bytes());
    }
    reading.finish().0
}

fn answers(text: &str) -> Vec<(&'static str, u64)> {
    findings(text)
        .iter()
        .map(|finding| (finding.verdict.answer.name(), finding.count))
        .collect()
}

const READY: &str = "\
2026-01-02 03:00:00 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision x as process 815
2026-01-02 03:00:01 0 [Note] mariadbd: ready for connections.
";

/// A shutdown, in March.
const SHUTDOWN: &str = "\
2026-03-09 18:00:00 0 [Note] mariadbd (initiated by: unknown): Normal shutdown
2026-03-09 18:00:03 0 [Note] mariadbd: Shutdown complete
2026-03-09 18:00:09 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision x as process 902
2026-03-09 18:00:10 0 [Note] mariadbd: ready for connections.
";

/// A crash, in March.
const CRASH: &str = "\
260309 18:00:00 [ERROR] mariadbd got signal 11 ;
2026-03-09 18:00:09 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision x as process 902
2026-03-09 18:00:09 0 [Note] InnoDB: Starting crash recovery from checkpoint LSN=45056
2026-03-09 18:00:10 0 [Note] mariadbd: ready for connections.
";

/// An end without a word, in March.
const WORDLESS: &str = "\
2026-03-09 18:00:09 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision x as process 902
2026-03-09 18:00:09 0 [Note] InnoDB: Starting crash recovery from checkpoint LSN=45056
2026-03-09 18:00:10 0 [Note] mariadbd: ready for connections.
";

const FULL: &str = "[ERROR] mariadbd: Disk is full writing './binlog.000012' (Errcode: 28)";

#[test]
fn what_was_amiss_hours_before_is_a_finding_of_its_own() {
    for (line, answer) in [
        (FULL, "disk-full"),
        (
            "[ERROR] mariadbd: Table './shop/t' is marked as crashed and should be repaired",
            "corruption",
        ),
        (
            "[Warning] WSREP: Node consistency compromised, leaving cluster",
            "demoted",
        ),
        (
            "[Warning] InnoDB: A long semaphore wait: 300 seconds",
            "hang",
        ),
    ] {
        let line = format!("{READY}2026-03-09  3:00:00 7 {line}\n");
        assert_eq!(
            answers(&format!("{line}{SHUTDOWN}")),
            [(answer, 1), ("shutdown", 1)]
        );
        assert_eq!(
            answers(&format!("{line}{CRASH}")),
            [(answer, 1), ("crash", 1)]
        );
        assert_eq!(
            answers(&format!("{line}{WORDLESS}")),
            [(answer, 1), ("killed-from-outside", 1)]
        );
    }
}

#[test]
fn what_was_amiss_just_before_belongs_to_the_end() {
    let full = format!("{READY}2026-03-09 17:55:00 7 {FULL}\n");
    assert_eq!(answers(&format!("{full}{CRASH}")), [("disk-full", 1)]);
    assert_eq!(answers(&format!("{full}{WORDLESS}")), [("disk-full", 1)]);
    // Who restarts a server whose disk is full is told of the disk.
    let restarted = findings(&format!("{full}{SHUTDOWN}"));
    assert_eq!(restarted.len(), 1);
    let verdict = &restarted[0].verdict;
    assert_eq!(verdict.answer.name(), "shutdown");
    assert_eq!(verdict.also, [Cause::DiskFull]);
    assert!(
        verdict
            .evidence
            .iter()
            .any(|line| line.contains("Disk is full"))
    );
    let told = format!("{:?}", verdict.fix);
    assert!(
        told.contains("disk-full") && !told.contains("Nothing is broken"),
        "{told}"
    );
    // Said again and again until then, it goes on.
    let again: String = (0..60)
        .map(|ten| format!("2026-03-09 {:02}:{}0:00 7 {FULL}\n", 8 + ten / 6, ten % 6))
        .collect();
    let restarted = findings(&format!("{READY}{again}{SHUTDOWN}"));
    assert_eq!(restarted.len(), 1);
    assert_eq!(restarted[0].verdict.also, [Cause::DiskFull]);
}

#[test]
fn what_comes_again_is_counted() {
    let months: String = (1..=9)
        .map(|month| format!("2026-0{month}-02 03:00:05 7 {FULL}\n"))
        .collect();
    let found = findings(&format!("{READY}{months}"));
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].verdict.answer.name(), found[0].count),
        ("disk-full", 9)
    );
    assert_eq!(found[0].first, "2026-01-02 03:00:05");
    assert_eq!(found[0].last, "2026-09-02 03:00:05");
}

#[test]
fn a_recovery_may_take_hours() {
    let log = format!(
        "{READY}\
260309 12:00:00 [ERROR] mariadbd got signal 11 ;
2026-03-09 15:00:00 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision x as process 902
2026-03-09 15:00:00 0 [Note] InnoDB: Starting crash recovery from checkpoint LSN=45056
2026-03-09 18:00:00 0 [ERROR] mariadbd: Table './shop/t' is marked as crashed and should be repaired
2026-03-09 18:00:10 0 [Note] mariadbd: ready for connections.
"
    );
    assert_eq!(answers(&log), [("crash", 1)]);
}

#[test]
fn without_times_lines_are_of_one_end() {
    let log = "mariadbd: Disk is full writing './x'\nmariadbd got signal 6 ;\nmariadbd: ready for connections.\n";
    assert_eq!(answers(log), [("disk-full", 1)]);
}

const OOM: &str = "Out of memory: Killed process 4711 (mariadbd) total-vm:1964kB, anon-rss:9kB";

#[test]
fn the_kernels_log_alone_tells_of_an_end() {
    let oom = format!("[Mon Nov  2 03:04:05 2026] {OOM}\n");
    let found = findings(&oom);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].verdict.answer.name(), "out-of-memory");
    assert_eq!(found[0].first, "Nov  2 03:04:05 2026");
    let client = "ERROR 2013 (HY000): Lost connection to MySQL server during query\n";
    assert_eq!(
        answers(&format!("{client}{oom}")),
        [("unknown", 1), ("out-of-memory", 1)]
    );
    // The kernel says it twice, and of two processes.
    let twice = "\
[1.2] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=mysqld,pid=47,uid=999
[1.2] Out of memory: Killed process 47 (mysqld) total-vm:1kB
[9.2] Out of memory: Killed process 99 (mysqld) total-vm:1kB
[9.9] mysqld[120]: segfault at 18 ip 000055d sp 00007f error 4 in mysqld[55d+1]
";
    assert_eq!(answers(twice), [("out-of-memory", 2), ("crash", 1)]);
    // Neither another program's end nor a disk that fails is one of the server's.
    let others = "[1.2] Out of memory: Killed process 99 (java) total-vm:1kB\n[1.3] blk_update_request: I/O error, dev sdb\n";
    assert_eq!(answers(others), []);
    // However many other lines there are.
    let flood = "[1.3] blk_update_request: I/O error, dev sdb\n".repeat(1_000);
    assert_eq!(answers(&format!("{flood}{oom}")), [("out-of-memory", 1)]);
}

#[test]
fn the_kernels_log_proves_only_what_is_of_that_time_or_process() {
    let log = format!("{READY}{WORDLESS}");
    for (head, process, expected) in [
        // Of that time.
        ("[Mon Mar  9 18:00:01 2026] ", 4711, &["out-of-memory"][..]),
        ("Mar  9 18:00:01 db1 kernel: ", 4711, &["out-of-memory"]),
        (
            "2026-03-09T18:00:01+0100 db1 kernel: ",
            4711,
            &["out-of-memory"],
        ),
        // Of that process.
        ("[64377.426677] ", 815, &["out-of-memory"]),
        ("Mar  9 12:00:01 db1 kernel: ", 815, &["out-of-memory"]),
        // Of another day.
        (
            "[Thu Feb  5 18:00:01 2026] ",
            4711,
            &["killed-from-outside", "out-of-memory"],
        ),
        // Of another server, or before this one: a number is given again.
        (
            "Jan  1 12:00:01 db1 kernel: ",
            815,
            &["killed-from-outside", "out-of-memory"],
        ),
        // Nobody knows.
        ("[64377.426677] ", 4711, &["killed-from-outside"]),
    ] {
        let line =
            format!("{head}Out of memory: Killed process {process} (mariadbd) total-vm:1kB\n");
        let found = findings(&format!("{log}{line}"));
        let names: Vec<_> = found.iter().map(|one| one.verdict.answer.name()).collect();
        assert_eq!(names, expected, "{line}");
        if expected == ["killed-from-outside"] {
            // But it is a hint.
            let candidates = &found[0].verdict.candidates;
            assert_eq!(candidates[0].cause, Cause::OutOfMemory);
            assert!(
                candidates[0].hints[0].contains("64377.426677"),
                "{candidates:?}"
            );
        }
    }
}

/// Of a log of another day, or that was cut, it proves nothing that it tells of no killed process.
#[test]
fn a_kernels_log_without_a_killed_process_is_no_proof() {
    let other = "[64377.4] blk_update_request: I/O error, dev sdb, sector 12\n";
    assert_eq!(
        answers(&format!("{READY}{WORDLESS}{other}")),
        [("killed-from-outside", 1)]
    );
}

#[test]
fn of_several_ends_each_has_its_own_line_of_the_kernel() {
    let log = format!(
        "{READY}{WORDLESS}\
2026-04-01 03:00:00 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision x as process 1001
2026-04-01 03:00:01 0 [Note] mariadbd: ready for connections.
Apr  1 02:59:58 db1 kernel: {OOM}
"
    );
    assert_eq!(
        answers(&log),
        [("killed-from-outside", 1), ("out-of-memory", 1)]
    );
}

#[test]
fn the_kernels_line_of_a_crash_that_the_log_reports_is_no_other_end() {
    let fault =
        "[64377.4] mariadbd[815]: segfault at 18 ip 000055d sp 00007f error 4 in mariadbd[55d+1]\n";
    assert_eq!(answers(&format!("{READY}{CRASH}{fault}")), [("crash", 1)]);
    // Where the log has no report, the kernel's line is one.
    assert_eq!(
        answers(&format!("{READY}{WORDLESS}{fault}")),
        [("crash", 1)]
    );
}

/// MySQL writes UTC, and the kernel's log has the time of the machine.
#[test]
fn zones_are_half_hours_apart() {
    let log = "\
2026-03-09T10:00:00.1Z 0 [System] [MY-010931] [Server] /usr/sbin/mysqld: ready for connections. Version: '8.0.36'
2026-03-09T18:00:05.1Z 0 [System] [MY-010116] [Server] /usr/sbin/mysqld (mysqld 8.0.36) starting as process 1
2026-03-09T18:00:06.1Z 0 [System] [MY-010931] [Server] /usr/sbin/mysqld: ready for connections. Version: '8.0.36'
";
    let killed = |time: &str| {
        format!(
            "{log}[Mon Mar  9 {time} 2026] Out of memory: Killed process 4711 (mysqld) total-vm:1kB\n"
        )
    };
    assert_eq!(answers(&killed("19:00:03")), [("out-of-memory", 1)]);
    assert_eq!(answers(&killed("23:30:03")), [("out-of-memory", 1)]);
    assert_eq!(answers(&killed("19:14:03")), [("killed-from-outside", 1)]);
}
