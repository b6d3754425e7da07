//! Faults, the points of a run at which they can strike, and what strikes where.
//!
//! A *point* is a moment of the conversation between the proxy and the server: bytes are written by either, a statement
//! is about to run, has run. Points are counted as they come, so that "the fault at point 57" says all there is to say,
//! as long as nothing before it differs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::trace::Trace;

/// Where in a command's way a point is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Phase {
    /// The proxy writes it to the server.
    Send,
    /// The server has it and has not begun.
    Before,
    /// The server has done it, durably if it commits, and has not answered.
    After,
    /// The server writes its answer.
    Answer,
    /// At a moment, whatever is going on.
    Moment,
}

impl Phase {
    /// All of them.
    pub const ALL: [Phase; 5] = [
        Phase::Send,
        Phase::Before,
        Phase::After,
        Phase::Answer,
        Phase::Moment,
    ];
}

/// What kind of command a point is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Class {
    /// Handshake.
    Login,
    /// What the proxy asks and sets on its own.
    Hidden,
    /// BEGIN and the like.
    Begin,
    /// SELECT without locks.
    Read,
    /// SELECT … FOR UPDATE.
    LockingRead,
    /// INSERT, UPDATE, DELETE inside a transaction.
    Write,
    /// The same outside.
    Autocommit,
    /// COMMIT.
    Commit,
    /// COMMIT through the ledger.
    Ledger,
    /// A fence.
    Fence,
    /// ROLLBACK.
    Rollback,
    /// SAVEPOINT and its kin.
    Savepoint,
    /// SET.
    Set,
    /// COM_STMT_PREPARE.
    Prepare,
    /// No command.
    None,
}

impl Class {
    /// All that a table has rows for.
    pub const ALL: [Class; 15] = [
        Class::Login,
        Class::Hidden,
        Class::Begin,
        Class::Read,
        Class::LockingRead,
        Class::Write,
        Class::Autocommit,
        Class::Commit,
        Class::Ledger,
        Class::Fence,
        Class::Rollback,
        Class::Savepoint,
        Class::Set,
        Class::Prepare,
        Class::None,
    ];
}

/// Who sees a cut.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Seen {
    /// Both sides.
    ByBoth,
    /// The proxy: at the server the connection lives on, with its locks.
    ByProxy,
    /// The server: the proxy hears nothing.
    ByServer,
}

/// What goes wrong. Times in milliseconds. `cut` is how many thousandths of the bytes that are being written arrive
/// before it (rounded down; 1000: all).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Fault {
    /// The connection ends with FIN.
    Fin {
        /// Bytes before it.
        cut: u16,
        /// Who sees it.
        seen: Seen,
    },
    /// The connection ends with RST.
    Rst {
        /// Bytes before it.
        cut: u16,
        /// Who sees it.
        seen: Seen,
    },
    /// The connection passes nothing for this long; then everything arrives.
    BlackHole {
        /// Bytes before it.
        cut: u16,
        /// How long.
        millis: u32,
    },
    /// These bytes arrive this much later, and others of other connections overtake them.
    Delay {
        /// How long.
        millis: u32,
    },
    /// The server's thread of the connection stands still for this long, where no KILL reaches it: a slow disk.
    Stall {
        /// How long.
        millis: u32,
        /// The proxy sees FIN meanwhile, if it stands still before or after a command and not in its answer.
        lost: bool,
    },
    /// No connection between the proxy and the server passes anything for this long.
    Partition {
        /// How long.
        millis: u32,
    },
    /// The server stands still (SIGSTOP) for this long.
    Freeze {
        /// How long.
        millis: u32,
    },
    /// The server's process dies, and is started again after this long.
    Crash {
        /// Bytes before it.
        cut: u16,
        /// How long it is down.
        millis: u32,
        /// The kernel ends its connections with RST, not FIN.
        reset: bool,
    },
    /// Somebody KILLs the connection.
    Kill,
    /// The proxy's process dies, and is started again after this long.
    ProxyCrash {
        /// How long it is down.
        millis: u32,
    },
}

/// A fault without its numbers, for tables.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "see Fault and Seen")]
pub enum FaultKind {
    Fin,
    FinHalf,
    Rst,
    RstHalf,
    Silent,
    BlackHole,
    Delay,
    Stall,
    Partition,
    Freeze,
    Crash,
    Kill,
    ProxyCrash,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [FaultKind; 13] = [
        FaultKind::Fin,
        FaultKind::FinHalf,
        FaultKind::Rst,
        FaultKind::RstHalf,
        FaultKind::Silent,
        FaultKind::BlackHole,
        FaultKind::Delay,
        FaultKind::Stall,
        FaultKind::Partition,
        FaultKind::Freeze,
        FaultKind::Crash,
        FaultKind::Kill,
        FaultKind::ProxyCrash,
    ];
}

/// Milliseconds after which the proxy gives up a connection that says nothing: keepalive and user timeout.
const GIVEN_UP: u64 = 30_000;

impl Fault {
    /// Its kind.
    pub fn kind(self) -> FaultKind {
        match self {
            Fault::Fin { seen, .. } => match seen {
                Seen::ByBoth => FaultKind::Fin,
                Seen::ByProxy => FaultKind::FinHalf,
                Seen::ByServer => FaultKind::Silent,
            },
            Fault::Rst { seen, .. } => match seen {
                Seen::ByBoth => FaultKind::Rst,
                Seen::ByProxy => FaultKind::RstHalf,
                Seen::ByServer => FaultKind::Silent,
            },
            Fault::BlackHole { .. } => FaultKind::BlackHole,
            Fault::Delay { .. } => FaultKind::Delay,
            Fault::Stall { .. } => FaultKind::Stall,
            Fault::Partition { .. } => FaultKind::Partition,
            Fault::Freeze { .. } => FaultKind::Freeze,
            Fault::Crash { .. } => FaultKind::Crash,
            Fault::Kill => FaultKind::Kill,
            Fault::ProxyCrash { .. } => FaultKind::ProxyCrash,
        }
    }

    /// How many of `len` bytes arrive.
    pub fn arrive(self, len: usize) -> usize {
        match self {
            Fault::Fin { cut, .. }
            | Fault::Rst { cut, .. }
            | Fault::BlackHole { cut, .. }
            | Fault::Crash { cut, .. } => len * usize::from(cut.min(1000)) / 1000,
            _ => len,
        }
    }

    /// How long somebody may wait because of it, at most, in milliseconds.
    pub fn outage(self) -> u64 {
        match self {
            Fault::Partition { millis }
            | Fault::Freeze { millis }
            | Fault::Stall { millis, .. }
            | Fault::Crash { millis, .. }
            | Fault::ProxyCrash { millis } => millis.into(),
            // What is silent for longer is given up.
            Fault::BlackHole { millis, .. } | Fault::Delay { millis } => {
                u64::from(millis).min(GIVEN_UP)
            }
            Fault::Fin { seen, .. } | Fault::Rst { seen, .. } => match seen {
                Seen::ByServer => GIVEN_UP,
                Seen::ByBoth | Seen::ByProxy => 0,
            },
            Fault::Kill => 0,
        }
    }
}

/// When a fault strikes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum When {
    /// At the point of this number, from 0.
    Point(u32),
    /// At the point of this number among those of this phase and class, from 0.
    At(Phase, Class, u32),
    /// At this millisecond, on some connection.
    Moment(u32),
}

/// One fault of a plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Planned {
    /// When.
    pub when: When,
    /// What.
    pub fault: Fault,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:?}", self.fault, self.when)
    }
}

/// What struck where: how often.
pub type Struck = BTreeMap<(Phase, FaultKind, Class), u64>;

#[derive(Debug)]
struct State {
    planned: Vec<Planned>,
    points: u32,
    of_class: BTreeMap<(Phase, Class), u32>,
    struck: Struck,
    /// The run's script is over: nothing strikes any more.
    over: bool,
}

/// Counts the points of a run and says what strikes. Clones are the same.
#[derive(Clone, Debug)]
pub struct Injector {
    state: Arc<Mutex<State>>,
    trace: Trace,
}

impl Injector {
    /// With these faults to come.
    pub fn new(planned: Vec<Planned>, trace: Trace) -> Self {
        let state = State {
            planned,
            points: 0,
            of_class: BTreeMap::new(),
            struck: Struck::new(),
            over: false,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            trace,
        }
    }

    /// The run is at a point: what strikes there.
    pub fn at(&self, phase: Phase, class: Class) -> Option<Fault> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.over {
            return None;
        }
        let number = state.points;
        state.points += 1;
        let count = state.of_class.entry((phase, class)).or_default();
        let among = *count;
        *count += 1;
        let found = state
            .planned
            .iter()
            .position(|planned| match planned.when {
                When::Point(wanted) => wanted == number,
                When::At(at, of, wanted) => (at, of, wanted) == (phase, class, among),
                When::Moment(_) => false,
            })?;
        let fault = state.planned.remove(found).fault;
        *state
            .struck
            .entry((phase, fault.kind(), class))
            .or_default() += 1;
        drop(state);
        self.trace.note("FAULT", || {
            format!("{fault:?} at point {number}: {phase:?} of {class:?}")
        });
        Some(fault)
    }

    /// The faults that strike at moments, in order of time; they count as struck.
    pub fn moments(&self) -> Vec<(u32, Fault)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut moments: Vec<(u32, Fault)> = state
            .planned
            .iter()
            .filter_map(|planned| match planned.when {
                When::Moment(at) => Some((at, planned.fault)),
                _ => None,
            })
            .collect();
        moments.sort();
        moments
    }

    /// A fault of [`Injector::moments`] strikes now; false: the run is over.
    pub fn strike(&self, fault: Fault) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.over {
            return false;
        }
        let cell = (Phase::Moment, fault.kind(), Class::None);
        *state.struck.entry(cell).or_default() += 1;
        drop(state);
        self.trace.note("FAULT", || format!("{fault:?}"));
        true
    }

    /// Nothing strikes any more.
    pub fn end(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .over = true;
    }

    /// How many points there were.
    pub fn points(&self) -> u32 {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .points
    }

    /// What struck.
    pub fn struck(&self) -> Struck {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .struck
            .clone()
    }
}
