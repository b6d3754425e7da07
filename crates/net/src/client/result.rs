//! Results of hidden commands, collected within a limit.

use steadfast_wire::response::{ColumnDefinition, ErrPacket, OkPacket, TextRow};
use steadfast_wire::value::ColumnType;
use steadfast_wire::walk::{Expect, ResponseWalker, Seen, Summary};
use steadfast_wire::{Capabilities, StatusFlags};
use tokio::io::AsyncRead;

use crate::packets::{Packets, Payload, ReadError};
use crate::{QueryError, ServerError};

/// Largest answer to one exchange of hidden commands, in payload bytes: 1 MiB. Of a larger one nothing is kept.
pub const MAX_RESULT: usize = 1 << 20;

/// Payload bytes of an answer that are read at most, to get to its end: 64 MiB. Warnings, of which a session may have
/// 65,535, take half of it.
const MAX_READ: u64 = 64 << 20;

/// How much of an exchange's answers may still be kept and read, in payload bytes.
struct Budget {
    kept: u64,
    read: u64,
}

/// An OK.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnedOk {
    /// Rows changed, or found with FOUND_ROWS.
    pub affected: u64,
    /// First generated AUTO_INCREMENT value.
    pub insert_id: u64,
    /// State of the session.
    pub status: StatusFlags,
    /// Number of warnings.
    pub warnings: u16,
    /// Text for people.
    pub info: Vec<u8>,
    /// Session state changes as they came: see [`SessionState`](steadfast_wire::response::SessionState).
    pub session_state: Vec<u8>,
}

impl From<OkPacket<'_>> for OwnedOk {
    fn from(ok: OkPacket<'_>) -> Self {
        OwnedOk {
            affected: ok.affected_rows,
            insert_id: ok.last_insert_id,
            status: ok.status,
            warnings: ok.warnings,
            info: ok.info.to_vec(),
            session_state: ok.session_state.to_vec(),
        }
    }
}

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedColumn {
    /// Its name or alias.
    pub name: Vec<u8>,
    /// Its type.
    pub kind: ColumnType,
    /// Its collation; 63 is binary.
    pub collation: u16,
    /// Its flags.
    pub flags: u16,
    /// Digits after the decimal point to show.
    pub decimals: u8,
}

impl From<ColumnDefinition<'_>> for OwnedColumn {
    fn from(column: ColumnDefinition<'_>) -> Self {
        OwnedColumn {
            name: column.name.to_vec(),
            kind: column.kind,
            collation: column.collation,
            flags: column.flags,
            decimals: column.decimals,
        }
    }
}

/// What a hidden command gave: of several results the rows of the first that has any columns, and the OK of the last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryResult {
    /// The columns; none for a statement without rows.
    pub columns: Vec<OwnedColumn>,
    /// The rows, in the text protocol; `None` is NULL.
    pub rows: Vec<Vec<Option<Vec<u8>>>>,
    /// The OK at the end, also behind rows; where only EOF came, its status and warnings.
    pub ok: Option<OwnedOk>,
}

impl QueryResult {
    /// The first value of the first row, if there is one and it is not NULL.
    pub fn value(&self) -> Option<&[u8]> {
        self.rows.first()?.first()?.as_deref()
    }
}

/// The answer to one command.
pub(super) type Outcome = Result<QueryResult, ServerError>;

/// Reads the answers to this many commands.
pub(super) async fn read_responses(
    stream: &mut (impl AsyncRead + Unpin),
    inbound: &mut Vec<u8>,
    capabilities: Capabilities,
    answers: usize,
    expect: Expect,
) -> Result<Vec<Outcome>, QueryError> {
    let mut packets = Packets::new(inbound);
    let mut walker = ResponseWalker::new(capabilities);
    let mut budget = Budget {
        kept: MAX_RESULT as u64,
        read: MAX_READ,
    };
    let mut dropped = false;
    let mut outcomes = Vec::with_capacity(answers);
    while outcomes.len() < answers {
        match read_response(stream, &mut packets, &mut walker, expect, &mut budget).await {
            Ok(outcome) => outcomes.push(outcome),
            Err(QueryError::Dropped(_)) => {
                dropped = true;
                outcomes.push(Ok(QueryResult::default()));
            }
            // The server has said why it ends the connection: that is the answer to all that was sent.
            Err(QueryError::Lost(kind, error)) => {
                return Err(match outcomes.pop() {
                    Some(Err(farewell)) if farewell.ends_connection() => {
                        QueryError::Server(farewell)
                    }
                    _ => QueryError::Lost(kind, error),
                });
            }
            Err(error) => return Err(error),
        }
    }
    match outcomes.iter().position(Result::is_err) {
        None if dropped => Err(QueryError::Dropped(MAX_RESULT)),
        _ => Ok(outcomes),
    }
}

async fn read_response(
    stream: &mut (impl AsyncRead + Unpin),
    packets: &mut Packets<'_>,
    walker: &mut ResponseWalker,
    expect: Expect,
    budget: &mut Budget,
) -> Result<Outcome, QueryError> {
    let capabilities = walker.capabilities();
    let nonsense = |error: steadfast_wire::Error| QueryError::Nonsense(error.to_string());
    walker.begin(expect);
    let mut sequence = 1;
    let mut result = QueryResult::default();
    // Rows of a second resultset have other columns and are not kept.
    let mut keeps = true;
    let mut dropped = false;
    loop {
        let read = if walker.in_rows() {
            packets
                .next_or_head(stream, &mut sequence, MAX_RESULT, budget.read)
                .await
        } else {
            let read = packets.next(stream, &mut sequence, MAX_RESULT).await;
            read.map(Payload::Whole)
        };
        let read = read.map_err(|error| match error {
            ReadError::Io(error) => QueryError::lost(error),
            ReadError::TooLarge(_) => QueryError::TooLarge(MAX_RESULT),
            other => QueryError::Nonsense(other.to_string()),
        })?;
        let (payload, len) = (read.head(), read.len());
        budget.read =
            (budget.read.checked_sub(len)).ok_or(QueryError::TooLarge(MAX_READ as usize))?;
        if len > budget.kept {
            dropped = true;
            result = QueryResult::default();
        }
        budget.kept = if dropped { 0 } else { budget.kept - len };
        let step = walker.packet(payload, len).map_err(nonsense)?;
        match step.seen {
            Seen::ColumnDefinition if keeps && !dropped => {
                result.columns.push(
                    ColumnDefinition::parse(payload, capabilities)
                        .map_err(nonsense)?
                        .into(),
                );
            }
            Seen::Row if keeps && !dropped => result.rows.push(row(payload).map_err(nonsense)?),
            Seen::Ok(summary) | Seen::ResultEnd(summary) => {
                keeps = result.columns.is_empty();
                result.ok = Some(ok(payload, summary, capabilities).map_err(nonsense)?);
            }
            Seen::Err { .. } => {
                return ErrPacket::parse(payload, capabilities)
                    .map(|err| Err(err.into()))
                    .map_err(nonsense);
            }
            Seen::LocalInfile => {
                return Err(QueryError::Nonsense(
                    "the server asked for a local file".to_owned(),
                ));
            }
            _ => {}
        }
        if step.ended {
            return if dropped {
                Err(QueryError::Dropped(MAX_RESULT))
            } else {
                Ok(Ok(result))
            };
        }
    }
}

fn row(payload: &[u8]) -> Result<Vec<Option<Vec<u8>>>, steadfast_wire::Error> {
    TextRow::new(payload)
        .iter()
        .map(|value| Ok(value?.map(<[u8]>::to_vec)))
        .collect()
}

/// The OK in a packet that ends a result; EOF has only the summary's status and warnings.
fn ok(
    payload: &[u8],
    summary: Summary,
    capabilities: Capabilities,
) -> Result<OwnedOk, steadfast_wire::Error> {
    let is_eof = payload.first() == Some(&0xFE) && payload.len() <= 5;
    if is_eof {
        return Ok(OwnedOk {
            status: summary.status,
            warnings: summary.warnings,
            ..OwnedOk::default()
        });
    }
    OkPacket::parse(payload, capabilities).map(Into::into)
}
