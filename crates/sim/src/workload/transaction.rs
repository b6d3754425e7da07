//! Transactions: what is in them, and the ways in which they end.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use super::*;

impl Worker {
    pub(super) async fn transaction(&mut self) -> Result<(), Stop> {
        let implicit = self.random.chance(15);
        let steps = self.random.between(1, 5);
        self.transaction_of(implicit, steps).await
    }

    /// BEGIN, one write, COMMIT.
    pub(super) async fn short_transaction(&mut self) -> Result<(), Stop> {
        self.transaction_of(false, 0).await
    }

    /// SETs before and in a transaction, and a look at what is left of them.
    pub(super) async fn session_and_transaction(&mut self) -> Result<(), Stop> {
        for text in ["SET time_zone = '+02:00'", "SET @v = 7"] {
            match self.run(text, &[]).await? {
                Reply::Ok { .. } if text.contains("@v") => self.session.variable = Some(7),
                Reply::Ok { .. } => self.session.time_zone = "+02:00",
                error => {
                    self.judge(&error, text);
                }
            }
        }
        self.transaction_of(false, 1).await?;
        match self.look_at_session().await {
            Err(Stop::Gone) => Err(Stop::Gone),
            Ok(()) | Err(Stop::Ended(_)) => Ok(()),
        }
    }

    pub(super) async fn transaction_of(&mut self, implicit: bool, steps: u64) -> Result<(), Stop> {
        let mut unit = self.unit();
        let begin = if implicit {
            "SET autocommit = 0"
        } else {
            "BEGIN"
        };
        match self.run(begin, &[]).await? {
            Reply::Ok { .. } => {}
            error => {
                self.judge(&error, begin);
                return Ok(());
            }
        }
        self.session.autocommit = !implicit;
        let worked = self.statements(&mut unit, steps).await;
        let ended = match worked {
            Ok(()) if steps == 0 => self.end_by(&mut unit, "COMMIT", true).await,
            Ok(()) => self.end(&mut unit, implicit).await,
            Err(stop) => Err(stop),
        };
        let gone = match ended {
            Ok(outcome) => {
                unit.outcome = outcome;
                false
            }
            Err(Stop::Ended(outcome)) => {
                unit.outcome = outcome;
                self.roll_back().await.is_err()
            }
            // What had been sent when the connection ended is written in the unit.
            Err(Stop::Gone) => true,
        };
        self.done(unit);
        if gone {
            return Err(Stop::Gone);
        }
        if implicit && !self.session.autocommit {
            match self.run("SET autocommit = 1", &[]).await? {
                Reply::Ok { .. } => self.session.autocommit = true,
                error => {
                    self.judge(&error, "SET autocommit = 1");
                    // What it left open is of no use.
                    return Err(Stop::Gone);
                }
            }
        }
        Ok(())
    }

    /// ROLLBACK is always answered with OK, unless there is no server.
    pub(super) async fn roll_back(&mut self) -> Result<(), Stop> {
        loop {
            match self.run("ROLLBACK", &[]).await? {
                Reply::Ok { .. } => return Ok(()),
                error => {
                    self.judge(&error, "ROLLBACK");
                    if !self.world.rules.unavailable {
                        self.wrong("ROLLBACK failed");
                        return Err(Stop::Gone);
                    }
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// A statement of a transaction that must give OK with this many rows; gives the insert id.
    pub(super) async fn must(
        &mut self,
        text: &str,
        parameters: &[i64],
        rows: u64,
    ) -> Result<u64, Stop> {
        match self.run(text, parameters).await? {
            Reply::Ok {
                affected,
                insert_id,
                ..
            } => {
                if affected != rows {
                    self.wrong(format!("{text} changed {affected} rows and not {rows}"));
                }
                Ok(insert_id)
            }
            error => Err(Stop::Ended(self.judge(&error, text))),
        }
    }

    pub(super) async fn rows(
        &mut self,
        text: &str,
        parameters: &[i64],
    ) -> Result<Vec<Vec<Option<String>>>, Stop> {
        match self.run(text, parameters).await? {
            Reply::Rows(rows) => Ok(rows),
            error => Err(Stop::Ended(self.judge(&error, text))),
        }
    }

    pub(super) async fn statements(&mut self, unit: &mut Unit, steps: u64) -> Result<(), Stop> {
        let mut summed = true;
        let mut held: BTreeMap<u64, i64> = BTreeMap::new();
        for step in 0..steps {
            match self.random.below(12) {
                0..=2 => {
                    let token = self.token();
                    let id = self.must(INSERT, &[token, step.cast_signed()], 1).await?;
                    unit.tokens.push((token, Some(id)));
                }
                3 | 4 => {
                    let from = self.random.between(1, ACCOUNTS);
                    let to = 1 + (from + self.random.below(ACCOUNTS - 1)) % ACCOUNTS;
                    let sum = self.random.between(1, 9).cast_signed();
                    summed = false;
                    for (id, by) in [(from, -sum), (to, sum)] {
                        self.must(MOVE, &[by, id.cast_signed()], 1).await?;
                        unit.added.push((Table::Account, id, by));
                        if let Some(known) = held.get_mut(&id) {
                            *known += by;
                        }
                    }
                }
                5 if summed => {
                    let rows = self.rows(SUM, &[]).await?;
                    self.is_sum(&rows);
                }
                6 => {
                    let id = self.random.between(1, ACCOUNTS);
                    let rows = self.rows(HOLD, &[id.cast_signed()]).await?;
                    let found = rows
                        .first()
                        .and_then(|row| row.first()?.as_ref()?.parse::<i64>().ok());
                    match (found, held.get(&id)) {
                        (Some(now), Some(known)) if now != *known => self.wrong(format!(
                            "account {id} was {known} under its lock, and is {now}"
                        )),
                        (Some(now), _) => {
                            held.insert(id, now);
                        }
                        (None, _) => self.wrong(format!("{HOLD} gives {rows:?}")),
                    }
                }
                7 if !unit.tokens.is_empty() => {
                    self.must("SAVEPOINT s", &[], 0).await?;
                    let token = self.token();
                    self.must(INSERT, &[token, 0], 1).await?;
                    self.must("ROLLBACK TO SAVEPOINT s", &[], 0).await?;
                    // It must not be there: nobody has inserted it.
                }
                8 => {
                    let value = self.random.below(1000).cast_signed();
                    self.must(&format!("SET @v = {value}"), &[], 0).await?;
                    self.session.variable = Some(value);
                }
                9 => self.look_at_session().await?,
                10 => {
                    if let Some(&(token, Some(id))) = unit.tokens.last() {
                        let rows = self.rows(MINE, &[token]).await?;
                        let read = rows.first().and_then(|row| row.first()?.clone());
                        if rows.len() != 1 || read != Some(id.to_string()) {
                            self.wrong(format!("it reads {rows:?} of its token {token}, id {id}"));
                        }
                    }
                }
                _ => {
                    let millis = self.random.pick(&[0, 2, 30, 600]);
                    sleep(Duration::from_millis(millis)).await;
                }
            }
        }
        // So that what became of it can be seen.
        let token = self.token();
        let id = self.must(INSERT, &[token, 9], 1).await?;
        unit.tokens.push((token, Some(id)));
        Ok(())
    }

    /// Ends the transaction, in one of the ways there are.
    pub(super) async fn end(&mut self, unit: &mut Unit, implicit: bool) -> Result<Outcome, Stop> {
        let (text, commits) = match self.random.below(20) {
            0..=2 => ("ROLLBACK", false),
            3 | 4 if implicit => ("SET autocommit = 1", true),
            3 => ("BEGIN", true),
            4 => ("COMMIT AND CHAIN", true),
            _ => ("COMMIT", true),
        };
        self.end_by(unit, text, commits).await
    }

    pub(super) async fn end_by(
        &mut self,
        unit: &mut Unit,
        text: &str,
        commits: bool,
    ) -> Result<Outcome, Stop> {
        if commits {
            // Until there is an answer.
            unit.outcome = Outcome::Doubt;
        }
        let reply = self.run(text, &[]).await?;
        if !matches!(reply, Reply::Ok { .. }) {
            let outcome = self.judge(&reply, text);
            if text == "SET autocommit = 1" && outcome == Outcome::Doubt {
                // Whether it is set is as unknown.
                return Err(Stop::Gone);
            }
            return Err(Stop::Ended(outcome));
        }
        if text == "SET autocommit = 1" {
            self.session.autocommit = true;
        }
        if text == "BEGIN" || text == "COMMIT AND CHAIN" {
            self.unit_after(unit).await?;
        }
        Ok(if commits {
            Outcome::Committed
        } else {
            Outcome::RolledBack
        })
    }

    /// The transaction that an implicit commit or AND CHAIN has begun: something in it, and its end.
    pub(super) async fn unit_after(&mut self, before: &mut Unit) -> Result<(), Stop> {
        before.outcome = Outcome::Committed;
        let mut unit = self.unit();
        let token = self.token();
        unit.tokens.push((token, None));
        let inserted = self.must(INSERT, &[token, 0], 1).await;
        let outcome = match inserted {
            Ok(id) => {
                unit.tokens[0].1 = Some(id);
                unit.outcome = Outcome::Doubt;
                match self.run("COMMIT", &[]).await {
                    Ok(Reply::Ok { .. }) => Ok(Outcome::Committed),
                    Ok(error) => Err(Stop::Ended(self.judge(&error, "COMMIT"))),
                    Err(stop) => Err(stop),
                }
            }
            Err(stop) => Err(stop),
        };
        let stopped = match outcome {
            Ok(outcome) => {
                unit.outcome = outcome;
                Ok(())
            }
            Err(Stop::Ended(outcome)) => {
                unit.outcome = outcome;
                self.roll_back().await
            }
            Err(Stop::Gone) => Err(Stop::Gone),
        };
        self.done(unit);
        stopped
    }
}
