//! The proxy's own code on a simulated network and against a simulated server, on virtual time: every run is decided by
//! its plan, and can be run again step by step.
//!
//! ```text
//!   client ─┐                    ┌─ storage: rows, locks, transactions; survives crashes
//!   client ─┼─ network ─ proxy ─ network ─ server
//!   client ─┘    │       (real)     │        │
//!                └──── injector: a fault at a point ────┘
//!   what clients were told ──▶ checker ◀── what the server holds
//! ```
//!
//! Nothing here is a double of the product: listener, login, session driver, gate, health, link, resolver and ledger
//! are its own. What is simulated is what is outside: the kernel's sockets ([`network`]) and the server ([`server`]).

pub mod check;
pub mod client;
pub mod coverage;
pub mod exhaust;
pub mod fault;
pub mod network;
pub mod plan;
pub mod random;
pub mod run;
pub mod server;
pub mod trace;
pub mod workload;
