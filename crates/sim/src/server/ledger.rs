//! The ledger's procedures, as `steadfast_session::ledger::schema` has them in SQL.

use super::connection::{Answer, Connection, Failed};
use super::sql::{Expression, Value};
use super::storage::{Key, Table};
use crate::fault::Phase;

/// Half a day: `made` and the server's clock may be this far apart.
const APART: u64 = 43_200;

/// When the ledger was installed, in seconds since 1970.
const BIRTH: u64 = super::EPOCH / 1_000_000 - 1_000;

impl Connection {
    /// CALL steadfast.NAME(…).
    pub(super) async fn call(
        &mut self,
        name: &str,
        arguments: &[Expression],
    ) -> Result<Answer, Failed> {
        if !self.server.settings.ledger {
            let text = format!("PROCEDURE steadfast.{name} does not exist");
            return Err(Failed::sql(1305, b"42000", text));
        }
        let mut numbers = Vec::new();
        for argument in arguments {
            if !matches!(argument, Expression::UserVariable(_)) {
                numbers.push(self.number(argument)?);
            }
        }
        match (name, numbers.as_slice(), arguments.last()) {
            ("commit", &[lane, secret, sequence, made, chain], _) => {
                let row = [secret, sequence, made];
                self.ledger_commit(lane.cast_unsigned(), row, chain != 0)
                    .await
            }
            ("fence", &[lane, secret, made], Some(Expression::UserVariable(variable))) => {
                let mut found = self.ledger_fence(lane.cast_unsigned(), secret).await?;
                let now = self.server.clock() / 1_000_000;
                let made = made.cast_unsigned();
                if found == Some(0) && (made <= BIRTH || now.abs_diff(made) > APART) {
                    // Its row may have been lost.
                    found = None;
                }
                let value = found.map_or(Value::Null, |sequence| {
                    Value::Text(sequence.cast_unsigned().to_string().into_bytes())
                });
                self.session.user_variables.insert(variable.clone(), value);
                Ok(Answer::OK)
            }
            ("sweep", [], None) => Ok(Answer::OK),
            _ => Err(Failed::sql(1318, b"42000", "Incorrect number of arguments")),
        }
    }

    async fn ledger_commit(
        &mut self,
        lane: u64,
        [secret, sequence, made]: [i64; 3],
        chain: bool,
    ) -> Result<Answer, Failed> {
        if self.session.open.is_some_and(|open| open.read_only) {
            let text = "Cannot execute statement in a READ ONLY transaction.";
            return Err(Failed::sql(1792, b"25006", text));
        }
        let now = self.server.clock() / 1_000_000;
        if sequence == 1 && now.abs_diff(made.cast_unsigned()) > APART {
            self.roll_back();
            return Err(refused("this COMMIT is half a day old"));
        }
        let own = self.session.open.is_none();
        if own {
            // Its statements commit by themselves, or begin a transaction.
            let id = self.server.storage.borrow_mut().begin();
            self.session.begin(id, false, false);
        }
        let recorded = self.record(lane, secret, sequence, now.cast_signed()).await;
        if let Err(failed) = recorded {
            let rolled_back = matches!(failed, Failed::Sql(1213 | 1644, ..));
            if rolled_back || (own && self.session.autocommit()) {
                self.roll_back();
            }
            return Err(failed);
        }
        // A crash between the record and the COMMIT.
        self.point(Phase::Before).await?;
        self.commit_open(chain).await?;
        Ok(Answer::OK)
    }

    async fn record(
        &mut self,
        lane: u64,
        secret: i64,
        sequence: i64,
        now: i64,
    ) -> Result<(), Failed> {
        let Some(open) = &mut self.session.open else {
            return Err(Failed::Gone);
        };
        open.wrote = true;
        let id = open.id;
        let key: Key = (Table::Ledger, lane);
        self.lock(id, key).await?;
        let mut storage = self.server.storage.borrow_mut();
        let row = match (sequence, storage.current(id, key)) {
            (1, None) => vec![secret, 1, 0, now],
            (1, Some(_)) => {
                let text = format!("Duplicate entry '{lane}' for key 'PRIMARY'");
                return Err(Failed::sql(1062, b"23000", text));
            }
            (_, Some(row)) if row[0] == secret && row[2] == 0 && row[1] < sequence => {
                vec![secret, sequence, 0, row[3]]
            }
            _ => return Err(refused("this transaction was given up")),
        };
        storage.write(id, key, Some(row));
        Ok(())
    }

    async fn ledger_fence(&mut self, lane: u64, secret: i64) -> Result<Option<i64>, Failed> {
        let key: Key = (Table::Ledger, lane);
        let flaws = self.server.settings.flaws;
        if flaws.fence_looks_only {
            let row = self.server.storage.borrow().committed(key);
            return Ok(Some(row.map_or(0, |row| row[1])));
        }
        self.commit_open(false).await?;
        let id = self.server.storage.borrow_mut().begin();
        self.session.begin(id, true, false);
        let locked = self.lock(id, key).await;
        if let Err(failed) = locked {
            if matches!(failed, Failed::Sql(1213, ..)) {
                self.roll_back();
            }
            return Err(failed);
        }
        let now = (self.server.clock() / 1_000_000).cast_signed();
        let (row, found) = match self.server.storage.borrow().current(id, key) {
            None => (vec![secret, 0, 1, now], Some(0)),
            Some(row) if row[0] == secret => (vec![secret, row[1], 1, row[3]], Some(row[1])),
            Some(row) => (row, None),
        };
        self.server.storage.borrow_mut().write(id, key, Some(row));
        if let Some(open) = &mut self.session.open {
            open.wrote = true;
        }
        self.commit_open(false).await?;
        if flaws.fence_denies {
            return Ok(found.map(|sequence| (sequence - 1).max(0)));
        }
        Ok(found)
    }
}

fn refused(why: &str) -> Failed {
    Failed::sql(1644, b"SF001", format!("Steadfast: {why}"))
}
