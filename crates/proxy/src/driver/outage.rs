//! A loss from its moment to what the client got: counted once, and told once as an incident.

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use steadfast_diagnose::{Side, Told};
use steadfast_session::{End, Event, Failure, Loss, Sent};
use tokio::time::Instant;

use super::{Driver, Exit, MAX_ZOMBIES};
use crate::incident::{
    Incident, IncidentId, Report, Step, closed_text, end_text, failure_text, millis, unreached,
};
use crate::metrics::{Phase, Recovery};
use crate::traffic::Seen;

/// A loss that is being recovered from, or is to be when the next command comes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    pub(super) incident: IncidentId,
    at: SystemTime,
    pub(super) since: Instant,
    phase: Phase,
    loss: Loss,
    pub(super) replayed: u32,
    pub(super) stage: Stage,
    /// The ledger told that what was lost had taken effect.
    pub(super) resolved: bool,
    /// The loss itself was long ago: this is about the server that cannot be reached now.
    anew: bool,
}

/// A loss of an idle session that is older than this when its client wants something has nothing to do with what the
/// client meets.
const OLD: Duration = Duration::from_secs(60);

/// Who waits because of a loss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// The client, or its open transaction.
    Waits,
    /// Nobody before the next command: the session was idle. It is in the log.
    Idle,
    /// Nobody now: the session was idle, and its client waits now that its next command has come.
    IdleNoMore,
    /// Nobody: the next command is told.
    Owed,
}

impl Stage {
    /// Whether the session counts as held.
    pub(super) fn is_held(self) -> bool {
        matches!(self, Self::Waits | Self::IdleNoMore)
    }
}

impl Driver {
    /// The server connection is lost: what is known of it.
    pub(super) async fn lost(&mut self, end: End, sent: Sent) -> Event {
        let delivered = self.mark.map_or(0, |mark| mark.bytes());
        let lost_at = Instant::now();
        // A KILL's end may be seen before the word about it.
        while let Some(word) = self.control.next_about_kill() {
            self.note_kill(word);
        }
        let killed = std::mem::take(&mut self.killed);
        let mut loss = Loss {
            end,
            sent,
            delivered,
            killed: end == End::Said(1927)
                || self.last_server_id().is_some_and(|id| killed.means(id)),
        };
        if self.outage.is_none() {
            self.shared.around.lost(lost_at);
            self.account = Some(Rc::new(self.account(loss, lost_at)));
        }
        let since = self
            .link
            .as_ref()
            .map_or(lost_at, |link| link.traffic.may_have_ended(lost_at));
        if let Some(link) = self.link.take() {
            self.shared.metrics.server_connections.dec();
            if self.zombies.len() < MAX_ZOMBIES {
                self.zombies.push(link.zombie());
            }
        }
        self.claim.set_server_id(None);
        let in_use = !self.core.is_idle() || self.core.transaction().is_open();
        if end == End::Fin && in_use && !loss.killed && self.outage.is_none() {
            loss.killed = self.shared.health.killed(since, lost_at).await;
        }
        let phase = self.phase(delivered);
        self.shared.metrics.lost(end, phase);
        if self.outage.is_none() {
            self.outage = Some(Box::new(Outage {
                incident: self.shared.incidents.next_id(),
                at: SystemTime::now(),
                since: Instant::now(),
                phase,
                loss,
                replayed: 0,
                stage: Stage::Idle,
                resolved: false,
                anew: false,
            }));
            if in_use {
                self.enter(Stage::Waits);
                // What there is to see around it is to be seen now, and whoever asks now is to be told.
                self.record_wait();
            }
        }
        Event::Lost(loss)
    }

    fn phase(&self, delivered: u64) -> Phase {
        if self.outage.is_some() {
            Phase::Recovery
        } else if delivered > 0 {
            Phase::Response
        } else if !self.core.is_idle() {
            Phase::Command
        } else if self.core.transaction().is_open() {
            Phase::Transaction
        } else {
            Phase::Idle
        }
    }

    /// The loss is over: counts it and tells it.
    pub(super) fn settle_outage(&mut self) {
        let Some((outage, waited)) = self.end_outage() else {
            return;
        };
        let how = match outage.phase {
            _ if outage.resolved => Recovery::Resolved,
            _ if outage.replayed > 0 => Recovery::Replay,
            Phase::Idle | Phase::Transaction | Phase::Login | Phase::Recovery => Recovery::Idle,
            Phase::Command | Phase::Response if outage.loss.may_have_run() => Recovery::Rerun,
            Phase::Command | Phase::Response => Recovery::Resend,
        };
        self.shared.metrics.recovered(how, waited);
        if !matches!(outage.stage, Stage::Idle | Stage::IdleNoMore) {
            self.record(&outage, how.outcome(outage.replayed), 0, waited);
        }
    }

    /// Tells the loss, and what became of it.
    pub(super) fn record(&self, outage: &Outage, outcome: String, error: u16, waited: Duration) {
        self.report(outage, outcome, error, waited, false);
    }

    /// Tells a loss for which the client waits.
    fn record_wait(&self) {
        if let Some(outage) = &self.outage
            && outage.stage == Stage::Waits
        {
            let waited = outage.since.elapsed();
            self.report(outage, "the client waits".to_owned(), 0, waited, true);
        }
    }

    fn report(&self, outage: &Outage, outcome: String, error: u16, waited: Duration, waits: bool) {
        let (at_ms, waited_ms) = millis(outage.at, waited);
        let Some(account) = self.account.as_deref() else {
            // Every outage has one.
            return;
        };
        let since = i64::try_from(account.lost.elapsed().as_millis()).unwrap_or(i64::MAX);
        let mut story = account.story.clone();
        let end = if outage.anew {
            "the server could not be reached".to_owned()
        } else {
            end_text(outage.loss.end)
        };
        story.push(Step {
            ms: 0,
            what: end.clone(),
        });
        if !waits {
            story.push(Step {
                ms: since,
                what: outcome.clone(),
            });
        }
        let mut evidence = account.evidence.clone();
        if outage.anew {
            let reach = self.shared.around.last_failure_since(account.lost);
            let (moment, end) = unreached(reach);
            let seen = Seen {
                quiet: waited,
                waited,
                ..Seen::default()
            };
            evidence.wire = Some(seen.wire(Side::Server, moment, end, false));
            evidence.aside.reach = reach;
        } else if outage.loss.killed {
            // Asked after the account was written.
            evidence.aside.foreign_kill = Some(true);
        }
        let schema = self.state.schema();
        self.shared.incidents.record(Report {
            incident: Incident {
                id: outage.incident.to_string(),
                at_ms,
                user: String::from_utf8_lossy(&self.identity.user).into_owned(),
                schema: schema.map(|name| String::from_utf8_lossy(name).into_owned()),
                client: self.peer.clone(),
                connection: self.claim.id(),
                server_connection: account.server_connection,
                statement: account.statement.clone(),
                phase: outage.phase.name().to_owned(),
                end,
                outcome,
                waits,
                error,
                waited_ms,
                why: Told::default(),
                story,
                evidence,
            },
            lost: account.lost,
            in_force: account.in_force.clone(),
            made: account.made,
            since: account.since,
        });
    }

    /// Tells the client that its loss could not be hidden.
    pub(super) async fn fail(&mut self, failure: Failure) -> Result<(), Exit> {
        self.unhold_answer();
        self.aftermath.forget();
        let in_half_a_row = self.mark.is_some_and(|mark| mark.is_inside_packet());
        let incident = match self.end_outage() {
            Some((outage, waited)) => {
                self.shared.metrics.failed(failure, waited);
                let text = if in_half_a_row {
                    closed_text(failure)
                } else {
                    failure_text(failure)
                };
                self.record(&outage, text, failure.kind.code(), waited);
                self.last_outage = Some(Box::new(outage));
                outage.incident
            }
            None => {
                self.shared.metrics.failed(failure, Duration::ZERO);
                self.last_outage
                    .as_ref()
                    .map(|outage| outage.incident)
                    .unwrap_or_else(|| self.shared.incidents.next_id())
            }
        };
        if in_half_a_row {
            // The rest of a row of over 64 KiB does not come again: no packet can follow half a packet.
            return Err(Exit::Closed);
        }
        self.answer_error(
            failure.kind.code(),
            *failure.kind.sqlstate(),
            failure.message(incident, self.ledger.0).as_bytes(),
        )
        .await
    }

    /// A command waits for another server connection.
    pub(super) fn client_waits(&mut self) {
        match self.outage.as_ref().map(|outage| outage.stage) {
            Some(Stage::Idle) => {
                self.meet_anew();
                self.enter(Stage::IdleNoMore);
            }
            Some(Stage::Owed) => self.enter(Stage::Waits),
            Some(Stage::Waits | Stage::IdleNoMore) => {}
            // The client was told of the loss, and tries again.
            None => {
                self.outage.clone_from(&self.last_outage);
                if let Some(outage) = &mut self.outage {
                    outage.stage = Stage::Idle;
                }
                self.meet_anew();
                self.enter(Stage::IdleNoMore);
            }
        }
    }

    /// Another incident, where the loss is [`OLD`]: what the client meets now is no part of that.
    fn meet_anew(&mut self) {
        let (Some(outage), Some(account)) = (&mut self.outage, &mut self.account) else {
            return;
        };
        if account.lost.elapsed() < OLD {
            return;
        }
        *account = Rc::new(account.unreached());
        outage.incident = self.shared.incidents.next_id();
        outage.at = SystemTime::now();
        outage.anew = true;
    }

    /// The outage comes to this stage.
    pub(super) fn enter(&mut self, stage: Stage) {
        let Some(outage) = &mut self.outage else {
            return;
        };
        let gauge = &self.shared.metrics.sessions_held;
        match (outage.stage.is_held(), stage.is_held()) {
            (false, true) => {
                outage.since = Instant::now();
                gauge.inc();
            }
            (true, false) => {
                gauge.dec();
            }
            _ => {}
        }
        outage.stage = stage;
    }

    /// The outage is over, and this long somebody has waited.
    pub(super) fn end_outage(&mut self) -> Option<(Outage, Duration)> {
        let outage = *self.outage.take()?;
        if !outage.stage.is_held() {
            return Some((outage, Duration::ZERO));
        }
        self.shared.metrics.sessions_held.dec();
        let waited = outage.since.elapsed();
        Some((outage, waited))
    }
}
