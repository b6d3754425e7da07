//! What can be wrong with a packet, and whose fault it is.

use std::fmt;

/// The side of a connection that an [`Error`] blames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// The side that sends commands.
    Client,
    /// The side that answers them.
    Server,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Peer::Client => "client",
            Peer::Server => "server",
        })
    }
}

/// Why bytes were refused, or could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The bytes do not have the layout of the packet that is due.
    #[error("the {peer} sent a malformed {packet} packet: {what} (byte {offset})")]
    Malformed {
        /// Who sent it.
        peer: Peer,
        /// The packet that was expected, for example `greeting`.
        packet: &'static str,
        /// What is wrong with it.
        what: &'static str,
        /// Where in the payload, in bytes from its beginning.
        offset: usize,
    },
    /// The peer speaks a version or dialect of the protocol that is not supported here.
    #[error("the {peer} is not compatible: {what}")]
    Incompatible {
        /// Who sent it.
        peer: Peer,
        /// What it wants or lacks.
        what: &'static str,
    },
    /// The peer claims a size beyond a limit; nothing was allocated for it.
    #[error("the {peer} sent {size} {what}, the limit is {limit}")]
    TooLarge {
        /// Who sent it.
        peer: Peer,
        /// What is too much, as a unit: `columns`.
        what: &'static str,
        /// The claimed size, in the unit named by `what`.
        size: u64,
        /// The limit, in the same unit.
        limit: u64,
    },
    /// A frame came with another sequence id than the one that was due.
    #[error("the {peer} sent packets out of order: sequence id {got} instead of {expected}")]
    OutOfOrder {
        /// Who sent it.
        peer: Peer,
        /// The sequence id that was due.
        expected: u8,
        /// The sequence id that came.
        got: u8,
    },
    /// A well-formed packet at a moment when the protocol does not allow it.
    #[error("the {peer} sent a packet beginning with {first:#04x} where {due} was due")]
    Unexpected {
        /// Who sent it.
        peer: Peer,
        /// What was due.
        due: &'static str,
        /// The first byte of the payload that came.
        first: u8,
    },
    /// The caller asked for a packet that the protocol cannot express.
    #[error("this packet cannot be written: {what}")]
    Unrepresentable {
        /// Which value does not fit where.
        what: &'static str,
    },
    /// The caller broke a rule of this crate's interface.
    #[error("steadfast-wire was misused: {what}")]
    Misused {
        /// Which rule.
        what: &'static str,
    },
    /// A cryptographic step failed.
    #[error("{what}")]
    Crypto {
        /// What failed and for whom, as a sentence part.
        what: &'static str,
    },
}
