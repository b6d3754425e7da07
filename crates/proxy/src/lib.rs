//! Listener, session driver, servers' health, drain, metrics and the admin address.

pub mod admin;
pub mod config;
pub mod logging;
pub mod metrics;
mod serve;

pub use serve::{Listening, ServeError, serve};
