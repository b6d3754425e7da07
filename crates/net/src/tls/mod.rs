//! TLS on both legs, with rustls: nothing outside this module knows the library.

mod accept;
mod connect;
mod verify;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use accept::{Acceptor, GeneratedCertificate, generate};
pub use connect::{Connector, Roots, Verify};

/// Why TLS could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key file is unusable.
    #[error("the {what} in {} cannot be used: {reason}", path.display())]
    File {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it cannot be used.
        reason: String,
    },
    /// A certificate, key or set of roots that does not come from a file is unusable.
    #[error("{0}")]
    Configuration(String),
    /// The other side does not offer TLS, and it is required.
    #[error(
        "the server does not offer TLS, and TLS is required: set ssl_cert and ssl_key on the server"
    )]
    NotOffered,
    /// The handshake failed: no common version or cipher, a certificate that does not verify, or no TLS at all.
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] rustls::Error),
    /// The connection was lost in the handshake.
    #[error("the connection was lost in the TLS handshake: {0}")]
    Lost(#[source] io::Error),
}

impl TlsError {
    /// What tokio-rustls reports: rustls' errors come as `InvalidData`, all others are the socket's.
    fn from_handshake(error: io::Error) -> Self {
        match error.downcast::<rustls::Error>() {
            Ok(error) => TlsError::Handshake(error),
            Err(error) => TlsError::Lost(error),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
