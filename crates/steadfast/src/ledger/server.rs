//! The administrator's connection.

use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::{Context, bail};
use steadfast_net::{Login, QueryResult, ServerConnection, Target, greet, tls};
use steadfast_session::ledger::schema::{self, Flavor};
use steadfast_wire::Capabilities;
use steadfast_wire::auth::Password;
use tokio::time::timeout;

use super::accounts::Account;
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
        let mut admin = Self { connection, flavor };
        // The texts of `schema` are read by the server as they were written, whatever its default is.
        admin
            .run("SET SESSION sql_mode='STRICT_TRANS_TABLES'")
            .await?;
        Ok(admin)
    }

    /// Runs a statement; an error names its first line.
    pub(super) async fn run(&mut self, statement: &str) -> anyhow::Result<QueryResult> {
        let done = timeout(LIMIT, self.connection.query(statement.as_bytes())).await;
        let first = || statement.lines().next().unwrap_or_default().to_owned();
        match done {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(anyhow::Error::new(error).context(first())),
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

    async fn column(&mut self, query: &str) -> anyhow::Result<Vec<String>> {
        let result = self.run(query).await?;
        Ok(result
            .rows
            .into_iter()
            .filter_map(|row| row.into_iter().next().flatten())
            .map(|value| String::from_utf8_lossy(&value).into_owned())
            .collect())
    }

    /// Whom to let use the ledger: everybody, or every account that can log in where a server has no PUBLIC.
    pub(super) async fn accounts(&mut self) -> anyhow::Result<Vec<Account>> {
        if self.has_public() {
            return Ok(vec![Account::Public]);
        }
        self.every_account().await
    }

    /// Every account that can log in; roles and locked accounts cannot.
    pub(super) async fn every_account(&mut self) -> anyhow::Result<Vec<Account>> {
        let query = match self.flavor {
            Flavor::MariaDb => {
                "SELECT CONCAT(QUOTE(User), '@', QUOTE(Host)) FROM mysql.global_priv
                 WHERE NOT IFNULL(JSON_VALUE(Priv, '$.is_role'), FALSE)
                   AND NOT IFNULL(JSON_VALUE(Priv, '$.account_locked'), FALSE) ORDER BY User, Host"
            }
            Flavor::MySql => {
                "SELECT CONCAT(QUOTE(User), '@', QUOTE(Host)) FROM mysql.user
                 WHERE account_locked = 'N' ORDER BY User, Host"
            }
        };
        Ok(self
            .column(query)
            .await?
            .into_iter()
            .map(Account::Named)
            .collect())
    }

    /// Whether the server knows the grantee PUBLIC: MariaDB 10.11 and later.
    fn has_public(&self) -> bool {
        let version = String::from_utf8_lossy(&self.connection.greeting.version);
        // What MariaDB before 11 puts in front, for old replicas.
        let version = version.trim_start_matches("5.5.5-");
        let mut numbers = version
            .split(['.', '-'])
            .map(|part| part.parse().unwrap_or(0));
        let version: (u32, u32) = (
            numbers.next().unwrap_or_default(),
            numbers.next().unwrap_or_default(),
        );
        self.flavor == Flavor::MariaDb && version >= (10, 11)
    }

    /// Who has been let use the ledger, the procedures' own account left out.
    pub(super) async fn grantees(&mut self) -> anyhow::Result<Vec<Account>> {
        let names = self
            .column(
                "SELECT CONCAT(QUOTE(User), '@', QUOTE(Host)) FROM mysql.db
                 WHERE Db = 'steadfast' AND Execute_priv = 'Y' AND User <> 'steadfast_ledger'
                 ORDER BY User, Host",
            )
            .await?;
        Ok(names
            .into_iter()
            // How MariaDB keeps grants to PUBLIC.
            .map(|name| match name.as_str() {
                "'PUBLIC'@''" => Account::Public,
                _ => Account::Named(name),
            })
            .collect())
    }

    /// Whether there is nothing of somebody else in the database.
    pub(super) async fn holds_only_the_ledger(&mut self) -> anyhow::Result<bool> {
        let known = |part: &String| {
            part == "commit_ledger"
                || schema::PROCEDURES
                    .iter()
                    .any(|procedure| procedure.name == part)
        };
        Ok(self.parts().await?.iter().all(known))
    }

    /// Which of the table and the procedures are there, by name.
    pub(super) async fn parts(&mut self) -> anyhow::Result<Vec<String>> {
        self.column(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'steadfast'
             UNION SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'steadfast'",
        )
        .await
    }

    /// Ends the connection.
    pub(super) async fn quit(self) {
        self.connection.quit().await;
    }
}

/// All that a complete ledger has.
pub(super) fn complete(parts: &[String]) -> bool {
    parts.iter().any(|part| part == "commit_ledger")
        && schema::PROCEDURES
            .iter()
            .all(|procedure| parts.iter().any(|part| part == procedure.name))
}
