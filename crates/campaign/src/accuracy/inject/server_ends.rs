//! What ends the server, keeps it from answering, or makes it end a session.

use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::timeouts::LARGE_RESULT;
use crate::accuracy::bench::system;
use crate::accuracy::here::{NotHere, millis};
use crate::accuracy::session::{Saw, Session};
use crate::accuracy::stage::Stage;

/// Through Steadfast clients wait for the server.
const SOON: Duration = Duration::from_secs(20);

/// What the client was doing when it was struck.
enum Doing {
    Nothing,
    Waiting,
    Reading,
}

/// Begins something, at random.
async fn begin(stage: &mut Stage<'_>, client: &mut Session) -> Result<Doing> {
    let sent = match stage.rng.between(0, 3) {
        0 => return Ok(Doing::Nothing),
        1 => {
            // Through Steadfast it runs again.
            let seconds = if stage.is_through() { 3 } else { 30 };
            let sent = client.ask(&format!("SELECT SLEEP({seconds})")).await;
            sent.map(|()| Doing::Waiting)
        }
        _ => client.ask(LARGE_RESULT).await.map(|()| Doing::Reading),
    };
    let doing = sent.map_err(|saw| anyhow::anyhow!("not sent: {}", saw.message()))?;
    if matches!(doing, Doing::Reading) {
        let some = stage.rng.between(1, 4_000_000) as usize;
        let mut taken = 0;
        while taken < some {
            taken += client.take(65_536).await;
        }
    }
    let pause = stage.rng.between(20, 400);
    millis(pause).await;
    Ok(doing)
}

/// What the client sees of it.
async fn end(stage: &Stage<'_>, client: &mut Session, doing: &Doing) -> Result<Saw> {
    match doing {
        Doing::Nothing => stage.next_outcome(client, SOON).await,
        Doing::Waiting => stage.outcome(client, SOON).await,
        Doing::Reading if stage.is_through() => {
            client.take_all().await;
            Ok(Saw::Answered)
        }
        Doing::Reading => {
            while client.take(1 << 20).await > 0 {}
            Ok(Saw::NoAnswer)
        }
    }
}

fn name(doing: &Doing) -> &'static str {
    match doing {
        Doing::Nothing => "idle",
        Doing::Waiting => "in a statement",
        Doing::Reading => "in a result",
    }
}

/// KILL.
pub(super) async fn killed(stage: &mut Stage<'_>) -> Result<()> {
    let mut client = stage.client().await?;
    stage.watch(false).await?;
    let doing = begin(stage, &mut client).await?;
    stage.does(format!("KILL of a connection {}", name(&doing)));
    let thread = stage.thread().context("the client has a connection")?;
    stage.bench.sql(format!("KILL {thread}")).await?;
    let saw = end(stage, &mut client, &doing).await?;
    stage.saw(&saw);
    stage.probe().await?;
    stage.look(true).await
}

/// SIGTERM, or SHUTDOWN.
pub(super) async fn shutdown(stage: &mut Stage<'_>) -> Result<()> {
    let mut client = stage.client().await?;
    stage.watch(true).await?;
    let doing = begin(stage, &mut client).await?;
    let by_statement = stage.rng.one_in(2);
    stage.does(format!(
        "{} while a client was {}",
        if by_statement { "SHUTDOWN" } else { "SIGTERM" },
        name(&doing)
    ));
    if by_statement {
        stage.bench.sql("SHUTDOWN").await?;
    }
    // MySQL lets SLEEP end as if it were over.
    let restart = async {
        stage.bench.on_server(|server| server.stop()).await?;
        let met = stage.met().await?;
        stage.bench.on_server(|server| server.start_again()).await?;
        anyhow::Ok(met)
    };
    let (met, saw) = tokio::join!(restart, end(stage, &mut client, &doing));
    stage.has_met(met?);
    stage.saw(&saw.unwrap_or(Saw::NotSent));
    Ok(())
}

/// A signal that the server reports itself.
pub(super) async fn crash(stage: &mut Stage<'_>) -> Result<()> {
    let mut client = stage.client().await?;
    stage.watch(true).await?;
    let doing = begin(stage, &mut client).await?;
    let signal = ["SEGV", "ABRT", "BUS"][stage.rng.between(0, 3) as usize];
    stage.does(format!("SIG{signal} while a client was {}", name(&doing)));
    let pid = stage
        .bench
        .server
        .pid()
        .context("the server does not run")?;
    system("kill", vec!["-s".into(), signal.into(), pid.to_string()]).await?;
    wait_for_end(stage).await?;
    see_the_end(stage, &mut client, &doing).await
}

/// The server is gone: what the client and others see of it, and its start.
async fn see_the_end(stage: &mut Stage<'_>, client: &mut Session, doing: &Doing) -> Result<()> {
    if stage.is_through() {
        // Clients wait for it.
        stage.bench.on_server(|server| server.start_again()).await?;
        let saw = end(stage, client, doing).await?;
        stage.saw(&saw);
        return Ok(());
    }
    let saw = end(stage, client, doing).await?;
    stage.saw(&saw);
    stage.probe().await?;
    stage.bench.on_server(|server| server.start_again()).await
}

async fn wait_for_end(stage: &Stage<'_>) -> Result<()> {
    for _ in 0..1200 {
        if !stage.bench.server.is_running() {
            return Ok(());
        }
        millis(50).await;
    }
    bail!("the server was to end, and runs on");
}

/// SIGKILL.
pub(super) async fn process_killed(stage: &mut Stage<'_>) -> Result<()> {
    let mut client = stage.client().await?;
    stage.watch(true).await?;
    let doing = begin(stage, &mut client).await?;
    stage.does(format!("SIGKILL while a client was {}", name(&doing)));
    stage.bench.on_server(|server| server.kill()).await?;
    see_the_end(stage, &mut client, &doing).await
}

/// A memory control group that becomes too small.
pub(super) async fn out_of_memory(stage: &mut Stage<'_>) -> Result<()> {
    let group = stage.bench.memory_group()?;
    let room = stage.rng.between(24, 80);
    group.limit(room << 20)?;
    let mut client = stage.client().await?;
    client
        .run("SET SESSION max_heap_table_size = 4294967296")
        .await?;
    client
        .run("CREATE TABLE IF NOT EXISTS bench.memory (v VARCHAR(8000)) ENGINE=MEMORY")
        .await?;
    stage.does(format!("{room} MiB more than it has, then a MEMORY table"));
    stage.watch(true).await?;
    stage.group_had_killed(group.kills()?);
    let saw = loop {
        let grow = "INSERT INTO bench.memory SELECT REPEAT('x', 8000) FROM information_schema.COLLATIONS a, \
                    information_schema.COLLATIONS b LIMIT 2000";
        match client.query(grow).await? {
            Ok(_) => {}
            // Steadfast's word about the write that was lost.
            Err(saw @ Saw::Said { code: 1180, .. }) if stage.is_through() => break saw,
            Err(saw @ Saw::Said { .. }) => {
                return Err(NotHere(format!("the server gave up first: {}", saw.message())).into());
            }
            Err(saw) => break saw,
        }
    };
    wait_for_end(stage).await?;
    stage.saw(&saw);
    stage.group_killed(group.kills()?);
    stage.probe().await?;
    drop(group);
    stage.bench.on_server(|server| server.start_again()).await
}

/// SIGSTOP.
pub(super) async fn hang(stage: &mut Stage<'_>) -> Result<()> {
    let mut client = stage.client().await?;
    stage.watch(false).await?;
    // Steadfast waits for longer than most clients do, for what it takes to be dead.
    let patience = stage.rng.between(400, 2_000) + if stage.is_through() { 5_000 } else { 0 };
    let busy = stage.rng.one_in(2);
    let sleep = "SELECT SLEEP(1)";
    if busy && client.ask(sleep).await.is_err() {
        bail!("the statement could not be sent");
    }
    stage.does(format!(
        "SIGSTOP while a client was {}, which gave up after {patience} ms",
        if busy { "in a statement" } else { "idle" }
    ));
    stage.bench.on_server(|server| server.freeze()).await?;
    if !busy && client.ask("SELECT 1").await.is_err() {
        bail!("the statement could not be sent");
    }
    let waited = tokio::time::timeout(Duration::from_millis(patience), client.packet()).await;
    let probed = stage.probe().await;
    stage.bench.on_server(|server| server.thaw()).await?;
    probed?;
    if waited.is_ok() {
        bail!("a stopped server answered");
    }
    if stage.is_through() {
        let saw = stage.outcome(&mut client, SOON).await?;
        stage.saw(&saw);
        return Ok(());
    }
    stage.saw(&Saw::GaveUp);
    drop(client);
    millis(1_200).await;
    stage.look(true).await
}
