//! A login with the client's own answers, for clients that cannot be asked for their password.
//!
//! Where the server wants the password itself (the full authentication of `caching_sha2_password`, and
//! `sha256_password`), the client sends it to Steadfast, under the protection of its own leg, and Steadfast to the
//! server under that of the other: one leg may have TLS where the other has none. So the password is learned here too.
//! `mysql_clear_password` has no protection of its own, so it is passed on only where nobody can read along on either
//! leg.

use std::io;

use bytes::Bytes;
use steadfast_net::{LoginError, Pending, RelayStep, ServerConnection, ServerError};
use steadfast_wire::auth::{
    FAST_AUTH_SUCCESS, PERFORM_FULL_AUTH, Password, Plugin, REQUEST_PUBLIC_KEY,
    REQUEST_PUBLIC_KEY_SHA256, password_from_clear,
};
use steadfast_wire::handshake::{AuthMoreData, AuthSwitchRequest, NONCE_LEN};

use crate::client::ClientLeg;
use crate::login::refusal;
use crate::vault::Vault;

/// Why a relayed login came to nothing.
#[derive(Debug)]
pub(crate) enum RelayFailed {
    /// The server refuses it, or is lost.
    Server(LoginError),
    /// The client left, or makes no sense.
    Client(io::Error),
    /// The server wants the password as it is, and others could read what the client sends.
    Unprotected,
}

impl From<LoginError> for RelayFailed {
    fn from(error: LoginError) -> Self {
        Self::Server(error)
    }
}

impl From<io::Error> for RelayFailed {
    fn from(error: io::Error) -> Self {
        Self::Client(error)
    }
}

impl RelayFailed {
    /// What the client is told, unless it is the reason itself.
    pub(crate) fn refusal(self) -> Result<ServerError, io::Error> {
        match self {
            Self::Client(error) => Err(error),
            Self::Server(error) => Ok(refusal(error)),
            Self::Unprotected => Ok(ServerError {
                code: 3159,
                sqlstate: Some(*b"HY000"),
                message: b"Steadfast: the server wants this account's password in the clear (mysql_clear_password), and \
                    this connection has no TLS; connect with TLS, or over Steadfast's Unix socket"
                    .to_vec(),
            }),
        }
    }
}

/// Passes answers and requests between the client and the server, beginning with what the server said to the first
/// answer. `nonce` is the one that the client has, `sequence` what is due next to it. Gives the password too if it
/// became known.
///
/// # Errors
/// [`RelayFailed`]; the client has not been told.
pub(crate) async fn relay(
    client: &mut ClientLeg,
    mut step: RelayStep,
    mut nonce: [u8; NONCE_LEN],
    sequence: &mut u8,
    vault: &Vault,
) -> Result<(ServerConnection, Option<Password>), RelayFailed> {
    loop {
        step = match step {
            RelayStep::Done(connection) => return Ok((*connection, None)),
            RelayStep::Refused(error) => return Err(LoginError::Refused(error).into()),
            RelayStep::AuthSwitch {
                plugin,
                data,
                pending,
            } => {
                let request = AuthSwitchRequest {
                    plugin: &plugin,
                    data: &data,
                };
                let wanted = Plugin::from_name(&plugin);
                if wanted == Plugin::ClearPassword {
                    if !client.is_secure() {
                        return Err(RelayFailed::Unprotected);
                    }
                    if !pending.is_secure() {
                        let plugin = String::from_utf8_lossy(&plugin).into_owned();
                        return Err(LoginError::InsecurePlugin(plugin).into());
                    }
                }
                // Nonces of other lengths belong to plugins that send no password.
                nonce = request.nonce().try_into().unwrap_or(nonce);
                *sequence = client.queue(*sequence, |out| request.write(out));
                let mut answer = ask(client, sequence).await?;
                if wanted == Plugin::ClearPassword {
                    return finish(*pending, password_from_clear(&answer)).await;
                }
                if wanted == Plugin::Sha256 {
                    let wants_key = REQUEST_PUBLIC_KEY_SHA256;
                    let shown = shown(client, answer, wants_key, &nonce, sequence, vault).await?;
                    answer = match shown {
                        Shown::Password(password) => return finish(*pending, password).await,
                        Shown::Unreadable(answer) => answer,
                    };
                }
                pending.answer(&answer).await?
            }
            RelayStep::MoreData { data, pending } => {
                *sequence = client.queue(*sequence, |out| AuthMoreData { data: &data }.write(out));
                if data == [FAST_AUTH_SUCCESS] {
                    // Nobody answers that.
                    client.flush().await?;
                    step = pending.proceed().await?;
                    continue;
                }
                let mut answer = ask(client, sequence).await?;
                if data == [PERFORM_FULL_AUTH] {
                    let wants_key = REQUEST_PUBLIC_KEY;
                    let shown = shown(client, answer, wants_key, &nonce, sequence, vault).await?;
                    answer = match shown {
                        Shown::Password(password) => return finish(*pending, password).await,
                        Shown::Unreadable(answer) => answer,
                    };
                }
                pending.answer(&answer).await?
            }
        };
    }
}

async fn ask(client: &mut ClientLeg, sequence: &mut u8) -> io::Result<Bytes> {
    client.flush().await?;
    let packet = client.packet().await?;
    *sequence = packet.next_sequence;
    Ok(packet.payload)
}

/// What a client has sent where the server wants the password itself.
enum Shown {
    Password(Password),
    /// Encrypted with a key that the client has of its own: the server's, from a file.
    Unreadable(Bytes),
}

/// Reads the password out of the client's answer; gives the client Steadfast's key if it asks for one.
async fn shown(
    client: &mut ClientLeg,
    mut answer: Bytes,
    wants_key: u8,
    nonce: &[u8; NONCE_LEN],
    sequence: &mut u8,
    vault: &Vault,
) -> io::Result<Shown> {
    if client.is_secure() {
        return Ok(Shown::Password(password_from_clear(&answer)));
    }
    if answer.as_ref() == [wants_key] {
        let key = vault.key().await?;
        let data = key.public_key_pem().as_bytes();
        *sequence = client.queue(*sequence, |out| AuthMoreData { data }.write(out));
        answer = ask(client, sequence).await?;
    }
    let key = vault.key().await?;
    Ok(match key.rsa_decrypt_password(&answer, nonce) {
        Ok(password) => Shown::Password(password),
        Err(_) => Shown::Unreadable(answer),
    })
}

async fn finish(
    pending: Pending,
    password: Password,
) -> Result<(ServerConnection, Option<Password>), RelayFailed> {
    let connection = pending.finish(&password).await?;
    Ok((connection, Some(password)))
}
