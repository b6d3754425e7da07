//! Transactions on rows that only this client touches: any 1213 here is a failure.

use crate::client::{Client, How, Stop};
use crate::profiles::{READ_COMMITTED, REPEATABLE_READ, SERIALIZABLE, affected, same};
use crate::record::{Phase, Tx};
use crate::schema::OWN_STEP;

const READ: &str = "SELECT value, version FROM own WHERE client = ? AND slot = ?";
const LOCK: &str = "SELECT value, version FROM own WHERE client = ? AND slot = ? FOR UPDATE";
const BUMP: &str =
    "UPDATE own SET value = value + ?, version = version + 1 WHERE client = ? AND slot = ?";
const BUMP_BY_VARIABLE: &str =
    "UPDATE own SET value = value + @add, version = version + 1 WHERE client = ? AND slot = ?";
const NOTE: &str = "INSERT INTO own_log (client, n, step, slot, amount) VALUES (?, ?, ?, ?, ?)";
const ITEM: &str = "INSERT INTO item (client, n, step, label) VALUES (?, ?, ?, ?)";
const ITEMS: &str = "SELECT COUNT(*) FROM item WHERE id = ?";

impl Client {
    pub(super) async fn own_rows(
        &mut self,
        how: How,
        isolation: &'static str,
        tx: &mut Tx,
    ) -> Result<(), Stop> {
        debug_assert!([REPEATABLE_READ, READ_COMMITTED, SERIALIZABLE].contains(&isolation));
        self.text(isolation).await?;
        self.text("BEGIN").await?;
        self.announce(how, tx).await?;
        self.bump_own(how, tx).await?;
        self.think().await;
        self.bump_own(how, tx).await?;
        self.commit(tx).await
    }

    /// Reads, changes, and reads back one private row.
    pub(super) async fn bump_own(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        let slot = self.slot();
        let lock = if self.rng.one_in(2) { READ } else { LOCK };
        let before = self.read_own(how, lock, slot).await?;
        self.think().await;
        let params = vec![OWN_STEP.into(), self.id.into(), slot.into()];
        let answer = self.run(how, BUMP, params).await?;
        affected(BUMP, &answer, 1)?;
        self.note_own(how, slot, tx).await?;
        let after = self.read_own(how, READ, slot).await?;
        same(READ, "the version read back", &after, &(before + 1))
    }

    async fn note_own(&mut self, how: How, slot: u32, tx: &mut Tx) -> Result<(), Stop> {
        let step = tx.step();
        tx.expect(
            "own_log",
            step,
            vec![("slot", slot.to_string()), ("amount", OWN_STEP.to_string())],
        );
        let params = vec![
            self.id.into(),
            tx.number.into(),
            step.into(),
            slot.into(),
            OWN_STEP.into(),
        ];
        self.run(how, NOTE, params).await?;
        Ok(())
    }

    pub(super) async fn user_variables(&mut self, tx: &mut Tx) -> Result<(), Stop> {
        self.text("BEGIN").await?;
        self.announce(How::Text, tx).await?;
        self.run(How::Text, "SET @add = ?", vec![OWN_STEP.into()])
            .await?;
        let slot = self.slot();
        let before = self.read_own(How::Prepared, READ, slot).await?;
        self.think().await;
        self.run(
            How::Text,
            BUMP_BY_VARIABLE,
            vec![self.id.into(), slot.into()],
        )
        .await?;
        self.note_own(How::Prepared, slot, tx).await?;
        let into = "SELECT version INTO @got FROM own WHERE client = ? AND slot = ?";
        self.run(How::Text, into, vec![self.id.into(), slot.into()])
            .await?;
        self.run(How::Text, "SET @add = @add + ?", vec![before.into()])
            .await?;
        let sql = "SELECT @add, @got, @name = ?";
        let mine = format!("Zoë ключ 鍵 {}", self.id);
        let answer = self.run(How::Text, sql, vec![mine.into()]).await?;
        let wanted = vec![vec![
            (OWN_STEP as u64 + before).to_string(),
            (before + 1).to_string(),
            "1".to_owned(),
        ]];
        same(sql, "the user variables", &answer.rows, &wanted)?;
        self.commit(tx).await
    }

    /// Two transactions without BEGIN. The first one only reads, so that its COMMIT leaves
    /// nothing to look for when it is in doubt. The driver loop sets autocommit back.
    pub(super) async fn autocommit_off(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        self.text("SET autocommit = 0").await?;
        let slot = self.slot();
        self.read_own(how, READ, slot).await?;
        self.commit(tx).await?;
        tx.phase = Phase::Open;
        tx.commit_sent = None;
        self.announce(how, tx).await?;
        self.bump_own(how, tx).await?;
        self.think().await;
        let answer = self.text("SELECT @@autocommit").await?;
        same(
            "SELECT @@autocommit",
            "autocommit",
            &answer.rows,
            &vec![vec!["0".to_owned()]],
        )?;
        self.commit(tx).await
    }

    /// READ COMMITTED: above it, InnoDB (MySQL 9.7) leaves a gap lock where ROLLBACK TO removed
    /// an inserted row, and two clients that do so deadlock at their next INSERT.
    pub(super) async fn savepoint(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        self.text(READ_COMMITTED).await?;
        self.text("BEGIN").await?;
        self.announce(how, tx).await?;
        self.bump_own(how, tx).await?;
        self.text("SAVEPOINT first").await?;
        let undone = tx.step();
        let ids = |client: u32, number: u32, step: u32, label: &str| {
            vec![client.into(), number.into(), step.into(), label.into()]
        };
        let gone = self
            .run(how, ITEM, ids(self.id, tx.number, undone, "undone"))
            .await?
            .insert_id;
        self.think().await;
        self.text("ROLLBACK TO first").await?;
        let answer = self.run(how, ITEMS, vec![gone.into()]).await?;
        same(
            ITEMS,
            "rows after ROLLBACK TO",
            &answer.rows,
            &vec![vec!["0".to_owned()]],
        )?;
        self.text("SAVEPOINT second").await?;
        let kept = tx.step();
        let id = self
            .run(how, ITEM, ids(self.id, tx.number, kept, "kept"))
            .await?
            .insert_id;
        tx.expect(
            "item",
            kept,
            vec![("id", id.to_string()), ("label", "kept".to_owned())],
        );
        self.think().await;
        self.text("RELEASE SAVEPOINT second").await?;
        self.bump_own(how, tx).await?;
        self.commit(tx).await
    }
}
