//! Findings in the making.

use super::machine::{self, End, Process};
use crate::client::ClientMessage;
use crate::kernel::KernelEvent;
use crate::log::{LogEvent, LogKind};

/// A finding in the making.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) first: String,
    pub(super) last: String,
    pub(super) count: u64,
    pub(super) kind: FoundKind,
}

#[derive(Debug)]
pub(super) enum FoundKind {
    /// The server ended, or something was amiss with it.
    End(Vec<LogEvent>, Option<Process>),
    /// The kernel tells of an end of a server, and no server's log does.
    Machine(Vec<KernelEvent>),
    /// One connection ended.
    Aborted(LogEvent),
    /// A client said something.
    Client(ClientMessage),
}

impl Found {
    /// The end of the server that it is, if it is one.
    pub(super) fn end(&self) -> Option<End<'_>> {
        let FoundKind::End(events, process) = &self.kind else {
            return None;
        };
        let last = events.iter().find(|event| ends_process(event.kind))?;
        Some(End {
            process: *process,
            events,
            at: last.time(),
            explained: explains_itself(events),
        })
    }

    /// What the kernel alone tells.
    pub(super) fn of_machine(lines: Vec<KernelEvent>) -> Self {
        let at = |line: Option<&KernelEvent>| line.and_then(KernelEvent::at).unwrap_or_default();
        Self {
            first: at(lines.first()),
            last: at(lines.last()),
            count: machine::processes(&lines),
            kind: FoundKind::Machine(lines),
        }
    }
}

/// Whether lines of the log are about the same reason.
pub(super) fn same_reason(one: LogKind, other: LogKind) -> bool {
    match (one, other) {
        (LogKind::Aborted { why, .. }, LogKind::Aborted { why: other, .. }) => why == other,
        _ => one == other,
    }
}

/// Whether a server that writes this is at its end, or has been.
pub(super) fn ends_process(kind: LogKind) -> bool {
    matches!(
        kind,
        LogKind::ShutdownAsked
            | LogKind::ShutDown
            | LogKind::Signal(_)
            | LogKind::Assertion
            | LogKind::Recovers
            | LogKind::KilledBySignal9
            | LogKind::OomKilled
    )
}

/// Whether a server that wrote this, and nothing more, has not ended.
pub(super) fn lives(events: &[LogEvent]) -> bool {
    !events.iter().any(|event| ends_process(event.kind))
}

/// Whether lines tell the same.
pub(super) fn is_again(known: &[LogEvent], events: &[LogEvent]) -> bool {
    known.len() == events.len()
        && known
            .iter()
            .zip(events)
            .all(|(known, event)| known.kind == event.kind)
}

/// Whether the log tells why the server ended.
pub(super) fn explains_itself(events: &[LogEvent]) -> bool {
    events.iter().any(|event| {
        !matches!(
            event.kind,
            LogKind::Recovers | LogKind::Started | LogKind::ShutDown | LogKind::KilledBySignal9
        )
    })
}
