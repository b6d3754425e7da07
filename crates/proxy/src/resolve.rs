//! What became of a COMMIT whose answer was lost: asked of the ledger, on a connection of its own.

use std::time::Duration;

use steadfast_net::QueryError;
use steadfast_session::Reason;
use steadfast_session::ledger::calls::{self, Refused};
use steadfast_session::ledger::{Mark, Verdict};
use steadfast_wire::Capabilities;
use steadfast_wire::auth::Password;
use tokio::time::{Instant, sleep, timeout};

use crate::link::{self, Attempt, Identity};
use crate::shared::Shared;
use crate::zombie::{self, Zombie};

/// The pause after a failed attempt.
const PAUSE: Duration = Duration::from_millis(50);

/// The pause after the first attempt whose login is refused; each further one is twice as long, up to
/// [`MAX_REFUSED_PAUSE`]. Servers count wrong passwords, and some lock an account after a few.
const REFUSED_PAUSE: Duration = Duration::from_millis(500);
const MAX_REFUSED_PAUSE: Duration = Duration::from_secs(8);

/// A fence waits for the transaction that it fences no longer than this at once: then the lost connection is looked for
/// again. MariaDB's `max_statement_time` would end it (1969); MySQL's counterpart is for SELECT only.
fn wait(is_mariadb: bool) -> &'static str {
    if is_mariadb {
        "SET SESSION innodb_lock_wait_timeout=2, max_statement_time=0"
    } else {
        "SET SESSION innodb_lock_wait_timeout=2"
    }
}

/// ER_SP_DOES_NOT_EXIST: MySQL cannot replace a procedure without it, which `steadfast ledger install` does.
const MISSING_FOR_A_MOMENT: u16 = 1305;

/// A recorded COMMIT whose answer was lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Doubt {
    /// What it was recorded under.
    pub(crate) mark: Mark,
    /// Which server it was sent to.
    pub(crate) server: Vec<u8>,
}

/// Asks until there is an answer, also of a server that refuses the account for now: its password has been changed (the
/// next that a client shows is tried as well), or it is locked. The lost connections are ended first; a COMMIT that
/// cannot be ended is waited for.
pub(crate) async fn resolve(
    shared: &Shared,
    identity: &Identity,
    client: Capabilities,
    zombies: &[Zombie],
    doubt: &Doubt,
    deadline: Instant,
) -> Verdict {
    let own = identity.password.as_ref();
    let mut identity = identity.clone();
    let mut refusals: u32 = 0;
    loop {
        let mut pause = PAUSE;
        if refusals > 0 {
            let known = passwords(shared, own, &identity.user);
            identity.password = known.into_iter().cycle().nth(refusals as usize);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let left = left.min(shared.timeouts.attempt());
        let why = match timeout(left, ask(shared, &identity, client, zombies, doubt)).await {
            Ok(Ok(verdict)) => return verdict,
            // Nothing of the session is restored here. What a connection is refused now, it may get later.
            Ok(Err(Attempt::Final(Reason::StateRefused, why))) => why,
            Ok(Err(Attempt::Final(Reason::LoginRefused, why))) => {
                pause = (REFUSED_PAUSE * 2_u32.pow(refusals.min(8))).min(MAX_REFUSED_PAUSE);
                refusals += 1;
                why
            }
            Ok(Err(Attempt::Final(_, why))) => {
                tracing::warn!("what became of a COMMIT cannot be found out: {why}");
                return Verdict::Unknown;
            }
            Ok(Err(Attempt::Again(why))) => why,
            Err(_) => "it does not answer".to_owned(),
        };
        if Instant::now() + pause >= deadline {
            tracing::warn!("what became of a COMMIT was not found out in time: {why}");
            return Verdict::Unknown;
        }
        tracing::debug!("what became of a COMMIT is not known yet: {why}");
        sleep(pause).await;
    }
}

/// What the account may log in with: its session's own password, and what other clients have shown since.
fn passwords(shared: &Shared, own: Option<&Password>, user: &[u8]) -> Vec<Password> {
    let learned = shared.vault.candidates(user);
    own.cloned().into_iter().chain(learned).collect()
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
    let wait = wait(link.connection.greeting.is_mariadb());
    let asked = link
        .connection
        .query_all(&[
            wait.as_bytes(),
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
        Err(QueryError::Server(error)) => {
            return Err(match calls::refused(error.code, None) {
                Refused::Missing if error.code != MISSING_FOR_A_MOMENT => {
                    Attempt::Final(Reason::NoLedger, error.to_string())
                }
                // It has not been fenced, and may be later: a lock, a deadlock, an interruption, a server that is
                // read-only after its crash or not yet a member of its cluster again.
                _ => Attempt::Again(error.to_string()),
            });
        }
        Err(error) => return Err(error.into()),
    };
    link.connection.quit().await;
    Ok(verdict)
}
