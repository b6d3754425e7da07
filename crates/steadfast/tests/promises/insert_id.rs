//! LAST_INSERT_ID() after a loss: what it was, or an error, and never what it was not.

use std::thread::sleep;
use std::time::Duration;

use steadfast_sandbox::Kind;

use crate::case::{Case, on_both_servers};
use crate::client::{Answer, Client};

const GONE: &str = "1213/40001";
const ASK: &str = "SELECT LAST_INSERT_ID()";

/// Until the definition of a table that has just been made counts as older than what comes now.
fn age() {
    sleep(Duration::from_millis(3200));
}

/// What LAST_INSERT_ID() gives after a loss is what it gave before. Other cases change tables on the same server, which
/// makes it unknown: tried again.
#[track_caller]
fn stays(case: &Case, client: &mut Client, mut insert: impl FnMut(&mut Client)) {
    let mut answer = String::new();
    for _ in 0..10 {
        insert(client);
        let expected = client.line(ASK);
        case.cut();
        let after = client.query(ASK);
        answer = after.error();
        if answer == "0" {
            assert_eq!(after.line(), expected);
            return;
        }
        assert_eq!(answer, GONE);
        sleep(Duration::from_millis(700));
    }
    panic!("it stays unknown: {answer}");
}

/// It cannot be known: never another id.
#[track_caller]
fn is_refused(case: &Case, client: &mut Client) {
    case.cut();
    for _ in 0..2 {
        client.query(ASK).fails(GONE);
    }
}

on_both_servers! {
    fn an_id_that_was_drawn_is_known_after_a_loss(case) {
        case.witness().run(&["CREATE TABLE other (a INT, key_ BIGINT UNSIGNED AUTO_INCREMENT, KEY (key_))"]);
        age();
        let mut client = case.client();
        stays(case, &mut client, |client| { client.run(&["INSERT INTO t (n) VALUES (1)"]); });
        stays(case, &mut client, |client| { client.run(&["INSERT INTO t (n) VALUES (2), (3)"]); });
        stays(case, &mut client, |client| { client.run(&["INSERT INTO t SET n = 4"]); });
        stays(case, &mut client, |client| { client.run(&["REPLACE other (a) SELECT n FROM t"]); });
        stays(case, &mut client, |client| {
            let insert = client.prepare("INSERT INTO t (n) VALUES (?)");
            client.execute(insert, &[Some("5")], true, false).good();
        });
        stays(case, &mut client, |client| { client.run(&["UPDATE t SET n = LAST_INSERT_ID(77) WHERE id = 1"]); });
        // An id that is drawn after the loss is known as well, whatever was before.
        client.run(&["INSERT INTO t (id, n) VALUES (1000, 1)"]);
        case.cut();
        stays(case, &mut client, |client| { client.run(&["INSERT INTO t (n) VALUES (6)"]); });
    }

    fn a_grant_with_an_escaped_underscore_is_understood_in_every_sql_mode(case) {
        let (user, database) = (&case.user, format!("{}_e", case.database));
        let escaped = format!("{}\\_%", case.database);
        case.witness().run(&[
            &format!("CREATE DATABASE {database}"),
            &format!("CREATE TABLE {database}.t (id INT PRIMARY KEY AUTO_INCREMENT, n INT)"),
            &format!("GRANT ALL ON `{escaped}`.* TO {user}@'%'"),
        ]);
        age();
        for mode in ["", "NO_BACKSLASH_ESCAPES"] {
            // A session of its own for each try: one that was refused once knows the next id by other means.
            let known = (0..10).any(|_| {
                let mut client = case.client();
                client.run(&[&format!("USE {database}"), &format!("SET sql_mode = '{mode}'")]);
                client.run(&["INSERT INTO t (n) VALUES (1)"]);
                case.cut();
                let answer = client.query(ASK);
                sleep(Duration::from_millis(700));
                answer.error() == "0"
            });
            assert!(known, "sql_mode '{mode}'");
        }
    }

    fn an_id_that_was_given_is_never_taken_for_a_drawn_one(case) {
        age();
        let mut client = case.client();
        client.run(&["INSERT INTO t (n) VALUES (1)", "INSERT INTO t (id, n) VALUES (50, 2)"]);
        assert_eq!(client.line(ASK), "1");
        is_refused(case, &mut client);
        client.run(&["INSERT INTO t (n) VALUES (3)", "INSERT INTO t VALUES (60, 2)"]);
        is_refused(case, &mut client);
        // The row that it found is told, and not drawn.
        client.run(&["INSERT INTO t (id, n) VALUES (50, 2) ON DUPLICATE KEY UPDATE n = 9"]);
        is_refused(case, &mut client);
        case.witness().run(&["CREATE VIEW v AS SELECT n FROM t"]);
        client.run(&["INSERT INTO v (n) VALUES (4)"]);
        is_refused(case, &mut client);
    }

    fn an_id_that_a_trigger_gave_is_not_taken_for_a_drawn_one(case) {
        let mut witness = case.witness();
        witness.run(&["CREATE TRIGGER gives BEFORE INSERT ON t FOR EACH ROW SET NEW.id = 900 + NEW.n"]);
        age();
        let mut client = case.client();
        client.run(&["INSERT INTO t (n) VALUES (1)"]);
        assert_eq!(client.line(ASK), "0");
        is_refused(case, &mut client);
        // By the time of the question it is gone.
        client.run(&["INSERT INTO t (n) VALUES (2)"]);
        witness.run(&["DROP TRIGGER gives"]);
        is_refused(case, &mut client);
    }

    fn a_table_that_has_changed_since_says_nothing(case) {
        age();
        let mut client = case.client();
        client.run(&["INSERT INTO t (id, n) VALUES (70, 2)"]);
        case.witness().run(&["ALTER TABLE t CHANGE id number INT AUTO_INCREMENT"]);
        is_refused(case, &mut client);
    }

    fn an_id_that_a_transaction_drew_is_known_whatever_its_table_is(case) {
        // A trigger: the table's definition tells nothing.
        case.witness().run(&[
            "CREATE TABLE audit (id INT PRIMARY KEY AUTO_INCREMENT, n INT) ENGINE=InnoDB AUTO_INCREMENT=5000",
            "CREATE TRIGGER audits AFTER INSERT ON t FOR EACH ROW INSERT INTO audit (n) VALUES (NEW.n)",
        ]);
        let mut client = case.client();
        for _ in 0..3 {
            client.run(&["BEGIN"]);
            let Answer::Ok { insert_id, .. } = client.query("INSERT INTO t (n) VALUES (1)") else {
                panic!("no OK");
            };
            let drawn = insert_id.to_string();
            assert_eq!(client.line(ASK), drawn);
            for _ in 0..2 {
                case.cut();
                assert_eq!(client.line(ASK), drawn);
            }
            let ask = client.prepare(ASK);
            case.cut();
            client.execute(ask, &[], true, false).good();
            client.run(&["COMMIT"]);
        }
        case.cut();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        client.line(ASK);
    }

    fn an_id_that_happens_to_be_the_one_of_before_is_known(case) {
        // Triggers: the tables' definitions tell nothing.
        case.witness().run(&[
            "CREATE TABLE u (id INT PRIMARY KEY AUTO_INCREMENT, n INT) ENGINE=InnoDB",
            "CREATE TABLE audit (n INT) ENGINE=InnoDB",
            "CREATE TRIGGER audits AFTER INSERT ON t FOR EACH ROW INSERT INTO audit (n) VALUES (NEW.n)",
            "CREATE TRIGGER audits_too AFTER INSERT ON u FOR EACH ROW INSERT INTO audit (n) VALUES (NEW.n)",
        ]);
        let draws_next = |id: u32| {
            case.witness().run(&[
                &format!("ALTER TABLE t AUTO_INCREMENT={id}"),
                &format!("ALTER TABLE u AUTO_INCREMENT={id}"),
            ]);
        };
        let mut client = case.client();
        for id in [100, 200, 300] {
            draws_next(id);
            client.run(&["INSERT INTO t (n) VALUES (1)", "BEGIN", "INSERT INTO u (n) VALUES (1)"]);
            for _ in 0..2 {
                case.cut();
                assert_eq!(client.line(ASK), id.to_string());
            }
            client.run(&["COMMIT"]);
        }
        // Named, not drawn: what LAST_INSERT_ID() is goes back to before the transaction, and is not known.
        draws_next(400);
        client.run(&["INSERT INTO t (n) VALUES (1)", "BEGIN", "INSERT INTO u (id, n) VALUES (400, 1)"]);
        case.cut();
        client.query(ASK).fails(GONE);
    }

    fn an_insert_that_failed_may_have_drawn_an_id(case) {
        case.witness().run(&["ALTER TABLE t ADD UNIQUE (n)", "INSERT INTO t (n) VALUES (10)"]);
        age();
        let mut client = case.client();
        client.run(&["INSERT INTO t (n) VALUES (1)"]);
        client.query("INSERT INTO t (n) VALUES (2), (10)").fails("1062/23000");
        let last = client.line(ASK);
        case.cut();
        match client.query(ASK) {
            Answer::Rows(rows) => assert_eq!(rows, [[Some(last)]]),
            other => { other.fails(GONE); }
        }
    }
}

// On servers of their own: other cases change tables, which makes ids unknown between one statement and the next.
mod a_replay_writes_down_the_right_id_or_none {
    use super::*;

    fn holds(case: &Case) {
        case.witness()
            .run(&["CREATE TABLE child (parent BIGINT) ENGINE=InnoDB"]);
        let mut client = case.client();
        // Steadfast looks at the server from the first login on.
        age();
        // From before the transaction, drawn.
        client.run(&[
            "INSERT INTO t (n) VALUES (1)",
            "BEGIN",
            "INSERT INTO child VALUES (LAST_INSERT_ID())",
        ]);
        case.cut();
        client.run(&["COMMIT"]);
        let mut witness = case.witness();
        assert_eq!(
            witness
                .line("SELECT COUNT(*) = 1 AND MAX(parent) = (SELECT MAX(id) FROM t) FROM child"),
            "1"
        );
        // From before the transaction, given: it cannot be known again.
        client.run(&[
            "INSERT INTO t (id, n) VALUES (500, 1)",
            "BEGIN",
            "INSERT INTO child VALUES (LAST_INSERT_ID())",
        ]);
        case.cut();
        client.query("COMMIT").fails(GONE);
        // From the transaction itself.
        client.run(&[
            "ROLLBACK",
            "INSERT INTO t (id, n) VALUES (600, 1)",
            "BEGIN",
            "INSERT INTO t (n) VALUES (2)",
            "INSERT INTO child VALUES (LAST_INSERT_ID())",
        ]);
        case.cut();
        assert_eq!(client.line(ASK), "601");
        client.run(&["COMMIT"]);
        assert_eq!(witness.line("SELECT MAX(parent) FROM child"), "601");
        case.cut();
        assert_eq!(client.line(ASK), "601");
    }

    #[test]
    fn mariadb() {
        holds(&Case::alone(Kind::MariaDb, &[], ""));
    }

    #[test]
    fn mysql() {
        holds(&Case::alone(Kind::MySql, &[], ""));
    }
}
