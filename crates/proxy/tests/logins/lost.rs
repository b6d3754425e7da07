//! Logins whose server connection is lost on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use steadfast_sandbox::{Cut, Direction, Kind, Link, Server, Verdict};

use super::bench::Bench;

/// Where the connection to the server is cut, once.
#[derive(Clone, Copy, Debug)]
enum At {
    /// When Steadfast answers the greeting.
    Answer,
    /// When the server has judged the password.
    Outcome,
    /// When Steadfast looks at what the new connection has of its own.
    SetUp,
}

impl At {
    /// Whether a packet of the chunk is the one: several come together.
    fn is(self, direction: Direction, chunk: &[u8]) -> bool {
        let mut rest = chunk;
        while let [a, b, c, sequence, first, ..] = *rest {
            let found = match (self, direction) {
                (At::Answer, Direction::ToServer) => sequence == 1,
                (At::Outcome, Direction::ToClient) => sequence > 1 && first == 0,
                (At::SetUp, Direction::ToServer) => sequence == 0 && first == 3,
                _ => false,
            };
            if found {
                return true;
            }
            let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
            rest = rest.get(4 + length..).unwrap_or_default();
        }
        false
    }
}

async fn a_login_survives_the_loss_of_its_server_connection(kind: Kind) {
    let server = Server::of(kind).start().unwrap();
    server
        .sql("CREATE USER u IDENTIFIED BY 'right'; CREATE DATABASE d;")
        .unwrap();
    let link = Link::to(server.addr()).unwrap();
    // Without TLS, so that the link sees where it cuts.
    let settings = "[backend]\ntls = \"disabled\"\n";
    let bench = Bench::with(Arc::new(server), link.addr(), settings).await;
    bench.log_in("u", "right").await.unwrap().quit().await;
    for at in [At::Answer, At::Outcome, At::SetUp] {
        let cuts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&cuts);
        link.set_tap(move |direction, _, bytes| {
            if counted.load(Ordering::SeqCst) == 0 && at.is(direction, bytes) {
                counted.store(1, Ordering::SeqCst);
                Verdict::CutBefore(Cut::Rst)
            } else {
                Verdict::Pass
            }
        });
        let mut connection = bench.log_in("u", "right").await.unwrap();
        assert_eq!(cuts.load(Ordering::SeqCst), 1, "{at:?}");
        let result = connection.query(b"SELECT CURRENT_USER()").await.unwrap();
        assert_eq!(result.rows[0][0].as_deref(), Some(&b"u@%"[..]), "{at:?}");
        connection.quit().await;
        link.clear_tap();
    }
}

#[tokio::test]
async fn a_login_to_mariadb_survives_the_loss_of_its_server_connection() {
    a_login_survives_the_loss_of_its_server_connection(Kind::MariaDb).await;
}

#[tokio::test]
async fn a_login_to_mysql_survives_the_loss_of_its_server_connection() {
    a_login_survives_the_loss_of_its_server_connection(Kind::MySql).await;
}
