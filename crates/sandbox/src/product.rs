//! What can be had as packages: servers, and the proxies that a campaign compares.

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
}

impl Product {
    /// What to do where no packages can be fetched.
    pub(crate) fn by_hand(self) -> &'static str {
        match self {
            Self::Server(kind) => kind.by_hand(),
            Self::Peer(peer) => peer.by_hand(),
        }
    }

    /// The product in a file name.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Self::Server(kind) => kind.slug(),
            Self::Peer(peer) => peer.program_name(),
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(kind) => kind.fmt(f),
            Self::Peer(peer) => peer.fmt(f),
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
