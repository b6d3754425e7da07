//! The kernel's log, and which end of the server each of its lines is about.

use core::time::Duration;

use crate::kernel::{KernelEvent, KernelKind};
use crate::log::{Apart, LogEvent, LogKind, Time};

/// Lines of each kind that are kept.
const MAX_OF_A_KIND: usize = 64;

/// How far a clock may be off, and how long a server that is started again by itself may take to write so.
const NEAR: Duration = Duration::from_secs(15 * 60);

/// The same where the zone of one of the times is not known.
const NEAR_IN_A_ZONE: Duration = Duration::from_secs(2 * 60);

/// A process of the server, as its log tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Process {
    /// Its number.
    pub(super) id: u32,
    /// When it began.
    pub(super) since: Option<Time>,
}

/// An end of the server, as its log tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct End<'a> {
    /// Which process it was, if that is known.
    pub(super) process: Option<Process>,
    /// What its log tells.
    pub(super) events: &'a [LogEvent],
    /// When it ended, as far as that is known.
    pub(super) at: Option<Time>,
    /// The log tells why.
    pub(super) explained: bool,
}

/// Whether a line is about an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum About {
    /// It is.
    This,
    /// Nothing tells.
    Perhaps,
    /// It is not.
    Other,
}

/// Lines that may decide, in the order of the kernel's log.
#[derive(Debug, Default)]
pub(super) struct Machine {
    lines: Vec<KernelEvent>,
}

/// What the kernel says of the ends of the server.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Of each end, in their order, what is about it.
    pub(super) of_ends: Vec<Vec<KernelEvent>>,
    /// Of ends of which the server's log tells nothing: those of a kind are together.
    pub(super) others: Vec<Vec<KernelEvent>>,
}

impl Machine {
    /// Takes a line. Only those count that tell of a process's end: from others one would conclude that none was killed, and the log
    /// may be cut, or of another day.
    pub(super) fn line(&mut self, event: KernelEvent) {
        if !matches!(event.kind, KernelKind::OomKill { .. } | KernelKind::Fault) {
            return;
        }
        let same = self.lines.iter().filter(|line| line.kind == event.kind);
        if same.count() < MAX_OF_A_KIND {
            self.lines.push(event);
        }
    }

    /// What these lines say of these ends. That a line is about an end, its time tells, or the process that it names. Where
    /// neither does, it is a hint to the only end that nothing else explains, if there is but one.
    pub(super) fn told(&self, ends: &[End<'_>]) -> Told {
        let mut told = Told {
            of_ends: vec![Vec::new(); ends.len()],
            others: Vec::new(),
        };
        let mut unexplained = ends.iter().enumerate().filter(|(_, end)| !end.explained);
        let only = match (unexplained.next(), unexplained.next()) {
            (Some((at, _)), None) => Some(at),
            _ => None,
        };
        for line in &self.lines {
            let (at, process) = (line.time(), line.process());
            let about: Vec<About> = ends.iter().map(|end| about(at, process, end)).collect();
            if !decides(line.kind) {
                // Another program was killed: memory was short.
                if let Some(only) = only.filter(|only| about[*only] != About::Other) {
                    told.of_ends[only].push(line.clone());
                }
                continue;
            }
            let is_known = ends.iter().zip(&about).any(|(end, about)| {
                end.explained && *about != About::Other && says_the_same(line.kind, end.events)
            });
            let this = ends
                .iter()
                .zip(&about)
                .position(|(end, about)| !end.explained && *about == About::This);
            let hint = only.filter(|only| about[*only] == About::Perhaps);
            match (this, hint) {
                (Some(this), _) => told.of_ends[this].push(line.clone()),
                _ if is_known => {}
                (None, Some(only)) if matches!(line.kind, KernelKind::OomKill { .. }) => {
                    told.of_ends[only].push(KernelEvent {
                        // Of some server, perhaps not of this one.
                        kind: KernelKind::OomKill { server: false },
                        ..line.clone()
                    });
                }
                _ => told.add_other(line),
            }
        }
        told
    }
}

impl Told {
    fn add_other(&mut self, line: &KernelEvent) {
        let same = self
            .others
            .iter_mut()
            .find(|lines| lines.iter().any(|known| known.kind == line.kind));
        match same {
            Some(lines) => lines.push(line.clone()),
            None => self.others.push(vec![line.clone()]),
        }
    }
}

/// Whether a line tells by itself that a server has ended.
fn decides(kind: KernelKind) -> bool {
    matches!(
        kind,
        KernelKind::OomKill { server: true } | KernelKind::Fault
    )
}

/// Whether the log tells of an end what the kernel says of it.
fn says_the_same(kind: KernelKind, events: &[LogEvent]) -> bool {
    events.iter().any(|event| match kind {
        KernelKind::Fault => matches!(event.kind, LogKind::Signal(_) | LogKind::Assertion),
        _ => matches!(event.kind, LogKind::OomKilled | LogKind::OutOfMemory),
    })
}

/// Whether a line of that time, which names that process, is about an end.
fn about(at: Option<Time>, named: Option<u32>, end: &End<'_>) -> About {
    if let (Some(process), Some(named)) = (end.process, named)
        && process.id == named
    {
        let before = at
            .zip(process.since)
            .is_some_and(|(at, since)| at.is_before(since, NEAR));
        let after = at
            .zip(end.at)
            .is_some_and(|(at, end)| end.is_before(at, NEAR));
        // A number is given again.
        return if before || after {
            About::Other
        } else {
            About::This
        };
    }
    let Some((at, end)) = at.zip(end.at) else {
        return About::Perhaps;
    };
    match at.apart(end, NEAR) {
        Apart::Near => About::This,
        Apart::Perhaps if at.may_be(end, NEAR_IN_A_ZONE) => About::This,
        Apart::Perhaps => About::Perhaps,
        Apart::Far => About::Other,
    }
}

/// The processes that lines are about, each once; a line that names none counts as one.
pub(super) fn processes(lines: &[KernelEvent]) -> u64 {
    let mut named: Vec<Option<u32>> = lines.iter().map(KernelEvent::process).collect();
    named.sort_unstable();
    named.dedup();
    named.len() as u64
}
