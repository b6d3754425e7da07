//! The words in which clients tell of a lost connection, found in one pass.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

use super::numbers::{CODES, OS_WORDS};

/// What says that the client itself gave up.
const GAVE_UP: &[&str] = &[
    "(timed out)",
    "read timed out",
    "read operation timed out",
    "timeouterror",
    "i/o timeout",
    "context deadline exceeded",
    "timeout expired",
    "command timeout expired",
    "timeout waiting for a response from the last query",
    "inactivity timeout",
    "protocol_sequence_timeout",
    "statement timeout being reached",
    "resource temporarily unavailable",
];

/// What says that a login did not come to its end.
const LOGIN: &[&str] = &[
    "reading authorization packet",
    "sending authentication information",
    "sending connection information to server",
    "reading final connect information",
    "setting intital database",
];

/// What says that there was no greeting yet.
const CONNECTING: &[&str] = &[
    "initial communication packet",
    "reading greeting packet",
    "has not received any packets from the server",
    "can't connect to",
    "connect etimedout",
    "connect econnrefused",
    "dial tcp",
    "unable to connect to any of the specified mysql hosts",
    "couldn't connect to server",
    "connect timed out",
    "connect timeout expired",
    "connectexception",
    "can't reach database server",
    "handshake inactivity timeout",
];

/// What says that the connection had been lost before the command.
const SENDING: &[&str] = &[
    "gone away",
    "broken pipe",
    "brokenpipe",
    "epipe",
    "driver: bad connection",
    "closing bad idle connection",
    "failed to validate connection",
    "because of inactivity",
    "ended by the other party",
    "recv (idle): closed",
    "error while sending",
];

/// What says that a command was in flight.
const WAITING: &[&str] = &[
    "during query",
    "invalid connection",
    "read timed out",
    "i/o timeout",
    "attempting to read the resultset",
    "transaction resolution unknown",
    "executing query",
];

/// What says that a part of a result had come.
const READING: &[&str] = &[
    "when dumping table",
    "streaming results when the connection failed",
    "during result streaming",
    "fetchrow",
    "during data read",
    "failed to read the result set",
];

/// What says that packets were out of order. With "expected 1 received 0" it was MySQL's 4031, whose packet has the
/// sequence id 0 (MySQL 9.7).
const OUT_OF_ORDER: &[&str] = &[
    "packets out of order",
    "packet out of order",
    "out-of-order",
    "out of sync",
    "packet sequence number wrong",
    "sequence number mismatch",
    "unexpected sequence nr",
    "connection is in use by",
];

/// What proxies say.
const PROXIES: &[&str] = &[
    "while reaching hostgroup",
    "proxysql error",
    "remote mysql server for client",
    "to mysql router",
    "killed by maxscale",
    "lost connection to backend server",
    "because inactive for",
    "waiting to acquire database connection",
];

/// What a too large packet is called.
const TOO_LARGE: &[&str] = &[
    "packet for query is too large",
    "bigger than 'max_allowed_packet'",
    "is >= to max_allowed_packet",
    "packet too big for current server max_allowed_packet",
    "packets larger than max_allowed_packet",
    "er_net_packet_too_large",
    "exceeded max_allowed_packet",
];

/// What is a pool's trouble, or another one, and no lost connection.
const NO_LOSS: &[&str] = &[
    "lock wait timeout",
    "queuepool limit",
    "connection is not available, request timed out",
    "timeout acquiring a connection",
    "retrieve connection from pool timeout",
    "timed out fetching a new connection from the connection pool",
    "prior to obtaining a connection from the pool",
    "access denied for user",
    // A name that cannot be resolved is no connection.
    "getaddrinfo",
    "unknown mysql server host",
    "name resolution",
];

/// What says that a connection was lost, beyond all of the above.
const LOSSES: &[&str] = &[
    "lost connection to",
    "server has gone away",
    "communications link failure",
    "communication link failure",
    "server closed the connection",
    "server has closed the connection",
    "protocol_connection_lost",
    "unexpected end of stream",
    "unexpected eof",
    "connection to the server is closed",
    "error communicating with database",
    "an incomplete response was received",
    "reading from the stream has failed",
    "socket error",
    "connection unexpectedly terminated",
    "trilogy_closed_connection",
    "trilogy::closedconnection",
    "no operations allowed after connection closed",
    "failed to validate connection",
    "client is not connected",
    "closed mysql connection",
    "connection is in closed state",
    "mysql connection not available",
    "driver: bad connection",
    "closing bad idle connection",
    "[mysql] packets.go",
    "invalid connection",
    "because of inactivity",
    "error while sending query packet",
    "error while sending stmt_",
    "error reading result set's header",
    "milliseconds ago",
];

/// The server's own words in its error log, which are no client's message.
const SERVERS: &[&str] = &["vio_errno"];

/// A connection was refused.
const REFUSED: &[&str] = &["too many connections"];

/// What phrases tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum List {
    GaveUp,
    Login,
    Connecting,
    Sending,
    Waiting,
    Reading,
    OutOfOrder,
    Proxies,
    TooLarge,
    Losses,
    NoLoss,
    Servers,
    Refused,
    OsWords,
    Codes,
}

const LISTS: &[(List, &[&str])] = &[
    (List::GaveUp, GAVE_UP),
    (List::Login, LOGIN),
    (List::Connecting, CONNECTING),
    (List::Sending, SENDING),
    (List::Waiting, WAITING),
    (List::Reading, READING),
    (List::OutOfOrder, OUT_OF_ORDER),
    (List::Proxies, PROXIES),
    (List::TooLarge, TOO_LARGE),
    (List::Losses, LOSSES),
    (List::NoLoss, NO_LOSS),
    (List::Servers, SERVERS),
    (List::Refused, REFUSED),
];

/// All phrases, and the list of each.
fn phrases() -> impl Iterator<Item = (List, String)> {
    let lists = LISTS
        .iter()
        .flat_map(|(list, phrases)| phrases.iter().map(|phrase| (*list, (*phrase).to_owned())));
    let words = OS_WORDS
        .iter()
        .map(|(word, _)| (List::OsWords, (*word).to_owned()));
    let codes = CODES.iter().map(|code| (List::Codes, code.to_string()));
    lists.chain(words).chain(codes)
}

#[expect(
    clippy::unwrap_used,
    reason = "the phrases are constants, and the tests build the automaton"
)]
static AUTOMATON: LazyLock<(AhoCorasick, Vec<List>)> = LazyLock::new(|| {
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(aho_corasick::AhoCorasickKind::DFA))
        .build(phrases().map(|(_, phrase)| phrase))
        .unwrap();
    (automaton, phrases().map(|(list, _)| list).collect())
});

/// The lists of which a text has a phrase.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Said(u32);

impl Said {
    /// What a text says.
    pub(super) fn of(text: &str) -> Self {
        let (automaton, lists) = &*AUTOMATON;
        let mut said = Self::default();
        for found in automaton.find_overlapping_iter(text) {
            let list = lists[found.pattern().as_usize()];
            // A part of a longer number is none.
            if list != List::Codes || stands_alone(text.as_bytes(), found.start(), found.end()) {
                said.0 |= 1 << list as u8;
            }
        }
        said
    }

    /// Whether one of the list is in it.
    pub(super) fn has(self, list: List) -> bool {
        self.0 & (1 << list as u8) != 0
    }

    /// Whether nothing is.
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether there are words of a loss, not only a number.
    pub(super) fn is_worded(self) -> bool {
        [
            List::GaveUp,
            List::Login,
            List::Connecting,
            List::OutOfOrder,
            List::Proxies,
            List::TooLarge,
            List::Losses,
            List::Refused,
            List::OsWords,
        ]
        .into_iter()
        .any(|list| self.has(list))
    }
}

fn stands_alone(text: &[u8], start: usize, end: usize) -> bool {
    let is_digit = |at: Option<&u8>| at.is_some_and(u8::is_ascii_alphanumeric);
    !is_digit(start.checked_sub(1).and_then(|before| text.get(before))) && !is_digit(text.get(end))
}

/// Where the first phrase is that tells of a loss.
pub(super) fn first(lower: &str) -> Option<usize> {
    [LOSSES, LOGIN, CONNECTING, GAVE_UP, OUT_OF_ORDER, TOO_LARGE]
        .into_iter()
        .flatten()
        .find_map(|phrase| lower.find(phrase))
}
