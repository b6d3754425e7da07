//! What a leg found, as a JSON line and as tables.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde::de::DeserializeOwned;
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

/// Some rounds of one fault on one server, on tables of their own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LegReport {
    pub(crate) server: String,
    pub(crate) front: String,
    /// Where it is another proxy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) front_version: Option<String>,
    /// Commits were recorded.
    #[serde(default)]
    pub(crate) ledger: bool,
    /// Rows of the ledger afterwards.
    #[serde(default)]
    pub(crate) ledger_rows: Option<u64>,
    pub(crate) fault: String,
    /// In which the fault struck: these are counted as faults.
    pub(crate) rounds: u32,
    /// Connections and processes that were struck.
    #[serde(default)]
    pub(crate) hits: u32,
    /// Processes that were killed with -9.
    #[serde(default)]
    pub(crate) kills: u32,
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
    pub(crate) fn add(&mut self, other: &Self) {
        self.stats.add(&other.stats);
        for (kind, count) in &other.violations {
            *self.violations.entry(*kind).or_default() += count;
        }
    }

    /// Violations of these kinds.
    pub(crate) fn count(&self, kinds: &[Kind]) -> u64 {
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
        let columns: [&[Kind]; 8] = [
            &[Kind::Lost],
            &[Kind::Doubled],
            &[Kind::Partial, Kind::PresentThoughRefused, Kind::LeftOpen],
            &[Kind::WrongId],
            &[Kind::WrongAffected],
            &[Kind::Balance],
            &[Kind::WrongValue, Kind::WrongAnswer],
            &[Kind::SessionState],
        ];
        cells.extend(columns.iter().map(|kinds| self.count(kinds).to_string()));
        cells
    }
}

const COLUMNS: [&str; 15] = [
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
    "wrong affected",
    "sums moved",
    "wrong value",
    "session state",
];

/// The JSON lines of earlier runs; none if there is no such file.
pub(crate) fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
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
pub(crate) fn append_line(path: &Path, line: &impl Serialize) -> Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("could not open {}", path.display()))?;
    writeln!(file, "{}", serde_json::to_string(line)?)?;
    Ok(())
}

/// The tables: one line per fault, one per profile, one per kind of violation.
pub(crate) fn tables(legs: &[LegReport]) -> String {
    let mut by_fault: BTreeMap<(&str, &str, bool, &str), Vec<&LegReport>> = BTreeMap::new();
    let mut by_profile: BTreeMap<&str, ProfileReport> = BTreeMap::new();
    for leg in legs {
        let key = (
            leg.server.as_str(),
            leg.front.as_str(),
            leg.ledger,
            leg.fault.as_str(),
        );
        by_fault.entry(key).or_default().push(leg);
        for (name, profile) in &leg.profiles {
            by_profile.entry(name).or_default().add(profile);
        }
    }
    let first = [
        "server",
        "front",
        "ledger",
        "fault",
        "faults",
        "struck",
        "kill -9",
        "recovery s",
    ];
    let mut faults = table(&first, 4);
    for ((server, front, ledger, fault), legs) in by_fault {
        let recorded = if ledger { "on" } else { "off" };
        let mut row = vec![
            server.to_owned(),
            front.to_owned(),
            recorded.to_owned(),
            fault.to_owned(),
        ];
        row.extend(summed(&legs));
        faults.add_row(row);
    }
    if legs.len() > 1 {
        let mut row = vec![
            "all".to_owned(),
            String::new(),
            String::new(),
            String::new(),
        ];
        row.extend(summed(&legs.iter().collect::<Vec<_>>()));
        faults.add_row(row);
    }
    let mut profiles = table(&["profile"], 1);
    for (name, profile) in by_profile {
        let mut row = vec![name.to_owned()];
        row.extend(profile.cells());
        profiles.add_row(row);
    }
    format!("{faults}\n\n{profiles}\n\n{}", named(legs))
}

/// Faults, strikes, kills, the slowest recovery, and the cells of everything that was done under them.
fn summed(legs: &[&LegReport]) -> Vec<String> {
    let mut total = ProfileReport::default();
    for leg in legs {
        total.add(&leg.total());
    }
    let sum =
        |count: fn(&LegReport) -> u32| legs.iter().map(|leg| u64::from(count(leg))).sum::<u64>();
    let slowest = legs.iter().map(|leg| leg.slowest_recovery_ms).max();
    let mut cells = vec![
        sum(|leg| leg.rounds).to_string(),
        sum(|leg| leg.hits).to_string(),
        sum(|leg| leg.kills).to_string(),
        format!("{:.1}", slowest.unwrap_or_default() as f64 / 1000.0),
    ];
    cells.extend(total.cells());
    cells
}

/// Each kind of violation with its count, zeros too.
fn named(legs: &[LegReport]) -> Table {
    let mut total = ProfileReport::default();
    for leg in legs {
        total.add(&leg.total());
    }
    let mut table = Table::new();
    style(&mut table);
    table.set_header(["violation", "count"]);
    for (kind, name) in Kind::ALL {
        table.add_row([(*name).to_owned(), total.count(&[*kind]).to_string()]);
    }
    table.add_row([
        "connections lost with the proxy (excepted)".to_owned(),
        total.stats.excused.to_string(),
    ]);
    let rows = legs.iter().filter_map(|leg| leg.ledger_rows).max();
    if let Some(rows) = rows {
        table.add_row(["most rows of the ledger".to_owned(), rows.to_string()]);
    }
    align(&mut table, 1);
    table
}

fn table(first: &[&str], names: usize) -> Table {
    let mut table = Table::new();
    style(&mut table);
    let header: Vec<&str> = first.iter().chain(&COLUMNS).copied().collect();
    table.set_header(header);
    align(&mut table, names);
    table
}

/// As all tables here look.
pub(crate) fn style(table: &mut Table) {
    table.load_style(presets::ASCII_MARKDOWN);
}

/// Numbers, the columns after the names, to the right.
pub(crate) fn align(table: &mut Table, names: usize) {
    for column in table.column_iter_mut().skip(names) {
        column.set_cell_alignment(CellAlignment::Right);
    }
}
