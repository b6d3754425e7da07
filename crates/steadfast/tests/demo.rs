//! The demo on both real servers, as a shell sees it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

fn demo(arguments: &[&str], temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    command
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", temporary)
        .stdout(Stdio::piped());
    command
}

/// The watchdogs clean up in their own time, but soon.
fn assert_empties(directory: &Path) {
    let begun = Instant::now();
    loop {
        let left: Vec<_> = fs::read_dir(directory).unwrap().collect();
        if left.is_empty() {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "left: {left:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn steadfast_keeps_its_promise_on(server: &str) {
    let temporary = tempfile::tempdir().unwrap();
    let arguments = ["--server", server, "--seconds", "15", "--json"];
    let output = demo(&arguments, temporary.path())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}{said}");
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["kept"], true, "{text}");
    for side in ["direct", "steadfast"] {
        let side = &report[side];
        assert!(side["transfers"].as_u64().unwrap() > 0, "{text}");
        assert!(side["reads"].as_u64().unwrap() > 0, "{text}");
        for zero in ["lost", "doubled", "made_though_failed", "accounts_wrong"] {
            assert_eq!(side[zero], 0, "{zero}: {text}");
        }
        assert_eq!(side["sum_before"], side["sum_after"], "{text}");
    }
    for zero in ["failures", "unknown_told"] {
        assert_eq!(report["steadfast"][zero], 0, "{zero}: {text}");
    }
    // The faults are real: a client without Steadfast notices them.
    assert!(report["direct"]["failures"].as_u64().unwrap() > 0, "{text}");
    let faults = report["faults"].as_array().unwrap();
    let names: Vec<_> = faults.iter().map(|fault| fault["fault"].clone()).collect();
    assert_eq!(
        names,
        ["kill", "cut", "commits", "freeze", "restart", "black_hole"]
    );
    let incidents = faults[0]["incidents"].as_array().unwrap();
    assert!(!incidents.is_empty(), "{text}");
    let resolved = faults[2]["incidents"].to_string();
    assert!(resolved.contains("as the ledger tells"), "{text}");
    assert_empties(temporary.path());
}

#[test]
fn steadfast_keeps_its_promise_on_mariadb() {
    steadfast_keeps_its_promise_on("mariadb");
}

#[test]
fn steadfast_keeps_its_promise_on_mysql() {
    steadfast_keeps_its_promise_on("mysql");
}

#[test]
fn a_demo_that_is_stopped_leaves_nothing_behind() {
    for (signal, code) in [("INT", Some(130)), ("KILL", None)] {
        let temporary = tempfile::tempdir().unwrap();
        let mut child = demo(&["--seconds", "30"], temporary.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The first line of the table: server, Steadfast and workload run.
        let running = lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains("direct: "));
        assert!(running.is_some());
        // The shell's own `kill`: a small system has no program of that name.
        let sent = Command::new("/bin/sh")
            .args(["-c", &format!("kill -s {signal} {}", child.id())])
            .status()
            .unwrap();
        assert!(sent.success());
        assert_eq!(child.wait().unwrap().code(), code, "{signal}");
        assert_empties(temporary.path());
    }
}
