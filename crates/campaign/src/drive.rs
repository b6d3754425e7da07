//! A client's life: work, judge the end of it, look at the session, until the leg stops.

use std::sync::atomic::Ordering;

use crate::check::Kind;
use crate::client::{Client, Stop};
use crate::profiles::Profile;
use crate::record::{Outcome, Phase, Record, Tx};

impl Client {
    /// Works until the leg stops, then leaves with COM_QUIT, and hands itself back.
    pub(crate) async fn run_until_stopped(mut self, among: &'static [Profile]) -> Self {
        let mut first = true;
        while !self.shared.stop.load(Ordering::Relaxed) {
            if !self.is_connected() {
                if let Err(error) = self.connect().await {
                    self.violate(
                        Kind::ClientVisible,
                        0,
                        format!("could not connect: {error}"),
                    );
                    break;
                }
                if std::mem::take(&mut first) {
                    self.shared.ready.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.profile = self.draw(among);
            self.number += 1;
            let mut tx = Tx::new(self.number);
            let result = self.work(&mut tx).await;
            self.conclude(tx, result).await;
            if self.is_connected()
                && let Err(stop) = self.verify_session().await
            {
                self.complain(&stop);
            }
            self.think().await;
        }
        self.disconnect().await;
        self
    }

    /// Records how the transaction ended, and brings the session out of it.
    async fn conclude(&mut self, tx: Tx, result: Result<(), Stop>) {
        let phase = tx.phase;
        let ended = self.shared.now();
        let outcome = match result {
            Ok(()) => {
                self.acknowledge(&tx);
                Outcome::Acknowledged
            }
            Err(stop) => {
                let outcome = self.outcome(&tx, &stop).await;
                self.leave_transaction(phase, &stop).await;
                outcome
            }
        };
        if self.profile == Profile::Autocommit0
            && self.is_connected()
            && let Err(stop) = self.text("SET autocommit = 1").await
        {
            self.complain(&stop);
        }
        if tx.has_effects() {
            self.stats().transactions += 1;
        }
        if tx.has_effects() || matches!(outcome, Outcome::Refused { .. }) {
            self.records.push(Record {
                client: self.id,
                number: tx.number,
                profile: self.profile.name(),
                contended: self.profile.contended(),
                recorded: self.profile.recorded(),
                outcome,
                expected: tx.expected,
                reads: tx.reads,
                writes: tx.writes,
                tally: tx.tally,
                triple: tx.triple,
                commit_sent: tx.commit_sent,
                ended,
            });
        }
    }

    fn acknowledge(&mut self, tx: &Tx) {
        for row in tx.expected.iter().filter(|row| row.table == "own_log") {
            let slot = row.told.iter().find(|(name, _)| *name == "slot");
            if let Some(slot) = slot.and_then(|(_, slot)| slot.parse().ok()) {
                *self.own_seen.entry(slot).or_default() += 1;
            }
        }
    }

    async fn outcome(&mut self, tx: &Tx, stop: &Stop) -> Outcome {
        let message = stop.to_string();
        if stop.is_refusal() {
            self.stats().refused += 1;
            let reread_differs = match self.reread(&tx.reads).await {
                Ok(differs) => differs,
                Err(stop) => {
                    self.complain(&stop);
                    None
                }
            };
            return Outcome::Refused {
                message,
                reread_differs,
            };
        }
        if stop.is_doubt() && tx.phase != Phase::Open {
            self.stats().doubt += 1;
            if self.shared.terms.no_doubt && self.profile.recorded() {
                self.complain(stop);
            }
            return Outcome::Doubt { message };
        }
        self.complain(stop);
        match tx.phase {
            Phase::Open => Outcome::Failed { message },
            Phase::Committing | Phase::Autocommit => {
                self.stats().unanswered += 1;
                Outcome::Unanswered { message }
            }
        }
    }

    /// ROLLBACK after an error, as an application does; not needed after 1213, except that the
    /// re-read began a transaction when autocommit is off.
    async fn leave_transaction(&mut self, phase: Phase, stop: &Stop) {
        let over = phase == Phase::Autocommit
            || (stop.is_refusal() && self.profile != Profile::Autocommit0);
        if !over
            && self.is_connected()
            && let Err(stop) = self.text("ROLLBACK").await
        {
            self.complain(&stop);
        }
    }

    pub(crate) fn complain(&mut self, stop: &Stop) {
        if stop.ends_session() {
            self.abandon_session();
        }
        let kind = match stop {
            Stop::Lost { .. } if self.shared.terms.losses_excused => {
                self.stats().excused += 1;
                return;
            }
            Stop::Wrong { kind, .. } => *kind,
            Stop::Error { .. } | Stop::Lost { .. } => Kind::ClientVisible,
        };
        self.violate(kind, self.number, stop.to_string());
    }
}
