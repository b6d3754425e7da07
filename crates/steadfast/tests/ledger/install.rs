//! Installing, installing again, removing.

use steadfast_sandbox::{Kind, Server};

use crate::on_both;
use crate::place::{Place, failed, run, succeeded, text};
use crate::session::{Session, now};

on_both!(
    it_is_installed_and_removed,
    installing_again_keeps_what_is_there,
    a_dry_run_changes_nothing_and_its_sql_does_the_same,
    what_is_of_another_version_is_replaced,
    a_table_of_another_shape_is_left_alone,
    a_database_of_somebody_else_is_left_alone,
    a_read_only_server_is_left_alone,
    an_account_that_was_there_is_locked,
);

fn it_is_installed_and_removed(place: &Place) {
    assert_eq!(place.status()["state"], "missing");
    let said = place.done(&["install"]);
    assert!(said.starts_with("the ledger is installed"), "{said}");
    let status = place.status();
    assert_eq!(status["state"], "current", "{status}");
    assert_eq!(
        (&status["lanes"], &status["fenced"]),
        (&0.into(), &0.into())
    );
    place.sql("CREATE USER app@'%' IDENTIFIED BY '';");
    place.done(&["install"]);
    let mut app = Session::new(place.server(), "app");
    assert_eq!(app.commit(7, 1, 1), Ok(()));
    drop(app);

    place.done(&["remove"]);
    assert_eq!(place.status()["state"], "missing");
    let left = place.sql(
        "SELECT 'database' FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'steadfast'
         UNION SELECT User FROM mysql.user WHERE User = 'steadfast_ledger'
         UNION SELECT User FROM mysql.db WHERE Db = 'steadfast'",
    );
    assert_eq!(left, "");
    // Nothing to remove is no error.
    place.done(&["remove"]);
}

fn installing_again_keeps_what_is_there(place: &Place) {
    place.sql("CREATE USER app@'%' IDENTIFIED BY '';");
    place.done(&["install"]);
    let mut app = Session::new(place.server(), "app");
    app.commit(7, 1, 1).unwrap();
    let all = "SELECT GROUP_CONCAT(lane, secret, sequence, opened ORDER BY lane) FROM steadfast.commit_ledger";
    let made = "SELECT GROUP_CONCAT(CREATED) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'steadfast'";
    let before = (place.value(all), place.value(made));
    // The servers show it in seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    place.done(&["install"]);
    assert_eq!((place.value(all), place.value(made)), before);
    assert_eq!(app.commit(7, 1, 2), Ok(()));
}

fn a_dry_run_changes_nothing_and_its_sql_does_the_same(place: &Place) {
    place.sql("CREATE USER app@'%' IDENTIFIED BY '';");
    let install = place.done(&["install", "--dry-run"]);
    assert_eq!(place.status()["state"], "missing");
    place.sql(&install);
    let status = place.status();
    assert_eq!(
        (&status["state"], &status["without"]),
        (&"current".into(), &serde_json::json!([]))
    );
    let remove = place.done(&["remove", "--dry-run"]);
    assert_eq!(place.status()["state"], "current");
    place.sql(&remove);
    assert_eq!(place.status()["state"], "missing");
    for script in [install, remove] {
        assert!(!script.contains(place.server().admin_password()));
    }
}

fn what_is_of_another_version_is_replaced(place: &Place) {
    place.done(&["install"]);
    for (change, fault) in [
        (
            "DROP PROCEDURE steadfast.fence; CREATE PROCEDURE steadfast.fence() BEGIN END;",
            "the procedure fence does not run with the rights",
        ),
        (
            "DROP PROCEDURE steadfast.sweep;
             CREATE DEFINER=steadfast_ledger@localhost PROCEDURE steadfast.sweep() BEGIN END;",
            "the procedure sweep is of another version",
        ),
        (
            "TRUNCATE steadfast.commit_ledger;",
            "the row of lane 0, which says how old the ledger is, is missing",
        ),
        (
            "ALTER USER steadfast_ledger@localhost ACCOUNT UNLOCK;",
            "the account 'steadfast_ledger'@'localhost' is not locked",
        ),
    ] {
        place.sql(change);
        let status = place.status();
        assert_eq!(status["state"], "outdated", "{status}");
        assert_eq!(status["faults"].as_array().unwrap().len(), 1, "{status}");
        let found = status["faults"][0].as_str().unwrap();
        assert!(found.starts_with(fault), "{found}");
        let said = text(&place.ledger(&["status"]).stdout);
        assert!(
            said.contains("run `steadfast ledger install` again"),
            "{said}"
        );
        assert!(said.contains(fault), "{said}");
        place.done(&["install"]);
        assert_eq!(place.status()["state"], "current");
    }
    place.sql("DROP PROCEDURE steadfast.commit;");
    assert_eq!(place.status()["state"], "damaged");
    place.done(&["install"]);
    assert_eq!(place.status()["state"], "current");
}

fn a_table_of_another_shape_is_left_alone(place: &Place) {
    for (change, fault) in [
        ("ADD COLUMN note INT", "has other columns"),
        ("MODIFY lane INT", "has other columns"),
        ("DROP PRIMARY KEY", "has other columns"),
        ("ENGINE = MyISAM", "is in MyISAM, not in InnoDB"),
    ] {
        place.done(&["install"]);
        place.sql(&format!("ALTER TABLE steadfast.commit_ledger {change};"));
        let error = place.refused(&["install"]);
        assert!(error.contains(fault), "{error}");
        assert!(error.contains("`steadfast ledger remove`"), "{error}");
        assert_eq!(place.status()["state"], "outdated");
        place.done(&["remove"]);
    }
}

fn a_database_of_somebody_else_is_left_alone(place: &Place) {
    place.sql("CREATE DATABASE steadfast; CREATE TABLE steadfast.orders (id INT PRIMARY KEY);");
    place.sql("CREATE PROCEDURE steadfast.pay() BEGIN END; CREATE FUNCTION steadfast.commit() RETURNS INT DETERMINISTIC RETURN 1;");
    let error = place.refused(&["install"]);
    for part in [
        "the table orders",
        "the procedure pay",
        "the function commit",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let warnings = place.status()["warnings"].to_string();
    assert!(warnings.contains("the procedure pay"), "{warnings}");
    // What is of the ledger goes, the rest stays.
    let said = place.done(&["remove"]);
    assert!(said.contains("the database steadfast stays"), "{said}");
    assert_eq!(place.value("SELECT COUNT(*) FROM steadfast.orders"), "0");
}

fn a_read_only_server_is_left_alone(place: &Place) {
    place.sql("SET GLOBAL read_only = 1;");
    let error = failed(&place.ledger(&["install"]));
    place.sql("SET GLOBAL read_only = 0;");
    assert!(
        error.contains("is read_only: install on the primary"),
        "{error}"
    );
    assert_eq!(place.status()["state"], "missing");
}

fn an_account_that_was_there_is_locked(place: &Place) {
    place.sql(
        "CREATE USER steadfast_ledger@localhost IDENTIFIED BY 'known';
         CREATE DATABASE app; GRANT SELECT ON app.* TO steadfast_ledger@localhost;",
    );
    place.done(&["install"]);
    let status = place.status();
    assert_eq!(status["state"], "current", "{status}");
    let warnings = status["warnings"].to_string();
    assert!(warnings.contains("GRANT SELECT ON `app`.*"), "{warnings}");
    let login = place
        .server()
        .client()
        .args(["--user=steadfast_ledger", "--execute=SELECT 1"])
        .env("MYSQL_PWD", "known")
        .output()
        .unwrap();
    assert!(text(&login.stderr).contains("locked"), "{login:?}");
}

/// What installing, using and removing must not depend on.
const DEFAULTS: &[&str] = &[
    "sql_mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
    "default_storage_engine=MyISAM",
    "transaction_isolation=SERIALIZABLE",
    "completion_type=CHAIN",
    "autocommit=0",
    "character_set_server=latin1",
    "log_bin=log",
    "server_id=7",
];

fn it_works_under_odd_defaults(kind: Kind, more: &[&str], passwords: &str) {
    let server = DEFAULTS
        .iter()
        .chain(more)
        .fold(Server::of(kind), |builder, option| builder.option(option))
        .start()
        .unwrap();
    let admin = |arguments: &[&str]| {
        run(
            &server,
            server.admin_user(),
            server.admin_password(),
            arguments,
        )
    };
    server.sql("CREATE USER app@'%' IDENTIFIED BY '';").unwrap();
    server.sql(passwords).unwrap();
    let script = succeeded(&admin(&["install", "--dry-run"]));
    succeeded(&admin(&["install"]));
    let mut app = Session::new(&server, "app");
    for sequence in 1..4 {
        assert_eq!(app.commit(7, 1, sequence), Ok(()));
    }
    assert_eq!(app.fence(7, 1).as_deref(), Some("3"));
    assert_eq!(app.fence(8, 1).as_deref(), Some("0"));
    app.run("CALL steadfast.sweep()");
    assert_eq!(app.fence_made(9, 1, now() - 50_000), None);
    let status = admin(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(
        (&status["state"], &status["fenced"]),
        (&"current".into(), &3.into()),
        "{status}"
    );
    drop(app);
    succeeded(&admin(&["remove"]));
    server.sql(&script).unwrap();
    succeeded(&admin(&["status"]));
    let script = succeeded(&admin(&["remove", "--dry-run"]));
    server.sql(&script).unwrap();
}

/// strict_password_validation is on by default, but does nothing without a plugin that looks at passwords.
#[test]
fn a_server_that_must_see_passwords_says_what_to_do() {
    let server = Server::of(Kind::MariaDb).start().unwrap();
    server
        .sql("INSTALL SONAME 'simple_password_check';")
        .unwrap();
    let install = || {
        run(
            &server,
            server.admin_user(),
            server.admin_password(),
            &["install"],
        )
    };
    let error = failed(&install());
    let cure = "SET GLOBAL strict_password_validation = OFF";
    assert!(error.contains(cure), "{error}");
    server.sql(cure).unwrap();
    succeeded(&install());
}

#[test]
fn it_works_under_odd_defaults_of_mariadb() {
    it_works_under_odd_defaults(
        Kind::MariaDb,
        &[
            "lower_case_table_names=1",
            "innodb_force_primary_key=1",
            "binlog_format=STATEMENT",
        ],
        "INSTALL SONAME 'simple_password_check'; SET GLOBAL strict_password_validation = 0;",
    );
}

#[test]
fn it_works_under_odd_defaults_of_mysql() {
    it_works_under_odd_defaults(
        Kind::MySql,
        &[
            "sql_require_primary_key=1",
            "gtid_mode=ON",
            "enforce_gtid_consistency=ON",
            "partial_revokes=1",
        ],
        "INSTALL COMPONENT 'file://component_validate_password';",
    );
}
