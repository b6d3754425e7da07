//! KILL of a session whose transaction is being replayed, and of one that only seems to be killed.

use std::time::Duration;

use steadfast_sandbox::Kind;

use crate::case::{Case, on_both_servers, with_ledger};
use crate::client::Client;
use crate::ledger::{COMMIT, Fault, inflict};

const KILLED: &str = "1317/70100";
const SOON: Duration = Duration::from_secs(5);
const REPLAYED: &str = "UPDATE t SET n = n + 1";

/// A client whose transaction cannot be replayed further, because the witness holds the lock of its row; it waits for
/// the answer to an INSERT of 2.
#[track_caller]
fn held_by_a_lock(case: &Case) -> (Client, Client) {
    let mut witness = case.witness();
    witness.run(&["INSERT INTO t (id, n) VALUES (1, 10)"]);
    let mut client = case.client();
    client.run(&["BEGIN", &format!("{REPLAYED} WHERE id = 1")]);
    case.link.refuse(true);
    case.cut();
    witness.run(&["BEGIN", "SELECT n FROM t WHERE id = 1 FOR UPDATE"]);
    case.link.refuse(false);
    case.wait("the replay waits for the lock", SOON, || {
        case.running(REPLAYED) == 1
    });
    client.start_query("INSERT INTO t (n) VALUES (2)");
    std::thread::sleep(Duration::from_millis(100));
    (client, witness)
}

/// The statement is gone, its transaction is not.
#[track_caller]
fn goes_on(case: &Case, client: &mut Client, witness: &mut Client) {
    client.answer().fails(KILLED);
    witness.run(&["ROLLBACK"]);
    client.run(&["INSERT INTO t (n) VALUES (3)"]);
    assert_eq!(case.rows(), ["10"], "it is open");
    client.run(&["COMMIT"]);
    assert_eq!(case.rows(), ["11", "3"]);
}

on_both_servers! {
    fn kill_query_ends_the_statement_that_waits_for_a_replay(case) {
        let (mut client, mut witness) = held_by_a_lock(case);
        case.client().run(&[&format!("KILL QUERY {}", client.id)]);
        goes_on(case, &mut client, &mut witness);
    }

    fn kill_query_that_hits_the_replayed_statement_means_the_one_that_waits(case) {
        let (mut client, mut witness) = held_by_a_lock(case);
        let id = case.witness().line(&format!(
            "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{}' AND INFO LIKE '{REPLAYED}%'",
            case.user
        ));
        case.witness().run(&[&format!("KILL QUERY {id}")]);
        goes_on(case, &mut client, &mut witness);
    }

    fn kill_query_by_another_account_ends_the_statement_that_waits_for_a_replay(case) {
        let (mut client, mut witness) = held_by_a_lock(case);
        let mut other = Client::connect(case.steadfast.address, "witness", "", 0);
        other.run(&[&format!("KILL QUERY {}", client.id)]);
        goes_on(case, &mut client, &mut witness);
    }

    fn kill_ends_a_replay_and_nothing_of_it_is_committed(case) {
        let (mut client, mut witness) = held_by_a_lock(case);
        case.client().run(&[&format!("KILL {}", client.id)]);
        client.answer().fails(KILLED);
        witness.run(&["ROLLBACK"]);
        for sql in ["INSERT INTO t (n) VALUES (3)", "COMMIT", "SELECT 1"] {
            assert_eq!(client.query(sql).error(), KILLED, "{sql}");
        }
        client.run(&["ROLLBACK", "INSERT INTO t (n) VALUES (4)"]);
        assert_eq!(case.rows(), ["10", "4"]);
    }

    fn kill_of_a_session_that_is_held_ends_what_it_waits_for(case) {
        let mut killer = case.client();
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        case.link.refuse(true);
        case.cut();
        client.start_query("INSERT INTO t (n) VALUES (2)");
        std::thread::sleep(Duration::from_millis(200));
        killer.query(&format!("KILL {}", client.id));
        case.link.refuse(false);
        client.answer().fails(KILLED);
        client.query("COMMIT").fails(KILLED);
        client.run(&["ROLLBACK"]);
        assert_eq!(case.rows(), Vec::<String>::new());
    }

    fn a_kill_that_is_refused_is_none(case) {
        let mut witness = case.witness();
        witness.run(&[
            &format!("CREATE USER {}_other@'%' IDENTIFIED BY ''", case.user),
        ]);
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        let mut other = Client::connect(case.steadfast.address, &format!("{}_other", case.user), "", 0);
        let refused = other.query(&format!("KILL {}", client.id)).error();
        assert_ne!(refused, "0");
        case.cut();
        client.run(&["INSERT INTO t (n) VALUES (2)", "COMMIT"]);
        assert_eq!(case.rows(), ["1", "2"]);
    }

    fn an_idle_session_in_a_transaction_that_is_killed_is_not_replayed(case) {
        for _ in 0..10 {
            let mut client = case.client();
            client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
            case.client().run(&[&format!("KILL {}", client.id)]);
            // Or in doubt, if it was sent before the end was seen: then nobody can tell whether the KILL came first.
            let told = client.query("COMMIT").error();
            assert!(told == KILLED || told == "1180/08007", "{told}");
        }
        assert_eq!(case.rows(), Vec::<String>::new());
    }

    fn a_kill_while_the_replay_waits_for_its_turn_ends_it(case) {
        let mut witness = case.witness();
        witness.run(&["INSERT INTO t (id, n) VALUES (1, 10)"]);
        let mut first = case.client();
        let mut victim = case.client();
        first.run(&["BEGIN", &format!("{REPLAYED} WHERE id = 1")]);
        victim.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        case.link.refuse(true);
        case.cut();
        witness.run(&["BEGIN", "SELECT n FROM t WHERE id = 1 FOR UPDATE"]);
        case.link.refuse(false);
        case.wait("the first replay waits for the lock", SOON, || {
            case.running(REPLAYED) == 1
        });
        std::thread::sleep(Duration::from_millis(500));
        case.client().run(&[&format!("KILL {}", victim.id)]);
        witness.run(&["ROLLBACK"]);
        victim.query("INSERT INTO t (n) VALUES (2)").fails(KILLED);
        victim.query("COMMIT").fails(KILLED);
        first.run(&["COMMIT"]);
        victim.run(&["ROLLBACK"]);
        assert_eq!(case.rows(), ["11"]);
    }

    fn a_kill_at_any_moment_of_a_recovery_loses_the_transaction(case) {
        let mut killer = case.client();
        for round in 0..20 {
            let mut victim = case.client();
            victim.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
            case.link.refuse(true);
            case.cut();
            std::thread::sleep(Duration::from_millis(30));
            case.link.refuse(false);
            std::thread::sleep(Duration::from_millis(round * 4));
            killer.run(&[&format!("KILL {}", victim.id)]);
            std::thread::sleep(Duration::from_millis(100));
            let told = victim.query("COMMIT").error();
            assert!(told == KILLED || told == "1180/08007", "round {round}: {told}");
        }
        assert_eq!(case.rows(), Vec::<String>::new());
    }

    fn a_kill_that_was_not_sent_is_not_told_to_its_victim(case) {
        let mut victim = case.client();
        victim.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        let mut killer = case.client();
        killer.run(&["BEGIN", "INSERT INTO t (n) VALUES (7)"]);
        case.client().run(&[&format!("KILL {}", killer.id)]);
        std::thread::sleep(Duration::from_millis(200));
        // Steadfast answers it, because the killer's own transaction is lost.
        killer.query(&format!("KILL {}", victim.id)).fails(KILLED);
        killer.run(&["ROLLBACK", "SELECT 1"]);
        case.cut();
        victim.run(&["INSERT INTO t (n) VALUES (2)", "COMMIT"]);
        assert_eq!(case.rows(), ["1", "2"]);
    }

    fn an_interrupted_execution_has_used_up_its_long_data(case) {
        let mut killer = case.client();
        let mut client = case.client();
        let select = client.prepare("SELECT CONCAT('<', ?, '>')");
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        client.long_data(select, 0, b"one");
        client.run(&["SELECT 1"]);
        case.link.refuse(true);
        case.cut();
        std::thread::sleep(Duration::from_millis(200));
        client.start_execute(select, &[None], true, false);
        std::thread::sleep(Duration::from_millis(100));
        killer.run(&[&format!("KILL QUERY {}", client.id)]);
        client.answer().fails(KILLED);
        case.link.refuse(false);
        client.long_data(select, 0, b"one");
        let line = client.execute(select, &[None], true, false).line();
        let hex: String = "<one>".bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(line.ends_with(&hex), "{line}");
        client.run(&["COMMIT"]);
        assert_eq!(case.rows(), ["1"]);
    }

    fn kill_query_does_not_keep_a_session_from_its_reset(case) {
        let mut killer = case.client();
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        case.link.refuse(true);
        case.cut();
        std::thread::sleep(Duration::from_millis(200));
        client.start(31, b"");
        std::thread::sleep(Duration::from_millis(100));
        killer.run(&[&format!("KILL QUERY {}", client.id)]);
        case.link.refuse(false);
        client.answer().good();
        client.run(&["INSERT INTO t (n) VALUES (2)"]);
        assert_eq!(case.rows(), ["2"]);
    }
}

with_ledger! {
    fn a_kill_while_a_commit_is_in_doubt_leaves_no_doubt(case) {
        let mut killer = case.client();
        for (fault, sql, expected, rows) in [
            (Fault::Answer, "COMMIT", "0", &["1"][..]),
            (Fault::Command, "COMMIT", KILLED, &[]),
            (Fault::Answer, "INSERT INTO t (n) VALUES (2)", "0", &["2"]),
            (Fault::Command, "INSERT INTO t (n) VALUES (2)", KILLED, &[]),
        ] {
            case.witness().run(&["TRUNCATE t"]);
            let mut client = case.client();
            if sql == "COMMIT" {
                client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
            }
            case.link.refuse(true);
            let struck = inflict(case, fault, COMMIT);
            client.start_query(sql);
            struck.wait();
            std::thread::sleep(Duration::from_millis(300));
            killer.run(&[&format!("KILL {}", client.id)]);
            let told = client.has_answer_within(Duration::from_millis(300));
            assert!(!told, "{fault:?} {sql}: {:?}", client.answer());
            case.link.refuse(false);
            case.link.clear_tap();
            let answer = client.answer();
            assert_eq!(answer.error(), expected, "{fault:?} {sql}: {answer:?}");
            assert_eq!(case.rows(), rows, "{fault:?} {sql}");
            if expected == KILLED && sql == "COMMIT" {
                client.run(&["ROLLBACK"]);
            }
            client.run(&["SELECT 1"]);
        }
    }
}
