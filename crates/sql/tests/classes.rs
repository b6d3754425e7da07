//! Statements and their classes, in tables: `expected | statement`, one a line.
//!
//! Expected is the kind, `/control`, `+effect`s, `~use`s, `xN` statements if not one, and for
//! inserts `=rows`, `!dup`, `!ignore`. In a statement `\n`, `\t`, `\0` and `\\` are escapes.

use steadfast_sql::{Class, ClassCache, Control, Dialect, InsertRows, Tri, classify};

const MARIADB: Dialect = Dialect::mariadb(101_119);
const MYSQL: Dialect = Dialect::mysql(90_704);

fn describe(class: Class) -> String {
    let mut text = format!("{:?}", class.kind);
    let ends = |name: &str, chain: Tri, release: Tri| {
        let choice = |tri, word: &str| match tri {
            Tri::Unset => String::new(),
            Tri::Yes => format!("({word})"),
            Tri::No => format!("(no-{word})"),
        };
        format!(
            "/{name}{}{}",
            choice(chain, "chain"),
            choice(release, "release")
        )
    };
    match class.control {
        Control::None => {}
        Control::Begin {
            read_only,
            snapshot,
        } => {
            text += "/Begin";
            text += match read_only {
                None => "",
                Some(true) => "(ro)",
                Some(false) => "(rw)",
            };
            text += if snapshot { "(snapshot)" } else { "" };
        }
        Control::Commit { chain, release } => text += &ends("Commit", chain, release),
        Control::Rollback { chain, release } => text += &ends("Rollback", chain, release),
        Control::SetAutocommit(value) => {
            text += match value {
                None => "/autocommit=?",
                Some(true) => "/autocommit=1",
                Some(false) => "/autocommit=0",
            };
        }
        other => text += &format!("/{other:?}"),
    }
    for (name, _) in class.effects.iter_names() {
        text += &format!(" +{name}");
    }
    for (name, _) in class.uses.iter_names() {
        text += &format!(" ~{name}");
    }
    if class.statements != 1 {
        text += &format!(" x{}", class.statements);
    }
    if class.insert.rows != InsertRows::NotInsert {
        text += &format!(" ={:?}", class.insert.rows);
    }
    if class.insert.on_duplicate {
        text += " !dup";
    }
    if class.insert.ignore {
        text += " !ignore";
    }
    text
}

fn unescape(statement: &str) -> Vec<u8> {
    statement
        .replace("\\\\", "\u{1}")
        .replace("\\n", "\n")
        .replace("\\t", "\t")
        .replace("\\0", "\0")
        .replace('\u{1}', "\\")
        .into_bytes()
}

/// Checks a table; the number of its rows.
fn check(table: &str, dialects: &[Dialect]) -> usize {
    let mut wrong = Vec::new();
    let mut rows = 0;
    for line in table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("--- "))
    {
        let (expected, statement) = line.split_once(" | ").unwrap_or(("no bar", line));
        rows += 1;
        for &dialect in dialects {
            let text = unescape(statement);
            let class = classify(&text, dialect);
            // A cache that has met the same with other numbers says the same.
            let mut cache = ClassCache::with_memory(0);
            for digit in *b"079" {
                let other = text.iter().map(|&byte| match byte {
                    b'1'..=b'8' => digit,
                    byte => byte,
                });
                let other: Vec<u8> = other.collect();
                assert_eq!(cache.class(&other, dialect), classify(&other, dialect));
                assert_eq!(cache.class(&text, dialect), class, "{statement}");
            }
            let found = describe(class);
            if found != expected.trim() {
                wrong.push(format!(
                    "{:?}: {statement}\n  expected {}\n  found    {found}",
                    dialect.server,
                    expected.trim()
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {rows}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    rows
}

#[test]
fn statements_of_both_servers() {
    assert!(check(include_str!("classes/both.txt"), &[MARIADB, MYSQL]) > 250);
}

#[test]
fn statements_of_mariadb() {
    check(include_str!("classes/mariadb.txt"), &[MARIADB]);
}

#[test]
fn statements_of_mysql() {
    check(include_str!("classes/mysql.txt"), &[MYSQL]);
}

#[test]
fn statements_in_oracle_mode() {
    let oracle = MARIADB.with_sql_mode(b"ORACLE");
    assert!(oracle.oracle && oracle.ansi_quotes);
    check(include_str!("classes/oracle.txt"), &[oracle]);
}

#[test]
fn ansi_quotes_make_names() {
    let ansi = Dialect {
        ansi_quotes: true,
        ..MYSQL
    };
    check(
        "Select | SELECT \"a;COMMIT\"\n\
         Select +LOCKS ~USER_LOCK | SELECT \"get_lock\"('a', 1)\n\
         Select ~USER_VARIABLE | SELECT @\"a;b\"\n\
         Select/Unknown +UNKNOWN | SELECT \"a\\\\\"b\"",
        &[ansi],
    );
    check(
        "Select | SELECT \"a;COMMIT\"\nSelect | SELECT \"a\\\\\";COMMIT\"",
        &[MYSQL, MARIADB],
    );
}

#[test]
fn without_escapes_a_backslash_ends_nothing() {
    let plain = Dialect {
        no_backslash_escapes: true,
        ..MYSQL
    };
    let text = br"SELECT 'a\'; COMMIT -- '";
    assert_eq!(describe(classify(text, MYSQL)), "Select");
    assert_eq!(
        describe(classify(text, plain)),
        "Select/Unknown +TRANSACTION x2"
    );
}
