//! A model of a server with transactions and a ledger, and a driver that carries out the machine's actions on it, with
//! faults wherever one can be.

use steadfast_session::{
    Action, Attachment, Catalogue, Command, End, Event, FailureKind, Flight, Handle, Held,
    InsertId, Loss, Reason, Recording, Refusal, Response, Sent, Session, Status, Target,
    ledger::Verdict,
};

use crate::choices::Choices;
use crate::coverage::{Class, Coverage, Fault, Phase};
use crate::text::{Text, statement};

/// A server with one connection of the session under test.
#[derive(Default, Clone)]
pub(crate) struct Server {
    /// How often each write has been committed.
    pub(crate) committed: Vec<u8>,
    /// Writes of the open transaction.
    pending: Vec<usize>,
    pub(crate) in_transaction: bool,
    autocommit: bool,
    pub(crate) locked: bool,
    last_insert_id: u64,
    /// Bumped by "another session": what reads see.
    version: u64,
    /// The ledger: the marks of recorded COMMITs that took effect. Each may be on a lane of its own: one that is in
    /// doubt is never used again.
    recorded: Vec<u64>,
    /// Recorded COMMITs whose bytes are still on their way, and what their transactions have written: they take effect
    /// at any time, unless they are fenced.
    on_its_way: Vec<(u64, Vec<usize>)>,
}

impl Server {
    /// Without a transaction, for so many writes.
    pub(crate) fn new(writes: usize) -> Self {
        Self {
            committed: vec![0; writes],
            autocommit: true,
            ..Self::default()
        }
    }

    fn new_connection(&mut self, autocommit: bool) {
        self.last_insert_id = 0;
        self.pending.clear();
        self.in_transaction = false;
        self.autocommit = autocommit;
        self.locked = false;
    }

    fn commit(&mut self) {
        for id in self.pending.drain(..) {
            self.committed[id] += 1;
        }
        self.in_transaction = false;
    }

    /// Executes; gives the digest of the response.
    fn execute(&mut self, text: Text) -> u64 {
        match text {
            Text::Begin => {
                self.commit();
                self.in_transaction = true;
            }
            Text::Write(id) | Text::Draw(id) | Text::Give(id) => {
                if let Text::Draw(_) = text {
                    self.last_insert_id = text.insert_id();
                }
                self.pending.push(id);
                if self.in_transaction || !self.autocommit {
                    self.in_transaction = true;
                } else {
                    self.commit();
                }
            }
            Text::Read => {
                if !self.autocommit {
                    self.in_transaction = true;
                }
                return 1000 + self.version;
            }
            Text::Commit => self.commit(),
            Text::Rollback => {
                self.pending.clear();
                self.in_transaction = false;
            }
            Text::Ddl => self.commit(),
            Text::AutocommitOff => self.autocommit = false,
            Text::AutocommitOn => {
                if !self.autocommit {
                    self.commit();
                }
                self.autocommit = true;
            }
            Text::Lock => self.locked = true,
            Text::Unlock => self.locked = false,
            Text::CommitChain => {
                self.commit();
                self.in_transaction = true;
            }
            Text::RollbackChain => {
                self.pending.clear();
                self.in_transaction = true;
            }
            Text::Ask => {
                if !self.autocommit {
                    self.in_transaction = true;
                }
                return 5000 + self.last_insert_id;
            }
        }
        1
    }

    /// What is still on its way arrives.
    pub(crate) fn arrive(&mut self) {
        for (mark, writes) in self.on_its_way.drain(..) {
            for id in writes {
                self.committed[id] += 1;
            }
            self.recorded.push(mark);
        }
    }

    fn status(&self) -> Status {
        Status {
            in_transaction: self.in_transaction,
            autocommit: self.autocommit,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Told {
    Ok,
    /// An ERR of the server's own.
    Error {
        /// Its transaction is gone.
        rolled_back: bool,
    },
    Failed(FailureKind, Reason),
}

/// The driver: carries out the actions on the model, with faults wherever one can be.
pub(crate) struct Run<'a> {
    pub(crate) choices: &'a mut Choices,
    pub(crate) coverage: &'a mut Coverage,
    pub(crate) session: Session,
    pub(crate) server: Server,
    pub(crate) texts: &'a [Text],
    /// How many are still to strike.
    pub(crate) faults: u8,
    pub(crate) changes: u8,
    pub(crate) order: u64,
    /// What has struck: printed where a promise is broken.
    pub(crate) struck: Vec<(Phase, Class, Fault)>,
    /// The command whose answer the client waits for.
    pub(crate) command: Option<Text>,
    /// Commands that the server refuses whenever they run.
    pub(crate) refused: Vec<bool>,
    /// The digest of the result of which the client has a part.
    pub(crate) part: u64,
    /// What a client in its transaction has read, since it began.
    pub(crate) told: Option<Told>,
    /// What the session state would restore.
    pub(crate) now: State,
    pub(crate) at_start: State,
    pub(crate) before: State,
    /// The LAST_INSERT_ID() that the connection was given.
    pub(crate) restored: u64,
    /// What LAST_INSERT_ID() gave, when it was asked last.
    pub(crate) answer: u64,
    /// KILL QUERY came while the transaction was replayed.
    pub(crate) interrupted: bool,
    /// The server has told that no lock is held.
    pub(crate) released: bool,
    /// The mark of the last recorded COMMIT that was sent: no two are the same.
    pub(crate) mark: u64,
    /// How the COMMITs of the script are recorded.
    pub(crate) ledger: Ledger,
    /// The write in the hidden transaction waits for its COMMIT, and what its answer says.
    pub(crate) unanswered: bool,
    /// There may be a doubt in spite of the ledger: it could not be asked or used, or no server could be reached.
    pub(crate) unresolved: bool,
    /// The command has been answered after what it did was committed: what comes after it may be lost.
    pub(crate) acknowledged: bool,
    /// The connection was lost since the last recorded COMMIT.
    pub(crate) lost: bool,
}

/// Whether there is a ledger.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Ledger {
    No,
    Yes,
    /// It works, but the driver has a bug, which must be found.
    #[cfg(test)]
    Planted(Plant),
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Plant {
    /// The lane is read and not fenced.
    NoFence,
    /// A COMMIT that may have arrived counts as not sent.
    ReplayAfterCommit,
    /// A COMMIT after a loss is sent under the mark of the one before.
    MarkUsedAgain,
    /// The state that the open transaction began with is forgotten.
    ForgottenState,
}

/// What the driver restores.
#[derive(Clone, Copy)]
pub(crate) struct State {
    autocommit: bool,
    insert_id: u64,
}

pub(crate) const FRESH: State = State {
    autocommit: true,
    insert_id: 0,
};

pub(crate) const LOSS: Loss = Loss {
    end: End::Fin,
    sent: Sent::All,
    delivered: 0,
    killed: false,
};

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in the script {:?}, after {:?}", self.texts, self.struck);
        }
    }
}

impl Run<'_> {
    fn response(&mut self, digest: u64) -> Response {
        self.order += 1;
        Response {
            status: Some(self.server.status()),
            error: 0,
            digest,
            insert_id: 0,
            wrote: !self.server.pending.is_empty(),
            non_transactional: false,
            order: self.order,
        }
    }

    /// One of these faults strikes, or none.
    pub(crate) fn strike(&mut self, phase: Phase, class: Class, faults: &[Fault]) -> Option<Fault> {
        if self.faults == 0 || faults.is_empty() {
            return None;
        }
        let choice = usize::from(self.choices.choose(faults.len() as u8 + 1));
        let fault = faults[choice.checked_sub(1)?];
        self.faults -= 1;
        self.coverage.hit(phase, class, fault);
        self.struck.push((phase, class, fault));
        Some(fault)
    }

    /// Commits what is open.
    fn commit(&mut self, flight: Flight, recorded: bool) -> Result<Response, Event> {
        use Fault::{After, Before, Error, ErrorAfter, Killed, Late, NoLedger, Plainly, Unsent};
        if recorded {
            let again = self.plant() == Some(Plant::MarkUsedAgain) && self.lost;
            self.mark += u64::from(!again);
            self.lost = false;
        }
        let mark = self.mark;
        let all = [
            Unsent, Before, After, Killed, Late, Error, ErrorAfter, Plainly, NoLedger,
        ];
        let faults = if recorded { &all[..] } else { &all[..4] };
        let class = self.class_of(flight.handle);
        let fault = self.strike(Phase::Committing, class, faults);
        let pending = self.server.pending.clone();
        if matches!(fault, None | Some(After | ErrorAfter)) {
            self.server.commit();
            if recorded {
                self.server.recorded.push(mark);
            }
            self.server.in_transaction = flight.chains();
        }
        let replays = self.plant() == Some(Plant::ReplayAfterCommit);
        let lost = |sent, killed| {
            let sent = if replays { Sent::Nothing } else { sent };
            Err(Event::Lost(Loss {
                sent,
                killed,
                ..LOSS
            }))
        };
        match fault {
            None => Ok(self.response(1)),
            Some(Unsent) => lost(Sent::Nothing, false),
            Some(Killed) => lost(Sent::All, true),
            Some(Late) => {
                self.server.on_its_way.push((mark, pending));
                lost(Sent::All, false)
            }
            Some(Error) => Err(Event::CommitFailed(1213)),
            Some(ErrorAfter) => Err(Event::CommitFailed(1317)),
            Some(Plainly | NoLedger) => {
                self.unresolved = true;
                Err(Event::Unrecorded {
                    plainly: fault == Some(Plainly),
                })
            }
            Some(_) => lost(Sent::All, false),
        }
    }

    /// Fences what was sent last.
    fn resolve(&mut self, class: Class) -> Verdict {
        if !self.server.on_its_way.is_empty() && self.choices.choose(2) == 1 {
            self.server.arrive();
        }
        match self.strike(
            Phase::Resolving,
            class,
            &[Fault::Unasked, Fault::Interrupt, Fault::Killed],
        ) {
            Some(Fault::Unasked) => {
                self.unresolved = true;
                return Verdict::Unknown;
            }
            Some(Fault::Killed) => self.step(Event::Killed),
            Some(_) => self.step(Event::Interrupted),
            None => {}
        }
        // The fence: what arrives now with this mark is refused.
        if self.plant() != Some(Plant::NoFence) {
            let fenced = self.mark;
            self.server.on_its_way.retain(|(mark, _)| *mark != fenced);
        }
        if self.server.recorded.contains(&self.mark) {
            Verdict::Committed
        } else {
            Verdict::NotCommitted
        }
    }

    /// Sends a command, which this strikes.
    fn send(&mut self, handle: Handle, fault: Option<Fault>) -> Result<Response, Loss> {
        let text = self.text(handle);
        let mut loss = LOSS;
        match fault {
            Some(Fault::Unsent) => loss.sent = Sent::Nothing,
            Some(Fault::Killed) => loss.killed = true,
            Some(Fault::After) => {
                self.server.execute(text);
            }
            Some(Fault::Part) => {
                loss.delivered = 1;
                self.part = self.server.execute(text);
            }
            Some(Fault::Deadlock) => {
                self.server.pending.clear();
                self.server.in_transaction = false;
                return Ok(self.error(1213));
            }
            Some(Fault::Error) => self.refused[handle.0 as usize] = true,
            _ => {}
        }
        if !matches!(fault, None | Some(Fault::Error)) {
            return Err(loss);
        }
        if self.refused[handle.0 as usize] {
            if text == Text::Ddl {
                // It has committed before it fails.
                self.server.commit();
            }
            return Ok(self.error(1064));
        }
        let digest = self.server.execute(text);
        Ok(self.response(digest))
    }

    /// An ERR.
    fn error(&mut self, code: u16) -> Response {
        Response {
            status: None,
            error: code,
            ..self.response(u64::from(code))
        }
    }

    fn text(&self, handle: Handle) -> Text {
        self.texts[handle.0 as usize]
    }

    fn class_of(&self, handle: Handle) -> Class {
        self.text(handle).into()
    }

    /// Of what the client waits for.
    fn class(&self) -> Class {
        match (self.command, self.told) {
            (Some(text), None) => text.into(),
            _ => Class::None,
        }
    }

    /// What the catalogue of a server says.
    fn was_drawn(&self, handle: Handle) -> bool {
        matches!(self.texts[handle.0 as usize], Text::Draw(_))
    }

    fn plant(&self) -> Option<Plant> {
        match self.ledger {
            #[cfg(test)]
            Ledger::Planted(plant) => Some(plant),
            Ledger::No | Ledger::Yes => None,
        }
    }

    pub(crate) fn lose(&mut self, loss: Loss) {
        self.lost = true;
        // Another session may commit a change of what was read, once the locks are gone.
        if self.changes > 0 && self.choices.choose(2) == 1 {
            self.changes -= 1;
            self.server.version += 1;
        }
        self.server.new_connection(true);
        self.step(Event::Lost(loss));
    }

    /// The client sends the command of this number.
    pub(crate) fn command(&mut self, at: usize) {
        let text = self.texts[at];
        self.told = None;
        self.interrupted = false;
        self.acknowledged = false;
        self.command = Some(text);
        self.step(Event::Command(Command {
            handle: Handle(at as u64),
            statement: statement(text),
            bytes: 1,
            clock: None,
            random: 0,
            ledger: self.ledger != Ledger::No,
        }));
        self.command = None;
    }

    fn attach(&mut self, attachment: Attachment) -> Event {
        use Fault::{Interrupt, Killed, Refused, Tables};
        let class = self.class();
        match self.strike(Phase::Attaching, class, &[Refused, Killed, Interrupt]) {
            Some(Refused) => {
                self.unresolved = true;
                return Event::Refused(Refusal(Reason::NoServer));
            }
            Some(Killed) => {
                self.unresolved = true;
                return Event::Refused(Refusal(Reason::Killed));
            }
            Some(_) => {
                self.step(Event::Interrupted);
                if !attachment.replay && self.told.is_some() {
                    // Nobody waits for it any more.
                    return Event::Refused(Refusal(Reason::Killed));
                }
            }
            None => {}
        }
        let state = match attachment.target {
            Target::Now => self.now,
            Target::TransactionStart if self.plant() == Some(Plant::ForgottenState) => FRESH,
            Target::TransactionStart => self.at_start,
        };
        self.server.new_connection(state.autocommit);
        self.restored = state.insert_id;
        self.server.last_insert_id = state.insert_id;
        // What is not known of the tables is no fault, and uses none up.
        let doubtful = attachment.catalogue && self.choices.choose(2) == 1;
        if doubtful {
            self.coverage.hit(Phase::Attaching, class, Tables);
        }
        Event::Attached(Catalogue {
            command: doubtful,
            journal: doubtful,
        })
    }

    /// What can strike a command that is sent for the client.
    fn faults_of(&self, flight: Flight, hidden: bool) -> Vec<Fault> {
        let text = self.text(flight.handle);
        let mut faults = vec![Fault::Unsent, Fault::Before, Fault::After, Fault::Killed];
        let writes = matches!(text, Text::Write(_) | Text::Draw(_) | Text::Give(_));
        let reads = matches!(text, Text::Read | Text::Ask);
        let refused = self.refused[flight.handle.0 as usize];
        if reads && !refused {
            faults.push(Fault::Part);
        }
        if (writes || reads || matches!(text, Text::Ddl | Text::Lock)) && !refused {
            faults.push(Fault::Error);
        }
        if (writes || text == Text::Read) && self.server.in_transaction && !hidden {
            faults.push(Fault::Deadlock);
        }
        if hidden {
            faults.push(Fault::NotBegun);
        }
        if flight.guarded {
            faults.push(Fault::Guard);
        }
        if writes && flight.may_have_run {
            faults.push(Fault::Twice);
        }
        faults
    }

    /// Runs a command for the client; `Err`: its connection is lost.
    fn run(&mut self, flight: Flight) -> Result<Event, Loss> {
        let text = self.text(flight.handle);
        self.before = self.now;
        if flight.guarded {
            assert!(
                matches!(text, Text::Read | Text::Ask),
                "only reads run guarded"
            );
        }
        let hidden = flight.recording == Recording::Write;
        // A rerun makes its answer anew.
        self.unanswered = hidden;
        if hidden {
            assert!(
                !self.server.in_transaction,
                "a hidden transaction in another"
            );
        }
        let faults = self.faults_of(flight, hidden);
        let fault = self.strike(Phase::Running, text.into(), &faults);
        match fault {
            Some(Fault::NotBegun) => {
                self.unresolved = true;
                self.unanswered = false;
                self.session.step(Event::NotBegun);
                self.server.execute(text);
                return Err(LOSS);
            }
            Some(Fault::Guard) => return Ok(Event::GuardRefused),
            Some(Fault::Twice) => {
                self.server.in_transaction |= hidden;
                self.server.execute(text);
                return Ok(Event::RanTwice);
            }
            _ => {}
        }
        self.server.in_transaction |= hidden;
        let mut response = self.send(flight.handle, fault)?;
        if flight.part_delivered && response.digest != self.part {
            return Ok(Event::PartDiffers);
        }
        if response.error != 0 {
            if hidden {
                // Rolled back before the client has its answer.
                self.server.in_transaction = false;
                self.unanswered = false;
            }
            self.told = Some(Told::Error {
                rolled_back: response.error == 1213,
            });
            return Ok(Event::Response(response));
        }
        if !hidden {
            self.told = Some(Told::Ok);
        }
        response.insert_id = text.insert_id();
        if !hidden {
            self.learn(text);
        }
        self.answer = response.digest.wrapping_sub(5000);
        self.released |= text == Text::Unlock;
        if flight.guarded
            && let Some(status) = &mut response.status
        {
            // The server's flags are those of the guard.
            status.in_transaction = true;
        }
        self.now.autocommit = self.server.autocommit;
        Ok(Event::Response(response))
    }

    /// The client has the OK of this.
    fn learn(&mut self, text: Text) {
        if text.insert_id() != 0 {
            self.now.insert_id = text.insert_id();
        }
    }

    /// Runs an entry of the journal; `None`: the opening of a chained transaction.
    fn replay(&mut self, index: Option<u32>) -> Result<Event, Loss> {
        use Fault::{After, Before, Hit, Interrupt, Killed, Timeout, Unsent};
        let handle =
            index.map(|index| self.session.transaction().entries()[index as usize].command);
        let class = handle.map_or(Class::Opening, |handle| self.class_of(handle));
        let all = [Interrupt, Hit, Timeout, Unsent, Before, After, Killed];
        let mut fault = self.strike(Phase::Replaying, class, &all);
        match fault {
            // KILL QUERY through Steadfast: the replay goes on.
            Some(Interrupt) => {
                self.step(Event::Interrupted);
                fault = None;
            }
            // From elsewhere: it hits the replayed statement.
            Some(Hit) => {
                return Ok(Event::Response(self.error(1317)));
            }
            Some(Timeout) => return Ok(Event::ReplayTimeout),
            _ => {}
        }
        let Some(handle) = handle else {
            if let Some(fault) = fault {
                return Err(Loss {
                    killed: fault == Killed,
                    ..LOSS
                });
            }
            self.server.in_transaction = true;
            return Ok(Event::Response(self.response(0)));
        };
        let known = self.server.last_insert_id != self.restored
            || match self.session.insert_id_at_start() {
                InsertId::Known => true,
                InsertId::Told(handle) => self.was_drawn(handle),
                InsertId::Unknown => false,
            };
        if self.text(handle) == Text::Ask && !known && fault.is_none() {
            return Ok(Event::Response(self.response(0)));
        }
        self.send(handle, fault).map(Event::Response)
    }

    /// What can strike a hidden question is only a loss.
    fn ask(&mut self, phase: Phase, flight: Class, loss: Fault) -> Result<(), Loss> {
        let sent = if loss == Fault::Unsent {
            Sent::Nothing
        } else {
            Sent::All
        };
        match self.strike(phase, flight, &[loss, Fault::Killed]) {
            None => Ok(()),
            Some(fault) => Err(Loss {
                sent,
                killed: fault == Fault::Killed,
                ..LOSS
            }),
        }
    }

    fn step(&mut self, event: Event) {
        let actions = self.session.step(event);
        let mut next = None;
        for action in actions.iter() {
            match action {
                Action::Attach(attachment) => next = Some(self.attach(attachment)),
                Action::Send(flight) => match self.run(flight) {
                    Ok(event) => next = Some(event),
                    Err(loss) => return self.lose(loss),
                },
                Action::Commit { flight, recorded } => {
                    assert!(self.server.in_transaction, "nothing to commit");
                    match self.commit(flight, recorded) {
                        Ok(response) => {
                            if flight.recording == Recording::Commit {
                                self.told = Some(Told::Ok);
                            }
                            next = Some(Event::Committed(response));
                        }
                        Err(Event::Lost(loss)) => return self.lose(loss),
                        Err(event) => next = Some(event),
                    }
                }
                Action::Resolve => {
                    let class = self.class();
                    let verdict = self.resolve(class);
                    next = Some(Event::Resolved(verdict));
                }
                Action::Acknowledge(flight) => {
                    assert!(self.told.is_none(), "told twice");
                    self.acknowledged = true;
                    self.learn(self.text(flight.handle));
                    assert_eq!(flight.recording == Recording::Write, self.unanswered);
                    self.unanswered = false;
                    self.told = Some(Told::Ok);
                }
                Action::Replay(index) => match self.replay(Some(index)) {
                    Ok(event) => next = Some(event),
                    Err(loss) => return self.lose(loss),
                },
                Action::EndWaiting(_) => {}
                Action::Fail(failure) | Action::EndHeld(failure) => {
                    self.interrupted = matches!(action, Action::EndHeld(_));
                    assert!(self.told.is_none(), "told twice");
                    self.told = Some(Told::Failed(failure.kind, failure.reason));
                }
                Action::AcknowledgeRollback => {
                    assert!(self.told.is_none(), "told twice");
                    self.told = Some(Told::Ok);
                }
                Action::Discard => self.server.new_connection(true),
                Action::Opened => self.at_start = self.before,
                Action::OpenedChained | Action::KeepOpening => self.at_start = self.now,
                Action::Probe => {
                    let class = self.command.map_or(Class::None, Class::from);
                    if let Err(loss) = self.ask(Phase::Probing, class, Fault::Before) {
                        // What DDL commits is not recorded.
                        self.unresolved |= class == Class::Ddl;
                        return self.lose(loss);
                    }
                    let response = self.response(0);
                    next = Some(Event::Response(response));
                }
                Action::ReplayOpening => match self.replay(None) {
                    Ok(event) => next = Some(event),
                    Err(loss) => return self.lose(loss),
                },
                Action::ProveInsertId(told) => {
                    let class = self.class();
                    if let Err(loss) = self.ask(Phase::Proving, class, Fault::Unsent) {
                        return self.lose(loss);
                    }
                    let drawn = told.is_some_and(|told| self.was_drawn(told));
                    let set = self.server.last_insert_id != self.restored;
                    if set {
                        self.now.insert_id = self.server.last_insert_id;
                    }
                    next = Some(Event::InsertIdProved(set || drawn));
                }
                Action::EndReplay | Action::Keep(_) | Action::Settled => {}
            }
        }
        if let Some(event) = next {
            self.step(event);
        }
        if self.released && self.session.is_idle() {
            self.released = false;
            self.session.step(Event::Released(Held::USER_LOCK));
        }
    }
}
