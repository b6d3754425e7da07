//! Locks and temporary tables that went with a lost connection: nobody goes on believing in them.

use std::time::Duration;

use steadfast_sandbox::{Cut, Kind, Side};

use crate::case::{Case, on_both_servers};
use crate::client::Client;

const LOST: &str = "1053/08S01";
const PING: u8 = 14;
const RESET_CONNECTION: u8 = 31;

/// Every command is refused, whatever it is.
#[track_caller]
fn refuses_everything(client: &mut Client) {
    for sql in [
        "SELECT 1",
        "ROLLBACK",
        "COMMIT",
        "BEGIN",
        "INSERT INTO t (n) VALUES (9)",
        "UNLOCK TABLES",
        "SELECT RELEASE_ALL_LOCKS()",
    ] {
        let answer = client.query(sql);
        assert_eq!(answer.error(), LOST, "{sql}: {answer:?}");
    }
    client.command(PING, b"").fails(LOST);
}

/// The statement takes hold of something; its loss is told until the session starts anew.
#[track_caller]
fn is_told_until_reset(case: &Case, takes: &[&str], what: &str) {
    // By COM_RESET_CONNECTION.
    let mut client = case.client();
    client.run(takes);
    case.cut();
    let message = client.query("SELECT 1").fails(LOST);
    assert!(message.contains(what), "{message}");
    refuses_everything(&mut client);
    client.command(RESET_CONNECTION, b"").good();
    assert_eq!(client.line("SELECT 1"), "1");
    // By COM_CHANGE_USER.
    client.run(takes);
    case.cut();
    refuses_everything(&mut client);
    client.change_user().good();
    assert_eq!(client.line("SELECT 1"), "1");
    // By a new connection.
    client.run(takes);
    case.cut();
    refuses_everything(&mut client);
    assert_eq!(case.client().line("SELECT 1"), "1");
    assert_eq!(case.rows(), Vec::<String>::new());
}

on_both_servers! {
    fn a_lost_user_lock_is_told_to_every_command_until_reset(case) {
        is_told_until_reset(case, &["SELECT GET_LOCK('promises', 5)"], "GET_LOCK");
    }

    fn a_lost_table_lock_is_told_to_every_command_until_reset(case) {
        is_told_until_reset(case, &["LOCK TABLES t WRITE"], "LOCK TABLES");
    }

    fn a_lost_temporary_table_is_told_to_every_command_until_reset(case) {
        is_told_until_reset(case, &["CREATE TEMPORARY TABLE mine (a INT)"], "temporary table");
    }

    fn a_lost_user_lock_in_a_transaction_is_told_until_reset(case) {
        is_told_until_reset(
            case,
            &["BEGIN", "INSERT INTO t (n) VALUES (1)", "DO GET_LOCK('promises in a transaction', 5)"],
            "GET_LOCK",
        );
    }

    fn a_lost_user_lock_taken_by_a_prepared_statement_is_told(case) {
        let mut client = case.client();
        let take = client.prepare("SELECT GET_LOCK('prepared', 5)");
        client.execute(take, &[], true, false).good();
        case.cut();
        refuses_everything(&mut client);
        let mut client = case.client();
        client.run(&["PREPARE s FROM \"SELECT GET_LOCK('prepared', 5)\"", "EXECUTE s"]);
        case.cut();
        refuses_everything(&mut client);
    }

    fn a_user_lock_that_was_given_back_is_none(case) {
        for (takes, releases) in [
            (&["SELECT GET_LOCK('migrate', 5)"][..], &["SELECT RELEASE_LOCK('migrate')"][..]),
            (&["DO GET_LOCK('migrate', 5)"], &["DO RELEASE_LOCK('MIGRATE')", "DO RELEASE_LOCK('migrate')"]),
            (&["SELECT GET_LOCK('a', 5)", "SELECT GET_LOCK('a', 5), GET_LOCK('b', 5)"],
                &["SELECT RELEASE_LOCK('a')", "SELECT RELEASE_LOCK('a'), RELEASE_LOCK('b')"]),
            (&["SELECT GET_LOCK(CONCAT('x', 'y'), 5)"], &["SELECT RELEASE_ALL_LOCKS()"]),
        ] {
            let mut client = case.client();
            client.run(takes);
            client.run(releases);
            case.cut();
            client.run(&["INSERT INTO t (n) VALUES (1)", "DELETE FROM t"]);
        }
        // By prepared statements.
        let mut client = case.client();
        for sql in ["SELECT GET_LOCK('prepared', 5)", "SELECT RELEASE_LOCK('prepared')"] {
            let prepared = client.prepare(sql);
            client.execute(prepared, &[], true, false).good();
        }
        case.cut();
        client.run(&["SELECT 1"]);
        // What asks about the statement before sees it.
        client.run(&["SELECT GET_LOCK('rows', 5)", "DO RELEASE_LOCK('rows')"]);
        assert_eq!(client.line("SELECT ROW_COUNT()"), "0");
        client.run(&["SELECT GET_LOCK('rows', 5)", "SELECT RELEASE_LOCK('rows')"]);
        assert_eq!(client.line("SELECT FOUND_ROWS()"), "1");
        case.cut();
        client.run(&["SELECT 1"]);
    }

    fn a_user_lock_that_was_not_given_back_is_held(case) {
        for sql in [
            "SELECT RELEASE_LOCK('one')",
            "SELECT RELEASE_LOCK('other')",
            "SELECT RELEASE_ALL_LOCKS() FROM t",
            "SELECT 0 AND RELEASE_LOCK('one')",
            "SELECT IS_USED_LOCK('one')",
        ] {
            let mut client = case.client();
            // Twice: one release is not enough.
            client.run(&["SELECT GET_LOCK('one', 5)", "SELECT GET_LOCK('one', 5)", sql]);
            case.cut();
            refuses_everything(&mut client);
        }
        let mut client = case.client();
        client.run(&["SELECT GET_LOCK(CONCAT('o', 'ne'), 5)", "SELECT RELEASE_LOCK('one')"]);
        case.cut();
        refuses_everything(&mut client);
    }

    fn nothing_of_a_session_that_lost_its_lock_stays_on_the_server(case) {
        // Only Steadfast's side of the connection is lost: the server still holds the lock for it.
        let mut client = case.client();
        client.run(&["SELECT GET_LOCK('half open', 5)"]);
        case.link.cut_side(Side::Client, Cut::Rst);
        refuses_everything(&mut client);
        client.vanish();
        case.wait("the lock is free", Duration::from_secs(3), || {
            case.witness().line("SELECT IS_FREE_LOCK('half open')") == "1"
        });
    }
}
