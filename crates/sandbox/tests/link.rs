//! The faulty link, between plain sockets and between a client and a server.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use steadfast_sandbox::{Cut, Direction, Link, Server, Side, Verdict};

/// A server that sends back what it receives, and how each of its connections ended: 0 while
/// none has, then 1 for an EOF, 2 for an error.
fn echo() -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let ended = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&ended);
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut socket, seen) = (socket.unwrap(), Arc::clone(&seen));
            thread::spawn(move || {
                let mut buffer = [0; 65536];
                loop {
                    match socket.read(&mut buffer) {
                        Ok(0) => break seen.store(1, Ordering::SeqCst),
                        Ok(length) => {
                            if socket.write_all(&buffer[..length]).is_err() {
                                break seen.store(2, Ordering::SeqCst);
                            }
                        }
                        Err(_) => break seen.store(2, Ordering::SeqCst),
                    }
                }
            });
        }
    });
    (addr, ended)
}

fn dial(link: &Link) -> TcpStream {
    let socket = TcpStream::connect(link.addr()).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    socket
}

fn talk(socket: &mut TcpStream, text: &str) -> std::io::Result<String> {
    socket.write_all(text.as_bytes())?;
    let mut answer = vec![0; text.len()];
    socket.read_exact(&mut answer)?;
    Ok(String::from_utf8(answer).unwrap())
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(5), "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn it_carries_hundreds_of_connections() {
    let (target, _) = echo();
    let link = Link::to(target).unwrap();
    let mut sockets: Vec<TcpStream> = (0..300).map(|_| dial(&link)).collect();
    for (number, socket) in sockets.iter_mut().enumerate() {
        let text = format!("hello {number}");
        assert_eq!(talk(socket, &text).unwrap(), text);
    }
    assert_eq!(link.connections(), 300);
    drop(sockets);
    eventually("closed connections are forgotten", || {
        link.connections() == 0
    });
}

#[test]
fn it_carries_40_mb_both_ways_and_the_half_close() {
    let (target, ended) = echo();
    let link = Link::to(target).unwrap();
    let mut socket = dial(&link);
    let sent: Vec<u8> = (0..40_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut writer = socket.try_clone().unwrap();
    let to_send = sent.clone();
    let sender = thread::spawn(move || {
        writer.write_all(&to_send).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    socket.read_to_end(&mut received).unwrap();
    sender.join().unwrap();
    assert!(received == sent);
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}

#[test]
fn a_cut_is_a_fin_or_a_rst_on_both_sides() {
    for (cut, server_sees) in [(Cut::Fin, 1), (Cut::Rst, 2)] {
        let (target, ended) = echo();
        let link = Link::to(target).unwrap();
        let mut socket = dial(&link);
        talk(&mut socket, "x").unwrap();
        link.cut(cut);
        let read = socket.read(&mut [0]);
        match cut {
            Cut::Fin => assert_eq!(read.unwrap(), 0),
            Cut::Rst => assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset),
        }
        eventually("the server sees it too", || {
            ended.load(Ordering::SeqCst) == server_sees
        });
        assert_eq!(link.connections(), 0);
        assert_eq!(talk(&mut dial(&link), "new").unwrap(), "new");
    }
}

/// A process that is being started has all sockets of its parent until its program begins.
#[test]
fn a_reset_has_left_when_the_cut_returns_whatever_processes_are_being_started() {
    let (target, _) = echo();
    let link = Link::to(target).unwrap();
    let done = Arc::new(AtomicU64::new(0));
    let starters: Vec<_> = (0..2)
        .map(|_| {
            let done = Arc::clone(&done);
            thread::spawn(move || {
                while done.load(Ordering::SeqCst) == 0 {
                    assert!(Command::new("true").status().unwrap().success());
                }
            })
        })
        .collect();
    let accepted = (0..300)
        .filter(|_| {
            let mut socket = dial(&link);
            talk(&mut socket, "hello").unwrap();
            link.cut(Cut::Rst);
            socket.write_all(b"too late").is_ok()
        })
        .count();
    done.store(1, Ordering::SeqCst);
    for starter in starters {
        starter.join().unwrap();
    }
    assert_eq!(accepted, 0);
}

#[test]
fn a_cut_of_one_side_leaves_the_other_open() {
    let (target, ended) = echo();
    let link = Link::to(target).unwrap();
    let mut socket = dial(&link);
    talk(&mut socket, "x").unwrap();
    link.cut_side(Side::Client, Cut::Rst);
    assert_eq!(
        socket.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    thread::sleep(Duration::from_millis(300));
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    link.cut(Cut::Rst);
    eventually("then it is closed", || ended.load(Ordering::SeqCst) != 0);
}

#[test]
fn a_black_hole_is_silent_and_then_everything_flows_on() {
    let (target, _) = echo();
    let link = Link::to(target).unwrap();
    let mut old = dial(&link);
    talk(&mut old, "x").unwrap();
    link.black_hole(true);
    let mut new = dial(&link);
    for socket in [&mut old, &mut new] {
        socket.write_all(b"abc").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(150)))
            .unwrap();
        // Interrupted: a process that was stopped meanwhile, see signal(7).
        let error = socket.read(&mut [0]).unwrap_err().kind();
        assert!(matches!(
            error,
            ErrorKind::WouldBlock | ErrorKind::Interrupted
        ));
    }
    link.black_hole(false);
    for socket in [&mut old, &mut new] {
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut answer = [0; 3];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"abc");
    }
    link.black_hole(true);
    link.cut(Cut::Rst);
    assert_eq!(
        old.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn refused_and_unreachable_are_a_reset() {
    let (target, _) = echo();
    let link = Link::to(target).unwrap();
    link.refuse(true);
    assert_eq!(
        dial(&link).read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    link.refuse(false);
    assert_eq!(talk(&mut dial(&link), "x").unwrap(), "x");

    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let link = Link::to(nobody).unwrap();
    assert_eq!(
        dial(&link).read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn a_delay_is_added_in_each_direction() {
    let (target, _) = echo();
    let link = Link::to(target).unwrap();
    let mut socket = dial(&link);
    link.delay(Duration::from_millis(100));
    let begun = Instant::now();
    talk(&mut socket, "x").unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(200));
    link.delay(Duration::ZERO);
    let begun = Instant::now();
    talk(&mut socket, "x").unwrap();
    assert!(begun.elapsed() < Duration::from_millis(100));
}

#[test]
fn cut_after_delivers_exactly_so_many_bytes_once() {
    let (target, _) = echo();
    let link = Link::to(target).unwrap();
    let mut socket = dial(&link);
    talk(&mut socket, "not counted").unwrap();
    link.cut_after(100_000, Cut::Fin);
    let mut writer = socket.try_clone().unwrap();
    thread::spawn(move || writer.write_all(&[7; 300_000]));
    let mut received = Vec::new();
    // The rest of what it sends may be answered with a RST after the FIN.
    let _ = socket.read_to_end(&mut received);
    assert_eq!(received.len(), 100_000);
    assert_eq!(
        talk(&mut dial(&link), &"y".repeat(200_000)).unwrap().len(),
        200_000
    );
}

#[test]
fn a_tap_decides_about_each_chunk() {
    let (target, ended) = echo();
    let link = Link::to(target).unwrap();
    link.set_tap(|direction, connection, bytes| match (direction, bytes) {
        (Direction::ToServer, b"lose this") => Verdict::Drop,
        (Direction::ToServer, b"last words") => Verdict::CutAfter(Cut::Fin),
        (Direction::ToClient, b"unheard") => Verdict::CutBefore(Cut::Rst),
        _ if connection > 100 => panic!("numbers count from 1"),
        _ => Verdict::Pass,
    });
    let mut socket = dial(&link);
    socket.write_all(b"lose this").unwrap();
    thread::sleep(Duration::from_millis(50));
    assert_eq!(talk(&mut socket, "kept").unwrap(), "kept");
    assert!(talk(&mut socket, "last words").is_err());
    eventually("the server got them and then a FIN", || {
        ended.load(Ordering::SeqCst) != 0
    });

    let error = talk(&mut dial(&link), "unheard").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    link.clear_tap();
    assert_eq!(talk(&mut dial(&link), "unheard").unwrap(), "unheard");
}

#[test]
fn a_cut_within_a_chunk_delivers_its_beginning() {
    let (target, _) = echo();
    let link = Link::to(target).unwrap();
    link.set_tap(|direction, _, bytes| match (direction, bytes) {
        (Direction::ToClient, b"half of it") => Verdict::CutWithin(4, Cut::Fin),
        _ => Verdict::Pass,
    });
    let mut socket = dial(&link);
    socket.write_all(b"half of it").unwrap();
    let mut received = Vec::new();
    socket.read_to_end(&mut received).unwrap();
    assert_eq!(received, b"half");
}

#[test]
fn a_hole_lets_the_chunk_through_and_nothing_after_it_not_even_an_end() {
    let (target, ended) = echo();
    let link = Link::to(target).unwrap();
    link.set_tap(|direction, connection, _| match (direction, connection) {
        (Direction::ToServer, 1) => Verdict::Hole,
        _ => Verdict::Pass,
    });
    let mut lost = dial(&link);
    lost.write_all(b"the last").unwrap();
    lost.set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!(lost.read(&mut [0]).is_err(), "no answer comes back");
    assert_eq!(
        talk(&mut dial(&link), "others live").unwrap(),
        "others live"
    );
    drop(lost);
    thread::sleep(Duration::from_millis(200));
    assert_eq!(ended.load(Ordering::SeqCst), 1, "only the other one ended");
    assert_eq!(link.connections(), 1);
    link.cut(Cut::Rst);
    assert_eq!(link.connections(), 0);
}

#[test]
fn a_late_chunk_arrives_when_its_sender_is_long_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let link = Link::to(listener.local_addr().unwrap()).unwrap();
    link.set_tap(|_, _, _| Verdict::Late(Duration::from_millis(300)));
    let mut socket = dial(&link);
    let (mut server, _) = listener.accept().unwrap();
    let begun = Instant::now();
    socket.write_all(b"late").unwrap();
    assert_eq!(
        socket.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert!(begun.elapsed() < Duration::from_millis(250));
    let mut received = [0; 4];
    server.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"late");
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_client_talks_to_a_server_through_it() {
    let server = Server::mariadb().start().unwrap();
    let link = Link::to(server.addr()).unwrap();
    // The client uses TLS where it can, and then the link cannot see the statement; and it
    // would reconnect by itself.
    let plain = ["--skip-ssl", "--skip-reconnect"];
    let run = |sql: &str| {
        let mut client = server.programs().client_command();
        client.args([
            "--host=127.0.0.1",
            &format!("--port={}", link.addr().port()),
        ]);
        client.args([
            "--user",
            server.admin_user(),
            "--batch",
            "--skip-column-names",
        ]);
        client
            .args(plain)
            .env("MYSQL_PWD", server.admin_password())
            .args(["--execute", sql]);
        client.output().unwrap()
    };
    assert_eq!(run("SELECT 1").stdout, b"1\n");
    server
        .sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY)")
        .unwrap();
    // The request reaches the server, its answer does not reach the client.
    link.set_tap(|direction, _, bytes| {
        let insert = bytes.windows(6).any(|window| window == b"INSERT");
        match direction {
            Direction::ToServer if insert => Verdict::CutAfter(Cut::Rst),
            _ => Verdict::Pass,
        }
    });
    let output = run("INSERT INTO d.t VALUES (1)");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("2013"), "{output:?}");
    eventually("the insert was executed", || {
        server.sql("SELECT a FROM d.t").unwrap() == "1\n"
    });
}
