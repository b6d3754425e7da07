//! `caching_sha2_password`: SHA256(password) XOR SHA256(SHA256(SHA256(password)), nonce).
//!
//! Source: MySQL internals manual, *Caching SHA-2 Authentication*; `sql/auth/sha2_password.cc`.

use aws_lc_rs::digest::SHA256;
use zeroize::Zeroizing;

use super::{Password, digest, equal, xor};
use crate::handshake::NONCE_LEN;

/// The server's [`AuthMoreData`](crate::handshake::AuthMoreData): the password is known from before, OK follows.
pub const FAST_AUTH_SUCCESS: u8 = 3;
/// The server's [`AuthMoreData`](crate::handshake::AuthMoreData): send the password, inside TLS or encrypted.
pub const PERFORM_FULL_AUTH: u8 = 4;
/// The client's packet that asks for the public key, with `caching_sha2_password`.
pub const REQUEST_PUBLIC_KEY: u8 = 2;
/// The client's packet that asks for the public key, with `sha256_password`.
pub const REQUEST_PUBLIC_KEY_SHA256: u8 = 1;

/// The client's answer; empty for an empty password.
pub fn caching_sha2_response(password: &Password, nonce: &[u8; NONCE_LEN]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let stage1: Zeroizing<[u8; 32]> = Zeroizing::new(digest(&SHA256, &[password.as_bytes()]));
    let stage2: Zeroizing<[u8; 32]> = Zeroizing::new(digest(&SHA256, &[stage1.as_slice()]));
    xor(*stage1, digest(&SHA256, &[stage2.as_slice(), nonce])).to_vec()
}

/// Whether a client's answer proves that it knows the password.
pub fn verify_caching_sha2(password: &Password, nonce: &[u8; NONCE_LEN], response: &[u8]) -> bool {
    equal(&caching_sha2_response(password, nonce), response)
}
