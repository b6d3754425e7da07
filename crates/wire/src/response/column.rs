//! The beginning of a resultset: column count, column definitions; and the request for a local file in its place.

use crate::capability::Capabilities;
use crate::error::{Error, Peer};
use crate::payload::{Reader, put_lenenc, put_lenenc_bytes};
use crate::value::ColumnType;

/// The first packet of a resultset.
///
/// The manual puts the metadata flag before the count; both servers write it after, and clients read it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnCount {
    /// Number of columns, 1 to [`ColumnCount::MAX`].
    pub columns: u32,
    /// Whether column definitions follow; always true without OPTIONAL_RESULTSET_METADATA (MySQL) and
    /// CACHE_METADATA (MariaDB).
    pub definitions_follow: bool,
}

impl ColumnCount {
    /// More columns are refused. Both servers allow 4096 in a table, and prepared statements have 16 bits for them.
    pub const MAX: u32 = 0xFFFF;

    /// Reads a payload that came under these capabilities.
    ///
    /// # Errors
    /// The server is blamed; [`Error::TooLarge`] for too many columns.
    pub fn parse(payload: &[u8], capabilities: Capabilities) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Peer::Server, "column count");
        let size = reader.lenenc("the number is cut")?;
        if size == 0 {
            return Err(reader.malformed("it is zero"));
        }
        let columns = u32::try_from(size)
            .ok()
            .filter(|columns| *columns <= ColumnCount::MAX)
            .ok_or(Error::TooLarge {
                peer: Peer::Server,
                what: "columns",
                size,
                limit: ColumnCount::MAX.into(),
            })?;
        let definitions_follow =
            !has_metadata_flag(capabilities) || reader.u8("the metadata flag is missing")? != 0;
        if !reader.is_empty() {
            return Err(reader.malformed("it is too long"));
        }
        Ok(ColumnCount {
            columns,
            definitions_follow,
        })
    }

    /// Appends the payload for a receiver with these capabilities.
    pub fn write(&self, out: &mut Vec<u8>, capabilities: Capabilities) {
        put_lenenc(out, self.columns.into());
        if has_metadata_flag(capabilities) {
            out.push(self.definitions_follow.into());
        }
    }
}

fn has_metadata_flag(capabilities: Capabilities) -> bool {
    capabilities
        .intersects(Capabilities::OPTIONAL_RESULTSET_METADATA | Capabilities::CACHE_METADATA)
}

/// A column, or a parameter of a prepared statement.
///
/// Source: MySQL internals manual, *Column Definition*; MariaDB, *Result Set Packets / Column definition packet*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnDefinition<'a> {
    /// Always `def`.
    pub catalog: &'a [u8],
    /// Database.
    pub schema: &'a [u8],
    /// Table, or its alias.
    pub table: &'a [u8],
    /// Table.
    pub org_table: &'a [u8],
    /// Column, or its alias.
    pub name: &'a [u8],
    /// Column.
    pub org_name: &'a [u8],
    /// MariaDB's type and format names as they came, see [`ColumnDefinition::extended_metadata`]; on the wire with
    /// [`Capabilities::EXTENDED_METADATA`].
    pub extended: &'a [u8],
    /// Collation id.
    pub collation: u16,
    /// Longest value, in bytes.
    pub length: u32,
    /// Type.
    pub kind: ColumnType,
    /// Column flags.
    pub flags: u16,
    /// Digits after the decimal point to show.
    pub decimals: u8,
    /// What follows the fixed fields: COM_FIELD_LIST puts the default value there, length-encoded.
    pub tail: &'a [u8],
}

/// Which property an entry of the extended metadata names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtendedMetadata {
    /// Type, for example `inet6` or `uuid`.
    Type,
    /// Format, for example `json`.
    Format,
    /// A kind that is not known here.
    Other(u8),
}

/// Column flag: the values are unsigned.
pub const UNSIGNED_FLAG: u16 = 32;

impl<'a> ColumnDefinition<'a> {
    /// Reads a payload that came under these capabilities.
    ///
    /// # Errors
    /// The server is blamed for a packet that is no column definition of protocol 4.1.
    pub fn parse(payload: &'a [u8], capabilities: Capabilities) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Peer::Server, "column definition");
        let catalog = reader.lenenc_bytes("the catalog is cut")?;
        let schema = reader.lenenc_bytes("the schema is cut")?;
        let table = reader.lenenc_bytes("the table is cut")?;
        let org_table = reader.lenenc_bytes("the original table is cut")?;
        let name = reader.lenenc_bytes("the name is cut")?;
        let org_name = reader.lenenc_bytes("the original name is cut")?;
        let mut extended: &[u8] = &[];
        if capabilities.contains(Capabilities::EXTENDED_METADATA) {
            extended = reader.lenenc_bytes("the extended metadata is cut")?;
        }
        if reader.lenenc("the length of the fixed fields is missing")? != 12 {
            return Err(reader.malformed("the fixed fields have a length other than 12"));
        }
        let collation = reader.u16("the collation is cut")?;
        let length = reader.u32("the length is cut")?;
        let kind = ColumnType(reader.u8("the type is missing")?);
        let flags = reader.u16("the flags are cut")?;
        let decimals = reader.u8("the decimals are missing")?;
        reader.u16("the filler is cut")?;
        Ok(ColumnDefinition {
            catalog,
            schema,
            table,
            org_table,
            name,
            org_name,
            extended,
            collation,
            length,
            kind,
            flags,
            decimals,
            tail: reader.rest(),
        })
    }

    /// Whether integers of this column are unsigned.
    pub fn is_unsigned(&self) -> bool {
        self.flags & UNSIGNED_FLAG != 0
    }

    /// MariaDB's type and format names; ends after the first error.
    pub fn extended_metadata(
        &self,
    ) -> impl Iterator<Item = Result<(ExtendedMetadata, &'a [u8]), Error>> + use<'a> {
        let mut reader = Reader::new(self.extended, Peer::Server, "column definition");
        std::iter::from_fn(move || {
            if reader.is_empty() {
                return None;
            }
            let entry = extended_entry(&mut reader);
            if entry.is_err() {
                reader.rest();
            }
            Some(entry)
        })
    }

    /// Appends the payload for a receiver with these capabilities.
    pub fn write(&self, out: &mut Vec<u8>, capabilities: Capabilities) {
        for text in [
            self.catalog,
            self.schema,
            self.table,
            self.org_table,
            self.name,
            self.org_name,
        ] {
            put_lenenc_bytes(out, text);
        }
        if capabilities.contains(Capabilities::EXTENDED_METADATA) {
            put_lenenc_bytes(out, self.extended);
        }
        out.push(12);
        out.extend_from_slice(&self.collation.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.push(self.kind.0);
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&[self.decimals, 0, 0]);
        out.extend_from_slice(self.tail);
    }
}

fn extended_entry<'a>(reader: &mut Reader<'a>) -> Result<(ExtendedMetadata, &'a [u8]), Error> {
    let kind = match reader.u8("the kind of an extended metadata is missing")? {
        0 => ExtendedMetadata::Type,
        1 => ExtendedMetadata::Format,
        other => ExtendedMetadata::Other(other),
    };
    Ok((kind, reader.lenenc_bytes("an extended metadata is cut")?))
}

/// The request to send a local file, instead of a resultset: LOAD DATA LOCAL INFILE.
///
/// The client answers with the file in packets and an empty packet, then the server with OK or ERR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalInfile<'a> {
    /// The name that the statement gave.
    pub file_name: &'a [u8],
}

impl<'a> LocalInfile<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// The server is blamed for a packet that is no such request.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        match payload {
            [0xFB, file_name @ ..] => Ok(LocalInfile { file_name }),
            _ => Err(Reader::new(payload, Peer::Server, "local file request")
                .malformed("it does not begin with 0xfb")),
        }
    }

    /// Appends the payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(0xFB);
        out.extend_from_slice(self.file_name);
    }
}
