//! Real servers: greetings come back byte for byte, every plugin logs in, and the walker ends each response where the
//! server does, under many sets of capabilities. Sequence ids are checked: a response that was ended too early or too
//! late shows in the next one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use steadfast_sandbox::{Kind, Server};
use steadfast_wire::auth::{
    PERFORM_FULL_AUTH, Password, Plugin, REQUEST_PUBLIC_KEY, REQUEST_PUBLIC_KEY_SHA256,
    caching_sha2_response, ed25519_response, native_response, rsa_encrypt_password,
};
use steadfast_wire::command::{Command, Execute, Query, execute_flags};
use steadfast_wire::frame::{self, Piece, Splitter};
use steadfast_wire::handshake::{AuthPacket, Greeting, HandshakeResponse, InitialPacket};
use steadfast_wire::response::{
    BinaryRow, ColumnDefinition, ErrPacket, OkPacket, SessionStateChange, TextRow,
};
use steadfast_wire::value::Value;
use steadfast_wire::walk::{Expect, ResponseWalker, Seen, Summary};
use steadfast_wire::{Capabilities, Peer, StatusFlags};

const BASE: Capabilities = Capabilities::PROTOCOL_41
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::CONNECT_WITH_DB)
    .union(Capabilities::LOCAL_FILES)
    .union(Capabilities::MULTI_STATEMENTS)
    .union(Capabilities::MULTI_RESULTS)
    .union(Capabilities::PS_MULTI_RESULTS);

const PASSWORD: &str = "a password longer than twenty bytes";

/// A blocking client made of this crate and a socket.
struct Client {
    stream: TcpStream,
    splitter: Splitter,
    buffer: Vec<u8>,
    walker: ResponseWalker,
}

/// A response: what each packet was, and its payload.
type Response = Vec<(Seen, Vec<u8>)>;

impl Client {
    fn packet(&mut self) -> Vec<u8> {
        let mut packet = Vec::new();
        loop {
            let (piece, taken) = self.splitter.next(&self.buffer).unwrap();
            let bytes: Vec<u8> = self.buffer.drain(..taken).collect();
            match piece {
                Piece::NeedMore => {
                    let mut room = [0; 4096];
                    let read = self.stream.read(&mut room).unwrap();
                    assert!(read > 0, "the server closed the connection");
                    self.buffer.extend_from_slice(&room[..read]);
                }
                Piece::Header { .. } => {}
                Piece::Payload { packet_end, .. } => {
                    packet.extend_from_slice(&bytes);
                    if packet_end {
                        return packet;
                    }
                }
            }
        }
    }

    fn send(&mut self, seq: u8, payload: &[u8]) {
        let mut framed = Vec::new();
        let next = frame::write(&mut framed, seq, payload);
        self.splitter.expect_sequence(next);
        self.stream.write_all(&framed).unwrap();
    }

    fn connect(addr: SocketAddr, wanted: Capabilities, user: &str) -> Result<Client, String> {
        let stream = TcpStream::connect(addr).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut splitter = Splitter::new(Peer::Server);
        splitter.expect_sequence(0);
        let mut client = Client {
            stream,
            splitter,
            buffer: Vec::new(),
            walker: ResponseWalker::new(wanted),
        };
        let packet = client.packet();
        let InitialPacket::Greeting(greeting) = InitialPacket::parse(&packet).unwrap() else {
            panic!("a greeting")
        };
        let mut again = Vec::new();
        greeting.write(&mut again);
        assert_eq!(again, packet, "a greeting comes back byte for byte");
        let capabilities = wanted & greeting.capabilities | wanted & Capabilities::LONG_PASSWORD;
        assert_eq!(capabilities, wanted, "the server has what the test wants");
        client.walker = ResponseWalker::new(capabilities);
        client.login(&greeting, user)?;
        Ok(client)
    }

    fn login(&mut self, greeting: &Greeting<'_>, user: &str) -> Result<(), String> {
        let password = Password::new(PASSWORD);
        let capabilities = self.walker.capabilities();
        let mut plugin = Plugin::from_name(greeting.plugin.unwrap());
        let mut nonce = greeting.nonce.to_vec();
        let response = HandshakeResponse {
            capabilities,
            max_packet_size: 1 << 24,
            collation: 45,
            reserved: [0; 19],
            user: user.as_bytes(),
            auth_response: &answer(plugin, &password, &nonce),
            database: Some(b"wire"),
            plugin: plugin.name().map(str::as_bytes),
            attributes: None,
            zstd_level: None,
        };
        let mut payload = Vec::new();
        response.write(&mut payload).unwrap();
        self.send(1, &payload);
        self.walker.begin(Expect::AuthLike);
        loop {
            let packet = self.packet();
            let step = self.walker.packet(&packet, packet.len() as u64).unwrap();
            let seq = self.splitter.next_sequence().unwrap();
            match AuthPacket::parse(&packet, capabilities).unwrap() {
                AuthPacket::Ok(_) => {
                    assert!(step.ended);
                    return Ok(());
                }
                AuthPacket::Err(err) => return Err(err.to_string()),
                AuthPacket::Switch(switch) => {
                    plugin = Plugin::from_name(switch.plugin);
                    nonce = switch.nonce().to_vec();
                    self.send(seq, &answer(plugin, &password, &nonce));
                }
                AuthPacket::MoreData(more) if more.data.starts_with(b"-----BEGIN") => {
                    let nonce = nonce.as_slice().try_into().unwrap();
                    self.send(
                        seq,
                        &rsa_encrypt_password(&password, nonce, more.data).unwrap(),
                    );
                }
                AuthPacket::MoreData(more) if more.data == [PERFORM_FULL_AUTH] => {
                    self.send(seq, &[REQUEST_PUBLIC_KEY]);
                }
                AuthPacket::MoreData(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn command(&mut self, command: Command<'_>) -> Response {
        let mut payload = Vec::new();
        command
            .write(&mut payload, self.walker.capabilities())
            .unwrap();
        self.payload(&payload)
    }

    fn payload(&mut self, payload: &[u8]) -> Response {
        self.send(0, payload);
        self.walker.begin(Expect::for_command(payload[0]).unwrap());
        let mut response = Vec::new();
        while !self.walker.is_idle() {
            let packet = self.packet();
            let len = packet.len() as u64;
            let whole = self.walker.wants_whole(packet[0], len).unwrap();
            let step = self
                .walker
                .packet(if whole { &packet } else { &packet[..1] }, len)
                .unwrap();
            if step.seen == Seen::LocalInfile {
                let seq = self.splitter.next_sequence().unwrap();
                self.send(seq, b"1\n2\n3\n");
                let seq = self.splitter.next_sequence().unwrap();
                self.send(seq, b"");
            }
            response.push((step.seen, packet));
        }
        response
    }

    fn query(&mut self, sql: &str) -> Response {
        self.command(Command::Query(Query::new(sql.as_bytes())))
    }

    /// A round trip that works only if the one before was followed to its end, and not beyond.
    fn in_step(&mut self) {
        let pong = self.command(Command::Ping);
        assert!(matches!(pong[..], [(Seen::Ok(_), _)]), "{pong:?}");
        assert!(self.buffer.is_empty(), "nothing is left over");
    }
}

fn answer(plugin: Plugin, password: &Password, nonce: &[u8]) -> Vec<u8> {
    match plugin {
        Plugin::NativePassword => native_response(password, nonce.try_into().unwrap()),
        Plugin::CachingSha2 => caching_sha2_response(password, nonce.try_into().unwrap()),
        Plugin::Sha256 => vec![REQUEST_PUBLIC_KEY_SHA256],
        Plugin::Ed25519 => ed25519_response(password, nonce.try_into().unwrap()).to_vec(),
        Plugin::ClearPassword | Plugin::Other => panic!("no test for {plugin:?}"),
    }
}

fn count(response: &Response, wanted: impl Fn(&Seen) -> bool) -> usize {
    response.iter().filter(|(seen, _)| wanted(seen)).count()
}

fn rows(response: &Response) -> usize {
    count(response, |seen| *seen == Seen::Row)
}

fn ends(response: &Response) -> Vec<Summary> {
    let end = |seen: &Seen| match seen {
        Seen::Ok(summary) | Seen::ResultEnd(summary) => Some(*summary),
        _ => None,
    };
    response.iter().filter_map(|(seen, _)| end(seen)).collect()
}

fn start(kind: Kind) -> Server {
    let server = Server::of(kind)
        .option("max_allowed_packet=64M")
        .start()
        .unwrap();
    let accounts = match kind {
        Kind::MariaDb => format!(
            "CREATE USER native@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('{PASSWORD}');
             CREATE USER ed25519@'%' IDENTIFIED VIA ed25519 USING PASSWORD('{PASSWORD}');
             GRANT ALL ON wire.* TO native@'%'; GRANT ALL ON wire.* TO ed25519@'%';"
        ),
        Kind::MySql => format!(
            "CREATE USER sha2@'%' IDENTIFIED WITH caching_sha2_password BY '{PASSWORD}';
             CREATE USER sha256@'%' IDENTIFIED WITH sha256_password BY '{PASSWORD}';
             GRANT ALL ON wire.* TO sha2@'%'; GRANT ALL ON wire.* TO sha256@'%';"
        ),
    };
    let schema = "CREATE DATABASE wire; USE wire;
         CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, c VARCHAR(20), d DATETIME(6), f DOUBLE);
         INSERT INTO t (c, d, f) VALUES ('a', '2024-02-29 01:02:03.000004', 1.5), (NULL, NULL, NULL), ('c', '2024-01-01', 0);
         CREATE TABLE file (n INT);
         CREATE PROCEDURE two() SELECT 1; ";
    let procedure = "DELIMITER //\nCREATE PROCEDURE wire.several() BEGIN SELECT 1; SELECT id FROM wire.t; END//\n";
    server.sql(&format!("{schema}{accounts}")).unwrap();
    server.sql(procedure).unwrap();
    server
}

/// Runs every kind of command.
fn exercise(client: &mut Client, kind: Kind) {
    let capabilities = client.walker.capabilities();

    let response = client.query("SELECT id, c FROM t ORDER BY id");
    assert_eq!(rows(&response), 3);
    let (_, row) = response
        .iter()
        .find(|(seen, _)| *seen == Seen::Row)
        .unwrap();
    let values: Vec<_> = TextRow::new(row).iter().map(Result::unwrap).collect();
    assert_eq!(values, [Some(b"1".as_slice()), Some(b"a".as_slice())]);
    client.in_step();

    let response = client.query("SELECT 1; DO 1; SELECT id FROM t; SELECT 2 WHERE FALSE");
    assert_eq!((rows(&response), ends(&response).len()), (4, 4));
    client.in_step();

    let response = client.query("CALL several()");
    assert_eq!(
        (rows(&response), ends(&response).len()),
        (4, 3),
        "two resultsets and the OK of the CALL"
    );
    client.in_step();

    let response = client.query("SELECT * FROM nowhere");
    let [
        (
            Seen::Err {
                code: 1146,
                sqlstate,
            },
            packet,
        ),
    ] = &response[..]
    else {
        panic!("{response:?}")
    };
    assert_eq!(*sqlstate, Some(*b"42S02"));
    assert!(
        ErrPacket::parse(packet, capabilities)
            .unwrap()
            .to_string()
            .starts_with("1146 (42S02): Table")
    );
    client.in_step();

    let response = client.query("SELECT 1; SELECT * FROM nowhere; SELECT 2");
    assert!(matches!(
        response.last(),
        Some((Seen::Err { code: 1146, .. }, _))
    ));
    client.in_step();

    let response = client.query("SELECT REPEAT('x', 17000000)");
    let (_, row) = response
        .iter()
        .find(|(seen, _)| *seen == Seen::Row)
        .unwrap();
    assert_eq!(
        (row[0], row.len()),
        (0xFE, 17_000_009),
        "a row that begins like an end"
    );
    client.in_step();

    let response = client.query("LOAD DATA LOCAL INFILE 'x' INTO TABLE file");
    // MariaDB reports progress in between.
    let [(Seen::LocalInfile, _), .., (Seen::Ok(summary), packet)] = &response[..] else {
        panic!("{response:?}")
    };
    assert_eq!(summary.affected_rows, 3);
    assert!(
        OkPacket::parse(packet, capabilities)
            .unwrap()
            .info
            .starts_with(b"Records: 3")
    );
    client.in_step();

    prepared(client, kind);

    assert_eq!(client.command(Command::Statistics).len(), 1);
    client.in_step();
    let fields = client.command(Command::FieldList {
        table: b"t",
        wildcard: b"",
    });
    assert_eq!(
        count(&fields, |seen| *seen == Seen::ColumnDefinition),
        4,
        "{fields:?}"
    );
    client.in_step();
    assert_eq!(ends(&client.command(Command::SetOption(0))).len(), 1);
    client.in_step();
    assert_eq!(ends(&client.command(Command::InitDb(b"wire"))).len(), 1);
    client.in_step();
    assert_eq!(ends(&client.command(Command::ResetConnection)).len(), 1);
    client.in_step();
}

fn prepared(client: &mut Client, kind: Kind) {
    let capabilities = client.walker.capabilities();
    let sql = b"SELECT id, c, d, f FROM t WHERE id >= ? ORDER BY id";
    let response = client.command(Command::StmtPrepare(sql));
    let Seen::PrepareOk(statement) = response[0].0 else {
        panic!("{response:?}")
    };
    assert_eq!((statement.parameters, statement.columns), (1, 4));
    client.in_step();

    let named = capabilities.contains(Capabilities::QUERY_ATTRIBUTES);
    let mut body = if named { vec![1] } else { vec![] };
    body.extend_from_slice(&[0, 1, 3, 0]);
    if named {
        body.push(0);
    }
    body.extend_from_slice(&1i32.to_le_bytes());
    let execute = Execute {
        statement_id: statement.statement_id,
        flags: 0,
        iterations: 1,
        body: &body,
    };
    let definitions = |response: &Response| -> Vec<Vec<u8>> {
        let columns = response
            .iter()
            .filter(|(seen, _)| *seen == Seen::ColumnDefinition);
        columns.map(|(_, packet)| packet.clone()).collect()
    };
    let mut columns = definitions(&response);
    for _ in 0..3 {
        let response = client.command(Command::StmtExecute(execute));
        assert_eq!(rows(&response), 3);
        let sent = definitions(&response);
        if capabilities.contains(Capabilities::CACHE_METADATA) {
            assert!(
                sent.is_empty(),
                "MariaDB leaves out what it sent with the prepared statement"
            );
        } else {
            columns = sent;
        }
        let (_, row) = response
            .iter()
            .find(|(seen, _)| *seen == Seen::Row)
            .unwrap();
        let mut row = BinaryRow::parse(row, 4).unwrap();
        let values: Vec<_> = columns
            .iter()
            .map(|column| {
                row.value(&ColumnDefinition::parse(column, capabilities).unwrap())
                    .unwrap()
            })
            .collect();
        let [
            Value::Int(1),
            Value::Bytes(b"a"),
            Value::DateTime(moment),
            Value::Double(1.5),
        ] = values[..]
        else {
            panic!("{values:?}");
        };
        assert_eq!((moment.year, moment.microsecond), (2024, 4));
        client.in_step();
    }

    // Prepared again elsewhere, a client that leaves the types out is helped.
    let parameters = execute.parameters(1, capabilities).unwrap();
    let types = parameters.types;
    let bare = steadfast_wire::command::Parameters {
        types: None,
        ..parameters
    };
    let response = client.command(Command::StmtPrepare(sql));
    let Seen::PrepareOk(again) = response[0].0 else {
        panic!("{response:?}")
    };
    let mut payload = Vec::new();
    execute
        .write_after_prepare(&mut payload, again.statement_id, &bare, types)
        .unwrap();
    assert_eq!(rows(&client.payload(&payload)), 3);
    client.in_step();

    let cursor = Execute {
        flags: execute_flags::CURSOR_READ_ONLY,
        ..execute
    };
    let response = client.command(Command::StmtExecute(cursor));
    assert_eq!(rows(&response), 0, "rows wait in the cursor");
    client.in_step();
    let fetch = Command::StmtFetch {
        statement_id: statement.statement_id,
        rows: 2,
    };
    let response = client.command(fetch);
    assert_eq!(rows(&response), 2);
    assert!(
        ends(&response)[0]
            .status
            .contains(StatusFlags::CURSOR_EXISTS)
    );
    let response = client.command(fetch);
    assert!(
        ends(&response)
            .last()
            .is_some_and(|end| end.status.contains(StatusFlags::LAST_ROW_SENT)),
        "{response:?}"
    );
    client.in_step();
    assert_eq!(
        ends(&client.command(Command::StmtReset(statement.statement_id))).len(),
        1
    );
    client.in_step();
    assert!(
        client
            .command(Command::StmtClose(statement.statement_id))
            .is_empty()
    );
    client.in_step();

    let response = client.command(Command::StmtPrepare(b"CALL several()"));
    let Seen::PrepareOk(call) = response[0].0 else {
        panic!("{response:?}")
    };
    let body: &[u8] = &[];
    let execute = Execute {
        statement_id: call.statement_id,
        flags: 0,
        iterations: 1,
        body,
    };
    let response = client.command(Command::StmtExecute(execute));
    assert_eq!((rows(&response), ends(&response).len()), (4, 3), "{kind:?}");
    client.in_step();
}

fn tracks(client: &mut Client) {
    client.query("SET SESSION session_track_system_variables='*', session_track_schema=1");
    client.query("SET SESSION session_track_transaction_info='CHARACTERISTICS', session_track_state_change=1");
    client.in_step();
    let capabilities = client.walker.capabilities();
    let changes = |client: &mut Client, sql: &str| -> Vec<String> {
        let response = client.query(sql);
        let (Seen::Ok(_), packet) = &response[0] else {
            panic!("{response:?}")
        };
        let ok = OkPacket::parse(packet, capabilities).unwrap();
        let mut again = Vec::new();
        ok.write(&mut again, capabilities);
        assert_eq!(again, *packet, "an OK comes back byte for byte");
        ok.session_state()
            .map(|change| match change.unwrap() {
                SessionStateChange::SystemVariable { name, value } => {
                    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                    format!("{}={}", text(name), value.map_or("NULL".into(), text))
                }
                other => format!("{other:?}"),
            })
            .collect()
    };
    let seen = changes(client, "SET lock_wait_timeout=7, sql_safe_updates=1");
    assert!(
        seen.iter().any(|change| change == "lock_wait_timeout=7"),
        "{seen:?}"
    );
    assert!(
        seen.iter()
            .any(|change| change.starts_with("sql_safe_updates=")),
        "{seen:?}"
    );
    let seen = changes(client, "USE wire");
    assert!(
        seen.iter().any(|change| change.starts_with("Schema(")),
        "{seen:?}"
    );
    let seen = changes(client, "BEGIN");
    assert!(
        seen.iter()
            .any(|change| change.starts_with("TransactionState(")),
        "{seen:?}"
    );
    assert!(
        seen.iter()
            .any(|change| change.starts_with("TransactionCharacteristics(")),
        "{seen:?}"
    );
    changes(client, "ROLLBACK");
    client.in_step();
}

const COMMON: [Capabilities; 3] = [
    BASE,
    BASE.union(Capabilities::DEPRECATE_EOF),
    BASE.union(Capabilities::DEPRECATE_EOF)
        .union(Capabilities::SESSION_TRACK),
];

#[test]
fn mariadb_is_followed() {
    let server = start(Kind::MariaDb);
    for user in ["native", "ed25519"] {
        Client::connect(server.addr(), BASE, user)
            .unwrap_or_else(|error| panic!("{user}: {error}"))
            .in_step();
    }
    let refused = Client::connect(server.addr(), BASE, "nobody")
        .err()
        .unwrap();
    assert!(
        refused.starts_with("1045 (28000): Access denied"),
        "{refused}"
    );

    let cached = Capabilities::CACHE_METADATA | Capabilities::EXTENDED_METADATA;
    let extended = [
        cached,
        cached | Capabilities::PROGRESS,
        cached | Capabilities::DEPRECATE_EOF,
    ];
    let sets = COMMON
        .into_iter()
        .chain(COMMON.map(|common| common | Capabilities::LONG_PASSWORD));
    for capabilities in sets.chain(extended.map(|flags| BASE | flags)) {
        let mut client = Client::connect(server.addr(), capabilities, "native").unwrap();
        exercise(&mut client, Kind::MariaDb);
        if capabilities.contains(Capabilities::SESSION_TRACK) {
            tracks(&mut client);
        }
    }
}

#[test]
fn mysql_is_followed() {
    let server = start(Kind::MySql);
    let plain = BASE | Capabilities::LONG_PASSWORD;
    // The first login of an account is a full authentication through RSA, the second is fast.
    for user in ["sha2", "sha2", "sha256"] {
        Client::connect(server.addr(), plain, user)
            .unwrap_or_else(|error| panic!("{user}: {error}"))
            .in_step();
    }
    let refused = Client::connect(server.addr(), plain, "nobody")
        .err()
        .unwrap();
    assert!(
        refused.starts_with("1045 (28000): Access denied"),
        "{refused}"
    );

    let optional = Capabilities::OPTIONAL_RESULTSET_METADATA;
    let extended = [
        optional,
        Capabilities::QUERY_ATTRIBUTES,
        optional | Capabilities::DEPRECATE_EOF,
    ];
    for capabilities in COMMON.into_iter().chain(extended.map(|flags| BASE | flags)) {
        let mut client = Client::connect(
            server.addr(),
            capabilities | Capabilities::LONG_PASSWORD,
            "sha2",
        )
        .unwrap();
        exercise(&mut client, Kind::MySql);
        if capabilities.contains(Capabilities::SESSION_TRACK) {
            tracks(&mut client);
        }
        if capabilities.contains(optional) {
            client.query("SET resultset_metadata='NONE'");
            let response = client.query("SELECT id, c FROM t");
            assert_eq!(
                (
                    rows(&response),
                    count(&response, |seen| *seen == Seen::ColumnDefinition)
                ),
                (3, 0)
            );
            client.in_step();
            let response = client.command(Command::StmtPrepare(b"SELECT ?, id FROM t"));
            assert_eq!(
                count(&response, |seen| *seen == Seen::ParameterDefinition),
                0
            );
            client.in_step();
            let response = client.command(Command::StmtPrepare(b"SELECT id FROM t"));
            let Seen::PrepareOk(statement) = response[0].0 else {
                panic!("{response:?}")
            };
            client.in_step();
            let execute = Execute {
                statement_id: statement.statement_id,
                flags: 0,
                iterations: 1,
                body: &[],
            };
            assert_eq!(rows(&client.command(Command::StmtExecute(execute))), 3);
            client.in_step();
            assert_eq!(rows(&client.query("CALL several()")), 4);
            client.in_step();
        }
    }
}
