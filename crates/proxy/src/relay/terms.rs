//! What a relay is told before a response, and what it tells after it.

use steadfast_wire::capability::StatusFlags;
use steadfast_wire::response::PrepareOk;
use steadfast_wire::walk::Expect;

/// How the response to come is treated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Order {
    /// What the command is answered with.
    pub(crate) expect: Expect,
    /// Sequence id of the first packet to the client.
    pub(crate) client_sequence: u8,
    /// Sequence id that the server's first packet must have.
    pub(crate) server_sequence: u8,
    /// Nothing goes to the client.
    pub(crate) hidden: bool,
    /// The command runs inside a hidden read-only transaction: its traces in the status flags are removed, and ERR
    /// 1792 is not passed on.
    pub(crate) guarded: bool,
    /// A BEGIN goes before the command, and its answer is taken off by who reads the bytes. The traces of the transaction
    /// in the status flags and the session state are removed.
    pub(crate) within: bool,
    /// It is a recorded COMMIT, and the client is told what a COMMIT tells.
    pub(crate) commits: bool,
    /// The statement id that the client is to be told for COM_STMT_PREPARE.
    pub(crate) statement_id: u32,
    /// What the client has been given of this response before.
    pub(crate) delivered: Option<Mark>,
}

impl Order {
    /// A text or an execution that is run for its client as it is, for the first time.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.expect, Expect::Query | Expect::Execute)
            && !(self.hidden || self.guarded || self.within || self.commits)
            && self.delivered.is_none()
    }

    /// Of a command of which the client sees nothing.
    pub(crate) fn hidden(expect: Expect) -> Self {
        Self {
            expect,
            client_sequence: 0,
            server_sequence: 0,
            hidden: true,
            guarded: false,
            within: false,
            commits: false,
            statement_id: 0,
            delivered: None,
        }
    }
}

/// A point in a response up to which it was delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    /// Bytes given to the client.
    pub(super) bytes: u64,
    /// Digest of the server's packets that made them.
    pub(super) digest: u64,
    /// The point is inside a packet.
    pub(super) inside_packet: bool,
    /// The sequence id that is due next to the client.
    pub(super) sequence: u8,
}

impl Mark {
    /// Whether the client has the beginning of a packet whose rest is missing: no ERR can be sent there.
    pub(crate) fn is_inside_packet(&self) -> bool {
        self.inside_packet
    }

    /// Bytes given to the client.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// How a response ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ended {
    /// Status flags of its last OK or EOF; `None` after ERR and where the response has none.
    pub(crate) status: Option<StatusFlags>,
    /// Error code, or 0.
    pub(crate) error: u16,
    /// SQLSTATE of the error.
    pub(crate) sqlstate: Option<[u8; 5]>,
    /// Digest of the whole response; of one to a text or an execution, where a transaction is open behind it.
    pub(crate) digest: u64,
    /// Insert id of its last OK.
    pub(crate) insert_id: u64,
    /// Affected rows of its last OK; 0 for a recorded COMMIT.
    pub(crate) affected_rows: u64,
    /// Warnings of its last OK or EOF.
    pub(crate) warnings: u16,
    /// Rows of all its results; `None`: it had none.
    pub(crate) rows: Option<u64>,
    /// The prepared statement, after COM_STMT_PREPARE.
    pub(crate) prepared: Option<PrepareOk>,
}

/// What [`Relay::feed`] came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fed {
    /// More bytes of the server are needed.
    More,
    /// The response has ended.
    Ended(Ended),
    /// The server waits for the client's file: relay the client's packets up to an empty one, tell
    /// [`Relay::file_sent`], and go on.
    WantsFile,
    /// ERR 1792 under the guard: the read writes.
    GuardRefused,
    /// The server said that it is ending the connection, with this error code; the ERR was not passed on.
    Goodbye(u16),
    /// The result does not begin with what was delivered before.
    PartDiffers,
}
