//! Sockets, TLS and Steadfast's own MySQL client: the only place that sees clocks and sockets.
//!
//! A server connection's life: a [`Target`] says how to reach the server, [`greet`] connects and reads its greeting,
//! [`Greeted::login`] (or [`Greeted::login_relayed`], [`Greeted::abandon`]) ends the handshake, and a
//! [`ServerConnection`] runs hidden commands. Its stream, negotiated capabilities and unread bytes are public: the
//! session's driver passes a client's traffic over them.
//!
//! No function here has a deadline of its own unless it says so: callers put `tokio::time::timeout` around it. When
//! one of these futures is dropped before it ends, its connection is in an unknown place and must be closed.

mod address;
mod client;
mod error;
mod gate;
mod listener;
mod options;
mod packets;
#[cfg(feature = "simulation")]
pub mod simulation;
mod stream;
mod target;
pub mod tls;

pub use address::{Address, AddressError, Peer, resolve};
pub use client::{
    Greeted, Login, MAX_RESULT, OwnedColumn, OwnedGreeting, OwnedOk, Pending, QueryResult,
    RelayStep, ServerConnection, greet,
};
pub use error::{ConnectError, ConnectStage, LoginError, LossKind, QueryError, ServerError};
pub use gate::Gate;
pub use listener::Listener;
pub use options::SocketOptions;
pub use stream::{Detached, Stream};
pub use target::Target;
