//! KILL, from both sides: a client's KILL that means another session, and the words that reach a session of which
//! somebody kills the connection, or the command that it waits for.

use std::sync::Arc;
use std::time::Duration;

use steadfast_net::{QueryError, greet};
use steadfast_session::{Action, End, Event, Failure, Loss, Sent};
use steadfast_sql::{KillBy, kill_target};
use steadfast_wire::command::code;
use tokio::time::{Instant, timeout};

use super::{Driver, Exit};
use crate::command::{Stored, understand};
use crate::link::Identity;
use crate::own_kills::OwnKill;
use crate::registry::Control;
use crate::shared::Shared;
use crate::words::WordSender;

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

/// A KILL of another session that is being relayed.
#[derive(Debug)]
pub(super) struct Killing {
    /// Who is to be told that its connection is killed; `None`: only what runs there.
    victim: Option<WordSender>,
    id: u32,
    /// It is on its way.
    own: Option<OwnKill>,
}

impl Killing {
    fn tell(&self, word: impl FnOnce(u32) -> Control) {
        if let Some(victim) = &self.victim {
            victim.say(word(self.id));
        }
    }
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
            known.control.say(word);
            self.acknowledge(false).await?;
            return Ok(true);
        };
        self.killing = Some(Box::new(Killing {
            victim: (!target.query).then_some(known.control),
            id: now,
            own: None,
        }));
        if u64::from(now) != id {
            let mut text = text.to_vec();
            text.splice(target.id_span, now.to_string().into_bytes());
            stored.payload = [&[code::QUERY][..], &text].concat().into();
        }
        Ok(false)
    }

    /// The command goes to the server now. If it is a KILL, its victim is told before the server has it: the victim may
    /// see its end before this session hears of it.
    pub(super) fn tell_kill_sent(&mut self) {
        if let Some(killing) = &mut self.killing {
            killing.tell(Control::KillSent);
            killing.own = Some(self.shared.own_kills.begin());
        }
    }

    /// The connection that a KILL was relayed on is lost.
    pub(super) fn kill_is_lost(&mut self) {
        if let Some(killing) = &mut self.killing {
            killing.own = None;
        }
    }

    /// The server has answered a KILL that was relayed.
    pub(super) fn tell_killed(&mut self, error: u16) {
        if let Some(killing) = self.killing.take() {
            killing.tell(if error == 0 {
                Control::KillTaken
            } else {
                Control::KillRefused
            });
        }
    }

    /// The id of the server connection; without one, that of the last: a hidden statement may have found it dead, and
    /// its loss is yet to be told.
    pub(super) fn last_server_id(&self) -> Option<u32> {
        let here = self.link.as_ref().map(crate::link::Link::id);
        here.or_else(|| self.zombies.last().map(|zombie| zombie.id))
    }

    /// A word about a KILL for a server connection.
    pub(super) fn note_kill(&mut self, word: Control) {
        self.alone = true;
        let here = self.last_server_id();
        match word {
            Control::KillSent(id) => self.killed = Killed::Sent(id, Instant::now()),
            Control::KillTaken(id) if here == Some(id) => self.killed = Killed::Taken(id),
            Control::KillRefused(id) if self.killed.means(id) => self.killed = Killed::No,
            _ => {}
        }
    }

    /// KILL QUERY while the session is held or replays: its command ends, and its transaction goes on coming back. As a
    /// native 1317, which rolls back the statement only. False: the command can no longer be interrupted.
    pub(super) async fn interrupt_held(&mut self) -> Result<bool, Exit> {
        let mut ended = false;
        let actions = self.core.step(Event::Interrupted);
        for action in actions.iter() {
            match action {
                Action::EndHeld(failure) => self.interrupted_with(failure).await?,
                Action::EndWaiting(failure) => self.interrupt_waiting(failure).await?,
                _ => continue,
            }
            ended = true;
        }
        Ok(ended)
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
    pub(super) fn interrupt_running(&mut self) {
        self.alone = true;
        if let Some(id) = self.link.as_ref().map(crate::link::Link::id) {
            self.kill_beside("KILL QUERY", id);
        }
    }

    /// KILL came while there was no server connection, and was acknowledged; now there is one: it is killed as if KILL
    /// had found it. The loss that the caller is to tell at once is the KILL's: the client must not get a command
    /// through before the server has it.
    pub(super) fn kill_here(&mut self) {
        if let Some(id) = self.link.as_ref().map(crate::link::Link::id) {
            self.killed = Killed::Taken(id);
            self.kill_beside("KILL", id);
        }
    }

    /// Kills on another connection of this account.
    fn kill_beside(&self, verb: &'static str, id: u32) {
        let shared = Arc::clone(&self.shared);
        let identity = self.identity.clone();
        tokio::task::spawn_local(async move {
            let limit = shared.timeouts.dead_after;
            match timeout(limit, kill(&shared, &identity, verb, id)).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => tracing::debug!("{verb} {id} came to nothing: {why}"),
                Err(_) => tracing::debug!("{verb} {id} came to nothing within {limit:?}"),
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
        let ends_session = matches!(
            self.client.next_code(),
            Some(code::CHANGE_USER | code::RESET_CONNECTION)
        );
        // No KILL QUERY ends what gives back the session: a pool would hand it on as it is.
        if !self.client.answer_is_due() || ends_session {
            return Ok(());
        }
        let packet = self.client.take().map_err(|error| {
            Exit::ClientGone(std::io::Error::new(std::io::ErrorKind::InvalidData, error))
        })?;
        if let Some(packet) = packet {
            self.sequence = packet.next_sequence;
            let (capabilities, last) = (self.capabilities(), self.last_prepared);
            // As on a server, a command that is interrupted has been read: it has used up its long data.
            if let Err(error) = understand(packet.payload, capabilities, last, self) {
                tracing::debug!(client = %self.peer, "the interrupted command: {error}");
            }
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
            failure.message(incident, self.ledger.0).as_bytes(),
        )
        .await
    }
}

/// KILL or KILL QUERY of a connection of this account.
///
/// # Errors
/// Why it could not, in people's words.
async fn kill(shared: &Shared, identity: &Identity, verb: &str, id: u32) -> Result<(), String> {
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
    let own = shared.own_kills.begin();
    let text = format!("{verb} {id}");
    match connection.query(text.as_bytes()).await {
        Ok(_) | Err(QueryError::Server(_)) => {}
        Err(error) => return Err(error.to_string()),
    }
    drop(own);
    connection.quit().await;
    Ok(())
}
