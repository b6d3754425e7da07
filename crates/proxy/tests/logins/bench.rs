//! A server behind Steadfast, and clients that answer as they are told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use steadfast_net::tls::{Connector, Verify};
use steadfast_net::{
    Greeted, Login, LoginError, Pending, RelayStep, ServerConnection, Target, greet,
};
use steadfast_proxy::config::{Address, Config, Overrides};
use steadfast_proxy::serve;
use steadfast_sandbox::{Kind, Server};
use steadfast_wire::Capabilities;
use steadfast_wire::auth::{Password, caching_sha2_response, native_response};
use steadfast_wire::handshake::AuthSwitchRequest;
use tokio::sync::oneshot;

pub(crate) const CACHING_SHA2: &[u8] = b"caching_sha2_password";
pub(crate) const NATIVE: &[u8] = b"mysql_native_password";
pub(crate) const CLEAR: &[u8] = b"mysql_clear_password";

/// A server behind Steadfast.
pub(crate) struct Bench {
    pub(crate) server: Arc<Server>,
    pub(crate) clients: Address,
    _state: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn start(kind: Kind, accounts: &str) -> Self {
        let server = Server::of(kind).start().unwrap();
        server.sql(accounts).unwrap();
        let backend = server.addr();
        Self::with(Arc::new(server), backend, "").await
    }

    /// Before a server that is reached at `backend`, with these settings.
    pub(crate) async fn with(server: Arc<Server>, backend: SocketAddr, settings: &str) -> Self {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("steadfast.toml");
        // Each login is one of the server's own, as the tests take it apart.
        std::fs::write(&file, format!("limits.pool = 0\n{settings}")).unwrap();
        let overrides = Overrides {
            backend: Some(backend.into()),
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            admin: Some("off".parse().unwrap()),
            state_dir: Some(state.path().to_owned()),
            ..Overrides::default()
        };
        let config = Config::load(Some(&file), overrides).unwrap();
        let (ready, listening) = oneshot::channel();
        tokio::spawn(async move { serve(config, ready).await.unwrap() });
        let clients = listening.await.unwrap().clients.remove(0);
        Self {
            server,
            clients,
            _state: state,
        }
    }

    pub(crate) async fn greeted(&self, verify: Verify) -> Greeted {
        let target = Target::new(self.clients.clone(), Connector::new(verify).unwrap());
        greet(&target).await.unwrap()
    }

    pub(crate) async fn log_in(
        &self,
        user: &str,
        password: &str,
    ) -> Result<ServerConnection, LoginError> {
        self.log_in_over(Verify::Disabled, user, password).await
    }

    pub(crate) async fn log_in_over(
        &self,
        tls: Verify,
        user: &str,
        password: &str,
    ) -> Result<ServerConnection, LoginError> {
        let password = Password::new(password);
        let greeted = self.greeted(tls).await;
        greeted.login(&login(user, &password, &[])).await
    }

    /// A login of which the first answer is made from the password, or empty, by this plugin.
    pub(crate) async fn first(
        &self,
        user: &str,
        attributes: &[(Vec<u8>, Vec<u8>)],
        answer: Answer,
    ) -> RelayStep {
        self.first_over(Verify::Disabled, user, attributes, answer)
            .await
    }

    pub(crate) async fn first_over(
        &self,
        tls: Verify,
        user: &str,
        attributes: &[(Vec<u8>, Vec<u8>)],
        answer: Answer,
    ) -> RelayStep {
        let greeted = self.greeted(tls).await;
        let nonce = greeted.greeting.scramble;
        let (bytes, plugin) = match answer {
            Answer::Native(password) => (native_response(&Password::new(password), &nonce), NATIVE),
            Answer::CachingSha2(password) => {
                let password = Password::new(password);
                (caching_sha2_response(&password, &nonce), CACHING_SHA2)
            }
            Answer::Clear(password) => (format!("{password}\0").into_bytes(), CLEAR),
            Answer::Bytes(bytes) => (bytes.to_vec(), CACHING_SHA2),
        };
        let nobody = Password::default();
        let login = login(user, &nobody, attributes);
        greeted.login_relayed(&login, &bytes, plugin).await.unwrap()
    }

    /// Takes all server connections of a user away.
    pub(crate) fn cut(&self, user: &str) {
        let ids = self
            .server
            .sql(&format!(
                "SELECT CONCAT('KILL ', ID, ';') FROM information_schema.PROCESSLIST WHERE USER = '{user}'"
            ))
            .unwrap();
        let kills: Vec<&str> = ids
            .lines()
            .filter(|line| line.starts_with("KILL"))
            .collect();
        assert!(!kills.is_empty(), "{ids}");
        for kill in kills {
            // 1094: it was ending anyway.
            if let Err(error) = self.server.sql(kill) {
                assert!(error.to_string().contains("ERROR 1094"), "{error}");
            }
        }
    }
}

pub(crate) enum Answer {
    Native(&'static str),
    CachingSha2(&'static str),
    Clear(&'static str),
    Bytes(&'static [u8]),
}

pub(crate) fn login<'a>(
    user: &'a str,
    password: &'a Password,
    attributes: &'a [(Vec<u8>, Vec<u8>)],
) -> Login<'a> {
    Login {
        user: user.as_bytes(),
        password,
        database: None,
        capabilities: Capabilities::SESSION_TRACK | Capabilities::CONNECT_ATTRS,
        collation: 45,
        max_packet_size: 1 << 24,
        attributes,
        first_plugin: None,
    }
}

pub(crate) fn switched(step: RelayStep) -> (Vec<u8>, [u8; 20], Box<Pending>) {
    match step {
        RelayStep::AuthSwitch {
            plugin,
            data,
            pending,
        } => {
            let request = AuthSwitchRequest {
                plugin: &plugin,
                data: &data,
            };
            let nonce = request.nonce().try_into().unwrap();
            (plugin, nonce, pending)
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn more(step: RelayStep) -> (Vec<u8>, Box<Pending>) {
    match step {
        RelayStep::MoreData { data, pending } => (data, pending),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn done(step: RelayStep) -> ServerConnection {
    match step {
        RelayStep::Done(connection) => *connection,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn user_of(connection: &mut ServerConnection) -> String {
    let result = connection
        .query(b"SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)")
        .await
        .unwrap();
    String::from_utf8(result.value().unwrap().to_vec()).unwrap()
}

pub(crate) async fn survives(bench: &Bench, user: &str, mut connection: ServerConnection) {
    connection.query(b"SET @kept = 7").await.unwrap();
    bench.cut(user);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let result = connection.query(b"SELECT @kept").await.unwrap();
    assert_eq!(result.value(), Some(&b"7"[..]), "{user}");
    assert_eq!(user_of(&mut connection).await, user);
}
