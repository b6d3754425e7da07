//! One connection, whatever carries it.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::{Gate, Peer, SocketOptions};

/// A connection: TCP or a Unix socket, plain or with TLS on it.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(Gated<TcpStream>),
    /// A plain Unix socket.
    Unix(Gated<UnixStream>),
    /// TLS that the other side asked for.
    TlsAccepted(Box<tokio_rustls::server::TlsStream<Rewound>>),
    /// TLS that this side asked for.
    TlsConnected(Box<tokio_rustls::client::TlsStream<Stream>>),
    /// A connection of a simulated network; to those above it is plain TCP.
    #[cfg(feature = "simulation")]
    Simulated(Box<dyn crate::simulation::Carrier>),
}

/// A socket that is asked for bytes only when it may have some.
#[derive(Debug)]
pub struct Gated<S> {
    socket: S,
    gate: Gate,
}

impl<S> Gated<S> {
    fn new(socket: S) -> Self {
        Self {
            socket,
            gate: Gate::default(),
        }
    }
}

impl<S: AsFd> AsFd for Gated<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gated<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { socket, gate } = self.get_mut();
        gate.poll(cx, |cx| Pin::new(socket).poll_read(cx, buf))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gated<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

impl Stream {
    /// Whether the bytes are encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self, Stream::TlsAccepted(_) | Stream::TlsConnected(_))
    }

    /// Whether a password may be sent in the clear: inside TLS or over a Unix socket.
    pub fn is_secure(&self) -> bool {
        self.is_tls() || matches!(self, Stream::Unix(_))
    }

    /// This side's address; `None` for a Unix socket and for a connection that the system has forgotten.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        #[cfg(feature = "simulation")]
        if let Stream::Simulated(carrier) = self.plain() {
            return Some(carrier.local_addr());
        }
        self.tcp()?.local_addr().ok()
    }

    /// The other side's address; `None` for a Unix socket and for a connection that the system has forgotten.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        #[cfg(feature = "simulation")]
        if let Stream::Simulated(carrier) = self.plain() {
            return Some(carrier.peer_addr());
        }
        self.tcp()?.peer_addr().ok()
    }

    /// The other side, for people. `None` only for a TCP connection that the system has forgotten.
    pub fn peer(&self) -> Option<Peer> {
        match self.plain() {
            Stream::Unix(stream) => {
                let credentials = stream.socket.peer_cred().ok();
                Some(Peer::Unix {
                    uid: credentials.map(|one| one.uid()),
                    pid: credentials.and_then(|one| one.pid()),
                })
            }
            _ => self.peer_addr().map(Peer::Tcp),
        }
    }

    /// Sets the options of the TCP socket; a Unix socket has none and is left as it is.
    ///
    /// # Errors
    /// The system's.
    pub fn apply(&self, options: &SocketOptions) -> io::Result<()> {
        #[cfg(feature = "simulation")]
        if let Stream::Simulated(carrier) = self.plain() {
            carrier.apply(options);
        }
        match self.tcp() {
            Some(stream) => options.set(stream.into()),
            None => Ok(()),
        }
    }

    /// The stream below TLS.
    fn plain(&self) -> &Stream {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => self,
            Stream::TlsAccepted(tls) => tls.get_ref().0.stream.plain(),
            Stream::TlsConnected(tls) => tls.get_ref().0.plain(),
            #[cfg(feature = "simulation")]
            Stream::Simulated(_) => self,
        }
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match self.plain() {
            Stream::Tcp(stream) => Some(&stream.socket),
            _ => None,
        }
    }
}

/// A connection that no thread waits for, to be passed on to another.
#[derive(Debug)]
pub struct Detached(Apart);

#[derive(Debug)]
enum Apart {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Stream {
    /// Takes it off this thread's runtime.
    ///
    /// # Errors
    /// The system's; [`io::ErrorKind::Unsupported`] inside TLS.
    pub fn detach(self) -> io::Result<Detached> {
        match self {
            Stream::Tcp(stream) => Ok(Detached(Apart::Tcp(stream.socket.into_std()?))),
            Stream::Unix(stream) => Ok(Detached(Apart::Unix(stream.socket.into_std()?))),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Detached {
    /// Puts it on this thread's runtime.
    ///
    /// # Errors
    /// The system's.
    pub fn attach(self) -> io::Result<Stream> {
        Ok(match self.0 {
            Apart::Tcp(stream) => TcpStream::from_std(stream)?.into(),
            Apart::Unix(stream) => UnixStream::from_std(stream)?.into(),
        })
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Stream::Tcp(Gated::new(stream))
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Stream::Unix(Gated::new(stream))
    }
}

/// Runs the expression on whatever carries the stream.
macro_rules! on {
    ($stream:expr, $carrier:ident => $run:expr) => {
        match $stream {
            Stream::Tcp($carrier) => $run,
            Stream::Unix($carrier) => $run,
            Stream::TlsAccepted($carrier) => $run,
            Stream::TlsConnected($carrier) => $run,
            #[cfg(feature = "simulation")]
            Stream::Simulated($carrier) => $run,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on!(self.get_mut(), carrier => Pin::new(carrier).poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        on!(self.get_mut(), carrier => Pin::new(carrier).poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self.get_mut(), carrier => Pin::new(carrier).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self.get_mut(), carrier => Pin::new(carrier).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on!(self.get_mut(), carrier => Pin::new(carrier).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        on!(self, carrier => carrier.is_write_vectored())
    }
}

/// A stream some of whose bytes were read before TLS began: a client may send its ClientHello in the same segment as
/// the SSL request.
#[derive(Debug)]
pub struct Rewound {
    unread: Vec<u8>,
    stream: Stream,
}

impl Rewound {
    pub(crate) fn new(stream: Stream, already_read: &[u8]) -> Self {
        Rewound {
            unread: already_read.to_vec(),
            stream,
        }
    }
}

impl AsyncRead for Rewound {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.unread.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let take = this.unread.len().min(buf.remaining());
        buf.put_slice(&this.unread.drain(..take).collect::<Vec<_>>());
        if this.unread.is_empty() {
            this.unread = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
