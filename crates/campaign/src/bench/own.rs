//! What our own clients do: connecting, a large result, and doing nothing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mysql_async::{Conn, Opts, Row, prelude::Queryable};
use tokio::task::JoinSet;

use super::usage::{Memory, Usage, forget_peak};
use super::{DATABASE, Done, Latency};

/// Connections before the first that counts: a server may keep what it has verified once.
const WARM: u32 = 20;

/// Results that are read in one run.
const RESULTS: u32 = 3;

/// 2,000 rows of 1,000 bytes, joined with 50 rows.
const LARGE: &str = "SELECT a.id, b.id, a.body FROM large a JOIN large b ON b.id <= 50";
const LARGE_ROWS: usize = 100_000;
pub(super) const LARGE_BYTES: f64 = 1e8;

/// Clients that connect at the same time, where many are to be idle.
const AT_ONCE: u32 = 32;

/// So long they have been idle when the memory is looked at.
const REST: Duration = Duration::from_secs(3);

/// Creates the table, straight on the server.
pub(super) async fn prepare(conn: &mut Conn) -> Result<()> {
    conn.query_drop(format!(
        "CREATE TABLE {DATABASE}.large (id INT PRIMARY KEY, body VARCHAR(1000) NOT NULL)"
    ))
    .await?;
    for hundred in 0..20 {
        let rows: Vec<String> = (1..=100)
            .map(|row| format!("({}, REPEAT('x', 1000))", hundred * 100 + row))
            .collect();
        conn.query_drop(format!(
            "INSERT INTO {DATABASE}.large VALUES {}",
            rows.join(",")
        ))
        .await?;
    }
    Ok(())
}

/// Connects, asks one thing and disconnects, again and again.
pub(super) async fn connect(
    opts: &Opts,
    clients: u32,
    time: Duration,
    process: Option<u32>,
) -> Result<Done> {
    for _ in 0..WARM {
        once(opts).await?;
    }
    let before = process.map(Usage::of).transpose()?;
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let opts = opts.clone();
        tasks.spawn(async move {
            let mut took = Vec::new();
            while begun.elapsed() < time {
                let begun = Instant::now();
                once(&opts).await?;
                took.push(begun.elapsed());
            }
            anyhow::Ok(took)
        });
    }
    let mut took = Vec::new();
    while let Some(of_client) = tasks.join_next().await {
        took.extend(of_client??);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let after = process.map(Usage::of).transpose()?;
    Ok(Done {
        operations: took.len() as f64,
        queries: took.len() as f64,
        seconds,
        latency: Latency::of_times(&took).context("nobody connected")?,
        used: after.zip(before).map(|(after, before)| after.since(before)),
    })
}

async fn once(opts: &Opts) -> Result<()> {
    let mut conn = Conn::new(opts.clone())
        .await
        .context("a client could not connect")?;
    let one: Option<u8> = conn.query_first("SELECT 1").await?;
    ensure!(one == Some(1), "SELECT 1 gave {one:?}");
    Ok(conn.disconnect().await?)
}

/// Reads the large result; with it the KiB by which the proxy's memory has grown meanwhile, at most.
pub(super) async fn large_result(opts: &Opts, process: Option<u32>) -> Result<(Done, Option<u64>)> {
    let mut conn = Conn::new(opts.clone()).await?;
    let mut took = Vec::new();
    let had = process
        .map(|process| forget_peak(process).and_then(|()| Memory::of(process)))
        .transpose()?;
    let before = process.map(Usage::of).transpose()?;
    let all = Instant::now();
    for _ in 0..RESULTS {
        let begun = Instant::now();
        let mut result = conn.query_iter(LARGE).await?;
        let mut rows = 0;
        result.for_each(|_: Row| rows += 1).await?;
        ensure!(rows == LARGE_ROWS, "the result has {rows} rows");
        took.push(begun.elapsed());
    }
    let seconds = all.elapsed().as_secs_f64();
    let after = process.map(Usage::of).transpose()?;
    let has = process.map(Memory::of).transpose()?;
    conn.disconnect().await?;
    let done = Done {
        operations: f64::from(RESULTS),
        queries: f64::from(RESULTS),
        seconds,
        latency: Latency::of_times(&took).context("nothing was read")?,
        used: after.zip(before).map(|(after, before)| after.since(before)),
    };
    let grown = has
        .zip(had)
        .map(|(has, had)| has.peak.saturating_sub(had.resident));
    Ok((done, grown))
}

/// The KiB that so many idle clients keep resident in a proxy that has had none before.
pub(super) async fn idle(opts: &Opts, clients: u32, process: u32) -> Result<u64> {
    let before = Memory::of(process)?;
    let mut tasks = JoinSet::new();
    for part in 0..AT_ONCE {
        let count = clients / AT_ONCE + u32::from(part < clients % AT_ONCE);
        let opts = opts.clone();
        tasks.spawn(async move {
            let mut connected = Vec::new();
            for _ in 0..count {
                connected.push(Conn::new(opts.clone()).await?);
            }
            mysql_async::Result::Ok(connected)
        });
    }
    let mut connected = Vec::new();
    while let Some(part) = tasks.join_next().await {
        connected.extend(part?.context("an idle client could not connect")?);
    }
    tokio::time::sleep(REST).await;
    let after = Memory::of(process)?;
    for conn in connected {
        conn.disconnect().await?;
    }
    Ok(after.resident.saturating_sub(before.resident))
}
