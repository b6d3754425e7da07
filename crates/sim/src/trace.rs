//! The event log of a run: what happened, when on virtual time, in order.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// What becomes of a run's events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Keep {
    /// Nobody asks how the run went: only violations are kept.
    Violations,
    /// They are kept for the end.
    Events,
    /// They are printed as they happen: a run that never ends shows where.
    Printed,
}

/// One line of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Milliseconds since the run began.
    pub at: u64,
    /// Who it happened to: `net`, `server`, `client 2`, `fault`, `check`.
    pub who: String,
    /// What happened.
    pub what: String,
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>8} ms  {:<9} {}", self.at, self.who, self.what)
    }
}

#[derive(Debug)]
struct State {
    begun: Option<Instant>,
    keep: Keep,
    events: Vec<Event>,
    violations: Vec<String>,
}

/// Where a run writes what happens. Clones write to the same log.
#[derive(Clone, Debug)]
pub struct Trace(Arc<Mutex<State>>);

impl Trace {
    /// An empty log.
    pub fn new(keep: Keep) -> Self {
        Self(Arc::new(Mutex::new(State {
            begun: None,
            keep,
            events: Vec::new(),
            violations: Vec::new(),
        })))
    }

    /// The run begins now.
    pub fn begin(&self) {
        self.with(|state| state.begun = Some(Instant::now()));
    }

    /// Takes note of an event.
    pub fn note(&self, who: impl std::fmt::Display, what: impl FnOnce() -> String) {
        self.with(|state| {
            if state.keep == Keep::Violations {
                return;
            }
            let event = Event {
                at: state.at(),
                who: who.to_string(),
                what: what(),
            };
            if state.keep == Keep::Printed {
                println!("{event}");
            } else {
                state.events.push(event);
            }
        });
    }

    /// Something is wrong: a promise is broken, or the simulation cannot go on.
    pub fn violation(&self, what: impl Into<String>) {
        let what = what.into();
        self.note("VIOLATION", || what.clone());
        self.with(|state| {
            let at = state.at();
            state.violations.push(format!("{what} (at {at} ms)"));
        });
    }

    /// Whether something was wrong.
    pub fn is_violated(&self) -> bool {
        self.with(|state| !state.violations.is_empty())
    }

    /// The events and the violations.
    pub fn take(&self) -> (Vec<Event>, Vec<String>) {
        self.with(|state| {
            (
                std::mem::take(&mut state.events),
                std::mem::take(&mut state.violations),
            )
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn at(&self) -> u64 {
        let since = self.begun.map(|begun| begun.elapsed().as_millis());
        since.map_or(0, |millis| u64::try_from(millis).unwrap_or(u64::MAX))
    }
}
