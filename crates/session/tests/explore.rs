//! Every interleaving, up to a depth: all short scripts of a client, with the connection lost before, during and
//! after each thing that is sent, against a model of a server with transactions. A checker that knows nothing of
//! the machine's inside holds it to the promises.

use steadfast_session::{
    Action, Boundary, Catalogue, Command, End, Event, FailureKind, Handle, Held, InsertId, Limits,
    Loss, Observes, PinUse, Reason, Recording, Response, Safety, Sent, Session, Statement, Status,
    ledger::Verdict,
};

/// Walks all sequences of choices: each run takes the recorded prefix, then always 0; `next` counts up.
#[derive(Default)]
struct Choices {
    taken: Vec<(u8, u8)>,
    at: usize,
}

impl Choices {
    fn choose(&mut self, of: u8) -> u8 {
        if self.at == self.taken.len() {
            self.taken.push((0, of));
        }
        let (choice, _) = self.taken[self.at];
        self.at += 1;
        choice
    }

    fn next(&mut self) -> bool {
        self.at = 0;
        while let Some((choice, of)) = self.taken.pop() {
            if choice + 1 < of {
                self.taken.push((choice + 1, of));
                return true;
            }
        }
        false
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Text {
    Begin,
    /// A write with an id of its own.
    Write(usize),
    Read,
    Commit,
    Rollback,
    /// DDL: commits what is open.
    Ddl,
    AutocommitOff,
    AutocommitOn,
    Lock,
    /// Gives the lock back; the server's answer proves it.
    Unlock,
    CommitChain,
    RollbackChain,
    /// An INSERT that draws its id, and so sets LAST_INSERT_ID().
    Draw(usize),
    /// An INSERT that names its id: its OK tells it, and LAST_INSERT_ID() stays.
    Give(usize),
    /// SELECT LAST_INSERT_ID().
    Ask,
}

impl Text {
    /// The id that its OK tells.
    fn insert_id(self) -> u64 {
        match self {
            Text::Draw(at) => 100 + at as u64,
            Text::Give(at) => 200 + at as u64,
            _ => 0,
        }
    }
}

fn statement(text: Text) -> Statement {
    let base = Statement::HARMLESS;
    match text {
        Text::Begin => Statement {
            boundary: Boundary::Begin,
            ..base
        },
        Text::Write(_) => Statement {
            safety: Safety::Write,
            ..base
        },
        Text::Read => Statement {
            safety: Safety::Read,
            ..base
        },
        Text::Commit => Statement {
            boundary: Boundary::Commit,
            ..base
        },
        Text::Rollback => Statement {
            boundary: Boundary::Rollback,
            ..base
        },
        Text::Ddl => Statement {
            safety: Safety::Never(Reason::Ddl),
            boundary: Boundary::Implicit,
            ..base
        },
        Text::AutocommitOff => Statement {
            boundary: Boundary::AutocommitOff,
            ..base
        },
        Text::AutocommitOn => Statement {
            boundary: Boundary::AutocommitOn,
            ..base
        },
        Text::Lock => Statement {
            safety: Safety::Never(Reason::Lock),
            leaves: Held::USER_LOCK,
            ..base
        },
        // By its text it may also take one.
        Text::Unlock => statement(Text::Lock),
        Text::CommitChain => Statement {
            boundary: Boundary::CommitAndChain,
            ..base
        },
        Text::RollbackChain => Statement {
            boundary: Boundary::RollbackAndChain,
            ..base
        },
        Text::Draw(_) | Text::Give(_) => Statement {
            safety: Safety::Write,
            pins: PinUse::INSERT_ID,
            inserts: true,
            ..base
        },
        Text::Ask => Statement {
            safety: Safety::Read,
            observes: Observes::LAST_INSERT_ID,
            ..base
        },
    }
}

/// A server with one connection of the session under test.
#[derive(Default, Clone)]
struct Server {
    /// How often each write has been committed.
    committed: Vec<u8>,
    /// Writes of the open transaction.
    pending: Vec<usize>,
    in_transaction: bool,
    autocommit: bool,
    locked: bool,
    last_insert_id: u64,
    /// Bumped by "another session": what reads see.
    version: u64,
    /// The ledger: the mark of the last recorded COMMIT that took effect.
    recorded: u64,
    /// A recorded COMMIT whose bytes are still on their way, and what its transaction has written: it takes effect at
    /// any time, unless it is fenced.
    on_its_way: Option<(u64, Vec<usize>)>,
}

impl Server {
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
    fn arrive(&mut self) {
        if let Some((mark, writes)) = self.on_its_way.take() {
            for id in writes {
                self.committed[id] += 1;
            }
            self.recorded = mark;
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
enum Told {
    Ok,
    Failed(FailureKind, Reason),
}

/// The driver: carries out the actions on the model, with faults wherever one can be.
struct Run<'a> {
    choices: &'a mut Choices,
    session: Session,
    server: Server,
    texts: Vec<Text>,
    faults: u8,
    changes: u8,
    order: u64,
    /// What a client in its transaction has read, since it began.
    told: Option<Told>,
    /// What the session state would restore.
    now: State,
    at_start: State,
    before: State,
    /// The LAST_INSERT_ID() that the connection was given.
    restored: u64,
    /// What LAST_INSERT_ID() gave, when it was asked last.
    answer: u64,
    /// KILL QUERY came while the transaction was replayed.
    interrupted: bool,
    /// The server has told that no lock is held.
    released: bool,
    /// The mark of the last recorded COMMIT that was sent: no two are the same.
    mark: u64,
    /// How the COMMITs of the script are recorded.
    ledger: Ledger,
    /// The write in the hidden transaction waits for its COMMIT, and what its answer says.
    unanswered: bool,
    /// The ledger could not be asked.
    unresolved: bool,
    /// The command has been answered after its connection was lost.
    acknowledged: bool,
    /// The connection was lost since the last recorded COMMIT.
    lost: bool,
}

/// Whether there is a ledger.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Ledger {
    No,
    /// It works.
    Yes,
    /// It may turn out not to be there, and then what is to be committed may be, or not.
    Fails,
    /// It works, but the driver has a bug, which must be found.
    Planted(Plant),
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Plant {
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
struct State {
    autocommit: bool,
    insert_id: u64,
}

const FRESH: State = State {
    autocommit: true,
    insert_id: 0,
};

const LOSS: Loss = Loss {
    end: End::Fin,
    sent: Sent::All,
    delivered: 0,
    killed: false,
};

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

    /// A fault, or none: 0.
    fn fault(&mut self, of: u8) -> u8 {
        if self.faults == 0 {
            return 0;
        }
        let fault = self.choices.choose(of);
        if fault > 0 {
            self.faults -= 1;
        }
        fault
    }

    /// Commits what is open. Faults: lost unsent, lost before it took effect, lost after, killed, on its way while the
    /// connection is lost, answered with an error before and after it took effect.
    fn commit(&mut self, recorded: bool, chains: bool) -> Result<Response, Event> {
        if recorded {
            let again = self.plant() == Some(Plant::MarkUsedAgain) && self.lost;
            self.mark += u64::from(!again);
            self.lost = false;
            if self.ledger == Ledger::Fails && self.choices.choose(2) == 1 {
                let plainly = self.choices.choose(2) == 0;
                return Err(Event::Unrecorded { plainly });
            }
        }
        let mark = self.mark;
        let fault = self.fault(if recorded { 8 } else { 5 });
        let pending = self.server.pending.clone();
        if matches!(fault, 0 | 3 | 7) {
            self.server.commit();
            if recorded {
                self.server.recorded = mark;
            }
            self.server.in_transaction = chains;
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
            0 => Ok(self.response(1)),
            1 => lost(Sent::Nothing, false),
            2 | 3 => lost(Sent::All, false),
            4 => lost(Sent::All, true),
            5 => {
                self.server.on_its_way = Some((mark, pending));
                lost(Sent::All, false)
            }
            6 => Err(Event::CommitFailed(1213)),
            _ => Err(Event::CommitFailed(1317)),
        }
    }

    /// Fences what was sent last.
    fn resolve(&mut self) -> Verdict {
        if self.server.on_its_way.is_some() && self.choices.choose(2) == 1 {
            self.server.arrive();
        }
        if self.fault(2) == 1 {
            self.unresolved = true;
            return Verdict::Unknown;
        }
        // The fence: whatever arrives now is refused.
        if self.plant() != Some(Plant::NoFence) {
            self.server.on_its_way = None;
        }
        if self.server.recorded == self.mark {
            Verdict::Committed
        } else {
            Verdict::NotCommitted
        }
    }

    /// Sends `text`; `None`: the response came. Faults: lost unsent, lost before it ran, lost after it ran,
    /// killed while it ran.
    fn send(&mut self, text: Text) -> Result<Response, Loss> {
        let fault = self.fault(5);
        match fault {
            1 => {
                return Err(Loss {
                    sent: Sent::Nothing,
                    ..LOSS
                });
            }
            2 => return Err(LOSS),
            3 => {
                self.server.execute(text);
                return Err(LOSS);
            }
            4 => {
                return Err(Loss {
                    killed: true,
                    ..LOSS
                });
            }
            _ => {}
        }
        let digest = self.server.execute(text);
        Ok(self.response(digest))
    }

    /// What the catalogue of a server says.
    fn was_drawn(&self, handle: Handle) -> bool {
        matches!(self.texts[handle.0 as usize], Text::Draw(_))
    }

    fn plant(&self) -> Option<Plant> {
        match self.ledger {
            Ledger::Planted(plant) => Some(plant),
            _ => None,
        }
    }

    fn lose(&mut self, loss: Loss) {
        self.lost = true;
        // Another session may commit a change of what was read, once the locks are gone.
        if self.changes > 0 && self.choices.choose(2) == 1 {
            self.changes -= 1;
            self.server.version += 1;
        }
        self.server.new_connection(true);
        self.step(Event::Lost(loss));
    }

    fn step(&mut self, event: Event) {
        let actions = self.session.step(event);
        let mut next = None;
        for action in actions.iter() {
            match action {
                Action::Attach(attachment) => {
                    let state = match attachment.target {
                        steadfast_session::Target::Now => self.now,
                        steadfast_session::Target::TransactionStart
                            if self.plant() == Some(Plant::ForgottenState) =>
                        {
                            FRESH
                        }
                        steadfast_session::Target::TransactionStart => self.at_start,
                    };
                    self.server.new_connection(state.autocommit);
                    self.restored = state.insert_id;
                    self.server.last_insert_id = state.insert_id;
                    next = Some(Event::Attached(Catalogue {
                        command: false,
                        journal: false,
                    }));
                }
                Action::Send(flight) => {
                    let text = self.texts[flight.handle.0 as usize];
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
                        self.server.in_transaction = true;
                    }
                    match self.send(text) {
                        Ok(mut response) => {
                            if !hidden {
                                self.told = Some(Told::Ok);
                            }
                            response.insert_id = text.insert_id();
                            if response.insert_id != 0 {
                                self.now.insert_id = response.insert_id;
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
                            next = Some(Event::Response(response));
                        }
                        Err(loss) => return self.lose(loss),
                    }
                }
                Action::Commit { flight, recorded } => {
                    assert!(self.server.in_transaction, "nothing to commit");
                    match self.commit(recorded, flight.chains()) {
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
                    let verdict = self.resolve();
                    next = Some(Event::Resolved(verdict));
                }
                Action::Acknowledge(flight) => {
                    assert!(self.told.is_none(), "told twice");
                    self.acknowledged = true;
                    assert_eq!(flight.recording == Recording::Write, self.unanswered);
                    self.unanswered = false;
                    self.told = Some(Told::Ok);
                }
                Action::Replay(index) => {
                    let entry = self.session.transaction().entries()[index as usize];
                    let text = self.texts[entry.command.0 as usize];
                    if self.faults > 0 {
                        match self.choices.choose(3) {
                            // KILL QUERY through Steadfast: the replay goes on.
                            1 => {
                                self.faults -= 1;
                                self.interrupted = true;
                                self.step(Event::Interrupted);
                            }
                            // From elsewhere: it hits the replayed statement.
                            2 => {
                                self.faults -= 1;
                                self.interrupted = true;
                                let response = self.response(0);
                                return self.step(Event::Response(Response {
                                    status: None,
                                    error: 1317,
                                    ..response
                                }));
                            }
                            _ => {}
                        }
                    }
                    let known = self.server.last_insert_id != self.restored
                        || match self.session.insert_id_at_start() {
                            InsertId::Known => true,
                            InsertId::Told(handle) => self.was_drawn(handle),
                            InsertId::Unknown => false,
                        };
                    if text == Text::Ask && !known {
                        let response = self.response(0);
                        return self.step(Event::Response(response));
                    }
                    match self.send(text) {
                        Ok(response) => next = Some(Event::Response(response)),
                        Err(loss) => return self.lose(loss),
                    }
                }
                Action::EndWaiting(_) => {}
                Action::Fail(failure) | Action::EndHeld(failure) => {
                    assert!(self.told.is_none(), "told twice");
                    self.told = Some(Told::Failed(failure.kind, failure.reason));
                }
                Action::AcknowledgeRollback => {
                    assert!(self.told.is_none(), "told twice");
                    self.told = Some(Told::Ok);
                }
                Action::Discard => self.server.new_connection(true),
                Action::Opened => self.at_start = self.before,
                Action::OpenedChained => self.at_start = self.now,
                Action::Probe => {
                    let response = self.response(0);
                    next = Some(Event::Response(response));
                }
                Action::ReplayOpening => {
                    self.server.in_transaction = true;
                    let response = self.response(0);
                    next = Some(Event::Response(response));
                }
                Action::ProveInsertId(told) => {
                    let drawn = told.is_some_and(|told| self.was_drawn(told));
                    let set = self.server.last_insert_id != self.restored;
                    if set {
                        self.now.insert_id = self.server.last_insert_id;
                    }
                    next = Some(Event::InsertIdProved(set || drawn));
                }
                Action::EndReplay | Action::KeepOpening | Action::Keep(_) | Action::Settled => {}
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

/// What the application believes, and what it may believe.
#[derive(Default)]
struct Checker {
    /// Writes whose transaction the client believes open.
    open: Vec<usize>,
    in_transaction: bool,
    autocommit_off: bool,
    /// Writes acknowledged as committed, certainly not committed, in doubt.
    acknowledged: Vec<usize>,
    refused: Vec<usize>,
    doubtful: Vec<usize>,
    locked: bool,
    /// What LAST_INSERT_ID() is; `None`: an INSERT has failed, and nobody can know.
    last_insert_id: Option<u64>,
}

impl Checker {
    fn told(&mut self, text: Text, told: Told, interrupted: bool) {
        let open = self.in_transaction || self.autocommit_off;
        if let Text::Draw(_) = text {
            self.last_insert_id = (told == Told::Ok).then_some(text.insert_id());
        }
        match told {
            Told::Ok => match text {
                Text::Write(id) | Text::Draw(id) | Text::Give(id) if open => {
                    self.open.push(id);
                    self.in_transaction = true;
                }
                Text::Write(id) | Text::Draw(id) | Text::Give(id) => self.acknowledged.push(id),
                Text::Begin => {
                    self.acknowledged.append(&mut self.open);
                    self.in_transaction = true;
                }
                Text::Commit | Text::Ddl => {
                    self.acknowledged.append(&mut self.open);
                    self.in_transaction = false;
                }
                Text::AutocommitOn => {
                    if self.autocommit_off {
                        self.acknowledged.append(&mut self.open);
                        self.in_transaction = false;
                    }
                    self.autocommit_off = false;
                }
                Text::AutocommitOff => self.autocommit_off = true,
                Text::Rollback => {
                    self.refused.append(&mut self.open);
                    self.in_transaction = false;
                }
                Text::Read | Text::Ask => {}
                Text::Lock => self.locked = true,
                Text::Unlock => self.locked = false,
                Text::CommitChain => {
                    self.acknowledged.append(&mut self.open);
                    self.in_transaction = true;
                }
                Text::RollbackChain => {
                    self.refused.append(&mut self.open);
                    self.in_transaction = true;
                }
            },
            // As a native 1317: the statement is rolled back, its transaction lives.
            Told::Failed(FailureKind::Killed, _) if interrupted => {
                if let Text::Write(id) | Text::Draw(id) | Text::Give(id) = text {
                    self.refused.push(id);
                }
            }
            Told::Failed(kind, _) => {
                if let Text::Write(id) | Text::Draw(id) | Text::Give(id) = text {
                    self.open.push(id);
                }
                match kind {
                    FailureKind::InDoubt => self.doubtful.append(&mut self.open),
                    FailureKind::RolledBack | FailureKind::Killed | FailureKind::Unavailable => {
                        self.refused.append(&mut self.open);
                    }
                }
                self.in_transaction = false;
            }
        }
    }
}

fn explore(commands: &[fn(usize) -> Text], length: usize, faults: u8) -> u64 {
    explore_with(Ledger::No, commands, length, faults)
}

/// Whether the bug is found.
fn finds(plant: Plant, commands: &[fn(usize) -> Text]) -> bool {
    let found = std::panic::catch_unwind(|| {
        explore_with(Ledger::Planted(plant), commands, 4, 2);
    });
    found.is_err()
}

fn explore_with(ledger: Ledger, commands: &[fn(usize) -> Text], length: usize, faults: u8) -> u64 {
    let mut choices = Choices::default();
    let mut schedules = 0;
    loop {
        schedules += 1;
        let mut script = Vec::new();
        for at in 0..length {
            let which = choices.choose(commands.len() as u8) as usize;
            script.push(commands[which](at));
        }
        let mut run = Run {
            session: Session::new(
                Limits::default(),
                Status {
                    in_transaction: false,
                    autocommit: true,
                },
            ),
            server: Server {
                committed: vec![0; length],
                autocommit: true,
                ..Server::default()
            },
            texts: script.clone(),
            faults,
            changes: 1,
            order: 0,
            told: None,
            now: FRESH,
            at_start: FRESH,
            before: FRESH,
            restored: 0,
            answer: 0,
            interrupted: false,
            released: false,
            mark: 0,
            ledger,
            unanswered: false,
            unresolved: false,
            acknowledged: false,
            lost: false,
            choices: &mut choices,
        };
        let mut checker = Checker {
            last_insert_id: Some(0),
            ..Checker::default()
        };
        let mut story = Vec::new();
        for (at, text) in script.iter().enumerate() {
            // The connection may be lost while the client is idle.
            if run.faults > 0 && run.choices.choose(2) == 1 {
                run.faults -= 1;
                run.told = None;
                run.lose(Loss {
                    sent: Sent::Nothing,
                    ..LOSS
                });
                assert!(run.told.is_none(), "told while idle: {script:?}");
            }
            run.told = None;
            run.interrupted = false;
            run.acknowledged = false;
            run.step(Event::Command(Command {
                handle: Handle(at as u64),
                statement: statement(*text),
                bytes: 1,
                clock: None,
                random: 0,
                ledger: ledger != Ledger::No,
            }));
            let told = run
                .told
                .unwrap_or_else(|| panic!("no answer: {script:?} {story:?}"));
            story.push((*text, told));
            // A lock that is lost keeps BEGIN from its work after it has committed, and no error says so.
            if ledger == Ledger::Yes && !run.unresolved && !checker.locked {
                let doubt = matches!(
                    told,
                    Told::Failed(FailureKind::InDoubt, Reason::Commit | Reason::Write)
                );
                assert!(!doubt, "needless doubt: {story:?}");
            }
            // After a lost transaction no COMMIT is acknowledged: unless the client was told 1213, it was told
            // at every command since.
            checker.told(*text, told, run.interrupted);
            if let (Text::Ask, Told::Ok, Some(right)) = (text, told, checker.last_insert_id) {
                assert_eq!(run.answer, right, "LAST_INSERT_ID(): {story:?}");
            }
            if told == Told::Ok && checker.in_transaction {
                assert!(
                    run.server.in_transaction,
                    "the client believes in a transaction that is not there: {story:?}"
                );
            }
            // A write that was done is told so even if the lock is gone since; the next command is told that.
            if checker.locked && told == Told::Ok && !run.acknowledged {
                assert!(
                    run.server.locked,
                    "the client believes that it holds a lock that is gone: {story:?}"
                );
            }
        }
        // What nobody has fenced arrives in the end.
        run.server.arrive();
        checker.refused.append(&mut checker.open);
        let committed = &run.server.committed;
        for id in &checker.acknowledged {
            assert_eq!(committed[*id], 1, "acknowledged write {id}: {story:?}");
        }
        for id in &checker.refused {
            assert_eq!(committed[*id], 0, "refused write {id}: {story:?}");
        }
        for id in &checker.doubtful {
            assert!(
                committed[*id] <= 1,
                "doubtful write {id} doubled: {story:?}"
            );
        }
        if !choices.next() {
            return schedules;
        }
    }
}

#[test]
fn transactions_are_whole_or_absent_under_every_schedule() {
    let schedules = explore(
        &[
            |_| Text::Begin,
            Text::Write,
            |_| Text::Read,
            |_| Text::Commit,
            |_| Text::Rollback,
        ],
        4,
        2,
    );
    println!("{schedules} schedules");
    assert!(schedules > 100_000);
}

#[test]
fn implicit_commits_and_autocommit_switches_under_every_schedule() {
    let schedules = explore(
        &[
            |_| Text::AutocommitOff,
            Text::Write,
            |_| Text::AutocommitOn,
            |_| Text::Ddl,
            |_| Text::Begin,
            |_| Text::Rollback,
        ],
        4,
        2,
    );
    println!("{schedules} schedules");
    assert!(schedules > 100_000);
}

#[test]
fn chained_transactions_under_every_schedule() {
    let schedules = explore(
        &[
            |_| Text::Begin,
            Text::Write,
            |_| Text::CommitChain,
            |_| Text::RollbackChain,
            |_| Text::Rollback,
        ],
        4,
        2,
    );
    println!("{schedules} schedules");
    assert!(schedules > 100_000);
}

#[test]
fn last_insert_id_is_right_or_refused_under_every_schedule() {
    let schedules = explore(
        &[
            |_| Text::Begin,
            Text::Draw,
            Text::Give,
            |_| Text::Ask,
            |_| Text::Commit,
        ],
        4,
        2,
    );
    println!("{schedules} schedules");
    assert!(schedules > 100_000);
}

#[test]
fn a_lost_lock_is_never_believed_in_under_every_schedule() {
    let schedules = explore(
        &[
            |_| Text::Lock,
            |_| Text::Unlock,
            Text::Write,
            |_| Text::Begin,
            |_| Text::Commit,
        ],
        4,
        2,
    );
    println!("{schedules} schedules");
    assert!(schedules > 10_000);
}

#[test]
fn recorded_commits_leave_no_doubt_under_every_schedule() {
    let schedules = explore_with(
        Ledger::Yes,
        &[
            |_| Text::Begin,
            Text::Write,
            |_| Text::Read,
            |_| Text::Commit,
            |_| Text::Rollback,
        ],
        4,
        2,
    );
    println!("{schedules} schedules");
    assert!(schedules > 100_000);
}

#[test]
fn recorded_chains_and_implicit_commits_under_every_schedule() {
    let schedules = explore_with(
        Ledger::Yes,
        &[
            |_| Text::AutocommitOff,
            Text::Write,
            |_| Text::AutocommitOn,
            |_| Text::Begin,
            |_| Text::CommitChain,
            |_| Text::Ddl,
        ],
        4,
        2,
    );
    println!("{schedules} schedules");
    assert!(schedules > 100_000);
}

#[test]
fn recorded_inserts_and_locks_under_every_schedule() {
    let schedules = explore_with(
        Ledger::Yes,
        &[
            Text::Draw,
            |_| Text::Ask,
            |_| Text::Lock,
            |_| Text::Begin,
            |_| Text::Commit,
        ],
        4,
        2,
    );
    println!("{schedules} schedules");
    assert!(schedules > 100_000);
}

#[test]
fn a_ledger_that_is_not_there_under_every_schedule() {
    let schedules = explore_with(
        Ledger::Fails,
        &[
            |_| Text::Begin,
            Text::Write,
            |_| Text::Commit,
            |_| Text::CommitChain,
            |_| Text::AutocommitOff,
        ],
        4,
        1,
    );
    println!("{schedules} schedules");
    assert!(schedules > 10_000);
}

#[test]
fn planted_bugs_are_found() {
    let transactions: &[fn(usize) -> Text] = &[|_| Text::Begin, Text::Write, |_| Text::Commit];
    let switches: &[fn(usize) -> Text] = &[|_| Text::AutocommitOff, Text::Write, |_| Text::Commit];
    let writes: &[fn(usize) -> Text] = &[Text::Write, |_| Text::Read];
    assert!(finds(Plant::NoFence, transactions));
    assert!(finds(Plant::NoFence, writes));
    assert!(finds(Plant::ReplayAfterCommit, transactions));
    assert!(finds(Plant::ReplayAfterCommit, writes));
    assert!(finds(Plant::MarkUsedAgain, writes));
    assert!(finds(Plant::ForgottenState, switches));
}
