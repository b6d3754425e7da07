//! What clients say when they lose a connection, as people paste it.
//!
//! A client's words tell that the connection ended, never why: 2006, 2013, 08S01, ECONNRESET and *invalid connection* are
//! shapes of one event. What can be taken from them is the server's own error number where it got through, the moment,
//! and numbers: the operating system's, sizes, times.

use core::time::Duration;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::log::MAX_LINE;

/// What a client said.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientMessage {
    /// The error's number; 2xxx are the client library's own, others the server's.
    pub code: Option<u16>,
    /// When it happened.
    pub moment: Option<ClientMoment>,
    /// The client itself gave up waiting.
    pub timed_out: bool,
    /// The operating system's error number, as Linux has it.
    pub os_error: Option<u32>,
    /// For how long the client had received nothing.
    #[serde(with = "crate::words::maybe_millis")]
    pub since_received: Option<Duration>,
    /// For how long the client had sent nothing.
    #[serde(with = "crate::words::maybe_millis")]
    pub since_sent: Option<Duration>,
    /// It says that packets came in another order than they should, or that commands were out of sync.
    pub out_of_order: bool,
    /// A packet was larger than the client, or the server as far as the client knows, allows.
    pub too_large: bool,
    /// A proxy said it, not a server.
    pub proxy: bool,
    /// The server's id of the connection, where the driver names it.
    pub connection: Option<u64>,
    /// The message itself, at most [`MAX_LINE`] bytes.
    pub text: String,
}

/// When a client's connection was lost, as far as its message tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientMoment {
    /// While it connected: no greeting yet.
    Connecting,
    /// While it logged in.
    Login,
    /// While it was idle, or when it began a command: the connection was lost before.
    Sending,
    /// While it waited for the response.
    Waiting,
    /// In the middle of a result.
    Reading,
}

/// Bytes of a paste that are looked at.
const MAX_PASTE: usize = 64 << 10;

/// The numbers that are looked for where a message names its error.
const CODES: &[u16] = &[
    1021, 1037, 1040, 1041, 1047, 1053, 1114, 1129, 1130, 1135, 1153, 1156, 1157, 1158, 1159, 1160,
    1161, 1184, 1194, 1195, 1203, 1205, 1213, 1226, 1290, 1317, 1712, 1835, 1836, 1877, 1927, 1969,
    2002, 2003, 2005, 2006, 2012, 2013, 2014, 2020, 2026, 2027, 2055, 3024, 3032, 3100, 3169, 4031,
    4081, 4082, 9001,
];

macro_rules! pattern {
    ($name:ident, $text:literal) => {
        // The patterns are constants, and the tests compile them all.
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).unwrap());
    };
}

// A number that follows a word or a sign for errors is one, whatever comes behind it.
pattern!(
    CODE,
    r"(?i)(?:error\s*(?:code)?[:\s]*\(?|errno['\x22]?[:=]\s*-?|sqlstate\[\w{5}\][^0-9]{0,60})([1-49][0-9]{3})(?:[\s,:.)\]}]|$)"
);
// As a tuple of the number and the message.
pattern!(CODE_IN_TUPLE, r#"\(([1-49][0-9]{3}), ?u?b?["']"#);
// In brackets or behind a number sign it may be anything: a process, a line, a year. With words of a loss it is an error.
pattern!(
    CODE_IN_BRACKETS,
    r"(?:^|[^\w])(?:\(|\[|#)([1-49][0-9]{3})(?:[)\],:]| - |$)"
);
// Any other must be followed by the message.
pattern!(
    CODE_BEFORE_TEXT,
    r"(?:^|\s)([1-49][0-9]{3})(?: \(\w{5}\))?(?:: | - | )(?:Lost|Can't|Server|MySQL|MariaDB|The client|Got|Too many|Host|Malformed|Commands|Connection)"
);
pattern!(
    RECEIVED_AGO,
    r"(?i)received from the server was ([^a-z]{1,40}) *milliseconds? ago"
);
pattern!(
    SENT_AGO,
    r"(?i)sent successfully to the server was ([^a-z]{1,40}) *milliseconds? ago"
);
pattern!(
    OS_ERROR,
    r"(?i)(?:system error: |errno[ =:]+-?|os error |os \{ code: |'\s?\(|on '[^']*' \(|\()(\d{1,5})(?:[ ),\]\x22:]|$)"
);
pattern!(
    WORKBENCH,
    r"(?i)2013\.? lost connection .{0,60}?\s(\d{1,5}\.\d{3}) sec"
);
pattern!(CONNECTION, r"(?i)\(conn[:=] ?(\d+)\)");

/// The operating system's words for its errors, as clients print them, and their numbers on Linux.
const OS_WORDS: &[(&str, u32)] = &[
    ("econnreset", 104),
    ("connection reset", 104),
    ("forcibly closed", 104),
    ("epipe", 32),
    ("broken pipe", 32),
    ("ended by the other party", 32),
    ("econnrefused", 111),
    ("connection refused", 111),
    ("connectionrefused", 111),
    ("etimedout", 110),
    ("connection timed out", 110),
    ("ehostunreach", 113),
    ("no route to host", 113),
    ("enetunreach", 101),
    ("network is unreachable", 101),
];

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
    "milliseconds ago",
];

/// Finds the text that may be a message among much that is not.
#[expect(
    clippy::unwrap_used,
    reason = "the phrases are constants, and the tests build the automaton"
)]
static INTERESTING: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let lists = [
        GAVE_UP,
        LOGIN,
        CONNECTING,
        SENDING,
        WAITING,
        READING,
        OUT_OF_ORDER,
        PROXIES,
        TOO_LARGE,
        LOSSES,
    ];
    let words = OS_WORDS.iter().map(|(word, _)| (*word).to_owned());
    let phrases = lists
        .into_iter()
        .flatten()
        .map(|phrase| (*phrase).to_owned());
    let codes = CODES.iter().map(u16::to_string);
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(phrases.chain(words).chain(codes))
        .unwrap()
});

impl ClientMessage {
    /// Whether this text, or a part of it, may be a message: a quick look.
    pub(crate) fn may_be(text: &str) -> bool {
        INTERESTING.is_match(text)
    }

    /// Whether both say the same, as far as it matters.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.code, self.moment, self.timed_out, self.os_error)
            == (other.code, other.moment, other.timed_out, other.os_error)
    }

    /// What a paste says of a lost or refused connection; `None`: nothing. The paste may hold other lines too, be cut or
    /// wrapped, and have any kind of line ends; of more than 64 KiB the first are read.
    pub fn read(paste: &str) -> Option<Self> {
        let mut end = paste.len().min(MAX_PASTE);
        while !paste.is_char_boundary(end) {
            end -= 1;
        }
        // Wrapped lines are joined again.
        let text: Vec<&str> = paste[..end].split_whitespace().collect();
        let text = text.join(" ");
        if !INTERESTING.is_match(&text) {
            return None;
        }
        let lower = text.to_lowercase();
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| lower.contains(phrase));
        if lower.contains("vio_errno") {
            // The server's own words.
            return None;
        }
        let os_word = OS_WORDS.iter().any(|(word, _)| lower.contains(word));
        let timed_out = says(GAVE_UP) || workbench_gave_up(&text);
        let worded = os_word
            || timed_out
            || says(OUT_OF_ORDER)
            || says(LOSSES)
            || says(CONNECTING)
            || says(LOGIN)
            || says(PROXIES)
            || says(TOO_LARGE)
            || lower.contains("too many connections");
        let code = code(&text, &lower, worded);
        let os_error = os_error(&text, &lower);
        let out_of_order = says(OUT_OF_ORDER);
        let idle_error = out_of_order && is_4031_out_of_order(&lower);
        let known = code.is_some() || worded;
        if !known || (says(NO_LOSS) && !says(LOSSES)) {
            return None;
        }
        let moment = if says(LOGIN) {
            Some(ClientMoment::Login)
        } else if says(CONNECTING) {
            Some(ClientMoment::Connecting)
        } else if says(READING) {
            Some(ClientMoment::Reading)
        } else if says(SENDING) {
            Some(ClientMoment::Sending)
        } else if says(WAITING) {
            Some(ClientMoment::Waiting)
        } else {
            None
        };
        let millis = |pattern: &Regex| {
            let digits: String = pattern
                .captures(&text)?
                .get(1)?
                .as_str()
                .chars()
                .filter(char::is_ascii_digit)
                .collect();
            Some(Duration::from_millis(digits.parse().ok()?))
        };
        Some(Self {
            code: if idle_error { Some(4031) } else { code },
            moment,
            timed_out,
            os_error,
            since_received: millis(&RECEIVED_AGO),
            since_sent: millis(&SENT_AGO),
            out_of_order: out_of_order && !idle_error,
            too_large: says(TOO_LARGE),
            proxy: says(PROXIES),
            connection: CONNECTION
                .captures(&text)
                .and_then(|found| found.get(1)?.as_str().parse().ok()),
            text: excerpt(&text),
        })
    }
}

/// The error's number: the server's own before the library's.
fn code(text: &str, lower: &str, worded: bool) -> Option<u16> {
    let in_brackets = worded.then(|| CODE_IN_BRACKETS.captures_iter(text));
    let found: Vec<u16> = CODE
        .captures_iter(text)
        .chain(CODE_IN_TUPLE.captures_iter(text))
        .chain(CODE_BEFORE_TEXT.captures_iter(text))
        .chain(in_brackets.into_iter().flatten())
        .filter_map(|found| found.get(1)?.as_str().parse().ok())
        .filter(|code| CODES.contains(code))
        .collect();
    let servers_own = found
        .iter()
        .copied()
        .find(|code| !(2000..3000).contains(code));
    let by_words = || {
        if lower.contains("disconnected by the server because of inactivity") {
            Some(4031)
        } else if lower.contains("too many connections") {
            Some(1040)
        } else if lower.contains("gone away") {
            Some(2006)
        } else if lower.contains("lost connection to") {
            Some(2013)
        } else {
            None
        }
    };
    servers_own
        .or_else(|| found.first().copied())
        .or_else(by_words)
}

/// As Linux numbers it.
fn os_error(text: &str, lower: &str) -> Option<u32> {
    let number = OS_ERROR
        .captures_iter(text)
        .filter_map(|found| found.get(1)?.as_str().parse().ok())
        .find_map(on_linux);
    number.or_else(|| {
        OS_WORDS
            .iter()
            .find(|(word, _)| lower.contains(word))
            .map(|(_, number)| *number)
    })
}

/// Linux's number for that of some system; `None`: it is none that tells something.
fn on_linux(number: u32) -> Option<u32> {
    Some(match number {
        54 | 10054 => 104,
        60 | 10060 => 110,
        61 | 10061 => 111,
        32 | 101 | 104 | 110 | 111 | 113 => number,
        _ => return None,
    })
}

/// Whether it was the packet with which MySQL tells 4031: its sequence id is 0 where a response's first one is 1.
fn is_4031_out_of_order(lower: &str) -> bool {
    [
        "expected 1 received 0",
        "expected 1 but received 0",
        "got: 0 expected: 1",
        "got 0 expected 1",
        "expected 1, got 0",
        "expected packet # 1, but received packet # 0",
    ]
    .iter()
    .any(|phrase| lower.contains(phrase))
}

/// MySQL Workbench prints how long a statement took; its read timeout is a whole number of tens of seconds.
fn workbench_gave_up(text: &str) -> bool {
    let seconds: Option<f64> = WORKBENCH
        .captures(text)
        .and_then(|found| found.get(1)?.as_str().parse().ok());
    seconds.is_some_and(|seconds| seconds >= 10.0 && seconds % 10.0 < 0.15)
}

/// The part of the text that says it.
fn excerpt(text: &str) -> String {
    if text.len() <= MAX_LINE {
        return text.to_owned();
    }
    let lower = text.to_ascii_lowercase();
    let at = LOSSES
        .iter()
        .chain(LOGIN)
        .chain(CONNECTING)
        .chain(GAVE_UP)
        .chain(OUT_OF_ORDER)
        .chain(TOO_LARGE)
        .find_map(|phrase| lower.find(phrase))
        .unwrap_or(0)
        .saturating_sub(60);
    crate::log::cut(text, at, MAX_LINE).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ClientMessage {
        ClientMessage::read(text).unwrap_or_else(|| panic!("not a message: {text}"))
    }

    #[test]
    fn the_number_is_found_in_every_shape() {
        let shapes = [
            (
                "ERROR 2013 (HY000): Lost connection to MySQL server during query",
                2013,
            ),
            (
                "ERROR 2013 (HY000) at line 44: Lost connection to MySQL server during query",
                2013,
            ),
            (
                "pymysql.err.OperationalError: (2013, 'Lost connection to MySQL server during query')",
                2013,
            ),
            (
                "SQLSTATE[HY000]: General error: 2006 MySQL server has gone away",
                2006,
            ),
            ("SQLSTATE[HY000] [2002] Connection refused", 2002),
            (
                "Error Code: 2013. Lost connection to MySQL server during query\t30.002 sec",
                2013,
            ),
            (
                "/* SQL Error (2013): Lost connection to server during query */",
                2013,
            ),
            (
                "2013 - Lost connection to server at 'handshake: reading initial communication packet'",
                2013,
            ),
            (
                "mysqldump: Error 2013: Lost connection to MySQL server during query when dumping table `t` at row: 12",
                2013,
            ),
            ("#2006 - MySQL server has gone away", 2006),
            (
                "error returned from database: 4031 (HY000): The client was disconnected",
                4031,
            ),
            (
                "Error: The client was disconnected by the server because of inactivity. errno: 4031,",
                4031,
            ),
            ("Error 1040 (08004): Too many connections", 1040),
            (
                "Error reading packet from server: Lost connection to master (server_errno=2013)",
                2013,
            ),
            (
                "(2006, \"MySQL server has gone away (BrokenPipeError(32, 'Broken pipe'))\")",
                2006,
            ),
            (
                "SQLSTATE[08S01]: Communication link failure: 1053 Server shutdown in progress",
                1053,
            ),
        ];
        for (text, code) in shapes {
            assert_eq!(read(text).code, Some(code), "{text}");
        }
    }

    #[test]
    fn a_process_a_line_or_a_year_is_no_error() {
        for text in [
            "CRON[2006]: (root) CMD (/usr/lib/backup)",
            "#7 /srv/app/Connection.php(1040): PDO->prepare('select 1')",
            "it works since then (2013), as far as I know",
            "see issue #2006",
            "took 1205 ms",
        ] {
            assert_eq!(ClientMessage::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_year_is_no_error() {
        assert_eq!(ClientMessage::read("2013-05-06 07:08:09 all is well"), None);
        assert_eq!(ClientMessage::read("copyright 2006, 2013"), None);
    }

    #[test]
    fn moments_are_told_apart() {
        use ClientMoment as M;
        let cases = [
            (
                "Lost connection to MySQL server at 'reading initial communication packet', system error: 0",
                M::Connecting,
            ),
            (
                "Lost connection to MySQL server at 'reading authorization packet', system error: 104",
                M::Login,
            ),
            ("MySQL server has gone away", M::Sending),
            ("Lost connection to MySQL server during query", M::Waiting),
            (
                "Error 2013: Lost connection to MySQL server during query when dumping table `t` at row: 7",
                M::Reading,
            ),
            (
                "Communications link failure The last packet sent successfully to the server was 0 milliseconds ago. The driver has not received any packets from the server.",
                M::Connecting,
            ),
        ];
        for (text, moment) in cases {
            assert_eq!(read(text).moment, Some(moment), "{text}");
        }
    }

    #[test]
    fn connector_j_tells_how_long_it_was_idle() {
        for (written, millis) in [
            ("2,362,858", 2_362_858),
            ("2.362.858", 2_362_858),
            ("2\u{202f}362\u{a0}858", 2_362_858),
            ("7", 7),
        ] {
            let text = format!(
                "Communications link failure\r\n\r\nThe last packet successfully received from the server was {written} \
                 milliseconds ago.  The last packet sent successfully to the server was {written} milliseconds ago."
            );
            let message = read(&text);
            assert_eq!(
                message.since_received,
                Some(Duration::from_millis(millis)),
                "{written}"
            );
            assert_eq!(message.since_sent, Some(Duration::from_millis(millis)));
        }
    }

    #[test]
    fn the_systems_numbers_are_those_of_linux() {
        for (text, number) in [
            ("Can't connect to MySQL server on 'db' (10061)", 111),
            ("Can't connect to MySQL server on 'db:3306' (110)", 110),
            (
                "Lost connection to server at 'reading authorization packet', system error: 54 \"Connection reset by peer\"",
                104,
            ),
            (
                "(2013, 'Lost connection to MySQL server during query ([Errno 104] Connection reset by peer)')",
                104,
            ),
            ("Error: read ECONNRESET", 104),
            (
                "MySQL server has gone away (BrokenPipeError(32, 'Broken pipe'))",
                32,
            ),
        ] {
            assert_eq!(read(text).os_error, Some(number), "{text}");
        }
    }

    #[test]
    fn a_client_that_gave_up_says_so() {
        for text in [
            "(2013, 'Lost connection to MySQL server during query (timed out)')",
            "Error Code: 2013. Lost connection to MySQL server during query\t30.016 sec",
            "java.net.SocketTimeoutException: Read timed out\nCommunications link failure",
            "[mysql] packets.go:58 read tcp 10.0.0.1:5->10.0.0.2:3306: i/o timeout",
            "Timeout expired.  The timeout period elapsed prior to completion of the operation",
        ] {
            assert!(read(text).timed_out, "{text}");
        }
        assert!(
            !read("Error Code: 2013. Lost connection to MySQL server during query\t12.430 sec")
                .timed_out
        );
    }

    #[test]
    fn out_of_order_is_4031_where_its_numbers_say_so() {
        let idle = read("Warning: Packets out of order. Expected 1 received 0. Packet size=145");
        assert_eq!((idle.code, idle.out_of_order), (Some(4031), false));
        let shared = read("Packets out of order. Expected 3 received 1. Packet size=7");
        assert!(shared.out_of_order);
    }

    #[test]
    fn wrapped_text_is_one_text() {
        let message = read(
            "Lost connection to\r\n   MySQL server at 'reading initial\r\n communication packet', system\r\n error: 0",
        );
        assert_eq!(message.moment, Some(ClientMoment::Connecting));
    }

    #[test]
    fn what_is_no_loss_is_none() {
        for text in [
            "",
            "Lock wait timeout exceeded; try restarting transaction",
            "QueuePool limit of size 5 overflow 10 reached, connection timed out, timeout 30.00",
            "HikariPool-1 - Connection is not available, request timed out after 30000ms.",
            "all is well",
        ] {
            assert_eq!(ClientMessage::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_huge_paste_is_cut() {
        let paste = format!(
            "{} Lost connection to MySQL server during query",
            "ö".repeat(40_000)
        );
        assert_eq!(ClientMessage::read(&paste), None);
        let paste = format!(
            "Lost connection to MySQL server during query {}",
            "ö".repeat(40_000)
        );
        assert!(read(&paste).text.len() <= MAX_LINE);
    }
}
