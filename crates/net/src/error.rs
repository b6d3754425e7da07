//! What can go wrong with a server connection, told apart by what it proves about the loss.

use std::fmt;
use std::io;
use std::time::Duration;

use steadfast_wire::response::ErrPacket;

use crate::tls::TlsError;

/// How a connection ended, or failed to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LossKind {
    /// The other side closed in order (FIN), or ended without closing TLS.
    Eof,
    /// The other side, or something between, reset the connection (RST): ECONNRESET, EPIPE, ECONNABORTED.
    Reset,
    /// Nothing came back: keepalive, TCP_USER_TIMEOUT or the retransmissions ended (ETIMEDOUT).
    Silence,
    /// Nobody listens there (ECONNREFUSED, or a Unix socket without a file).
    Refused,
    /// There is no way to the host (EHOSTUNREACH, ENETUNREACH).
    Unreachable,
    /// The name has no address, or the resolver failed.
    Unresolved,
    /// Anything else, for example too many open files.
    Other,
}

impl LossKind {
    /// What an IO error says about the connection.
    pub fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => LossKind::Eof,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted => LossKind::Reset,
            io::ErrorKind::TimedOut => LossKind::Silence,
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => LossKind::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                LossKind::Unreachable
            }
            _ => LossKind::Other,
        }
    }
}

impl fmt::Display for LossKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LossKind::Eof => "the server closed the connection (FIN)",
            LossKind::Reset => "the connection was reset (RST)",
            LossKind::Silence => "the server did not answer any more",
            LossKind::Refused => "nobody listens there",
            LossKind::Unreachable => "the host cannot be reached",
            LossKind::Unresolved => "the host name cannot be resolved",
            LossKind::Other => "the connection failed",
        })
    }
}

/// An ERR packet of a server.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub struct ServerError {
    /// Error number.
    pub code: u16,
    /// SQLSTATE; missing in an ERR that comes instead of a greeting.
    pub sqlstate: Option<[u8; 5]>,
    /// Message in the session's character set.
    pub message: Vec<u8>,
}

impl ServerError {
    /// Whether the server ends the connection behind this error: shutdown (1053), KILL (1927), idle timeout (4031),
    /// and what it says when it gave up on the network or on the packet (1153, 1156 to 1161).
    pub fn ends_connection(&self) -> bool {
        matches!(self.code, 1053 | 1153 | 1156..=1161 | 1927 | 4031)
    }

    /// The packet, to be passed on.
    pub fn packet(&self) -> ErrPacket<'_> {
        ErrPacket {
            code: self.code,
            sqlstate: self.sqlstate,
            message: &self.message,
        }
    }
}

impl From<ErrPacket<'_>> for ServerError {
    fn from(err: ErrPacket<'_>) -> Self {
        ServerError {
            code: err.code,
            sqlstate: err.sqlstate,
            message: err.message.to_vec(),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.packet().fmt(f)
    }
}

impl fmt::Debug for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerError({self})")
    }
}

/// What was waited for when the time for connecting was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectStage {
    /// The resolver: the name server is in trouble.
    Resolving,
    /// The connection: packets are dropped, or the host is gone.
    Connecting,
    /// The greeting: the kernel accepted, the server process hangs or is stopped.
    Greeting,
}

impl fmt::Display for ConnectStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConnectStage::Resolving => "the host name was not resolved",
            ConnectStage::Connecting => "the host did not accept the connection",
            ConnectStage::Greeting => {
                "the connection was accepted, but the server sent no greeting"
            }
        })
    }
}

/// Why no server greeted.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The connection failed or was lost before the greeting.
    #[error("{0}: {1}")]
    Io(LossKind, #[source] io::Error),
    /// The time was over.
    #[error("{stage} within {after:?}")]
    Timeout {
        /// What was waited for.
        stage: ConnectStage,
        /// The limit, [`Target::connect_timeout`](crate::Target::connect_timeout).
        after: Duration,
    },
    /// The server sent an ERR instead of a greeting: 1040 too many connections, 1129 host blocked, 1130 host not
    /// allowed.
    #[error("the server refused the connection: {0}")]
    Refused(#[source] ServerError),
    /// What listens there does not speak the protocol.
    #[error("{0}")]
    Nonsense(String),
}

impl ConnectError {
    pub(crate) fn io(error: io::Error) -> Self {
        ConnectError::Io(LossKind::of(&error), error)
    }
}

/// Why a login failed. The connection is closed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The server said no: 1045 wrong password, 1049 no such database, 1862 password expired, …
    #[error("the server refused the login: {0}")]
    Refused(#[source] ServerError),
    /// The connection was lost.
    #[error("{0} during the login: {1}")]
    Lost(LossKind, #[source] io::Error),
    /// The account needs an authentication plugin that is not known here.
    #[error("the account uses the authentication plugin {0}, which Steadfast cannot answer")]
    UnsupportedPlugin(String),
    /// The account's plugin sends the password as it is, and the connection would let others read it.
    #[error("the account uses the authentication plugin {0}, which needs TLS or a Unix socket")]
    InsecurePlugin(String),
    /// TLS could not be used.
    #[error("{0}")]
    Tls(#[source] TlsError),
    /// The server does not keep to the protocol.
    #[error("{0}")]
    Nonsense(String),
    /// The login cannot be written, for example a user name with a NUL inside.
    #[error("{0}")]
    Invalid(String),
}

/// Why a hidden command failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The server answered with an error; the connection is in order, unless [`ServerError::ends_connection`].
    #[error("the server answered {0}")]
    Server(#[source] ServerError),
    /// The connection was lost.
    #[error("{0}: {1}")]
    Lost(LossKind, #[source] io::Error),
    /// The rows of the answer are larger than [`MAX_RESULT`](crate::MAX_RESULT) bytes: nothing of it is kept. It is read to
    /// its end, and the connection is in order.
    #[error("the answer is larger than {0} bytes")]
    Dropped(usize),
    /// The answer is larger than this many bytes even to be read and dropped; its rest is unread, the connection is of no
    /// more use.
    #[error("the answer is larger than {0} bytes, and its end is not in sight")]
    TooLarge(usize),
    /// The server does not keep to the protocol; the connection is of no more use.
    #[error("{0}")]
    Nonsense(String),
}

impl LoginError {
    pub(crate) fn lost(error: io::Error) -> Self {
        LoginError::Lost(LossKind::of(&error), error)
    }

    pub(crate) fn tls(error: TlsError) -> Self {
        match error {
            TlsError::Lost(error) => LoginError::lost(error),
            other => LoginError::Tls(other),
        }
    }

    /// What the codec says: a login that cannot be written is the caller's, all else is the server's.
    pub(crate) fn codec(error: steadfast_wire::Error) -> Self {
        match error {
            steadfast_wire::Error::Unrepresentable { .. }
            | steadfast_wire::Error::Misused { .. } => LoginError::Invalid(error.to_string()),
            other => LoginError::Nonsense(other.to_string()),
        }
    }
}

impl QueryError {
    pub(crate) fn lost(error: io::Error) -> Self {
        QueryError::Lost(LossKind::of(&error), error)
    }
}
