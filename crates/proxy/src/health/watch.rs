//! The task that looks at the server.

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use steadfast_diagnose::Reach;
use steadfast_net::{Login, QueryError, ServerConnection, greet};
use steadfast_session::ledger::{calls, durability};
use steadfast_wire::Capabilities;
use tokio::time::{Instant, timeout};

use super::{STATUS, Sample};
use crate::around::met;
use crate::clock::CLOCK;
use crate::ledger;
use crate::shared::Shared;
use crate::status::{number, setting, value};

/// Time between two samples of `Com_kill`; at most 1 s, so that a KILL is told from a cut.
const INTERVAL: Duration = Duration::from_millis(500);

/// Time between two sweeps of the commit ledger, and two looks at the server's durability.
const CHORES_EVERY: Duration = Duration::from_secs(3600);

/// Asks for the server's clock.
static ASK_CLOCK: LazyLock<String> = LazyLock::new(|| format!("SELECT {CLOCK} LIMIT 1"));

/// Asks for the settings that a diagnosis can use.
const VARIABLES: &[u8] = b"SHOW GLOBAL VARIABLES WHERE Variable_name IN \
    ('connect_timeout', 'connection_memory_limit', 'datadir', 'global_connection_memory_limit', 'hostname', \
    'idle_readonly_transaction_timeout', 'idle_transaction_timeout', 'idle_write_transaction_timeout', \
    'interactive_timeout', 'log_error', 'log_error_suppression_list', 'log_error_verbosity', 'log_warnings', \
    'max_allowed_packet', 'max_connect_errors', 'max_connections', 'max_execution_time', 'max_session_mem_used', \
    'max_statement_time', 'net_read_timeout', 'net_write_timeout', 'offline_mode', 'open_files_limit', 'pid_file', \
    'read_only', 'super_read_only', 'wait_timeout')";

/// Looks at the server until the process ends.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let mut connection: Option<ServerConnection> = None;
    let mut chores_at = Instant::now();
    let mut warned = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = tokio::time::sleep(INTERVAL) => {}
            () = shared.health.wanted.notified() => {}
        }
        if connection.is_none() {
            match timeout(shared.timeouts.dead_after, connect(&shared)).await {
                Ok(found) => connection = found,
                Err(_) => silent(&shared),
            }
        }
        let Some(open) = &mut connection else {
            continue;
        };
        let own_at_least = shared.own_kills.ended();
        let before = Instant::now();
        let asked = look(open, &shared, before);
        match timeout(shared.timeouts.dead_after, asked).await {
            Ok(Ok(counted)) => {
                shared.readiness.server_reached();
                if let Some((kills, not_accepted)) = counted {
                    shared.health.add(Sample {
                        at: Instant::now(),
                        kills,
                        own_at_most: shared.own_kills.sent(),
                        own_at_least,
                        not_accepted,
                    });
                }
                if Instant::now() >= chores_at {
                    chores_at = Instant::now() + CHORES_EVERY;
                    let chores = do_chores(open, &shared, &mut warned);
                    match timeout(shared.timeouts.dead_after, chores).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => tracing::debug!("the ledger was not swept: {error}"),
                        // The answer that is still to come is not the next question's.
                        Err(_) => connection = None,
                    }
                }
            }
            Ok(Err(error)) => {
                tracing::debug!("the health check's connection is gone: {error}");
                connection = None;
                // It may come back with other settings.
                chores_at = Instant::now();
                shared.health.forget();
                shared.readiness.server_lost();
            }
            Err(_) => {
                shared.health.forget();
                // Only this connection, or this question, may have come to a halt: a server that greets and takes a
                // login is not dead.
                connection = timeout(shared.timeouts.dead_after, connect(&shared))
                    .await
                    .ok()
                    .flatten();
                if connection.is_none() {
                    silent(&shared);
                }
            }
        }
    }
}

/// Reads the server's clock, `Com_kill` and `Connection_errors_accept`.
async fn look(
    connection: &mut ServerConnection,
    shared: &Shared,
    before: Instant,
) -> Result<Option<(u64, u64)>, QueryError> {
    let clock = connection.query(ASK_CLOCK.as_bytes()).await?;
    if let Some(shown) = number(&clock, 0) {
        shared.clock.sample(shown, before, Instant::now());
    }
    if shared
        .health
        .variables_wanted
        .swap(false, Ordering::Relaxed)
    {
        ask_variables(connection, shared).await?;
    }
    let status = connection.query(STATUS).await?;
    shared.health.note_status(&status);
    let not_accepted = value(&status, "Connection_errors_accept").unwrap_or(0);
    Ok(value(&status, "Com_kill").map(|kills| (kills, not_accepted)))
}

/// Asks for [`VARIABLES`].
async fn ask_variables(
    connection: &mut ServerConnection,
    shared: &Shared,
) -> Result<(), QueryError> {
    match connection.query(VARIABLES).await {
        Ok(variables) => shared.health.note_variables(&variables),
        Err(QueryError::Server(error)) if !error.ends_connection() => {
            tracing::debug!("the server's settings are not known: {error}");
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Lets the commit ledger forget the lanes that nobody can ask about any more, where there is one; says once, and again
/// when it has changed, what keeps the server from keeping what it acknowledges.
async fn do_chores(
    connection: &mut ServerConnection,
    shared: &Shared,
    warned: &mut Vec<String>,
) -> Result<(), QueryError> {
    let settings = connection.query(durability::SETTINGS.as_bytes()).await?;
    let lacking = durability::not_durable(|name| setting(&settings, name));
    if lacking != *warned {
        for lack in &lacking {
            tracing::warn!("the server has {lack}: {}", durability::CONSEQUENCE);
        }
        *warned = lacking;
    }
    if !shared.ledger.is_off() && ledger::is_usable(&connection.query(ledger::USABLE).await?) {
        connection.query(calls::SWEEP.as_bytes()).await?;
    }
    Ok(())
}

fn silent(shared: &Shared) {
    tracing::warn!(
        "the server has not answered for {:?}: connections that wait for it are given up",
        shared.timeouts.dead_after
    );
    shared.readiness.server_lost();
    shared.pooled.end_all();
    let silences = &shared.health.silences;
    silences.count.fetch_add(1, Ordering::SeqCst);
    silences.counted.notify_waiters();
}

/// `None`: no account is known yet, or the server cannot be reached.
async fn connect(shared: &Shared) -> Option<ServerConnection> {
    let (user, password) = shared.vault.any()?;
    let began = Instant::now();
    let greeted = match greet(&shared.target).await {
        Ok(greeted) => {
            shared.around.reached(began, Reach::Greeted);
            greeted
        }
        Err(error) => {
            if let Some(met) = met(&error) {
                shared.around.reached(began, shared.health.met(began, met));
            }
            tracing::debug!("the health check cannot connect: {error}");
            shared.readiness.server_lost();
            return None;
        }
    };
    let login = Login {
        user: &user,
        password: &password,
        database: None,
        capabilities: Capabilities::SESSION_TRACK,
        collation: greeted.greeting.collation,
        max_packet_size: 1 << 24,
        attributes: &[(b"program_name".to_vec(), b"steadfast health check".to_vec())],
        first_plugin: None,
    };
    match greeted.login(&login).await {
        Ok(connection) => {
            // With the next look: a server that takes a login is well, whatever else stands still.
            shared.health.ask_variables();
            Some(connection)
        }
        Err(error) => {
            shared.around.refused(began, &error);
            tracing::debug!("the health check cannot log in: {error}");
            // 1045: the password is no longer right. Any other refusal says nothing about it.
            if matches!(&error, steadfast_net::LoginError::Refused(error) if error.code == 1045) {
                shared.vault.forget(&user);
            }
            None
        }
    }
}
