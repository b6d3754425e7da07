//! COM_STMT_EXECUTE and MariaDB's COM_STMT_BULK_EXECUTE.

use super::code;
use crate::capability::Capabilities;
use crate::error::{Error, Peer};
use crate::payload::{Reader, put_lenenc};

/// Flags of COM_STMT_EXECUTE.
pub mod execute_flags {
    /// Opens a read-only cursor.
    pub const CURSOR_READ_ONLY: u8 = 1;
    /// Opens a cursor for update; no server has it.
    pub const CURSOR_FOR_UPDATE: u8 = 2;
    /// Opens a scrollable cursor; no server has it.
    pub const CURSOR_SCROLLABLE: u8 = 4;
    /// MySQL: the number of parameters is there even if the statement has none.
    pub const PARAMETER_COUNT_AVAILABLE: u8 = 8;
}

/// Executes a prepared statement.
///
/// Its parameters can only be told apart when one knows how many the statement has: see [`Execute::parameters`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execute<'a> {
    /// Statement.
    pub statement_id: u32,
    /// See [`execute_flags`].
    pub flags: u8,
    /// Always 1; servers do not read it.
    pub iterations: u32,
    /// Everything behind: NULL bitmap, types, values.
    pub body: &'a [u8],
}

/// Types of the parameters as they came: two bytes each, followed by a name where the capabilities say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterTypes<'a> {
    /// The bytes.
    pub raw: &'a [u8],
}

/// The parameters of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters<'a> {
    /// How many: those of the statement, and with query attributes maybe more.
    pub count: u16,
    /// Whether `count` is on the wire.
    pub counted: bool,
    /// One bit for each that is NULL.
    pub nulls: &'a [u8],
    /// Types; `None` if the client left them out because it sent them before.
    pub types: Option<ParameterTypes<'a>>,
    /// Values of those that are not NULL and were not sent as long data.
    pub values: &'a [u8],
}

impl<'a> Execute<'a> {
    /// Reads a payload, or its first 10 bytes and more.
    ///
    /// # Errors
    /// The client is blamed for a packet that is no COM_STMT_EXECUTE.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Peer::Client, "execute");
        if reader.u8("it is empty")? != code::STMT_EXECUTE {
            return Err(reader.malformed("it is no COM_STMT_EXECUTE"));
        }
        Ok(Execute {
            statement_id: reader.u32("the statement id is cut")?,
            flags: reader.u8("the flags are missing")?,
            iterations: reader.u32("the iterations are cut")?,
            body: reader.rest(),
        })
    }

    /// Whether a cursor is asked for.
    pub fn opens_cursor(&self) -> bool {
        self.flags
            & (execute_flags::CURSOR_READ_ONLY
                | execute_flags::CURSOR_FOR_UPDATE
                | execute_flags::CURSOR_SCROLLABLE)
            != 0
    }

    /// Takes the body apart, for a statement with this many parameters, on a connection with these capabilities.
    ///
    /// # Errors
    /// The client is blamed for a body that is cut. The values are not looked into: which of them are absent because
    /// they were sent as long data is known elsewhere.
    pub fn parameters(
        &self,
        parameters: u16,
        capabilities: Capabilities,
    ) -> Result<Parameters<'a>, Error> {
        let mut reader = Reader::new(self.body, Peer::Client, "execute");
        let mut result = Parameters {
            count: parameters,
            counted: false,
            nulls: &[],
            types: None,
            values: &[],
        };
        let named = capabilities.contains(Capabilities::QUERY_ATTRIBUTES);
        if named && (parameters > 0 || self.flags & execute_flags::PARAMETER_COUNT_AVAILABLE != 0) {
            let size = reader.lenenc("the number of parameters is cut")?;
            result.counted = true;
            result.count = u16::try_from(size).map_err(|_| Error::TooLarge {
                peer: Peer::Client,
                what: "parameters",
                size,
                limit: u16::MAX.into(),
            })?;
        }
        if result.count > 0 {
            result.nulls = reader.take(
                usize::from(result.count).div_ceil(8),
                "the NULL bitmap is cut",
            )?;
            if reader.u8("the flag before the types is missing")? != 0 {
                let start = reader.offset();
                for _ in 0..result.count {
                    reader.u16("a type is cut")?;
                    if named {
                        reader.lenenc_bytes("a name is cut")?;
                    }
                }
                let raw = self.body.get(start..reader.offset()).unwrap_or_default();
                result.types = Some(ParameterTypes { raw });
            }
        }
        result.values = reader.rest();
        Ok(result)
    }

    /// Appends the payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_head(out, self.statement_id);
        out.extend_from_slice(self.body);
    }

    /// Appends the payload for the same statement under another id.
    pub fn write_with_id(&self, out: &mut Vec<u8>, statement_id: u32) {
        Execute {
            statement_id,
            ..*self
        }
        .write(out);
    }

    /// Appends the payload for the same statement under another id, on a connection where it was prepared again: a
    /// server refuses the first execution without types there (1210). `known` are the types that the client sent
    /// before; they are used if `parameters` has none.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] if there are parameters and no types at all.
    pub fn write_after_prepare(
        &self,
        out: &mut Vec<u8>,
        statement_id: u32,
        parameters: &Parameters<'_>,
        known: Option<ParameterTypes<'_>>,
    ) -> Result<(), Error> {
        let types = parameters.types.or(known);
        if parameters.count > 0 && types.is_none() {
            return Err(Error::Unrepresentable {
                what: "the types of the parameters were never sent",
            });
        }
        self.write_head(out, statement_id);
        if parameters.counted {
            put_lenenc(out, parameters.count.into());
        }
        if let (Some(types), true) = (types, parameters.count > 0) {
            out.extend_from_slice(parameters.nulls);
            out.push(1);
            out.extend_from_slice(types.raw);
        }
        out.extend_from_slice(parameters.values);
        Ok(())
    }

    fn write_head(&self, out: &mut Vec<u8>, statement_id: u32) {
        out.push(code::STMT_EXECUTE);
        out.extend_from_slice(&statement_id.to_le_bytes());
        out.push(self.flags);
        out.extend_from_slice(&self.iterations.to_le_bytes());
    }
}

/// MariaDB: executes a prepared statement for many rows of parameters.
///
/// Source: MariaDB, *COM_STMT_BULK_EXECUTE*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkExecute<'a> {
    /// Statement.
    pub statement_id: u32,
    /// 64: a resultset with a row per unit is wanted; 128: types follow.
    pub flags: u16,
    /// Types and rows.
    pub body: &'a [u8],
}

impl<'a> BulkExecute<'a> {
    /// Flag: a resultset with a row per unit is wanted.
    pub const SEND_UNIT_RESULTS: u16 = 64;
    /// Flag: types follow.
    pub const SEND_TYPES: u16 = 128;

    /// Reads a payload, or its first 7 bytes and more.
    ///
    /// # Errors
    /// The client is blamed for a packet that is no COM_STMT_BULK_EXECUTE.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Peer::Client, "bulk execute");
        if reader.u8("it is empty")? != code::STMT_BULK_EXECUTE {
            return Err(reader.malformed("it is no COM_STMT_BULK_EXECUTE"));
        }
        Ok(BulkExecute {
            statement_id: reader.u32("the statement id is cut")?,
            flags: reader.u16("the flags are cut")?,
            body: reader.rest(),
        })
    }

    /// The types of this many parameters, if they follow.
    ///
    /// # Errors
    /// The client is blamed for types that are cut.
    pub fn types(&self, parameters: u16) -> Result<Option<ParameterTypes<'a>>, Error> {
        if self.flags & BulkExecute::SEND_TYPES == 0 {
            return Ok(None);
        }
        let mut reader = Reader::new(self.body, Peer::Client, "bulk execute");
        let raw = reader.take(2 * usize::from(parameters), "the types are cut")?;
        Ok(Some(ParameterTypes { raw }))
    }

    /// Appends the payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_head(out, self.statement_id, self.flags);
        out.extend_from_slice(self.body);
    }

    /// Appends the payload for the same statement under another id, with `known` types where the client left them
    /// out.
    ///
    /// # Errors
    /// [`Error::Unrepresentable`] if there are no types at all.
    pub fn write_after_prepare(
        &self,
        out: &mut Vec<u8>,
        statement_id: u32,
        known: Option<ParameterTypes<'_>>,
    ) -> Result<(), Error> {
        self.write_head(out, statement_id, self.flags | BulkExecute::SEND_TYPES);
        if self.flags & BulkExecute::SEND_TYPES == 0 {
            let types = known.ok_or(Error::Unrepresentable {
                what: "the types of the parameters were never sent",
            })?;
            out.extend_from_slice(types.raw);
        }
        out.extend_from_slice(self.body);
        Ok(())
    }

    fn write_head(&self, out: &mut Vec<u8>, statement_id: u32, flags: u16) {
        out.push(code::STMT_BULK_EXECUTE);
        out.extend_from_slice(&statement_id.to_le_bytes());
        out.extend_from_slice(&flags.to_le_bytes());
    }
}
