//! Writes that commit themselves: with an answer lost, their outcome is open.

use crate::check::Kind;
use crate::client::{Client, How, Stop};
use crate::profiles::inserts::{AFTER, THREE_ITEMS};
use crate::profiles::{affected, as_kind, wrong};
use crate::record::{Phase, Tx};

const REQUEST: &str = "INSERT INTO request (client, n, step, label) VALUES (?, ?, 1, ?)";
const COUNT: &str = "UPDATE tally SET hits = hits + 1 WHERE client = ?";

const TRIPLE: &str = "UPDATE triple SET hits = hits + 1 WHERE client = ?";
const CALL: &str = "CALL ask(?, ?, ?)";
const MULTI: &str =
    "BEGIN; INSERT INTO request (client, n, step, label) VALUES (?, ?, 1, ?); COMMIT";

impl Client {
    pub(super) async fn insert_autocommit(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        let label = format!("request-{}-{}", self.id, tx.number);
        tx.phase = Phase::Autocommit;
        tx.commit_sent = Some(self.shared.now());
        tx.expect("request", 1, vec![("label", label.clone())]);
        let params = vec![self.id.into(), tx.number.into(), label.into()];
        let answer = self.run(how, REQUEST, params).await?;
        if answer.insert_id == 0 {
            let none = Err(wrong(REQUEST, "no insert id".into()));
            return as_kind(Kind::WrongId, none);
        }
        affected(REQUEST, &answer, 1)?;
        if let Some(row) = tx.expected.last_mut() {
            row.told.push(("id", answer.insert_id.to_string()));
        }
        Ok(())
    }

    pub(super) async fn counter_autocommit(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        tx.phase = Phase::Autocommit;
        tx.commit_sent = Some(self.shared.now());
        tx.tally = 1;
        let answer = self.run(how, COUNT, vec![self.id.into()]).await?;
        affected(COUNT, &answer, 1)
    }

    /// One statement, three rows: all or none, and three affected rows.
    pub(super) async fn triple_autocommit(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        tx.phase = Phase::Autocommit;
        tx.commit_sent = Some(self.shared.now());
        tx.triple = 1;
        let answer = self.run(how, TRIPLE, vec![self.id.into()]).await?;
        affected(TRIPLE, &answer, 3)
    }

    pub(super) async fn many_autocommit(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        tx.phase = Phase::Autocommit;
        tx.commit_sent = Some(self.shared.now());
        let steps = [tx.step(), tx.step(), tx.step()];
        for (step, label) in steps.iter().zip(["a", "b", "c"]) {
            tx.expect("item", *step, vec![("label", label.to_owned())]);
        }
        let params = steps.iter().flat_map(|step| self.key(tx, *step)).collect();
        let answer = self.run(how, THREE_ITEMS, params).await?;
        for (row, id) in tx.expected.iter_mut().zip(answer.insert_id..) {
            row.told.push(("id", id.to_string()));
        }
        affected(THREE_ITEMS, &answer, 3)?;
        self.think().await;
        // The write is acknowledged, whatever becomes of the question about it.
        if let Err(stop) = self.expect_last_id(how, answer.insert_id).await {
            self.complain(&stop);
        }
        Ok(())
    }

    pub(super) async fn trigger_autocommit(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        tx.phase = Phase::Autocommit;
        tx.commit_sent = Some(self.shared.now());
        let step = tx.step();
        tx.expect("item_after", step, vec![("label", "one".to_owned())]);
        tx.expect("audit", step, Vec::new());
        let params = self.key_and(tx, step, "one");
        let answer = self.run(how, AFTER, params).await?;
        tx.expected.clear();
        self.expect_after(tx, step, answer.insert_id, "one");
        affected(AFTER, &answer, 1)
    }

    pub(super) async fn call_autocommit(&mut self, tx: &mut Tx) -> Result<(), Stop> {
        let label = format!("call-{}-{}", self.id, tx.number);
        tx.phase = Phase::Autocommit;
        tx.commit_sent = Some(self.shared.now());
        tx.expect("request", 1, vec![("label", label.clone())]);
        let params = vec![self.id.into(), tx.number.into(), label.into()];
        self.run(How::Text, CALL, params).await?;
        Ok(())
    }

    pub(super) async fn multi_statement(&mut self, tx: &mut Tx) -> Result<(), Stop> {
        let label = format!("multi-{}-{}", self.id, tx.number);
        tx.phase = Phase::Autocommit;
        tx.commit_sent = Some(self.shared.now());
        tx.expect("request", 1, vec![("label", label.clone())]);
        let params = vec![self.id.into(), tx.number.into(), label.into()];
        let outcome = self.run(How::Text, MULTI, params).await;
        if outcome.is_err() && self.is_connected() {
            // Its first statement may have begun a transaction.
            self.text("ROLLBACK").await?;
        }
        outcome.map(drop)
    }
}
