//! Transactions whose results the server makes up: insert ids, the time, random numbers.

use mysql_async::Value;

use crate::check::Kind;
use crate::client::{Client, How, Stop};
use crate::profiles::{affected, as_kind, same, wrong};
use crate::record::Tx;

const ITEM: &str = "INSERT INTO item (client, n, step, label) VALUES (?, ?, ?, ?)";
const ITEM_BACK: &str = "SELECT label FROM item WHERE id = ?";
pub(super) const THREE_ITEMS: &str = "INSERT INTO item (client, n, step, label) VALUES (?, ?, ?, 'a'), (?, ?, ?, 'b'), (?, ?, ?, 'c')";
const LAST_ID: &str = "SELECT LAST_INSERT_ID()";
pub(super) const AFTER: &str =
    "INSERT INTO item_after (client, n, step, label) VALUES (?, ?, ?, ?)";
const TWO_AFTER: &str =
    "INSERT INTO item_after (client, n, step, label) VALUES (?, ?, ?, 'a'), (?, ?, ?, 'b')";
const AUDIT: &str = "SELECT COUNT(*) FROM item_after WHERE id = ? AND client = ? AND n = ?";
const BEFORE: &str = "INSERT INTO item_before (client, n, step, mark) VALUES (?, ?, ?, 0)";
const BEFORE_BACK: &str = "SELECT mark FROM item_before WHERE id = ?";
const CLOCK: &str = "INSERT INTO clock (client, n, step, told) VALUES (?, ?, ?, NOW(6))";
const CLOCK_BACK: &str = "SELECT CAST(told AS CHAR), CAST(dflt AS CHAR), CAST(short AS CHAR) \
     FROM clock WHERE client = ? AND n = ? AND step = ?";
const CLOCK_TOLD: &str = "INSERT INTO clock (client, n, step, told) VALUES (?, ?, ?, ?)";
const NOW: &str = "SELECT CAST(NOW(6) AS CHAR), CAST(CURRENT_TIMESTAMP AS CHAR)";
const NOISE: &str = "INSERT INTO noise (client, n, step, r) VALUES (?, ?, ?, RAND())";
const NOISE_TOLD: &str = "INSERT INTO noise (client, n, step, r) VALUES (?, ?, ?, ?)";
const NOISE_BACK: &str =
    "SELECT CAST(r AS CHAR) FROM noise WHERE client = ? AND n = ? AND step = ?";
const RAND: &str = "SELECT FLOOR(RAND() * 1000000000)";
const UPSERT: &str = "INSERT INTO kv (client, k, hits, version) VALUES (?, ?, ?, 1) \
     ON DUPLICATE KEY UPDATE hits = hits + ?, version = version + 1";
const UPSERT_NOTE: &str = "INSERT INTO kv_log (client, n, step, k, amount) VALUES (?, ?, ?, ?, ?)";
const TAG: &str = "INSERT INTO tagged (client, tag, hits) VALUES (?, ?, ?) \
     ON DUPLICATE KEY UPDATE hits = hits + ?";
const TAG_NOTE: &str = "INSERT INTO tag_log (client, n, step, tag, amount) VALUES (?, ?, ?, ?, ?)";

impl Client {
    pub(super) fn key(&self, tx: &Tx, step: u32) -> Vec<Value> {
        vec![self.id.into(), tx.number.into(), step.into()]
    }

    pub(super) fn key_and(&self, tx: &Tx, step: u32, more: impl Into<Value>) -> Vec<Value> {
        let mut key = self.key(tx, step);
        key.push(more.into());
        key
    }

    /// Inserts into `item` and remembers the id; the same id must be LAST_INSERT_ID().
    async fn insert_item(&mut self, how: How, tx: &mut Tx) -> Result<u64, Stop> {
        let step = tx.step();
        let label = format!("label-{step}");
        let id = self
            .run(how, ITEM, self.key_and(tx, step, label.clone()))
            .await?
            .insert_id;
        tx.expect(
            "item",
            step,
            vec![("id", id.to_string()), ("label", label.clone())],
        );
        Ok(id)
    }

    pub(super) async fn expect_last_id(&mut self, how: How, id: u64) -> Result<(), Stop> {
        let answer = self.run(how, LAST_ID, Vec::new()).await?;
        let shown = same(
            LAST_ID,
            "LAST_INSERT_ID()",
            &answer.rows,
            &vec![vec![id.to_string()]],
        );
        as_kind(Kind::WrongId, shown)
    }

    pub(super) async fn insert_single(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        self.text("BEGIN").await?;
        self.announce(how, tx).await?;
        let first = self.insert_item(how, tx).await?;
        self.think().await;
        let second = self.insert_item(how, tx).await?;
        if second <= first {
            return Err(wrong(ITEM, format!("insert id {second} after {first}")));
        }
        self.expect_last_id(how, second).await?;
        self.think().await;
        let answer = self.run(how, ITEM_BACK, vec![first.into()]).await?;
        same(
            ITEM_BACK,
            "the label read back",
            &answer.rows,
            &vec![vec!["label-1".to_owned()]],
        )?;
        self.commit(tx).await
    }

    pub(super) async fn insert_multi(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        self.text("START TRANSACTION").await?;
        self.announce(how, tx).await?;
        let steps = [tx.step(), tx.step(), tx.step()];
        let params = steps.iter().flat_map(|step| self.key(tx, *step)).collect();
        let first = self.run(how, THREE_ITEMS, params).await?;
        affected(THREE_ITEMS, &first, 3)?;
        for ((step, id), label) in steps.iter().zip(first.insert_id..).zip(["a", "b", "c"]) {
            tx.expect(
                "item",
                *step,
                vec![("id", id.to_string()), ("label", label.to_owned())],
            );
        }
        self.think().await;
        self.expect_last_id(how, first.insert_id).await?;
        self.insert_item(how, tx).await?;
        self.think().await;
        let answer = self
            .run(how, ITEM_BACK, vec![(first.insert_id + 2).into()])
            .await?;
        same(
            ITEM_BACK,
            "the third row read back",
            &answer.rows,
            &vec![vec!["c".to_owned()]],
        )?;
        self.commit(tx).await
    }

    pub(super) async fn insert_after_trigger(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        self.text("BEGIN").await?;
        self.announce(how, tx).await?;
        let step = tx.step();
        let id = self
            .run(how, AFTER, self.key_and(tx, step, "one"))
            .await?
            .insert_id;
        self.expect_after(tx, step, id, "one");
        self.think().await;
        self.expect_last_id(how, id).await?;
        let steps = [tx.step(), tx.step()];
        let params = steps.iter().flat_map(|step| self.key(tx, *step)).collect();
        let two = self.run(how, TWO_AFTER, params).await?.insert_id;
        self.expect_after(tx, steps[0], two, "a");
        self.expect_after(tx, steps[1], two + 1, "b");
        self.think().await;
        let answer = self
            .run(
                how,
                AUDIT,
                vec![id.into(), self.id.into(), tx.number.into()],
            )
            .await?;
        same(
            AUDIT,
            "own rows under the first id",
            &answer.rows,
            &vec![vec!["1".to_owned()]],
        )?;
        self.commit(tx).await
    }

    pub(super) fn expect_after(&self, tx: &mut Tx, step: u32, id: u64, label: &str) {
        tx.expect(
            "item_after",
            step,
            vec![("id", id.to_string()), ("label", label.to_owned())],
        );
        tx.expect("audit", step, vec![("item_id", id.to_string())]);
    }

    pub(super) async fn insert_before_trigger(
        &mut self,
        how: How,
        tx: &mut Tx,
    ) -> Result<(), Stop> {
        self.text("BEGIN").await?;
        self.announce(how, tx).await?;
        for _ in 0..2 {
            let step = tx.step();
            let id = self.run(how, BEFORE, self.key(tx, step)).await?.insert_id;
            let mark = (tx.number * 100 + step).to_string();
            tx.expect(
                "item_before",
                step,
                vec![("id", id.to_string()), ("mark", mark.clone())],
            );
            tx.expect("mark_log", step, vec![("mark", mark.clone())]);
            self.think().await;
            let answer = self.run(how, BEFORE_BACK, vec![id.into()]).await?;
            same(
                BEFORE_BACK,
                "the trigger's mark",
                &answer.rows,
                &vec![vec![mark]],
            )?;
        }
        self.commit(tx).await
    }

    pub(super) async fn clock(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        self.text("BEGIN").await?;
        self.announce(how, tx).await?;
        let step = tx.step();
        self.run(how, CLOCK, self.key(tx, step)).await?;
        self.think().await;
        let answer = self.run(how, CLOCK_BACK, self.key(tx, step)).await?;
        let [row] = &answer.rows[..] else {
            return Err(wrong(CLOCK_BACK, format!("{} rows", answer.rows.len())));
        };
        let [told, default, short] = &row[..] else {
            return Err(wrong(CLOCK_BACK, format!("row {row:?}")));
        };
        same(CLOCK_BACK, "the default beside NOW(6)", default, told)?;
        let columns = vec![
            ("told", told.clone()),
            ("dflt", default.clone()),
            ("short", short.clone()),
        ];
        tx.expect("clock", step, columns);
        let answer = self.run(how, NOW, Vec::new()).await?;
        let Some(now) = answer.rows.first().and_then(|row| row.first()).cloned() else {
            return Err(wrong(NOW, "no row".into()));
        };
        if now < *told {
            return Err(wrong(
                NOW,
                format!("the clock went back from {told} to {now}"),
            ));
        }
        let step = tx.step();
        self.run(how, CLOCK_TOLD, self.key_and(tx, step, now.clone()))
            .await?;
        tx.expect("clock", step, vec![("told", now)]);
        self.think().await;
        self.commit(tx).await
    }

    pub(super) async fn random(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        self.text("BEGIN").await?;
        self.announce(how, tx).await?;
        let step = tx.step();
        self.run(how, NOISE, self.key(tx, step)).await?;
        self.think().await;
        let back = self.run(how, NOISE_BACK, self.key(tx, step)).await?;
        let stored = back
            .rows
            .first()
            .and_then(|row| row.first())
            .cloned()
            .unwrap_or_default();
        tx.expect("noise", step, vec![("r", stored)]);
        let shown = self.run(how, RAND, Vec::new()).await?;
        let shown = shown
            .rows
            .first()
            .and_then(|row| row.first())
            .cloned()
            .unwrap_or_default();
        let Ok(number) = shown.parse::<f64>() else {
            return Err(wrong(RAND, format!("RAND() gave {shown:?}")));
        };
        let step = tx.step();
        let number = number as i64;
        self.run(how, NOISE_TOLD, self.key_and(tx, step, number))
            .await?;
        tx.expect("noise", step, vec![("r", number.to_string())]);
        self.think().await;
        self.commit(tx).await
    }

    pub(super) async fn upsert(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        self.text("BEGIN").await?;
        self.announce(how, tx).await?;
        for _ in 0..2 {
            let k = self.rng.between(0, 40);
            let amount = self.rng.between(1, 50);
            let params = vec![self.id.into(), k.into(), amount.into(), amount.into()];
            let answer = self.run(how, UPSERT, params).await?;
            if !matches!(answer.affected, 1 | 2) {
                affected(UPSERT, &answer, 1)?;
            }
            self.think().await;
            self.note_amount(how, "kv_log", UPSERT_NOTE, ("k", k), amount, tx)
                .await?;
        }
        self.commit(tx).await
    }

    /// The update branch does not use the id that it draws; the plain insert after it must
    /// still get the id that the client was told.
    pub(super) async fn upsert_auto(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        self.text("BEGIN").await?;
        self.announce(how, tx).await?;
        let tag = self.rng.between(1, 30);
        let amount = self.rng.between(1, 50);
        let params = vec![self.id.into(), tag.into(), amount.into(), amount.into()];
        self.run(how, TAG, params).await?;
        self.note_amount(how, "tag_log", TAG_NOTE, ("tag", tag), amount, tx)
            .await?;
        self.think().await;
        let id = self.insert_item(how, tx).await?;
        self.expect_last_id(how, id).await?;
        self.commit(tx).await
    }

    async fn note_amount(
        &mut self,
        how: How,
        table: &'static str,
        sql: &'static str,
        (column, key): (&'static str, u64),
        amount: u64,
        tx: &mut Tx,
    ) -> Result<(), Stop> {
        let step = tx.step();
        tx.expect(
            table,
            step,
            vec![(column, key.to_string()), ("amount", amount.to_string())],
        );
        let mut params = self.key_and(tx, step, key);
        params.push(amount.into());
        self.run(how, sql, params).await?;
        Ok(())
    }
}
