//! COMMIT AND CHAIN, ROLLBACK AND CHAIN and RELEASE, said or by `completion_type`: the client never takes autocommit for
//! the transaction that it believes in.

use steadfast_sandbox::Kind;

use crate::case::{At, Case, on_both_servers};
use crate::client::{Answer, Client};

const IN_DOUBT: &str = "1180/08007";
const READ_ONLY: &str = "1792/25006";
const NOTHING: [&str; 0] = [];

/// A transaction is open, and it is not read-only.
#[track_caller]
fn is_in_a_transaction(case: &Case, client: &mut Client) {
    let before = case.rows();
    client.run(&["INSERT INTO t (n) VALUES (40)"]);
    assert_eq!(case.rows(), before, "it is open");
    client.run(&["ROLLBACK AND NO CHAIN"]);
    assert_eq!(case.rows(), before);
    client.run(&[
        "INSERT INTO t (n) VALUES (41)",
        "DELETE FROM t WHERE n = 41",
    ]);
}

on_both_servers! {
    fn after_a_chained_commit_in_doubt_nothing_runs_outside_a_transaction(case) {
        for (before, commit) in [("SET @x = 1", "COMMIT AND CHAIN"), ("SET completion_type = CHAIN", "COMMIT")] {
            let mut client = case.client();
            client.run(&[before, "BEGIN", "INSERT INTO t (n) VALUES (1)"]);
            case.cut_answer_to(At::Text("COMMIT"));
            client.query(commit).fails(IN_DOUBT);
            for sql in ["INSERT INTO t (n) VALUES (2)", "SELECT 1", "COMMIT", "BEGIN"] {
                assert_eq!(client.query(sql).error(), IN_DOUBT, "{sql}");
            }
            assert_eq!(case.rows(), ["1"]);
            client.run(&["ROLLBACK AND NO CHAIN", "INSERT INTO t (n) VALUES (3)"]);
            assert_eq!(case.rows(), ["1", "3"], "after {commit}");
            client.run(&["DELETE FROM t"]);
            client.run(&["COMMIT AND NO CHAIN"]);
        }
    }

    fn a_rollback_that_chains_begins_the_next_transaction_after_a_lost_one(case) {
        // As on the server, where ROLLBACK begins one even if there was none.
        let mut client = case.client();
        client.run(&["SET completion_type = CHAIN", "BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        case.cut_instead_of(At::Text("COMMIT"));
        client.query("COMMIT").fails(IN_DOUBT);
        client.run(&["ROLLBACK"]);
        is_in_a_transaction(case, &mut client);
        // With the characteristics of the lost one, whose COMMIT had nothing to commit.
        client.run(&["START TRANSACTION READ ONLY", "SELECT 1"]);
        case.cut_instead_of(At::Text("COMMIT"));
        client.query("COMMIT AND CHAIN").good();
        client.query("INSERT INTO t (n) VALUES (2)").fails(READ_ONLY);
        case.cut_instead_of(At::Text("ROLLBACK"));
        client.run(&["ROLLBACK AND CHAIN"]);
        client.query("INSERT INTO t (n) VALUES (2)").fails(READ_ONLY);
        client.run(&["ROLLBACK AND NO CHAIN", "INSERT INTO t (n) VALUES (3)"]);
        assert_eq!(case.rows(), ["3"]);
    }

    fn a_chained_rollback_after_a_doubt_without_a_transaction_begins_from_the_session_as_it_is(case) {
        let second = format!("{}b", case.database);
        case.witness().run(&[
            &format!("CREATE DATABASE {second}"),
            &format!("GRANT ALL ON {second}.* TO {}@'%'", case.user),
            &format!("CREATE PROCEDURE {second}.p() BEGIN SELECT 1; END"),
        ]);
        let mut client = case.client();
        client.run(&["SET autocommit = 0", "INSERT INTO t (n) VALUES (1)", "COMMIT"]);
        client.run(&[&format!("USE {second}"), "SET time_zone = '+05:00', @x = CONCAT('', 7)"]);
        case.cut_instead_of(At::Text("CALL p"));
        client.query("CALL p()").fails(IN_DOUBT);
        client.query("SELECT 1").fails(IN_DOUBT);
        client.run(&["ROLLBACK AND CHAIN"]);
        assert_eq!(client.line("SELECT DATABASE(), @@time_zone, @x, @@autocommit"), format!("{second} +05:00 7 0"));
        client.run(&[&format!("INSERT INTO {}.t (n) VALUES (2)", case.database)]);
        case.cut();
        assert_eq!(client.line("SELECT DATABASE(), @@time_zone, @x"), format!("{second} +05:00 7"));
        client.run(&["COMMIT"]);
        assert_eq!(case.rows(), ["1", "2"]);
    }

    fn a_chained_rollback_that_is_lost_on_its_way_is_not_noticed(case) {
        for before in [true, false] {
            let cut = || if before {
                case.cut_instead_of(At::Text("ROLLBACK AND CHAIN"));
            } else {
                case.cut_answer_to(At::Text("ROLLBACK AND CHAIN"));
            };
            let mut client = case.client();
            client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
            cut();
            client.run(&["ROLLBACK AND CHAIN"]);
            is_in_a_transaction(case, &mut client);
            client.run(&["START TRANSACTION READ ONLY", "SELECT 1"]);
            cut();
            client.run(&["ROLLBACK AND CHAIN"]);
            client.query("INSERT INTO t (n) VALUES (2)").fails(READ_ONLY);
            client.run(&["ROLLBACK"]);
            assert_eq!(case.rows(), NOTHING);
        }
    }

    fn an_acknowledged_chain_is_begun_again_with_its_characteristics(case) {
        for end in ["COMMIT AND CHAIN", "ROLLBACK AND CHAIN"] {
            let mut client = case.client();
            client.run(&["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "START TRANSACTION READ ONLY", "SELECT 1", end]);
            case.cut();
            client.query("INSERT INTO t (n) VALUES (2)").fails(READ_ONLY);
            client.run(&["ROLLBACK", "BEGIN", "INSERT INTO t (n) VALUES (1)", "ROLLBACK AND CHAIN"]);
            case.cut();
            is_in_a_transaction(case, &mut client);
            // SERIALIZABLE: a plain read takes a lock that others wait for.
            case.witness().run(&["INSERT INTO t (id, n) VALUES (1, 5)"]);
            client.run(&["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "BEGIN", "SELECT 1", end]);
            case.cut();
            assert_eq!(client.line("SELECT n FROM t WHERE id = 1"), "5");
            let mut witness = case.witness();
            witness.run(&["SET innodb_lock_wait_timeout = 1"]);
            witness.query("UPDATE t SET n = 6 WHERE id = 1").fails("1205/HY000");
            client.run(&["COMMIT"]);
            witness.run(&["DELETE FROM t"]);
        }
    }

    fn release_ends_the_session_as_on_the_server(case) {
        for (before, end) in [("SET @x = 1", "COMMIT RELEASE"), ("SET @x = 1", "ROLLBACK RELEASE"), ("SET completion_type = 'RELEASE'", "COMMIT")] {
            let mut client = case.client();
            client.run(&[before, "BEGIN", "INSERT INTO t (n) VALUES (1)", end]);
            assert!(matches!(client.query("SELECT 1"), Answer::Gone(_)), "after {end}");
        }
        assert_eq!(case.rows(), ["1", "1"]);
        let mut client = case.client();
        client.run(&["SET completion_type = 'RELEASE'", "BEGIN", "INSERT INTO t (n) VALUES (2)", "COMMIT NO RELEASE"]);
        assert_eq!(case.rows(), ["1", "1", "2"]);
        assert_eq!(client.line("SELECT 1"), "1");
    }
}
