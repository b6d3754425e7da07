//! Questions and what becomes of them.

use super::*;

const MARIADB: Dialect = Dialect::mariadb(101119);
const MYSQL: Dialect = Dialect::mysql(90704);

fn conditions() -> Conditions {
    let condition = |level: &str, code, sqlstate: Option<&[u8; 5]>, message: &str| Condition {
        level: level.into(),
        code,
        sqlstate: sqlstate.copied(),
        message: message.into(),
    };
    Conditions {
        list: vec![
            condition("Warning", 1265, None, "cut"),
            condition("Error", 1062, Some(b"23000"), "Duplicate 'a'"),
        ],
        count: 2,
    }
}

fn answered(text: &str, dialect: Dialect) -> (String, bool) {
    let conditions = conditions();
    let answers = Answers {
        row_count: Some(3),
        conditions: Some(&conditions),
    };
    let answered = answer(text.as_bytes(), dialect, answers);
    let text = answered
        .text
        .map_or_else(|| text.to_owned(), |text| String::from_utf8(text).unwrap());
    (text, answered.complete)
}

#[track_caller]
fn becomes(text: &str, expected: &str) {
    for dialect in [MARIADB, MYSQL] {
        assert_eq!(answered(text, dialect), (expected.to_owned(), true));
    }
}

#[test]
fn row_count_becomes_a_literal_and_keeps_its_name() {
    becomes(
        "SELECT ROW_COUNT()",
        "SELECT IF(1,3,ROW_COUNT()) AS `ROW_COUNT()`",
    );
    becomes(
        "select distinct a, row_count( ) , b from t",
        "select distinct a, IF(1,3,row_count( )) AS `row_count( )` , b from t",
    );
    becomes(
        "SELECT ROW_COUNT()+1, (ROW_COUNT()) n, ROW_COUNT() AS m;",
        "SELECT IF(1,3,ROW_COUNT())+1 AS `ROW_COUNT()+1`, (IF(1,3,ROW_COUNT())) n, IF(1,3,ROW_COUNT()) AS m;",
    );
    becomes(
        "SELECT ROW_COUNT() INTO @n",
        "SELECT IF(1,3,ROW_COUNT()) AS `ROW_COUNT()` INTO @n",
    );
    becomes(
        "SELECT `ROW_COUNT()`, 'ROW_COUNT()', db.ROW_COUNT() -- ROW_COUNT()",
        "SELECT `ROW_COUNT()`, 'ROW_COUNT()', db.ROW_COUNT() -- ROW_COUNT()",
    );
    becomes("SET @n = ROW_COUNT()", "SET @n = IF(1,3,ROW_COUNT())");
    becomes(
        "INSERT INTO log VALUES (ROW_COUNT(), 'x')",
        "INSERT INTO log VALUES (IF(1,3,ROW_COUNT()), 'x')",
    );
    becomes(
        "SELECT CASE WHEN ROW_COUNT() > 1 THEN 'many' ELSE f() END",
        "SELECT CASE WHEN IF(1,3,ROW_COUNT()) > 1 THEN 'many' ELSE f() END AS `CASE WHEN ROW_COUNT() > 1 THEN 'many' ELSE f() END`",
    );
    becomes(
        "SELECT (SELECT ROW_COUNT())",
        "SELECT (SELECT IF(1,3,ROW_COUNT()) AS `ROW_COUNT()`) AS `(SELECT ROW_COUNT())`",
    );
}

#[test]
fn counters_become_literals() {
    becomes(
        "SELECT @@warning_count, @@SESSION.error_count e",
        "SELECT IF(1,CAST(2 AS UNSIGNED),@@warning_count) AS `@@warning_count`, \
         IF(1,CAST(1 AS UNSIGNED),@@SESSION.error_count) e",
    );
    becomes(
        "SHOW COUNT(*) ERRORS",
        "SELECT IF(1,CAST(1 AS UNSIGNED),@@session.error_count) AS `@@session.error_count`",
    );
    becomes("SELECT @@wait_timeout", "SELECT @@wait_timeout");
}

#[test]
fn get_diagnostics_becomes_set() {
    becomes(
        "GET DIAGNOSTICS @n = NUMBER, @r = ROW_COUNT; SELECT @n, @r, ROW_COUNT()",
        "SET @n=CAST(2 AS UNSIGNED),@r=3; SELECT @n, @r, IF(1,3,ROW_COUNT()) AS `ROW_COUNT()`",
    );
    let (text, complete) = answered(
        "get current diagnostics condition 2 @s = RETURNED_SQLSTATE, @m = message_text, @e = MYSQL_ERRNO",
        MARIADB,
    );
    assert_eq!(
        text,
        "SET @s=CONCAT(LEFT(VERSION(),0),_utf8mb4 X'3233303030'),\
         @m=CONCAT(LEFT(VERSION(),0),_utf8mb4 X'4475706C696361746520276127'),@e=CAST(1062 AS UNSIGNED)"
    );
    assert!(complete);
}

#[test]
fn what_cannot_be_answered_is_left_and_told() {
    for text in [
        // Not known.
        "GET DIAGNOSTICS CONDITION 1 @s = RETURNED_SQLSTATE",
        "GET DIAGNOSTICS CONDITION @i @m = MESSAGE_TEXT",
        // Not certain.
        "SELECT ROW_COUNT(), 'open",
    ] {
        assert_eq!(answered(text, MYSQL), (text.to_owned(), false), "{text}");
    }
}

#[test]
fn a_condition_that_is_not_there_is_the_servers_to_refuse() {
    becomes(
        "GET DIAGNOSTICS CONDITION 3 @m = MESSAGE_TEXT",
        "GET DIAGNOSTICS CONDITION 3 @m = MESSAGE_TEXT",
    );
}

#[test]
fn a_statement_behind_another_asks_about_that_one() {
    becomes(
        "UPDATE t SET a = 1; SELECT ROW_COUNT()",
        "UPDATE t SET a = 1; SELECT ROW_COUNT()",
    );
}

#[test]
fn show_warnings_is_taken_apart() {
    let shown = |text: &str| {
        show_conditions(text.as_bytes(), MYSQL)
            .map(|show| (show.errors_only, show.offset, show.limit))
    };
    assert_eq!(shown("SHOW WARNINGS"), Some((false, 0, u64::MAX)));
    assert_eq!(shown("/* a */ show errors;"), Some((true, 0, u64::MAX)));
    assert_eq!(shown("SHOW WARNINGS LIMIT 1"), Some((false, 0, 1)));
    assert_eq!(shown("SHOW WARNINGS LIMIT 1, 2"), Some((false, 1, 2)));
    assert_eq!(shown("SHOW WARNINGS LIMIT 2 OFFSET 1"), Some((false, 1, 2)));
    for other in [
        "SHOW TABLES",
        "SHOW COUNT(*) WARNINGS",
        "SHOW WARNINGS; SELECT 1",
        "SHOW WARNINGS LIMIT ?",
    ] {
        assert_eq!(shown(other), None, "{other}");
    }
    let conditions = conditions();
    let show = show_conditions(b"SHOW ERRORS", MYSQL).unwrap();
    let codes: Vec<u16> = show.of(&conditions.list).map(|one| one.code).collect();
    assert_eq!(codes, [1062]);
}

#[test]
fn tables_are_seen() {
    for text in [
        "SELECT 1 FROM t",
        "SELECT (SELECT MAX(a) FROM t)",
        "SET @a = (SELECT MAX(a) FROM t)",
        "SELECT NEXT VALUE FOR s",
        "TABLE t",
    ] {
        assert!(mentions_tables(text.as_bytes(), MARIADB), "{text}");
    }
    for text in [
        "SELECT 1",
        "SELECT 1 FROM DUAL",
        "SELECT EXTRACT(YEAR FROM NOW())",
        "SELECT TRIM(BOTH 'x' FROM 'xax')",
        "SET @a = 1",
        "DO f()",
    ] {
        assert!(!mentions_tables(text.as_bytes(), MARIADB), "{text}");
    }
}
