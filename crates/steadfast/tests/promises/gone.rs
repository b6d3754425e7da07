//! Clients that vanish, and KILL.

use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::{Duration, Instant};

use steadfast_sandbox::{Cut, Direction, Kind, Side, Verdict};

use crate::case::{At, Case, on_both_servers};

const KILLED: &str = "1317/70100";
const SOON: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(5);
/// Longer than two samples of the server's count of KILLs.
const SAMPLES: Duration = Duration::from_millis(1200);

/// Row 1 is locked by nobody.
fn is_free(case: &Case) -> bool {
    let mut witness = case.witness();
    witness.run(&["SET innodb_lock_wait_timeout = 1", "BEGIN"]);
    witness
        .query("SELECT n FROM t WHERE id = 1 FOR UPDATE")
        .error()
        == "0"
}

on_both_servers! {
    fn a_client_that_vanishes_has_its_statement_killed_and_its_transaction_rolled_back(case) {
        case.witness().run(&["INSERT INTO t (id, n) VALUES (1, 1)"]);
        let mut client = case.client();
        client.run(&["BEGIN", "UPDATE t SET n = 2 WHERE id = 1"]);
        client.start_query("SELECT SLEEP(30)");
        case.wait("the statement runs", LONG, || case.running("SELECT SLEEP(30") == 1);
        client.vanish();
        case.wait("the statement is killed", SOON, || case.running("SELECT SLEEP(30") == 0);
        case.wait("the lock is free", SOON, || is_free(case));
        assert_eq!(case.rows(), ["1"]);
    }

    fn an_idle_client_that_vanishes_has_its_transaction_rolled_back(case) {
        case.witness().run(&["INSERT INTO t (id, n) VALUES (1, 1)"]);
        let mut client = case.client();
        client.run(&["BEGIN", "UPDATE t SET n = 2 WHERE id = 1"]);
        client.vanish();
        case.wait("the lock is free", SOON, || is_free(case));
        assert_eq!(case.rows(), ["1"]);
    }

    fn a_client_that_vanishes_while_held_leaves_nothing_on_the_server(case) {
        case.witness().run(&["INSERT INTO t (id, n) VALUES (1, 1)"]);
        let mut client = case.client();
        client.run(&["BEGIN", "UPDATE t SET n = 2 WHERE id = 1"]);
        // The server does not hear that the connection is lost: the lock stays.
        case.link.refuse(true);
        case.link.cut_side(Side::Client, Cut::Rst);
        client.start_query("SELECT 1");
        assert!(!client.has_answer_within(Duration::from_millis(500)), "it is held");
        client.vanish();
        sleep(Duration::from_millis(300));
        assert!(!is_free(case), "the lock is still there");
        case.link.refuse(false);
        case.wait("the lock is free", SOON, || is_free(case));
        assert_eq!(case.rows(), ["1"]);
    }

    fn a_client_that_vanishes_while_its_transaction_is_replayed_leaves_nothing(case) {
        case.witness().run(&["INSERT INTO t (id, n) VALUES (1, 1), (2, 1)"]);
        let mut client = case.client();
        client.run(&["BEGIN", "UPDATE t SET n = 2 WHERE id = 1", "UPDATE t SET n = 2 WHERE id = 2"]);
        case.link.refuse(true);
        case.cut();
        // The replay waits for a lock of somebody else.
        let mut other = case.witness();
        case.wait("the transaction is rolled back", LONG, || is_free(case));
        other.run(&["BEGIN", "UPDATE t SET n = n + 0 WHERE id = 2"]);
        case.link.refuse(false);
        client.start_query("SELECT 1");
        case.wait("the replay waits", LONG, || case.running("UPDATE t SET n = 2 WHERE id = 2") == 1);
        client.vanish();
        case.wait("the replay is killed", SOON, || case.running("UPDATE t SET n = 2") == 0);
        case.wait("the lock is free", SOON, || is_free(case));
        other.run(&["ROLLBACK"]);
        assert_eq!(case.rows(), ["1", "1"]);
    }

    fn kill_query_reaches_a_held_client(case) {
        let mut held = case.client();
        let mut killer = case.client();
        held.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        case.link.refuse(true);
        case.cut();
        held.start_query("INSERT INTO t (n) VALUES (2)");
        assert!(!held.has_answer_within(Duration::from_millis(300)), "it is held");
        killer.query(&format!("KILL QUERY {}", held.id)).good();
        assert!(held.has_answer_within(SOON), "at once");
        held.answer().fails(KILLED);
        // As after a native 1317 the transaction goes on.
        case.link.refuse(false);
        held.run(&["INSERT INTO t (n) VALUES (3)", "COMMIT"]);
        assert_eq!(case.rows(), ["1", "3"]);
    }

    fn kill_query_reaches_a_held_read_outside_a_transaction(case) {
        let mut held = case.client();
        let mut killer = case.client();
        case.link.refuse(true);
        case.cut();
        held.start_query("SELECT 1");
        assert!(!held.has_answer_within(Duration::from_millis(300)), "it is held");
        killer.query(&format!("KILL QUERY {}", held.id)).good();
        assert!(held.has_answer_within(SOON), "at once");
        held.answer().fails(KILLED);
        case.link.refuse(false);
        assert_eq!(held.line("SELECT 2"), "2");
    }

    fn a_read_killed_with_its_connection_is_not_run_again(case) {
        let mut client = case.client();
        assert_eq!(client.line("SELECT 1"), "1");
        sleep(SAMPLES);
        client.start_query("SELECT SLEEP(20), 'by hand'");
        case.wait("the statement runs", LONG, || case.running("SELECT SLEEP(20), \\'by hand") == 1);
        case.witness().run(&[&format!("KILL {}", client.id)]);
        assert!(client.has_answer_within(SOON));
        client.answer().fails(KILLED);
        case.wait("the statement ends", SOON, || case.running("SELECT SLEEP(20), \\'by hand") == 0);
        assert_eq!(client.line("SELECT 2"), "2", "the client connection stays");
    }

    fn a_result_killed_with_its_connection_is_not_asked_for_again(case) {
        let mut client = case.client();
        assert_eq!(client.line("SELECT 1"), "1");
        sleep(SAMPLES);
        let (on_its_way, paused) = channel();
        let mut passed = 0;
        case.link.set_tap(move |direction, _, bytes| {
            let before = passed;
            if direction == Direction::ToClient {
                passed += bytes.len();
            }
            if before < 40 << 20 && passed >= 40 << 20 {
                // What the server sends meanwhile is kept by the kernels, and comes before the connection's end.
                sleep(Duration::from_millis(200));
                let _ = on_its_way.send(());
                sleep(Duration::from_millis(700));
            }
            Verdict::Pass
        });
        let (mut witness, kill) = (case.witness(), format!("KILL {}", client.id));
        let killer = std::thread::spawn(move || {
            paused.recv_timeout(LONG).unwrap();
            witness.run(&[&kill]);
        });
        let result = "SELECT REPEAT('x', 4000) FROM information_schema.COLLATIONS a, information_schema.COLLATIONS b LIMIT 30000";
        // Not shown where it is not as it should be: it has 120 MB.
        let error = client.query(result).error();
        assert_eq!(error, KILLED);
        killer.join().unwrap();
        assert_eq!(client.line("SELECT 2"), "2");
    }

    fn a_read_killed_by_another_client_of_steadfast_is_not_run_again(case) {
        let mut client = case.client();
        let mut killer = case.client();
        // After a loss the id that the client knows is not the server's.
        case.cut();
        assert_eq!(client.line("SELECT 1"), "1");
        sleep(SAMPLES);
        client.start_query("SELECT SLEEP(20), 'by a friend'");
        case.wait("the statement runs", LONG, || case.running("SELECT SLEEP(20), \\'by a friend") == 1);
        killer.run(&[&format!("KILL {}", client.id)]);
        assert!(client.has_answer_within(SOON));
        client.answer().fails(KILLED);
        case.wait("the statement ends", SOON, || case.running("SELECT SLEEP(20), \\'by a friend") == 0);
        assert_eq!(client.line("SELECT 2"), "2");
    }

    fn kill_query_ends_a_running_statement_as_on_the_server(case) {
        let mut client = case.client();
        let mut killer = case.client();
        case.cut();
        assert_eq!(client.line("SELECT 1"), "1");
        client.start_query("SELECT SLEEP(20) FROM t RIGHT JOIN (SELECT 1 AS one) o ON TRUE");
        case.wait("the statement runs", LONG, || case.running("SELECT SLEEP(20) FROM t") == 1);
        let begun = Instant::now();
        killer.run(&[&format!("KILL QUERY {}", client.id)]);
        let answer = client.answer();
        // MySQL's SLEEP gives 1 when it is interrupted.
        assert!(answer.error() == KILLED || answer.clone().line() == "1", "{answer:?}");
        assert!(begun.elapsed() < LONG);
        assert_eq!(client.line("SELECT 2"), "2");
    }

    fn an_idle_session_that_was_killed_gets_another_connection(case) {
        let mut client = case.client();
        client.run(&["SET @x = 5"]);
        sleep(SAMPLES);
        case.witness().run(&[&format!("KILL {}", client.id)]);
        sleep(Duration::from_millis(300));
        assert_eq!(client.line("SELECT @x"), "5");
    }

    fn a_write_killed_with_its_connection_is_in_doubt_and_not_run_again(case) {
        let mut client = case.client();
        sleep(SAMPLES);
        client.start_query("INSERT INTO t (n) SELECT SLEEP(20)");
        case.wait("the statement runs", LONG, || case.running("SELECT SLEEP(20)") == 1);
        case.witness().run(&[&format!("KILL {}", client.id)]);
        client.answer().fails("1180/08007");
        case.wait("the statement ends", SOON, || case.running("SELECT SLEEP(20)") == 0);
        // MySQL's SLEEP gives 1 when it is interrupted, and the row is written: that is what cannot be known.
        assert!(case.rows().len() <= 1);
    }

    fn a_cut_that_nobody_made_with_kill_is_not_taken_for_one(case) {
        let mut client = case.client();
        sleep(SAMPLES);
        case.cut_answer_to(At::Text("SELECT 42"));
        assert_eq!(client.line("SELECT 42"), "42");
    }
}
