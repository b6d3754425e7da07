//! The password under RSA: how `caching_sha2_password` and `sha256_password` send it without TLS.
//!
//! The password and its NUL are XORed with the nonce, repeated, then encrypted with RSA-OAEP (SHA-1).
//!
//! Source: `sql-common/client_authentication.cc` in MySQL 8.4.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA1_MGF1SHA1, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
    PrivateDecryptingKey, PublicEncryptingKey,
};
use zeroize::Zeroizing;

use super::Password;
use crate::error::{Error, Peer};
use crate::handshake::NONCE_LEN;

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// Longest PEM that is looked at, in bytes; one of 8192 bits has 1500.
const MAX_PEM: usize = 16 * 1024;

/// Encrypts the password for a server, with the public key that it sent as PEM (`-----BEGIN PUBLIC KEY-----`).
///
/// # Errors
/// The server is blamed for a key that is none; [`Error::Unrepresentable`] for a password that does not fit the key:
/// 213 bytes under 2048 bits.
pub fn rsa_encrypt_password(
    password: &Password,
    nonce: &[u8; NONCE_LEN],
    pem: &[u8],
) -> Result<Vec<u8>, Error> {
    let key = PublicEncryptingKey::from_der(&der_from_pem(pem)?)
        .map_err(|_| bad_key("it is no RSA key"))?;
    let key = OaepPublicEncryptingKey::new(key)
        .map_err(|_| bad_key("it is no RSA key for encryption"))?;
    let mut scrambled = super::clear_password(password);
    scramble(&mut scrambled, nonce);
    if scrambled.len() > key.max_plaintext_size(&OAEP_SHA1_MGF1SHA1) {
        return Err(Error::Unrepresentable {
            what: "the password is too long for the server's RSA key; use TLS",
        });
    }
    let mut ciphertext = vec![0; key.ciphertext_size()];
    let written = key
        .encrypt(&OAEP_SHA1_MGF1SHA1, &scrambled, &mut ciphertext, None)
        .map_err(|_| Error::Crypto {
            what: "the password could not be encrypted with the server's RSA key",
        })?
        .len();
    ciphertext.truncate(written);
    Ok(ciphertext)
}

/// The key pair of a server's side. Making one takes a tenth of a second and more: once per process.
pub struct RsaKeyPair {
    private: OaepPrivateDecryptingKey,
    pem: String,
}

impl std::fmt::Debug for RsaKeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RsaKeyPair(..)")
    }
}

impl RsaKeyPair {
    /// Makes a pair of 2048 bits, as MySQL does.
    ///
    /// # Errors
    /// [`Error::Crypto`] if the system has no random bytes.
    pub fn generate() -> Result<Self, Error> {
        let failed = |_| Error::Crypto {
            what: "no RSA key pair could be generated",
        };
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).map_err(failed)?;
        let der = private.public_key().as_der().map_err(failed)?;
        let pem = pem_from_der(der.as_ref());
        Ok(RsaKeyPair {
            private: OaepPrivateDecryptingKey::new(private).map_err(failed)?,
            pem,
        })
    }

    /// The public key, as a server sends it.
    pub fn public_key_pem(&self) -> &str {
        &self.pem
    }

    /// Decrypts what a client made with [`rsa_encrypt_password`] from the public key and this nonce.
    ///
    /// # Errors
    /// The client is blamed for an answer that was not made so.
    pub fn rsa_decrypt_password(
        &self,
        ciphertext: &[u8],
        nonce: &[u8; NONCE_LEN],
    ) -> Result<Password, Error> {
        let bad = |what| Error::Malformed {
            peer: Peer::Client,
            packet: "encrypted password",
            what,
            offset: 0,
        };
        if ciphertext.len() != self.private.key_size_bytes() {
            return Err(bad("it does not have the length of the key"));
        }
        let mut room = Zeroizing::new(vec![0; self.private.min_output_size()]);
        let scrambled = self
            .private
            .decrypt(&OAEP_SHA1_MGF1SHA1, ciphertext, &mut room, None)
            .map_err(|_| bad("it was not encrypted with this key"))?;
        scramble(scrambled, nonce);
        match scrambled.split_last() {
            Some((0, password)) => Ok(Password::new(password)),
            _ => Err(bad("it does not end with a NUL")),
        }
    }
}

fn scramble(bytes: &mut [u8], nonce: &[u8; NONCE_LEN]) {
    for (byte, key) in bytes.iter_mut().zip(nonce.iter().cycle()) {
        *byte ^= key;
    }
}

fn bad_key(what: &'static str) -> Error {
    Error::Malformed {
        peer: Peer::Server,
        packet: "public key",
        what,
        offset: 0,
    }
}

fn der_from_pem(pem: &[u8]) -> Result<Vec<u8>, Error> {
    if pem.len() > MAX_PEM {
        return Err(Error::TooLarge {
            peer: Peer::Server,
            what: "bytes of a public key",
            size: pem.len() as u64,
            limit: MAX_PEM as u64,
        });
    }
    let text = std::str::from_utf8(pem).map_err(|_| bad_key("it is no text"))?;
    let (_, rest) = text
        .split_once(BEGIN)
        .ok_or_else(|| bad_key("it has no BEGIN PUBLIC KEY line"))?;
    let (body, _) = rest
        .split_once(END)
        .ok_or_else(|| bad_key("it has no END PUBLIC KEY line"))?;
    base64_decode(body).ok_or_else(|| bad_key("it is no base64"))
}

fn pem_from_der(der: &[u8]) -> String {
    let mut pem = format!("{BEGIN}\n");
    // 48 bytes make the customary line of 64 characters.
    for line in der.chunks(48) {
        base64_encode(line, &mut pem);
        pem.push('\n');
    }
    pem.push_str(END);
    pem.push('\n');
    pem
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64_encode(bytes: &[u8], out: &mut String) {
    for group in bytes.chunks(3) {
        let mut bits = [0; 3];
        bits[..group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes([0, bits[0], bits[1], bits[2]]);
        for sextet in 0..4 {
            let index = (bits >> (18 - 6 * sextet)) & 63;
            out.push(if sextet > group.len() {
                '='
            } else {
                char::from(ALPHABET[index as usize])
            });
        }
    }
}

fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let mut bits: u32 = 0;
    let mut count = 0;
    for character in text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=')
    {
        let sextet = ALPHABET.iter().position(|known| *known == character)?;
        bits = bits << 6 | sextet as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}
