//! The parts of statements that the session needs: assignments, names, victims, digests.

use steadfast_sql::{
    Charset, ClassCache, Control, Dialect, Effects, KillBy, Kind, PrepareSource, Scope, Target,
    classify, deallocate_name, digest, execute_parts, kill_target, literal_assignments, normalize,
    prepare_parts, set_assignments, user_variables,
};

const MARIADB: Dialect = Dialect::mariadb(101_119);
const MYSQL: Dialect = Dialect::mysql(90_704);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn assignments(statement: &str, dialect: Dialect) -> Vec<(Target, String, String, bool)> {
    set_assignments(statement.as_bytes(), dialect)
        .map(|set| (set.target, text(&set.name), text(set.value), set.literal))
        .collect()
}

fn set(target: Target, name: &str, value: &str, literal: bool) -> (Target, String, String, bool) {
    (target, name.into(), value.into(), literal)
}

#[test]
fn assignments_have_scope_name_and_value() {
    let session = Target::System(Scope::Session);
    assert_eq!(
        assignments(
            "SET session_track_schema = ON, `Sql_Mode` := CONCAT(@@sql_mode, ',ANSI')",
            MYSQL
        ),
        [
            set(session, "session_track_schema", "ON", true),
            set(session, "Sql_Mode", "CONCAT(@@sql_mode, ',ANSI')", false),
        ]
    );
    assert_eq!(
        assignments(
            "set @@global.a=-1, @@b = 'x', @@session.c = _utf8mb4'y', @@local.`d` = DEFAULT;",
            MYSQL
        ),
        [
            set(Target::System(Scope::Global), "a", "-1", true),
            set(Target::System(Scope::Bare), "b", "'x'", true),
            set(session, "c", "_utf8mb4'y'", true),
            set(session, "d", "DEFAULT", true),
        ]
    );
    assert_eq!(
        assignments(
            "SET GLOBAL a = 1, b = 2, SESSION c = 3, PERSIST d = 4, persist_only e = ?",
            MYSQL
        ),
        [
            set(Target::System(Scope::Global), "a", "1", true),
            set(Target::System(Scope::Global), "b", "2", true),
            set(session, "c", "3", true),
            set(Target::System(Scope::Persist), "d", "4", true),
            set(Target::System(Scope::PersistOnly), "e", "?", false),
        ]
    );
    assert_eq!(
        assignments(
            "SET NAMES utf8mb4 COLLATE utf8mb4_bin, CHARACTER SET 'latin1', charset binary",
            MYSQL
        ),
        [
            set(Target::Names, "", "utf8mb4 COLLATE utf8mb4_bin", true),
            set(Target::CharacterSet, "", "'latin1'", true),
            set(Target::CharacterSet, "", "binary", true),
        ]
    );
    assert_eq!(
        assignments("SET @a = 1, @`b c` = (SELECT 1, 2)", MYSQL),
        [
            set(Target::User, "a", "1", true),
            set(Target::User, "b c", "(SELECT 1, 2)", false),
        ]
    );
    assert_eq!(
        assignments(
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY",
            MYSQL
        ),
        [set(
            Target::Transaction(Scope::Bare),
            "",
            "ISOLATION LEVEL READ COMMITTED, READ ONLY",
            false
        )]
    );
    assert_eq!(
        assignments("SET SESSION TRANSACTION READ WRITE", MYSQL),
        [set(
            Target::Transaction(Scope::Session),
            "",
            "READ WRITE",
            false
        )]
    );
    assert_eq!(
        assignments(
            "SET STATEMENT max_statement_time = 1, b = 'x' FOR SELECT 1",
            MARIADB
        ),
        [
            set(
                Target::System(Scope::Statement),
                "max_statement_time",
                "1",
                true
            ),
            set(Target::System(Scope::Statement), "b", "'x'", true),
        ]
    );
    assert_eq!(
        assignments("SET hot_cache.key_buffer_size = 5", MYSQL)[0].1,
        "key_buffer_size"
    );
    assert_eq!(
        assignments("/*!40101 SET NAMES utf8 */;", MYSQL),
        [set(Target::Names, "", "utf8", true)]
    );
    assert_eq!(assignments("SET foo", MYSQL)[0].0, Target::Other);
    assert_eq!(
        assignments("SET PASSWORD = 'x'", MYSQL)[0].0,
        Target::Password
    );
    assert!(assignments("SELECT 1", MYSQL).is_empty());
    assert!(assignments("", MYSQL).is_empty());
}

#[test]
fn a_value_can_be_replaced_by_its_span() {
    let statement = b"SET /* c */ @@session.wait_timeout = /* d */ 28800 ;";
    let only = set_assignments(statement, MYSQL).next().expect("one");
    assert_eq!(&statement[only.value_span], b"28800");
}

fn literals(statement: &str) -> Option<Vec<(String, String)>> {
    Some(
        literal_assignments(statement.as_bytes(), MYSQL)?
            .map(|set| (text(&set.name), text(set.value)))
            .collect(),
    )
}

#[test]
fn literal_assignments_are_only_literals() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        literals("SET @a=1, @b := 'x' 'y', @'c d' = NULL, @d = -1.5, @e = x'41', @f = TRUE;"),
        Some(vec![
            pair("a", "1"),
            pair("b", "'x' 'y'"),
            pair("c d", "NULL"),
            pair("d", "-1.5"),
            pair("e", "x'41'"),
            pair("f", "TRUE"),
        ])
    );
    for other in [
        "SET @a = NOW()",
        "SET @a = 1 + 1",
        "SET @a = @b",
        "SET @a = b",
        "SET @a = ?",
        "SET @a = 1, sql_mode = ''",
        "SET @a = 1; SELECT 1",
        "SET @a = 'x",
        "SET @a =",
        "SET",
        "SELECT @a := 1",
    ] {
        assert_eq!(literals(other), None, "{other}");
    }
}

#[test]
fn user_variables_are_named_without_quotes() {
    let names = |statement: &str, dialect| -> Vec<String> {
        user_variables(statement.as_bytes(), dialect)
            .map(|name| text(&name))
            .collect()
    };
    assert_eq!(
        names(
            "SELECT @a, @`b``c`, @'d\\'e', @\"f\", @g.h, @$i, @@version, '@no', `@no` -- @no",
            MYSQL
        ),
        ["a", "b`c", "d'e", "f", "g.h", "$i"]
    );
    assert_eq!(
        names("GRANT SELECT ON d.* TO 'u'@'h', `u`@`h`", MYSQL),
        [""; 0]
    );
}

#[test]
fn a_kill_has_a_victim() {
    let kill = |statement: &str, dialect| {
        kill_target(statement.as_bytes(), dialect).map(|target| {
            let span = statement[target.id_span].to_owned();
            (target.query, target.soft, target.by, target.id, span)
        })
    };
    let some = |query, soft, by, id, span: &str| Some((query, soft, by, id, span.to_owned()));
    let connection = KillBy::Connection;
    assert_eq!(
        kill("KILL 5", MYSQL),
        some(false, false, connection, Some(5), "5")
    );
    assert_eq!(
        kill("kill query 17;", MYSQL),
        some(true, false, connection, Some(17), "17")
    );
    assert_eq!(
        kill("KILL CONNECTION /* c */ 5", MYSQL),
        some(false, false, connection, Some(5), "5")
    );
    assert_eq!(
        kill("KILL SOFT QUERY 5", MARIADB),
        some(true, true, connection, Some(5), "5")
    );
    assert_eq!(
        kill("KILL HARD QUERY ID 5", MARIADB),
        some(true, false, KillBy::QueryId, Some(5), "5")
    );
    assert_eq!(
        kill("KILL USER u@h", MARIADB),
        some(false, false, KillBy::User, None, "u@h")
    );
    assert_eq!(
        kill("KILL CONNECTION_ID()", MYSQL),
        some(false, false, connection, None, "CONNECTION_ID()")
    );
    assert_eq!(
        kill("KILL QUERY @a + 1", MYSQL),
        some(true, false, connection, None, "@a + 1")
    );
    assert_eq!(
        kill("KILL ?", MYSQL),
        some(false, false, connection, None, "?")
    );
    assert_eq!(
        kill("KILL 5.0", MYSQL),
        some(false, false, connection, None, "5.0")
    );
    assert_eq!(
        kill("KILL 99999999999999999999", MYSQL).expect("victim").3,
        None
    );
    for other in [
        "KILL",
        "KILL QUERY",
        "KILL 5; SELECT 1",
        "KILL 5 /*",
        "SELECT 5",
        "",
    ] {
        assert_eq!(kill(other, MYSQL), None, "{other}");
    }
}

#[test]
fn prepared_statements_have_names_and_sources() {
    let parts = prepare_parts(b"PREPARE `My``S` FROM 'SELECT ''a'' \\n?'", MYSQL).expect("parts");
    assert_eq!(text(&parts.name), "My`S");
    assert_eq!(
        parts.source,
        PrepareSource::Literal(b"SELECT 'a' \n?".to_vec().into())
    );
    let parts = prepare_parts(b"prepare s from @`a b`;", MYSQL).expect("parts");
    assert_eq!(parts.source, PrepareSource::Variable(b"a b"[..].into()));
    for other in [
        "PREPARE s FROM CONCAT('a')",
        "PREPARE s FROM 'a' 'b'",
        "PREPARE s FROM 'a'; SELECT 1",
        "PREPARE",
    ] {
        assert_eq!(prepare_parts(other.as_bytes(), MARIADB), None, "{other}");
    }
    let name = |found: Option<std::borrow::Cow<'_, [u8]>>| found.map(|name| text(&name));
    let executes = |sql: &[u8], dialect| {
        execute_parts(sql, dialect).map(|parts| (text(&parts.name), parts.using))
    };
    assert_eq!(
        executes(b"EXECUTE s USING @a, @b;", MYSQL),
        Some(("s".into(), true))
    );
    assert_eq!(executes(b"execute `S`", MYSQL), Some(("S".into(), false)));
    assert_eq!(executes(b"EXECUTE IMMEDIATE 'COMMIT'", MARIADB), None);
    assert_eq!(executes(b"EXECUTE s; COMMIT", MYSQL), None);
    assert_eq!(
        name(deallocate_name(b"DEALLOCATE PREPARE s", MYSQL)),
        Some("s".into())
    );
    assert_eq!(
        name(deallocate_name(b"DROP PREPARE s;", MYSQL)),
        Some("s".into())
    );
    assert_eq!(name(deallocate_name(b"DROP TABLE s", MYSQL)), None);
}

#[test]
fn a_character_may_hide_a_backslash_or_a_backtick() {
    // 0x815c and 0xbf5c are one character each in these sets; elsewhere 0x5c escapes the quote.
    let in_string = b"SELECT '\xbf\\'; COMMIT -- '";
    for charset in [Charset::Gbk, Charset::Gb18030, Charset::Big5] {
        let class = classify(in_string, Dialect { charset, ..MYSQL });
        assert_eq!(
            (class.statements, class.control),
            (2, Control::Unknown),
            "{charset:?}"
        );
        assert!(class.effects.contains(Effects::TRANSACTION));
    }
    let in_string = b"SELECT '\x81\\'; COMMIT -- '";
    for charset in [
        Charset::Sjis,
        Charset::Cp932,
        Charset::Gbk,
        Charset::Gb18030,
    ] {
        let class = classify(in_string, Dialect { charset, ..MYSQL });
        assert_eq!(class.statements, 2, "{charset:?}");
    }
    for charset in [Charset::Utf8, Charset::SingleOrUtf8] {
        let class = classify(in_string, Dialect { charset, ..MYSQL });
        assert_eq!(
            (class.kind, class.statements),
            (Kind::Select, 1),
            "{charset:?}"
        );
    }
    // A backtick within a character ends no name.
    let in_name = b"SELECT `\x81`; COMMIT -- `";
    let class = |charset| classify(in_name, Dialect { charset, ..MYSQL });
    assert_eq!(class(Charset::Gbk).statements, 1);
    assert_eq!(class(Charset::Utf8).statements, 2);
    // An escaped lead byte does not take its trail byte along.
    let escaped = b"SELECT '\\\x81\\'; COMMIT -- '";
    let gbk = Dialect {
        charset: Charset::Gbk,
        ..MYSQL
    };
    assert_eq!(classify(escaped, gbk).statements, 1);
    // Four bytes, of gb18030 only.
    let four = b"SELECT '\x81\x30\x81\x30'";
    assert_eq!(
        classify(
            four,
            Dialect {
                charset: Charset::Gb18030,
                ..MYSQL
            }
        )
        .effects,
        Effects::empty()
    );
    // Half a character before the quote is no character.
    let half = b"SELECT '\x81' AS a";
    assert_eq!(classify(half, gbk).effects, Effects::empty());
}

#[test]
fn unquoted_bytes_that_sets_disagree_about_are_unknown() {
    let any = Dialect {
        charset: Charset::SingleOrUtf8,
        ..MYSQL
    };
    let unknown = |text: &[u8], dialect| classify(text, dialect).effects.contains(Effects::UNKNOWN);
    // A no-break space in latin1, half a letter in UTF-8.
    let hidden = "SELECT a INTO\u{e0}OUTFILE '/tmp/x'".as_bytes();
    assert!(unknown(hidden, any));
    assert!(!unknown("SELECT \u{e0}b FROM t".as_bytes(), MYSQL));
    assert!(!unknown(
        "SELECT pr\u{e9}nom, \u{540d}\u{524d} FROM t".as_bytes(),
        any
    ));
    assert!(unknown(b"SELECT caf\xe9 FROM t", any));
    assert!(unknown(b"SELECT caf\xe9 FROM t", MYSQL));
    assert!(!unknown(
        b"SELECT `caf\xe9`, 'caf\xe9' FROM t -- caf\xe9",
        any
    ));
    assert!(unknown(b"SELECT 1 --\xa0x", any));
}

#[test]
fn charsets_have_names_and_collations() {
    assert_eq!(Charset::from_name(b"UTF8MB4"), Charset::Utf8);
    assert_eq!(Charset::from_name(b"gbk"), Charset::Gbk);
    assert_eq!(Charset::from_name(b"latin1"), Charset::SingleOrUtf8);
    assert_eq!(Charset::from_collation_id(45), Charset::Utf8);
    assert_eq!(Charset::from_collation_id(255), Charset::Utf8);
    assert_eq!(Charset::from_collation_id(8), Charset::SingleOrUtf8);
    assert_eq!(Charset::from_collation_id(28 + 1024), Charset::Gbk);
    assert_eq!(Charset::from_collation_id(248), Charset::Gb18030);
}

fn normal(statement: &str) -> String {
    let mut out = String::new();
    normalize(statement.as_bytes(), MYSQL, &mut out, usize::MAX);
    assert_eq!(
        digest(statement.as_bytes(), MYSQL),
        xxhash_rust::xxh3::xxh3_64(out.as_bytes())
    );
    out
}

#[test]
fn digests_keep_the_shape_only() {
    for (statement, expected) in [
        (
            "SELECT  *  FROM T WHERE a = 'x' AND b = -5 -- c",
            "select * from t where a = ? and b = ?",
        ),
        (
            "SELECT a FROM t WHERE b IN (1, 2, 'x', NULL, -3)",
            "select a from t where b in (?)",
        ),
        (
            "INSERT INTO t (a, b) VALUES (1, 2), (3, ?)",
            "insert into t(a, b) values (?)",
        ),
        (
            "INSERT INTO t VALUES ROW(1), ROW(2)",
            "insert into t values row(?)",
        ),
        (
            "SELECT COUNT(*), NOW() FROM `T`",
            "select count(*), now() from `t`",
        ),
        ("SELECT f(-a), a-1, a - -1", "select f(- a), a - ?, a - ?"),
        ("SELECT 1, 2, 3 LIMIT 5, 10", "select ? limit ?"),
        (
            "SET @a = x'41', @@session.b = 0x5",
            "set @a = ?, @@session.b = ?",
        ),
        ("SELECT 'a' 'b', N'c', _utf8mb4'd'", "select ?, _utf8mb4 ?"),
        (
            "SELECT (1, a), (b, 1), ((1))",
            "select (?, a), (b, ?), ((?))",
        ),
        ("/*!50000 COMMIT */ ;; ", "commit"),
        ("BEGIN; COMMIT;", "begin; commit"),
        (
            "ALTER USER u IDENTIFIED BY 'secret'",
            "alter user u identified by ?",
        ),
        ("SELECT 'never closed", "select ?"),
        ("", ""),
    ] {
        assert_eq!(normal(statement), expected, "{statement}");
    }
}

#[test]
fn a_long_digest_is_cut() {
    let mut out = String::from("> ");
    normalize(b"SELECT abc FROM t", MYSQL, &mut out, 10);
    assert_eq!(out, "> select \u{2026}");
    out.clear();
    normalize(b"SELECT abc", MYSQL, &mut out, 10);
    assert_eq!(out, "select abc");
    out.clear();
    normalize(b"SELECT abc", MYSQL, &mut out, 2);
    assert_eq!(out, "");
}

#[test]
fn the_cache_asks_for_text_and_dialect() {
    let mut cache = ClassCache::default();
    let ansi = Dialect {
        ansi_quotes: true,
        ..MYSQL
    };
    let statement = b"SELECT \"sleep\"(1)";
    for _ in 0..2 {
        assert_eq!(cache.class(statement, MYSQL), classify(statement, MYSQL));
        assert_eq!(cache.class(statement, ansi), classify(statement, ansi));
    }
    assert_ne!(classify(statement, MYSQL), classify(statement, ansi));
    // Far more texts than fit, some of them too long to be kept.
    let mut small = ClassCache::with_memory(0);
    for number in 0..2000_usize {
        let statement = format!("SELECT {number} {}", " ".repeat(number * 7 % 6000));
        assert_eq!(small.class(statement.as_bytes(), MYSQL).kind, Kind::Select);
    }
}
