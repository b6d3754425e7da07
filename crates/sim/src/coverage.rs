//! What struck where in many runs, as a table: phase and class of statement down, kind of fault across.

use std::collections::BTreeMap;

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use crate::check::Outcome;
use crate::fault::{Class, FaultKind, Phase, Struck};
use crate::run::Report;

/// What came of many runs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sum {
    /// Runs.
    pub runs: u64,
    /// Statements that clients got an answer to.
    pub statements: u64,
    /// Units of work that were acknowledged, refused, in doubt.
    pub outcomes: [u64; 3],
    /// Errors that clients got, by code.
    pub errors: BTreeMap<u16, u64>,
    /// Seconds of virtual time.
    pub seconds: u64,
    /// Points that were passed.
    pub points: u64,
    /// How often each kind of fault struck at each phase of each class.
    pub struck: Vec<(Phase, FaultKind, Class, u64)>,
    /// Seeds, or plans, of runs with violations, and the first of each.
    pub violations: Vec<(String, String)>,
}

impl Sum {
    /// Adds a run, of this name.
    pub fn add(&mut self, name: impl FnOnce() -> String, report: &Report) {
        self.runs += 1;
        self.statements += report.tally.statements;
        for (index, outcome) in [Outcome::Committed, Outcome::RolledBack, Outcome::Doubt]
            .iter()
            .enumerate()
        {
            let count = report.tally.outcomes.get(outcome).copied();
            self.outcomes[index] += count.unwrap_or_default();
        }
        for (code, count) in &report.tally.errors {
            *self.errors.entry(*code).or_default() += count;
        }
        self.seconds += report.millis / 1000;
        self.points += u64::from(report.points);
        let mut struck = self.struck();
        for (cell, count) in &report.struck {
            *struck.entry(*cell).or_default() += count;
        }
        self.set_struck(&struck);
        if let Some(first) = report.violations.first() {
            self.violations.push((name(), first.clone()));
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &Sum) {
        self.runs += other.runs;
        self.statements += other.statements;
        for (mine, theirs) in self.outcomes.iter_mut().zip(other.outcomes) {
            *mine += theirs;
        }
        for (code, count) in &other.errors {
            *self.errors.entry(*code).or_default() += count;
        }
        self.seconds += other.seconds;
        self.points += other.points;
        let mut struck = self.struck();
        for (cell, count) in other.struck() {
            *struck.entry(cell).or_default() += count;
        }
        self.set_struck(&struck);
        self.violations.extend(other.violations.iter().cloned());
    }

    fn struck(&self) -> Struck {
        self.struck
            .iter()
            .map(|(phase, kind, class, count)| ((*phase, *kind, *class), *count))
            .collect()
    }

    fn set_struck(&mut self, struck: &Struck) {
        self.struck = struck
            .iter()
            .map(|((phase, kind, class), count)| (*phase, *kind, *class, *count))
            .collect();
    }

    /// The table, and the sums in words.
    pub fn table(&self) -> String {
        let struck = self.struck();
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let names = FaultKind::ALL.iter().map(|kind| format!("{kind:?}"));
        table.set_header(
            ["phase".to_owned(), "of".to_owned()]
                .into_iter()
                .chain(names),
        );
        let (mut hit, mut cells) = (0, 0);
        let mut empty = Vec::new();
        for phase in Phase::ALL {
            for class in Class::ALL {
                if cannot_be(phase, class) {
                    continue;
                }
                let mut row = vec![
                    Cell::new(format!("{phase:?}")),
                    Cell::new(format!("{class:?}")),
                ];
                for kind in FaultKind::ALL {
                    let count = struck.get(&(phase, kind, class)).copied();
                    let text = match count {
                        Some(count) => count.to_string(),
                        None if cannot_strike(phase, kind) => ".".to_owned(),
                        None => "-".to_owned(),
                    };
                    if !cannot_strike(phase, kind) {
                        cells += 1;
                        hit += u32::from(count.is_some());
                        if count.is_none() {
                            empty.push(format!("{phase:?} {class:?} {kind:?}"));
                        }
                    }
                    row.push(Cell::new(text).set_alignment(CellAlignment::Right));
                }
                table.add_row(row);
            }
        }
        let mut notes = String::new();
        for (what, why) in NEVER {
            notes.push_str(&format!("never: {what}: {why}\n"));
        }
        if !empty.is_empty() {
            notes.push_str(&format!("not hit (-): {}\n", empty.join(", ")));
        }
        let [committed, rolled_back, doubt] = self.outcomes;
        format!(
            "{table}\n{notes}{} runs, {} s of virtual time, {} points; {hit} of {cells} cells hit\n\
             {} statements; units of work: {committed} acknowledged, {rolled_back} refused, {doubt} in doubt\n\
             errors that clients got: {:?}\n\
             {} runs with violations",
            self.runs,
            self.seconds,
            self.points,
            self.statements,
            self.errors,
            self.violations.len()
        )
    }
}

/// What has no cell, and why.
const NEVER: &[(&str, &str)] = &[
    (
        "a Moment of a class, or None at another phase",
        "a moment is no point of a command",
    ),
    (
        "After Login",
        "a login has no effect: it ends with its last answer",
    ),
    (
        "Within what is not listed there",
        "it commits nothing; BEGIN and SET autocommit=1 have been preceded by a COMMIT that the workload or the proxy sent",
    ),
    (
        "Moment Stall (.)",
        "only the thread of a command can stand still; all of them: Freeze",
    ),
];

/// Whether there is no row of this phase and class: see [`NEVER`].
fn cannot_be(phase: Phase, class: Class) -> bool {
    let commits = matches!(
        class,
        Class::Autocommit | Class::Commit | Class::Ledger | Class::Fence
    );
    (phase == Phase::Moment) != (class == Class::None)
        || (phase, class) == (Phase::After, Class::Login)
        || phase == Phase::Within && !commits
}

/// Whether a fault of this kind is of another phase: see [`NEVER`].
fn cannot_strike(phase: Phase, kind: FaultKind) -> bool {
    phase == Phase::Moment && kind == FaultKind::Stall
}
