//! Rows of the text and of the binary protocol.

use super::ColumnDefinition;
use crate::error::{Error, Peer};
use crate::payload::{Reader, put_nullable_lenenc_bytes};
use crate::value::{ColumnType, Value, bit};

/// A row of the text protocol: a string or NULL for each column.
///
/// Source: MySQL internals manual, *Text Resultset Row*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextRow<'a> {
    payload: &'a [u8],
}

impl<'a> TextRow<'a> {
    /// A row from its payload. What is malformed shows while it is iterated.
    pub const fn new(payload: &'a [u8]) -> Self {
        TextRow { payload }
    }

    /// The values from left to right; `None` is NULL.
    pub fn iter(self) -> TextRowIter<'a> {
        TextRowIter {
            reader: Reader::new(self.payload, Peer::Server, "text row"),
        }
    }

    /// Appends the payload of a row.
    pub fn write<'v>(out: &mut Vec<u8>, values: impl IntoIterator<Item = Option<&'v [u8]>>) {
        for value in values {
            put_nullable_lenenc_bytes(out, value);
        }
    }
}

/// Iterates over the values of a text row; ends after the first error.
#[derive(Debug, Clone)]
pub struct TextRowIter<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for TextRowIter<'a> {
    type Item = Result<Option<&'a [u8]>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let value = self.reader.nullable_lenenc_bytes("a value is cut");
        if value.is_err() {
            self.reader.rest();
        }
        Some(value)
    }
}

/// A row of the binary protocol. Its values can only be told apart with the columns' types.
///
/// Source: MySQL internals manual, *Binary Protocol Resultset Row*.
#[derive(Debug, Clone)]
pub struct BinaryRow<'a> {
    nulls: &'a [u8],
    values: Reader<'a>,
    column: usize,
}

/// Bits of a row's NULL bitmap before that of the first column.
const NULL_BITMAP_OFFSET: usize = 2;

impl<'a> BinaryRow<'a> {
    /// Reads the beginning of a row with this many columns.
    ///
    /// # Errors
    /// The server is blamed for a packet that is no binary row.
    pub fn parse(payload: &'a [u8], columns: usize) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Peer::Server, "binary row");
        if reader.u8("it is empty")? != 0 {
            return Err(reader.malformed("it does not begin with 0x00"));
        }
        let bitmap = columns.saturating_add(7 + NULL_BITMAP_OFFSET) / 8;
        let nulls = reader.take(bitmap, "the NULL bitmap is cut")?;
        Ok(BinaryRow {
            nulls,
            values: reader,
            column: 0,
        })
    }

    /// Reads the next value, of a column with this definition.
    ///
    /// # Errors
    /// See [`Value::read`].
    pub fn value(&mut self, column: &ColumnDefinition<'_>) -> Result<Value<'a>, Error> {
        self.value_of(column.kind, column.is_unsigned())
    }

    /// Reads the next value, of a column with this type.
    ///
    /// # Errors
    /// See [`Value::read`].
    pub fn value_of(&mut self, kind: ColumnType, unsigned: bool) -> Result<Value<'a>, Error> {
        let index = self.column + NULL_BITMAP_OFFSET;
        self.column += 1;
        if bit(self.nulls, index) {
            return Ok(Value::Null);
        }
        Value::read(&mut self.values, kind, unsigned)
    }
}
