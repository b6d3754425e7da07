//! What is said on a connection of the MySQL protocol without TLS: the points at which a fault can be aimed.
//!
//! Protocol: a packet is three bytes of length, one of sequence and a payload; a command has sequence 0 and begins with
//! its code (dev.mysql.com, "MySQL Packets" and "Command Phase").

use std::collections::BTreeMap;
use std::ops::Range;

/// How much of a payload is looked at; a statement that matters here says in less what it is.
const LOOKED_AT: usize = 256;
/// The payload of a request for TLS (dev.mysql.com, "Protocol::SSLRequest"); a login is longer.
const TLS_REQUEST: usize = 32;
const COM_QUERY: u8 = 3;
const COM_STMT_EXECUTE: u8 = 0x17;

/// What a packet towards the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Point {
    /// The client's answer to the greeting, and what follows until the login is over.
    Login,
    /// `BEGIN` or `START TRANSACTION`.
    Begin,
    /// A statement that writes: INSERT, UPDATE, DELETE or REPLACE as text, or any execution of a prepared statement.
    Write,
    /// `COMMIT`, or the recorded one: `CALL steadfast.commit(…)`.
    Commit,
    /// `KILL`.
    Kill,
    /// `CALL steadfast.fence(…)`.
    Fence,
    /// `SELECT @steadfast_record`: what the fence found.
    Record,
    /// Any other command.
    Other,
}

/// A packet that has become complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it is.
    pub point: Point,
    /// Where it lies in the chunk that completed it; it begins at 0 if an earlier chunk has its first bytes.
    pub at: Range<usize>,
}

/// Follows the packets that clients send, on any number of connections.
#[derive(Debug, Default)]
pub struct Sight {
    streams: BTreeMap<u64, Stream>,
}

/// One connection's bytes towards the server.
#[derive(Debug, Default)]
struct Stream {
    /// The packet under way: header and the beginning of the payload.
    head: Vec<u8>,
    /// Bytes of it so far, header included.
    length: usize,
    /// It asked for TLS: nothing can be seen any more.
    opaque: bool,
}

impl Sight {
    /// The packets that this chunk from a client completes, in order. `connection` as a [`super::Link`]'s tap gets it.
    /// Every chunk from the connection's first on must be shown.
    pub fn to_server(&mut self, connection: u64, chunk: &[u8]) -> Vec<Seen> {
        self.streams.entry(connection).or_default().take(chunk)
    }

    /// Whether a connection's first bytes have been seen: `false` for one whose client has said nothing yet.
    pub fn knows(&self, connection: u64) -> bool {
        self.streams.contains_key(&connection)
    }
}

impl Stream {
    fn take(&mut self, chunk: &[u8]) -> Vec<Seen> {
        let mut seen = Vec::new();
        let mut begin = 0;
        for (index, byte) in chunk.iter().enumerate() {
            if self.opaque {
                break;
            }
            if self.head.len() < 4 + LOOKED_AT {
                self.head.push(*byte);
            }
            self.length += 1;
            if self.length < 4 || self.length < 4 + self.payload() {
                continue;
            }
            seen.push(Seen {
                point: self.point(),
                at: begin..index + 1,
            });
            self.opaque = self.payload() == TLS_REQUEST && self.head.get(3) == Some(&1);
            self.head.clear();
            self.length = 0;
            begin = index + 1;
        }
        seen
    }

    /// The payload's length, once the header is there.
    fn payload(&self) -> usize {
        match self.head[..] {
            [low, middle, high, ..] => {
                usize::from(low) | usize::from(middle) << 8 | usize::from(high) << 16
            }
            _ => 0,
        }
    }

    fn point(&self) -> Point {
        let (sequence, payload) = match &self.head[..] {
            [_, _, _, sequence, payload @ ..] => (*sequence, payload),
            _ => return Point::Other,
        };
        if sequence != 0 {
            return Point::Login;
        }
        match payload {
            [COM_QUERY, text @ ..] => statement(text),
            [COM_STMT_EXECUTE, ..] => Point::Write,
            _ => Point::Other,
        }
    }
}

/// The texts that Steadfast sends by itself are known to the letter; clients' are in the workload's spelling.
fn statement(text: &[u8]) -> Point {
    const KNOWN: &[(&[u8], Point)] = &[
        (b"COMMIT", Point::Commit),
        (b"CALL steadfast.commit(", Point::Commit),
        (b"CALL steadfast.fence(", Point::Fence),
        (b"SELECT @steadfast_record", Point::Record),
        (b"KILL ", Point::Kill),
        (b"BEGIN", Point::Begin),
        (b"START TRANSACTION", Point::Begin),
        (b"INSERT ", Point::Write),
        (b"UPDATE ", Point::Write),
        (b"DELETE ", Point::Write),
        (b"REPLACE ", Point::Write),
    ];
    KNOWN
        .iter()
        .find(|(start, _)| {
            text.get(..start.len())
                .is_some_and(|begun| begun.eq_ignore_ascii_case(start))
        })
        .map_or(Point::Other, |(_, point)| *point)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        [&length[..3], &[sequence], payload].concat()
    }

    fn query(text: &str) -> Vec<u8> {
        packet(0, &[&[COM_QUERY], text.as_bytes()].concat())
    }

    fn points(seen: &[Seen]) -> Vec<Point> {
        seen.iter().map(|seen| seen.point).collect()
    }

    #[test]
    fn both_ways_to_commit_are_seen_and_so_is_each_step_of_the_resolver() {
        for (text, point) in [
            ("COMMIT", Point::Commit),
            ("CALL steadfast.commit(1,2,3,4,0)", Point::Commit),
            ("CALL steadfast.fence(1,2,@steadfast_record)", Point::Fence),
            ("SELECT @steadfast_record", Point::Record),
            ("KILL 17", Point::Kill),
            ("BEGIN", Point::Begin),
            ("INSERT INTO t VALUES (1)", Point::Write),
            ("SELECT 1", Point::Other),
        ] {
            assert_eq!(
                points(&Sight::default().to_server(1, &query(text))),
                [point],
                "{text}"
            );
        }
    }

    #[test]
    fn packets_are_found_however_the_chunks_fall() {
        let bytes = [
            packet(1, &[7; 90]),
            query("BEGIN"),
            query("INSERT 1"),
            query("COMMIT"),
        ]
        .concat();
        let wanted = [Point::Login, Point::Begin, Point::Write, Point::Commit];
        for size in 1..bytes.len() {
            let mut sight = Sight::default();
            let mut found = Vec::new();
            for chunk in bytes.chunks(size) {
                found.extend(sight.to_server(1, chunk));
            }
            assert_eq!(points(&found), wanted, "chunks of {size}");
        }
        let seen = Sight::default().to_server(1, &bytes);
        assert_eq!(seen[1].at, 94..94 + 10);
    }

    #[test]
    fn connections_do_not_mix() {
        let mut sight = Sight::default();
        let commit = query("COMMIT");
        assert!(!sight.knows(1));
        assert_eq!(sight.to_server(1, &commit[..6]), []);
        assert!(sight.knows(1) && !sight.knows(2));
        assert_eq!(points(&sight.to_server(2, &commit)), [Point::Commit]);
        assert_eq!(points(&sight.to_server(1, &commit[6..])), [Point::Commit]);
    }

    #[test]
    fn behind_a_request_for_tls_nothing_is_seen() {
        let mut sight = Sight::default();
        assert_eq!(
            points(&sight.to_server(1, &packet(1, &[0; 32]))),
            [Point::Login]
        );
        assert_eq!(sight.to_server(1, &query("COMMIT")), []);
    }
}
