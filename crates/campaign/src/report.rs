//! What a leg found, as a JSON line and as tables.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use crate::check::{Kind, Violation};
use crate::client::Stats;

/// Violations kept in a report, with their text; all are counted.
const KEPT: usize = 300;

/// One profile under one fault.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct ProfileReport {
    #[serde(flatten)]
    pub(crate) stats: Stats,
    pub(crate) violations: BTreeMap<Kind, u64>,
}

/// All rounds of one fault on one server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LegReport {
    pub(crate) server: String,
    pub(crate) front: String,
    pub(crate) fault: String,
    pub(crate) rounds: u32,
    pub(crate) clients: u32,
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    /// The longest time from the end of a fault to the last client's next answer.
    pub(crate) slowest_recovery_ms: u64,
    pub(crate) profiles: BTreeMap<String, ProfileReport>,
    pub(crate) violations: Vec<Violation>,
}

impl LegReport {
    pub(crate) fn add_violations(&mut self, violations: Vec<Violation>) {
        for violation in violations {
            let profile = self.profiles.entry(violation.profile.clone()).or_default();
            *profile.violations.entry(violation.kind).or_default() += 1;
            if self.violations.len() < KEPT {
                self.violations.push(violation);
            }
        }
    }

    pub(crate) fn total(&self) -> ProfileReport {
        let mut total = ProfileReport::default();
        for profile in self.profiles.values() {
            total.add(profile);
        }
        total
    }

    /// Whether any promise was broken.
    pub(crate) fn failed(&self) -> bool {
        self.profiles
            .values()
            .any(|profile| !profile.violations.is_empty())
    }
}

impl ProfileReport {
    fn add(&mut self, other: &Self) {
        self.stats.add(&other.stats);
        for (kind, count) in &other.violations {
            *self.violations.entry(*kind).or_default() += count;
        }
    }

    fn count(&self, kinds: &[Kind]) -> u64 {
        kinds
            .iter()
            .filter_map(|kind| self.violations.get(kind))
            .sum()
    }

    fn cells(&self) -> Vec<String> {
        let stats = &self.stats;
        let mut cells = vec![
            stats.operations.to_string(),
            stats.transactions.to_string(),
            stats.interrupted.to_string(),
            format!("{:.1}", stats.longest_pause_ms as f64 / 1000.0),
            self.count(&[Kind::ClientVisible]).to_string(),
            format!("{}/{}", stats.proved, self.count(&[Kind::Unproved1213])),
            format!(
                "{} ({}+{})",
                stats.doubt, stats.doubt_present, stats.doubt_absent
            ),
        ];
        let columns: [&[Kind]; 6] = [
            &[Kind::Lost],
            &[Kind::Doubled],
            &[Kind::Partial, Kind::PresentThoughRefused, Kind::LeftOpen],
            &[Kind::WrongId],
            &[Kind::WrongValue, Kind::WrongAnswer, Kind::Balance],
            &[Kind::SessionState],
        ];
        cells.extend(columns.iter().map(|kinds| self.count(kinds).to_string()));
        cells
    }
}

const COLUMNS: [&str; 13] = [
    "operations",
    "transactions",
    "paused >0.5 s",
    "longest s",
    "client-visible",
    "1213 proved/not",
    "08007 (there+absent)",
    "lost",
    "doubled",
    "partial",
    "wrong id",
    "wrong value",
    "session state",
];

/// The JSON lines of earlier runs.
pub(crate) fn read(path: &Path) -> Result<Vec<LegReport>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read {}", path.display()))?;
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            serde_json::from_str(line).with_context(|| {
                format!(
                    "{} has a line that is no report: {line:.80}",
                    path.display()
                )
            })
        })
        .collect()
}

/// Appends one JSON line.
pub(crate) fn append(path: &Path, leg: &LegReport) -> Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("could not open {}", path.display()))?;
    writeln!(file, "{}", serde_json::to_string(leg)?)?;
    Ok(())
}

/// The tables: one line per fault, one per profile.
pub(crate) fn tables(legs: &[LegReport]) -> String {
    let mut faults = table(&["server", "front", "fault", "rounds", "recovery s"]);
    let mut profiles: BTreeMap<&str, ProfileReport> = BTreeMap::new();
    for leg in legs {
        let mut row = vec![
            leg.server.clone(),
            leg.front.clone(),
            leg.fault.clone(),
            leg.rounds.to_string(),
            format!("{:.1}", leg.slowest_recovery_ms as f64 / 1000.0),
        ];
        row.extend(leg.total().cells());
        faults.add_row(row);
        for (name, profile) in &leg.profiles {
            profiles.entry(name).or_default().add(profile);
        }
    }
    let mut by_profile = table(&["profile"]);
    for (name, profile) in profiles {
        let mut row = vec![name.to_owned()];
        row.extend(profile.cells());
        by_profile.add_row(row);
    }
    format!("{faults}\n\n{by_profile}")
}

fn table(first: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let header: Vec<&str> = first.iter().chain(&COLUMNS).copied().collect();
    table.set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
