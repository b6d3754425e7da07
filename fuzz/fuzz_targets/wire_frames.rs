//! Frames: the same packets come out, however the stream is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steadfast_wire::Peer;
use steadfast_wire::frame::{self, Piece, Splitter};

fuzz_target!(|input: &[u8]| {
    let Some((&[size, checked], stream)) = input.split_first_chunk::<2>() else {
        return;
    };
    let size = usize::from(size).max(1);
    let cut = packets(stream, size, checked % 2 == 0);
    assert_eq!(cut, packets(stream, stream.len().max(1), checked % 2 == 0));
    for packet in &cut {
        let mut written = Vec::new();
        frame::write(&mut written, size as u8, packet);
        assert_eq!(packets(&written, size, false), [packet.clone()]);
    }
});

fn packets(stream: &[u8], size: usize, checked: bool) -> Vec<Vec<u8>> {
    let mut splitter = Splitter::new(Peer::Client);
    if checked {
        splitter.expect_sequence(0);
    }
    let mut complete = Vec::new();
    let mut packet = Vec::new();
    for mut piece in stream.chunks(size) {
        loop {
            let Ok((what, taken)) = splitter.next(piece) else {
                return complete;
            };
            let (bytes, rest) = piece.split_at(taken);
            piece = rest;
            match what {
                Piece::NeedMore => break,
                Piece::Header { .. } => {}
                Piece::Payload { packet_end, .. } => {
                    packet.extend_from_slice(bytes);
                    if packet_end {
                        complete.push(std::mem::take(&mut packet));
                    }
                }
            }
        }
    }
    complete
}
