//! The connection phase: lossless round trips, `mysql_common` as oracle, what is refused.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::collections::HashMap;

use mysql_common::constants as oracle;
use mysql_common::io::ParseBuf;
use mysql_common::packets as reference;
use mysql_common::proto::MySerialize;
use proptest::prelude::*;
use steadfast_wire::handshake::{
    Attributes, AuthPacket, AuthSwitchRequest, ClientHello, Greeting, HandshakeResponse,
    InitialPacket, SslRequest,
};
use steadfast_wire::{Capabilities, Error, Peer, StatusFlags};

const NEEDED: Capabilities = Capabilities::PROTOCOL_41.union(Capabilities::SECURE_CONNECTION);

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1u8..=255, 0..24)
}

fn serialized(packet: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    bytes
}

proptest! {
    #[test]
    fn a_greeting_comes_back(
        version in text(), connection_id: u32, nonce: [u8; 20], bits: u64, collation: u8, status: u16, plugin in text(),
    ) {
        let mut capabilities = Capabilities::from_bits_retain(bits) | NEEDED;
        if !capabilities.is_mariadb() {
            capabilities = Capabilities::from_halves(capabilities.low(), 0);
        }
        let plugin = capabilities.contains(Capabilities::PLUGIN_AUTH).then_some(plugin.as_slice());
        let status = StatusFlags::from_bits_retain(status);
        let greeting = Greeting { version: &version, connection_id, nonce, capabilities, collation, status, plugin };
        let mut bytes = Vec::new();
        greeting.write(&mut bytes);
        prop_assert_eq!(InitialPacket::parse(&bytes)?, InitialPacket::Greeting(greeting));
        for len in 0..bytes.len() {
            let cut = Greeting::parse(&bytes[..len]);
            // Only the NUL behind the plugin's name may be missing: MySQL once left it out.
            let may = plugin.is_some() && len + 1 + plugin.map_or(0, <[u8]>::len) >= bytes.len();
            prop_assert!(cut.is_err() || may, "cut at {}", len);
        }
    }

    #[test]
    fn the_reference_greeting_is_read_and_written(
        version in "[0-9a-zA-Z.-]{1,20}", id: u32, head: [u8; 8], tail: [u8; 12], bits: u32, ext: u32, collation: u8,
    ) {
        let bits = bits | NEEDED.low() | Capabilities::PLUGIN_AUTH.low();
        let capabilities = oracle::CapabilityFlags::from_bits_truncate(bits);
        let mariadb = bits & 1 == 0;
        let mut tail = tail.to_vec();
        tail.push(0);
        let mut packet = reference::HandshakePacket::new(
            10, version.as_bytes(), id, head, Some(tail.clone()), capabilities, collation,
            oracle::StatusFlags::SERVER_STATUS_AUTOCOMMIT, Some(b"mysql_native_password\0".as_slice()),
        );
        let extensions = oracle::MariadbCapabilities::from_bits_truncate(ext);
        if mariadb {
            packet = packet.with_mariadb_ext_capabilities(extensions);
        }
        // The reference writes the NUL behind the name only if the name has it.
        let mut bytes = serialized(&packet);
        if bytes.ends_with(b"\0\0") { bytes.pop(); }
        let greeting = Greeting::parse(&bytes)?;
        prop_assert_eq!(greeting.version, version.as_bytes());
        prop_assert_eq!(greeting.connection_id, id);
        prop_assert_eq!(&greeting.nonce[..8], &head);
        prop_assert_eq!(&greeting.nonce[8..], &tail[..12]);
        prop_assert_eq!(greeting.capabilities.low(), capabilities.bits());
        prop_assert_eq!(greeting.capabilities.extended(), if mariadb { extensions.bits() } else { 0 });
        prop_assert_eq!(greeting.collation, collation);
        prop_assert_eq!(greeting.status, StatusFlags::AUTOCOMMIT);
        prop_assert_eq!(greeting.plugin, Some(b"mysql_native_password".as_slice()));
        let mut again = Vec::new();
        greeting.write(&mut again);
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn a_handshake_response_comes_back(
        bits: u64, max_packet_size: u32, collation: u8, reserved: [u8; 19], user in text(), database in text(),
        auth in prop::collection::vec(1u8..=255, 0..255), plugin in text(),
        attributes in prop::collection::vec((text(), text()), 0..5), level: u8,
    ) {
        let mut capabilities = Capabilities::from_bits_retain(bits) | Capabilities::PROTOCOL_41;
        if !capabilities.is_mariadb() {
            capabilities = Capabilities::from_halves(capabilities.low(), 0);
        }
        let has = |flag| capabilities.contains(flag);
        let mut raw = Vec::new();
        for (name, value) in &attributes {
            Attributes::push(&mut raw, name, value);
        }
        let response = HandshakeResponse {
            capabilities, max_packet_size, collation, reserved,
            user: &user,
            auth_response: &auth,
            database: has(Capabilities::CONNECT_WITH_DB).then_some(database.as_slice()),
            plugin: has(Capabilities::PLUGIN_AUTH).then_some(plugin.as_slice()),
            attributes: has(Capabilities::CONNECT_ATTRS).then_some(Attributes::from_raw(&raw)),
            zstd_level: has(Capabilities::ZSTD_COMPRESSION).then_some(level),
        };
        let mut bytes = Vec::new();
        response.write(&mut bytes)?;
        prop_assert_eq!(HandshakeResponse::parse(&bytes)?, response);
        prop_assert_eq!(ClientHello::parse(&bytes)?, ClientHello::Response(response));
        let pairs: Vec<_> = Attributes::from_raw(&raw).iter().collect::<Result<_, _>>()?;
        let expected: Vec<_> = attributes.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        prop_assert_eq!(pairs, expected);
        for len in 0..bytes.len() {
            // Fields at the end may be missing, as in both servers; what is there is not made up.
            if let Ok(cut) = HandshakeResponse::parse(&bytes[..len]) {
                prop_assert_eq!(cut.user, response.user);
                prop_assert_eq!(cut.auth_response, response.auth_response);
            }
        }
    }

    #[test]
    fn the_reference_handshake_response_is_read_and_written(
        bits: u32, ext: u32, user in "[a-z]{0,16}", database in prop::option::of("[a-z]{1,16}"),
        auth in prop::collection::vec(1u8..=255, 0..60), attribute in prop::option::of(("[a-z_]{1,9}", "[a-z]{0,300}")),
    ) {
        let capabilities = oracle::CapabilityFlags::from_bits_truncate(bits | Capabilities::PROTOCOL_41.low())
            & !oracle::CapabilityFlags::CLIENT_ZSTD_COMPRESSION_ALGORITHM;
        let mut packet = reference::HandshakeResponse::new(
            Some(auth.clone()), (8, 0, 0), Some(user.as_bytes()), database.as_ref().map(|name| name.as_bytes()),
            Some(reference::AuthPlugin::CachingSha2Password), capabilities,
            attribute.clone().map(|(name, value)| HashMap::from([(name, value)])), 0x0100_0000,
        );
        if bits & 1 == 0 {
            packet = packet.with_mariadb_ext_capabilities(oracle::MariadbCapabilities::from_bits_truncate(ext));
        }
        let bytes = serialized(&packet);
        let response = HandshakeResponse::parse(&bytes)?;
        prop_assert_eq!(response.capabilities.low(), packet.capabilities().bits());
        prop_assert_eq!(response.capabilities.extended(), packet.mariadb_ext_capabilities().bits());
        prop_assert_eq!(response.user, user.as_bytes());
        prop_assert_eq!(response.auth_response, auth);
        prop_assert_eq!(response.database, database.as_ref().map(|name| name.as_bytes()));
        prop_assert_eq!(response.plugin, Some(b"caching_sha2_password".as_slice()));
        let mut again = Vec::new();
        response.write(&mut again)?;
        prop_assert_eq!(&again, &bytes);
        let back: reference::HandshakeResponse<'_> = ParseBuf(&again).parse(()).unwrap();
        prop_assert_eq!(back, packet);
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), bits: u64) {
        let capabilities = Capabilities::from_bits_retain(bits);
        let _ = InitialPacket::parse(&bytes);
        let _ = Greeting::parse(&[&[10], bytes.as_slice()].concat());
        let _ = ClientHello::parse(&bytes);
        let _ = AuthPacket::parse(&bytes, capabilities);
    }
}

#[test]
fn an_ssl_request_is_a_cut_handshake_response() {
    let request = SslRequest::new(NEEDED, 1 << 24, 45);
    let mut bytes = Vec::new();
    request.write(&mut bytes);
    assert_eq!(bytes.len(), 32);
    assert_eq!(
        ClientHello::parse(&bytes).unwrap(),
        ClientHello::SslRequest(request)
    );
    assert!(request.capabilities().contains(Capabilities::SSL));
    let expected = reference::SslRequest::new(
        oracle::CapabilityFlags::from_bits_truncate(request.capabilities().low()),
        1 << 24,
        45,
    );
    assert_eq!(bytes, serialized(&expected));
}

#[test]
fn the_login_inside_tls_is_no_ssl_request() {
    let capabilities = NEEDED | Capabilities::SSL;
    let response = HandshakeResponse {
        capabilities,
        max_packet_size: 0,
        collation: 8,
        reserved: [0; 19],
        user: b"u",
        auth_response: b"",
        database: None,
        plugin: None,
        attributes: None,
        zstd_level: None,
    };
    let mut bytes = Vec::new();
    response.write(&mut bytes).unwrap();
    assert_eq!(
        ClientHello::parse(&bytes).unwrap(),
        ClientHello::Response(response)
    );
}

#[test]
fn the_protocol_of_mysql_3_20_is_refused_by_name() {
    let error = ClientHello::parse(b"\x05\x00\x00\x00\x01root\0").unwrap_err();
    assert!(
        matches!(
            error,
            Error::Incompatible {
                peer: Peer::Client,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "the client is not compatible: it speaks the protocol of MySQL 3.20; protocol 4.1 is needed"
    );
}

#[test]
fn an_error_instead_of_a_greeting_comes_with_or_without_sqlstate() {
    let InitialPacket::Error(err) =
        InitialPacket::parse(b"\xff\x10\x04Too many connections").unwrap()
    else {
        panic!("an error");
    };
    assert_eq!(
        (err.code, err.sqlstate, err.message),
        (1040, None, b"Too many connections".as_slice())
    );
    assert_eq!(err.to_string(), "1040: Too many connections");
    let InitialPacket::Error(err) =
        InitialPacket::parse(b"\xff\x69\x04#HY000Host is blocked").unwrap()
    else {
        panic!("an error");
    };
    assert_eq!((err.code, err.sqlstate), (1129, Some(*b"HY000")));
    assert_eq!(err.to_string(), "1129 (HY000): Host is blocked");
}

#[test]
fn what_is_no_database_server_is_told_so() {
    for banner in [
        b"SSH-2.0-OpenSSH_9.2\r\n".as_slice(),
        b"HTTP/1.1 400 Bad Request",
        b"\x09garbage",
    ] {
        let error = InitialPacket::parse(banner).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Incompatible {
                    peer: Peer::Server,
                    ..
                }
            ),
            "{error}"
        );
    }
}

#[test]
fn what_has_no_room_is_not_written() {
    let response = HandshakeResponse {
        capabilities: NEEDED,
        max_packet_size: 0,
        collation: 8,
        reserved: [0; 19],
        user: b"root\0",
        auth_response: b"",
        database: None,
        plugin: None,
        attributes: None,
        zstd_level: None,
    };
    let mut out = Vec::new();
    assert!(matches!(
        response.write(&mut out),
        Err(Error::Unrepresentable { .. })
    ));
    let long = HandshakeResponse {
        user: b"root",
        auth_response: &[1; 256],
        ..response
    };
    assert!(matches!(
        long.write(&mut out),
        Err(Error::Unrepresentable { .. })
    ));
    assert!(out.is_empty(), "nothing is written on error");
    let lenenc = Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA;
    let long = HandshakeResponse {
        capabilities: NEEDED | lenenc,
        ..long
    };
    long.write(&mut out).unwrap();
    assert_eq!(HandshakeResponse::parse(&out).unwrap(), long);
}

#[test]
fn the_steps_of_an_authentication_are_told_apart() {
    let capabilities = NEEDED | Capabilities::PLUGIN_AUTH;
    let switch = AuthSwitchRequest {
        plugin: b"mysql_native_password",
        data: b"01234567890123456789\0",
    };
    let mut bytes = Vec::new();
    switch.write(&mut bytes);
    assert_eq!(
        AuthPacket::parse(&bytes, capabilities).unwrap(),
        AuthPacket::Switch(switch)
    );
    assert_eq!(switch.nonce(), b"01234567890123456789");
    let mut expected = serialized(&reference::AuthSwitchRequest::new(
        b"mysql_native_password".as_slice(),
        b"01234567890123456789\0".as_slice(),
    ));
    expected.truncate(bytes.len());
    assert_eq!(bytes, expected);

    let ed25519 = AuthSwitchRequest {
        plugin: b"client_ed25519",
        data: &[0; 32],
    };
    assert_eq!(
        ed25519.nonce().len(),
        32,
        "a final NUL of a nonce of 32 bytes belongs to it"
    );

    assert_eq!(
        AuthPacket::parse(&[0xFE], capabilities).unwrap(),
        AuthPacket::OldPassword
    );
    let AuthPacket::MoreData(more) = AuthPacket::parse(&[1, 3], capabilities).unwrap() else {
        panic!("data")
    };
    assert_eq!(more.data, [3]);
    let AuthPacket::NextFactor(next) =
        AuthPacket::parse(b"\x02webauthn\0data", capabilities).unwrap()
    else {
        panic!("a factor");
    };
    assert_eq!(
        (next.plugin, next.data),
        (b"webauthn".as_slice(), b"data".as_slice())
    );
    assert!(matches!(
        AuthPacket::parse(&[7], capabilities),
        Err(Error::Unexpected { first: 7, .. })
    ));
}

#[test]
fn a_login_is_not_printed() {
    let response = HandshakeResponse {
        capabilities: NEEDED,
        max_packet_size: 0,
        collation: 8,
        reserved: [0; 19],
        user: b"root",
        auth_response: b"secret",
        database: None,
        plugin: None,
        attributes: None,
        zstd_level: None,
    };
    assert!(!format!("{response:?}").contains("secret"));
    assert!(!format!("{response:?}").contains("115, 101"));
}

#[test]
fn captured_greetings_are_read() {
    let mariadb = b"\n5.5.5-10.11.19-MariaDB-0+deb12u1\x00\x04\x00\x00\x00+EYrQ}Al\x00\xfe\xff\x08\x02\x00\xff\x81\x15\x00\x00\x00\x00\x00\x00\x1d\x00\x00\x00|LDRMm[bXs\\O\x00mysql_native_password\x00";
    let greeting = Greeting::parse(mariadb).unwrap();
    assert_eq!(greeting.version, b"5.5.5-10.11.19-MariaDB-0+deb12u1");
    assert_eq!((greeting.connection_id, greeting.collation), (4, 8));
    assert_eq!(&greeting.nonce, b"+EYrQ}Al|LDRMm[bXs\\O");
    assert!(greeting.capabilities.is_mariadb());
    let extended = Capabilities::PROGRESS
        | Capabilities::STMT_BULK_OPERATIONS
        | Capabilities::EXTENDED_METADATA
        | Capabilities::CACHE_METADATA;
    assert_eq!(
        greeting.capabilities,
        Capabilities::from_halves(0x81FF_FFFE, 0) | extended
    );
    assert_eq!(greeting.plugin, Some(b"mysql_native_password".as_slice()));

    let mysql = b"\n9.7.4-2\x00\t\x00\x00\x00\x19Z5M\x1b1n`\x00\xff\xff\xff\x02\x00\xff\xdf\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x10T\x01J\'n\x13\x05\x19:j!\x00caching_sha2_password\x00";
    let greeting = Greeting::parse(mysql).unwrap();
    assert_eq!(
        (greeting.version, greeting.connection_id, greeting.collation),
        (b"9.7.4-2".as_slice(), 9, 255)
    );
    assert!(!greeting.capabilities.is_mariadb());
    assert_eq!(
        greeting.capabilities,
        Capabilities::from_halves(0xDFFF_FFFF, 0)
    );
    assert_eq!(greeting.plugin, Some(b"caching_sha2_password".as_slice()));

    for bytes in [mariadb.as_slice(), mysql.as_slice()] {
        let mut again = Vec::new();
        Greeting::parse(bytes).unwrap().write(&mut again);
        assert_eq!(again, bytes);
    }
}
