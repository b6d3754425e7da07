//! COM_CHANGE_USER: a new login, and a new session, on the same client connection.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prometheus_client::metrics::gauge::Gauge;
use steadfast_net::{Greeted, LoginError, RelayStep, ServerConnection, ServerError, greet};
use steadfast_session::{Session, SessionState, Status};
use steadfast_wire::StatusFlags;
use steadfast_wire::auth::Password;
use steadfast_wire::command::ChangeUser;
use steadfast_wire::response::OkPacket;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::recover::{Word, end_orphans, listen};
use super::{Driver, Exit, MAX_ZOMBIES, silence};
use crate::client::ClientLeg;
use crate::link::{self, Identity};
use crate::login::{Ask, FirstAnswer, NO_PLUGIN, Shown, learn, refusal};
use crate::relayed;
use crate::shared::Shared;
use crate::words::Words;

/// Between two attempts to reach a server.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a new session waits for the lost connections of the one before to be killed.
const END_AT_MOST: Duration = Duration::from_secs(1);

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
        let database = Some(change.database).filter(|name| !name.is_empty());
        // The core forgets transaction and locks; what runs is this dialogue.
        self.forget_session(Rc::new(SessionState::new(database)));
        let mut identity = self.identity.clone();
        identity.user = change.user.to_vec();
        identity.password = None;
        if let Some(collation) = change.collation {
            identity.collation = collation as u8;
        }
        let logged_in = match shown {
            Shown::Password { password, sequence } => {
                self.sequence = sequence;
                let old = self.let_go();
                let logging_in = by_password(&self.shared, &identity, old, &password, database);
                unless_left(&mut self.client, &mut self.control, logging_in)
                    .await?
                    .map(|connection| (connection, Some(password)))
            }
            Shown::Answer { sequence } => {
                self.sequence = sequence;
                self.by_relay(&identity, database).await
            }
        };
        let (connection, password) = match logged_in {
            Ok(logged_in) => logged_in,
            Err(Failed::Exit(exit)) => return Err(exit),
            Err(Failed::Told(error)) => {
                if let Some((outage, waited)) = self.end_outage() {
                    let text = format!(
                        "the client was told {} when it changed its user",
                        error.code
                    );
                    self.record(&outage, text, error.code, waited);
                }
                let sqlstate = error.sqlstate.unwrap_or(*b"HY000");
                self.answer_error(error.code, sqlstate, &error.message)
                    .await?;
                return Err(Exit::Closed);
            }
        };
        if let Some(password) = &password {
            self.shared.vault.learn(&identity.user, password);
        }
        identity.password = password.or_else(|| {
            let known = self.shared.vault.candidates(&identity.user);
            known.into_iter().next()
        });
        self.claim.set_user(&identity.user);
        let before = std::mem::replace(&mut self.identity, identity);
        self.end_what_is_left(before, connection.greeting.connection_id)
            .await;
        self.begin_anew(connection).await;
        self.settle_outage();
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

    /// Logs in with the client's own answers; gives the password too if it became known.
    async fn by_relay(
        &mut self,
        identity: &Identity,
        database: Option<&[u8]>,
    ) -> Result<(ServerConnection, Option<Password>), Failed> {
        let old = self.let_go();
        let beginning = begin_relay(&self.shared, identity, old, database);
        let step = unless_left(&mut self.client, &mut self.control, beginning)
            .await
            .map_err(Failed::Exit)??;
        let relaying = relayed::relay(
            &mut self.client,
            step,
            self.nonce,
            &mut self.sequence,
            &self.shared.vault,
        );
        match timeout(self.shared.timeouts.handshake, relaying).await {
            Ok(relayed) => relayed.map_err(|error| match error.refusal() {
                Ok(told) => Failed::Told(told),
                Err(error) => Failed::Exit(Exit::ClientGone(error)),
            }),
            Err(_) => Err(Failed::Exit(Exit::ClientGone(
                std::io::ErrorKind::TimedOut.into(),
            ))),
        }
    }

    /// Takes the server connection out of its link; it is counted again when it gets another. Until a new session has
    /// begun on it, it may have to be killed.
    fn let_go(&mut self) -> Option<ServerConnection> {
        let link = self.link.take()?;
        self.shared.metrics.server_connections.dec();
        self.claim.set_server_id(None);
        if self.zombies.len() < MAX_ZOMBIES {
            self.zombies.push(link.zombie());
        }
        Some(link.connection)
    }

    /// As on a server, what the session before held is given back before a new one begins: kills the connections that
    /// it lost, but for the one with this id, on which the new one begins.
    async fn end_what_is_left(&mut self, before: Identity, kept: u32) {
        let mut orphans = std::mem::take(&mut self.zombies);
        orphans.retain(|orphan| orphan.id != kept);
        if orphans.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let ending = tokio::task::spawn_local(async move {
            end_orphans(&shared, &before, &orphans).await;
        });
        if timeout(END_AT_MOST, ending).await.is_err() {
            tracing::debug!(client = %self.peer, "lost connections of the session before may live on for a while");
        }
    }

    /// A new session begins on this connection.
    async fn begin_anew(&mut self, mut connection: ServerConnection) {
        let status = connection.login_ok.take().unwrap_or_default().status;
        let limit = 2 * self.shared.timeouts.dead_after;
        let user = self.identity.user.clone();
        let setting_up = link::set_up(&self.shared, connection, &user, self.capabilities);
        match timeout(limit, setting_up)
            .await
            .unwrap_or_else(|_| Err(silence()))
        {
            Ok(link) => {
                self.shared.metrics.server_connections.inc();
                self.claim.set_server_id(Some(link.id()));
                self.dialect = link.dialect();
                self.own.clone_from(&link.own);
                self.ledger = (link.ledger, tokio::time::Instant::now());
                self.link = Some(link);
                let autocommit = self.own.autocommits;
                self.status = status;
                self.status.set(StatusFlags::AUTOCOMMIT, autocommit);
                self.core = Session::new(
                    self.shared.limits,
                    Status {
                        in_transaction: false,
                        autocommit,
                    },
                );
                self.learn_settings();
            }
            Err(error) => {
                // The next command gets a connection.
                tracing::debug!("a connection was lost after COM_CHANGE_USER: {error}");
                self.core.detached();
                self.own = Rc::default();
            }
        }
    }
}

/// Whether COM_CHANGE_USER on the connection that there is has been answered with no: a refusal ends it.
fn is_final(error: &LoginError) -> bool {
    matches!(error, LoginError::Refused(_)) || link::is_final(error)
}

/// Waits for the server, unless the client leaves or the session is told to end.
async fn unless_left<T>(
    client: &mut ClientLeg,
    control: &mut Words,
    work: impl Future<Output = T>,
) -> Result<T, Exit> {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            done = &mut work => return Ok(done),
            word = listen(client, control) => match word {
                Word::Exit(exit) => return Err(exit),
                // No statement runs that could be ended.
                Word::Interrupt | Word::Kill | Word::About(_) => {}
            },
        }
    }
}

/// Logs in with the password that the client has shown: on the connection that there is, else on another.
async fn by_password(
    shared: &Shared,
    identity: &Identity,
    old: Option<ServerConnection>,
    password: &Password,
    database: Option<&[u8]>,
) -> Result<ServerConnection, Failed> {
    let login = identity.login(password, database);
    if let Some(mut connection) = old {
        let mut silences = shared.health.silences();
        tokio::select! {
            biased;
            changed = connection.change_user(&login) => match changed {
                Ok(()) => return Ok(connection),
                Err(error) if is_final(&error) => return Err(refusal(error).into()),
                // Lost on the way: the server has yet to judge the password.
                Err(_) => {}
            },
            _ = silences.changed() => {}
        }
    }
    let deadline = Instant::now() + shared.timeouts.hold;
    loop {
        let greeted = greeted(shared, identity, deadline).await?;
        match timeout_at(deadline, greeted.login(&login)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) if link::is_final(&error) => return Err(refusal(error).into()),
            Ok(Err(_)) => sleep(PAUSE).await,
            // Told by the next look for a server.
            Err(_) => {}
        }
    }
}

/// The server's first word in a login that relays the client's answers.
async fn begin_relay(
    shared: &Shared,
    identity: &Identity,
    old: Option<ServerConnection>,
    database: Option<&[u8]>,
) -> Result<RelayStep, Failed> {
    let nobody = Password::default();
    let login = identity.login(&nobody, database);
    if let Some(connection) = old {
        let mut silences = shared.health.silences();
        tokio::select! {
            biased;
            step = connection.change_user_relayed(&login) => if let Ok(step) = step {
                return Ok(step);
            },
            _ = silences.changed() => {}
        }
    }
    // There was no connection, or it is lost.
    let deadline = Instant::now() + shared.timeouts.hold;
    let greeted = greeted(shared, identity, deadline).await?;
    match timeout_at(deadline, greeted.login_relayed(&login, &[], NO_PLUGIN)).await {
        Ok(step) => Ok(step.map_err(refusal)?),
        Err(_) => Err(no_server(shared).into()),
    }
}

/// The greeting of a server whose connection id no other client believes to be its own; waits for one until `deadline`.
async fn greeted(
    shared: &Shared,
    identity: &Identity,
    deadline: Instant,
) -> Result<Greeted, Failed> {
    let mut held = None;
    while Instant::now() < deadline {
        match greet(&shared.target).await {
            Ok(greeted) => {
                let id = greeted.greeting.connection_id;
                if shared.registry.may_use(identity.believed_id, id) {
                    return Ok(greeted);
                }
                greeted.abandon().await;
                continue;
            }
            Err(error) => tracing::debug!("no server for COM_CHANGE_USER yet: {error}"),
        }
        held.get_or_insert_with(|| Held::new(&shared.metrics.sessions_held));
        sleep(PAUSE).await;
    }
    Err(no_server(shared).into())
}

fn no_server(shared: &Shared) -> ServerError {
    ServerError {
        code: 1053,
        sqlstate: Some(*b"08S01"),
        message: format!(
            "Steadfast: no server at {} within {:?}; try again later",
            shared.target.address, shared.timeouts.hold
        )
        .into_bytes(),
    }
}

/// Counts a session that waits for a server, as long as it lives.
struct Held<'a>(&'a Gauge);

impl<'a> Held<'a> {
    fn new(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}
