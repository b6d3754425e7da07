//! The commit ledger: how the outcome of a COMMIT is known although its answer was lost.
//!
//! An outcome is known only if the transaction that it describes stores it itself. A session that writes has a
//! [`Lane`], one row of `steadfast.commit_ledger`; its COMMIT is sent as one call of a procedure that writes the
//! COMMIT's [`Mark`] into that row and commits both. After a loss another connection *fences* the lane: its write
//! waits for the row lock of the old transaction, then either finds the mark, or makes certain that the procedure,
//! wherever the call's bytes still are, refuses to commit.
//!
//! ```text
//!   session's connection            commit_ledger             resolver's connection
//!   BEGIN … writes
//!   CALL commit(lane, secret, 7) ─▶ sequence 6 -> 7 ┐ one
//!                                   COMMIT          ┘ transaction
//!   ✗ lost before the OK
//!                                   fenced 0 -> 1 ◀────────── CALL fence(lane, secret)
//!                                   sequence = 7  ──────────▶ it was committed; 6: it never will be
//! ```
//!
//! [`schema`] has the tables and procedures, [`calls`] the statements that the proxy sends, [`Lanes`] the lanes that
//! are free to use.

pub mod calls;
mod lanes;
pub mod schema;

pub use lanes::Lanes;

/// One row of the ledger, for one session at a time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Lane {
    /// Its primary key: random, so that it is never used twice, across restarts and several proxies.
    id: u64,
    /// Random; without it nobody can record in the lane or fence it.
    secret: u64,
    /// The sequence of the last COMMIT that was sent under it.
    sequence: u64,
    /// When it was opened: microseconds of the proxy's monotonic clock.
    opened: u64,
}

impl Lane {
    /// A lane that no row stands for yet, from random bits; `now` in microseconds of a monotonic clock.
    pub fn new(id: u64, secret: u64, now: u64) -> Self {
        Self {
            id,
            secret,
            sequence: 0,
            opened: now,
        }
    }

    /// Its primary key.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What the next COMMIT is recorded under. Each call gives another mark.
    pub fn mark(&mut self) -> Mark {
        self.sequence += 1;
        Mark {
            lane: self.id,
            secret: self.secret,
            sequence: self.sequence,
        }
    }
}

/// What one COMMIT is recorded under: never the same for two.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mark {
    lane: u64,
    secret: u64,
    sequence: u64,
}

/// What a fenced lane holds: the last COMMIT that took effect under it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// Its sequence; 0: none.
    pub sequence: u64,
    /// What its OK was to report as affected rows.
    pub affected_rows: u64,
    /// What its OK was to report as insert id.
    pub insert_id: u64,
}

/// What became of a COMMIT whose answer was lost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// It took effect, once.
    Committed,
    /// It did not, and never will: its lane is fenced.
    NotCommitted,
    /// The ledger does not know the lane, or cannot be asked.
    Unknown,
}

impl Mark {
    /// The lane that it belongs to.
    pub fn lane(&self) -> u64 {
        self.lane
    }

    /// What the fenced lane says of it. `None`: there is no such lane.
    pub fn verdict(&self, record: Option<Record>) -> Verdict {
        match record {
            Some(record) if record.sequence == self.sequence => Verdict::Committed,
            Some(record) if record.sequence < self.sequence => Verdict::NotCommitted,
            // A later mark than the last that was sent: the lane is somebody else's, too.
            Some(_) | None => Verdict::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: u64) -> Option<Record> {
        Some(Record {
            sequence,
            affected_rows: 0,
            insert_id: 0,
        })
    }

    #[test]
    fn every_commit_has_a_mark_of_its_own() {
        let mut lane = Lane::new(1, 2, 0);
        let (first, second) = (lane.mark(), lane.mark());
        assert_ne!(first, second);
        assert_eq!(first.lane(), second.lane());
    }

    #[test]
    fn only_the_mark_itself_proves_the_commit() {
        let mut lane = Lane::new(1, 2, 0);
        lane.mark();
        let mark = lane.mark();
        assert_eq!(mark.verdict(record(0)), Verdict::NotCommitted);
        assert_eq!(mark.verdict(record(1)), Verdict::NotCommitted);
        assert_eq!(mark.verdict(record(2)), Verdict::Committed);
        assert_eq!(mark.verdict(record(3)), Verdict::Unknown);
        assert_eq!(mark.verdict(None), Verdict::Unknown);
    }
}
