//! A server, and a client that asks it point selects and needs no memory for it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use steadfast_net::tls::{Connector, Verify};
use steadfast_net::{Login, ServerConnection, Target, greet};
use steadfast_sandbox::{Kind, Server};
use steadfast_wire::auth::Password;
use steadfast_wire::{Capabilities, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Longer than a server takes to answer a point select.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// Point selects before the first that counts.
const WARM: usize = 300;

/// Settings without TLS to the server.
pub(crate) fn settings(directory: &Path) -> PathBuf {
    let settings = directory.join("steadfast.toml");
    std::fs::write(&settings, "[backend]\ntls = \"disabled\"\n").unwrap();
    settings
}

pub(crate) fn server(kind: Kind) -> Server {
    let server = Server::of(kind).start().unwrap();
    server
        .sql(
            "CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY, c CHAR(120) NOT NULL);
             INSERT INTO shop.t VALUES (1, REPEAT('a', 119)), (2, REPEAT('b', 119));
             CREATE USER app IDENTIFIED BY 'secret'; GRANT ALL ON shop.* TO app;",
        )
        .unwrap();
    server
}

/// A client that asks point selects, and needs no memory for it.
pub(crate) struct Client {
    connection: ServerConnection,
    /// Commands that are asked in turn, and how many bytes answer each.
    asks: Vec<(Vec<u8>, usize)>,
    answer: Box<[u8]>,
}

impl Client {
    /// Logs in, and learns its point selects: texts, or a prepared one.
    pub(crate) async fn asking(address: SocketAddr, prepared: bool) -> Self {
        let mut client = Self::connect(address).await;
        let asks = match prepared {
            true => client.prepared().await,
            false => Self::texts(),
        };
        client.will_ask(asks).await;
        client.ask(WARM).await;
        client
    }

    async fn connect(address: SocketAddr) -> Self {
        let password = Password::new("secret");
        let login = Login {
            user: b"app",
            password: &password,
            database: Some(b"shop"),
            // As libmariadb, which sysbench uses: Steadfast makes the EOF packets that it expects.
            capabilities: Capabilities::LONG_FLAG | Capabilities::MULTI_RESULTS,
            collation: 45,
            max_packet_size: 1 << 24,
            attributes: &[],
            first_plugin: None,
        };
        let target = Target::new(address.into(), Connector::new(Verify::Disabled).unwrap());
        let connection = greet(&target).await.unwrap().login(&login).await.unwrap();
        Self {
            connection,
            asks: Vec::new(),
            answer: vec![0; 4096].into(),
        }
    }

    /// The whole answer to a command, however long it is.
    async fn learn(&mut self, payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, 0, payload);
        self.connection.stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        while let Ok(read) = timeout(QUIET, self.connection.stream.read_buf(&mut answer)).await {
            assert!(read.unwrap() > 0, "the connection is gone");
        }
        (bytes, answer)
    }

    /// Texts with other literals each time, some of them longer.
    fn texts() -> Vec<Vec<u8>> {
        (0..20)
            .map(|number| {
                let text = format!(
                    "SELECT c FROM t WHERE id={} OR id={}",
                    1,
                    number * number * 77 + 2
                );
                [&[0x03][..], text.as_bytes()].concat()
            })
            .collect()
    }

    async fn prepared(&mut self) -> Vec<Vec<u8>> {
        let (_, answer) = self.learn(b"\x16SELECT c FROM t WHERE id=?").await;
        let id = answer.get(5..9).unwrap().to_vec();
        let execute = |types: &[u8]| {
            let parts: [&[u8]; 6] = [
                &[0x17],
                &id,
                &[0, 1, 0, 0, 0],
                &[0],
                types,
                &1u64.to_le_bytes(),
            ];
            parts.concat()
        };
        // A BIGINT; libmariadb says so once.
        self.learn(&execute(&[1, 8, 0])).await;
        vec![execute(&[0])]
    }

    async fn will_ask(&mut self, payloads: Vec<Vec<u8>>) {
        for payload in payloads {
            let (bytes, answer) = self.learn(&payload).await;
            let text = String::from_utf8_lossy(&answer).into_owned();
            assert!(text.contains(&"a".repeat(119)), "{text:?}");
            self.asks.push((bytes, answer.len()));
        }
    }

    /// Asks so often, and waits for each answer.
    pub(crate) async fn ask(&mut self, times: usize) {
        for number in 0..times {
            let (command, length) = &self.asks[number % self.asks.len()];
            self.connection.stream.write_all(command).await.unwrap();
            let place = &mut self.answer[..*length];
            self.connection.stream.read_exact(place).await.unwrap();
        }
    }
}

/// On this thread.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work)
}
