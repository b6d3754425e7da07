//! Reads everything that the checker needs from the database, on a direct connection.

use std::time::Duration;

use anyhow::{Context, Result};
use mysql_async::{Conn, prelude::Queryable};

use crate::check::{Kind, LogRow, Snapshot, Violation};
use crate::schema::LOGS;

/// How long a transaction may outlive its client before that is a finding.
const SETTLE: Duration = Duration::from_secs(15);

/// Reads all tables of the database `name`. Values come as text, as the clients compare them.
pub(crate) async fn read(conn: &mut Conn, name: &str) -> Result<Snapshot> {
    conn.query_drop(format!("USE {name}")).await?;
    read_in(conn).await
}

/// The same for the current database of `conn`, which may be inside a transaction.
pub(crate) async fn read_in(conn: &mut impl Queryable) -> Result<Snapshot> {
    let mut snapshot = Snapshot::default();
    for log in LOGS {
        let columns: Vec<String> = log
            .columns
            .iter()
            .map(|column| format!("CAST({column} AS CHAR)"))
            .collect();
        let sql = format!(
            "SELECT client, n, step, {} FROM {}",
            columns.join(", "),
            log.name
        );
        let rows: Vec<mysql_async::Row> = conn
            .query(&sql)
            .await
            .with_context(|| format!("the checker could not read {}", log.name))?;
        for mut row in rows {
            let mut number = |index| row.take::<u32, usize>(index).unwrap_or_default();
            let (client, n, step) = (number(0), number(1), number(2));
            let columns = log
                .columns
                .iter()
                .zip(3..)
                .map(|(column, index)| {
                    (
                        *column,
                        row.take::<String, usize>(index).unwrap_or_default(),
                    )
                })
                .collect();
            snapshot.logs.entry((client, n)).or_default().push(LogRow {
                table: log.name,
                step,
                columns,
            });
        }
    }
    let accounts: Vec<(u32, i64, u64)> = conn
        .query("SELECT id, balance, version FROM account")
        .await?;
    snapshot.accounts = accounts
        .into_iter()
        .map(|(id, balance, version)| (id, (balance, version)))
        .collect();
    let own: Vec<(u32, u32, i64, u64)> = conn
        .query("SELECT client, slot, value, version FROM own")
        .await?;
    snapshot.own = own
        .into_iter()
        .map(|(client, slot, value, version)| ((client, slot), (value, version)))
        .collect();
    let kv: Vec<(u32, u32, i64)> = conn.query("SELECT client, k, hits FROM kv").await?;
    snapshot.kv = kv
        .into_iter()
        .map(|(client, k, hits)| ((client, k), hits))
        .collect();
    let tagged: Vec<(u32, u32, i64)> = conn.query("SELECT client, tag, hits FROM tagged").await?;
    snapshot.tagged = tagged
        .into_iter()
        .map(|(client, tag, hits)| ((client, tag), hits))
        .collect();
    let tally: Vec<(u32, u64)> = conn.query("SELECT client, hits FROM tally").await?;
    snapshot.tally = tally.into_iter().collect();
    let triple: Vec<(u32, u64)> = conn.query("SELECT client, hits FROM triple").await?;
    for (client, hits) in triple {
        snapshot.triple.entry(client).or_default().push(hits);
    }
    Ok(snapshot)
}

/// Waits until no transaction is open on the server. One that stays is a finding, and is killed
/// so that the check sees a final state.
pub(crate) async fn settle(conn: &mut Conn) -> Result<Vec<Violation>> {
    let open = "SELECT trx_mysql_thread_id, trx_state, trx_started, COALESCE(trx_query, '') \
                FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> CONNECTION_ID()";
    let begun = tokio::time::Instant::now();
    loop {
        let left: Vec<(u64, String, String, String)> = conn
            .query(open.replace("trx_started", "CAST(trx_started AS CHAR)"))
            .await
            .context("the checker could not see open transactions")?;
        if left.is_empty() {
            return Ok(Vec::new());
        }
        if begun.elapsed() > SETTLE {
            let detail =
                format!("(thread, state, since, statement) after every client left: {left:?}");
            for (thread, ..) in &left {
                // The thread may end by itself in between: KILL's error says nothing new.
                if let Err(error) = conn.query_drop(format!("KILL {thread}")).await {
                    eprintln!("KILL {thread}: {error}");
                }
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
            let profile = "-".to_owned();
            return Ok(vec![Violation {
                kind: Kind::LeftOpen,
                profile,
                client: 0,
                number: 0,
                detail,
            }]);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
