//! COM_CHANGE_USER: a new login, and a new session, on the same client connection.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use steadfast_net::{Greeted, LoginError, ServerConnection, ServerError, greet};
use steadfast_session::{Session, SessionState, Status};
use steadfast_wire::StatusFlags;
use steadfast_wire::auth::Password;
use steadfast_wire::command::ChangeUser;
use steadfast_wire::response::OkPacket;
use tokio::time::{Instant, sleep};

use super::{Driver, Exit, track};
use crate::link;
use crate::login::{Ask, FirstAnswer, NO_PLUGIN, Shown, learn, refusal};
use crate::relayed;

/// Between two attempts to reach a server.
const PAUSE: Duration = Duration::from_millis(50);

/// Why nobody is logged in.
enum Failed {
    /// The client is told this, and its connection ends, as on a server.
    Told(ServerError),
    Exit(Exit),
}

impl From<ServerError> for Failed {
    fn from(error: ServerError) -> Self {
        Self::Told(error)
    }
}

impl Driver {
    /// COM_CHANGE_USER: a new session on the same connection.
    pub(super) async fn change_user(&mut self, payload: &Bytes) -> Result<(), Exit> {
        let change = match ChangeUser::parse(payload, self.capabilities()) {
            Ok(change) => change,
            Err(error) => {
                let text = format!("Steadfast: {error}");
                return self.answer_error(1835, *b"HY000", text.as_bytes()).await;
            }
        };
        let shown = self.shown_by(&change).await?;
        self.identity.user = change.user.to_vec();
        self.identity.password = None;
        if let Some(collation) = change.collation {
            self.identity.collation = collation as u8;
        }
        let database = Some(change.database).filter(|name| !name.is_empty());
        // The core forgets transaction and locks; what runs is this dialogue.
        self.forget_session(Rc::new(SessionState::new(database)));
        let logged_in = match shown {
            Shown::Password { password, sequence } => {
                self.sequence = sequence;
                self.by_password(&password, database)
                    .await
                    .map(|connection| (connection, Some(password)))
            }
            Shown::Answer { sequence } => {
                self.sequence = sequence;
                self.by_relay(database).await
            }
        };
        let (connection, password) = match logged_in {
            Ok(logged_in) => logged_in,
            Err(Failed::Exit(exit)) => return Err(exit),
            Err(Failed::Told(error)) => {
                let sqlstate = error.sqlstate.unwrap_or(*b"HY000");
                self.answer_error(error.code, sqlstate, &error.message)
                    .await?;
                return Err(Exit::Closed);
            }
        };
        if let Some(password) = &password {
            self.shared.vault.learn(&self.identity.user, password);
        }
        self.identity.password = password.or_else(|| {
            let known = self.shared.vault.candidates(&self.identity.user);
            known.into_iter().next()
        });
        self.claim.set_user(&self.identity.user);
        self.begin_anew(connection).await;
        let status = self.status - StatusFlags::SESSION_STATE_CHANGED;
        self.sequence = self.client.queue(self.sequence, |out| {
            OkPacket::new(status).write(out, self.capabilities);
        });
        self.client.flush().await.map_err(Exit::ClientGone)
    }

    async fn shown_by(&mut self, change: &ChangeUser<'_>) -> Result<Shown, Exit> {
        let first = FirstAnswer {
            user: change.user,
            plugin: change.plugin.unwrap_or(b"mysql_native_password"),
            response: change.auth_response,
            can_switch: change.plugin.is_some(),
            sequence: self.sequence,
            empty_is_a_password: false,
            ask: Ask::of(
                &self.identity.attributes,
                self.client.is_secure(),
                self.address.is_none_or(|address| address.is_loopback()),
            ),
        };
        let vault = &self.shared.vault;
        learn(&mut self.client, first, &self.nonce, self.address, vault)
            .await
            .map_err(Exit::ClientGone)
    }

    /// Logs in with the password that the client has shown: on the connection that there is, else on another.
    async fn by_password(
        &mut self,
        password: &Password,
        database: Option<&[u8]>,
    ) -> Result<ServerConnection, Failed> {
        let login = self.identity.login(password, database);
        if let Some(link) = &mut self.link {
            match link.connection.change_user(&login).await {
                Ok(()) => return self.take_connection(),
                Err(error) if is_final(&error) => {
                    self.discard();
                    return Err(refusal(error).into());
                }
                // Lost on the way: the server has yet to judge the password.
                Err(_) => self.discard(),
            }
        }
        let deadline = Instant::now() + self.shared.timeouts.hold;
        loop {
            let greeted = self.greeted(deadline).await?;
            let id = greeted.greeting.connection_id;
            let login = self.identity.login(password, database);
            match greeted.login(&login).await {
                Ok(connection) if self.shared.registry.may_use(self.identity.believed_id, id) => {
                    return Ok(connection);
                }
                Ok(connection) => connection.quit().await,
                Err(error) if link::is_final(&error) => return Err(refusal(error).into()),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// Logs in with the client's own answers; gives the password too if it became known.
    async fn by_relay(
        &mut self,
        database: Option<&[u8]>,
    ) -> Result<(ServerConnection, Option<Password>), Failed> {
        let nobody = Password::default();
        let mut step = None;
        if self.link.is_some() {
            let connection = self.take_connection()?;
            let login = self.identity.login(&nobody, database);
            step = connection.change_user_relayed(&login).await.ok();
        }
        let step = match step {
            Some(step) => step,
            // There was no connection, or it is lost.
            None => {
                let deadline = Instant::now() + self.shared.timeouts.hold;
                let greeted = self.greeted(deadline).await?;
                let login = self.identity.login(&nobody, database);
                greeted
                    .login_relayed(&login, &[], NO_PLUGIN)
                    .await
                    .map_err(refusal)?
            }
        };
        let vault = &self.shared.vault;
        relayed::relay(
            &mut self.client,
            step,
            self.nonce,
            &mut self.sequence,
            vault,
        )
        .await
        .map_err(|error| match error.refusal() {
            Ok(told) => Failed::Told(told),
            Err(error) => Failed::Exit(Exit::ClientGone(error)),
        })
    }

    /// Takes the server connection out of its link; it is counted again when it gets another.
    fn take_connection(&mut self) -> Result<ServerConnection, Failed> {
        self.claim.set_server_id(None);
        match self.link.take() {
            Some(link) => {
                self.shared.metrics.server_connections.dec();
                Ok(link.connection)
            }
            None => Err(Failed::Exit(Exit::Closed)),
        }
    }

    /// A server's greeting; waits for a server until `deadline`.
    async fn greeted(&self, deadline: Instant) -> Result<Greeted, Failed> {
        loop {
            match greet(&self.shared.target).await {
                Ok(greeted) if Instant::now() < deadline => return Ok(greeted),
                Ok(greeted) => greeted.abandon().await,
                Err(error) => tracing::debug!("no server for COM_CHANGE_USER yet: {error}"),
            }
            if Instant::now() >= deadline {
                return Err(Failed::Told(ServerError {
                    code: 1053,
                    sqlstate: Some(*b"08S01"),
                    message: format!(
                        "Steadfast: no server at {} within {:?}; try again later",
                        self.shared.target.address, self.shared.timeouts.hold
                    )
                    .into_bytes(),
                }));
            }
            sleep(PAUSE).await;
        }
    }

    /// A new session begins on this connection.
    async fn begin_anew(&mut self, connection: ServerConnection) {
        let status = connection.login_ok.status;
        match link::set_up(&self.shared, connection, self.capabilities).await {
            Ok(link) => {
                self.shared.metrics.server_connections.inc();
                self.claim.set_server_id(Some(link.id()));
                self.dialect = track::dialect_of(&link);
                self.link = Some(link);
                self.status = status;
                self.core = Session::new(
                    self.shared.limits,
                    Status {
                        in_transaction: false,
                        autocommit: status.contains(StatusFlags::AUTOCOMMIT),
                    },
                );
                self.learn_settings();
            }
            Err(error) => {
                // The next command gets a connection.
                tracing::debug!("a connection was lost after COM_CHANGE_USER: {error}");
                self.core.detached();
            }
        }
    }
}

/// Whether COM_CHANGE_USER on the connection that there is has been answered with no: a refusal ends it.
fn is_final(error: &LoginError) -> bool {
    matches!(error, LoginError::Refused(_)) || link::is_final(error)
}
