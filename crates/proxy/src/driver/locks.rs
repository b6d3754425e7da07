//! The user-level locks of a session, as far as its statements name them, and whether they are given back. That is
//! asked of the server: it counts how often a lock was taken, and it knows which names are the same.

use std::collections::BTreeSet;

use steadfast_net::QueryError;
use steadfast_session::{Event, Held, bytes_expression};
use steadfast_sql::{Effects, Kind, Uses, user_locks};

use super::Driver;
use super::before::Before;
use super::hidden::RowCount;
use crate::command::Stored;
use crate::relay::Ended;

/// Bytes of the longest name that is kept; the servers take 64 characters and refuse questions about longer names.
const LONGEST_NAME: usize = 64;

/// Names that are kept at most.
const MOST_NAMES: usize = 64;

/// The locks that the session may hold.
#[derive(Clone, Debug, Default)]
pub(super) struct UserLocks {
    /// Expressions that give the names.
    names: BTreeSet<String>,
    /// There may be others, whose names the texts did not tell.
    unnamed: bool,
    /// There may be some of MySQL's locking service, which RELEASE_ALL_LOCKS() leaves alone.
    service: bool,
}

impl Driver {
    /// A statement that calls functions of user-level locks has ended.
    pub(super) fn note_user_locks(&mut self, stored: &Stored, ended: Ended) {
        let Some(class) = stored.class else { return };
        if !class.uses.contains(Uses::USER_LOCK) {
            return;
        }
        let (text, dialect) = match (&stored.prepared, stored.text()) {
            (Some(prepared), _) => (&prepared.text()[..], prepared.dialect()),
            (None, Some(text)) => (text, self.dialect),
            (None, None) => (&[][..], self.dialect),
        };
        let found = user_locks(text, dialect);
        if class.kind == Kind::Execute || text.is_empty() {
            // The text that ran is another.
            self.user_locks.unnamed |= class.effects.contains(Effects::LOCKS);
            return;
        }
        // Also after an error: it may have got as far as taking one.
        if found.takes {
            self.user_locks.service |= contains(text, b"service_");
            self.user_locks.unnamed |= !found.all_literal;
            for name in &found.names {
                let room = self.user_locks.names.len() < MOST_NAMES;
                if name.len() > LONGEST_NAME || !room {
                    self.user_locks.unnamed = true;
                } else {
                    let name = bytes_expression(name, self.client_charset());
                    self.user_locks.names.insert(name);
                }
            }
        }
        if ended.error == 0 && releases_all(text) && !self.user_locks.service {
            self.user_locks = UserLocks::default();
        }
        self.deferred.user_locks |= found.releases;
    }

    /// The character set in which the client's texts are, by its name on the server.
    fn client_charset(&self) -> &str {
        let name = self.setting("character_set_client");
        std::str::from_utf8(name)
            .ok()
            .filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric()))
            .unwrap_or("binary")
    }

    /// Asks which of the locks the session still holds. The core is told later ([`Driver::tell_released`]).
    pub(super) async fn ask_user_locks(&mut self, leave: &RowCount) -> Result<(), Before> {
        if !self.user_locks.names.is_empty() {
            let names: Vec<String> = self.user_locks.names.iter().cloned().collect();
            let list: Vec<String> = names
                .iter()
                .map(|name| format!("IS_USED_LOCK({name}) <=> CONNECTION_ID()"))
                .collect();
            let text = format!("SELECT {} LIMIT 1", list.join(", "));
            let row = match self.ask(&[text.as_bytes()], leave).await {
                Ok(found) => found
                    .into_iter()
                    .flat_map(|result| result.rows)
                    .next()
                    .unwrap_or_default(),
                // A name that no lock can have: the session is taken to hold what it held.
                Err(QueryError::Server(error)) if !error.ends_connection() => {
                    tracing::debug!(client = %self.peer, "user locks could not be asked for: {error}");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            for (name, held) in names.iter().zip(row) {
                if held.as_deref() == Some(b"0") {
                    self.user_locks.names.remove(name);
                }
            }
        }
        self.released = self.user_locks.names.is_empty()
            && !self.user_locks.unnamed
            && !self.user_locks.service;
        Ok(())
    }

    /// The core is told that no user lock is held, if that is so. Not before the statement that released it has ended
    /// for the core: by its text it may also take one.
    pub(super) fn tell_released(&mut self) {
        if std::mem::take(&mut self.released) {
            self.core.step(Event::Released(Held::USER_LOCK));
        }
    }
}

/// Whether a text is nothing but a call of RELEASE_ALL_LOCKS(): what a SELECT of more reaches is not known.
fn releases_all(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    let text = text.strip_suffix(b";").unwrap_or(text).trim_ascii();
    let call = b"release_all_locks()";
    let Some(at) = text.len().checked_sub(call.len()) else {
        return false;
    };
    let (before, after) = text.split_at(at);
    let word = before.trim_ascii_end();
    after.eq_ignore_ascii_case(call)
        && word.len() < before.len()
        && (word.eq_ignore_ascii_case(b"select") || word.eq_ignore_ascii_case(b"do"))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len())
        .any(|window| window.eq_ignore_ascii_case(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_call_releases_all_locks() {
        for text in ["SELECT RELEASE_ALL_LOCKS()", " do release_all_locks() ; "] {
            assert!(releases_all(text.as_bytes()), "{text}");
        }
        for text in [
            "SELECT 0 AND RELEASE_ALL_LOCKS()",
            "SELECT RELEASE_ALL_LOCKS() FROM t WHERE 0",
            "SELECTRELEASE_ALL_LOCKS()",
            "RELEASE_ALL_LOCKS()",
            "",
        ] {
            assert!(!releases_all(text.as_bytes()), "{text}");
        }
    }
}
