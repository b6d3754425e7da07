//! A client from its connection to its login: greeting, TLS, password, server connection.

mod server;

use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use steadfast_net::{OwnedGreeting, Peer, ServerError, Stream};
use steadfast_wire::auth::Password;
use steadfast_wire::handshake::{ClientHello, Greeting, HandshakeResponse};
use steadfast_wire::response::{ErrPacket, OkPacket};
use steadfast_wire::{Capabilities, StatusFlags};
use tokio::time::{Instant, timeout};

use crate::client::ClientLeg;
use crate::driver::{Driver, Start};
use crate::incident;
use crate::link::{self, Attributes, Identity, Link};
use crate::local::Local;
use crate::login::{Ask, FirstAnswer, Shown, learn};
use crate::metrics::LoginRefusal;
use crate::registry::Claim;
use crate::shared::Shared;
use crate::spread;
use crate::words::Words;

use self::server::{Made, Met, again, begin_again, by_password, by_relay, login_lost, meet};

/// Payload bytes of the largest packet before the login is done: a client without a password must not cost memory.
const LOGIN_PACKET: u64 = 64 << 10;

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

/// Serves one client from its connection to its end. `on_thread`: its place on this thread.
pub(crate) fn serve_client(
    shared: Arc<Shared>,
    stream: Stream,
    peer: Peer,
    local: Rc<Local>,
    on_thread: Option<spread::Place>,
) -> impl Future<Output = ()> {
    shared.metrics.clients.inc();
    shared.metrics.clients_connected.inc();
    let place = Arc::clone(&shared.clients).try_acquire_owned().ok();
    // With room of its own, which the session that follows does not keep.
    let has_place = place.is_some();
    let beginning = Box::pin(begin(Arc::clone(&shared), stream, peer, local, has_place));
    async move {
        let _places = (place, on_thread);
        if let Some(driver) = beginning.await {
            driver.run().await;
        }
        shared.metrics.clients_connected.dec();
    }
}

/// The session of a client that has logged in; `None`: it has not. `has_place`: it is not one too many.
async fn begin(
    shared: Arc<Shared>,
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
            log_in(&shared, &local, &mut client, &peer, &mut sequence).await
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
                shared,
            };
            Some(Driver::new(start))
        }
        Err(Failed::Told(reason, error)) => {
            refuse(&shared, &mut client, &peer, sequence, reason, &error, since).await;
            None
        }
        Err(Failed::Gone(reason, error)) => {
            shared.metrics.login_refused(reason);
            tracing::debug!(client = %peer, "left before its login was done: {error}");
            let nothing = own_error(0, b"HY000", String::new());
            incident::refused(&shared, peer.to_string(), reason, &nothing, since.elapsed());
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
    attributes: Rc<Attributes>,
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
        attributes: Rc::clone(&hello.attributes),
        believed_id: claim.id(),
        reset: false,
    };
    local.attributes.share(&mut identity.attributes);
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
    let mut made = match shown {
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
    let ok = made.connection().login_ok.take().unwrap_or_default();
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
        assert!(task <= 144, "{task} bytes");
        assert!(session <= 1984, "{session} bytes");
    }
}
