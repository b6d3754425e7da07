//! What happens between client and server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use steadfast_sandbox::{Cut, Direction, Verdict, free_port};
use tokio::time::timeout;

use crate::accuracy::front::Front;
use crate::accuracy::here::{PASSWORD, USER, millis};
use crate::accuracy::path::{Fate, Rules};
use crate::accuracy::session::{Door, Saw, Session};
use crate::accuracy::stage::Stage;

/// Where nobody listens.
pub(super) async fn not_listening(stage: &mut Stage<'_>) -> Result<()> {
    let port = free_port()?;
    stage.does("a port at which nobody listens");
    stage.watch(false).await?;
    let mut addr = ([127, 0, 0, 1], port).into();
    if let Some(binary) = stage.bench.serve() {
        let front = Front::before_nobody(binary, addr).await?;
        addr = front.addr();
        stage.came_through(front);
    }
    match Door::tcp(addr, USER, PASSWORD, stage.tls).enter().await? {
        Ok(_) => bail!("somebody listens at a free port"),
        Err(saw) => stage.saw(&saw),
    }
    stage.probe().await
}

/// Nothing passes any more, at a moment when the connection is used.
pub(super) async fn drop_packets(stage: &mut Stage<'_>) -> Result<()> {
    let mut client = stage.client_through_link().await?;
    client.run("SELECT 1").await?;
    stage.watch(false).await?;
    if stage.is_through() {
        return drop_all(stage, client).await;
    }
    let patience = stage.rng.between(500, 2_500);
    let working = stage.rng.one_in(2);
    // Before the statement, or between it and its answer.
    if working {
        let seconds = stage.rng.between(1, 4);
        if client
            .ask(&format!("SELECT SLEEP({seconds})"))
            .await
            .is_err()
        {
            bail!("the statement could not be sent");
        }
        let later = stage.rng.between(50, 400);
        millis(later).await;
    }
    stage.does(format!(
        "no packet passes, {}; the client gives up after {patience} ms",
        if working {
            "in a statement"
        } else {
            "at its begin"
        }
    ));
    stage.bench.link.black_hole(true);
    if !working && client.ask("SELECT 1").await.is_err() {
        bail!("the statement could not be sent");
    }
    let waited = timeout(Duration::from_millis(patience), client.packet()).await;
    if waited.is_ok() {
        bail!("an answer came through a black hole");
    }
    stage.saw(&Saw::GaveUp);
    stage.probe().await?;
    stage.look(false).await?;
    drop(client);
    Ok(())
}

/// The same before Steadfast, on all connections, for longer than it takes to give a server up.
async fn drop_all(stage: &mut Stage<'_>, mut client: Session) -> Result<()> {
    let lasts = stage.rng.between(5_000, 8_000);
    let working = stage.rng.one_in(2);
    let port = stage.bench.link.addr().port();
    stage.does(format!(
        "no packet passes for {lasts} ms, {}",
        if working {
            "in a statement"
        } else {
            "at its begin"
        }
    ));
    if working && client.ask("SELECT SLEEP(1)").await.is_err() {
        bail!("the statement could not be sent");
    }
    millis(stage.rng.between(50, 400)).await;
    let rules = Rules::about(port, None, Fate::Lost).await?;
    if !working && client.ask("SELECT 1").await.is_err() {
        bail!("the statement could not be sent");
    }
    millis(lasts).await;
    drop(rules);
    let saw = stage.outcome(&mut client, Duration::from_secs(20)).await?;
    stage.saw(&saw);
    Ok(())
}

/// A connection that was idle for long is forgotten: what is sent on it next is dropped, or answered with a reset.
pub(super) async fn forget_idle(stage: &mut Stage<'_>) -> Result<()> {
    let before = stage.bench.link.newest();
    let mut client = stage.client_through_link().await?;
    let connection = stage.bench.link.newest();
    if connection != before + 1 {
        bail!("another connection was made at the same time");
    }
    client.run("SELECT 1").await?;
    stage.watch(false).await?;
    // Shorter than any product's limit, and longer than what is no idleness at all.
    let idle = stage.rng.between(10_500, 13_000);
    let resets = stage.rng.one_in(2);
    stage.does(format!(
        "forgotten after {idle} ms, the next packet is {}",
        if resets {
            "answered with a reset"
        } else {
            "dropped"
        }
    ));
    millis(idle).await;
    if stage.is_through() {
        let link = &stage.bench.link;
        let from = link.client_addr(connection).context("it is there")?.port();
        let fate = if resets { Fate::Reset } else { Fate::Lost };
        let _rules = Rules::about(link.addr().port(), Some(from), fate).await?;
        let saw = stage
            .next_outcome(&mut client, Duration::from_secs(30))
            .await?;
        stage.saw(&saw);
        return Ok(());
    }
    if resets {
        let armed = Arc::new(AtomicBool::new(true));
        stage.bench.link.set_tap(move |direction, _, _| {
            if direction == Direction::ToServer && armed.swap(false, Ordering::Relaxed) {
                // The server gets it when nobody looks any more.
                Verdict::Late(Duration::from_secs(3_600))
            } else {
                Verdict::Pass
            }
        });
    } else {
        stage.bench.link.black_hole(true);
    }
    let saw = match client.ask("SELECT 1").await {
        Ok(()) => match timeout(Duration::from_millis(1_500), client.end()).await {
            Ok(ended) => match ended? {
                Err(saw) => saw,
                Ok(()) => bail!("an answer came on a forgotten connection"),
            },
            Err(_) => Saw::GaveUp,
        },
        Err(saw) => saw,
    };
    stage.saw(&saw);
    stage.probe().await?;
    stage.look(false).await?;
    drop(client);
    Ok(())
}

/// A proxy ends both sides of what has been idle for too long.
pub(super) async fn proxy_timeout(stage: &mut Stage<'_>) -> Result<()> {
    let before = stage.bench.link.newest();
    let mut client = stage.client_through_link().await?;
    let connection = stage.bench.link.newest();
    if connection != before + 1 {
        bail!("another connection was made at the same time");
    }
    client.run("SELECT 1").await?;
    stage.watch(false).await?;
    let idle = stage.rng.between(10_000, 12_000);
    let cut = if stage.rng.one_in(3) {
        Cut::Rst
    } else {
        Cut::Fin
    };
    stage.does(format!(
        "a proxy closes both sides ({cut:?}) after {idle} ms"
    ));
    millis(idle).await;
    stage.bench.link.cut_one(connection, cut);
    millis(100).await;
    let saw = stage
        .next_outcome(&mut client, Duration::from_secs(5))
        .await?;
    stage.saw(&saw);
    stage.probe().await?;
    stage.look(true).await
}
