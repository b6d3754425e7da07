//! OK, ERR, EOF, resultset packets: round trips, `mysql_common` as oracle, truncation.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use mysql_common::constants as oracle;
use mysql_common::io::ParseBuf;
use mysql_common::packets as reference;
use mysql_common::proto::MySerialize;
use proptest::prelude::*;
use steadfast_wire::response::{
    BinaryRow, ColumnCount, ColumnDefinition, EofPacket, ErrPacket, ExtendedMetadata, LocalInfile,
    OkHeader, OkPacket, PrepareOk, ProgressReport, SessionState, SessionStateChange, TextRow,
    TransactionState,
};
use steadfast_wire::value::{ColumnType, DateTime, Time, Value};
use steadfast_wire::{Capabilities, Error, StatusFlags};

const NEW: Capabilities = Capabilities::PROTOCOL_41.union(Capabilities::SESSION_TRACK);

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(any::<u8>(), 240..300)
    ]
}

fn change() -> impl Strategy<Value = (u8, Vec<u8>, Vec<u8>)> {
    (0u8..8, bytes(), bytes())
}

fn as_change<'a>((kind, a, b): &'a (u8, Vec<u8>, Vec<u8>)) -> SessionStateChange<'a> {
    match kind {
        0 => SessionStateChange::SystemVariable {
            name: a,
            value: Some(b),
        },
        1 => SessionStateChange::Schema(a),
        2 => SessionStateChange::StateChange(a.len() % 2 == 0),
        3 => SessionStateChange::Gtids {
            encoding: 0,
            gtids: a,
        },
        4 => SessionStateChange::TransactionCharacteristics(a),
        5 => SessionStateChange::TransactionState(TransactionState(*b"T_R_W_S_")),
        kind => SessionStateChange::Other {
            kind: *kind,
            data: a,
        },
    }
}

proptest! {
    #[test]
    fn an_ok_comes_back_and_no_cut_makes_another(
        affected_rows: u64, last_insert_id: u64, status: u16, warnings: u16, info in bytes(),
        changes in prop::collection::vec(change(), 0..4), end: bool,
    ) {
        let mut session_state = Vec::new();
        for change in &changes {
            as_change(change).write(&mut session_state);
        }
        let mut status = StatusFlags::from_bits_retain(status);
        status.set(StatusFlags::SESSION_STATE_CHANGED, !changes.is_empty());
        let header = if end { OkHeader::Eof } else { OkHeader::Ok };
        let ok = OkPacket { header, affected_rows, last_insert_id, status, warnings, info: &info, session_state: &session_state };
        let mut payload = Vec::new();
        ok.write(&mut payload, NEW);
        prop_assert_eq!(OkPacket::parse(&payload, NEW)?, ok);
        let seen: Vec<_> = ok.session_state().collect::<Result<_, _>>()?;
        prop_assert_eq!(seen, changes.iter().map(as_change).collect::<Vec<_>>());
        for len in 0..payload.len() {
            if let Ok(cut) = OkPacket::parse(&payload[..len], NEW) {
                // Servers may leave the info out: only such a cut is an OK.
                prop_assert!(cut.info.is_empty() || cut.info == info.as_slice());
                prop_assert!(cut.session_state.is_empty());
                prop_assert_eq!((cut.affected_rows, cut.warnings), (affected_rows, warnings));
            }
        }

        // A client that does not track gets the same without the changes.
        let old = Capabilities::PROTOCOL_41;
        let mut payload = Vec::new();
        ok.write(&mut payload, old);
        let seen = OkPacket::parse(&payload, old)?;
        prop_assert!(!seen.status.contains(StatusFlags::SESSION_STATE_CHANGED));
        prop_assert_eq!((seen.affected_rows, seen.last_insert_id, seen.warnings), (affected_rows, last_insert_id, warnings));
        prop_assert_eq!(seen.info, info.as_slice());
        prop_assert!(seen.session_state.is_empty());
    }

    #[test]
    fn the_reference_reads_our_ok(
        affected_rows: u64, last_insert_id: u64, warnings: u16, info in "[a-zA-Z: ]{0,300}",
        changes in prop::collection::vec(change(), 0..4), tracks: bool,
    ) {
        let mut session_state = Vec::new();
        for change in changes.iter().filter(|(kind, ..)| *kind < 6) {
            as_change(change).write(&mut session_state);
        }
        let capabilities = if tracks { NEW } else { Capabilities::PROTOCOL_41 };
        let status = StatusFlags::AUTOCOMMIT;
        let header = OkHeader::Ok;
        let ok = OkPacket { header, affected_rows, last_insert_id, status, warnings, info: info.as_bytes(), session_state: &session_state };
        let mut payload = Vec::new();
        ok.write(&mut payload, capabilities);
        let flags = oracle::CapabilityFlags::from_bits_truncate(capabilities.low());
        let seen: reference::OkPacketDeserializer<'_, reference::CommonOkPacket> = ParseBuf(&payload).parse(flags).unwrap();
        let seen = seen.into_inner();
        prop_assert_eq!(seen.affected_rows(), affected_rows);
        prop_assert_eq!(seen.last_insert_id().unwrap_or_default(), last_insert_id);
        prop_assert_eq!(seen.warnings(), warnings);
        prop_assert_eq!(seen.info_ref().unwrap_or_default(), info.as_bytes());
        prop_assert_eq!(seen.session_state_info_ref().unwrap_or_default(), if tracks { &session_state } else { &[][..] });
        if tracks {
            prop_assert_eq!(seen.session_state_info().unwrap().len(), changes.iter().filter(|(kind, ..)| *kind < 6).count());
        }
    }

    #[test]
    fn an_err_comes_back(code: u16, sqlstate: [u8; 5], message in bytes()) {
        let err = ErrPacket { code, sqlstate: Some(sqlstate), message: &message };
        let mut payload = Vec::new();
        err.write(&mut payload, NEW);
        prop_assert_eq!(ErrPacket::parse(&payload, NEW)?, err);
        if code != 0xFFFF {
            let flags = oracle::CapabilityFlags::from_bits_truncate(NEW.low());
            let seen: reference::ErrPacket<'_> = ParseBuf(&payload).parse(flags).unwrap();
            prop_assert_eq!(seen.server_error().error_code(), code);
            prop_assert_eq!(seen.server_error().sql_state_ref().unwrap().as_bytes(), sqlstate);
            prop_assert_eq!(seen.server_error().message_ref(), message.as_slice());
            let mut again = Vec::new();
            seen.serialize(&mut again);
            prop_assert_eq!(again, payload);
        }
    }

    #[test]
    fn a_column_definition_comes_back(
        names in prop::collection::vec(bytes(), 6), extended in bytes(), collation: u16, length: u32, kind: u8, flags: u16,
        decimals: u8, tail in bytes(), bits: u64,
    ) {
        let capabilities = Capabilities::from_bits_retain(bits);
        let column = ColumnDefinition {
            catalog: &names[0], schema: &names[1], table: &names[2], org_table: &names[3], name: &names[4], org_name: &names[5],
            extended: if capabilities.contains(Capabilities::EXTENDED_METADATA) { &extended } else { &[] },
            collation, length, kind: ColumnType(kind), flags, decimals, tail: &tail,
        };
        let mut payload = Vec::new();
        column.write(&mut payload, capabilities);
        prop_assert_eq!(ColumnDefinition::parse(&payload, capabilities)?, column);
        for len in 0..payload.len() - tail.len() {
            prop_assert!(ColumnDefinition::parse(&payload[..len], capabilities).is_err(), "cut at {}", len);
        }
    }

    #[test]
    fn the_reference_reads_our_column(names in prop::collection::vec(bytes(), 5), length: u32, collation: u16, decimals: u8, flags: u16) {
        // Only its reader is a reference: its writer puts the length before the collation.
        let flags = oracle::ColumnFlags::from_bits_truncate(flags);
        let ours = ColumnDefinition {
            catalog: b"def", schema: &names[0], table: &names[1], org_table: &names[2], name: &names[3], org_name: &names[4],
            extended: b"", collation, length, kind: ColumnType::LONGLONG, flags: flags.bits(), decimals, tail: b"",
        };
        let mut payload = Vec::new();
        ours.write(&mut payload, NEW);
        let seen: reference::Column = ParseBuf(&payload).parse(()).unwrap();
        prop_assert_eq!((seen.schema_ref(), seen.table_ref(), seen.org_table_ref()), (ours.schema, ours.table, ours.org_table));
        prop_assert_eq!((seen.name_ref(), seen.org_name_ref()), (ours.name, ours.org_name));
        prop_assert_eq!((seen.column_length(), seen.character_set(), seen.decimals()), (length, collation, decimals));
        prop_assert_eq!((seen.column_type(), seen.flags()), (oracle::ColumnType::MYSQL_TYPE_LONGLONG, flags));
    }

    #[test]
    fn small_packets_come_back(
        statement_id: u32, columns: u16, parameters: u16, warnings: u16, status: u16, follow: bool, bits: u64, name in bytes(),
        count in 1u32..=ColumnCount::MAX, stage: u8, progress in 0u32..1 << 24,
    ) {
        let capabilities = Capabilities::from_bits_retain(bits) | Capabilities::PROTOCOL_41;
        let definitions_follow = follow || !capabilities.contains(Capabilities::OPTIONAL_RESULTSET_METADATA);
        let prepared = PrepareOk { statement_id, columns, parameters, warnings, definitions_follow };
        let mut payload = Vec::new();
        prepared.write(&mut payload, capabilities);
        prop_assert_eq!(PrepareOk::parse(&payload, capabilities)?, prepared);

        let flagged = capabilities.intersects(Capabilities::OPTIONAL_RESULTSET_METADATA | Capabilities::CACHE_METADATA);
        let column_count = ColumnCount { columns: count, definitions_follow: follow || !flagged };
        payload.clear();
        column_count.write(&mut payload, capabilities);
        prop_assert_eq!(ColumnCount::parse(&payload, capabilities)?, column_count);
        for len in 0..payload.len() {
            prop_assert!(ColumnCount::parse(&payload[..len], capabilities).is_err());
        }

        let eof = EofPacket { warnings, status: StatusFlags::from_bits_retain(status) };
        payload.clear();
        eof.write(&mut payload, capabilities);
        prop_assert_eq!(EofPacket::parse(&payload, capabilities)?, eof);

        let infile = LocalInfile { file_name: &name };
        payload.clear();
        infile.write(&mut payload);
        prop_assert_eq!(LocalInfile::parse(&payload)?, infile);

        let report = ProgressReport { stage, max_stage: 9, progress, info: &name };
        payload.clear();
        report.write(&mut payload);
        prop_assert_eq!(ProgressReport::parse(&payload)?, report);
        prop_assert!(ProgressReport::is_one(&payload, Capabilities::PROGRESS));
        prop_assert!(!ProgressReport::is_one(&payload, Capabilities::empty()));
    }

    #[test]
    fn a_text_row_comes_back(values in prop::collection::vec(prop::option::of(bytes()), 1..6)) {
        let mut payload = Vec::new();
        TextRow::write(&mut payload, values.iter().map(|value| value.as_deref()));
        let seen: Vec<_> = TextRow::new(&payload).iter().map(|value| value.map(|value| value.map(<[u8]>::to_vec))).collect::<Result<_, _>>()?;
        prop_assert_eq!(seen, values);
    }

    #[test]
    fn no_bytes_make_a_parser_panic(payload in prop::collection::vec(any::<u8>(), 0..60), bits: u64, kind: u8) {
        let capabilities = Capabilities::from_bits_retain(bits);
        let _ = OkPacket::parse(&payload, capabilities);
        let _ = ErrPacket::parse(&payload, capabilities);
        let _ = EofPacket::parse(&payload, capabilities);
        let _ = ColumnCount::parse(&payload, capabilities);
        let _ = PrepareOk::parse(&payload, capabilities);
        let _ = ProgressReport::parse(&payload);
        if let Ok(column) = ColumnDefinition::parse(&payload, capabilities) {
            let _ = column.extended_metadata().count();
        }
        prop_assert!(SessionState::new(&payload).count() <= payload.len());
        prop_assert!(TextRow::new(&payload).iter().count() <= payload.len());
        if let Ok(mut row) = BinaryRow::parse(&payload, 3) {
            for _ in 0..3 {
                let _ = row.value_of(ColumnType(kind), bits % 2 == 0);
            }
        }
    }
}

#[test]
fn one_entry_may_hold_several_variables() {
    let changes: Vec<_> = SessionState::new(b"\x00\x09\x01a\x011\x01b\x022x\x01\x03\x02db")
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        changes,
        [
            SessionStateChange::SystemVariable {
                name: b"a",
                value: Some(b"1")
            },
            SessionStateChange::SystemVariable {
                name: b"b",
                value: Some(b"2x")
            },
            SessionStateChange::Schema(b"db"),
        ]
    );
}

#[test]
fn the_transaction_state_tells_what_happened() {
    let state = TransactionState(*b"T_RwW_SL");
    assert!(
        state.is_open()
            && state.is_explicit()
            && state.reads_transactional()
            && state.writes_transactional()
    );
    assert!(
        state.writes_non_transactional() && state.sent_resultset() && state.holds_table_locks()
    );
    assert!(!state.reads_non_transactional() && !state.ran_unsafe_statement());
    assert!(!TransactionState(*b"________").is_open());
    let implicit = TransactionState(*b"I_______");
    assert!(implicit.is_open() && !implicit.is_explicit());
}

#[test]
fn a_column_count_beyond_reason_is_refused() {
    let error = ColumnCount::parse(&[0xFE, 0, 0, 0, 0, 0, 1, 0, 0], NEW).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                size: 0x100_0000_0000,
                limit: 0xFFFF,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "the server sent 1099511627776 columns, the limit is 65535"
    );
    assert!(ColumnCount::parse(&[0], NEW).is_err());
}

#[test]
fn mariadb_names_types_and_formats() {
    let column = ColumnDefinition {
        catalog: b"def",
        schema: b"",
        table: b"",
        org_table: b"",
        name: b"c",
        org_name: b"c",
        extended: b"\x00\x05inet6\x01\x04json",
        collation: 63,
        length: 16,
        kind: ColumnType::STRING,
        flags: 0,
        decimals: 0,
        tail: b"",
    };
    let names: Vec<_> = column.extended_metadata().map(Result::unwrap).collect();
    let expected = [
        (ExtendedMetadata::Type, b"inet6".as_slice()),
        (ExtendedMetadata::Format, b"json".as_slice()),
    ];
    assert_eq!(names, expected);
}

#[test]
fn the_manuals_binary_values_are_read() {
    let mut row = BinaryRow::parse(b"\x00\x00\x06foobar", 1).unwrap();
    assert_eq!(
        row.value_of(ColumnType::VAR_STRING, false).unwrap(),
        Value::Bytes(b"foobar")
    );

    let payload = b"\x00\x08\xff\x0b\xda\x07\x0a\x11\x13\x1b\x1e\x01\x00\x00\x00\x0c\x01\x78\x00\x00\x00\x13\x1b\x1e\x01\x00\x00\x00\x66\x66\x66\x66\x66\x66\x24\x40";
    let mut row = BinaryRow::parse(payload, 5).unwrap();
    assert_eq!(
        row.value_of(ColumnType::TINY, false).unwrap(),
        Value::Int(-1)
    );
    assert_eq!(row.value_of(ColumnType::LONG, false).unwrap(), Value::Null);
    let moment = DateTime {
        year: 2010,
        month: 10,
        day: 17,
        hour: 19,
        minute: 27,
        second: 30,
        microsecond: 1,
    };
    assert_eq!(
        row.value_of(ColumnType::DATETIME, false).unwrap(),
        Value::DateTime(moment)
    );
    let span = Time {
        negative: true,
        days: 120,
        hour: 19,
        minute: 27,
        second: 30,
        microsecond: 1,
    };
    assert_eq!(
        row.value_of(ColumnType::TIME, false).unwrap(),
        Value::Time(span)
    );
    assert_eq!(
        row.value_of(ColumnType::DOUBLE, false).unwrap(),
        Value::Double(10.2)
    );
    assert!(
        row.value_of(ColumnType::TINY, false).is_err(),
        "the row is used up"
    );
}
