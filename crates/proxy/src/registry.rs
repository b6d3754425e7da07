//! Who is connected: which connection id a client believes to be its own, and which one it has on the server now.
//!
//! A client is told the id of its first server connection, as on a direct connection. After a loss its session goes
//! on under another id. KILL with the id that the client saw must hit what the client means, so ids are translated,
//! and a server connection whose id another live client believes to be its own is never used.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::words::WordSender;

/// A word to a session from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Control {
    /// KILL QUERY: end the command that is held or being replayed.
    Interrupt,
    /// KILL of a session that has no server connection: end its command, and its transaction is lost.
    Kill,
    /// A KILL CONNECTION for the server connection of this id is about to be relayed: if that is lost now, it was
    /// killed.
    KillSent(u32),
    /// The server has taken it.
    KillTaken(u32),
    /// The server has refused it.
    KillRefused(u32),
    /// Close the client connection: a drain has run out of time.
    Close,
}

#[derive(Debug)]
struct Entry {
    user: Vec<u8>,
    server_id: Option<u32>,
    /// The order in which sessions got their server connections.
    since: u64,
    replaying: bool,
    control: WordSender,
}

/// What KILL needs to know of a session.
#[derive(Debug)]
pub(crate) struct Known {
    /// Its id on the server now; `None` while it has no server connection.
    pub(crate) server_id: Option<u32>,
    /// What runs there is a replay, and not what its client waits for.
    pub(crate) replaying: bool,
    /// Its user.
    pub(crate) user: Vec<u8>,
    /// The way to it.
    pub(crate) control: WordSender,
}

/// All live sessions by the connection id that their client believes in.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: Mutex<HashMap<u32, Entry>>,
    /// Counts server connections.
    connections: AtomicU64,
}

impl Registry {
    /// Takes `id` for a session that is about to tell it to its client. `None` if a live client of another session
    /// believes it to be its own.
    pub(crate) fn claim(self: &Arc<Self>, id: u32, control: WordSender) -> Option<Claim> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.contains_key(&id) {
            return None;
        }
        sessions.insert(
            id,
            Entry {
                user: Vec::new(),
                server_id: Some(id),
                since: self.connections.fetch_add(1, Ordering::Relaxed),
                replaying: false,
                control,
            },
        );
        drop(sessions);
        Some(Claim {
            registry: Arc::clone(self),
            id,
        })
    }

    /// Whether the session that believes in `own` may use the server connection `id`.
    pub(crate) fn may_use(&self, own: u32, id: u32) -> bool {
        own == id
            || !self
                .sessions
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains_key(&id)
    }

    /// The session whose client believes in `id`.
    pub(crate) fn find(&self, id: u32) -> Option<Known> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(&id).map(|entry| Known {
            // A server gives an id again only when the connection that had it is gone: Steadfast has not heard of it
            // yet, when a host vanished and came back.
            server_id: entry.server_id.filter(|_| {
                !sessions
                    .values()
                    .any(|other| other.server_id == entry.server_id && other.since > entry.since)
            }),
            replaying: entry.replaying,
            user: entry.user.clone(),
            control: entry.control.clone(),
        })
    }

    /// How many sessions there are.
    pub(crate) fn len(&self) -> usize {
        self.sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says something to all sessions.
    pub(crate) fn tell_all(&self, control: Control) {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in sessions.values() {
            entry.control.say(control);
        }
    }
}

/// A session's entry; dropped with the session.
#[derive(Debug)]
pub(crate) struct Claim {
    registry: Arc<Registry>,
    id: u32,
}

impl Claim {
    /// The id that the client believes to be its own.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// The session has logged in as this user, or changed to it.
    pub(crate) fn set_user(&self, user: &[u8]) {
        self.update(|entry| entry.user = user.to_vec());
    }

    /// The session has this server connection now, or none.
    pub(crate) fn set_server_id(&self, id: Option<u32>) {
        let since = self.registry.connections.fetch_add(1, Ordering::Relaxed);
        self.update(|entry| {
            entry.server_id = id;
            entry.since = since;
        });
    }

    /// A replay begins on the server connection, or has ended.
    pub(crate) fn set_replaying(&self, replaying: bool) {
        self.update(|entry| entry.replaying = replaying);
    }

    fn update(&self, change: impl FnOnce(&mut Entry)) {
        let mut sessions = self
            .registry
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = sessions.get_mut(&self.id) {
            change(entry);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.registry
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Words;

    #[test]
    fn an_id_that_a_client_believes_in_is_not_given_away() {
        let registry = Arc::new(Registry::default());
        let (control, _words) = Words::new();
        let claim = registry.claim(5, control.clone()).unwrap();
        assert!(registry.claim(5, control.clone()).is_none());
        assert!(!registry.may_use(6, 5));
        assert!(registry.may_use(5, 5));
        claim.set_server_id(Some(99));
        assert_eq!(registry.find(5).unwrap().server_id, Some(99));
        // The server gave the id to another session's connection: this one's is gone.
        let other = registry.claim(99, control.clone()).unwrap();
        assert_eq!(registry.find(5).unwrap().server_id, None);
        assert_eq!(registry.find(99).unwrap().server_id, Some(99));
        drop(other);
        drop(claim);
        assert!(
            registry
                .claim(5, control)
                .is_some_and(|claim| claim.id() == 5)
        );
        assert!(registry.is_empty());
    }
}
