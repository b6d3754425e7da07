//! How large packets may be, in both directions.

use std::time::Duration;

use steadfast_diagnose::checks::facts::{PacketProbe, Seen};
use steadfast_net::QueryError;
use tokio::time::timeout;

use super::announce;
use crate::access::Access;

/// Sizes that are tried, in bytes: above what fits one segment, and as much as an import may have.
const SIZES: [u64; 4] = [64 << 10, 256 << 10, 1 << 20, 4 << 20];

/// Room for the rest of the statement, and for the server's own headers.
const ROOM: u64 = 1024;

/// How long a packet may take, beside the time that a slow line of 100 KB/s needs for it.
const LIMIT: Duration = Duration::from_secs(10);

/// A way that packets go.
#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

/// Tries all sizes that the server's `limit` allows.
pub(super) async fn probe(access: &Access, limit: u64) -> Seen<PacketProbe> {
    let sizes: Vec<u64> = SIZES
        .into_iter()
        .filter(|size| size + ROOM < limit)
        .collect();
    let largest = sizes.last().copied().unwrap_or_default();
    announce(&format!(
        "packet: statements and results of up to {} KiB",
        largest >> 10
    ));
    let mut probe = PacketProbe {
        up: 0,
        down: 0,
        failed: None,
    };
    for (way, name) in [
        (Way::Up, "from the client to the server"),
        (Way::Down, "from the server to the client"),
    ] {
        for size in &sizes {
            match one(access, way, *size).await {
                Ok(None) => match way {
                    Way::Up => probe.up = *size,
                    Way::Down => probe.down = *size,
                },
                Ok(Some(how)) => {
                    probe.failed = Some(format!(
                        "a packet of {} KiB {name} does not pass: {how}",
                        size >> 10
                    ));
                    break;
                }
                // Nothing to do with its size.
                Err(why) => return Seen::Unseen(why),
            }
        }
    }
    Seen::Is(probe)
}

/// Sends or fetches one packet, on a connection of its own; `Some`: how it failed.
async fn one(access: &Access, way: Way, size: u64) -> Result<Option<String>, String> {
    let mut connection = access
        .connect()
        .await
        .map_err(|error| format!("{error:#}"))?;
    let query = match way {
        Way::Up => format!(
            "DO LENGTH('{}')",
            "a".repeat(usize::try_from(size).unwrap_or_default())
        ),
        Way::Down => format!("SELECT REPEAT('a', {size})"),
    };
    let time = LIMIT + Duration::from_secs(size / 100_000);
    let failed = match timeout(time, connection.query(query.as_bytes())).await {
        // Too large to be kept here is large enough.
        Ok(Ok(_) | Err(QueryError::Dropped(_) | QueryError::TooLarge(_))) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("no answer within {} s", time.as_secs())),
    };
    if failed.is_none() {
        connection.quit().await;
    }
    Ok(failed)
}
