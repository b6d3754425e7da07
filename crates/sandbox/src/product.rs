//! What can be had as packages: servers, the proxies that a campaign compares, what gives them work, and what tells their
//! system calls.

use std::fmt;

use crate::Kind;
use crate::peer::Peer;

/// A program that the machine has, or that is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Product {
    /// A server with its client.
    Server(Kind),
    /// A proxy.
    Peer(Peer),
    /// sysbench.
    Sysbench,
    /// strace.
    Strace,
}

impl Product {
    /// What to do where no packages can be fetched.
    pub(crate) fn by_hand(self) -> &'static str {
        match self {
            Self::Server(kind) => kind.by_hand(),
            Self::Peer(peer) => peer.by_hand(),
            Self::Sysbench => "install sysbench so that `sysbench` is in PATH",
            Self::Strace => "install strace so that `strace` is in PATH",
        }
    }

    /// The product in a file name.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Server(kind) => kind.slug(),
            Self::Peer(peer) => peer.program_name(),
            Self::Sysbench => "sysbench",
            Self::Strace => "strace",
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(kind) => kind.fmt(f),
            Self::Peer(peer) => peer.fmt(f),
            Self::Sysbench => f.write_str("sysbench"),
            Self::Strace => f.write_str("strace"),
        }
    }
}

impl From<Kind> for Product {
    fn from(kind: Kind) -> Self {
        Self::Server(kind)
    }
}

impl From<Peer> for Product {
    fn from(peer: Peer) -> Self {
        Self::Peer(peer)
    }
}
