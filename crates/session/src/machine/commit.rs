//! What is committed with a mark in the ledger, and what its loss comes to.

use super::{Action, Actions, Debt, Flight, Phase, Recording, Response, Session, Status};
use crate::contract::{Failure, FailureKind, Reason};
use crate::ledger::Verdict;
use crate::loss::Loss;
use crate::statement::{Boundary, Held, Safety};

/// ER_QUERY_INTERRUPTED, what KILL QUERY gives on both servers.
const KILLED_QUERY: u16 = 1317;

impl Session {
    /// How what a command commits is to be recorded, as the session is now.
    pub(super) fn recording_of(&self, flight: Flight) -> Recording {
        let statement = flight.statement;
        // Under LOCK TABLES the ledger's table is not locked, and BEGIN would release them. XA has its own COMMIT.
        if !flight.ledger || self.held.intersects(Held::TABLE_LOCK | Held::XA) {
            return Recording::No;
        }
        if !self.transaction.is_open() {
            // What was not seen may have locked tables.
            let writes = self.autocommit
                && !self.held.contains(Held::UNSEEN)
                && statement.safety == Safety::Write
                && statement.boundary == Boundary::None;
            return if writes {
                Recording::Write
            } else {
                Recording::No
            };
        }
        // What is written to tables without transactions is not undone if the COMMIT is not done.
        let transactional = self.transaction.unreplayable() != Some(Reason::NonTransactional);
        if !self.transaction.has_written() || !transactional {
            return Recording::No;
        }
        if !self.commits(statement.boundary) {
            return Recording::No;
        }
        match (statement.safety, statement.boundary) {
            (Safety::Harmless, Boundary::Commit | Boundary::CommitAndChain) => Recording::Commit,
            (Safety::Harmless, Boundary::Begin | Boundary::AutocommitOn) => Recording::Before,
            // DDL may turn out not to be one when the server reads it, and then commits nothing.
            _ => Recording::No,
        }
    }

    pub(super) fn commit(
        &mut self,
        flight: Flight,
        answer: Option<Response>,
        recorded: bool,
        actions: &mut Actions,
    ) {
        self.phase = Phase::Committing {
            flight,
            answer,
            recorded,
        };
        actions.push(Action::Commit { flight, recorded });
    }

    pub(super) fn not_begun(&mut self) {
        if let Phase::Running(flight) = &mut self.phase {
            flight.recording = Recording::No;
            flight.ledger = false;
        }
    }

    /// A write in its hidden transaction has succeeded; its answer is held back.
    pub(super) fn written(&mut self, flight: Flight, answer: Response, actions: &mut Actions) {
        if answer.status.is_some_and(|status| status.in_transaction) {
            self.commit(flight, Some(answer), !answer.non_transactional, actions);
        } else {
            // It was not what it was taken for, and has committed by itself.
            self.phase = Phase::Idle;
            actions.push(Action::Acknowledge(flight));
            self.settle(flight, answer, actions);
        }
    }

    pub(super) fn committed(&mut self, response: Response, actions: &mut Actions) {
        let Phase::Committing { flight, answer, .. } = self.phase else {
            return;
        };
        match (flight.recording, answer) {
            (Recording::Before, _) => {
                self.forget_transaction(actions);
                let flight = Flight {
                    committed: true,
                    ..flight
                };
                self.start(flight, actions);
            }
            (Recording::Write, Some(answer)) => {
                self.phase = Phase::Idle;
                actions.push(Action::Acknowledge(flight));
                let status = response.status;
                self.settle(flight, Response { status, ..answer }, actions);
            }
            _ => {
                self.phase = Phase::Idle;
                self.settle(flight, response, actions);
            }
        }
    }

    pub(super) fn unrecorded(&mut self, plainly: bool, actions: &mut Actions) {
        let Phase::Committing {
            mut flight, answer, ..
        } = self.phase
        else {
            return;
        };
        let writes = flight.recording == Recording::Write;
        if plainly && writes {
            self.commit(flight, answer, false, actions);
        } else if plainly {
            flight.ledger = false;
            self.start(flight, actions);
        } else {
            let failure = Failure::new(FailureKind::Unavailable, Reason::NoLedger);
            self.refuse(flight, failure, actions);
        }
    }

    /// What was to be committed never will be, and is not to run again.
    fn refuse(&mut self, flight: Flight, failure: Failure, actions: &mut Actions) {
        if self.transaction.is_open() {
            self.phase = Phase::Running(flight);
            self.lose_transaction(failure, true, actions);
        } else {
            self.phase = Phase::Idle;
            self.drop_connection(actions);
            self.owe_what_was_held();
            actions.push(Action::Fail(failure));
        }
    }

    pub(super) fn commit_failed(&mut self, error: u16, actions: &mut Actions) {
        let Phase::Committing {
            flight,
            answer,
            recorded,
        } = self.phase
        else {
            return;
        };
        self.drop_connection(actions);
        let killed = error == KILLED_QUERY;
        self.doubt(flight, answer, recorded, killed, actions);
    }

    /// The connection is lost, or of no use, while something was being committed on it.
    pub(super) fn lost_committing(
        &mut self,
        flight: Flight,
        answer: Option<Response>,
        recorded: bool,
        loss: Loss,
        actions: &mut Actions,
    ) {
        if loss.may_have_run() {
            self.doubt(flight, answer, recorded, loss.killed, actions);
        } else {
            self.not_committed(flight, loss.killed, actions);
        }
    }

    /// Whether it is committed is not known.
    fn doubt(
        &mut self,
        flight: Flight,
        answer: Option<Response>,
        recorded: bool,
        killed: bool,
        actions: &mut Actions,
    ) {
        if recorded {
            self.phase = Phase::Resolving {
                flight,
                answer,
                killed,
            };
            actions.push(Action::Resolve);
        } else {
            self.unresolved(flight, actions);
        }
    }

    /// Nothing is known of what was to be committed, or it is committed and what was to come after it cannot be done: no
    /// error says that, and the client must not do it all again.
    pub(super) fn unresolved(&mut self, flight: Flight, actions: &mut Actions) {
        let reason = match flight.recording {
            Recording::Write => Reason::Write,
            _ => Reason::Commit,
        };
        let failure = Failure::new(FailureKind::InDoubt, reason);
        self.in_doubt(flight, failure, actions);
    }

    /// KILL, by somebody who did not know that the connection is lost: what is not committed does not run again.
    pub(super) fn killed_resolving(&mut self) {
        if let Phase::Resolving { killed, .. } = &mut self.phase {
            *killed = true;
        }
    }

    pub(super) fn resolved(&mut self, verdict: Verdict, actions: &mut Actions) {
        let Phase::Resolving {
            flight,
            answer,
            killed,
        } = self.phase
        else {
            return;
        };
        match verdict {
            Verdict::Committed => self.found_committed(flight, answer, actions),
            Verdict::NotCommitted => self.not_committed(flight, killed, actions),
            Verdict::Unknown => self.unresolved(flight, actions),
        }
    }

    /// It has taken effect; only its answer was lost, and the connection.
    fn found_committed(&mut self, flight: Flight, answer: Option<Response>, actions: &mut Actions) {
        self.phase = Phase::Idle;
        self.stale = self.gone_with_connection();
        if flight.recording != Recording::Before {
            actions.push(Action::Acknowledge(flight));
        }
        let chains = flight.chains() && self.held.is_empty();
        if chains {
            // With the characteristics of the one before, as long as they are known.
            self.insert_id_at_start = self.insert_id;
            actions.push(Action::OpenedChained);
        }
        if let Some(answer) = answer {
            let status = Some(Status {
                in_transaction: false,
                autocommit: self.autocommit,
            });
            self.settle(flight, Response { status, ..answer }, actions);
        } else {
            self.forget_transaction(actions);
        }
        if !self.held.is_empty() {
            let failure = self.lost_hold();
            self.debt = Some(Debt::UntilReset(failure));
            if flight.recording == Recording::Before {
                self.unresolved(flight, actions);
            }
        } else if flight.recording == Recording::Before {
            let flight = Flight {
                committed: true,
                ..flight
            };
            self.attach(Some(flight), false, actions);
        } else if chains {
            self.transaction.open_chained();
            self.attach(None, true, actions);
        }
    }

    /// It has not taken effect and never will: its connection is gone, and its lane fenced if it was sent.
    fn not_committed(&mut self, mut flight: Flight, killed: bool, actions: &mut Actions) {
        flight.tries = flight.tries.saturating_add(1);
        let writes = flight.recording == Recording::Write;
        // The write has run; that of a transaction is in the journal, and its COMMIT has not.
        flight.may_have_run |= writes;
        if killed && self.held.is_empty() {
            self.refuse(
                flight,
                Failure::new(FailureKind::Killed, Reason::Killed),
                actions,
            );
        } else if flight.tries >= self.limits.attempts {
            self.give_up(flight, actions);
        } else {
            self.lost_idle(Some(flight), false, actions);
        }
    }

    fn forget_transaction(&mut self, actions: &mut Actions) {
        self.transaction.close();
        self.replays = 0;
        actions.push(Action::Settled);
    }
}
