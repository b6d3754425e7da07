//! The server's side of a login: the connection that a client is greeted for, and the login on it.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use steadfast_diagnose::Reach;
use steadfast_net::{
    Greeted, Login, LoginError, OwnedGreeting, QueryError, ServerConnection, greet,
};
use steadfast_wire::Capabilities;
use steadfast_wire::auth::{Password, Plugin};
use tokio::time::{Instant, sleep, timeout};

use super::{Failed, Hello, no_server, own_error};
use crate::client::ClientLeg;
use crate::link::{self, Identity, Link};
use crate::local::Local;
use crate::login::{NO_PLUGIN, refusal};
use crate::metrics::LoginRefusal;
use crate::registry::Claim;
use crate::relayed::{self, RelayFailed};
use crate::shared::Shared;
use crate::words::WordSender;

/// First pause between two attempts to reach a server; each further one is twice as long, up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_millis(250);

/// How long a login on a connection that was kept may take before a new one is made: clients wait for 10 s.
const AGAIN: Duration = Duration::from_secs(3);

/// The server connection that a client is greeted for.
pub(super) enum Met {
    /// A new one.
    New(Box<Greeted>),
    /// One whose client has left.
    Pooled(Box<Link>),
}

impl Met {
    /// No login comes of it.
    pub(super) async fn leave(self, shared: &Shared, local: &Local) {
        match self {
            // A broken handshake would count against Steadfast's address.
            Self::New(greeted) => greeted.abandon().await,
            Self::Pooled(link) => {
                if let Some(link) = local.pool.keep(shared, link) {
                    link.connection.quit().await;
                }
            }
        }
    }
}

/// A server connection that has logged in.
pub(super) enum Made {
    /// Ready for the session.
    New(Box<Link>),
    /// By COM_CHANGE_USER; to be set up.
    Again(Box<Link>),
}

impl Made {
    pub(super) fn connection(&mut self) -> &mut ServerConnection {
        match self {
            Self::New(link) => &mut link.connection,
            Self::Again(link) => &mut link.connection,
        }
    }
}

/// The connection for a client from this address, what it is greeted with, and its claim to the connection's id.
pub(super) async fn meet(
    shared: &Shared,
    local: &Local,
    from: Option<IpAddr>,
    sender: &WordSender,
) -> Result<(Met, OwnedGreeting, Claim), Failed> {
    while let Some(mut link) = local.pool.take(shared, from) {
        if !link.connection.is_quiet().await {
            // The server has ended it: a restart, a KILL.
            continue;
        }
        let claim = shared.registry.claim(link.id(), sender.clone());
        let (Some(claim), Some(nonce)) = (claim, local.nonce()) else {
            link.connection.quit().await;
            continue;
        };
        let greeting = OwnedGreeting {
            scramble: nonce,
            ..link.connection.greeting.clone()
        };
        return Ok((Met::Pooled(link), greeting, claim));
    }
    let (greeted, claim) = greeted(shared, sender).await?;
    shared
        .is_mariadb
        .store(greeted.greeting.is_mariadb(), Ordering::Relaxed);
    let greeting = greeted.greeting.clone();
    Ok((Met::New(Box::new(greeted)), greeting, claim))
}

/// Logs in on a connection whose client has left; `None`: it was lost, or the server has no room for a login on it.
pub(super) async fn again(
    shared: &Shared,
    link: Box<Link>,
    login: &Login<'_>,
) -> Result<Option<Box<Link>>, Failed> {
    let mut link = link;
    let mut silences = shared.health.silences();
    let login = Login {
        first_plugin: Some(Plugin::from_name(link.connection.plugin.as_bytes())),
        ..login.clone()
    };
    let limit = shared.timeouts.handshake.min(AGAIN);
    let changing = timeout(limit, link.connection.change_user(&login));
    let changed = tokio::select! {
        biased;
        changed = changing => changed,
        () = silences.changed() => return Ok(None),
    };
    match changed {
        Ok(Ok(())) => Ok(Some(link)),
        Ok(Err(LoginError::Refused(error))) if !link::is_passing(&error) => {
            let error = LoginError::Refused(error);
            Err(Failed::Told(reason(&error), refusal(error)))
        }
        // What it is that cannot be done, a new connection tells.
        Ok(Err(error)) => {
            tracing::debug!("a connection that was kept is of no use: {error}");
            Ok(None)
        }
        Err(_) => Ok(None),
    }
}

/// Sets up a connection that has changed its user; where that fails, another takes its place.
pub(super) async fn begin_again(
    shared: &Shared,
    link: Box<Link>,
    identity: &Identity,
    client: Capabilities,
    database: Option<&[u8]>,
) -> Result<Link, Failed> {
    let limit = 2 * shared.timeouts.dead_after;
    let setting_up = link::set_up_again(shared, *link, &identity.user, client);
    let why = match timeout(limit, setting_up).await {
        Ok(Ok(link)) => return Ok(link),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer in {limit:?}"),
    };
    tracing::debug!("a connection that was kept is of no use: {why}");
    let nobody = Password::default();
    let password = identity.password.as_ref().unwrap_or(&nobody);
    by_password(shared, None, identity, client, password, database).await
}

/// A server's greeting whose connection id no other client believes to be its own. Waits for a server up to `hold`.
async fn greeted(shared: &Shared, sender: &WordSender) -> Result<(Greeted, Claim), Failed> {
    let deadline = Instant::now() + shared.timeouts.hold;
    loop {
        let greeted = reached(shared, deadline).await?;
        let id = greeted.greeting.connection_id;
        match shared.registry.claim(id, sender.clone()) {
            Some(claim) => return Ok((greeted, claim)),
            None => greeted.abandon().await,
        }
    }
}

/// A server's greeting. Waits for a server until `deadline`.
async fn reached(shared: &Shared, deadline: Instant) -> Result<Greeted, Failed> {
    let mut pause = MIN_PAUSE;
    loop {
        let began = Instant::now();
        let met = greet(&shared.target).await;
        match &met {
            Ok(_) => shared.around.reached(began, Reach::Greeted),
            Err(error) => {
                if let Some(reach) = crate::around::met(error) {
                    let reach = shared.health.met(began, reach);
                    shared.around.reached(began, reach);
                }
            }
        }
        let why = match met {
            Ok(greeted) => return Ok(greeted),
            // The server's own words: too many connections, host blocked, host not allowed.
            Err(steadfast_net::ConnectError::Refused(error)) => {
                if shared.pooled.make_room(error.code) {
                    sleep(pause).await;
                    continue;
                }
                return Err(Failed::Told(LoginRefusal::Server, error));
            }
            Err(steadfast_net::ConnectError::Nonsense(text)) => {
                return Err(Failed::Told(
                    LoginRefusal::NoServer,
                    own_error(
                        2012,
                        b"08S01",
                        format!(
                            "{} does not speak MySQL's protocol: {text}",
                            shared.target.address
                        ),
                    ),
                ));
            }
            Err(error) => error.to_string(),
        };
        shared.readiness.server_lost();
        if Instant::now() + pause >= deadline {
            return Err(no_server(format!(
                "no server at {} within {:?} ({why}); try again later",
                shared.target.address, shared.timeouts.hold
            )));
        }
        sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Logs in to the server with the password that the client has shown, which the server judges, and makes the
/// connection a session's. One that is lost on the way is followed by another, until `hold` is over; `None`: another it
/// is from the beginning.
pub(super) async fn by_password(
    shared: &Shared,
    greeted: Option<Greeted>,
    identity: &Identity,
    client: Capabilities,
    password: &Password,
    database: Option<&[u8]>,
) -> Result<Link, Failed> {
    let login = identity.login(password, database);
    let deadline = Instant::now() + shared.timeouts.hold;
    let mut pause = MIN_PAUSE;
    let mut greeted = greeted;
    loop {
        let met = match greeted.take() {
            Some(met) => met,
            None => another(shared, identity, deadline).await?,
        };
        let attempt = async {
            let connection = met.login(&login).await.map_err(|error| {
                let room = matches!(&error, LoginError::Refused(error) if shared.pooled.make_room(error.code));
                let again = room || is_lost(&error);
                (again, Failed::Told(reason(&error), refusal(error)))
            })?;
            let link = link::set_up(shared, connection, login.user, client).await;
            link.map_err(|error| {
                let lost = !matches!(&error, QueryError::Server(error) if !error.ends_connection());
                (lost, login_lost(shared, &error))
            })
        };
        let unanswered = "the server did not answer the login; try again later";
        let (again, failed) = match timeout(shared.timeouts.handshake, attempt).await {
            Ok(Ok(link)) => return Ok(link),
            Ok(Err(failed)) => failed,
            Err(_) => (true, no_server(unanswered.to_owned())),
        };
        if !again || Instant::now() + pause >= deadline {
            return Err(failed);
        }
        sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// A server's greeting for a session whose client believes in another connection id. Waits for a server until
/// `deadline`.
async fn another(
    shared: &Shared,
    identity: &Identity,
    deadline: Instant,
) -> Result<Greeted, Failed> {
    loop {
        let next = reached(shared, deadline).await?;
        let id = next.greeting.connection_id;
        if shared.registry.may_use(identity.believed_id, id) {
            return Ok(next);
        }
        next.abandon().await;
    }
}

/// Logs in to the server with the client's own answers; gives the password too if it became known.
pub(super) async fn by_relay(
    shared: &Shared,
    client: &mut ClientLeg,
    greeted: Option<Greeted>,
    identity: &Identity,
    hello: &Hello,
    sequence: &mut u8,
) -> Result<(ServerConnection, Option<Password>), Failed> {
    let nobody = Password::default();
    let login = identity.login(&nobody, hello.database.as_deref());
    let (greeted, own_nonce) = match greeted {
        Some(greeted) => (greeted, true),
        // The client's answer is to another nonce than the server's.
        None => {
            if !hello.can_switch {
                let text = "the account's password is not known here, and this client cannot be asked for it; try again";
                return Err(no_server(text.to_owned()));
            }
            let deadline = Instant::now() + shared.timeouts.hold;
            (another(shared, identity, deadline).await?, false)
        }
    };
    let nonce = greeted.greeting.scramble;
    let relayed = async {
        // A password that came in the clear is not passed on before it is known how the server's leg is protected.
        let (answer, plugin) = match Plugin::from_name(&hello.plugin) {
            _ if !own_nonce => (&[][..], NO_PLUGIN),
            Plugin::ClearPassword => (&[][..], NO_PLUGIN),
            _ => (&*hello.response, &*hello.plugin),
        };
        let step = greeted.login_relayed(&login, answer, plugin).await?;
        relayed::relay(client, step, nonce, sequence, &shared.vault).await
    };
    relayed.await.map_err(|error: RelayFailed| {
        let counts_as = match &error {
            RelayFailed::Server(error) => reason(error),
            RelayFailed::Unprotected => LoginRefusal::TlsRequired,
            RelayFailed::Client(_) => LoginRefusal::Gone,
        };
        match error.refusal() {
            Ok(told) => Failed::Told(counts_as, told),
            Err(error) => error.into(),
        }
    })
}

/// What the server refused to a session that had logged in, or that it went away.
pub(super) fn login_lost(shared: &Shared, error: &QueryError) -> Failed {
    if let QueryError::Server(error) = error {
        shared.around.answered(error.code);
    }
    no_server(format!("the login was lost: {error}"))
}

/// Whether the server went away during the login, or was on its way down.
fn is_lost(error: &LoginError) -> bool {
    match error {
        LoginError::Lost(..) => true,
        LoginError::Refused(error) => error.ends_connection(),
        _ => false,
    }
}

/// What a failed login counts as.
fn reason(error: &LoginError) -> LoginRefusal {
    match error {
        LoginError::Refused(_) => LoginRefusal::Server,
        LoginError::UnsupportedPlugin(_) | LoginError::InsecurePlugin(_) => LoginRefusal::Plugin,
        _ => LoginRefusal::NoServer,
    }
}
