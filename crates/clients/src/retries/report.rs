//! What the helpers made of the cases, as a table.

use std::collections::BTreeMap;

use comfy_table::{Table, presets};
use serde::Deserialize;

use super::cases::Case;

/// What a helper is expected to do by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Habit {
    /// It repeats nothing.
    None,
    /// It repeats a transaction that was rolled back.
    Transactions,
    /// A recipe that is in use and repeats too much: it shows that the count would notice.
    Careless,
}

/// An error as a helper gives it to the application.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Told {
    pub(super) code: Option<u16>,
    /// The class of the exception.
    pub(super) class: String,
    pub(super) message: String,
}

/// What became of one case.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// How often the work was asked for, seen between the helper and Steadfast.
    pub(super) asked: u32,
    /// The rows that it has left.
    pub(super) rows: u32,
    /// The fault struck.
    pub(super) struck: bool,
    /// How often the helper says that it ran the work.
    pub(super) runs: u32,
    pub(super) error: Option<Told>,
}

pub(super) struct Helper {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) habit: Habit,
    pub(super) cells: BTreeMap<Case, Cell>,
}

#[derive(Default)]
pub(super) struct Report {
    pub(super) server: String,
    pub(super) helpers: Vec<Helper>,
    /// Who cannot run here, and why.
    pub(super) absent: Vec<(String, String)>,
    /// Programs that broke off.
    pub(super) failures: Vec<String>,
}

impl Helper {
    /// What is wrong with a case, if something is.
    fn complaint(&self, case: Case) -> Option<String> {
        let cell = self.cells.get(&case)?;
        let error = cell.error.as_ref();
        // Who repeats a statement of a transaction that was rolled back may refuse it itself, in words of its own.
        let met = cell.asked > 1
            || error.is_some_and(|told| match told.code {
                None => case == Case::RolledBack,
                code => code == Some(case.code()),
            });
        let told = error.map_or("no error", |told| &told.message);
        if !cell.struck || cell.asked == 0 {
            return Some(format!(
                "the fault did not strike or was not counted; the helper met {told}"
            ));
        }
        if !met {
            return Some(format!("was to meet {}, met {told}", case.code()));
        }
        if self.habit == Habit::Careless {
            return (case.is_doubt() && cell.rows < 2).then(|| {
                "a careless helper did not repeat it: the count proves nothing".to_owned()
            });
        }
        if case.is_doubt() && (cell.asked > 1 || cell.rows != 1) {
            return Some(format!(
                "asked for {} times, {} rows",
                cell.asked, cell.rows
            ));
        }
        if case == Case::RolledBack && self.habit == Habit::Transactions && cell.asked < 2 {
            return Some("a transaction that was rolled back was not repeated".to_owned());
        }
        (cell.rows > 1).then(|| format!("{} rows", cell.rows))
    }

    fn cell(&self, case: Case) -> String {
        let Some(cell) = self.cells.get(&case) else {
            return "-".to_owned();
        };
        let outcome = match &cell.error {
            None => "OK".to_owned(),
            Some(told) => told.class.clone(),
        };
        match cell.asked {
            _ if cell.rows > 1 => {
                format!("DOUBLED ({} runs), {outcome}", cell.asked.max(cell.runs))
            }
            0 | 1 => outcome,
            asked => format!("{asked} runs, {outcome}"),
        }
    }
}

impl Report {
    pub(super) fn absences(&self) -> String {
        let absences = self
            .absent
            .iter()
            .map(|(name, reason)| format!("{name}: {reason}"));
        absences.collect::<Vec<_>>().join("; ")
    }

    /// How much is wrong.
    pub(super) fn wrong(&self) -> usize {
        self.complaints().len() + self.failures.len()
    }

    fn complaints(&self) -> Vec<String> {
        let of = |helper: &Helper| {
            let name = helper.name.clone();
            let complaints = helper.cells.keys().filter_map(|case| {
                let complaint = helper.complaint(*case)?;
                Some(format!("{name}, {}: {complaint}", case.heading()))
            });
            complaints.collect::<Vec<_>>()
        };
        self.helpers.iter().flat_map(of).collect()
    }

    pub(super) fn print(&self, cases: &[Case], markdown: bool) {
        let heading = || {
            ["Helper".to_owned(), "Version".to_owned()]
                .into_iter()
                .chain(cases.iter().map(|case| case.heading().to_owned()))
        };
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        table.set_header(heading());
        let rows: Vec<Vec<String>> = self
            .helpers
            .iter()
            .map(|helper| {
                let cells = cases.iter().map(|case| helper.cell(*case));
                [helper.name.clone(), helper.version.clone()]
                    .into_iter()
                    .chain(cells)
                    .collect()
            })
            .collect();
        for row in &rows {
            table.add_row(row);
        }
        println!("{}, no commit ledger\n{table}", self.server);
        for (name, reason) in &self.absent {
            println!("not run: {name}: {reason}");
        }
        for wrong in self.complaints().iter().chain(&self.failures) {
            println!("WRONG: {wrong}");
        }
        if markdown {
            println!("\n| {} |", heading().collect::<Vec<_>>().join(" | "));
            println!("|{}", "---|".repeat(cases.len() + 2));
            for row in &rows {
                println!("| {} |", row.join(" | "));
            }
        }
        println!("{} wrong", self.wrong());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn helper(habit: Habit, case: Case, asked: u32, rows: u32, code: Option<u16>) -> Helper {
        let error = code.map(|code| Told {
            code: Some(code),
            class: "Error".to_owned(),
            message: "Steadfast: …".to_owned(),
        });
        let cell = Cell {
            asked,
            rows,
            struck: true,
            runs: asked,
            error,
        };
        Helper {
            name: "one".to_owned(),
            version: "1".to_owned(),
            habit,
            cells: BTreeMap::from([(case, cell)]),
        }
    }

    #[test]
    fn a_doubt_that_is_done_twice_is_wrong() {
        let wrong = |habit, asked, rows, code| {
            helper(habit, Case::Commit, asked, rows, code)
                .complaint(Case::Commit)
                .is_some()
        };
        assert!(!wrong(Habit::Transactions, 1, 1, Some(1180)));
        assert!(wrong(Habit::Transactions, 2, 2, None));
        assert!(wrong(Habit::None, 1, 1, None), "the error did not arrive");
        assert!(!wrong(Habit::Careless, 2, 2, None));
        assert!(
            wrong(Habit::Careless, 1, 1, Some(1180)),
            "the control failed"
        );
    }

    #[test]
    fn a_rollback_that_is_not_retried_is_wrong_for_who_retries() {
        let wrong = |habit, asked, code| {
            helper(habit, Case::RolledBack, asked, asked - 1, code)
                .complaint(Case::RolledBack)
                .is_some()
        };
        assert!(!wrong(Habit::Transactions, 2, None));
        assert!(wrong(Habit::Transactions, 1, Some(1213)));
        assert!(!wrong(Habit::None, 1, Some(1213)));
    }
}
