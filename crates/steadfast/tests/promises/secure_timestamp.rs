//! A server that does not let an account set its time (MariaDB's secure_timestamp): without the pin a replay may find
//! another time, and says so. Never an error of another shape. MySQL has no such setting; there the pin takes.

use std::thread::sleep;
use std::time::Duration;

use steadfast_sandbox::Kind;

use crate::case::{At, Case};
use crate::client::Client;

const ROLLED_BACK: &str = "1213/40001";

/// What the server answers to the client's own SET timestamp, before and after a loss.
fn setting_the_time_is_the_server_s_matter(case: &Case) {
    let mut direct = Client::connect(case.server.addr(), &case.user, &case.database, 0);
    let mut client = case.client();
    for _ in 0..2 {
        for sql in ["SET timestamp=1700000000", "SET timestamp=DEFAULT"] {
            assert_eq!(
                client.query(sql).error(),
                direct.query(sql).error(),
                "{sql}"
            );
        }
        case.cut();
        assert_eq!(
            client.line("SELECT ABS(TIMESTAMPDIFF(SECOND, NOW(), SYSDATE())) < 3"),
            "1"
        );
    }
}

fn a_session_survives(case: &Case) {
    let mut client = case.client();
    client.run(&["SET @x = 5, time_zone='+02:00'", "SELECT NOW(6)"]);
    case.cut();
    assert_eq!(
        client.line("SELECT @x, @@time_zone, NOW(6) > '2020-01-01'"),
        "5 +02:00 1"
    );
    case.cut_answer_to(At::Text("SELECT NOW(6), 'again'"));
    assert!(client.line("SELECT NOW(6), 'again'").ends_with(" again"));
}

/// A time that was written and not shown may be another after the replay: the transaction survives.
fn a_time_that_nobody_saw_is_no_matter(case: &Case) {
    case.witness().run(&["CREATE TABLE stamped (id INT PRIMARY KEY AUTO_INCREMENT, at TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6), n INT) ENGINE=InnoDB"]);
    let mut client = case.client();
    client.run(&[
        "BEGIN",
        "INSERT INTO stamped (n) VALUES (1), (2)",
        "INSERT INTO stamped (at, n) VALUES (NOW(6), 3)",
    ]);
    case.cut();
    client.run(&["UPDATE stamped SET at = NOW(6), n = n + 10 WHERE n = 1"]);
    case.cut_answer_to(At::Text("VALUES (4)"));
    client.run(&["INSERT INTO stamped (n) VALUES (4)"]);
    assert_eq!(
        client.query("SELECT n FROM stamped ORDER BY id").lines(),
        ["11", "2", "3", "4"]
    );
    case.cut();
    client.run(&["COMMIT"]);
    assert_eq!(
        case.witness()
            .query("SELECT n FROM stamped ORDER BY id")
            .lines(),
        ["11", "2", "3", "4"]
    );
    assert_eq!(
        case.witness()
            .line("SELECT COUNT(*) FROM stamped WHERE ABS(TIMESTAMPDIFF(SECOND, at, NOW())) < 60"),
        "4"
    );
}

/// How often, of some tries, a transaction that was shown this went on after a loss; else it got 1213, and nothing else.
fn survived(case: &Case, shown: &str) -> usize {
    let mut survived = 0;
    for round in 0..4 {
        case.witness().run(&["DELETE FROM t"]);
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)", shown]);
        // Into another second in some of the rounds.
        sleep(Duration::from_millis(300 * round));
        case.cut();
        let answer = client.query("INSERT INTO t (n) VALUES (2)");
        match answer.error().as_str() {
            "0" => {
                survived += 1;
                client.run(&["COMMIT"]);
                assert_eq!(case.rows(), ["1", "2"], "{shown}");
            }
            ROLLED_BACK => {
                let message = answer.fails(ROLLED_BACK);
                assert!(
                    message.contains("the replay found different data"),
                    "{message}"
                );
                assert_eq!(client.query("COMMIT").error(), ROLLED_BACK);
                client.run(&["ROLLBACK", "INSERT INTO t (n) VALUES (3)"]);
                assert_eq!(case.rows(), ["3"], "{shown}");
            }
            other => panic!("{shown}: {other}, {answer:?}\n{}", case.steadfast.log()),
        }
    }
    survived
}

fn holds(case: &Case, pinned: bool) {
    setting_the_time_is_the_server_s_matter(case);
    a_session_survives(case);
    a_time_that_nobody_saw_is_no_matter(case);
    let of_seconds = survived(case, "SELECT NOW()");
    assert_eq!(survived(case, "SELECT NOW(6)"), if pinned { 4 } else { 0 });
    assert!(!pinned || of_seconds == 4, "{of_seconds}");
    // The seeds of RAND() are pinned all the same, also where both are needed.
    assert_eq!(survived(case, "SELECT RAND()"), 4);
    assert_eq!(survived(case, "SELECT RAND(), NOW() > '2020-01-01'"), 4);
}

#[test]
fn a_pin_that_is_refused_is_a_mismatch_at_worst() {
    for option in ["secure_timestamp=YES", "secure_timestamp=REPLICATION"] {
        holds(&Case::alone(Kind::MariaDb, &[option], ""), false);
    }
}

#[test]
fn a_pin_takes_on_mariadb() {
    holds(&Case::new(Kind::MariaDb), true);
}

#[test]
fn a_pin_takes_on_mysql() {
    holds(&Case::new(Kind::MySql), true);
}
