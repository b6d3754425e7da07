//! Frames: the four-byte headers that cut the byte stream into packets.
//!
//! A packet is one logical payload. On the wire it is a run of frames of exactly [`MAX_FRAME`] bytes followed by a
//! shorter one, which is empty when the payload is a multiple of [`MAX_FRAME`]. Each frame has the next sequence id,
//! modulo 256; each command starts again at 0.
//!
//! Source: MySQL internals manual, *MySQL Packets*.

use crate::error::{Error, Peer};

/// Payload bytes of the longest frame, 16 MiB - 1: a frame of this length is continued by another.
pub const MAX_FRAME: usize = 0xFF_FFFF;

/// Bytes of a frame's header.
pub const HEADER_LEN: usize = 4;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Header {
    /// Payload bytes of this frame, at most [`MAX_FRAME`].
    pub len: u32,
    /// Sequence id, counted from 0 for each command.
    pub seq: u8,
}

impl Header {
    /// Reads a header; four bytes are always one.
    pub const fn parse(bytes: [u8; HEADER_LEN]) -> Self {
        let [a, b, c, seq] = bytes;
        Header {
            len: u32::from_le_bytes([a, b, c, 0]),
            seq,
        }
    }

    /// The header at the beginning of `bytes`, or `None` if it is not complete.
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk().map(|chunk| Header::parse(*chunk))
    }

    /// The header's bytes. Only the lower 24 bits of `len` have room.
    pub const fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [a, b, c, _] = self.len.to_le_bytes();
        [a, b, c, self.seq]
    }

    /// Whether another frame of the same packet follows.
    pub const fn is_continued(self) -> bool {
        self.len as usize == MAX_FRAME
    }
}

/// Appends `payload` as frames from sequence id `seq`, with the empty last frame where one is needed, and returns
/// the sequence id that is due next.
pub fn write(out: &mut Vec<u8>, seq: u8, payload: &[u8]) -> u8 {
    let mut seq = seq;
    let mut rest = payload;
    loop {
        let (frame, after) = rest.split_at(rest.len().min(MAX_FRAME));
        out.extend_from_slice(
            &Header {
                len: frame.len() as u32,
                seq,
            }
            .to_bytes(),
        );
        out.extend_from_slice(frame);
        seq = seq.wrapping_add(1);
        if frame.len() < MAX_FRAME {
            return seq;
        }
        rest = after;
    }
}

/// Appends the payload that `fill` writes, as frames from sequence id `seq`, and returns the sequence id that is due
/// next. Spares the copy of [`write()`] for payloads of one frame.
pub fn write_with(out: &mut Vec<u8>, seq: u8, fill: impl FnOnce(&mut Vec<u8>)) -> u8 {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    fill(out);
    let len = out.len().saturating_sub(start + HEADER_LEN);
    if len < MAX_FRAME {
        let header = Header {
            len: len as u32,
            seq,
        }
        .to_bytes();
        if let Some(room) = out.get_mut(start..start + HEADER_LEN) {
            room.copy_from_slice(&header);
        }
        return seq.wrapping_add(1);
    }
    let payload = out.split_off(start + HEADER_LEN);
    out.truncate(start);
    write(out, seq, &payload)
}

/// What [`Splitter::next`] found at the beginning of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// The input is used up. Give more.
    NeedMore,
    /// A header ended here; the consumed bytes are the rest of it.
    Header {
        /// The frame that begins.
        header: Header,
        /// Whether a packet begins with it; otherwise it continues one.
        first: bool,
    },
    /// The consumed bytes are payload; there may be none, if the frame is empty.
    Payload {
        /// Whether the frame ends behind them.
        frame_end: bool,
        /// Whether the packet ends behind them.
        packet_end: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum State {
    Header {
        have: u8,
        bytes: [u8; HEADER_LEN],
        first: bool,
    },
    Payload {
        left: u32,
        continued: bool,
    },
}

const BETWEEN_PACKETS: State = State::Header {
    have: 0,
    bytes: [0; HEADER_LEN],
    first: true,
};

/// Walks a byte stream that arrives in arbitrary pieces and tells where frames and packets begin and end.
///
/// Keeps at most three bytes, of a header that was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Splitter {
    state: State,
    peer: Peer,
    expected: Option<u8>,
    packet_len: u64,
}

impl Splitter {
    /// At the beginning of a packet sent by `peer`; sequence ids are not checked until
    /// [`expect_sequence`](Self::expect_sequence).
    pub const fn new(peer: Peer) -> Self {
        Splitter {
            state: BETWEEN_PACKETS,
            peer,
            expected: None,
            packet_len: 0,
        }
    }

    /// From here on each frame must have the next sequence id, the first of them `seq`.
    pub fn expect_sequence(&mut self, seq: u8) {
        self.expected = Some(seq);
    }

    /// From here on sequence ids are not checked.
    pub fn ignore_sequence(&mut self) {
        self.expected = None;
    }

    /// The sequence id that is due next, if they are checked.
    pub fn next_sequence(&self) -> Option<u8> {
        self.expected
    }

    /// Whether the stream is between two packets: the only place where it may end.
    pub fn is_between_packets(&self) -> bool {
        self.state == BETWEEN_PACKETS
    }

    /// Payload bytes of the current packet as claimed by its headers so far; of the last one between two packets.
    pub fn packet_len(&self) -> u64 {
        self.packet_len
    }

    /// Looks at the beginning of `input` and returns what it is and how many bytes of it that takes. Call it again
    /// with the rest until it says [`Piece::NeedMore`].
    ///
    /// # Errors
    /// [`Error::OutOfOrder`] for a wrong sequence id, if they are checked; the stream is of no use after that.
    pub fn next(&mut self, input: &[u8]) -> Result<(Piece, usize), Error> {
        match self.state {
            State::Header {
                have,
                mut bytes,
                first,
            } => {
                let missing = HEADER_LEN - usize::from(have);
                let take = missing.min(input.len());
                for (room, byte) in bytes.iter_mut().skip(usize::from(have)).zip(input) {
                    *room = *byte;
                }
                if take < missing {
                    self.state = State::Header {
                        have: have + take as u8,
                        bytes,
                        first,
                    };
                    return Ok((Piece::NeedMore, take));
                }
                let header = Header::parse(bytes);
                self.check_sequence(header.seq)?;
                self.packet_len = u64::from(header.len) + if first { 0 } else { self.packet_len };
                self.state = State::Payload {
                    left: header.len,
                    continued: header.is_continued(),
                };
                Ok((Piece::Header { header, first }, take))
            }
            State::Payload { left, continued } => {
                if input.is_empty() && left > 0 {
                    return Ok((Piece::NeedMore, 0));
                }
                let take = input.len().min(left as usize);
                let left = left - take as u32;
                if left > 0 {
                    self.state = State::Payload { left, continued };
                    return Ok((
                        Piece::Payload {
                            frame_end: false,
                            packet_end: false,
                        },
                        take,
                    ));
                }
                self.state = State::Header {
                    have: 0,
                    bytes: [0; HEADER_LEN],
                    first: !continued,
                };
                Ok((
                    Piece::Payload {
                        frame_end: true,
                        packet_end: !continued,
                    },
                    take,
                ))
            }
        }
    }

    fn check_sequence(&mut self, got: u8) -> Result<(), Error> {
        match self.expected {
            Some(expected) if expected != got => Err(Error::OutOfOrder {
                peer: self.peer,
                expected,
                got,
            }),
            Some(expected) => {
                self.expected = Some(expected.wrapping_add(1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}
