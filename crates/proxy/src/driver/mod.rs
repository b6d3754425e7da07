//! One client's session: owns its sockets, carries out what the core decides.
//!
//! One task, on one thread. [`Driver::run`] takes commands in the order in which they come; each is given to the core
//! ([`steadfast_session::Session`]), whose actions are carried out one after the other until it has its answer:
//!
//! - `command`: what arrives, and the commands that are answered here (KILL, long data);
//! - `change_user`: COM_CHANGE_USER;
//! - `before`: what goes before a command to the server;
//! - `commit`: what is committed with a mark in the ledger, and what its loss comes to;
//! - `exchange`: one command to the server and its response to the client;
//! - `account`: what the session itself knows of a loss;
//! - `noted`: incidents without a lost server connection;
//! - `outage`: a loss, and what is counted and told of it;
//! - `recover`: another server connection, the replay of a transaction;
//! - `track`: what the session is, so that it can be restored;
//! - `insert_id`: LAST_INSERT_ID(), which servers do not track;
//! - `locks`: user-level locks that are given back;
//! - `kill`: KILL of another session, and of this one;
//! - `aftermath`: what a statement leaves for the next one to ask, where hidden work has replaced it;
//! - `wait`: what comes first, for a session that waits;
//! - `hidden`: what is asked and set on the server connection without the client's noticing.

mod account;
mod aftermath;
mod before;
mod by_name;
mod change_user;
mod command;
mod commit;
mod exchange;
mod hidden;
mod insert_id;
mod kill;
mod locks;
mod noted;
mod outage;
mod recover;
mod store;
mod track;
mod user_variables;
mod wait;

use std::collections::BTreeMap;
use std::future::{poll_fn, ready};
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use steadfast_net::{LossKind, QueryError};
use steadfast_session::{Action, End, Event, Handle, Sent, Session, SessionState, Status};
use steadfast_sql::Dialect;
use steadfast_wire::handshake::NONCE_LEN;
use steadfast_wire::response::{ErrPacket, OkPacket};
use steadfast_wire::{Capabilities, StatusFlags};

use self::account::Account;
use self::aftermath::Aftermath;
use self::commit::HeldAnswer;
use self::insert_id::{Arrival, Drawn};
use self::kill::{Killed, Killing};
use self::locks::UserLocks;
use self::outage::{Outage, Stage};
use self::store::Store;
use self::wait::Next;
use crate::bell::Ear;
use crate::client::{ClientLeg, Packet};
use crate::gate::Turn;
use crate::link::{Identity, Link, OwnSettings};
use crate::local::Local;
use crate::memory::Memory;
use crate::metrics::Recovery;
use crate::prepared::Prepared;
use crate::registry::Claim;
use crate::relay::{Mark, Tracking};
use crate::resolve::Doubt;
use crate::shared::Shared;
use crate::words::Words;
use crate::zombie::Zombie;

/// Bytes that a client may send ahead while its command runs.
const AHEAD: usize = 64 << 10;

/// Lost connections that are remembered until they are seen gone.
const MAX_ZOMBIES: usize = 8;

/// Why a session ends.
#[derive(Debug)]
pub(crate) enum Exit {
    /// The client said COM_QUIT.
    Quit,
    /// The client is gone, or its bytes make no sense.
    ClientGone(std::io::Error),
    /// It was told to end.
    Closed,
}

/// Everything that a login hands over.
pub(crate) struct Start {
    /// What all sessions share.
    pub(crate) shared: Arc<Shared>,
    /// The client.
    pub(crate) client: ClientLeg,
    /// Its capabilities.
    pub(crate) capabilities: Capabilities,
    /// Who it is.
    pub(crate) identity: Identity,
    /// Where it is, for people.
    pub(crate) peer: String,
    /// Its address, over TCP.
    pub(crate) address: Option<IpAddr>,
    /// The nonce of its greeting.
    pub(crate) nonce: [u8; NONCE_LEN],
    /// Its server connection.
    pub(crate) link: Link,
    /// Status flags of the login.
    pub(crate) status: StatusFlags,
    /// The default schema of the login.
    pub(crate) schema: Option<Vec<u8>>,
    /// Its place among all sessions.
    pub(crate) claim: Claim,
    /// Words from outside.
    pub(crate) control: Words,
    /// What the sessions of its thread share.
    pub(crate) local: Rc<Local>,
}

/// Hidden work that waits until it cannot be noticed: it would disturb what ROW_COUNT() and SHOW WARNINGS tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Deferred {
    /// `SET timestamp=DEFAULT`.
    clock: bool,
    /// Steadfast's own settings.
    hide: bool,
    /// They are not made, and `session_track_transaction_info` is among them: the server may not tell what is written.
    untracked: bool,
    /// The collation of the connection is to be asked for.
    collation: bool,
    /// Values of user variables are to be asked for.
    user_variables: bool,
    /// A statement that failed may have set system variables that MariaDB reports with the next change.
    variables: bool,
    /// Which user locks the session still holds is to be asked.
    user_locks: bool,
}

/// See the module.
pub(crate) struct Driver {
    shared: Arc<Shared>,
    client: ClientLeg,
    capabilities: Capabilities,
    identity: Identity,
    peer: String,
    address: Option<IpAddr>,
    nonce: [u8; NONCE_LEN],
    claim: Claim,
    control: Words,
    ear: Ear,
    local: Rc<Local>,
    number: u64,
    core: Session,
    link: Option<Link>,
    /// What it had before it changed anything.
    own: Rc<OwnSettings>,
    /// The state now, before the command that runs, and when the open transaction began.
    state: Rc<SessionState>,
    before: Rc<SessionState>,
    at_start: Rc<SessionState>,
    store: Store,
    next_handle: u64,
    /// Bytes of commands in the journal, as counted in the metric.
    journal_bytes: i64,
    /// The last one that the client was told of.
    last_outage: Option<Box<Outage>>,
    prepared: BTreeMap<u32, Rc<Prepared>>,
    next_statement: u32,
    last_prepared: u32,
    long_data: BTreeMap<u32, Vec<Bytes>>,
    dialect: Dialect,
    tracking: Tracking,
    status: StatusFlags,
    deferred: Deferred,
    /// What the client's last command left.
    aftermath: Aftermath,
    /// FOUND_ROWS() as the client's last SELECT left it, where a hidden SELECT has left another since.
    found_rows: Option<u64>,
    zombies: Vec<Zombie>,
    /// What is known of a KILL for the server connection.
    killed: Killed,
    /// A KILL that this session's client has sent.
    killing: Option<Box<Killing>>,
    /// The INSERT that told the id last: now, before the command that runs, and when the open transaction began.
    drawn: Option<Rc<Drawn>>,
    drawn_before: Option<Rc<Drawn>>,
    drawn_at_start: Option<Rc<Drawn>>,
    /// The LAST_INSERT_ID() that the server connection was given.
    restored_insert_id: u64,
    /// When the command that runs came.
    arrival: Arrival,
    /// The same, for as long as nothing has been waited for since.
    arrived: Option<tokio::time::Instant>,
    user_locks: UserLocks,
    /// The server has told that the session holds no user lock; the core is to be told.
    released: bool,
    /// Its account can use the ledger, as it was found at that time.
    ledger: (bool, tokio::time::Instant),
    /// Not after the transaction that is open, or was last, has read anything on the server: [`Lanes`] says why.
    ///
    /// [`Lanes`]: steadfast_session::ledger::Lanes
    began: steadfast_session::ledger::Moment,
    /// The recorded COMMIT whose answer was lost.
    doubt: Option<Box<Doubt>>,
    /// How much of an answer that is to be held the client has already, and the next sequence id there.
    given: Option<(Mark, u8)>,
    /// The answer of a write that waits for its COMMIT.
    held: Option<Box<HeldAnswer>>,
    /// The running command has been answered, and not with an error.
    succeeded: bool,
    /// Its part of the memory for commands.
    memory: Memory,
    turn: Option<Turn>,
    /// The recovery in which this session last replayed.
    wave: Option<u64>,
    outage: Option<Box<Outage>>,
    /// What is known of the last loss.
    account: Option<Rc<Account>>,
    /// The last error of the server behind which it ends a connection, and when it came.
    last_word: Option<Box<(u16, String, tokio::time::Instant)>>,
    /// Sequence id of the first packet of the running command's response.
    reply_from: u8,
    /// Sequence id of the next packet to the client.
    sequence: u8,
    /// How much of the running command's response the client has.
    mark: Option<Mark>,
    /// The client had a part of the last response before it was complete.
    streamed: bool,
    /// Nobody else may get its server connection: a KILL for it may be on its way, or it was changed in a way that no
    /// login takes back.
    alone: bool,
    /// The session was told to end while its client waited for an answer: it ends when the client has one.
    closing: bool,
    random: u64,
}

impl Driver {
    /// A session that has just logged in.
    pub(crate) fn new(start: Start) -> Box<Self> {
        let limits = start.shared.limits;
        let autocommit = start.link.own.autocommits;
        let status = Status {
            in_transaction: start.status.contains(StatusFlags::IN_TRANS),
            autocommit,
        };
        let mut flags = start.status;
        flags.set(StatusFlags::AUTOCOMMIT, autocommit);
        let state = Rc::new(SessionState::new(start.schema.as_deref()));
        let number = start.shared.number();
        let mut client = start.client;
        client.count(&start.local.tally);
        let mut driver = Box::new(Self {
            client,
            capabilities: start.capabilities,
            identity: start.identity,
            peer: start.peer,
            address: start.address,
            nonce: start.nonce,
            claim: start.claim,
            control: start.control,
            ear: start.local.bell.ear(),
            local: start.local,
            number,
            core: Session::new(limits, status),
            before: Rc::clone(&state),
            at_start: Rc::clone(&state),
            state,
            store: Store::default(),
            next_handle: 0,
            journal_bytes: 0,
            last_outage: None,
            prepared: BTreeMap::new(),
            next_statement: 1,
            last_prepared: 0,
            long_data: BTreeMap::new(),
            dialect: start.link.dialect(),
            tracking: Tracking::default(),
            status: flags,
            deferred: Deferred::default(),
            aftermath: Aftermath::default(),
            found_rows: None,
            zombies: Vec::new(),
            killed: Killed::No,
            killing: None,
            drawn: None,
            drawn_before: None,
            drawn_at_start: None,
            restored_insert_id: 0,
            arrival: Arrival::default(),
            arrived: None,
            user_locks: UserLocks::default(),
            released: false,
            ledger: (start.link.ledger, tokio::time::Instant::now()),
            began: steadfast_session::ledger::Moment::default(),
            doubt: None,
            given: None,
            held: None,
            succeeded: false,
            memory: Memory::new(Arc::clone(&start.shared.command_memory)),
            turn: None,
            wave: None,
            outage: None,
            account: None,
            last_word: None,
            reply_from: 0,
            sequence: 0,
            mark: None,
            streamed: false,
            alone: false,
            closing: false,
            random: number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            own: Rc::clone(&start.link.own),
            link: Some(start.link),
            shared: start.shared,
        });
        driver.learn_settings();
        driver
    }

    /// Serves the client until it leaves.
    ///
    /// What a command needs has room of its own while commands come ([`Driver::serve`]), and what hardly ever happens
    /// while it does ([`Box::pin`]): a session that only waits has none of it.
    #[expect(
        clippy::manual_async_fn,
        reason = "an async fn would keep its argument twice in each session that waits"
    )]
    pub(crate) fn run(mut self: Box<Self>) -> impl Future<Output = ()> {
        async move {
            loop {
                let next = poll_fn(|context| self.poll_next(context, None)).await;
                if let Err(exit) = self.follow(next).await {
                    Box::pin(self.end(exit)).await;
                    return;
                }
            }
        }
    }

    /// What follows from that, in a place of its own. Not an `async fn`: its place would have room for all of it.
    fn follow(
        &mut self,
        next: Result<Next, Exit>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Exit>> + '_>> {
        match next {
            Ok(Next::Command(packet)) => Box::pin(self.serve(packet)),
            Ok(Next::Lost(end)) => Box::pin(self.lost_while_idle(end)),
            Ok(Next::TooMuch(size)) => Box::pin(self.has_too_much(size)),
            Ok(Next::Rest) => Box::pin(ready(Ok(()))),
            Err(exit) => Box::pin(ready(Err(exit))),
        }
    }

    /// Serves a command, and those that follow it, until none has come for a while.
    async fn serve(&mut self, first: Packet) -> Result<(), Exit> {
        let awake = self.local.pace.wake();
        let mut next = Next::Command(first);
        loop {
            match next {
                Next::Command(packet) => self.command(packet).await?,
                Next::Lost(end) => Box::pin(self.lost_while_idle(end)).await?,
                Next::TooMuch(size) => return Box::pin(self.has_too_much(size)).await,
                Next::Rest => {
                    self.rest();
                    return Ok(());
                }
            }
            let rest_at = Some((&awake, awake.rest_at()));
            next = poll_fn(|context| self.poll_next(context, rest_at)).await?;
        }
    }

    /// The rest of a packet cannot be skipped: it may be as long as it likes.
    async fn has_too_much(&mut self, size: u64) -> Result<(), Exit> {
        self.out_of_memory(size).await?;
        Err(Exit::Closed)
    }

    /// Gives back what only commands need.
    fn rest(&mut self) {
        self.client.rest();
        if self.store.is_empty() {
            self.store = Store::default();
        }
        if let Some(link) = &mut self.link {
            link.relay.rest();
            link.connection.login_ok = None;
        }
        // No command runs.
        self.before = Rc::clone(&self.state);
        for state in [&mut self.state, &mut self.before, &mut self.at_start] {
            self.local.states.share(state);
        }
    }

    async fn lost_while_idle(&mut self, end: End) -> Result<(), Exit> {
        let event = self.lost(end, Sent::Nothing).await;
        self.carry_out(event).await?;
        if let Some(outage) = &self.outage
            && outage.stage == Stage::Idle
        {
            self.record(outage, Recovery::Idle.outcome(0), 0, Duration::ZERO);
        }
        Ok(())
    }

    /// Gives the core an event and carries out what it decides, until the command in flight has its answer or the
    /// session is idle.
    async fn carry_out(&mut self, event: Event) -> Result<(), Exit> {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            let actions = self.core.step(event);
            for action in actions.iter() {
                let event = self.act(action).await?;
                if event.is_some() {
                    next = event;
                    break;
                }
            }
        }
        self.tell_released();
        if self.core.is_idle() {
            match self.outage.as_ref().map(|outage| outage.stage) {
                Some(_) if self.core.owes_a_loss() => self.enter(Stage::Owed),
                Some(Stage::Waits | Stage::IdleNoMore) => self.settle_outage(),
                Some(Stage::Idle | Stage::Owed) | None => {}
            }
        }
        Ok(())
    }

    /// Carries one action out; what comes of it, if the core has to know. All but the sending of a command is rare or waits
    /// for nothing, and takes no room in the future that every command has.
    async fn act(&mut self, action: Action) -> Result<Option<Event>, Exit> {
        Ok(match action {
            Action::Attach(attachment) => Some(Box::pin(self.attach(attachment)).await?),
            Action::Send(flight) => Some(self.send(&flight).await?),
            Action::Commit { flight, recorded } => {
                Some(Box::pin(self.commit(flight, recorded)).await?)
            }
            Action::Resolve => Some(Box::pin(self.resolve()).await?),
            Action::Acknowledge(flight) => {
                Box::pin(self.acknowledge_committed(flight)).await?;
                None
            }
            Action::ReplayOpening => Some(Box::pin(self.replay_opening()).await?),
            Action::Replay(index) => Some(Box::pin(self.replay(index)).await?),
            Action::EndReplay => Box::pin(self.end_replay()).await?,
            Action::Probe => Some(Box::pin(self.probe()).await?),
            Action::ProveInsertId(told) => Some(Box::pin(self.prove_insert_id(told)).await),
            Action::Fail(failure) => {
                Box::pin(self.fail(failure)).await?;
                None
            }
            Action::EndHeld(failure) => {
                Box::pin(self.interrupted_with(failure)).await?;
                None
            }
            Action::EndWaiting(failure) => {
                Box::pin(self.interrupt_waiting(failure)).await?;
                None
            }
            Action::AcknowledgeRollback => {
                Box::pin(self.acknowledge(false)).await?;
                None
            }
            Action::Discard => {
                self.discard();
                None
            }
            Action::Opened => {
                self.at_start = Rc::clone(&self.before);
                self.drawn_at_start = self.drawn_before.take();
                None
            }
            Action::OpenedChained | Action::KeepOpening => {
                self.at_start = Rc::clone(&self.state);
                self.drawn_at_start = self.drawn.clone();
                None
            }
            Action::Keep(handle) => {
                self.keep(handle);
                None
            }
            Action::Settled => {
                self.forget_journal();
                None
            }
        })
    }

    fn keep(&mut self, handle: Handle) {
        if let Some(stored) = self.store.get(handle.0) {
            let size = stored.size() as i64;
            self.journal_bytes += size;
            self.shared.metrics.journal_bytes.inc_by(size);
        }
    }

    /// No transaction is open any more: only the command that runs is kept.
    fn forget_journal(&mut self) {
        self.turn = None;
        // A server that is gone has not said that its transaction's characteristics are.
        if !self.state.characteristics().is_empty() {
            Rc::make_mut(&mut self.state).set_characteristics(b"");
        }
        self.shared.metrics.journal_bytes.dec_by(self.journal_bytes);
        self.journal_bytes = 0;
        let running = self.next_handle.saturating_sub(1);
        self.store.keep_only(running);
    }

    async fn answer_error(
        &mut self,
        code: u16,
        sqlstate: [u8; 5],
        message: &[u8],
    ) -> Result<(), Exit> {
        let capabilities = self.capabilities;
        self.sequence = self.client.queue(self.sequence, |out| {
            ErrPacket {
                code,
                sqlstate: Some(sqlstate),
                message,
            }
            .write(out, capabilities);
        });
        self.client.flush().await.map_err(Exit::ClientGone)
    }

    /// An OK of Steadfast's own; `in_transaction`: another one has begun.
    async fn acknowledge(&mut self, in_transaction: bool) -> Result<(), Exit> {
        self.succeeded = true;
        let capabilities = self.capabilities;
        let kept = StatusFlags::NO_BACKSLASH_ESCAPES | StatusFlags::ANSI_QUOTES;
        let mut status = self.status & kept;
        status.set(StatusFlags::AUTOCOMMIT, self.core.autocommit());
        status.set(StatusFlags::IN_TRANS, in_transaction);
        self.sequence = self.client.queue(self.sequence, |out| {
            OkPacket::new(status).write(out, capabilities);
        });
        self.client.flush().await.map_err(Exit::ClientGone)
    }

    /// Ends the server connection: the server rolls back what is open on it.
    fn discard(&mut self) {
        if let Some(link) = self.link.take() {
            self.shared.metrics.server_connections.dec();
            if self.zombies.len() < MAX_ZOMBIES {
                self.zombies.push(link.zombie());
            }
            self.claim.set_server_id(None);
        }
    }

    /// The client is gone: what runs for it is killed, what is open rolls back at once.
    async fn end(mut self: Box<Self>, exit: Exit) {
        match &exit {
            Exit::ClientGone(error) => {
                tracing::debug!(client = %self.peer, "the client left without COM_QUIT: {error}");
                if self.outage.is_none() {
                    self.note_client_gone(error);
                }
            }
            Exit::Quit | Exit::Closed => {}
        }
        if let Some((outage, waited)) = self.end_outage() {
            match outage.stage {
                Stage::Idle => self.shared.metrics.recovered(Recovery::Idle, waited),
                _ => {
                    let how = match exit {
                        Exit::Quit | Exit::ClientGone(_) => "the client left",
                        Exit::Closed => {
                            "the client's connection was closed before its next command"
                        }
                    };
                    self.record(&outage, how.to_owned(), 0, waited);
                }
            }
        }
        self.turn = None;
        let busy = !self.core.is_idle();
        let holds = self.core.transaction().is_open() || !self.core.held().is_empty();
        // Lost connections may live on at the server, with locks and open transactions.
        let mut orphans = std::mem::take(&mut self.zombies);
        let mut left = None;
        if let Some(link) = self.link.take() {
            self.shared.metrics.server_connections.dec();
            let pools = !busy && self.may_pool(&link);
            // A KILL of this client must not hit the next one.
            self.claim.set_server_id(None);
            if busy {
                orphans.push(link.zombie());
            } else if holds || pools {
                left = Some((Box::new(link), pools));
            } else {
                link.connection.quit().await;
            }
        }
        if matches!(exit, Exit::Quit | Exit::Closed)
            && let Err(error) = self.client.shutdown().await
        {
            tracing::debug!(client = %self.peer, "the client was gone already: {error}");
        }
        self.forget_journal();
        drop(self.client);
        if left.is_some() || !orphans.is_empty() {
            // By itself, because that may take as long as an outage: the client's place is free. A drain waits for the
            // claim.
            let (shared, local) = (self.shared, self.local);
            let (identity, claim) = (self.identity, self.claim);
            tokio::task::spawn_local(async move {
                let mut kept = None;
                if let Some((mut link, pools)) = left {
                    if !recover::release(&shared, &mut link, pools).await {
                        orphans.extend(holds.then(|| link.zombie()));
                    } else if pools {
                        kept = Some(link);
                    } else {
                        link.connection.quit().await;
                    }
                }
                if !orphans.is_empty() {
                    recover::end_orphans(&shared, &identity, &orphans).await;
                }
                // The next client may be told the connection's id.
                drop(claim);
                if let Some(link) = kept.and_then(|link| local.pool.keep(&shared, link)) {
                    link.connection.quit().await;
                }
            });
        }
    }

    /// Whether the next client may get the server connection of this one, which has left. What a session holds that
    /// Steadfast does not know in detail is given back with the connection itself.
    fn may_pool(&self, link: &Link) -> bool {
        link.changes_user
            && !self.alone
            && link.connection.inbound.is_empty()
            && self.core.held().is_empty()
            && self.state.multi_statements().is_none()
            && !self.shared.drains()
            && self.shared.pooled.has_place()
    }
}

/// A server has not answered a hidden query in time.
fn silence() -> QueryError {
    QueryError::Lost(LossKind::Silence, std::io::ErrorKind::TimedOut.into())
}

/// How a hidden query's failure is a loss.
fn end_of(error: &QueryError) -> End {
    match error {
        QueryError::Lost(LossKind::Eof, _) => End::Fin,
        QueryError::Lost(LossKind::Silence, _) => End::Silence,
        QueryError::Lost(..) => End::Rst,
        QueryError::Server(error) => End::Said(error.code),
        QueryError::Dropped(_) | QueryError::TooLarge(_) | QueryError::Nonsense(_) => End::Nonsense,
    }
}

/// How an error of the socket is a loss.
fn end_of_io(error: &std::io::Error) -> End {
    match LossKind::of(error) {
        LossKind::Eof => End::Fin,
        LossKind::Silence => End::Silence,
        _ => End::Rst,
    }
}
