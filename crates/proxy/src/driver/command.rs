//! A command of the client: taken apart, and run or answered here.

use std::rc::Rc;

use bytes::Bytes;
use steadfast_session::{Boundary, Command, Event, Safety, Statement};
use steadfast_sql::{
    Class, Control, Dialect, Effects, Kind, PrepareSource, Tri, classify, execute_parts,
    prepare_parts, set_assignments,
};
use steadfast_wire::command::code;
use tokio::time::Instant;

use super::insert_id::Arrival;
use super::{Driver, Exit};
use crate::client::Packet;
use crate::command::{Context, Incoming, Stored, understand};
use crate::prepared::Prepared;

impl Context for Driver {
    fn classify(&mut self, text: &[u8]) -> Class {
        self.local.classes.borrow_mut().class(text, self.dialect)
    }

    fn prepared(&self, id: u32) -> Option<Rc<Prepared>> {
        self.prepared.get(&id).cloned()
    }

    fn take_long_data(&mut self, id: u32) -> Vec<Bytes> {
        self.long_data.remove(&id).unwrap_or_default()
    }

    fn dialect(&self) -> Dialect {
        self.dialect
    }
}

/// A command of the client.
enum Taken {
    /// To be run.
    Ready(Ready),
    Other(Box<Other>),
}

/// A command that is kept until it has its answer.
struct Ready {
    /// What the core is to know of it.
    command: Command,
    /// The command, if its text was given answers about the statement before.
    answered: Option<Box<Stored>>,
    may_change_tables: bool,
    /// The session ends with it, if it succeeds.
    ends_session: bool,
}

/// What is not run, or not as it came.
enum Other {
    Command(Incoming),
    OutOfOrder,
    /// With this text for the client.
    Malformed(String),
    /// Bytes.
    TooLarge {
        size: u64,
        limit: u64,
    },
    /// There is no room for so many bytes.
    OutOfMemory(u64),
}

impl From<Other> for Taken {
    fn from(other: Other) -> Self {
        Self::Other(Box::new(other))
    }
}

impl Driver {
    /// Takes a command and sees that it gets its answer.
    pub(super) async fn command(&mut self, packet: Packet) -> Result<(), Exit> {
        match self.take(packet) {
            Taken::Ready(ready) => self.run_ready(ready).await,
            Taken::Other(other) => Box::pin(self.answer(*other)).await,
        }
    }

    /// What most commands need before they are run, without a pause.
    fn take(&mut self, packet: Packet) -> Taken {
        self.reply_from = packet.next_sequence;
        self.sequence = packet.next_sequence;
        self.mark = None;
        self.local.tally.commands.add(1);
        if packet.sequence != 0 {
            return Other::OutOfOrder.into();
        }
        let capabilities = self.capabilities();
        let last = self.last_prepared;
        match understand(packet.payload, capabilities, last, self) {
            Ok(Incoming::Run(stored)) if !Self::may_kill(&stored) => self.ready(stored),
            Ok(incoming) => Other::Command(incoming).into(),
            Err(error) => Other::Malformed(format!("Steadfast: {error}")).into(),
        }
    }

    fn may_kill(stored: &Stored) -> bool {
        stored.prepared.is_none() && stored.class.is_some_and(|class| class.kind == Kind::Kill)
    }

    /// Answers what is not run as it is.
    async fn answer(&mut self, other: Other) -> Result<(), Exit> {
        let incoming = match other {
            Other::Command(incoming) => incoming,
            Other::OutOfOrder => {
                self.answer_error(1156, *b"08S01", b"Got packets out of order")
                    .await?;
                return Err(Exit::Closed);
            }
            Other::Malformed(text) => {
                return self.answer_error(1835, *b"HY000", text.as_bytes()).await;
            }
            Other::TooLarge { size, limit } => {
                let text = format!(
                    "Steadfast: a packet of {size} bytes is larger than the server takes \
                     (max_allowed_packet is {limit}); raise it with SET GLOBAL max_allowed_packet = {} \
                     and in my.cnf, or send less at once",
                    size.next_power_of_two()
                );
                self.note_too_large(size, limit);
                return self.answer_error(1153, *b"08S01", text.as_bytes()).await;
            }
            Other::OutOfMemory(size) => return Box::pin(self.out_of_memory(size)).await,
        };
        match incoming {
            Incoming::Run(stored) => Box::pin(self.run_or_kill(stored)).await,
            Incoming::Quit => Err(Exit::Quit),
            Incoming::Close(id) => {
                self.close_statement(id).await;
                Ok(())
            }
            Incoming::LongData(id, data) => {
                if !self.prepared.contains_key(&id) {
                    return Ok(());
                }
                let kept: usize = self.long_data.values().flatten().map(Bytes::len).sum();
                let size = kept + data.len();
                if self.memory.cover(size) {
                    self.long_data.entry(id).or_default().push(data);
                    return Ok(());
                }
                // The command has no answer, so there is no other way to say that it was not taken.
                Box::pin(self.out_of_memory(size as u64)).await?;
                Err(Exit::Closed)
            }
            Incoming::ChangeUser(payload) => Box::pin(self.change_user(&payload)).await,
            Incoming::Kill(id) => {
                let text =
                    Bytes::from([&[code::QUERY][..], format!("KILL {id}").as_bytes()].concat());
                let class = classify(&text[1..], self.dialect);
                Box::pin(self.run_or_kill(Stored {
                    answered: false,
                    added_rows: None,
                    payload: text,
                    expect: steadfast_wire::walk::Expect::Query,
                    statement: Statement::of(&class),
                    class: Some(class),
                    prepared: None,
                    long_data: Vec::new(),
                    types: None,
                }))
                .await
            }
            Incoming::NoSuchStatement(id, which) => {
                let text = format!("Unknown prepared statement handler ({id}) given to {which}");
                self.answer_error(1243, *b"HY000", text.as_bytes()).await
            }
            Incoming::Unknown(first) => {
                tracing::info!(client = %self.peer, "command {first:#04x} cannot be carried");
                self.answer_error(1047, *b"08S01", b"Unknown command").await
            }
        }
    }

    /// A KILL of another session is told to that one, or has its answer here.
    async fn run_or_kill(&mut self, mut stored: Stored) -> Result<(), Exit> {
        let done = if self.kill(&mut stored).await? {
            Ok(())
        } else {
            match self.ready(stored) {
                Taken::Ready(ready) => self.run_ready(ready).await,
                Taken::Other(other) => Box::pin(self.answer(*other)).await,
            }
        };
        // One that was answered here, or whose answer never came, must not speak through the next command.
        self.killing = None;
        done
    }

    /// Keeps a command until it has its answer.
    fn ready(&mut self, mut stored: Stored) -> Taken {
        if stored
            .class
            .is_some_and(|class| class.kind == Kind::Execute)
        {
            self.resolve_execute(&mut stored);
        }
        let ends_session = self.resolve_completion(&mut stored);
        if let Some(link) = &self.link {
            let limit = link.own.max_allowed_packet;
            let size = stored.payload.len() as u64;
            // The servers compare the payload with the limit and close the connection over it.
            if size > limit {
                return Other::TooLarge { size, limit }.into();
            }
        }
        self.answer_question(&mut stored);
        if !self.memory.cover(stored.size() as usize) {
            return Other::OutOfMemory(stored.size()).into();
        }
        // SET RESOURCE GROUP, for one, lasts as long as the connection (MySQL 9.7.4).
        self.alone |= stored
            .class
            .is_some_and(|class| class.effects.contains(Effects::ADMIN));
        let statement = stored.statement;
        let asks = Self::asks_about_the_statement_before(&stored);
        let bytes = stored.size();
        let may_change_tables = stored.may_change_tables();
        // The server commits each row of a bulk execution by itself; in a transaction an error would take all.
        let in_bulk = stored.payload.first() == Some(&code::STMT_BULK_EXECUTE);
        let now = Instant::now();
        self.arrived = Some(now);
        let ledger = !in_bulk
            && self.uses_ledger(now)
            && self.may_be_wrapped(&stored)
            && self.only_switches(&stored);
        let answered = stored.answered.then(|| Box::new(stored.clone()));
        let handle = self.store(stored);
        // Setting a time would disturb what the statement asks about the one before it.
        self.arrival = Arrival {
            clock: self.shared.clock.at(now),
            definitions: self.shared.health.definitions(),
        };
        let clock = self
            .arrival
            .clock
            .filter(|_| !self.state.clock_is_frozen() && !asks);
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.succeeded = false;
        Taken::Ready(Ready {
            command: Command {
                handle,
                statement,
                bytes,
                clock,
                random: self.random,
                ledger,
            },
            answered,
            may_change_tables,
            ends_session,
        })
    }

    async fn run_ready(&mut self, ready: Ready) -> Result<(), Exit> {
        let done = self.carry_out(Event::Command(ready.command)).await;
        if ready.may_change_tables {
            // Also where nobody knows whether it did.
            self.shared.health.tables_changed();
        }
        if let Some(stored) = ready.answered {
            Box::pin(self.close_answered(&stored)).await;
        }
        if done.is_ok() {
            // Of one whose client has left the incident tells.
            self.forget_answered();
        }
        if self.long_data.is_empty() {
            self.memory.release();
        }
        if ready.ends_session && self.succeeded {
            // As the server does after RELEASE.
            return done.and(Err(Exit::Closed));
        }
        done
    }

    /// What `completion_type` makes of a COMMIT or ROLLBACK that does not say itself what is to come after it. True:
    /// the session ends with it.
    fn resolve_completion(&self, stored: &mut Stored) -> bool {
        let Some(class) = stored.class else {
            return false;
        };
        let (Control::Commit { release, .. } | Control::Rollback { release, .. }) = class.control
        else {
            return false;
        };
        let by_default = self.setting("completion_type");
        if by_default == b"CHAIN" {
            stored.statement = stored.statement.chained_by_default(&class);
        }
        release == Tri::Yes || (release == Tri::Unset && by_default == b"RELEASE")
    }

    /// The memory for commands is used up.
    pub(super) async fn out_of_memory(&mut self, size: u64) -> Result<(), Exit> {
        let text = format!(
            "Steadfast: a command of {size} bytes does not fit into the memory for commands \
             (limits.command_memory is {} KiB for all sessions); raise it, or send less at once",
            self.shared.command_memory_kib
        );
        self.answer_error(1153, *b"08S01", text.as_bytes()).await
    }

    /// What EXECUTE runs is what was prepared under its name.
    fn resolve_execute(&self, stored: &mut Stored) {
        let Some(text) = stored.text() else { return };
        let Some(execute) = execute_parts(text, self.dialect) else {
            return;
        };
        let Some(prepare) = self.state.prepared(&execute.name) else {
            return;
        };
        let Some(parts) = prepare_parts(prepare, self.dialect) else {
            return;
        };
        if let PrepareSource::Literal(inner) = parts.source {
            let class = classify(&inner, self.dialect);
            if execute.using && class.control != Control::None {
                // It has no placeholders, and the server refuses values for them: nothing is committed.
                return;
            }
            stored.statement = Statement::of(&class);
            stored.class = Some(Class {
                kind: Kind::Execute,
                ..class
            });
        }
    }

    /// Whether a SET that switches autocommit does nothing else: the servers look at all that it assigns before they
    /// assign any, and may refuse it. What it would commit must then not be committed.
    fn only_switches(&self, stored: &Stored) -> bool {
        let Some(Control::SetAutocommit(_)) = stored.class.map(|class| class.control) else {
            return true;
        };
        let text = match &stored.prepared {
            Some(prepared) => prepared.text(),
            None => stored.text().unwrap_or_default(),
        };
        let mut assignments = set_assignments(text, self.dialect);
        let literal = assignments.next().is_some_and(|first| first.literal);
        literal && assignments.next().is_none()
    }

    async fn close_statement(&mut self, id: u32) {
        self.long_data.remove(&id);
        if let Some(prepared) = self.prepared.remove(&id) {
            self.close_there(&prepared).await;
        }
    }

    /// Closes a statement on the server connection.
    pub(super) async fn close_there(&mut self, prepared: &Prepared) {
        let Some(link) = &mut self.link else { return };
        if let Some(there) = prepared.on(link.number) {
            // The journal of an open transaction may still run it: then it is prepared again.
            prepared.closed();
            let mut bytes = vec![5, 0, 0, 0, code::STMT_CLOSE];
            bytes.extend_from_slice(&there.id.to_le_bytes());
            use tokio::io::AsyncWriteExt;
            if let Err(error) = link.connection.stream.write_all(&bytes).await {
                // It is closed with its connection; the next read finds out.
                tracing::debug!("a statement was not closed: {error}");
            }
        }
    }

    /// Whether a command ended the session's life so far.
    pub(super) fn is_reset(stored: &Stored) -> bool {
        stored.statement.boundary == Boundary::Reset && stored.statement.safety == Safety::Harmless
    }
}
