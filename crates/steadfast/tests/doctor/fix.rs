//! `--fix` mends what it may, and `--undo` brings back what was there.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use steadfast_sandbox::Server;

use crate::on_both;
use crate::place::{Place, QUICK, doctor, found, steadfast, these};

on_both!(
    fixing_mends_and_undoing_brings_back,
    what_somebody_else_has_set_since_is_left_alone,
    fixing_asks,
    notes_are_fixed_by_name_only,
    what_the_page_says_must_be_granted_is_enough,
    what_was_set_on_another_server_is_not_undone,
);

const BAD: &[(&str, &str)] = &[
    ("wait_timeout", "20"),
    ("net_write_timeout", "5"),
    ("connect_timeout", "2"),
    ("max_allowed_packet", "1048576"),
    ("innodb_flush_log_at_trx_commit", "0"),
    ("sort_buffer_size", "1073741824"),
];

/// All variables, and on MySQL what is persisted.
fn variables(server: &Server) -> BTreeMap<String, String> {
    let mut text = server.sql("SHOW GLOBAL VARIABLES").unwrap();
    if server.kind() == steadfast_sandbox::Kind::MySql {
        text += &server
            .sql("SELECT CONCAT('persisted ', VARIABLE_NAME), VARIABLE_VALUE FROM performance_schema.persisted_variables")
            .unwrap();
    }
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.split_once('\t')?;
            Some((name.to_owned(), value.to_owned()))
        })
        // They move by themselves.
        .filter(|(name, _)| !name.starts_with("gtid_"))
        .collect()
}

fn with_state<'a>(state: &'a Path, arguments: &[&'a str]) -> Vec<&'a str> {
    let state = ["--state-dir", state.to_str().unwrap()];
    QUICK
        .iter()
        .chain(&state)
        .chain(arguments)
        .copied()
        .collect()
}

fn undo(state: &Path) -> [&str; 3] {
    ["--undo", "--state-dir", state.to_str().unwrap()]
}

fn fixing_mends_and_undoing_brings_back(place: &Place) {
    let server = place.server();
    let state = tempfile::tempdir().unwrap();
    let _set = place.set(BAD);
    let before = variables(server);
    let output = doctor(
        server,
        &with_state(state.path(), &["--fix", "--yes", "--json"]),
    );
    let answer: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    assert_eq!(output.status.code(), Some(0), "{answer}");
    assert_eq!(
        answer["fixed"]["done"].as_array().unwrap().len(),
        BAD.len(),
        "{answer}"
    );
    assert_eq!(found(server, &[]), these(&[]));
    let lines = answer["fixed"]["options"].to_string();
    assert_eq!(
        lines.contains("wait_timeout = 28800"),
        place.is_mariadb(),
        "{lines}"
    );
    // A second time there is nothing to do, and what was there first is still known.
    let again = doctor(server, &with_state(state.path(), &["--fix", "--yes"]));
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let output = doctor(server, &undo(state.path()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(variables(server), before);
    let left: Vec<String> = std::fs::read_dir(state.path().join("doctor"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(left.len() == 1 && left[0].starts_with("seen-"), "{left:?}");
    let output = doctor(server, &undo(state.path()));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

fn what_somebody_else_has_set_since_is_left_alone(place: &Place) {
    let server = place.server();
    let state = tempfile::tempdir().unwrap();
    let _set = place.set(&[("wait_timeout", "20"), ("connect_timeout", "2")]);
    let output = doctor(server, &with_state(state.path(), &["--fix", "--yes"]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    place.sql("SET GLOBAL wait_timeout = 7777");
    let output = doctor(server, &undo(state.path()));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("wait_timeout: somebody has set it to 7777 since; it was 20"),
        "{said}"
    );
    assert_eq!(
        place.sql("SELECT @@GLOBAL.wait_timeout, @@GLOBAL.connect_timeout"),
        "7777\t2\n"
    );
    if !place.is_mariadb() {
        place.sql("RESET PERSIST");
    }
}

fn fixing_asks(place: &Place) {
    let server = place.server();
    let state = tempfile::tempdir().unwrap();
    let _set = place.set(&[("wait_timeout", "20")]);
    let output = doctor(server, &with_state(state.path(), &["--fix"]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("say --yes"), "{said}");
    assert_eq!(place.sql("SELECT @@GLOBAL.wait_timeout"), "20\n");
}

fn notes_are_fixed_by_name_only(place: &Place) {
    let server = place.server();
    let state = tempfile::tempdir().unwrap();
    let _set = place.set(&[("interactive_timeout", "30"), ("wait_timeout", "20")]);
    let fix = |more: &[&str]| {
        let arguments = [&["--fix", "--yes"], more].concat();
        assert_eq!(
            doctor(server, &with_state(state.path(), &arguments))
                .status
                .code(),
            Some(0)
        );
        place.sql("SELECT @@GLOBAL.wait_timeout, @@GLOBAL.interactive_timeout")
    };
    assert_eq!(fix(&[]), "28800\t30\n");
    assert_eq!(fix(&["--only", "interactive-timeout"]), "28800\t28800\n");
    assert_eq!(doctor(server, &undo(state.path())).status.code(), Some(0));
    assert_eq!(
        place.sql("SELECT @@GLOBAL.wait_timeout, @@GLOBAL.interactive_timeout"),
        "20\t30\n"
    );
}

fn what_the_page_says_must_be_granted_is_enough(place: &Place) {
    let state = tempfile::tempdir().unwrap();
    let page = include_str!("../../../../docs/doctor.md");
    let (_, grants) = page.split_once("`--undo` need to set variables:").unwrap();
    let of = if place.is_mariadb() { 1 } else { 0 };
    let grants = grants.split("    -- M").nth(of + 1).unwrap();
    let grants = grants.lines().skip(1).take_while(|line| !line.is_empty());
    let grants: Vec<&str> = grants.collect();
    place.sql("CREATE USER doctor@'%' IDENTIFIED BY 'secret'");
    place.sql(&grants.join("\n"));
    let _set = place.set(BAD);
    let before = variables(place.server());
    let run = |arguments: &[&str]| {
        let output = steadfast()
            .arg("doctor")
            .args(with_state(state.path(), arguments))
            .arg(format!("mysql://doctor@{}", place.server().addr()))
            .env("STEADFAST_PASSWORD", "secret")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let fixed = run(&["--fix", "--yes"]);
    assert_eq!(fixed.matches("done: SET").count(), BAD.len(), "{fixed}");
    run(&["--undo"]);
    assert_eq!(variables(place.server()), before);
    place.sql("DROP USER doctor@'%'");
}

fn what_was_set_on_another_server_is_not_undone(place: &Place) {
    let server = place.server();
    let state = tempfile::tempdir().unwrap();
    let _set = place.set(&[("wait_timeout", "20")]);
    let output = doctor(server, &with_state(state.path(), &["--fix", "--yes"]));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // As a copy of its machine would say.
    let file = std::fs::read_dir(state.path().join("doctor"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_str().unwrap().contains("/undo-"))
        .unwrap();
    let written = std::fs::read_to_string(&file).unwrap();
    let mut content: Value = serde_json::from_str(&written).unwrap();
    content["server"]["hostname"] = "elsewhere".into();
    std::fs::write(&file, content.to_string()).unwrap();
    let output = doctor(server, &undo(state.path()));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("is about another server: hostname elsewhere, now "),
        "{said}"
    );
    assert_eq!(place.sql("SELECT @@GLOBAL.wait_timeout"), "28800\n");
    std::fs::write(&file, written).unwrap();
    assert_eq!(doctor(server, &undo(state.path())).status.code(), Some(0));
    assert_eq!(place.sql("SELECT @@GLOBAL.wait_timeout"), "20\n");
}

#[test]
fn a_log_that_nothing_writes_is_written_again() {
    let place = Place::of(steadfast_sandbox::Kind::MySql);
    let state = tempfile::tempdir().unwrap();
    let _set = place.set(&[("log_error_services", "''")]);
    let only = ["--only", "error-log-suppressed"];
    let arguments = [&["--fix", "--yes"], &only[..]].concat();
    let output = doctor(place.server(), &with_state(state.path(), &arguments));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let services = "SELECT @@GLOBAL.log_error_services";
    assert_eq!(
        place.sql(services),
        "log_filter_internal; log_sink_internal\n"
    );
    let output = doctor(place.server(), &undo(state.path()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(place.sql(services), "\n");
}

/// MySQL keeps what was set over a restart, but for what its command line sets: that is told.
#[test]
fn what_mysql_keeps_over_a_restart() {
    let server = Server::mysql().option("wait_timeout=20").start().unwrap();
    let state = tempfile::tempdir().unwrap();
    let kept = || {
        server
            .sql("SELECT CONCAT_WS(' = ', VARIABLE_NAME, VARIABLE_VALUE) FROM performance_schema.persisted_variables ORDER BY 1")
            .unwrap()
    };
    // Somebody's own, which --fix will change.
    server
        .sql("SET PERSIST log_error_verbosity = 1; SET GLOBAL log_error_verbosity = 2")
        .unwrap();
    let only = ["--only", "error-log", "--only", "wait-timeout"];
    let arguments = [&["--fix", "--yes"], &only[..]].concat();
    let output = doctor(&server, &with_state(state.path(), &arguments));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("command line sets wait_timeout, and wins"),
        "{said}"
    );
    assert_eq!(kept(), "log_error_verbosity = 3\nwait_timeout = 28800\n");
    assert_eq!(doctor(&server, &undo(state.path())).status.code(), Some(0));
    assert_eq!(kept(), "log_error_verbosity = 1\n");
    let now = server
        .sql("SELECT @@GLOBAL.log_error_verbosity, @@GLOBAL.wait_timeout")
        .unwrap();
    assert_eq!(now, "2\t20\n");
    // An --undo that is cut off after its first statement leaves what was persisted: the next one goes on.
    let output = doctor(&server, &with_state(state.path(), &arguments));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    server.sql("SET PERSIST log_error_verbosity = 1").unwrap();
    let output = doctor(&server, &undo(state.path()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(kept(), "log_error_verbosity = 1\n");
    let now = server.sql("SELECT @@GLOBAL.log_error_verbosity").unwrap();
    assert_eq!(now, "2\n");
}
