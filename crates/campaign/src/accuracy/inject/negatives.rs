//! What looks like a loss, and is none.

use anyhow::{Result, bail};

use super::timeouts::LARGE_RESULT;
use crate::accuracy::here::millis;
use crate::accuracy::session::query_packet;
use crate::accuracy::stage::Stage;

pub(super) async fn goodbye(stage: &mut Stage<'_>) -> Result<()> {
    stage.is_prevented();
    let mut client = stage.client().await?;
    stage.watch(false).await?;
    let idle = stage.rng.between(0, 1_500);
    millis(idle).await;
    if stage.rng.one_in(2) {
        client.run("BEGIN").await?;
        client.run("SELECT * FROM bench.t").await?;
    }
    stage.does(format!("COM_QUIT after {idle} ms"));
    client.quit().await;
    stage.look(true).await
}

pub(super) async fn slow_query(stage: &mut Stage<'_>) -> Result<()> {
    stage.is_prevented();
    // A statement is no idleness, and no reading or writing.
    stage
        .bench
        .set(&[
            ("wait_timeout", "1".to_owned()),
            ("net_read_timeout", "1".to_owned()),
            ("net_write_timeout", "1".to_owned()),
        ])
        .await?;
    let mut client = stage.client().await?;
    stage.watch(false).await?;
    let takes = stage.rng.between(1_500, 3_500) as f64 / 1000.0;
    stage.does(format!("all timeouts 1 s, a statement of {takes} s"));
    client.run(&format!("SELECT SLEEP({takes})")).await?;
    client.quit().await;
    stage.look(true).await
}

pub(super) async fn idle_in_time(stage: &mut Stage<'_>) -> Result<()> {
    stage.is_prevented();
    let limit = stage.rng.between(2, 4);
    stage
        .bench
        .set(&[("wait_timeout", limit.to_string())])
        .await?;
    let mut client = stage.client().await?;
    stage.watch(false).await?;
    let idle = limit * 1000 - stage.rng.between(400, 1_200);
    stage.does(format!(
        "wait_timeout={limit}, used again after {idle} ms, twice"
    ));
    for _ in 0..2 {
        millis(idle).await;
        client.run("SELECT 1").await?;
    }
    client.quit().await;
    stage.look(true).await
}

pub(super) async fn slow_upload(stage: &mut Stage<'_>) -> Result<()> {
    stage.is_prevented();
    stage
        .bench
        .set(&[
            ("wait_timeout", "2".to_owned()),
            ("net_read_timeout", "1".to_owned()),
        ])
        .await?;
    let mut client = stage.client().await?;
    stage.watch(false).await?;
    let size = stage.rng.between(10_000, 500_000) as usize;
    stage.does(format!(
        "wait_timeout=2, {size} bytes in four parts, 1.1 s between"
    ));
    let bytes = query_packet(&format!("SELECT LENGTH('{}')", "x".repeat(size)), 0);
    for part in bytes.chunks(bytes.len().div_ceil(4)) {
        if client.send(part).await.is_err() {
            bail!("a slow upload was ended");
        }
        millis(1_100).await;
    }
    match client.end().await? {
        Ok(()) => {}
        Err(saw) => bail!("a slow upload failed: {}", saw.message()),
    }
    client.quit().await;
    stage.look(true).await
}

pub(super) async fn slow_read(stage: &mut Stage<'_>) -> Result<()> {
    stage.is_prevented();
    stage
        .bench
        .set(&[("net_write_timeout", "3".to_owned())])
        .await?;
    let mut client = stage.client().await?;
    stage.watch(false).await?;
    stage.does("net_write_timeout=3, a result of 200 MiB with pauses of 1 s");
    if client.ask(LARGE_RESULT).await.is_err() {
        bail!("the statement could not be sent");
    }
    for _ in 0..2 {
        millis(1_000).await;
        for _ in 0..400 {
            client.take(65_536).await;
        }
    }
    client.take_all().await;
    client.quit().await;
    stage.look(true).await
}
