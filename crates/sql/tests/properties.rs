//! Properties of the lexer over any bytes, and over statements that are dressed differently.

use proptest::prelude::*;
use std::time::{Duration, Instant};
use steadfast_sql::{
    Charset, ClassCache, Dialect, Effects, Kind, classify, deallocate_name, digest, execute_parts,
    insert_target, kill_target, literal_assignments, normalize, prepare_parts, set_assignments,
    user_locks, user_variables,
};

fn dialect() -> impl Strategy<Value = Dialect> {
    let charset = prop_oneof![
        Just(Charset::Utf8),
        Just(Charset::SingleOrUtf8),
        Just(Charset::Gbk),
        Just(Charset::Big5),
        Just(Charset::Sjis),
        Just(Charset::Cp932),
        Just(Charset::Gb18030),
    ];
    let server = prop_oneof![
        Just(Dialect::mysql(90_704)),
        Just(Dialect::mariadb(101_119))
    ];
    (server, charset, any::<[bool; 3]>()).prop_map(|(server, charset, [ansi, plain, oracle])| {
        Dialect {
            charset,
            ansi_quotes: ansi,
            no_backslash_escapes: plain,
            oracle,
            ..server
        }
    })
}

/// Text of the pieces that lexers stumble over.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(
            [
                "'",
                "\"",
                "`",
                "\\",
                ";",
                "/*",
                "*/",
                "/*!",
                "/*!50000",
                "/*M!",
                "--",
                "-- ",
                "#",
                "\n",
                " ",
                "@",
                "@@",
                "@a",
                ":=",
                "=",
                ",",
                "(",
                ")",
                ".",
                "?",
                "$$",
                "$a$",
                "0x",
                "1e",
                "1.",
                "x'",
                "N'",
                "_utf8",
                "SELECT",
                "SET",
                "INTO",
                "BEGIN",
                "COMMIT",
                "INSERT INTO t",
                "VALUES",
                "GET_LOCK(",
                "KILL",
                "PREPARE s FROM",
                "EXPLAIN",
                "ANALYZE",
                "FOR",
                "STATEMENT",
                "WITH c AS",
                "CREATE",
                "PROCEDURE",
                "ROW",
                "NULL",
                "autocommit",
                "GLOBAL",
                "AND",
                "CHAIN",
                "START TRANSACTION",
                "READ",
            ]
            .map(str::as_bytes)
            .map(<[u8]>::to_vec)
            .to_vec()
        ),
        prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

fn everything(text: &[u8], dialect: Dialect) {
    let _ = (classify(text, dialect), digest(text, dialect));
    let mut out = String::new();
    for limit in [0, 2, 3, 10, usize::MAX] {
        out.clear();
        normalize(text, dialect, &mut out, limit);
        assert!(out.len() <= limit);
    }
    for assignment in set_assignments(text, dialect) {
        assert_eq!(&text[assignment.value_span.clone()], assignment.value);
    }
    user_variables(text, dialect).for_each(drop);
    literal_assignments(text, dialect)
        .into_iter()
        .flatten()
        .for_each(drop);
    if let Some(kill) = kill_target(text, dialect) {
        assert!(text.get(kill.id_span).is_some());
    }
    let _ = prepare_parts(text, dialect);
    let _ = (execute_parts(text, dialect), deallocate_name(text, dialect));
    if insert_target(text, dialect).is_some() {
        let kind = classify(text, dialect).kind;
        assert!(matches!(kind, Kind::Insert | Kind::Replace));
    }
    let locks = user_locks(text, dialect);
    assert!(locks.releases || !locks.releases_all);
}

/// A statement as tokens: those that are `true` are literals.
fn tokens() -> impl Strategy<Value = Vec<(&'static str, bool)>> {
    prop::sample::select(vec![
        vec![
            ("SELECT", false),
            ("a", false),
            (",", false),
            ("1", true),
            ("FROM", false),
            ("t", false),
        ],
        vec![
            ("SELECT", false),
            ("NOW", false),
            ("(", false),
            (")", false),
        ],
        vec![
            ("SELECT", false),
            ("a", false),
            ("FROM", false),
            ("t", false),
            ("FOR", false),
            ("UPDATE", false),
        ],
        vec![
            ("SELECT", false),
            ("1", true),
            ("INTO", false),
            ("OUTFILE", false),
            ("'/tmp/x'", true),
        ],
        vec![
            ("INSERT", false),
            ("INTO", false),
            ("t", false),
            ("(", false),
            ("a", false),
            (")", false),
            ("VALUES", false),
            ("(", false),
            ("1", true),
            (")", false),
            (",", false),
            ("(", false),
            ("'b'", true),
            (")", false),
        ],
        vec![
            ("UPDATE", false),
            ("t", false),
            ("SET", false),
            ("a", false),
            ("=", false),
            ("'x'", true),
        ],
        vec![
            ("COMMIT", false),
            ("AND", false),
            ("NO", false),
            ("CHAIN", false),
        ],
        vec![
            ("START", false),
            ("TRANSACTION", false),
            ("READ", false),
            ("ONLY", false),
        ],
        vec![
            ("SET", false),
            ("SESSION", false),
            ("autocommit", false),
            ("=", false),
            ("OFF", false),
        ],
        vec![
            ("CREATE", false),
            ("TEMPORARY", false),
            ("TABLE", false),
            ("t", false),
            ("(", false),
            ("a", false),
            ("INT", false),
            (")", false),
        ],
        vec![
            ("EXPLAIN", false),
            ("ANALYZE", false),
            ("DELETE", false),
            ("FROM", false),
            ("t", false),
        ],
        vec![("KILL", false), ("QUERY", false), ("5", true)],
    ])
}

fn space() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        " ",
        "\n",
        "\t ",
        "/* c */",
        " /* ; COMMIT */ ",
        " -- x\n",
        "#'\n",
        " /*!999999 ' */ ",
        "\r\n",
    ])
}

fn change_case(word: &str, upper: u64) -> String {
    word.chars()
        .enumerate()
        .map(|(at, letter)| {
            if upper >> (at % 64) & 1 == 1 {
                letter.to_ascii_uppercase()
            } else {
                letter.to_ascii_lowercase()
            }
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_bytes_panic(text in prop::collection::vec(any::<u8>(), 0..200), dialect in dialect()) {
        everything(&text, dialect);
    }

    #[test]
    fn no_pieces_panic(text in pieces(), dialect in dialect()) {
        everything(&text, dialect);
    }

    #[test]
    fn dress_changes_nothing(
        tokens in tokens(),
        spaces in prop::collection::vec(space(), 24),
        upper in any::<u64>(),
        dialect in prop_oneof![Just(Dialect::mysql(90_704)), Just(Dialect::mariadb(101_119))],
    ) {
        let plain: Vec<&str> = tokens.iter().map(|(token, _)| *token).collect();
        let plain = plain.join(" ");
        let mut dressed = String::from(spaces[0]);
        for ((token, literal), space) in tokens.iter().zip(&spaces) {
            dressed += &if *literal { (*token).to_owned() } else { change_case(token, upper) };
            dressed += space;
        }
        let (plain, dressed) = (plain.as_bytes(), dressed.as_bytes());
        prop_assert_eq!(classify(plain, dialect), classify(dressed, dialect));
        prop_assert_eq!(digest(plain, dialect), digest(dressed, dialect));
    }

    #[test]
    fn literals_change_nothing(
        tokens in tokens(),
        literal in prop_oneof![
            "[0-9]{1,9}",
            "'[a-z ;(,*/#-]{0,9}'",
            Just("'it''s'".to_owned()),
            Just("'\\''".to_owned()),
            Just("x'4142'".to_owned()),
            Just("1.5e-3".to_owned()),
            Just("\"; COMMIT\"".to_owned()),
        ],
    ) {
        let dialect = Dialect::mysql(90_704);
        let text = |replace: Option<&str>| {
            let words: Vec<&str> = tokens
                .iter()
                .map(|(token, is_literal)| replace.filter(|_| *is_literal).unwrap_or(token))
                .collect();
            words.join(" ")
        };
        let (plain, other) = (text(None), text(Some(&literal)));
        prop_assert_eq!(
            classify(plain.as_bytes(), dialect),
            classify(other.as_bytes(), dialect)
        );
        prop_assert_eq!(digest(plain.as_bytes(), dialect), digest(other.as_bytes(), dialect));
    }

    #[test]
    fn a_digest_has_no_literal(secret in "[a-z]{12}", text in pieces(), dialect in dialect()) {
        let statement = [text.as_slice(), b" '", secret.as_bytes(), b"' "].concat();
        // Only when the pieces before leave no quote or comment open.
        let open = classify(&[text.as_slice(), b" "].concat(), dialect)
            .effects
            .contains(Effects::UNKNOWN);
        let mut out = String::new();
        normalize(&statement, dialect, &mut out, usize::MAX);
        prop_assert!(open || !out.contains(&secret), "{}", out);
    }

    #[test]
    fn the_digest_and_its_text_agree(text in pieces(), dialect in dialect()) {
        let mut out = String::new();
        normalize(&text, dialect, &mut out, usize::MAX);
        if !out.contains(char::REPLACEMENT_CHARACTER) {
            prop_assert_eq!(
                digest(&text, dialect),
                xxhash_rust::xxh3::xxh3_64(out.as_bytes())
            );
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_cache_says_what_the_lexer_says(
        texts in prop::collection::vec(pieces(), 1..20),
        picks in prop::collection::vec((any::<prop::sample::Index>(), dialect()), 1..200),
    ) {
        let mut cache = ClassCache::with_memory(2048);
        for (pick, dialect) in picks {
            let text = pick.get(&texts);
            prop_assert_eq!(cache.class(text, dialect), classify(text, dialect));
        }
    }

    /// The number in the place of `#` is another one each time.
    #[test]
    fn the_cache_says_of_other_numbers_what_the_lexer_says(
        beginning in prop::sample::select(vec!["SELECT ", "insert ", "UPDATE ", "delete ", "Replace "]),
        parts in prop::collection::vec((pieces(), prop::sample::select(vec!["#", " # ", "=#", ",#,", "(#)", "-#", "#a", "a#", "#.", "/*#*/", "/*!#", "'#'"])), 1..6),
        numbers in prop::collection::vec(prop_oneof![Just(0u64), Just(1), any::<u64>()], 2..5),
        dialect in dialect(),
    ) {
        let mut cache = ClassCache::default();
        for number in numbers {
            let mut text = beginning.as_bytes().to_vec();
            for (piece, place) in &parts {
                text.extend_from_slice(piece);
                text.extend_from_slice(place.replace('#', &number.to_string()).as_bytes());
            }
            prop_assert_eq!(cache.class(&text, dialect), classify(&text, dialect));
        }
    }
}

#[test]
fn long_texts_take_linear_time() {
    let units = [
        "(",
        ")",
        "/*",
        "/*!",
        "/*!999999 /*",
        "*/",
        "'",
        "\\",
        "`",
        "``",
        "\"",
        "--",
        "-- ",
        "#",
        "@",
        "@@",
        ";",
        "$",
        "$a$",
        "$$",
        "1e",
        "0x",
        ".",
        "a.",
        ",",
        "(1,",
        "(1),",
        "?,",
        "/*+`",
        "SET ",
        "SET a=1,",
        "WITH ",
        "WITH a AS (",
        "EXPLAIN ",
        "SET STATEMENT a=1 FOR ",
        "INSERT INTO t VALUES (1),(",
        "SELECT ",
        "BEGIN;",
        "x'",
        "N'",
        "\u{e9}",
        "KILL ",
        "CREATE ",
        "- ",
        "IN (-1,",
        "IF ",
        "CALL p(",
        "ANALYZE ",
        "LOAD DATA ",
        "\0",
    ];
    let all = units.map(|unit| (unit, 1 << 17));
    let all = all.into_iter().chain([("(", 1 << 20), ("/*", 1 << 20)]);
    for (unit, length) in all {
        let text = unit.repeat(length / unit.len() + 1);
        for dialect in [Dialect::mysql(90_704), Dialect::mariadb(101_119)] {
            let begin = Instant::now();
            let _ = (
                classify(text.as_bytes(), dialect),
                digest(text.as_bytes(), dialect),
            );
            everything(&text.as_bytes()[..1 << 13], dialect);
            // Linear is far below a second even unoptimised; quadratic would take minutes.
            let took = begin.elapsed();
            assert!(took < Duration::from_secs(20), "{unit:?} took {took:?}");
        }
    }
}
