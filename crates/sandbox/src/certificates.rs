//! A TLS certificate for a server that does not make its own.

use std::fs;
use std::io;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::Error;

/// File names within the server's directory, all PEM.
pub(crate) const CA: &str = "ca.pem";
pub(crate) const CERTIFICATE: &str = "server-cert.pem";
pub(crate) const KEY: &str = "server-key.pem";

/// Writes a certificate authority, and a certificate for localhost and 127.0.0.1 with its key.
pub(crate) fn generate(directory: &Path) -> Result<(), Error> {
    let (ca, certificate, key) = make().map_err(|error| {
        Error::io("generate a certificate")(io::Error::other(error.to_string()))
    })?;
    for (name, text) in [(CA, ca), (CERTIFICATE, certificate), (KEY, key)] {
        let path = directory.join(name);
        fs::write(&path, text).map_err(Error::at("write", &path))?;
    }
    Ok(())
}

fn make() -> Result<(String, String, String), rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name
        .push(DnType::CommonName, "Steadfast sandbox CA");
    let ca_pem = ca.self_signed(&ca_key)?.pem();
    let key = KeyPair::generate()?;
    let mut server = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    server
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    let certificate = server.signed_by(&key, &Issuer::new(ca, ca_key))?;
    Ok((ca_pem, certificate.pem(), key.serialize_pem()))
}
