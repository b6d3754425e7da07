//! The seam for a simulated network: connections that no kernel carries.
//!
//! Only with the feature `simulation`, which no part of the product turns on. What is above this crate is the product's
//! own code, whichever carrier its bytes have.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, mpsc};

use crate::{Address, Listener, Peer, SocketOptions, Stream};

/// One end of a simulated connection.
pub trait Carrier: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {
    /// This end's address.
    fn local_addr(&self) -> SocketAddr;

    /// The other end's address.
    fn peer_addr(&self) -> SocketAddr;

    /// See [`Stream::apply`].
    fn apply(&self, options: &SocketOptions);
}

/// A connection that is being made.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<Box<dyn Carrier>>> + Send>>;

/// The way to servers.
pub trait Network: fmt::Debug + Send + Sync {
    /// Connects, as a TCP connect: it is refused, or takes as long as nobody answers.
    fn connect(&self, to: &Address) -> Connecting;
}

impl crate::Target {
    /// The same server, reached over this network.
    pub fn over(mut self, network: Arc<dyn Network>) -> Self {
        self.network = Some(network);
        self
    }
}

/// Gives a simulated listener its connections.
pub type Arrivals = mpsc::UnboundedSender<Box<dyn Carrier>>;

/// The receiving side of [`Arrivals`].
#[derive(Debug)]
pub(crate) struct Arriving {
    address: SocketAddr,
    connections: Mutex<mpsc::UnboundedReceiver<Box<dyn Carrier>>>,
    options: OnceLock<SocketOptions>,
}

impl Arriving {
    pub(crate) fn apply(&self, options: &SocketOptions) {
        self.options.get_or_init(|| options.clone());
    }

    pub(crate) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self.connections.lock().await.recv().await {
            Some(carrier) => {
                if let Some(options) = self.options.get() {
                    carrier.apply(options);
                }
                let peer = Peer::Tcp(carrier.peer_addr());
                Ok((Stream::Simulated(carrier), peer))
            }
            // The network is gone: nobody comes any more.
            None => std::future::pending().await,
        }
    }

    pub(crate) fn address(&self) -> Address {
        self.address.into()
    }
}

impl Listener {
    /// A listener at `address` whose connections come from a simulated network.
    pub fn simulated(address: SocketAddr) -> (Self, Arrivals) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let arriving = Arriving {
            address,
            connections: Mutex::new(receiver),
            options: OnceLock::new(),
        };
        (Listener::of(arriving), sender)
    }
}
