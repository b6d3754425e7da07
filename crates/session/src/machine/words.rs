//! What goes into the machine and what comes out of it.

use crate::contract::{Failure, Reason};
use crate::ledger::Verdict;
use crate::loss::Loss;
use crate::statement::{Boundary, Held, Statement};
use crate::transaction::{Handle, Pins};

/// Limits of one session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Limits {
    /// Bytes of commands in the journal of one transaction.
    pub journal_bytes: u64,
    /// Commands in the journal of one transaction.
    pub journal_commands: u32,
    /// How often one command may be sent before the client is told: a statement may be what ends the server. A
    /// transaction may be replayed four times as often, because each of its statements may meet a loss.
    pub attempts: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            journal_bytes: 16 << 20,
            journal_commands: 10_000,
            attempts: 4,
        }
    }
}

/// A command from the client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Command {
    /// Where the driver keeps it.
    pub handle: Handle,
    /// What it is.
    pub statement: Statement,
    /// Its length in bytes, as kept for a replay.
    pub bytes: u64,
    /// The server's clock when it arrived, microseconds since 1970; `None` when the client has frozen the
    /// session's clock itself, so that nothing is to be pinned.
    pub clock: Option<u64>,
    /// Random bits for the seeds of RAND().
    pub random: u64,
    /// What it commits is to be recorded in the ledger.
    pub ledger: bool,
}

/// What the status flags at the end of a response said.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Status {
    /// SERVER_STATUS_IN_TRANS.
    pub in_transaction: bool,
    /// SERVER_STATUS_AUTOCOMMIT.
    pub autocommit: bool,
}

/// The end of a response.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Response {
    /// The status flags; `None` after an ERR, which has none.
    pub status: Option<Status>,
    /// The error code of an ERR, else 0.
    pub error: u16,
    /// Digest of the whole response.
    pub digest: u64,
    /// The insert id of its OK, else 0.
    pub insert_id: u64,
    /// The transaction has written, or may have (the servers' transaction state tracker).
    pub wrote: bool,
    /// The transaction has written non-transactional tables (the same).
    pub non_transactional: bool,
    /// How many completions of all sessions came before; any number where nothing of it can be replayed.
    pub order: u64,
}

/// What is known of the tables on the server at the time of an attachment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Catalogue {
    /// The command in flight may write tables of engines without transactions, or it is not known that it does not.
    pub command: bool,
    /// The same for a command of the journal.
    pub journal: bool,
}

/// Why no server connection could be had.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Refusal(pub Reason);

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Event {
    /// The client sent a command that has a response.
    Command(Command),
    /// The attachment asked for is there: logged in, state restored, the old connection gone.
    Attached(Catalogue),
    /// It could not be had within the limits.
    Refused(Refusal),
    /// The response to what was sent last has ended.
    Response(Response),
    /// A guarded re-run was refused by the server (1792): the read writes.
    GuardRefused,
    /// A command that may have run before has written tables without transactions when it was run again; its answer
    /// has been held back.
    RanTwice,
    /// The result of a re-run does not begin with what the client was given of the first run.
    PartDiffers,
    /// What the command would fetch from was lost with its connection; it was not sent.
    CursorGone,
    /// The hidden transaction of a write could not be begun: the write runs by itself, and must not run again. Its
    /// connection is lost before its answer is known.
    NotBegun,
    /// What was to be committed is committed.
    Committed(Response),
    /// The ledger cannot be used, and nothing has happened: the transaction is as it was. `plainly`: it may be committed
    /// without it.
    Unrecorded {
        /// See above.
        plainly: bool,
    },
    /// A recorded COMMIT was answered with this error: what became of it is not known.
    CommitFailed(u16),
    /// What became of it.
    Resolved(Verdict),
    /// The server connection is lost.
    Lost(Loss),
    /// KILL QUERY for this client, while its command is held or replayed.
    Interrupted,
    /// KILL for this client, while it is found out what became of its COMMIT.
    Killed,
    /// The replay ran over its time limit.
    ReplayTimeout,
    /// Whether LAST_INSERT_ID() is on the new connection what it was on the lost one: the answer to
    /// [`Action::ProveInsertId`], and before a replayed statement that asks for it, where that was found out.
    InsertIdProved(bool),
    /// The server has told that the session holds nothing of this any more. Not while a command is in flight that
    /// takes such a thing.
    Released(Held),
    /// The server has told that the session holds this, whatever took it.
    Holds(Held),
}

/// What state a new server connection is to be given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    /// As it is now.
    Now,
    /// As it was when the open transaction began; the journal brings it to now.
    TransactionStart,
}

/// A server connection that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Attachment {
    /// The state to restore.
    pub target: Target,
    /// The journal of an open transaction will be replayed: goes before other sessions' statements.
    pub replay: bool,
    /// What is known of tables is needed, because a statement that wrote may run again.
    pub catalogue: bool,
}

/// How what a command commits is recorded in the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Recording {
    /// It is not.
    #[default]
    No,
    /// The command is a COMMIT of the open transaction: it goes as a recorded one.
    Commit,
    /// The command commits the open transaction before it does something else: a recorded COMMIT goes before it.
    Before,
    /// It writes outside a transaction: it runs in a hidden one, whose COMMIT is recorded before it is answered.
    Write,
}

/// A command on its way to its answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flight {
    /// The command.
    pub handle: Handle,
    /// What it is.
    pub statement: Statement,
    /// Its length in bytes.
    pub bytes: u64,
    /// What it is given before it runs.
    pub pins: Pins,
    /// The server may have got it once.
    pub may_have_run: bool,
    /// It runs inside `START TRANSACTION READ ONLY`, hidden from the client.
    pub guarded: bool,
    /// The client has been given the beginning of its result.
    pub part_delivered: bool,
    /// How often it was sent before.
    pub tries: u8,
    /// What it commits is to be recorded.
    pub ledger: bool,
    /// How it is, as it was sent last.
    pub recording: Recording,
    /// The transaction that it was to commit first is committed ([`Recording::Before`]).
    pub committed: bool,
}

impl Flight {
    /// Whether its COMMIT begins another transaction.
    pub fn chains(&self) -> bool {
        self.recording == Recording::Commit && self.statement.boundary == Boundary::CommitAndChain
    }
}

/// What the driver is to do, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Get a server connection; answer with [`Event::Attached`] or [`Event::Refused`].
    Attach(Attachment),
    /// Run the command for the client; answer with [`Event::Response`], [`Event::GuardRefused`], [`Event::RanTwice`],
    /// [`Event::PartDiffers`], [`Event::CursorGone`] or [`Event::Lost`]. [`Recording::Write`]: begin a transaction before it; hold its answer
    /// back if it succeeds, else roll back before the client has its answer.
    Send(Flight),
    /// Commit the open transaction, with a mark in the ledger that no COMMIT had before or without; answer with
    /// [`Event::Committed`], [`Event::Unrecorded`], [`Event::CommitFailed`] or [`Event::Lost`]. Nothing else may be on
    /// its way. [`Recording::Commit`]: the client has its answer if it is committed.
    Commit {
        /// What is to be answered.
        flight: Flight,
        /// With a mark.
        recorded: bool,
    },
    /// Find out what became of the mark that was sent last: see the connection that it was sent on gone, fence its lane;
    /// answer with [`Event::Resolved`].
    Resolve,
    /// What the command was to commit is committed: give the client its answer, the one that was held back or an OK.
    Acknowledge(Flight),
    /// Set the characteristics of the chained transaction, begin it, then answer with [`Event::Response`]
    /// (its digest does not matter).
    ReplayOpening,
    /// Run this entry of the journal, hidden; answer with [`Event::Response`] or [`Event::Lost`].
    Replay(u32),
    /// The journal has been replayed: take the pins off again (before anything else is sent).
    EndReplay,
    /// Ask with a hidden command that changes nothing whether the transaction lives; answer with [`Event::Response`].
    Probe,
    /// Find out whether LAST_INSERT_ID() is what it was: answer with [`Event::InsertIdProved`]. The handle is that of
    /// the INSERT whose OK told the id last, if that is what is uncertain.
    ProveInsertId(Option<Handle>),
    /// Give the client this ERR.
    Fail(Failure),
    /// KILL QUERY: give the client this ERR for the command in flight. The session goes on coming back.
    EndHeld(Failure),
    /// The same for the command that has come since, if one has: the client waits for it.
    EndWaiting(Failure),
    /// Give the client an OK for its ROLLBACK.
    AcknowledgeRollback,
    /// End the server connection: whatever is open on it must roll back.
    Discard,
    /// A transaction has been opened by the command that just ended: keep the session state of before it.
    Opened,
    /// A transaction has been opened by the end of another: keep the session state of now.
    OpenedChained,
    /// The open transaction is lost, or one that the client may believe in: keep the session state of now with what
    /// began it, because ROLLBACK AND CHAIN would begin another like it.
    KeepOpening,
    /// The command that just ended belongs to the journal: keep it.
    Keep(Handle),
    /// No transaction is open any more: forget the journal's commands.
    Settled,
}

/// A short list of actions, in the order in which to do them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Actions {
    list: [Option<Action>; 5],
    len: usize,
}

impl Actions {
    pub(super) fn push(&mut self, action: Action) {
        debug_assert!(self.len < self.list.len(), "no step needs more actions");
        if let Some(slot) = self.list.get_mut(self.len) {
            *slot = Some(action);
            self.len += 1;
        }
    }

    /// The actions, in order.
    pub fn iter(&self) -> impl Iterator<Item = Action> {
        self.list.iter().take(self.len).flatten().copied()
    }
}
