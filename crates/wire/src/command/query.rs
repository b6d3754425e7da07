//! COM_QUERY, with MySQL's query attributes before the text.

use super::code;
use crate::capability::Capabilities;
use crate::error::{Error, Peer};
use crate::payload::Reader;
use crate::value::{ColumnType, Value, bit};

/// Runs SQL text.
///
/// Source: MySQL internals manual, *COM_QUERY*; `parse_query_bind_params` in MySQL 8.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<'a> {
    /// Attributes; there can be some with [`Capabilities::QUERY_ATTRIBUTES`].
    pub attributes: QueryAttributes<'a>,
    /// The SQL text in `character_set_client`.
    pub text: &'a [u8],
}

/// The attributes of a query, as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueryAttributes<'a> {
    count: usize,
    nulls: &'a [u8],
    types: &'a [u8],
    values: &'a [u8],
}

/// An attribute of a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attribute<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its type.
    pub kind: ColumnType,
    /// Its value.
    pub value: Value<'a>,
}

/// MySQL takes no more attributes than this (`parse_query_bind_params`).
const MAX_ATTRIBUTES: u64 = 0xFFFF;

/// The unsigned bit of a parameter's type.
const UNSIGNED: u16 = 0x8000;

impl<'a> Query<'a> {
    /// A query without attributes.
    pub const fn new(text: &'a [u8]) -> Self {
        Query {
            attributes: QueryAttributes {
                count: 0,
                nulls: &[],
                types: &[],
                values: &[],
            },
            text,
        }
    }

    /// Reads a payload, or the beginning of one that holds all attributes.
    ///
    /// # Errors
    /// The client is blamed for a packet that is no COM_QUERY.
    pub fn parse(payload: &'a [u8], capabilities: Capabilities) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Peer::Client, "query");
        if reader.u8("it is empty")? != code::QUERY {
            return Err(reader.malformed("it is no COM_QUERY"));
        }
        let mut attributes = QueryAttributes::default();
        if capabilities.contains(Capabilities::QUERY_ATTRIBUTES) {
            attributes = QueryAttributes::parse(&mut reader, payload)?;
        }
        Ok(Query {
            attributes,
            text: reader.rest(),
        })
    }

    /// Appends the payload for a receiver with these capabilities: without [`Capabilities::QUERY_ATTRIBUTES`]
    /// there is no room for attributes, and they are left out.
    pub fn write(&self, out: &mut Vec<u8>, capabilities: Capabilities) {
        out.push(code::QUERY);
        if capabilities.contains(Capabilities::QUERY_ATTRIBUTES) {
            self.attributes.write(out);
        }
        out.extend_from_slice(self.text);
    }
}

impl<'a> QueryAttributes<'a> {
    /// Reads the attributes at the beginning of what `reader` has left of `payload`.
    fn parse(reader: &mut Reader<'a>, payload: &'a [u8]) -> Result<Self, Error> {
        let claimed = reader.lenenc("the number of attributes is cut")?;
        if reader.lenenc("the number of attribute sets is cut")? != 1 {
            return Err(reader.malformed("there is not exactly one set of attributes"));
        }
        if claimed == 0 {
            return Ok(QueryAttributes::default());
        }
        if claimed > MAX_ATTRIBUTES {
            return Err(Error::TooLarge {
                peer: Peer::Client,
                what: "query attributes",
                size: claimed,
                limit: MAX_ATTRIBUTES,
            });
        }
        let count = claimed as usize;
        let nulls = reader.take(count.div_ceil(8), "the NULL bitmap is cut")?;
        if reader.u8("the flag before the types is missing")? == 0 {
            return Err(reader.malformed("attributes have no types"));
        }
        let types_at = reader.offset();
        for _ in 0..count {
            attribute_type(reader)?;
        }
        let values_at = reader.offset();
        let types = payload.get(types_at..values_at).unwrap_or_default();
        let mut types_again = Reader::new(types, Peer::Client, "query");
        for index in 0..count {
            let (kind, unsigned, _) = attribute_type(&mut types_again)?;
            if !bit(nulls, index) {
                Value::read(reader, kind, unsigned)?;
            }
        }
        let values = payload.get(values_at..reader.offset()).unwrap_or_default();
        Ok(QueryAttributes {
            count,
            nulls,
            types,
            values,
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The attributes in their order.
    pub fn iter(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        let mut types = Reader::new(self.types, Peer::Client, "query");
        let mut values = Reader::new(self.values, Peer::Client, "query");
        let nulls = self.nulls;
        (0..self.count).map_while(move |index| {
            let (kind, unsigned, name) = attribute_type(&mut types).ok()?;
            let value = if bit(nulls, index) {
                Value::Null
            } else {
                Value::read(&mut values, kind, unsigned).ok()?
            };
            Some(Attribute { name, kind, value })
        })
    }

    fn write(&self, out: &mut Vec<u8>) {
        crate::payload::put_lenenc(out, self.count as u64);
        out.push(1);
        if self.count > 0 {
            out.extend_from_slice(self.nulls);
            out.push(1);
            out.extend_from_slice(self.types);
            out.extend_from_slice(self.values);
        }
    }
}

fn attribute_type<'a>(reader: &mut Reader<'a>) -> Result<(ColumnType, bool, &'a [u8]), Error> {
    let kind = reader.u16("a type is cut")?;
    let name = reader.lenenc_bytes("a name is cut")?;
    Ok((ColumnType(kind as u8), kind & UNSIGNED != 0, name))
}
