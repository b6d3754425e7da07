//! Lost connections that may live on at the server, with locks and open transactions: found again, killed, seen gone.

use std::time::Duration;

use steadfast_diagnose::Leftover;
use steadfast_net::{QueryError, ServerConnection};
use steadfast_session::hexadecimal;
use tokio::time::{Instant, sleep};

use crate::shared::Shared;
use crate::status::{boot_of, same_boot};

/// How often a killed connection is looked for until it is gone.
const ZOMBIE_PAUSE: Duration = Duration::from_millis(5);

/// A connection that was lost and may live on at the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Zombie {
    /// Its id.
    pub(crate) id: u32,
    /// What the server's process list calls its client: host and port. After a restart ids begin again, but no other
    /// connection has the same id and the same port.
    pub(crate) host: Vec<u8>,
    /// Over a Unix socket there is no port: when the server was started that the id is of; `None`: not known, or not
    /// needed.
    pub(crate) boot: Option<Instant>,
}

/// What is left of a lost connection on the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    /// Nothing.
    Gone,
    /// The connection.
    Lives,
    /// One like it: whether it is the one that is meant cannot be told.
    Doubtful,
}

impl Zombie {
    /// The query that finds it.
    fn look(&self) -> String {
        format!(
            "SELECT COMMAND FROM information_schema.PROCESSLIST WHERE ID = {} AND HOST = X'{}' LIMIT 1",
            self.id,
            hexadecimal(&self.host)
        )
    }

    /// Looks for it.
    ///
    /// # Errors
    /// [`QueryError`].
    async fn find(&self, connection: &mut ServerConnection) -> Result<Found, QueryError> {
        Ok(self.find_and_see(connection).await?.0)
    }

    /// Looks for it, and what it does.
    ///
    /// # Errors
    /// [`QueryError`].
    async fn find_and_see(
        &self,
        connection: &mut ServerConnection,
    ) -> Result<(Found, Leftover), QueryError> {
        let shown = connection.query(self.look().as_bytes()).await?;
        if shown.rows.is_empty() {
            return Ok((Found::Gone, Leftover::Gone));
        }
        let does = if shown.value() == Some(b"Sleep") {
            Leftover::Sleeps
        } else {
            Leftover::Runs
        };
        let found = if has_port(&self.host) {
            Found::Lives
        } else {
            self.judge(boot(connection).await?)
        };
        Ok((found, does))
    }

    /// What a connection with its id and without a port is on a server that was started at `now`.
    fn judge(&self, now: Option<Instant>) -> Found {
        match (self.boot, now) {
            (Some(then), Some(now)) if same_boot(then, now) => Found::Lives,
            (Some(_), Some(_)) => Found::Gone,
            _ => Found::Doubtful,
        }
    }
}

/// Whether this name of a client in the process list tells connections apart. Over a Unix socket everybody is
/// `localhost`.
pub(crate) fn has_port(host: &[u8]) -> bool {
    host.contains(&b':')
}

/// When the server of this connection was started; `None`: it does not tell.
///
/// # Errors
/// [`QueryError`].
pub(crate) async fn boot(connection: &mut ServerConnection) -> Result<Option<Instant>, QueryError> {
    let status = connection
        .query(b"SHOW GLOBAL STATUS LIKE 'Uptime'")
        .await?;
    Ok(boot_of(&status))
}

/// Kills a connection, if it is still the one that is meant.
///
/// # Errors
/// [`QueryError`].
pub(crate) async fn kill(
    shared: &Shared,
    connection: &mut ServerConnection,
    zombie: &Zombie,
) -> Result<(), QueryError> {
    if zombie.find(connection).await? != Found::Lives {
        return Ok(());
    }
    let _own = shared.own_kills.begin();
    shared.around.killed(zombie.id);
    match connection
        .query(format!("KILL {}", zombie.id).as_bytes())
        .await
    {
        // 1094: it is gone by now.
        Ok(_) | Err(QueryError::Server(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Kills a lost connection and sees it gone. False: it still lives after a second.
///
/// # Errors
/// [`QueryError`].
pub(crate) async fn end(
    shared: &Shared,
    connection: &mut ServerConnection,
    zombie: &Zombie,
) -> Result<bool, QueryError> {
    for round in 0..200 {
        let (found, does) = zombie.find_and_see(connection).await?;
        if round == 0 && found != Found::Doubtful {
            let does = if found == Found::Gone {
                Leftover::Gone
            } else {
                does
            };
            shared.around.left_over(zombie.id, does);
        }
        if found == Found::Gone {
            return Ok(true);
        }
        if round == 0 {
            kill(shared, connection, zombie).await?;
        } else {
            sleep(ZOMBIE_PAUSE).await;
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_port_only_the_same_boot_proves_that_it_is_the_same_connection() {
        let boot = Instant::now();
        let zombie = |boot| Zombie {
            id: 7,
            host: b"localhost".to_vec(),
            boot,
        };
        let known = zombie(Some(boot));
        assert_eq!(known.judge(Some(boot)), Found::Lives);
        let rounded = boot + Duration::from_millis(1100);
        assert_eq!(known.judge(Some(rounded)), Found::Lives);
        let restarted = boot + Duration::from_secs(60);
        assert_eq!(known.judge(Some(restarted)), Found::Gone);
        assert_eq!(known.judge(None), Found::Doubtful);
        assert_eq!(zombie(None).judge(Some(boot)), Found::Doubtful);
    }

    #[test]
    fn a_unix_socket_has_no_port() {
        assert!(!has_port(b"localhost"));
        assert!(has_port(b"localhost:40312"));
        assert!(has_port(b"::1:40312"));
    }
}
