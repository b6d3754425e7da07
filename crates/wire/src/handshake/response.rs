//! The client's answer to the greeting: SSL request or handshake response of protocol 4.1.

use super::Attributes;
use crate::capability::Capabilities;
use crate::error::{Error, Peer};
use crate::payload::{Reader, put_lenenc, put_lenenc_bytes, put_nul_bytes};

/// Bytes of the fixed part, which is all of an SSL request.
const FIXED_LEN: usize = 32;

/// The client's first packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientHello<'a> {
    /// TLS follows at once, then the handshake response inside it.
    SslRequest(SslRequest),
    /// The login, in the clear or inside TLS.
    Response(HandshakeResponse<'a>),
}

impl<'a> ClientHello<'a> {
    /// Reads the payload of the client's first packet, before TLS. Inside TLS use [`HandshakeResponse::parse`]: the
    /// SSL flag is set there too.
    ///
    /// # Errors
    /// See [`HandshakeResponse::parse`].
    pub fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let (fixed, _) = Fixed::parse(payload)?;
        if fixed.capabilities.contains(Capabilities::SSL) && payload.len() == FIXED_LEN {
            return Ok(ClientHello::SslRequest(SslRequest(fixed)));
        }
        HandshakeResponse::parse(payload).map(ClientHello::Response)
    }
}

/// The fields that an SSL request and a handshake response share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fixed {
    capabilities: Capabilities,
    max_packet_size: u32,
    collation: u8,
    reserved: [u8; 19],
}

impl Fixed {
    fn parse(payload: &[u8]) -> Result<(Self, Reader<'_>), Error> {
        let mut reader = Reader::new(payload, Peer::Client, "handshake response");
        let first = Reader::new(payload, Peer::Client, "handshake response").u16("it is cut")?;
        if u64::from(first) & Capabilities::PROTOCOL_41.bits() == 0 {
            return Err(Error::Incompatible {
                peer: Peer::Client,
                what: "it speaks the protocol of MySQL 3.20; protocol 4.1 is needed",
            });
        }
        let low = reader.u32("the capabilities are cut")?;
        let max_packet_size = reader.u32("the maximum packet size is cut")?;
        let collation = reader.u8("the collation is missing")?;
        let reserved = reader.array("the reserved bytes are cut")?;
        let extended = reader.u32("the extended capabilities are cut")?;
        let mut capabilities = Capabilities::from_halves(low, 0);
        if capabilities.is_mariadb() {
            capabilities = Capabilities::from_halves(low, extended);
        }
        Ok((
            Fixed {
                capabilities,
                max_packet_size,
                collation,
                reserved,
            },
            reader,
        ))
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.capabilities.low().to_le_bytes());
        out.extend_from_slice(&self.max_packet_size.to_le_bytes());
        out.push(self.collation);
        out.extend_from_slice(&self.reserved);
        let extended = if self.capabilities.is_mariadb() {
            self.capabilities.extended()
        } else {
            0
        };
        out.extend_from_slice(&extended.to_le_bytes());
    }
}

/// The request to start TLS: a handshake response cut after its fixed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SslRequest(Fixed);

impl SslRequest {
    /// A request with these capabilities (SSL is added), the largest packet that the client takes, and the lower 8
    /// bits of its collation.
    pub fn new(capabilities: Capabilities, max_packet_size: u32, collation: u8) -> Self {
        let capabilities = capabilities | Capabilities::SSL;
        SslRequest(Fixed {
            capabilities,
            max_packet_size,
            collation,
            reserved: [0; 19],
        })
    }

    /// What the client wants to use.
    pub fn capabilities(&self) -> Capabilities {
        self.0.capabilities
    }

    /// The largest packet that the client takes, in bytes.
    pub fn max_packet_size(&self) -> u32 {
        self.0.max_packet_size
    }

    /// The lower 8 bits of the client's collation.
    pub fn collation(&self) -> u8 {
        self.0.collation
    }

    /// Appends the payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }
}

/// Handshake response of protocol 4.1.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HandshakeResponse<'a> {
    /// What the client wants to use. Which of the fields below are on the wire depends on it.
    pub capabilities: Capabilities,
    /// The largest packet that the client takes, in bytes.
    pub max_packet_size: u32,
    /// Collation, its lower 8 bits.
    pub collation: u8,
    /// Bytes that should be zero. Some clients put the upper half of the collation's number into the first.
    pub reserved: [u8; 19],
    /// User name in the client's character set.
    pub user: &'a [u8],
    /// First answer of the authentication plugin; at most 255 bytes without
    /// [`Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA`].
    pub auth_response: &'a [u8],
    /// Default database; on the wire with [`Capabilities::CONNECT_WITH_DB`].
    pub database: Option<&'a [u8]>,
    /// Plugin that made `auth_response`; on the wire with [`Capabilities::PLUGIN_AUTH`].
    pub plugin: Option<&'a [u8]>,
    /// Attributes; on the wire with [`Capabilities::CONNECT_ATTRS`].
    pub attributes: Option<Attributes<'a>>,
    /// Level of zstd compression; on the wire with [`Capabilities::ZSTD_COMPRESSION`].
    pub zstd_level: Option<u8>,
}

/// Does not print the authentication response: with some plugins it is the password.
impl std::fmt::Debug for HandshakeResponse<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandshakeResponse")
            .field("capabilities", &self.capabilities)
            .field("max_packet_size", &self.max_packet_size)
            .field("collation", &self.collation)
            .field("user", &String::from_utf8_lossy(self.user))
            .field("database", &self.database.map(String::from_utf8_lossy))
            .field("plugin", &self.plugin.map(String::from_utf8_lossy))
            .field("zstd_level", &self.zstd_level)
            .finish_non_exhaustive()
    }
}

impl<'a> HandshakeResponse<'a> {
    /// Reads a handshake response. As in both servers, fields that a flag announces may be missing at the end, the
    /// last string needs no NUL, and what follows the last field is ignored.
    ///
    /// # Errors
    /// The client is blamed: [`Error::Incompatible`] for the protocol of MySQL 3.20, [`Error::Malformed`] otherwise.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let (fixed, mut reader) = Fixed::parse(payload)?;
        let capabilities = fixed.capabilities;
        let user = reader.nul_bytes("the user name is not terminated")?;
        let auth_response = if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA) {
            reader.lenenc_bytes("the authentication response is cut")?
        } else if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let length = reader.u8("the authentication response is missing")?;
            reader.take(usize::from(length), "the authentication response is cut")?
        } else {
            reader.nul_bytes("the authentication response is not terminated")?
        };
        let present = |flag, reader: &Reader<'_>| capabilities.contains(flag) && !reader.is_empty();
        let database =
            present(Capabilities::CONNECT_WITH_DB, &reader).then(|| reader.nul_bytes_or_rest());
        let plugin =
            present(Capabilities::PLUGIN_AUTH, &reader).then(|| reader.nul_bytes_or_rest());
        let attributes = if present(Capabilities::CONNECT_ATTRS, &reader) {
            Some(Attributes::from_raw(
                reader.lenenc_bytes("the connection attributes are cut")?,
            ))
        } else {
            None
        };
        let zstd_level = if present(Capabilities::ZSTD_COMPRESSION, &reader) {
            Some(reader.u8("the compression level is missing")?)
        } else {
            None
        };
        Ok(HandshakeResponse {
            capabilities,
            max_packet_size: fixed.max_packet_size,
            collation: fixed.collation,
            reserved: fixed.reserved,
            user,
            auth_response,
            database,
            plugin,
            attributes,
            zstd_level,
        })
    }

    /// Appends the payload. The capabilities decide which fields are written; an announced field that is `None` is
    /// written empty.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] for a NUL inside a string that ends with NUL, and for an authentication response
    /// that is too long for its encoding.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let has = |flag| self.capabilities.contains(flag);
        no_nul(self.user, "the user name contains a NUL")?;
        no_nul(
            self.database.unwrap_or_default(),
            "the database name contains a NUL",
        )?;
        no_nul(
            self.plugin.unwrap_or_default(),
            "the authentication plugin's name contains a NUL",
        )?;
        let lenenc = has(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA);
        let counted = has(Capabilities::SECURE_CONNECTION);
        if !lenenc && !counted {
            no_nul(
                self.auth_response,
                "the authentication response contains a NUL",
            )?;
        }
        if !lenenc && counted && self.auth_response.len() > 255 {
            return Err(Error::Unrepresentable {
                what: "the authentication response has more than 255 bytes",
            });
        }
        let fixed = Fixed {
            capabilities: self.capabilities,
            max_packet_size: self.max_packet_size,
            collation: self.collation,
            reserved: self.reserved,
        };
        fixed.write(out);
        put_nul_bytes(out, self.user);
        if lenenc || counted {
            // A length of 251 to 255 differs between the encodings.
            if lenenc {
                put_lenenc(out, self.auth_response.len() as u64);
            } else {
                out.push(self.auth_response.len() as u8);
            }
            out.extend_from_slice(self.auth_response);
        } else {
            put_nul_bytes(out, self.auth_response);
        }
        if has(Capabilities::CONNECT_WITH_DB) {
            put_nul_bytes(out, self.database.unwrap_or_default());
        }
        if has(Capabilities::PLUGIN_AUTH) {
            put_nul_bytes(out, self.plugin.unwrap_or_default());
        }
        if has(Capabilities::CONNECT_ATTRS) {
            put_lenenc_bytes(out, self.attributes.unwrap_or_default().raw());
        }
        if has(Capabilities::ZSTD_COMPRESSION) {
            out.push(self.zstd_level.unwrap_or_default());
        }
        Ok(())
    }
}

pub(crate) fn no_nul(bytes: &[u8], what: &'static str) -> Result<(), Error> {
    if bytes.contains(&0) {
        Err(Error::Unrepresentable { what })
    } else {
        Ok(())
    }
}
