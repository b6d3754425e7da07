//! A client's command as the session driver sees it: what it is, what it may change, what answers it.

use std::rc::Rc;

use bytes::Bytes;
use steadfast_session::Statement;
use steadfast_sql::{Class, Dialect, Effects};
use steadfast_wire::command::{Command, code};
use steadfast_wire::walk::Expect;
use steadfast_wire::{Capabilities, Error};

use crate::prepared::Prepared;

/// A command with all that is needed to send it, now or again.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Its payload, with the client's statement id in it.
    pub(crate) payload: Bytes,
    /// What answers it.
    pub(crate) expect: Expect,
    /// What it may change.
    pub(crate) statement: Statement,
    /// The class of its text; `None` for commands without text.
    pub(crate) class: Option<Class>,
    /// The prepared statement that it executes, fetches from or resets.
    pub(crate) prepared: Option<Rc<Prepared>>,
    /// COM_STMT_SEND_LONG_DATA payloads that belong to it.
    pub(crate) long_data: Vec<Bytes>,
    /// The parameter types that are in force for an execution.
    pub(crate) types: Option<Rc<[u8]>>,
    /// It asks about the statement before, and its text has been given the answers.
    pub(crate) answered: bool,
    /// Rows that its result gets before those of the server, as payloads.
    pub(crate) added_rows: Option<Rc<[Vec<u8>]>>,
}

impl Stored {
    /// Lets go of all that takes memory.
    pub(crate) fn empty(&mut self) {
        self.payload = Bytes::new();
        self.prepared = None;
        self.long_data = Vec::new();
        self.types = None;
        self.added_rows = None;
    }

    /// Bytes that keeping it costs.
    pub(crate) fn size(&self) -> u64 {
        let long: usize = self.long_data.iter().map(Bytes::len).sum();
        (self.payload.len() + long) as u64
    }

    /// Whether it may change which statements write tables without transactions.
    pub(crate) fn may_change_tables(&self) -> bool {
        self.class
            .is_some_and(|class| class.effects.intersects(Effects::SCHEMA | Effects::UNKNOWN))
    }

    /// Its SQL text, for a COM_QUERY.
    pub(crate) fn text(&self) -> Option<&[u8]> {
        match self.payload.split_first() {
            Some((&code::QUERY, text)) => Some(text),
            _ => None,
        }
    }
}

/// What the driver does with a command.
#[derive(Clone, Debug)]
pub(crate) enum Incoming {
    /// Run it.
    Run(Stored),
    /// COM_QUIT.
    Quit,
    /// COM_STMT_CLOSE.
    Close(u32),
    /// COM_STMT_SEND_LONG_DATA for this statement.
    LongData(u32, Bytes),
    /// COM_CHANGE_USER.
    ChangeUser(Bytes),
    /// COM_PROCESS_KILL.
    Kill(u32),
    /// A statement that the client never prepared, or has closed.
    NoSuchStatement(u32, &'static str),
    /// A command that is not known or cannot be carried: binary logs.
    Unknown(u8),
}

/// What [`understand`] needs of the session.
pub(crate) trait Context {
    /// The class of a text.
    fn classify(&mut self, text: &[u8]) -> Class;
    /// The statement that a client's id stands for.
    fn prepared(&self, id: u32) -> Option<Rc<Prepared>>;
    /// Long data that came for a statement since it last ran.
    fn take_long_data(&mut self, id: u32) -> Vec<Bytes>;
    /// How text is lexed now.
    fn dialect(&self) -> Dialect;
}

/// MariaDB's id for the statement prepared last.
const LAST_PREPARED: u32 = u32::MAX;

/// Takes a payload apart. `last_prepared` is the id that the client was last told.
///
/// # Errors
/// The client is blamed for a payload that is cut.
pub(crate) fn understand(
    payload: Bytes,
    capabilities: Capabilities,
    last_prepared: u32,
    context: &mut impl Context,
) -> Result<Incoming, Error> {
    let parsed = Command::parse(&payload, capabilities)?;
    let plain = |statement, expect| {
        Incoming::Run(Stored {
            answered: false,
            added_rows: None,
            payload: payload.clone(),
            expect,
            statement,
            class: None,
            prepared: None,
            long_data: Vec::new(),
            types: None,
        })
    };
    let resolve = |id| {
        if id == LAST_PREPARED {
            last_prepared
        } else {
            id
        }
    };
    let expect = payload
        .first()
        .and_then(|&first| Expect::for_command(first))
        .unwrap_or(Expect::None);
    Ok(match parsed {
        Command::Quit => Incoming::Quit,
        Command::Query(query) => {
            let class = context.classify(query.text);
            Incoming::Run(Stored {
                answered: false,
                added_rows: None,
                expect,
                statement: Statement::of(&class),
                class: Some(class),
                prepared: None,
                long_data: Vec::new(),
                types: None,
                payload,
            })
        }
        Command::StmtPrepare(_)
        | Command::InitDb(_)
        | Command::FieldList { .. }
        | Command::Statistics
        | Command::ProcessInfo
        | Command::Debug
        | Command::Ping
        | Command::SetOption(_) => plain(Statement::HARMLESS, expect),
        Command::ResetConnection => plain(Statement::RESET, expect),
        Command::ChangeUser(_) => Incoming::ChangeUser(payload),
        Command::ProcessKill(id) => Incoming::Kill(id),
        Command::StmtExecute(execute) => {
            let Some(prepared) = context.prepared(resolve(execute.statement_id)) else {
                return Ok(Incoming::NoSuchStatement(
                    execute.statement_id,
                    "mysqld_stmt_execute",
                ));
            };
            execution(payload, capabilities, expect, prepared, context)?
        }
        Command::StmtBulkExecute(bulk) => {
            let Some(prepared) = context.prepared(resolve(bulk.statement_id)) else {
                return Ok(Incoming::NoSuchStatement(
                    bulk.statement_id,
                    "mysqld_stmt_bulk_execute",
                ));
            };
            execution(payload, capabilities, expect, prepared, context)?
        }
        Command::StmtFetch { statement_id, .. } => {
            let Some(prepared) = context.prepared(resolve(statement_id)) else {
                return Ok(Incoming::NoSuchStatement(statement_id, "mysqld_stmt_fetch"));
            };
            of_prepared(payload, expect, Statement::FETCH, prepared)
        }
        Command::StmtReset(id) => {
            let Some(prepared) = context.prepared(resolve(id)) else {
                return Ok(Incoming::NoSuchStatement(id, "mysqld_stmt_reset"));
            };
            context.take_long_data(prepared.id());
            of_prepared(payload, expect, Statement::HARMLESS, prepared)
        }
        Command::StmtSendLongData { statement_id, .. } => {
            Incoming::LongData(resolve(statement_id), payload)
        }
        Command::StmtClose(id) => Incoming::Close(resolve(id)),
        Command::Refresh(_) | Command::Shutdown => plain(Statement::UNKNOWN, expect),
        Command::BinlogDump(_) | Command::BinlogDumpGtid(_) | Command::RegisterReplica(_) => {
            Incoming::Unknown(payload.first().copied().unwrap_or_default())
        }
        Command::Unknown(first) => Incoming::Unknown(first),
    })
}

/// One execution of a prepared statement, or one in bulk.
fn execution(
    payload: Bytes,
    capabilities: Capabilities,
    expect: Expect,
    prepared: Rc<Prepared>,
    context: &mut impl Context,
) -> Result<Incoming, Error> {
    let class = prepared.class(context.dialect());
    let types = Some(prepared.types(&payload, capabilities)?);
    let long_data = context.take_long_data(prepared.id());
    Ok(Incoming::Run(Stored {
        answered: false,
        added_rows: None,
        expect,
        statement: Statement::of(&class),
        class: Some(class),
        prepared: Some(prepared),
        long_data,
        types,
        payload,
    }))
}

/// A command about a prepared statement that does not execute it.
fn of_prepared(
    payload: Bytes,
    expect: Expect,
    statement: Statement,
    prepared: Rc<Prepared>,
) -> Incoming {
    Incoming::Run(Stored {
        answered: false,
        added_rows: None,
        payload,
        expect,
        statement,
        class: None,
        prepared: Some(prepared),
        long_data: Vec::new(),
        types: None,
    })
}
