//! What statements aim at: the table and columns of an INSERT, and user-level locks.

use steadfast_sql::{Charset, Dialect, UserLocks, insert_target, user_locks};

const MARIADB: Dialect = Dialect::mariadb(101_119);
const MYSQL: Dialect = Dialect::mysql(90_704);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `schema.table`, and the columns.
fn target(statement: &str, dialect: Dialect) -> Option<(String, Option<Vec<String>>)> {
    let target = insert_target(statement.as_bytes(), dialect)?;
    let schema = target.schema.map(|name| text(&name) + ".");
    Some((
        schema.unwrap_or_default() + &text(&target.table),
        target
            .columns
            .map(|names| names.iter().map(|name| text(name)).collect()),
    ))
}

fn no_list(table: &str) -> Option<(String, Option<Vec<String>>)> {
    Some((table.to_owned(), None))
}

fn list(table: &str, columns: &[&str]) -> Option<(String, Option<Vec<String>>)> {
    let columns = columns.iter().map(|&name| name.to_owned()).collect();
    Some((table.to_owned(), Some(columns)))
}

#[test]
fn an_insert_without_a_list_names_no_columns() {
    for (statement, table) in [
        ("INSERT INTO t VALUES (1, 2), (3, 4)", "t"),
        ("insert t value (1);", "t"),
        ("REPLACE db.t SELECT a, b FROM s", "db.t"),
        ("REPLACE DELAYED INTO `d``b` . `t``1` VALUES (?)", "d`b.t`1"),
        ("INSERT LOW_PRIORITY IGNORE INTO t VALUES (1)", "t"),
        ("INSERT HIGH_PRIORITY t TABLE s", "t"),
        ("INSERT INTO t (SELECT a, b FROM s)", "t"),
        ("INSERT INTO t (WITH c AS (SELECT 1) SELECT * FROM c)", "t"),
        ("INSERT INTO t (VALUES ROW(1), ROW(2))", "t"),
        ("INSERT INTO t ((SELECT 1) UNION (SELECT 2))", "t"),
        ("INSERT INTO t WITH c AS (SELECT 1) SELECT * FROM c", "t"),
        ("INSERT INTO t PARTITION (p0, p1) VALUES (1)", "t"),
        ("INSERT INTO t VALUES ()", "t"),
        ("INSERT INTO t () VALUES (1, 2)", "t"),
        ("INSERT INTO t () SELECT 1, 2", "t"),
        ("INSERT INTO t () (SELECT 1, 2)", "t"),
        (
            "INSERT INTO t VALUES (1) AS new (a) ON DUPLICATE KEY UPDATE b = new.a",
            "t",
        ),
        (
            "INSERT /*! IGNORE */ /* INTO x */ INTO t VALUES (1) -- c",
            "t",
        ),
        ("INSERT INTO db.select VALUES (1)", "db.select"),
        ("INSERT INTO value VALUES (1)", "value"),
        ("INSERT INTO 1t VALUES (1)", "1t"),
    ] {
        assert_eq!(target(statement, MYSQL), no_list(table), "{statement}");
        assert_eq!(target(statement, MARIADB), no_list(table), "{statement}");
    }
}

#[test]
fn an_insert_names_its_columns() {
    for (statement, expected) in [
        (
            "INSERT INTO t (a, `b``c`) VALUES (1, 2)",
            list("t", &["a", "b`c"]),
        ),
        ("REPLACE t(a)VALUE(1)", list("t", &["a"])),
        (
            "INSERT INTO t (t.a, db.t.b) VALUES (1, 2)",
            list("t", &["a", "b"]),
        ),
        ("INSERT INTO t () VALUES ()", list("t", &[])),
        ("INSERT INTO t () VALUE (), ();", list("t", &[])),
        ("INSERT INTO t (value) SELECT 1", list("t", &["value"])),
        (
            "INSERT INTO t (`select`) (SELECT 1)",
            list("t", &["select"]),
        ),
        (
            "INSERT INTO t (a) WITH c AS (SELECT 1) TABLE c",
            list("t", &["a"]),
        ),
        (
            "INSERT t PARTITION (p0) (a,b) VALUES (1, 2)",
            list("t", &["a", "b"]),
        ),
        ("INSERT INTO t (A, a) VALUES (1, 2)", list("t", &["A", "a"])),
        (
            "INSERT INTO db.t SET a=1, b := 2",
            list("db.t", &["a", "b"]),
        ),
        (
            "INSERT t SET t.a = (SELECT x, y AS z FROM s), db.t.b = f(1, 2) AS n(c, d) \
             ON DUPLICATE KEY UPDATE e = 1, f = 2",
            list("t", &["a", "b"]),
        ),
        (
            "INSERT t SET a = @x := 1, b = a = c, d = CASE WHEN e THEN 1 ELSE 'f, g = 1' END;",
            list("t", &["a", "b", "d"]),
        ),
        (
            "INSERT t SET a = MATCH (b, c) AGAINST ('d'), e = DEFAULT",
            list("t", &["a", "e"]),
        ),
    ] {
        assert_eq!(target(statement, MYSQL), expected, "{statement}");
        assert_eq!(target(statement, MARIADB), expected, "{statement}");
    }
    // RETURNING is a name like any other to MySQL.
    let returning = "INSERT t SET a = returning, b = 1";
    assert_eq!(target(returning, MYSQL), list("t", &["a", "b"]));
    let returning = "INSERT t SET a = 1 RETURNING a, b";
    assert_eq!(target(returning, MARIADB), list("t", &["a"]));
}

#[test]
fn quotes_of_an_insert_follow_the_dialect() {
    let ansi = Dialect {
        ansi_quotes: true,
        ..MYSQL
    };
    let quoted = "INSERT INTO \"t\"\"1\" (\"a, b\") VALUES (\"c\")";
    assert_eq!(target(quoted, ansi), list("t\"1", &["a, b"]));
    assert_eq!(target(quoted, MYSQL), None);
    let gbk = Dialect {
        charset: Charset::Gbk,
        ..MYSQL
    };
    let target = insert_target(b"INSERT INTO `\x81```` (a) VALUES (1)", gbk).expect("target");
    assert_eq!(*target.table, b"\x81``"[..]);
}

#[test]
fn what_is_no_insert_has_no_target() {
    for statement in [
        "",
        "SELECT 1",
        "INSERT",
        "INSERT INTO",
        "INSERT INTO t",
        "INSERT INTO t (a, b)",
        "INSERT INTO t (a, b) SET a = 1",
        "INSERT INTO t (a b) VALUES (1)",
        "INSERT INTO t (a,) VALUES (1)",
        "INSERT INTO t (t.*) VALUES (1)",
        "INSERT INTO t (w.x.y.z) VALUES (1)",
        "INSERT INTO t (1) VALUES (1)",
        "INSERT INTO t (a VALUES (1)",
        "INSERT INTO a.b.c VALUES (1)",
        "INSERT INTO t. VALUES (1)",
        "INSERT INTO ? VALUES (1)",
        "INSERT INTO t PARTITION VALUES (1)",
        "INSERT INTO t AS u VALUES (1)",
        "INSERT INTO t AS u (a) VALUES (1)",
        "INSERT INTO t SET",
        "INSERT INTO t SET a",
        "INSERT INTO t SET a = MATCH b, c AGAINST ('d'), e = 1",
        "INSERT INTO t DEFAULT VALUES",
        "INSERT INTO t VALUES (1); SELECT 1",
        "INSERT INTO t VALUES ('a)",
        "INSERT INTO t VALUES (1) /*",
        "EXPLAIN INSERT INTO t VALUES (1)",
        "SET STATEMENT max_statement_time = 1 FOR INSERT INTO t VALUES (1)",
        "UPDATE t SET a = 1",
    ] {
        assert_eq!(target(statement, MYSQL), None, "{statement}");
        assert_eq!(target(statement, MARIADB), None, "{statement}");
    }
}

fn names(locks: &UserLocks<'_>) -> Vec<String> {
    locks.names.iter().map(|name| text(name)).collect()
}

/// Takes, releases, releases all.
fn deeds(locks: &UserLocks<'_>) -> (bool, bool, bool) {
    (locks.takes, locks.releases, locks.releases_all)
}

#[test]
fn locks_are_named_by_plain_literals() {
    for (statement, named, done) in [
        ("SELECT GET_LOCK('a', 10)", &["a"][..], (true, false, false)),
        (
            "DO `Get_Lock` /* c */ (\"A\\'b\", ?)",
            &["A'b"],
            (true, false, false),
        ),
        (
            "SELECT release_lock('it''s')",
            &["it's"],
            (false, true, false),
        ),
        ("DO RELEASE_ALL_LOCKS()", &[], (false, true, true)),
        (
            "SELECT IS_FREE_LOCK('a'), IS_USED_LOCK('b')",
            &["a", "b"],
            (false, false, false),
        ),
        (
            "SELECT HIGH_PRIORITY GET_LOCK('a', RELEASE_LOCK('b')); DO RELEASE_LOCK('a')",
            &["a", "b", "a"],
            (true, true, false),
        ),
        (
            "SELECT 'GET_LOCK(''a'', 1)' -- GET_LOCK(b)",
            &[],
            (false, false, false),
        ),
        (
            "SELECT get_lock, `release_all_locks` FROM t",
            &[],
            (false, false, false),
        ),
        (
            "INSERT INTO release_lock (a) VALUES (1)",
            &[],
            (false, false, false),
        ),
        (
            "CREATE TABLE IF NOT EXISTS get_lock (a INT)",
            &[],
            (false, false, false),
        ),
        (
            "SELECT @get_lock, f(1), COUNT(*)",
            &[],
            (false, false, false),
        ),
        ("", &[], (false, false, false)),
    ] {
        for dialect in [MYSQL, MARIADB] {
            let locks = user_locks(statement.as_bytes(), dialect);
            assert_eq!(names(&locks), named, "{statement}");
            assert_eq!(deeds(&locks), done, "{statement}");
            assert!(locks.all_literal, "{statement}");
        }
    }
}

#[test]
fn other_lock_names_are_not_guessed() {
    for (statement, named, done) in [
        ("SELECT GET_LOCK(?, 1)", &[][..], (true, false, false)),
        (
            "SELECT GET_LOCK(@a, 1), RELEASE_LOCK('b')",
            &["b"],
            (true, true, false),
        ),
        (
            "SELECT GET_LOCK(CONCAT('a', b), 1)",
            &[],
            (true, false, false),
        ),
        ("SELECT GET_LOCK('a' 'b', 1)", &[], (true, false, false)),
        (
            "SELECT GET_LOCK('a' COLLATE c, 1)",
            &[],
            (true, false, false),
        ),
        ("SELECT GET_LOCK(_utf8mb4'a', 1)", &[], (true, false, false)),
        ("SELECT GET_LOCK(N'a', 1)", &[], (true, false, false)),
        ("SELECT GET_LOCK(x'41', 1)", &[], (true, false, false)),
        ("SELECT GET_LOCK(('a'), 1)", &[], (true, false, false)),
        (
            "SELECT RELEASE_LOCK(IF(IS_USED_LOCK('a'), 'a', 'b'))",
            &["a"],
            (false, true, false),
        ),
        ("SELECT RELEASE_LOCK()", &[], (false, true, false)),
        (
            "SELECT mariadb_schema.get_lock('a', 1)",
            &[],
            (true, false, false),
        ),
        ("SELECT d.release_all_locks()", &[], (false, false, false)),
        (
            "SELECT service_get_read_locks('n', 'a', 1)",
            &[],
            (true, false, false),
        ),
        ("SELECT GET_LOCK('a", &[], (true, false, false)),
        ("SELECT GET_LOCK('a', 1) /*", &["a"], (true, false, false)),
    ] {
        let locks = user_locks(statement.as_bytes(), MYSQL);
        assert_eq!(names(&locks), named, "{statement}");
        assert_eq!(deeds(&locks), done, "{statement}");
        assert!(!locks.all_literal, "{statement}");
    }
}
