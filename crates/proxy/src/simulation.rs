//! The proxy on a simulated network, as one thread of it serves.
//!
//! Only with the feature `simulation`, which no part of the product turns on. Everything but what binds sockets, starts
//! threads and waits for signals is the product's own: see [`crate::serve()`] for that.

use std::rc::Rc;
use std::sync::Arc;

use steadfast_net::Listener;
use steadfast_net::simulation::Network;
use steadfast_wire::auth::{Password, RsaKeyPair};
use tokio::sync::watch;

use crate::config::Config;
use crate::health;
use crate::incident::Incidents;
use crate::local::{Local, ring_the_bell};
use crate::pace;
use crate::serve::{ServeError, accept, shared};

/// Fills a place with random bytes.
pub type RandomBytes = Box<dyn Fn(&mut [u8]) -> Result<(), getrandom::Error>>;

/// What a simulated proxy is given from outside.
pub struct Parts {
    /// Its configuration; the addresses to listen at, the admin address and the threads are not looked at.
    pub config: Config,
    /// The way to its server.
    pub network: Arc<dyn Network>,
    /// Where its clients come from.
    pub listener: Listener,
    /// Its key: making one takes longer than a simulation.
    pub key: Arc<RsaKeyPair>,
    /// Accounts that it has learned.
    pub accounts: Vec<(Vec<u8>, Password)>,
    /// Where its lanes' numbers come from.
    pub random: RandomBytes,
    /// How many bytes of a response are held back until it is complete; `None`: as many as the product holds back, more
    /// than a simulated server has to say.
    pub hold_back: Option<usize>,
}

/// Serves until it is dropped, which ends it as `kill -9` would. To be run inside a [`tokio::task::LocalSet`] of its
/// own: its sessions are tasks of that.
///
/// # Errors
/// TLS cannot be used.
pub async fn run(parts: Parts) -> Result<(), ServeError> {
    let (_, key) = watch::channel(Some(parts.key));
    let mut shared = shared(&parts.config, key)?;
    shared.target = shared.target.over(parts.network);
    // The clock would give others in another run, and clients are told them.
    shared.incidents = Incidents::beginning_at(0);
    if let Some(bytes) = parts.hold_back {
        shared.hold_back = bytes;
    }
    for (user, password) in &parts.accounts {
        shared.vault.learn(user, password);
    }
    let shared = Arc::new(shared);
    shared.readiness.accepting();
    tokio::task::spawn_local(health::watch(Arc::clone(&shared)));
    let local = Rc::new(Local::drawing_from(parts.random, &shared));
    tokio::task::spawn_local(ring_the_bell(Arc::clone(&shared), Rc::clone(&local)));
    tokio::task::spawn_local(pace::beat(shared.beat.clone()));
    tokio::task::spawn_local(Rc::clone(&local.pace).count(shared.beat.subscribe()));
    let pool = Rc::clone(&local.pool);
    tokio::task::spawn_local(pool.tend(Arc::clone(&shared), shared.timeouts.pool));
    accept(shared, parts.listener, local, None).await;
    Ok(())
}
