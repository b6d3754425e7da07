//! Files that people have: error logs, kernel logs, dumps and clients' messages, in any mixture, as findings.
//!
//! Lines are taken one by one, and what they take of memory is bounded, however long the files are. `wrap.rs` joins lines
//! of logs that were wrapped, `paste.rs` gathers what a client said, `server.rs` finds out which server it was, `machine.rs`
//! which end of the server a line of the kernel is about.

mod found;
mod gate;
mod machine;
mod paste;
mod server;
mod wrap;

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use self::found::{Found, FoundKind, ends_process, is_again, lives, same_reason};
use self::machine::{End, Machine, Process};
use self::paste::Paste;
use self::server::Writer;
use self::wrap::{Begun, Rest, Wrapped};
use crate::client::ClientMessage;
use crate::dump::Dump;
use crate::evidence::{Boot, Evidence, Kernel, Log, Variables};
use crate::kernel::KernelEvent;
use crate::log::{self, Aborted, Apart, LogEvent, LogKind, Time};
use crate::told::Told;
use crate::verdict::{Verdict, diagnose};

/// Findings that are kept; what comes after is only counted.
const MAX_FINDINGS: usize = 1000;

/// Lines of one end of a server that are kept.
const MAX_EVENTS: usize = 32;

/// What a server that lives said longer ago than this is not about what it says next. MySQL repeats every ten minutes that
/// a disk is full.
const TOGETHER: Duration = Duration::from_secs(15 * 60);

/// Connections that the log has told of lately, and may tell of again in other words.
const MAX_TOLD: usize = 64;

/// Something in the files that was, or explains, a lost connection.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// When it was first seen, as the file has it; empty: it does not say.
    pub first: String,
    /// When it was last seen.
    pub last: String,
    /// How often.
    pub count: u64,
    /// What is known about it.
    pub evidence: Evidence,
    /// What it comes to.
    pub verdict: Verdict,
}

/// Takes lines, gives findings.
#[derive(Debug, Default)]
pub struct Reading {
    writer: Writer,
    variables: Variables,
    machine: Machine,
    /// The server ran when the log was last heard of.
    runs: bool,
    /// The server's process, where its log has said it.
    process: Option<Process>,
    end: Vec<LogEvent>,
    /// When the last line was written that is of this end.
    end_told: Option<Time>,
    /// The process that it is an end of.
    end_process: Option<Process>,
    ended: bool,
    /// What the log said of a connection's packet, before it says that the connection was aborted.
    detail: Option<(u64, Aborted)>,
    /// Connections of which it said that their time was up.
    told: VecDeque<u64>,
    found: Vec<Found>,
    dropped: u64,
    dump: Dump,
    wrapped: Wrapped,
    paste: Paste,
}

impl Finding {
    /// What it comes to, in words for its server.
    pub fn told(&self) -> Told {
        self.verdict.told(self.evidence.server)
    }
}

impl Reading {
    /// Takes the next line of a file, with or without its end.
    pub fn line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.writer.look(line);
        let may_tell = gate::may_tell(log::from_level(line));
        let mut is_cut = false;
        if may_tell {
            // The kernel's own words first: a server's log may have them too.
            if let Some(event) = KernelEvent::read(line) {
                self.kernel_event(event);
                return;
            }
            let event = LogEvent::read(line);
            is_cut = event.as_ref().is_some_and(|event| event.is_cut(line));
            if let Some(event) = event
                && !is_cut
            {
                self.no_log_goes_on();
                self.log_event(event, line);
                return;
            }
        }
        match self.wrapped.goes_on(line) {
            Rest::Last(event, whole) => return self.log_event(event, &whole),
            Rest::Perhaps => return,
            Rest::No => self.no_log_goes_on(),
        }
        if is_cut || log::is_servers(line) {
            // It may go on in the next line.
            self.read_paste();
            self.wrapped.begin(line);
            return;
        }
        self.other_line(line, may_tell);
    }

    /// A line of the kernel's log.
    fn kernel_event(&mut self, event: KernelEvent) {
        self.no_log_goes_on();
        self.read_paste();
        self.machine.line(event);
    }

    /// A line of none of the logs.
    fn other_line(&mut self, line: &[u8], may_tell: bool) {
        let text = String::from_utf8_lossy(&line[..line.len().min(8 << 10)]);
        if may_tell && let Some((name, value)) = self.dump.read(&text) {
            self.read_paste();
            self.variables.0.insert(name.to_owned(), value);
            return;
        }
        let found = self.paste.line(&text);
        self.count_messages(found);
    }

    /// A line of the log that was begun and may have been cut ends as it is.
    fn no_log_goes_on(&mut self) {
        let Begun { event, others } = self.wrapped.end();
        if let Some((event, whole)) = event {
            self.log_event(event, &whole);
        }
        for line in others {
            self.other_line(&line, true);
        }
    }

    /// A file ends: what comes next does not belong to its last line.
    pub fn end_of_file(&mut self) {
        self.no_log_goes_on();
        self.read_paste();
        self.close_end();
        self.runs = false;
        self.process = None;
        self.told.clear();
    }

    /// All that was found, in the order in which it was first seen, and how much more was not kept.
    pub fn finish(mut self) -> (Vec<Finding>, u64) {
        self.end_of_file();
        let found = std::mem::take(&mut self.found);
        let ends: Vec<End<'_>> = found.iter().filter_map(Found::end).collect();
        let told = self.machine.told(&ends);
        let mut of_ends = told.of_ends.into_iter();
        let mut findings: Vec<Finding> = found
            .into_iter()
            .map(|found| {
                let kernel = found.end().and_then(|_| of_ends.next());
                self.finding(found, kernel.unwrap_or_default())
            })
            .collect();
        let others = told.others.into_iter().map(Found::of_machine);
        findings.extend(others.map(|found| self.finding(found, Vec::new())));
        (findings, self.dropped)
    }

    /// A finding, with what the kernel says of it.
    fn finding(&self, found: Found, kernel: Vec<KernelEvent>) -> Finding {
        let mut evidence = Evidence {
            server: self.writer.server(&self.variables),
            variables: self.variables.clone(),
            kernel: of_kernel(kernel),
            ..Evidence::default()
        };
        match found.kind {
            FoundKind::End(events, _) => {
                if !lives(&events) {
                    evidence.aside.boot = Some(Boot::Restarted(None));
                }
                evidence.log = Some(Log {
                    events,
                    thread: None,
                });
            }
            FoundKind::Machine(lines) => evidence.kernel = of_kernel(lines),
            FoundKind::Aborted(event) => {
                let thread = match event.kind {
                    LogKind::Aborted { thread, .. } => Some(thread),
                    _ => None,
                };
                evidence.log = Some(Log {
                    events: vec![event],
                    thread,
                });
            }
            FoundKind::Client(message) => evidence.client = Some(message),
        }
        Finding {
            first: found.first,
            last: found.last,
            count: found.count,
            verdict: diagnose(&evidence),
            evidence,
        }
    }

    /// A line of the server's error log, which tells this.
    fn log_event(&mut self, event: LogEvent, line: &[u8]) {
        self.read_paste();
        match event.kind {
            LogKind::Aborted { thread, why } => self.aborted(event, thread, why),
            LogKind::Ready => {
                self.writer.version(&event.line);
                self.close_end();
                self.runs = true;
            }
            LogKind::Started => {
                self.writer.version(&event.line);
                let process = process_of(&event);
                self.started(event);
                self.process = process;
            }
            LogKind::ShutDown => {
                self.ended = true;
                self.runs = false;
                self.push_end(event);
            }
            LogKind::PacketFailed { thread, why } => {
                self.runs |= !self.ended;
                if why == Aborted::OutOfOrder {
                    self.count_aborted(LogEvent {
                        kind: LogKind::Aborted { thread, why },
                        ..event
                    });
                } else {
                    self.detail = Some((thread, why));
                }
            }
            LogKind::ClosedByTimeout => {
                self.runs |= !self.ended;
                if let Some(thread) = log::id_before(line) {
                    if self.told.len() == MAX_TOLD {
                        self.told.pop_front();
                    }
                    self.told.push_back(thread);
                }
                self.count_aborted(event);
            }
            LogKind::TooManyConnections
            | LogKind::HostBlocked
            | LogKind::MemoryLimit
            | LogKind::OpenFiles => self.count_aborted(event),
            kind => {
                self.ended |= ends_process(kind) && kind != LogKind::Recovers;
                self.push_end(event);
            }
        }
    }

    /// One connection was aborted.
    fn aborted(&mut self, event: LogEvent, thread: u64, why: Aborted) {
        // Who writes this, runs; and what it ends while it shuts down belongs to its end.
        if self.ended {
            return;
        }
        self.runs = true;
        let why = match self.detail.take() {
            Some((known, detail)) if known == thread => why.after(detail),
            _ => why,
        };
        let told = self.told.iter().position(|told| *told == thread);
        if let Some(at) = told {
            self.told.remove(at);
        }
        if told.is_none() && !matches!(why, Aborted::Normally | Aborted::Other) {
            self.count_aborted(LogEvent {
                kind: LogKind::Aborted { thread, why },
                ..event
            });
        }
    }

    /// The server begins.
    fn started(&mut self, event: LogEvent) {
        if self.runs && !self.ended {
            // It runs in the log, and begins anew: nothing was written at its end.
            self.push_end(LogEvent {
                kind: LogKind::Recovers,
                line: format!("{} (and no end of the server before it)", event.line),
                ..event
            });
        } else if !self.end.is_empty() {
            // What the log tells from here on is what the end left behind, not what brought it about.
            self.push_end(event);
        }
        self.runs = false;
        self.ended = false;
        self.told.clear();
    }

    /// Something that ends the server, or belongs to its end, or is amiss with it.
    fn push_end(&mut self, event: LogEvent) {
        let at = event.time();
        let begins = self.end.iter().any(|known| known.kind == LogKind::Started);
        if let (Some(told), Some(at)) = (self.end_told, at)
            && !begins
            && lives(&self.end)
            && told.apart(at, TOGETHER) == Apart::Far
        {
            let ended = self.ended;
            self.close_end();
            self.ended = ended;
        }
        if self.end.is_empty() {
            self.end_process = self.process;
        }
        self.end_told = at.or(self.end_told);
        let since = self
            .end
            .iter()
            .rposition(|known| known.kind == LogKind::Started)
            .unwrap_or(0);
        let known = self.end[since..]
            .iter()
            .any(|known| known.kind == event.kind);
        if !known && self.end.len() < MAX_EVENTS {
            self.end.push(event);
        }
    }

    /// The server runs again, or the file ends: what was gathered about its end is a finding.
    fn close_end(&mut self) {
        let events = std::mem::take(&mut self.end);
        let process = self.end_process.take();
        self.end_told = None;
        self.ended = false;
        // A last word without anything before it is the rest of an older shutdown.
        if events
            .iter()
            .all(|event| matches!(event.kind, LogKind::ShutDown | LogKind::Started))
        {
            return;
        }
        let (first, last) = match (events.first(), events.last()) {
            (Some(first), Some(last)) => (first.at.clone(), last.at.clone()),
            _ => return,
        };
        let again = self.found.iter_mut().find(|found| match &found.kind {
            FoundKind::End(known, _) => lives(&events) && is_again(known, &events),
            _ => false,
        });
        match again {
            Some(found) => {
                found.count += 1;
                found.last = last;
            }
            None => self.keep(Found {
                first,
                last,
                count: 1,
                kind: FoundKind::End(events, process),
            }),
        }
    }

    /// One more connection with this reason.
    fn count_aborted(&mut self, event: LogEvent) {
        let same = self.found.iter_mut().find(|found| match &found.kind {
            FoundKind::Aborted(known) => same_reason(known.kind, event.kind),
            _ => false,
        });
        match same {
            Some(found) => {
                found.count += 1;
                found.last = event.at;
            }
            None => self.keep(Found {
                first: event.at.clone(),
                last: event.at.clone(),
                count: 1,
                kind: FoundKind::Aborted(event),
            }),
        }
    }

    /// What was pasted so far is all of it.
    fn read_paste(&mut self) {
        let found = self.paste.end();
        self.count_messages(found);
    }

    fn count_messages(&mut self, messages: Vec<ClientMessage>) {
        for message in messages {
            self.count_message(message);
        }
    }

    fn count_message(&mut self, message: ClientMessage) {
        let same = self.found.iter_mut().find(|found| match &found.kind {
            FoundKind::Client(known) => known.is_like(&message),
            _ => false,
        });
        match same {
            Some(found) => found.count += 1,
            None => self.keep(Found {
                first: String::new(),
                last: String::new(),
                count: 1,
                kind: FoundKind::Client(message),
            }),
        }
    }

    fn keep(&mut self, found: Found) {
        if self.found.len() < MAX_FINDINGS {
            self.found.push(found);
        } else {
            self.dropped += 1;
        }
    }
}

/// The process that a server's first line names.
fn process_of(started: &LogEvent) -> Option<Process> {
    let (_, rest) = started.line.split_once("as process ")?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    Some(Process {
        id: rest[..digits].parse().ok()?,
        since: started.time(),
    })
}

fn of_kernel(events: Vec<KernelEvent>) -> Option<Kernel> {
    (!events.is_empty()).then_some(Kernel {
        events,
        group_kills: None,
    })
}

/// Findings by what they come to, those that were seen most often first.
pub fn by_answer(findings: &[Finding]) -> Vec<(&'static str, u64)> {
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for finding in findings {
        *counts.entry(finding.verdict.answer.name()).or_default() += finding.count;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(text: &str) -> Vec<(&'static str, u64)> {
        let mut reading = Reading::default();
        for line in text.split_inclusive('\n') {
            reading.line(line.as_bytes());
        }
        let (findings, dropped) = reading.finish();
        assert_eq!(dropped, 0);
        findings
            .iter()
            .map(|finding| (finding.verdict.answer.name(), finding.count))
            .collect()
    }

    #[test]
    fn a_log_of_several_ends_is_several_findings() {
        let log = "\
2026-11-02  3:00:00 0 [Note] mariadbd: ready for connections.
2026-11-02  3:04:05 12 [Warning] Aborted connection 12 to db: 'shop' user: 'app' host: 'x' (Got timeout reading communication packets)
2026-11-02  3:04:06 13 [Warning] Aborted connection 13 to db: 'shop' user: 'app' host: 'x' (Got timeout reading communication packets)
2026-11-02  3:05:00 0 [Note] mariadbd (initiated by: unknown): Normal shutdown
2026-11-02  3:05:01 0 [Note] mariadbd: Shutdown complete
2026-11-02  3:06:00 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision x as process 1
2026-11-02  3:06:01 0 [Note] mariadbd: ready for connections.
261102  3:07:00 [ERROR] mariadbd got signal 11 ;
2026-11-02  3:07:05 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision x as process 2
2026-11-02  3:07:05 0 [Note] InnoDB: Starting crash recovery from checkpoint LSN=45056
2026-11-02  3:07:06 0 [Note] mariadbd: ready for connections.
2026-11-02  3:08:00 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision x as process 3
2026-11-02  3:08:01 0 [Note] mariadbd: ready for connections.
";
        assert_eq!(
            answers(log),
            [
                ("read-timeout", 2),
                ("shutdown", 1),
                ("crash", 1),
                ("killed-from-outside", 1)
            ]
        );
        let with_windows_ends = log.replace('\n', "\r\n");
        assert_eq!(answers(&with_windows_ends), answers(log));
        let kernel =
            format!("{log}[1.2] Out of memory: Killed process 2 (mariadbd) total-vm:1kB\n");
        assert_eq!(answers(&kernel).last(), Some(&("out-of-memory", 1)));
    }

    #[test]
    fn a_first_start_is_no_finding() {
        let log = "\
2026-11-02T03:00:00.0Z 0 [System] [MY-010116] [Server] /usr/sbin/mysqld (mysqld 9.7.4) starting as process 1
2026-11-02T03:00:01.0Z 0 [System] [MY-010931] [Server] /usr/sbin/mysqld: ready for connections. Version: '9.7.4'
";
        assert_eq!(answers(log), []);
    }

    #[test]
    fn clients_messages_are_found_between_other_lines() {
        let paste = "\
Hello, since yesterday our job fails:

(2013, 'Lost connection to MySQL server during query (timed out)')

What can I do?
wait_timeout = 28800
";
        assert_eq!(answers(paste), [("no-answer-in-time", 1)]);
        let idle = "com.mysql.cj.jdbc.exceptions.CommunicationsException: The last packet successfully received from the\n\
            server was 30,000,000 milliseconds ago. The last packet sent successfully to the server was 30,000,001\n\
            milliseconds ago. is longer than the server configured value of 'wait_timeout'.\n\
            \n| wait_timeout | 28800 |\n";
        assert_eq!(answers(idle), [("idle-timeout", 1)]);
    }

    #[test]
    fn what_is_told_twice_is_one_loss() {
        let closed = "2026-11-02T03:04:05.1Z 73 [Note] [MY-015123] [Server] A connection from `app`@`%` was closed by the server due to a timeout";
        let aborted = "2026-11-02T03:04:05.2Z 73 [Note] [MY-010914] [Server] Aborted connection 73 to db: 'shop' user: 'app' host: 'x' (The client was disconnected by the server because of inactivity.).";
        assert_eq!(
            answers(&format!("{closed}\n{aborted}\n")),
            [("idle-timeout", 1)]
        );
        let packet = "\
2026-11-02  3:04:05 9 [ERROR] mariadbd: Got a packet bigger than 'max_allowed_packet' bytes
2026-11-02  3:04:05 9 [Warning] Aborted connection 9 to db: 'shop' user: 'app' host: 'x' (Got a packet bigger than 'max_allowed_packet' bytes)
";
        assert_eq!(answers(packet), [("packet-too-large", 1)]);
        let read = "\
2026-11-02  3:04:05 9 [Warning] Could not read packet: fd: 45  state: 1  read_length: 4  errno: 104  vio_errno: 1158  length: -1
2026-11-02  3:04:05 9 [Warning] Aborted connection 9 to db: 'shop' user: 'app' host: 'x' (Got an error reading communication packets)
";
        assert_eq!(answers(read), [("not-by-the-server", 1)]);
    }

    #[test]
    fn what_a_shutdown_ends_is_a_part_of_it() {
        let log = "\
2026-11-02  3:04:05 0 [Note] /usr/sbin/mariadbd (initiated by: unknown): Normal shutdown
2026-11-02  3:04:05 0 [Warning] Aborted connection 33 to db: 'shop' user: 'app' host: 'x' (KILLED)
2026-11-02  3:04:05 33 [ERROR] mariadbd: Connection was killed
2026-11-02  3:04:05 34 [Warning] Aborted connection 34 to db: 'shop' user: 'app' host: 'x' (Got an error reading communication packets)
2026-11-02  3:04:06 0 [Note] /usr/sbin/mariadbd: Shutdown complete
";
        assert_eq!(answers(log), [("shutdown", 1)]);
    }

    #[test]
    fn who_writes_runs() {
        let log = "\
2026-11-02  3:04:05 9 [Warning] Aborted connection 9 to db: 'shop' user: 'app' host: 'x' (Got timeout reading communication packets)
2026-11-02  3:08:00 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision x as process 3
2026-11-02  3:08:01 0 [Note] mariadbd: ready for connections.
";
        assert_eq!(
            answers(log),
            [("read-timeout", 1), ("killed-from-outside", 1)]
        );
    }

    #[test]
    fn damage_that_shows_at_the_next_start_is_what_a_crash_left() {
        let crash = "261123 10:43:03 [ERROR] /usr/sbin/mariadbd got signal 7 ;\n";
        let rest = "\
2026-11-02  3:08:00 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision x as process 3
2026-11-02  3:08:00 0 [ERROR] mariadbd: Table './shop/t' is marked as crashed and should be repaired
2026-11-02  3:08:01 0 [Note] mariadbd: ready for connections.
";
        assert_eq!(answers(&format!("{crash}{rest}")), [("crash", 1)]);
        // The report, its first lines cut off.
        let report = "Attempting backtrace. You can use the following information to find out\n";
        assert_eq!(answers(&format!("{report}{rest}")), [("crash", 1)]);
    }

    #[test]
    fn wrapped_lines_of_a_log_are_one() {
        let line = "2026-11-02  3:04:05 12 [Warning] Aborted connection 12 to db: 'unconnected' user: 'unauthenticated' host: '10.0.0.7' (This connection closed normally without authentication)";
        let tight: Vec<String> = line
            .as_bytes()
            .chunks(30)
            .map(|piece| String::from_utf8_lossy(piece).into_owned())
            .collect();
        assert_eq!(answers(&tight.join("\r\n")), [("login-broken-off", 1)]);
        let mail = line
            .replace(" to db:", " to\n> db:")
            .replace(" closed", "\n> closed");
        assert_eq!(answers(&format!("> {mail}\n")), [("login-broken-off", 1)]);
        // What comes after it is not lost.
        let cut = &line[..60];
        let said = format!("{cut}\nERROR 1040 (08004): Too many connections\n");
        assert_eq!(answers(&said), [("too-many-connections", 1)]);
    }

    #[test]
    fn the_servers_version_decides() {
        let log = "2026-11-02T03:04:05.2Z 73 [Note] [MY-010914] [Server] Aborted connection 73 to db: 'shop' user: 'app' host: 'x' (Got timeout reading communication packets).\n";
        assert_eq!(answers(log), [("read-timeout", 1)]);
        let start = "2026-11-02T03:00:00.0Z 0 [System] [MY-010931] [Server] /usr/sbin/mysqld: ready for connections. Version: '8.4.3'  socket: '/x'\n";
        assert_eq!(answers(&format!("{start}{log}")), [("stalled-upload", 1)]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut reading = Reading::default();
        for thread in 0..3_000 {
            reading.line(format!("x Aborted connection {thread} to db: 'a' user: 'b' host: 'c' (Got an error reading communication packets)").as_bytes());
            reading.line(b"mysqld got signal 11 ;");
            reading.line(b"mysqld: ready for connections.");
            reading.line(b"words that mean nothing");
        }
        let (findings, dropped) = reading.finish();
        assert_eq!(findings.len(), MAX_FINDINGS);
        assert_eq!(dropped, 3_001 - MAX_FINDINGS as u64);
    }
}
