//! Connection attributes: names and values that a client tells about itself, for `session_connect_attrs`.

use crate::error::{Error, Peer};
use crate::payload::{Reader, put_lenenc_bytes};

/// Connection attributes as they came: order and duplicates are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes<'a> {
    raw: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Attributes from their bytes, without the total length before them. What is malformed shows when they are
    /// iterated: servers do not refuse a login for it.
    pub const fn from_raw(raw: &'a [u8]) -> Self {
        Attributes { raw }
    }

    /// The bytes, without the total length before them.
    pub const fn raw(self) -> &'a [u8] {
        self.raw
    }

    /// The pairs of name and value.
    pub fn iter(self) -> AttributesIter<'a> {
        AttributesIter {
            reader: Reader::new(self.raw, Peer::Client, "connection attributes"),
        }
    }

    /// Appends one pair to bytes that can become [`Attributes::from_raw`].
    pub fn push(raw: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        put_lenenc_bytes(raw, name);
        put_lenenc_bytes(raw, value);
    }
}

/// Iterates over pairs of name and value; ends after the first error.
#[derive(Debug, Clone)]
pub struct AttributesIter<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for AttributesIter<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let pair = pair(&mut self.reader);
        if pair.is_err() {
            self.reader.rest();
        }
        Some(pair)
    }
}

fn pair<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), Error> {
    let name = reader.lenenc_bytes("the name of an attribute is cut")?;
    Ok((
        name,
        reader.lenenc_bytes("the value of an attribute is cut")?,
    ))
}
