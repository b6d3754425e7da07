//! The way back: another connection, the replay, and what ends them early.

use super::run::remaining_stale;
use super::{
    Action, Actions, Attachment, Catalogue, Flight, InsertId, Phase, Recording, Refusal, Response,
    Session, Target,
};
use crate::contract::{Failure, FailureKind, Reason};
use crate::statement::{Boundary, Observes, Safety};

/// ER_QUERY_INTERRUPTED, what KILL QUERY gives on both servers.
const KILLED_QUERY: u16 = 1317;

impl Session {
    pub(super) fn attach(&mut self, flight: Option<Flight>, replay: bool, actions: &mut Actions) {
        let writes_again = flight.is_some_and(|flight| flight.may_have_run)
            && !matches!(
                flight.map(|flight| flight.statement.safety),
                Some(Safety::Harmless)
            );
        self.phase = Phase::Attaching { flight, replay };
        actions.push(Action::Attach(Attachment {
            target: if replay {
                Target::TransactionStart
            } else {
                Target::Now
            },
            replay,
            catalogue: (replay && (writes_again || self.transaction.has_failed_write()))
                || flight.is_some_and(Self::writes_again),
        }));
    }

    pub(super) fn attached(&mut self, catalogue: Catalogue, actions: &mut Actions) {
        let Phase::Attaching { flight, replay } = self.phase else {
            return;
        };
        self.attached = true;
        self.stale = self.gone_with_connection();
        self.insert_id_replayed = false;
        if replay {
            if self.transaction.has_failed_write() && catalogue.journal {
                // A statement that failed may have written a part that does not roll back.
                let failure = Failure::new(FailureKind::RolledBack, Reason::NonTransactional);
                self.lose_transaction(failure, false, actions);
                return;
            }
            if let Some(flight) = flight
                && flight.may_have_run
                && catalogue.command
                && matches!(flight.statement.safety, Safety::Write | Safety::Read)
            {
                let failure = Failure::new(FailureKind::InDoubt, Reason::NonTransactional);
                self.lose_transaction(failure, true, actions);
                return;
            }
            self.replays = self.replays.saturating_add(1);
            let at = if self.transaction.is_chained() {
                None
            } else {
                Some(0)
            };
            self.replay_at(flight, at, actions);
            return;
        }
        match flight {
            Some(flight) if Self::writes_again(flight) && catalogue.command => {
                let failure = Failure::new(FailureKind::InDoubt, Reason::NonTransactional);
                self.in_doubt(flight, failure, actions);
            }
            Some(flight) => self.go(flight, actions),
            None => self.phase = Phase::Idle,
        }
    }

    /// Whether a write outside a transaction, which has been rolled back, is about to run again: tables without
    /// transactions would have it twice.
    fn writes_again(flight: Flight) -> bool {
        flight.recording == Recording::Write && flight.may_have_run
    }

    /// Runs entry `at` of the journal, or ends the replay when there is none.
    pub(super) fn replay_at(
        &mut self,
        flight: Option<Flight>,
        at: Option<u32>,
        actions: &mut Actions,
    ) {
        let Some(index) = at else {
            self.phase = Phase::Replaying { flight, at };
            actions.push(Action::ReplayOpening);
            return;
        };
        if (index as usize) < self.transaction.entries().len() {
            self.phase = Phase::Replaying { flight, at };
            actions.push(Action::Replay(index));
            return;
        }
        if let Some(last) = self.transaction.entries().last() {
            // Hidden statements came after the last one: they have cleared its row count and its warnings.
            self.stale = remaining_stale(self.gone_with_connection(), last.statement, false)
                | Observes::ROW_COUNT
                | Observes::DIAGNOSTICS;
        }
        let known = self.insert_id_at_start == InsertId::Known || self.insert_id_replayed;
        if self.transaction.is_open() && known {
            // The replay began with it, or came to it, and has set it as the first run did.
            self.stale.remove(Observes::LAST_INSERT_ID);
        }
        actions.push(Action::EndReplay);
        match flight {
            Some(flight) => self.go(flight, actions),
            None => self.phase = Phase::Idle,
        }
    }

    pub(super) fn refused(&mut self, refusal: Refusal, actions: &mut Actions) {
        let Phase::Attaching { flight, replay } = self.phase else {
            return;
        };
        let kind = match refusal.0 {
            Reason::Killed => FailureKind::Killed,
            _ => FailureKind::Unavailable,
        };
        let failure = Failure::new(kind, refusal.0);
        if replay {
            self.lose_transaction(failure, true, actions);
        } else {
            self.phase = Phase::Idle;
            match flight {
                Some(flight) if flight.committed => self.unresolved(flight, actions),
                Some(_) => actions.push(Action::Fail(failure)),
                None => {}
            }
        }
    }

    pub(super) fn replayed(
        &mut self,
        flight: Option<Flight>,
        at: Option<u32>,
        response: Response,
        actions: &mut Actions,
    ) {
        let Some(index) = at else {
            if response.error != 0 {
                self.mismatch(flight, actions);
            } else {
                self.replay_at(flight, Some(0), actions);
            }
            return;
        };
        let entries = self.transaction.entries();
        let equal = entries
            .get(index as usize)
            .is_some_and(|entry| entry.digest == response.digest);
        let last = index as usize + 1 == entries.len();
        let alive = response
            .status
            .is_none_or(|status| status.in_transaction || !last);
        if equal && alive {
            self.replay_at(flight, Some(index + 1), actions);
        } else if response.error == KILLED_QUERY {
            // KILL QUERY meant the command that the client waits for. The statement that it hit has left nothing, and
            // its transaction lives: that one runs again.
            self.interrupted(actions);
            let flight = match self.phase {
                Phase::Replaying { flight, .. } => flight,
                _ => None,
            };
            self.replay_at(flight, Some(index), actions);
        } else {
            self.mismatch(flight, actions);
        }
    }

    pub(super) fn mismatch(&mut self, flight: Option<Flight>, actions: &mut Actions) {
        let failure = Failure::new(FailureKind::RolledBack, Reason::Mismatch);
        self.phase = Phase::Replaying { flight, at: None };
        self.lose_transaction(failure, false, actions);
    }

    pub(super) fn guard_refused(&mut self, actions: &mut Actions) {
        if let Phase::Running(_) = self.phase {
            self.phase = Phase::Idle;
            actions.push(Action::Fail(Failure::new(
                FailureKind::InDoubt,
                Reason::WritingRead,
            )));
        }
    }

    /// The catalogue did not show what it writes: what can be done is to say so.
    pub(super) fn ran_twice(&mut self, actions: &mut Actions) {
        let Phase::Running(flight) = self.phase else {
            return;
        };
        let failure = Failure::new(FailureKind::InDoubt, Reason::NonTransactional);
        if flight.recording == Recording::Write {
            self.drop_connection(actions);
            self.in_doubt(flight, failure, actions);
        } else {
            self.lose_transaction(failure, true, actions);
        }
    }

    pub(super) fn part_differs(&mut self, actions: &mut Actions) {
        if let Phase::Running(_) = self.phase {
            let failure = Failure::new(FailureKind::RolledBack, Reason::PartMismatch);
            if self.transaction.is_open() {
                self.lose_transaction(failure, false, actions);
            } else {
                self.phase = Phase::Idle;
                self.drop_connection(actions);
                self.owe_what_was_held();
                actions.push(Action::Fail(failure));
            }
        }
    }

    /// The connection is in order, but the transaction cannot go on as the client believes it does.
    pub(super) fn cursor_gone(&mut self, actions: &mut Actions) {
        if let Phase::Running(_) = self.phase {
            let failure = Failure::new(FailureKind::RolledBack, Reason::Cursor);
            if self.transaction.is_open() {
                self.lose_transaction(failure, false, actions);
            } else {
                self.phase = Phase::Idle;
                actions.push(Action::Fail(failure));
            }
        }
    }

    pub(super) fn interrupted(&mut self, actions: &mut Actions) {
        let killed = Failure::new(FailureKind::Killed, Reason::Killed);
        match &mut self.phase {
            // What it was to end is gone already: no 1317 may say that the transaction goes on.
            Phase::Attaching {
                flight: Some(flight),
                ..
            }
            | Phase::Replaying {
                flight: Some(flight),
                ..
            } if Self::has_ended_something(*flight) => {}
            Phase::Attaching { flight, .. } | Phase::Replaying { flight, .. } => {
                // As a native 1317: the statement ends, the transaction goes on. A command that may have run
                // before is in the transaction that is rolled back, or was a read.
                actions.push(match flight.take() {
                    Some(_) => Action::EndHeld(killed),
                    None => Action::EndWaiting(killed),
                });
            }
            // What is committed can no longer be interrupted.
            Phase::Committing { .. } | Phase::Resolving { .. } => {}
            Phase::Idle | Phase::Running(_) | Phase::Proving(_) | Phase::Probing { .. } => {}
        }
    }

    /// Whether the transaction that a command was to end, or to replace, has ended with the lost connection.
    fn has_ended_something(flight: Flight) -> bool {
        flight.committed
            || match flight.statement.boundary {
                // Its journal is dropped as soon as it is known that it chains.
                Boundary::RollbackAndChain => true,
                Boundary::Begin
                | Boundary::Commit
                | Boundary::CommitAndChain
                | Boundary::Rollback
                | Boundary::AutocommitOn
                | Boundary::Reset => flight.may_have_run,
                _ => false,
            }
    }

    pub(super) fn replay_timeout(&mut self, actions: &mut Actions) {
        if let Phase::Replaying { .. } = self.phase {
            let failure = Failure::new(FailureKind::RolledBack, Reason::ReplayTime);
            self.lose_transaction(failure, false, actions);
        }
    }
}
