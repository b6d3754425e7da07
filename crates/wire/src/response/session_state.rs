//! Session state changes inside an OK packet.
//!
//! Sources: MySQL internals manual, *OK_Packet / Session State Information*; MariaDB, *OK_Packet*.

use crate::capability::session_track;
use crate::error::{Error, Peer};
use crate::payload::{Reader, put_lenenc_bytes};

/// One change. Unknown types are kept raw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStateChange<'a> {
    /// A system variable has a new value.
    SystemVariable {
        /// Name without `@@`.
        name: &'a [u8],
        /// The value as text; `ON`/`OFF` for switches. `None` for NULL.
        value: Option<&'a [u8]>,
    },
    /// The default database changed.
    Schema(&'a [u8]),
    /// Something changed that the server does not name, like a user variable: `1`.
    StateChange(bool),
    /// GTIDs.
    Gtids {
        /// Version of the encoding; 0 is text.
        encoding: u8,
        /// The GTID set.
        gtids: &'a [u8],
    },
    /// The statements that would start this transaction again; empty if none is open.
    TransactionCharacteristics(&'a [u8]),
    /// What the transaction has done.
    TransactionState(TransactionState),
    /// A type that is not known here.
    Other {
        /// The type.
        kind: u8,
        /// Its data.
        data: &'a [u8],
    },
}

/// Eight characters: transaction (`T` explicit, `I` implicit, `_` none), reads of non-transactional tables `r`, of
/// transactional ones `R`, writes `w` and `W`, unsafe statements `s`, a resultset sent `S`, LOCK TABLES `L`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionState(pub [u8; 8]);

impl TransactionState {
    /// A transaction is open, begun explicitly (`T`) or by a statement under `autocommit=0` (`I`).
    pub fn is_open(self) -> bool {
        self.0[0] != b'_'
    }

    /// The transaction was begun by a statement such as BEGIN.
    pub fn is_explicit(self) -> bool {
        self.0[0] == b'T'
    }

    /// It read from non-transactional tables.
    pub fn reads_non_transactional(self) -> bool {
        self.0[1] == b'r'
    }

    /// It read from transactional tables.
    pub fn reads_transactional(self) -> bool {
        self.0[2] == b'R'
    }

    /// It wrote to non-transactional tables.
    pub fn writes_non_transactional(self) -> bool {
        self.0[3] == b'w'
    }

    /// It wrote to transactional tables.
    pub fn writes_transactional(self) -> bool {
        self.0[4] == b'W'
    }

    /// It ran a statement that is unsafe to replicate as text, like UUID().
    pub fn ran_unsafe_statement(self) -> bool {
        self.0[5] == b's'
    }

    /// It sent rows to the client.
    pub fn sent_resultset(self) -> bool {
        self.0[6] == b'S'
    }

    /// LOCK TABLES is in force.
    pub fn holds_table_locks(self) -> bool {
        self.0[7] == b'L'
    }
}

/// Iterates over the changes; ends after the first error.
///
/// A SYSTEM_VARIABLES entry may hold several pairs, as MariaDB's pages describe it; each is a change of its own.
#[derive(Debug, Clone)]
pub struct SessionState<'a> {
    entries: Reader<'a>,
    pairs: Reader<'a>,
}

impl<'a> SessionState<'a> {
    /// Iterates over the session state of an OK packet, without the total length before it.
    pub fn new(raw: &'a [u8]) -> Self {
        let reader = |raw| Reader::new(raw, Peer::Server, "session state");
        SessionState {
            entries: reader(raw),
            pairs: reader(&[]),
        }
    }

    fn entry(&mut self) -> Result<SessionStateChange<'a>, Error> {
        if !self.pairs.is_empty() {
            return variable(&mut self.pairs);
        }
        let kind = self.entries.u8("the type is missing")?;
        let data = self.entries.lenenc_bytes("the data is cut")?;
        let mut reader = Reader::new(data, Peer::Server, "session state");
        match kind {
            session_track::SYSTEM_VARIABLES => {
                self.pairs = reader;
                variable(&mut self.pairs)
            }
            session_track::SCHEMA => Ok(SessionStateChange::Schema(
                reader.lenenc_bytes("the schema is cut")?,
            )),
            // Other than the manual says, there is no length inside the entry (both servers).
            session_track::STATE_CHANGE => Ok(SessionStateChange::StateChange(data == b"1")),
            session_track::GTIDS => {
                let encoding = reader.u8("the encoding of the GTIDs is missing")?;
                Ok(SessionStateChange::Gtids {
                    encoding,
                    gtids: reader.lenenc_bytes("the GTIDs are cut")?,
                })
            }
            session_track::TRANSACTION_CHARACTERISTICS => {
                Ok(SessionStateChange::TransactionCharacteristics(
                    reader.lenenc_bytes("the transaction characteristics are cut")?,
                ))
            }
            session_track::TRANSACTION_STATE => {
                let state = reader.lenenc_bytes("the transaction state is cut")?;
                let state = state
                    .try_into()
                    .map_err(|_| reader.malformed("the transaction state has no 8 bytes"))?;
                Ok(SessionStateChange::TransactionState(TransactionState(
                    state,
                )))
            }
            _ => Ok(SessionStateChange::Other { kind, data }),
        }
    }
}

impl<'a> Iterator for SessionState<'a> {
    type Item = Result<SessionStateChange<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.pairs.is_empty() && self.entries.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_err() {
            self.entries.rest();
            self.pairs.rest();
        }
        Some(entry)
    }
}

fn variable<'a>(pairs: &mut Reader<'a>) -> Result<SessionStateChange<'a>, Error> {
    let name = pairs.lenenc_bytes("the name of a variable is cut")?;
    let value = pairs.nullable_lenenc_bytes("the value of a variable is cut")?;
    Ok(SessionStateChange::SystemVariable { name, value })
}

impl SessionStateChange<'_> {
    /// Appends the change to the session state of an OK packet: one entry for each.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut data = Vec::new();
        let kind = match *self {
            SessionStateChange::SystemVariable { name, value } => {
                put_lenenc_bytes(&mut data, name);
                crate::payload::put_nullable_lenenc_bytes(&mut data, value);
                session_track::SYSTEM_VARIABLES
            }
            SessionStateChange::Schema(schema) => {
                put_lenenc_bytes(&mut data, schema);
                session_track::SCHEMA
            }
            SessionStateChange::StateChange(changed) => {
                data.push(if changed { b'1' } else { b'0' });
                session_track::STATE_CHANGE
            }
            SessionStateChange::Gtids { encoding, gtids } => {
                data.push(encoding);
                put_lenenc_bytes(&mut data, gtids);
                session_track::GTIDS
            }
            SessionStateChange::TransactionCharacteristics(text) => {
                put_lenenc_bytes(&mut data, text);
                session_track::TRANSACTION_CHARACTERISTICS
            }
            SessionStateChange::TransactionState(TransactionState(state)) => {
                put_lenenc_bytes(&mut data, &state);
                session_track::TRANSACTION_STATE
            }
            SessionStateChange::Other { kind, data: raw } => {
                data.extend_from_slice(raw);
                kind
            }
        };
        out.push(kind);
        put_lenenc_bytes(out, &data);
    }
}
