//! Bad input from either side gets a clear error, costs no memory, and touches nobody else. docs/bad-input.md is the
//! table of it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use steadfast_sandbox::Kind;

use crate::case::{Case, Steadfast, on_both_servers};
use crate::client::{Answer, Client};

/// What a connection may cost, in KiB, whatever it claims.
const BOUND: u64 = 8 << 10;

fn raw(case: &Case) -> TcpStream {
    let stream = TcpStream::connect(case.steadfast.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

fn packet(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut header = [0; 4];
    stream.read_exact(&mut header).ok()?;
    let mut payload = vec![0; u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize];
    stream.read_exact(&mut payload).ok()?;
    Some(payload)
}

/// The ERR packet that comes next: code and the rest.
#[track_caller]
fn error(stream: &mut TcpStream) -> (u16, String) {
    let payload = packet(stream).expect("an ERR and not just the end");
    assert_eq!(payload.first(), Some(&0xFF), "{payload:?}");
    let text = String::from_utf8_lossy(&payload[3..]).into_owned();
    (u16::from_le_bytes([payload[1], payload[2]]), text)
}

/// Plays a server: writes this to everyone who connects, and closes.
fn speaks(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            // Who is told may leave at any time.
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(Shutdown::Write);
            let _ = stream.read(&mut [0; 64]);
        }
    });
    address
}

#[track_caller]
fn login_error(address: SocketAddr) -> (u16, String) {
    match Client::try_connect(address, "somebody", "", 0) {
        Err(Answer::Err { code, message, .. }) => (code, message),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a login without a server"),
    }
}

on_both_servers! {
    fn a_garbage_first_packet_is_a_bad_handshake(case) {
        let mut other = case.client();
        for garbage in [
            &b"\x05\x00\x00\x01\xff\xff\xff\xff\xff"[..],
            b"\x00\x00\x00\x01",
            b"\x10\x00\x00\x01GET / HTTP/1.1\r\n",
        ] {
            let mut stream = raw(case);
            packet(&mut stream).unwrap();
            stream.write_all(garbage).unwrap();
            let (code, text) = error(&mut stream);
            assert_eq!(code, 1043, "{text}");
            assert!(text.contains("Steadfast: Bad handshake"), "{text}");
            eprintln!("garbage: {code} {text}");
        }
        assert_eq!(other.line("SELECT 1"), "1");
    }

    #[settings = "[timeouts]\nhandshake = \"1s\"\n"]
    fn a_half_handshake_is_ended_after_its_time(case) {
        let mut other = case.client();
        let mut stream = raw(case);
        packet(&mut stream).unwrap();
        stream.write_all(b"\x40\x00\x00").unwrap();
        let begun = Instant::now();
        let (code, text) = error(&mut stream);
        eprintln!("half: {code} {text}");
        assert_eq!(code, 1159);
        assert!(text.contains("timeouts.handshake"), "{text}");
        assert!(begun.elapsed() < Duration::from_secs(4));
        assert_eq!(other.line("SELECT 1"), "1");
    }

    #[settings = "[limits]\npacket = \"1GiB\"\n"]
    fn a_claim_of_a_gigabyte_costs_nothing(case) {
        let mut other = case.client();
        let before = case.steadfast.resident();
        // Before the login.
        let mut stream = raw(case);
        packet(&mut stream).unwrap();
        stream.write_all(b"\xff\xff\xff\x01").unwrap();
        let (code, text) = error(&mut stream);
        eprintln!("claim: {code} {text}");
        assert_eq!(code, 1043, "{text}");
        // After it: many frames of 16 MB are claimed, and a little comes.
        let mut clients: Vec<Client> = (0..20).map(|_| case.client()).collect();
        for client in &mut clients {
            client.claim(0xFF_FFFF, b"\x03SELECT ");
        }
        assert_eq!(other.line("SELECT 1"), "1");
        thread::sleep(Duration::from_millis(200));
        let grown = case.steadfast.resident().saturating_sub(before);
        assert!(grown < 4 * BOUND, "{grown} KiB for 20 claims");
    }

    fn a_wrong_sequence_id_is_1156(case) {
        let mut other = case.client();
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        let (code, text) = client.out_of_order();
        eprintln!("sequence: {code} {text}");
        assert_eq!(code, 1156);
        case.wait("it is rolled back", Duration::from_secs(2), || {
            case.witness().query("SELECT COUNT(*) FROM t FOR UPDATE").line() == "0"
        });
        assert_eq!(other.line("SELECT 1"), "1");
    }

    fn an_unknown_command_is_1047_and_the_connection_stays(case) {
        let mut client = case.client();
        let message = client.command(0x77, b"nonsense").fails("1047/08S01");
        eprintln!("command: {message}");
        let message = client.command(23, b"\x01").fails("1835/HY000");
        eprintln!("cut execute: {message}");
        assert_eq!(client.line("SELECT 1"), "1");
    }
}

#[test]
fn a_server_that_speaks_nonsense_is_named() {
    for (bytes, what) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "http"),
        (b"\x03\x00\x00\x00\x0a9\x00", "cut greeting"),
        (b"\xff\xff\xff\x00\x0a", "a long greeting that never comes"),
    ] {
        let mut steadfast = Steadfast::serve(speaks(bytes), "[timeouts]\nhold = \"1s\"\n");
        let before = steadfast.resident_when_started();
        let (code, text) = login_error(steadfast.address);
        eprintln!("server, {what}: {code} {text}");
        assert!(code == 2012 || code == 1053, "{code} {text}");
        assert!(
            text.starts_with("Steadfast: ") || text.contains("Steadfast: "),
            "{text}"
        );
        assert!(steadfast.resident() < before + BOUND);
        steadfast.assert_alive();
    }
}

#[test]
fn a_server_that_refuses_at_once_is_quoted() {
    for (code, said) in [
        (
            1129u16,
            "Host '10.0.0.9' is blocked because of many connection errors; unblock with FLUSH HOSTS",
        ),
        (1040, "Too many connections"),
    ] {
        let mut bytes = vec![said.len() as u8 + 3, 0, 0, 0, 0xFF];
        bytes.extend_from_slice(&code.to_le_bytes());
        bytes.extend_from_slice(said.as_bytes());
        let mut steadfast = Steadfast::serve(speaks(bytes.leak()), "[timeouts]\nhold = \"1s\"\n");
        let (got, text) = login_error(steadfast.address);
        eprintln!("refusal: {got} {text}");
        assert_eq!(got, code, "{text}");
        assert!(text.contains(said), "{text}");
        steadfast.assert_alive();
    }
}

#[test]
fn an_unreachable_backend_is_named_after_hold() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let mut steadfast = Steadfast::serve(address, "[timeouts]\nhold = \"1s\"\n");
    let begun = Instant::now();
    let (code, text) = login_error(steadfast.address);
    eprintln!("unreachable: {code} {text}");
    assert_eq!(code, 1053);
    assert!(
        text.contains(&address.to_string()) && text.contains("try again later"),
        "{text}"
    );
    assert!(begun.elapsed() < Duration::from_secs(4));
    steadfast.assert_alive();
}
