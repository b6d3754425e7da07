//! With the commit ledger nothing is in doubt: what was lost is found to be committed or not, done again if not, and the
//! client sees its OK.

use std::time::{Duration, Instant};

use steadfast_sandbox::Kind;

use crate::case::{At, Case, Struck, with_ledger};
use crate::client::Client;

const STMT_EXECUTE: u8 = 23;
pub(crate) const COMMIT: At = At::Text("CALL steadfast.commit");

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The server has committed, and nobody hears of it.
    Answer,
    /// The COMMIT does not arrive.
    Command,
}

pub(crate) fn inflict(case: &Case, fault: Fault, at: At) -> Struck {
    match fault {
        Fault::Answer => case.cut_answer_to(at),
        Fault::Command => case.cut_instead_of(at),
    }
}

pub(crate) const FAULTS: [Fault; 2] = [Fault::Answer, Fault::Command];

/// What opens a transaction that has written, what commits it, and whether one is open after it.
const COMMITS: &[(&[&str], &str, bool)] = &[
    (BEGIN, "COMMIT", false),
    (BEGIN, "/* a */ commit work -- b", false),
    (BEGIN, "COMMIT AND NO CHAIN", false),
    (BEGIN, "COMMIT AND CHAIN", true),
    (BEGIN, "BEGIN", true),
    (BEGIN, "START TRANSACTION READ ONLY", true),
    (OFF, "COMMIT", false),
    (OFF, "SET autocommit=1", false),
    (
        &[
            "PREPARE c FROM 'COMMIT'",
            "BEGIN",
            "INSERT INTO t (n) VALUES (1)",
        ],
        "EXECUTE c",
        false,
    ),
    (
        &[
            "SET completion_type=1",
            "BEGIN",
            "INSERT INTO t (n) VALUES (1)",
        ],
        "COMMIT",
        true,
    ),
];

const BEGIN: &[&str] = &["BEGIN", "INSERT INTO t (n) VALUES (1)"];
const OFF: &[&str] = &["SET autocommit=0", "INSERT INTO t (n) VALUES (1)"];

with_ledger! {
    fn a_commit_that_is_lost_is_done_once(case) {
        for (before, sql, opens) in COMMITS {
            for fault in FAULTS {
                let which = format!("{before:?} then {sql:?}, {fault:?}");
                case.witness().run(&["TRUNCATE t"]);
                let mut client = case.client();
                client.run(before);
                inflict(case, fault, COMMIT);
                let answer = client.query(sql);
                case.link.clear_tap();
                assert_eq!(answer.error(), "0", "{which}: {answer:?}\n{}", case.steadfast.log());
                assert_eq!(case.rows(), ["1"], "{which}");
                if sql.ends_with("READ ONLY") {
                    client.query("INSERT INTO t (n) VALUES (2)").fails("1792/25006");
                } else {
                    client.run(&["INSERT INTO t (n) VALUES (2)"]);
                    let open = case.rows() == ["1"];
                    assert_eq!(open, *opens || before == &OFF && *sql == "COMMIT", "{which}");
                }
            }
        }
        assert_eq!(case.steadfast.metric("commits_resolved_total{verdict=\"unknown\"}"), 0.0);
    }

    // Where a transaction may not write what others have written since its snapshot: a lane's row is such a thing.
    fn a_transaction_is_not_refused_because_others_committed_meanwhile(case) {
        let setting = if case.is_mariadb() { "SET innodb_snapshot_isolation = 1" } else { "SET autocommit = 1" };
        let begins: &[&[&str]] = &[&["BEGIN"], &["START TRANSACTION WITH CONSISTENT SNAPSHOT"], &["SET autocommit = 0"]];
        for begin in begins {
            let (mut one, mut other) = (case.client(), case.client());
            one.run(&[setting]);
            other.run(&["INSERT INTO t (n) VALUES (1)"]);
            one.run(begin);
            for _ in 0..3 {
                one.run(&["SELECT COUNT(*) FROM t"]);
                other.run(&["INSERT INTO t (n) VALUES (2)", "BEGIN", "INSERT INTO t (n) VALUES (3)", "COMMIT"]);
                one.run(&["INSERT INTO t (n) VALUES (4)", "COMMIT AND CHAIN"]);
            }
            one.run(&["ROLLBACK"]);
        }
        assert_eq!(case.steadfast.metric("commits_recorded_total"), 30.0);
        assert_eq!(case.steadfast.metric("replayed_commands_total"), 0.0, "{}", case.steadfast.log());
    }

    fn a_prepared_commit_that_is_lost_is_done_once(case) {
        for fault in FAULTS {
            case.witness().run(&["TRUNCATE t"]);
            let mut client = case.client();
            let commit = client.prepare("COMMIT");
            client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
            inflict(case, fault, COMMIT);
            client.execute(commit, &[], true, false).good();
            assert_eq!(case.rows(), ["1"]);
            client.run(&["INSERT INTO t (n) VALUES (2)"]);
            assert_eq!(case.rows(), ["1", "2"]);
        }
    }

    fn a_write_outside_a_transaction_that_is_lost_is_done_once(case) {
        for at in [At::Text("INTO t"), At::Text("SET n"), At::Text("FROM t"), COMMIT] {
            for fault in FAULTS {
                case.witness().run(&["TRUNCATE t", "INSERT INTO t (id, n) VALUES (1, 1)"]);
                let mut client = case.client();
                inflict(case, fault, at);
                for (sql, after) in [
                    ("UPDATE t SET n = n + 1", &["2"][..]),
                    ("INSERT INTO t (id, n) VALUES (1, 5) ON DUPLICATE KEY UPDATE n = n + 1", &["3"]),
                    ("REPLACE INTO t (id, n) SELECT id, n + 1 FROM (SELECT * FROM t) s", &["4"]),
                    ("INSERT INTO t (id, n) VALUES (7, 1)", &["4", "1"]),
                    ("DELETE FROM t WHERE id = 7", &["4"]),
                ] {
                    let answer = client.query(sql);
                    assert_eq!(answer.error(), "0", "{at:?} {fault:?} {sql}: {answer:?}\n{}", case.steadfast.log());
                    assert_eq!(case.rows(), after, "{at:?} {fault:?} {sql}");
                }
                case.link.clear_tap();
            }
        }
    }

    fn a_prepared_write_that_is_lost_is_done_once(case) {
        for at in [At::Code(STMT_EXECUTE), COMMIT] {
            for fault in FAULTS {
                case.witness().run(&["TRUNCATE t", "INSERT INTO t (id, n) VALUES (1, 1)"]);
                let mut client = case.client();
                let add = client.prepare("UPDATE t SET n = n + ?");
                client.execute(add, &[Some("1")], true, false).good();
                inflict(case, fault, at);
                client.execute(add, &[Some("10")], false, false).good();
                case.link.clear_tap();
                assert_eq!(case.rows(), ["12"], "{at:?} {fault:?}");
                client.execute(add, &[Some("100")], false, false).good();
                assert_eq!(case.rows(), ["112"], "{at:?} {fault:?}");
            }
        }
    }

    fn the_answer_of_a_lost_write_is_its_own(case) {
        let mut client = case.client();
        for fault in FAULTS {
            inflict(case, fault, COMMIT);
            let answer = client.query("INSERT INTO t (n) VALUES (1), (2), (3)").good();
            case.link.clear_tap();
            let crate::client::Answer::Ok { affected, insert_id } = answer else {
                panic!("{answer:?}");
            };
            assert_eq!(affected, 3);
            let first = case.witness().line("SELECT MIN(id) FROM t");
            assert_eq!(insert_id.to_string(), first);
            case.witness().run(&["DELETE FROM t"]);
        }
    }

    fn a_transaction_of_reads_costs_nothing_and_leaves_no_doubt(case) {
        let mut client = case.client();
        let before = case.steadfast.metric("commits_recorded_total");
        for fault in FAULTS {
            client.run(&["BEGIN", "SELECT * FROM t"]);
            inflict(case, fault, At::Text("COMMIT"));
            client.query("COMMIT").good();
            case.link.clear_tap();
        }
        assert_eq!(case.steadfast.metric("commits_recorded_total"), before);
    }

    fn a_read_that_writes_makes_its_transaction_one_that_has_written(case) {
        case.witness().run(&[
            "CREATE FUNCTION writing() RETURNS INT MODIFIES SQL DATA BEGIN INSERT INTO t (n) VALUES (1); RETURN 1; END",
            "CREATE SQL SECURITY DEFINER VIEW innocent AS SELECT writing() AS x",
        ]);
        let mut client = case.client();
        for fault in FAULTS {
            client.run(&["BEGIN", "SELECT x FROM innocent"]);
            inflict(case, fault, COMMIT);
            client.query("COMMIT").good();
            case.link.clear_tap();
            assert_eq!(case.rows(), ["1"], "{fault:?}");
            case.witness().run(&["DELETE FROM t"]);
        }
    }

    fn a_chain_whose_answer_is_lost_goes_on_as_it_was(case) {
        case.witness().run(&["INSERT INTO t (id, n) VALUES (1, 1), (2, 2)"]);
        for fault in FAULTS {
            let mut client = case.client();
            client.run(&[
                "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
                "BEGIN",
                "UPDATE t SET n = n + 1 WHERE id = 1",
            ]);
            inflict(case, fault, COMMIT);
            client.query("COMMIT AND CHAIN").good();
            case.link.clear_tap();
            // What a SERIALIZABLE transaction reads nobody else can change.
            client.run(&["SELECT n FROM t WHERE id = 2"]);
            let mut witness = case.witness();
            witness.run(&["SET innodb_lock_wait_timeout = 1"]);
            witness.query("UPDATE t SET n = 0 WHERE id = 2").fails("1205/HY000");
            client.run(&["COMMIT"]);
            witness.query("UPDATE t SET n = n WHERE id = 2").good();
        }
        assert_eq!(case.rows(), ["3", "2"]);
    }

    fn a_table_without_transactions_elsewhere_makes_no_doubt(case) {
        case.witness().run(&[
            "CREATE TABLE log (n INT) ENGINE=MyISAM",
            "CREATE TABLE logged (n INT) ENGINE=InnoDB",
            "CREATE TRIGGER logging AFTER INSERT ON logged FOR EACH ROW INSERT INTO log VALUES (NEW.n)",
        ]);
        let mut client = case.client();
        case.cut_instead_of(At::Text("INTO t"));
        client.run(&["INSERT INTO t (n) VALUES (1)"]);
        assert_eq!(case.rows(), ["1"]);
        // Whoever writes it is told.
        case.cut_answer_to(At::Text("INTO log"));
        client.query("INSERT INTO log VALUES (1)").fails("1180/08007");
        assert_eq!(case.witness().line("SELECT COUNT(*) FROM log"), "1");
        if case.is_mariadb() {
            // MySQL with GTIDs refuses a mixture (1785).
            case.cut_answer_to(At::Text("INTO logged"));
            client.query("INSERT INTO logged VALUES (1)").fails("1180/08007");
            assert_eq!(case.witness().line("SELECT COUNT(*) FROM log"), "2");
        }
        // Undisturbed it goes as ever.
        client.run(&["INSERT INTO log VALUES (3)"]);
        assert_eq!(case.witness().line("SELECT MAX(n) FROM log"), "3");
    }

    fn a_table_that_loses_its_transactions_is_known_to_have_lost_them(case) {
        let mut client = case.client();
        let lose = |client: &mut Client, table: &'static str, expected: &str| {
            case.cut_answer_to(At::Text(table));
            let told = client.query(&format!("INSERT INTO {table} (n) VALUES (1)")).error();
            case.link.clear_tap();
            assert_eq!(told, expected, "{table}\n{}", case.steadfast.log());
            assert_eq!(case.witness().line(&format!("SELECT COUNT(*) FROM {table}")), "1");
        };
        // What is known of the tables is fresh each time that one changes.
        client.run(&["CREATE TABLE first (n INT) ENGINE=InnoDB"]);
        lose(&mut client, "first", "0");
        client.run(&["DELETE FROM first", "ALTER TABLE first ENGINE=MyISAM"]);
        lose(&mut client, "first", "1180/08007");
        client.run(&["ALTER TABLE first ENGINE=InnoDB", "DELETE FROM first"]);
        lose(&mut client, "first", "0");
        let alter = client.prepare("ALTER TABLE first ENGINE=MyISAM");
        client.run(&["DELETE FROM first"]);
        client.execute(alter, &[], true, false).good();
        lose(&mut client, "first", "1180/08007");
        client.run(&["DROP TABLE first", "CREATE TABLE second (n INT) ENGINE=InnoDB"]);
        lose(&mut client, "second", "0");
        // Behind Steadfast's back.
        case.witness().run(&[
            "CREATE PROCEDURE change_it() BEGIN DELETE FROM second; ALTER TABLE second ENGINE=MyISAM; END",
            "CALL change_it()",
        ]);
        lose(&mut client, "second", "1180/08007");
        case.witness().run(&["DROP TABLE second", "CREATE TABLE third (n INT) ENGINE=InnoDB"]);
        lose(&mut client, "third", "0");
        case.witness().run(&["DROP TABLE third", "CREATE TABLE third (n INT) ENGINE=MyISAM"]);
        lose(&mut client, "third", "1180/08007");
    }

    fn definitions_that_are_very_long_hold_nobody_up(case) {
        let mut witness = case.witness();
        witness.run(&["CREATE TABLE log (n INT) ENGINE=MyISAM"]);
        let long = "x".repeat(50_000);
        for n in 0..24 {
            witness.run(&[
                &format!("CREATE TABLE big{n} (n INT) ENGINE=InnoDB"),
                &format!("CREATE TRIGGER big{n} BEFORE INSERT ON big{n} FOR EACH ROW SET @x = '{long}'"),
            ]);
        }
        let began = Instant::now();
        for (at, sql, table, expected) in [
            (At::Text("INTO t"), "INSERT INTO t (n) VALUES (1)", "t", "0"),
            (At::Text("INTO log"), "INSERT INTO log VALUES (1)", "log", "1180/08007"),
            // What its trigger does is not looked into.
            (At::Text("INTO big7"), "INSERT INTO big7 VALUES (1)", "big7", "1180/08007"),
        ] {
            let mut client = case.client();
            case.cut_answer_to(at);
            let told = client.query(sql).error();
            case.link.clear_tap();
            assert_eq!(told, expected, "{sql}\n{}", case.steadfast.log());
            let rows = if table == "big7" { "0" } else { "1" };
            assert_eq!(case.witness().line(&format!("SELECT COUNT(*) FROM {table}")), rows);
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (2)"]);
        case.cut();
        client.run(&["INSERT INTO t (n) VALUES (3)", "COMMIT"]);
        assert_eq!(case.rows(), ["1", "2", "3"]);
    }

    fn a_write_with_very_many_warnings_is_committed(case) {
        case.witness().run(&["CREATE TABLE narrow (a TINYINT, k INT UNIQUE) ENGINE=InnoDB"]);
        if !case.is_mariadb() {
            let user = &case.user;
            case.witness().run(&[&format!("GRANT SESSION_VARIABLES_ADMIN ON *.* TO {user}@'%'")]);
        }
        let warned = vec!["(1000, NULL)"; 20_000].join(", ");
        let write = format!("INSERT INTO narrow (a, k) VALUES {warned}");
        let count = || case.witness().line("SELECT COUNT(*) FROM narrow");
        let open = || {
            let mut client = case.client();
            client.run(&["SET max_error_count = 65535, sql_mode = ''"]);
            client
        };
        let mut client = open();
        let crate::client::Answer::Ok { affected, .. } = client.query(&write).good() else {
            panic!("{}", case.steadfast.log());
        };
        assert_eq!(affected, 20_000);
        assert_eq!(count(), "20000");
        assert_eq!(client.line("SELECT ROW_COUNT()"), "20000");
        assert_eq!(case.steadfast.metric("commits_recorded_total"), 1.0);
        // The next ones are told of.
        client.run(&[&write]);
        assert_eq!(client.query("SHOW WARNINGS").lines().len(), 20_000);
        assert_eq!(count(), "40000");
        // One that fails is told as it failed, and leaves nothing.
        let mut client = open();
        client.query(&format!("{write}, (1, 1), (1, 1)")).fails("1062/23000");
        assert_eq!(count(), "40000");
        client.run(&["INSERT INTO narrow VALUES (1, 1)"]);
        assert_eq!(count(), "40001");
        let mut client = open();
        client.run(&["BEGIN", &write, "COMMIT"]);
        assert_eq!(count(), "60001");
        assert!(!case.steadfast.log().contains("incident="), "{}", case.steadfast.log());
    }

    fn a_write_that_fails_leaves_nothing_open(case) {
        let mut client = case.client();
        client.run(&["INSERT INTO t (id, n) VALUES (1, 1)"]);
        client.query("INSERT INTO t (id, n) VALUES (2, 2), (1, 1)").fails("1062/23000");
        assert_eq!(case.rows(), ["1"]);
        // Its locks are gone.
        case.witness().run(&["SET innodb_lock_wait_timeout=1", "UPDATE t SET n = 5"]);
    }

    fn a_long_write_that_is_lost_is_done_once(case) {
        case.witness().run(&["CREATE TABLE big (id INT PRIMARY KEY AUTO_INCREMENT, b LONGBLOB) ENGINE=InnoDB"]);
        let mut client = case.client();
        let long = "x".repeat(3 << 20);
        for at in [At::Text("INTO big"), COMMIT] {
            for fault in FAULTS {
                inflict(case, fault, at);
                client.query(&format!("INSERT INTO big (b) VALUES ('{long}')")).good();
                case.link.clear_tap();
                assert_eq!(case.witness().line("SELECT COUNT(*), MAX(LENGTH(b)) FROM big"), format!("1 {}", 3 << 20));
                case.witness().run(&["DELETE FROM big"]);
            }
        }
        let add = client.prepare("INSERT INTO big (b) VALUES (?)");
        for at in [At::Code(STMT_EXECUTE), COMMIT] {
            for fault in FAULTS {
                inflict(case, fault, at);
                client.long_data(add, 0, long.as_bytes());
                client.execute(add, &[Some("")], true, false).good();
                case.link.clear_tap();
                assert_eq!(case.witness().line("SELECT COUNT(*), MAX(LENGTH(b)) FROM big"), format!("1 {}", 3 << 20));
                case.witness().run(&["DELETE FROM big"]);
            }
        }
    }

    fn what_a_transaction_is_to_be_like_is_used_up_by_the_next_write(case) {
        let mut client = case.client();
        client.run(&["SET TRANSACTION READ ONLY"]);
        for _ in 0..2 {
            // As on the server: a write that is refused leaves it to the next transaction.
            client.query("INSERT INTO t (n) VALUES (1)").fails("1792/25006");
        }
        client.run(&["BEGIN", "COMMIT", "INSERT INTO t (n) VALUES (1)"]);
        for fault in FAULTS {
            client.run(&["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "UPDATE t SET n = n + 1"]);
            // Neither on this connection nor on the next one.
            for _ in 0..2 {
                client.run(&["BEGIN", "SELECT * FROM t"]);
                case.witness().run(&["SET innodb_lock_wait_timeout=1", "UPDATE t SET n = n + 1"]);
                client.run(&["COMMIT"]);
                case.cut();
            }
            // It is not recorded: the hidden BEGIN would use it up where the write itself does not.
            client.run(&["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"]);
            inflict(case, fault, At::Text("UPDATE t SET n = n + 2"));
            client.query("UPDATE t SET n = n + 2").fails("1180/08007");
            case.link.clear_tap();
            client.run(&["BEGIN", "COMMIT"]);
        }
    }
}

/// RETURNING: rows and a write in one.
mod returning {
    use super::*;

    #[test]
    fn mariadb() {
        let case = Case::with_ledger(Kind::MariaDb, "");
        let mut client = case.client();
        let rows: Vec<String> = (0..2000).map(|n| format!("({n}, {n})")).collect();
        for fault in FAULTS {
            for at in [COMMIT, At::Text("RETURNING")] {
                let insert = format!(
                    "INSERT INTO t (id, n) VALUES {} RETURNING n, REPEAT('x', 100)",
                    rows[1..].join(",")
                );
                inflict(&case, fault, at);
                let answer = client.query(&insert);
                case.link.clear_tap();
                assert_eq!(
                    answer.error(),
                    "0",
                    "{fault:?} {at:?}\n{}",
                    case.steadfast.log()
                );
                assert_eq!(answer.lines().len(), 1999);
                assert_eq!(case.witness().line("SELECT COUNT(*) FROM t"), "1999");
                inflict(&case, fault, at);
                assert_eq!(
                    client.query("DELETE FROM t RETURNING id").lines().len(),
                    1999
                );
                case.link.clear_tap();
                assert_eq!(case.witness().line("SELECT COUNT(*) FROM t"), "0");
            }
        }
    }
}

/// A server that becomes read-only (a planned failover) while transactions are open.
mod read_only {
    use super::*;

    fn told_at_once(kind: Kind) {
        let case = Case::alone_with_ledger(kind, &[]);
        let mut witness = case.witness();
        let direct = Client::connect(case.server.addr(), &case.user, &case.database, 0);
        // An administrator's COMMIT takes effect.
        let root = Client::connect(case.steadfast.address, "witness", &case.database, 0);
        let (mut direct, mut client, mut root) = (direct, case.client(), root);
        for (one, n) in [(&mut direct, 1), (&mut client, 2), (&mut root, 3)] {
            one.run(&["BEGIN", &format!("INSERT INTO t (n) VALUES ({n})")]);
        }
        witness.run(&["SET GLOBAL read_only = 1"]);
        let began = Instant::now();
        let told = direct.query("COMMIT").error();
        assert_eq!(client.query("COMMIT").error(), told);
        root.query("COMMIT").good();
        let error = "INSERT INTO t (n) VALUES (4)";
        assert_eq!(client.query(error).error(), direct.query(error).error());
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{}",
            case.steadfast.log()
        );
        witness.run(&["SET GLOBAL read_only = 0"]);
        assert_eq!(case.rows(), ["3"]);
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (5)", "COMMIT"]);
        assert_eq!(case.rows(), ["3", "5"]);
    }

    #[test]
    fn mariadb() {
        told_at_once(Kind::MariaDb);
    }

    #[test]
    fn mysql() {
        told_at_once(Kind::MySql);
    }
}

/// A server that may lose what it has acknowledged: the log says so.
mod durability {
    use super::*;

    fn warned_of(kind: Kind) {
        let case = Case::alone(kind, &["innodb_flush_log_at_trx_commit=2"], "");
        let mut client = case.client();
        client.run(&["SELECT 1"]);
        let words = "the server has innodb_flush_log_at_trx_commit = 2: a crash may take COMMITs";
        let began = Instant::now();
        while !case.steadfast.log().contains(words) {
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{}",
                case.steadfast.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[test]
    fn mariadb() {
        warned_of(Kind::MariaDb);
    }

    #[test]
    fn mysql() {
        warned_of(Kind::MySql);
    }
}

/// What the configuration says.
mod modes {
    use super::*;

    fn required(kind: Kind) {
        // This account may not use the ledger.
        let case = Case::with(kind, "[ledger]\nmode = \"require\"\n");
        let mut client = case.client();
        let message = client
            .query("INSERT INTO t (n) VALUES (1)")
            .fails("1053/08S01");
        assert!(message.contains("ledger"), "{message}");
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        client.query("COMMIT").fails("1053/08S01");
        client.query("SELECT 1").fails("1053/08S01");
        client.run(&["ROLLBACK", "BEGIN", "SELECT * FROM t", "COMMIT"]);
        assert_eq!(case.rows(), Vec::<String>::new());
    }

    fn off(kind: Kind) {
        let case = Case::with_ledger(kind, "[ledger]\nmode = \"off\"\n");
        let mut client = case.client();
        client.run(&["INSERT INTO t (n) VALUES (1)"]);
        assert_eq!(case.steadfast.metric("commits_recorded_total"), 0.0);
        case.cut_answer_to(At::Text("COMMIT"));
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        client.query("COMMIT").fails("1180/08007");
    }

    #[test]
    fn mariadb_without_a_ledger_that_is_required() {
        required(Kind::MariaDb);
    }

    #[test]
    fn mysql_without_a_ledger_that_is_required() {
        required(Kind::MySql);
    }

    #[test]
    fn mariadb_switched_off() {
        off(Kind::MariaDb);
    }

    #[test]
    fn mysql_switched_off() {
        off(Kind::MySql);
    }
}

/// Tables without transactions among the server's own.
mod tables_of_the_server {
    use super::*;

    fn known(kind: Kind) {
        let case = Case::alone_with_ledger(kind, &[]);
        let database = &case.database;
        let engine = if case.is_mariadb() { "Aria" } else { "MyISAM" };
        case.witness().run(&[
            &format!("CREATE TABLE mysql.kept (n INT) ENGINE={engine}"),
            "CREATE TABLE kept (n INT) ENGINE=InnoDB",
            "CREATE TABLE plain (n INT) ENGINE=InnoDB",
        ]);
        let mut client = Client::connect(case.steadfast.address, "witness", database, 0);
        let lose = |client: &mut Client, sql: &'static str, table: &str, expected: &str| {
            case.cut_answer_to(At::Text(sql));
            let told = client.query(sql).error();
            case.link.clear_tap();
            assert_eq!(told, expected, "{sql}\n{}", case.steadfast.log());
            let count = format!("SELECT COUNT(*) FROM {table}");
            let found = case.witness().line(&count);
            case.witness().run(&[&format!("DELETE FROM {table}")]);
            assert_eq!(found, "1", "{sql}");
        };
        let doubt = "1180/08007";
        lose(
            &mut client,
            "INSERT INTO mysql.kept VALUES (1)",
            "mysql.kept",
            doubt,
        );
        // What has its name, or is elsewhere, is written once and nobody notices.
        lose(&mut client, "INSERT INTO kept VALUES (1)", "kept", "0");
        lose(&mut client, "INSERT INTO plain VALUES (1)", "plain", "0");
        client.run(&["USE mysql"]);
        lose(
            &mut client,
            "INSERT INTO kept VALUES (2)",
            "mysql.kept",
            doubt,
        );
        client.run(&[&format!("USE {database}")]);
        // The server's own: Aria on MariaDB, InnoDB on MySQL.
        let expected = if case.is_mariadb() { doubt } else { "0" };
        let zone = "INSERT INTO mysql.time_zone (Use_leap_seconds) VALUES ('N')";
        case.witness().run(&["DELETE FROM mysql.time_zone"]);
        lose(&mut client, zone, "mysql.time_zone", expected);
        // By another way. MySQL with GTIDs refuses a mixture (1785).
        case.witness()
            .run(&["CREATE VIEW looking AS SELECT n FROM mysql.kept"]);
        lose(
            &mut client,
            "INSERT INTO looking VALUES (3)",
            "mysql.kept",
            doubt,
        );
        if case.is_mariadb() {
            case.witness().run(&[
                "DROP VIEW looking",
                "CREATE TRIGGER keeping AFTER INSERT ON plain FOR EACH ROW INSERT INTO mysql.kept VALUES (NEW.n)",
            ]);
            lose(
                &mut client,
                "INSERT INTO plain VALUES (4)",
                "mysql.kept",
                doubt,
            );
        }
        lose(&mut client, "INSERT INTO kept VALUES (5)", "kept", "0");
        // Most accounts cannot see them.
        let mut client = case.client();
        lose(&mut client, "INSERT INTO kept VALUES (6)", "kept", "0");
    }

    #[test]
    fn mariadb() {
        known(Kind::MariaDb);
    }

    #[test]
    fn mysql() {
        known(Kind::MySql);
    }
}
