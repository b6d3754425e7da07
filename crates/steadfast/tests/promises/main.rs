//! What Steadfast promises, on real servers, with faults at named points. Each case is named as the statement that
//! must hold, and runs on MariaDB and on MySQL.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod as_direct;
mod bad_input;
mod case;
mod chain;
mod client;
mod diagnostics;
mod doubt;
mod drain;
mod gone;
mod held;
mod inherited;
mod insert_id;
mod kill;
mod ledger;
mod ledger_edges;
mod metrics;
mod outage;
mod pool;
mod prepared;
mod protocol;
mod restart;
mod restore;
mod secure_timestamp;
mod stall;
mod state;
mod stuck;
mod transaction;
mod why;
