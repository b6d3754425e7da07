//! `mysql_native_password`: SHA1(password) XOR SHA1(nonce, SHA1(SHA1(password))).
//!
//! Source: MySQL internals manual, *Native Authentication*.

use aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY as SHA1;
use zeroize::Zeroizing;

use super::{Password, digest, equal, xor};
use crate::handshake::NONCE_LEN;

/// The client's answer; empty for an empty password.
pub fn native_response(password: &Password, nonce: &[u8; NONCE_LEN]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let stage1 = Zeroizing::new(digest(&SHA1, &[password.as_bytes()]));
    native_response_from_stage1(&stage1, nonce).to_vec()
}

/// The client's answer of somebody who knows SHA1(password), which is as good as the password for this plugin.
pub fn native_response_from_stage1(stage1: &[u8; 20], nonce: &[u8; NONCE_LEN]) -> [u8; 20] {
    let stage2: [u8; 20] = digest(&SHA1, &[stage1]);
    xor(*stage1, digest(&SHA1, &[nonce, &stage2]))
}

/// SHA1(SHA1(password)): what servers store.
pub fn native_stage2(password: &Password) -> [u8; 20] {
    let stage1: Zeroizing<[u8; 20]> = Zeroizing::new(digest(&SHA1, &[password.as_bytes()]));
    digest(&SHA1, &[stage1.as_slice()])
}

/// SHA1(password), recovered from a client's answer with the help of the hash that the server stores, or `None` if the
/// answer is wrong.
pub fn native_stage1_from_response(
    response: &[u8],
    nonce: &[u8; NONCE_LEN],
    stage2: &[u8; 20],
) -> Option<Zeroizing<[u8; 20]>> {
    let response: [u8; 20] = response.try_into().ok()?;
    let stage1 = Zeroizing::new(xor(response, digest(&SHA1, &[nonce, stage2])));
    let check: [u8; 20] = digest(&SHA1, &[stage1.as_slice()]);
    equal(&check, stage2).then_some(stage1)
}

/// Whether a client's answer proves that it knows the password.
pub fn verify_native(password: &Password, nonce: &[u8; NONCE_LEN], response: &[u8]) -> bool {
    equal(&native_response(password, nonce), response)
}
