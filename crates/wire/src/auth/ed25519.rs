//! `client_ed25519`: an Ed25519 signature of the nonce, with a secret key that is SHA512(password).
//!
//! Other than in RFC 8032 the secret is not 32 bytes long, so no usual signing interface fits.
//!
//! Source: MariaDB, *Connection / client_ed25519 plugin*; `plugin/auth_ed25519` in MariaDB 10.11.

use aws_lc_rs::digest::SHA512;
use curve25519_dalek::scalar::clamp_integer;
use curve25519_dalek::{EdwardsPoint, Scalar};
use zeroize::Zeroizing;

use super::{Password, digest, equal};

/// Bytes of the nonce.
pub const ED25519_NONCE_LEN: usize = 32;

struct Secret {
    scalar: Zeroizing<Scalar>,
    prefix: Zeroizing<[u8; 32]>,
}

impl Secret {
    fn of(password: &Password) -> Self {
        let hash: Zeroizing<[u8; 64]> = Zeroizing::new(digest(&SHA512, &[password.as_bytes()]));
        let (low, high) = hash.split_at(32);
        let mut scalar = Zeroizing::new([0; 32]);
        scalar.copy_from_slice(low);
        let mut prefix = Zeroizing::new([0; 32]);
        prefix.copy_from_slice(high);
        Secret {
            scalar: Zeroizing::new(Scalar::from_bytes_mod_order(clamp_integer(*scalar))),
            prefix,
        }
    }

    fn public_key(&self) -> [u8; 32] {
        EdwardsPoint::mul_base(&self.scalar).compress().to_bytes()
    }
}

/// The client's answer. An empty password has one too.
pub fn ed25519_response(password: &Password, nonce: &[u8; ED25519_NONCE_LEN]) -> [u8; 64] {
    let secret = Secret::of(password);
    let r = Zeroizing::new(Scalar::from_bytes_mod_order_wide(&digest(
        &SHA512,
        &[secret.prefix.as_slice(), nonce],
    )));
    let point = EdwardsPoint::mul_base(&r).compress().to_bytes();
    let k =
        Scalar::from_bytes_mod_order_wide(&digest(&SHA512, &[&point, &secret.public_key(), nonce]));
    let s = k * *secret.scalar + *r;
    let mut response = [0; 64];
    for (byte, value) in response.iter_mut().zip(point.iter().chain(s.as_bytes())) {
        *byte = *value;
    }
    response
}

/// What servers store for the password, before base64.
pub fn ed25519_public_key(password: &Password) -> [u8; 32] {
    Secret::of(password).public_key()
}

/// Whether a client's answer is the one of somebody who knows the password. Signatures are deterministic, so there is
/// one right answer.
pub fn verify_ed25519(
    password: &Password,
    nonce: &[u8; ED25519_NONCE_LEN],
    response: &[u8],
) -> bool {
    equal(&ed25519_response(password, nonce), response)
}
