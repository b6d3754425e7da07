//! Transactions on rows that all clients change: transfers and snapshots.

use crate::client::{Client, How, Stop};
use crate::profiles::{affected, same, wrong};
use crate::record::Tx;
use crate::schema::{ACCOUNTS, INITIAL_BALANCE};

const LOCK: &str = "SELECT balance, version FROM account WHERE id = ? FOR UPDATE";
const READ: &str = "SELECT balance, version FROM account WHERE id = ?";
const MOVE: &str = "UPDATE account SET balance = balance + ?, version = version + 1 WHERE id = ?";
const NOTE: &str =
    "INSERT INTO transfer (client, n, step, src, dst, amount) VALUES (?, ?, ?, ?, ?, ?)";
const ALL: &str = "SELECT id, balance, version FROM account ORDER BY id";

impl Client {
    /// Moves an amount between two hot accounts; row locks are taken in the order of ids, so
    /// that the workload itself never deadlocks.
    pub(super) async fn transfer(
        &mut self,
        how: How,
        isolation: Option<&'static str>,
        tx: &mut Tx,
    ) -> Result<(), Stop> {
        if let Some(isolation) = isolation {
            self.text(isolation).await?;
        }
        self.text("BEGIN").await?;
        self.announce(how, tx).await?;
        let low = u32::try_from(self.rng.between(1, u64::from(ACCOUNTS))).unwrap_or(1);
        let high = u32::try_from(
            self.rng
                .between(u64::from(low) + 1, u64::from(ACCOUNTS) + 1),
        )
        .unwrap_or(low + 1);
        let amount = i64::try_from(self.rng.between(1, 100)).unwrap_or(1);
        let mut after = Vec::new();
        for (account, change) in [(low, -amount), (high, amount)] {
            let (balance, version) = self.account(how, LOCK, account).await?;
            tx.reads.push((account, version));
            tx.writes.push((account, version + 1));
            after.push((account, balance + change, version + 1));
            self.think().await;
        }
        for (account, change) in [(low, -amount), (high, amount)] {
            let answer = self
                .run(how, MOVE, vec![change.into(), account.into()])
                .await?;
            affected(MOVE, &answer, 1)?;
            self.think().await;
        }
        let step = tx.step();
        let told = [
            ("src", i64::from(low)),
            ("dst", i64::from(high)),
            ("amount", amount),
        ];
        tx.expect(
            "transfer",
            step,
            told.iter()
                .map(|(name, value)| (*name, value.to_string()))
                .collect(),
        );
        let ids = vec![
            self.id.into(),
            tx.number.into(),
            step.into(),
            low.into(),
            high.into(),
            amount.into(),
        ];
        self.run(how, NOTE, ids).await?;
        for (account, balance, version) in after {
            let found = self.account(how, READ, account).await?;
            same(READ, "own change read back", &found, &(balance, version))?;
        }
        self.commit(tx).await
    }

    /// Reads every hot account twice: the sum never moves, and under REPEATABLE READ
    /// (`repeatable`) nothing does.
    pub(super) async fn snapshot(
        &mut self,
        how: How,
        isolation: &'static str,
        repeatable: bool,
        tx: &mut Tx,
    ) -> Result<(), Stop> {
        self.text(isolation).await?;
        self.text("START TRANSACTION").await?;
        let first = self.all_accounts(how, tx).await?;
        self.announce(how, tx).await?;
        self.think().await;
        let second = self.all_accounts(how, tx).await?;
        if repeatable {
            same(ALL, "the repeated read", &second, &first)?;
        }
        self.bump_own(how, tx).await?;
        self.commit(tx).await
    }

    async fn account(&mut self, how: How, sql: &'static str, id: u32) -> Result<(i64, u64), Stop> {
        let answer = self.run(how, sql, vec![id.into()]).await?;
        let parsed = match &answer.rows[..] {
            [row] if row.len() == 2 => row[0].parse().ok().zip(row[1].parse().ok()),
            _ => None,
        };
        parsed.ok_or_else(|| wrong(sql, format!("account {id} is {:?}", answer.rows)))
    }

    async fn all_accounts(&mut self, how: How, tx: &mut Tx) -> Result<Vec<Vec<String>>, Stop> {
        let answer = self.run(how, ALL, Vec::new()).await?;
        let mut sum = 0_i64;
        for row in &answer.rows {
            if let [id, balance, version] = &row[..] {
                sum += balance.parse().unwrap_or(0);
                if let (Ok(id), Ok(version)) = (id.parse(), version.parse()) {
                    tx.reads.push((id, version));
                }
            }
        }
        same(
            ALL,
            "the sum of balances",
            &sum,
            &(INITIAL_BALANCE * i64::from(ACCOUNTS)),
        )?;
        Ok(answer.rows)
    }

    /// Reads again, after 1213, the hot rows that the transaction had read: whether one has
    /// another version now.
    pub(crate) async fn reread(&mut self, reads: &[(u32, u64)]) -> Result<Option<bool>, Stop> {
        if reads.is_empty() {
            return Ok(None);
        }
        let mut differs = false;
        for (account, version) in reads {
            let (_, now) = self.account(How::Text, READ, *account).await?;
            differs |= now != *version;
        }
        Ok(Some(differs))
    }
}
