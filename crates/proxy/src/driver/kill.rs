//! KILL, from both sides: a client's KILL that means another session, and the words that reach a session of which
//! somebody kills the connection, or the command that it waits for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use steadfast_net::{QueryError, greet};
use steadfast_session::{Action, End, Event, Failure, Loss, Sent};
use steadfast_sql::{KillBy, kill_target};
use steadfast_wire::command::code;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Driver, Exit};
use crate::command::Stored;
use crate::link::Identity;
use crate::registry::Control;
use crate::shared::Shared;

/// A loss within this time after a KILL was sent, of which the server has not yet said whether it takes it, is the
/// KILL's.
const KILL_TAKES: Duration = Duration::from_secs(2);

/// How long a command that came just before its KILL QUERY may take to be read.
const UNREAD: Duration = Duration::from_millis(10);

/// What is known of a KILL for the session's server connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Killed {
    /// There is none.
    #[default]
    No,
    /// It is on its way to the connection of this id, since then.
    Sent(u32, Instant),
    /// The server has taken it.
    Taken(u32),
}

impl Killed {
    /// Whether the loss of this connection now is the KILL's.
    pub(super) fn means(self, id: u32) -> bool {
        match self {
            Killed::No => false,
            Killed::Sent(known, since) => known == id && since.elapsed() < KILL_TAKES,
            Killed::Taken(known) => known == id,
        }
    }
}

/// A KILL that is being relayed: who is to be told what the server says to it.
#[derive(Clone, Debug)]
pub(super) struct Killing {
    victim: mpsc::Sender<Control>,
    id: u32,
}

impl Driver {
    /// KILL with an id that a client of Steadfast believes to be its own means the server connection that it has now.
    /// True: it has been answered here.
    pub(super) async fn kill(&mut self, stored: &mut Stored) -> Result<bool, Exit> {
        let Some(text) = stored.text() else {
            return Ok(false);
        };
        let Some(target) = kill_target(text, self.dialect) else {
            return Ok(false);
        };
        let Some(id) = target.id.filter(|_| target.by == KillBy::Connection) else {
            return Ok(false);
        };
        let Some(known) = u32::try_from(id)
            .ok()
            .and_then(|id| self.shared.registry.find(id))
        else {
            return Ok(false);
        };
        let own = known.user == self.identity.user;
        // What runs on a connection that replays is not what the client waits for: its session ends that itself. A
        // KILL by another account goes to the server, which knows whether it may.
        let replays = known.replaying && target.query && own;
        let Some(now) = known.server_id.filter(|_| !replays) else {
            // It is held, or idle without a server connection.
            if !own {
                // The id that the client knew is by now nobody's, or a stranger's.
                let text = format!("Unknown thread id: {id}");
                self.answer_error(1094, *b"HY000", text.as_bytes()).await?;
                return Ok(true);
            }
            let word = if target.query {
                Control::Interrupt
            } else {
                Control::Kill
            };
            let _ = known.control.try_send(word);
            self.acknowledge().await?;
            return Ok(true);
        };
        if !target.query {
            // Before the server has it: the victim may see its end before this session hears of it.
            let _ = known.control.try_send(Control::KillSent(now));
            self.killing = Some(Killing {
                victim: known.control,
                id: now,
            });
        }
        self.shared
            .own_kills
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        if u64::from(now) != id {
            let mut text = text.to_vec();
            text.splice(target.id_span, now.to_string().into_bytes());
            stored.payload = [&[code::QUERY][..], &text].concat().into();
        }
        Ok(false)
    }

    /// The server has answered a KILL that was relayed.
    pub(super) fn tell_killed(&mut self, error: u16) {
        if let Some(killing) = self.killing.take() {
            let word = if error == 0 {
                Control::KillTaken(killing.id)
            } else {
                Control::KillRefused(killing.id)
            };
            let _ = killing.victim.try_send(word);
        }
    }

    /// A word about a KILL for a server connection.
    pub(super) fn note_kill(&mut self, word: Control) {
        let here = self.link.as_ref().map(crate::link::Link::id);
        match word {
            Control::KillSent(id) => self.killed = Killed::Sent(id, Instant::now()),
            Control::KillTaken(id) if here == Some(id) => self.killed = Killed::Taken(id),
            Control::KillRefused(id) if self.killed.means(id) => self.killed = Killed::No,
            _ => {}
        }
    }

    /// KILL QUERY while the session is held or replays: its command ends, and its transaction goes on coming back. As a
    /// native 1317, which rolls back the statement only.
    pub(super) async fn interrupt_held(&mut self) -> Result<(), Exit> {
        for action in self.core.step(Event::Interrupted).iter() {
            match action {
                Action::EndHeld(failure) => self.interrupted_with(failure).await?,
                Action::EndWaiting(failure) => self.interrupt_waiting(failure).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// KILL while a transaction is replayed: nothing of it goes on.
    pub(super) fn killed_while_replaying(&mut self) -> Event {
        self.discard();
        Event::Lost(Loss {
            end: End::Fin,
            sent: Sent::Nothing,
            delivered: 0,
            killed: true,
        })
    }

    /// KILL QUERY came while the command was held, and was acknowledged; now it runs.
    pub(super) fn interrupt_running(&self) {
        let Some(id) = self.link.as_ref().map(crate::link::Link::id) else {
            return;
        };
        let shared = Arc::clone(&self.shared);
        let identity = self.identity.clone();
        tokio::task::spawn_local(async move {
            let limit = shared.timeouts.dead_after;
            match timeout(limit, kill_query(&shared, &identity, id)).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => tracing::debug!("KILL QUERY {id} came to nothing: {why}"),
                Err(_) => tracing::debug!("KILL QUERY {id} came to nothing within {limit:?}"),
            }
        });
    }

    /// The connection was lost between two commands: the one that KILL QUERY means has come since, and waits.
    pub(super) async fn interrupt_waiting(&mut self, failure: Failure) -> Result<(), Exit> {
        if self.client.buffered() == 0 {
            // It may have come and not have been read yet.
            match timeout(UNREAD, self.client.fill()).await {
                Ok(Ok(0)) => {
                    return Err(Exit::ClientGone(std::io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(Err(error)) => return Err(Exit::ClientGone(error)),
                Ok(Ok(_)) | Err(_) => {}
            }
        }
        if !self.client.answer_is_due() {
            return Ok(());
        }
        let packet = self.client.take().map_err(|error| {
            Exit::ClientGone(std::io::Error::new(std::io::ErrorKind::InvalidData, error))
        })?;
        if let Some(packet) = packet {
            self.sequence = packet.next_sequence;
            self.interrupted_with(failure).await?;
        }
        Ok(())
    }

    pub(super) async fn interrupted_with(&mut self, failure: Failure) -> Result<(), Exit> {
        if self.mark.take().is_some_and(|mark| mark.is_inside_packet()) {
            // No packet can follow half a packet.
            return Err(Exit::Closed);
        }
        // The outage goes on for the session; only its command ends here.
        let incident = self
            .outage
            .as_ref()
            .map(|outage| outage.incident)
            .unwrap_or_else(|| self.shared.incidents.next_id());
        self.answer_error(
            failure.kind.code(),
            *failure.kind.sqlstate(),
            failure.message(incident).as_bytes(),
        )
        .await
    }
}

/// Ends what runs on a connection of this account.
///
/// # Errors
/// Why it could not, in people's words.
async fn kill_query(shared: &Shared, identity: &Identity, id: u32) -> Result<(), String> {
    let Some(password) = &identity.password else {
        return Err("the password is not known".to_owned());
    };
    let greeted = greet(&shared.target)
        .await
        .map_err(|error| error.to_string())?;
    let mut connection = greeted
        .login(&identity.login(password, None))
        .await
        .map_err(|error| error.to_string())?;
    shared
        .own_kills
        .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    let text = Bytes::from(format!("KILL QUERY {id}"));
    match connection.query(&text).await {
        Ok(_) | Err(QueryError::Server(_)) => {}
        Err(error) => return Err(error.to_string()),
    }
    connection.quit().await;
    Ok(())
}
