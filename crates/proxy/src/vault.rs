//! Passwords that clients have shown, kept in memory only, so that a lost server connection can be replaced.
//!
//! The server stays the authority: a password from here is used to log in anew, and the server says whether it is
//! right.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use steadfast_wire::auth::{Password, RsaKeyPair};
use tokio::sync::watch;

/// Accounts whose passwords are remembered at most; beyond it, one that is not in use is forgotten.
const MAX_USERS: usize = 10_000;

/// A key pair as soon as it is made; closed without one: it cannot be made.
pub(crate) type Key = watch::Receiver<Option<Arc<RsaKeyPair>>>;

/// What Steadfast knows to log in with.
#[derive(Debug)]
pub(crate) struct Vault {
    learned: Mutex<HashMap<Vec<u8>, Password>>,
    given: HashMap<Vec<u8>, Password>,
    /// Clients that left when they were asked for `caching_sha2_password`: their answers are relayed next time.
    unwilling: Mutex<HashSet<(Option<IpAddr>, Vec<u8>)>>,
    key: Key,
}

impl Vault {
    /// With these passwords from the users file, and the key with which clients encrypt theirs.
    pub(crate) fn new(given: impl IntoIterator<Item = (Vec<u8>, Password)>, key: Key) -> Self {
        Self {
            learned: Mutex::default(),
            given: given.into_iter().collect(),
            unwilling: Mutex::default(),
            key,
        }
    }

    /// The key with which clients encrypt passwords where there is no TLS. The first ones may have to wait for it.
    ///
    /// # Errors
    /// It cannot be made; then serving ends.
    pub(crate) async fn key(&self) -> io::Result<Arc<RsaKeyPair>> {
        let mut key = self.key.clone();
        let made = key.wait_for(Option::is_some).await;
        made.ok()
            .and_then(|made| made.clone())
            .ok_or_else(|| io::Error::other("there is no RSA key pair"))
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

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_client_that_comes_before_the_key_waits_for_it() {
        let (made, key) = watch::channel(None);
        let vault = Vault::new([], key);
        let mut waits = std::pin::pin!(vault.key());
        let polled = poll_fn(|context| Poll::Ready(waits.as_mut().poll(context))).await;
        assert!(polled.is_pending());
        made.send_replace(Some(Arc::new(RsaKeyPair::generate().unwrap())));
        assert!(waits.await.unwrap().public_key_pem().contains("PUBLIC KEY"));
    }

    #[tokio::test]
    async fn a_key_that_cannot_be_made_is_waited_for_by_nobody() {
        let (made, key) = watch::channel(None);
        drop(made);
        assert!(Vault::new([], key).key().await.is_err());
    }
}
