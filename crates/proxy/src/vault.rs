//! Passwords that clients have shown, kept in memory only, so that a lost server connection can be replaced.
//!
//! The server stays the authority: a password from here is used to log in anew, and the server says whether it is
//! right.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use steadfast_wire::auth::{Password, RsaKeyPair};

/// Accounts whose passwords are remembered at most; beyond it, one that is not in use is forgotten.
const MAX_USERS: usize = 10_000;

/// What Steadfast knows to log in with.
#[derive(Debug)]
pub(crate) struct Vault {
    learned: Mutex<HashMap<Vec<u8>, Password>>,
    given: HashMap<Vec<u8>, Password>,
    /// Clients that left when they were asked for `caching_sha2_password`: their answers are relayed next time.
    unwilling: Mutex<HashSet<(Option<IpAddr>, Vec<u8>)>>,
    key: Arc<RsaKeyPair>,
}

impl Vault {
    /// With these passwords from the users file, and the key with which clients encrypt theirs.
    pub(crate) fn new(
        given: impl IntoIterator<Item = (Vec<u8>, Password)>,
        key: Arc<RsaKeyPair>,
    ) -> Self {
        Self {
            learned: Mutex::default(),
            given: given.into_iter().collect(),
            unwilling: Mutex::default(),
            key,
        }
    }

    /// The key with which clients encrypt passwords where there is no TLS.
    pub(crate) fn key(&self) -> &RsaKeyPair {
        &self.key
    }

    /// Passwords that this user may have: the learned one first.
    pub(crate) fn candidates(&self, user: &[u8]) -> Vec<Password> {
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        learned
            .get(user)
            .cloned()
            .into_iter()
            .chain(self.given.get(user).cloned())
            .collect()
    }

    /// The server has taken this password.
    pub(crate) fn learn(&self, user: &[u8], password: &Password) {
        let mut learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        if learned.len() >= MAX_USERS
            && !learned.contains_key(user)
            && let Some(other) = learned.keys().next().cloned()
        {
            learned.remove(&other);
        }
        learned.insert(user.to_vec(), password.clone());
    }

    /// Any account that has logged in, for the health check.
    pub(crate) fn any(&self) -> Option<(Vec<u8>, Password)> {
        let learned = self.learned.lock().unwrap_or_else(PoisonError::into_inner);
        learned
            .iter()
            .next()
            .map(|(user, password)| (user.clone(), password.clone()))
    }

    /// The server no longer takes this account's password.
    pub(crate) fn forget(&self, user: &[u8]) {
        self.learned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(user);
    }

    /// The client left when it was asked for another plugin.
    pub(crate) fn mark_unwilling(&self, from: Option<IpAddr>, user: &[u8]) {
        let mut unwilling = self
            .unwilling
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if unwilling.len() < MAX_USERS {
            unwilling.insert((from, user.to_vec()));
        }
    }

    /// Whether it did before.
    pub(crate) fn is_unwilling(&self, from: Option<IpAddr>, user: &[u8]) -> bool {
        self.unwilling
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&(from, user.to_vec()))
    }
}
