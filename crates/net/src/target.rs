//! How to reach a server.

use std::io;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use crate::address::resolve;
use crate::{Address, ConnectError, ConnectStage, LossKind, SocketOptions, Stream, tls};

/// How to reach a server.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where it listens.
    pub address: Address,
    /// Whether and how TLS is used.
    pub tls: tls::Connector,
    /// Options of the TCP socket.
    pub options: SocketOptions,
    /// Limit for everything up to the greeting: name resolution, connecting and waiting. Default: 10 s, the
    /// servers' own `connect_timeout`.
    pub connect_timeout: Duration,
    #[cfg(feature = "simulation")]
    pub(crate) network: Option<std::sync::Arc<dyn crate::simulation::Network>>,
}

impl Target {
    /// A server with the default options and timeout.
    pub fn new(address: Address, tls: tls::Connector) -> Self {
        Target {
            address,
            tls,
            options: SocketOptions::default(),
            connect_timeout: Duration::from_secs(10),
            #[cfg(feature = "simulation")]
            network: None,
        }
    }

    /// The host whose certificate the server must have.
    pub(crate) fn host(&self) -> &str {
        match &self.address {
            Address::Tcp { host, .. } => host,
            Address::Unix(_) => "localhost",
        }
    }

    /// Connects. Of several addresses the first that answers is taken; each gets an equal part of the time left.
    pub(crate) async fn connect(&self, deadline: Instant) -> Result<Stream, ConnectError> {
        let late = |_| ConnectError::Timeout {
            stage: ConnectStage::Connecting,
            after: self.connect_timeout,
        };
        #[cfg(feature = "simulation")]
        if let Some(network) = &self.network {
            let connected = timeout_at(deadline, network.connect(&self.address))
                .await
                .map_err(late)?;
            let stream = Stream::Simulated(connected.map_err(ConnectError::io)?);
            stream.apply(&self.options).map_err(ConnectError::io)?;
            return Ok(stream);
        }
        let stream: Stream = match &self.address {
            Address::Unix(path) => {
                let connected = timeout_at(deadline, UnixStream::connect(path))
                    .await
                    .map_err(late)?;
                connected.map_err(ConnectError::io)?.into()
            }
            Address::Tcp { host, port } => {
                let resolved = timeout_at(deadline, resolve(host, *port))
                    .await
                    .map_err(|_| ConnectError::Timeout {
                        stage: ConnectStage::Resolving,
                        after: self.connect_timeout,
                    })?;
                let addresses =
                    resolved.map_err(|error| ConnectError::Io(LossKind::Unresolved, error))?;
                let mut outcome = Err(ConnectError::io(io::ErrorKind::NotFound.into()));
                for (index, address) in addresses.iter().enumerate() {
                    let left = deadline.saturating_duration_since(Instant::now());
                    let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
                    outcome = match timeout_at(Instant::now() + share, TcpStream::connect(address))
                        .await
                    {
                        Ok(connected) => connected.map_err(ConnectError::io),
                        Err(elapsed) => Err(late(elapsed)),
                    };
                    if outcome.is_ok() {
                        break;
                    }
                }
                outcome?.into()
            }
        };
        stream.apply(&self.options).map_err(ConnectError::io)?;
        Ok(stream)
    }
}
