//! The administrator's connection.

use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::{Context, bail};
use steadfast_net::{Login, QueryError, QueryResult, ServerConnection, Target, greet, tls};
use steadfast_session::ledger::schema::{self, Flavor};
use steadfast_wire::Capabilities;
use steadfast_wire::auth::Password;
use tokio::time::timeout;

use super::rights;
use crate::cli::LedgerServer;

/// The environment variable that may hold the password.
const PASSWORD_VARIABLE: &str = "STEADFAST_PASSWORD";

/// How long connecting and each statement may take.
const LIMIT: Duration = Duration::from_secs(60);

/// The password cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum PasswordError {
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
fn password(args: &LedgerServer) -> Result<Password, PasswordError> {
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

/// A connection with an administrator's account.
pub(super) struct Admin {
    connection: ServerConnection,
    /// Which kind of server it is.
    pub(super) flavor: Flavor,
    /// Account and address, for errors.
    name: String,
}

impl Admin {
    /// Logs in.
    pub(super) async fn connect(args: &LedgerServer) -> anyhow::Result<Self> {
        let password = password(args)?;
        let verify = match &args.tls_ca {
            Some(path) => tls::Verify::Identity(tls::Roots::File(path.clone())),
            None => tls::Verify::Preferred,
        };
        let target = Target::new(args.url.address.clone(), tls::Connector::new(verify)?);
        let address = &args.url.address;
        let login = Login {
            user: args.url.user.as_bytes(),
            password: &password,
            database: None,
            capabilities: Capabilities::empty(),
            // utf8mb4_general_ci, which both servers have.
            collation: 45,
            max_packet_size: 1 << 24,
            attributes: &[],
            first_plugin: None,
        };
        let connected = timeout(LIMIT, async {
            let greeted = greet(&target)
                .await
                .with_context(|| format!("{address} cannot be reached"))?;
            greeted
                .login(&login)
                .await
                .with_context(|| format!("login to {address} as {} failed", args.url.user))
        });
        let connection = connected
            .await
            .with_context(|| format!("{address} did not answer within {} s", LIMIT.as_secs()))??;
        let flavor = if connection.greeting.is_mariadb() {
            Flavor::MariaDb
        } else {
            Flavor::MySql
        };
        let mut admin = Self {
            connection,
            flavor,
            name: format!("{} on {address}", args.url.user),
        };
        for statement in schema::prepare(flavor) {
            admin.run(&statement).await?;
        }
        Ok(admin)
    }

    /// Runs a statement; an error names its first line, and the right that is missing.
    pub(super) async fn run(&mut self, statement: &str) -> anyhow::Result<QueryResult> {
        let done = timeout(LIMIT, self.connection.query(statement.as_bytes())).await;
        let first = || statement.lines().next().unwrap_or_default();
        match done {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(QueryError::Server(error))) => {
                match rights::missing(error.code, statement, self.flavor) {
                    Some(missing) => bail!("{}: {missing}; {error}", self.name),
                    None => bail!("{}: {error}; it was: {}", self.name, first()),
                }
            }
            Ok(Err(error)) => Err(anyhow::Error::new(error).context(first().to_owned())),
            Err(_) => bail!("no answer within {} s to: {}", LIMIT.as_secs(), first()),
        }
    }

    /// The text of the first value that a query gives; `None` for no row and for NULL.
    pub(super) async fn value(&mut self, query: &str) -> anyhow::Result<Option<String>> {
        let result = self.run(query).await?;
        Ok(result
            .value()
            .map(|value| String::from_utf8_lossy(value).into_owned()))
    }

    /// What a query gives, as text; NULL is empty. Each row has as many values as the query has columns.
    pub(super) async fn rows(&mut self, query: &str) -> anyhow::Result<Vec<Vec<String>>> {
        let result = self.run(query).await?;
        let text = |value: Option<Vec<u8>>| {
            String::from_utf8_lossy(&value.unwrap_or_default()).into_owned()
        };
        Ok(result
            .rows
            .into_iter()
            .map(|row| row.into_iter().map(text).collect())
            .collect())
    }

    /// Kind and version, such as `MySQL 9.7.4`.
    pub(super) fn version(&self) -> String {
        let version = String::from_utf8_lossy(&self.connection.greeting.version);
        let kind = match self.flavor {
            Flavor::MariaDb => "MariaDB",
            Flavor::MySql => "MySQL",
        };
        // What MariaDB before 11 puts in front, for old replicas.
        format!("{kind} {}", version.trim_start_matches("5.5.5-"))
    }

    /// Whether the server knows the grantee PUBLIC: MariaDB 10.11 and later.
    pub(super) fn has_public(&self) -> bool {
        let version = self.version();
        let mut numbers = version
            .split([' ', '.', '-'])
            .skip(1)
            .map(|part| part.parse().unwrap_or(0));
        let version: (u32, u32) = (
            numbers.next().unwrap_or_default(),
            numbers.next().unwrap_or_default(),
        );
        self.flavor == Flavor::MariaDb && version >= (10, 11)
    }

    /// Whether the server is set to take no writes: a replica, most often.
    pub(super) async fn is_read_only(&mut self) -> anyhow::Result<bool> {
        // MariaDB 12 has words where others have numbers.
        let value = self.value("SELECT @@GLOBAL.read_only").await?;
        Ok(!matches!(value.as_deref(), None | Some("0" | "OFF")))
    }

    /// Ends the connection.
    pub(super) async fn quit(self) {
        self.connection.quit().await;
    }
}
