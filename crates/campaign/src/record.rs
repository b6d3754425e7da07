//! What a client remembers of each transaction: what it did, what it was told, how it ended.

use serde::Serialize;

/// A row that the transaction wrote into one of the log tables, found again by
/// (client, transaction number, step).
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Expected {
    pub(crate) table: &'static str,
    pub(crate) step: u32,
    /// Columns whose value the client was told: insert ids, times, random numbers, amounts.
    pub(crate) told: Vec<(&'static str, String)>,
}

/// How far a transaction had come when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Phase {
    /// Statements ran, COMMIT was not sent: the transaction must be absent if it fails here.
    Open,
    /// COMMIT was sent: a lost answer leaves the outcome open.
    Committing,
    /// The statement commits itself: a lost answer leaves the outcome open.
    Autocommit,
}

/// The end of a transaction as the client saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) enum Outcome {
    /// COMMIT, or the statement that commits itself, was answered with OK.
    Acknowledged,
    /// 1213/40001: certainly rolled back.
    Refused {
        message: String,
        /// Whether a re-read on the same connection found a changed version of a row that the
        /// transaction had read; `None` when there was nothing to read again, or it failed.
        reread_differs: Option<bool>,
    },
    /// 1180/08007 for a COMMIT or a write: the outcome is open.
    Doubt { message: String },
    /// Any other failure after COMMIT or the write was sent: the outcome is open.
    Unanswered { message: String },
    /// Any other failure before COMMIT was sent.
    Failed { message: String },
}

/// One transaction, or one write that commits itself.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Record {
    pub(crate) client: u32,
    pub(crate) number: u32,
    pub(crate) profile: &'static str,
    /// Whether other sessions change rows that this profile reads, so that 1213 can be right.
    pub(crate) contended: bool,
    /// Whether the ledger, where there is one, knows its outcome.
    pub(crate) recorded: bool,
    pub(crate) outcome: Outcome,
    pub(crate) expected: Vec<Expected>,
    /// (account, version) of every hot row that was read, as it was before own changes.
    pub(crate) reads: Vec<(u32, u64)>,
    /// (account, version) of every hot row that was written.
    pub(crate) writes: Vec<(u32, u64)>,
    /// Increments of the client's row of `tally`.
    pub(crate) tally: u64,
    /// Increments of all of the client's rows of `triple`.
    pub(crate) triple: u64,
    /// When COMMIT was sent, in microseconds of the campaign's clock.
    pub(crate) commit_sent: Option<u64>,
    /// When the transaction ended for the client, same clock.
    pub(crate) ended: u64,
}

/// A transaction under way.
#[derive(Debug)]
pub(crate) struct Tx {
    pub(crate) number: u32,
    pub(crate) phase: Phase,
    pub(crate) expected: Vec<Expected>,
    pub(crate) reads: Vec<(u32, u64)>,
    pub(crate) writes: Vec<(u32, u64)>,
    pub(crate) tally: u64,
    pub(crate) triple: u64,
    pub(crate) commit_sent: Option<u64>,
    steps: u32,
}

impl Tx {
    pub(crate) fn new(number: u32) -> Self {
        Self {
            number,
            phase: Phase::Open,
            expected: Vec::new(),
            reads: Vec::new(),
            writes: Vec::new(),
            tally: 0,
            triple: 0,
            commit_sent: None,
            steps: 0,
        }
    }

    /// The next step's number within this transaction, from 1.
    pub(crate) fn step(&mut self) -> u32 {
        self.steps += 1;
        self.steps
    }

    pub(crate) fn expect(
        &mut self,
        table: &'static str,
        step: u32,
        told: Vec<(&'static str, String)>,
    ) {
        self.expected.push(Expected { table, step, told });
    }

    /// Whether there is anything for the checker to look for.
    pub(crate) fn has_effects(&self) -> bool {
        !self.expected.is_empty() || self.tally > 0 || self.triple > 0
    }
}
