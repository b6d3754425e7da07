//! TLS for clients: the server's side of the handshake.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{TlsError, provider};
use crate::Stream;
use crate::stream::Rewound;

/// Answers clients that ask for TLS, with one certificate. Clones share it.
#[derive(Clone)]
pub struct Acceptor {
    acceptor: tokio_rustls::TlsAcceptor,
    certificate: CertificateDer<'static>,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Acceptor {
    /// With a self-signed certificate of its own for these host names and addresses, and a key that is in memory
    /// only. To keep one over restarts, store what [`generate`] makes.
    ///
    /// # Errors
    /// [`TlsError::Configuration`] for a name that cannot stand in a certificate.
    pub fn generated(names: &[&str]) -> Result<Self, TlsError> {
        let generated = generate(names)?;
        Acceptor::from_pem(generated.certificate.as_bytes(), generated.key.as_bytes())
    }

    /// With a certificate (and the chain behind it) and its private key, both PEM files.
    ///
    /// # Errors
    /// [`TlsError::File`] for a file that cannot be read or does not hold that;
    /// [`TlsError::Configuration`] for a key that does not belong to the certificate.
    pub fn from_pem_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = read_certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::File {
            what: "private key",
            path: key.to_owned(),
            reason: error.to_string(),
        })?;
        Acceptor::new(chain, key)
    }

    /// With a certificate (and the chain behind it) and its private key, both PEM texts.
    ///
    /// # Errors
    /// [`TlsError::Configuration`] for anything else, and for a key that does not belong to the certificate.
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let wrong =
            |error: rustls::pki_types::pem::Error| TlsError::Configuration(error.to_string());
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(wrong)?;
        Acceptor::new(chain, PrivateKeyDer::from_pem_slice(key).map_err(wrong)?)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        let wrong = |error: rustls::Error| {
            TlsError::Configuration(format!(
                "the certificate and the key cannot be used together: {error}"
            ))
        };
        let certificate = chain
            .first()
            .cloned()
            .ok_or_else(|| TlsError::Configuration("there is no certificate".to_owned()))?;
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(wrong)?;
        Ok(Acceptor {
            acceptor: Arc::new(config).into(),
            certificate,
        })
    }

    /// The certificate in DER, without its chain. MariaDB clients from 11.4 on verify a self-signed certificate by a
    /// hash over its SHA-256 fingerprint and the password.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// Does the handshake with a client that has asked for TLS. `already_read` are the bytes behind the SSL request
    /// that were read with it: the ClientHello or a part of it.
    ///
    /// # Errors
    /// [`TlsError::Handshake`], [`TlsError::Lost`].
    pub async fn accept(&self, stream: Stream, already_read: &[u8]) -> Result<Stream, TlsError> {
        let accepting = self.acceptor.accept(Rewound::new(stream, already_read));
        let stream = accepting.await.map_err(TlsError::from_handshake)?;
        Ok(Stream::TlsAccepted(Box::new(stream)))
    }
}

/// A self-signed certificate and its key, both PEM.
pub struct GeneratedCertificate {
    /// The certificate.
    pub certificate: String,
    /// The private key (PKCS #8). Overwritten when dropped.
    pub key: zeroize::Zeroizing<String>,
}

impl fmt::Debug for GeneratedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeneratedCertificate")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// Makes a self-signed certificate for these host names and addresses, and its key (ECDSA on P-256).
///
/// # Errors
/// [`TlsError::Configuration`] for a name that cannot stand in a certificate.
pub fn generate(names: &[&str]) -> Result<GeneratedCertificate, TlsError> {
    let wrong = |error: rcgen::Error| {
        TlsError::Configuration(format!("no certificate could be made: {error}"))
    };
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let key = rcgen::KeyPair::generate().map_err(wrong)?;
    let mut parameters = rcgen::CertificateParams::new(names).map_err(wrong)?;
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, "Steadfast (generated)");
    let certificate = parameters.self_signed(&key).map_err(wrong)?;
    Ok(GeneratedCertificate {
        certificate: certificate.pem(),
        key: key.serialize_pem().into(),
    })
}

pub(super) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |reason: String| TlsError::File {
        what: "certificate",
        path: path.to_owned(),
        reason,
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}
