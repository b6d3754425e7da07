//! The open transaction: its journal, and whether it can be replayed.

use crate::contract::Reason;
use crate::statement::Statement;

/// A command that the driver keeps: its bytes, and what belongs to them. Never reused within a session while
/// something refers to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Handle(pub u64);

/// What a statement was given, so that a replay gives it the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Pins {
    /// Microseconds since 1970 by the server's clock: `SET timestamp` before the first run.
    pub timestamp: Option<u64>,
    /// `SET rand_seed1, rand_seed2` before the first run.
    pub seeds: Option<(u32, u32)>,
    /// When it first ran, microseconds since 1970 by the server's clock: for a column that defaults to the
    /// current time. Pinned in a replay only.
    pub write_time: Option<u64>,
}

impl Pins {
    /// Whether something must be set before the first run.
    pub fn before_first_run(&self) -> bool {
        self.timestamp.is_some() || self.seeds.is_some()
    }
}

/// One completed command of the open transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    /// The command.
    pub command: Handle,
    /// What it is.
    pub statement: Statement,
    /// Of its whole response: rows, affected rows, insert id, warnings, errors.
    pub digest: u64,
    /// What it was given.
    pub pins: Pins,
    /// The auto-increment value that its OK reported and that a replay is to draw again; 0: none.
    pub insert_id: u64,
    /// When it completed, in the order of all sessions' completions: replays go in this order, so that locks
    /// are taken as they were taken.
    pub order: u64,
}

/// The open transaction of a session, if there is one.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Transaction {
    open: bool,
    /// It was opened by the end of another (AND CHAIN, completion_type): its characteristics must be set anew
    /// before the journal.
    chained: bool,
    entries: Vec<Entry>,
    bytes: u64,
    unreplayable: Option<Reason>,
    /// It has written, or may have.
    written: bool,
    /// A statement that may write has failed: what it wrote to tables without transactions is not rolled back.
    failed_write: bool,
}

impl Transaction {
    /// Whether a transaction is open on the server.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether it was opened by the end of another.
    pub fn is_chained(&self) -> bool {
        self.chained
    }

    /// Its completed commands, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Why it cannot be replayed, if so.
    pub fn unreplayable(&self) -> Option<Reason> {
        self.unreplayable
    }

    /// Whether a statement that may write has failed in it.
    pub fn has_failed_write(&self) -> bool {
        self.failed_write
    }

    /// Whether it has written, or may have: then its COMMIT does something.
    pub fn has_written(&self) -> bool {
        self.written
    }

    /// Bytes of the commands in the journal.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn close(&mut self) {
        self.open = false;
        self.chained = false;
        self.entries.clear();
        self.bytes = 0;
        self.unreplayable = None;
        self.failed_write = false;
        self.written = false;
    }

    pub(crate) fn mark_written(&mut self) {
        self.written = true;
    }

    pub(crate) fn mark_failed_write(&mut self) {
        self.failed_write = true;
    }

    pub(crate) fn open(&mut self) {
        self.close();
        self.open = true;
    }

    /// It is lost, and one like it is to be begun in its place.
    pub(crate) fn reopen(&mut self) {
        self.open_chained();
    }

    pub(crate) fn open_chained(&mut self) {
        self.open();
        self.chained = true;
    }

    /// Adds a completed command of `bytes`; past a limit the journal is given up and the transaction can no
    /// longer be replayed.
    pub(crate) fn push(&mut self, entry: Entry, bytes: u64, max_bytes: u64, max_commands: u32) {
        if self.unreplayable.is_some() {
            return;
        }
        if let Err(reason) = entry.statement.replayable() {
            self.give_up(reason);
            return;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > max_bytes || self.entries.len() >= max_commands as usize {
            self.give_up(Reason::JournalLimit);
            return;
        }
        self.entries.push(entry);
    }

    /// The transaction can no longer be replayed; its journal is dropped.
    pub(crate) fn give_up(&mut self, reason: Reason) {
        self.unreplayable = Some(reason);
        self.entries = Vec::new();
        self.bytes = 0;
    }
}
