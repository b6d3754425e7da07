//! Who may use the ledger.

use serde_json::json;

use crate::on_both;
use crate::place::Place;
use crate::session::Session;

on_both!(
    only_those_named_may_use_it,
    every_account_may_use_it,
    names_may_hold_anything,
    an_account_that_does_not_exist_is_not_made,
    rights_from_roles_patterns_and_everywhere_count,
);

fn only_those_named_may_use_it(place: &Place) {
    place.sql("CREATE USER app@'%' IDENTIFIED BY ''; CREATE USER reports@'%' IDENTIFIED BY '';");
    let said = place.done(&["install", "--for", "app"]);
    assert!(said.contains("may be used by 'app'@'%'"), "{said}");
    let status = place.status();
    assert_eq!(status["without"], json!(["'reports'@'%'"]), "{status}");
    let mut app = Session::new(place.server(), "app");
    let mut reports = Session::new(place.server(), "reports");
    assert_eq!(app.commit(1, 2, 1), Ok(()));
    assert_eq!(reports.commit(3, 2, 1), Err(1370));
}

fn every_account_may_use_it(place: &Place) {
    place.sql("CREATE USER app@'%' IDENTIFIED BY '';");
    place.done(&["install"]);
    assert_eq!(place.status()["without"], json!([]));
    place.sql("CREATE USER later@'%' IDENTIFIED BY '';");
    let status = place.status();
    // Where a server has no PUBLIC, it says who was forgotten.
    let expected = if place.is_mariadb() {
        (json!(true), json!([]))
    } else {
        (json!(false), json!(["'later'@'%'"]))
    };
    assert_eq!(
        (status["everybody"].clone(), status["without"].clone()),
        expected,
        "{status}"
    );
    place.done(&["install"]);
    assert_eq!(place.status()["without"], json!([]));
    assert_eq!(
        Session::new(place.server(), "later").commit(1, 2, 1),
        Ok(())
    );
}

fn names_may_hold_anything(place: &Place) {
    let accounts = [
        "'o''hara'@'%'",
        "'a\\\\b'@'%'",
        "''@'127.0.0.1'",
        "'me@home'@'%'",
        "'\"q\"'@'%'",
    ];
    for account in accounts {
        place.sql(&format!("CREATE USER {account} IDENTIFIED BY '';"));
    }
    let named = ["o'hara", "a\\b", "''@127.0.0.1", "me@home@%", "'\"q\"'"];
    let mut arguments = vec!["install"];
    for name in named {
        arguments.extend(["--for", name]);
    }
    place.done(&arguments);
    let status = place.status();
    assert_eq!(status["without"], json!([]), "{status}");
    place.done(&["remove"]);
    // And where they are read from the server.
    place.done(&["install"]);
    assert_eq!(place.status()["without"], json!([]));
    place.done(&["remove"]);
    assert_eq!(
        place.value("SELECT COUNT(*) FROM mysql.db WHERE Db = 'steadfast'"),
        "0"
    );
}

fn an_account_that_does_not_exist_is_not_made(place: &Place) {
    let output = place.ledger(&["install", "--for", "typo"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("'typo'@'%' cannot use the ledger"), "{said}");
    assert!(said.contains("1 of 1 accounts cannot use it"), "{said}");
    assert_eq!(
        place.value("SELECT COUNT(*) FROM mysql.user WHERE User = 'typo'"),
        "0"
    );
    assert_eq!(place.status()["state"], "current");
}

fn rights_from_roles_patterns_and_everywhere_count(place: &Place) {
    place.sql(
        "CREATE USER by_role@'%' IDENTIFIED BY ''; CREATE USER role_off@'%' IDENTIFIED BY '';
         CREATE USER by_pattern@'%' IDENTIFIED BY ''; CREATE USER everywhere@'%' IDENTIFIED BY '';
         CREATE USER locked@'%' IDENTIFIED BY '' ACCOUNT LOCK;
         CREATE ROLE inner_role; CREATE ROLE outer_role; GRANT inner_role TO outer_role;
         GRANT outer_role TO by_role@'%'; GRANT outer_role TO role_off@'%';
         GRANT EXECUTE ON `stead%`.* TO by_pattern@'%'; GRANT EXECUTE ON *.* TO everywhere@'%';",
    );
    place.sql(if place.is_mariadb() {
        "SET DEFAULT ROLE outer_role FOR by_role@'%';"
    } else {
        "SET DEFAULT ROLE outer_role TO by_role@'%';"
    });
    place.done(&["install", "--for", "root@localhost"]);
    place.sql("GRANT EXECUTE ON steadfast.* TO inner_role;");
    let status = place.status();
    assert_eq!(status["without"], json!(["'role_off'@'%'"]), "{status}");
    // What it says is so.
    for (lane, (user, may)) in (1..).zip([
        ("by_role", true),
        ("role_off", false),
        ("by_pattern", true),
        ("everywhere", true),
    ]) {
        let answer = Session::new(place.server(), user).commit(lane, 1, 1);
        assert_eq!(answer.is_ok(), may, "{user}: {answer:?}");
    }
    place.done(&["remove"]);
    assert_eq!(
        place.value("SELECT COUNT(*) FROM mysql.db WHERE Db = 'steadfast'"),
        "0"
    );
}
