//! A lost transaction is replayed, or it is certainly rolled back and no part of it is ever committed.

use std::time::Duration;

use steadfast_sandbox::Kind;

use crate::case::{At, Case, on_both_servers};
use crate::client::Client;

const ROLLED_BACK: &str = "1213/40001";
const NOTHING: [&str; 0] = [];

/// A client that ignores what it was told goes on: nothing of its transaction may be committed, by whatever means.
#[track_caller]
fn goes_on_in_vain(case: &Case, client: &mut Client, told: &str) {
    for sql in [
        "INSERT INTO t (n) VALUES (97)",
        "COMMIT",
        "/*! COMMIT */",
        "SELECT 1",
        "SET autocommit=1",
        "CREATE TABLE implicit (a INT)",
        "BEGIN",
        "COMMIT",
    ] {
        assert_eq!(client.query(sql).error(), told, "{sql}");
    }
    assert_eq!(case.rows(), NOTHING, "nothing was committed");
    is_well_after_rollback(case, client);
}

/// As after a native 1213, whose transaction is over: statements stand for themselves, and no COMMIT is answered OK.
#[track_caller]
fn has_no_transaction(case: &Case, client: &mut Client) {
    assert_eq!(client.query("COMMIT").error(), ROLLED_BACK);
    assert_eq!(client.query("/*! COMMIT */").error(), ROLLED_BACK);
    assert_eq!(client.query("COMMIT AND CHAIN").error(), ROLLED_BACK);
    assert_eq!(case.rows(), NOTHING, "nothing was committed");
    client.run(&["INSERT INTO t (n) VALUES (50)"]);
    assert_eq!(
        case.rows(),
        ["50"],
        "it stands for itself, as on the server"
    );
    assert_eq!(client.query("COMMIT").error(), ROLLED_BACK);
    client.run(&["DELETE FROM t"]);
    is_well_after_rollback(case, client);
}

#[track_caller]
fn is_well_after_rollback(case: &Case, client: &mut Client) {
    client.run(&[
        "ROLLBACK",
        "BEGIN",
        "INSERT INTO t (n) VALUES (7)",
        "COMMIT",
    ]);
    assert_eq!(case.rows(), ["7"]);
}

on_both_servers! {
    fn what_is_asked_of_the_server_itself_is_no_part_of_a_replay(case) {
        let mut client = case.client();
        client.run(&["SET sql_mode = ''", "CREATE TABLE short (id INT PRIMARY KEY AUTO_INCREMENT, s VARCHAR(1)) ENGINE=InnoDB"]);
        client.run(&["BEGIN", "INSERT INTO short (s) VALUES ('too long')"]);
        // MySQL tells the INSERT's warning again.
        client.command(14, b"").good();
        client.statistics();
        case.cut();
        assert_eq!(client.line("SELECT COUNT(*) FROM short"), "1");
        client.run(&["COMMIT"]);
    }

    fn a_transaction_with_a_call_in_it_is_lost_whole(case) {
        case.witness().run(&["CREATE PROCEDURE nothing() BEGIN END"]);
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)", "CALL nothing()"]);
        case.cut();
        let message = client.query("INSERT INTO t (n) VALUES (2)").fails(ROLLED_BACK);
        assert!(message.starts_with("Steadfast: ") && message.contains("CALL"), "{message}");
        has_no_transaction(case, &mut client);
    }

    fn a_lost_transaction_is_told_to_its_commit(case) {
        case.witness().run(&["CREATE PROCEDURE nothing() BEGIN END"]);
        let mut client = case.client();
        client.run(&["START TRANSACTION", "INSERT INTO t (n) VALUES (1)", "CALL nothing()"]);
        case.cut();
        client.query("COMMIT").fails(ROLLED_BACK);
        has_no_transaction(case, &mut client);
    }

    fn begin_after_1213_begins_anew(case) {
        case.witness().run(&["CREATE PROCEDURE nothing() BEGIN END"]);
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)", "CALL nothing()"]);
        case.cut();
        client.query("INSERT INTO t (n) VALUES (2)").fails(ROLLED_BACK);
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (3)", "COMMIT", "INSERT INTO t (n) VALUES (4)"]);
        assert_eq!(case.rows(), ["3", "4"]);
    }

    fn a_replay_that_finds_different_data_says_so(case) {
        case.witness().run(&["INSERT INTO t (id, n) VALUES (1, 10)"]);
        let mut client = case.client();
        client.run(&["BEGIN"]);
        assert_eq!(client.line("SELECT n FROM t WHERE id = 1"), "10");
        client.run(&["INSERT INTO t (n) VALUES (1)"]);
        case.link.refuse(true);
        case.cut();
        case.witness().run(&["UPDATE t SET n = 11 WHERE id = 1"]);
        case.link.refuse(false);
        let message = client.query("INSERT INTO t (n) VALUES (2)").fails(ROLLED_BACK);
        assert!(message.contains("the replay found different data"), "{message}");
        assert!(message.contains("(steadfast why "), "{message}");
        assert_eq!(client.query("COMMIT").error(), ROLLED_BACK);
        assert_eq!(case.rows(), ["11"]);
        client.run(&["ROLLBACK", "UPDATE t SET n = 12"]);
        assert_eq!(case.rows(), ["12"]);
    }

    fn a_replay_that_finds_the_same_data_is_not_noticed(case) {
        case.witness().run(&["INSERT INTO t (id, n) VALUES (1, 10)"]);
        let mut client = case.client();
        client.run(&["BEGIN", "UPDATE t SET n = n + 1 WHERE id = 1"]);
        let inserted = client.query("INSERT INTO t (n) VALUES (5)").good();
        let now = client.line("SELECT NOW(6), RAND() FROM t WHERE id = 1 FOR UPDATE");
        case.cut();
        assert_eq!(client.line("SELECT n FROM t WHERE id = 1"), "11");
        case.cut_answer_to(At::Text("n + 2"));
        client.run(&["UPDATE t SET n = n + 2 WHERE id = 1", "SAVEPOINT s"]);
        case.cut();
        client.run(&["UPDATE t SET n = 0", "ROLLBACK TO s"]);
        case.cut();
        client.run(&["COMMIT"]);
        assert_eq!(case.rows(), ["13", "5"]);
        assert!(!now.is_empty() && format!("{inserted:?}").contains("insert_id: 2"), "{inserted:?}");
    }

    fn a_call_in_flight_in_a_transaction_is_in_doubt_until_rollback(case) {
        case.witness().run(&["CREATE PROCEDURE slow() BEGIN DO SLEEP(0.1); END"]);
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        case.cut_answer_to(At::Text("CALL slow"));
        let message = client.query("CALL slow()").fails("1180/08007");
        assert!(message.contains("its outcome is unknown"), "{message}");
        assert_eq!(client.query("SELECT 1").error(), "1180/08007");
        goes_on_in_vain(case, &mut client, "1180/08007");
    }

    fn a_killed_transaction_cannot_be_committed_in_part(case) {
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        std::thread::sleep(Duration::from_millis(700));
        client.start_query("SELECT SLEEP(20)");
        let mut witness = case.witness();
        case.wait("the statement runs", Duration::from_secs(5), || case.running("SELECT SLEEP(20") == 1);
        witness.run(&[&format!("KILL {}", client.id)]);
        client.answer().fails("1317/70100");
        case.wait("the statement ends", Duration::from_secs(2), || case.running("SELECT SLEEP(20") == 0);
        goes_on_in_vain(case, &mut client, "1317/70100");
    }

    #[settings = "[timeouts]\nhold = \"1s\"\n"]
    fn a_transaction_without_a_server_within_hold_cannot_be_committed_in_part(case) {
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        case.link.refuse(true);
        case.cut();
        client.query("INSERT INTO t (n) VALUES (2)").fails("1053/08S01");
        case.link.refuse(false);
        goes_on_in_vain(case, &mut client, "1053/08S01");
    }

    fn a_lost_transaction_is_not_committed_by_a_prepared_commit(case) {
        case.witness().run(&["CREATE PROCEDURE nothing() BEGIN END"]);
        let mut client = case.client();
        let commit = client.prepare("COMMIT");
        let insert = client.prepare("INSERT INTO t (n) VALUES (?)");
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)", "CALL nothing()", "PREPARE c FROM 'COMMIT'"]);
        case.cut();
        client.execute(insert, &[Some("2")], true, false).fails(ROLLED_BACK);
        client.execute(commit, &[], true, false).fails(ROLLED_BACK);
        client.query("EXECUTE c").fails(ROLLED_BACK);
        assert_eq!(case.rows(), NOTHING);
    }

    // For all that is known, the procedure has prepared something else under the name.
    fn a_lost_transaction_is_not_committed_by_a_name_that_is_not_known_any_more(case) {
        case.witness().run(&["CREATE PROCEDURE nothing() BEGIN END"]);
        let mut client = case.client();
        client.run(&["PREPARE c FROM 'COMMIT'", "BEGIN", "INSERT INTO t (n) VALUES (1)", "CALL nothing()"]);
        case.cut();
        client.query("EXECUTE c").fails(ROLLED_BACK);
        client.query("INSERT INTO t (n) VALUES (2)").fails("1053/08S01");
        client.query("EXECUTE c").fails("1053/08S01");
        client.query("COMMIT").fails(ROLLED_BACK);
        client.command(31, b"").good();
        client.run(&["COMMIT"]);
        assert_eq!(case.rows(), NOTHING);
    }

    fn a_transaction_that_is_lost_again_while_it_is_replayed_is_replayed_again(case) {
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)", "INSERT INTO t (n) VALUES (2)"]);
        // The replay's own second statement is cut.
        case.cut_answer_to(At::Text("VALUES (2)"));
        case.cut();
        client.run(&["INSERT INTO t (n) VALUES (3)", "COMMIT"]);
        assert_eq!(case.rows(), ["1", "2", "3"]);
    }

    // What the error has left is asked of the server: it is an open transaction, which replays behind the other's.
    fn a_statement_that_waited_in_vain_replays_behind_whom_it_waited_for(case) {
        let (mut first, mut second) = (case.client(), case.client());
        first.run(&["INSERT INTO t (n) VALUES (1)", "BEGIN", "UPDATE t SET n = 2 WHERE id = 1"]);
        second.run(&["SET autocommit = 0, innodb_lock_wait_timeout = 1"]);
        second.query("UPDATE t SET n = 3 WHERE id = 1").fails("1205/HY000");
        second.run(&["INSERT INTO t (n) VALUES (4)"]);
        case.cut();
        second.start_query("INSERT INTO t (n) VALUES (5)");
        first.run(&["SELECT 1"]);
        second.answer().good();
        first.run(&["COMMIT"]);
        second.run(&["COMMIT"]);
        assert_eq!(case.rows(), ["2", "4", "5"]);
    }
}
