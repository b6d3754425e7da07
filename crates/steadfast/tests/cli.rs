//! The command line as a shell sees it: help, exit codes, and what is printed where.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use steadfast_proxy::{Incident, Store};

fn steadfast(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command
        .args(args)
        .env("COLUMNS", "100")
        .env_remove("NO_COLOR");
    command
}

fn output(args: &[&str]) -> Output {
    steadfast(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_command_has_help_with_an_example_and_exit_codes() {
    for command in ["serve", "demo", "ledger", "why", "doctor"] {
        let help = output(&[command, "--help"]);
        assert_eq!(help.status.code(), Some(0));
        let help = text(&help.stdout);
        assert!(
            help.contains(&format!("Examples:\n  steadfast {command}")),
            "{help}"
        );
        assert!(help.contains("Exit codes:\n  0  "), "{help}");
    }
}

#[test]
fn help_texts() {
    for (name, args) in [
        ("steadfast", &["--help"][..]),
        ("serve", &["serve", "--help"]),
        ("demo", &["demo", "--help"]),
        ("ledger", &["ledger", "--help"]),
        ("ledger_install", &["ledger", "install", "--help"]),
        ("why", &["why", "--help"]),
        ("doctor", &["doctor", "--help"]),
    ] {
        insta::assert_snapshot!(name, text(&output(args).stdout));
    }
}

#[test]
fn a_wrong_command_line_or_configuration_is_2_and_says_so_on_stderr() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("steadfast.toml");
    fs::write(&file, "[timeouts]\nhodl = \"60s\"\n").unwrap();
    let file = file.to_str().unwrap();
    for (args, part) in [
        (
            &["serve"][..],
            "steadfast: no server is given; write --backend HOST:3306",
        ),
        (
            &["serve", "--backend", "db"],
            "'db' is no address: it has no port",
        ),
        (
            &["serve", "--backend", "db:3306", "--hold", "60"],
            "write \"60s\" for seconds",
        ),
        (
            &["serve", "--backend", "db:3306", "--threads", "0"],
            "--threads",
        ),
        (
            &["serve", "--backend", "db:3306", "--admin", "no"],
            "or off",
        ),
        (
            &["serve", "--backend", "db:3306", "--log-level", "loud"],
            "possible values: error",
        ),
        (
            &["serve", "--backend", "db:3306", "--backnd", "x"],
            "--backend",
        ),
        (
            &["serve", "--config", file, "--check"],
            "steadfast.toml:2: there is no setting \"hodl\"",
        ),
        (
            &["serve", "--config", "/nonexistent.toml"],
            "/nonexistent.toml cannot be read",
        ),
        (&["demo", "--seconds", "1"], "--seconds"),
        (&["demo", "--server", "oracle"], "mariadb"),
        (&["sreve"], "serve"),
    ] {
        let got = output(args);
        let stderr = text(&got.stderr);
        assert_eq!(got.status.code(), Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(part), "{args:?}: {stderr}");
        assert!(got.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn check_names_the_addresses_and_is_0() {
    let got = output(&["serve", "--backend", "db:3306", "--admin", "off", "--check"]);
    assert_eq!(got.status.code(), Some(0));
    assert_eq!(
        text(&got.stdout),
        "the configuration is good: clients at 127.0.0.1:6033, server at db:3306, no admin address\n"
    );
    assert!(got.stderr.is_empty());
}

#[test]
fn serve_prints_the_bound_addresses_and_ends_with_0_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens at the backend's address: serving begins all the same.
    let mut child = steadfast(&[
        "serve",
        "--backend",
        "127.0.0.1:1",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--log-level",
        "error",
    ])
    .arg("--state-dir")
    .arg(dir.path())
    .stderr(Stdio::piped())
    .spawn()
    .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut address = |start: &str| {
        let line = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.starts_with(start));
        line.unwrap().strip_prefix(start).unwrap().to_owned()
    };
    let clients = address("listening on ");
    let admin = address("admin on http://");
    TcpStream::connect(clients).unwrap();
    let mut stream = TcpStream::connect(admin).unwrap();
    stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.0 200"), "{response}");
    // The shell's own `kill`: a small system has no program of that name.
    let sent = Command::new("/bin/sh")
        .args(["-c", &format!("kill -s TERM {}", child.id())])
        .status()
        .unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
#[cfg(target_os = "linux")]
fn serve_opens_as_many_files_as_the_system_lets_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new("/bin/sh")
        .args(["-c", "ulimit -S -n 100 && exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_steadfast"))
        .args([
            "serve",
            "--backend",
            "127.0.0.1:1",
            "--listen",
            "127.0.0.1:0",
        ])
        .args(["--admin", "off", "--state-dir"])
        .arg(dir.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    lines
        .find(|line| line.as_ref().unwrap().starts_with("listening on "))
        .unwrap()
        .unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .unwrap();
    let mut files = files.split_whitespace();
    let (soft, hard) = (files.next().unwrap(), files.next().unwrap());
    assert_eq!(soft, hard);
}

#[test]
fn an_address_in_use_is_1_with_the_cure() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (args, flag) in [
        (["--listen", &taken, "--admin", "off"], "--listen"),
        (["--listen", "127.0.0.1:0", "--admin", &taken], "--admin"),
    ] {
        let got = steadfast(&["serve", "--backend", "127.0.0.1:1"])
            .args(args)
            .arg("--state-dir")
            .arg(dir.path())
            .output()
            .unwrap();
        let stderr = text(&got.stderr);
        assert_eq!(got.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(&taken) && stderr.contains(flag), "{stderr}");
    }
}

/// Lines of several logs, as somebody would paste them.
const PASTED: &str = "\
> Nov  2 03:04:05 db1 mariadbd[815]: 2026-11-02  3:04:05 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision x as process 815\r
> Nov  2 03:04:06 db1 mariadbd[815]: 2026-11-02  3:04:06 0 [Note] /usr/sbin/mariadbd: ready for connections.\r
> Nov  2 04:00:00 db1 mariadbd[815]: 2026-11-02  4:00:00 71 [Warning] Aborted connection 71 to db: 'shop' user: 'app' host: '10.0.0.7' (Got a packet bigger than 'max_allowed_packet' bytes)\r
[64377.426677] Memory cgroup out of memory: Killed process 815 (mariadbd) total-vm:2097152kB, anon-rss:1048576kB\r
> Nov  2 05:00:09 db1 mariadbd[902]: 2026-11-02  5:00:09 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision x as process 902\r
> Nov  2 05:00:09 db1 mariadbd[902]: 2026-11-02  5:00:09 0 [Note] InnoDB: Starting crash recovery from checkpoint LSN=45056\r
> Nov  2 05:00:10 db1 mariadbd[902]: 2026-11-02  5:00:10 0 [Note] /usr/sbin/mariadbd: ready for connections.\r
";

#[test]
fn why_explains_what_is_pasted() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pasted.txt");
    fs::write(&file, PASTED).unwrap();
    let file = file.to_str().unwrap();
    let got = output(&["why", "--from", file]);
    assert_eq!(got.status.code(), Some(0));
    insta::assert_snapshot!("why_from", text(&got.stdout));

    let got = output(&["why", "--json", "--from", file]);
    let json: serde_json::Value = serde_json::from_slice(&got.stdout).unwrap();
    let answers: Vec<&str> = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["answer"].as_str().unwrap())
        .collect();
    assert_eq!(answers, ["packet-too-large", "out-of-memory"]);
    assert_eq!(json["findings"][1]["certainty"], "proved");
}

#[test]
fn why_reads_the_standard_input_and_says_so_when_nothing_is_in_it() {
    let mut child = steadfast(&["why", "--from", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"all is well\n\xff\xfe\n").unwrap();
    drop(stdin);
    let got = child.wait_with_output().unwrap();
    assert_eq!(got.status.code(), Some(0));
    let stdout = text(&got.stdout);
    assert!(
        stdout.starts_with("Nothing here tells of a lost connection"),
        "{stdout}"
    );

    let got = output(&["why", "--from", "/nowhere/error.log"]);
    assert_eq!(got.status.code(), Some(1));
    let stderr = text(&got.stderr);
    assert!(
        stderr.starts_with("steadfast: /nowhere/error.log cannot be read"),
        "{stderr}"
    );
}

#[test]
fn why_reads_endless_lines_and_logs_in_bounded_memory() {
    // Private memory is limited to 48 MiB, where the system can limit it.
    let program = env!("CARGO_BIN_EXE_steadfast");
    let mut child = Command::new("sh")
        .args([
            "-c",
            "ulimit -d 49152; exec \"$0\" why --json --from -",
            program,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let endless = vec![b'x'; 1 << 20];
    for _ in 0..128 {
        stdin.write_all(&endless).unwrap();
    }
    stdin.write_all(b"\n").unwrap();
    let losses = 20_000;
    for thread in 0..losses {
        let reason = ["Got an error reading", "Got timeout reading"][thread % 2];
        writeln!(
            stdin,
            "2026-11-02  3:04:05 {thread} [Warning] Aborted connection {thread} to db: 'shop{thread}' user: 'app' host: \
             '10.0.0.7' ({reason} communication packets)\nmysqld got signal 11 ;\nmysqld: ready for connections."
        )
        .unwrap();
    }
    drop(stdin);
    let got = child.wait_with_output().unwrap();
    assert_eq!(got.status.code(), Some(0));
    let json: serde_json::Value = serde_json::from_slice(&got.stdout).unwrap();
    let findings = json["findings"].as_array().unwrap();
    let count = |answer: &str| -> u64 {
        findings
            .iter()
            .filter(|finding| finding["answer"] == answer)
            .map(|finding| finding["count"].as_u64().unwrap())
            .sum()
    };
    assert_eq!(count("read-timeout"), losses as u64 / 2);
    let crashes = count("crash") + json["more"].as_u64().unwrap();
    assert_eq!(crashes, losses as u64);
}

#[test]
fn why_that_nobody_reads_to_its_end_is_no_error() {
    let mut child = steadfast(&["why", "--json", "--from", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(b"ERROR 1040 (08004): Too many connections\n")
        .unwrap();
    drop(stdin);
    let got = child.wait_with_output().unwrap();
    assert_eq!(got.status.code(), Some(0), "{}", text(&got.stderr));
    assert!(got.stderr.is_empty());
}

#[test]
fn why_without_an_incident_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let got = output(&["why", "--state-dir", state]);
    assert_eq!(got.status.code(), Some(0));
    // Where Steadfast has never been, nobody knows of losses.
    assert_eq!(
        text(&got.stdout),
        format!("Steadfast has kept no incidents in {state} (--state-dir).\n")
    );
    let got = output(&["why", "--json", "--state-dir", state]);
    assert!(text(&got.stdout).contains("\"incidents\": []"));
    assert!(text(&got.stderr).contains(state), "{}", text(&got.stderr));
    let got = output(&["why", "--state-dir", state, "bcdfgh"]);
    assert_eq!(got.status.code(), Some(1));
    let stderr = text(&got.stderr);
    assert!(
        stderr.starts_with("steadfast: no incident BCDFGH is known in "),
        "{stderr}"
    );
    // What is no database is not taken for one.
    fs::write(
        dir.path().join("incidents.db"),
        "not a database".repeat(100),
    )
    .unwrap();
    let got = output(&["why", "--state-dir", state]);
    assert_eq!(got.status.code(), Some(1));
    assert!(text(&got.stderr).contains("incidents.db"));
}

/// An incident of this id and time, in milliseconds since 1970.
fn incident(id: &str, at_ms: u64) -> Incident {
    serde_json::from_value(serde_json::json!({
        "id": id, "at_ms": at_ms, "user": "app", "client": "127.0.0.1:1", "connection": 7, "phase": "idle",
        "end": "the server closed the connection", "outcome": "the client saw nothing", "error": 0, "waited_ms": 0,
        "why": { "answer": "killed", "meaning": "Somebody ended it.", "evidence": [], "fix": [] },
        "story": [],
    }))
    .unwrap()
}

#[test]
fn why_of_a_time_without_incidents_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let got = output(&["why", "--state-dir", state]);
    assert_eq!(text(&got.stdout), "No connection to a server was lost.\n");
    store.write(&[incident("BCDFGH", 1)]).unwrap();
    let got = output(&["why", "--state-dir", state, "--since", "5m"]);
    assert_eq!(
        text(&got.stdout),
        "No connection to a server was lost in that time.\n"
    );
    let got = output(&["why", "--state-dir", state]);
    assert!(text(&got.stdout).contains("BCDFGH"));
}

#[test]
fn why_follows_from_now_on_and_tells_nothing_of_before() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    store
        .write(&[incident("BCDFGH", 1), incident("JKLMNP", 2)])
        .unwrap();
    let mut child = steadfast(&["why", "--follow", "--since", "5m", "--state-dir", state])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // It has looked once by then, or begins with what is new.
    std::thread::sleep(Duration::from_secs(2));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    store
        .write(&[incident("QRSTVW", now.as_millis() as u64)])
        .unwrap();
    let first = lines.next().unwrap().unwrap();
    assert!(first.contains("QRSTVW"), "{first}");
    child.kill().unwrap();
    child.wait().unwrap();
}
