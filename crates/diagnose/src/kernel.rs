//! The kernel's log, line by line: what it tells about lost connections.

/// A line that tells something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KernelEvent {
    /// The line, at most [`crate::log::MAX_LINE`] bytes.
    pub line: String,
    /// What it tells.
    pub kind: KernelKind,
}

/// What a line of the kernel's log tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KernelKind {
    /// It killed the server's process because memory had run out.
    OomKill {
        /// It was a server's: `mysqld`, `mariadbd`.
        server: bool,
    },
    /// A server's process was ended by a fault of its own.
    Fault,
    /// A disk or its file system failed.
    DiskError,
    /// The table of connections that the firewall tracks is full.
    ConntrackFull,
    /// TCP's own memory had run out.
    TcpMemory,
    /// A network link went down.
    LinkDown,
}
