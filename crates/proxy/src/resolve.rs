//! What became of a COMMIT whose answer was lost: asked of the ledger, on a connection of its own.

use std::time::Duration;

use steadfast_net::QueryError;
use steadfast_session::ledger::{Mark, Verdict, calls};
use steadfast_wire::Capabilities;
use tokio::time::{Instant, sleep, timeout};

use crate::link::{self, Attempt, Identity};
use crate::shared::Shared;
use crate::zombie::{self, Zombie};

/// The pause after a failed attempt.
const PAUSE: Duration = Duration::from_millis(50);

/// A fence waits for the transaction that it fences no longer than this at once: then the lost connection is looked for
/// again.
const WAIT: &str = "SET SESSION innodb_lock_wait_timeout=2";

/// A recorded COMMIT whose answer was lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Doubt {
    /// What it was recorded under.
    pub(crate) mark: Mark,
    /// Which server it was sent to.
    pub(crate) server: Vec<u8>,
}

/// Asks until there is an answer. The lost connections are ended first; a COMMIT that cannot be ended is waited for.
pub(crate) async fn resolve(
    shared: &Shared,
    identity: &Identity,
    client: Capabilities,
    zombies: &[Zombie],
    doubt: &Doubt,
    deadline: Instant,
) -> Verdict {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = left.min(shared.timeouts.attempt());
        let why = match timeout(left, ask(shared, identity, client, zombies, doubt)).await {
            Ok(Ok(verdict)) => return verdict,
            Ok(Err(Attempt::Final(_, why))) => {
                tracing::warn!("what became of a COMMIT cannot be found out: {why}");
                return Verdict::Unknown;
            }
            Ok(Err(Attempt::Again(why))) => why,
            Err(_) => "it does not answer".to_owned(),
        };
        if Instant::now() + PAUSE >= deadline {
            tracing::warn!("what became of a COMMIT was not found out in time: {why}");
            return Verdict::Unknown;
        }
        tracing::debug!("what became of a COMMIT is not known yet: {why}");
        sleep(PAUSE).await;
    }
}

async fn ask(
    shared: &Shared,
    identity: &Identity,
    client: Capabilities,
    zombies: &[Zombie],
    doubt: &Doubt,
) -> Result<Verdict, Attempt> {
    let mut link = link::open(shared, identity, client, None).await?;
    if link.own.server != doubt.server {
        tracing::warn!(
            "another server answers than the one that a COMMIT was sent to: its ledger says nothing of it"
        );
        return Ok(Verdict::Unknown);
    }
    for zombie in zombies {
        zombie::end(shared, &mut link.connection, zombie).await?;
    }
    let fence = calls::fence(&doubt.mark);
    let asked = link
        .connection
        .query_all(&[
            WAIT.as_bytes(),
            fence.as_bytes(),
            calls::RECORDED.as_bytes(),
        ])
        .await;
    let verdict = match asked {
        Ok(results) => {
            let record = results
                .last()
                .and_then(|result| result.value())
                .and_then(calls::record);
            doubt.mark.verdict(record)
        }
        // Lock wait timeout, deadlock, interrupted: it has not been fenced.
        Err(QueryError::Server(error)) if matches!(error.code, 1205 | 1213 | 1317) => {
            return Err(Attempt::Again(error.to_string()));
        }
        Err(error) => return Err(error.into()),
    };
    link.connection.quit().await;
    Ok(verdict)
}
