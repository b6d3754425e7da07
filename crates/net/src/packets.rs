//! Whole packets over a stream, with a limit: for the login and for hidden commands, where payloads are small.

use std::io;
use std::ops::Range;

use steadfast_wire::frame::{HEADER_LEN, Header};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes asked of the socket at once.
const CHUNK: usize = 8 * 1024;

/// Why there is no packet.
#[derive(Debug)]
pub(crate) enum ReadError {
    Io(io::Error),
    /// A packet of this many bytes, or more, beyond the limit.
    TooLarge(usize),
    OutOfOrder {
        expected: u8,
        got: u8,
    },
}

/// A payload that may be too long to be kept.
#[derive(Debug)]
pub(crate) enum Payload<'a> {
    Whole(&'a [u8]),
    /// Its first byte and its length; the rest of it has been dropped.
    Head([u8; 1], u64),
}

impl Payload<'_> {
    /// The whole of it, or its first byte.
    pub(crate) fn head(&self) -> &[u8] {
        match self {
            Payload::Whole(bytes) => bytes,
            Payload::Head(first, _) => first,
        }
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Payload::Whole(bytes) => bytes.len() as u64,
            Payload::Head(_, len) => *len,
        }
    }
}

/// Takes packets from a buffer and reads more when it is used up. What was taken is removed from the buffer when this
/// is dropped.
#[derive(Debug)]
pub(crate) struct Packets<'a> {
    bytes: &'a mut Vec<u8>,
    taken: usize,
}

impl<'a> Packets<'a> {
    pub(crate) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Packets { bytes, taken: 0 }
    }

    /// The next packet's payload, of at most `limit` bytes (below 16 MiB - 1). `sequence` is the id that is due and is
    /// moved on.
    ///
    /// An ERR is taken with any sequence id: MySQL sends 4031 with 0, whatever was due.
    pub(crate) async fn next(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        sequence: &mut u8,
        limit: usize,
    ) -> Result<&[u8], ReadError> {
        let header = self.header(stream).await?;
        let length = header.len as usize;
        if length > limit {
            return Err(ReadError::TooLarge(length));
        }
        while self.rest().len() < HEADER_LEN + length {
            self.read(stream, HEADER_LEN + length).await?;
        }
        let payload = self.taken + HEADER_LEN..self.taken + HEADER_LEN + length;
        self.taken = payload.end;
        let payload = self.slice(payload);
        if header.seq != *sequence && payload.first() != Some(&0xFF) {
            return Err(ReadError::OutOfOrder {
                expected: *sequence,
                got: header.seq,
            });
        }
        *sequence = header.seq.wrapping_add(1);
        Ok(payload)
    }

    /// The next packet, as [`next`](Self::next); of one of more than `limit` bytes only the first is kept. It may be
    /// longer than a frame, and of at most `most` bytes.
    pub(crate) async fn next_or_head(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        sequence: &mut u8,
        limit: usize,
        most: u64,
    ) -> Result<Payload<'_>, ReadError> {
        let mut frame = self.header(stream).await?;
        if frame.len as usize <= limit {
            return self.next(stream, sequence, limit).await.map(Payload::Whole);
        }
        let mut first = None;
        let mut len = 0;
        loop {
            if frame.seq != *sequence {
                return Err(ReadError::OutOfOrder {
                    expected: *sequence,
                    got: frame.seq,
                });
            }
            *sequence = frame.seq.wrapping_add(1);
            len += u64::from(frame.len);
            if len > most {
                return Err(ReadError::TooLarge(len as usize));
            }
            self.taken += HEADER_LEN;
            let mut left = frame.len as usize;
            while left > 0 {
                if self.rest().is_empty() {
                    self.read(stream, 0).await?;
                }
                first = first.or(self.rest().first().copied());
                let here = left.min(self.rest().len());
                self.taken += here;
                left -= here;
            }
            if !frame.is_continued() {
                return Ok(Payload::Head([first.unwrap_or_default()], len));
            }
            frame = self.header(stream).await?;
        }
    }

    /// The next packet's header, which stays where it is.
    async fn header(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Result<Header, ReadError> {
        loop {
            if let Some(header) = Header::peek(self.rest()) {
                return Ok(header);
            }
            self.read(stream, HEADER_LEN).await?;
        }
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    fn slice(&self, range: Range<usize>) -> &[u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    /// Reads once, with room for `wanted` bytes from the beginning of the packet.
    async fn read(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        wanted: usize,
    ) -> Result<(), ReadError> {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes
            .reserve(wanted.saturating_sub(self.bytes.len()).max(CHUNK));
        match stream.read_buf(self.bytes).await {
            Ok(0) => Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(error) => Err(ReadError::Io(error)),
        }
    }
}

impl Drop for Packets<'_> {
    fn drop(&mut self) {
        self.bytes.drain(..self.taken);
        // An idle connection has no buffer.
        if self.bytes.is_empty() {
            *self.bytes = Vec::new();
        }
    }
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReadError::Io(error) => error.fmt(f),
            ReadError::TooLarge(length) => write!(
                f,
                "the server sent a packet of {length} bytes where a short one is due"
            ),
            ReadError::OutOfOrder { expected, got } => {
                write!(
                    f,
                    "the server sent packets out of order: sequence id {got} instead of {expected}"
                )
            }
        }
    }
}
