//! What is taken for a COMMIT, and what the hidden START TRANSACTION of a recorded write might disturb: nothing is lost
//! here, so each script must come to the same through Steadfast, with the ledger, as on a direct connection.

use steadfast_sandbox::Kind;

use crate::case::{Case, with_ledger};
use crate::client::{CLIENT_MULTI_STATEMENTS, Client};

/// A script whose `LOCKED?` tells whether somebody else's write to `t` has to wait.
#[track_caller]
fn as_direct(case: &Case, script: &[&str]) {
    let directly = Client::connect(
        case.server.addr(),
        &case.user,
        &case.database,
        CLIENT_MULTI_STATEMENTS,
    );
    let direct = come_to(case, directly, script);
    let through = come_to(case, case.client_with(CLIENT_MULTI_STATEMENTS), script);
    assert_eq!(through, direct, "{script:?}\n{}", case.steadfast.log());
}

/// How each statement ends, and the rows that are there then.
#[track_caller]
fn come_to(case: &Case, mut client: Client, script: &[&str]) -> Vec<String> {
    case.witness().run(&["TRUNCATE t"]);
    let mut told: Vec<String> = script
        .iter()
        .map(|text| match *text {
            "LOCKED?" => {
                let mut other = case.witness();
                other.run(&["SET lock_wait_timeout=1", "SET innodb_lock_wait_timeout=1"]);
                format!(
                    "other's write: {}",
                    other.query("INSERT INTO t (n) VALUES (99)").error()
                )
            }
            text => format!("{text}: {}", client.query(text).error()),
        })
        .collect();
    told.extend(case.rows());
    told
}

with_ledger! {
    fn execute_runs_what_its_name_stands_for_now(case) {
        case.witness().run(&["CREATE PROCEDURE again() BEGIN PREPARE cm FROM 'ROLLBACK'; END"]);
        for script in [
            &["SELECT 1; PREPARE cm FROM 'ROLLBACK'"][..],
            &["PREPARE x FROM 'CALL again()'", "EXECUTE x"],
            &["CALL again()"],
            &["PREPARE cm FROM CONCAT('ROLL', 'BACK')"],
            &["EXECUTE IMMEDIATE 'CALL again()'"],
            &["PREPARE cm FROM 'SELEKT'"],
            &["PREPARE cm FROM 'SELECT * FROM nowhere'"],
            &["DEALLOCATE PREPARE cm; SELECT 1"],
            &["SELECT 1; DEALLOCATE PREPARE cm; SELECT * FROM nowhere"],
            &["DEALLOCATE PREPARE nobody"],
            &["PREPARE cm FROM 'SELECT 1' garbage"],
        ] {
            let mut all = vec!["PREPARE cm FROM 'COMMIT'"];
            all.extend(script);
            all.extend(["BEGIN", "INSERT INTO t (n) VALUES (1)", "EXECUTE cm"]);
            as_direct(case, &all);
        }
        as_direct(case, &["PREPARE cm FROM 'COMMIT'", "SET @z = 1", "BEGIN", "INSERT INTO t (n) VALUES (1)", "EXECUTE cm USING @z"]);
    }

    fn a_name_that_a_procedure_may_have_prepared_is_not_restored_as_it_was(case) {
        case.witness().run(&["CREATE PROCEDURE again() BEGIN PREPARE s FROM 'SELECT 2'; END"]);
        let mut client = case.client();
        client.run(&["CALL again()"]);
        case.cut();
        client.run(&["SELECT 1", "PREPARE s FROM 'SELECT 1'"]);
        assert_eq!(client.line("EXECUTE s"), "1");
        case.cut();
        assert_eq!(client.line("EXECUTE s"), "1", "restored");
        client.run(&["CALL again()"]);
        assert_eq!(client.line("EXECUTE s"), "2");
        case.cut();
        client.query("EXECUTE s").fails("1053/08S01");
    }

    fn a_prepare_that_failed_leaves_no_name_behind(case) {
        let mut client = case.client();
        for (text, error) in [
            ("PREPARE s FROM 'SELEKT'", "1064/42000"),
            ("PREPARE s FROM 'SELECT 1 FROM nowhere'", "1146/42S02"),
            ("PREPARE s FROM 'SELECT nowhere FROM t'", "1054/42S22"),
            ("PREPARE s FROM 'PREPARE other FROM ''SELECT 1'''", "1295/HY000"),
        ] {
            for cut in [false, true] {
                client.run(&["PREPARE s FROM 'SELECT 1'"]);
                client.query(text).fails(error);
                if cut {
                    case.cut();
                }
                client.query("EXECUTE s").fails("1243/HY000");
                client.command(31, b"").good();
            }
        }
    }

    fn a_set_that_the_server_refuses_commits_nothing(case) {
        for set in [
            "SET autocommit=1, sql_mode='bogus'",
            "SET autocommit=1, time_zone='Nowhere/X'",
            "SET time_zone='Nowhere/X', autocommit=1",
            "SET @@session.autocommit=1, sql_log_bin=0",
            "SET autocommit=1, sql_mode=''",
            "SET autocommit='on'",
            "SET autocommit=2",
        ] {
            as_direct(case, &["SET autocommit=0", "INSERT INTO t (n) VALUES (1)", set, "ROLLBACK"]);
        }
    }

    fn what_the_server_refuses_to_parse_commits_nothing(case) {
        for end in [
            "COMMIT AND CHAIN RELEASE",
            "ROLLBACK AND CHAIN RELEASE",
            "SET STATEMENT bogus=1 FOR COMMIT",
            "SET STATEMENT bogus=1 FOR BEGIN",
            "SET STATEMENT bogus=1 FOR SET autocommit=1",
            "SET STATEMENT max_statement_time=5 FOR COMMIT",
        ] {
            as_direct(case, &["BEGIN", "INSERT INTO t (n) VALUES (1)", end, "ROLLBACK"]);
            as_direct(case, &["SET autocommit=0", "INSERT INTO t (n) VALUES (1)", end, "ROLLBACK"]);
        }
    }

    fn locks_of_tables_stay_however_they_were_taken(case) {
        case.witness().run(&["CREATE PROCEDURE locks() BEGIN PREPARE l FROM 'LOCK TABLES t WRITE'; EXECUTE l; END"]);
        case.witness().run(&["CREATE PROCEDURE breaks() BEGIN PREPARE l FROM 'LOCK TABLES t WRITE'; EXECUTE l; SIGNAL SQLSTATE '45000'; END"]);
        for lock in [
            "LOCK TABLES t WRITE",
            "UNLOCK TABLES; LOCK TABLES t WRITE",
            "BEGIN; LOCK TABLES t WRITE",
            "SELECT 1; LOCK TABLES t WRITE",
            "DO GET_LOCK('x', 5); LOCK TABLES t WRITE",
            "EXECUTE IMMEDIATE 'LOCK TABLES t WRITE'",
            "CALL locks()",
            "CALL breaks()",
            "DO 1; CALL locks()",
        ] {
            as_direct(case, &[lock, "LOCKED?", "INSERT INTO t (n) VALUES (1)", "LOCKED?", "BEGIN", "LOCKED?"]);
        }
        as_direct(case, &["LOCK TABLES t WRITE; UNLOCK TABLES", "INSERT INTO t (n) VALUES (1)", "LOCKED?"]);
    }

    fn a_one_shot_set_transaction_is_used_up_by_no_write_that_fails(case) {
        for write in [
            "INSERT INTO t (n) VALUES (1",
            "INSERT INTO t (n) VALUES (1)",
            "INSERT INTO nowhere VALUES (1)",
            "UPDATE t SET nowhere = 1",
            "DELETE FROM t WHERE n < 0",
        ] {
            for set in ["SET TRANSACTION READ ONLY", "SET @@transaction_read_only=1", "SET @@tx_read_only=1"] {
                as_direct(case, &[set, write, write, "BEGIN", "INSERT INTO t (n) VALUES (2)", "COMMIT", "INSERT INTO t (n) VALUES (3)"]);
            }
        }
    }

    fn a_commit_in_a_branch_that_was_not_seen_is_refused_and_the_branch_goes_on(case) {
        for start in ["EXECUTE IMMEDIATE 'XA START ''branch'''", "SELECT 1; XA START 'branch'"] {
            for commit in ["COMMIT", "BEGIN", "SET autocommit=1"] {
                as_direct(case, &[
                    start,
                    "INSERT INTO t (n) VALUES (1)",
                    commit,
                    "INSERT INTO t (n) VALUES (2)",
                    "XA END 'branch'",
                    commit,
                    "XA COMMIT 'branch' ONE PHASE",
                    "INSERT INTO t (n) VALUES (3)",
                ]);
            }
        }
    }

    // Caution costs a session no more than what it is about.
    fn what_stands_against_a_record_does_not_outlive_its_reason(case) {
        case.witness().run(&["CREATE PROCEDURE p() BEGIN SET @x = 1; END"]);
        let mut client = case.client_with(CLIENT_MULTI_STATEMENTS);
        client.run(&["INSERT INTO t (n) VALUES (1)"]);
        for before in [
            &["SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"][..],
            &["SET TRANSACTION READ WRITE", "SELECT n FROM t"],
            &["SET TRANSACTION READ ONLY", "BEGIN", "COMMIT"],
            &["START TRANSACTION READ ONLY", "SELECT n FROM t", "ROLLBACK"],
            &["BEGIN", "INSERT INTO t (n) VALUES (1)", "COMMIT AND CHAIN", "ROLLBACK"],
            &["CALL p()"],
            &["PREPARE s FROM 'SELECT 1'", "EXECUTE s", "CALL p()", "DEALLOCATE PREPARE s"],
            &["LOCK TABLES t WRITE", "UNLOCK TABLES"],
            &["LOCK TABLES t WRITE; UNLOCK TABLES", "BEGIN", "ROLLBACK"],
            &["SET autocommit=0", "INSERT INTO t (n) VALUES (1)", "SET autocommit=1"],
        ] {
            client.run(before);
            let recorded = case.steadfast.metric("commits_recorded_total");
            client.run(&["INSERT INTO t (n) VALUES (1)", "BEGIN", "INSERT INTO t (n) VALUES (1)", "COMMIT"]);
            let now = case.steadfast.metric("commits_recorded_total");
            assert_eq!(now - recorded, 2.0, "{before:?}");
        }
    }
}
