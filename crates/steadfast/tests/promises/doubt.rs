//! What cannot be known is not guessed: 1180/08007, the connection lives, and nothing is applied twice.

use steadfast_sandbox::Kind;

use crate::case::{At, Case, on_both_servers};
use crate::client::CLIENT_MULTI_STATEMENTS;

const IN_DOUBT: &str = "1180/08007";
const STMT_EXECUTE: u8 = 23;
const RESET_CONNECTION: u8 = 31;

/// A statement that commits an open transaction, in some disguise.
struct Commit {
    /// What opens the transaction, its write included.
    before: &'static [&'static str],
    sql: &'static str,
    /// Where it can be recognised on the way to the server.
    at: &'static str,
}

const fn commit(sql: &'static str) -> Commit {
    Commit {
        before: &["BEGIN", "INSERT INTO t (n) VALUES (1)"],
        sql,
        at: sql,
    }
}

const AUTOCOMMIT_OFF: &[&str] = &["SET autocommit=0", "INSERT INTO t (n) VALUES (1)"];

fn commits(mariadb: bool) -> Vec<Commit> {
    let mut all = vec![
        commit("COMMIT"),
        commit(" commit  work"),
        commit("/*! COMMIT */"),
        commit("/*!50000 COMMIT */"),
        commit("/* a */ COMMIT -- b"),
        commit("COMMIT AND CHAIN"),
        commit("COMMIT AND NO CHAIN"),
        commit("COMMIT RELEASE"),
        commit("BEGIN"),
        commit("START TRANSACTION READ ONLY"),
        commit("CREATE TABLE made (a INT)"),
        commit("DROP TABLE IF EXISTS absent"),
        commit("ANALYZE TABLE t"),
        commit("LOCK TABLES t READ"),
        commit("CALL committing()"),
        commit("COMMIT; SELECT 1"),
        Commit {
            before: AUTOCOMMIT_OFF,
            ..commit("SET autocommit=1")
        },
        Commit {
            before: AUTOCOMMIT_OFF,
            ..commit("SET SESSION sql_mode='', @@session.autocommit=ON")
        },
        Commit {
            before: AUTOCOMMIT_OFF,
            ..commit("COMMIT")
        },
        Commit {
            before: &[
                "SET @one=1",
                "SET autocommit=0",
                "INSERT INTO t (n) VALUES (1)",
            ],
            ..commit("SET autocommit=@one")
        },
        Commit {
            before: &[
                "PREPARE c FROM 'COMMIT'",
                "BEGIN",
                "INSERT INTO t (n) VALUES (1)",
            ],
            ..commit("EXECUTE c")
        },
        Commit {
            before: &[
                "SET @text='COMMIT'",
                "PREPARE c FROM @text",
                "BEGIN",
                "INSERT INTO t (n) VALUES (1)",
            ],
            ..commit("EXECUTE c")
        },
        Commit {
            before: &[
                "SET completion_type=1",
                "BEGIN",
                "INSERT INTO t (n) VALUES (1)",
            ],
            ..commit("COMMIT")
        },
    ];
    if mariadb {
        all.extend([
            commit("/*M! COMMIT */"),
            commit("EXECUTE IMMEDIATE 'COMMIT'"),
            commit("BEGIN NOT ATOMIC COMMIT; END"),
            commit("SET STATEMENT max_statement_time=10 FOR COMMIT"),
        ]);
    }
    all
}

#[track_caller]
fn is_in_doubt(case: &Case, commit: &Commit, acted: bool) {
    let mut witness = case.witness();
    witness.run(&["TRUNCATE t", "DROP TABLE IF EXISTS made"]);
    let mut client = case.client_with(CLIENT_MULTI_STATEMENTS);
    client.run(commit.before);
    if acted {
        case.cut_answer_to(At::Text(commit.at));
    } else {
        case.cut_instead_of(At::Text(commit.at));
    }
    let answer = client.query(commit.sql);
    case.link.clear_tap();
    let which = format!("{:?} then {:?}, acted: {acted}", commit.before, commit.sql);
    match answer.error().as_str() {
        IN_DOUBT => {}
        other => panic!("{which}: {other}, {answer:?}\n{}", case.steadfast.log()),
    }
    let expected: &[&str] = if acted { &["1"] } else { &[] };
    assert_eq!(case.rows(), expected, "{which}");
    // The connection lives, and a client that goes on commits nothing more of it. What is not understood may have taken
    // a lock: then only a reset helps.
    if client.query("ROLLBACK").error() != "0" {
        client.query("COMMIT").fails("1053/08S01");
        client.command(RESET_CONNECTION, b"").good();
    }
    assert_eq!(client.line("SELECT 1"), "1", "{which}");
    drop(client);
    assert_eq!(case.rows(), expected, "{which}");
}

on_both_servers! {
    fn a_commit_in_doubt_in_every_disguise(case) {
        case.witness().run(&["CREATE PROCEDURE committing() BEGIN COMMIT; END"]);
        for commit in commits(case.is_mariadb()) {
            is_in_doubt(case, &commit, true);
            is_in_doubt(case, &commit, false);
        }
    }

    fn a_prepared_commit_is_a_commit(case) {
        let mut client = case.client();
        let commit = client.prepare("COMMIT");
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        case.cut_answer_to(At::Code(STMT_EXECUTE));
        client.execute(commit, &[], true, false).fails(IN_DOUBT);
        assert_eq!(case.rows(), ["1"]);
        assert_eq!(client.line("SELECT 1"), "1");
    }

    fn a_plain_commit_in_doubt_leaves_no_debt(case) {
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        case.cut_answer_to(At::Text("COMMIT"));
        let message = client.query("COMMIT").fails(IN_DOUBT);
        assert!(message.contains("a COMMIT was on its way; its outcome is unknown"), "{message}");
        client.run(&["INSERT INTO t (n) VALUES (2)", "BEGIN", "INSERT INTO t (n) VALUES (3)", "COMMIT"]);
        assert_eq!(case.rows(), ["1", "2", "3"]);
    }

    fn an_autocommit_write_in_doubt_is_not_applied_twice(case) {
        case.witness().run(&["INSERT INTO t (id, n) VALUES (1, 1)"]);
        let mut client = case.client();
        for (sql, after) in [
            ("UPDATE t SET n = n + 1", "2"),
            ("INSERT INTO t (id, n) VALUES (1, 5) ON DUPLICATE KEY UPDATE n = n + 1", "3"),
            ("REPLACE INTO t (id, n) SELECT id, n + 1 FROM (SELECT * FROM t) s", "4"),
            ("WITH c AS (SELECT 1 AS one) UPDATE t, c SET n = n + one", "5"),
        ] {
            if case.is_mariadb() && sql.starts_with("WITH") {
                continue;
            }
            case.cut_answer_to(At::Text("n + "));
            let message = client.query(sql).fails(IN_DOUBT);
            assert!(message.contains("a write was on its way"), "{message}");
            assert_eq!(case.rows(), [after], "{sql}");
            assert_eq!(client.line("SELECT 1"), "1");
        }
        let add = client.prepare("UPDATE t SET n = n + ?");
        client.execute(add, &[Some("1")], true, false).good();
        let before = case.rows();
        case.cut_answer_to(At::Code(STMT_EXECUTE));
        client.execute(add, &[Some("1")], false, false).fails(IN_DOUBT);
        assert_ne!(case.rows(), before);
        let once = case.rows();
        client.execute(add, &[Some("0")], false, false).good();
        assert_eq!(case.rows(), once);
    }

    fn an_autocommit_write_that_was_not_sent_is_sent_once(case) {
        let mut client = case.client();
        case.cut();
        client.run(&["INSERT INTO t (n) VALUES (1)"]);
        assert_eq!(case.rows(), ["1"]);
    }

    fn a_read_whose_view_writes_is_not_run_twice(case) {
        case.witness().run(&[
            "CREATE FUNCTION writing() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO t (n) VALUES (1); RETURN 1; END",
            "CREATE SQL SECURITY DEFINER VIEW innocent AS SELECT writing() AS x",
        ]);
        let mut client = case.client();
        assert_eq!(client.line("SELECT x FROM innocent"), "1");
        assert_eq!(case.rows(), ["1"]);
        case.cut_answer_to(At::Text("SELECT x FROM innocent"));
        let message = client.query("SELECT x FROM innocent").fails(IN_DOUBT);
        assert!(message.contains("a read whose function or view writes"), "{message}");
        assert_eq!(case.rows(), ["1", "1"], "it ran once more, not twice");
        // The guard is off again: the session may write, and its autocommit is what it was.
        client.run(&["INSERT INTO t (n) VALUES (2)"]);
        assert_eq!(case.rows(), ["1", "1", "2"]);
        assert_eq!(client.line("SELECT @@autocommit"), "1");
        // Prepared.
        let select = client.prepare("SELECT x FROM innocent");
        case.cut_answer_to(At::Code(STMT_EXECUTE));
        client.execute(select, &[], true, false).fails(IN_DOUBT);
        assert_eq!(case.rows().len(), 4);
    }

    fn a_read_whose_function_writes_without_transactions_is_not_run_twice(case) {
        case.witness().run(&[
            "CREATE TABLE log (n INT) ENGINE=MyISAM",
            "CREATE FUNCTION logging() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO log VALUES (1); RETURN 1; END",
        ]);
        let mut client = case.client();
        case.cut_answer_to(At::Text("SELECT logging()"));
        client.query("SELECT logging()").fails(IN_DOUBT);
        assert_eq!(case.witness().line("SELECT COUNT(*) FROM log"), "1");
        // Inside a transaction a rollback does not undo it. MySQL with GTIDs refuses a mixture (1785).
        client.run(&["BEGIN", if case.is_mariadb() { "INSERT INTO t (n) VALUES (1)" } else { "SELECT 1" }]);
        case.cut_answer_to(At::Text("SELECT logging()"));
        client.query("SELECT logging()").fails(IN_DOUBT);
        assert_eq!(case.witness().line("SELECT COUNT(*) FROM log"), "2");
        client.query("COMMIT").fails(IN_DOUBT);
        assert_eq!(case.rows(), Vec::<String>::new());
        client.run(&["ROLLBACK"]);
        // One that completed before the loss is not replayed either.
        client.run(&["BEGIN", "SELECT logging()"]);
        case.cut();
        client.query("SELECT 1").fails("1213/40001");
        assert_eq!(case.witness().line("SELECT COUNT(*) FROM log"), "3");
    }

    fn a_table_without_transactions_that_the_account_cannot_see_is_told_of(case) {
        let hidden = format!("{}_hidden", case.database);
        case.witness().run(&[
            &format!("CREATE DATABASE {hidden}"),
            &format!("CREATE TABLE {hidden}.log (n INT) ENGINE=MyISAM"),
            &format!(
                "CREATE FUNCTION {hidden}.logging() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO {hidden}.log VALUES (1); RETURN 1; END"
            ),
            &format!("CREATE SQL SECURITY DEFINER VIEW innocent AS SELECT {hidden}.logging() AS x"),
        ]);
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)", "DELETE FROM t", "SELECT 1"]);
        if !case.is_mariadb() {
            // MySQL with GTIDs refuses a mixture (1785).
            client.run(&["ROLLBACK", "BEGIN", "SELECT 1"]);
        }
        case.cut_answer_to(At::Text("FROM innocent"));
        let message = client.query("SELECT x FROM innocent").fails(IN_DOUBT);
        assert!(message.contains("non-transactional"), "{message}");
        let count = format!("SELECT COUNT(*) FROM {hidden}.log");
        assert_eq!(case.witness().line(&count), "2", "it was run again, and that is what is told");
        client.query("COMMIT").fails(IN_DOUBT);
        client.run(&["ROLLBACK"]);
        assert_eq!(client.line("SELECT 1"), "1");
        case.witness().run(&[&format!("DROP DATABASE {hidden}")]);
    }

    fn a_write_to_a_table_without_transactions_is_not_applied_twice(case) {
        case.witness().run(&["CREATE TABLE log (n INT) ENGINE=MyISAM"]);
        let mut client = case.client();
        let write = |n| if case.is_mariadb() { format!("INSERT INTO t (n) VALUES ({n})") } else { "SELECT 1".to_owned() };
        client.run(&["BEGIN", &write(1)]);
        case.cut_answer_to(At::Text("INTO log"));
        client.query("INSERT INTO log VALUES (1)").fails(IN_DOUBT);
        assert_eq!(case.witness().line("SELECT COUNT(*) FROM log"), "1");
        client.query("COMMIT").fails(IN_DOUBT);
        client.run(&["ROLLBACK", "BEGIN", &write(2), "INSERT INTO log VALUES (2)"]);
        case.cut();
        client.query("SELECT 1").fails("1213/40001");
        client.query("COMMIT").fails("1213/40001");
        assert_eq!(case.witness().line("SELECT COUNT(*) FROM log"), "2");
        assert_eq!(case.rows(), Vec::<String>::new());
    }

    fn a_read_in_a_transaction_whose_view_writes_is_applied_once(case) {
        case.witness().run(&[
            "CREATE FUNCTION writing() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO t (n) VALUES (1); RETURN 1; END",
            "CREATE SQL SECURITY DEFINER VIEW innocent AS SELECT writing() AS x",
        ]);
        let mut client = case.client();
        client.run(&["BEGIN"]);
        case.cut_answer_to(At::Text("SELECT x FROM innocent"));
        assert_eq!(client.line("SELECT x FROM innocent"), "1");
        client.run(&["COMMIT"]);
        assert_eq!(case.rows(), ["1"]);
    }
}

mod mariadb_only {
    use super::*;

    #[test]
    fn a_sequence_is_not_drawn_from_twice_unnoticed() {
        let case = Case::new(Kind::MariaDb);
        case.witness().run(&[
            "CREATE SEQUENCE s",
            "CREATE FUNCTION draw() RETURNS INT BEGIN RETURN NEXTVAL(s); END",
        ]);
        let mut client = case.client();
        case.cut_answer_to(At::Text("SELECT NEXTVAL"));
        client.query("SELECT NEXTVAL(s)").fails(IN_DOUBT);
        case.cut_answer_to(At::Text("SELECT draw()"));
        client.query("SELECT draw()").fails(IN_DOUBT);
        assert_eq!(client.line("SELECT NEXTVAL(s)"), "3");
    }
}
