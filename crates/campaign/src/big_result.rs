//! A result of 100 MB that loses its server connection in the middle must end complete and
//! equal to the direct one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mysql_async::{Conn, Row, Value, prelude::Queryable};
use xxhash_rust::xxh3::Xxh3;

use crate::client::How;
use crate::faults::Fault;
use crate::rig::Rig;
use crate::rng::Rng;

const DATABASE: &str = "survive_big";
/// 2,000 rows of 1,000 bytes, joined with 50 rows: 100,000 rows, 100 MB.
const RESULT: &str =
    "SELECT a.id, b.id, a.body FROM big a JOIN big b ON b.id <= 50 ORDER BY a.id, b.id";
const MEGABYTE: f64 = 1e6;
/// Where in the result the connection is lost, in bytes: carried by the link for a cut, seen by
/// the client for other faults.
const LOST_AT: [u64; 4] = [300, 1_000_003, 50_000_321, 95_000_999];
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, PartialEq, Eq)]
struct Digest {
    rows: u64,
    bytes: u64,
    hash: u64,
}

/// Runs every combination of protocol, fault and place; returns whether all results were right.
pub(crate) async fn run(rig: &mut Rig, faults: &[Fault]) -> Result<bool> {
    set_up(rig).await?;
    let mut direct = Conn::new(rig.direct.clone()).await?;
    direct.query_drop(format!("USE {DATABASE}")).await?;
    let mut right = Vec::new();
    for how in [How::Text, How::Prepared] {
        right.push((how, read(&mut direct, how, None).await?));
    }
    direct.disconnect().await?;
    let mut all = true;
    for (how, wanted) in &right {
        for fault in faults {
            for at in LOST_AT {
                all &= one(rig, *how, *fault, at, wanted).await?;
            }
        }
    }
    if let Some(peak) = rig.proxy_peak_kib() {
        println!(
            "Steadfast's peak resident memory: {:.1} MiB",
            peak as f64 / 1024.0
        );
    }
    Ok(all)
}

async fn one(rig: &mut Rig, how: How, fault: Fault, at: u64, wanted: &Digest) -> Result<bool> {
    let mut conn = Conn::new(rig.client_options(DATABASE, 32))
        .await
        .context("a client could not connect")?;
    let seen_by_client = match rig.cut_after(at, fault) {
        Some(()) => None,
        None => Some((&mut *rig, fault, at)),
    };
    let begun = Instant::now();
    let outcome = tokio::time::timeout(PATIENCE, read(&mut conn, how, seen_by_client)).await;
    let (right, text) = match outcome {
        Ok(Ok(found)) if found == *wanted => (true, "complete and equal".to_owned()),
        Ok(Ok(found)) => (false, format!("WRONG: {found:?}, direct {wanted:?}")),
        Ok(Err(error)) => (false, format!("FAILED: {error}")),
        Err(_) => (false, "FAILED: not complete within 300 s".to_owned()),
    };
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{how:?}, {} after {:.4} MB: {text}, {seconds:.1} s",
        fault.name(),
        at as f64 / MEGABYTE
    );
    if right {
        return still_usable(conn).await;
    }
    rig.check_proxy()?;
    Ok(false)
}

/// The connection must go on after the result.
async fn still_usable(mut conn: Conn) -> Result<bool> {
    match conn.query_first::<u32, _>("SELECT 42").await {
        Ok(Some(42)) => {
            conn.disconnect().await?;
            return Ok(true);
        }
        Ok(answer) => println!("  but SELECT 42 after it gave {answer:?}"),
        Err(error) => println!("  but SELECT 42 after it FAILED: {error}"),
    }
    Ok(false)
}

async fn set_up(rig: &Rig) -> Result<()> {
    let mut conn = Conn::new(rig.direct.clone()).await?;
    conn.query_drop(format!("CREATE DATABASE {DATABASE}"))
        .await?;
    conn.query_drop(format!("USE {DATABASE}")).await?;
    conn.query_drop(
        "CREATE TABLE big (id INT PRIMARY KEY, body VARCHAR(1000) CHARACTER SET latin1 NOT NULL)",
    )
    .await?;
    for first in (1..=2000_u32).step_by(200) {
        let rows: Vec<String> = (first..first + 200)
            .map(|id| {
                let seed = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let body: String = (0..62)
                    .map(|part| format!("{:016x}", seed.rotate_left(part)))
                    .collect();
                format!("({id}, '{body}')")
            })
            .collect();
        conn.query_drop(format!("INSERT INTO big VALUES {}", rows.join(",")))
            .await?;
    }
    conn.disconnect().await?;
    Ok(())
}

/// Reads the result row by row, lets the fault happen once `at` bytes have been seen, and
/// digests everything.
async fn read(conn: &mut Conn, how: How, fault: Option<(&mut Rig, Fault, u64)>) -> Result<Digest> {
    match how {
        How::Text => digest(conn.query_iter(RESULT).await?, fault).await,
        How::Prepared => {
            let statement = conn.prep(RESULT).await?;
            digest(conn.exec_iter(&statement, ()).await?, fault).await
        }
    }
}

async fn digest<P: mysql_async::prelude::Protocol>(
    mut result: mysql_async::QueryResult<'_, '_, P>,
    mut fault: Option<(&mut Rig, Fault, u64)>,
) -> Result<Digest> {
    let mut hasher = Xxh3::new();
    let mut digest = Digest {
        rows: 0,
        bytes: 0,
        hash: 0,
    };
    while let Some(row) = result.next().await? {
        digest.rows += 1;
        digest.bytes += absorb(&mut hasher, row);
        if fault.as_ref().is_some_and(|(_, _, at)| digest.bytes >= *at)
            && let Some((rig, kind, _)) = fault.take()
        {
            kind.inject(rig, &mut Rng::new(digest.bytes)).await?;
        }
    }
    result.drop_result().await?;
    digest.hash = hasher.digest();
    Ok(digest)
}

fn absorb(hasher: &mut Xxh3, row: Row) -> u64 {
    let mut bytes = 0;
    for value in row.unwrap() {
        match &value {
            Value::Bytes(body) => {
                bytes += body.len() as u64;
                hasher.update(body);
            }
            other => hasher.update(other.as_sql(true).as_bytes()),
        }
        hasher.update(b"\0");
    }
    bytes
}
