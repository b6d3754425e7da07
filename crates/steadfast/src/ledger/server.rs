//! The administrator's connection.

use std::time::Duration;

use anyhow::bail;
use steadfast_net::{QueryError, QueryResult, ServerConnection};
use steadfast_session::ledger::schema::{self, Flavor};
use tokio::time::timeout;

use super::rights;
use crate::access::Access;
use crate::cli::ServerArgs;

/// How long each statement may take.
const LIMIT: Duration = Duration::from_secs(60);

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
    pub(super) async fn connect(args: &ServerArgs) -> anyhow::Result<Self> {
        let access = Access::new(args)?;
        let connection = access.connect().await?;
        let flavor = if connection.greeting.is_mariadb() {
            Flavor::MariaDb
        } else {
            Flavor::MySql
        };
        let mut admin = Self {
            connection,
            flavor,
            name: format!("{} on {}", args.url.user, args.url.address),
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
