//! Responses: the walker over a stream of packets, and the parsers of what it wants whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steadfast_wire::response::{
    BinaryRow, ColumnDefinition, ErrPacket, OkPacket, PrepareOk, TextRow,
};
use steadfast_wire::value::ColumnType;
use steadfast_wire::walk::{Expect, ResponseWalker};
use steadfast_wire::{Capabilities, Error};

const EXPECTATIONS: [Expect; 9] = [
    Expect::Query,
    Expect::Prepare,
    Expect::Execute,
    Expect::Fetch,
    Expect::FieldList,
    Expect::Simple,
    Expect::Statistics,
    Expect::AuthLike,
    Expect::Stream,
];

fuzz_target!(|input: &[u8]| {
    let Some((head, mut rest)) = input.split_first_chunk::<9>() else {
        return;
    };
    let [first, bits @ ..] = *head;
    let capabilities = Capabilities::from_bits_retain(u64::from_le_bytes(bits));
    parse_alone(rest, capabilities);

    let mut walker = ResponseWalker::new(capabilities);
    walker.begin(EXPECTATIONS[usize::from(first) % EXPECTATIONS.len()]);
    // A packet is a byte of length and that many bytes.
    while let Some((&len, after)) = rest.split_first() {
        let (packet, after) = after.split_at(usize::from(len).min(after.len()));
        rest = after;
        match walker.packet(packet, packet.len() as u64) {
            Ok(step) => assert_eq!(step.ended, walker.is_idle()),
            Err(Error::Misused { .. }) => panic!("the packet was given whole"),
            Err(_) => return,
        }
    }
});

fn parse_alone(payload: &[u8], capabilities: Capabilities) {
    if let Ok(ok) = OkPacket::parse(payload, capabilities) {
        let mut written = Vec::new();
        ok.write(&mut written, capabilities);
        let second = OkPacket::parse(&written, capabilities).unwrap();
        assert_eq!(
            (second.affected_rows, second.last_insert_id, second.info),
            (ok.affected_rows, ok.last_insert_id, ok.info)
        );
        let mut state = Vec::new();
        for change in ok.session_state().flatten() {
            change.write(&mut state);
        }
    }
    if let Ok(err) = ErrPacket::parse(payload, capabilities) {
        let mut written = Vec::new();
        err.write(&mut written, capabilities);
        assert_eq!(
            ErrPacket::parse(&written, capabilities).unwrap().code,
            err.code
        );
    }
    if let Ok(column) = ColumnDefinition::parse(payload, capabilities) {
        let _ = column.extended_metadata().count();
        let mut written = Vec::new();
        column.write(&mut written, capabilities);
        assert_eq!(ColumnDefinition::parse(&written, capabilities), Ok(column));
    }
    let _ = PrepareOk::parse(payload, capabilities);
    let _ = TextRow::new(payload).iter().count();
    if let Some((kinds, payload)) = payload.split_first_chunk::<4>() {
        if let Ok(mut row) = BinaryRow::parse(payload, kinds.len()) {
            for kind in kinds {
                let _ = row.value_of(ColumnType(*kind), kind % 2 == 0);
            }
        }
    }
}
