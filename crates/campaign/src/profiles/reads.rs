//! Reads outside transactions, idle sessions, and a read-only transaction.

use crate::client::{Client, How, Stop};
use crate::profiles::{same, wrong};
use crate::record::Tx;
use crate::schema::{BULK_ROWS, OWN_STEP, SLOTS, bulk_body, bulk_n};

const BULK: &str = "SELECT id, n, body FROM bulk ORDER BY id";
const BY_KEY: &str = "SELECT n, body FROM bulk WHERE id = ?";
const OWN: &str = "SELECT value, version FROM own WHERE client = ? AND slot = ?";
const SLOW: &str = "SELECT COUNT(*) FROM bulk a JOIN bulk b ON b.n <> a.n WHERE a.id <= ?";

impl Client {
    pub(super) async fn idle(&mut self) -> Result<(), Stop> {
        let pause = self.rng.millis(500, 2500);
        tokio::time::sleep(pause).await;
        Ok(())
    }

    pub(super) async fn read_rows_by_key(&mut self, how: How) -> Result<(), Stop> {
        for _ in 0..3 {
            let id = u32::try_from(self.rng.between(1, u64::from(BULK_ROWS) + 1)).unwrap_or(1);
            let answer = self.run(how, BY_KEY, vec![id.into()]).await?;
            same(
                BY_KEY,
                "the row",
                &answer.rows,
                &vec![vec![bulk_n(id).to_string(), bulk_body(id)]],
            )?;
        }
        let slot = self.slot();
        self.read_own(how, OWN, slot).await?;
        Ok(())
    }

    pub(super) async fn read_many(&mut self, how: How) -> Result<(), Stop> {
        let answer = self.run(how, BULK, Vec::new()).await?;
        same(
            BULK,
            "the number of rows",
            &answer.rows.len(),
            &(BULK_ROWS as usize),
        )?;
        for (row, id) in answer.rows.iter().zip(1..) {
            let right = row.len() == 3
                && row[0] == id.to_string()
                && row[1] == bulk_n(id).to_string()
                && row[2] == bulk_body(id);
            if !right {
                return Err(wrong(BULK, format!("row {id} is {row:?}")));
            }
        }
        Ok(())
    }

    pub(super) async fn read_slow(&mut self, how: How) -> Result<(), Stop> {
        let limit = self.rng.between(100, 400);
        let answer = self.run(how, SLOW, vec![limit.into()]).await?;
        let wanted = limit * (u64::from(BULK_ROWS) - 1);
        same(
            SLOW,
            "the count",
            &answer.rows,
            &vec![vec![wanted.to_string()]],
        )
    }

    pub(super) async fn read_only_transaction(
        &mut self,
        how: How,
        tx: &mut Tx,
    ) -> Result<(), Stop> {
        self.text("START TRANSACTION READ ONLY").await?;
        let slot = self.slot();
        let first = self.read_own(how, OWN, slot).await?;
        self.think().await;
        let second = self.read_own(how, OWN, slot).await?;
        same(OWN, "the private row's version", &second, &first)?;
        self.commit(tx).await
    }

    pub(super) fn slot(&mut self) -> u32 {
        u32::try_from(self.rng.between(0, u64::from(SLOTS))).unwrap_or_default()
    }

    /// Reads a private row and returns its version: never older than what was acknowledged.
    pub(super) async fn read_own(
        &mut self,
        how: How,
        sql: &'static str,
        slot: u32,
    ) -> Result<u64, Stop> {
        let answer = self
            .run(how, sql, vec![self.id.into(), slot.into()])
            .await?;
        let numbers: Vec<i64> = answer
            .rows
            .iter()
            .flatten()
            .filter_map(|text| text.parse().ok())
            .collect();
        let seen = self.own_seen.get(&slot).copied().unwrap_or_default();
        match numbers[..] {
            [value, version] if value == OWN_STEP * version => match u64::try_from(version) {
                Ok(version) if version >= seen => Ok(version),
                _ => Err(wrong(
                    sql,
                    format!("version {version} is older than the acknowledged {seen}"),
                )),
            },
            _ => Err(wrong(sql, format!("the private row is {:?}", answer.rows))),
        }
    }
}
