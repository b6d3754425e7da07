//! Authentication plugins, both sides: what a client answers to a nonce, and what a server can learn from it.
//!
//! Nonces and random bytes come from the caller, except those inside RSA.

mod caching_sha2;
mod ed25519;
mod native;
mod password;
mod rsa;

pub use caching_sha2::{
    FAST_AUTH_SUCCESS, PERFORM_FULL_AUTH, REQUEST_PUBLIC_KEY, REQUEST_PUBLIC_KEY_SHA256,
    caching_sha2_response, verify_caching_sha2,
};
pub use ed25519::{ED25519_NONCE_LEN, ed25519_public_key, ed25519_response, verify_ed25519};
pub use native::{
    native_response, native_response_from_stage1, native_stage1_from_response, native_stage2,
    verify_native,
};
pub use password::Password;
pub use rsa::{RsaKeyPair, rsa_encrypt_password};

/// An authentication plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Plugin {
    /// `mysql_native_password`: MariaDB's default; gone from MySQL 9.
    NativePassword,
    /// `caching_sha2_password`: MySQL's default.
    CachingSha2,
    /// `sha256_password`: MySQL, deprecated.
    Sha256,
    /// `client_ed25519`: MariaDB.
    Ed25519,
    /// `mysql_clear_password`: PAM and LDAP; the password as it is, for TLS only.
    ClearPassword,
    /// Any other.
    Other,
}

impl Plugin {
    /// The plugin with this name on the client's side.
    pub fn from_name(name: &[u8]) -> Self {
        match name {
            b"mysql_native_password" => Plugin::NativePassword,
            b"caching_sha2_password" => Plugin::CachingSha2,
            b"sha256_password" => Plugin::Sha256,
            b"client_ed25519" => Plugin::Ed25519,
            b"mysql_clear_password" => Plugin::ClearPassword,
            _ => Plugin::Other,
        }
    }

    /// The name; `None` for [`Plugin::Other`].
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Plugin::NativePassword => "mysql_native_password",
            Plugin::CachingSha2 => "caching_sha2_password",
            Plugin::Sha256 => "sha256_password",
            Plugin::Ed25519 => "client_ed25519",
            Plugin::ClearPassword => "mysql_clear_password",
            Plugin::Other => return None,
        })
    }
}

/// The password with its NUL, as `mysql_clear_password`, and the full authentication of `caching_sha2_password` and
/// `sha256_password` send it. Only ever inside TLS or over a Unix socket.
pub fn clear_password(password: &Password) -> zeroize::Zeroizing<Vec<u8>> {
    let mut clear = zeroize::Zeroizing::new(Vec::with_capacity(password.as_bytes().len() + 1));
    clear.extend_from_slice(password.as_bytes());
    clear.push(0);
    clear
}

/// The password in a packet made by [`clear_password`]: up to its first NUL, or all of it, as servers read it.
pub fn password_from_clear(packet: &[u8]) -> Password {
    Password::new(packet.split(|&byte| byte == 0).next().unwrap_or_default())
}

fn xor<const N: usize>(a: [u8; N], b: [u8; N]) -> [u8; N] {
    let mut result = a;
    for (byte, other) in result.iter_mut().zip(b) {
        *byte ^= other;
    }
    result
}

/// Hashes the parts one after the other. `N` is the digest's length.
fn digest<const N: usize>(
    algorithm: &'static aws_lc_rs::digest::Algorithm,
    parts: &[&[u8]],
) -> [u8; N] {
    let mut context = aws_lc_rs::digest::Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    let mut result = [0; N];
    for (byte, digested) in result.iter_mut().zip(context.finish().as_ref()) {
        *byte = *digested;
    }
    result
}

fn equal(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}
