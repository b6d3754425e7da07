//! One type for a lost server connection, used everywhere.

/// How much of the command in flight had been handed to the kernel when the connection was lost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sent {
    /// Not one byte: the server cannot have acted on it.
    Nothing,
    /// Some or all of it: the server may have acted on it. A server acts on a command only when it has all of
    /// it, but bytes in the kernel's send buffer may arrive after the loss was seen, so a part counts as all
    /// unless the rest was never written; that case is [`Sent::Part`].
    All,
    /// A part, and the rest will never be written: the server cannot act on half a packet.
    Part,
}

/// How the connection ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum End {
    /// The server's side closed in order (FIN).
    Fin,
    /// The server's side, or something between, reset the connection (RST).
    Rst,
    /// Unacknowledged data or keepalive probes ran into their limit, or the health check found the server dead.
    Silence,
    /// The server said that it is ending the connection: the error code (1053, 1927, 4031, 1159…).
    Said(u16),
    /// The server's bytes made no sense.
    Nonsense,
}

/// What is known of a lost server connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Loss {
    /// How it ended.
    pub end: End,
    /// How much of the command in flight had been sent; [`Sent::Nothing`] when none was in flight.
    pub sent: Sent,
    /// Bytes of the response that the client has been given.
    pub delivered: u64,
    /// Somebody killed it: a bare FIN from the same server in the same boot, while `Com_kill` moved by more
    /// than Steadfast's own and relayed KILLs.
    pub killed: bool,
}

impl Loss {
    /// Whether the server may have acted on the command in flight.
    pub fn may_have_run(&self) -> bool {
        match self.sent {
            Sent::Nothing | Sent::Part => false,
            Sent::All => true,
        }
    }
}
