//! What happens on a server, and what doctor makes of it.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use steadfast_sandbox::{Kind, Server};

use crate::on_both;
use crate::place::{Place, QUICK, answer, doctor, steadfast, these};

on_both!(
    connections_that_are_used_up,
    an_account_without_privileges_says_what_it_could_not_see,
    whoever_waits_for_a_lock_is_seen,
    errors_are_one_line,
);

/// A session of the client program that stays open until it is dropped.
struct Client(Child);

impl Client {
    fn open(server: &Server, first: &str) -> Self {
        let mut command = server.client();
        let mut child = command
            .arg("--unbuffered")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.as_mut().unwrap();
        writeln!(stdin, "{first}").unwrap();
        stdin.flush().unwrap();
        Self(child)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Waits until a query gives this.
#[track_caller]
fn until(server: &Server, query: &str, expected: impl Fn(&str) -> bool) {
    let begun = Instant::now();
    loop {
        let value = server.sql(query).unwrap();
        if expected(value.trim()) {
            return;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{query}: {value}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn connections_that_are_used_up(place: &Place) {
    let server = place.server();
    // One is doctor's.
    let clients: Vec<Client> = (0..8).map(|_| Client::open(server, "SELECT 1;")).collect();
    let connected = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND = 'Sleep'";
    until(server, connected, |count| count == "8");
    let set = place.set(&[("max_connections", "10")]);
    let answer = answer(server, &[]);
    assert_eq!(answer["findings"][0]["check"], "connections", "{answer}");
    assert_eq!(answer["findings"][0]["severity"], "error", "{answer}");
    let seen = answer["findings"][0]["seen"][0].as_str().unwrap();
    assert!(
        seen.contains("of 10 connections are in use: ") && seen.contains("root@localhost"),
        "{seen}"
    );
    drop(clients);
    until(server, connected, |count| count == "0");
    // They were used up once.
    assert_eq!(place.found(&[]), these(&[("connections", "warning")]));
    drop(set);
    server.sql("FLUSH STATUS").unwrap();
    assert_eq!(place.found(&[]), these(&[]));
}

fn an_account_without_privileges_says_what_it_could_not_see(place: &Place) {
    place.sql("CREATE USER plain@'%' IDENTIFIED BY 'secret'");
    let _other = Client::open(place.server(), "SELECT 1;");
    let output = steadfast()
        .args(["doctor", "--json"])
        .args(QUICK)
        .arg(format!("mysql://plain@{}", place.server().addr()))
        .env("STEADFAST_PASSWORD", "secret")
        .output()
        .unwrap();
    place.sql("DROP USER plain@'%'");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{answer}");
    let unseen = answer["not_looked_at"].as_array().unwrap();
    for (check, needs) in [
        ("idle-transactions", "GRANT PROCESS"),
        ("metadata-lock", "GRANT PROCESS"),
        ("replication", "GRANT REPLICA"),
        ("password-expiry", "denied"),
    ] {
        let why = unseen
            .iter()
            .find(|one| one["check"] == check)
            .unwrap_or_else(|| panic!("{check}: {answer}"));
        let why = if check == "replication" && !place.is_mariadb() {
            assert!(
                why["why"]
                    .as_str()
                    .unwrap()
                    .contains("GRANT REPLICATION CLIENT"),
                "{why}"
            );
            continue;
        } else {
            why["why"].as_str().unwrap()
        };
        assert!(why.contains(needs), "{check}: {why}");
    }
}

fn whoever_waits_for_a_lock_is_seen(place: &Place) {
    place.sql("CREATE DATABASE lock_test; CREATE TABLE lock_test.t (a INT) ENGINE=InnoDB");
    let holder = Client::open(place.server(), "BEGIN; SELECT * FROM lock_test.t;");
    until(
        place.server(),
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE COMMAND = 'Sleep'",
        |count| count == "1",
    );
    let waiting: Vec<Client> = (0..10)
        .map(|_| Client::open(place.server(), "ALTER TABLE lock_test.t ADD b INT;"))
        .collect();
    until(
        place.server(),
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'Waiting for table metadata lock'",
        |count| count == "10",
    );
    let answer = answer(place.server(), &["--only", "metadata-lock"]);
    assert_eq!(answer["findings"][0]["severity"], "error", "{answer}");
    drop(waiting);
    until(
        place.server(),
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'Waiting for table metadata lock'",
        |count| {
            // The client has gone, its statement waits.
            for id in place
                .sql("SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE 'ALTER%'")
                .lines()
            {
                let _ended = place.server().sql(&format!("KILL {id}"));
            }
            count == "0"
        },
    );
    drop(holder);
    place.sql("DROP DATABASE lock_test");
}

fn errors_are_one_line(place: &Place) {
    let run = |url: String, password: Option<&str>| {
        let mut command = steadfast();
        command
            .args(["doctor", &url])
            .env_remove("STEADFAST_PASSWORD")
            .stdin(Stdio::null());
        if let Some(password) = password {
            command.env("STEADFAST_PASSWORD", password);
        }
        let output = command.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let url = format!("mysql://root@{}", place.server().addr());
    let (code, said) = run(url.clone(), Some("wrong"));
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("login to"), "{said}");
    let (code, said) = run(url, None);
    assert_eq!((code, said.lines().count()), (Some(2), 1), "{said}");
    let (code, said) = run("mysql://root@127.0.0.1:1".to_owned(), Some(""));
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
}

/// The server counts by account; MariaDB does not count.
#[test]
fn what_mysql_has_counted_makes_it_worse() {
    let place = Place::of(Kind::MySql);
    place.sql("CREATE USER app@localhost");
    let idle = |first: &str| {
        let mut child = place
            .server()
            .client()
            .args(["--user=app", "--unbuffered"])
            .env("MYSQL_PWD", "")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.as_mut().unwrap();
        writeln!(stdin, "{first}").unwrap();
        stdin.flush().unwrap();
        Client(child)
    };
    let counted = |code: u16| {
        until(
            place.server(),
            &format!(
                "SELECT SUM_ERROR_RAISED FROM performance_schema.events_errors_summary_global_by_error WHERE ERROR_NUMBER = {code}"
            ),
            |count| count != "0",
        );
    };
    // An idle cut.
    let client = idle("SET SESSION wait_timeout = 1;");
    counted(4031);
    drop(client);
    let set = place.set(&[("wait_timeout", "120")]);
    let said = answer(place.server(), &["--only", "wait-timeout"]);
    assert_eq!(said["findings"][0]["severity"], "warning", "{said}");
    assert!(
        said["findings"][0]["seen"][0]
            .as_str()
            .unwrap()
            .contains("to app@localhost"),
        "{said}"
    );
    drop(set);
    assert_eq!(place.found(&[]), these(&[]));
    // A packet that is too large.
    let set = place.set(&[("max_allowed_packet", "1048576")]);
    let client = idle(&format!("SELECT LENGTH('{}');", "a".repeat(2 << 20)));
    counted(1153);
    drop(client);
    let said = answer(place.server(), &["--only", "packet-limit"]);
    let seen = said["findings"][0]["seen"][0].as_str().unwrap();
    assert!(seen.contains("larger packets were refused"), "{seen}");
    // The server's moments are whole seconds: that of the packet is rounded, and may be half a second ahead.
    std::thread::sleep(Duration::from_millis(2_100));
    // It is raised once: the server counts until its next start what was refused before.
    for _ in 0..2 {
        let state = tempfile::tempdir().unwrap();
        let arguments = ["--fix", "--yes", "--only", "packet-limit", "--state-dir"];
        let state = [state.path().to_str().unwrap()];
        let output = doctor(place.server(), &[&QUICK[..], &arguments, &state].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let limit = place.sql("SELECT @@GLOBAL.max_allowed_packet");
        assert_eq!(limit, "67108864\n");
    }
    place.sql("RESET PERSIST");
    drop(set);
    assert_eq!(place.found(&[]), these(&[]));
    place.sql("TRUNCATE performance_schema.events_errors_summary_global_by_error");
    // init_connect that fails.
    let set = place.set(&[("init_connect", "'SELECT * FROM no.such'")]);
    let client = idle("SELECT 1;");
    counted(1184);
    drop(client);
    assert_eq!(place.found(&[]), these(&[("init-connect", "error")]));
    drop(set);
    place.sql("DROP USER app@localhost");
}
