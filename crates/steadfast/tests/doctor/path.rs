//! The probes, on paths that lose connections.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use steadfast_sandbox::{Kind, Server};

use crate::on_both;
use crate::place::{Place, doctor};

on_both!(
    a_good_path_is_fine,
    a_proxy_with_a_limit_of_packets_is_found,
    a_proxy_that_does_not_wait_is_found,
);

#[track_caller]
fn parsed(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn a_good_path_is_fine(place: &Place) {
    let arguments = [
        "--json",
        "--sample",
        "0s",
        "--pause",
        "1s",
        "--idle-max",
        "4s",
        "--probe",
        "idle",
        "--probe",
        "packet",
        "--probe",
        "slow-read",
        "--probe",
        "slow-write",
    ];
    let only = [
        "--only",
        "path-idle",
        "--only",
        "path-packet",
        "--only",
        "path-pause",
    ];
    let output = doctor(place.server(), &[&arguments[..], &only].concat());
    let answer = parsed(&output);
    assert_eq!(
        answer["fine"],
        serde_json::json!(["path-packet", "path-pause"]),
        "{answer}"
    );
    // A few seconds tell nothing about an hour.
    assert_eq!(answer["not_looked_at"][0]["check"], "path-idle", "{answer}");
    let why = answer["not_looked_at"][0]["why"].as_str().unwrap();
    assert!(
        why.starts_with("connections that were silent for up to 4 s live"),
        "{why}"
    );
    let announced = String::from_utf8(output.stderr).unwrap();
    for probe in [
        "probe idle: ",
        "probe packet: ",
        "probe slow-read: ",
        "probe slow-write: ",
    ] {
        assert!(announced.contains(probe), "{announced}");
    }
}

/// A forwarder to the server; `pass` passes what a client sends on, and may end the connection.
pub(crate) fn forward(
    listener: TcpListener,
    to: SocketAddr,
    pass: impl Fn(&mut TcpStream, &mut TcpStream) -> io::Result<()> + Clone + Send + 'static,
) {
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let pass = pass.clone();
            let both = client.and_then(|client| Ok((client, TcpStream::connect(to)?)));
            let Ok((client, server)) = both else {
                return;
            };
            copy(client, server, pass);
        }
    });
}

/// Joins the two; `pass` as for [`forward`].
pub(crate) fn copy(
    mut client: TcpStream,
    mut server: TcpStream,
    pass: impl FnOnce(&mut TcpStream, &mut TcpStream) -> io::Result<()> + Send + 'static,
) {
    let (mut back_from, mut back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ended = io::copy(&mut back_from, &mut back_to);
        let _ended = back_to.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || {
        let _ended = pass(&mut client, &mut server);
        let _ended = (
            client.shutdown(Shutdown::Both),
            server.shutdown(Shutdown::Both),
        );
    });
}

fn through(server: &Server, address: SocketAddr, arguments: &[&str], before: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_steadfast");
    let line: Vec<&str> = before
        .iter()
        .chain(&[binary, "doctor"])
        .chain(arguments)
        .copied()
        .collect();
    let state = tempfile::tempdir().unwrap();
    Command::new(line[0])
        .args(&line[1..])
        .env("XDG_STATE_HOME", state.path())
        .arg(format!("mysql://{}@{address}", server.admin_user()))
        .env("STEADFAST_PASSWORD", server.admin_password())
        .output()
        .unwrap()
}

/// Ends a connection that sends more than 300 KiB without an answer between.
fn a_proxy_with_a_limit_of_packets_is_found(place: &Place) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    forward(listener, place.server().addr(), |client, server| {
        let mut sent = 0;
        let mut bytes = [0; 65_536];
        loop {
            let count = client.read(&mut bytes)?;
            sent += count;
            if count == 0 || sent > 300 << 10 {
                return Ok(());
            }
            server.write_all(&bytes[..count])?;
        }
    });
    let output = through(
        place.server(),
        address,
        &[
            "--json",
            "--sample",
            "0s",
            "--only",
            "path-packet",
            "--probe",
            "packet",
        ],
        &[],
    );
    let answer = parsed(&output);
    assert_eq!(answer["findings"][0]["severity"], "error", "{answer}");
    let seen = answer["findings"][0]["seen"][0].as_str().unwrap();
    assert!(
        seen.starts_with("a packet of 1024 KiB from the client to the server does not pass"),
        "{seen}"
    );
}

/// Ends a connection whose client says nothing for a second, whatever it is doing; doctor's own session is cut as well.
fn a_proxy_that_does_not_wait_is_found(place: &Place) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    forward(listener, place.server().addr(), |client, server| {
        client.set_read_timeout(Some(Duration::from_secs(1)))?;
        io::copy(client, server).map(drop)
    });
    let set = place.set(&[("connect_timeout", "2")]);
    let state = tempfile::tempdir().unwrap();
    let arguments = [
        "--json",
        "--sample",
        "0s",
        "--pause",
        "3s",
        "--probe",
        "slow-read",
        "--probe",
        "slow-write",
    ];
    let fix = [
        "--fix",
        "--yes",
        "--state-dir",
        state.path().to_str().unwrap(),
    ];
    let output = through(
        place.server(),
        address,
        &[&arguments[..], &fix].concat(),
        &[],
    );
    drop(set);
    if !place.is_mariadb() {
        place.sql("RESET PERSIST");
    }
    let answer = parsed(&output);
    assert_eq!(
        answer["fixed"]["done"].as_array().unwrap().len(),
        1,
        "{answer}"
    );
    let finding = &answer["findings"][0];
    assert_eq!(
        (&finding["check"], &finding["severity"]),
        (&"path-pause".into(), &"warning".into()),
        "{answer}"
    );
    assert_eq!(finding["seen"].as_array().unwrap().len(), 2, "{answer}");
}

/// Commands with the arguments of one line.
fn run(line: &str) -> io::Result<()> {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )))
    }
}

/// A network namespace with a way to this one, through rules that forget connections which are silent for 20 s.
struct Space {
    name: String,
    outside: Ipv4Addr,
}

static SPACES: AtomicU32 = AtomicU32::new(0);

impl Space {
    /// # Errors
    /// It takes root, `ip` and `nft`.
    fn new() -> io::Result<Self> {
        let number = SPACES.fetch_add(1, Ordering::Relaxed);
        let id = std::process::id();
        // 198.18.0.0/15 is for tests of networks: RFC 2544.
        let net = format!("198.{}.{}", 18 + number % 2, id % 250);
        let name = format!("sf-{id}-{number}");
        let (outer, inner) = (
            format!("sfo{}-{number}", id % 100_000),
            format!("sfi{}-{number}", id % 100_000),
        );
        run(&format!("ip netns add {name}"))?;
        let space = Self {
            name,
            outside: format!("{net}.1").parse().unwrap(),
        };
        let name = &space.name;
        run(&format!(
            "ip link add {outer} type veth peer name {inner} netns {name}"
        ))?;
        run(&format!("ip addr add {net}.1/24 dev {outer}"))?;
        run(&format!("ip link set {outer} up"))?;
        run(&format!("ip -n {name} addr add {net}.2/24 dev {inner}"))?;
        run(&format!("ip -n {name} link set {inner} up"))?;
        Ok(space)
    }

    fn forget_silent_ones(&self, port: u16) -> io::Result<()> {
        let rules = format!(
            "table inet middlebox {{
                set flows {{ type inet_service; flags dynamic,timeout; timeout 20s; }}
                chain out {{ type filter hook output priority 0;
                    tcp dport {port} tcp flags & (syn|ack) == syn update @flows {{ tcp sport }} accept
                    tcp dport {port} tcp sport @flows update @flows {{ tcp sport }} accept
                    tcp dport {port} drop
                }}
                chain in {{ type filter hook input priority 0;
                    tcp sport {port} tcp dport @flows update @flows {{ tcp dport }} accept
                    tcp sport {port} drop
                }}
            }}"
        );
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("rules.nft");
        std::fs::write(&file, rules)?;
        run(&format!(
            "ip netns exec {} nft -f {}",
            self.name,
            file.display()
        ))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // Its end of the way goes with it, and so does the other.
        let _gone = run(&format!("ip netns del {}", self.name));
    }
}

#[test]
fn a_middlebox_that_forgets_is_found_on_both() {
    std::thread::scope(|scope| {
        for kind in [Kind::MariaDb, Kind::MySql] {
            scope.spawn(move || a_middlebox_that_forgets_is_found(kind));
        }
    });
}

/// On a server of its own: it takes half a minute, in which others wait for nothing.
fn a_middlebox_that_forgets_is_found(kind: Kind) {
    let space = match Space::new() {
        Ok(space) => space,
        Err(error) => return eprintln!("skipped: it takes root and the program ip: {error}"),
    };
    let server = Server::of(kind).start().unwrap();
    let listener = TcpListener::bind((space.outside, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    if let Err(error) = space.forget_silent_ones(address.port()) {
        return eprintln!("skipped: it takes the program nft, of the package nftables: {error}");
    }
    forward(listener, server.addr(), |client, server| {
        io::copy(client, server).map(drop)
    });
    let inside = ["ip", "netns", "exec", &space.name];
    let arguments = [
        "--json",
        "--sample",
        "0s",
        "--only",
        "path-idle",
        "--idle-max",
        "26s",
    ];
    let output = through(&server, address, &arguments, &inside);
    let answer = parsed(&output);
    assert_eq!(output.status.code(), Some(3), "{answer}");
    let seen = answer["findings"][0]["seen"][0].as_str().unwrap();
    assert!(
        seen.contains("was forgotten without a word")
            && seen.ends_with("one with keepalive was not"),
        "{seen}"
    );
    let limit: f64 = seen
        .split("cut-off at about ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((18.0..=22.0).contains(&limit), "{seen}");
}
