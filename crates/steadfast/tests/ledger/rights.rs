//! What the administrator's account needs, and what others cannot do.

use crate::on_both;
use crate::place::{Place, failed, succeeded, text};
use crate::session::Session;

on_both!(
    the_documented_rights_are_enough_and_each_is_needed,
    an_account_that_may_use_it_may_do_nothing_else,
    passwords_are_never_shown,
);

/// docs/ledger.md has the same list.
fn needed(place: &Place) -> Vec<(&'static str, &'static str)> {
    vec![
        ("CREATE USER", "*.*"),
        (
            if place.is_mariadb() {
                "SET USER"
            } else {
                "SET_ANY_DEFINER"
            },
            "*.*",
        ),
        ("CREATE", "steadfast.*"),
        ("CREATE ROUTINE", "steadfast.*"),
        ("ALTER ROUTINE", "steadfast.*"),
        ("SELECT", "steadfast.*"),
        ("INSERT", "steadfast.*"),
        ("UPDATE", "steadfast.*"),
        ("DELETE", "steadfast.*"),
        ("EXECUTE", "steadfast.*"),
    ]
}

fn the_documented_rights_are_enough_and_each_is_needed(place: &Place) {
    place.sql("CREATE USER app@'%' IDENTIFIED BY '';");
    let needed = needed(place);
    for missing in 0..=needed.len() {
        let mut script = "DROP USER IF EXISTS dba@'%', steadfast_ledger@localhost;
            DROP DATABASE IF EXISTS steadfast; CREATE USER dba@'%' IDENTIFIED BY 'dba secret';"
            .to_owned();
        for (at, (right, on)) in needed.iter().enumerate() {
            let option = if *on == "*.*" {
                ""
            } else {
                "WITH GRANT OPTION"
            };
            if at != missing {
                script += &format!("GRANT {right} ON {on} TO dba@'%' {option};");
            }
        }
        place.sql(&script);
        let output = place.ledger_as("dba", "dba secret", &["install", "--for", "app"]);
        match needed.get(missing) {
            None => {
                succeeded(&output);
                assert_eq!(place.status()["state"], "current");
            }
            Some((right, on)) => {
                let error = text(&output.stderr);
                assert_eq!(output.status.code(), Some(1), "without {right} on {on}");
                assert!(
                    error.contains(right) && error.contains(on),
                    "without {right} on {on}: {error}"
                );
                assert!(error.contains("dba on 127.0.0.1"), "{error}");
            }
        }
    }
    // To see who may use it takes one more, to remove it two.
    let error = failed(&place.ledger_as("dba", "dba secret", &["status"]));
    assert!(error.contains("SELECT on mysql.*"), "{error}");
    place.sql("GRANT SELECT ON mysql.* TO dba@'%';");
    let error = failed(&place.ledger_as("dba", "dba secret", &["remove"]));
    assert!(error.contains("DROP on steadfast.*"), "{error}");
    place.sql("GRANT DROP ON steadfast.* TO dba@'%';");
    succeeded(&place.ledger_as("dba", "dba secret", &["remove"]));
}

fn an_account_that_may_use_it_may_do_nothing_else(place: &Place) {
    place.sql("CREATE USER app@'%' IDENTIFIED BY '';");
    place.done(&["install"]);
    let mut app = Session::new(place.server(), "app");
    for statement in [
        "SELECT * FROM steadfast.commit_ledger",
        "UPDATE steadfast.commit_ledger SET fenced = 1",
        "DELETE FROM steadfast.commit_ledger",
        "INSERT INTO steadfast.commit_ledger VALUES (1, 1, 1, 1, 1)",
        "TRUNCATE steadfast.commit_ledger",
        "SELECT lane FROM steadfast.commit_ledger FOR UPDATE",
        "CREATE TABLE steadfast.t (id INT PRIMARY KEY)",
    ] {
        assert_eq!(app.ask(statement), Err(1142), "{statement}");
    }
    // Else creating triggers is refused for another reason.
    place.sql("SET GLOBAL log_bin_trust_function_creators = 1;");
    // 1044, 1227, 1370, 1142 or 1410: denied, in the servers' different words.
    for statement in [
        "DROP PROCEDURE steadfast.commit",
        "CREATE PROCEDURE steadfast.mine() BEGIN END",
        "CREATE TRIGGER steadfast.mine BEFORE INSERT ON steadfast.commit_ledger FOR EACH ROW SET NEW.fenced = 1",
        "LOCK TABLES steadfast.commit_ledger WRITE",
        "CREATE DEFINER=steadfast_ledger@localhost PROCEDURE steadfast.mine() BEGIN END",
        "GRANT EXECUTE ON steadfast.* TO app@'%'",
        "ALTER USER steadfast_ledger@localhost ACCOUNT UNLOCK",
    ] {
        let answer = app.ask(statement);
        assert!(
            matches!(answer, Err(1044 | 1142 | 1227 | 1370 | 1410)),
            "{statement}: {answer:?}"
        );
    }
}

fn passwords_are_never_shown(place: &Place) {
    place.done(&["install"]);
    let url = |text: &str| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_steadfast"))
            .args(["ledger", "status", text])
            .output()
            .unwrap();
        let said = text_of(&output);
        assert!(!said.contains("geheim"), "{said}");
        (output.status.code(), said)
    };
    let address = place.server().addr();
    // What cannot be read is not repeated.
    for wrong in [
        "mysql://root:geheim%4@db",
        "mysql://root:geheim@db:99999",
        "root:geheim@db",
        "mysql://root:geheim@db/app",
    ] {
        assert_eq!(url(wrong).0, Some(2), "{wrong}");
    }
    let (code, said) = url(&format!("mysql://root:geheim@{address}"));
    assert_eq!(code, Some(1));
    assert!(
        said.contains("as root failed") && said.contains("1045"),
        "{said}"
    );
    let password = place.server().admin_password();
    let output = place.ledger(&["status"]);
    assert!(!text_of(&output).contains(password));
}

fn text_of(output: &std::process::Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}
