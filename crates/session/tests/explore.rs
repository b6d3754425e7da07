//! Every interleaving, up to a depth: all short scripts of a client, with the connection lost before, during and
//! after each thing that is sent, against a model of a server with transactions. A checker that knows nothing of
//! the machine's inside holds it to the promises.

use steadfast_session::{
    Action, Boundary, Catalogue, Command, End, Event, FailureKind, Handle, Held, Limits, Loss,
    Reason, Response, Safety, Sent, Session, Statement, Status,
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
    /// Bumped by "another session": what reads see.
    version: u64,
}

impl Server {
    fn new_connection(&mut self, autocommit: bool) {
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
            Text::Write(id) => {
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
        }
        1
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
    /// autocommit as the session state would restore it.
    now: bool,
    at_start: bool,
    before: bool,
}

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
            non_transactional: false,
            order: self.order,
        }
    }

    /// Sends `text`; `None`: the response came. Faults: lost unsent, lost before it ran, lost after it ran,
    /// killed while it ran.
    fn send(&mut self, text: Text) -> Result<Response, Loss> {
        let fault = if self.faults > 0 {
            self.choices.choose(5)
        } else {
            0
        };
        if fault > 0 {
            self.faults -= 1;
        }
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

    fn lose(&mut self, loss: Loss) {
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
                    let autocommit = match attachment.target {
                        steadfast_session::Target::Now => self.now,
                        steadfast_session::Target::TransactionStart => self.at_start,
                    };
                    self.server.new_connection(autocommit);
                    next = Some(Event::Attached(Catalogue {
                        non_transactional_tables: false,
                        functions: false,
                    }));
                }
                Action::Send(flight) => {
                    let text = self.texts[flight.handle.0 as usize];
                    if !self.session.transaction().is_open() {
                        self.before = self.now;
                    }
                    if flight.guarded {
                        assert!(matches!(text, Text::Read), "only reads run guarded");
                    }
                    match self.send(text) {
                        Ok(mut response) => {
                            self.told = Some(Told::Ok);
                            if flight.guarded
                                && let Some(status) = &mut response.status
                            {
                                // The server's flags are those of the guard.
                                status.in_transaction = true;
                            }
                            self.now = self.server.autocommit;
                            next = Some(Event::Response(response));
                        }
                        Err(loss) => return self.lose(loss),
                    }
                }
                Action::Replay(index) => {
                    let entry = self.session.transaction().entries()[index as usize];
                    let text = self.texts[entry.command.0 as usize];
                    match self.send(text) {
                        Ok(response) => next = Some(Event::Response(response)),
                        Err(loss) => return self.lose(loss),
                    }
                }
                Action::Fail(failure) => {
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
                Action::EndReplay | Action::Keep(_) | Action::Settled => {}
                Action::ReplayOpening => panic!("nothing chains here"),
            }
        }
        if let Some(event) = next {
            self.step(event);
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
}

impl Checker {
    fn told(&mut self, text: Text, told: Told) {
        let open = self.in_transaction || self.autocommit_off;
        match told {
            Told::Ok => match text {
                Text::Write(id) if open => {
                    self.open.push(id);
                    self.in_transaction = true;
                }
                Text::Write(id) => self.acknowledged.push(id),
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
                Text::Read => {}
                Text::Lock => self.locked = true,
            },
            Told::Failed(kind, _) => {
                if let Text::Write(id) = text {
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
            now: true,
            at_start: true,
            before: true,
            choices: &mut choices,
        };
        let mut checker = Checker::default();
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
            run.step(Event::Command(Command {
                handle: Handle(at as u64),
                statement: statement(*text),
                bytes: 1,
                clock: None,
                random: 0,
            }));
            let told = run
                .told
                .unwrap_or_else(|| panic!("no answer: {script:?} {story:?}"));
            story.push((*text, told));
            // After a lost transaction no COMMIT is acknowledged: unless the client was told 1213, it was told
            // at every command since.
            checker.told(*text, told);
            if checker.locked && told == Told::Ok {
                assert!(
                    run.server.locked,
                    "the client believes that it holds a lock that is gone: {story:?}"
                );
            }
        }
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
fn a_lost_lock_is_never_believed_in_under_every_schedule() {
    let schedules = explore(
        &[
            |_| Text::Lock,
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
