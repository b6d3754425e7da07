//! The client against real servers: every plugin, over TCP, TLS and the Unix socket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod common;

use std::time::Duration;

use common::{login, run, target};
use steadfast_net::tls::{Roots, TlsError, Verify};
use steadfast_net::{
    Address, ConnectError, ConnectStage, LoginError, LossKind, QueryError, RelayStep,
    ServerConnection, Target, greet,
};
use steadfast_sandbox::{Kind, Server};
use steadfast_wire::auth::{
    Password, Plugin, caching_sha2_response, clear_password, native_response,
};
use steadfast_wire::{Capabilities, StatusFlags};

fn ways(server: &Server) -> [(&'static str, Target); 3] {
    [
        ("tcp", target(server.addr(), Verify::Disabled)),
        ("tls", target(server.addr(), Verify::Required)),
        (
            "unix",
            target(Address::Unix(server.socket()), Verify::Preferred),
        ),
    ]
}

async fn log_in(
    target: &Target,
    user: &str,
    password: &str,
) -> Result<ServerConnection, LoginError> {
    let password = Password::new(password);
    greet(target)
        .await
        .unwrap()
        .login(&login(user, &password))
        .await
}

async fn admin(server: &Server) -> ServerConnection {
    let target = target(Address::Unix(server.socket()), Verify::Disabled);
    log_in(&target, server.admin_user(), server.admin_password())
        .await
        .unwrap()
}

/// The right password logs in, a wrong one and an empty one are refused with the server's 1045.
async fn check(way: &str, target: &Target, user: &str, password: &str, plugin: &str) {
    let mut connection = log_in(target, user, password)
        .await
        .unwrap_or_else(|error| panic!("{user} {way}: {error}"));
    assert_eq!(connection.plugin, plugin, "{user} {way}");
    assert_eq!(connection.stream.is_tls(), way == "tls");
    let who = connection
        .query(b"SELECT SUBSTRING_INDEX(USER(), '@', 1), CONNECTION_ID()")
        .await
        .unwrap();
    let id = connection.greeting.connection_id.to_string();
    assert_eq!(
        who.rows,
        [[Some(user.as_bytes().to_vec()), Some(id.into_bytes())]]
    );
    connection.quit().await;
    for wrong in ["wrong", "", "x\0y"] {
        if wrong == password {
            continue;
        }
        match log_in(target, user, wrong).await {
            Err(LoginError::Refused(error)) => {
                assert_eq!(error.code, 1045, "{user} {way} '{wrong}': {error}")
            }
            other => panic!("{user} {way} '{wrong}': {other:?}"),
        }
    }
}

#[test]
fn mariadb_accounts_log_in_with_every_plugin() {
    let server = Server::mariadb().start().unwrap();
    server
        .sql(
            "CREATE USER n IDENTIFIED VIA mysql_native_password USING PASSWORD('geheim');
             CREATE USER e IDENTIFIED VIA ed25519 USING PASSWORD('geheim');
             CREATE USER b IDENTIFIED VIA ed25519 USING PASSWORD('other') OR mysql_native_password USING PASSWORD('geheim');
             CREATE USER z IDENTIFIED BY '';
             CREATE USER t IDENTIFIED BY 'geheim' REQUIRE SSL;",
        )
        .unwrap();
    run(async {
        for (way, target) in ways(&server) {
            check(way, &target, "n", "geheim", "mysql_native_password").await;
            check(way, &target, "e", "geheim", "client_ed25519").await;
            check(way, &target, "b", "geheim", "mysql_native_password").await;
            check(way, &target, "z", "", "mysql_native_password").await;
        }
        let refused = log_in(&target(server.addr(), Verify::Disabled), "t", "geheim").await;
        assert!(
            matches!(refused, Err(LoginError::Refused(_))),
            "{refused:?}"
        );
        log_in(&target(server.addr(), Verify::Preferred), "t", "geheim")
            .await
            .unwrap();
    });
}

#[test]
fn mysql_accounts_log_in_with_every_plugin() {
    let server = Server::mysql().start().unwrap();
    server
        .sql(
            "CREATE USER c IDENTIFIED WITH caching_sha2_password BY 'geheim';
             CREATE USER z IDENTIFIED WITH caching_sha2_password BY '';",
        )
        .unwrap();
    let has_sha256 = server
        .sql("CREATE USER s IDENTIFIED WITH sha256_password BY 'geheim'")
        .is_ok();
    run(async {
        let mut admin = admin(&server).await;
        for (way, target) in ways(&server) {
            // Empties the cache of caching_sha2_password: the full authentication first, then the fast one.
            admin.query(b"FLUSH PRIVILEGES").await.unwrap();
            check(way, &target, "c", "geheim", "caching_sha2_password").await;
            check(way, &target, "c", "geheim", "caching_sha2_password").await;
            check(way, &target, "z", "", "caching_sha2_password").await;
            if has_sha256 {
                check(way, &target, "s", "geheim", "sha256_password").await;
            }
        }
        // The first plugin is a guess, and a wrong one costs a round trip only.
        for first in [
            Plugin::NativePassword,
            Plugin::Sha256,
            Plugin::Ed25519,
            Plugin::Other,
        ] {
            for (way, target) in ways(&server) {
                admin.query(b"FLUSH PRIVILEGES").await.unwrap();
                let password = Password::new("geheim");
                let login = steadfast_net::Login {
                    first_plugin: Some(first),
                    ..login("c", &password)
                };
                let connection = greet(&target).await.unwrap().login(&login).await;
                assert_eq!(
                    connection.unwrap().plugin,
                    "caching_sha2_password",
                    "{first:?} {way}"
                );
            }
        }
    });
    assert!(
        has_sha256 || server.version().starts_with('9'),
        "{}",
        server.version()
    );
}

#[test]
fn certificates_of_servers_are_verified() {
    for kind in Kind::ALL {
        let server = Server::of(kind).start().unwrap();
        run(async {
            let password = server.admin_password();
            let ca = target(server.addr(), Verify::Ca(server.ca_certificate()));
            assert!(log_in(&ca, "root", password).await.unwrap().stream.is_tls());
            let identity = target(
                server.addr(),
                Verify::Identity(Roots::File(server.ca_certificate())),
            );
            let outcome = log_in(&identity, "root", password).await;
            match kind {
                Kind::MariaDb => assert!(outcome.unwrap().stream.is_tls()),
                // MySQL's own certificates name no host.
                Kind::MySql => {
                    assert!(
                        matches!(outcome, Err(LoginError::Tls(TlsError::Handshake(_)))),
                        "{outcome:?}"
                    );
                }
            }
        });
    }
}

#[test]
fn hidden_commands_give_rows_oks_and_the_servers_errors() {
    for kind in Kind::ALL {
        let server = Server::of(kind).start().unwrap();
        server
            .sql("CREATE DATABASE d; CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT)")
            .unwrap();
        server.sql("CREATE PROCEDURE d.p() BEGIN SELECT 1 AS a; SELECT 2, 3; INSERT INTO d.t (v) VALUES ('p'); END").unwrap_err();
        server
            .sql("DELIMITER //\nCREATE PROCEDURE d.p() BEGIN SELECT 1 AS a; SELECT 2, 3; INSERT INTO d.t (v) VALUES ('p'); END//")
            .unwrap();
        run(async {
            let mut connection = admin(&server).await;
            let inserted = connection
                .query(b"INSERT INTO d.t (v) VALUES ('a'), (NULL)")
                .await
                .unwrap()
                .ok
                .unwrap();
            assert_eq!((inserted.affected, inserted.insert_id), (2, 1));
            let result = connection
                .query(b"SELECT id, v FROM d.t ORDER BY id")
                .await
                .unwrap();
            let text = |text: &str| Some(text.as_bytes().to_vec());
            assert_eq!(result.rows, [[text("1"), text("a")], [text("2"), None]]);
            assert_eq!(result.columns[1].name, b"v");
            assert!(result.ok.unwrap().status.contains(StatusFlags::AUTOCOMMIT));

            let called = connection.query(b"CALL d.p()").await.unwrap();
            assert_eq!((called.columns.len(), called.value()), (1, Some(&b"1"[..])));
            assert_eq!(called.ok.unwrap().affected, 1);

            let refused = connection.query(b"SELECT * FROM d.nothing").await;
            let Err(QueryError::Server(error)) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!((error.code, error.sqlstate), (1146, Some(*b"42S02")));

            let used = connection.query(b"USE d").await.unwrap().ok.unwrap();
            assert!(
                used.status.contains(StatusFlags::SESSION_STATE_CHANGED)
                    && !used.session_state.is_empty()
            );
            connection.query(b"BEGIN").await.unwrap();
            assert!(
                connection
                    .ping()
                    .await
                    .unwrap()
                    .status
                    .contains(StatusFlags::IN_TRANS)
            );
            connection.query(b"SET @x = 1").await.unwrap();
            connection.reset_connection().await.unwrap();
            assert!(
                !connection
                    .ping()
                    .await
                    .unwrap()
                    .status
                    .contains(StatusFlags::IN_TRANS)
            );
            assert_eq!(connection.query(b"SELECT @x").await.unwrap().rows, [[None]]);
            assert_eq!(connection.inbound, b"");

            // Just below the limit, and above it.
            let big = connection
                .query(b"SELECT REPEAT('x', 1000000)")
                .await
                .unwrap();
            assert_eq!(big.value().unwrap().len(), 1_000_000);
            let too_big = connection.query(b"SELECT REPEAT('x', 2000000)").await;
            assert!(
                matches!(too_big, Err(QueryError::Dropped(_))),
                "{too_big:?}"
            );
            // In one row of two frames, and in many; what comes with it is run, and told if it fails.
            for big in [
                "SELECT REPEAT('x', 9000000), REPEAT('y', 9000000)",
                "SELECT REPEAT('x', 1000) FROM information_schema.COLLATIONS a, information_schema.COLLATIONS b LIMIT 5000",
            ] {
                let texts = [big.as_bytes(), b"SET @a = 7"];
                let dropped = connection.query_all(&texts).await;
                assert!(
                    matches!(dropped, Err(QueryError::Dropped(_))),
                    "{dropped:?}"
                );
                assert_eq!(
                    connection.query(b"SELECT @a").await.unwrap().value(),
                    Some(&b"7"[..])
                );
                let failed = connection.query_all(&[big.as_bytes(), b"oops"]).await;
                assert!(matches!(failed, Err(QueryError::Server(_))), "{failed:?}");
                assert_eq!(
                    connection.query(b"SELECT 8").await.unwrap().value(),
                    Some(&b"8"[..])
                );
                assert_eq!(connection.inbound, b"");
            }
        });
    }
}

#[test]
fn pipelined_commands_are_all_run_and_all_answered() {
    for kind in Kind::ALL {
        let server = Server::of(kind).start().unwrap();
        run(async {
            for (way, target) in ways(&server) {
                let mut connection = log_in(&target, server.admin_user(), server.admin_password())
                    .await
                    .unwrap();
                let results = connection
                    .query_all(&[b"SET @a = 4", b"SELECT @a", b"DO 1"])
                    .await
                    .unwrap();
                assert_eq!(results[1].value(), Some(&b"4"[..]), "{way}");

                let failed = connection
                    .query_all(&[b"SET @a = 5", b"oops", b"SET @a = 6"])
                    .await;
                let Err(QueryError::Server(error)) = failed else {
                    panic!("{failed:?}")
                };
                assert_eq!(error.code, 1064);
                assert_eq!(
                    connection.query(b"SELECT @a").await.unwrap().value(),
                    Some(&b"6"[..])
                );

                let each = connection
                    .query_each(&[b"oops", b"SELECT @a"])
                    .await
                    .unwrap();
                assert!(each[0].is_err() && each[1].is_ok());

                // More than the socket's buffers in both directions at once.
                let text = format!("SELECT LENGTH('{}'), REPEAT('y', 3000)", "x".repeat(30_000));
                let many: Vec<&[u8]> = vec![text.as_bytes(); 300];
                let results = connection.query_all(&many).await.unwrap();
                assert!(
                    results
                        .iter()
                        .all(|result| result.value() == Some(b"30000")),
                    "{way}"
                );
            }
        });
    }
}

#[test]
fn another_user_takes_over_the_connection() {
    for kind in Kind::ALL {
        let server = Server::of(kind).start().unwrap();
        server.sql("CREATE USER a IDENTIFIED BY 'one'; CREATE USER b IDENTIFIED BY 'two'; CREATE USER z").unwrap();
        let mut users = vec![("a", "one"), ("b", "two"), ("z", ""), ("a", "one")];
        if kind == Kind::MariaDb {
            server
                .sql("CREATE USER e IDENTIFIED VIA ed25519 USING PASSWORD('three')")
                .unwrap();
            users.extend([("e", "three"), ("b", "two")]);
        }
        run(async {
            for (way, target) in ways(&server) {
                let mut connection = log_in(&target, "b", "two").await.unwrap();
                let id = connection.greeting.connection_id.to_string();
                for first_plugin in [
                    None,
                    Some(Plugin::NativePassword),
                    Some(Plugin::CachingSha2),
                ] {
                    for (user, password) in &users {
                        let password = Password::new(password);
                        let change = steadfast_net::Login {
                            first_plugin,
                            ..login(user, &password)
                        };
                        connection
                            .change_user(&change)
                            .await
                            .unwrap_or_else(|error| panic!("{user} {way}: {error}"));
                        let who = connection
                            .query(b"SELECT SUBSTRING_INDEX(USER(), '@', 1), CONNECTION_ID()")
                            .await;
                        let expected = [
                            Some(user.as_bytes().to_vec()),
                            Some(id.clone().into_bytes()),
                        ];
                        assert_eq!(who.unwrap().rows, [expected]);
                    }
                }
                let wrong = Password::new("wrong");
                let refused = connection.change_user(&login("a", &wrong)).await;
                assert!(
                    matches!(&refused, Err(LoginError::Refused(error)) if error.code == 1045),
                    "{refused:?}"
                );
            }
        });
    }
}

#[test]
fn a_login_is_relayed_with_the_clients_own_answers() {
    run(async {
        let password = Password::new("geheim");
        let nobody = Password::default();
        let server = Server::mariadb().start().unwrap();
        server.sql("CREATE USER c IDENTIFIED BY 'geheim'; CREATE USER e IDENTIFIED VIA ed25519 USING PASSWORD('geheim')").unwrap();
        for (_, target) in ways(&server) {
            let greeted = greet(&target).await.unwrap();
            let answer = native_response(&password, &greeted.greeting.scramble);
            let step = greeted
                .login_relayed(&login("c", &nobody), &answer, b"mysql_native_password")
                .await
                .unwrap();
            let RelayStep::Done(mut connection) = step else {
                panic!("{step:?}")
            };
            connection.ping().await.unwrap();

            let greeted = greet(&target).await.unwrap();
            let step = greeted
                .login_relayed(&login("c", &nobody), &[1; 20], b"mysql_native_password")
                .await
                .unwrap();
            assert!(
                matches!(&step, RelayStep::Refused(error) if error.code == 1045),
                "{step:?}"
            );

            // The account wants ed25519, and by then the password has become known.
            let greeted = greet(&target).await.unwrap();
            let answer = native_response(&password, &greeted.greeting.scramble);
            let step = greeted
                .login_relayed(&login("e", &nobody), &answer, b"mysql_native_password")
                .await
                .unwrap();
            let RelayStep::AuthSwitch {
                plugin,
                data,
                pending,
            } = step
            else {
                panic!("{step:?}")
            };
            assert_eq!(
                (plugin.as_slice(), data.len()),
                (&b"client_ed25519"[..], 32)
            );
            assert_eq!(
                pending.finish(&password).await.unwrap().plugin,
                "client_ed25519"
            );
        }

        let server = Server::mysql().start().unwrap();
        server.sql("CREATE USER c IDENTIFIED BY 'geheim'").unwrap();
        let mut admin = admin(&server).await;
        for (way, target) in ways(&server) {
            for cached in [false, true] {
                if !cached {
                    admin.query(b"FLUSH PRIVILEGES").await.unwrap();
                }
                let greeted = greet(&target).await.unwrap();
                let step = greeted
                    .login_relayed(&login("c", &nobody), b"", b"mysql_native_password")
                    .await
                    .unwrap();
                let RelayStep::AuthSwitch {
                    plugin,
                    data,
                    pending,
                } = step
                else {
                    panic!("{step:?}")
                };
                assert_eq!(plugin, b"caching_sha2_password");
                let answer = caching_sha2_response(&password, data[..20].try_into().unwrap());
                let RelayStep::MoreData { data, pending } = pending.answer(&answer).await.unwrap()
                else {
                    panic!()
                };
                let mut connection = if cached {
                    assert_eq!(data, [3]);
                    let RelayStep::Done(connection) = pending.proceed().await.unwrap() else {
                        panic!()
                    };
                    *connection
                } else if way == "unix" {
                    assert_eq!(data, [4]);
                    let RelayStep::Done(connection) =
                        pending.answer(&clear_password(&password)).await.unwrap()
                    else {
                        panic!()
                    };
                    *connection
                } else {
                    pending.finish(&password).await.unwrap()
                };
                assert_eq!(connection.plugin, "caching_sha2_password");
                connection.ping().await.unwrap();
            }
        }
    });
}

#[test]
fn query_attributes_and_a_default_database_reach_the_server() {
    for kind in Kind::ALL {
        let server = Server::of(kind).start().unwrap();
        run(async {
            let target = target(server.addr(), Verify::Preferred);
            let password = Password::new(server.admin_password());
            let attributes = [(b"program_name".to_vec(), b"net-test".to_vec())];
            let login = steadfast_net::Login {
                database: Some(b"mysql"),
                capabilities: common::CLIENT
                    | Capabilities::QUERY_ATTRIBUTES
                    | Capabilities::FOUND_ROWS,
                attributes: &attributes,
                ..login("root", &password)
            };
            let mut connection = greet(&target).await.unwrap().login(&login).await.unwrap();
            assert_eq!(
                connection
                    .capabilities
                    .contains(Capabilities::QUERY_ATTRIBUTES),
                kind == Kind::MySql
            );
            assert_eq!(connection.greeting.is_mariadb(), kind == Kind::MariaDb);
            assert_eq!(
                connection
                    .query(b"SELECT DATABASE()")
                    .await
                    .unwrap()
                    .value(),
                Some(&b"mysql"[..])
            );
            if kind == Kind::MySql {
                let seen = connection
                    .query(b"SELECT ATTR_VALUE FROM performance_schema.session_connect_attrs WHERE ATTR_NAME='program_name' AND PROCESSLIST_ID=CONNECTION_ID()")
                    .await
                    .unwrap();
                assert_eq!(seen.value(), Some(&b"net-test"[..]));
            }
            let unknown = steadfast_net::Login {
                database: Some(b"nothing"),
                ..login
            };
            let refused = greet(&target).await.unwrap().login(&unknown).await;
            assert!(
                matches!(&refused, Err(LoginError::Refused(error)) if error.code == 1049),
                "{refused:?}"
            );
        });
    }
}

#[test]
fn losses_of_real_servers_are_told_apart() {
    for kind in Kind::ALL {
        let server = Server::of(kind)
            .option("max_connections=10")
            .start()
            .unwrap();
        run(async {
            let mut connection = admin(&server).await;
            let mut killer = admin(&server).await;
            let mut target = target(server.addr(), Verify::Disabled);
            target.connect_timeout = Duration::from_millis(500);
            let mut held = Vec::new();
            let full = loop {
                match greet(&target).await {
                    Ok(greeted) => held.push(greeted),
                    Err(error) => break error,
                }
            };
            assert!(
                matches!(&full, ConnectError::Refused(error) if error.code == 1040),
                "{kind} {full:?}"
            );
            for greeted in held {
                greeted.abandon().await;
            }

            let id = connection.greeting.connection_id;
            killer.query(format!("KILL {id}").as_bytes()).await.unwrap();
            let killed = connection.query(b"SELECT 1").await;
            assert!(
                matches!(killed, Err(QueryError::Lost(LossKind::Eof, _))),
                "{kind} {killed:?}"
            );

            server.freeze().unwrap();
            let frozen = greet(&target).await.unwrap_err();
            assert!(
                matches!(
                    frozen,
                    ConnectError::Timeout {
                        stage: ConnectStage::Greeting,
                        ..
                    }
                ),
                "{kind} {frozen:?}"
            );
            server.thaw().unwrap();
            server.kill().unwrap();
            let crashed = killer.query(b"SELECT 1").await;
            assert!(
                matches!(crashed, Err(QueryError::Lost(LossKind::Eof, _))),
                "{kind} {crashed:?}"
            );
            let gone = greet(&target).await.unwrap_err();
            assert!(
                matches!(gone, ConnectError::Io(LossKind::Refused, _)),
                "{kind} {gone:?}"
            );
        });
    }
}

/// What counts towards `max_connect_errors` is a handshake that breaks off; a refused login does not. The counter itself
/// (`performance_schema.host_cache`) leaves the loopback interface out, so this looks at how the servers log it.
#[test]
fn an_abandoned_handshake_is_a_refused_login_and_not_a_broken_one() {
    for (kind, verbose, broken) in [
        (
            Kind::MySql,
            "log_error_verbosity=3",
            "Got an error reading communication packets",
        ),
        (
            Kind::MariaDb,
            "log_warnings=4",
            "closed normally without authentication",
        ),
    ] {
        let server = Server::of(kind).option(verbose).start().unwrap();
        let logged = |text: &str| {
            std::fs::read_to_string(server.error_log())
                .unwrap()
                .matches(text)
                .count()
        };
        let refused = "Access denied for user 'steadfast-abandoned'";
        let until = async |text: &str, times: usize| {
            for _ in 0..500 {
                if logged(text) == times {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            panic!(
                "{kind} logged '{text}' {} times instead of {times}",
                logged(text)
            );
        };
        run(async {
            for (round, (way, target)) in ways(&server).into_iter().enumerate() {
                greet(&target).await.unwrap().abandon().await;
                until(refused, round + 1).await;
                assert_eq!(logged(broken), round, "{kind} {way}");
                // The counter-check: just closing is a broken handshake.
                drop(greet(&target).await.unwrap());
                until(broken, round + 1).await;
            }
            if kind == Kind::MariaDb {
                let mut admin = admin(&server).await;
                let counted = admin
                    .query(b"SHOW GLOBAL STATUS LIKE 'Aborted_connects_preauth'")
                    .await
                    .unwrap();
                assert_eq!(counted.rows[0][1].as_deref(), Some(&b"3"[..]));
            }
        });
    }
}

#[test]
fn an_anonymous_account_takes_an_abandoned_handshake_and_is_left_in_order() {
    let server = Server::mariadb().option("log_warnings=4").start().unwrap();
    server.sql("CREATE USER ''@'%'").unwrap();
    run(async {
        greet(&target(server.addr(), Verify::Preferred))
            .await
            .unwrap()
            .abandon()
            .await;
        let mut admin = admin(&server).await;
        let others = b"SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER IN ('', 'steadfast-abandoned')";
        while admin.query(others).await.unwrap().value() != Some(b"0") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let aborted =
            b"SHOW GLOBAL STATUS WHERE Variable_name IN ('Aborted_clients', 'Aborted_connects')";
        let aborted = admin.query(aborted).await.unwrap();
        let zero = Some(b"0".to_vec());
        assert!(
            aborted.rows.len() == 2 && aborted.rows.iter().all(|row| row[1] == zero),
            "{aborted:?}"
        );
    });
}
