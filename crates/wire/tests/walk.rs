//! The response walker: whole responses in both dialects, cut, wrong and hostile ones.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

use proptest::prelude::*;
use steadfast_wire::response::{
    ColumnCount, ColumnDefinition, EofPacket, ErrPacket, OkHeader, OkPacket, PrepareOk,
    ProgressReport,
};
use steadfast_wire::value::ColumnType;
use steadfast_wire::walk::{Definitions, Expect, MAX_WHOLE, ResponseWalker, Seen, Step};
use steadfast_wire::{Capabilities, Error, StatusFlags};

const OLD: Capabilities = Capabilities::PROTOCOL_41;
const NEW: Capabilities = OLD
    .union(Capabilities::DEPRECATE_EOF)
    .union(Capabilities::SESSION_TRACK);
const MORE: StatusFlags = StatusFlags::MORE_RESULTS_EXISTS;
const DONE: StatusFlags = StatusFlags::AUTOCOMMIT;
const CURSOR: StatusFlags = StatusFlags::CURSOR_EXISTS;

/// Packets of a server, under some capabilities.
struct Server(Capabilities);

impl Server {
    fn ok(&self, status: StatusFlags) -> Vec<u8> {
        let mut payload = Vec::new();
        OkPacket {
            affected_rows: 2,
            last_insert_id: 7,
            ..OkPacket::new(status)
        }
        .write(&mut payload, self.0);
        payload
    }

    /// The end of rows: EOF, or the OK in its place.
    fn end(&self, status: StatusFlags) -> Vec<u8> {
        if !self.0.contains(Capabilities::DEPRECATE_EOF) {
            return self.eof(status);
        }
        let mut payload = Vec::new();
        OkPacket {
            header: OkHeader::Eof,
            ..OkPacket::new(status)
        }
        .write(&mut payload, self.0);
        payload
    }

    fn eof(&self, status: StatusFlags) -> Vec<u8> {
        let mut payload = Vec::new();
        EofPacket {
            warnings: 0,
            status,
        }
        .write(&mut payload, self.0);
        payload
    }

    fn err(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        ErrPacket {
            code: 1064,
            sqlstate: Some(*b"42000"),
            message: b"no",
        }
        .write(&mut payload, self.0);
        payload
    }

    fn count(&self, columns: u32, definitions_follow: bool) -> Vec<u8> {
        let mut payload = Vec::new();
        ColumnCount {
            columns,
            definitions_follow,
        }
        .write(&mut payload, self.0);
        payload
    }

    fn column(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        let definition = ColumnDefinition {
            catalog: b"def",
            schema: b"s",
            table: b"t",
            org_table: b"t",
            name: b"c",
            org_name: b"c",
            extended: b"",
            collation: 45,
            length: 4,
            kind: ColumnType::VAR_STRING,
            flags: 0,
            decimals: 0,
            tail: b"",
        };
        definition.write(&mut payload, self.0);
        payload
    }

    fn prepared(&self, parameters: u16, columns: u16, definitions_follow: bool) -> Vec<u8> {
        let mut payload = Vec::new();
        PrepareOk {
            statement_id: 1,
            columns,
            parameters,
            warnings: 0,
            definitions_follow,
        }
        .write(&mut payload, self.0);
        payload
    }

    /// A resultset with these rows.
    fn resultset(&self, columns: u32, rows: &[&[u8]], status: StatusFlags) -> Vec<Vec<u8>> {
        let mut packets = vec![self.count(columns, true)];
        packets.extend((0..columns).map(|_| self.column()));
        if !self.0.contains(Capabilities::DEPRECATE_EOF) {
            packets.push(self.eof(DONE));
        }
        packets.extend(rows.iter().map(|row| row.to_vec()));
        packets.push(self.end(status));
        packets
    }

    /// Walks the packets, giving no more of each than is asked for, and returns the steps.
    fn walk(&self, expect: Expect, packets: &[Vec<u8>]) -> Result<Vec<Step>, Error> {
        let mut walker = ResponseWalker::new(self.0);
        walker.begin(expect);
        let mut steps = Vec::new();
        for packet in packets {
            let len = packet.len() as u64;
            let whole = walker.wants_whole(packet[0], len)?;
            let step = walker.packet(if whole { packet } else { &packet[..1] }, len)?;
            assert_eq!(step.ended, walker.is_idle());
            steps.push(step);
        }
        Ok(steps)
    }

    /// Walks the packets of one response, which must end with the last of them and not before.
    fn walk_all(&self, expect: Expect, packets: &[Vec<u8>]) -> Vec<Seen> {
        let steps = self.walk(expect, packets).unwrap();
        for (index, step) in steps.iter().enumerate() {
            assert_eq!(
                step.ended,
                index + 1 == steps.len(),
                "packet {index}: {step:?}"
            );
        }
        steps.into_iter().map(|step| step.seen).collect()
    }
}

fn names(seen: &[Seen]) -> Vec<&'static str> {
    seen.iter()
        .map(|seen| match seen {
            Seen::ColumnCount { .. } => "count",
            Seen::ColumnDefinition => "column",
            Seen::ParameterDefinition => "parameter",
            Seen::Eof {
                after: Definitions::Columns,
                ..
            } => "eof columns",
            Seen::Eof {
                after: Definitions::Parameters,
                ..
            } => "eof parameters",
            Seen::Row => "row",
            Seen::Ok(_) => "ok",
            Seen::ResultEnd(_) => "end",
            Seen::Err { .. } => "err",
            Seen::Progress => "progress",
            Seen::LocalInfile => "infile",
            Seen::PrepareOk(_) => "prepared",
            Seen::Statistics => "statistics",
            Seen::Auth => "auth",
            Seen::Event => "event",
        })
        .collect()
}

#[test]
fn a_result_with_rows_ends_with_its_end() {
    let rows: [&[u8]; 3] = [b"\x01a\x01b", b"\xfb\x01b", b"\x00\x00"];
    let seen = Server(OLD).walk_all(Expect::Query, &Server(OLD).resultset(2, &rows, DONE));
    assert_eq!(
        names(&seen),
        [
            "count",
            "column",
            "column",
            "eof columns",
            "row",
            "row",
            "row",
            "end"
        ]
    );
    let seen = Server(NEW).walk_all(Expect::Query, &Server(NEW).resultset(2, &rows, DONE));
    assert_eq!(
        names(&seen),
        ["count", "column", "column", "row", "row", "row", "end"]
    );
}

#[test]
fn several_results_are_one_response() {
    for capabilities in [OLD, NEW] {
        let server = Server(capabilities);
        let mut packets = vec![server.ok(MORE)];
        packets.extend(server.resultset(1, &[b"\x01a"], MORE));
        packets.extend(server.resultset(1, &[], MORE));
        packets.push(server.ok(DONE));
        let seen = server.walk_all(Expect::Query, &packets);
        assert_eq!(
            names(&seen).iter().filter(|name| **name == "end").count(),
            2
        );
        let Some(Seen::Ok(summary)) = seen.last() else {
            panic!("an OK")
        };
        assert_eq!(
            (
                summary.affected_rows,
                summary.last_insert_id,
                summary.more_results()
            ),
            (2, 7, false)
        );

        packets.pop();
        packets.push(server.err());
        assert_eq!(
            names(&server.walk_all(Expect::Query, &packets)).last(),
            Some(&"err")
        );
    }
}

#[test]
fn an_error_may_come_at_every_step() {
    for capabilities in [OLD, NEW] {
        let server = Server(capabilities);
        let packets = server.resultset(2, &[b"\x01a\x01b"], DONE);
        for len in 0..packets.len() {
            let mut packets = packets[..len].to_vec();
            packets.push(server.err());
            let seen = server.walk_all(Expect::Query, &packets);
            assert_eq!(
                seen.last(),
                Some(&Seen::Err {
                    code: 1064,
                    sqlstate: Some(*b"42000")
                })
            );
        }
    }
}

#[test]
fn a_prepared_statement_has_its_definitions() {
    let both = |server: &Server| {
        vec![
            server.prepared(2, 1, true),
            server.column(),
            server.column(),
            server.column(),
        ]
    };
    let seen = Server(NEW).walk_all(Expect::Prepare, &both(&Server(NEW)));
    assert_eq!(
        names(&seen),
        ["prepared", "parameter", "parameter", "column"]
    );
    let mut packets = both(&Server(OLD));
    packets.insert(3, Server(OLD).eof(DONE));
    packets.push(Server(OLD).eof(DONE));
    let seen = Server(OLD).walk_all(Expect::Prepare, &packets);
    assert_eq!(
        names(&seen),
        [
            "prepared",
            "parameter",
            "parameter",
            "eof parameters",
            "column",
            "eof columns"
        ]
    );

    for server in [Server(OLD), Server(NEW)] {
        assert_eq!(
            names(&server.walk_all(Expect::Prepare, &[server.prepared(0, 0, true)])),
            ["prepared"]
        );
        assert_eq!(
            names(&server.walk_all(Expect::Prepare, &[server.err()])),
            ["err"]
        );
    }
    let server = Server(OLD);
    let parameter = [
        server.prepared(1, 0, true),
        server.column(),
        server.eof(DONE),
    ];
    assert_eq!(
        names(&server.walk_all(Expect::Prepare, &parameter)),
        ["prepared", "parameter", "eof parameters"]
    );
    let column = [
        server.prepared(0, 1, true),
        server.column(),
        server.eof(DONE),
    ];
    assert_eq!(
        names(&server.walk_all(Expect::Prepare, &column)),
        ["prepared", "column", "eof columns"]
    );
}

#[test]
fn definitions_may_be_left_out() {
    for flag in [
        Capabilities::OPTIONAL_RESULTSET_METADATA,
        Capabilities::CACHE_METADATA,
    ] {
        let server = Server(NEW | flag);
        let packets = [
            server.count(3, false),
            b"\x00\x00\x01a".to_vec(),
            server.end(DONE),
        ];
        assert_eq!(
            names(&server.walk_all(Expect::Execute, &packets)),
            ["count", "row", "end"]
        );
        let server = Server(OLD | flag);
        let packets = [
            server.count(3, false),
            server.eof(DONE),
            b"\x00\x00\x01a".to_vec(),
            server.end(DONE),
        ];
        assert_eq!(
            names(&server.walk_all(Expect::Execute, &packets)),
            ["count", "eof columns", "row", "end"]
        );
    }
    let server = Server(NEW | Capabilities::OPTIONAL_RESULTSET_METADATA);
    assert_eq!(
        names(&server.walk_all(Expect::Prepare, &[server.prepared(2, 3, false)])),
        ["prepared"]
    );
    let server = Server(OLD | Capabilities::OPTIONAL_RESULTSET_METADATA);
    let packets = [
        server.prepared(2, 3, false),
        server.eof(DONE),
        server.eof(DONE),
    ];
    assert_eq!(
        names(&server.walk_all(Expect::Prepare, &packets)),
        ["prepared", "eof parameters", "eof columns"]
    );
}

#[test]
fn a_cursor_has_no_rows_until_they_are_fetched() {
    let server = Server(OLD);
    let packets = [server.count(1, true), server.column(), server.eof(CURSOR)];
    assert_eq!(
        names(&server.walk_all(Expect::Execute, &packets)),
        ["count", "column", "eof columns"]
    );
    let server = Server(NEW);
    let packets = [server.count(1, true), server.column(), server.end(CURSOR)];
    assert_eq!(
        names(&server.walk_all(Expect::Execute, &packets)),
        ["count", "column", "end"]
    );
    for server in [Server(OLD), Server(NEW)] {
        let row = b"\x00\x00\x01a".to_vec();
        let packets = [
            row.clone(),
            row,
            server.end(CURSOR | StatusFlags::LAST_ROW_SENT),
        ];
        assert_eq!(
            names(&server.walk_all(Expect::Fetch, &packets)),
            ["row", "row", "end"]
        );
        assert_eq!(
            names(&server.walk_all(Expect::Fetch, &[server.err()])),
            ["err"]
        );
    }
}

#[test]
fn a_row_of_16_mib_that_begins_like_an_end_is_a_row() {
    for capabilities in [OLD, NEW] {
        let server = Server(capabilities);
        let mut walker = ResponseWalker::new(capabilities);
        walker.begin(Expect::Query);
        for packet in &server.resultset(1, &[], DONE)[..if capabilities == OLD { 3 } else { 2 }] {
            walker.packet(packet, packet.len() as u64).unwrap();
        }
        assert!(walker.in_rows());
        assert!(!walker.wants_whole(0xFE, 0xFF_FFFF).unwrap());
        let step = walker.packet(&[0xFE], 0xFF_FFFF).unwrap();
        assert_eq!(
            step,
            Step {
                seen: Seen::Row,
                ended: false
            }
        );
    }
}

#[test]
fn a_local_file_is_asked_for_and_answered() {
    let server = Server(NEW);
    let packets = [b"\xfb/tmp/x.csv".to_vec(), server.ok(DONE)];
    assert_eq!(
        names(&server.walk_all(Expect::Query, &packets)),
        ["infile", "ok"]
    );
    let mut walker = ResponseWalker::new(NEW);
    walker.begin(Expect::Query);
    walker.packet(&packets[0], packets[0].len() as u64).unwrap();
    assert!(walker.awaits_file());
    let row = walker.packet(b"\x01a", 2).unwrap_err();
    assert!(matches!(row, Error::Unexpected { first: 1, .. }), "{row}");
}

#[test]
fn progress_reports_end_nothing() {
    let server = Server(NEW | Capabilities::PROGRESS);
    let mut report = Vec::new();
    ProgressReport {
        stage: 1,
        max_stage: 2,
        progress: 50_000,
        info: b"copy to tmp table",
    }
    .write(&mut report);
    let packets = [report.clone(), report.clone(), server.ok(DONE)];
    assert_eq!(
        names(&server.walk_all(Expect::Query, &packets)),
        ["progress", "progress", "ok"]
    );
    let seen = Server(NEW).walk_all(Expect::Query, &[report]);
    assert!(
        matches!(seen[..], [Seen::Err { code: 0xFFFF, .. }]),
        "without the capability it is an error"
    );
}

#[test]
fn the_other_commands_have_their_answers() {
    for server in [Server(OLD), Server(NEW)] {
        assert_eq!(
            names(&server.walk_all(Expect::Simple, &[server.ok(DONE)])),
            ["ok"]
        );
        assert_eq!(
            names(&server.walk_all(Expect::Simple, &[server.end(DONE)])),
            ["end"]
        );
        assert_eq!(
            names(&server.walk_all(Expect::Simple, &[server.eof(DONE)])),
            ["end"]
        );
        assert_eq!(
            names(&server.walk_all(Expect::Simple, &[server.err()])),
            ["err"]
        );
        assert_eq!(
            names(&server.walk_all(Expect::Statistics, &[b"Uptime: 1".to_vec()])),
            ["statistics"]
        );
        let fields = [server.column(), server.column(), server.end(DONE)];
        assert_eq!(
            names(&server.walk_all(Expect::FieldList, &fields)),
            ["column", "column", "end"]
        );
        let login = [
            b"\xfeplugin\0nonce".to_vec(),
            b"\x01\x04".to_vec(),
            b"\x01pem".to_vec(),
            server.ok(DONE),
        ];
        assert_eq!(
            names(&server.walk_all(Expect::AuthLike, &login)),
            ["auth", "auth", "auth", "ok"]
        );
        let events = [b"\x00event".to_vec(), vec![0; 400], server.eof(DONE)];
        assert_eq!(
            names(&server.walk_all(Expect::Stream, &events)),
            ["event", "event", "end"]
        );
    }
    let mut walker = ResponseWalker::new(NEW);
    walker.begin(Expect::None);
    assert!(walker.is_idle());
}

#[test]
fn every_command_of_the_protocol_has_an_expectation() {
    assert_eq!(Expect::for_command(0x03), Some(Expect::Query));
    assert_eq!(Expect::for_command(0x17), Some(Expect::Execute));
    assert_eq!(Expect::for_command(0x01), Some(Expect::None));
    assert_eq!(
        Expect::for_command(0x20),
        None,
        "COM_CLONE is a dialogue of its own"
    );
}

#[test]
fn nonsense_is_the_servers_fault() {
    let nonsense: [(Expect, &[u8]); 9] = [
        (Expect::Query, &[0xFE, 0, 0, 0, 0, 0, 1, 0, 0]),
        (Expect::Query, &[0xFE, 0, 0, 2, 0]),
        (Expect::Query, &[1, 2]),
        (Expect::Prepare, &[1]),
        (Expect::Execute, &[]),
        (Expect::Simple, &[0x05, 1]),
        (Expect::AuthLike, &[0x33]),
        (Expect::FieldList, &[0xFB]),
        (Expect::Stream, &[0x01]),
    ];
    for (expect, packet) in nonsense {
        for capabilities in [OLD, NEW] {
            let mut walker = ResponseWalker::new(capabilities);
            walker.begin(expect);
            let error = walker.packet(packet, packet.len() as u64).unwrap_err();
            assert!(
                error.to_string().starts_with("the server "),
                "{expect:?}: {error}"
            );
        }
    }
    let mut idle = ResponseWalker::new(NEW);
    let error = idle.packet(&[0], 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server sent a packet beginning with 0x00 where no packet was due"
    );
}

#[test]
fn an_idle_server_may_say_goodbye() {
    let mut walker = ResponseWalker::new(NEW);
    let packet =
        b"\xff\xbf\x0f#HY000The client was disconnected by the server because of inactivity.";
    assert!(walker.wants_whole(0xFF, packet.len() as u64).unwrap());
    let step = walker.packet(packet, packet.len() as u64).unwrap();
    assert!(matches!(
        step,
        Step {
            seen: Seen::Err { code: 4031, .. },
            ended: true
        }
    ));
}

#[test]
fn a_large_packet_is_never_asked_for_whole() {
    let mut walker = ResponseWalker::new(NEW);
    walker.begin(Expect::Query);
    assert!(walker.wants_whole(0x00, MAX_WHOLE).unwrap());
    assert!(matches!(
        walker.wants_whole(0x00, MAX_WHOLE + 1),
        Err(Error::TooLarge { .. })
    ));
    let misuse = walker.packet(&[0x00], 7).unwrap_err();
    assert!(matches!(misuse, Error::Misused { .. }), "{misuse}");
}

#[test]
fn the_walker_is_small() {
    assert!(
        size_of::<ResponseWalker>() <= 24,
        "{} bytes",
        size_of::<ResponseWalker>()
    );
}

proptest! {
    #[test]
    fn no_packets_make_the_walker_panic(
        packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..16), 0..12), bits: u64, expect in 0usize..10,
    ) {
        let expect = [
            Expect::Query, Expect::Prepare, Expect::Execute, Expect::Fetch, Expect::FieldList, Expect::Simple,
            Expect::Statistics, Expect::None, Expect::AuthLike, Expect::Stream,
        ][expect];
        let mut walker = ResponseWalker::new(Capabilities::from_bits_retain(bits));
        walker.begin(expect);
        for packet in packets {
            match walker.packet(&packet, packet.len() as u64) {
                Ok(step) => prop_assert_eq!(step.ended, walker.is_idle()),
                Err(error) => { let misused = matches!(error, Error::Misused { .. }); prop_assert!(!misused); break; }
            }
        }
    }
}
