//! Writes that commit themselves: with an answer lost, their outcome is open.

use crate::client::{Client, How, Stop};
use crate::profiles::{same, wrong};
use crate::record::{Phase, Tx};

const REQUEST: &str = "INSERT INTO request (client, n, step, label) VALUES (?, ?, 1, ?)";
const COUNT: &str = "UPDATE tally SET hits = hits + 1 WHERE client = ?";

impl Client {
    pub(super) async fn insert_autocommit(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        let label = format!("request-{}-{}", self.id, tx.number);
        tx.phase = Phase::Autocommit;
        tx.commit_sent = Some(self.shared.now());
        tx.expect("request", 1, vec![("label", label.clone())]);
        let params = vec![self.id.into(), tx.number.into(), label.into()];
        let answer = self.run(how, REQUEST, params).await?;
        if answer.insert_id == 0 {
            return Err(wrong(REQUEST, "no insert id".into()));
        }
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
        same(COUNT, "affected rows", &answer.affected, &1)
    }
}
