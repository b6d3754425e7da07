//! A server whose owner is killed leaves no process and no directory.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The example program, which cargo builds before it runs the tests.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join("examples/server")
}

/// The example with its server: pid and directory.
fn owner(kind: &str) -> (Child, u32, PathBuf) {
    let mut owner = Command::new(example())
        .arg(kind)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut pid, mut directory) = (None, None);
    for line in BufReader::new(owner.stdout.take().unwrap()).lines() {
        match line.unwrap().split_once(' ') {
            Some(("pid", value)) => {
                pid = value.parse().ok();
                break;
            }
            Some(("directory", value)) => directory = Some(PathBuf::from(value)),
            _ => {}
        }
    }
    (owner, pid.unwrap(), directory.unwrap())
}

fn signal(name: &str, pid: u32) {
    let status = Command::new("/bin/sh")
        .args(["-c", &format!("kill -s {name} {pid}")])
        .status();
    assert!(status.unwrap().success());
}

fn check_gone(what: &str, pid: u32, directory: &Path) {
    let begun = Instant::now();
    while Path::new(&format!("/proc/{pid}")).exists() || directory.exists() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{what}: process {pid}, {directory:?}"
        );
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_owner_killed_by_a_signal_leaves_nothing() {
    for name in ["KILL", "INT", "TERM"] {
        let (mut owner, pid, directory) = owner("mariadb");
        assert!(directory.exists());
        signal(name, owner.id());
        owner.wait().unwrap();
        check_gone(name, pid, &directory);
    }
}

#[test]
fn an_owner_killed_while_its_server_is_frozen_leaves_nothing() {
    let (mut owner, pid, directory) = owner("mysql");
    signal("STOP", pid);
    signal("KILL", owner.id());
    owner.wait().unwrap();
    check_gone("frozen", pid, &directory);
}

#[test]
fn an_owner_killed_while_it_starts_a_server_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    for milliseconds in [20, 100, 250, 400] {
        let mut owner = Command::new(example())
            .arg("mariadb")
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        sleep(Duration::from_millis(milliseconds));
        signal("KILL", owner.id());
        owner.wait().unwrap();
        let begun = Instant::now();
        while temporary.path().read_dir().unwrap().next().is_some() {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "after {milliseconds} ms"
            );
            sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_panic_leaves_nothing() {
    let panicked = std::thread::spawn(|| {
        let server = steadfast_sandbox::Server::mariadb().start().unwrap();
        let (pid, directory) = (server.pid().unwrap(), server.data_dir());
        std::panic::resume_unwind(Box::new((pid, directory)));
    });
    let (pid, directory) = *panicked
        .join()
        .unwrap_err()
        .downcast::<(u32, PathBuf)>()
        .unwrap();
    check_gone("panic", pid, directory.parent().unwrap());
}
