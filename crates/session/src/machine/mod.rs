//! The machine: `step(event) -> actions`. It decides what becomes of a session when its server connection is
//! lost, and nothing else does.
//!
//! One event per command and one per end of a response. The driver owns sockets, bytes and time; it carries
//! out the actions in order and reports what came of them.
//!
//! ```text
//!            Command            Response
//!   Idle ──────────────▶ Running ─────────▶ Idle        (ERR inside a transaction: Probing, then Idle)
//!    │ Lost, in a transaction   │ Lost, may run again
//!    ▼                          ▼
//!   Attaching ──Attached──▶ Replaying ──last entry equal──▶ Running or Idle
//!    │ Refused                  │ unequal
//!    ▼                          ▼
//!   the contract's error: told at once to a command in flight, else to the next one
//! ```
//!
//! With the ledger, what commits a transaction that has written is recorded, and its loss leaves no doubt:
//!
//! ```text
//!            COMMIT, or a write        Committed
//!   Running or Idle ──────▶ Committing ─────────▶ Idle
//!                               │ Lost
//!                               ▼
//!                           Resolving ──Committed──▶ Idle: the client has its OK
//!                               │ NotCommitted
//!                               ▼
//!                           Attaching: the journal is replayed, the write runs again
//! ```
//!
//! Before Running, a command that asks for LAST_INSERT_ID() after a loss is in Proving where it is not certain that the
//! new connection gives the same.
//!
//! `words` has the events and actions, `run` the way of a command, `commit` what is recorded, `lost` what a loss comes
//! to, `recover` the way back.

mod commit;
mod lost;
mod recover;
mod run;
mod words;

use crate::contract::Failure;
use crate::statement::{Boundary, Held, Observes};
use crate::transaction::{Handle, Transaction};

pub use words::{
    Action, Actions, Attachment, Catalogue, Command, Event, Flight, Limits, Recording, Refusal,
    Response, Status, Target,
};

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Phase {
    /// No command in flight.
    Idle,
    /// A server connection has been asked for.
    Attaching {
        flight: Option<Flight>,
        replay: bool,
    },
    /// The journal is being replayed; `at` is the entry that runs, `None` the opening of a chained transaction.
    Replaying {
        flight: Option<Flight>,
        at: Option<u32>,
    },
    /// A command runs for the client.
    Running(Flight),
    /// What `flight` commits is being committed. `answer`: that of a write, held back.
    Committing {
        flight: Flight,
        answer: Option<Response>,
        recorded: bool,
    },
    /// It is found out what became of a recorded COMMIT. `killed`: somebody killed it, so it is not to run again.
    Resolving {
        flight: Flight,
        answer: Option<Response>,
        killed: bool,
    },
    /// It is found out whether the new connection gives the LAST_INSERT_ID() that `flight` asks for.
    Proving(Flight),
    /// A hidden command that changes nothing runs: the ERR of `flight` did not say whether the transaction lives.
    Probing { flight: Flight, response: Response },
}

/// What the client must be told before it can go on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Debt {
    /// Once, to the next command: the transaction was rolled back while no command was in flight.
    Once(Failure),
    /// To every command until ROLLBACK or a reset: a transaction was lost that must not half-commit.
    UntilRollback(Failure),
    /// To COMMIT until ROLLBACK, BEGIN or a reset: the client has been told 1213, so its transaction is over and
    /// statements stand for themselves, as after a native 1213; but a COMMIT now means the transaction that is gone.
    UntilBegin(Failure),
    /// To every command until a reset: a lock or a temporary table is gone.
    UntilReset(Failure),
}

/// What is known of LAST_INSERT_ID(), which servers do not track (tried on MySQL 9.7.4 and MariaDB 10.11.19 with
/// `session_track_system_variables`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum InsertId {
    /// It is what an OK last told, or was at the login.
    Known,
    /// The OK of this INSERT told an id: it is that, if the id was drawn from a counter, and not given.
    Told(Handle),
    /// A statement may have set it that does not tell: one that failed, or LAST_INSERT_ID(expr) in a SELECT.
    Unknown,
}

/// One client's session, whatever server connection it has.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Session {
    limits: Limits,
    phase: Phase,
    attached: bool,
    autocommit: bool,
    transaction: Transaction,
    held: Held,
    debt: Option<Debt>,
    /// What went with the last lost connection and has not been made anew.
    stale: Observes,
    insert_id: InsertId,
    /// The same when the open transaction began: where its replay begins.
    insert_id_at_start: InsertId,
    /// A statement of the last replay has found LAST_INSERT_ID() to be what it was.
    insert_id_replayed: bool,
    /// How often the open transaction has been replayed.
    replays: u8,
}

impl Session {
    /// A session that has just logged in and owns a server connection.
    pub fn new(limits: Limits, status: Status) -> Self {
        Self {
            limits,
            phase: Phase::Idle,
            attached: true,
            autocommit: status.autocommit,
            transaction: Transaction::default(),
            held: Held::empty(),
            debt: None,
            stale: Observes::empty(),
            insert_id: InsertId::Known,
            insert_id_at_start: InsertId::Known,
            insert_id_replayed: false,
            replays: 0,
        }
    }

    /// The open transaction.
    pub fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// What the session holds that another connection cannot be given.
    pub fn held(&self) -> Held {
        self.held
    }

    /// Whether no command is in flight and nothing is being recovered.
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// Whether it has a server connection, as far as it knows.
    pub fn is_attached(&self) -> bool {
        self.attached
    }

    /// Whether autocommit is on.
    pub fn autocommit(&self) -> bool {
        self.autocommit
    }

    /// Whether the next command is told of a loss, whatever it is.
    pub fn owes_a_loss(&self) -> bool {
        matches!(
            self.debt,
            Some(Debt::Once(_) | Debt::UntilRollback(_) | Debt::UntilReset(_))
        )
    }

    /// What is known of LAST_INSERT_ID() as it was when the open transaction began. Where it is not certain, no
    /// statement of a replay may ask for it before another has set it: it might write it down.
    pub fn insert_id_at_start(&self) -> InsertId {
        self.insert_id_at_start
    }

    /// Whether the open transaction is being replayed.
    pub fn is_replaying(&self) -> bool {
        matches!(self.phase, Phase::Replaying { .. })
    }

    /// Whether its server connection could be given back without the client's noticing: idle, no transaction,
    /// nothing held, nothing that the next statement may ask about.
    pub fn is_detachable(&self) -> bool {
        self.is_idle() && !self.transaction.is_open() && self.held.is_empty() && self.debt.is_none()
    }

    /// The driver has given the server connection back ([`Session::is_detachable`]).
    pub fn detached(&mut self) {
        debug_assert!(self.is_detachable());
        self.attached = false;
        self.stale = self.gone_with_connection();
    }

    /// What a new connection cannot be given of the statement before.
    fn gone_with_connection(&self) -> Observes {
        let mut gone = Observes::all();
        gone.set(Observes::LAST_INSERT_ID, self.insert_id != InsertId::Known);
        gone
    }

    /// Takes an event; gives what to do.
    pub fn step(&mut self, event: Event) -> Actions {
        let mut actions = Actions::default();
        match event {
            Event::Command(command) => self.command(command, &mut actions),
            Event::Attached(catalogue) => self.attached(catalogue, &mut actions),
            Event::Refused(refusal) => self.refused(refusal, &mut actions),
            Event::Response(response) => self.response(response, &mut actions),
            Event::GuardRefused => self.guard_refused(&mut actions),
            Event::RanTwice => self.ran_twice(&mut actions),
            Event::PartDiffers => self.part_differs(&mut actions),
            Event::CursorGone => self.cursor_gone(&mut actions),
            Event::NotBegun => self.not_begun(),
            Event::Committed(response) => self.committed(response, &mut actions),
            Event::Unrecorded { plainly } => self.unrecorded(plainly, &mut actions),
            Event::CommitFailed(error) => self.commit_failed(error, &mut actions),
            Event::Resolved(verdict) => self.resolved(verdict, &mut actions),
            Event::Lost(loss) => self.lost(loss, &mut actions),
            Event::Interrupted => self.interrupted(&mut actions),
            Event::Killed => self.killed_resolving(),
            Event::ReplayTimeout => self.replay_timeout(&mut actions),
            Event::InsertIdProved(proved) => self.insert_id_proved(proved, &mut actions),
            Event::Released(held) => self.held.remove(held),
            Event::Holds(held) => self.held.insert(held),
        }
        actions
    }

    /// Whether a command of this boundary commits the open transaction, or may. `SET autocommit=1` commits only where it
    /// was off.
    fn commits(&self, boundary: Boundary) -> bool {
        let switches = boundary != Boundary::AutocommitOn || !self.autocommit;
        self.transaction.is_open() && boundary.may_commit() && switches
    }

    /// Whether what a command did would be undone by the loss of its connection: it ran in a transaction that
    /// had not been committed.
    fn in_scope(&self) -> bool {
        self.transaction.is_open() || !self.autocommit
    }
}
