//! A drain: a client that waits for an answer gets one before its connection is closed, also when the time runs out.

use std::time::Duration;

use steadfast_sandbox::Kind;

use crate::case::{At, Case};

const DRAIN: &str = "[timeouts]\ndrain = \"500ms\"\n";
const NO_SERVER: &str = "no server connection yet";

/// What the client has run, the command that waits when the drain runs out of time, what is in the log when it does,
/// and what the client is told.
struct Waiting {
    before: &'static [&'static str],
    /// Lost on its way to the server, and with it all connections.
    lost_at: At,
    sql: &'static str,
    waits: &'static str,
    told: &'static str,
}

const WAITING: &[Waiting] = &[
    Waiting {
        before: &["BEGIN", "INSERT INTO t (n) VALUES (1)"],
        lost_at: At::Text("CALL steadfast.commit"),
        sql: "COMMIT",
        waits: "what became of a COMMIT is not known yet",
        told: "1180/08007",
    },
    Waiting {
        before: &[],
        lost_at: At::Text("CALL steadfast.commit"),
        sql: "INSERT INTO t (n) VALUES (1)",
        waits: "what became of a COMMIT is not known yet",
        told: "1180/08007",
    },
    Waiting {
        before: &["BEGIN", "INSERT INTO t (n) VALUES (1)"],
        lost_at: At::Text("SELECT n FROM t"),
        sql: "SELECT n FROM t",
        waits: NO_SERVER,
        told: "1053/08S01",
    },
    Waiting {
        before: &[],
        lost_at: At::Text("INSERT INTO t"),
        sql: "INSERT INTO t (n) VALUES (1)",
        waits: NO_SERVER,
        told: "1053/08S01",
    },
];

fn told_before_the_end(kind: Kind) {
    for waiting in WAITING {
        let mut case = Case::with_ledger(kind, DRAIN);
        let mut client = case.client();
        client.run(waiting.before);
        case.cut_instead_of(waiting.lost_at);
        case.link.refuse(true);
        client.start_query(waiting.sql);
        case.wait(waiting.waits, Duration::from_secs(20), || {
            case.steadfast.log().contains(waiting.waits)
        });
        case.steadfast.terminate();
        let which = format!("{:?} then {}", waiting.before, waiting.sql);
        let answer = client.answer();
        assert_eq!(
            answer.error(),
            waiting.told,
            "{which}\n{}",
            case.steadfast.log()
        );
        assert!(
            case.steadfast.ends_within(Duration::from_secs(20)),
            "{which}"
        );
        let log = case.steadfast.log();
        let code = &waiting.told[..4];
        assert!(
            log.contains(&format!("the client was told {code}")),
            "{log}"
        );
        assert!(!log.contains("the client left"), "{log}");
        assert_eq!(case.rows(), Vec::<String>::new());
    }
}

/// Of many idle clients, who asks before the process is told to end gets its answer.
fn served_before_the_end(kind: Kind) {
    let mut case = Case::with(kind, "");
    let mut clients: Vec<_> = (0..32).map(|_| case.client()).collect();
    case.steadfast.signal("STOP");
    for client in &mut clients {
        client.start_query("INSERT INTO t (n) VALUES (1)");
    }
    case.steadfast.terminate();
    case.steadfast.signal("CONT");
    for client in &mut clients {
        client.answer().good();
    }
    assert!(case.steadfast.ends_within(Duration::from_secs(20)));
    assert_eq!(case.rows().len(), 32);
}

#[test]
fn a_command_that_has_come_is_served_mariadb() {
    served_before_the_end(Kind::MariaDb);
}

#[test]
fn a_command_that_has_come_is_served_mysql() {
    served_before_the_end(Kind::MySql);
}

#[test]
fn mariadb() {
    told_before_the_end(Kind::MariaDb);
}

#[test]
fn mysql() {
    told_before_the_end(Kind::MySql);
}
