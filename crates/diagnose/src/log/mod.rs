//! The server's error log, line by line: what it tells about lost connections.
//!
//! Texts are those of MySQL 5.7 to 9.7 and MariaDB 10.3 to 11.8 (the servers' message files and sources), in any of the
//! formats that their logs have, and with whatever a collector put before them: a line is looked at for what it says, not
//! for how it begins.

mod phrases;
#[cfg(test)]
mod tests;
mod time;

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use regex::Regex;
use serde::{Deserialize, Serialize};

use self::phrases::PHRASES;
use self::phrases::Tells::{self, Kind, Noise, OsError, Statement};
pub(crate) use self::time::{Apart, Time};
use LogKind as K;

/// A line that tells something.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogEvent {
    /// Its time, as it was written; empty: it has none.
    pub at: String,
    /// The line from its time on, at most [`MAX_LINE`] bytes.
    pub line: String,
    /// What it tells.
    pub kind: LogKind,
}

/// Bytes of a line that are kept.
pub const MAX_LINE: usize = 400;

/// Bytes of a line that are looked at.
const MAX_LOOK: usize = 4 << 10;

/// What a line of the error log tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogKind {
    /// `Aborted connection N …`.
    Aborted {
        /// The server's id of the connection; 0: the line does not name it.
        thread: u64,
        /// Why.
        why: Aborted,
    },
    /// `Could not read packet`, `Could not write packet`, `Got packets out of order` (MariaDB, log_warnings=4): more of
    /// what a line [`LogKind::Aborted`] of the same connection says, or all there is.
    PacketFailed {
        /// The server's id of the connection; 0: the line does not name it.
        thread: u64,
        /// Why.
        why: Aborted,
    },
    /// `A connection from … was closed by the server due to a timeout`, or its older wordings (MySQL).
    ClosedByTimeout,
    /// A shutdown was asked for, or has begun.
    ShutdownAsked,
    /// The server's last word in a shutdown.
    ShutDown,
    /// The server began.
    Started,
    /// The server takes connections.
    Ready,
    /// `got signal N`.
    Signal(u8),
    /// An assertion failed, or the server gave up by itself.
    Assertion,
    /// The server had not been shut down: it recovers.
    Recovers,
    /// Memory was refused.
    OutOfMemory,
    /// A disk was full.
    DiskFull,
    /// Stored data is damaged, or could not be read.
    Corruption,
    /// A thread has waited for a lock inside the server for minutes.
    LongWait,
    /// No connection was free.
    TooManyConnections,
    /// A host was blocked.
    HostBlocked,
    /// No file could be opened any more.
    OpenFiles,
    /// A connection used more memory than it may.
    MemoryLimit,
    /// The server was made read-only, left its group, or is no primary any more.
    Demoted,
    /// The server was made to refuse connections.
    Offline,
    /// The service manager says that the process was killed with SIGKILL.
    KilledBySignal9,
    /// The service manager, the container's, or the kernel says that the process was killed for memory.
    OomKilled,
}

/// Why the log says that a connection was aborted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aborted {
    /// `Got timeout reading communication packets`, after the login.
    TimeoutReading,
    /// The same, after a part of a packet had come (MariaDB, log_warnings=4).
    TimeoutWithinPacket,
    /// `Got timeout writing communication packets`.
    TimeoutWriting,
    /// `Got an error reading communication packets`.
    ErrorReading,
    /// `Got an error writing communication packets`.
    ErrorWriting,
    /// `Got a packet bigger than 'max_allowed_packet' bytes`.
    PacketTooLarge,
    /// `Got packets out of order`, or bytes that could not be uncompressed.
    OutOfOrder,
    /// `The client was disconnected by the server because of inactivity.`
    Inactivity,
    /// `KILLED`.
    Killed,
    /// The login took too long.
    LoginTimeout,
    /// `This connection closed normally without authentication`: a login that took too long on MariaDB, and a health
    /// check too.
    Unauthenticated,
    /// `This connection closed normally`, RELEASE.
    Normally,
    /// Something else.
    Other,
}

impl Aborted {
    /// What this line says together with one of the same connection that came before it and says more.
    pub(crate) fn after(self, detail: Self) -> Self {
        match (detail, self) {
            (Self::TimeoutReading | Self::TimeoutWithinPacket, Self::Unauthenticated) => {
                Self::LoginTimeout
            }
            (Self::TimeoutWithinPacket, Self::TimeoutReading)
            | (Self::TimeoutWriting, Self::ErrorWriting) => detail,
            _ => self,
        }
    }
}

#[expect(
    clippy::unwrap_used,
    reason = "the phrases are constants, and the tests build the automaton"
)]
static AUTOMATON: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .match_kind(MatchKind::Standard)
        .kind(Some(aho_corasick::AhoCorasickKind::DFA))
        .build(phrases())
        .unwrap()
});

/// What a line that tells something has in it, in lower case.
pub(crate) fn phrases() -> impl Iterator<Item = &'static str> {
    PHRASES.iter().map(|(phrase, _)| *phrase)
}

#[expect(
    clippy::unwrap_used,
    reason = "the pattern is a constant, and the tests compile it"
)]
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"\d{4}-\d\d-\d\d[T ] ?\d{1,2}:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?|\b\d{6} {1,2}\d{1,2}:\d\d:\d\d|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d",
    )
    .unwrap()
});

impl LogEvent {
    /// What a line tells; `None`: nothing about lost connections. Of a line of more than 4 KiB the first are looked at;
    /// bytes that are not UTF-8 do not matter.
    pub fn read(line: &[u8]) -> Option<Self> {
        let line = &line[..line.len().min(MAX_LOOK)];
        let kind = kind(line)?;
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        // A collector may have put its own time before the server's.
        let head = cut(text, 0, 160);
        let (at, rest) = match plain_time(text) {
            Some(end) => text.split_at(end),
            None => match TIME.find_iter(head).last() {
                Some(found) => (found.as_str(), &text[found.end()..]),
                None => ("", text),
            },
        };
        Some(Self {
            at: at.to_owned(),
            line: cut(rest.trim_start(), 0, MAX_LINE).to_owned(),
            kind,
        })
    }
}

impl LogEvent {
    /// Its time, where it is one that can be read.
    pub(crate) fn time(&self) -> Option<Time> {
        Time::read(&self.at)
    }

    /// The line without the connection's id, the level of a note or a warning, and MySQL's number of it: what people
    /// read.
    pub(crate) fn said(&self) -> &str {
        said(&self.line)
    }

    /// Whether the line, which this was read from, may go on in the next one and then tell something else: it does not end
    /// as such lines do.
    pub(crate) fn is_cut(&self, line: &[u8]) -> bool {
        let line = line.trim_ascii_end();
        matches!(self.kind, LogKind::Aborted { .. })
            && contains(line, b"borted connection")
            && !line.ends_with(b")")
            && !line.ends_with(b").")
    }
}

/// A line of the log, from its time on, as [`LogEvent::said`] has it.
pub(crate) fn said(line: &str) -> &str {
    let Some((at, level)) = level(line.as_bytes()) else {
        return line;
    };
    let id = line[..at].trim();
    if level == b"[ERROR] " || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return line;
    }
    let mut rest = &line[at + level.len()..];
    for tag in ["[MY-", "[Server] ", "[InnoDB] ", "[Repl] "] {
        if rest.starts_with(tag) {
            rest = rest.split_once("] ").map_or(rest, |(_, after)| after);
        }
    }
    rest
}

/// Where the time ends with which a line of today's servers begins, and which only the connection's id stands between and
/// the level. Others need a closer look.
fn plain_time(line: &str) -> Option<usize> {
    let bytes = line.as_bytes();
    let (at, _) = level(bytes)?;
    if at > 60 || !begins_with_date(bytes) {
        return None;
    }
    let id = line[..at].trim_end();
    let end = id.rfind(' ')?;
    id[end..]
        .trim_start()
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(())?;
    (end > 10).then(|| line[..end].trim_end().len())
}

fn begins_with_date(line: &[u8]) -> bool {
    line.len() > 10
        && line[..4].iter().all(u8::is_ascii_digit)
        && line[4] == b'-'
        && line[7] == b'-'
}

/// Where the level is that servers write before a line's text, and what it is.
fn level(line: &[u8]) -> Option<(usize, &'static [u8])> {
    const LEVELS: [&[u8]; 4] = [b"[Note] ", b"[Warning] ", b"[System] ", b"[ERROR] "];
    let head = &line[..line.len().min(200)];
    memchr::memchr_iter(b'[', head).find_map(|at| {
        let level = LEVELS
            .into_iter()
            .find(|level| head[at..].starts_with(level))?;
        Some((at, level))
    })
}

/// The line from its level on, where it has one.
pub(crate) fn from_level(line: &[u8]) -> &[u8] {
    level(line).map_or(line, |(at, _)| &line[at..])
}

/// Whether a line begins with a time, or has one behind what a collector put before it.
pub(crate) fn has_time(line: &[u8]) -> bool {
    if begins_with_date(line) {
        return true;
    }
    let head = String::from_utf8_lossy(&line[..line.len().min(160)]);
    TIME.is_match(&head)
}

/// The time at the head of a line, behind what a collector put before it.
pub(crate) fn time_in(line: &str) -> Option<&str> {
    let found = TIME.find_iter(cut(line, 0, 160)).last()?;
    let rest = &line[found.end()..];
    // As dmesg -T has it.
    let year = rest.len() >= 5
        && rest.starts_with(' ')
        && rest.as_bytes()[1..5].iter().all(u8::is_ascii_digit);
    let end = found.end() + if year { 5 } else { 0 };
    Some(&line[found.start()..end])
}

/// Whether a line, which tells nothing, is a server's all the same: the server's id of a connection and a level are in
/// it. What a replica says of the connection to its source is a client's message.
pub(crate) fn is_servers(line: &[u8]) -> bool {
    let Some((at, level)) = level(line) else {
        return false;
    };
    let rest = &line[at + level.len()..];
    // Others have a level of this name, too.
    let own = level != b"[ERROR] "
        || [&b"[MY-"[..], b"mariadbd: ", b"mysqld: ", b"InnoDB: "]
            .iter()
            .any(|begin| rest.starts_with(begin))
        || contains(&rest[..rest.len().min(200)], b"bin/m");
    let column = line[..at].trim_ascii_end();
    let id_or_time = column.last().is_some_and(u8::is_ascii_digit) || column.ends_with(b"Z");
    own && id_or_time && !REPLICATION.is_match(rest)
}

/// What a server says of a connection that it makes itself.
#[expect(
    clippy::unwrap_used,
    reason = "the phrases are constants, and the tests build the automaton"
)]
static REPLICATION: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::new(["lave I/O", "eplica I/O", "to master", "to source"]).unwrap()
});

fn kind(line: &[u8]) -> Option<LogKind> {
    let mut first: Option<(usize, Option<LogKind>)> = None;
    // What stands before the level are a time and numbers.
    let from = level(line).map_or(0, |(at, _)| at);
    for found in AUTOMATON.find_overlapping_iter(Input::new(line).range(from..)) {
        let phrase = found.pattern().as_usize();
        if matches!(PHRASES[phrase].1, Statement) {
            break;
        }
        if first.is_none_or(|(known, _)| phrase < known)
            && let Some(kind) = tells(phrase, line, found.end())
        {
            first = Some((phrase, kind));
        }
    }
    first?.1
}

/// What this phrase, which ends there, tells: `None`: nothing after all; `Some(None)`: that the line is none of ours.
fn tells(phrase: usize, line: &[u8], end: usize) -> Option<Option<LogKind>> {
    let rest = &line[end..];
    match PHRASES[phrase].1 {
        Noise => Some(None),
        Statement => None,
        // A temporary table whose directory is full reads as a damaged index.
        Kind(K::Corruption) if contains(line, b"#sql") && contains(line, b"tmp") => {
            Some(Some(K::DiskFull))
        }
        // A program that comes and goes, not a limit.
        Kind(K::OpenFiles)
            if contains(line, b"in accept") && !contains(line, b"many open files") =>
        {
            None
        }
        Kind(kind) => Some(Some(kind)),
        // SIGTERM asks for a shutdown; the others are the end, but for those that wake up a thread (MySQL 5.5).
        Tells::Signal => match u8::try_from(number(rest)?).ok()? {
            15 => Some(Some(K::ShutdownAsked)),
            signal @ 3..=11 => Some(Some(K::Signal(signal))),
            _ => None,
        },
        OsError => match number(rest)? {
            5 => Some(Some(K::Corruption)),
            12 => Some(Some(K::OutOfMemory)),
            23 | 24 => Some(Some(K::OpenFiles)),
            28 | 122 => Some(Some(K::DiskFull)),
            _ => None,
        },
        Tells::Aborted => Some(aborted(line, rest)),
        Tells::Packet { writing } => Some(packet_failed(line, rest, writing)),
        Tells::OutOfOrder => Some(Some(K::PacketFailed {
            thread: id_before(line).unwrap_or(0),
            why: Aborted::OutOfOrder,
        })),
    }
}

/// What is behind `Aborted connection`, or the reason alone.
fn aborted(line: &[u8], rest: &[u8]) -> Option<LogKind> {
    const REASONS: &[(&[u8], Aborted)] = &[
        (b"Got timeout reading", Aborted::TimeoutReading),
        (b"Got timeout writing", Aborted::TimeoutWriting),
        (b"Got an error reading", Aborted::ErrorReading),
        (b"Got an error writing", Aborted::ErrorWriting),
        // To a replica.
        (b"my_net_write", Aborted::ErrorWriting),
        (b"flush_net", Aborted::ErrorWriting),
        (b"max_allowed_packet", Aborted::PacketTooLarge),
        (b"packets out of order", Aborted::OutOfOrder),
        (b"uncompress communication", Aborted::OutOfOrder),
        (b"because of inactivity", Aborted::Inactivity),
        (b"KILLED", Aborted::Killed),
        (b"Connection was killed", Aborted::Killed),
        (b"without authentication", Aborted::Unauthenticated),
        (b"closed normally", Aborted::Normally),
        (b"RELEASE", Aborted::Normally),
    ];
    // The reason is in the last parentheses.
    let reason = memchr::memmem::rfind(rest, b" (").map_or(rest, |at| &rest[at..]);
    let why = REASONS
        .iter()
        .find(|(words, _)| reason.windows(words.len()).any(|window| window == *words))
        .map_or(Aborted::Other, |(_, why)| *why);
    if why == Aborted::Other {
        if contains(rest, b"Too many connections") {
            return Some(K::TooManyConnections);
        }
        if contains(rest, b"onnection memory limit") {
            return Some(K::MemoryLimit);
        }
    }
    let alone = !contains(line, b"borted connection");
    let unauthenticated = alone || contains(rest, b"'unauthenticated'");
    let why = match why {
        Aborted::TimeoutReading if unauthenticated => Aborted::LoginTimeout,
        Aborted::ErrorReading if unauthenticated => Aborted::Unauthenticated,
        why => why,
    };
    let thread = if alone { id_before(line) } else { number(rest) };
    Some(K::Aborted {
        thread: thread.unwrap_or(0),
        why,
    })
}

/// What is behind `Could not read packet:`. Only where it timed out is it more than the line that follows says; a packet
/// begins with a header of four bytes.
fn packet_failed(line: &[u8], rest: &[u8], writing: bool) -> Option<LogKind> {
    let field = |name: &[u8]| {
        let at = memchr::memmem::find(rest, name)?;
        number(&rest[at + name.len()..])
    };
    if field(b" errno:")? != 110 {
        return None;
    }
    let why = match (writing, field(b"read_length:")) {
        (true, _) => Aborted::TimeoutWriting,
        (false, Some(5..)) => Aborted::TimeoutWithinPacket,
        (false, _) => Aborted::TimeoutReading,
    };
    Some(K::PacketFailed {
        thread: id_before(line).unwrap_or(0),
        why,
    })
}

/// The connection's id in the server's own column before the level, `… 8 [Note] …`.
pub(crate) fn id_before(line: &[u8]) -> Option<u64> {
    let end = memchr::memmem::find(line, b" [")?;
    let start = line[..end].iter().rposition(|byte| *byte == b' ')? + 1;
    number(&line[start..end])
}

fn contains(line: &[u8], wanted: &[u8]) -> bool {
    memchr::memmem::find(line, wanted).is_some()
}

/// The number with which these bytes begin, after white space.
fn number(rest: &[u8]) -> Option<u64> {
    let rest = rest.trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

/// At most `limit` bytes of `text` from `at` on, at whole characters.
pub(crate) fn cut(text: &str, at: usize, limit: usize) -> &str {
    let mut start = at.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = (start + limit).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[start..end]
}
