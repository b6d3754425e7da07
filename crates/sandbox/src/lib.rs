//! Real MariaDB and MySQL servers in a private directory, for the demo and the tests.
//!
//! A [`Server`] is a real `mariadbd` or `mysqld` that listens on 127.0.0.1 and lives in a
//! directory of its own below the system's temporary directory. It can be killed, frozen and
//! restarted on the same port. Server and directory disappear with the [`Server`], and also
//! when the process that made it is killed: see `watchdog.sh`.
//!
//! A [`Link`] is a TCP forwarder to put between a client and a server that loses connections
//! on demand.
//!
//! A [`Peer`] is another proxy, to compare with; [`Sysbench`] gives them work.
//!
//! The programs come from the machine where it has them, else from the packages of its own
//! distribution, fetched once without root into `$STEADFAST_CACHE`, by default
//! `$XDG_CACHE_HOME/steadfast` or `~/.cache/steadfast`.
//!
//! ```no_run
//! # fn main() -> Result<(), steadfast_sandbox::Error> {
//! let server = steadfast_sandbox::Server::mariadb().option("max_connections=200").start()?;
//! assert_eq!(server.sql("SELECT 1")?, "1\n");
//! server.kill()?;
//! server.start_again()?;
//! # Ok(())
//! # }
//! ```

mod cache;
mod certificates;
mod clear_password;
mod compile;
mod disk;
mod error;
mod fetch;
mod kind;
mod link;
mod other;
mod peer;
mod plan;
mod port;
mod product;
mod programs;
mod progress;
mod server;
mod sources;
mod strace;
mod sysbench;
mod template;
mod unpacked;
mod watchdog;

pub use error::Error;
pub use kind::Kind;
pub use link::{Cut, Direction, Link, Point, Seen, Side, Sight, Verdict};
pub use peer::{Peer, PeerProgram};
pub use port::free_port;
pub use product::Product;
pub use programs::{Programs, client, programs};
pub use server::{Builder, Server};
pub use strace::strace;
pub use sysbench::Sysbench;
