//! A login with somebody else's answers: the client's own, to this server's nonce.

use steadfast_wire::auth::{Password, Plugin};
use steadfast_wire::handshake::AuthSwitchRequest;

use super::answer::Authentication;
use super::dialogue::AuthStep;
use super::login::LoggingIn;
use super::{Greeted, Login, ServerConnection};
use crate::{LoginError, ServerError};

/// What the server says to a relayed answer.
#[derive(Debug)]
pub enum RelayStep {
    /// Logged in.
    Done(Box<ServerConnection>),
    /// The server wants another plugin. [`Pending::answer`] what the client answers.
    AuthSwitch {
        /// Name of the plugin.
        plugin: Vec<u8>,
        /// Its first data as on the wire: a 20-byte nonce comes with a NUL.
        data: Vec<u8>,
        /// To go on with.
        pending: Box<Pending>,
    },
    /// Data of the current plugin. [`Pending::answer`] what the client answers; where it does not answer (3, the fast
    /// success of `caching_sha2_password`) [`Pending::proceed`].
    MoreData {
        /// The data.
        data: Vec<u8>,
        /// To go on with.
        pending: Box<Pending>,
    },
    /// Not logged in, in the server's own words. The connection is closed.
    Refused(ServerError),
}

/// A relayed login that waits for the next answer. The server waits for its `connect_timeout`.
#[derive(Debug)]
pub struct Pending {
    connection: LoggingIn,
    plugin: Vec<u8>,
    nonce: [u8; 20],
    /// What the server has said and nobody has answered.
    step: AuthStep,
}

impl Greeted {
    /// Begins a login whose password is not known: `first_answer` is what the client answered to
    /// [`OwnedGreeting::scramble`](super::OwnedGreeting::scramble) with this plugin. The rest of `login` is used, its
    /// password is not.
    ///
    /// # Errors
    /// [`LoginError`], but for a refusal, which is [`RelayStep::Refused`].
    pub async fn login_relayed(
        self,
        login: &Login<'_>,
        first_answer: &[u8],
        plugin: &[u8],
    ) -> Result<RelayStep, LoginError> {
        let nonce = self.greeting.scramble;
        let mut connection = self.begin(login).await?;
        connection
            .dialogue()
            .send_response(login, plugin, first_answer)
            .await?;
        next(connection, plugin.to_vec(), nonce).await
    }
}

impl Pending {
    /// Whether the password may be sent to this server in the clear: TLS or a Unix socket. `sha256_password` takes it
    /// inside TLS only, and encrypted with RSA over all else.
    pub fn is_secure(&self) -> bool {
        self.connection.stream.is_secure()
    }

    /// Passes the client's answer on.
    ///
    /// # Errors
    /// As [`Greeted::login_relayed`].
    pub async fn answer(self, answer: &[u8]) -> Result<RelayStep, LoginError> {
        let mut connection = self.connection;
        connection.dialogue().send(answer).await?;
        next(connection, self.plugin, self.nonce).await
    }

    /// Waits for the server's next step where no answer is due.
    ///
    /// # Errors
    /// As [`Greeted::login_relayed`].
    pub async fn proceed(self) -> Result<RelayStep, LoginError> {
        next(self.connection, self.plugin, self.nonce).await
    }

    /// Goes on with a password that has become known, beginning with the step that waits for an answer.
    ///
    /// # Errors
    /// As [`Greeted::login`].
    pub async fn finish(self, password: &Password) -> Result<ServerConnection, LoginError> {
        let mut connection = self.connection;
        let mut authentication =
            Authentication::resumed(password, Plugin::from_name(&self.plugin), self.nonce);
        let mut dialogue = connection.dialogue();
        let ok = match authentication.take(&mut dialogue, self.step).await? {
            Some(ok) => ok,
            None => authentication.run(&mut dialogue).await?,
        };
        Ok(connection.complete(authentication.into_plugin(), ok))
    }
}

pub(super) async fn next(
    mut connection: LoggingIn,
    plugin: Vec<u8>,
    nonce: [u8; 20],
) -> Result<RelayStep, LoginError> {
    let step = connection.dialogue().next().await?;
    Ok(match step.clone() {
        AuthStep::Ok(ok) => {
            let plugin = String::from_utf8_lossy(&plugin).into_owned();
            RelayStep::Done(Box::new(connection.complete(plugin, ok)))
        }
        AuthStep::Refused(error) => RelayStep::Refused(error),
        AuthStep::Switch { plugin, data } => {
            let request = AuthSwitchRequest {
                plugin: &plugin,
                data: &data,
            };
            let pending = Pending {
                connection,
                // The nonces of other plugins have other lengths and are in the step.
                nonce: request.nonce().try_into().unwrap_or(nonce),
                plugin: plugin.clone(),
                step,
            };
            RelayStep::AuthSwitch {
                plugin,
                data,
                pending: Box::new(pending),
            }
        }
        AuthStep::MoreData(data) => RelayStep::MoreData {
            data,
            pending: Box::new(Pending {
                connection,
                plugin,
                nonce,
                step,
            }),
        },
    })
}
