//! The server's error log, line by line: what it tells about lost connections.
//!
//! Texts are those of MySQL 5.7 to 9.7 and MariaDB 10.3 to 11.8 (the servers' message files and sources), in any of the
//! formats that their logs have, and with whatever a collector put before them: a line is looked at for what it says, not
//! for how it begins.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, Input, MatchKind};
use regex::Regex;
use serde::{Deserialize, Serialize};

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

/// What a phrase tells.
#[derive(Clone, Copy)]
enum Tells {
    Kind(LogKind),
    /// A reason follows.
    Aborted,
    /// An operating system's error number follows, and with reading a length.
    Packet {
        writing: bool,
    },
    /// A connection's packets were out of order.
    OutOfOrder,
    /// A number follows.
    Signal,
    /// The operating system's error number follows.
    OsError,
    /// Whatever else the line has in it is not about the server itself.
    Noise,
    /// What follows is a statement's text.
    Statement,
}

use LogKind as K;
use Tells::{Kind, Noise, OsError, Statement};

/// Phrases, and what they tell; where several are in a line, the one that stands first here counts.
const PHRASES: &[(&str, Tells)] = &[
    // Lines with the texts of others in them.
    ("event scheduler:", Noise),
    ("slave i/o", Noise),
    ("replica i/o", Noise),
    ("slave sql", Noise),
    ("replica sql", Noise),
    ("reconnecting to master", Noise),
    ("found a zombie dump thread", Noise),
    ("is deprecated", Noise),
    ("x plugin ready for connections", Noise),
    ("admin interface ready for connections", Noise),
    ("physically writing the file full", Noise),
    ("invoked oom-killer", Noise),
    (" statement: ", Statement),
    ("aborted connection", Tells::Aborted),
    ("could not read packet:", Tells::Packet { writing: false }),
    ("could not write packet:", Tells::Packet { writing: true }),
    ("got packets out of order", Tells::OutOfOrder),
    // Login failures of MySQL 8: the reason alone.
    ("[my-010914]", Tells::Aborted),
    (
        "was closed by the server due to a timeout",
        Kind(K::ClosedByTimeout),
    ),
    ("'wait_timeout' period of", Kind(K::ClosedByTimeout)),
    ("wait_timeout period was exceeded", Kind(K::ClosedByTimeout)),
    // What ends the process.
    ("got signal ", Tells::Signal),
    ("got exception 0x", Kind(K::Assertion)),
    ("assertion failure", Kind(K::Assertion)),
    ("failing assertion", Kind(K::Assertion)),
    ("terminate called after", Kind(K::Assertion)),
    // The report of a crash, whose beginning may have been cut off.
    ("attempting backtrace", Kind(K::Assertion)),
    ("some pointers may be invalid", Kind(K::Assertion)),
    ("find out what is causing the crash", Kind(K::Assertion)),
    ("this could be because you hit a bug", Kind(K::Assertion)),
    ("we probably made a mistake", Kind(K::Assertion)),
    ("connection id (thread id):", Kind(K::Assertion)),
    ("status: not_killed", Kind(K::Assertion)),
    ("stack_bottom = ", Kind(K::Assertion)),
    ("writing a core file", Kind(K::Assertion)),
    ("core pattern: ", Kind(K::Assertion)),
    ("killed by the oom killer", Kind(K::OomKilled)),
    ("result 'oom-kill'", Kind(K::OomKilled)),
    ("oomkilled", Kind(K::OomKilled)),
    ("memory cgroup out of memory: kill", Kind(K::OomKilled)),
    ("out of memory: kill", Kind(K::OomKilled)),
    ("oom-kill:constraint", Kind(K::OomKilled)),
    ("status=9/kill", Kind(K::KilledBySignal9)),
    ("exit code 137", Kind(K::KilledBySignal9)),
    ("exit code:    137", Kind(K::KilledBySignal9)),
    ("exited with code 137", Kind(K::KilledBySignal9)),
    ("exitcode\":137", Kind(K::KilledBySignal9)),
    ("exitcode\": 137", Kind(K::KilledBySignal9)),
    ("received shutdown from user", Kind(K::ShutdownAsked)),
    ("received restart from user", Kind(K::ShutdownAsked)),
    ("normal shutdown", Kind(K::ShutdownAsked)),
    (
        "client threads a chance to die gracefully",
        Kind(K::ShutdownAsked),
    ),
    ("forcing close of thread", Kind(K::ShutdownAsked)),
    ("forcefully disconnecting", Kind(K::ShutdownAsked)),
    ("starting shutdown", Kind(K::ShutdownAsked)),
    ("closing connections - start", Kind(K::ShutdownAsked)),
    ("shutdown complete", Kind(K::ShutDown)),
    ("mysql server - end.", Kind(K::ShutDown)),
    // Why it ends, or stands still.
    ("semaphore wait has lasted", Kind(K::LongWait)),
    ("a long semaphore wait", Kind(K::LongWait)),
    ("long wait (", Kind(K::LongWait)),
    (
        "innodb_fatal_semaphore_wait_threshold was exceeded",
        Kind(K::LongWait),
    ),
    ("threadpool has been blocked", Kind(K::LongWait)),
    ("disk is full", Kind(K::DiskFull)),
    ("disk full (", Kind(K::DiskFull)),
    ("no space left on device", Kind(K::DiskFull)),
    ("out of disk space", Kind(K::DiskFull)),
    ("as disk is full", Kind(K::DiskFull)),
    ("page corruption", Kind(K::Corruption)),
    ("space id and page n", Kind(K::Corruption)),
    ("is marked as crashed", Kind(K::Corruption)),
    ("is marked as corrupted", Kind(K::Corruption)),
    ("is corrupted", Kind(K::Corruption)),
    ("is corrupt; try to repair", Kind(K::Corruption)),
    ("incorrect key file for table", Kind(K::Corruption)),
    ("corrupted page", Kind(K::Corruption)),
    ("apparent corruption", Kind(K::Corruption)),
    ("corrupt log record", Kind(K::Corruption)),
    ("checksum mismatch", Kind(K::Corruption)),
    ("failed to read page", Kind(K::Corruption)),
    ("unable to read page", Kind(K::Corruption)),
    (
        "is missing, corrupt or contains bad data",
        Kind(K::Corruption),
    ),
    ("returned eio", Kind(K::Corruption)),
    ("input/output error", Kind(K::Corruption)),
    ("too many open files", Kind(K::OpenFiles)),
    ("error in accept", Kind(K::OpenFiles)),
    ("out of memory", Kind(K::OutOfMemory)),
    ("cannot allocate memory", Kind(K::OutOfMemory)),
    ("due to out-of-memory", Kind(K::OutOfMemory)),
    ("std::bad_alloc", Kind(K::OutOfMemory)),
    ("connection memory limit", Kind(K::MemoryLimit)),
    ("too many connections", Kind(K::TooManyConnections)),
    ("max_user_connections' active", Kind(K::TooManyConnections)),
    (
        "is blocked because of many connection errors",
        Kind(K::HostBlocked),
    ),
    ("set into offline mode", Kind(K::Offline)),
    ("setting super_read_only=on", Kind(K::Demoted)),
    ("setting super_read_only mode on", Kind(K::Demoted)),
    ("set into read only mode", Kind(K::Demoted)),
    ("member was expelled from the group", Kind(K::Demoted)),
    ("this member has left the group", Kind(K::Demoted)),
    ("will now leave the group", Kind(K::Demoted)),
    ("received non-primary", Kind(K::Demoted)),
    ("shifting synced -> open", Kind(K::Demoted)),
    ("node consistency compromi", Kind(K::Demoted)),
    ("setting wsrep_ready to false", Kind(K::Demoted)),
    ("error number ", OsError),
    ("operating system error ", OsError),
    ("errno: ", OsError),
    ("errno= ", OsError),
    ("errno ", OsError),
    ("errcode: ", OsError),
    // How it begins again. XA recovery is announced at clean starts too.
    ("not shutdown normally", Kind(K::Recovers)),
    ("starting crash recovery", Kind(K::Recovers)),
    ("aria engine: starting recovery", Kind(K::Recovers)),
    ("recovering after a crash", Kind(K::Recovers)),
    ("doing recovery: scanned up to", Kind(K::Recovers)),
    ("starting as process", Kind(K::Started)),
    ("source revision", Kind(K::Started)),
    ("mysql server - start", Kind(K::Started)),
    ("ready for connections", Kind(K::Ready)),
];

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

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(line: &str) -> Option<LogKind> {
        LogEvent::read(line.as_bytes()).map(|event| event.kind)
    }

    fn of(thread: u64, why: Aborted) -> Option<LogKind> {
        Some(LogKind::Aborted { thread, why })
    }

    #[test]
    fn aborted_connections_have_their_reason_and_their_id() {
        let cases = [
            (
                "2026-11-02  3:04:05 1234 [Warning] Aborted connection 1234 to db: 'shop' user: 'app' host: '10.0.0.7' (Got timeout reading communication packets)",
                of(1234, Aborted::TimeoutReading),
            ),
            (
                "2026-11-02T03:04:05.123456Z 1234 [Note] [MY-010914] [Server] Aborted connection 1234 to db: 'shop' user: 'app' host: 'web1' (The client was disconnected by the server because of inactivity.).",
                of(1234, Aborted::Inactivity),
            ),
            (
                "2026-11-02T03:04:05.123456+02:00 7 [Note] Aborted connection 7 to db: 'unconnected' user: 'app' host: 'web1' (Got an error reading communication packets)",
                of(7, Aborted::ErrorReading),
            ),
            (
                "Nov  2 03:04:05 db1 mariadbd[815]: 2026-11-02  3:04:05 9 [Warning] Aborted connection 9 to db: 'shop' user: 'app' host: 'x' (KILLED)",
                of(9, Aborted::Killed),
            ),
            (
                "2026-11-02 13:04:05 12 [Warning] Aborted connection 12 to db: 'unconnected' user: 'unauthenticated' host: '10.0.0.7' (This connection closed normally without authentication)",
                of(12, Aborted::Unauthenticated),
            ),
            (
                "2026-11-02 13:04:05 12 [Warning] Aborted connection 12 to db: 'unconnected' user: 'unauthenticated' host: '10.0.0.7' (Got timeout reading communication packets)",
                of(12, Aborted::LoginTimeout),
            ),
            (
                "2026-11-02T03:04:05.123456Z 8 [Note] [MY-010914] [Server] Got timeout reading communication packets",
                of(8, Aborted::LoginTimeout),
            ),
            (
                "2026-11-02 13:04:05 12 [Warning] Aborted connection 12 to db: 'unconnected' user: 'unauthenticated' host: 'connecting host' (Too many connections)",
                Some(LogKind::TooManyConnections),
            ),
            (
                r#"{ "prio" : 3, "err_code" : 10914, "subsystem" : "Server", "msg" : "Aborted connection 55 to db: 'shop' user: 'app' host: 'x' (Got timeout writing communication packets).", "time" : "2026-11-02T03:04:05.123456Z" }"#,
                of(55, Aborted::TimeoutWriting),
            ),
        ];
        for (line, kind) in cases {
            assert_eq!(kind_of(line), kind, "{line}");
        }
    }

    #[test]
    fn mariadb_says_more_of_packets_that_failed_at_log_warnings_4() {
        let failed = |thread, why| Some(LogKind::PacketFailed { thread, why });
        let cases = [
            (
                "2026-11-23 10:32:59 184 [Warning] Could not read packet: fd: 45  state: 1  read_length: 4  errno: 110  vio_errno: 1159  length: -1",
                failed(184, Aborted::TimeoutReading),
            ),
            (
                "2026-11-23 10:34:29 65 [Warning] Could not read packet: fd: 45  state: 1  read_length: 51958  errno: 110  vio_errno: 1159  length: -1",
                failed(65, Aborted::TimeoutWithinPacket),
            ),
            (
                "2026-11-23 10:33:17 10 [Warning] Could not write packet: fd: 46  state: 1  errno: 110  vio_errno: 1160  length: 3424",
                failed(10, Aborted::TimeoutWriting),
            ),
            (
                "2026-11-23 10:34:09 30 [Warning] Could not read packet: fd: 45  state: 1  read_length: 4  errno: 104  vio_errno: 1158  length: -1",
                None,
            ),
            (
                "2026-11-23 10:33:38 64 [ERROR] mariadbd: Got packets out of order",
                failed(64, Aborted::OutOfOrder),
            ),
        ];
        for (line, kind) in cases {
            assert_eq!(kind_of(line), kind, "{line}");
        }
    }

    #[test]
    fn what_ends_and_begins_a_server_is_told_apart() {
        let cases = [
            (
                "2026-11-02T03:04:05.1Z 0 [System] [MY-013172] [Server] Received SHUTDOWN from user <via user signal>. Shutting down mysqld (Version: 9.7.4).",
                LogKind::ShutdownAsked,
            ),
            (
                "2026-11-02  3:04:05 0 [Note] /usr/sbin/mariadbd (initiated by: unknown): Normal shutdown",
                LogKind::ShutdownAsked,
            ),
            (
                "2026-11-02T03:04:05.1Z 0 [Warning] [MY-010909] [Server] /usr/sbin/mysqld: Forcing close of thread 12  user: 'app'.",
                LogKind::ShutdownAsked,
            ),
            (
                "2026-11-02  3:04:05 0 [Note] /usr/sbin/mariadbd: Shutdown complete",
                LogKind::ShutDown,
            ),
            ("03:04:05 UTC - mysqld got signal 11 ;", LogKind::Signal(11)),
            (
                "261102  3:04:05 [ERROR] /usr/sbin/mariadbd got signal 6 ;",
                LogKind::Signal(6),
            ),
            (
                "2026-11-02T03:04:05.1Z 1 [ERROR] [MY-013183] [InnoDB] Assertion failure: fil0fil.cc:100:x == y thread 139",
                LogKind::Assertion,
            ),
            (
                "2026-11-02T03:04:05.1Z 1 [Note] [MY-012551] [InnoDB] Database was not shutdown normally!",
                LogKind::Recovers,
            ),
            (
                "2026-11-02  3:04:05 0 [Note] InnoDB: Starting crash recovery from checkpoint LSN=45056",
                LogKind::Recovers,
            ),
            (
                "2026-11-02  3:04:05 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision abc as process 4711",
                LogKind::Started,
            ),
            (
                "2026-11-02T03:04:05.1Z 0 [System] [MY-010931] [Server] /usr/sbin/mysqld: ready for connections. Version: '9.7.4'",
                LogKind::Ready,
            ),
            (
                "mariadb.service: Main process exited, code=killed, status=9/KILL",
                LogKind::KilledBySignal9,
            ),
            (
                "mariadb.service: Failed with result 'oom-kill'.",
                LogKind::OomKilled,
            ),
        ];
        for (line, kind) in cases {
            assert_eq!(kind_of(line), Some(kind), "{line}");
        }
    }

    #[test]
    fn what_is_full_damaged_or_stuck_is_told_apart() {
        let cases = [
            (
                "[ERROR] mysqld: Disk is full writing './binlog.000003' (Errcode: 28 \"No space left on device\"). Waiting for someone to free space...",
                LogKind::DiskFull,
            ),
            (
                "[ERROR] [MY-012639] [InnoDB] Write to file ./ibdata1 failed at offset 0, 1 bytes should have been written, only 0 were written. Operating system error number 28.",
                LogKind::DiskFull,
            ),
            (
                "[ERROR] [FATAL] InnoDB: pwrite(\"ib_logfile0\") returned -1, operating system error 28",
                LogKind::DiskFull,
            ),
            (
                "[ERROR] Incorrect key file for table '/tmp/#sql_1a2_0.MAI'; try to repair it",
                LogKind::DiskFull,
            ),
            (
                "[ERROR] mysqld: Table './shop/orders' is marked as crashed and should be repaired",
                LogKind::Corruption,
            ),
            (
                "[ERROR] [MY-011906] [InnoDB] Database page corruption on disk or a failed file read of page [page id: space=5]",
                LogKind::Corruption,
            ),
            (
                "[ERROR] [MY-011904] [InnoDB] Space id and page number stored in the page read in are [page id: space=2779096485, page number=2779096485], should be [page id: space=3, page number=6]",
                LogKind::Corruption,
            ),
            (
                "[Warning] [MY-012985] [InnoDB] A long semaphore wait:",
                LogKind::LongWait,
            ),
            (
                "[ERROR] Error in accept: Too many open files",
                LogKind::OpenFiles,
            ),
            (
                "[ERROR] Can't open file: './shop/orders.frm' (errno: 24)",
                LogKind::OpenFiles,
            ),
            (
                "[ERROR] mysqld: Out of memory (Needed 128917 bytes)",
                LogKind::OutOfMemory,
            ),
            (
                "[ERROR] [MY-013833] [Server] Connection closed. Connection memory limit 2097152 bytes exceeded. Consumed 2105344 bytes.",
                LogKind::MemoryLimit,
            ),
            (
                "[System] [MY-011565] [Repl] Plugin group_replication reported: 'Setting super_read_only=ON.'",
                LogKind::Demoted,
            ),
        ];
        for (line, kind) in cases {
            assert_eq!(kind_of(line), Some(kind), "{line}");
        }
    }

    #[test]
    fn every_versions_wording_is_understood() {
        let cases = [
            // MySQL 5.5 and 5.6, MariaDB 5.5 and 10.0.
            (
                "161102  3:04:05 [Note] /usr/sbin/mysqld: Normal shutdown",
                LogKind::ShutdownAsked,
            ),
            (
                "161102  3:04:05 [Note] Got signal 15 to shutdown mysqld",
                LogKind::ShutdownAsked,
            ),
            ("03:04:05 UTC - mysqld got signal 11 ;", LogKind::Signal(11)),
            ("InnoDB: Warning: a long semaphore wait:", LogKind::LongWait),
            (
                "2016-11-02 03:04:05 7f41 InnoDB: Assertion failure in thread 140 in file trx0trx.cc line 366",
                LogKind::Assertion,
            ),
            // MySQL 5.7.
            (
                "2018-11-02T03:04:05.1Z 0 [Note] Giving 3 client threads a chance to die gracefully",
                LogKind::ShutdownAsked,
            ),
            (
                "2018-11-02T03:04:05.1Z 0 [Note] mysqld: Shutdown complete",
                LogKind::ShutDown,
            ),
            (
                "2018-11-02T03:04:05.1Z 0 [Note] InnoDB: Database was not shutdown normally!",
                LogKind::Recovers,
            ),
            (
                "2018-11-02T03:04:05.1Z 0 [ERROR] Error in accept: Too many open files",
                LogKind::OpenFiles,
            ),
            (
                "2018-11-02T03:04:05.1Z 0 [Note] /usr/sbin/mysqld (mysqld 5.7.44-log) starting as process 9 ...",
                LogKind::Started,
            ),
            (
                "2018-11-02T03:04:05.1Z 9 [ERROR] Disk is full writing './binlog.7' (Errcode: 28 - No space left on device). Waiting for someone to free space...",
                LogKind::DiskFull,
            ),
            (
                "2018-11-02T03:04:05.1Z 0 [Warning] InnoDB: A long semaphore wait:",
                LogKind::LongWait,
            ),
            // MySQL 8.0 to 9.x.
            (
                "2024-11-02T03:04:05Z UTC - mysqld got signal 6 ;",
                LogKind::Signal(6),
            ),
            (
                "2024-11-02T03:04:05.1Z 0 [ERROR] [MY-013183] [InnoDB] Assertion failure: buf0buf.cc:1:x",
                LogKind::Assertion,
            ),
            (
                "2024-11-02T03:04:05.1Z 1 [ERROR] [MY-012639] [InnoDB] Write to file ./ibtmp1 failed at offset 1048576. Operating system error number 28.",
                LogKind::DiskFull,
            ),
            (
                "2024-11-02T03:04:05.1Z 0 [System] [MY-013172] [Server] Received SHUTDOWN from user <via user signal>. Shutting down mysqld (Version: 8.4.3).",
                LogKind::ShutdownAsked,
            ),
            (
                "2024-11-02T03:04:05.1Z 0 [System] [MY-010931] [Server] mysqld: ready for connections. Version: '8.0.36'",
                LogKind::Ready,
            ),
            (
                "2024-11-02T03:04:05.1Z 0 [System] [MY-015015] [Server] MySQL Server - start.",
                LogKind::Started,
            ),
            // MariaDB 10.1 to 11.8.
            (
                "2017-08-22 8:22:53 140295123512064 [Warning] mysqld: Disk is full writing '/tmp/#sql_41a0_0.MAD' (Errcode: 28 \"No space left on device\"). Waiting for someone to free space...",
                LogKind::DiskFull,
            ),
            (
                "2020-12-08 19:21:20 0 [Note] /usr/sbin/mysqld (mysqld 10.3.39-MariaDB) starting as process 9 ...",
                LogKind::Started,
            ),
            (
                "2025-11-02  3:04:05 0 [Note] Starting MariaDB 11.8.2-MariaDB source revision x as process 9",
                LogKind::Started,
            ),
            (
                "2025-11-02  3:04:05 0 [Note] mariadbd: Aria engine: starting recovery",
                LogKind::Recovers,
            ),
            // Who watches it.
            (
                "mariadb.service: Main process exited, code=killed, status=9/KILL",
                LogKind::KilledBySignal9,
            ),
            ("db-1 exited with code 137", LogKind::KilledBySignal9),
            ("      Exit Code:    137", LogKind::KilledBySignal9),
            ("      Reason:       OOMKilled", LogKind::OomKilled),
            (
                "mysql.service: A process of this unit has been killed by the OOM killer.",
                LogKind::OomKilled,
            ),
        ];
        for (line, kind) in cases {
            assert_eq!(kind_of(line), Some(kind), "{line}");
        }
        assert_eq!(
            kind_of(
                "2018-11-02T03:04:05.1Z 8 [Note] Aborted connection 8 to db: 'unconnected' user: 'repl' host: 'x' (Failed on my_net_write())"
            ),
            of(8, Aborted::ErrorWriting)
        );
    }

    #[test]
    fn others_texts_tell_nothing() {
        for line in [
            "",
            "2026-11-02 03:04:05 0 [Note] InnoDB: Buffer pool(s) load completed at 261102  3:04:05",
            "[Warning] Unsafe statement written to the binary log using statement format. Statement: INSERT INTO t VALUES ('mysqld got signal 11')",
            "[Note] Event Scheduler: [app].[shop.clean] Disk is full",
            "[ERROR] Slave I/O: error reconnecting to master 'repl@db:3306' - Too many connections, Internal MariaDB error code: 1040",
            "[System] [MY-010229] [Server] Starting XA crash recovery...",
            "[System] [MY-011323] [Server] X Plugin ready for connections.",
            "[Note] InnoDB: Setting file './ibtmp1' size to 12 MB. Physically writing the file full; Please wait ...",
            "[ERROR] Error in accept: Bad file descriptor",
            "[ERROR] Operating system error number 2 in a file operation.",
            "mysqld invoked oom-killer: gfp_mask=0x100cca",
            "[Warning] Got signal 14 from thread 4711",
            // What every report of a crash says.
            "InnoDB: immediately after the mysqld startup, there may be",
            "InnoDB: corruption in the InnoDB tablespace. Please refer to",
            "or one of the libraries it was linked against is corrupt, improperly built,",
        ] {
            assert_eq!(kind_of(line), None, "{line}");
        }
    }

    #[test]
    fn people_read_what_a_line_says() {
        for (line, said) in [
            (
                "2026-11-02  3:04:05 0 [Note] mariadbd: Aria engine: starting recovery",
                "mariadbd: Aria engine: starting recovery",
            ),
            (
                "2026-11-02T03:04:05.1Z 0 [System] [MY-013172] [Server] Received SHUTDOWN from user root.",
                "Received SHUTDOWN from user root.",
            ),
            (
                "2026-11-02T03:04:05.1Z 9 [ERROR] [MY-012639] [InnoDB] Operating system error number 28.",
                "9 [ERROR] [MY-012639] [InnoDB] Operating system error number 28.",
            ),
            ("mysqld got signal 11 ;", "mysqld got signal 11 ;"),
        ] {
            let event = LogEvent::read(line.as_bytes()).unwrap();
            assert_eq!(event.said(), said);
        }
    }

    #[test]
    fn the_servers_own_time_is_kept() {
        let event = LogEvent::read(
            b"Nov  2 03:04:09 db1 mariadbd[815]: 2026-11-02  3:04:05 0 [Note] mariadbd: Shutdown complete\r",
        )
        .unwrap();
        assert_eq!(event.at, "2026-11-02  3:04:05");
        assert_eq!(event.line, "0 [Note] mariadbd: Shutdown complete");
        let long = format!("Aborted connection 1 to db ({})", "x".repeat(1 << 20));
        assert!(LogEvent::read(long.as_bytes()).unwrap().line.len() <= MAX_LINE);
        assert!(LogEvent::read(b"\xff\xfe got signal 11 \xff").is_some());
    }
}
