//! The client's leg: packets in, bytes out.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use steadfast_net::Stream;
use steadfast_wire::command::code;
use steadfast_wire::frame::{self, HEADER_LEN, Header, MAX_FRAME};
use steadfast_wire::{Error, Peer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::scratch;
use crate::tally::Tally;

/// A packet up to this many bytes does not keep a large buffer.
const SMALL: usize = 4 << 10;

/// A packet of which more bytes than these are missing is read into its own place.
const LONG: usize = 64 << 10;

/// At most so many at a time, once as many have come of the same packet.
const LONG_READ: usize = 1 << 20;

/// Bytes of room that a client without commands keeps.
const IDLE: usize = 1 << 10;

/// A whole packet of the client.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    /// Its payload.
    pub(crate) payload: Bytes,
    /// Sequence id of its first frame.
    pub(crate) sequence: u8,
    /// Sequence id that is due next.
    pub(crate) next_sequence: u8,
}

/// One client connection.
#[derive(Debug)]
pub(crate) struct ClientLeg {
    /// `None` while TLS is being started on it.
    stream: Option<Stream>,
    secure: bool,
    inbound: BytesMut,
    /// The most bytes that have been in that buffer: it is at least as large, whatever is left of it.
    most: usize,
    /// What is to be written, see [`ClientLeg::flush`].
    pub(crate) outbound: Vec<u8>,
    /// Payload bytes of the largest packet that is taken.
    pub(crate) limit: u64,
    /// Where its bytes are counted, after the login.
    tally: Option<Rc<Tally>>,
}

impl ClientLeg {
    /// Over a connected stream; packets of more than `limit` payload bytes are refused.
    pub(crate) fn new(stream: Stream, limit: u64) -> Self {
        Self {
            secure: stream.is_secure(),
            stream: Some(stream),
            inbound: BytesMut::new(),
            most: 0,
            outbound: Vec::new(),
            limit,
            tally: None,
        }
    }

    /// From now on its bytes are counted there; those that it has sent ahead too.
    pub(crate) fn count(&mut self, tally: &Rc<Tally>) {
        tally.client_received.add(self.inbound.len() as u64);
        self.tally = Some(Rc::clone(tally));
    }

    /// Whether nobody between the client and Steadfast can read along: TLS or a Unix socket.
    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    /// Takes the stream and what was read of it too far, to start TLS on it. The leg is of no use after that.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotConnected`] if it was taken before.
    pub(crate) fn take_stream(&mut self) -> io::Result<(Stream, BytesMut)> {
        let stream = self.stream.take().ok_or(io::ErrorKind::NotConnected)?;
        Ok((stream, std::mem::take(&mut self.inbound)))
    }

    fn stream(&mut self) -> io::Result<&mut Stream> {
        self.stream
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Reads what there is; 0: the client has closed. Cancel-safe.
    ///
    /// # Errors
    /// What the stream says.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|context| self.poll_fill(context)).await
    }

    /// As [`ClientLeg::fill`].
    pub(crate) fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        let inbound = &mut self.inbound;
        if inbound.is_empty() && self.most > IDLE {
            *inbound = BytesMut::new();
            self.most = 0;
        }
        // A long packet is read in larger steps, of what its header claims, but never for the claim alone.
        let claimed = Header::peek(inbound).map_or(0, |header| header.len as usize);
        let missing = (claimed + HEADER_LEN).saturating_sub(inbound.len());
        let read = if missing.min(inbound.len()) < LONG {
            let keep = |bytes: &[u8]| inbound.extend_from_slice(bytes);
            ready!(scratch::poll_read(stream, context, keep))?
        } else {
            inbound.reserve(missing.min(LONG_READ).min(inbound.len()));
            ready!(pin!(stream.read_buf(inbound)).poll(context))?
        };
        self.most = self.most.max(inbound.len());
        if let Some(tally) = &self.tally {
            tally.client_received.add(read as u64);
        }
        Poll::Ready(Ok(read))
    }

    /// Gives back room that it does not need while nothing comes.
    pub(crate) fn rest(&mut self) {
        if self.inbound.is_empty() {
            self.inbound = BytesMut::new();
            self.most = 0;
        }
    }

    /// Bytes that are waiting to be taken.
    pub(crate) fn buffered(&self) -> usize {
        self.inbound.len()
    }

    /// Whether the next packet that waits is a command that has an answer.
    pub(crate) fn answer_is_due(&self) -> bool {
        self.next_code().is_some_and(|first| {
            !matches!(
                first,
                code::QUIT | code::STMT_CLOSE | code::STMT_SEND_LONG_DATA
            )
        })
    }

    /// The code of the next command that waits.
    pub(crate) fn next_code(&self) -> Option<u8> {
        self.inbound.get(HEADER_LEN).copied()
    }

    /// Takes a packet off the buffer if all of it is there. Memory grows with the bytes that came, not with those
    /// that a header claims.
    ///
    /// # Errors
    /// The client is blamed for a packet over the limit or a wrong order of frames; its connection is of no use then.
    pub(crate) fn take(&mut self) -> Result<Option<Packet>, Error> {
        let Some(first) = Header::peek(&self.inbound) else {
            return Ok(None);
        };
        let mut total = 0u64;
        let mut at = 0usize;
        let mut sequence = first.seq;
        loop {
            let Some(header) = self.inbound.get(at..).and_then(Header::peek) else {
                return Ok(None);
            };
            if header.seq != sequence {
                return Err(Error::OutOfOrder {
                    peer: Peer::Client,
                    expected: sequence,
                    got: header.seq,
                });
            }
            total += u64::from(header.len);
            if total > self.limit {
                return Err(Error::TooLarge {
                    peer: Peer::Client,
                    what: "bytes in one packet",
                    size: total,
                    limit: self.limit,
                });
            }
            sequence = sequence.wrapping_add(1);
            at += HEADER_LEN + header.len as usize;
            if self.inbound.len() < at {
                return Ok(None);
            }
            if !header.is_continued() {
                break;
            }
        }
        let whole = if at <= SMALL && self.most > IDLE {
            // A command that is kept must not keep all that was sent with it.
            let copy = Bytes::copy_from_slice(self.inbound.get(..at).unwrap_or_default());
            self.inbound.advance(at);
            copy
        } else {
            // The room is used again when the commands in it are not kept any more.
            self.inbound.split_to(at).freeze()
        };
        Ok(Some(Packet {
            payload: payload(whole),
            sequence: first.seq,
            next_sequence: sequence,
        }))
    }

    /// The next packet.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the client has closed; [`io::ErrorKind::InvalidData`] with a
    /// [`steadfast_wire::Error`] for a packet that makes no sense.
    pub(crate) async fn packet(&mut self) -> io::Result<Packet> {
        loop {
            if let Some(packet) = self.take().map_err(invalid)? {
                return Ok(packet);
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Queues a packet; gives the sequence id that is due next.
    pub(crate) fn queue(&mut self, sequence: u8, payload: impl FnOnce(&mut Vec<u8>)) -> u8 {
        frame::write_with(self.room(), sequence, payload)
    }

    /// Where to put what is to be written.
    pub(crate) fn room(&mut self) -> &mut Vec<u8> {
        if self.outbound.capacity() == 0 {
            self.outbound = scratch::take();
        }
        &mut self.outbound
    }

    /// Writes what is queued.
    ///
    /// # Errors
    /// What the stream says.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if !self.outbound.is_empty() {
            let stream = self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            stream.write_all(&self.outbound).await?;
            if let Some(tally) = &self.tally {
                tally.client_sent.add(self.outbound.len() as u64);
            }
            scratch::give_back(std::mem::take(&mut self.outbound));
        }
        self.stream()?.flush().await
    }

    /// Ends the connection in order.
    ///
    /// # Errors
    /// What the stream says.
    pub(crate) async fn shutdown(&mut self) -> io::Result<()> {
        self.stream()?.shutdown().await
    }
}

fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Takes the headers out of one packet's frames.
fn payload(mut whole: Bytes) -> Bytes {
    if whole.len() < HEADER_LEN + MAX_FRAME {
        whole.advance(HEADER_LEN);
        return whole;
    }
    let mut payload = Vec::with_capacity(whole.len());
    while let Some(header) = Header::peek(&whole) {
        whole.advance(HEADER_LEN);
        payload.extend_from_slice(&whole.split_to((header.len as usize).min(whole.len())));
    }
    payload.into()
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn a_small_command_keeps_no_more_than_itself() {
        let (mut far, near) = UnixStream::pair().unwrap();
        let mut leg = ClientLeg::new(near.into(), 1 << 20);
        let command = |text: &[u8]| {
            let mut bytes = Vec::new();
            frame::write(&mut bytes, 0, text);
            bytes
        };
        // Alone, among many, and behind them.
        let mut kept = Vec::new();
        for sent in [1, 2_000, 1] {
            far.write_all(&command(b"\x03SELECT 1").repeat(sent))
                .await
                .unwrap();
            for number in 0..sent {
                let packet = leg.packet().await.unwrap();
                if number == 0 {
                    kept.push(packet.payload);
                }
            }
        }
        drop(leg);
        for payload in kept {
            assert_eq!(&payload[..], b"\x03SELECT 1");
            let room = payload.try_into_mut().unwrap().capacity();
            assert!(room <= 2 * IDLE, "{room}");
        }
    }
}
