//! A session keeps what the global settings gave it at its login: SET GLOBAL and a restart change them for new
//! sessions only.

use steadfast_sandbox::Kind;

use crate::case::Case;
use crate::client::Client;

const RESET_CONNECTION: u8 = 31;

/// What both servers call the same.
const SEEN: &str = "SELECT CONCAT_WS(' ', @@sql_mode, @@time_zone, @@foreign_key_checks, @@lock_wait_timeout, \
    @@div_precision_increment, @@lc_time_names, @@autocommit, @@net_read_timeout, 1/3, 'a' || 'b')";

fn change(root: &mut Client) {
    root.run(&[
        "SET GLOBAL sql_mode='PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES'",
        "SET GLOBAL time_zone='+03:00'",
        "SET GLOBAL foreign_key_checks=0",
        "SET GLOBAL lock_wait_timeout=77",
        "SET GLOBAL div_precision_increment=9",
        "SET GLOBAL lc_time_names='de_DE'",
        "SET GLOBAL autocommit=0",
        "SET GLOBAL net_read_timeout=99",
    ]);
}

fn keeps_its_settings(case: &Case) {
    let isolation = if case.is_mariadb() {
        "tx_isolation"
    } else {
        "transaction_isolation"
    };
    let seen = |client: &mut Client| {
        (
            client.line(SEEN),
            client.line(&format!("SELECT @@{isolation}")),
        )
    };
    let mut old = case.client();
    let at_first = seen(&mut old);
    let mut root = case.witness();
    change(&mut root);
    root.run(&[&format!("SET GLOBAL {isolation}='SERIALIZABLE'")]);

    // SET GLOBAL while the session lives.
    case.cut();
    assert_eq!(seen(&mut old), at_first, "after a cut");

    // A session that was given those, and a server that has forgotten them.
    let mut new = case.client();
    let given = seen(&mut new);
    assert_ne!(given, at_first);
    assert_eq!(given, seen(&mut case.witness()));
    let mut changed = case.client();
    changed.run(&["SET time_zone='+05:00'"]);
    case.server.restart().unwrap();
    assert_eq!(seen(&mut new), given, "after a restart");
    assert_eq!(seen(&mut old), at_first, "after a restart");
    // Backslashes are no escapes for it: neither for the server nor for Steadfast's own lexer.
    new.run(&["SET @a = '\\'"]);
    case.cut();
    assert_eq!(new.line("SELECT @a"), "\\");
    new.run(&["COMMIT"]);
    // What it has set itself comes on top.
    assert_eq!(changed.line("SELECT @@time_zone"), "+05:00");
    assert_eq!(changed.line("SELECT @@lock_wait_timeout"), "77");

    // A reset takes the global settings of now.
    changed.command(RESET_CONNECTION, b"").good();
    let now = seen(&mut changed);
    assert_eq!(now, at_first);
    change(&mut case.witness());
    case.cut();
    assert_eq!(seen(&mut changed), now, "after a reset and a cut");
}

#[test]
fn a_session_keeps_what_it_was_given_at_its_login_mariadb() {
    keeps_its_settings(&Case::alone(Kind::MariaDb, &[], ""));
}

#[test]
fn a_session_keeps_what_it_was_given_at_its_login_mysql() {
    keeps_its_settings(&Case::alone(Kind::MySql, &[], ""));
}
