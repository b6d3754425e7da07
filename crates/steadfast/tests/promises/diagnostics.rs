//! What a statement leaves for the next one to ask (warnings, errors, counters, ids) is what a direct connection leaves,
//! whatever Steadfast asks and sets on the server connection in between.
//!
//! A subject is run, then a bystander that may or may not take away what the subject left (what it does is the
//! server's affair), then a question. Every question follows its own run of both, on a session that has run all of
//! those before it, so that hidden work that waits is there to go wrong.
//!
//! All of them take many minutes, so what runs by itself is every subject with every question, and of the rest such a
//! share that every two of setting, subject, bystander and question meet. With `STEADFAST_TEST_ALL=1` in the
//! environment everything runs.

use steadfast_sandbox::Kind;

use crate::case::{At, Case, on_both_servers};
use crate::client::{Answer, CLIENT_MULTI_STATEMENTS, Client};

/// One command of a client.
#[derive(Clone, Copy, Debug)]
enum Do {
    /// COM_QUERY.
    Query(&'static str),
    /// COM_STMT_PREPARE, COM_STMT_EXECUTE without parameters, COM_STMT_CLOSE.
    Prepared(&'static str),
    /// COM_STMT_PREPARE and COM_STMT_CLOSE.
    Prepare(&'static str),
    /// COM_STMT_PREPARE, COM_STMT_RESET, COM_STMT_CLOSE.
    Reset(&'static str),
    /// COM_STMT_EXECUTE with a cursor, a COM_STMT_FETCH, COM_STMT_CLOSE.
    Cursor(&'static str),
    /// Any other command with OK, EOF or ERR for an answer.
    Command(u8, &'static [u8]),
    /// COM_STATISTICS.
    Statistics,
    /// Nothing.
    Nothing,
}

use Do::{Command, Cursor, Nothing, Prepare, Prepared, Query, Reset, Statistics};

impl Do {
    /// Runs it on the session of a side, which has its own of the tables [`OWN`].
    fn run(self, client: &mut Client, side: usize) -> String {
        client.beside.clear();
        let answer = self.answer(client, side);
        let beside = String::from_utf8_lossy(&client.beside);
        let shown = format!("{answer} {}", beside.escape_default());
        let hexadecimal =
            |text: &str| -> String { text.bytes().map(|byte| format!("{byte:02x}")).collect() };
        OWN.iter().fold(shown, |shown, name| {
            let own = format!("{name}{side}");
            shown
                .replace(&own, name)
                .replace(&hexadecimal(&own), &hexadecimal(name))
        })
    }

    fn answer(self, client: &mut Client, side: usize) -> String {
        let own = |sql: &str| {
            OWN.iter().fold(sql.to_owned(), |sql, name| {
                ["INTO", "UPDATE", "FROM"].iter().fold(sql, |sql, word| {
                    sql.replace(&format!("{word} {name} "), &format!("{word} {name}{side} "))
                })
            })
        };
        let shown = |answer: Answer| match answer {
            Answer::Rows(rows) => format!("{rows:?}"),
            other => format!("{other:?}"),
        };
        match self {
            Nothing => String::new(),
            Query(sql) => shown(client.query(&own(sql))),
            Command(code, body) => shown(client.command(code, body)),
            Statistics => {
                client.statistics();
                String::new()
            }
            Prepare(sql) | Prepared(sql) | Reset(sql) | Cursor(sql) => {
                let statement = match client.try_prepare(&own(sql)) {
                    Ok(statement) => statement,
                    Err(answer) => return shown(answer),
                };
                let answer = match self {
                    Prepared(_) => shown(client.execute(statement, &[], false, false)),
                    Reset(_) => shown(client.command(26, &statement.id.to_le_bytes())),
                    Cursor(_) => {
                        let opened = shown(client.execute(statement, &[], false, true));
                        format!("{opened} {}", shown(client.fetch(statement)))
                    }
                    _ => String::new(),
                };
                client.start(25, &statement.id.to_le_bytes());
                answer
            }
        }
    }
}

/// Tables that each side has one of, so that one does not see what the other has written.
const OWN: &[&str] = &["u", "v", "warns", "checked", "child"];

const SUBJECTS: &[Do] = &[
    // Successful, with and without warnings, rows and tables.
    Query("SELECT id FROM t"),
    Query("SELECT SQL_CALC_FOUND_ROWS id FROM t LIMIT 1"),
    Query("SELECT CAST('abc' AS SIGNED)"),
    Query("SELECT n, CAST('abc' AS SIGNED) FROM t"),
    Query("UPDATE t SET n = n + 1 WHERE id < 3"),
    Query("UPDATE t SET n = n + CAST('1x' AS SIGNED) * 0 WHERE id < 3 ORDER BY NOW()"),
    Query("UPDATE t SET n = UNIX_TIMESTAMP(NOW()) * 0 + n + 1 WHERE id < 3"),
    Query("REPLACE INTO u (n) VALUES (1), (2)"),
    Query("INSERT IGNORE INTO t (id, n) VALUES (1, 1), (2, 2)"),
    Query("SELECT NOW() IS NULL, CAST('abc' AS SIGNED)"),
    Query("SELECT RAND() > 2, CAST('abc' AS SIGNED)"),
    Query("DROP TABLE IF EXISTS missing"),
    Query("DROP TEMPORARY TABLE IF EXISTS missing"),
    // Writes that are recorded in the ledger, if there is one: of several rows, and of none.
    Query("UPDATE v SET n = n + 1"),
    Query("UPDATE v SET n = n"),
    Query("UPDATE t SET n = n + 1 WHERE id > 100"),
    Query("INSERT INTO u (n) VALUES (1), (2), (3)"),
    Query("INSERT INTO u (n) SELECT n FROM t"),
    Query("INSERT IGNORE INTO u (id, n) VALUES (1, 1), (1, 'x')"),
    Query("INSERT INTO v (id, n) VALUES (1, 1), (2, 2) ON DUPLICATE KEY UPDATE n = n + 1"),
    Query("REPLACE INTO v (id, n) VALUES (1, 8), (2, 8)"),
    Query("DELETE FROM v WHERE id > 2"),
    Query("UPDATE v SET n = n + CAST('2x' AS SIGNED) WHERE id < 3"),
    Query("INSERT INTO warns (n) VALUES (1), (2)"),
    Query("INSERT IGNORE INTO checked (n) VALUES (NULL), (-1), (5)"),
    Query("INSERT INTO u (n) VALUES (ROW_COUNT())"),
    Query("UPDATE v SET n = @@warning_count"),
    // MariaDB alone; elsewhere an error.
    Query("INSERT INTO u (n) VALUES (1), (2) RETURNING n"),
    Query("DELETE FROM v WHERE id > 100 RETURNING id"),
    Query("REPLACE INTO v (id, n) VALUES (1, 7) RETURNING n"),
    // Such that fail.
    Query("INSERT INTO t (id, n) VALUES (100, 1), (1, 1)"),
    Query("INSERT INTO t (id, n) VALUES (100, NULL)"),
    Query("INSERT INTO checked (n) VALUES (5), (-1)"),
    Query("INSERT INTO child (parent) VALUES (1), (77)"),
    Query("INSERT INTO warns (n) VALUES (1), (-1)"),
    Query("UPDATE t SET id = 2 WHERE id = 1"),
    Query("UPDATE t SET n = nonsense"),
    Query("DELETE FROM missing"),
    // Errors, by the way in which they come.
    Query("SELEKT 1"),
    Query("SELECT nonsense"),
    Query("SELECT n FROM missing"),
    Query("INSERT INTO t (id, n) VALUES (1, 1)"),
    Query("INSERT INTO t (id, n) VALUES (1, UNIX_TIMESTAMP(NOW()))"),
    Query("SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'mine'"),
    Query("SET @@nonsense = 1"),
    Query("SET @x = nonsense"),
    Query("CALL fails()"),
    Query("CALL sets()"),
    Query("CALL missing()"),
    Query("EXECUTE missing"),
    Query("PREPARE p FROM 'SELEKT 1'"),
    Query(""),
    // Several statements, and one of them fails.
    Query("SELECT 1; SELECT CAST('abc' AS SIGNED)"),
    Query("SELECT id FROM t; SELEKT 1"),
    Query("SET @x = UUID(); SELECT nonsense"),
    Query("INSERT INTO u (n) VALUES (5); INSERT INTO t (id) VALUES (1)"),
    // Prepared, in both ways.
    Prepared("SELECT CAST('abc' AS SIGNED)"),
    Prepared("INSERT INTO u (n) VALUES (7), (8)"),
    Prepared("INSERT INTO t (id, n) VALUES (1, 1)"),
    Prepared("UPDATE v SET n = n + 1"),
    Prepared("INSERT IGNORE INTO t (id, n) VALUES (1, 1), (2, 2)"),
    Prepared("INSERT INTO warns (n) VALUES (1), (2)"),
    Prepared("INSERT INTO checked (n) VALUES (5), (-1)"),
    Prepared("SELECT n FROM missing"),
    Prepared("SELEKT 1"),
    Prepare("SELEKT 1"),
    Cursor("SELECT id FROM t"),
    Query("EXECUTE IMMEDIATE 'SELECT nonsense'"),
    // What servers do not track, and Steadfast asks for.
    Query("SET @x = 1"),
    Query("SET @x = UUID(), @y = 'text'"),
    Query("SELECT @x := id FROM t"),
    Query("SELECT id, CAST('abc' AS SIGNED) INTO @x, @y FROM t LIMIT 1"),
    Query("SELECT 6 INTO @z"),
    Query("SELECT 'text', -1.50, 1e3, NULL INTO @a, @b, @c, @d"),
    Query("UPDATE t SET n = (@x := n + 1) WHERE id < 3"),
    Query("INSERT INTO u (n) VALUES (@x := 9), (@y := CAST('3x' AS SIGNED))"),
    Query("GET DIAGNOSTICS @count = NUMBER"),
    Query("DO @x := 5"),
    // Settings of which Steadfast has its own, or must know.
    Query("SET NAMES utf8mb4"),
    Query("SET NAMES latin1 COLLATE latin1_bin"),
    Query("SET sql_mode = DEFAULT"),
    Query("SET timestamp = DEFAULT"),
    Query("SET SESSION wait_timeout = 100"),
    Query("SET session_track_schema = ON"),
    Query("SHOW VARIABLES LIKE 'wait_timeout'"),
    Query("SHOW WARNINGS"),
    // Other commands.
    Command(2, b"information_schema"),
    Command(2, b"missing"),
    Command(27, &[1, 0]),
    Command(27, &[9, 0]),
    Command(31, b""),
    Command(14, b""),
];

const BYSTANDERS: &[Do] = &[
    Nothing,
    Command(14, b""),
    Statistics,
    Command(27, &[0, 0]),
    Prepare("SELECT 1"),
    Reset("SELECT 1"),
    Query("SELECT 'bystander'"),
    Query("SET @bystander = 1"),
    Query("SET @bystander = UUID()"),
    Query("DO 0"),
    Query("COMMIT"),
    Query("SAVEPOINT s"),
    Query("SELECT NOW() IS NULL"),
    Command(31, b""),
];

const QUESTIONS: &[Do] = &[
    Query("SHOW WARNINGS"),
    Query("SHOW ERRORS"),
    Query("SHOW COUNT(*) WARNINGS"),
    Query("SHOW COUNT(*) ERRORS"),
    Query("SELECT @@warning_count, @@error_count"),
    Query("SELECT ROW_COUNT()"),
    Query("SELECT FOUND_ROWS()"),
    Query("SELECT LAST_INSERT_ID()"),
    Query("GET DIAGNOSTICS @number = NUMBER, @rows = ROW_COUNT; SELECT @number, @rows"),
    Prepared("SHOW WARNINGS"),
    Prepared("SELECT ROW_COUNT()"),
    Prepared("SELECT FOUND_ROWS()"),
    Query("SHOW WARNINGS LIMIT 1, 1"),
    Query("SHOW ERRORS LIMIT 1"),
    Query("SELECT ROW_COUNT() + 0, ROW_COUNT() AS n FROM DUAL WHERE ROW_COUNT() < 100"),
    Query("SELECT 1 FROM t WHERE ROW_COUNT() > 0"),
    Query("SET @rows = ROW_COUNT(); SELECT @rows"),
    Query(
        "GET DIAGNOSTICS CONDITION 1 @code = MYSQL_ERRNO, @text = MESSAGE_TEXT; SELECT @code, @text",
    ),
    Query("GET DIAGNOSTICS CONDITION 9 @text = MESSAGE_TEXT"),
    Prepared("SHOW ERRORS"),
    Prepared("SELECT @@warning_count, @@error_count"),
    Prepared("SELECT ROW_COUNT() - 1"),
];

/// Those that are asked after every bystander.
const MAIN_QUESTIONS: &[Do] = &[
    Query("SHOW WARNINGS"),
    Query("SELECT ROW_COUNT()"),
    Query("SELECT FOUND_ROWS()"),
    Query("SELECT LAST_INSERT_ID(), @@warning_count, @@error_count"),
    Prepared("SELECT ROW_COUNT()"),
];

/// How a session begins.
const SETTINGS: &[&[&str]] = &[&[], &["BEGIN"], &["SET autocommit = 0"]];

/// One in so many of those that are not asked in any case. Prime, so that it has no factor in common with a list.
const SHARE: usize = 7;

/// Whether the question of this number belongs to those that run; see the top.
fn is_asked(setting: usize, subject: usize, bystander: usize, question: usize) -> bool {
    (setting == 0 && bystander == 0)
        || (setting + subject + bystander + question).is_multiple_of(SHARE)
        || std::env::var_os("STEADFAST_TEST_ALL").is_some()
}

fn differences(case: &Case, setting_number: usize, subject_number: usize) -> Vec<String> {
    let setting = SETTINGS[setting_number];
    let subject = SUBJECTS[subject_number];
    let mut sides = [case.server.addr(), case.steadfast.address].map(|address| {
        let mut client =
            Client::connect(address, &case.user, &case.database, CLIENT_MULTI_STATEMENTS);
        // FOUND_ROWS() before a session's first SELECT is a limit that docs/errors.md names.
        client.line("SELECT 1");
        client.run(setting);
        client
    });
    let mut found = Vec::new();
    for (bystander_number, &bystander) in BYSTANDERS.iter().enumerate() {
        let questions = if matches!(bystander, Nothing) {
            QUESTIONS
        } else {
            MAIN_QUESTIONS
        };
        for (question_number, &question) in questions.iter().enumerate() {
            if !is_asked(
                setting_number,
                subject_number,
                bystander_number,
                question_number,
            ) {
                continue;
            }
            let [direct, through] = [0, 1].map(|side| {
                let client = &mut sides[side];
                // Where a subject has gone to.
                client.command(2, case.database.as_bytes()).good();
                client.command(27, &[0, 0]).good();
                let answers = [subject, bystander, question].map(|part| part.run(client, side));
                if !setting.is_empty() {
                    // No locks for the other side to wait for.
                    client.query("ROLLBACK").good();
                    client.run(setting);
                }
                answers
            });
            if direct != through {
                found.push(format!(
                    "{setting:?} {subject:?} {bystander:?} {question:?}:\n    {direct:?}\n    {through:?}"
                ));
            }
        }
    }
    found
}

/// Compares both sides in all settings; `ledger`: the writes must have been recorded in it.
fn compare(case: &Case, ledger: bool) {
    let mut witness = case.witness();
    witness.run(&[
        "INSERT INTO t (n) VALUES (1), (2), (3)",
        "CREATE PROCEDURE fails() BEGIN SET time_zone='+03:00'; SIGNAL SQLSTATE '45000'; END",
        "CREATE PROCEDURE sets() BEGIN SET @inside = CAST('4x' AS SIGNED); SELECT id FROM t LIMIT 2; END",
    ]);
    for side in ["0", "1"] {
        let id = "id INT PRIMARY KEY AUTO_INCREMENT";
        witness.run(&[
            &format!("CREATE TABLE u{side} ({id}, n INT) ENGINE=InnoDB"),
            &format!("CREATE TABLE v{side} ({id}, n INT) ENGINE=InnoDB"),
            &format!("INSERT INTO v{side} SELECT * FROM t"),
            &format!("CREATE TABLE warns{side} ({id}, n INT) ENGINE=InnoDB"),
            &format!(
                "CREATE TABLE checked{side} ({id}, n INT NOT NULL CHECK (n >= 0)) ENGINE=InnoDB"
            ),
            &format!(
                "CREATE TABLE child{side} ({id}, parent INT NOT NULL, \
                 CONSTRAINT a_name_so_long_that_the_message_is_not_short_child{side} \
                 FOREIGN KEY (parent) REFERENCES t (id)) ENGINE=InnoDB"
            ),
            &format!(
                "CREATE TRIGGER of_warns{side} BEFORE INSERT ON warns{side} FOR EACH ROW BEGIN \
                 IF NEW.n < 0 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'negative'; END IF; \
                 SIGNAL SQLSTATE '01000' SET MESSAGE_TEXT = 'of the trigger'; END"
            ),
        ]);
    }
    let mut found = Vec::new();
    for setting in 0..SETTINGS.len() {
        for subject in 0..SUBJECTS.len() {
            found.extend(differences(case, setting, subject));
        }
    }
    for name in OWN {
        let [direct, through] = [0, 1].map(|side| {
            witness
                .query(&format!("SELECT * FROM {name}{side}"))
                .lines()
        });
        if direct != through {
            found.push(format!("{name}:\n    {direct:?}\n    {through:?}"));
        }
    }
    assert!(
        found.is_empty(),
        "{} differences:\n{}",
        found.len(),
        found.join("\n")
    );
    let recorded = case.steadfast.metric("commits_recorded_total");
    let expected = if ledger { 500.0..1e9 } else { 0.0..1.0 };
    assert!(
        expected.contains(&recorded),
        "{recorded} commits in the ledger"
    );
}

mod what_a_recorded_write_leaves_is_told_as_directly {
    use super::*;

    #[test]
    fn mariadb() {
        compare(&Case::with_ledger(Kind::MariaDb, ""), true);
    }

    #[test]
    fn mysql() {
        compare(&Case::with_ledger(Kind::MySql, ""), true);
    }
}

fn left_by_a_lost_write(case: &Case) {
    let mut client = case.client();
    client.run(&["INSERT INTO t (id, n) VALUES (1, 1)"]);
    case.cut_answer_to(At::Text("CALL steadfast.commit"));
    client
        .query("INSERT IGNORE INTO t (id, n) VALUES (1, 1), (2, 2), (3, 3)")
        .good();
    case.link.clear_tap();
    let warnings = client.query("SHOW WARNINGS").lines();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings.concat().starts_with("Warning 1062 "),
        "{warnings:?}"
    );
    assert_eq!(
        case.steadfast
            .metric("commits_resolved_total{verdict=\"committed\"}"),
        1.0
    );
    case.cut_answer_to(At::Text("CALL steadfast.commit"));
    client.run(&["UPDATE t SET n = n + 1"]);
    case.link.clear_tap();
    assert_eq!(client.line("SELECT ROW_COUNT()"), "3");
    assert_eq!(client.line("SELECT ROW_COUNT()"), "-1");
}

fn not_recorded_where_it_shows(case: &Case) {
    let recorded = || case.steadfast.metric("commits_recorded_total");
    for (prepare, is_recorded) in [
        ("DO 0", true),
        ("SET session_track_transaction_info = 'STATE'", false),
        ("PREPARE question FROM 'SELECT ROW_COUNT()'", false),
    ] {
        let mut client = case.client();
        client.run(&[prepare]);
        let before = recorded();
        client.run(&["INSERT INTO t (n) VALUES (1), (2)"]);
        assert_eq!(recorded() > before, is_recorded, "{prepare}");
        if prepare.starts_with("PREPARE") {
            assert_eq!(client.line("EXECUTE question"), "2");
        }
    }
}

/// The questions of [`QUESTIONS`] after each of these, with a ledger that cannot be used or is not.
fn left_without_a_mark(case: &Case) {
    let mut witness = case.witness();
    let id = "id INT PRIMARY KEY AUTO_INCREMENT";
    for side in ["0", "1"] {
        witness.run(&[
            &format!("CREATE TABLE u{side} ({id}, n INT) ENGINE=MyISAM"),
            &format!("CREATE TABLE v{side} ({id}, n INT) ENGINE=InnoDB"),
            &format!("INSERT INTO u{side} (n) VALUES (1), (2)"),
            &format!("INSERT INTO v{side} (n) VALUES (1), (2)"),
        ]);
    }
    let ignored = "INSERT IGNORE INTO v (id, n) VALUES (1, 1), (2, 2)";
    let compare = |settings: &[&str], parts: &[Do]| {
        for &question in QUESTIONS {
            let [direct, through] = [0, 1].map(|side| {
                let address = [case.server.addr(), case.steadfast.address][side];
                let capabilities = CLIENT_MULTI_STATEMENTS;
                let mut client = Client::connect(address, &case.user, &case.database, capabilities);
                client.line("SELECT 1");
                client.run(settings);
                let answers: Vec<String> = parts
                    .iter()
                    .chain([&question])
                    .map(|part| part.run(&mut client, side))
                    .collect();
                answers
            });
            assert_eq!(through, direct, "{settings:?}");
        }
    };
    compare(&[], &[Query("INSERT IGNORE INTO u (id, n) VALUES (1, 1)")]);
    compare(
        &[],
        &[Query("INSERT INTO u (id, n) VALUES (NULL, 5), (1, 1)")],
    );
    compare(&["BEGIN"], &[Query(ignored), Query("COMMIT")]);
    // Another kind of ledger than Steadfast knows.
    witness.run(&["RENAME TABLE steadfast.commit_ledger TO steadfast.elsewhere"]);
    compare(&["BEGIN"], &[Query(ignored), Query("COMMIT")]);
    compare(&[], &[Query(ignored)]);
    witness.run(&["RENAME TABLE steadfast.elsewhere TO steadfast.commit_ledger"]);
}

mod what_an_unrecorded_write_leaves_is_told_as_directly {
    use super::*;

    #[test]
    fn mariadb() {
        left_without_a_mark(&Case::alone_with_ledger(Kind::MariaDb, &[]));
    }

    #[test]
    fn mysql() {
        left_without_a_mark(&Case::alone_with_ledger(Kind::MySql, &[]));
    }
}

mod what_a_lost_write_left_is_told {
    use super::*;

    #[test]
    fn mariadb() {
        left_by_a_lost_write(&Case::with_ledger(Kind::MariaDb, ""));
    }

    #[test]
    fn mysql() {
        left_by_a_lost_write(&Case::with_ledger(Kind::MySql, ""));
    }
}

mod a_write_is_not_recorded_where_the_client_would_see_it {
    use super::*;

    #[test]
    fn mariadb() {
        not_recorded_where_it_shows(&Case::with_ledger(Kind::MariaDb, ""));
    }

    #[test]
    fn mysql() {
        not_recorded_where_it_shows(&Case::with_ledger(Kind::MySql, ""));
    }
}

on_both_servers! {
    fn what_a_statement_leaves_is_told_as_directly(case) {
        compare(case, false);
    }

    fn a_variable_that_was_selected_into_is_what_it_is_directly(case) {
        let values = [
            "7", "CAST(7 AS UNSIGNED)", "18446744073709551615", "-1.50", "1e3", "NULL", "'text'", "''", "X'00FF'",
            "_latin1 X'E9' COLLATE latin1_bin", "CAST('2026-01-02 03:04:05.678' AS DATETIME(3))", "TRUE",
        ];
        for value in values {
            let [direct, through] = [case.server.addr(), case.steadfast.address].map(|address| {
                let mut client = Client::connect(address, &case.user, &case.database, 0);
                client.run(&[&format!("SELECT {value} INTO @v")]);
                let count = client.line("SELECT ROW_COUNT()");
                client.run(&["CREATE TEMPORARY TABLE made AS SELECT @v AS v"]);
                let shown = client.line("SELECT @v, HEX(@v), CHARSET(@v), COLLATION(@v), @v / 3");
                (count, shown, client.query("SHOW CREATE TABLE made").lines())
            });
            assert_eq!(through, direct, "{value}");
        }
    }
}
