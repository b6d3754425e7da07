//! What `status` warns of.

use serde_json::json;
use steadfast_sandbox::{Kind, Server};

use crate::on_both;
use crate::place::{Place, run, text};
use crate::session::Session;

on_both!(
    settings_that_are_not_durable_are_named,
    lanes_are_counted,
    tables_that_others_may_write_are_named,
);

fn settings_that_are_not_durable_are_named(place: &Place) {
    assert_eq!(place.status()["not_durable"], json!([]));
    place.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 2, GLOBAL sync_binlog = 0;");
    let status = place.status();
    let said = text(&place.ledger(&["status"]).stdout);
    place.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 1, GLOBAL sync_binlog = 1;");
    // Without a binary log, as MariaDB is by default, its setting does not matter.
    let mut expected = vec!["innodb_flush_log_at_trx_commit = 2"];
    if !place.is_mariadb() {
        expected.push("sync_binlog = 0");
    }
    assert_eq!(status["not_durable"], json!(expected));
    assert!(
        said.contains("warning: innodb_flush_log_at_trx_commit = 2: a crash may take COMMITs"),
        "{said}"
    );
}

fn lanes_are_counted(place: &Place) {
    place.sql("CREATE USER app@'%' IDENTIFIED BY '';");
    place.done(&["install"]);
    assert_eq!(place.status()["oldest_seconds"], json!(null));
    let mut app = Session::new(place.server(), "app");
    app.commit(1, 1, 1).unwrap();
    app.commit(2, 1, 1).unwrap();
    app.fence(2, 1);
    place.sql("UPDATE steadfast.commit_ledger SET opened = opened - 7200 WHERE lane = 1;");
    let status = place.status();
    assert_eq!(
        (&status["lanes"], &status["fenced"]),
        (&2.into(), &1.into())
    );
    let age = status["oldest_seconds"].as_u64().unwrap();
    assert!((7200..7260).contains(&age), "{age}");
    let said = place.done(&["status"]);
    assert!(
        said.contains(
            "lanes: 2, 1 of them with a COMMIT that was in doubt; the oldest was first used 2 h ago"
        ),
        "{said}"
    );
}

fn tables_that_others_may_write_are_named(place: &Place) {
    place.sql(
        "CREATE USER careless@'%' IDENTIFIED BY ''; CREATE USER pattern@'%' IDENTIFIED BY '';",
    );
    place.done(&["install"]);
    assert_eq!(place.status()["warnings"], json!([]));
    place.sql("GRANT UPDATE ON steadfast.commit_ledger TO careless@'%'; GRANT ALL ON `s%`.* TO pattern@'%';");
    let warnings = place.status()["warnings"].to_string();
    for name in ["'careless'@'%'", "'pattern'@'%'"] {
        assert!(warnings.contains(name), "{warnings}");
    }
}

#[test]
fn a_binary_log_without_the_ledger_is_told() {
    for (option, told) in [
        ("binlog_ignore_db=steadfast", true),
        ("binlog_do_db=app", true),
        ("binlog_do_db=steadfast", false),
    ] {
        let server = Server::of(Kind::MariaDb)
            .option("log_bin=log")
            .option(option)
            .start()
            .unwrap();
        let ledger = |arguments: &[&str]| {
            run(
                &server,
                server.admin_user(),
                server.admin_password(),
                arguments,
            )
        };
        assert!(ledger(&["install"]).status.success());
        let said = text(&ledger(&["status"]).stdout);
        assert_eq!(
            said.contains("leaves out the database steadfast"),
            told,
            "{option}: {said}"
        );
    }
}
