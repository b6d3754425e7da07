//! What can be told from the server's side alone: its counters, process list, variables and error log, and the client's
//! message. Lines and counters are those of MariaDB 10.11 and MySQL 9.7.

use core::time::Duration;

use steadfast_diagnose::client::ClientMessage;
use steadfast_diagnose::log::LogEvent;
use steadfast_diagnose::{
    Answer, Boot, Cause, Evidence, Kernel, Leftover, Log, Product, Reach, Reading, Server,
    Variables, diagnose,
};

const THREAD: u64 = 30;

/// A connection that has gone from a server that runs on, with nothing logged and nothing counted.
fn gone(product: Product, level: u32) -> Evidence {
    let (version, name) = match product {
        Product::MariaDb => (101_119, "log_warnings"),
        Product::MySql => (90_704, "log_error_verbosity"),
    };
    let mut evidence = Evidence {
        server: Some(Server { product, version }),
        variables: variables(&[
            (name, &level.to_string()),
            ("read_only", "OFF"),
            ("offline_mode", "OFF"),
            ("idle_transaction_timeout", "0"),
            ("max_session_mem_used", "9223372036854775807"),
            ("connection_memory_limit", "18446744073709551615"),
        ]),
        log: Some(Log {
            events: Vec::new(),
            thread: Some(THREAD),
        }),
        kernel: Some(Kernel {
            events: Vec::new(),
            group_kills: Some(0),
        }),
        ..Evidence::default()
    };
    evidence.aside.boot = Some(Boot::Same(Duration::from_secs(86_400)));
    evidence.aside.reach = Some(Reach::Greeted);
    evidence.aside.leftover = Some(Leftover::Gone);
    let counters = [
        "Aborted_clients",
        "Aborted_connects",
        "Com_kill",
        "Connection_errors_accept",
        "Connection_errors_max_connections",
        "Max_statement_time_exceeded",
    ];
    evidence.aside.moved = Some(counters.map(|name| (name.to_owned(), 0)).into());
    evidence
}

fn variables(pairs: &[(&str, &str)]) -> Variables {
    let pairs = pairs.iter();
    Variables(
        pairs
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    )
}

fn count(evidence: &mut Evidence, counter: &str) {
    let moved = evidence.aside.moved.get_or_insert_default();
    *moved.entry(counter.to_owned()).or_default() += 1;
}

fn log(evidence: &mut Evidence, lines: &[&str]) {
    let events = lines
        .iter()
        .filter_map(|line| LogEvent::read(line.as_bytes()));
    evidence.log.get_or_insert_default().events = events.collect();
}

fn says(evidence: &mut Evidence, message: &str) {
    evidence.client = ClientMessage::read(message);
}

fn restarted(evidence: &mut Evidence) {
    evidence.aside.boot = Some(Boot::Restarted(Some(Duration::from_secs(2))));
    evidence.aside.reach = Some(Reach::Refused);
    evidence.aside.leftover = None;
    evidence.aside.moved = None;
}

#[track_caller]
fn answers(evidence: &Evidence, name: &str) {
    let verdict = diagnose(evidence);
    assert_eq!(verdict.answer.name(), name, "{verdict:#?}");
}

#[test]
fn a_mysql_that_logs_nothing_still_tells_that_it_runs_on_and_counted_an_aborted_client() {
    let mut evidence = gone(Product::MySql, 2);
    count(&mut evidence, "Aborted_clients");
    answers(&evidence, "server-unchanged");
    let verdict = diagnose(&evidence);
    let open = |cause| verdict.candidates.iter().any(|one| one.cause == cause);
    assert!(open(Cause::IdleTimeout) && open(Cause::SlowReader) && !open(Cause::Killed));
    assert!(!open(Cause::HandshakeTimeout), "no login was aborted");
}

#[test]
fn a_login_that_was_broken_off_is_counted_apart() {
    let mut evidence = gone(Product::MySql, 2);
    count(&mut evidence, "Aborted_connects");
    answers(&evidence, "login-broken-off");
    says(
        &mut evidence,
        "ERROR 1159: Got timeout reading communication packets",
    );
    answers(&evidence, "handshake-timeout");
    let mut evidence = gone(Product::MySql, 2);
    count(&mut evidence, "Aborted_clients");
    says(
        &mut evidence,
        "ERROR 1159: Got timeout reading communication packets",
    );
    answers(&evidence, "stalled-upload");
}

#[test]
fn a_log_that_would_have_told_and_does_not_leaves_what_is_never_logged() {
    let mut evidence = gone(Product::MariaDb, 2);
    count(&mut evidence, "Aborted_clients");
    count(&mut evidence, "Com_kill");
    answers(&evidence, "closed-by-server");
    assert_eq!(diagnose(&evidence).candidates[0].cause, Cause::Killed);
    evidence.variables = variables(&[("log_warnings", "1")]);
    let verdict = diagnose(&evidence);
    assert!(verdict.answer.allows(Cause::IdleTimeout), "{verdict:#?}");
}

#[test]
fn mariadb_at_log_warnings_4_tells_what_a_timeout_waited_for() {
    let timeout = "2026-11-23 10:34:29 30 [Warning] Aborted connection 30 to db: 'unconnected' user: 'a' host: 'localhost' (Got timeout reading communication packets)";
    let error = "2026-11-23 10:33:17 30 [Warning] Aborted connection 30 to db: 'unconnected' user: 'a' host: 'localhost' (Got an error writing communication packets)";
    let login = "2026-11-23 10:33:32 30 [Warning] Aborted connection 30 to db: 'unconnected' user: 'unauthenticated' host: 'localhost' (This connection closed normally without authentication)";
    let header = "2026-11-23 10:32:59 30 [Warning] Could not read packet: fd: 45  state: 1  read_length: 4  errno: 110  vio_errno: 1159  length: -1";
    let body = "2026-11-23 10:34:29 30 [Warning] Could not read packet: fd: 45  state: 1  read_length: 51958  errno: 110  vio_errno: 1159  length: -1";
    let write = "2026-11-23 10:33:17 30 [Warning] Could not write packet: fd: 46  state: 1  errno: 110  vio_errno: 1160  length: 3424";
    let cases: [(&str, &[&str], &str); 6] = [
        ("Aborted_clients", &[timeout], "read-timeout"),
        ("Aborted_clients", &[header, timeout], "read-timeout"),
        ("Aborted_clients", &[body, timeout], "stalled-upload"),
        ("Aborted_clients", &[error], "write-failed"),
        ("Aborted_clients", &[write, error], "slow-reader"),
        ("Aborted_connects", &[body, login], "handshake-timeout"),
    ];
    for (counter, lines, name) in cases {
        let mut evidence = gone(Product::MariaDb, 4);
        count(&mut evidence, counter);
        log(&mut evidence, lines);
        answers(&evidence, name);
        // A log by itself says the same, and counts one loss.
        let mut reading = Reading::default();
        lines.iter().for_each(|line| reading.line(line.as_bytes()));
        let (findings, _) = reading.finish();
        assert_eq!(findings.len(), 1, "{lines:?}");
        if lines.len() == 2 && name != "read-timeout" {
            assert_eq!(findings[0].verdict.answer.name(), name);
        }
    }
    let mut evidence = gone(Product::MariaDb, 4);
    log(
        &mut evidence,
        &["2026-11-23 10:33:38 30 [ERROR] mariadbd: Got packets out of order"],
    );
    answers(&evidence, "protocol-misuse");
}

#[test]
fn what_the_log_says_of_other_connections_is_not_about_this_one() {
    let mut evidence = gone(Product::MariaDb, 2);
    evidence.log = Some(Log::default());
    evidence.aside.leftover = None;
    count(&mut evidence, "Aborted_connects");
    log(
        &mut evidence,
        &[
            "2026-11-23 10:32:30 95 [Warning] Aborted connection 95 to db: 'unconnected' user: 'unauthenticated' host: '127.0.0.2' (This connection closed normally without authentication)",
        ],
    );
    let verdict = diagnose(&evidence);
    assert!(verdict.answer.allows(Cause::HostBlocked), "{verdict:#?}");
    says(
        &mut evidence,
        "ERROR 1129: Host '127.0.0.2' is blocked because of many connection errors",
    );
    answers(&evidence, "host-blocked");
}

#[test]
fn mysql_says_inactivity_of_what_is_idle_so_a_timeout_is_of_a_command() {
    let mut evidence = gone(Product::MySql, 3);
    count(&mut evidence, "Aborted_clients");
    log(
        &mut evidence,
        &[
            "2026-11-23T10:34:19.960757Z 30 [Note] [MY-010914] [Server] Aborted connection 30 to db: 'unconnected' user: 'a' host: '127.0.0.1' (Got timeout reading communication packets).",
        ],
    );
    answers(&evidence, "stalled-upload");
}

#[test]
fn a_start_without_a_shutdown_before_it_is_an_abnormal_end() {
    let start = "2026-11-23T10:31:35.377613Z 0 [System] [MY-015015] [Server] MySQL Server - start.";
    let end = "2026-11-23T10:31:32.274909Z 0 [System] [MY-015016] [Server] MySQL Server - end.";
    let mut evidence = gone(Product::MySql, 2);
    restarted(&mut evidence);
    log(&mut evidence, &[start]);
    answers(&evidence, "process-killed");
    log(&mut evidence, &[end, start]);
    let verdict = diagnose(&evidence);
    assert!(verdict.answer.allows(Cause::Shutdown), "{verdict:#?}");
}

#[test]
fn damage_that_only_shows_after_the_start_is_what_a_crash_left() {
    let crash = "261123 10:43:03 [ERROR] mariadbd got signal 7 ;";
    let start = "2026-11-23 10:43:03 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision 5843 as process 7";
    let marked = "2026-11-23 10:43:09 12 [ERROR] mariadbd: Table './shop/t' is marked as crashed and should be repaired";
    let page = "2026-11-23T10:50:45.2Z 21 [ERROR] [MY-011904] [InnoDB] Space id and page number stored in the page read in are [page id: space=9, page number=9], should be [page id: space=3, page number=6]";
    let mut evidence = gone(Product::MariaDb, 2);
    restarted(&mut evidence);
    log(&mut evidence, &[crash, start, marked]);
    answers(&evidence, "crash");
    log(&mut evidence, &[start, marked]);
    answers(&evidence, "process-killed");
    log(&mut evidence, &[page, crash, start]);
    answers(&evidence, "corruption");
    log(&mut evidence, &[crash, start, page, crash]);
    answers(&evidence, "corruption");
}

#[test]
fn damage_needs_no_restart() {
    let mut evidence = gone(Product::MariaDb, 2);
    evidence.aside.leftover = Some(Leftover::Sleeps);
    log(
        &mut evidence,
        &[
            "2026-11-23 10:31:24 30 [ERROR] mariadbd: Index for table 'damaged' is corrupt; try to repair it",
        ],
    );
    answers(&evidence, "corruption");
}

#[test]
fn a_client_that_gave_up_gave_up_for_a_reason() {
    let timed_out = "(2013, 'Lost connection to MySQL server during query (timed out)')";
    // By itself it does not tell why there was no answer in time.
    let mut evidence = Evidence::default();
    says(&mut evidence, timed_out);
    answers(&evidence, "no-answer-in-time");
    assert_eq!(
        diagnose(&evidence).candidates[0].cause,
        Cause::ClientTimeout
    );
    // The server saw it leave.
    let mut evidence = gone(Product::MariaDb, 2);
    count(&mut evidence, "Aborted_clients");
    log(
        &mut evidence,
        &[
            "2026-11-23 10:31:33 30 [Warning] Aborted connection 30 to db: 'unconnected' user: 'a' host: 'localhost' (Got an error reading communication packets)",
        ],
    );
    says(&mut evidence, timed_out);
    answers(&evidence, "client-timeout");
    // The server hung, and saw it leave later.
    evidence.aside.reach = Some(Reach::Mute);
    answers(&evidence, "hang");
    // The server never got the statement, nor the end.
    let mut evidence = gone(Product::MySql, 2);
    evidence.aside.leftover = Some(Leftover::Sleeps);
    says(&mut evidence, timed_out);
    answers(&evidence, "path");
    // The server works on it: its answer may come too late, or not arrive.
    evidence.aside.leftover = Some(Leftover::Runs);
    answers(&evidence, "no-answer-in-time");
}

#[test]
fn files_that_cannot_be_opened_look_like_a_hang_or_end_the_server() {
    let accept = "2026-11-23T10:50:51.991122Z 0 [ERROR] [MY-010283] [Server] Error in accept: Too many open files";
    let mut evidence = gone(Product::MySql, 2);
    evidence.aside.leftover = None;
    evidence.aside.reach = Some(Reach::Mute);
    evidence.log = Some(Log::default());
    log(&mut evidence, &[accept]);
    answers(&evidence, "open-files-limit");
    restarted(&mut evidence);
    let start = "2026-11-23T10:51:35.377613Z 0 [System] [MY-015015] [Server] MySQL Server - start.";
    log(
        &mut evidence,
        &[
            accept,
            "2026-11-23T10:50:52.293796Z 0 [ERROR] [MY-012592] [InnoDB] Operating system error number 24 in a file operation.",
            start,
        ],
    );
    answers(&evidence, "open-files-limit");
}

#[test]
fn an_option_that_refused_a_statement_is_in_the_clients_message() {
    let cases = [
        ("--read-only", "demoted"),
        ("--max-session-mem-used=4194304", "server-memory-limit"),
    ];
    for (option, name) in cases {
        let mut evidence = gone(Product::MariaDb, 2);
        evidence.aside.leftover = Some(Leftover::Sleeps);
        evidence.variables = variables(&[("read_only", "ON"), ("max_session_mem_used", "4194304")]);
        says(
            &mut evidence,
            &format!(
                "ERROR 1290: The MariaDB server is running with the {option} option so it cannot execute this statement"
            ),
        );
        answers(&evidence, name);
    }
}

#[test]
fn a_statement_that_ran_too_long_leaves_the_mark_of_a_kill_on_mariadb() {
    let mut evidence = gone(Product::MariaDb, 4);
    count(&mut evidence, "Max_statement_time_exceeded");
    log(
        &mut evidence,
        &[
            "2026-11-23 10:33:58 0 [Warning] Aborted connection 30 to db: 'unconnected' user: 'a' host: 'localhost' (KILLED)",
        ],
    );
    let verdict = diagnose(&evidence);
    assert!(verdict.answer.allows(Cause::QueryTimeout), "{verdict:#?}");
    assert!(!matches!(verdict.answer, Answer::Cause(Cause::Killed, _)));
    // Even where somebody else was killed at that time.
    count(&mut evidence, "Com_kill");
    count(&mut evidence, "Aborted_clients");
    let verdict = diagnose(&evidence);
    assert!(!matches!(verdict.answer, Answer::Cause(..)), "{verdict:#?}");
    log(
        &mut evidence,
        &[
            "2026-11-23 10:33:55 12 [Warning] Aborted connection 30 to db: 'unconnected' user: 'a' host: 'localhost' (KILLED)",
        ],
    );
    answers(&evidence, "killed");
}

#[test]
fn a_shutdown_after_the_report_of_a_crash_is_a_part_of_the_crash() {
    let full =
        "2026-11-23 11:06:25 5 [ERROR] [FATAL] InnoDB: Error (Out of disk space) in rollback.";
    let crash = "261123 11:06:25 [ERROR] mariadbd got signal 6 ;";
    let shutdown = "2026-11-23 11:06:25 0 [Note] mariadbd (initiated by: unknown): Normal shutdown";
    let start = "2026-11-23 11:06:26 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision 5843 as process 7";
    let mut evidence = gone(Product::MariaDb, 2);
    restarted(&mut evidence);
    log(&mut evidence, &[full, crash, shutdown, start]);
    answers(&evidence, "disk-full");
    log(&mut evidence, &[shutdown, start]);
    answers(&evidence, "shutdown");
    // A client that notices it early is logged as one that left.
    let left = "2026-11-23 11:08:35 30 [Warning] Aborted connection 30 to db: 'unconnected' user: 'a' host: 'localhost' (Got an error reading communication packets)";
    log(&mut evidence, &[shutdown, left, start]);
    answers(&evidence, "shutdown");
}
