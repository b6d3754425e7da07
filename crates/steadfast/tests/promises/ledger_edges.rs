//! The commit ledger where sessions, servers or the ledger itself are not as usual.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use steadfast_sandbox::Kind;

use crate::case::{At, Case, with_ledger};
use crate::client::Client;
use crate::ledger::{COMMIT, FAULTS, Fault, inflict};

/// Declares cases that must hold on both servers, each with the ledger on a server of its own.
macro_rules! alone {
    ($(fn $name:ident($case:ident, $options:expr) $body:block)*) => {
        $(mod $name {
            use super::*;
            fn holds($case: &Case) $body
            #[test]
            fn mariadb() { holds(&Case::alone_with_ledger(Kind::MariaDb, $options)); }
            #[test]
            fn mysql() { holds(&Case::alone_with_ledger(Kind::MySql, $options)); }
        })*
    };
}

with_ledger! {
    // The server's word on what was written is one of the settings that Steadfast hides, and gives back for a question.
    fn a_write_behind_a_question_about_settings_is_not_lost(case) {
        case.witness().run(&[&format!(
            "CREATE FUNCTION {}.f(a INT) RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO t (n) VALUES (a); RETURN a; END",
            case.database
        )]);
        for question in [
            "SELECT @@wait_timeout, f(5)",
            "SELECT @@session_track_transaction_info, f(5)",
            "SHOW VARIABLES WHERE Variable_name = 'wait_timeout' AND f(5)",
            "SET session_track_transaction_info = 'OFF', @x = f(5)",
        ] {
            for fault in FAULTS {
                case.witness().run(&["TRUNCATE t"]);
                let mut client = case.client();
                client.run(&["BEGIN", question]);
                let there = client.line("SELECT COUNT(*) FROM t");
                inflict(case, fault, At::Text("COMMIT"));
                inflict(case, fault, COMMIT);
                client.query("COMMIT").good();
                case.link.clear_tap();
                assert_eq!(case.witness().line("SELECT COUNT(*) FROM t"), there, "{question} {fault:?}");
                assert_ne!(there, "0", "{question}");
            }
        }
    }

    fn a_definition_keeps_its_questions(case) {
        let mut client = case.client();
        client.run(&["INSERT INTO t (n) VALUES (1), (2), (3)", "CREATE VIEW v AS SELECT ROW_COUNT() AS affected"]);
        let view = client.query("SHOW CREATE VIEW v").lines().join(" ").to_lowercase();
        assert!(view.contains("row_count()") && !view.contains("if("), "{view}");
    }

    fn a_session_that_limits_its_selects_is_restored(case) {
        let mut client = case.client();
        client.run(&["SET @v = 5, sql_select_limit = 0"]);
        case.cut();
        client.run(&["INSERT INTO t (n) VALUES (1)"]);
        case.cut();
        client.run(&["SET sql_select_limit = DEFAULT"]);
        assert_eq!(client.line("SELECT @v"), "5");
    }
}

/// Ends what waits for it also when a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// While `work` goes on, statements of the case's account are interrupted again and again.
fn interrupting(case: &Case, work: impl FnOnce()) {
    let over = AtomicBool::new(false);
    let kill = || {
        let mut witness = case.witness();
        let ids = format!(
            "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{}'",
            case.user
        );
        while !over.load(Ordering::Relaxed) {
            for id in witness.query(&ids).lines() {
                // It may be gone by now.
                witness.query(&format!("KILL QUERY {id}"));
            }
        }
    };
    thread::scope(|scope| {
        let _over = Over(&over);
        scope.spawn(kill);
        scope.spawn(kill);
        work();
    });
}

/// MariaDB's `max_statement_time`, so short that hardly anything can be asked.
#[test]
fn a_server_that_ends_every_statement_for_a_moment_is_asked_again() {
    let case = Case::alone_with_ledger(Kind::MariaDb, &[]);
    for fault in FAULTS {
        case.witness().run(&["TRUNCATE t"]);
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        case.link.refuse(true);
        let struck = inflict(&case, fault, COMMIT);
        client.start_query("COMMIT");
        struck.wait();
        thread::sleep(Duration::from_millis(300));
        let mut witness = case.witness();
        witness.run(&["SET GLOBAL max_statement_time = 0.000001"]);
        case.link.refuse(false);
        // Seldom the statements are faster than the server's timer.
        client.has_answer_within(Duration::from_millis(1000));
        witness.run(&["SET GLOBAL max_statement_time = 0"]);
        let answer = client.answer();
        assert_eq!(
            answer.error(),
            "0",
            "{fault:?}: {answer:?}\n{}",
            case.steadfast.log()
        );
        assert_eq!(case.rows(), ["1"], "{fault:?}");
    }
}

/// MariaDB's `sql_mode` of ORACLE, in which BEGIN begins a block.
#[test]
fn a_session_in_oracle_mode_writes_once() {
    let case = Case::with_ledger(Kind::MariaDb, "");
    for fault in FAULTS {
        case.witness().run(&["TRUNCATE t"]);
        let mut client = case.client();
        client.run(&["SET sql_mode = 'ORACLE'", "INSERT INTO t (n) VALUES (1)"]);
        for at in [At::Text("INTO t"), COMMIT] {
            inflict(&case, fault, at);
            client.query("INSERT INTO t (n) VALUES (2)").good();
            case.link.clear_tap();
        }
        assert_eq!(case.rows(), ["1", "2", "2"], "{fault:?}");
    }
}

alone! {
    fn a_lane_that_is_gone_is_replaced_without_doubt(case, &[]) {
        let mut client = case.client();
        let write = ["BEGIN", "INSERT INTO t (n) VALUES (1)", "COMMIT"];
        client.run(&write);
        case.witness().run(&["DELETE FROM steadfast.commit_ledger WHERE lane <> 0"]);
        client.run(&write);
        case.witness().run(&["DELETE FROM steadfast.commit_ledger WHERE lane <> 0"]);
        client.run(&["INSERT INTO t (n) VALUES (2)"]);
        assert_eq!(case.rows(), ["1", "1", "2"], "{}", case.steadfast.log());
        assert_eq!(case.steadfast.metric("commits_resolved_total{verdict=\"unknown\"}"), 0.0);
    }

    // As after a crash, where operators start servers.
    fn a_server_that_is_read_only_for_a_moment_is_asked_again(case, &[]) {
        let mut client = case.client();
        for fault in FAULTS {
            case.witness().run(&["TRUNCATE t"]);
            client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
            case.link.refuse(true);
            let struck = inflict(case, fault, COMMIT);
            client.start_query("COMMIT");
            struck.wait();
            thread::sleep(Duration::from_millis(500));
            let mut witness = case.witness();
            witness.run(&["SET GLOBAL read_only = 1"]);
            case.link.refuse(false);
            thread::sleep(Duration::from_millis(1500));
            assert!(!client.has_answer_within(Duration::from_millis(1)), "{}", case.steadfast.log());
            witness.run(&["SET GLOBAL read_only = 0"]);
            let answer = client.answer();
            assert_eq!(answer.error(), "0", "{fault:?}: {answer:?}\n{}", case.steadfast.log());
            assert_eq!(case.rows(), ["1"], "{fault:?}");
        }
    }

    // By a tool that interrupts whatever runs: what Steadfast asks on a connection of its own is interrupted as well.
    fn a_recovery_that_is_interrupted_goes_on(case, &[]) {
        for fault in FAULTS.repeat(5) {
            case.witness().run(&["TRUNCATE t"]);
            let mut client = case.client();
            client.run(&["SET @v = 5", "BEGIN", "INSERT INTO t (n) VALUES (1)"]);
            case.link.refuse(true);
            let struck = inflict(case, fault, COMMIT);
            client.start_query("COMMIT");
            struck.wait();
            thread::sleep(Duration::from_millis(100));
            case.link.clear_tap();
            interrupting(case, || {
                case.link.refuse(false);
                thread::sleep(Duration::from_millis(700));
            });
            let answer = client.answer();
            // The COMMIT is sent once more, and is the client's own: it may be interrupted like any.
            if matches!(fault, Fault::Command) && answer.error() == "1317/70100" {
                client.run(&["ROLLBACK"]);
                assert_eq!(case.rows(), Vec::<String>::new());
            } else {
                assert_eq!(answer.error(), "0", "{fault:?}: {answer:?}\n{}", case.steadfast.log());
                assert_eq!(case.rows(), ["1"], "{fault:?}");
            }
            assert_eq!(client.line("SELECT @v"), "5");
        }
    }

    // The hidden BEGIN before a write is interrupted, the write itself, or its COMMIT.
    fn a_write_that_is_interrupted_is_never_in_doubt(case, &[]) {
        let mut client = case.client();
        let mut done = 0;
        interrupting(case, || {
            let began = Instant::now();
            while began.elapsed() < Duration::from_secs(6) {
                match client.query("INSERT INTO t (n) VALUES (1)").error().as_str() {
                    "0" => done += 1,
                    told => assert_eq!(told, "1317/70100", "{}", case.steadfast.log()),
                }
            }
        });
        assert_eq!(case.rows().len(), done);
    }

    fn an_account_that_is_refused_while_its_commit_is_in_doubt_is_asked_again(case, &[]) {
        let user = format!("{}@'%'", case.user);
        for [shut, open] in [
            ["ACCOUNT LOCK", "ACCOUNT UNLOCK"],
            ["IDENTIFIED BY 'another'", "IDENTIFIED BY ''"],
            ["WITH MAX_QUERIES_PER_HOUR 1", "WITH MAX_QUERIES_PER_HOUR 0"],
        ] {
            for fault in FAULTS {
                let mut witness = case.witness();
                witness.run(&["TRUNCATE t"]);
                let mut client = case.client();
                client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
                case.link.refuse(true);
                let struck = inflict(case, fault, COMMIT);
                client.start_query("COMMIT");
                struck.wait();
                thread::sleep(Duration::from_millis(300));
                witness.run(&[&format!("ALTER USER {user} {shut}")]);
                case.link.refuse(false);
                let told = client.has_answer_within(Duration::from_millis(1000));
                assert!(!told, "{shut} {fault:?}: {:?}\n{}", client.answer(), case.steadfast.log());
                witness.run(&[&format!("ALTER USER {user} {open}")]);
                let answer = client.answer();
                assert_eq!(answer.error(), "0", "{shut} {fault:?}: {answer:?}\n{}", case.steadfast.log());
                assert_eq!(case.rows(), ["1"], "{shut} {fault:?}");
            }
        }
    }

    // Whether the ledger is there is not asked in a transaction of the session's.
    fn a_session_without_autocommit_sees_what_was_committed_after_its_login(case, &["autocommit=0"]) {
        let mut witness = case.witness();
        witness.run(&["INSERT INTO t (n) VALUES (1)", "COMMIT"]);
        let mut client = case.client();
        witness.run(&["UPDATE t SET n = 2", "COMMIT"]);
        assert_eq!(client.line("SELECT n FROM t"), "2");
        for (round, begin) in ["login", "COM_RESET_CONNECTION", "COM_CHANGE_USER"].into_iter().enumerate() {
            match begin {
                "COM_RESET_CONNECTION" => drop(client.command(31, &[]).good()),
                "COM_CHANGE_USER" => drop(client.change_user().good()),
                _ => {}
            }
            client.run(&["UPDATE t SET n = 9", "ROLLBACK"]);
            assert_eq!(case.rows(), ["2"], "{begin}");
            client.run(&["UPDATE t SET n = 3"]);
            case.cut();
            inflict(case, Fault::Answer, COMMIT);
            client.query("COMMIT").good();
            case.link.clear_tap();
            assert_eq!(case.rows(), ["3"], "{begin}");
            let resolved = case.steadfast.metric("commits_resolved_total{verdict=\"committed\"}");
            assert_eq!(resolved, (round + 1) as f64, "{begin}");
            client.run(&["UPDATE t SET n = 2", "COMMIT"]);
        }
    }

    // The hour that a time zone has twice: the second time, local time is that of an hour ago.
    fn the_time_is_right_in_the_hour_that_comes_twice(case, &[]) {
        let mut witness = case.witness();
        let now: i64 = witness.line("SELECT UNIX_TIMESTAMP()").parse().unwrap();
        let (summer, winter) = (now - 86_400, now - 600);
        witness.run(&[
            "INSERT INTO mysql.time_zone (Time_zone_id, Use_leap_seconds) VALUES (7, 'N')",
            "INSERT INTO mysql.time_zone_name VALUES ('Here/Now', 7)",
            "INSERT INTO mysql.time_zone_transition_type VALUES (7, 0, 3600, 0, 'CET'), (7, 1, 7200, 1, 'CEST')",
            &format!("INSERT INTO mysql.time_zone_transition VALUES (7, {summer}, 1), (7, {winter}, 0)"),
            "SET GLOBAL time_zone = 'Here/Now'",
        ]);
        let mut client = case.client();
        client.run(&["SET time_zone = 'Here/Now'", "BEGIN"]);
        let told: i64 = client.line("SELECT UNIX_TIMESTAMP()").parse().unwrap();
        assert!((told - now).abs() < 60, "{told} at {now}");
        let mut direct = Client::connect(case.server.addr(), &case.user, &case.database, 0);
        let utc = |client: &mut Client| client.line("SELECT HOUR(UTC_TIMESTAMP())");
        assert_eq!(utc(&mut client), utc(&mut direct));
    }
}
