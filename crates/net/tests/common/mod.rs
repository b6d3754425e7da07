//! What the tests share: targets, logins, and a listener that plays a server from a script.

#![allow(dead_code, reason = "each test crate uses a part")]

use std::time::Duration;

use steadfast_net::tls::{Connector, Verify};
use steadfast_net::{Address, Login, Target};
use steadfast_wire::auth::Password;
use steadfast_wire::handshake::Greeting;
use steadfast_wire::{Capabilities, StatusFlags, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The capabilities of an ordinary client.
pub(crate) const CLIENT: Capabilities = Capabilities::LONG_FLAG
    .union(Capabilities::MULTI_RESULTS)
    .union(Capabilities::PS_MULTI_RESULTS)
    .union(Capabilities::SESSION_TRACK)
    .union(Capabilities::CONNECT_ATTRS);

pub(crate) fn target(address: impl Into<Address>, verify: Verify) -> Target {
    let mut target = Target::new(address.into(), Connector::new(verify).unwrap());
    target.connect_timeout = Duration::from_secs(5);
    target
}

pub(crate) fn login<'a>(user: &'a str, password: &'a Password) -> Login<'a> {
    Login {
        user: user.as_bytes(),
        password,
        database: None,
        capabilities: CLIENT,
        collation: 45,
        max_packet_size: 1 << 24,
        attributes: &[],
        first_plugin: None,
    }
}

/// A connection of a scripted server.
pub(crate) struct Scripted(pub(crate) TcpStream);

impl Scripted {
    pub(crate) async fn send(&mut self, sequence: u8, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, sequence, payload);
        self.0.write_all(&bytes).await.unwrap();
    }

    /// The next packet's sequence id and payload; `None` at the end of the stream.
    pub(crate) async fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut header = [0; frame::HEADER_LEN];
        self.0.read_exact(&mut header).await.ok()?;
        let header = frame::Header::parse(header);
        let mut payload = vec![0; header.len as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        Some((header.seq, payload))
    }

    pub(crate) async fn greet(&mut self) {
        self.send(0, &greeting(Capabilities::all())).await;
    }

    /// Greets and takes any login.
    pub(crate) async fn admit(&mut self) {
        self.greet().await;
        self.receive().await.unwrap();
        self.send(2, OK).await;
    }
}

/// An OK with autocommit on.
pub(crate) const OK: &[u8] = &[0, 0, 0, 2, 0, 0, 0];

/// A greeting of a MySQL server that offers these capabilities, but for TLS.
pub(crate) fn greeting(capabilities: Capabilities) -> Vec<u8> {
    let mut payload = Vec::new();
    Greeting {
        version: b"9.7.4",
        connection_id: 7,
        nonce: *b"abcdefghijklmnopqrst",
        capabilities: Capabilities::from_halves(capabilities.low(), 0) - Capabilities::SSL,
        collation: 255,
        status: StatusFlags::AUTOCOMMIT,
        plugin: Some(b"mysql_native_password"),
    }
    .write(&mut payload);
    payload
}

/// Listens on a port of its own and plays the script once.
pub(crate) async fn scripted<F>(script: impl FnOnce(Scripted) -> F + 'static) -> Address
where
    F: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        script(Scripted(stream)).await;
    });
    address.into()
}

/// Runs a test on one thread, as the proxy runs its sessions.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let limited = async { tokio::time::timeout(Duration::from_secs(120), test).await };
    tokio::task::LocalSet::new()
        .block_on(&runtime, limited)
        .expect("the test hangs");
}

/// Closes with RST.
pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}
