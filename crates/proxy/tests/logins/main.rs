//! How clients log in through Steadfast to real servers, and how it learns their passwords.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod bench;
mod clear_password;
mod lost;

use std::time::Duration;

use steadfast_net::tls::Verify;
use steadfast_net::{LoginError, RelayStep};
use steadfast_sandbox::Kind;
use steadfast_wire::auth::{
    FAST_AUTH_SUCCESS, PERFORM_FULL_AUTH, Password, REQUEST_PUBLIC_KEY, caching_sha2_response,
    native_response, rsa_encrypt_password,
};

use bench::{Answer, Bench, CACHING_SHA2, NATIVE, done, login, more, survives, switched, user_of};

#[tokio::test]
async fn logins_to_mariadb() {
    let bench = Bench::start(
        Kind::MariaDb,
        "CREATE USER native IDENTIFIED BY 'right';
         CREATE USER other IDENTIFIED BY 'right';
         CREATE USER shy IDENTIFIED BY 'right';
         CREATE USER ed IDENTIFIED VIA ed25519 USING PASSWORD('right');
         CREATE USER nothing IDENTIFIED BY '';",
    )
    .await;

    // Whatever the account's plugin is, the password is learned and the session survives.
    for user in ["native", "ed"] {
        let connection = bench.log_in(user, "right").await.unwrap();
        survives(&bench, user, connection).await;
        match bench.log_in(user, "wrong").await {
            Err(LoginError::Refused(error)) => assert_eq!(error.code, 1045),
            other => panic!("{other:?}"),
        }
    }

    // libmariadb insists on the fast success where the password is known.
    let first = bench
        .first("native", &[], Answer::CachingSha2("right"))
        .await;
    let (data, pending) = more(first);
    assert_eq!(data, [FAST_AUTH_SUCCESS]);
    done(pending.proceed().await.unwrap()).quit().await;

    // An empty password is told by nothing, or by a NUL; also when it is known.
    for empty in [&b""[..], b"\0", b"", b"\0"] {
        let first = bench.first("nothing", &[], Answer::Bytes(empty)).await;
        let connection = done(first);
        connection.quit().await;
    }

    // libmysqlclient without TLS would leave at the full authentication of caching_sha2_password.
    let libmysql = [(b"_client_name".to_vec(), b"libmysql".to_vec())];
    let first = bench
        .first("other", &libmysql, Answer::CachingSha2("right"))
        .await;
    let (plugin, _, pending) = switched(first);
    assert_eq!(plugin, b"sha256_password");
    let connection = pending.finish(&Password::new("right")).await.unwrap();
    survives(&bench, "other", connection).await;

    // In COM_CHANGE_USER an empty answer is no empty password, not even where that is the account's.
    for (user, password) in [("native", "right"), ("nothing", "")] {
        let nobody = Password::default();
        let connection = bench.log_in("ed", "right").await.unwrap();
        let step = connection
            .change_user_relayed(&login(user, &nobody, &[]))
            .await
            .unwrap();
        let (plugin, _, pending) = switched(step);
        assert_eq!(plugin, CACHING_SHA2);
        let mut connection = pending.finish(&Password::new(password)).await.unwrap();
        assert_eq!(user_of(&mut connection).await, user);
    }

    // A client that leaves when it is asked is relayed the next time, also in COM_CHANGE_USER.
    let first = bench.first("shy", &[], Answer::Native("right")).await;
    let (plugin, _, pending) = switched(first);
    assert_eq!(plugin, CACHING_SHA2);
    drop(pending);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut connection = done(bench.first("shy", &[], Answer::Native("right")).await);
    assert_eq!(user_of(&mut connection).await, "shy");
    let nobody = Password::default();
    let step = connection
        .change_user_relayed(&login("shy", &nobody, &[]))
        .await
        .unwrap();
    let (plugin, nonce, pending) = switched(step);
    assert_eq!(plugin, NATIVE);
    let answer = native_response(&Password::new("right"), &nonce);
    let mut connection = done(pending.answer(&answer).await.unwrap());
    assert_eq!(user_of(&mut connection).await, "shy");
}

#[tokio::test]
async fn logins_to_mysql() {
    let bench = Bench::start(
        Kind::MySql,
        "CREATE USER caching IDENTIFIED WITH caching_sha2_password BY 'right';
         CREATE USER sha IDENTIFIED WITH sha256_password BY 'right';
         CREATE USER shy IDENTIFIED WITH caching_sha2_password BY 'right';
         CREATE USER nothing IDENTIFIED BY '';",
    )
    .await;
    for user in ["caching", "sha"] {
        let connection = bench.log_in(user, "right").await.unwrap();
        survives(&bench, user, connection).await;
        match bench.log_in(user, "wrong").await {
            Err(LoginError::Refused(error)) => assert_eq!(error.code, 1045),
            other => panic!("{other:?}"),
        }
    }

    // Relayed clients have no TLS and the server's leg has: their passwords are decrypted between, and learned.
    for (user, password, right) in [("nothing", "wrong", false), ("shy", "right", true)] {
        let answer = || Answer::CachingSha2(password);
        let (data, pending) = more(bench.first(user, &[], answer()).await);
        assert_eq!(data, [PERFORM_FULL_AUTH]);
        drop(pending);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let greeted = bench.greeted(Verify::Disabled).await;
        let nonce = greeted.greeting.scramble;
        let nobody = Password::default();
        let password = Password::new(password);
        let bytes = caching_sha2_response(&password, &nonce);
        let login = login(user, &nobody, &[]);
        let first = greeted
            .login_relayed(&login, &bytes, CACHING_SHA2)
            .await
            .unwrap();
        let (data, pending) = more(first);
        assert_eq!(data, [PERFORM_FULL_AUTH]);
        let (key, pending) = more(pending.answer(&[REQUEST_PUBLIC_KEY]).await.unwrap());
        let encrypted = rsa_encrypt_password(&password, &nonce, &key).unwrap();
        match pending.answer(&encrypted).await.unwrap() {
            RelayStep::Done(connection) if right => survives(&bench, user, *connection).await,
            RelayStep::Refused(error) if !right => assert_eq!(error.code, 1045),
            other => panic!("{other:?}"),
        }
    }

    // MySQL tells where explicit transactions begin and end, though the client does not track them.
    let mut connection = bench.log_in("caching", "right").await.unwrap();
    let mut told = async |text: &str| {
        let result = connection.query(text.as_bytes()).await.unwrap();
        result.ok.unwrap().session_state
    };
    assert_eq!(told("BEGIN").await, b"\x05\x09\x08T_______");
    assert_eq!(told("DO 1").await, b"");
    assert_eq!(told("COMMIT").await, b"\x05\x09\x08________");
    assert_eq!(told("SET TRANSACTION READ ONLY").await, b"");

    // A ping between an error and the question about it changes nothing.
    connection.query(b"SELEKT 1").await.unwrap_err();
    connection.ping().await.unwrap();
    let errors = connection.query(b"SHOW ERRORS").await.unwrap();
    assert_eq!(errors.rows.len(), 1);
}
