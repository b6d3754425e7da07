//! Logging clients in without a list of users.
//!
//! A session must be able to log in again when its server connection is lost, so its password must be learned, and
//! the answer that a client gives to a server's nonce does not tell it. Nearly all clients can be asked for
//! `caching_sha2_password`, whatever plugin the account has on the server: its full exchange gives the password, in
//! the clear over TLS or a Unix socket, else encrypted with Steadfast's RSA key. With it Steadfast logs in to the
//! server, by the account's own plugin, and the server says whether it is right. A password that was learned before
//! is recognised from the client's first answer, without another round trip.
//!
//! Which plugin a client is asked for is decided so that asking never fails where a direct login would not
//! ([`Ask::of`]): without TLS, libmysqlclient does `caching_sha2_password` only with `--get-server-public-key`, but
//! `sha256_password` always.
//!
//! A client that cannot be asked is relayed: the server's nonce is the one that the client was given. Then a lost
//! connection cannot be replaced, unless the users file has the password. docs/logins.md has a table of clients.

use std::io;
use std::net::IpAddr;

use steadfast_net::{LoginError, ServerError};
use steadfast_wire::auth::{
    FAST_AUTH_SUCCESS, PERFORM_FULL_AUTH, Password, Plugin, REQUEST_PUBLIC_KEY,
    REQUEST_PUBLIC_KEY_SHA256, password_from_clear, verify_caching_sha2, verify_native,
};
use steadfast_wire::handshake::{AuthMoreData, AuthSwitchRequest, NONCE_LEN};

use crate::client::ClientLeg;
use crate::vault::Vault;

/// A plugin that no account has: the server answers with the account's, and a nonce.
pub(crate) const NO_PLUGIN: &[u8] = b"none";

/// Bytes of a password that was encrypted with Steadfast's key.
const RSA_LENGTH: usize = 256;

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
    /// An empty answer means an empty password. In COM_CHANGE_USER it does not: libmysqlclient always waits for the
    /// nonce there.
    pub(crate) empty_is_a_password: bool,
    /// How it can be asked for its password.
    pub(crate) ask: Ask,
}

/// How a client can be asked for its password.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    /// With `caching_sha2_password`.
    CachingSha2,
    /// With `sha256_password`.
    Sha256,
    /// Not at all: it would leave, or send the password in the clear for all to read.
    Never,
}

impl Ask {
    /// For a client with these connection attributes, whose connection nobody can read along (`secure`: TLS or a Unix
    /// socket) or that is on this machine (`local`).
    pub(crate) fn of(attributes: &[(Vec<u8>, Vec<u8>)], secure: bool, local: bool) -> Self {
        let client = attributes
            .iter()
            .find(|(name, _)| name == b"_client_name")
            .map(|(_, value)| value.as_slice());
        match client {
            // Without TLS it asks for the key of `caching_sha2_password` only if it was told to, and leaves otherwise
            // (`sql-common/client_authentication.cc`, MySQL 8.0 to 9.7); that of `sha256_password` it always asks for.
            Some(b"libmysql") if !secure => Self::Sha256,
            // The implementation in Python answers a request for full authentication with the password in the clear,
            // also without TLS (`plugins/caching_sha2_password.py`, 26.10).
            Some(b"mysql-connector-python") if !secure && !local => Self::Never,
            _ => Self::CachingSha2,
        }
    }
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

/// What a client is told of a login that came to nothing: the server's own words where there are any, else with the
/// servers' code for that: 3159 where a connection must be encrypted, 1251 where a plugin is missing.
pub(crate) fn refusal(error: LoginError) -> ServerError {
    let (code, sqlstate, text) = match error {
        LoginError::Refused(error) => return error,
        LoginError::InsecurePlugin(plugin) => (
            3159,
            *b"HY000",
            format!(
                "the server wants this account's password in the clear ({plugin}), and Steadfast's connection to it \
                 has no TLS; give the server a certificate, and do not set backend.tls = \"disabled\""
            ),
        ),
        LoginError::UnsupportedPlugin(_) => (
            1251,
            *b"08004",
            format!("the login failed: {error}; give the account another plugin"),
        ),
        _ => (
            1053,
            *b"08S01",
            format!("the login failed: {error}; try again"),
        ),
    };
    ServerError {
        code,
        sqlstate: Some(sqlstate),
        message: format!("Steadfast: {text}").into_bytes(),
    }
}

/// Tells the client that its first answer was right. libmariadb insists on it before the OK.
fn fast_success(client: &mut ClientLeg, sequence: u8) -> u8 {
    client.queue(sequence, |out| {
        AuthMoreData {
            data: &[FAST_AUTH_SUCCESS],
        }
        .write(out);
    })
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
    let answers = first.empty_is_a_password || !first.response.is_empty();
    if answers && let Some(password) = recognised(plugin, first.response) {
        if plugin == Plugin::CachingSha2 && !password.is_empty() {
            sequence = fast_success(client, sequence);
        }
        return Ok(Shown::Password { password, sequence });
    }
    let empty = match plugin {
        // Both answer with nothing exactly if the password is empty, libmysqlclient also with a single NUL.
        Plugin::NativePassword => answers && first.response.is_empty(),
        Plugin::CachingSha2 => answers && matches!(first.response, [] | [0]),
        _ => false,
    };
    if empty {
        let password = Password::default();
        return Ok(Shown::Password { password, sequence });
    }
    if plugin == Plugin::ClearPassword && client.is_secure() {
        let password = password_from_clear(first.response);
        return Ok(Shown::Password { password, sequence });
    }
    if !first.can_switch || first.ask == Ask::Never || vault.is_unwilling(from, first.user) {
        return Ok(Shown::Answer { sequence });
    }
    let learned = async {
        let (asked, wants_key) = match first.ask {
            Ask::Sha256 => (Plugin::Sha256, REQUEST_PUBLIC_KEY_SHA256),
            _ => (Plugin::CachingSha2, REQUEST_PUBLIC_KEY),
        };
        let mut answer = None;
        if plugin != asked || asked == Plugin::Sha256 || first.response.is_empty() {
            let mut data = nonce.to_vec();
            data.push(0);
            sequence = client.queue(sequence, |out| {
                AuthSwitchRequest {
                    plugin: asked.name().unwrap_or_default().as_bytes(),
                    data: &data,
                }
                .write(out);
            });
            client.flush().await?;
            let switched = client.packet().await?;
            sequence = switched.next_sequence;
            if switched.payload.is_empty() || switched.payload.as_ref() == [0] {
                return Ok(Password::default());
            }
            if let Some(password) = recognised(asked, &switched.payload) {
                sequence = fast_success(client, sequence);
                return Ok(password);
            }
            answer = (asked == Plugin::Sha256).then_some(switched);
        }
        let mut answer = match answer {
            Some(answer) => answer,
            None => {
                sequence = client.queue(sequence, |out| {
                    AuthMoreData {
                        data: &[PERFORM_FULL_AUTH],
                    }
                    .write(out);
                });
                client.flush().await?;
                let answer = client.packet().await?;
                sequence = answer.next_sequence;
                answer
            }
        };
        if client.is_secure() {
            return Ok(password_from_clear(&answer.payload));
        }
        if answer.payload.as_ref() == [wants_key] {
            let key = vault.key().await?;
            let data = key.public_key_pem().as_bytes();
            sequence = client.queue(sequence, |out| AuthMoreData { data }.write(out));
            client.flush().await?;
            answer = client.packet().await?;
            sequence = answer.next_sequence;
        }
        let key = vault.key().await?;
        match key.rsa_decrypt_password(&answer.payload, nonce) {
            Ok(password) => Ok(password),
            // Some clients send the password in the clear where they should encrypt it.
            Err(_) if answer.payload.len() < RSA_LENGTH && answer.payload.ends_with(&[0]) => {
                Ok(password_from_clear(&answer.payload))
            }
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    };
    match learned.await {
        Ok(password) => Ok(Shown::Password { password, sequence }),
        Err(error) => {
            // It left, or it has a key of its own: the server's, from a file. Its next login is relayed.
            vault.mark_unwilling(from, first.user);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        vec![
            (b"_pid".to_vec(), b"1".to_vec()),
            (b"_client_name".to_vec(), name.as_bytes().to_vec()),
        ]
    }

    #[test]
    fn libmysqlclient_without_tls_is_asked_for_what_it_always_does() {
        let client = named("libmysql");
        assert_eq!(Ask::of(&client, false, true), Ask::Sha256);
        assert_eq!(Ask::of(&client, false, false), Ask::Sha256);
        assert_eq!(Ask::of(&client, true, false), Ask::CachingSha2);
    }

    #[test]
    fn nobody_is_made_to_send_a_password_in_the_clear_over_a_network() {
        let client = named("mysql-connector-python");
        assert_eq!(Ask::of(&client, false, false), Ask::Never);
        assert_eq!(Ask::of(&client, false, true), Ask::CachingSha2);
        assert_eq!(Ask::of(&client, true, false), Ask::CachingSha2);
    }

    #[test]
    fn others_are_asked_for_caching_sha2_password() {
        assert_eq!(
            Ask::of(&named("libmariadb"), false, false),
            Ask::CachingSha2
        );
        assert_eq!(Ask::of(&[], false, false), Ask::CachingSha2);
    }
}
