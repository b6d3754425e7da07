//! Another server connection after a loss, and the replay of the open transaction on it.

use std::sync::Arc;
use std::time::Duration;

use steadfast_net::{QueryError, greet};
use steadfast_session::{
    Attachment, Catalogue, Event, Pins, Reason, Refusal, Response, Safety, Sent, SessionState,
    Status, Target,
};
use steadfast_sql::{Dialect, Kind};
use steadfast_wire::StatusFlags;
use steadfast_wire::auth::Password;
use tokio::time::{Instant, sleep, timeout};

use super::before::Before;
use super::outage::Stage;
use super::{Driver, Exit, end_of};
use crate::catalogue::Tables;
use crate::client::ClientLeg;
use crate::gate;
use crate::link::{self, Identity, Link, Wanted};
use crate::registry::Control;
use crate::relay::Ended;
use crate::shared::Shared;
use crate::words::Words;
use crate::zombie::{self, Zombie};

/// How long ending the connections of a client that left may take at least, and during a drain at most.
const END_ORPHANS: Duration = Duration::from_secs(5);

/// The pause between two attempts at it.
const ORPHAN_PAUSE: Duration = Duration::from_millis(250);

/// Before a re-run of an INSERT in a replay: to take it back if it draws another id.
const SAVEPOINT: &[u8] = b"SAVEPOINT `steadfast pin`";
const ROLLBACK_TO_SAVEPOINT: &[u8] = b"ROLLBACK TO SAVEPOINT `steadfast pin`";
const RELEASE_SAVEPOINT: &[u8] = b"RELEASE SAVEPOINT `steadfast pin`";

/// What can end a wait.
pub(super) enum Word {
    Interrupt,
    Kill,
    /// A KILL for a server connection.
    About(Control),
    Exit(Exit),
}

/// Waits for the client to leave, or for a word from outside. What the client sends meanwhile is buffered.
pub(super) async fn listen(client: &mut ClientLeg, control: &mut Words) -> Word {
    loop {
        tokio::select! {
            biased;
            read = client.fill(), if client.buffered() < super::AHEAD => match read {
                Ok(0) => {
                    return Word::Exit(Exit::ClientGone(std::io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(_) => {}
                Err(error) => return Word::Exit(Exit::ClientGone(error)),
            },
            control = control.next() => match control {
                Control::Interrupt => return Word::Interrupt,
                Control::Kill => return Word::Kill,
                word @ (Control::KillSent(_)
                | Control::KillTaken(_)
                | Control::KillRefused(_)) => return Word::About(word),
                Control::Close => return Word::Exit(Exit::Closed),
            },
        }
    }
}

impl Driver {
    /// Gets a server connection with the session's state.
    pub(super) async fn attach(&mut self, attachment: Attachment) -> Result<Event, Exit> {
        self.arrived = None;
        self.discard();
        self.unhold_answer();
        self.client_waits();
        if attachment.replay && self.turn.is_none() {
            let first = self
                .core
                .transaction()
                .entries()
                .first()
                .map_or(u64::MAX, |entry| entry.order);
            self.turn = Some(self.shared.gate.enter(self.number, first));
            self.wave = Some(self.shared.gate.wave());
        }
        let resets = self
            .store
            .get(self.next_handle.saturating_sub(1))
            .is_some_and(|stored| !self.core.is_idle() && Self::is_reset(stored));
        let state = match attachment.target {
            // What is about to be reset need not be restored.
            Target::Now if resets => Arc::new(SessionState::new(self.state.schema())),
            Target::Now => Arc::new(SessionState::clone(&self.state)),
            Target::TransactionStart => Arc::new(SessionState::clone(&self.at_start)),
        };
        let deadline = Instant::now() + self.shared.timeouts.hold;
        let attached = {
            let wanted = Wanted {
                identity: &self.identity,
                client: self.capabilities,
                own: &self.own,
                state: &state,
                zombies: &self.zombies,
                takes_locks: attachment.replay || attachment.catalogue,
                tables: attachment.catalogue,
            };
            let mut attaching = std::pin::pin!(link::attach(&self.shared, &wanted, deadline));
            loop {
                tokio::select! {
                    biased;
                    attached = &mut attaching => break Ok(attached),
                    word = listen(&mut self.client, &mut self.control) => match word {
                        Word::Interrupt => break Err(()),
                        // What waits ends, and what is open is lost.
                        Word::Kill => return Ok(Event::Refused(Refusal(Reason::Killed))),
                        // The connection that is to be killed is the one that is lost.
                        Word::About(_) => {}
                        Word::Exit(Exit::Closed) => {
                            self.closing = true;
                            self.turn = None;
                            return Ok(Event::Refused(Refusal(Reason::Drain)));
                        }
                        Word::Exit(exit) => return Err(exit),
                    },
                }
            }
        };
        let attached = match attached {
            Ok(attached) => attached,
            Err(()) => {
                // KILL QUERY: the core takes the command out; the attachment goes on without it.
                let ended = self.interrupt_held().await?;
                return if attachment.replay || !ended {
                    Box::pin(self.attach(attachment)).await
                } else {
                    Ok(Event::Refused(Refusal(Reason::Killed)))
                };
            }
        };
        Ok(match attached {
            Ok((link, tables)) => {
                let catalogue = self.catalogue(tables.as_deref());
                self.zombies.clear();
                self.claim.set_replaying(attachment.replay);
                self.claim.set_server_id(Some(link.id()));
                self.restored_insert_id = state.insert_id();
                self.shared.metrics.server_connections.inc();
                self.shared.readiness.server_reached();
                self.status = StatusFlags::AUTOCOMMIT;
                self.status
                    .set(StatusFlags::AUTOCOMMIT, self.core.autocommit());
                self.own.clone_from(&link.own);
                self.ledger = (link.ledger, tokio::time::Instant::now());
                self.link = Some(link);
                // A replay begins here.
                self.began = self.local.moment();
                self.deferred = super::Deferred {
                    user_variables: self.state.has_unknown_user_variables(),
                    collation: self.state.has_unasked_collation(),
                    ..super::Deferred::default()
                };
                if self.outage.as_ref().map(|outage| outage.stage) == Some(Stage::IdleNoMore) {
                    // How long the command takes is its own matter.
                    self.settle_outage();
                }
                Event::Attached(catalogue)
            }
            Err((reason, why)) => {
                tracing::warn!(
                    client = %self.peer,
                    user = %String::from_utf8_lossy(&self.identity.user),
                    "the session could not be given another server connection: {} ({why})",
                    reason.text()
                );
                self.turn = None;
                Event::Refused(Refusal(reason))
            }
        })
    }

    /// What the command in flight and those of the journal may write.
    fn catalogue(&self, tables: Option<&Tables>) -> Catalogue {
        let Some(tables) = tables else {
            return Catalogue {
                command: true,
                journal: true,
            };
        };
        let reaches = |handle: u64| {
            let Some(stored) = self.store.get(handle) else {
                return true;
            };
            let Some(class) = stored.class else {
                return false;
            };
            if class.kind == Kind::Execute {
                // Its text is a string in another one.
                return true;
            }
            let (text, dialect, schema) = match &stored.prepared {
                Some(prepared) => (&prepared.text()[..], prepared.dialect(), prepared.schema()),
                None => (
                    stored.payload.get(1..).unwrap_or_default(),
                    self.dialect,
                    self.state.schema(),
                ),
            };
            let schemas = [schema, self.at_start.schema()];
            let writes = stored.statement.safety != Safety::Read;
            // The dialect that it was lexed by may have been another one; names are the same in all but quotes.
            let other = Dialect {
                ansi_quotes: !dialect.ansi_quotes,
                ..dialect
            };
            schemas.into_iter().any(|schema| {
                [dialect, other].into_iter().any(|dialect| {
                    tables.reached_by(text, dialect, schema)
                        || (writes && tables.names_own(text, dialect, schema))
                })
            })
        };
        let entries = self.core.transaction().entries();
        Catalogue {
            command: reaches(self.next_handle.saturating_sub(1)),
            journal: entries.iter().any(|entry| reaches(entry.command.0)),
        }
    }

    /// The opening of a chained transaction, as the server's session tracking told it.
    pub(super) async fn replay_opening(&mut self) -> Result<Event, Exit> {
        let mut opening: Vec<Vec<u8>> = self.at_start.opening().collect();
        if opening.is_empty() {
            opening.push(b"START TRANSACTION".to_vec());
        }
        let texts: Vec<&[u8]> = opening.iter().map(Vec::as_slice).collect();
        if let Err(error) = self.query_all(&texts).await {
            return Ok(self.lost(end_of(&error), Sent::Nothing).await);
        }
        Ok(Event::Response(Response {
            status: Some(Status {
                in_transaction: true,
                autocommit: self.core.autocommit(),
            }),
            error: 0,
            digest: 0,
            insert_id: 0,
            wrote: false,
            non_transactional: false,
            order: 0,
        }))
    }

    /// Runs an entry of the journal again, hidden, in its turn.
    pub(super) async fn replay(&mut self, index: u32) -> Result<Event, Exit> {
        let Some(entry) = self
            .core
            .transaction()
            .entries()
            .get(index as usize)
            .copied()
        else {
            return Ok(Event::ReplayTimeout);
        };
        if let Some(turn) = &self.turn {
            let word = {
                let mut waiting = std::pin::pin!(turn.wait(entry.order, gate::ADMISSION));
                tokio::select! {
                    biased;
                    // Who waited longest goes on: a mismatch is found out anyway.
                    _ = &mut waiting => None,
                    word = listen(&mut self.client, &mut self.control) => Some(word),
                }
            };
            match word {
                None => {}
                Some(Word::Interrupt) => {
                    self.interrupt_held().await?;
                    return Box::pin(self.replay(index)).await;
                }
                Some(Word::Kill) => return Ok(self.killed_while_replaying()),
                Some(Word::About(word)) => {
                    // Its end shows when the connection is used.
                    self.note_kill(word);
                    return Box::pin(self.replay(index)).await;
                }
                Some(Word::Exit(Exit::Closed)) => {
                    self.closing = true;
                    return Ok(Event::ReplayTimeout);
                }
                Some(Word::Exit(exit)) => return Err(exit),
            }
        }
        if self.outage.as_ref().is_some_and(|outage| {
            outage.since.elapsed() > self.shared.timeouts.hold + self.shared.replay_time
        }) {
            return Ok(Event::ReplayTimeout);
        }
        let Some(stored) = self.store.get(entry.command.0).cloned() else {
            return Ok(Event::ReplayTimeout);
        };
        match self.replays_insert_id(&entry).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::info!(
                    client = %self.peer,
                    statement = index,
                    "a replayed statement asks for a LAST_INSERT_ID() that is not known"
                );
                return Ok(Event::Response(Response {
                    status: None,
                    error: 0,
                    digest: !entry.digest,
                    insert_id: 0,
                    wrote: false,
                    non_transactional: false,
                    order: 0,
                }));
            }
            Err(error) => return Ok(self.lost(end_of(&error), Sent::Nothing).await),
        }
        let replayed = self.replay_entry(&stored, entry).await;
        match replayed {
            Ok(ended) => {
                self.shared.metrics.replayed_commands.inc();
                if let Some(outage) = &mut self.outage {
                    outage.replayed += 1;
                }
                if ended.digest != entry.digest {
                    tracing::info!(
                        client = %self.peer,
                        statement = index,
                        class = ?stored.class.map(|class| class.kind),
                        "a replayed statement gave another result than before"
                    );
                }
                Ok(Event::Response(self.response(&ended, stored.class)))
            }
            Err(Before::Lost(end)) => Ok(self.lost(end, Sent::Nothing).await),
            Err(Before::NotPrepared { .. } | Before::CursorGone) => Ok(Event::Response(Response {
                status: None,
                error: 1615,
                digest: !entry.digest,
                insert_id: 0,
                wrote: false,
                non_transactional: false,
                order: 0,
            })),
            Err(Before::Exit(exit)) => Err(exit),
        }
    }

    async fn replay_entry(
        &mut self,
        stored: &crate::command::Stored,
        entry: steadfast_session::Entry,
    ) -> Result<Ended, Before> {
        let pins = Pins {
            timestamp: entry.pins.timestamp.or(entry.pins.write_time),
            ..entry.pins
        };
        if entry.insert_id == 0 {
            return self.run_hidden(stored, pins).await;
        }
        let mistakable = self.tell_insert_id_apart(&entry).await?;
        let ended = self.replay_insert(stored, pins, entry).await?;
        if let Some(restored) = mistakable {
            self.restore_insert_id_unless_set(restored).await?;
        }
        Ok(ended)
    }

    /// An INSERT whose OK told an id, with that id.
    async fn replay_insert(
        &mut self,
        stored: &crate::command::Stored,
        pins: Pins,
        entry: steadfast_session::Entry,
    ) -> Result<Ended, Before> {
        // A pin is set only where it is certain to be used: first without one, and if another id came, it was drawn
        // from the counter, so take it back and pin. An id that the statement names itself comes the same at once.
        self.hidden(SAVEPOINT).await?;
        let ended = self.run_hidden(stored, pins).await?;
        if ended.digest == entry.digest || ended.error != 0 {
            self.hidden(RELEASE_SAVEPOINT).await?;
            return Ok(ended);
        }
        self.hidden(ROLLBACK_TO_SAVEPOINT).await?;
        self.hidden(format!("SET insert_id={}", entry.insert_id).as_bytes())
            .await?;
        let ended = self.run_hidden(stored, pins).await?;
        self.hidden(RELEASE_SAVEPOINT).await?;
        Ok(ended)
    }

    /// Part of a replay. Taking back a large INSERT may take as long as making it.
    async fn hidden(&mut self, text: &[u8]) -> Result<(), QueryError> {
        let limit = self.shared.timeouts.hold + self.shared.replay_time;
        self.query_within(limit, &[text]).await.map(drop)
    }

    async fn run_hidden(
        &mut self,
        stored: &crate::command::Stored,
        pins: Pins,
    ) -> Result<Ended, Before> {
        let payload = self.prepare_to_send(stored, pins, false).await?;
        self.add_rows(stored);
        let ended = self.converse_hidden(&payload, stored.expect).await;
        crate::scratch::give_back(payload);
        ended
    }

    /// The journal has been replayed: others may go on.
    pub(super) async fn end_replay(&mut self) -> Result<Option<Event>, Exit> {
        if self.deferred.clock {
            self.deferred.clock = false;
            if let Err(error) = self.hidden(b"SET timestamp=DEFAULT").await {
                tracing::debug!(client = %self.peer, "the clock could not be let run again: {error}");
                // What the core has decided on holds. The next use of the connection finds that it is lost.
                self.discard();
            }
        }
        self.turn = None;
        self.claim.set_replaying(false);
        Ok(None)
    }
}

/// Kills what a client that left has running or open on the server; nobody else would ever end it, because Steadfast
/// has lifted its timeouts. A server that cannot be reached is waited for as long as its client would have been held.
pub(super) async fn end_orphans(shared: &Shared, identity: &Identity, orphans: &[Zombie]) {
    let Some(password) = &identity.password else {
        return;
    };
    let limit = if *shared.draining.borrow() {
        END_ORPHANS
    } else {
        shared.timeouts.hold.max(END_ORPHANS)
    };
    let attempt = shared.timeouts.attempt();
    let ending = async {
        while let Err(why) = timeout(attempt, kill_all(shared, identity, password, orphans))
            .await
            .unwrap_or_else(|_| Err("it does not answer".to_owned()))
        {
            tracing::debug!("what a client left on the server cannot be ended yet: {why}");
            sleep(ORPHAN_PAUSE).await;
        }
    };
    if timeout(limit, ending).await.is_err() {
        tracing::warn!(
            user = %String::from_utf8_lossy(&identity.user),
            "what a client left on the server could not be ended within {limit:?}: connections {:?}",
            orphans.iter().map(|orphan| orphan.id).collect::<Vec<_>>()
        );
    }
}

/// Gives back what a client that left has on its server connection: a transaction, a lock, or the like. COM_QUIT that is
/// only written may not arrive, and the server would hold all of it for hours, because Steadfast has lifted its timeouts:
/// an answer to COM_RESET_CONNECTION proves that nothing is held any more. False: there was none.
///
/// `clean`: another session gets it.
pub(super) async fn release(shared: &Shared, link: &mut Link, clean: bool) -> bool {
    let limit = if *shared.draining.borrow() {
        END_ORPHANS
    } else {
        shared.timeouts.dead_after
    };
    let mariadb = link.connection.greeting.is_mariadb();
    let connection = &mut link.connection;
    let releasing = async {
        connection.reset_connection().await?;
        if clean {
            connection.query_all(link::clean(mariadb)).await?;
        }
        Ok::<_, QueryError>(())
    };
    match timeout(limit, releasing).await {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => tracing::debug!("what a client left is not given back: {error}"),
        Err(_) => tracing::debug!("what a client left is not given back: no answer in {limit:?}"),
    }
    false
}

/// Kills each on a connection of its own.
///
/// # Errors
/// Why it could not, in people's words.
async fn kill_all(
    shared: &Shared,
    identity: &Identity,
    password: &Password,
    orphans: &[Zombie],
) -> Result<(), String> {
    let greeted = greet(&shared.target)
        .await
        .map_err(|error| error.to_string())?;
    let login = identity.login(password, None);
    let mut connection = greeted
        .login(&login)
        .await
        .map_err(|error| error.to_string())?;
    for orphan in orphans {
        zombie::kill(shared, &mut connection, orphan)
            .await
            .map_err(|error| error.to_string())?;
    }
    connection.quit().await;
    Ok(())
}
