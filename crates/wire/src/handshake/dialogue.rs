//! The server's packets between the handshake response and the final OK or ERR.

use crate::capability::Capabilities;
use crate::error::{Error, Peer};
use crate::payload::{Reader, put_nul_bytes};
use crate::response::{ErrPacket, OkPacket};

/// A packet that a server sends while it authenticates, also after COM_CHANGE_USER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthPacket<'a> {
    /// Logged in.
    Ok(OkPacket<'a>),
    /// Refused.
    Err(ErrPacket<'a>),
    /// Go on with another plugin.
    Switch(AuthSwitchRequest<'a>),
    /// Data for the current plugin.
    MoreData(AuthMoreData<'a>),
    /// This factor is done, there is another.
    NextFactor(AuthNextFactor<'a>),
    /// A single 0xFE: the server wants the password hash of MySQL before 4.1, which nothing should send.
    OldPassword,
}

impl<'a> AuthPacket<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// The server is blamed for a packet that is none of these.
    pub fn parse(payload: &'a [u8], capabilities: Capabilities) -> Result<Self, Error> {
        match payload {
            [0x00, ..] => OkPacket::parse(payload, capabilities).map(AuthPacket::Ok),
            [0xFF, ..] => ErrPacket::parse(payload, capabilities).map(AuthPacket::Err),
            [0xFE] => Ok(AuthPacket::OldPassword),
            [0xFE, ..] => AuthSwitchRequest::parse(payload).map(AuthPacket::Switch),
            [0x01, data @ ..] => Ok(AuthPacket::MoreData(AuthMoreData { data })),
            [0x02, ..] => AuthNextFactor::parse(payload).map(AuthPacket::NextFactor),
            [first, ..] => Err(Error::Unexpected {
                peer: Peer::Server,
                due: "a step of the authentication",
                first: *first,
            }),
            [] => {
                Err(Reader::new(payload, Peer::Server, "authentication").malformed("it is empty"))
            }
        }
    }
}

/// The request to authenticate with another plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthSwitchRequest<'a> {
    /// Name of the plugin.
    pub plugin: &'a [u8],
    /// First data of the plugin, as on the wire: both servers end a 20-byte nonce with a NUL; the 32-byte nonce of
    /// `client_ed25519` has none.
    pub data: &'a [u8],
}

impl<'a> AuthSwitchRequest<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// The server is blamed for a packet that is no such request.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Peer::Server, "authentication switch");
        if reader.u8("it is empty")? != 0xFE {
            return Err(reader.malformed("it does not begin with 0xfe"));
        }
        let plugin = reader.nul_bytes("the plugin's name is not terminated")?;
        Ok(AuthSwitchRequest {
            plugin,
            data: reader.rest(),
        })
    }

    /// The data without a final NUL: the nonce of the plugins with 20 bytes.
    pub fn nonce(&self) -> &'a [u8] {
        self.data
            .strip_suffix(&[0])
            .filter(|nonce| nonce.len() == super::NONCE_LEN)
            .unwrap_or(self.data)
    }

    /// Appends the payload. `plugin` must not contain NUL.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(0xFE);
        put_nul_bytes(out, self.plugin);
        out.extend_from_slice(self.data);
    }
}

/// Data of the current plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthMoreData<'a> {
    /// The plugin's bytes.
    pub data: &'a [u8],
}

impl AuthMoreData<'_> {
    /// Appends the payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(0x01);
        out.extend_from_slice(self.data);
    }
}

/// The request for another factor (MySQL, MULTI_FACTOR_AUTHENTICATION).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthNextFactor<'a> {
    /// Name of the plugin.
    pub plugin: &'a [u8],
    /// First data of the plugin, as on the wire.
    pub data: &'a [u8],
}

impl<'a> AuthNextFactor<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// The server is blamed for a packet that is no such request.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Peer::Server, "next authentication factor");
        if reader.u8("it is empty")? != 0x02 {
            return Err(reader.malformed("it does not begin with 0x02"));
        }
        let plugin = reader.nul_bytes("the plugin's name is not terminated")?;
        Ok(AuthNextFactor {
            plugin,
            data: reader.rest(),
        })
    }

    /// Appends the payload. `plugin` must not contain NUL.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(0x02);
        put_nul_bytes(out, self.plugin);
        out.extend_from_slice(self.data);
    }
}
