//! Accounts whose server wants the password itself (`mysql_clear_password`): PAM on MariaDB, a plugin of the
//! sandbox's on MySQL.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use steadfast_net::tls::{Connector, Verify};
use steadfast_net::{LoginError, RelayStep, ServerError, Target, greet};
use steadfast_sandbox::{Kind, Link, Server, Verdict};
use steadfast_wire::auth::Password;

use crate::bench::{Answer, Bench, CACHING_SHA2, CLEAR, login, survives, switched, user_of};

const PASSWORD: &str = "Right-And-Secret";
/// A user whose clients cannot be asked for their passwords.
const SHY: &str = "shy";

fn server(kind: Kind) -> Arc<Server> {
    let server = Server::of(kind).clear_password(PASSWORD).start().unwrap();
    let clause = server.clear_password_clause().unwrap();
    let accounts = format!(
        "CREATE USER clear {clause}; CREATE USER {SHY} {clause}; CREATE USER other IDENTIFIED BY 'right'"
    );
    server.sql(&accounts).unwrap();
    Arc::new(server)
}

/// A wire on which everything is read along.
struct Tapped {
    link: Link,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Tapped {
    fn to(target: std::net::SocketAddr) -> Self {
        let link = Link::to(target).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        link.set_tap(move |_, _, bytes| {
            all.lock().unwrap().extend_from_slice(bytes);
            Verdict::Pass
        });
        Self { link, seen }
    }

    #[track_caller]
    fn shows_no_password(&self) {
        let seen = self.seen.lock().unwrap();
        assert!(!seen.is_empty());
        let secret = PASSWORD.as_bytes();
        assert!(
            !seen.windows(secret.len()).any(|bytes| bytes == secret),
            "the password was sent in the clear"
        );
    }
}

#[track_caller]
fn refused(error: LoginError) -> ServerError {
    match error {
        LoginError::Refused(error) => error,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn says(error: &ServerError, code: u16, parts: &[&str]) {
    let message = String::from_utf8(error.message.clone()).unwrap();
    assert_eq!(error.code, code, "{message}");
    assert!(message.starts_with("Steadfast: "), "{message}");
    assert!(!message.contains('\n'), "{message}");
    for part in parts {
        assert!(message.contains(part), "{part}: {message}");
    }
}

/// Makes Steadfast remember that this user's clients leave when they are asked.
async fn leave_when_asked(bench: &Bench) {
    let (plugin, _, pending) = switched(bench.first(SHY, &[], Answer::Native("x")).await);
    assert_eq!(plugin, CACHING_SHA2);
    drop(pending);
    tokio::time::sleep(Duration::from_millis(200)).await;
}

async fn a_login_is_as_good_as_a_direct_one(kind: Kind) {
    let server = server(kind);
    let wire = Tapped::to(server.addr());
    let mut bench = Bench::with(Arc::clone(&server), wire.link.addr(), "").await;

    let connector = Connector::new(Verify::Required).unwrap();
    let direct = Target::new(server.addr().into(), connector);
    let wrong = Password::new("wrong");
    let greeted = greet(&direct).await.unwrap();
    let directly = refused(
        greeted
            .login(&login("clear", &wrong, &[]))
            .await
            .unwrap_err(),
    );

    // Over TLS, and without it, where the client encrypts the password with Steadfast's key.
    let clients = bench.clients.clone();
    let between = Tapped::to(clients.to_string().parse().unwrap());
    bench.clients = between.link.addr().into();
    for tls in [Verify::Required, Verify::Disabled] {
        let connection = bench.log_in_over(tls.clone(), "clear", PASSWORD).await;
        survives(&bench, "clear", connection.unwrap()).await;
        let error = bench.log_in_over(tls, "clear", "wrong").await.unwrap_err();
        assert_eq!(refused(error), directly);
    }
    between.shows_no_password();
    bench.clients = clients;

    // A client that answers with it at once, over TLS.
    for (password, right) in [(PASSWORD, true), ("wrong", false)] {
        let answer = Answer::Clear(password);
        match bench
            .first_over(Verify::Required, "clear", &[], answer)
            .await
        {
            RelayStep::Done(connection) if right => survives(&bench, "clear", *connection).await,
            RelayStep::Refused(error) if !right => assert_eq!(error, directly),
            other => panic!("{other:?}"),
        }
    }

    // COM_CHANGE_USER.
    let secret = Password::new(PASSWORD);
    let mut connection = bench.log_in("other", "right").await.unwrap();
    connection
        .change_user(&login("clear", &secret, &[]))
        .await
        .unwrap();
    assert_eq!(user_of(&mut connection).await, "clear");
    survives(&bench, "clear", connection).await;
    let mut connection = bench.log_in("other", "right").await.unwrap();
    let changed = connection.change_user(&login("clear", &wrong, &[])).await;
    assert_eq!(refused(changed.unwrap_err()).code, 1045);

    // A client that cannot be asked is passed the server's wish where nobody can read along, and its password is
    // learned.
    leave_when_asked(&bench).await;
    for (password, right) in [("wrong", false), (PASSWORD, true)] {
        let answer = Answer::Native("x");
        let first = bench.first_over(Verify::Required, SHY, &[], answer).await;
        let (plugin, pending) = match first {
            RelayStep::AuthSwitch {
                plugin, pending, ..
            } => (plugin, pending),
            other => panic!("{other:?}"),
        };
        assert_eq!(plugin, CLEAR);
        let finished = pending.finish(&Password::new(password)).await;
        if right {
            survives(&bench, SHY, finished.unwrap()).await;
        } else {
            assert_eq!(refused(finished.unwrap_err()).code, 1045);
        }
    }
    wire.shows_no_password();
}

async fn nobody_is_asked_for_it_where_others_can_read_along(kind: Kind) {
    let server = server(kind);

    // On the client's leg.
    let wire = Tapped::to(server.addr());
    let bench = Bench::with(Arc::clone(&server), wire.link.addr(), "").await;
    leave_when_asked(&bench).await;
    for answer in [Answer::Native("x"), Answer::Clear(PASSWORD)] {
        match bench.first(SHY, &[], answer).await {
            RelayStep::Refused(error) => {
                says(&error, 3159, &["mysql_clear_password", "connect with TLS"]);
            }
            other => panic!("{other:?}"),
        }
    }
    wire.shows_no_password();

    // On the server's leg.
    let wire = Tapped::to(server.addr());
    let settings = "[backend]\ntls = \"disabled\"\n";
    let bench = Bench::with(Arc::clone(&server), wire.link.addr(), settings).await;
    let parts = ["mysql_clear_password", "backend.tls"];
    for tls in [Verify::Required, Verify::Disabled] {
        let login = bench.log_in_over(tls, "clear", PASSWORD).await;
        says(&refused(login.unwrap_err()), 3159, &parts);
    }
    leave_when_asked(&bench).await;
    for answer in [Answer::Native("x"), Answer::Clear(PASSWORD)] {
        match bench.first_over(Verify::Required, SHY, &[], answer).await {
            RelayStep::Refused(error) => says(&error, 3159, &parts),
            other => panic!("{other:?}"),
        }
    }
    // At once, not after the time that is waited for a server.
    let begun = Instant::now();
    let secret = Password::new(PASSWORD);
    let mut connection = bench.log_in("other", "right").await.unwrap();
    let changed = connection.change_user(&login("clear", &secret, &[])).await;
    says(&refused(changed.unwrap_err()), 3159, &parts);
    let connection = bench.log_in("other", "right").await.unwrap();
    bench.cut("other");
    let mut connection = connection;
    let changed = connection.change_user(&login("clear", &secret, &[])).await;
    says(&refused(changed.unwrap_err()), 3159, &parts);
    assert!(begun.elapsed() < Duration::from_secs(20));
    wire.shows_no_password();
}

#[tokio::test]
async fn a_login_to_mariadb_is_as_good_as_a_direct_one() {
    a_login_is_as_good_as_a_direct_one(Kind::MariaDb).await;
}

#[tokio::test]
async fn a_login_to_mysql_is_as_good_as_a_direct_one() {
    a_login_is_as_good_as_a_direct_one(Kind::MySql).await;
}

#[tokio::test]
async fn nobody_is_asked_for_it_in_the_clear_for_mariadb() {
    nobody_is_asked_for_it_where_others_can_read_along(Kind::MariaDb).await;
}

#[tokio::test]
async fn nobody_is_asked_for_it_in_the_clear_for_mysql() {
    nobody_is_asked_for_it_where_others_can_read_along(Kind::MySql).await;
}
