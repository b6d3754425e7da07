//! Commands: round trips, `mysql_common` as oracle, truncation, re-issued executions.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use mysql_common::constants as oracle;
use mysql_common::packets as reference;
use mysql_common::proto::MySerialize;
use mysql_common::value::Value as ReferenceValue;
use proptest::prelude::*;
use steadfast_wire::command::{
    BulkExecute, ChangeUser, Command, Execute, Query, code, execute_flags,
};
use steadfast_wire::handshake::Attributes;
use steadfast_wire::payload::Reader;
use steadfast_wire::value::{ColumnType, Value};
use steadfast_wire::{Capabilities, Error, Peer};

const PLAIN: Capabilities = Capabilities::PROTOCOL_41.union(Capabilities::SECURE_CONNECTION);
const NEW: Capabilities = PLAIN
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::CONNECT_ATTRS)
    .union(Capabilities::QUERY_ATTRIBUTES);

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1u8..=255, 0..20)
}

fn written(command: Command<'_>, capabilities: Capabilities) -> Vec<u8> {
    let mut payload = Vec::new();
    command.write(&mut payload, capabilities).unwrap();
    payload
}

proptest! {
    #[test]
    fn commands_come_back(a in text(), b in text(), id: u32, small: u16, bits: u8, attributes: bool) {
        let capabilities = if attributes { NEW } else { PLAIN };
        for command in [
            Command::Quit, Command::InitDb(&a), Command::Query(Query::new(&a)), Command::FieldList { table: &a, wildcard: &b },
            Command::Refresh(bits), Command::Shutdown, Command::Statistics, Command::ProcessInfo, Command::ProcessKill(id),
            Command::Debug, Command::Ping, Command::BinlogDump(&a), Command::BinlogDumpGtid(&a), Command::RegisterReplica(&a),
            Command::StmtPrepare(&a), Command::StmtSendLongData { statement_id: id, parameter: small, data: &b },
            Command::StmtExecute(Execute { statement_id: id, flags: bits, iterations: 1, body: &a }),
            Command::StmtBulkExecute(BulkExecute { statement_id: id, flags: small, body: &b }),
            Command::StmtClose(id), Command::StmtReset(id), Command::StmtFetch { statement_id: id, rows: id },
            Command::SetOption(small), Command::ResetConnection,
        ] {
            let payload = written(command, capabilities);
            prop_assert_eq!(Command::parse(&payload, capabilities)?, command);
        }
    }

    #[test]
    fn a_change_of_user_comes_back(
        user in text(), auth in text(), database in text(), collation: u16, plugin in text(), name in text(), value in text(), bits: u64,
    ) {
        let capabilities = Capabilities::from_bits_retain(bits) | Capabilities::PROTOCOL_41;
        let mut raw = Vec::new();
        Attributes::push(&mut raw, &name, &value);
        let has = |flag| capabilities.contains(flag);
        let change = ChangeUser {
            user: &user, auth_response: &auth, database: &database, collation: Some(collation),
            plugin: has(Capabilities::PLUGIN_AUTH).then_some(plugin.as_slice()),
            attributes: has(Capabilities::CONNECT_ATTRS).then_some(Attributes::from_raw(&raw)),
        };
        let payload = written(Command::ChangeUser(change), capabilities);
        prop_assert_eq!(Command::parse(&payload, capabilities)?, Command::ChangeUser(change));
        for len in 0..payload.len() {
            let _ = Command::parse(&payload[..len], capabilities);
        }
    }

    #[test]
    fn the_reference_change_of_user_is_read_and_written(user in "[a-z]{0,9}", database in "[a-z]{0,9}", auth in text(), collation: u16) {
        let packet = reference::ComChangeUser::new()
            .with_user(Some(user.as_bytes())).with_database(Some(database.as_bytes())).with_auth_plugin_data(Some(auth.clone()))
            .with_more_data(Some(reference::ComChangeUserMoreData::new(collation)
                .with_auth_plugin(Some(reference::AuthPlugin::CachingSha2Password))));
        let mut payload = Vec::new();
        packet.serialize(&mut payload);
        let change = ChangeUser::parse(&payload, NEW)?;
        prop_assert_eq!((change.user, change.database, change.auth_response), (user.as_bytes(), database.as_bytes(), auth.as_slice()));
        prop_assert_eq!((change.collation, change.plugin), (Some(collation), Some(b"caching_sha2_password".as_slice())));
        prop_assert_eq!(written(Command::ChangeUser(change), NEW), payload);
    }

    #[test]
    fn the_reference_execution_is_read_and_reissued(
        id: u32, other: u32, number: i64, unsigned: u64, string in prop::collection::vec(any::<u8>(), 0..300), float: f64, micro in 0u32..1_000_000,
    ) {
        let values = [
            ReferenceValue::Int(number), ReferenceValue::NULL, ReferenceValue::UInt(unsigned), ReferenceValue::Bytes(string.clone()),
            ReferenceValue::Double(float), ReferenceValue::Date(2024, 2, 29, 1, 2, 3, micro), ReferenceValue::Time(true, 3, 1, 2, 3, micro),
            ReferenceValue::NULL, ReferenceValue::NULL,
        ];
        let (request, _) = reference::ComStmtExecuteRequestBuilder::new(id).build(&values);
        let mut payload = Vec::new();
        request.serialize(&mut payload);
        let execute = Execute::parse(&payload)?;
        prop_assert_eq!(execute.statement_id, id);
        let parameters = execute.parameters(9, PLAIN)?;
        let types = parameters.types.unwrap();
        prop_assert_eq!(types.raw.len(), 18);
        let mut reader = Reader::new(parameters.values, Peer::Client, "execute");
        for (index, value) in values.iter().enumerate() {
            let null = parameters.nulls[index / 8] & 1 << (index % 8) != 0;
            prop_assert_eq!(null, *value == ReferenceValue::NULL);
            if null { continue; }
            let kind = ColumnType(types.raw[2 * index]);
            let seen = Value::read(&mut reader, kind, types.raw[2 * index + 1] & 0x80 != 0)?;
            match (value, seen) {
                (ReferenceValue::Int(a), Value::Int(b)) => prop_assert_eq!(*a, b),
                (ReferenceValue::UInt(a), Value::UInt(b)) => prop_assert_eq!(*a, b),
                (ReferenceValue::Bytes(a), Value::Bytes(b)) => prop_assert_eq!(a.as_slice(), b),
                (ReferenceValue::Double(a), Value::Double(b)) => prop_assert_eq!(a.to_bits(), b.to_bits()),
                (ReferenceValue::Date(..), Value::DateTime(b)) => prop_assert_eq!((b.year, b.day, b.microsecond), (2024, 29, micro)),
                (ReferenceValue::Time(..), Value::Time(b)) => prop_assert_eq!((b.negative, b.days, b.microsecond), (true, 3, micro)),
                (a, b) => prop_assert!(false, "{:?} is no {:?}", b, a),
            }
        }
        prop_assert!(reader.is_empty());

        let mut again = Vec::new();
        execute.write(&mut again);
        prop_assert_eq!(&again, &payload);

        // The second execution of a client leaves the types out; after a re-prepare they are put back.
        let mut without = payload[..10].to_vec();
        without.extend_from_slice(parameters.nulls);
        without.push(0);
        without.extend_from_slice(parameters.values);
        let second = Execute::parse(&without)?;
        let bare = second.parameters(9, PLAIN)?;
        prop_assert_eq!(bare.types, None);
        let mut reissued = Vec::new();
        second.write_after_prepare(&mut reissued, other, &bare, Some(types))?;
        let mut expected = payload.clone();
        expected[1..5].copy_from_slice(&other.to_le_bytes());
        prop_assert_eq!(&reissued, &expected);
        let untyped = second.write_after_prepare(&mut Vec::new(), other, &bare, None);
        prop_assert!(untyped.is_err(), "there are no types");

        for len in 0..payload.len() - parameters.values.len() {
            if let Ok(cut) = Execute::parse(&payload[..len]) {
                prop_assert!(cut.parameters(9, PLAIN).is_err(), "cut at {}", len);
            }
        }
    }

    #[test]
    fn no_bytes_make_a_parser_panic(payload in prop::collection::vec(any::<u8>(), 0..60), bits: u64, count: u16) {
        let capabilities = Capabilities::from_bits_retain(bits);
        for first in [code::QUERY, code::CHANGE_USER, code::STMT_EXECUTE, code::STMT_BULK_EXECUTE, code::FIELD_LIST] {
            let mut payload = payload.clone();
            payload.insert(0, first);
            match Command::parse(&payload, capabilities) {
                Ok(Command::StmtExecute(execute)) => {
                    if let Ok(parameters) = execute.parameters(count, capabilities) {
                        let _ = execute.write_after_prepare(&mut Vec::new(), 1, &parameters, None);
                    }
                }
                Ok(Command::StmtBulkExecute(bulk)) => { let _ = bulk.types(count); }
                Ok(Command::Query(query)) => {
                    prop_assert_eq!(query.attributes.iter().count(), query.attributes.len());
                    let mut again = Vec::new();
                    query.write(&mut again, capabilities);
                    prop_assert_eq!(Query::parse(&again, capabilities)?, query);
                }
                _ => {}
            }
            let _ = Command::parse(&payload[1..], capabilities);
        }
    }
}

#[test]
fn query_attributes_are_read_and_kept() {
    // Two attributes, `trace` = 'abc' and `n` = NULL, then the text.
    let payload = b"\x03\x02\x01\x02\x01\xfd\x00\x05trace\x08\x80\x01n\x03abcSELECT 1";
    let query = Query::parse(payload, NEW).unwrap();
    assert_eq!(query.text, b"SELECT 1");
    let attributes: Vec<_> = query.attributes.iter().collect();
    assert_eq!(
        (attributes[0].name, attributes[0].value),
        (b"trace".as_slice(), Value::Bytes(b"abc"))
    );
    assert_eq!(
        (attributes[1].name, attributes[1].value),
        (b"n".as_slice(), Value::Null)
    );
    assert_eq!(written(Command::Query(query), NEW), payload);
    assert_eq!(
        written(Command::Query(query), PLAIN),
        b"\x03SELECT 1",
        "a receiver without them gets the text"
    );
    assert_eq!(
        Query::parse(b"\x03\x00\x01SELECT 1", NEW).unwrap(),
        Query::new(b"SELECT 1")
    );
    for len in 1..payload.len() - query.text.len() {
        assert!(Query::parse(&payload[..len], NEW).is_err(), "cut at {len}");
    }
    let huge = b"\x03\xfe\x00\x00\x00\x00\x00\x01\x00\x00\x01";
    assert!(matches!(
        Query::parse(huge, NEW),
        Err(Error::TooLarge { .. })
    ));
}

#[test]
fn an_execution_with_query_attributes_has_names() {
    // One parameter of the statement and one attribute named `q`, both TINY.
    let payload =
        b"\x17\x07\x00\x00\x00\x08\x01\x00\x00\x00\x02\x00\x01\x01\x00\x00\x01\x00\x01q\x05\x06";
    let execute = Execute::parse(payload).unwrap();
    let parameters = execute.parameters(1, NEW).unwrap();
    assert_eq!((parameters.count, parameters.counted), (2, true));
    assert_eq!(parameters.types.unwrap().raw, b"\x01\x00\x00\x01\x00\x01q");
    assert_eq!(parameters.values, [5, 6]);
    let mut again = Vec::new();
    execute
        .write_after_prepare(&mut again, 7, &parameters, None)
        .unwrap();
    assert_eq!(again, payload);

    let none = Execute::parse(b"\x17\x07\x00\x00\x00\x08\x01\x00\x00\x00\x00").unwrap();
    let parameters = none.parameters(0, NEW).unwrap();
    assert_eq!((parameters.count, parameters.counted), (0, true));
    let silent = Execute {
        flags: execute_flags::CURSOR_READ_ONLY,
        body: b"",
        ..none
    };
    assert!(silent.opens_cursor());
    assert!(!silent.parameters(0, NEW).unwrap().counted);
}

#[test]
fn the_first_bytes_are_those_of_the_reference() {
    for (ours, theirs) in [
        (code::QUIT, oracle::Command::COM_QUIT),
        (code::QUERY, oracle::Command::COM_QUERY),
        (code::CHANGE_USER, oracle::Command::COM_CHANGE_USER),
        (code::STMT_PREPARE, oracle::Command::COM_STMT_PREPARE),
        (code::STMT_FETCH, oracle::Command::COM_STMT_FETCH),
        (
            code::BINLOG_DUMP_GTID,
            oracle::Command::COM_BINLOG_DUMP_GTID,
        ),
        (
            code::RESET_CONNECTION,
            oracle::Command::COM_RESET_CONNECTION,
        ),
        (
            code::STMT_BULK_EXECUTE,
            oracle::Command::COM_STMT_BULK_EXECUTE,
        ),
    ] {
        assert_eq!(ours, theirs as u8);
    }
}

#[test]
fn a_bulk_execution_gets_its_types_back() {
    let first = BulkExecute::parse(b"\xfa\x01\x00\x00\x00\x80\x00\x03\x00\xfd\x00rows").unwrap();
    let types = first.types(2).unwrap().unwrap();
    assert_eq!(types.raw, b"\x03\x00\xfd\x00");
    let second = BulkExecute::parse(b"\xfa\x01\x00\x00\x00\x40\x00more").unwrap();
    assert_eq!(second.types(2).unwrap(), None);
    let mut out = Vec::new();
    second
        .write_after_prepare(&mut out, 9, Some(types))
        .unwrap();
    assert_eq!(out, b"\xfa\x09\x00\x00\x00\xc0\x00\x03\x00\xfd\x00more");
    assert!(first.types(40).is_err());
}
