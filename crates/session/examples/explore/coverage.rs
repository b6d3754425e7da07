//! What can go wrong where, what cannot and why, and how often it did.

use std::fmt::Write;

use crate::text::Text;

/// What the machine is about when something strikes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Phase {
    Idle,
    Attaching,
    Replaying,
    Running,
    Committing,
    Resolving,
    Proving,
    Probing,
}

/// What strikes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Fault {
    /// Lost before anything of it was sent.
    Unsent,
    /// Lost before it took effect.
    Before,
    /// Lost after it took effect.
    After,
    /// Lost after a part of its result was delivered.
    Part,
    /// Lost while it is on its way: it takes effect at any later time, unless it is fenced.
    Late,
    /// Somebody killed the connection.
    Killed,
    /// KILL QUERY through Steadfast.
    Interrupt,
    /// KILL QUERY from elsewhere hits a hidden statement.
    Hit,
    /// Answered with an ERR, and has not taken effect.
    Error,
    /// Answered with an ERR, and has taken effect.
    ErrorAfter,
    /// 1213 of the server's own: the transaction is gone.
    Deadlock,
    /// No server within `hold`.
    Refused,
    /// Tables without transactions may have been written.
    Tables,
    /// The replay takes too long.
    Timeout,
    /// The ledger cannot be used, and need not be.
    Plainly,
    /// The ledger cannot be used, and must be.
    NoLedger,
    /// The ledger cannot be asked.
    Unasked,
    /// The hidden transaction was refused: the write ran by itself.
    NotBegun,
    /// A read that is run again writes.
    Guard,
    /// Run again, it wrote tables without transactions.
    Twice,
}

/// What a command is; `Opening` is the beginning of a chained transaction, which no command replays; `None`: no command.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Class {
    Begin,
    Write,
    Read,
    Commit,
    Rollback,
    Ddl,
    AutocommitOff,
    AutocommitOn,
    Lock,
    Unlock,
    CommitChain,
    RollbackChain,
    Draw,
    Give,
    Ask,
    Opening,
    None,
}

const PHASES: [Phase; 8] = [
    Phase::Idle,
    Phase::Attaching,
    Phase::Replaying,
    Phase::Running,
    Phase::Committing,
    Phase::Resolving,
    Phase::Proving,
    Phase::Probing,
];

const FAULTS: [Fault; 20] = [
    Fault::Unsent,
    Fault::Before,
    Fault::After,
    Fault::Part,
    Fault::Late,
    Fault::Killed,
    Fault::Interrupt,
    Fault::Hit,
    Fault::Error,
    Fault::ErrorAfter,
    Fault::Deadlock,
    Fault::Refused,
    Fault::Tables,
    Fault::Timeout,
    Fault::Plainly,
    Fault::NoLedger,
    Fault::Unasked,
    Fault::NotBegun,
    Fault::Guard,
    Fault::Twice,
];

const CLASSES: [Class; 17] = [
    Class::Begin,
    Class::Write,
    Class::Read,
    Class::Commit,
    Class::Rollback,
    Class::Ddl,
    Class::AutocommitOff,
    Class::AutocommitOn,
    Class::Lock,
    Class::Unlock,
    Class::CommitChain,
    Class::RollbackChain,
    Class::Draw,
    Class::Give,
    Class::Ask,
    Class::Opening,
    Class::None,
];

impl From<Text> for Class {
    fn from(text: Text) -> Self {
        match text {
            Text::Begin => Class::Begin,
            Text::Write(_) => Class::Write,
            Text::Read => Class::Read,
            Text::Commit => Class::Commit,
            Text::Rollback => Class::Rollback,
            Text::Ddl => Class::Ddl,
            Text::AutocommitOff => Class::AutocommitOff,
            Text::AutocommitOn => Class::AutocommitOn,
            Text::Lock => Class::Lock,
            Text::Unlock => Class::Unlock,
            Text::CommitChain => Class::CommitChain,
            Text::RollbackChain => Class::RollbackChain,
            Text::Draw(_) => Class::Draw,
            Text::Give(_) => Class::Give,
            Text::Ask => Class::Ask,
        }
    }
}

impl Class {
    fn writes(self) -> bool {
        matches!(self, Class::Write | Class::Draw | Class::Give)
    }

    fn reads(self) -> bool {
        matches!(self, Class::Read | Class::Ask)
    }
}

/// Why a cell can never be hit.
const NEVER: [&str; 17] = [
    "Idle: there is no command, and nothing to be answered, asked or restored",
    "other phases but Attaching: there is a command",
    "Attaching: nothing runs on a connection that is not there yet; what ends an attempt is tried again by the driver",
    "Opening: a transaction is opened by a replay only",
    "Replaying: what ends a transaction, commits it or takes a lock is in no journal",
    "Replaying: the client is given nothing of it, and another answer than before, an ERR too, is a mismatch (`changes`)",
    "Running: KILL QUERY is answered by the server, with an ERR like any other",
    "Part, Guard: only what has rows is delivered in part, or run again under a guard",
    "Error: what does nothing but begin, end or switch transactions, or gives back, does not fail in the model",
    "Deadlock: only what locks rows meets one (LAST_INSERT_ID() does not)",
    "Twice, NotBegun: only a write runs in a hidden transaction, or again",
    "Running: these are of a connection or a COMMIT that is asked for",
    "Committing, Resolving: the ledger records COMMITs, what commits before it begins, and writes",
    "Committing: what can be undone of it has run before; what is found out after it is of other phases",
    "Resolving: the driver asks again until the ledger has answered or `hold` is over",
    "Proving: only a question for LAST_INSERT_ID() is proved; what asks changes nothing",
    "Probing: only what has failed in a transaction, or may have left something; the probe changes nothing",
];

/// Why this cell can never be hit: an index into [`NEVER`].
fn never(phase: Phase, class: Class, fault: Fault) -> Option<usize> {
    use Fault::*;
    let lost = matches!(fault, Unsent | Before | After | Killed);
    let records = class.writes()
        || matches!(
            class,
            Class::Commit | Class::CommitChain | Class::Begin | Class::AutocommitOn
        );
    let fails = class.writes() || class.reads() || matches!(class, Class::Ddl | Class::Lock);
    match phase {
        Phase::Idle if class != Class::None || !matches!(fault, Unsent | Killed) => return Some(0),
        Phase::Idle => return None,
        Phase::Attaching => {}
        _ if class == Class::None => return Some(1),
        _ => {}
    }
    if class == Class::Opening && phase != Phase::Replaying {
        return Some(3);
    }
    let replayed = class.writes()
        || class.reads()
        || matches!(
            class,
            Class::Begin | Class::AutocommitOff | Class::AutocommitOn | Class::Opening
        );
    match phase {
        Phase::Idle => None,
        Phase::Attaching => (!matches!(fault, Killed | Interrupt | Refused | Tables)).then_some(2),
        Phase::Replaying if !replayed => Some(4),
        Phase::Replaying => (!lost && !matches!(fault, Interrupt | Hit | Timeout)).then_some(5),
        Phase::Running => match fault {
            Unsent | Before | After | Killed => None,
            Interrupt | Hit => Some(6),
            Part | Guard => (!class.reads()).then_some(7),
            Error => (!fails).then_some(8),
            Deadlock => (!class.writes() && class != Class::Read).then_some(9),
            Twice | NotBegun => (!class.writes()).then_some(10),
            _ => Some(11),
        },
        Phase::Committing | Phase::Resolving if !records => Some(12),
        Phase::Committing => {
            let struck = matches!(fault, Late | Error | ErrorAfter | Plainly | NoLedger);
            (!lost && !struck).then_some(13)
        }
        Phase::Resolving => (!matches!(fault, Unasked | Interrupt | Killed)).then_some(14),
        Phase::Proving => (class != Class::Ask || !matches!(fault, Unsent | Killed)).then_some(15),
        Phase::Probing => (!fails || !matches!(fault, Before | Killed)).then_some(16),
    }
}

/// How often what struck where.
#[derive(Clone)]
pub(crate) struct Coverage {
    cells: Vec<u64>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            cells: vec![0; PHASES.len() * CLASSES.len() * FAULTS.len()],
        }
    }
}

impl Coverage {
    fn index(phase: Phase, class: Class, fault: Fault) -> usize {
        (phase as usize * CLASSES.len() + class as usize) * FAULTS.len() + fault as usize
    }

    /// It struck.
    pub(crate) fn hit(&mut self, phase: Phase, class: Class, fault: Fault) {
        debug_assert_eq!(
            never(phase, class, fault),
            None,
            "{phase:?} {class:?} {fault:?}"
        );
        self.cells[Self::index(phase, class, fault)] += 1;
    }

    pub(crate) fn merge(&mut self, other: &Coverage) {
        for (mine, theirs) in self.cells.iter_mut().zip(&other.cells) {
            *mine += theirs;
        }
    }

    /// What could have been hit and was not.
    pub(crate) fn missing(&self) -> Vec<(Phase, Class, Fault)> {
        let mut missing = Vec::new();
        for phase in PHASES {
            for class in CLASSES {
                for fault in FAULTS {
                    let hit = self.cells[Self::index(phase, class, fault)] > 0;
                    if !hit && never(phase, class, fault).is_none() {
                        missing.push((phase, class, fault));
                    }
                }
            }
        }
        missing
    }

    /// Phase and class down, faults across: how often, `-` not hit, `.` never.
    pub(crate) fn table(&self) -> String {
        let mut table = String::new();
        let mut line = |cells: &[String]| {
            for (at, cell) in cells.iter().enumerate() {
                let width = match at {
                    0 => 11,
                    1 => 14,
                    _ => 11,
                };
                let _ = if at < 2 {
                    write!(table, "{cell:<width$}")
                } else {
                    write!(table, "{cell:>width$}")
                };
            }
            table.push('\n');
        };
        let mut header = vec!["phase".to_owned(), "of".to_owned()];
        header.extend(FAULTS.iter().map(|fault| format!("{fault:?}")));
        line(&header);
        let (mut hit, mut possible) = (0, 0);
        let mut reasons = [0; NEVER.len()];
        for phase in PHASES {
            for class in CLASSES {
                let mut cells = vec![format!("{phase:?}"), format!("{class:?}")];
                let mut any = false;
                for fault in FAULTS {
                    let count = self.cells[Self::index(phase, class, fault)];
                    let why = never(phase, class, fault);
                    cells.push(match why {
                        Some(why) => {
                            reasons[why] += 1;
                            ".".to_owned()
                        }
                        None if count == 0 => "-".to_owned(),
                        None => count.to_string(),
                    });
                    if why.is_none() {
                        any = true;
                        possible += 1;
                        hit += u32::from(count > 0);
                    }
                }
                if any {
                    line(&cells);
                }
            }
        }
        for (why, cells) in NEVER.iter().zip(reasons) {
            let _ = writeln!(table, "never ({cells} cells): {why}");
        }
        let _ = writeln!(table, "{hit} of {possible} cells hit");
        table
    }
}
