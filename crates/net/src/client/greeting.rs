//! Connects to a server and reads its greeting.

use steadfast_wire::frame::HEADER_LEN;
use steadfast_wire::handshake::{Greeting, InitialPacket, NONCE_LEN};
use steadfast_wire::{Capabilities, StatusFlags};
use tokio::time::{Instant, timeout_at};

use crate::packets::{Packets, ReadError};
use crate::{ConnectError, ConnectStage, LossKind, Stream, Target, tls};

/// Longest greeting that is read, in bytes; real ones have about 100.
const MAX_GREETING: usize = 4096;

/// What a server says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedGreeting {
    /// Version as the server says it, for example `9.7.4-2` or `5.5.5-10.11.19-MariaDB-0+deb12u1`.
    pub version: Vec<u8>,
    /// Connection id, its lower 32 bits.
    pub connection_id: u32,
    /// What the server can do.
    pub capabilities: Capabilities,
    /// Nonce for the authentication.
    pub scramble: [u8; NONCE_LEN],
    /// The server's default collation, its lower 8 bits.
    pub collation: u8,
    /// Status, normally AUTOCOMMIT.
    pub status: StatusFlags,
    /// The server's default authentication plugin; empty for a server without plugins.
    pub plugin: String,
}

impl OwnedGreeting {
    /// Whether the server is MariaDB.
    pub fn is_mariadb(&self) -> bool {
        self.capabilities.is_mariadb()
    }
}

impl From<Greeting<'_>> for OwnedGreeting {
    fn from(greeting: Greeting<'_>) -> Self {
        OwnedGreeting {
            version: greeting.version.to_vec(),
            connection_id: greeting.connection_id,
            capabilities: greeting.capabilities,
            scramble: greeting.nonce,
            collation: greeting.collation,
            status: greeting.status,
            plugin: String::from_utf8_lossy(greeting.plugin.unwrap_or_default()).into_owned(),
        }
    }
}

/// A server that has greeted and waits for the login. It waits for its `connect_timeout`, 10 s by default. Dropping
/// this counts on the server as a broken handshake, towards `max_connect_errors`: see [`Greeted::abandon`].
#[derive(Debug)]
pub struct Greeted {
    /// What the server said.
    pub greeting: OwnedGreeting,
    pub(super) stream: Stream,
    pub(super) inbound: Vec<u8>,
    pub(super) sequence: u8,
    pub(super) tls: tls::Connector,
    pub(super) host: String,
}

/// Connects and reads the greeting, within [`Target::connect_timeout`] altogether.
///
/// # Errors
/// [`ConnectError`]; nothing was changed on the server, so all of them may be tried again. A loss before the greeting
/// and a timeout that waited for it count on the server towards `max_connect_errors`.
pub async fn greet(target: &Target) -> Result<Greeted, ConnectError> {
    let deadline = Instant::now() + target.connect_timeout;
    let mut stream = target.connect(deadline).await?;
    let mut inbound = Vec::new();
    let reading = read_greeting(&mut stream, &mut inbound);
    let greeting = timeout_at(deadline, reading)
        .await
        .map_err(|_| ConnectError::Timeout {
            stage: ConnectStage::Greeting,
            after: target.connect_timeout,
        })??;
    Ok(Greeted {
        greeting,
        stream,
        inbound,
        sequence: 1,
        tls: target.tls.clone(),
        host: target.host().to_owned(),
    })
}

async fn read_greeting(
    stream: &mut Stream,
    inbound: &mut Vec<u8>,
) -> Result<OwnedGreeting, ConnectError> {
    let outcome = {
        let mut packets = Packets::new(inbound);
        match packets.next(stream, &mut 0, MAX_GREETING).await {
            Ok(payload) => match InitialPacket::parse(payload) {
                Ok(InitialPacket::Greeting(greeting)) => return Ok(greeting.into()),
                Ok(InitialPacket::Error(err)) => return Err(ConnectError::Refused(err.into())),
                Err(error) => return Err(ConnectError::Nonsense(error.to_string())),
            },
            Err(error) => error,
        }
    };
    Err(match outcome {
        ReadError::Io(error) => ConnectError::Io(LossKind::of(&error), error),
        other => ConnectError::Nonsense(format!(
            "what listens there is no MySQL or MariaDB server: it began with '{}' ({other})",
            inbound
                .get(..inbound.len().min(HEADER_LEN + 20))
                .unwrap_or_default()
                .escape_ascii(),
        )),
    })
}
