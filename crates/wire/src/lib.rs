//! Sans-IO MySQL and MariaDB protocol, both sides: frames, handshake, authentication, commands, responses.
//!
//! Nothing here reads a socket, a clock or a random source. Parsers give borrowed views of a payload and never
//! panic; writers append a payload to a `Vec<u8>`, and [`frame::write`] puts it into frames. The crate never collects
//! a payload: [`frame::Splitter`] walks a byte stream in the pieces in which it arrives, and
//! [`walk::ResponseWalker`] follows a response with the first byte of each row only.
//!
//! Sources: the MySQL internals manual (dev.mysql.com/doc/dev/mysql-server, *Client/Server Protocol*), MariaDB's
//! *Clientserver Protocol* pages, and both servers' sources where the pages are silent or wrong.

pub mod auth;
pub mod capability;
pub mod command;
pub mod error;
pub mod frame;
pub mod handshake;
pub mod payload;
pub mod response;
pub mod value;
pub mod walk;

pub use capability::{Capabilities, StatusFlags};
pub use error::{Error, Peer};
