//! What a statement leaves for the next one to ask (warnings, errors, counters, ids) is what a direct connection leaves,
//! whatever Steadfast asks and sets on the server connection in between.
//!
//! A subject is run, then a bystander that may or may not take away what the subject left (what it does is the
//! server's affair), then a question. Every question follows its own run of both, on a session that has run all of
//! those before it, so that hidden work that waits is there to go wrong.

use steadfast_sandbox::Kind;

use crate::case::{Case, on_both_servers};
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
    /// Runs it on the session of a side, which has an auto-increment table of its own, `u0` or `u1`.
    fn run(self, client: &mut Client, side: usize) -> String {
        let own = |sql: &str| sql.replace(" INTO u ", &format!(" INTO u{side} "));
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

fn differences(case: &Case, setting: &[&str], subject: Do) -> Vec<String> {
    let mut sides = [case.server.addr(), case.steadfast.address].map(|address| {
        let mut client =
            Client::connect(address, &case.user, &case.database, CLIENT_MULTI_STATEMENTS);
        client.run(setting);
        client
    });
    let mut found = Vec::new();
    for &bystander in BYSTANDERS {
        let questions = if matches!(bystander, Nothing) {
            QUESTIONS
        } else {
            MAIN_QUESTIONS
        };
        for &question in questions {
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

on_both_servers! {
    fn what_a_statement_leaves_is_told_as_directly(case) {
        case.witness().run(&[
            "INSERT INTO t (n) VALUES (1), (2), (3)",
            "CREATE TABLE u0 (id INT PRIMARY KEY AUTO_INCREMENT, n INT) ENGINE=InnoDB",
            "CREATE TABLE u1 LIKE u0",
            "CREATE PROCEDURE fails() BEGIN SET time_zone='+03:00'; SIGNAL SQLSTATE '45000'; END",
            "CREATE PROCEDURE sets() BEGIN SET @inside = CAST('4x' AS SIGNED); SELECT id FROM t LIMIT 2; END",
        ]);
        let mut found = Vec::new();
        for setting in SETTINGS {
            for &subject in SUBJECTS {
                found.extend(differences(case, setting, subject));
            }
        }
        assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
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
