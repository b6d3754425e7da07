//! A client from its connection to its login: greeting, TLS, password, server connection.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use steadfast_diagnose::Reach;
use steadfast_net::{
    Greeted, Login, LoginError, OwnedGreeting, Peer, QueryError, ServerConnection, ServerError,
    Stream, greet,
};
use steadfast_wire::auth::{Password, Plugin};
use steadfast_wire::handshake::{ClientHello, Greeting, HandshakeResponse};
use steadfast_wire::response::{ErrPacket, OkPacket};
use steadfast_wire::{Capabilities, StatusFlags};
use tokio::time::{Instant, sleep, timeout};

use crate::client::ClientLeg;
use crate::driver::{Driver, Start};
use crate::incident;
use crate::link::{self, Identity, Link};
use crate::local::Local;
use crate::login::{Ask, FirstAnswer, NO_PLUGIN, Shown, learn, refusal};
use crate::metrics::LoginRefusal;
use crate::registry::Claim;
use crate::relayed::{self, RelayFailed};
use crate::shared::Shared;
use crate::spread;
use crate::words::{WordSender, Words};

/// Payload bytes of the largest packet before the login is done: a client without a password must not cost memory.
const LOGIN_PACKET: u64 = 64 << 10;

/// First pause between two attempts to reach a server; each further one is twice as long, up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_millis(250);

/// How long a login on a connection that was kept may take before a new one is made: clients wait for 10 s.
const AGAIN: Duration = Duration::from_secs(3);

/// What is never offered to a client, whatever the server can do: compression, metadata that is left out, query
/// attributes and further factors would have to be understood on both legs.
const NOT_OFFERED: Capabilities = Capabilities::COMPRESS
    .union(Capabilities::ZSTD_COMPRESSION)
    .union(Capabilities::OPTIONAL_RESULTSET_METADATA)
    .union(Capabilities::QUERY_ATTRIBUTES)
    .union(Capabilities::MULTI_FACTOR_AUTHENTICATION)
    .union(Capabilities::PROGRESS)
    .union(Capabilities::COM_MULTI)
    .union(Capabilities::CACHE_METADATA);

/// Why a login came to nothing.
enum Failed {
    /// The client is told this, and it counts as that.
    Told(LoginRefusal, ServerError),
    /// The client left, or is not worth an answer.
    Gone(LoginRefusal, io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Told(
                LoginRefusal::Malformed,
                own_error(1043, b"08S01", format!("Bad handshake: {error}")),
            ),
            _ => Self::Gone(LoginRefusal::Gone, error),
        }
    }
}

fn own_error(code: u16, sqlstate: &[u8; 5], text: String) -> ServerError {
    ServerError {
        code,
        sqlstate: Some(*sqlstate),
        message: format!("Steadfast: {text}").into_bytes(),
    }
}

/// Serves one client from its connection to its end. `_on_thread`: its place on this thread.
pub(crate) async fn serve_client(
    shared: Arc<Shared>,
    stream: Stream,
    peer: Peer,
    local: Rc<Local>,
    _on_thread: Option<spread::Place>,
) {
    shared.metrics.clients.inc();
    shared.metrics.clients_connected.inc();
    let place = Arc::clone(&shared.clients).try_acquire_owned().ok();
    // With room of its own, which the session that follows does not keep.
    let beginning = Box::pin(begin(&shared, stream, peer, local, place.is_some()));
    if let Some(driver) = beginning.await {
        driver.run().await;
    }
    shared.metrics.clients_connected.dec();
}

/// The session of a client that has logged in; `None`: it has not. `has_place`: it is not one too many.
async fn begin(
    shared: &Arc<Shared>,
    stream: Stream,
    peer: Peer,
    local: Rc<Local>,
    has_place: bool,
) -> Option<Box<Driver>> {
    let since = Instant::now();
    let mut client = ClientLeg::new(stream, LOGIN_PACKET);
    let mut sequence = 0;
    let pending = Arc::clone(&shared.pending_logins).try_acquire_owned();
    let logged_in = match pending {
        Ok(_pending) if has_place => {
            log_in(shared, &local, &mut client, &peer, &mut sequence).await
        }
        _ => Err(Failed::Told(
            LoginRefusal::Limit,
            own_error(
                1040,
                b"08004",
                "too many clients (limits.clients, limits.pending_logins)".to_owned(),
            ),
        )),
    };
    match logged_in {
        Ok(logged_in) => {
            shared.metrics.logins_ok.inc();
            client.limit = shared.packet_limit;
            let start = Start {
                client,
                capabilities: logged_in.capabilities,
                identity: logged_in.identity,
                peer: peer.to_string(),
                address: address(&peer),
                nonce: logged_in.nonce,
                link: logged_in.link,
                status: logged_in.status,
                schema: logged_in.schema,
                claim: logged_in.claim,
                control: logged_in.control,
                local,
                shared: Arc::clone(shared),
            };
            Some(Driver::new(start))
        }
        Err(Failed::Told(reason, error)) => {
            refuse(shared, &mut client, &peer, sequence, reason, &error, since).await;
            None
        }
        Err(Failed::Gone(reason, error)) => {
            shared.metrics.login_refused(reason);
            tracing::debug!(client = %peer, "left before its login was done: {error}");
            let nothing = own_error(0, b"HY000", String::new());
            incident::refused(shared, peer.to_string(), reason, &nothing, since.elapsed());
            None
        }
    }
}

async fn refuse(
    shared: &Shared,
    client: &mut ClientLeg,
    peer: &Peer,
    sequence: u8,
    reason: LoginRefusal,
    error: &ServerError,
    since: Instant,
) {
    shared.metrics.login_refused(reason);
    tracing::info!(client = %peer, "login refused: {error}");
    incident::refused(shared, peer.to_string(), reason, error, since.elapsed());
    client.queue(sequence, |out| {
        ErrPacket {
            code: error.code,
            sqlstate: error.sqlstate,
            message: &error.message,
        }
        .write(out, Capabilities::PROTOCOL_41);
    });
    let telling = async {
        client.flush().await?;
        client.shutdown().await
    };
    if let Ok(Err(error)) = timeout(shared.timeouts.connect, telling).await {
        tracing::debug!(client = %peer, "left before it could be told: {error}");
    }
}

fn address(peer: &Peer) -> Option<IpAddr> {
    match peer {
        Peer::Tcp(address) => Some(address.ip()),
        Peer::Unix { .. } => None,
    }
}

fn is_local(peer: &Peer) -> bool {
    address(peer).is_none_or(|address| address.is_loopback())
}

struct LoggedIn {
    capabilities: Capabilities,
    identity: Identity,
    nonce: [u8; 20],
    link: Link,
    status: StatusFlags,
    schema: Option<Vec<u8>>,
    claim: Claim,
    control: Words,
}

/// A handshake response, kept.
struct Hello {
    capabilities: Capabilities,
    user: Vec<u8>,
    response: Vec<u8>,
    plugin: Vec<u8>,
    can_switch: bool,
    database: Option<Vec<u8>>,
    collation: u8,
    max_packet_size: u32,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Hello {
    fn new(response: &HandshakeResponse<'_>) -> Self {
        let attributes = response
            .attributes
            .iter()
            .flat_map(|attributes| attributes.iter())
            .filter_map(Result::ok)
            .map(|(name, value)| (name.to_vec(), value.to_vec()))
            .collect();
        Self {
            capabilities: response.capabilities,
            user: response.user.to_vec(),
            response: response.auth_response.to_vec(),
            plugin: response.plugin.unwrap_or(b"mysql_native_password").to_vec(),
            can_switch: response.capabilities.contains(Capabilities::PLUGIN_AUTH),
            database: response
                .database
                .filter(|name| !name.is_empty())
                .map(<[u8]>::to_vec),
            collation: response.collation,
            max_packet_size: response.max_packet_size,
            attributes,
        }
    }
}

/// The server connection that a client is greeted for.
enum Met {
    /// A new one.
    New(Box<Greeted>),
    /// One whose client has left.
    Pooled(Box<Link>),
}

impl Met {
    /// No login comes of it.
    async fn leave(self, shared: &Shared, local: &Local) {
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

async fn log_in(
    shared: &Shared,
    local: &Local,
    client: &mut ClientLeg,
    peer: &Peer,
    sequence: &mut u8,
) -> Result<LoggedIn, Failed> {
    let (sender, control) = Words::new();
    let from = address(peer);
    let (met, greeting, claim) = meet(shared, local, from, &sender).await?;
    let shown = timeout(
        shared.timeouts.handshake,
        introduce(shared, client, peer, &greeting, sequence),
    )
    .await;
    let (hello, shown) = match shown {
        Ok(Ok(shown)) => shown,
        Ok(Err(failed)) => {
            met.leave(shared, local).await;
            return Err(failed);
        }
        Err(_) => {
            met.leave(shared, local).await;
            return Err(Failed::Told(
                LoginRefusal::Timeout,
                own_error(
                    1159,
                    b"08S01",
                    format!(
                        "the login was not done within {:?} (timeouts.handshake)",
                        shared.timeouts.handshake
                    ),
                ),
            ));
        }
    };
    let offered = offered(&greeting, shared);
    let capabilities = hello.capabilities & offered;
    let mut identity = Identity {
        user: hello.user.clone(),
        password: None,
        capabilities: (capabilities | Capabilities::SESSION_TRACK)
            - (Capabilities::SSL | Capabilities::CONNECT_WITH_DB),
        collation: hello.collation,
        max_packet_size: hello.max_packet_size,
        attributes: hello.attributes.clone(),
        believed_id: claim.id(),
        reset: false,
    };
    let nobody = Password::default();
    let wanted = identity
        .login(&nobody, None)
        .session_capabilities(greeting.capabilities);
    let relayed = matches!(shown, Shown::Answer { .. });
    local.pool.called(from, wanted, relayed, hello.can_switch);
    let met = match met {
        // The guess was wrong.
        Met::Pooled(link) if link.connection.session_capabilities() != wanted => {
            Met::Pooled(link).leave(shared, local).await;
            None
        }
        met => Some(met),
    };
    let database = hello.database.as_deref();
    let made = match shown {
        Shown::Password {
            password,
            sequence: next,
        } => {
            *sequence = next;
            let (pooled, greeted) = match met {
                Some(Met::Pooled(link)) => {
                    let login = identity.login(&password, database);
                    (again(shared, link, &login).await?, None)
                }
                Some(Met::New(greeted)) => (None, Some(*greeted)),
                None => (None, None),
            };
            let made = match pooled {
                Some(link) => Made::Again(link),
                None => {
                    let link = by_password(
                        shared,
                        greeted,
                        &identity,
                        capabilities,
                        &password,
                        database,
                    );
                    Made::New(Box::new(link.await?))
                }
            };
            shared.vault.learn(&identity.user, &password);
            identity.password = Some(password);
            made
        }
        Shown::Answer { sequence: next } => {
            *sequence = next;
            let greeted = match met {
                Some(Met::New(greeted)) => Some(*greeted),
                Some(pooled) => {
                    pooled.leave(shared, local).await;
                    None
                }
                None => None,
            };
            let (connection, password) = timeout(
                shared.timeouts.handshake,
                by_relay(shared, client, greeted, &identity, &hello, sequence),
            )
            .await
            .map_err(|_| Failed::Gone(LoginRefusal::Timeout, io::ErrorKind::TimedOut.into()))??;
            if let Some(password) = &password {
                shared.vault.learn(&identity.user, password);
            }
            identity.password =
                password.or_else(|| shared.vault.candidates(&identity.user).into_iter().next());
            if identity.password.is_none() {
                tracing::warn!(
                    client = %peer,
                    user = %String::from_utf8_lossy(&identity.user),
                    "the password of this session could not be learned: its connection will not survive a loss; \
                     use TLS, or name the password in the users file"
                );
            }
            let link = link::set_up(shared, connection, &identity.user, capabilities)
                .await
                .map_err(|error| login_lost(shared, &error))?;
            Made::New(Box::new(link))
        }
    };
    claim.set_user(&identity.user);
    let ok = made.connection().login_ok.clone();
    let status = ok.status;
    shared.readiness.server_reached();
    *sequence = client.queue(*sequence, |out| {
        OkPacket {
            affected_rows: ok.affected,
            last_insert_id: ok.insert_id,
            warnings: ok.warnings,
            info: &ok.info,
            ..OkPacket::new(status - StatusFlags::SESSION_STATE_CHANGED)
        }
        .write(out, capabilities);
    });
    client.flush().await?;
    let link = match made {
        Made::New(link) => *link,
        Made::Again(link) => {
            shared.metrics.logins_pooled.inc();
            // While the client makes its first command.
            match begin_again(shared, link, &identity, capabilities, database).await {
                Ok(link) => link,
                Err(failed) => {
                    // It is logged in, and is told in answer to its first command.
                    if let Ok(packet) = timeout(shared.timeouts.handshake, client.packet()).await {
                        *sequence = packet?.next_sequence;
                    }
                    return Err(failed);
                }
            }
        }
    };
    claim.set_server_id(Some(link.id()));
    // Counted down by the session, which begins now.
    shared.metrics.server_connections.inc();
    Ok(LoggedIn {
        capabilities,
        identity,
        nonce: greeting.scramble,
        link,
        status,
        schema: hello.database,
        claim,
        control,
    })
}

/// A server connection that has logged in.
enum Made {
    /// Ready for the session.
    New(Box<Link>),
    /// By COM_CHANGE_USER; to be set up.
    Again(Box<Link>),
}

impl Made {
    fn connection(&self) -> &ServerConnection {
        match self {
            Self::New(link) => &link.connection,
            Self::Again(link) => &link.connection,
        }
    }
}

/// The connection for a client from this address, what it is greeted with, and its claim to the connection's id.
async fn meet(
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
async fn again(
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
async fn begin_again(
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

fn no_server(text: String) -> Failed {
    Failed::Told(LoginRefusal::NoServer, own_error(1053, b"08S01", text))
}

fn offered(greeting: &OwnedGreeting, shared: &Shared) -> Capabilities {
    let mut offered = greeting.capabilities - NOT_OFFERED;
    offered.set(Capabilities::SSL, shared.acceptor.is_some());
    offered
}

/// Greets the client in the server's name, and finds out who it is.
async fn introduce(
    shared: &Shared,
    client: &mut ClientLeg,
    peer: &Peer,
    greeting: &OwnedGreeting,
    sequence: &mut u8,
) -> Result<(Hello, Shown), Failed> {
    let offered = offered(greeting, shared);
    *sequence = client.queue(*sequence, |out| {
        Greeting {
            version: &greeting.version,
            connection_id: greeting.connection_id,
            nonce: greeting.scramble,
            capabilities: offered,
            collation: greeting.collation,
            status: greeting.status,
            plugin: Some(b"caching_sha2_password"),
        }
        .write(out);
    });
    client.flush().await?;
    let mut packet = client.packet().await?;
    *sequence = packet.next_sequence;
    let malformed = |error: steadfast_wire::Error| {
        Failed::Told(
            LoginRefusal::Malformed,
            own_error(1043, b"08S01", format!("Bad handshake: {error}")),
        )
    };
    let hello = match ClientHello::parse(&packet.payload).map_err(malformed)? {
        ClientHello::Response(response) => {
            if shared.tls_required && !client.is_secure() {
                return Err(Failed::Told(
                    LoginRefusal::TlsRequired,
                    own_error(
                        3159,
                        b"HY000",
                        "connections must use TLS (tls.client = \"required\")".to_owned(),
                    ),
                ));
            }
            Hello::new(&response)
        }
        ClientHello::SslRequest(_) => {
            let Some(acceptor) = &shared.acceptor else {
                return Err(Failed::Told(
                    LoginRefusal::Malformed,
                    own_error(
                        1043,
                        b"08S01",
                        "Bad handshake: TLS is not offered here".to_owned(),
                    ),
                ));
            };
            start_tls(client, acceptor).await?;
            packet = client.packet().await?;
            *sequence = packet.next_sequence;
            Hello::new(&HandshakeResponse::parse(&packet.payload).map_err(malformed)?)
        }
    };
    let first = FirstAnswer {
        user: &hello.user,
        plugin: &hello.plugin,
        response: &hello.response,
        can_switch: hello.can_switch,
        sequence: *sequence,
        empty_is_a_password: true,
        ask: Ask::of(&hello.attributes, client.is_secure(), is_local(peer)),
    };
    let shown = learn(
        client,
        first,
        &greeting.scramble,
        address(peer),
        &shared.vault,
    )
    .await?;
    Ok((hello, shown))
}

async fn start_tls(
    client: &mut ClientLeg,
    acceptor: &steadfast_net::tls::Acceptor,
) -> Result<(), Failed> {
    let limit = client.limit;
    let (stream, read) = client.take_stream()?;
    let stream = acceptor
        .accept(stream, &read)
        .await
        .map_err(|error| Failed::Gone(LoginRefusal::Gone, io::Error::other(error.to_string())))?;
    *client = ClientLeg::new(stream, limit);
    Ok(())
}

/// Logs in to the server with the password that the client has shown, which the server judges, and makes the
/// connection a session's. One that is lost on the way is followed by another, until `hold` is over; `None`: another it
/// is from the beginning.
async fn by_password(
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

/// What the server refused to a session that had logged in, or that it went away.
fn login_lost(shared: &Shared, error: &QueryError) -> Failed {
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

/// Logs in to the server with the client's own answers; gives the password too if it became known.
async fn by_relay(
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

/// What a failed login counts as.
fn reason(error: &LoginError) -> LoginRefusal {
    match error {
        LoginError::Refused(_) => LoginRefusal::Server,
        LoginError::UnsupportedPlugin(_) | LoginError::InsecurePlugin(_) => LoginRefusal::Plugin,
        _ => LoginRefusal::NoServer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, D, E, F>(_: fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    /// What a client costs that does nothing, but for its sockets: its task waits with this, and the session is in a
    /// place of its own.
    #[test]
    fn a_session_that_waits_is_small() {
        let (task, session) = (size_of_future(serve_client), size_of::<Driver>());
        assert!(task <= 768, "{task} bytes");
        assert!(session <= 2816, "{session} bytes");
    }
}
