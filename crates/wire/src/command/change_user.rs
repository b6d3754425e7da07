//! COM_CHANGE_USER: a login on a connection that exists.

use super::code;
use crate::capability::Capabilities;
use crate::error::{Error, Peer};
use crate::handshake::{Attributes, no_nul};
use crate::payload::{Reader, put_lenenc_bytes, put_nul_bytes};

/// Logs in again. The capabilities stay those of the handshake.
///
/// Source: MySQL internals manual, *COM_CHANGE_USER*; `parse_com_change_user_packet` in both servers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChangeUser<'a> {
    /// User name in the client's character set.
    pub user: &'a [u8],
    /// First answer of the authentication plugin; at most 255 bytes.
    pub auth_response: &'a [u8],
    /// Default database; empty for none.
    pub database: &'a [u8],
    /// Collation. Old clients end before it; then nothing below is there.
    pub collation: Option<u16>,
    /// Plugin that made `auth_response`; on the wire with [`Capabilities::PLUGIN_AUTH`].
    pub plugin: Option<&'a [u8]>,
    /// Attributes; on the wire with [`Capabilities::CONNECT_ATTRS`].
    pub attributes: Option<Attributes<'a>>,
}

/// Does not print the authentication response: with some plugins it is the password.
impl std::fmt::Debug for ChangeUser<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChangeUser")
            .field("user", &String::from_utf8_lossy(self.user))
            .field("database", &String::from_utf8_lossy(self.database))
            .field("collation", &self.collation)
            .field("plugin", &self.plugin.map(String::from_utf8_lossy))
            .finish_non_exhaustive()
    }
}

impl<'a> ChangeUser<'a> {
    /// Reads a payload that came under these capabilities.
    ///
    /// # Errors
    /// The client is blamed for a packet that is no COM_CHANGE_USER.
    pub fn parse(payload: &'a [u8], capabilities: Capabilities) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Peer::Client, "change user");
        if reader.u8("it is empty")? != code::CHANGE_USER {
            return Err(reader.malformed("it is no COM_CHANGE_USER"));
        }
        let user = reader.nul_bytes("the user name is not terminated")?;
        let auth_response = if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let length = reader.u8("the authentication response is missing")?;
            reader.take(length.into(), "the authentication response is cut")?
        } else {
            reader.nul_bytes("the authentication response is not terminated")?
        };
        let database = reader.nul_bytes_or_rest();
        let mut change = ChangeUser {
            user,
            auth_response,
            database,
            collation: None,
            plugin: None,
            attributes: None,
        };
        if reader.is_empty() {
            return Ok(change);
        }
        change.collation = Some(reader.u16("the collation is cut")?);
        if capabilities.contains(Capabilities::PLUGIN_AUTH) && !reader.is_empty() {
            change.plugin = Some(reader.nul_bytes_or_rest());
        }
        if capabilities.contains(Capabilities::CONNECT_ATTRS) && !reader.is_empty() {
            let raw = reader.lenenc_bytes("the connection attributes are cut")?;
            change.attributes = Some(Attributes::from_raw(raw));
        }
        Ok(change)
    }

    /// Appends the payload for a receiver with these capabilities. A field that is `None` ends the packet, unless a
    /// later one is there; then it is written empty.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] for a NUL inside a string that ends with NUL, and for an authentication response
    /// of more than 255 bytes.
    pub fn write(&self, out: &mut Vec<u8>, capabilities: Capabilities) -> Result<(), Error> {
        no_nul(self.user, "the user name contains a NUL")?;
        no_nul(self.database, "the database name contains a NUL")?;
        no_nul(
            self.plugin.unwrap_or_default(),
            "the authentication plugin's name contains a NUL",
        )?;
        let counted = capabilities.contains(Capabilities::SECURE_CONNECTION);
        let length =
            u8::try_from(self.auth_response.len()).map_err(|_| Error::Unrepresentable {
                what: "the authentication response has more than 255 bytes",
            })?;
        if !counted {
            no_nul(
                self.auth_response,
                "the authentication response contains a NUL",
            )?;
        }
        out.push(code::CHANGE_USER);
        put_nul_bytes(out, self.user);
        if counted {
            out.push(length);
            out.extend_from_slice(self.auth_response);
        } else {
            put_nul_bytes(out, self.auth_response);
        }
        put_nul_bytes(out, self.database);
        let attributes = self
            .attributes
            .filter(|_| capabilities.contains(Capabilities::CONNECT_ATTRS));
        let names_plugin = capabilities.contains(Capabilities::PLUGIN_AUTH);
        let plugin = self
            .plugin
            .or(attributes.map(|_| &[][..]))
            .filter(|_| names_plugin);
        if self.collation.is_some() || plugin.is_some() || attributes.is_some() {
            out.extend_from_slice(&self.collation.unwrap_or_default().to_le_bytes());
        }
        if let Some(plugin) = plugin {
            put_nul_bytes(out, plugin);
        }
        if let Some(attributes) = attributes {
            put_lenenc_bytes(out, attributes.raw());
        }
        Ok(())
    }
}
