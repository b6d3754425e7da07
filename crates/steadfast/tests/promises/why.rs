//! Every loss is explained: `steadfast why` names the cause, on what evidence, and what to do.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use steadfast_sandbox::Kind;

use crate::case::Case;
use crate::client::Client;

/// An incident is judged once the server has told its side, and at the latest after this.
const JUDGED: Duration = Duration::from_secs(3);

/// Steadfast looks at the server from the first login on: what moved since is what tells.
fn looked_at() {
    sleep(Duration::from_millis(1_500));
}

/// Whole seconds of uptime tell a restart from none only of a server that has been up for a while.
fn up_for_a_while() {
    sleep(Duration::from_millis(3_500));
}

#[track_caller]
fn why(case: &Case, args: &[&str]) -> Value {
    let got = Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .args(["why", "--json", "--state-dir"])
        .arg(case.steadfast.state_dir())
        .args(args)
        .output()
        .unwrap();
    assert!(
        got.status.success(),
        "{}",
        String::from_utf8_lossy(&got.stderr)
    );
    serde_json::from_slice(&got.stdout).unwrap()
}

/// The incidents, the oldest first, when there are so many of them.
#[track_caller]
fn incidents(case: &Case, count: usize) -> Vec<Value> {
    let mut found = Vec::new();
    case.wait("the incidents are written", JUDGED, || {
        found = why(case, &[])["incidents"].as_array().unwrap().clone();
        found.len() >= count
    });
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

#[track_caller]
fn answer(incident: &Value) -> &str {
    incident["why"]["answer"].as_str().unwrap()
}

/// The last of so many incidents comes to one of these answers when the server is back.
#[track_caller]
fn is_known(case: &Case, count: usize, answers: &[&str]) {
    let begun = Instant::now();
    loop {
        let found = incidents(case, count);
        let last = &found[count - 1];
        if answers.contains(&answer(last)) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{last:#}");
        sleep(Duration::from_millis(50));
    }
}

/// The server connection that this client has now.
#[track_caller]
fn server_connection(client: &mut Client) -> String {
    client.line("SELECT CONNECTION_ID()")
}

fn a_kill_is_named(case: &Case) {
    let mut client = case.client();
    let mut idle = case.client();
    let id = server_connection(&mut idle);
    let busy = server_connection(&mut client);
    looked_at();
    client.start_query("SELECT SLEEP(20), 'a secret'");
    case.wait("the statement runs", JUDGED, || {
        case.running("a secret") == 1
    });
    let mut witness = case.witness();
    witness.run(&[&format!("KILL {busy}")]);
    let told = client.answer();
    let told = told.fails("1317/70100");
    let found = incidents(case, 1);
    assert_eq!(answer(&found[0]), "killed", "{:#}", found[0]);
    assert_eq!(found[0]["error"], 1317);
    assert_eq!(found[0]["server_connection"].to_string(), busy);
    // What the client was told names it; its literals are nowhere.
    let id_of = found[0]["id"].as_str().unwrap();
    assert!(told.contains(id_of), "{told}");
    let whole = why(case, &[id_of]).to_string();
    assert!(
        whole.contains("select sleep(?), ?") && !whole.contains("secret"),
        "{whole}"
    );
    // An idle one is not told of it, and it is known all the same.
    sleep(Duration::from_secs(1));
    witness.run(&[&format!("KILL {id}")]);
    let found = incidents(case, 2);
    assert_eq!(answer(&found[1]), "killed", "{:#}", found[1]);
    assert_eq!(found[1]["error"], 0);
    assert_eq!(idle.line("SELECT 1"), "1");
}

fn the_end_of_the_server_is_told_from_a_shutdown(case: &Case) {
    let mut client = case.client();
    up_for_a_while();
    case.server.restart().unwrap();
    assert_eq!(client.line("SELECT 1"), "1");
    is_known(case, 1, &["shutdown"]);
    up_for_a_while();
    case.server.kill().unwrap();
    case.server.start_again().unwrap();
    assert_eq!(client.line("SELECT 1"), "1");
    // Whether it was for want of memory, only the kernel can tell, and not to everybody.
    is_known(case, 2, &["process-killed", "killed-from-outside"]);
}

fn a_storm_is_one_line(case: &Case) {
    let mut clients: Vec<Client> = (0..20).map(|_| case.client()).collect();
    up_for_a_while();
    case.server.restart().unwrap();
    for client in &mut clients {
        assert_eq!(client.line("SELECT 1"), "1");
    }
    case.wait("all of them are known", Duration::from_secs(10), || {
        let found = incidents(case, 20);
        found.iter().all(|incident| answer(incident) == "shutdown")
    });
    let got = Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .args(["why", "--state-dir"])
        .arg(case.steadfast.state_dir())
        .output()
        .unwrap();
    let list = String::from_utf8(got.stdout).unwrap();
    let shutdowns: Vec<&str> = list
        .lines()
        .filter(|line| line.contains("shutdown"))
        .collect();
    assert_eq!(shutdowns.len(), 1, "{list}");
    assert!(shutdowns[0].contains("   20  "), "{list}");
}

fn a_loss_is_told_while_its_client_waits(case: &Case) {
    let mut client = case.client();
    up_for_a_while();
    client.start_query("SELECT SLEEP(1), 'asked'");
    case.wait("the statement runs", JUDGED, || case.running("asked") == 1);
    case.server.kill().unwrap();
    let mut found = Vec::new();
    case.wait("the loss is told", JUDGED, || {
        found = why(case, &[])["incidents"].as_array().unwrap().clone();
        !found.is_empty()
    });
    assert_eq!(found[0]["waits"], true);
    case.server.start_again().unwrap();
    client.answer().good();
    let found = incidents(case, 1);
    let id = found[0]["id"].as_str().unwrap();
    case.wait("it is told what became of it", JUDGED, || {
        let story = why(case, &[id]);
        story["waits"].is_null()
            && story["outcome"].as_str().unwrap().contains("run again")
            && story["evidence"]["aside"]["boot"]["restarted"].is_number()
    });
}

fn a_restart_behind_a_slow_reader_is_a_restart(case: &Case) {
    let mut client = case.client();
    up_for_a_while();
    client.start_query(
        "SELECT REPEAT('x', 100000) FROM information_schema.COLLATIONS a, information_schema.COLLATIONS b LIMIT 1000",
    );
    sleep(Duration::from_secs(1));
    case.server.kill().unwrap();
    case.server.start_again().unwrap();
    // The loss is seen behind what the server had sent, when its next start has long been heard of.
    sleep(Duration::from_secs(2));
    client.answer().good();
    is_known(case, 1, &["process-killed", "killed-from-outside"]);
}

fn a_statement_that_a_read_only_server_refuses_is_explained(case: &Case) {
    let mut client = case.client();
    client.run(&["CREATE TABLE refused (id INT)"]);
    looked_at();
    case.server.sql("SET GLOBAL read_only = ON").unwrap();
    client.start_query("INSERT INTO refused VALUES (1)");
    client.answer().fails("1290/HY000");
    let found = incidents(case, 1);
    assert_eq!(answer(&found[0]), "demoted", "{:#}", found[0]);
    assert_eq!(found[0]["error"], 1290);
    // An error of the statement's own is none.
    client.start_query("SELECT * FROM nowhere");
    client.answer().fails("1146/42S02");
    sleep(Duration::from_secs(1));
    incidents(case, 1);
}

fn a_packet_that_is_too_large_is_told_with_its_size(case: &Case) {
    let mut client = case.client();
    assert_eq!(client.line("SELECT 'the one before'"), "the one before");
    client.start_query(&format!("SELECT LENGTH('{}')", "x".repeat(2 << 20)));
    client.answer().fails("1153/08S01");
    let found = incidents(case, 1);
    assert_eq!(answer(&found[0]), "packet-too-large", "{:#}", found[0]);
    let evidence = found[0]["why"]["evidence"].to_string();
    assert!(
        evidence.contains("2097170 bytes") && evidence.contains("max_allowed_packet is 1048576"),
        "{evidence}"
    );
    // It was never taken, and the one before was another.
    assert_eq!(found[0]["statement"], Value::Null);
}

/// The server logs that what the client left behind was KILLED: by Steadfast, after the loss.
fn the_end_of_what_a_client_left_behind_is_not_its_cause(case: &Case) {
    let mut client = case.client();
    looked_at();
    client.start_query("SELECT SLEEP(20), 'left'");
    case.wait("the statement runs", JUDGED, || case.running("left") == 1);
    drop(client);
    case.wait("it is ended", JUDGED, || case.running("left") == 0);
    let found = incidents(case, 1);
    assert_eq!(answer(&found[0]), "client-left", "{:#}", found[0]);
}

/// Statements with literals, where they are asked for; those with passwords never.
fn literals_are_kept_where_they_are_asked_for(kind: Kind) {
    let case = Case::alone(kind, &[], "[incidents]\nliterals = true\n");
    looked_at();
    for (count, statement) in [
        (1, "SELECT SLEEP(20), 'kept'"),
        (2, "SELECT SLEEP(20), 'left out', 'the password'"),
    ] {
        let mut client = case.client();
        client.start_query(statement);
        let part = statement.rsplit('\'').nth(1).unwrap();
        case.wait("the statement runs", JUDGED, || case.running(part) == 1);
        drop(client);
        incidents(&case, count);
    }
    let found = incidents(&case, 2);
    assert_eq!(found[0]["statement"], "SELECT SLEEP(20), 'kept'");
    assert_eq!(found[1]["statement"], "select sleep(?), ?");
}

mod literals_are_kept {
    use super::*;
    #[test]
    fn mariadb() {
        literals_are_kept_where_they_are_asked_for(Kind::MariaDb);
    }
    #[test]
    fn mysql() {
        literals_are_kept_where_they_are_asked_for(Kind::MySql);
    }
}

/// Declares cases on servers of their own: other cases' KILLs and restarts would be taken for theirs.
macro_rules! alone {
    ($($name:ident)*) => {
        $(mod $name {
            use super::*;
            #[test]
            fn mariadb() {
                let options = ["log_warnings=4", "max_allowed_packet=1048576"];
                super::$name(&Case::alone(Kind::MariaDb, &options, ""));
            }
            #[test]
            fn mysql() {
                let options = ["log_error_verbosity=3", "max_allowed_packet=1048576"];
                super::$name(&Case::alone(Kind::MySql, &options, ""));
            }
        })*
    };
}
alone! {
    a_kill_is_named
    the_end_of_the_server_is_told_from_a_shutdown
    a_storm_is_one_line
    a_loss_is_told_while_its_client_waits
    a_restart_behind_a_slow_reader_is_a_restart
    a_statement_that_a_read_only_server_refuses_is_explained
    a_packet_that_is_too_large_is_told_with_its_size
    the_end_of_what_a_client_left_behind_is_not_its_cause
}
