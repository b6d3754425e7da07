//! Frames: splitting, joining, sequence ids, arbitrary pieces.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use proptest::prelude::*;
use steadfast_wire::frame::{self, HEADER_LEN, Header, MAX_FRAME, Piece, Splitter};
use steadfast_wire::{Error, Peer};

/// Feeds the stream in pieces of the given sizes and returns the packets.
fn join(stream: &[u8], sizes: &[usize], splitter: &mut Splitter) -> Result<Vec<Vec<u8>>, Error> {
    let mut packets = Vec::new();
    let mut packet = Vec::new();
    let mut sizes = sizes.iter().copied().cycle();
    let mut rest = stream;
    while !rest.is_empty() {
        let (mut piece, after) =
            rest.split_at(sizes.next().unwrap_or(rest.len()).clamp(1, rest.len()));
        rest = after;
        loop {
            let (what, taken) = splitter.next(piece)?;
            let (bytes, left) = piece.split_at(taken);
            piece = left;
            match what {
                Piece::NeedMore => {
                    assert!(piece.is_empty(), "nothing is left over");
                    break;
                }
                Piece::Header { header, first } => {
                    assert!(header.len as usize <= MAX_FRAME);
                    assert_eq!(first, packet.is_empty() && packet.capacity() == 0);
                    packet.reserve(1);
                }
                Piece::Payload {
                    packet_end,
                    frame_end,
                } => {
                    assert!(frame_end || !packet_end);
                    packet.extend_from_slice(bytes);
                    if packet_end {
                        assert_eq!(splitter.packet_len(), packet.len() as u64);
                        packets.push(std::mem::take(&mut packet));
                    }
                }
            }
        }
    }
    Ok(packets)
}

proptest! {
    #[test]
    fn packets_survive_any_cutting(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        sizes in prop::collection::vec(1usize..12, 1..6),
        seq in any::<u8>(),
    ) {
        let mut stream = Vec::new();
        let mut next = seq;
        for payload in &payloads {
            next = frame::write(&mut stream, next, payload);
        }
        let mut splitter = Splitter::new(Peer::Server);
        splitter.expect_sequence(seq);
        prop_assert_eq!(join(&stream, &sizes, &mut splitter)?, payloads);
        prop_assert!(splitter.is_between_packets());
        prop_assert_eq!(splitter.next_sequence(), Some(next));
    }

    #[test]
    fn no_stream_makes_the_splitter_panic(stream in prop::collection::vec(any::<u8>(), 0..300), size in 1usize..9) {
        let mut splitter = Splitter::new(Peer::Client);
        let mut rest = stream.as_slice();
        while !rest.is_empty() {
            let (mut piece, after) = rest.split_at(size.min(rest.len()));
            rest = after;
            loop {
                let (what, taken) = splitter.next(piece)?;
                piece = &piece[taken..];
                if what == Piece::NeedMore { break; }
            }
        }
    }
}

#[test]
fn a_payload_of_16_mib_is_split_and_ends_with_a_shorter_frame() {
    for (len, frames) in [
        (MAX_FRAME - 1, 1),
        (MAX_FRAME, 2),
        (MAX_FRAME + 1, 2),
        (2 * MAX_FRAME, 3),
    ] {
        let payload = vec![0x2A; len];
        let mut stream = Vec::new();
        assert_eq!(
            frame::write(&mut stream, 254, &payload),
            254u8.wrapping_add(frames)
        );
        assert_eq!(stream.len(), len + usize::from(frames) * HEADER_LEN);
        let mut splitter = Splitter::new(Peer::Client);
        splitter.expect_sequence(254);
        let packets = join(&stream, &[1 << 20, 7], &mut splitter).unwrap();
        assert!(packets == [payload.clone()], "{len} bytes come back");

        let mut in_place = Vec::new();
        frame::write_with(&mut in_place, 254, |out| out.extend_from_slice(&payload));
        assert!(in_place == stream, "both writers agree on {len} bytes");
    }
}

#[test]
fn a_wrong_sequence_id_is_named() {
    let mut stream = Vec::new();
    frame::write(&mut stream, 3, b"x");
    let mut splitter = Splitter::new(Peer::Client);
    splitter.expect_sequence(1);
    let error = splitter.next(&stream).unwrap_err();
    assert_eq!(
        error,
        Error::OutOfOrder {
            peer: Peer::Client,
            expected: 1,
            got: 3
        }
    );
    assert_eq!(
        error.to_string(),
        "the client sent packets out of order: sequence id 3 instead of 1"
    );
}

#[test]
fn an_empty_packet_is_seen_without_further_input() {
    let mut splitter = Splitter::new(Peer::Client);
    let (header, taken) = splitter.next(&[0, 0, 0, 0]).unwrap();
    assert_eq!(
        (header, taken),
        (
            Piece::Header {
                header: Header { len: 0, seq: 0 },
                first: true
            },
            4
        )
    );
    let end = Piece::Payload {
        frame_end: true,
        packet_end: true,
    };
    assert_eq!(splitter.next(&[]).unwrap(), (end, 0));
    assert_eq!(splitter.next(&[]).unwrap(), (Piece::NeedMore, 0));
}

#[test]
fn headers_are_read_as_they_are_written() {
    let header = Header {
        len: 0x01_02_03,
        seq: 9,
    };
    assert_eq!(header.to_bytes(), [3, 2, 1, 9]);
    assert_eq!(Header::peek(&[3, 2, 1, 9, 77]), Some(header));
    assert_eq!(Header::peek(&[3, 2, 1]), None);
}
