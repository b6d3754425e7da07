//! What the clients of one side have seen: counted while the demo runs, judged at its end.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// A client without an answer for so long is shown as waiting.
const NOTICEABLE: Duration = Duration::from_millis(250);

/// What a client knows of a transfer that it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// The COMMIT was answered OK.
    Acknowledged,
    /// The answer to the COMMIT was 1180/08007: Steadfast's word that nobody knows.
    Doubtful,
    /// The connection was lost while the COMMIT was on its way: nobody knows, and nobody said so.
    Untold,
    /// It failed before its COMMIT, or the COMMIT was refused.
    Failed,
}

/// Something that a client should not have seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Failure {
    /// Since the start of the workload.
    pub(super) at: Duration,
    /// The driver's words.
    pub(super) what: String,
    /// It was error 1213: the transaction is gone, try again.
    pub(super) retry: bool,
}

/// The counts of one side; its clients share it on one thread.
#[derive(Debug)]
pub(super) struct Tally {
    begun: Instant,
    /// Per client: since when it has had no good answer.
    unanswered: RefCell<Vec<Option<Instant>>>,
    longest_pause: Cell<Duration>,
    failures: RefCell<Vec<Failure>>,
    transfers: RefCell<Vec<(u64, Fate)>>,
    done: Cell<u64>,
    reads: Cell<u64>,
}

/// What the table shows of a side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Glance {
    pub(super) done: u64,
    pub(super) failures: usize,
    pub(super) waiting: usize,
    pub(super) longest_pause: Duration,
}

impl Tally {
    /// Zero for this many clients.
    pub(super) fn new(clients: usize, begun: Instant) -> Self {
        Self {
            begun,
            unanswered: RefCell::new(vec![None; clients]),
            longest_pause: Cell::default(),
            failures: RefCell::default(),
            transfers: RefCell::default(),
            done: Cell::default(),
            reads: Cell::default(),
        }
    }

    /// The client sends something. A pause goes on until a good answer, through failures and
    /// reconnections.
    pub(super) fn sent(&self, client: usize) {
        if let Some(since) = self.unanswered.borrow_mut().get_mut(client) {
            since.get_or_insert_with(Instant::now);
        }
    }

    /// The client got a good answer.
    pub(super) fn answered(&self, client: usize) {
        let mut unanswered = self.unanswered.borrow_mut();
        if let Some(since) = unanswered.get_mut(client).and_then(Option::take) {
            let pause = since.elapsed().max(self.longest_pause.get());
            self.longest_pause.set(pause);
        }
    }

    pub(super) fn failed(&self, what: String, retry: bool) {
        let at = self.begun.elapsed();
        self.failures.borrow_mut().push(Failure { at, what, retry });
    }

    pub(super) fn transfer(&self, id: u64, fate: Fate) {
        self.transfers.borrow_mut().push((id, fate));
        self.done
            .set(self.done.get() + u64::from(fate == Fate::Acknowledged));
    }

    pub(super) fn read(&self) {
        self.reads.set(self.reads.get() + 1);
    }

    /// Good answers to reads and to looks at the session's state.
    pub(super) fn reads(&self) -> u64 {
        self.reads.get()
    }

    /// All transfers that were begun and ended, by id.
    pub(super) fn transfers(&self) -> Vec<(u64, Fate)> {
        self.transfers.borrow().clone()
    }

    pub(super) fn failures(&self) -> Vec<Failure> {
        self.failures.borrow().clone()
    }

    /// The state of this moment.
    pub(super) fn glance(&self) -> Glance {
        let unanswered = self.unanswered.borrow();
        let pauses: Vec<Duration> = unanswered
            .iter()
            .flatten()
            .map(Instant::elapsed)
            .filter(|pause| *pause >= NOTICEABLE)
            .collect();
        let current = pauses.iter().max().copied().unwrap_or_default();
        Glance {
            done: self.done.get(),
            failures: self.failures.borrow().len(),
            waiting: pauses.len(),
            longest_pause: current.max(self.longest_pause.get()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_with_a_good_answer_only() {
        let begun = Instant::now();
        let tally = Tally::new(2, begun);
        tally.unanswered.borrow_mut()[1] = begun.checked_sub(Duration::from_secs(3));
        tally.failed("lost".to_owned(), false);
        tally.sent(1);
        assert_eq!(tally.glance().waiting, 1);
        assert!(tally.glance().longest_pause >= Duration::from_secs(3));
        tally.answered(1);
        assert_eq!(tally.glance().waiting, 0);
        assert!(tally.glance().longest_pause >= Duration::from_secs(3));
    }

    #[test]
    fn only_acknowledged_transfers_are_done() {
        let tally = Tally::new(1, Instant::now());
        for (id, fate) in [
            (1, Fate::Acknowledged),
            (2, Fate::Doubtful),
            (3, Fate::Untold),
            (4, Fate::Failed),
        ] {
            tally.transfer(id, fate);
        }
        assert_eq!(tally.glance().done, 1);
        assert_eq!(tally.transfers().len(), 4);
    }
}
