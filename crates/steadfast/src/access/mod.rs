//! How a command logs in to a server: the URL, the password from where people keep it, TLS.

pub(crate) mod url;

use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::{Context, anyhow};
use steadfast_net::{Login, ServerConnection, SocketOptions, Target, greet, tls};
use steadfast_wire::Capabilities;
use steadfast_wire::auth::Password;
use tokio::time::timeout;

use crate::cli::ServerArgs;
use url::ServerUrl;

/// The environment variable that may hold the password.
const PASSWORD_VARIABLE: &str = "STEADFAST_PASSWORD";

/// How long connecting may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The password cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    /// No source has one.
    #[error(
        "no password: put it into {PASSWORD_VARIABLE}, a --password-file or the URL, or run this on a terminal"
    )]
    Missing,
    /// The file cannot be read.
    #[error("the password file {0} cannot be read: {1}")]
    File(String, #[source] io::Error),
    /// The terminal cannot be read.
    #[error("the password cannot be read from the terminal: {0}")]
    Prompt(#[source] io::Error),
}

/// From the URL, the file, the environment, or the terminal, in this order.
fn password(args: &ServerArgs) -> Result<Password, PasswordError> {
    if let Some(password) = &args.url.password {
        return Ok(Password::new(password));
    }
    if let Some(path) = &args.password_file {
        let mut text = std::fs::read(path)
            .map_err(|error| PasswordError::File(path.display().to_string(), error))?;
        while matches!(text.last(), Some(b'\n' | b'\r')) {
            text.pop();
        }
        return Ok(Password::from(text));
    }
    if let Some(text) = std::env::var_os(PASSWORD_VARIABLE) {
        return Ok(Password::new(text.as_encoded_bytes()));
    }
    if !io::stdin().is_terminal() {
        return Err(PasswordError::Missing);
    }
    rpassword::prompt_password(format!(
        "Password of {} on {}: ",
        args.url.user, args.url.address
    ))
    .map(Password::from)
    .map_err(PasswordError::Prompt)
}

/// An account on a server, with its password.
pub(crate) struct Access {
    /// The account and the server.
    pub(crate) url: ServerUrl,
    password: Password,
    target: Target,
}

impl Access {
    /// The account that the command line names. May ask for its password on the terminal.
    ///
    /// # Errors
    /// [`PasswordError`], or the file of authorities cannot be used.
    pub(crate) fn new(args: &ServerArgs) -> anyhow::Result<Self> {
        let password = password(args)?;
        let verify = match &args.tls_ca {
            Some(path) => tls::Verify::Identity(tls::Roots::File(path.clone())),
            None => tls::Verify::Preferred,
        };
        let target = Target::new(args.url.address.clone(), tls::Connector::new(verify)?);
        Ok(Self {
            url: args.url.clone(),
            password,
            target,
        })
    }

    /// Logs in, within a minute.
    ///
    /// # Errors
    /// The server cannot be reached, refuses, or does not answer.
    pub(crate) async fn connect(&self) -> anyhow::Result<ServerConnection> {
        self.connect_with(&SocketOptions::default()).await
    }

    /// Logs in, with these options of the socket.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub(crate) async fn connect_with(
        &self,
        options: &SocketOptions,
    ) -> anyhow::Result<ServerConnection> {
        let address = &self.url.address;
        let login = Login {
            user: self.url.user.as_bytes(),
            password: &self.password,
            database: None,
            capabilities: Capabilities::empty(),
            // utf8mb4_general_ci, which both servers have.
            collation: 45,
            max_packet_size: 1 << 24,
            attributes: &[],
            first_plugin: None,
        };
        let mut target = self.target.clone();
        target.options = options.clone();
        let connected = timeout(LIMIT, async {
            let greeted = greet(&target)
                .await
                .with_context(|| format!("{address} cannot be reached"))?;
            greeted
                .login(&login)
                .await
                // It says all that its sources say.
                .map_err(|error| anyhow!("login to {address} as {} failed: {error}", self.url.user))
        });
        connected
            .await
            .with_context(|| format!("{address} did not answer within {} s", LIMIT.as_secs()))?
    }
}
