//! The server's first packet: greeting v10, or an error.

use super::NONCE_LEN;
use crate::capability::{Capabilities, StatusFlags};
use crate::error::{Error, Peer};
use crate::payload::{Reader, put_nul_bytes};
use crate::response::ErrPacket;

/// The first packet of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialPacket<'a> {
    /// The server wants to talk.
    Greeting(Greeting<'a>),
    /// The server does not: 1040 too many connections, 1129 host blocked, 1130 host not allowed.
    Error(ErrPacket<'a>),
}

impl<'a> InitialPacket<'a> {
    /// Reads the payload of the first packet. The error may come with or without an SQLSTATE: capabilities are not
    /// negotiated yet, and servers differ.
    ///
    /// # Errors
    /// The server is blamed for a packet that is neither.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        if payload.first() == Some(&0xFF) {
            ErrPacket::parse(payload, Capabilities::empty()).map(InitialPacket::Error)
        } else {
            Greeting::parse(payload).map(InitialPacket::Greeting)
        }
    }
}

/// Greeting of protocol version 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting<'a> {
    /// Version as the server says it. MariaDB before 11.0 puts `5.5.5-` before it.
    pub version: &'a [u8],
    /// Connection id, as in `CONNECTION_ID()` and KILL; its lower 32 bits.
    pub connection_id: u32,
    /// Nonce for the authentication.
    pub nonce: [u8; NONCE_LEN],
    /// What the server can do. Without [`Capabilities::LONG_PASSWORD`] the upper half is MariaDB's.
    pub capabilities: Capabilities,
    /// The server's default collation, its lower 8 bits.
    pub collation: u8,
    /// Status, normally AUTOCOMMIT.
    pub status: StatusFlags,
    /// Authentication plugin that the nonce is for. There is one if PLUGIN_AUTH is set.
    pub plugin: Option<&'a [u8]>,
}

/// Length of the nonce and its NUL, as greetings claim it.
const AUTH_DATA_LEN: u8 = NONCE_LEN as u8 + 1;

impl<'a> Greeting<'a> {
    /// Reads a greeting.
    ///
    /// # Errors
    /// The server is blamed: [`Error::Incompatible`] for another protocol version or a server older than 4.1,
    /// [`Error::Malformed`] otherwise.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Peer::Server, "greeting");
        if reader.u8("it is empty")? != 10 {
            return Err(incompatible(
                "it does not speak protocol version 10, so it is no MySQL or MariaDB server",
            ));
        }
        let version = reader.nul_bytes("the version string is not terminated")?;
        let connection_id = reader.u32("the connection id is cut")?;
        let head: [u8; 8] = reader.array("the nonce is cut")?;
        reader.u8("it ends behind the first part of the nonce")?;
        let low = reader.u16("the capabilities are cut")?;
        if reader.is_empty() {
            return Err(incompatible("it is older than MySQL 4.1"));
        }
        let collation = reader.u8("the collation is cut")?;
        let status = StatusFlags::from_bits_retain(reader.u16("the status is cut")?);
        let high = reader.u16("the capabilities are cut")?;
        let auth_data_len = reader.u8("the nonce's length is missing")?;
        reader.take(6, "the reserved bytes are cut")?;
        let extended = reader.u32("the extended capabilities are cut")?;
        let low = u32::from(low) | u32::from(high) << 16;
        let mut capabilities = Capabilities::from_halves(low, 0);
        if capabilities.is_mariadb() {
            capabilities = Capabilities::from_halves(low, extended);
        }
        if !capabilities.contains(Capabilities::PROTOCOL_41 | Capabilities::SECURE_CONNECTION) {
            return Err(incompatible("it is older than MySQL 4.1"));
        }
        if auth_data_len > AUTH_DATA_LEN {
            return Err(incompatible(
                "its default authentication plugin begins with more than 20 bytes",
            ));
        }
        let tail: [u8; 13] = reader.array("the second part of the nonce is cut")?;
        let mut nonce = [0; NONCE_LEN];
        for (room, byte) in nonce.iter_mut().zip(head.iter().chain(&tail)) {
            *room = *byte;
        }
        let plugin = capabilities
            .contains(Capabilities::PLUGIN_AUTH)
            .then(|| reader.nul_bytes_or_rest());
        Ok(Greeting {
            version,
            connection_id,
            nonce,
            capabilities,
            collation,
            status,
            plugin,
        })
    }

    /// Appends the payload. `version` and `plugin` must not contain NUL. The extended capabilities are written for
    /// MariaDB's dialect only.
    pub fn write(&self, out: &mut Vec<u8>) {
        let low = self.capabilities.low();
        out.push(10);
        put_nul_bytes(out, self.version);
        out.extend_from_slice(&self.connection_id.to_le_bytes());
        let (head, tail) = self.nonce.split_at(8);
        out.extend_from_slice(head);
        out.push(0);
        out.extend_from_slice(&(low as u16).to_le_bytes());
        out.push(self.collation);
        out.extend_from_slice(&self.status.bits().to_le_bytes());
        out.extend_from_slice(&((low >> 16) as u16).to_le_bytes());
        let names_plugin = self.capabilities.contains(Capabilities::PLUGIN_AUTH);
        out.push(if names_plugin { AUTH_DATA_LEN } else { 0 });
        out.extend_from_slice(&[0; 6]);
        let extended = if self.capabilities.is_mariadb() {
            self.capabilities.extended()
        } else {
            0
        };
        out.extend_from_slice(&extended.to_le_bytes());
        out.extend_from_slice(tail);
        out.push(0);
        if names_plugin {
            put_nul_bytes(out, self.plugin.unwrap_or_default());
        }
    }
}

fn incompatible(what: &'static str) -> Error {
    Error::Incompatible {
        peer: Peer::Server,
        what,
    }
}
