//! Listening sockets.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, TcpSocket, UnixListener};

use crate::address::resolve;
use crate::{Address, Peer, SocketOptions, Stream};

/// Connections that may wait to be accepted; the system's `net.core.somaxconn` caps it.
const BACKLOG: u32 = 1024;

/// A listening socket. A Unix socket's file is removed when its listener is dropped.
#[derive(Debug)]
pub struct Listener(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    Unix {
        listener: UnixListener,
        path: PathBuf,
    },
    #[cfg(feature = "simulation")]
    Simulated(crate::simulation::Arriving),
}

impl Listener {
    #[cfg(feature = "simulation")]
    pub(crate) fn of(arriving: crate::simulation::Arriving) -> Self {
        Listener(Kind::Simulated(arriving))
    }

    /// Listens. For a host with several addresses it is the first one. The file of a Unix socket on which nobody
    /// listens any more is replaced; any other file is left alone.
    ///
    /// # Errors
    /// The system's; `AddrInUse` if somebody listens there.
    pub async fn bind(address: &Address) -> io::Result<Self> {
        Listener::open(address, Port::Exclusive).await
    }

    /// As [`bind`](Self::bind), but several listeners, of this process or of others of the same user, may share the
    /// TCP port (SO_REUSEPORT): the system spreads new connections over them. A Unix socket is not shared.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub async fn bind_shared(address: &Address) -> io::Result<Self> {
        Listener::open(address, Port::Shared).await
    }

    async fn open(address: &Address, sharing: Port) -> io::Result<Self> {
        match address {
            Address::Tcp { host, port } => {
                let addresses = resolve(host, *port).await?;
                let address = *addresses.first().ok_or(io::ErrorKind::NotFound)?;
                let socket = if address.is_ipv4() {
                    TcpSocket::new_v4()?
                } else {
                    TcpSocket::new_v6()?
                };
                // A restart must not wait for connections in TIME_WAIT.
                socket.set_reuseaddr(true)?;
                if let Port::Shared = sharing {
                    socket.set_reuseport(true)?;
                }
                socket.bind(address)?;
                Ok(Listener(Kind::Tcp(socket.listen(BACKLOG)?)))
            }
            Address::Unix(path) => {
                let listener = match UnixListener::bind(path) {
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_deserted(path) => {
                        std::fs::remove_file(path)?;
                        UnixListener::bind(path)?
                    }
                    outcome => outcome?,
                };
                Ok(Listener(Kind::Unix {
                    listener,
                    path: path.clone(),
                }))
            }
        }
    }

    /// Sets the options of all TCP sockets that it accepts from now on: each takes them over from the listening one.
    ///
    /// # Errors
    /// The system's.
    pub fn apply(&self, options: &SocketOptions) -> io::Result<()> {
        match &self.0 {
            Kind::Tcp(listener) => options.set(listener.into()),
            Kind::Unix { .. } => Ok(()),
            #[cfg(feature = "simulation")]
            Kind::Simulated(arriving) => {
                arriving.apply(options);
                Ok(())
            }
        }
    }

    /// The next connection. Its socket has the system's options, but for those of [`apply`](Self::apply).
    ///
    /// # Errors
    /// The system's. All but a closed listener are passing (too many open files, a client that is gone already):
    /// wait a little and call it again.
    pub async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.0 {
            Kind::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((stream.into(), Peer::Tcp(address)))
            }
            Kind::Unix { listener, .. } => {
                let stream: Stream = listener.accept().await?.0.into();
                let peer = stream.peer().unwrap_or(Peer::Unix {
                    uid: None,
                    pid: None,
                });
                Ok((stream, peer))
            }
            #[cfg(feature = "simulation")]
            Kind::Simulated(arriving) => arriving.accept().await,
        }
    }

    /// Where it listens: for port 0 the port that the system chose.
    ///
    /// # Errors
    /// The system's.
    pub fn local_address(&self) -> io::Result<Address> {
        match &self.0 {
            Kind::Tcp(listener) => listener.local_addr().map(Address::from),
            Kind::Unix { path, .. } => Ok(Address::Unix(path.clone())),
            #[cfg(feature = "simulation")]
            Kind::Simulated(arriving) => Ok(arriving.address()),
        }
    }
}

/// Whether a TCP port may have several listeners.
enum Port {
    Exclusive,
    Shared,
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Kind::Unix { path, .. } = &self.0
            && let Err(error) = std::fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(
                "the socket file {} could not be removed: {error}",
                path.display()
            );
        }
    }
}

/// Whether this is the socket of a process that has ended.
fn is_deserted(path: &Path) -> bool {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    is_socket
        && std::os::unix::net::UnixStream::connect(path)
            .err()
            .is_some_and(refused)
}
