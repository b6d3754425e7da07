//! What is committed with a mark in the ledger: COMMIT, what goes before a command that commits, and writes outside
//! transactions, whose answer is held back until their COMMIT has been answered.

use steadfast_net::QueryError;
use steadfast_session::ledger::calls::{self, Refused};
use steadfast_session::ledger::{Lane, Verdict};
use steadfast_session::{End, Event, Flight, Recording, Sent};
use steadfast_wire::StatusFlags;
use steadfast_wire::command::Query;
use steadfast_wire::walk::Expect;
use tokio::time::{Instant, timeout};

use super::exchange::Exchanged;
use super::recover::{Word, listen};
use super::{Driver, Exit, end_of};
use crate::command::Stored;
use crate::config::LedgerMode;
use crate::ledger::TRY_AGAIN;
use crate::relay::{Ended, Mark, Order};
use crate::resolve::{Doubt, resolve};

/// Ends a hidden transaction, whatever `completion_type` is.
const COMMIT: &[u8] = b"COMMIT AND NO CHAIN NO RELEASE";
const ROLLBACK: &[u8] = b"ROLLBACK AND NO CHAIN NO RELEASE";

/// The answer of a write that waits for its COMMIT. Its bytes are where those for the client are.
#[derive(Debug)]
pub(super) struct HeldAnswer {
    stored: Stored,
    ended: Ended,
    /// Session state changes that it told.
    changes: Vec<u8>,
    /// How much of it the client has, because it was too long to be held, and the next sequence id there.
    given: Option<(Mark, u8)>,
}

impl HeldAnswer {
    /// How many warnings it tells of.
    pub(super) fn warnings(&self) -> u16 {
        self.ended.warnings
    }
}

impl Driver {
    /// Whether what the next command commits is to be recorded.
    pub(super) fn uses_ledger(&mut self, now: Instant) -> bool {
        let mode = (self.shared.ledger).mode(&self.identity.user, self.state.schema());
        match mode {
            LedgerMode::Off => return false,
            LedgerMode::Require => return true,
            LedgerMode::Auto => {}
        }
        let (usable, found) = self.ledger;
        // It may have been installed since. A question would be noticed: MySQL answers it from InnoDB, in the session's
        // own transaction.
        usable || now.saturating_duration_since(found) > TRY_AGAIN
    }

    /// Whether this account can use the ledger has been found out.
    pub(super) fn note_ledger(&mut self, usable: bool) {
        self.ledger = (usable, Instant::now());
        self.shared.ledger.note(&self.identity.user, usable);
    }

    /// Commits the open transaction.
    pub(super) async fn commit(&mut self, flight: Flight, recorded: bool) -> Result<Event, Exit> {
        if let Err(error) = self.save_conditions(flight.recording).await {
            return Ok(self.lost(end_of(&error), Sent::Nothing).await);
        }
        if !recorded {
            return self.commit_plainly(flight.recording).await;
        }
        let now = self.shared.clock.now().unwrap_or_default() / 1_000_000;
        let mut lane = match self.local.take_lane(now, self.began) {
            Ok(lane) => lane,
            Err(error) => {
                tracing::warn!("the system has no random bytes: {error}");
                return Ok(self.unrecorded());
            }
        };
        let Some(link) = &self.link else {
            return Ok(self.lost(End::Fin, Sent::Nothing).await);
        };
        let doubt = Doubt {
            mark: lane.mark(),
            server: link.own.server.clone(),
        };
        let text = calls::commit(&doubt.mark, flight.chains());
        let mut payload = Vec::with_capacity(text.len() + 4);
        Query::new(text.as_bytes()).write(&mut payload, link.connection.capabilities);
        let order = Order {
            expect: Expect::Query,
            client_sequence: self.reply_from,
            server_sequence: 0,
            // Only a COMMIT of the client's is answered by it.
            hidden: flight.recording != Recording::Commit,
            guarded: false,
            within: false,
            commits: true,
            statement_id: 0,
            delivered: None,
        };
        match self.converse(&payload, order).await? {
            Exchanged::Ended(ended) if ended.error == 0 => {
                self.local.give_lane_back(lane);
                // What is chained to it begins here.
                self.began = self.local.moment();
                self.committed(flight, ended).await
            }
            Exchanged::Ended(ended) => Ok(self.not_recorded(&ended, lane, doubt, flight).await),
            Exchanged::Lost(end, sent) => {
                self.doubt = Some(Box::new(doubt));
                Ok(self.lost(end, sent).await)
            }
            Exchanged::GuardRefused
            | Exchanged::PartDiffers
            | Exchanged::CursorGone
            | Exchanged::NotPrepared { .. } => {
                self.doubt = Some(Box::new(doubt));
                Ok(self.lost(End::Nonsense, Sent::All).await)
            }
        }
    }

    async fn committed(&mut self, flight: Flight, ended: Ended) -> Result<Event, Exit> {
        let metrics = &self.shared.metrics;
        metrics.commits_recorded.inc();
        let response = self.response(&ended, None);
        if flight.recording == Recording::Write && self.told_gtids() {
            // A direct connection would have told them with the write.
            self.aftermath.shows = true;
        }
        let changes = self.changes();
        if flight.recording != Recording::Commit {
            // What the transaction was to be like is used up.
            self.note_late_changes(&changes);
        } else if let Some(stored) = self.store.get(flight.handle.0).cloned() {
            self.completed(flight.handle, &stored, ended, &changes);
            self.tell_killed(0);
            self.succeeded = true;
            self.client.flush().await.map_err(Exit::ClientGone)?;
        }
        if flight.recording != Recording::Write {
            self.aftermath.disturbed();
        }
        Ok(Event::Committed(response))
    }

    async fn not_recorded(
        &mut self,
        ended: &Ended,
        lane: Lane,
        doubt: Doubt,
        flight: Flight,
    ) -> Event {
        let error = ended.error;
        if flight.recording == Recording::Commit {
            self.client.outbound.clear();
            self.sequence = self.reply_from;
        }
        match calls::refused(error, ended.sqlstate) {
            Refused::Missing => {
                tracing::debug!(client = %self.peer, "the ledger cannot be used: error {error}");
                self.note_ledger(false);
                self.unrecorded()
            }
            Refused::Unfit => {
                tracing::debug!(client = %self.peer, lane = lane.id(), "the ledger cannot be written here: error {error}");
                self.unrecorded()
            }
            Refused::ReadOnly => {
                tracing::debug!(client = %self.peer, lane = lane.id(), "the server has become read-only: error {error}");
                match self.in_transaction().await {
                    // Its own COMMIT is answered as on a direct connection: an administrator's takes effect.
                    Some(true) => self.unrecorded(),
                    _ => self.lost(End::Said(error), Sent::Nothing).await,
                }
            }
            Refused::RolledBack => {
                tracing::warn!(client = %self.peer, lane = lane.id(), "the ledger refused a COMMIT: its lane is gone or fenced");
                // The ledger was emptied or went back in time, and the others are gone as well.
                self.local.forget_lanes();
                self.lost(End::Said(error), Sent::Nothing).await
            }
            Refused::Doubtful => {
                self.doubt = Some(Box::new(doubt));
                Event::CommitFailed(error)
            }
        }
    }

    /// Whether the server has a transaction open; `None`: it does not answer.
    async fn in_transaction(&mut self) -> Option<bool> {
        let link = self.link.as_mut()?;
        let limit = 2 * self.shared.timeouts.dead_after;
        match timeout(limit, link.connection.ping()).await {
            Ok(Ok(ok)) => Some(ok.status.contains(StatusFlags::IN_TRANS)),
            Ok(Err(_)) | Err(_) => None,
        }
    }

    fn unrecorded(&mut self) -> Event {
        self.note_failed_call();
        let mode = (self.shared.ledger).mode(&self.identity.user, self.state.schema());
        let plainly = mode != LedgerMode::Require;
        if plainly {
            self.shared.metrics.commits_unrecorded.inc();
        }
        Event::Unrecorded { plainly }
    }

    /// Without a mark: what it writes is not all undone with it, or there is no ledger.
    async fn commit_plainly(&mut self, recording: Recording) -> Result<Event, Exit> {
        if let Err(error) = self.before_plain_commit(recording).await {
            return Ok(self.lost(end_of(&error), Sent::Nothing).await);
        }
        match self.query(COMMIT).await {
            Ok(_) => {
                self.status -= StatusFlags::IN_TRANS;
                let ended = Ended {
                    status: Some(self.status),
                    error: 0,
                    sqlstate: None,
                    digest: 0,
                    affected_rows: 0,
                    insert_id: 0,
                    warnings: 0,
                    rows: None,
                    prepared: None,
                };
                let response = self.response(&ended, None);
                Ok(Event::Committed(response))
            }
            Err(QueryError::Server(error)) if !error.ends_connection() => {
                Ok(match calls::refused(error.code, None) {
                    Refused::ReadOnly => self.lost(End::Said(error.code), Sent::Nothing).await,
                    _ => Event::CommitFailed(error.code),
                })
            }
            Err(error) => Ok(self.lost(end_of(&error), Sent::All).await),
        }
    }

    /// The write of a hidden transaction has failed: nothing of it stays.
    pub(super) async fn roll_back(&mut self, ended: &Ended) {
        if let Err(error) = self.end_failed_write(ended, ROLLBACK).await {
            tracing::debug!(client = %self.peer, "the hidden transaction of a write was not ended: {error}");
            // It ends with its connection.
            self.discard();
        }
        self.status -= StatusFlags::IN_TRANS;
    }

    /// The answer of a write is complete, and waits for its COMMIT.
    pub(super) fn hold_answer(&mut self, stored: &Stored, ended: Ended) -> Event {
        let response = self.response(&ended, stored.class);
        let given = self.given.take();
        self.mark = None;
        self.held = Some(Box::new(HeldAnswer {
            stored: stored.clone(),
            ended,
            changes: self.changes(),
            given,
        }));
        Event::Response(response)
    }

    /// The answer that waits is not given: the write has not taken effect, or nobody knows.
    pub(super) fn unhold_answer(&mut self) {
        if let Some(held) = self.held.take() {
            self.client.outbound.clear();
            self.given = held.given;
            self.mark = held.given.map(|(mark, _)| mark);
            self.sequence = held.given.map_or(self.reply_from, |(_, sequence)| sequence);
        }
    }

    /// What was to be committed is committed: the client gets its answer.
    pub(super) async fn acknowledge_committed(&mut self, flight: Flight) -> Result<(), Exit> {
        match self.held.take() {
            Some(held) => {
                self.mark = None;
                if self.link.is_none() && !self.state.characteristics().is_empty() {
                    // It has used up what SET TRANSACTION had set.
                    self.state_mut().set_characteristics(b"");
                }
                self.completed(flight.handle, &held.stored, held.ended, &held.changes);
                self.aftermath.disturbed();
                self.tell_killed(0);
                self.succeeded = true;
                self.client.flush().await.map_err(Exit::ClientGone)
            }
            None => {
                self.aftermath.committed();
                self.acknowledge(flight.chains()).await
            }
        }
    }

    /// Asks the ledger what became of the COMMIT whose answer was lost.
    pub(super) async fn resolve(&mut self) -> Result<Event, Exit> {
        self.discard();
        self.client_waits();
        let Some(doubt) = self.doubt.take() else {
            return Ok(Event::Resolved(Verdict::Unknown));
        };
        let deadline = Instant::now() + self.shared.timeouts.hold;
        let verdict = {
            let mut resolving = std::pin::pin!(resolve(
                &self.shared,
                &self.identity,
                self.capabilities,
                &self.zombies,
                &doubt,
                deadline,
            ));
            loop {
                tokio::select! {
                    biased;
                    verdict = &mut resolving => break verdict,
                    word = listen(&mut self.client, &mut self.control) => match word {
                        // What is committed can no longer be interrupted, and the connection that is to be killed is
                        // the one that is lost.
                        Word::Interrupt | Word::About(_) => {}
                        // It cannot undo what is committed. What is not is not done again.
                        Word::Kill => {
                            self.core.step(Event::Killed);
                        }
                        Word::Exit(Exit::Closed) => {
                            self.closing = true;
                            break Verdict::Unknown;
                        }
                        Word::Exit(exit) => return Err(exit),
                    },
                }
            }
        };
        tracing::info!(client = %self.peer, lane = doubt.mark.lane(), "a COMMIT whose answer was lost: {verdict:?}");
        self.shared.metrics.resolved(verdict);
        if verdict == Verdict::Committed
            && let Some(outage) = &mut self.outage
        {
            outage.resolved = true;
        }
        Ok(Event::Resolved(verdict))
    }
}
