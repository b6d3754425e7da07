//! Whether a connection survives a pause in the middle of a result, and of a statement.

use std::future::ready;
use std::pin::pin;
use std::time::Duration;

use steadfast_diagnose::checks::facts::{PauseProbe, Seen};
use steadfast_net::{QueryError, ServerConnection};
use steadfast_wire::command::Query;
use steadfast_wire::frame::{self, HEADER_LEN};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::announce;
use crate::access::Access;

/// Bytes of a row: more than buffers on the way hold, together with the others.
const ROW: u64 = 1 << 20;

/// Rows of the result.
const ROWS: u64 = 16;

/// Bytes of the statement.
const STATEMENT: u64 = 64 << 10;

/// How long the rest may take after the pause.
const REST: Duration = Duration::from_secs(60);

/// Reads nothing for a while, in the middle of a result of 16 MiB at most.
pub(super) async fn slow_read(access: &Access, pause: Duration, limit: u64) -> Seen<PauseProbe> {
    let row = ROW.min(limit / 2);
    announce(&format!(
        "slow-read: a result of {} KiB, of which nothing is read for {} s",
        (row * ROWS) >> 10,
        pause.as_secs()
    ));
    let mut connection = match access.connect().await {
        Ok(connection) => connection,
        Err(error) => return Seen::Unseen(format!("{error:#}")),
    };
    let rows = vec!["SELECT 1"; usize::try_from(ROWS).unwrap_or(1)].join(" UNION ALL ");
    let query = format!("SELECT REPEAT('a', {row}) FROM ({rows}) AS parts");
    let lost = {
        let mut asking = pin!(connection.query(query.as_bytes()));
        // Polled once, it writes the statement; not polled, it reads nothing.
        tokio::select! {
            biased;
            _ = &mut asking => return Seen::Unseen("the result came before the pause".to_owned()),
            () = ready(()) => {}
        }
        sleep(pause).await;
        match timeout(REST, asking).await {
            Ok(Ok(_) | Err(QueryError::Dropped(_) | QueryError::TooLarge(_))) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("the rest did not come within {} s", REST.as_secs())),
        }
    };
    if lost.is_none() {
        connection.quit().await;
    }
    Seen::Is(PauseProbe { pause, lost })
}

/// Sends nothing for a while, in the middle of a statement of 64 KiB at most.
pub(super) async fn slow_write(access: &Access, pause: Duration, limit: u64) -> Seen<PauseProbe> {
    let size = STATEMENT.min(limit / 2);
    announce(&format!(
        "slow-write: a statement of {} KiB, after half of which nothing is sent for {} s",
        size >> 10,
        pause.as_secs()
    ));
    let mut connection = match access.connect().await {
        Ok(connection) => connection,
        Err(error) => return Seen::Unseen(format!("{error:#}")),
    };
    let text = format!(
        "DO LENGTH('{}')",
        "a".repeat(usize::try_from(size).unwrap_or_default())
    );
    let mut bytes = Vec::new();
    frame::write_with(&mut bytes, 0, |out| {
        Query::new(text.as_bytes()).write(out, connection.capabilities)
    });
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let lost = match halves(&mut connection, first, pause, rest).await {
        Ok(said) => said,
        Err(error) => Some(error.to_string()),
    };
    if lost.is_none() {
        connection.quit().await;
    }
    Seen::Is(PauseProbe { pause, lost })
}

/// Writes both halves and reads the answer; `Some`: what the server said instead of OK.
async fn halves(
    connection: &mut ServerConnection,
    first: &[u8],
    pause: Duration,
    rest: &[u8],
) -> std::io::Result<Option<String>> {
    let stream = &mut connection.stream;
    stream.write_all(first).await?;
    stream.flush().await?;
    sleep(pause).await;
    stream.write_all(rest).await?;
    stream.flush().await?;
    let answer = async {
        let mut header = [0; HEADER_LEN];
        stream.read_exact(&mut header).await?;
        let [low, middle, high, _] = header;
        let mut payload = vec![0; u32::from_le_bytes([low, middle, high, 0]) as usize];
        stream.read_exact(&mut payload).await?;
        std::io::Result::Ok(payload)
    };
    Ok(match timeout(REST, answer).await {
        Ok(payload) => match payload?.split_first() {
            Some((0, _)) => None,
            Some((_, said)) => Some(format!(
                "the server said: {}",
                String::from_utf8_lossy(said.get(2..).unwrap_or_default())
            )),
            None => Some("the server's answer is empty".to_owned()),
        },
        Err(_) => Some(format!("no answer within {} s", REST.as_secs())),
    })
}
