//! What the loss of a server connection comes to.

use super::{Action, Actions, Attachment, Debt, Flight, Phase, Recording, Session, Status, Target};
use crate::contract::{Failure, FailureKind, Reason};
use crate::loss::Loss;
use crate::statement::{Boundary, Held, Safety};

impl Session {
    pub(super) fn lost(&mut self, loss: Loss, actions: &mut Actions) {
        self.attached = false;
        match self.phase {
            Phase::Idle => self.lost_idle(None, loss.killed, actions),
            Phase::Running(flight) => self.lost_running(flight, loss, actions),
            Phase::Proving(mut flight) => {
                // It has not been sent; but what is asked before it may be what ends the connection.
                flight.tries = flight.tries.saturating_add(1);
                if flight.tries >= self.limits.attempts {
                    self.give_up(flight, actions);
                } else {
                    self.lost_idle(Some(flight), loss.killed, actions);
                }
            }
            Phase::Probing { flight, response } => {
                // The client has its ERR. 1213 and 1020 roll everything back; after any other the transaction
                // is taken to live, and the replay proves it.
                self.phase = Phase::Idle;
                if flight.statement.boundary.may_commit() && self.transaction.is_open() {
                    // It may have committed and then failed: nobody can tell any more.
                    self.transaction.close();
                    self.keep_opening(actions);
                    actions.push(Action::Settled);
                    self.debt = Some(Debt::UntilRollback(Failure::new(
                        FailureKind::InDoubt,
                        Reason::Commit,
                    )));
                    self.owe_what_was_held();
                    return;
                }
                let rolled_back = matches!(response.error, 1213 | 1020);
                let mut known = response;
                known.status = Some(Status {
                    in_transaction: self.transaction.is_open() && !rolled_back,
                    autocommit: self.autocommit,
                });
                if flight.statement.replayable().is_err() && self.transaction.is_open() {
                    self.transaction.give_up(
                        flight
                            .statement
                            .replayable()
                            .err()
                            .unwrap_or(Reason::NotUnderstood),
                    );
                }
                self.settle(flight, known, actions);
                self.lost_idle(None, loss.killed, actions);
            }
            Phase::Replaying { .. } if loss.killed => {
                let failure = Failure::new(FailureKind::Killed, Reason::Killed);
                self.lose_transaction(failure, true, actions);
            }
            Phase::Replaying { flight, .. } => {
                if self.replays >= self.limits.attempts.saturating_mul(4) {
                    let failure = Failure::new(FailureKind::RolledBack, Reason::Attempts);
                    self.lose_transaction(failure, false, actions);
                } else {
                    self.attach(flight, true, actions);
                }
            }
            Phase::Committing {
                flight,
                answer,
                recorded,
            } => self.lost_committing(flight, answer, recorded, loss, actions),
            Phase::Attaching { .. } | Phase::Resolving { .. } => {}
        }
    }

    /// Lost with no command in flight, or with one that the server cannot have acted on.
    pub(super) fn lost_idle(
        &mut self,
        flight: Option<Flight>,
        killed: bool,
        actions: &mut Actions,
    ) {
        self.phase = Phase::Idle;
        if flight.is_some_and(|flight| flight.statement.boundary == Boundary::Reset) {
            // It would have given back all of that itself.
            self.held = Held::empty();
            if self.transaction.is_open() {
                self.transaction.close();
                actions.push(Action::Settled);
            }
        }
        if !self.held.is_empty() {
            let failure = self.lost_hold();
            self.debt = Some(Debt::UntilReset(failure));
            if self.transaction.is_open() {
                self.transaction.close();
                actions.push(Action::Settled);
            }
            match flight {
                Some(flight) if flight.committed => self.unresolved(flight, actions),
                Some(_) => actions.push(Action::Fail(failure)),
                None => {}
            }
            return;
        }
        if !self.transaction.is_open() {
            if let Some(flight) = flight {
                self.attach(Some(flight), false, actions);
            }
            return;
        }
        self.phase = Phase::Attaching {
            flight,
            replay: true,
        };
        if killed {
            let failure = Failure::new(FailureKind::Killed, Reason::Killed);
            self.lose_transaction(failure, true, actions);
        } else if let Some(reason) = self.transaction.unreplayable() {
            let failure = Failure::new(FailureKind::RolledBack, reason);
            self.lose_transaction(failure, false, actions);
        } else {
            self.attach(flight, true, actions);
        }
    }

    pub(super) fn lost_hold(&self) -> Failure {
        let reason = if self.held == Held::UNSEEN {
            Reason::Unseen
        } else if self
            .held
            .intersects(Held::USER_LOCK | Held::TABLE_LOCK | Held::HANDLER)
        {
            Reason::Lock
        } else if self.held.contains(Held::TEMPORARY_TABLE) {
            Reason::TemporaryTable
        } else {
            Reason::Xa
        };
        Failure::new(FailureKind::Unavailable, reason)
    }

    pub(super) fn lost_running(&mut self, mut flight: Flight, loss: Loss, actions: &mut Actions) {
        flight.part_delivered |= loss.delivered > 0;
        flight.tries = flight.tries.saturating_add(1);
        if !loss.may_have_run() && !flight.may_have_run {
            if flight.tries >= self.limits.attempts.saturating_mul(4) {
                self.give_up(flight, actions);
            } else {
                self.lost_idle(Some(flight), loss.killed, actions);
            }
            return;
        }
        flight.may_have_run = true;
        let statement = flight.statement;
        let open = self.transaction.is_open();
        let commits = self.commits(statement.boundary) && self.transaction.has_written();
        // A re-run that was not sent, or ran under the guard, adds no doubt of its own.
        let harmless = match statement.safety {
            Safety::Harmless | Safety::Read => true,
            Safety::Write => self.in_scope() || flight.recording == Recording::Write,
            // In the transaction whose replay opens it again.
            Safety::Never(Reason::Cursor) => open,
            Safety::Never(_) => false,
        } && !commits;
        if !harmless {
            let reason = match statement.safety {
                Safety::Never(reason) => reason,
                _ if commits => Reason::Commit,
                _ => Reason::Write,
            };
            // A cursor's FETCH has no effect to be in doubt about.
            let kind = if reason == Reason::Cursor {
                FailureKind::RolledBack
            } else {
                FailureKind::InDoubt
            };
            self.in_doubt(flight, Failure::new(kind, reason), actions);
            return;
        }
        if statement.boundary == Boundary::Reset {
            self.held = Held::empty();
        }
        if !self.held.is_empty() {
            self.lost_idle(Some(flight), loss.killed, actions);
            return;
        }
        if loss.killed && !flight.committed {
            let failure = Failure::new(FailureKind::Killed, Reason::Killed);
            if open {
                self.phase = Phase::Running(flight);
                self.lose_transaction(failure, true, actions);
            } else {
                self.phase = Phase::Idle;
                actions.push(Action::Fail(failure));
            }
            return;
        }
        if flight.tries >= self.limits.attempts {
            self.give_up(flight, actions);
            return;
        }
        match statement.boundary {
            // What it would roll back is gone with the connection, and what it would commit is nothing.
            Boundary::Rollback
            | Boundary::Reset
            | Boundary::Commit
            | Boundary::Begin
            | Boundary::AutocommitOn
                if open
                    && (!statement.boundary.may_commit() || self.commits(statement.boundary)) =>
            {
                self.transaction.close();
                actions.push(Action::Settled);
                self.attach(Some(flight), false, actions);
            }
            // The same, and another transaction like it begins.
            Boundary::RollbackAndChain | Boundary::CommitAndChain if open => {
                self.transaction.reopen();
                self.keep_opening(actions);
                actions.push(Action::Settled);
                self.attach(Some(flight), true, actions);
            }
            _ if open => {
                if let Some(reason) = self.transaction.unreplayable() {
                    let failure = Failure::new(FailureKind::RolledBack, reason);
                    self.phase = Phase::Running(flight);
                    self.lose_transaction(failure, false, actions);
                } else {
                    self.attach(Some(flight), true, actions);
                }
            }
            _ if !self.autocommit => {
                // Its transaction was to begin with it: nothing to replay, and nothing was committed.
                self.attach_first_of_transaction(flight, actions);
            }
            _ => {
                flight.guarded = statement.safety == Safety::Read;
                self.attach(Some(flight), false, actions);
            }
        }
    }

    /// The command has been lost again and again: the client is told.
    pub(super) fn give_up(&mut self, flight: Flight, actions: &mut Actions) {
        let failure = Failure::new(FailureKind::Unavailable, Reason::Attempts);
        if flight.committed {
            self.unresolved(flight, actions);
            return;
        }
        self.phase = Phase::Running(flight);
        if self.transaction.is_open() {
            self.lose_transaction(failure, true, actions);
        } else {
            self.phase = Phase::Idle;
            actions.push(Action::Fail(failure));
        }
    }

    /// A command of an autocommit=0 session whose transaction had not been seen to open.
    pub(super) fn attach_first_of_transaction(&mut self, flight: Flight, actions: &mut Actions) {
        self.phase = Phase::Attaching {
            flight: Some(flight),
            replay: true,
        };
        actions.push(Action::Attach(Attachment {
            target: Target::Now,
            replay: true,
            catalogue: flight.statement.safety != Safety::Harmless,
        }));
    }

    /// The outcome of the command in flight is unknown.
    pub(super) fn in_doubt(&mut self, flight: Flight, failure: Failure, actions: &mut Actions) {
        let statement = flight.statement;
        let was_open = self.transaction.is_open();
        self.phase = Phase::Idle;
        if was_open {
            self.transaction.close();
            self.replays = 0;
            self.keep_opening(actions);
            actions.push(Action::Settled);
        }
        self.held.insert(statement.leaves);
        if !self.held.is_empty() {
            self.debt = Some(Debt::UntilReset(self.lost_hold()));
        } else if (was_open && statement.boundary != Boundary::Commit)
            || flight.committed
            || statement.boundary == Boundary::CommitAndChain
            || (statement.boundary == Boundary::Unknown && !self.autocommit)
        {
            // A plain COMMIT leaves no transaction behind, whatever became of it; anything else leaves the
            // client believing that one is open. COMMIT AND CHAIN that fails on a server begins none, so a
            // client that goes on without a ROLLBACK has not understood that: nothing of it runs.
            if !was_open {
                self.keep_opening(actions);
            }
            self.debt = Some(Debt::UntilRollback(failure));
        }
        actions.push(Action::Fail(failure));
    }

    /// The open transaction is lost and cannot be hidden: tells the command in flight, or the next one.
    /// `sticky`: every command until ROLLBACK gets it, so that nothing half-commits.
    pub(super) fn lose_transaction(
        &mut self,
        failure: Failure,
        sticky: bool,
        actions: &mut Actions,
    ) {
        let flight = match self.phase {
            Phase::Attaching { flight, .. } | Phase::Replaying { flight, .. } => flight,
            Phase::Running(flight)
            | Phase::Proving(flight)
            | Phase::Committing { flight, .. }
            | Phase::Resolving { flight, .. } => Some(flight),
            Phase::Idle | Phase::Probing { .. } => None,
        };
        if let Some(flight) = flight
            && flight.committed
        {
            // What came before it is committed, and no error says that.
            self.drop_connection(actions);
            self.unresolved(flight, actions);
            return;
        }
        self.phase = Phase::Idle;
        self.transaction.close();
        self.replays = 0;
        self.drop_connection(actions);
        self.keep_opening(actions);
        actions.push(Action::Settled);
        self.debt = match (sticky, flight) {
            (true, _) => Some(Debt::UntilRollback(failure)),
            (false, None) => Some(Debt::Once(failure)),
            (false, Some(_)) => self.after_rollback_was_told(failure),
        };
        self.owe_what_was_held();
        if flight.is_some() {
            actions.push(Action::Fail(failure));
        }
    }

    /// ROLLBACK AND CHAIN may begin another transaction like the lost one: from the session as it is now.
    fn keep_opening(&mut self, actions: &mut Actions) {
        self.insert_id_at_start = self.insert_id;
        actions.push(Action::KeepOpening);
    }

    /// What the session held is gone with the connection that was given up: from now on every command is told that.
    pub(super) fn owe_what_was_held(&mut self) {
        if !self.held.is_empty() {
            self.debt = Some(Debt::UntilReset(self.lost_hold()));
        }
    }

    pub(super) fn drop_connection(&mut self, actions: &mut Actions) {
        if self.attached {
            self.attached = false;
            actions.push(Action::Discard);
        }
        self.stale = self.gone_with_connection();
    }
}
