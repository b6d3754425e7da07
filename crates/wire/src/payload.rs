//! Reading and writing the basic types of a payload: integers, length-encoded and NUL-terminated strings.
//!
//! Source: MySQL internals manual, *Protocol Basics / Basic Data Types*.

use crate::error::{Error, Peer};

/// A cursor over one payload that knows what it reads and from whom, for the errors.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    payload: &'a [u8],
    offset: usize,
    peer: Peer,
    packet: &'static str,
}

impl<'a> Reader<'a> {
    /// A cursor at the beginning of `payload`, sent by `peer`, due to be a `packet`.
    pub fn new(payload: &'a [u8], peer: Peer, packet: &'static str) -> Self {
        Reader {
            payload,
            offset: 0,
            peer,
            packet,
        }
    }

    /// The error that something is wrong at the current position.
    pub fn malformed(&self, what: &'static str) -> Error {
        Error::Malformed {
            peer: self.peer,
            packet: self.packet,
            what,
            offset: self.offset,
        }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes left.
    pub fn remaining(&self) -> usize {
        self.payload.len() - self.offset
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.remaining() == 0
    }

    /// The next byte, without taking it.
    pub fn peek(&self) -> Option<u8> {
        self.payload.get(self.offset).copied()
    }

    /// Takes `n` bytes.
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], Error> {
        let end = self
            .offset
            .checked_add(n)
            .ok_or_else(|| self.malformed(what))?;
        let bytes = self
            .payload
            .get(self.offset..end)
            .ok_or_else(|| self.malformed(what))?;
        self.offset = end;
        Ok(bytes)
    }

    /// Takes `N` bytes as an array.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N, what)?);
        Ok(array)
    }

    /// Takes everything that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        let rest = self.payload.get(self.offset..).unwrap_or_default();
        self.offset = self.payload.len();
        rest
    }

    /// Takes one byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, Error> {
        Ok(u8::from_le_bytes(self.array(what)?))
    }

    /// Takes a two-byte integer.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, Error> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    /// Takes a three-byte integer.
    pub fn u24(&mut self, what: &'static str) -> Result<u32, Error> {
        let [a, b, c] = self.array(what)?;
        Ok(u32::from_le_bytes([a, b, c, 0]))
    }

    /// Takes a four-byte integer.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// Takes an eight-byte integer.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Takes a length-encoded integer. 0xFB (NULL) and 0xFF (error) are no integers.
    pub fn lenenc(&mut self, what: &'static str) -> Result<u64, Error> {
        match self.peek() {
            Some(0xFB | 0xFF) | None => Err(self.malformed(what)),
            Some(0xFC) => {
                self.offset += 1;
                Ok(u64::from(self.u16(what)?))
            }
            Some(0xFD) => {
                self.offset += 1;
                Ok(u64::from(self.u24(what)?))
            }
            Some(0xFE) => {
                self.offset += 1;
                self.u64(what)
            }
            Some(short) => {
                self.offset += 1;
                Ok(u64::from(short))
            }
        }
    }

    /// Takes a length-encoded string.
    pub fn lenenc_bytes(&mut self, what: &'static str) -> Result<&'a [u8], Error> {
        let length = self.lenenc(what)?;
        let length = usize::try_from(length).map_err(|_| self.malformed(what))?;
        self.take(length, what)
    }

    /// Takes a length-encoded string or NULL (0xFB).
    pub fn nullable_lenenc_bytes(&mut self, what: &'static str) -> Result<Option<&'a [u8]>, Error> {
        if self.peek() == Some(0xFB) {
            self.offset += 1;
            return Ok(None);
        }
        self.lenenc_bytes(what).map(Some)
    }

    /// Takes a string up to and with its NUL; the result is without it.
    pub fn nul_bytes(&mut self, what: &'static str) -> Result<&'a [u8], Error> {
        let rest = self.payload.get(self.offset..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|&byte| byte == 0)
            .ok_or_else(|| self.malformed(what))?;
        self.offset += length + 1;
        Ok(&rest[..length])
    }

    /// Takes a string up to and with its NUL, or to the end of the payload: what both servers accept for the last
    /// string of a packet.
    pub fn nul_bytes_or_rest(&mut self) -> &'a [u8] {
        let rest = self.payload.get(self.offset..).unwrap_or_default();
        match rest.iter().position(|&byte| byte == 0) {
            Some(length) => {
                self.offset += length + 1;
                &rest[..length]
            }
            None => self.rest(),
        }
    }
}

/// Appends a length-encoded integer in its shortest form.
pub fn put_lenenc(out: &mut Vec<u8>, n: u64) {
    match n {
        0..=0xFA => out.push(n as u8),
        0xFB..=0xFFFF => {
            out.push(0xFC);
            out.extend_from_slice(&(n as u16).to_le_bytes());
        }
        0x1_0000..=0xFF_FFFF => {
            out.push(0xFD);
            out.extend_from_slice(&(n as u32).to_le_bytes()[..3]);
        }
        _ => {
            out.push(0xFE);
            out.extend_from_slice(&n.to_le_bytes());
        }
    }
}

/// Appends a length-encoded string.
pub fn put_lenenc_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_lenenc(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a length-encoded string, or 0xFB for NULL.
pub fn put_nullable_lenenc_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => put_lenenc_bytes(out, bytes),
        None => out.push(0xFB),
    }
}

/// Appends a string and a NUL. A NUL within `bytes` would end the string for its reader.
pub fn put_nul_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.push(0);
}
