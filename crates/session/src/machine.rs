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

use crate::contract::{Failure, FailureKind, Reason};
use crate::loss::Loss;
use crate::statement::{Boundary, Held, Observes, PinUse, Safety, Statement};
use crate::transaction::{Entry, Handle, Pins, Transaction};

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
    /// The transaction has written non-transactional tables (the servers' transaction state tracker).
    pub non_transactional: bool,
    /// How many completions of all sessions came before.
    pub order: u64,
}

/// What is known of the tables on the server at the time of an attachment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Catalogue {
    /// There are tables of engines without transactions, or it is not known that there are none.
    pub non_transactional_tables: bool,
    /// There are stored functions, or it is not known that there are none.
    pub functions: bool,
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
    /// The result of a re-run does not begin with what the client was given of the first run.
    PartDiffers,
    /// The server connection is lost.
    Lost(Loss),
    /// KILL QUERY for this client, while its command is held or replayed.
    Interrupted,
    /// The replay ran over its time limit.
    ReplayTimeout,
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
}

/// What the driver is to do, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Get a server connection; answer with [`Event::Attached`] or [`Event::Refused`].
    Attach(Attachment),
    /// Run the command for the client; answer with [`Event::Response`], [`Event::GuardRefused`],
    /// [`Event::PartDiffers`] or [`Event::Lost`].
    Send(Flight),
    /// Set the characteristics of the chained transaction, begin it, then answer with [`Event::Response`]
    /// (its digest does not matter).
    ReplayOpening,
    /// Run this entry of the journal, hidden; answer with [`Event::Response`] or [`Event::Lost`].
    Replay(u32),
    /// The journal has been replayed: take the pins off again (before anything else is sent).
    EndReplay,
    /// Ask with a hidden COM_PING whether the transaction lives; answer with [`Event::Response`].
    Probe,
    /// Give the client this ERR.
    Fail(Failure),
    /// Give the client an OK for its ROLLBACK.
    AcknowledgeRollback,
    /// End the server connection: whatever is open on it must roll back.
    Discard,
    /// A transaction has been opened by the command that just ended: keep the session state of before it.
    Opened,
    /// A transaction has been opened by the end of another: keep the session state of now.
    OpenedChained,
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
    fn push(&mut self, action: Action) {
        debug_assert!(self.len < self.list.len(), "no step needs more actions");
        if let Some(slot) = self.list.get_mut(self.len) {
            *slot = Some(action);
            self.len += 1;
        }
    }

    /// The actions, in order.
    pub fn iter(&self) -> impl Iterator<Item = Action> + use<> {
        self.list.into_iter().flatten()
    }
}

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
    /// A hidden COM_PING runs: the ERR of `flight` did not say whether the transaction lives.
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
    /// LAST_INSERT_ID() may not be what the last OK said: a row with an explicit id reports that id, too.
    insert_id_uncertain: bool,
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
            insert_id_uncertain: false,
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
        gone.set(Observes::LAST_INSERT_ID, self.insert_id_uncertain);
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
            Event::PartDiffers => self.part_differs(&mut actions),
            Event::Lost(loss) => self.lost(loss, &mut actions),
            Event::Interrupted => self.interrupted(&mut actions),
            Event::ReplayTimeout => self.replay_timeout(&mut actions),
        }
        actions
    }

    /// Whether what a command did would be undone by the loss of its connection: it ran in a transaction that
    /// had not been committed.
    fn in_scope(&self) -> bool {
        self.transaction.is_open() || !self.autocommit
    }

    fn command(&mut self, command: Command, actions: &mut Actions) {
        let statement = command.statement;
        let resets = statement.boundary == Boundary::Reset;
        let rolls_back = statement.boundary == Boundary::Rollback;
        if let Some(debt) = self.debt {
            if resets {
                self.debt = None;
            } else if rolls_back && !matches!(debt, Debt::UntilReset(_)) {
                self.debt = None;
                actions.push(Action::AcknowledgeRollback);
                return;
            } else if let Some(failure) = self.owed(debt, statement) {
                actions.push(Action::Fail(failure));
                return;
            }
        }
        if self.stale.intersects(statement.observes) {
            // Nothing of it runs: the answer that the old connection would have given is gone.
            let failure = Failure::new(FailureKind::RolledBack, Reason::Diagnostics);
            self.stale.remove(statement.observes);
            if self.transaction.is_open() {
                self.transaction.close();
                self.drop_connection(actions);
                actions.push(Action::Settled);
                self.debt = self.after_rollback_was_told(failure);
            }
            actions.push(Action::Fail(failure));
            return;
        }
        let mut flight = Flight {
            handle: command.handle,
            statement,
            bytes: command.bytes,
            pins: Pins::default(),
            may_have_run: false,
            guarded: false,
            part_delivered: false,
            tries: 0,
        };
        if let Some(clock) = command.clock {
            flight.pins = self.pins_for(statement, clock, command.random);
        }
        self.go(flight, actions);
    }

    /// What the command is told instead of being run, if anything.
    fn owed(&mut self, debt: Debt, statement: Statement) -> Option<Failure> {
        match debt {
            Debt::Once(failure) => {
                self.debt = self.after_rollback_was_told(failure);
                Some(failure)
            }
            Debt::UntilRollback(failure) | Debt::UntilReset(failure) => Some(failure),
            Debt::UntilBegin(failure) => {
                if matches!(
                    statement.boundary,
                    Boundary::Begin | Boundary::AutocommitOff
                ) {
                    self.debt = None;
                    return None;
                }
                matches!(
                    statement.boundary,
                    Boundary::Commit | Boundary::CommitAndMore
                )
                .then_some(failure)
            }
        }
    }

    /// The client has been told 1213. With autocommit off, its next statement begins a transaction, as after
    /// a native 1213, and a retry cannot be told from going on.
    fn after_rollback_was_told(&self, failure: Failure) -> Option<Debt> {
        self.autocommit.then_some(Debt::UntilBegin(failure))
    }

    /// What a statement is given so that it comes out the same in a replay. Only inside a transaction is there
    /// a replay.
    fn pins_for(&self, statement: Statement, clock: u64, random: u64) -> Pins {
        if !self.in_scope() {
            return Pins::default();
        }
        let uses = statement.pins;
        Pins {
            timestamp: uses.contains(PinUse::NOW).then_some(clock),
            seeds: uses
                .contains(PinUse::RAND)
                // The servers' seeds are below 2^30 (Item_func_rand, both).
                .then_some((
                    (random as u32) & 0x3fff_ffff,
                    ((random >> 32) as u32) & 0x3fff_ffff,
                )),
            write_time: uses.contains(PinUse::WRITE_TIME).then_some(clock),
        }
    }

    /// Sends the command if there is a connection, else asks for one.
    fn go(&mut self, flight: Flight, actions: &mut Actions) {
        if self.attached {
            self.phase = Phase::Running(flight);
            actions.push(Action::Send(flight));
        } else {
            self.attach(Some(flight), false, actions);
        }
    }

    fn attach(&mut self, flight: Option<Flight>, replay: bool, actions: &mut Actions) {
        let writes_again = flight.is_some_and(|flight| flight.may_have_run)
            && !matches!(
                flight.map(|flight| flight.statement.safety),
                Some(Safety::Harmless)
            );
        self.phase = Phase::Attaching { flight, replay };
        actions.push(Action::Attach(Attachment {
            target: if replay {
                Target::TransactionStart
            } else {
                Target::Now
            },
            replay,
            catalogue: replay && (writes_again || self.transaction.has_failed_write()),
        }));
    }

    fn attached(&mut self, catalogue: Catalogue, actions: &mut Actions) {
        let Phase::Attaching { flight, replay } = self.phase else {
            return;
        };
        self.attached = true;
        self.stale = self.gone_with_connection();
        if replay {
            if self.transaction.has_failed_write() && catalogue.non_transactional_tables {
                // A statement that failed may have written a part that does not roll back.
                let failure = Failure::new(FailureKind::RolledBack, Reason::NonTransactional);
                self.lose_transaction(failure, false, actions);
                return;
            }
            if let Some(flight) = flight
                && flight.may_have_run
                && catalogue.non_transactional_tables
                && (flight.statement.safety == Safety::Write
                    || (flight.statement.safety == Safety::Read && catalogue.functions))
            {
                let failure = Failure::new(FailureKind::InDoubt, Reason::NonTransactional);
                self.lose_transaction(failure, true, actions);
                return;
            }
            self.replays = self.replays.saturating_add(1);
            let at = if self.transaction.is_chained() {
                None
            } else {
                Some(0)
            };
            self.replay_at(flight, at, actions);
            return;
        }
        match flight {
            Some(flight) => {
                if self.stale.intersects(flight.statement.observes) {
                    self.stale.remove(flight.statement.observes);
                    self.phase = Phase::Idle;
                    actions.push(Action::Fail(Failure::new(
                        FailureKind::RolledBack,
                        Reason::Diagnostics,
                    )));
                    return;
                }
                self.phase = Phase::Running(flight);
                actions.push(Action::Send(flight));
            }
            None => self.phase = Phase::Idle,
        }
    }

    /// Runs entry `at` of the journal, or ends the replay when there is none.
    fn replay_at(&mut self, flight: Option<Flight>, at: Option<u32>, actions: &mut Actions) {
        let Some(index) = at else {
            self.phase = Phase::Replaying { flight, at };
            actions.push(Action::ReplayOpening);
            return;
        };
        if (index as usize) < self.transaction.entries().len() {
            self.phase = Phase::Replaying { flight, at };
            actions.push(Action::Replay(index));
            return;
        }
        if let Some(last) = self.transaction.entries().last() {
            // Hidden statements came after the last one: they have cleared its row count and its warnings.
            self.stale = remaining_stale(self.gone_with_connection(), last.statement, false)
                | Observes::ROW_COUNT
                | Observes::DIAGNOSTICS;
        }
        if self
            .transaction
            .entries()
            .iter()
            .any(|entry| entry.reported_insert_id)
        {
            // The replay has set it as the first run did.
            self.stale.remove(Observes::LAST_INSERT_ID);
        }
        if let Some(asking) = flight
            && self.stale.intersects(asking.statement.observes)
        {
            self.phase = Phase::Replaying { flight, at };
            let failure = Failure::new(FailureKind::RolledBack, Reason::Diagnostics);
            self.lose_transaction(failure, false, actions);
            return;
        }
        actions.push(Action::EndReplay);
        match flight {
            Some(flight) => {
                self.phase = Phase::Running(flight);
                actions.push(Action::Send(flight));
            }
            None => self.phase = Phase::Idle,
        }
    }

    fn refused(&mut self, refusal: Refusal, actions: &mut Actions) {
        let Phase::Attaching { flight, replay } = self.phase else {
            return;
        };
        let failure = Failure::new(FailureKind::Unavailable, refusal.0);
        if replay {
            self.lose_transaction(failure, true, actions);
        } else {
            self.phase = Phase::Idle;
            if flight.is_some() {
                actions.push(Action::Fail(failure));
            }
        }
    }

    fn response(&mut self, response: Response, actions: &mut Actions) {
        match self.phase {
            Phase::Running(flight) => self.completed(flight, response, actions),
            Phase::Probing {
                flight,
                response: first,
            } => {
                let mut known = first;
                known.status = response.status;
                known.non_transactional |= response.non_transactional;
                self.phase = Phase::Idle;
                self.settle(flight, known, actions);
            }
            Phase::Replaying { flight, at } => self.replayed(flight, at, response, actions),
            Phase::Idle | Phase::Attaching { .. } => {}
        }
    }

    /// The command in flight has its response, and the client has it too.
    fn completed(&mut self, flight: Flight, response: Response, actions: &mut Actions) {
        let uncertain = self.in_scope()
            || matches!(flight.statement.boundary, Boundary::Unknown)
            || matches!(flight.statement.safety, Safety::Never(_));
        if response.status.is_none() && uncertain {
            self.phase = Phase::Probing { flight, response };
            actions.push(Action::Probe);
            return;
        }
        self.phase = Phase::Idle;
        self.settle(flight, response, actions);
    }

    /// Brings journal, locks and flags up to date after a command.
    fn settle(&mut self, flight: Flight, response: Response, actions: &mut Actions) {
        let statement = flight.statement;
        let failed = response.error != 0;
        if statement.boundary == Boundary::Reset && !failed {
            self.held = Held::empty();
        } else {
            if !failed {
                self.held.remove(statement.releases);
            }
            // A statement that failed may have got as far as taking a lock.
            if !failed || matches!(statement.safety, Safety::Never(_)) {
                self.held.insert(statement.leaves);
            }
        }
        self.stale = remaining_stale(self.stale, statement, failed);
        if flight.guarded {
            self.stale |= Observes::ROW_COUNT | Observes::DIAGNOSTICS;
        }
        if statement.boundary == Boundary::Reset && !failed {
            self.insert_id_uncertain = false;
        } else if response.insert_id != 0
            || statement.sets_insert_id
            || statement.leaves.contains(Held::UNSEEN)
            || matches!(
                statement.safety,
                Safety::Never(Reason::MultiStatement | Reason::Call)
            )
        {
            self.stale.remove(Observes::LAST_INSERT_ID);
            self.insert_id_uncertain = true;
        }
        let was_open = self.transaction.is_open();
        let Some(status) = response.status else {
            // An ERR outside a transaction, to a statement that cannot open one.
            return;
        };
        self.autocommit = status.autocommit;
        // The transaction that a guarded re-run shows is the guard.
        if !status.in_transaction || flight.guarded {
            if was_open {
                self.transaction.close();
                self.replays = 0;
                actions.push(Action::Settled);
            }
            return;
        }
        let entry = Entry {
            command: flight.handle,
            statement,
            digest: response.digest,
            pins: flight.pins,
            insert_id: if statement.pins.contains(PinUse::INSERT_ID) && !failed {
                response.insert_id
            } else {
                0
            },
            reported_insert_id: response.insert_id != 0 || statement.sets_insert_id,
            order: response.order,
        };
        let anew = !was_open || (statement.boundary.replaces_transaction() && !failed);
        if anew {
            self.replays = 0;
            match statement.boundary {
                Boundary::CommitAndMore
                | Boundary::RollbackAndMore
                | Boundary::Commit
                | Boundary::Rollback => {
                    self.transaction.open_chained();
                    actions.push(Action::OpenedChained);
                    return;
                }
                _ => {
                    self.transaction.open();
                    actions.push(Action::Opened);
                }
            }
        }
        self.transaction.push(
            entry,
            flight.bytes,
            self.limits.journal_bytes,
            self.limits.journal_commands,
        );
        if response.non_transactional {
            self.transaction.give_up(Reason::NonTransactional);
        }
        if failed && statement.safety != Safety::Harmless {
            self.transaction.mark_failed_write();
        }
        if self.transaction.unreplayable().is_none() {
            actions.push(Action::Keep(flight.handle));
        }
    }

    fn replayed(
        &mut self,
        flight: Option<Flight>,
        at: Option<u32>,
        response: Response,
        actions: &mut Actions,
    ) {
        let Some(index) = at else {
            if response.error != 0 {
                self.mismatch(flight, actions);
            } else {
                self.replay_at(flight, Some(0), actions);
            }
            return;
        };
        let entries = self.transaction.entries();
        let equal = entries
            .get(index as usize)
            .is_some_and(|entry| entry.digest == response.digest);
        let last = index as usize + 1 == entries.len();
        let alive = response
            .status
            .is_none_or(|status| status.in_transaction || !last);
        if equal && alive {
            self.replay_at(flight, Some(index + 1), actions);
        } else {
            self.mismatch(flight, actions);
        }
    }

    fn mismatch(&mut self, flight: Option<Flight>, actions: &mut Actions) {
        let failure = Failure::new(FailureKind::RolledBack, Reason::Mismatch);
        self.phase = Phase::Replaying { flight, at: None };
        self.lose_transaction(failure, false, actions);
    }

    fn guard_refused(&mut self, actions: &mut Actions) {
        if let Phase::Running(_) = self.phase {
            self.phase = Phase::Idle;
            actions.push(Action::Fail(Failure::new(
                FailureKind::InDoubt,
                Reason::WritingRead,
            )));
        }
    }

    fn part_differs(&mut self, actions: &mut Actions) {
        if let Phase::Running(_) = self.phase {
            let failure = Failure::new(FailureKind::RolledBack, Reason::PartMismatch);
            if self.transaction.is_open() {
                self.lose_transaction(failure, false, actions);
            } else {
                self.phase = Phase::Idle;
                self.drop_connection(actions);
                actions.push(Action::Fail(failure));
            }
        }
    }

    fn interrupted(&mut self, actions: &mut Actions) {
        let killed = Failure::new(FailureKind::Killed, Reason::Killed);
        match &mut self.phase {
            Phase::Attaching { flight, .. } | Phase::Replaying { flight, .. } => {
                // As a native 1317: the statement ends, the transaction goes on. A command that may have run
                // before is in the transaction that is rolled back, or was a read.
                if flight.take().is_some() {
                    actions.push(Action::Fail(killed));
                }
            }
            Phase::Idle | Phase::Running(_) | Phase::Probing { .. } => {}
        }
    }

    fn replay_timeout(&mut self, actions: &mut Actions) {
        if let Phase::Replaying { .. } = self.phase {
            let failure = Failure::new(FailureKind::RolledBack, Reason::ReplayTime);
            self.lose_transaction(failure, false, actions);
        }
    }

    fn lost(&mut self, loss: Loss, actions: &mut Actions) {
        self.attached = false;
        match self.phase {
            Phase::Idle => self.lost_idle(None, loss, actions),
            Phase::Running(flight) => self.lost_running(flight, loss, actions),
            Phase::Probing { flight, response } => {
                // The client has its ERR. 1213 and 1020 roll everything back; after any other the transaction
                // is taken to live, and the replay proves it.
                self.phase = Phase::Idle;
                if flight.statement.boundary.may_commit() && self.transaction.is_open() {
                    // It may have committed and then failed: nobody can tell any more.
                    self.transaction.close();
                    actions.push(Action::Settled);
                    self.debt = Some(Debt::UntilRollback(Failure::new(
                        FailureKind::InDoubt,
                        Reason::Commit,
                    )));
                    return;
                }
                let rolled_back = matches!(response.error, 1213 | 1020);
                let mut known = response;
                known.status = Some(Status {
                    in_transaction: self.transaction.is_open() && !rolled_back,
                    autocommit: self.autocommit,
                });
                if flight.statement.replayable().is_err() && self.transaction.is_open() {
                    self.transaction.give_up(
                        flight
                            .statement
                            .replayable()
                            .err()
                            .unwrap_or(Reason::NotUnderstood),
                    );
                }
                self.settle(flight, known, actions);
                self.lost_idle(None, loss, actions);
            }
            Phase::Replaying { flight, .. } => {
                if self.replays >= self.limits.attempts.saturating_mul(4) {
                    let failure = Failure::new(FailureKind::RolledBack, Reason::Attempts);
                    self.lose_transaction(failure, false, actions);
                } else {
                    self.attach(flight, true, actions);
                }
            }
            Phase::Attaching { .. } => {}
        }
    }

    /// Lost with no command in flight, or with one that the server cannot have acted on.
    fn lost_idle(&mut self, flight: Option<Flight>, loss: Loss, actions: &mut Actions) {
        self.phase = Phase::Idle;
        if flight.is_some_and(|flight| flight.statement.boundary == Boundary::Reset) {
            // It would have given back all of that itself.
            self.held = Held::empty();
            if self.transaction.is_open() {
                self.transaction.close();
                actions.push(Action::Settled);
            }
        }
        if !self.held.is_empty() {
            let failure = self.lost_hold();
            self.debt = Some(Debt::UntilReset(failure));
            if self.transaction.is_open() {
                self.transaction.close();
                actions.push(Action::Settled);
            }
            if flight.is_some() {
                actions.push(Action::Fail(failure));
            }
            return;
        }
        if !self.transaction.is_open() {
            if let Some(flight) = flight {
                self.attach(Some(flight), false, actions);
            }
            return;
        }
        self.phase = Phase::Attaching {
            flight,
            replay: true,
        };
        if loss.killed {
            let failure = Failure::new(FailureKind::Killed, Reason::Killed);
            self.lose_transaction(failure, true, actions);
        } else if let Some(reason) = self.transaction.unreplayable() {
            let failure = Failure::new(FailureKind::RolledBack, reason);
            self.lose_transaction(failure, false, actions);
        } else {
            self.attach(flight, true, actions);
        }
    }

    fn lost_hold(&self) -> Failure {
        let reason = if self.held == Held::UNSEEN {
            Reason::Unseen
        } else if self
            .held
            .intersects(Held::USER_LOCK | Held::TABLE_LOCK | Held::HANDLER)
        {
            Reason::Lock
        } else if self.held.contains(Held::TEMPORARY_TABLE) {
            Reason::TemporaryTable
        } else {
            Reason::Xa
        };
        Failure::new(FailureKind::Unavailable, reason)
    }

    fn lost_running(&mut self, mut flight: Flight, loss: Loss, actions: &mut Actions) {
        flight.part_delivered |= loss.delivered > 0;
        flight.tries = flight.tries.saturating_add(1);
        if !loss.may_have_run() && !flight.may_have_run {
            if flight.tries >= self.limits.attempts.saturating_mul(4) {
                self.give_up(flight, actions);
            } else {
                self.lost_idle(Some(flight), loss, actions);
            }
            return;
        }
        flight.may_have_run = true;
        let statement = flight.statement;
        let open = self.transaction.is_open();
        // A re-run that was not sent, or ran under the guard, adds no doubt of its own.
        let harmless = match statement.safety {
            Safety::Harmless => !(open && statement.boundary.may_commit()),
            Safety::Read => true,
            Safety::Write => self.in_scope(),
            Safety::Never(_) => false,
        } && !(open && statement.boundary.may_commit());
        if !harmless {
            let reason = match statement.safety {
                Safety::Never(reason) => reason,
                _ if open && statement.boundary.may_commit() => Reason::Commit,
                _ => Reason::Write,
            };
            // A cursor's FETCH has no effect to be in doubt about.
            let kind = if reason == Reason::Cursor {
                FailureKind::RolledBack
            } else {
                FailureKind::InDoubt
            };
            self.in_doubt(flight, Failure::new(kind, reason), actions);
            return;
        }
        if statement.boundary == Boundary::Reset {
            self.held = Held::empty();
        }
        if !self.held.is_empty() {
            self.lost_idle(Some(flight), loss, actions);
            return;
        }
        if loss.killed {
            let failure = Failure::new(FailureKind::Killed, Reason::Killed);
            if open {
                self.phase = Phase::Running(flight);
                self.lose_transaction(failure, true, actions);
            } else {
                self.phase = Phase::Idle;
                actions.push(Action::Fail(failure));
            }
            return;
        }
        if flight.tries >= self.limits.attempts {
            self.give_up(flight, actions);
            return;
        }
        match statement.boundary {
            // What it would roll back is gone with the connection.
            Boundary::Rollback | Boundary::Reset if open => {
                self.transaction.close();
                actions.push(Action::Settled);
                self.attach(Some(flight), false, actions);
            }
            Boundary::RollbackAndMore if open => {
                let failure = Failure::new(FailureKind::RolledBack, Reason::NotUnderstood);
                self.phase = Phase::Running(flight);
                self.lose_transaction(failure, false, actions);
            }
            _ if open => {
                if let Some(reason) = self.transaction.unreplayable() {
                    let failure = Failure::new(FailureKind::RolledBack, reason);
                    self.phase = Phase::Running(flight);
                    self.lose_transaction(failure, false, actions);
                } else {
                    self.attach(Some(flight), true, actions);
                }
            }
            _ if !self.autocommit => {
                // Its transaction was to begin with it: nothing to replay, and nothing was committed.
                self.attach_first_of_transaction(flight, actions);
            }
            _ => {
                flight.guarded = statement.safety == Safety::Read;
                self.attach(Some(flight), false, actions);
            }
        }
    }

    /// The command has been lost again and again: the client is told.
    fn give_up(&mut self, flight: Flight, actions: &mut Actions) {
        let failure = Failure::new(FailureKind::Unavailable, Reason::Attempts);
        self.phase = Phase::Running(flight);
        if self.transaction.is_open() {
            self.lose_transaction(failure, true, actions);
        } else {
            self.phase = Phase::Idle;
            actions.push(Action::Fail(failure));
        }
    }

    /// A command of an autocommit=0 session whose transaction had not been seen to open.
    fn attach_first_of_transaction(&mut self, flight: Flight, actions: &mut Actions) {
        self.phase = Phase::Attaching {
            flight: Some(flight),
            replay: true,
        };
        actions.push(Action::Attach(Attachment {
            target: Target::Now,
            replay: true,
            catalogue: flight.statement.safety != Safety::Harmless,
        }));
    }

    /// The outcome of the command in flight is unknown.
    fn in_doubt(&mut self, flight: Flight, failure: Failure, actions: &mut Actions) {
        let statement = flight.statement;
        let was_open = self.transaction.is_open();
        self.phase = Phase::Idle;
        if was_open {
            self.transaction.close();
            self.replays = 0;
            actions.push(Action::Settled);
        }
        self.held.insert(statement.leaves);
        if !self.held.is_empty() {
            self.debt = Some(Debt::UntilReset(self.lost_hold()));
        } else if (was_open && statement.boundary != Boundary::Commit)
            || statement.boundary == Boundary::CommitAndMore
            || (statement.boundary == Boundary::Unknown && !self.autocommit)
        {
            // A plain COMMIT leaves no transaction behind, whatever became of it; anything else leaves the
            // client believing that one is open.
            self.debt = Some(Debt::UntilRollback(failure));
        }
        actions.push(Action::Fail(failure));
    }

    /// The open transaction is lost and cannot be hidden: tells the command in flight, or the next one.
    /// `sticky`: every command until ROLLBACK gets it, so that nothing half-commits.
    fn lose_transaction(&mut self, failure: Failure, sticky: bool, actions: &mut Actions) {
        let flight = match self.phase {
            Phase::Attaching { flight, .. } | Phase::Replaying { flight, .. } => flight,
            Phase::Running(flight) => Some(flight),
            Phase::Idle | Phase::Probing { .. } => None,
        };
        self.phase = Phase::Idle;
        self.transaction.close();
        self.replays = 0;
        self.drop_connection(actions);
        actions.push(Action::Settled);
        self.debt = match (sticky, flight) {
            (true, _) => Some(Debt::UntilRollback(failure)),
            (false, None) => Some(Debt::Once(failure)),
            (false, Some(_)) => self.after_rollback_was_told(failure),
        };
        if flight.is_some() {
            actions.push(Action::Fail(failure));
        }
    }

    fn drop_connection(&mut self, actions: &mut Actions) {
        if self.attached {
            self.attached = false;
            actions.push(Action::Discard);
        }
        self.stale = self.gone_with_connection();
    }
}

/// What is still unknown about the statement before, after `statement` ran.
fn remaining_stale(stale: Observes, statement: Statement, failed: bool) -> Observes {
    let mut left = stale;
    match statement.boundary {
        Boundary::Reset if !failed => return Observes::empty(),
        _ => {}
    }
    if !statement
        .observes
        .intersects(Observes::DIAGNOSTICS | Observes::ROW_COUNT)
    {
        left.remove(Observes::DIAGNOSTICS | Observes::ROW_COUNT);
    }
    if statement.safety == Safety::Read && !failed {
        left.remove(Observes::FOUND_ROWS);
    }
    left
}
