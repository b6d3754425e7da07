//! Numbers in clients' messages: the error's, the operating system's, how long it took.

use core::time::Duration;
use std::sync::LazyLock;

use regex::Regex;

use crate::causes::is_no_loss;

/// The numbers that are looked for where a message names its error.
pub(super) const CODES: &[u16] = &[
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
    r"(?i)(?:error\s*(?:code)?[:\s]*\(?|\((?:hy000|08s01|08004|\d{5})/|errno['\x22]?[:=]\s*-?|sqlstate\[\w{5}\][^0-9]{0,60})([1-49][0-9]{3})(?:[\s,:.)\]}]|$)"
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
pub(super) const OS_WORDS: &[(&str, u32)] = &[
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

/// The error's number: the server's own before the library's, and what is no loss last.
pub(super) fn code(text: &str, worded: bool) -> Option<u16> {
    let in_brackets = worded.then(|| CODE_IN_BRACKETS.captures_iter(text));
    let found: Vec<u16> = CODE
        .captures_iter(text)
        .chain(CODE_IN_TUPLE.captures_iter(text))
        .chain(CODE_BEFORE_TEXT.captures_iter(text))
        .chain(in_brackets.into_iter().flatten())
        .filter_map(|found| found.get(1)?.as_str().parse().ok())
        .filter(|code| CODES.contains(code))
        .collect();
    let of_a_loss = || {
        found
            .iter()
            .copied()
            .filter(|code| !is_no_loss(*code, text))
    };
    of_a_loss()
        .find(|code| !(2000..3000).contains(code))
        .or_else(|| of_a_loss().next())
        .or_else(|| found.first().copied())
}

/// The error's number, where only its words are there.
pub(super) fn code_in_words(lower: &str) -> Option<u16> {
    [
        ("disconnected by the server because of inactivity", 4031),
        ("too many connections", 1040),
        ("gone away", 2006),
        ("lost connection to", 2013),
    ]
    .into_iter()
    .find(|(words, _)| lower.contains(words))
    .map(|(_, code)| code)
}

/// For how long the client had received nothing, as Connector/J tells it.
pub(super) fn received_ago(text: &str) -> Option<Duration> {
    millis(&RECEIVED_AGO, text)
}

/// For how long the client had sent nothing.
pub(super) fn sent_ago(text: &str) -> Option<Duration> {
    millis(&SENT_AGO, text)
}

/// The server's id of the connection.
pub(super) fn connection(text: &str) -> Option<u64> {
    CONNECTION.captures(text)?.get(1)?.as_str().parse().ok()
}

fn millis(pattern: &Regex, text: &str) -> Option<Duration> {
    let digits: String = pattern
        .captures(text)?
        .get(1)?
        .as_str()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    Some(Duration::from_millis(digits.parse().ok()?))
}

/// As Linux numbers it.
pub(super) fn os_error(text: &str, lower: &str) -> Option<u32> {
    let number = OS_ERROR
        .captures_iter(text)
        .filter_map(|found| found.get(1)?.as_str().parse().ok())
        .find_map(on_linux);
    let no_socket = lower.contains("through socket") && lower.contains("(2)")
        || lower.contains("2002") && lower.contains("no such file or directory");
    if no_socket {
        // Nobody made the socket: the same as a port that is closed.
        return Some(111);
    }
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
pub(super) fn is_4031_out_of_order(lower: &str) -> bool {
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
pub(super) fn workbench_gave_up(text: &str) -> bool {
    let seconds: Option<f64> = WORKBENCH
        .captures(text)
        .and_then(|found| found.get(1)?.as_str().parse().ok());
    const USUAL: [f64; 7] = [60.0, 120.0, 300.0, 600.0, 3600.0, 6000.0, 7200.0];
    seconds.is_some_and(|seconds| {
        let usual = USUAL
            .iter()
            .any(|limit| (*limit..limit + 1.0).contains(&seconds));
        usual || seconds >= 10.0 && seconds % 10.0 < 0.15
    })
}
