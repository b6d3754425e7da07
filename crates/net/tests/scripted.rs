//! The client against servers that misbehave, played by a listener.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::future::pending;
use std::time::Duration;

use common::{CLIENT, OK, Scripted, greeting, login, reset, run, scripted, target};
use steadfast_net::tls::{TlsError, Verify};
use steadfast_net::{
    Address, ConnectError, ConnectStage, LoginError, LossKind, MAX_RESULT, QueryError,
    ServerConnection, greet,
};
use steadfast_wire::Capabilities;
use steadfast_wire::auth::Password;
use tokio::io::AsyncWriteExt;

async fn greet_error(address: Address) -> ConnectError {
    let mut target = target(address, Verify::Preferred);
    target.connect_timeout = Duration::from_millis(300);
    greet(&target).await.unwrap_err()
}

async fn login_to(address: Address, verify: Verify) -> Result<ServerConnection, LoginError> {
    let password = Password::new("geheim");
    greet(&target(address, verify))
        .await
        .unwrap()
        .login(&login("app", &password))
        .await
}

#[test]
fn an_err_instead_of_a_greeting_is_the_servers_refusal() {
    run(async {
        let with_state = scripted(async |mut server| {
            server
                .send(0, b"\xff\x69\x04#HY000Host 'x' is blocked")
                .await;
        });
        let ConnectError::Refused(error) = greet_error(with_state.await).await else {
            panic!()
        };
        assert_eq!(error.code, 1129);
        assert_eq!(error.to_string(), "1129 (HY000): Host 'x' is blocked");

        let without =
            scripted(async |mut server| server.send(0, b"\xff\x10\x04Too many connections").await);
        let ConnectError::Refused(error) = greet_error(without.await).await else {
            panic!()
        };
        assert_eq!((error.code, error.sqlstate), (1040, None));
        assert_eq!(error.message, b"Too many connections");
    });
}

#[test]
fn the_ways_of_not_being_greeted_are_told_apart() {
    run(async {
        let nobody = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            Address::from(listener.local_addr().unwrap())
        };
        assert!(matches!(
            greet_error(nobody).await,
            ConnectError::Io(LossKind::Refused, _)
        ));

        let no_file = "/nonexistent/mysqld.sock".parse().unwrap();
        assert!(matches!(
            greet_error(no_file).await,
            ConnectError::Io(LossKind::Refused, _)
        ));

        let fin = scripted(async |server| drop(server)).await;
        assert!(matches!(
            greet_error(fin).await,
            ConnectError::Io(LossKind::Eof, _)
        ));

        let rst = scripted(async |server| reset(server.0)).await;
        assert!(matches!(
            greet_error(rst).await,
            ConnectError::Io(LossKind::Reset, _)
        ));

        let frozen = scripted(async |_server| pending().await).await;
        let error = greet_error(frozen).await;
        let ConnectError::Timeout {
            stage: ConnectStage::Greeting,
            ..
        } = error
        else {
            panic!("{error}")
        };
        assert_eq!(
            error.to_string(),
            "the connection was accepted, but the server sent no greeting within 300ms"
        );

        let no_name = "no-such-host.invalid:3306".parse().unwrap();
        let error = greet_error(no_name).await;
        assert!(
            matches!(
                error,
                ConnectError::Io(LossKind::Unresolved, _)
                    | ConnectError::Timeout {
                        stage: ConnectStage::Resolving,
                        ..
                    }
            ),
            "{error}"
        );
    });
}

#[test]
fn what_is_no_server_is_called_so() {
    run(async {
        for (bytes, what) in [
            (
                &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
                "HTTP/1.1 400 Bad Request",
            ),
            (b"SSH-2.0-OpenSSH_9.2p1\r\n", "SSH-2.0"),
            (b"\x03\0\0\0\x09x\0", "protocol version 10"),
            (b"\x03\0\0\x05\x0ax\0", "sequence id 5 instead of 0"),
            (b"\x05\0\0\0\x0a9.7\0", "malformed greeting"),
            (b"\0\0\0\0", "malformed greeting"),
        ] {
            let address = scripted(async |mut server: Scripted| {
                server.0.write_all(bytes).await.unwrap();
                pending().await
            });
            let error = greet_error(address.await).await;
            assert!(matches!(error, ConnectError::Nonsense(_)), "{error:?}");
            assert!(error.to_string().contains(what), "{error}");
        }
    });
}

#[test]
fn a_login_that_is_cut_says_how() {
    run(async {
        let fin = scripted(async |mut server| {
            server.greet().await;
            server.receive().await.unwrap();
        });
        let outcome = login_to(fin.await, Verify::Disabled).await;
        assert!(
            matches!(outcome, Err(LoginError::Lost(LossKind::Eof, _))),
            "{outcome:?}"
        );

        let rst = scripted(async |mut server| {
            server.greet().await;
            server.receive().await.unwrap();
            reset(server.0);
        });
        let outcome = login_to(rst.await, Verify::Disabled).await;
        assert!(
            matches!(outcome, Err(LoginError::Lost(LossKind::Reset, _))),
            "{outcome:?}"
        );
    });
}

#[test]
fn what_the_server_said_before_it_went_is_the_refusal() {
    run(async {
        let (said, hear) = tokio::sync::oneshot::channel();
        let address = scripted(async move |mut server| {
            server.greet().await;
            server
                .send(
                    1,
                    b"\xff\x87\x04#08S01Got timeout reading communication packets",
                )
                .await;
            drop(server);
            said.send(()).unwrap();
        });
        let greeted = greet(&target(address.await, Verify::Disabled))
            .await
            .unwrap();
        hear.await.unwrap();
        let outcome = greeted.login(&login("app", &Password::new("x"))).await;
        let Err(LoginError::Refused(error)) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(error.code, 1159);
    });
}

#[test]
fn a_password_is_not_sent_in_the_clear_over_tcp() {
    run(async {
        let (tell, told) = tokio::sync::oneshot::channel();
        let address = scripted(async move |mut server| {
            server.greet().await;
            server.receive().await.unwrap();
            server.send(2, b"\xfemysql_clear_password\0").await;
            tell.send(server.receive().await).unwrap();
        });
        let outcome = login_to(address.await, Verify::Preferred).await;
        let Err(LoginError::InsecurePlugin(plugin)) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(plugin, "mysql_clear_password");
        assert_eq!(told.await.unwrap(), None);
    });
}

#[test]
fn unknown_plugins_and_further_factors_are_named() {
    run(async {
        for (request, name) in [
            (&b"\xfeauth_gssapi_client\0x"[..], "auth_gssapi_client"),
            (
                b"\x02webauthn_client\0x",
                "webauthn_client as a further factor",
            ),
            (b"\xfe", "mysql_old_password"),
        ] {
            let address = scripted(async move |mut server| {
                server.greet().await;
                server.receive().await.unwrap();
                server.send(2, request).await;
                server.receive().await;
            });
            let outcome = login_to(address.await, Verify::Disabled).await;
            let Err(LoginError::UnsupportedPlugin(plugin)) = outcome else {
                panic!("{outcome:?}")
            };
            assert_eq!(plugin, name);
        }
    });
}

#[test]
fn an_authentication_without_end_is_ended() {
    run(async {
        let address = scripted(async |mut server| {
            server.greet().await;
            while let Some((sequence, _)) = server.receive().await {
                let nonce = b"\xfemysql_native_password\0abcdefghijklmnopqrst\0";
                server.send(sequence.wrapping_add(1), nonce).await;
            }
        });
        let outcome = login_to(address.await, Verify::Disabled).await;
        assert!(
            matches!(outcome, Err(LoginError::Nonsense(_))),
            "{outcome:?}"
        );
    });
}

#[test]
fn tls_that_is_required_and_not_offered_ends_the_login() {
    run(async {
        let address = scripted(async |mut server| {
            server.greet().await;
            server.receive().await;
        });
        let outcome = login_to(address.await, Verify::Required).await;
        assert!(
            matches!(outcome, Err(LoginError::Tls(TlsError::NotOffered))),
            "{outcome:?}"
        );
    });
}

#[test]
fn bytes_between_the_greeting_and_tls_are_refused() {
    run(async {
        let address = scripted(async |mut server: Scripted| {
            let mut payload = greeting(Capabilities::all());
            // The upper byte of the lower half of the capabilities, which holds SSL (1 << 11).
            payload[21] |= 0x08;
            let mut bytes = Vec::new();
            steadfast_wire::frame::write(&mut bytes, 0, &payload);
            bytes.extend_from_slice(b"injected");
            server.0.write_all(&bytes).await.unwrap();
            server.receive().await;
        });
        let outcome = login_to(address.await, Verify::Required).await;
        let Err(LoginError::Nonsense(what)) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(what, "the server sent something before TLS began");
    });
}

#[test]
fn a_login_that_cannot_be_written_is_the_callers_fault() {
    run(async {
        let address = scripted(async |mut server| {
            server.greet().await;
            server.receive().await;
        });
        let greeted = greet(&target(address.await, Verify::Disabled))
            .await
            .unwrap();
        let outcome = greeted.login(&login("a\0b", &Password::new("x"))).await;
        assert!(
            matches!(outcome, Err(LoginError::Invalid(_))),
            "{outcome:?}"
        );
    });
}

#[test]
fn capabilities_are_what_both_sides_have() {
    run(async {
        let address = scripted(async |mut server| {
            let offered = Capabilities::all() - Capabilities::SESSION_TRACK;
            server.send(0, &greeting(offered)).await;
            let (_, response) = server.receive().await.unwrap();
            server.send(2, OK).await;
            let asked = u32::from_le_bytes(*response.first_chunk().unwrap());
            let asked = Capabilities::from_halves(asked, 0);
            assert!(asked.contains(Capabilities::DEPRECATE_EOF | Capabilities::FOUND_ROWS));
            assert!(!asked.intersects(
                Capabilities::SESSION_TRACK | Capabilities::COMPRESS | Capabilities::SSL
            ));
            server.receive().await;
        });
        let greeted = greet(&target(address.await, Verify::Disabled))
            .await
            .unwrap();
        let password = Password::new("x");
        let mut login = login("app", &password);
        login.capabilities = CLIENT | Capabilities::FOUND_ROWS | Capabilities::COMPRESS;
        let connection = greeted.login(&login).await.unwrap();
        assert!(connection.capabilities.contains(Capabilities::FOUND_ROWS));
        assert!(
            !connection
                .capabilities
                .contains(Capabilities::SESSION_TRACK)
        );
        assert_eq!(connection.greeting.connection_id, 7);
    });
}

async fn query(script: impl AsyncFnOnce(&mut Scripted) + 'static) -> Result<(), QueryError> {
    let address = scripted(async |mut server: Scripted| {
        server.admit().await;
        server.receive().await.unwrap();
        script(&mut server).await;
    });
    let mut connection = login_to(address.await, Verify::Disabled).await.unwrap();
    connection.query(b"SELECT 1").await.map(drop)
}

#[test]
fn a_hidden_command_that_is_cut_says_how() {
    run(async {
        let outcome = query(async |_| {}).await;
        assert!(
            matches!(outcome, Err(QueryError::Lost(LossKind::Eof, _))),
            "{outcome:?}"
        );

        let outcome = query(async |server: &mut Scripted| {
            socket2::SockRef::from(&server.0)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        });
        let outcome = outcome.await;
        assert!(
            matches!(outcome, Err(QueryError::Lost(LossKind::Reset, _))),
            "{outcome:?}"
        );

        // Half a packet, then FIN.
        let outcome = query(async |server: &mut Scripted| {
            server.0.write_all(b"\x07\0\0\x01\0\0").await.unwrap()
        });
        let outcome = outcome.await;
        assert!(
            matches!(outcome, Err(QueryError::Lost(LossKind::Eof, _))),
            "{outcome:?}"
        );
    });
}

#[test]
fn a_farewell_with_sequence_id_0_is_heard() {
    run(async {
        let (said, hear) = tokio::sync::oneshot::channel();
        let address = scripted(async move |mut server: Scripted| {
            server.admit().await;
            server
                .send(
                    0,
                    b"\xff\xbf\x0f#HY000The client was disconnected because of inactivity.",
                )
                .await;
            drop(server);
            said.send(()).unwrap();
        });
        let mut connection = login_to(address.await, Verify::Disabled).await.unwrap();
        hear.await.unwrap();
        let outcome = connection.query_all(&[b"SELECT 1", b"SELECT 2"]).await;
        let Err(QueryError::Server(error)) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!(error.code, 4031);
        assert!(error.ends_connection());
    });
}

#[test]
fn answers_that_make_no_sense_or_have_no_end_are_refused() {
    run(async {
        let outcome = query(async |server: &mut Scripted| server.send(9, OK).await).await;
        assert!(
            matches!(outcome, Err(QueryError::Nonsense(_))),
            "{outcome:?}"
        );

        let outcome = query(async |server: &mut Scripted| server.send(1, &[]).await).await;
        assert!(
            matches!(outcome, Err(QueryError::Nonsense(_))),
            "{outcome:?}"
        );

        let outcome =
            query(async |server: &mut Scripted| server.send(1, b"\xfb/etc/passwd").await).await;
        assert!(
            matches!(outcome, Err(QueryError::Nonsense(_))),
            "{outcome:?}"
        );

        // A claim of 16 MB: nothing is allocated for it.
        let outcome = query(async |server: &mut Scripted| {
            server.0.write_all(b"\xfe\xff\xff\x01").await.unwrap()
        });
        assert!(matches!(
            outcome.await,
            Err(QueryError::TooLarge(MAX_RESULT))
        ));

        let outcome = query(async |server: &mut Scripted| {
            server.send(1, &[1]).await;
            server
                .send(2, b"\x03def\0\0\0\x01a\0\x0c\x3f\0\x01\0\0\0\xfd\0\0\0\0\0")
                .await;
            let mut sequence = 3;
            let row = [&[0xfd, 0, 0x40, 0][..], &[b'x'; 0x4000]].concat();
            let mut bytes = Vec::new();
            loop {
                bytes.clear();
                sequence = steadfast_wire::frame::write(&mut bytes, sequence, &row);
                if server.0.write_all(&bytes).await.is_err() {
                    break;
                }
            }
        });
        let outcome = outcome.await;
        assert!(
            matches!(outcome, Err(QueryError::TooLarge(_))),
            "{outcome:?}"
        );
    });
}

#[test]
fn an_abandoned_handshake_is_completed_and_ends_within_2_s() {
    run(async {
        let (tell, told) = tokio::sync::oneshot::channel();
        let address = scripted(async move |mut server: Scripted| {
            server.greet().await;
            let (_, response) = server.receive().await.unwrap();
            tell.send(response).unwrap();
            pending().await
        });
        let greeted = greet(&target(address.await, Verify::Disabled))
            .await
            .unwrap();
        let begun = std::time::Instant::now();
        greeted.abandon().await;
        let took = begun.elapsed();
        assert!(
            took > Duration::from_millis(1900) && took < Duration::from_secs(4),
            "{took:?}"
        );
        let response = told.await.unwrap();
        let response = steadfast_wire::handshake::HandshakeResponse::parse(&response).unwrap();
        assert_eq!(response.user, b"steadfast-abandoned");
        assert!(response.auth_response.is_empty());
    });
}
