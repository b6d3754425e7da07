//! Listener, session driver, servers' health, drain, metrics and the admin address.

mod accept;
pub mod admin;
mod alike;
mod around;
mod bell;
mod catalogue;
mod client;
mod clock;
mod command;
pub mod config;
mod driver;
mod gate;
mod health;
mod host;
mod incident;
mod ledger;
mod link;
mod local;
pub mod logging;
mod login;
mod memory;
pub mod metrics;
mod own_kills;
mod pace;
mod pool;
mod prepared;
pub mod readiness;
mod registry;
mod relay;
mod relayed;
mod resolve;
mod scratch;
mod serve;
mod shared;
#[cfg(feature = "simulation")]
pub mod simulation;
mod spread;
mod status;
mod tally;
mod traffic;
mod vault;
mod words;
mod zombie;

pub use incident::{Incident, Step, Store, StoreError, Stored};
pub use serve::{Listening, ServeError, serve};
