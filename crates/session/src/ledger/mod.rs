//! The commit ledger: how the outcome of a COMMIT is known although its answer was lost.
//!
//! An outcome is known only if the transaction that it describes stores it itself. A COMMIT that is recorded is sent as
//! one call of a procedure that writes the COMMIT's [`Mark`] into its [`Lane`], one row of `steadfast.commit_ledger`,
//! and commits both. After a loss another connection *fences* the lane: its write waits for the row lock of the old
//! transaction, then either finds the mark, or makes certain that the procedure, wherever the call's bytes still are,
//! refuses to commit.
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
//! A lane's row is made by its first COMMIT, or by the fence if that comes first. What the COMMIT's statements answered
//! is not kept in it: whoever waits for that answer has it already.
//!
//! [`schema`] has the table and procedures, [`calls`] the statements that the proxy sends, [`Lanes`] the lanes that
//! are free to use, [`durability`] what a server must be set to.

pub mod calls;
pub mod durability;
mod lanes;
pub mod schema;

pub use lanes::{Lanes, Moment};

/// One row of the ledger, for one COMMIT at a time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Lane {
    /// Its primary key: random, so that it is never used twice, across restarts and several proxies.
    id: u64,
    /// Random; without it nobody can record in the lane or fence it.
    secret: u64,
    /// The sequence of the last COMMIT that was sent under it.
    sequence: u64,
    /// When it was first used: seconds since 1970 by the server's clock.
    opened: u64,
}

impl Lane {
    /// A lane that no row stands for yet, from random bits; `now` in seconds since 1970 by the server's clock.
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
            made: self.opened,
        }
    }
}

/// What one COMMIT is recorded under: never the same for two.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mark {
    lane: u64,
    secret: u64,
    sequence: u64,
    made: u64,
}

/// What a fenced lane holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// The sequence of the last COMMIT that took effect under it; 0: none.
    pub sequence: u64,
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

    /// What the fenced lane says of it. `None`: the lane is another's.
    pub fn verdict(&self, record: Option<Record>) -> Verdict {
        match record {
            Some(record) if record.sequence == self.sequence => Verdict::Committed,
            // All COMMITs before it under this lane were answered OK, so the last of them is there: else it is another
            // lane, of a ledger that was made anew or came from a backup.
            Some(record) if record.sequence.checked_add(1) == Some(self.sequence) => {
                Verdict::NotCommitted
            }
            Some(_) | None => Verdict::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sequence: u64) -> Option<Record> {
        Some(Record { sequence })
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
        let first = lane.mark();
        assert_eq!(first.verdict(record(0)), Verdict::NotCommitted);
        assert_eq!(first.verdict(record(1)), Verdict::Committed);
        let mark = lane.mark();
        assert_eq!(mark.verdict(record(1)), Verdict::NotCommitted);
        assert_eq!(mark.verdict(record(2)), Verdict::Committed);
        assert_eq!(mark.verdict(record(3)), Verdict::Unknown);
        assert_eq!(mark.verdict(None), Verdict::Unknown);
    }

    #[test]
    fn a_lane_that_has_forgotten_what_was_acknowledged_proves_nothing() {
        let mut lane = Lane::new(1, 2, 0);
        lane.mark();
        lane.mark();
        let mark = lane.mark();
        assert_eq!(mark.verdict(record(0)), Verdict::Unknown);
        assert_eq!(mark.verdict(record(1)), Verdict::Unknown);
    }
}
