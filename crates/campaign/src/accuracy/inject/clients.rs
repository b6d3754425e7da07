//! What clients do.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::timeout;

use crate::accuracy::here::millis;
use crate::accuracy::session::{Saw, header, query_packet};
use crate::accuracy::stage::Stage;

/// Leaves without COM_QUIT: nobody is there to tell of it.
pub(super) async fn gone(stage: &mut Stage<'_>) -> Result<()> {
    let mut client = stage.client().await?;
    client.run("SELECT * FROM bench.t").await?;
    stage.watch(false).await?;
    let idle = stage.rng.between(0, 1_500);
    millis(idle).await;
    let how = match stage.rng.between(0, 4) {
        // The kernel resets what is closed with unread bytes in it.
        0 => {
            if client.ask("SELECT REPEAT('x', 2000)").await.is_err() {
                bail!("the statement could not be sent");
            }
            millis(100).await;
            "with an answer unread"
        }
        1 => {
            if client.ask("SELECT SLEEP(1)").await.is_err() {
                bail!("the statement could not be sent");
            }
            "in a statement"
        }
        2 => {
            client.run("BEGIN").await?;
            client
                .run("UPDATE bench.t SET v = CONCAT('v', RAND()) WHERE id = 2")
                .await?;
            "in a transaction"
        }
        _ => "idle",
    };
    stage.does(format!("the client leaves after {idle} ms, {how}"));
    drop(client);
    millis(50).await;
    stage.probe().await?;
    stage.look(true).await
}

/// Waits no longer for an answer.
pub(super) async fn gave_up(stage: &mut Stage<'_>) -> Result<()> {
    let mut client = stage.client().await?;
    stage.watch(false).await?;
    let patience = stage.rng.between(1, 3);
    let statement = patience + stage.rng.between(1, 3);
    stage.does(format!(
        "a read timeout of {patience} s, a statement of {statement} s"
    ));
    if client
        .ask(&format!("SELECT SLEEP({statement})"))
        .await
        .is_err()
    {
        bail!("the statement could not be sent");
    }
    if timeout(Duration::from_secs(patience), client.packet())
        .await
        .is_ok()
    {
        bail!("the answer came early");
    }
    drop(client);
    stage.saw(&Saw::GaveUp);
    stage.probe().await?;
    // Right after, the statement runs on; whoever looks later sees its end.
    let later = stage.rng.one_in(2);
    stage.look(later).await
}

/// Two writers on one connection: packets that are out of order, or no commands at all.
pub(super) async fn misuse(stage: &mut Stage<'_>) -> Result<()> {
    let mut client = stage.client().await?;
    client.run("SELECT 1").await?;
    stage.watch(false).await?;
    let sequence = stage.rng.between(1, 200) as u8;
    let bytes = match stage.rng.between(0, 3) {
        // A long statement of one into which another sends its own.
        0 => {
            let mut bytes = header(0xFF_FFFF, 0).to_vec();
            bytes.resize(0xFF_FFFF + 4, b' ');
            bytes.extend(query_packet("SELECT 1", 0));
            stage.does("a statement within another one's packets");
            bytes
        }
        _ => {
            stage.does(format!("a command with sequence id {sequence}"));
            if stage.is_through() {
                // Steadfast takes it as it is.
                stage.is_prevented();
                if client
                    .send(&query_packet("SELECT 1", sequence))
                    .await
                    .is_err()
                {
                    bail!("the command could not be sent");
                }
                stage.outcome(&mut client, Duration::from_secs(8)).await?;
                client.leave().await;
                return Ok(());
            }
            query_packet("SELECT 1", sequence)
        }
    };
    let saw = match client.send(&bytes).await {
        Ok(()) => stage.outcome(&mut client, Duration::from_secs(8)).await?,
        Err(saw) => saw,
    };
    stage.saw(&saw);
    drop(client);
    stage.probe().await?;
    stage.look(true).await
}
