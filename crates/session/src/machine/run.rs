//! The way of a command through the machine when nothing is lost.

use super::{
    Action, Actions, Command, Debt, Flight, InsertId, Phase, Recording, Response, Session,
};
use crate::contract::{Failure, FailureKind, Reason};
use crate::statement::{Boundary, Held, Observes, PinUse, Safety, Statement};
use crate::transaction::{Entry, Pins};

impl Session {
    pub(super) fn command(&mut self, command: Command, actions: &mut Actions) {
        let statement = command.statement;
        let resets = statement.boundary == Boundary::Reset;
        let rolls_back = statement.boundary == Boundary::Rollback;
        let chains = statement.boundary == Boundary::RollbackAndChain
            && !matches!(self.debt, Some(Debt::UntilReset(_)));
        if let Some(debt) = self.debt {
            if resets {
                self.debt = None;
            } else if rolls_back && !matches!(debt, Debt::UntilReset(_)) {
                self.debt = None;
                actions.push(Action::AcknowledgeRollback);
                return;
            } else if !chains && let Some(failure) = self.owed(debt, statement) {
                actions.push(Action::Fail(failure));
                return;
            }
        }
        let mut flight = Flight {
            handle: command.handle,
            statement,
            bytes: command.bytes,
            pins: Pins::default(),
            may_have_run: false,
            guarded: false,
            part_delivered: false,
            tries: 0,
            ledger: command.ledger,
            recording: Recording::No,
            committed: false,
        };
        if let Some(clock) = command.clock {
            flight.pins = self.pins_for(statement, clock, command.random);
        }
        if let Some(debt) = self.debt
            && chains
        {
            self.debt = None;
            if !matches!(debt, Debt::UntilBegin(_)) {
                // It means the transaction that is lost: on the server it would begin another like that one.
                self.drop_connection(actions);
                self.transaction.reopen();
                self.attach(Some(flight), true, actions);
                return;
            }
        }
        self.go(flight, actions);
    }

    /// A command asks for what went with the lost connection, before it is sent. False: it does not.
    pub(super) fn asks_in_vain(&mut self, flight: Flight, actions: &mut Actions) -> bool {
        let gone = self.stale & flight.statement.observes;
        if gone.is_empty() {
            return false;
        }
        // Finding out is hidden work, which the others would notice.
        if flight.statement.observes == Observes::LAST_INSERT_ID {
            let told = match self.insert_id {
                InsertId::Told(handle) => Some(handle),
                InsertId::Known | InsertId::Unknown => None,
            };
            self.phase = Phase::Proving(flight);
            actions.push(Action::ProveInsertId(told));
        } else {
            self.refuse_question(flight, actions);
        }
        true
    }

    pub(super) fn insert_id_proved(&mut self, proved: bool, actions: &mut Actions) {
        let flight = match self.phase {
            Phase::Proving(flight) => flight,
            Phase::Replaying { .. } => {
                self.insert_id_replayed = proved;
                return;
            }
            _ => return,
        };
        if proved {
            self.insert_id = InsertId::Known;
            self.stale.remove(Observes::LAST_INSERT_ID);
            self.start(flight, actions);
        } else {
            self.refuse_question(flight, actions);
        }
    }

    /// Nothing of it runs: the answer that the old connection would have given is gone.
    fn refuse_question(&mut self, flight: Flight, actions: &mut Actions) {
        let failure = Failure::new(FailureKind::RolledBack, Reason::Diagnostics);
        self.phase = Phase::Idle;
        // LAST_INSERT_ID() stays gone until a statement sets it; the others are those of the statement before, which is
        // now this one.
        let told = flight.statement.observes - Observes::LAST_INSERT_ID;
        if self.transaction.is_open() {
            self.transaction.close();
            self.drop_connection(actions);
            actions.push(Action::Settled);
            self.debt = self.after_rollback_was_told(failure);
            self.owe_what_was_held();
        }
        self.stale.remove(told);
        actions.push(Action::Fail(failure));
    }

    /// What the command is told instead of being run, if anything.
    pub(super) fn owed(&mut self, debt: Debt, statement: Statement) -> Option<Failure> {
        match debt {
            Debt::Once(failure) => {
                self.debt = self.after_rollback_was_told(failure);
                Some(failure)
            }
            Debt::UntilRollback(failure) | Debt::UntilReset(failure) => Some(failure),
            Debt::UntilBegin(failure) => {
                if matches!(
                    statement.boundary,
                    Boundary::Begin | Boundary::AutocommitOff
                ) {
                    self.debt = None;
                    return None;
                }
                matches!(
                    statement.boundary,
                    Boundary::Commit | Boundary::CommitAndChain
                )
                .then_some(failure)
            }
        }
    }

    /// The client has been told 1213. With autocommit off, its next statement begins a transaction, as after
    /// a native 1213, and a retry cannot be told from going on.
    pub(super) fn after_rollback_was_told(&self, failure: Failure) -> Option<Debt> {
        self.autocommit.then_some(Debt::UntilBegin(failure))
    }

    /// What a statement is given so that it comes out the same in a replay. Only inside a transaction is there
    /// a replay.
    pub(super) fn pins_for(&self, statement: Statement, clock: u64, random: u64) -> Pins {
        if !self.in_scope() {
            return Pins::default();
        }
        let uses = statement.pins;
        Pins {
            timestamp: uses.contains(PinUse::NOW).then_some(clock),
            seeds: uses
                .contains(PinUse::RAND)
                // The servers' seeds are below 2^30 (Item_func_rand, both).
                .then_some((
                    (random as u32) & 0x3fff_ffff,
                    ((random >> 32) as u32) & 0x3fff_ffff,
                )),
            write_time: uses.contains(PinUse::WRITE_TIME).then_some(clock),
        }
    }

    /// Sends the command if there is a connection, else asks for one.
    pub(super) fn go(&mut self, flight: Flight, actions: &mut Actions) {
        if self.attached {
            if !self.asks_in_vain(flight, actions) {
                self.start(flight, actions);
            }
        } else {
            self.attach(Some(flight), false, actions);
        }
    }

    /// Sends the command, or first what is recorded before it.
    pub(super) fn start(&mut self, mut flight: Flight, actions: &mut Actions) {
        flight.recording = self.recording_of(flight);
        match flight.recording {
            Recording::Commit | Recording::Before => self.commit(flight, None, true, actions),
            Recording::No | Recording::Write => {
                self.phase = Phase::Running(flight);
                actions.push(Action::Send(flight));
            }
        }
    }

    pub(super) fn response(&mut self, response: Response, actions: &mut Actions) {
        match self.phase {
            Phase::Running(flight) => self.completed(flight, response, actions),
            Phase::Probing {
                flight,
                response: first,
            } => {
                let mut known = first;
                known.status = response.status;
                known.wrote |= response.wrote;
                known.non_transactional |= response.non_transactional;
                self.phase = Phase::Idle;
                self.settle(flight, known, actions);
            }
            Phase::Replaying { flight, at } => self.replayed(flight, at, response, actions),
            Phase::Idle
            | Phase::Attaching { .. }
            | Phase::Committing { .. }
            | Phase::Resolving { .. }
            | Phase::Proving(_) => {}
        }
    }

    /// The command in flight has its response, and the client has it too, or will have it when it is committed.
    pub(super) fn completed(&mut self, flight: Flight, response: Response, actions: &mut Actions) {
        if flight.recording == Recording::Write && response.error == 0 {
            self.written(flight, response, actions);
            return;
        }
        let uncertain = self.in_scope()
            || matches!(flight.statement.boundary, Boundary::Unknown)
            || matches!(flight.statement.safety, Safety::Never(_));
        if response.status.is_none() && uncertain {
            self.phase = Phase::Probing { flight, response };
            actions.push(Action::Probe);
            return;
        }
        self.phase = Phase::Idle;
        self.settle(flight, response, actions);
    }

    /// Brings journal, locks and flags up to date after a command.
    pub(super) fn settle(&mut self, flight: Flight, response: Response, actions: &mut Actions) {
        let statement = flight.statement;
        let failed = response.error != 0;
        if statement.boundary == Boundary::Reset && !failed {
            self.held = Held::empty();
        } else {
            if !failed {
                self.held.remove(statement.releases);
            }
            // A statement that failed may have got as far as taking a lock.
            if !failed || matches!(statement.safety, Safety::Never(_)) {
                self.held.insert(statement.leaves);
            }
        }
        self.stale = remaining_stale(self.stale, statement, failed);
        if flight.guarded {
            self.stale |= Observes::ROW_COUNT | Observes::DIAGNOSTICS;
        }
        let insert_id_before = self.insert_id;
        self.note_insert_id(flight, response);
        let was_open = self.transaction.is_open();
        let Some(status) = response.status else {
            // An ERR outside a transaction, to a statement that cannot open one.
            return;
        };
        self.autocommit = status.autocommit;
        // The transaction that a guarded re-run shows is the guard.
        if !status.in_transaction || flight.guarded {
            if was_open {
                self.transaction.close();
                self.replays = 0;
                actions.push(Action::Settled);
            }
            return;
        }
        let entry = Entry {
            command: flight.handle,
            statement,
            digest: response.digest,
            pins: flight.pins,
            insert_id: if statement.pins.contains(PinUse::INSERT_ID) && !failed {
                response.insert_id
            } else {
                0
            },
            order: response.order,
        };
        let anew = !was_open || (statement.boundary.replaces_transaction() && !failed);
        if anew {
            self.replays = 0;
            match statement.boundary {
                Boundary::CommitAndChain
                | Boundary::RollbackAndChain
                | Boundary::Commit
                | Boundary::Rollback => {
                    self.insert_id_at_start = self.insert_id;
                    self.transaction.open_chained();
                    actions.push(Action::OpenedChained);
                    return;
                }
                _ => {
                    self.insert_id_at_start = insert_id_before;
                    self.transaction.open();
                    actions.push(Action::Opened);
                }
            }
        }
        self.transaction.push(
            entry,
            flight.bytes,
            self.limits.journal_bytes,
            self.limits.journal_commands,
        );
        if response.wrote || matches!(statement.safety, Safety::Write | Safety::Never(_)) {
            self.transaction.mark_written();
        }
        if response.non_transactional {
            self.transaction.give_up(Reason::NonTransactional);
        }
        if failed && statement.safety != Safety::Harmless {
            self.transaction.mark_failed_write();
        }
        if self.transaction.unreplayable().is_none() {
            actions.push(Action::Keep(flight.handle));
        }
    }
}

impl Session {
    /// What a command that ended says of LAST_INSERT_ID(). Where it may have set it and does not say so, what is gone
    /// with a lost connection stays gone.
    fn note_insert_id(&mut self, flight: Flight, response: Response) {
        let statement = flight.statement;
        let failed = response.error != 0;
        let writes = matches!(statement.safety, Safety::Write | Safety::Never(_));
        if statement.boundary == Boundary::Reset && !failed {
            self.insert_id = InsertId::Known;
        } else if failed {
            // A failed INSERT of several rows sets it to the first id that it drew (tried on both servers).
            if writes || statement.sets_insert_id {
                self.insert_id = InsertId::Unknown;
            }
        } else if response.insert_id != 0 && statement.inserts && !statement.sets_insert_id {
            self.insert_id = InsertId::Told(flight.handle);
        } else if response.insert_id != 0 && statement.safety == Safety::Write && !statement.inserts
        {
            // UPDATE … SET a = LAST_INSERT_ID(expr): no other UPDATE tells an id.
            self.insert_id = InsertId::Known;
            self.stale.remove(Observes::LAST_INSERT_ID);
        } else if response.insert_id != 0
            || statement.sets_insert_id
            || statement.leaves.contains(Held::UNSEEN)
            || matches!(
                statement.safety,
                Safety::Never(Reason::MultiStatement | Reason::Call)
            )
        {
            self.insert_id = InsertId::Unknown;
        }
    }
}

/// What is still unknown about the statement before, after `statement` ran.
pub(super) fn remaining_stale(stale: Observes, statement: Statement, failed: bool) -> Observes {
    let mut left = stale;
    match statement.boundary {
        Boundary::Reset if !failed => return Observes::empty(),
        _ => {}
    }
    if !statement
        .observes
        .intersects(Observes::DIAGNOSTICS | Observes::ROW_COUNT)
    {
        left.remove(Observes::DIAGNOSTICS | Observes::ROW_COUNT);
    }
    if statement.safety == Safety::Read && !failed {
        left.remove(Observes::FOUND_ROWS);
    }
    left
}
