//! Writes outside transactions, reads, and clients that vanish.

use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::check::Outcome;

impl Worker {
    /// INSERT, UPDATE or DELETE outside a transaction.
    pub(super) async fn write_alone(&mut self) -> Result<(), Stop> {
        let which = self.random.below(10);
        self.write_one(which).await
    }

    pub(super) async fn insert_alone(&mut self) -> Result<(), Stop> {
        self.write_one(0).await
    }

    pub(super) async fn write_one(&mut self, which: u64) -> Result<(), Stop> {
        let mut unit = self.unit();
        let token = self.token();
        let (text, parameters, affected) = match which {
            0..=4 => {
                unit.tokens.push((token, None));
                (INSERT, vec![token, 1], 1)
            }
            5 => {
                let second = self.token();
                unit.tokens.extend([(token, None), (second, None)]);
                (INSERT_TWO, vec![token, 1, second, 2], 2)
            }
            6 if !self.mine.is_empty() => {
                let victim = self.random.pick(&self.mine);
                unit.deleted.push(victim);
                // Whatever becomes of it, it is not deleted twice.
                self.mine.retain(|mine| *mine != victim);
                (DELETE, vec![victim], 1)
            }
            _ => {
                let id = self.random.between(1, COUNTERS);
                unit.added.push((Table::Counter, id, 1));
                (COUNT, vec![1, id.cast_signed()], 1)
            }
        };
        let reply = match self.run(text, &parameters).await {
            Ok(reply) => reply,
            Err(stop) => {
                unit.outcome = Outcome::Doubt;
                self.done(unit);
                return Err(stop);
            }
        };
        match &reply {
            Reply::Ok {
                affected: got,
                insert_id,
                in_transaction,
            } => {
                if *got != affected {
                    self.wrong(format!("{text} changed {got} rows and not {affected}"));
                }
                if *in_transaction {
                    self.wrong(format!("{text} outside a transaction left one open"));
                }
                for (index, place) in unit.tokens.iter_mut().enumerate() {
                    place.1 = Some(insert_id + index as u64);
                }
                unit.outcome = Outcome::Committed;
                let inserted = unit.tokens.first().and_then(|(_, id)| *id);
                self.done(unit);
                self.ask_about_write(affected, inserted).await
            }
            other => {
                unit.outcome = self.judge(other, text);
                self.done(unit);
                Ok(())
            }
        }
    }

    /// ROW_COUNT() or LAST_INSERT_ID() right after a write.
    pub(super) async fn ask_about_write(
        &mut self,
        affected: u64,
        inserted: Option<u64>,
    ) -> Result<(), Stop> {
        let (question, expected) = match (self.random.below(6), inserted) {
            (0, _) if !self.world.rules.row_count_lost => ("SELECT ROW_COUNT()", affected),
            (1, Some(id)) => ("SELECT LAST_INSERT_ID()", id),
            _ => return Ok(()),
        };
        match self.run(question, &[]).await? {
            Reply::Rows(rows) => {
                if rows != vec![vec![Some(expected.to_string())]] {
                    self.wrong(format!("{question} gives {rows:?} and not {expected}"));
                }
            }
            error => {
                self.judge(&error, question);
            }
        }
        Ok(())
    }

    /// A read outside a transaction.
    pub(super) async fn read(&mut self) -> Result<(), Stop> {
        if self.mine.is_empty() || self.random.chance(50) {
            return match self.run(SUM, &[]).await? {
                Reply::Rows(rows) => {
                    self.is_sum(&rows);
                    Ok(())
                }
                error => {
                    self.judge(&error, SUM);
                    Ok(())
                }
            };
        }
        let token = self.random.pick(&self.mine);
        match self.run(MINE, &[token]).await? {
            Reply::Rows(rows) if rows.len() == 1 => {}
            Reply::Rows(rows) => self.wrong(format!(
                "it reads {} rows of its acknowledged token {token}",
                rows.len()
            )),
            error => {
                self.judge(&error, MINE);
            }
        }
        Ok(())
    }

    pub(super) fn is_sum(&self, rows: &[Vec<Option<String>>]) {
        let sum = (BALANCE * ACCOUNTS.cast_signed()).to_string();
        if rows != [vec![Some(sum.clone())]] {
            self.wrong(format!("the sum of balances is {rows:?} and not {sum}"));
        }
    }

    /// Leaves without a word, with rows locked.
    pub(super) async fn vanish_in_transaction(&mut self) -> Result<(), Stop> {
        let mut unit = self.unit();
        let token = self.token();
        unit.tokens.push((token, None));
        let begun = self.run("BEGIN", &[]).await?;
        let inserted = self.run(INSERT, &[token, 1]).await?;
        for reply in [begun, inserted] {
            if !matches!(reply, Reply::Ok { .. }) {
                self.judge(&reply, INSERT);
            }
        }
        self.done(unit);
        self.client = None;
        Ok(())
    }

    /// Leaves without a word: between two things, in a transaction, or with a statement on its way.
    pub(super) async fn vanish(&mut self) -> Result<(), Stop> {
        let mut unit = self.unit();
        let token = self.token();
        unit.tokens.push((token, None));
        let in_transaction = self.random.chance(60);
        if in_transaction && self.run("BEGIN", &[]).await.is_err() {
            return Err(Stop::Gone);
        }
        let patience = Duration::from_millis(self.random.below(8));
        let sent = timeout(patience, self.run(INSERT, &[token, 1])).await;
        let mut outcome = match (&sent, in_transaction) {
            (_, true) => Outcome::RolledBack,
            (Ok(Ok(Reply::Ok { .. })), false) => Outcome::Committed,
            (Ok(Ok(error)), false) => self.judge(error, INSERT),
            (_, false) => Outcome::Doubt,
        };
        if in_transaction && matches!(sent, Ok(Ok(Reply::Ok { .. }))) && self.random.chance(60) {
            let patience = Duration::from_millis(self.random.below(8));
            outcome = match timeout(patience, self.run("COMMIT", &[])).await {
                Ok(Ok(Reply::Ok { .. })) => Outcome::Committed,
                Ok(Ok(error)) => self.judge(&error, "COMMIT"),
                _ => Outcome::Doubt,
            };
        }
        unit.outcome = outcome;
        self.done(unit);
        self.world
            .trace
            .note(format!("client {}", self.index), || "vanishes".to_owned());
        self.client = None;
        Ok(())
    }
}
