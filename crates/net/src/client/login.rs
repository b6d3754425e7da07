//! The login: capabilities, TLS, handshake response, authentication.

use std::time::Duration;

use steadfast_wire::Capabilities;
use steadfast_wire::auth::{Password, Plugin};
use steadfast_wire::handshake::{Attributes, HandshakeResponse, SslRequest};
use tokio::time::timeout;

use super::answer::Authentication;
use super::dialogue::{AuthStep, Dialogue, MAX_STEPS};
use super::{Greeted, OwnedGreeting, OwnedOk, ServerConnection};
use crate::{LoginError, Stream};

/// How long [`Greeted::abandon`] may take.
const ABANDON_LIMIT: Duration = Duration::from_secs(2);

/// The user name that [`Greeted::abandon`] gives; servers log it with the refusal.
const ABANDONED: &[u8] = b"steadfast-abandoned";

/// What was negotiated for the connection and its first login, and means nothing to a session.
pub(super) const OF_THE_CONNECTION: Capabilities =
    Capabilities::SSL.union(Capabilities::CONNECT_WITH_DB);

/// Who logs in, and as what kind of client.
#[derive(Debug, Clone)]
pub struct Login<'a> {
    /// User name in the character set of `collation`.
    pub user: &'a [u8],
    /// The password. [`Greeted::login_relayed`] does not look at it.
    pub password: &'a Password,
    /// Default database.
    pub database: Option<&'a [u8]>,
    /// What is wanted. What the server lacks is left out, and so are compression, further authentication factors and
    /// TLS, which [`Target::tls`](crate::Target::tls) decides. What the login itself needs, and DEPRECATE_EOF, is added.
    pub capabilities: Capabilities,
    /// Collation, its lower 8 bits.
    pub collation: u8,
    /// The largest packet that this side takes, in bytes.
    pub max_packet_size: u32,
    /// Connection attributes, name and value.
    pub attributes: &'a [(Vec<u8>, Vec<u8>)],
    /// The plugin of the account, if it is known from an earlier login: spares a round trip. `None` is the server's
    /// default plugin.
    pub first_plugin: Option<Plugin>,
}

impl Login<'_> {
    pub(super) fn raw_attributes(&self) -> Vec<u8> {
        let mut raw = Vec::new();
        for (name, value) in self.attributes {
            Attributes::push(&mut raw, name, value);
        }
        raw
    }

    /// What a session of this login has of a server with these capabilities, on whatever connection it is: see
    /// [`ServerConnection::session_capabilities`].
    pub fn session_capabilities(&self, server: Capabilities) -> Capabilities {
        self.negotiate(server) - OF_THE_CONNECTION
    }

    fn negotiate(&self, server: Capabilities) -> Capabilities {
        let never = Capabilities::COMPRESS
            | Capabilities::ZSTD_COMPRESSION
            | Capabilities::MULTI_FACTOR_AUTHENTICATION
            | Capabilities::SSL
            | Capabilities::CONNECT_WITH_DB;
        let mut wanted = (self.capabilities - never)
            | Capabilities::LONG_PASSWORD
            | Capabilities::PROTOCOL_41
            | Capabilities::SECURE_CONNECTION
            | Capabilities::PLUGIN_AUTH
            | Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA
            | Capabilities::TRANSACTIONS
            | Capabilities::DEPRECATE_EOF;
        wanted.set(Capabilities::CONNECT_WITH_DB, self.database.is_some());
        if !self.attributes.is_empty() {
            wanted |= Capabilities::CONNECT_ATTRS;
        }
        // A server without LONG_PASSWORD speaks MariaDB's dialect, and then so does the answer.
        wanted & server
    }
}

impl Greeted {
    /// Logs in.
    ///
    /// The password leaves this process in the clear only inside TLS or over a Unix socket; over plain TCP the full
    /// authentication of `caching_sha2_password` and `sha256_password` encrypts it with the RSA key that the server
    /// sends.
    ///
    /// # Errors
    /// [`LoginError`]. The connection is closed then.
    pub async fn login(self, login: &Login<'_>) -> Result<ServerConnection, LoginError> {
        let default = Plugin::from_name(self.greeting.plugin.as_bytes());
        let nonce = self.greeting.scramble;
        let mut connection = self.begin(login).await?;
        let mut authentication = Authentication::new(login.password, nonce);
        let answer =
            authentication.first_answer(login.first_plugin.unwrap_or(default), &connection.stream);
        let mut dialogue = connection.dialogue();
        dialogue
            .send_response(login, authentication.plugin().as_bytes(), &answer)
            .await?;
        let ok = authentication.run(&mut dialogue).await?;
        Ok(connection.complete(authentication.into_plugin(), ok))
    }

    /// Ends the handshake so that the server does not count a broken one towards `max_connect_errors`: completes it
    /// with a login that is refused. Takes at most 2 s; what goes wrong is only logged, because the connection is
    /// closed in any case.
    pub async fn abandon(self) {
        let id = self.greeting.connection_id;
        match timeout(ABANDON_LIMIT, self.be_refused()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!("the handshake of connection {id} could not be ended: {error}")
            }
            Err(_) => {
                tracing::debug!("the handshake of connection {id} could not be ended within 2 s")
            }
        }
    }

    async fn be_refused(self) -> Result<(), LoginError> {
        let login = Login {
            user: ABANDONED,
            password: &Password::default(),
            database: None,
            capabilities: Capabilities::empty(),
            collation: self.greeting.collation,
            max_packet_size: 1 << 24,
            attributes: &[],
            first_plugin: None,
        };
        let plugin = self.greeting.plugin.clone();
        let mut connection = self.begin(&login).await?;
        let mut dialogue = connection.dialogue();
        dialogue
            .send_response(&login, plugin.as_bytes(), &[])
            .await?;
        for _ in 0..MAX_STEPS {
            match dialogue.next().await? {
                // An anonymous account without a password takes everybody.
                AuthStep::Ok(ok) => {
                    connection.complete(plugin, ok).quit().await;
                    return Ok(());
                }
                AuthStep::Refused(_) => return Ok(()),
                AuthStep::Switch { .. } | AuthStep::MoreData(_) => dialogue.send(&[]).await?,
            }
        }
        Err(LoginError::Nonsense(
            "the server's authentication does not end".to_owned(),
        ))
    }

    /// Negotiates capabilities and does the TLS handshake.
    pub(super) async fn begin(mut self, login: &Login<'_>) -> Result<LoggingIn, LoginError> {
        let mut capabilities = login.negotiate(self.greeting.capabilities);
        let offered = self.greeting.capabilities.contains(Capabilities::SSL);
        if self
            .tls
            .wants(&self.stream, offered)
            .map_err(LoginError::tls)?
        {
            capabilities |= Capabilities::SSL;
            // Bytes in the clear behind the greeting would be taken for the server's first inside TLS.
            if !self.inbound.is_empty() {
                return Err(LoginError::Nonsense(
                    "the server sent something before TLS began".to_owned(),
                ));
            }
            let mut request = Vec::new();
            SslRequest::new(capabilities, login.max_packet_size, login.collation)
                .write(&mut request);
            let mut dialogue = Dialogue {
                stream: &mut self.stream,
                inbound: &mut self.inbound,
                sequence: &mut self.sequence,
                capabilities,
            };
            dialogue.send(&request).await?;
            self.stream = self
                .tls
                .connect(&self.host, self.stream)
                .await
                .map_err(LoginError::tls)?;
        }
        Ok(LoggingIn {
            stream: self.stream,
            inbound: self.inbound,
            sequence: self.sequence,
            greeting: self.greeting,
            capabilities,
        })
    }
}

/// A connection between the greeting and the end of the authentication.
#[derive(Debug)]
pub(super) struct LoggingIn {
    pub(super) stream: Stream,
    pub(super) inbound: Vec<u8>,
    pub(super) sequence: u8,
    pub(super) greeting: OwnedGreeting,
    pub(super) capabilities: Capabilities,
}

impl LoggingIn {
    pub(super) fn dialogue(&mut self) -> Dialogue<'_> {
        Dialogue {
            stream: &mut self.stream,
            inbound: &mut self.inbound,
            sequence: &mut self.sequence,
            capabilities: self.capabilities,
        }
    }

    pub(super) fn complete(self, plugin: String, login_ok: OwnedOk) -> ServerConnection {
        ServerConnection {
            stream: self.stream,
            inbound: self.inbound,
            greeting: self.greeting,
            capabilities: self.capabilities,
            plugin,
            login_ok: Some(Box::new(login_ok)),
        }
    }
}

impl Dialogue<'_> {
    pub(super) async fn send_response(
        &mut self,
        login: &Login<'_>,
        plugin: &[u8],
        answer: &[u8],
    ) -> Result<(), LoginError> {
        let attributes = login.raw_attributes();
        let response = HandshakeResponse {
            capabilities: self.capabilities,
            max_packet_size: login.max_packet_size,
            collation: login.collation,
            reserved: [0; 19],
            user: login.user,
            auth_response: answer,
            database: login.database,
            plugin: Some(plugin),
            attributes: Some(Attributes::from_raw(&attributes)),
            zstd_level: None,
        };
        let mut payload = zeroize::Zeroizing::new(Vec::new());
        response.write(&mut payload).map_err(LoginError::codec)?;
        self.send(&payload).await
    }
}
