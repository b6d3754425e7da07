//! A point select needs four system calls beside epoll_wait: strace counts them.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod client;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use steadfast_sandbox::{Kind, Server, strace};

use client::{Client, QUIET, run, server, settings};

/// Steadfast under strace.
struct Traced {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Traced {
    fn start(server: &Server, state: &Path) -> Self {
        let log = state.join("calls");
        let mut child = strace()
            .unwrap()
            .args(["-f", "-qq", "-o"])
            .arg(&log)
            .arg(env!("CARGO_BIN_EXE_steadfast"))
            .arg("serve")
            .arg(format!("--backend={}", server.addr()))
            .args(["--listen=127.0.0.1:0", "--admin=off", "--threads=1"])
            .arg(format!("--config={}", settings(state).display()))
            .arg(format!("--state-dir={}", state.join("state").display()))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .find_map(|line| line.unwrap().strip_prefix("listening on ")?.parse().ok())
            .unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            address,
            log,
        }
    }

    /// Steadfast itself: strace's child.
    fn steadfast(&self) -> Option<String> {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = std::fs::read_to_string(children).ok()?;
        Some(children.split_whitespace().next()?.to_owned())
    }

    /// The thread that serves sessions.
    fn sessions(&self) -> u32 {
        let steadfast = self.steadfast().unwrap();
        let tasks = std::fs::read_dir(format!("/proc/{steadfast}/task")).unwrap();
        tasks
            .map(|task| task.unwrap().path())
            .find(|task| {
                let name = std::fs::read_to_string(task.join("comm")).unwrap();
                name.trim() == "sessions-0"
            })
            .and_then(|task| task.file_name()?.to_str()?.parse().ok())
            .expect("no thread of sessions")
    }

    /// The system calls of that thread by name.
    fn calls(&self) -> BTreeMap<String, usize> {
        let thread = self.sessions().to_string();
        let log = std::fs::read_to_string(&self.log).unwrap();
        let mut calls = BTreeMap::new();
        for line in log.lines() {
            let mut words = line.splitn(2, ' ');
            let (Some(id), Some(call)) = (words.next(), words.next()) else {
                continue;
            };
            let name = call.trim_start().split('(').next().unwrap_or_default();
            // `<... epoll_wait resumed>` is the second half of one that was counted.
            if id == thread && name.starts_with(|first: char| first.is_ascii_lowercase()) {
                *calls.entry(name.to_owned()).or_default() += 1;
            }
        }
        calls
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // strace ends with what it traces, and by no signal.
        if let Some(steadfast) = self.steadfast() {
            let killed = Command::new("/bin/sh")
                .args(["-c", &format!("kill -s KILL {steadfast}")])
                .status();
            assert!(killed.is_ok_and(|status| status.success()));
        }
        let _ = self.child.wait();
    }
}

fn needs_four_calls(kind: Kind) {
    let server = server(kind);
    let state = tempfile::tempdir().unwrap();
    let traced = Traced::start(&server, state.path());
    run(async {
        for prepared in [false, true] {
            let mut client = Client::asking(traced.address, prepared).await;
            let before = traced.calls();
            let queries = 1_000;
            client.ask(queries).await;
            tokio::time::sleep(QUIET).await;
            let mut calls = traced.calls();
            for (name, count) in &mut calls {
                *count -= before.get(name).copied().unwrap_or_default();
            }
            calls.retain(|name, count| *count > 0 && !name.starts_with("epoll_"));
            let all: usize = calls.values().sum();
            assert_eq!(all, 4 * queries, "prepared: {prepared}: {calls:?}");
        }
    });
}

#[test]
fn a_point_select_needs_four_system_calls_on_mariadb() {
    needs_four_calls(Kind::MariaDb);
}

#[test]
fn a_point_select_needs_four_system_calls_on_mysql() {
    needs_four_calls(Kind::MySql);
}
