//! TLS to servers: the client's side of the handshake.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

use super::accept::read_certificates;
use super::verify::{AnyCertificate, AnyName};
use super::{TlsError, provider};
use crate::Stream;

/// Whether TLS is used, and what of the server's certificate is verified. The names are those of MySQL's `ssl_mode`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verify {
    /// No TLS.
    Disabled,
    /// TLS if the server offers it, any certificate. Not over a Unix socket.
    Preferred,
    /// TLS, any certificate.
    Required,
    /// TLS, a certificate signed by an authority in this PEM file, for any host.
    Ca(PathBuf),
    /// TLS, a certificate signed by one of these authorities, for the host that was asked for.
    Identity(Roots),
}

/// Authorities that are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Those in a PEM file.
    File(PathBuf),
    /// Those of the system.
    System,
}

/// Asks servers for TLS. Clones share the configuration and the sessions to resume.
#[derive(Clone)]
pub struct Connector {
    verify: Verify,
    connector: tokio_rustls::TlsConnector,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({:?})", self.verify)
    }
}

impl Connector {
    /// Reads the authorities, once.
    ///
    /// # Errors
    /// [`TlsError::File`], [`TlsError::Configuration`].
    pub fn new(verify: Verify) -> Result<Self, TlsError> {
        let wrong = |error: rustls::Error| {
            TlsError::Configuration(format!("TLS cannot be set up: {error}"))
        };
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(wrong)?;
        let config = match &verify {
            Verify::Disabled | Verify::Preferred | Verify::Required => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate::new(provider)))
                .with_no_client_auth(),
            Verify::Ca(path) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyName::new(
                    provider,
                    roots(path.clone())?,
                )))
                .with_no_client_auth(),
            Verify::Identity(Roots::File(path)) => builder
                .with_root_certificates(roots(path.clone())?)
                .with_no_client_auth(),
            Verify::Identity(Roots::System) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(
                    rustls_platform_verifier::Verifier::new(provider).map_err(wrong)?,
                ))
                .with_no_client_auth(),
        };
        Ok(Connector {
            verify,
            connector: Arc::new(config).into(),
        })
    }

    /// What was asked for.
    pub fn verify(&self) -> &Verify {
        &self.verify
    }

    /// Whether TLS is to be used on this stream to a server that offers it or does not.
    ///
    /// # Errors
    /// [`TlsError::NotOffered`].
    pub(crate) fn wants(&self, stream: &Stream, offered: bool) -> Result<bool, TlsError> {
        match self.verify {
            Verify::Disabled => Ok(false),
            Verify::Preferred => Ok(offered && !stream.is_secure()),
            _ if offered => Ok(true),
            _ => Err(TlsError::NotOffered),
        }
    }

    /// Does the handshake, after the server was sent an SSL request. `host` is the name or address that was asked for.
    ///
    /// # Errors
    /// [`TlsError::Handshake`], [`TlsError::Lost`]; [`TlsError::Configuration`] for a host that no certificate can
    /// name.
    pub async fn connect(&self, host: &str, stream: Stream) -> Result<Stream, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            TlsError::Configuration(format!("'{host}' is no name that a certificate can have"))
        })?;
        let stream = self
            .connector
            .connect(name, stream)
            .await
            .map_err(TlsError::from_handshake)?;
        Ok(Stream::TlsConnected(Box::new(stream)))
    }
}

fn roots(path: PathBuf) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(&path)? {
        roots.add(certificate).map_err(|error| TlsError::File {
            what: "certificate",
            path: path.clone(),
            reason: error.to_string(),
        })?;
    }
    Ok(roots)
}
