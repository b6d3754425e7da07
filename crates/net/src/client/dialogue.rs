//! The packets of an authentication, one after the other.

use std::io;

use steadfast_wire::Capabilities;
use steadfast_wire::frame;
use steadfast_wire::handshake::AuthPacket;
use tokio::io::AsyncWriteExt;

use super::OwnedOk;
use crate::packets::{Packets, ReadError};
use crate::{LoginError, ServerError, Stream};

/// Longest packet of an authentication, in bytes. The longest real ones are an OK with the session's variables and an
/// RSA key.
const MAX_AUTH_PACKET: usize = 1 << 20;

/// Steps of one authentication after which a server is not believed any more. Both servers need at most six.
pub(super) const MAX_STEPS: usize = 16;

/// An authentication in progress, in the handshake or in COM_CHANGE_USER.
pub(super) struct Dialogue<'a> {
    pub(super) stream: &'a mut Stream,
    pub(super) inbound: &'a mut Vec<u8>,
    pub(super) sequence: &'a mut u8,
    pub(super) capabilities: Capabilities,
}

/// What the server wants next.
#[derive(Debug, Clone)]
pub(super) enum AuthStep {
    /// Logged in.
    Ok(OwnedOk),
    /// Not logged in.
    Refused(ServerError),
    /// Another plugin, and its first data as on the wire.
    Switch { plugin: Vec<u8>, data: Vec<u8> },
    /// Data for the current plugin.
    MoreData(Vec<u8>),
}

impl Dialogue<'_> {
    /// Sends a packet. If the server is gone but has said why, that is the error.
    pub(super) async fn send(&mut self, payload: &[u8]) -> Result<(), LoginError> {
        // It may hold a password.
        let mut framed =
            zeroize::Zeroizing::new(Vec::with_capacity(payload.len() + frame::HEADER_LEN));
        *self.sequence = frame::write(&mut framed, *self.sequence, payload);
        let error = match write(self.stream, &framed).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match self.next().await {
            Ok(AuthStep::Refused(refusal)) => Err(LoginError::Refused(refusal)),
            _ => Err(LoginError::lost(error)),
        }
    }

    /// The server's next step.
    pub(super) async fn next(&mut self) -> Result<AuthStep, LoginError> {
        let mut packets = Packets::new(self.inbound);
        let payload = packets
            .next(self.stream, self.sequence, MAX_AUTH_PACKET)
            .await
            .map_err(|error| match error {
                ReadError::Io(error) => LoginError::lost(error),
                other => LoginError::Nonsense(other.to_string()),
            })?;
        Ok(
            match AuthPacket::parse(payload, self.capabilities).map_err(LoginError::codec)? {
                AuthPacket::Ok(ok) => AuthStep::Ok(ok.into()),
                AuthPacket::Err(err) => AuthStep::Refused(err.into()),
                AuthPacket::Switch(switch) => AuthStep::Switch {
                    plugin: switch.plugin.to_vec(),
                    data: switch.data.to_vec(),
                },
                AuthPacket::MoreData(more) => AuthStep::MoreData(more.data.to_vec()),
                AuthPacket::NextFactor(factor) => {
                    let plugin = String::from_utf8_lossy(factor.plugin);
                    return Err(LoginError::UnsupportedPlugin(format!(
                        "{plugin} as a further factor"
                    )));
                }
                AuthPacket::OldPassword => {
                    return Err(LoginError::UnsupportedPlugin(
                        "mysql_old_password".to_owned(),
                    ));
                }
            },
        )
    }
}

async fn write(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}
