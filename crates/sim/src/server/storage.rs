//! The server's tables: versions of rows, transactions with undo and savepoints, row locks with waiting.
//!
//! What is committed survives a crash, nothing else does. Reads without locks see a snapshot (REPEATABLE READ); writes
//! and locking reads see what is committed now. All locks are exclusive row locks; who waits is served in order, a
//! circle of waits makes who closes it the victim (1213), and a wait has an end (1205).

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use tokio::sync::Notify;

/// Which table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Table {
    /// `t_entry (id AUTO_INCREMENT, token, amount)`: one row for each unit of work.
    Entry,
    /// `t_account (id, balance)`: the sum of balances never changes.
    Account,
    /// `t_counter (id, n)`: each update adds one.
    Counter,
    /// `steadfast.commit_ledger (lane, secret, sequence, fenced, opened)`.
    Ledger,
}

impl Table {
    /// From its name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "t_entry" => Some(Table::Entry),
            "t_account" => Some(Table::Account),
            "t_counter" => Some(Table::Counter),
            _ => None,
        }
    }

    /// Its columns behind the key.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Table::Entry => &["token", "amount"],
            Table::Account => &["balance"],
            Table::Counter => &["n"],
            Table::Ledger => &["secret", "sequence", "fenced", "opened"],
        }
    }
}

/// A row's place: its table and its primary key.
pub type Key = (Table, u64);

/// The columns behind the key.
pub type Row = Vec<i64>;

/// A transaction's number; no other has the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TransactionId(u64);

#[derive(Clone, Debug)]
struct Version {
    commit: u64,
    /// `None`: deleted.
    row: Option<Row>,
}

#[derive(Debug, Default)]
struct Transaction {
    snapshot: Option<u64>,
    writes: BTreeMap<Key, Option<Row>>,
    savepoints: Vec<(String, BTreeMap<Key, Option<Row>>)>,
    waits_for: Option<Key>,
}

#[derive(Debug)]
struct Lock {
    owner: TransactionId,
    queue: VecDeque<TransactionId>,
}

/// What asking for a lock came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// The transaction has it.
    Granted,
    /// Another has it: wait for [`Storage::changed`] and ask again.
    Wait,
    /// Waiting would be for ever.
    Deadlock,
}

/// All tables.
#[derive(Debug, Default)]
pub struct Storage {
    rows: BTreeMap<Key, Vec<Version>>,
    commits: u64,
    counters: BTreeMap<Table, u64>,
    transactions: BTreeMap<TransactionId, Transaction>,
    locks: BTreeMap<Key, Lock>,
    next: u64,
    changed: Rc<Notify>,
}

impl Storage {
    /// Puts a row in before the run.
    pub fn seed(&mut self, key: Key, row: Row) {
        self.commits += 1;
        let version = Version {
            commit: self.commits,
            row: Some(row),
        };
        self.rows.insert(key, vec![version]);
        let counter = self.counters.entry(key.0).or_default();
        *counter = (*counter).max(key.1);
    }

    /// Wakes whenever a lock is given back.
    pub fn changed(&self) -> Rc<Notify> {
        Rc::clone(&self.changed)
    }

    /// Begins a transaction.
    pub fn begin(&mut self) -> TransactionId {
        self.next += 1;
        let id = TransactionId(self.next);
        self.transactions.insert(id, Transaction::default());
        id
    }

    /// Takes the snapshot now, if there is none.
    pub fn take_snapshot(&mut self, id: TransactionId) {
        let commits = self.commits;
        if let Some(transaction) = self.transactions.get_mut(&id) {
            transaction.snapshot.get_or_insert(commits);
        }
    }

    /// Whether the transaction has written.
    pub fn has_written(&self, id: TransactionId) -> bool {
        self.transactions
            .get(&id)
            .is_some_and(|transaction| !transaction.writes.is_empty())
    }

    /// Makes what it wrote durable and visible, and gives its locks back.
    pub fn commit(&mut self, id: TransactionId) {
        let Some(transaction) = self.transactions.remove(&id) else {
            return;
        };
        self.commits += 1;
        let commit = self.commits;
        for (key, row) in transaction.writes {
            self.rows
                .entry(key)
                .or_default()
                .push(Version { commit, row });
        }
        self.release(id);
    }

    /// Takes back what it wrote, and gives its locks back.
    pub fn rollback(&mut self, id: TransactionId) {
        self.transactions.remove(&id);
        self.release(id);
    }

    /// Every transaction is gone: the process has died. `forget_ids`: so is what was drawn from counters and never
    /// written (MariaDB and InnoDB before a checkpoint).
    pub fn crash(&mut self, forget_ids: bool) {
        self.transactions.clear();
        self.locks.clear();
        self.changed = Rc::default();
        if forget_ids {
            for (table, counter) in &mut self.counters {
                *counter = self
                    .rows
                    .keys()
                    .filter(|(of, _)| of == table)
                    .map(|(_, id)| *id)
                    .max()
                    .unwrap_or_default();
            }
        }
    }

    /// Asks for a row's lock.
    pub fn lock(&mut self, id: TransactionId, key: Key) -> Asked {
        let Some(lock) = self.locks.get_mut(&key) else {
            let queue = VecDeque::new();
            self.locks.insert(key, Lock { owner: id, queue });
            return Asked::Granted;
        };
        if lock.owner == id {
            return Asked::Granted;
        }
        if !lock.queue.contains(&id) {
            lock.queue.push_back(id);
        }
        if let Some(transaction) = self.transactions.get_mut(&id) {
            transaction.waits_for = Some(key);
        }
        if self.waits_for_itself(id) {
            self.stop_waiting(id);
            return Asked::Deadlock;
        }
        Asked::Wait
    }

    /// The transaction has stopped waiting for a lock.
    pub fn stop_waiting(&mut self, id: TransactionId) {
        if let Some(transaction) = self.transactions.get_mut(&id)
            && let Some(key) = transaction.waits_for.take()
            && let Some(lock) = self.locks.get_mut(&key)
        {
            lock.queue.retain(|waiting| *waiting != id);
        }
    }

    fn waits_for_itself(&self, id: TransactionId) -> bool {
        let mut seen = vec![id];
        let mut at = 0;
        while let Some(one) = seen.get(at).copied() {
            at += 1;
            let Some(lock) = self
                .transactions
                .get(&one)
                .and_then(|transaction| transaction.waits_for)
                .and_then(|key| self.locks.get(&key))
            else {
                continue;
            };
            let before = lock.queue.iter().take_while(|waiting| **waiting != one);
            for blocker in std::iter::once(&lock.owner).chain(before) {
                if *blocker == id {
                    return true;
                }
                if !seen.contains(blocker) {
                    seen.push(*blocker);
                }
            }
        }
        false
    }

    fn release(&mut self, id: TransactionId) {
        let transactions = &mut self.transactions;
        self.locks.retain(|_, lock| {
            lock.queue.retain(|waiting| *waiting != id);
            if lock.owner != id {
                return true;
            }
            match lock.queue.pop_front() {
                Some(next) => {
                    lock.owner = next;
                    if let Some(transaction) = transactions.get_mut(&next) {
                        transaction.waits_for = None;
                    }
                    true
                }
                None => false,
            }
        });
        self.changed.notify_waiters();
    }

    /// The row as the snapshot of a reading transaction shows it.
    pub fn read(&self, id: TransactionId, key: Key) -> Option<Row> {
        let transaction = self.transactions.get(&id)?;
        if let Some(row) = transaction.writes.get(&key) {
            return row.clone();
        }
        let snapshot = transaction.snapshot.unwrap_or(self.commits);
        let versions = self.rows.get(&key)?;
        versions
            .iter()
            .rev()
            .find(|version| version.commit <= snapshot)
            .and_then(|version| version.row.clone())
    }

    /// The row as it is now: what is committed, or what this transaction has written.
    pub fn current(&self, id: TransactionId, key: Key) -> Option<Row> {
        if let Some(row) = self
            .transactions
            .get(&id)
            .and_then(|transaction| transaction.writes.get(&key))
        {
            return row.clone();
        }
        self.committed(key)
    }

    /// The row as it is committed.
    pub fn committed(&self, key: Key) -> Option<Row> {
        self.rows.get(&key)?.last()?.row.clone()
    }

    /// Keys of the rows that a transaction may see.
    pub fn keys(&self, id: TransactionId, table: Table) -> Vec<u64> {
        let mut keys: Vec<u64> = self
            .rows
            .range((table, 0)..=(table, u64::MAX))
            .map(|((_, key), _)| *key)
            .collect();
        if let Some(transaction) = self.transactions.get(&id) {
            let own = transaction
                .writes
                .range((table, 0)..=(table, u64::MAX))
                .map(|((_, key), _)| *key);
            keys.extend(own);
            keys.sort_unstable();
            keys.dedup();
        }
        keys
    }

    /// All committed rows of a table.
    pub fn all_committed(&self, table: Table) -> Vec<(u64, Row)> {
        self.rows
            .range((table, 0)..=(table, u64::MAX))
            .filter_map(|((_, key), versions)| Some((*key, versions.last()?.row.clone()?)))
            .collect()
    }

    /// Writes a row that is locked; `None`: deletes it.
    pub fn write(&mut self, id: TransactionId, key: Key, row: Option<Row>) {
        if let Some(transaction) = self.transactions.get_mut(&id) {
            transaction.writes.insert(key, row);
        }
    }

    /// The next AUTO_INCREMENT value. Nothing takes it back.
    pub fn draw(&mut self, table: Table) -> u64 {
        let counter = self.counters.entry(table).or_default();
        *counter += 1;
        *counter
    }

    /// A row was inserted with this value: the counter is moved behind it.
    pub fn drawn(&mut self, table: Table, value: u64) {
        let counter = self.counters.entry(table).or_default();
        *counter = (*counter).max(value);
    }

    /// What a transaction has written so far: to take a statement back.
    pub fn written(&self, id: TransactionId) -> BTreeMap<Key, Option<Row>> {
        self.transactions
            .get(&id)
            .map(|transaction| transaction.writes.clone())
            .unwrap_or_default()
    }

    /// Takes a transaction's writes back to that. Its locks stay.
    pub fn restore(&mut self, id: TransactionId, writes: BTreeMap<Key, Option<Row>>) {
        if let Some(transaction) = self.transactions.get_mut(&id) {
            transaction.writes = writes;
        }
    }

    /// SAVEPOINT.
    pub fn savepoint(&mut self, id: TransactionId, name: &str) {
        if let Some(transaction) = self.transactions.get_mut(&id) {
            transaction.savepoints.retain(|(known, _)| known != name);
            let writes = transaction.writes.clone();
            transaction.savepoints.push((name.to_owned(), writes));
        }
    }

    /// ROLLBACK TO SAVEPOINT; false: there is none of this name.
    pub fn rollback_to(&mut self, id: TransactionId, name: &str) -> bool {
        let Some(transaction) = self.transactions.get_mut(&id) else {
            return false;
        };
        let found = transaction
            .savepoints
            .iter()
            .position(|(known, _)| known == name);
        let Some(index) = found else { return false };
        transaction.writes = transaction.savepoints[index].1.clone();
        transaction.savepoints.truncate(index + 1);
        true
    }

    /// RELEASE SAVEPOINT; false: there is none of this name.
    pub fn release_savepoint(&mut self, id: TransactionId, name: &str) -> bool {
        let Some(transaction) = self.transactions.get_mut(&id) else {
            return false;
        };
        let found = transaction
            .savepoints
            .iter()
            .position(|(known, _)| known == name);
        let Some(index) = found else { return false };
        transaction.savepoints.truncate(index);
        true
    }

    /// How many transactions hold locks: at the end of a run none may.
    pub fn locked(&self) -> usize {
        self.locks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Key = (Table::Counter, 1);
    const B: Key = (Table::Counter, 2);

    fn storage() -> Storage {
        let mut storage = Storage::default();
        storage.seed(A, vec![0]);
        storage.seed(B, vec![0]);
        storage
    }

    #[test]
    fn a_snapshot_does_not_see_what_is_committed_later_but_a_locking_read_does() {
        let mut storage = storage();
        let (reader, writer) = (storage.begin(), storage.begin());
        storage.take_snapshot(reader);
        assert_eq!(storage.lock(writer, A), Asked::Granted);
        storage.write(writer, A, Some(vec![1]));
        assert_eq!(storage.committed(A), Some(vec![0]));
        storage.commit(writer);
        assert_eq!(storage.read(reader, A), Some(vec![0]));
        assert_eq!(storage.current(reader, A), Some(vec![1]));
    }

    #[test]
    fn a_circle_of_waits_is_a_deadlock() {
        let mut storage = storage();
        let (one, two) = (storage.begin(), storage.begin());
        assert_eq!(storage.lock(one, A), Asked::Granted);
        assert_eq!(storage.lock(two, B), Asked::Granted);
        assert_eq!(storage.lock(one, B), Asked::Wait);
        assert_eq!(storage.lock(two, A), Asked::Deadlock);
        storage.rollback(two);
        assert_eq!(storage.lock(one, B), Asked::Granted);
    }

    #[test]
    fn a_crash_leaves_what_is_committed() {
        let mut storage = storage();
        let (one, two) = (storage.begin(), storage.begin());
        storage.lock(one, A);
        storage.write(one, A, Some(vec![5]));
        storage.commit(one);
        storage.lock(two, B);
        storage.write(two, B, Some(vec![5]));
        storage.crash(true);
        assert_eq!(storage.committed(A), Some(vec![5]));
        assert_eq!(storage.committed(B), Some(vec![0]));
        assert_eq!(storage.locked(), 0);
    }

    #[test]
    fn a_savepoint_takes_back_what_came_after_it() {
        let mut storage = storage();
        let one = storage.begin();
        storage.write(one, A, Some(vec![1]));
        storage.savepoint(one, "s");
        storage.write(one, A, Some(vec![2]));
        assert!(storage.rollback_to(one, "s"));
        assert_eq!(storage.current(one, A), Some(vec![1]));
        assert!(!storage.rollback_to(one, "x"));
    }
}
