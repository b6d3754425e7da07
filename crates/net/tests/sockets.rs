//! Listeners, socket options and TLS, without a database server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::run;
use steadfast_net::tls::{self, Acceptor, Connector, Roots, TlsError, Verify};
use steadfast_net::{Address, Listener, Peer, SocketOptions, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

const LOCAL: &str = "127.0.0.1:0";

async fn connect(listener: &Listener) -> Stream {
    match listener.local_address().unwrap() {
        Address::Tcp { host, port } => TcpStream::connect((host, port)).await.unwrap().into(),
        Address::Unix(path) => UnixStream::connect(path).await.unwrap().into(),
    }
}

#[test]
fn a_tcp_connection_knows_both_ends_and_takes_options() {
    run(async {
        let listener = Listener::bind(&LOCAL.parse().unwrap()).await.unwrap();
        let client = connect(&listener).await;
        let (server, peer) = listener.accept().await.unwrap();
        assert_eq!(server.peer_addr(), client.local_addr());
        assert_eq!(peer, Peer::Tcp(client.local_addr().unwrap()));
        assert!(!server.is_secure());

        server
            .apply(&SocketOptions {
                user_timeout: Some(Duration::from_secs(20)),
                ..SocketOptions::default()
            })
            .unwrap();
        let Stream::Tcp(socket) = &server else {
            panic!()
        };
        let socket = socket2::SockRef::from(socket);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(
            socket.tcp_keepalive_time().unwrap(),
            Duration::from_secs(10)
        );
        assert_eq!(
            socket.tcp_keepalive_interval().unwrap(),
            Duration::from_secs(5)
        );
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
        assert_eq!(
            socket.tcp_user_timeout().unwrap(),
            Some(Duration::from_secs(20))
        );
    });
}

#[test]
fn listeners_share_a_port_only_where_both_want_to() {
    run(async {
        let first = Listener::bind_shared(&LOCAL.parse().unwrap())
            .await
            .unwrap();
        let address = first.local_address().unwrap();
        let second = Listener::bind_shared(&address).await.unwrap();
        assert_eq!(second.local_address().unwrap(), address);
        let refused = Listener::bind(&address).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    });
}

#[test]
fn a_unix_socket_is_private_to_its_machine_and_leaves_no_file() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.sock");
        let address = Address::Unix(path.clone());
        let listener = Listener::bind(&address).await.unwrap();
        let client = connect(&listener).await;
        let (server, peer) = listener.accept().await.unwrap();
        assert!(server.is_secure() && client.is_secure() && !server.is_tls());
        assert_eq!(server.peer_addr(), None);
        assert_eq!(
            peer.to_string(),
            format!("process {} on the Unix socket", std::process::id())
        );
        server.apply(&SocketOptions::default()).unwrap();

        assert_eq!(
            Listener::bind(&address).await.unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        drop(listener);
        assert!(!path.exists());

        // A listener that was killed leaves its file; another file is nobody's to remove.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        drop(Listener::bind(&address).await.unwrap());
        std::fs::write(&path, "precious").unwrap();
        assert_eq!(
            Listener::bind(&address).await.unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    });
}

/// A client that asks for TLS, and a server that has read this many bytes before it begins with TLS.
async fn handshake(
    acceptor: &Acceptor,
    verify: Verify,
    host: &str,
    read_before: usize,
) -> (Result<Stream, TlsError>, Result<Stream, TlsError>) {
    let listener = Listener::bind(&LOCAL.parse().unwrap()).await.unwrap();
    let connector = Connector::new(verify).unwrap();
    let client = async {
        let stream = connect(&listener).await;
        connector.connect(host, stream).await
    };
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut already_read = vec![0; read_before];
        stream.read_exact(&mut already_read).await.unwrap();
        acceptor.accept(stream, &already_read).await
    };
    tokio::join!(client, server)
}

#[test]
fn tls_begins_behind_bytes_that_were_read_already() {
    run(async {
        let acceptor = Acceptor::generated(&["localhost"]).unwrap();
        // A ClientHello of rustls has more than 200 bytes.
        for read_before in [0, 1, 5, 200] {
            let (client, server) =
                handshake(&acceptor, Verify::Required, "localhost", read_before).await;
            let (mut client, mut server) = (client.unwrap(), server.unwrap());
            assert!(client.is_tls() && client.is_secure() && server.is_tls() && server.is_secure());
            assert_eq!(server.peer_addr(), client.local_addr());
            server.apply(&SocketOptions::default()).unwrap();
            let sent = vec![7; 100_000];
            let mut received = vec![0; sent.len()];
            let send = async {
                client.write_all(&sent).await.unwrap();
                client.flush().await.unwrap();
            };
            tokio::join!(send, async {
                server.read_exact(&mut received).await.unwrap()
            });
            assert_eq!(received, sent);
        }
    });
}

#[test]
fn what_is_verified_is_what_was_asked_for() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let store = |name: &str, text: &str| -> PathBuf {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let ours = tls::generate(&["db.example", "127.0.0.1"]).unwrap();
        let certificate = store("cert.pem", &ours.certificate);
        let acceptor =
            Acceptor::from_pem_files(&certificate, &store("key.pem", &ours.key)).unwrap();
        let other = store(
            "other.pem",
            &tls::generate(&["db.example"]).unwrap().certificate,
        );
        let identity = |path: &Path| Verify::Identity(Roots::File(path.to_owned()));
        for (verify, host, accepted) in [
            (Verify::Preferred, "anything", true),
            (Verify::Required, "anything", true),
            (Verify::Ca(certificate.clone()), "anything", true),
            (Verify::Ca(other.clone()), "db.example", false),
            (identity(&certificate), "db.example", true),
            (identity(&certificate), "127.0.0.1", true),
            (identity(&certificate), "db2.example", false),
            (identity(&other), "db.example", false),
            (Verify::Identity(Roots::System), "db.example", false),
        ] {
            let (client, _) = handshake(&acceptor, verify.clone(), host, 0).await;
            match client {
                Ok(_) => assert!(accepted, "{verify:?} {host}"),
                Err(TlsError::Handshake(error)) => assert!(!accepted, "{verify:?} {host}: {error}"),
                Err(error) => panic!("{verify:?} {host}: {error}"),
            }
        }
    });
}

#[test]
fn certificates_that_cannot_be_used_are_refused_with_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cert.pem");
    let missing = Acceptor::from_pem_files(&path, &path)
        .unwrap_err()
        .to_string();
    assert!(missing.contains("cert.pem"), "{missing}");
    std::fs::write(&path, "nothing").unwrap();
    let empty = Acceptor::from_pem_files(&path, &path)
        .unwrap_err()
        .to_string();
    assert!(
        empty.contains("cert.pem") && empty.contains("no certificate"),
        "{empty}"
    );
    let empty = Connector::new(Verify::Ca(path)).unwrap_err().to_string();
    assert!(empty.contains("cert.pem"), "{empty}");

    let (one, other) = (
        tls::generate(&["a"]).unwrap(),
        tls::generate(&["a"]).unwrap(),
    );
    let unequal = Acceptor::from_pem(one.certificate.as_bytes(), other.key.as_bytes()).unwrap_err();
    assert!(matches!(unequal, TlsError::Configuration(_)), "{unequal}");
    assert!(!format!("{one:?}").contains("PRIVATE KEY"));
}

#[test]
fn a_client_that_does_not_speak_tls_after_asking_for_it_is_an_error() {
    run(async {
        let listener = Listener::bind(&LOCAL.parse().unwrap()).await.unwrap();
        let acceptor = Acceptor::generated(&["localhost"]).unwrap();
        let mut client = connect(&listener).await;
        client.write_all(b"SELECT 1, not TLS").await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let error = acceptor.accept(stream, &[]).await.unwrap_err();
        assert!(matches!(error, TlsError::Handshake(_)), "{error}");

        drop(connect(&listener).await);
        let _ = client;
        let (stream, _) = listener.accept().await.unwrap();
        let error = acceptor.accept(stream, &[]).await.unwrap_err();
        assert!(matches!(error, TlsError::Lost(_)), "{error}");
    });
}
