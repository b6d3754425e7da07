//! What a client asks: commands, parsed from and written to payloads.
//!
//! Source: MySQL internals manual, *Command Phase*; MariaDB, *Text Protocol* and *Binary Protocol*.

mod change_user;
pub mod code;
mod execute;
mod query;

pub use change_user::ChangeUser;
pub use execute::{BulkExecute, Execute, ParameterTypes, Parameters, execute_flags};
pub use query::{Attribute, Query, QueryAttributes};

use crate::capability::Capabilities;
use crate::error::{Error, Peer};
use crate::payload::Reader;

/// A command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// The client leaves.
    Quit,
    /// Changes the default database.
    InitDb(&'a [u8]),
    /// Runs SQL text.
    Query(Query<'a>),
    /// Lists a table's columns. Deprecated.
    FieldList {
        /// Table.
        table: &'a [u8],
        /// Pattern for columns.
        wildcard: &'a [u8],
    },
    /// Flushes something; bits say what. Deprecated.
    Refresh(u8),
    /// Stops the server. Deprecated.
    Shutdown,
    /// Asks for a line of statistics.
    Statistics,
    /// Lists the sessions. Deprecated.
    ProcessInfo,
    /// Kills a connection. Deprecated.
    ProcessKill(u32),
    /// Makes the server write to its error log.
    Debug,
    /// Asks whether the server is alive.
    Ping,
    /// Logs in again on the same connection.
    ChangeUser(ChangeUser<'a>),
    /// Asks for a binary log by position; the data behind the command.
    BinlogDump(&'a [u8]),
    /// Asks for a binary log by GTID; the data behind the command.
    BinlogDumpGtid(&'a [u8]),
    /// Registers a replica; the data behind the command.
    RegisterReplica(&'a [u8]),
    /// Prepares a statement.
    StmtPrepare(&'a [u8]),
    /// Executes a prepared statement.
    StmtExecute(Execute<'a>),
    /// MariaDB: executes a prepared statement for many rows of parameters.
    StmtBulkExecute(BulkExecute<'a>),
    /// Sends a part of a parameter. There is no answer.
    StmtSendLongData {
        /// Statement.
        statement_id: u32,
        /// Index of the parameter, from 0.
        parameter: u16,
        /// What is appended to its value.
        data: &'a [u8],
    },
    /// Forgets a statement. There is no answer.
    StmtClose(u32),
    /// Forgets a statement's long data and cursor.
    StmtReset(u32),
    /// Fetches rows from a cursor.
    StmtFetch {
        /// Statement.
        statement_id: u32,
        /// Most rows to send.
        rows: u32,
    },
    /// Switches multi-statements: 0 on, 1 off.
    SetOption(u16),
    /// Resets the session's state.
    ResetConnection,
    /// A command that is not known here; its first byte.
    Unknown(u8),
}

impl<'a> Command<'a> {
    /// Reads a payload that came under these capabilities.
    ///
    /// A COM_QUERY, COM_STMT_PREPARE, COM_STMT_EXECUTE or COM_STMT_SEND_LONG_DATA may be given as the beginning of
    /// its payload, if it holds the fixed fields and query attributes: text and values are then cut.
    ///
    /// # Errors
    /// The client is blamed for a command that is cut.
    pub fn parse(payload: &'a [u8], capabilities: Capabilities) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Peer::Client, "command");
        let command = reader.u8("it is empty")?;
        const STATEMENT: &str = "the statement id is cut";
        Ok(match command {
            code::QUIT => Command::Quit,
            code::INIT_DB => Command::InitDb(reader.rest()),
            code::QUERY => Command::Query(Query::parse(payload, capabilities)?),
            code::FIELD_LIST => {
                let table = reader.nul_bytes("the table is not terminated")?;
                Command::FieldList {
                    table,
                    wildcard: reader.rest(),
                }
            }
            code::REFRESH => Command::Refresh(reader.u8("the bits are missing")?),
            code::SHUTDOWN => Command::Shutdown,
            code::STATISTICS => Command::Statistics,
            code::PROCESS_INFO => Command::ProcessInfo,
            code::PROCESS_KILL => Command::ProcessKill(reader.u32("the connection id is cut")?),
            code::DEBUG => Command::Debug,
            code::PING => Command::Ping,
            code::CHANGE_USER => Command::ChangeUser(ChangeUser::parse(payload, capabilities)?),
            code::BINLOG_DUMP => Command::BinlogDump(reader.rest()),
            code::BINLOG_DUMP_GTID => Command::BinlogDumpGtid(reader.rest()),
            code::REGISTER_SLAVE => Command::RegisterReplica(reader.rest()),
            code::STMT_PREPARE => Command::StmtPrepare(reader.rest()),
            code::STMT_EXECUTE => Command::StmtExecute(Execute::parse(payload)?),
            code::STMT_BULK_EXECUTE => Command::StmtBulkExecute(BulkExecute::parse(payload)?),
            code::STMT_SEND_LONG_DATA => Command::StmtSendLongData {
                statement_id: reader.u32(STATEMENT)?,
                parameter: reader.u16("the parameter is cut")?,
                data: reader.rest(),
            },
            code::STMT_CLOSE => Command::StmtClose(reader.u32(STATEMENT)?),
            code::STMT_RESET => Command::StmtReset(reader.u32(STATEMENT)?),
            code::STMT_FETCH => Command::StmtFetch {
                statement_id: reader.u32(STATEMENT)?,
                rows: reader.u32("the number of rows is cut")?,
            },
            code::SET_OPTION => Command::SetOption(reader.u16("the option is cut")?),
            code::RESET_CONNECTION => Command::ResetConnection,
            unknown => Command::Unknown(unknown),
        })
    }

    /// Appends the payload for a receiver with these capabilities.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] for strings and lengths that the payload has no room for; an unknown command is
    /// one of them, because its data is not here.
    pub fn write(&self, out: &mut Vec<u8>, capabilities: Capabilities) -> Result<(), Error> {
        match *self {
            Command::Quit => out.push(code::QUIT),
            Command::InitDb(schema) => put(out, code::INIT_DB, schema),
            Command::Query(query) => query.write(out, capabilities),
            Command::FieldList { table, wildcard } => {
                crate::handshake::no_nul(table, "the table's name contains a NUL")?;
                put(out, code::FIELD_LIST, table);
                put(out, 0, wildcard);
            }
            Command::Refresh(bits) => put(out, code::REFRESH, &[bits]),
            Command::Shutdown => out.push(code::SHUTDOWN),
            Command::Statistics => out.push(code::STATISTICS),
            Command::ProcessInfo => out.push(code::PROCESS_INFO),
            Command::ProcessKill(id) => put(out, code::PROCESS_KILL, &id.to_le_bytes()),
            Command::Debug => out.push(code::DEBUG),
            Command::Ping => out.push(code::PING),
            Command::ChangeUser(change) => change.write(out, capabilities)?,
            Command::BinlogDump(data) => put(out, code::BINLOG_DUMP, data),
            Command::BinlogDumpGtid(data) => put(out, code::BINLOG_DUMP_GTID, data),
            Command::RegisterReplica(data) => put(out, code::REGISTER_SLAVE, data),
            Command::StmtPrepare(text) => put(out, code::STMT_PREPARE, text),
            Command::StmtExecute(execute) => execute.write(out),
            Command::StmtBulkExecute(bulk) => bulk.write(out),
            Command::StmtSendLongData {
                statement_id,
                parameter,
                data,
            } => {
                put(out, code::STMT_SEND_LONG_DATA, &statement_id.to_le_bytes());
                out.extend_from_slice(&parameter.to_le_bytes());
                out.extend_from_slice(data);
            }
            Command::StmtClose(id) => put(out, code::STMT_CLOSE, &id.to_le_bytes()),
            Command::StmtReset(id) => put(out, code::STMT_RESET, &id.to_le_bytes()),
            Command::StmtFetch { statement_id, rows } => {
                put(out, code::STMT_FETCH, &statement_id.to_le_bytes());
                out.extend_from_slice(&rows.to_le_bytes());
            }
            Command::SetOption(option) => put(out, code::SET_OPTION, &option.to_le_bytes()),
            Command::ResetConnection => out.push(code::RESET_CONNECTION),
            Command::Unknown(_) => {
                return Err(Error::Unrepresentable {
                    what: "the data of an unknown command is not kept",
                });
            }
        }
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, first: u8, rest: &[u8]) {
    out.push(first);
    out.extend_from_slice(rest);
}
