//! Follows one response of a server, packet by packet, and tells where it ends.
//!
//! The walker sees the first byte and the length of each packet, and the whole of those that change its state. It
//! allocates nothing, keeps no bytes and is `Copy`: it sits on the path of every row.

use crate::capability::{Capabilities, StatusFlags};
use crate::command::code;
use crate::error::{Error, Peer};
use crate::frame::MAX_FRAME;
use crate::response::{ColumnCount, EofPacket, ErrPacket, OkPacket, PrepareOk, ProgressReport};

/// Longest payload that [`ResponseWalker::packet`] may need whole, in bytes: 1 MiB. An OK with all session variables
/// of MariaDB 11 stays below 64 KiB; a set of GTIDs may be longer.
pub const MAX_WHOLE: u64 = 1 << 20;

/// A packet with first byte 0xFE and fewer bytes than this is EOF where DEPRECATE_EOF is not in use.
const EOF_BELOW: u64 = 9;

/// What answers a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Expect {
    /// COM_QUERY, COM_PROCESS_INFO: results of the text protocol.
    Query,
    /// COM_STMT_PREPARE.
    Prepare,
    /// COM_STMT_EXECUTE, COM_STMT_BULK_EXECUTE: results of the binary protocol, or an opened cursor.
    Execute,
    /// COM_STMT_FETCH: rows of the binary protocol.
    Fetch,
    /// COM_FIELD_LIST: column definitions.
    FieldList,
    /// OK, EOF or ERR.
    Simple,
    /// COM_STATISTICS: a text.
    Statistics,
    /// COM_QUIT, COM_STMT_CLOSE, COM_STMT_SEND_LONG_DATA: nothing.
    None,
    /// COM_CHANGE_USER and the login: the authentication dialogue.
    AuthLike,
    /// COM_BINLOG_DUMP: events.
    Stream,
}

impl Expect {
    /// What answers a command with this first byte; `None` if the command is not known.
    pub const fn for_command(command: u8) -> Option<Self> {
        Some(match command {
            code::QUERY | code::PROCESS_INFO => Expect::Query,
            code::STMT_PREPARE => Expect::Prepare,
            code::STMT_EXECUTE | code::STMT_BULK_EXECUTE => Expect::Execute,
            code::STMT_FETCH => Expect::Fetch,
            code::FIELD_LIST => Expect::FieldList,
            code::STATISTICS => Expect::Statistics,
            code::QUIT | code::STMT_CLOSE | code::STMT_SEND_LONG_DATA => Expect::None,
            code::CHANGE_USER => Expect::AuthLike,
            code::BINLOG_DUMP | code::BINLOG_DUMP_GTID | code::TABLE_DUMP => Expect::Stream,
            code::INIT_DB
            | code::CREATE_DB
            | code::DROP_DB
            | code::REFRESH
            | code::SHUTDOWN
            | code::PROCESS_KILL
            | code::DEBUG
            | code::PING
            | code::REGISTER_SLAVE
            | code::STMT_RESET
            | code::SET_OPTION
            | code::RESET_CONNECTION => Expect::Simple,
            _ => return None,
        })
    }
}

/// Numbers and flags at the end of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Summary {
    /// Rows changed, or found with FOUND_ROWS; 0 where only EOF came.
    pub affected_rows: u64,
    /// First generated AUTO_INCREMENT value; 0 where only EOF came.
    pub last_insert_id: u64,
    /// State of the session.
    pub status: StatusFlags,
    /// Number of warnings.
    pub warnings: u16,
}

impl Summary {
    /// Whether another result follows in the same response.
    pub const fn more_results(self) -> bool {
        self.status.contains(StatusFlags::MORE_RESULTS_EXISTS)
    }
}

/// Which definitions an EOF ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Definitions {
    /// Those of a statement's parameters.
    Parameters,
    /// Those of columns.
    Columns,
}

/// What a packet was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Seen {
    /// A resultset begins.
    ColumnCount {
        /// Its columns.
        columns: u32,
        /// Whether their definitions follow.
        definitions_follow: bool,
    },
    /// Definition of a column.
    ColumnDefinition,
    /// Definition of a statement's parameter.
    ParameterDefinition,
    /// The end of definitions. After those of columns it opens a cursor if it has CURSOR_EXISTS: then there are no
    /// rows and the response has ended.
    Eof {
        /// Which definitions.
        after: Definitions,
        /// State of the session.
        status: StatusFlags,
        /// Number of warnings.
        warnings: u16,
    },
    /// A row.
    Row,
    /// A result without rows.
    Ok(Summary),
    /// The end of rows, of COM_FIELD_LIST, or of a stream. With CURSOR_EXISTS directly after column definitions it
    /// opens a cursor.
    ResultEnd(Summary),
    /// An error. It ends the response; a resultset that had begun is void. Between responses it is the server's last
    /// word before it closes the connection, like MySQL's 4031 after `wait_timeout`.
    Err {
        /// Error number.
        code: u16,
        /// SQLSTATE.
        sqlstate: Option<[u8; 5]>,
    },
    /// MariaDB's progress report. It ends nothing.
    Progress,
    /// The server waits for a file from the client, then answers with OK or ERR.
    LocalInfile,
    /// A statement is prepared.
    PrepareOk(PrepareOk),
    /// The text of COM_STATISTICS.
    Statistics,
    /// A step of the authentication: the client's turn, or more data to come.
    Auth,
    /// An event of a stream.
    Event,
}

/// One packet of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    /// What it was.
    pub seen: Seen,
    /// Whether the whole response has ended with it.
    pub ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    /// Between responses.
    Idle,
    /// The first packet of a result.
    Header,
    /// OK or ERR after a local file.
    FileAnswer,
    ParameterDefinitions {
        left: u16,
        columns: u16,
    },
    ParametersEof {
        columns: u16,
        follow: bool,
    },
    ColumnDefinitions {
        left: u32,
    },
    ColumnsEof,
    Rows,
    FieldList,
    Simple,
    Statistics,
    Auth,
    Stream,
}

/// Follows responses on one connection.
///
/// Give it each logical packet's first byte and length, and the whole payload where
/// [`wants_whole`](Self::wants_whole) says so. For a packet of several frames the length of the first frame,
/// [`MAX_FRAME`], is as good as the length of the packet. Sequence ids are not its business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResponseWalker {
    capabilities: Capabilities,
    expect: Expect,
    state: State,
}

impl ResponseWalker {
    /// Between responses, on a connection with these capabilities.
    pub const fn new(capabilities: Capabilities) -> Self {
        ResponseWalker {
            capabilities,
            expect: Expect::None,
            state: State::Idle,
        }
    }

    /// The connection's capabilities.
    pub const fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// A command was sent: its response begins. An unfinished one is forgotten.
    pub const fn begin(&mut self, expect: Expect) {
        self.expect = expect;
        self.state = match expect {
            Expect::None => State::Idle,
            Expect::Query | Expect::Prepare | Expect::Execute => State::Header,
            Expect::Fetch => State::Rows,
            Expect::FieldList => State::FieldList,
            Expect::Simple => State::Simple,
            Expect::Statistics => State::Statistics,
            Expect::AuthLike => State::Auth,
            Expect::Stream => State::Stream,
        };
    }

    /// Whether no response is due.
    pub const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether the server waits for the packets of a local file.
    pub const fn awaits_file(&self) -> bool {
        matches!(self.state, State::FileAnswer)
    }

    /// Whether the next packet is a row or the end of rows.
    pub const fn in_rows(&self) -> bool {
        matches!(self.state, State::Rows)
    }

    /// Whether a packet with this first byte and length is a row here. Rows change nothing: those of which this has been
    /// asked need not be given to [`packet`](Self::packet).
    pub fn is_row(&self, first: u8, len: u64) -> bool {
        self.in_rows() && first != 0xFF && !self.is_end(first, len) && self.row(first, len).is_ok()
    }

    /// Whether clients expect that the response breaks off here with an ERR: among rows or events and between results, not
    /// among definitions.
    pub const fn may_break_off(&self) -> bool {
        matches!(self.state, State::Rows | State::Stream | State::Header)
    }

    /// Whether the packet with this first byte and length must be given whole; otherwise its first byte is enough.
    ///
    /// # Errors
    /// [`Error::TooLarge`] if it would have to be whole and has more than [`MAX_WHOLE`] bytes.
    pub fn wants_whole(&self, first: u8, len: u64) -> Result<bool, Error> {
        let whole = match self.state {
            State::Rows | State::FieldList | State::Stream => {
                first == 0xFF || self.is_end(first, len)
            }
            State::Idle
            | State::ParameterDefinitions { .. }
            | State::ColumnDefinitions { .. }
            | State::Statistics => first == 0xFF,
            State::Auth => first == 0x00 || first == 0xFF,
            State::Header
            | State::FileAnswer
            | State::ParametersEof { .. }
            | State::ColumnsEof
            | State::Simple => true,
        };
        if whole && len > MAX_WHOLE {
            return Err(Error::TooLarge {
                peer: Peer::Server,
                what: "bytes in a packet that is no row",
                size: len,
                limit: MAX_WHOLE,
            });
        }
        Ok(whole)
    }

    /// Takes the next packet: `head` is the whole payload or at least its first byte, `len` the payload's length.
    ///
    /// # Errors
    /// The server is blamed for a packet that cannot come here; the connection is of no use after that.
    /// [`Error::Misused`] if the head is shorter than [`wants_whole`](Self::wants_whole) says.
    pub fn packet(&mut self, head: &[u8], len: u64) -> Result<Step, Error> {
        let Some(&first) = head.first() else {
            return Err(if len == 0 {
                self.malformed("it is empty")
            } else {
                Error::Misused {
                    what: "the walker needs the first byte of each packet",
                }
            });
        };
        if self.wants_whole(first, len)? && head.len() as u64 != len {
            return Err(Error::Misused {
                what: "the walker needs this packet whole",
            });
        }
        // 0xFF begins no length-encoded integer, so it is an ERR wherever a packet of the server may stand.
        if first == 0xFF {
            return self.err(head);
        }
        match self.state {
            State::Idle => Err(self.unexpected(first, "no packet")),
            State::Header if self.expect == Expect::Prepare => self.prepare_ok(head),
            State::Header => self.result_header(head),
            State::FileAnswer => self.ok(head, "OK or ERR after a local file"),
            State::Simple if first == 0xFE => self.end(head),
            State::Simple => self.ok(head, "OK, EOF or ERR"),
            State::ParameterDefinitions { left, columns } => {
                self.definition(first)?;
                self.state = match left.saturating_sub(1) {
                    0 => self.after_parameters(columns),
                    left => State::ParameterDefinitions { left, columns },
                };
                Ok(self.step(Seen::ParameterDefinition))
            }
            State::ParametersEof { columns, follow } => {
                let eof = self.eof(head)?;
                self.state = self.column_definitions(columns.into(), follow);
                Ok(self.step(Seen::Eof {
                    after: Definitions::Parameters,
                    status: eof.status,
                    warnings: eof.warnings,
                }))
            }
            State::ColumnDefinitions { left } => {
                self.definition(first)?;
                self.state = match left.saturating_sub(1) {
                    0 => self.after_columns(),
                    left => State::ColumnDefinitions { left },
                };
                Ok(self.step(Seen::ColumnDefinition))
            }
            State::ColumnsEof => self.columns_eof(head),
            State::Rows if self.is_end(first, len) => self.end(head),
            State::Rows => self.row(first, len),
            State::FieldList if self.is_end(first, len) => self.end(head),
            State::FieldList => {
                self.definition(first)?;
                Ok(self.step(Seen::ColumnDefinition))
            }
            State::Statistics => {
                self.state = State::Idle;
                Ok(self.step(Seen::Statistics))
            }
            State::Auth => match first {
                0x00 => self.ok(head, "OK or a step of the authentication"),
                0x01 | 0x02 | 0xFE => Ok(self.step(Seen::Auth)),
                _ => Err(self.unexpected(first, "OK or a step of the authentication")),
            },
            State::Stream if self.is_end(first, len) => self.end(head),
            State::Stream if first == 0x00 => Ok(self.step(Seen::Event)),
            State::Stream => Err(self.unexpected(first, "an event")),
        }
    }

    /// Whether this is EOF, or the OK in its place, and not a row: a row whose first value has 16 MiB or more begins
    /// with 0xFE too, but is longer than a frame.
    fn is_end(&self, first: u8, len: u64) -> bool {
        // A binary log stream is ended by EOF in either case (MariaDB `net_send_eof`, MySQL `Binlog_sender`).
        let limit = if self.deprecates_eof() && !matches!(self.state, State::Stream) {
            MAX_FRAME as u64
        } else {
            EOF_BELOW
        };
        first == 0xFE && len < limit
    }

    fn deprecates_eof(&self) -> bool {
        self.capabilities.contains(Capabilities::DEPRECATE_EOF)
    }

    fn step(&self, seen: Seen) -> Step {
        Step {
            seen,
            ended: self.is_idle(),
        }
    }

    fn err(&mut self, head: &[u8]) -> Result<Step, Error> {
        if ProgressReport::is_one(head, self.capabilities) {
            ProgressReport::parse(head)?;
            return Ok(self.step(Seen::Progress));
        }
        let err = ErrPacket::parse(head, self.capabilities)?;
        self.state = State::Idle;
        Ok(self.step(Seen::Err {
            code: err.code,
            sqlstate: err.sqlstate,
        }))
    }

    fn result_header(&mut self, head: &[u8]) -> Result<Step, Error> {
        match head.first() {
            Some(0x00) => self.ok(head, "OK"),
            Some(0xFB) => {
                self.state = State::FileAnswer;
                Ok(self.step(Seen::LocalInfile))
            }
            _ => {
                let count = ColumnCount::parse(head, self.capabilities)?;
                self.state = self.column_definitions(count.columns, count.definitions_follow);
                Ok(self.step(Seen::ColumnCount {
                    columns: count.columns,
                    definitions_follow: count.definitions_follow,
                }))
            }
        }
    }

    fn prepare_ok(&mut self, head: &[u8]) -> Result<Step, Error> {
        let ok = PrepareOk::parse(head, self.capabilities)?;
        self.state = match (ok.parameters, ok.columns, ok.definitions_follow) {
            (0, 0, _) => State::Idle,
            (0, columns, follow) => self.column_definitions(columns.into(), follow),
            (left, columns, true) => State::ParameterDefinitions { left, columns },
            // MySQL leaves all definitions out, but not the EOF packets (`THD::send_result_metadata`).
            (_, columns, false) if self.deprecates_eof() => {
                self.column_definitions(columns.into(), false)
            }
            (_, columns, false) => State::ParametersEof {
                columns,
                follow: false,
            },
        };
        Ok(self.step(Seen::PrepareOk(ok)))
    }

    fn after_parameters(&self, columns: u16) -> State {
        if self.deprecates_eof() {
            self.column_definitions(columns.into(), true)
        } else {
            State::ParametersEof {
                columns,
                follow: true,
            }
        }
    }

    fn column_definitions(&self, left: u32, follow: bool) -> State {
        match (left, follow) {
            (0, _) => State::Idle,
            (left, true) => State::ColumnDefinitions { left },
            (_, false) => self.after_columns(),
        }
    }

    fn after_columns(&self) -> State {
        match (self.deprecates_eof(), self.expect) {
            (false, _) => State::ColumnsEof,
            (true, Expect::Prepare) => State::Idle,
            (true, _) => State::Rows,
        }
    }

    fn columns_eof(&mut self, head: &[u8]) -> Result<Step, Error> {
        let eof = self.eof(head)?;
        let cursor = matches!(self.expect, Expect::Execute)
            && eof.status.contains(StatusFlags::CURSOR_EXISTS);
        self.state = match self.expect {
            Expect::Prepare => State::Idle,
            _ if cursor && eof.status.contains(StatusFlags::MORE_RESULTS_EXISTS) => State::Header,
            _ if cursor => State::Idle,
            _ => State::Rows,
        };
        Ok(self.step(Seen::Eof {
            after: Definitions::Columns,
            status: eof.status,
            warnings: eof.warnings,
        }))
    }

    fn row(&self, first: u8, len: u64) -> Result<Step, Error> {
        let binary = matches!(self.expect, Expect::Execute | Expect::Fetch);
        if binary && first != 0x00 || first == 0xFE && len < MAX_FRAME as u64 {
            return Err(self.unexpected(first, "a row"));
        }
        Ok(self.step(Seen::Row))
    }

    fn definition(&self, first: u8) -> Result<(), Error> {
        // The catalog: always `def`; a longer one would be no reason to give up.
        if (0x01..=0xFA).contains(&first) {
            Ok(())
        } else {
            Err(self.unexpected(first, "a definition"))
        }
    }

    fn ok(&mut self, head: &[u8], due: &'static str) -> Result<Step, Error> {
        match head.first() {
            Some(0x00) => {}
            Some(&first) => return Err(self.unexpected(first, due)),
            None => return Err(self.malformed("it is empty")),
        }
        let summary = summary(OkPacket::parse(head, self.capabilities)?);
        self.after_result(summary);
        Ok(self.step(Seen::Ok(summary)))
    }

    fn eof(&self, head: &[u8]) -> Result<EofPacket, Error> {
        match head.first() {
            Some(0xFE) => EofPacket::parse(head, self.capabilities),
            Some(&first) => Err(self.unexpected(first, "EOF after definitions")),
            None => Err(self.malformed("it is empty")),
        }
    }

    /// EOF, or OK with its header: the lengths of the two do not overlap.
    fn end(&mut self, head: &[u8]) -> Result<Step, Error> {
        let summary = if head.len() > 5 && self.deprecates_eof() {
            summary(OkPacket::parse(head, self.capabilities)?)
        } else {
            let eof = EofPacket::parse(head, self.capabilities)?;
            Summary {
                affected_rows: 0,
                last_insert_id: 0,
                status: eof.status,
                warnings: eof.warnings,
            }
        };
        self.after_result(summary);
        Ok(self.step(Seen::ResultEnd(summary)))
    }

    fn after_result(&mut self, summary: Summary) {
        self.state = match self.expect {
            Expect::Query | Expect::Execute if summary.more_results() => State::Header,
            _ => State::Idle,
        };
    }

    fn unexpected(&self, first: u8, due: &'static str) -> Error {
        Error::Unexpected {
            peer: Peer::Server,
            due,
            first,
        }
    }

    fn malformed(&self, what: &'static str) -> Error {
        Error::Malformed {
            peer: Peer::Server,
            packet: "response",
            what,
            offset: 0,
        }
    }
}

fn summary(ok: OkPacket<'_>) -> Summary {
    Summary {
        affected_rows: ok.affected_rows,
        last_insert_id: ok.last_insert_id,
        status: ok.status,
        warnings: ok.warnings,
    }
}
