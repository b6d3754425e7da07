//! What happens between looking and setting, and in the middle of `--fix`.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use steadfast_sandbox::Server;

use crate::on_both;
use crate::path::{copy, forward};
use crate::place::{Place, QUICK, steadfast};

on_both!(what_somebody_sets_in_between_is_left_alone);

/// Doctor at this address, as the server's administrator.
fn begun(server: &Server, address: SocketAddr, state: &Path, arguments: &[&str]) -> Child {
    let (user, password) = (server.admin_user(), server.admin_password());
    begun_as(user, password, address, state, arguments)
}

fn begun_as(
    user: &str,
    password: &str,
    address: SocketAddr,
    state: &Path,
    arguments: &[&str],
) -> Child {
    steadfast()
        .arg("doctor")
        .args(QUICK)
        .arg("--state-dir")
        .arg(state)
        .args(arguments)
        .arg(format!("mysql://{user}@{address}"))
        .env("STEADFAST_PASSWORD", password)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

const FIX: [&str; 2] = ["--fix", "--yes"];

fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// The next connection, within a minute.
#[track_caller]
fn accepted(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    loop {
        match listener.accept() {
            Ok((client, _)) => {
                client.set_nonblocking(false).unwrap();
                return client;
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn joined(client: TcpStream, server: SocketAddr) {
    copy(client, TcpStream::connect(server).unwrap(), |from, to| {
        io::copy(from, to).map(drop)
    });
}

#[track_caller]
fn said(output: &Output, code: i32) -> (String, String) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// An address that leads to several servers, such as that of a cluster.
#[test]
fn another_server_behind_the_same_address_is_not_set() {
    let servers = [(); 2].map(|()| Server::mariadb().start().unwrap());
    for server in &servers {
        server
            .sql("CREATE USER everywhere@'%' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO everywhere@'%'; SET GLOBAL wait_timeout = 20")
            .unwrap();
    }
    let state = tempfile::tempdir().unwrap();
    let (listener, address) = listening();
    let doctor = begun_as("everywhere", "secret", address, state.path(), &FIX);
    for server in &servers {
        joined(accepted(&listener), server.addr());
    }
    let (_, error) = said(&doctor.wait_with_output().unwrap(), 1);
    assert!(
        error.contains("nothing was set: another server answers") && error.contains("port "),
        "{error}"
    );
    for server in &servers {
        assert_eq!(server.sql("SELECT @@GLOBAL.wait_timeout").unwrap(), "20\n");
    }
}

fn what_somebody_sets_in_between_is_left_alone(place: &Place) {
    let server = place.server();
    let state = tempfile::tempdir().unwrap();
    let _set = place.set(&[("wait_timeout", "20"), ("connect_timeout", "2")]);
    let (listener, address) = listening();
    let arguments = [&FIX[..], &["--json"]].concat();
    let doctor = begun(server, address, state.path(), &arguments);
    joined(accepted(&listener), server.addr());
    let second = accepted(&listener);
    place.sql("SET GLOBAL wait_timeout = 7777");
    joined(second, server.addr());
    let output = doctor.wait_with_output().unwrap();
    let (answer, _) = said(&output, 0);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let fixed = &answer["fixed"];
    assert_eq!(fixed["skipped"][0]["name"], "wait_timeout", "{fixed}");
    assert_eq!(fixed["done"].as_array().unwrap().len(), 1, "{fixed}");
    let now = "SELECT @@GLOBAL.wait_timeout, @@GLOBAL.connect_timeout";
    assert_eq!(place.sql(now), "7777\t10\n");
    let undo = begun(server, server.addr(), state.path(), &["--undo"]);
    said(&undo.wait_with_output().unwrap(), 0);
    assert_eq!(place.sql(now), "7777\t2\n");
}

/// A server whose protocol can be read on the way.
fn in_the_clear(settings: &str) -> Server {
    let server = Server::mariadb().option("skip-ssl").start().unwrap();
    server.sql(settings).unwrap();
    server
}

/// A forwarder that calls this with each chunk to the server, and ends the connection when it says no.
fn seen(server: &Server, sees: impl Fn(&str) -> bool + Clone + Send + 'static) -> SocketAddr {
    let (listener, address) = listening();
    forward(listener, server.addr(), move |client, server| {
        let mut bytes = [0; 65_536];
        loop {
            let count = client.read(&mut bytes)?;
            let chunk = &bytes[..count];
            if count == 0 || !sees(&String::from_utf8_lossy(chunk)) {
                return Ok(());
            }
            server.write_all(chunk)?;
        }
    });
    address
}

#[test]
fn a_session_that_is_lost_in_the_middle_says_what_was_done() {
    let server = in_the_clear(
        "SET GLOBAL wait_timeout = 20, net_write_timeout = 5, connect_timeout = 2, max_allowed_packet = 1048576",
    );
    let variables = "SELECT @@GLOBAL.wait_timeout, @@GLOBAL.net_write_timeout, @@GLOBAL.connect_timeout, @@GLOBAL.max_allowed_packet";
    let before = server.sql(variables).unwrap();
    for json in [false, true] {
        let may_set = Arc::new(AtomicUsize::new(2));
        let left = Arc::clone(&may_set);
        let address = seen(&server, move |chunk| {
            !chunk.contains("SET GLOBAL") || left.fetch_sub(1, Ordering::SeqCst) > 0
        });
        let state = tempfile::tempdir().unwrap();
        let arguments = [&FIX[..], if json { &["--json"] } else { &[] }].concat();
        let doctor = begun(&server, address, state.path(), &arguments);
        let (told, error) = said(&doctor.wait_with_output().unwrap(), 1);
        assert!(
            error.contains("whether this was done is not known: SET GLOBAL"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
        if json {
            let answer: Value = serde_json::from_str(&told).unwrap();
            let fixed = &answer["fixed"];
            assert_eq!(fixed["done"].as_array().unwrap().len(), 2, "{fixed}");
            assert!(fixed["interrupted"].is_string(), "{fixed}");
        } else {
            assert_eq!(told.matches("done: SET GLOBAL").count(), 2, "{told}");
            assert!(told.contains("--undo brings back"), "{told}");
        }
        assert_ne!(server.sql(variables).unwrap(), before);
        may_set.store(100, Ordering::SeqCst);
        // By the same address: where a server has no id, it is a part of its name.
        let undo = begun(&server, address, state.path(), &["--undo"]);
        said(&undo.wait_with_output().unwrap(), 0);
        assert_eq!(server.sql(variables).unwrap(), before);
    }
}

#[test]
fn two_at_once_forget_nothing() {
    let server = in_the_clear("SET GLOBAL wait_timeout = 20, net_write_timeout = 5");
    let (sent, reached) = std::sync::mpsc::channel();
    let address = seen(&server, move |chunk| {
        if chunk.contains("SET GLOBAL net_write_timeout = 60") {
            sent.send(()).unwrap();
            std::thread::sleep(Duration::from_secs(3));
        }
        true
    });
    let state = tempfile::tempdir().unwrap();
    let fix = |check: &str| {
        let arguments = [&FIX[..], &["--only", check]].concat();
        begun(&server, address, state.path(), &arguments)
    };
    let first = fix("net-write-timeout");
    reached.recv_timeout(Duration::from_secs(60)).unwrap();
    let second = fix("wait-timeout").wait_with_output().unwrap();
    let first = first.wait_with_output().unwrap();
    for output in [first, second] {
        said(&output, 0);
    }
    let variables = "SELECT @@GLOBAL.wait_timeout, @@GLOBAL.net_write_timeout";
    assert_eq!(server.sql(variables).unwrap(), "28800\t60\n");
    let undo = begun(&server, address, state.path(), &["--undo"]);
    said(&undo.wait_with_output().unwrap(), 0);
    assert_eq!(server.sql(variables).unwrap(), "20\t5\n");
}

/// The uptime belongs to the moment when it was read, however long all else takes.
#[test]
fn a_slow_path_is_no_restart() {
    let server = in_the_clear("SELECT 1");
    let slow = seen(&server, |_| {
        std::thread::sleep(Duration::from_secs(1));
        true
    });
    let state = tempfile::tempdir().unwrap();
    for address in [slow, server.addr()] {
        let arguments = ["--json", "--only", "restarts"];
        let doctor = begun(&server, address, state.path(), &arguments);
        let (answer, _) = said(&doctor.wait_with_output().unwrap(), 0);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["fine"][0], "restarts", "{answer}");
    }
}
