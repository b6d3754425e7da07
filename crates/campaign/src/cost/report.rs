//! What was measured, as JSON lines and as tables.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use comfy_table::Table;
use serde::{Deserialize, Serialize};

use super::work::Work;
use super::{Front, Logs, Plan};
use crate::report::{align, append_line, read_lines, style};
use crate::statistics::Rounds;

/// One work through one front in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) server: String,
    pub(super) version: String,
    pub(super) logs: Logs,
    pub(super) fsync_ms: u32,
    pub(super) work: Work,
    pub(super) front: Front,
    pub(super) round: u32,
    pub(super) clients: u32,
    pub(super) seconds: f64,
    pub(super) commits: u64,
    /// Calls of fsync and fdatasync by the server.
    pub(super) fsyncs: u64,
}

/// How large the ledger was after many commits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Size {
    pub(super) server: String,
    pub(super) version: String,
    pub(super) clients: u32,
    pub(super) commits: u64,
    /// The sum of its lanes' sequences.
    pub(super) recorded: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
}

impl Size {
    pub(super) fn is_of(&self, plan: &Plan) -> bool {
        self.server == plan.server && self.clients == plan.clients && self.commits >= plan.commits
    }
}

/// A line of the file.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Line {
    Sample(Sample),
    Size(Size),
}

/// All that was measured.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) samples: Vec<Sample>,
    pub(super) sizes: Vec<Size>,
}

pub(super) fn read(path: Option<&Path>) -> Result<Measured> {
    let mut measured = Measured::default();
    if let Some(path) = path {
        for line in read_lines(path)? {
            match line {
                Line::Sample(sample) => measured.samples.push(sample),
                Line::Size(size) => measured.sizes.push(size),
            }
        }
    }
    Ok(measured)
}

pub(super) fn append(path: Option<&Path>, line: &impl Serialize) -> Result<()> {
    match path {
        Some(path) => append_line(path, line),
        None => Ok(()),
    }
}

/// The rounds that are not complete yet on this server.
pub(super) fn open_rounds(samples: &[Sample], plan: &Plan, logs: Logs, fsync_ms: u32) -> Vec<u32> {
    let whole = Work::ALL.len() * Front::of(plan.kind).len();
    let complete = |round: u32| {
        let of_round = samples.iter().filter(|sample| {
            is_of(sample, plan)
                && (sample.logs, sample.fsync_ms, sample.round) == (logs, fsync_ms, round)
        });
        let mut found: Vec<(Work, Front)> =
            of_round.map(|sample| (sample.work, sample.front)).collect();
        found.sort_unstable();
        found.dedup();
        found.len() == whole
    };
    (1..=plan.rounds)
        .filter(|round| !complete(*round))
        .collect()
}

fn is_of(sample: &Sample, plan: &Plan) -> bool {
    sample.server == plan.server && sample.clients == plan.clients
}

/// Rounds of one work on one server, by front: commits a second and fsyncs a commit.
#[derive(Debug, Default)]
struct Cell {
    rates: BTreeMap<Front, Rounds>,
    fsyncs: BTreeMap<Front, Rounds>,
}

impl Cell {
    fn rate(&self, front: Front) -> f64 {
        median(self.rates.get(&front))
    }

    fn ratio(&self, front: Front, to: Front) -> String {
        let ratio = self
            .rates
            .get(&front)
            .zip(self.rates.get(&to))
            .and_then(|(ours, theirs)| ours.ratio(theirs));
        ratio.map_or_else(|| "-".to_owned(), |ratio| ratio.to_string())
    }
}

fn median(rounds: Option<&Rounds>) -> f64 {
    rounds.map(Rounds::median).unwrap_or_default()
}

/// The tables: throughput and ratios, fsyncs, and the ledger's size.
pub(super) fn tables(measured: &Measured, plan: &Plan) -> String {
    let mut cells: BTreeMap<(Logs, Work, u32), Cell> = BTreeMap::new();
    for sample in measured.samples.iter().filter(|sample| is_of(sample, plan)) {
        let cell = cells
            .entry((sample.logs, sample.work, sample.fsync_ms))
            .or_default();
        let rate = sample.commits as f64 / sample.seconds;
        let fsyncs = sample.fsyncs as f64 / sample.commits.max(1) as f64;
        cell.rates
            .entry(sample.front)
            .or_default()
            .insert(sample.round, rate);
        cell.fsyncs
            .entry(sample.front)
            .or_default()
            .insert(sample.round, fsyncs);
    }
    let mut table = Table::new();
    style(&mut table);
    table.set_header([
        "server",
        "logs",
        "work",
        "fsync ms",
        "rounds",
        "direct/s",
        "without/s",
        "with/s",
        "without : direct",
        "with : direct",
        "with : without",
        "fsyncs per commit: direct",
        "without",
        "with",
        "own GTIDs/s",
        "own GTIDs : direct",
    ]);
    for ((logs, work, fsync_ms), cell) in &cells {
        let rounds = cell
            .rates
            .values()
            .map(Rounds::count)
            .min()
            .unwrap_or_default();
        let mut row = vec![
            plan.server.to_owned(),
            format!("{logs:?}").to_lowercase(),
            work.name().to_owned(),
            fsync_ms.to_string(),
            rounds.to_string(),
        ];
        let fronts = [Front::Direct, Front::WithoutLedger, Front::WithLedger];
        row.extend(fronts.map(|front| format!("{:.0}", cell.rate(front))));
        row.push(cell.ratio(Front::WithoutLedger, Front::Direct));
        row.push(cell.ratio(Front::WithLedger, Front::Direct));
        row.push(cell.ratio(Front::WithLedger, Front::WithoutLedger));
        row.extend(fronts.map(|front| format!("{:.2}", median(cell.fsyncs.get(&front)))));
        if cell.rates.contains_key(&Front::OwnGtids) {
            row.push(format!("{:.0}", cell.rate(Front::OwnGtids)));
            row.push(cell.ratio(Front::OwnGtids, Front::Direct));
        }
        table.add_row(row);
    }
    align(&mut table, 3);
    let mut text = format!(
        "Commits a second by {} clients: medians; ratios of medians, with the least and most of the rounds.\n{table}",
        plan.clients
    );
    for size in measured.sizes.iter().filter(|size| size.is_of(plan)) {
        text.push_str(&format!(
            "\n\nThe ledger after {} commits ({} recorded in it) by {} clients: {} rows, {} KiB.",
            size.commits,
            size.recorded,
            size.clients,
            size.rows,
            size.bytes / 1024
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(work: Work, front: Front, round: u32) -> Sample {
        Sample {
            server: "mariadb".to_owned(),
            version: String::new(),
            logs: Logs::Default,
            fsync_ms: 1,
            work,
            front,
            round,
            clients: 4,
            seconds: 2.0,
            commits: match front {
                Front::Direct => 1000,
                Front::WithoutLedger => 800,
                Front::WithLedger => 600,
                Front::OwnGtids => 900,
            } * u64::from(round),
            fsyncs: 500,
        }
    }

    fn plan() -> Plan {
        Plan {
            kind: steadfast_sandbox::Kind::MariaDb,
            server: "mariadb",
            binary: "steadfast".into(),
            fsync_ms: vec![1],
            rounds: 3,
            seconds: 2.0,
            clients: 4,
            commits: 0,
            json: None,
        }
    }

    #[test]
    fn a_round_that_was_cut_short_is_done_again() {
        let mut samples = Vec::new();
        for work in Work::ALL {
            let fronts = Front::of(plan().kind).iter();
            samples.extend(fronts.map(|front| sample(work, *front, 1)));
        }
        samples.push(sample(Work::Spread, Front::Direct, 2));
        let open = |samples: &[Sample]| open_rounds(samples, &plan(), Logs::Default, 1);
        assert_eq!(open(&samples), [2, 3]);
        assert_eq!(open(&samples[1..]), [1, 2, 3]);
    }

    #[test]
    fn ratios_are_of_medians_and_show_their_spread() {
        let mut measured = Measured::default();
        for round in 1..=3 {
            let front = Front::ALL.map(|front| sample(Work::HotRow, front, round));
            measured.samples.extend(front);
        }
        let text = tables(&measured, &plan());
        assert!(text.contains("0.60 (0.60-0.60)"), "{text}");
        assert!(text.contains("0.75 (0.75-0.75)"), "{text}");
    }
}
