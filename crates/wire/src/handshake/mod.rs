//! The connection phase: greeting, SSL request, handshake response, and the packets of the authentication dialogue.
//!
//! Source: MySQL internals manual, *Connection Phase*; MariaDB, *Connection*.

mod attributes;
mod dialogue;
mod greeting;
mod response;

pub use attributes::{Attributes, AttributesIter};
pub use dialogue::{AuthMoreData, AuthNextFactor, AuthPacket, AuthSwitchRequest};
pub use greeting::{Greeting, InitialPacket};
pub(crate) use response::no_nul;
pub use response::{ClientHello, HandshakeResponse, SslRequest};

/// Bytes of the nonce in a greeting, without its final NUL.
pub const NONCE_LEN: usize = 20;
