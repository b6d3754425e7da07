//! Doctor's own session on the server.

use std::time::Duration;

use anyhow::{anyhow, bail};
use steadfast_diagnose::{Product, Server};
use steadfast_net::{QueryError, ServerConnection};
use tokio::time::timeout;

use crate::access::Access;

/// How long each statement may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A logged-in session, with settings that its statements rely on.
pub(super) struct Session {
    connection: ServerConnection,
    /// Which server it is.
    pub(super) server: Server,
    /// Account and address, for people.
    pub(super) name: String,
    /// The address.
    pub(super) address: String,
}

impl Session {
    /// Logs in.
    ///
    /// # Errors
    /// The server cannot be reached, refuses, or does not answer.
    pub(super) async fn open(access: &Access) -> anyhow::Result<Self> {
        let connection = access.connect().await?;
        let product = if connection.greeting.is_mariadb() {
            Product::MariaDb
        } else {
            Product::MySql
        };
        let version = version_number(&String::from_utf8_lossy(&connection.greeting.version));
        let mut session = Self {
            connection,
            server: Server { product, version },
            name: format!("{} on {}", access.url.user, access.url.address),
            address: access.url.address.to_string(),
        };
        // Global settings must not reach in: a time zone, a mode, a limit of statements, a transaction that is never ended.
        session
            .rows("SET SESSION time_zone = 'SYSTEM', sql_mode = '', autocommit = 1")
            .await?;
        let unlimited: &[&str] = match product {
            Product::MariaDb => &[
                "max_statement_time = 0",
                "max_session_mem_used = 9223372036854775807",
            ],
            Product::MySql => &["max_execution_time = 0"],
        };
        for setting in unlimited {
            // A version that does not have it has no such limit.
            let _refused = session.ask(&format!("SET SESSION {setting}")).await?;
        }
        Ok(session)
    }

    /// What a query gives, as text; NULL is empty.
    ///
    /// # Errors
    /// The outer one: the connection is lost. The inner one: the server refuses, and what it says.
    pub(super) async fn ask(
        &mut self,
        query: &str,
    ) -> anyhow::Result<Result<Vec<Vec<String>>, String>> {
        Ok(self.ask_named(query).await?.map(|(_, rows)| rows))
    }

    /// As [`Self::ask`], with the names of the columns.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(super) async fn ask_named(
        &mut self,
        query: &str,
    ) -> anyhow::Result<Result<(Vec<String>, Vec<Vec<String>>), String>> {
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        match timeout(LIMIT, self.connection.query(query.as_bytes())).await {
            Ok(Ok(result)) => {
                let names = result
                    .columns
                    .iter()
                    .map(|column| text(&column.name))
                    .collect();
                let rows = result
                    .rows
                    .into_iter()
                    .map(|row| {
                        row.into_iter()
                            .map(|value| text(&value.unwrap_or_default()))
                            .collect()
                    })
                    .collect();
                Ok(Ok((names, rows)))
            }
            Ok(Err(QueryError::Server(error))) if !error.ends_connection() => {
                Ok(Err(error.to_string()))
            }
            Ok(Err(error)) => {
                Err(anyhow!(error).context(format!("{}: the session was lost", self.name)))
            }
            Err(_) => bail!(
                "{}: no answer within {} s to: {query}",
                self.name,
                LIMIT.as_secs()
            ),
        }
    }

    /// What a query gives that the server must not refuse.
    ///
    /// # Errors
    /// The connection is lost, or the server refuses.
    pub(super) async fn rows(&mut self, query: &str) -> anyhow::Result<Vec<Vec<String>>> {
        match self.ask(query).await? {
            Ok(rows) => Ok(rows),
            Err(said) => bail!("{}: {said}; it was: {query}", self.name),
        }
    }

    /// The first value that a query gives; empty for no row and for NULL.
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub(super) async fn value(&mut self, query: &str) -> anyhow::Result<String> {
        let rows = self.rows(query).await?;
        Ok(rows.into_iter().flatten().next().unwrap_or_default())
    }

    /// Whether the session uses TLS.
    pub(super) fn is_tls(&self) -> bool {
        self.connection.stream.is_tls()
    }

    /// Kind and version, such as `MySQL 9.7.4`.
    pub(super) fn version(&self) -> String {
        let version = String::from_utf8_lossy(&self.connection.greeting.version);
        // What MariaDB before 11 puts in front, for old replicas.
        format!(
            "{} {}",
            self.server.product.name(),
            version.trim_start_matches("5.5.5-")
        )
    }

    /// Whether the server is on this machine as far as the address tells; a forwarded port looks so as well.
    pub(super) fn seems_local(&self) -> bool {
        match self.connection.stream.peer_addr() {
            Some(peer) => peer.ip().is_loopback(),
            None => true,
        }
    }

    /// Ends the session.
    pub(super) async fn quit(self) {
        self.connection.quit().await;
    }
}

/// `9.7.4-2` is 90704, `5.5.5-10.11.19-MariaDB` is 101119.
fn version_number(version: &str) -> u32 {
    let mut numbers = version
        .trim_start_matches("5.5.5-")
        .split(|letter: char| !letter.is_ascii_digit())
        .map(|part| part.parse::<u32>().unwrap_or(0).min(99));
    let mut next = || numbers.next().unwrap_or_default();
    next() * 10_000 + next() * 100 + next()
}

#[cfg(test)]
mod tests {
    use super::version_number;

    #[test]
    fn versions_are_numbers() {
        assert_eq!(version_number("9.7.4-2"), 90_704);
        assert_eq!(version_number("5.5.5-10.11.19-MariaDB-0+deb12u1"), 101_119);
        assert_eq!(version_number("8.0.36"), 80_036);
    }
}
