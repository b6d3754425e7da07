//! The first packet that answers COM_STMT_PREPARE.

use crate::capability::Capabilities;
use crate::error::{Error, Peer};
use crate::payload::Reader;

/// A statement is prepared. Definitions of its parameters, then of its columns follow, each group ended by EOF without
/// [`Capabilities::DEPRECATE_EOF`].
///
/// Source: MySQL internals manual, *COM_STMT_PREPARE_OK*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PrepareOk {
    /// Id of the statement on this connection.
    pub statement_id: u32,
    /// Columns of its resultset; 0 if it has none.
    pub columns: u16,
    /// Its parameters.
    pub parameters: u16,
    /// Number of warnings.
    pub warnings: u16,
    /// Whether the definitions follow; always true without OPTIONAL_RESULTSET_METADATA (MySQL).
    pub definitions_follow: bool,
}

impl PrepareOk {
    /// Reads a payload that came under these capabilities.
    ///
    /// # Errors
    /// The server is blamed for a packet that is no such OK.
    pub fn parse(payload: &[u8], capabilities: Capabilities) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Peer::Server, "prepare OK");
        if reader.u8("it is empty")? != 0 {
            return Err(reader.malformed("it does not begin with 0x00"));
        }
        let statement_id = reader.u32("the statement id is cut")?;
        let columns = reader.u16("the number of columns is cut")?;
        let parameters = reader.u16("the number of parameters is cut")?;
        reader.u8("the filler is missing")?;
        let warnings = reader.u16("the number of warnings is cut")?;
        let mut definitions_follow = true;
        if capabilities.contains(Capabilities::OPTIONAL_RESULTSET_METADATA) {
            definitions_follow = reader.u8("the metadata flag is missing")? != 0;
        }
        Ok(PrepareOk {
            statement_id,
            columns,
            parameters,
            warnings,
            definitions_follow,
        })
    }

    /// Appends the payload for a receiver with these capabilities.
    pub fn write(&self, out: &mut Vec<u8>, capabilities: Capabilities) {
        out.push(0);
        out.extend_from_slice(&self.statement_id.to_le_bytes());
        out.extend_from_slice(&self.columns.to_le_bytes());
        out.extend_from_slice(&self.parameters.to_le_bytes());
        out.push(0);
        out.extend_from_slice(&self.warnings.to_le_bytes());
        if capabilities.contains(Capabilities::OPTIONAL_RESULTSET_METADATA) {
            out.push(self.definitions_follow.into());
        }
    }
}
