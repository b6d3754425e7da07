//! The server's error log, line by line: what it tells about lost connections.

/// A line, or a few that belong together, that tells something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogEvent {
    /// Its time, as it was written; empty: it has none.
    pub at: String,
    /// The line, without its time, at most [`MAX_LINE`] bytes.
    pub line: String,
    /// What it tells.
    pub kind: LogKind,
}

/// Bytes of a line that are kept.
pub const MAX_LINE: usize = 400;

/// What a line of the error log tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogKind {
    /// `Aborted connection N …`.
    Aborted {
        /// The server's id of the connection.
        thread: u64,
        /// Why.
        why: Aborted,
    },
    /// `A connection from … was closed by the server due to a timeout` (MySQL 8.4 and later).
    ClosedByTimeout,
    /// A shutdown was asked for.
    ShutdownAsked,
    /// The server's last word in a shutdown.
    ShutDown,
    /// The server began.
    Started,
    /// The server takes connections.
    Ready,
    /// `got signal N`.
    Signal(u8),
    /// An assertion failed.
    Assertion,
    /// The server had not been shut down: it recovers.
    Recovers,
    /// Memory was refused.
    OutOfMemory,
    /// A disk was full.
    DiskFull,
    /// Stored data is damaged, or could not be read.
    Corruption,
    /// A thread has waited for a lock inside the server for minutes.
    LongWait,
    /// No connection was free.
    TooManyConnections,
    /// A host was blocked.
    HostBlocked,
    /// No file could be opened any more.
    OpenFiles,
    /// A connection used more memory than it may.
    MemoryLimit,
    /// The server was made read-only, left its group, or is no primary any more.
    Demoted,
    /// The service manager says that the process was killed with SIGKILL.
    KilledBySignal9,
    /// The service manager, or the container's, says that the kernel killed it for memory.
    OomKilled,
}

/// Why the log says that a connection was aborted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Aborted {
    /// `Got timeout reading communication packets`.
    TimeoutReading,
    /// `Got timeout writing communication packets`.
    TimeoutWriting,
    /// `Got an error reading communication packets`.
    ErrorReading,
    /// `Got an error writing communication packets`.
    ErrorWriting,
    /// `Got a packet bigger than 'max_allowed_packet' bytes`.
    PacketTooLarge,
    /// `The client was disconnected by the server because of inactivity.`
    Inactivity,
    /// `KILLED`.
    Killed,
    /// `This connection closed normally without authentication`, and a user of that name.
    Unauthenticated,
    /// `This connection closed normally`.
    Normally,
    /// Something else.
    Other,
}
