//! Logging clients in without a list of users.
//!
//! A session must be able to log in again when its server connection is lost, so its password must be learned, and
//! the answer that a client gives to a server's nonce does not tell it. Nearly all clients can be asked for
//! `caching_sha2_password`, whatever plugin the account has on the server: its full exchange gives the password, in
//! the clear over TLS or a Unix socket, else encrypted with Steadfast's RSA key. With it Steadfast logs in to the
//! server, by the account's own plugin, and the server says whether it is right. A password that was learned before
//! is recognised from the client's first answer, without another round trip.
//!
//! A client that cannot be asked is relayed: the server's nonce is the one that the client was given. Then a lost
//! connection cannot be replaced, unless the users file has the password.

use std::io;
use std::net::IpAddr;

use steadfast_wire::auth::{
    Password, Plugin, password_from_clear, verify_caching_sha2, verify_native,
};
use steadfast_wire::handshake::{AuthMoreData, AuthSwitchRequest, NONCE_LEN};

use crate::client::ClientLeg;
use crate::vault::Vault;

/// `caching_sha2_password`: the server wants the password itself.
const FULL_AUTHENTICATION: u8 = 4;
/// `caching_sha2_password`: the client wants the public key.
const WANTS_KEY: u8 = 2;

/// The client's first answer, in its handshake response or COM_CHANGE_USER.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FirstAnswer<'a> {
    /// User name.
    pub(crate) user: &'a [u8],
    /// The plugin that made it.
    pub(crate) plugin: &'a [u8],
    /// The answer to the nonce.
    pub(crate) response: &'a [u8],
    /// The client can be asked for another plugin.
    pub(crate) can_switch: bool,
    /// Sequence id that is due next.
    pub(crate) sequence: u8,
}

/// What a client has shown.
#[derive(Debug)]
pub(crate) enum Shown {
    /// Its password, which the server has yet to judge.
    Password {
        /// The password.
        password: Password,
        /// Sequence id that is due next to the client.
        sequence: u8,
    },
    /// Only an answer to the server's nonce, to be relayed.
    Answer {
        /// Sequence id that is due next to the client.
        sequence: u8,
    },
}

/// Finds out the client's password.
///
/// # Errors
/// What the stream says; [`io::ErrorKind::UnexpectedEof`] when the client leaves, [`io::ErrorKind::InvalidData`]
/// when its packets make no sense.
pub(crate) async fn learn(
    client: &mut ClientLeg,
    first: FirstAnswer<'_>,
    nonce: &[u8; NONCE_LEN],
    from: Option<IpAddr>,
    vault: &Vault,
) -> io::Result<Shown> {
    let mut sequence = first.sequence;
    let plugin = Plugin::from_name(first.plugin);
    let candidates = vault.candidates(first.user);
    let recognised = |plugin: Plugin, response: &[u8]| {
        candidates
            .iter()
            .find(|password| match plugin {
                Plugin::NativePassword => verify_native(password, nonce, response),
                Plugin::CachingSha2 => verify_caching_sha2(password, nonce, response),
                _ => false,
            })
            .cloned()
    };
    if let Some(password) = recognised(plugin, first.response) {
        return Ok(Shown::Password { password, sequence });
    }
    if first.response.is_empty() && matches!(plugin, Plugin::NativePassword | Plugin::CachingSha2) {
        // Both plugins answer with nothing exactly if the password is empty.
        let password = Password::default();
        return Ok(Shown::Password { password, sequence });
    }
    if plugin == Plugin::ClearPassword && client.is_secure() {
        let password = password_from_clear(first.response);
        return Ok(Shown::Password { password, sequence });
    }
    if !first.can_switch || vault.is_unwilling(from, first.user) {
        return Ok(Shown::Answer { sequence });
    }
    let learned = async {
        if plugin != Plugin::CachingSha2 {
            let mut data = nonce.to_vec();
            data.push(0);
            sequence = client.queue(sequence, |out| {
                AuthSwitchRequest {
                    plugin: b"caching_sha2_password",
                    data: &data,
                }
                .write(out);
            });
            client.flush().await?;
            let answer = client.packet().await?;
            sequence = answer.next_sequence;
            if answer.payload.is_empty() || answer.payload.as_ref() == [0] {
                return Ok(Password::default());
            }
            if let Some(password) = recognised(Plugin::CachingSha2, &answer.payload) {
                return Ok(password);
            }
        }
        sequence = client.queue(sequence, |out| {
            AuthMoreData {
                data: &[FULL_AUTHENTICATION],
            }
            .write(out);
        });
        client.flush().await?;
        let mut answer = client.packet().await?;
        sequence = answer.next_sequence;
        if client.is_secure() {
            return Ok(password_from_clear(&answer.payload));
        }
        if answer.payload.as_ref() == [WANTS_KEY] {
            let key = vault.key().public_key_pem().as_bytes();
            sequence = client.queue(sequence, |out| AuthMoreData { data: key }.write(out));
            client.flush().await?;
            answer = client.packet().await?;
            sequence = answer.next_sequence;
        }
        vault
            .key()
            .rsa_decrypt_password(&answer.payload, nonce)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    };
    match learned.await {
        Ok(password) => Ok(Shown::Password { password, sequence }),
        Err(error) => {
            if error.kind() != io::ErrorKind::InvalidData {
                vault.mark_unwilling(from, first.user);
            }
            Err(error)
        }
    }
}
