//! The confusion matrix: for each cause what it was taken for, by kind of evidence.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use comfy_table::Table;
use steadfast_diagnose::{Boot, Cause, Product};

use super::best::{Best, best};
use super::collected::{Collected, Logging, Look};
use super::inject::{Negative, Subject};
use super::judge::{Worth, incidents, judge, subject};
use crate::report;

/// The answers to one cause under one kind of evidence and of logging.
#[derive(Debug, Default)]
struct Cell {
    of: u32,
    right: u32,
    vague: u32,
    wrong: u32,
    answers: BTreeMap<&'static str, u32>,
}

impl Cell {
    fn rate(&self) -> f64 {
        f64::from(self.right) / f64::from(self.of.max(1))
    }
}

/// What all lines come to.
#[derive(Debug, Default)]
pub(crate) struct Matrix {
    cells: BTreeMap<(Look, String, Cause, Logging), Cell>,
    /// On a busy server: the cause, a class or *unknown* that holds it, something that is not so.
    busy: BTreeMap<(Look, String), [u32; 3]>,
    /// From losses to Steadfast's verdicts, where the server stayed up.
    judged_after: BTreeMap<String, Vec<Duration>>,
    negatives: BTreeMap<(Negative, String), (u32, Vec<&'static str>)>,
}

/// One kind of evidence in short.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    /// The mean over causes, of both kinds of logging together, of the share that is right.
    pub(crate) macro_average: f64,
    pub(crate) causes: u32,
    pub(crate) judged: u32,
    pub(crate) vague: u32,
    pub(crate) wrong: u32,
}

impl Matrix {
    pub(crate) fn of<'a>(lines: impl IntoIterator<Item = &'a Collected>) -> Self {
        let mut matrix = Self::default();
        for line in lines {
            if let Some(incident) = line.incident()
                && matches!(incident.evidence.aside.boot, Some(Boot::Same(_)))
                && let Some(time) = incident.judged_after()
            {
                let times = matrix.judged_after.entry(line.server.clone()).or_default();
                times.push(time);
            }
            match subject(line) {
                Some(Subject::Cause(cause)) => matrix.add(line, cause),
                Some(Subject::Negative(negative)) => {
                    let key = (negative, line.server.clone());
                    let (of, told) = matrix.negatives.entry(key).or_default();
                    *of += 1;
                    told.extend(incidents(line));
                }
                None => {}
            }
        }
        matrix
    }

    fn add(&mut self, line: &Collected, cause: Cause) {
        for look in Look::of(line) {
            let judged = judge(line, cause, look);
            if line.busy {
                let counts = self.busy.entry((look, line.server.clone())).or_default();
                counts[match judged.worth {
                    Worth::Wrong => 2,
                    _ if judged.answer == cause.name() => 0,
                    _ => 1,
                }] += 1;
                continue;
            }
            let key = (look, line.server.clone(), cause, line.logging);
            let cell = self.cells.entry(key).or_default();
            cell.of += 1;
            match judged.worth {
                Worth::Right => cell.right += 1,
                Worth::Vague => cell.vague += 1,
                Worth::Wrong => cell.wrong += 1,
            }
            *cell.answers.entry(judged.answer).or_default() += 1;
        }
    }

    /// Negatives of which an incident would be told.
    pub(crate) fn false_alarms(&self) -> usize {
        self.negatives.values().map(|(_, told)| told.len()).sum()
    }

    pub(crate) fn summary(&self, look: Look, server: &str) -> Summary {
        let mut rates: BTreeMap<Cause, (u32, u32)> = BTreeMap::new();
        let mut summary = Summary {
            macro_average: 0.0,
            causes: 0,
            judged: 0,
            vague: 0,
            wrong: 0,
        };
        for ((of, on, cause, _), cell) in &self.cells {
            if *of == look && on == server {
                let (right, all) = rates.entry(*cause).or_default();
                *right += cell.right;
                *all += cell.of;
                summary.judged += cell.of;
                summary.vague += cell.vague;
                summary.wrong += cell.wrong;
            }
        }
        summary.causes = rates.len() as u32;
        let sum: f64 = rates
            .values()
            .map(|(right, all)| f64::from(*right) / f64::from(*all))
            .sum();
        summary.macro_average = sum / f64::from(summary.causes.max(1));
        summary
    }

    /// Whether all is as it should be: 98 % right, nothing wrong, no false alarm.
    pub(crate) fn holds(&self, server: &str) -> bool {
        let good = |look| {
            let summary = self.summary(look, server);
            let busy = self.busy.get(&(look, server.to_owned()));
            if summary.judged == 0 {
                return busy.is_none_or(|counts| counts[2] == 0);
            }
            summary.macro_average >= 0.98
                && summary.wrong == 0
                && busy.is_none_or(|counts| counts[2] == 0)
        };
        self.false_alarms() == 0 && Look::ALL.into_iter().all(good)
    }

    fn servers(&self) -> Vec<&str> {
        let mut servers: Vec<&str> = self.cells.keys().map(|(_, on, _, _)| on.as_str()).collect();
        servers.sort_unstable();
        servers.dedup();
        servers
    }

    /// As text, in Markdown.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for look in Look::ALL {
            for server in self.servers() {
                let summary = self.summary(look, server);
                if summary.judged == 0 {
                    continue;
                }
                let _written = writeln!(
                    text,
                    "## {}, {}\n\n{:.1} % right, macro-averaged over {} causes; of {} verdicts {} said less than they \
                     could, {} were wrong.\n",
                    title(server),
                    look.name(),
                    summary.macro_average * 100.0,
                    summary.causes,
                    summary.judged,
                    summary.vague,
                    summary.wrong
                );
                let (table, reasons) = self.table(look, server);
                let _written = writeln!(text, "{table}\n");
                if !reasons.is_empty() {
                    text.push_str("Why this evidence allows no better answer:\n\n");
                    for (reason, causes) in reasons {
                        let causes = causes.into_iter().collect::<Vec<_>>().join(", ");
                        let _written = writeln!(text, "- {causes}: {reason}.");
                    }
                    text.push('\n');
                }
            }
        }
        if !self.busy.is_empty() {
            let _written = writeln!(
                text,
                "## On a busy server\n\n\
                 Others lose their connections at the same time: by leaving, in their login, by KILL. Counters tell less \
                 then, and nothing may be told that is not so.\n\n{}\n",
                self.busy_table()
            );
        }
        if !self.judged_after.is_empty() {
            text.push_str(
                "## From the loss to the verdict\n\nOf Steadfast, where the server stayed up:\n\n",
            );
            for (server, times) in &self.judged_after {
                let mut times = times.clone();
                times.sort_unstable();
                let _written = writeln!(
                    text,
                    "- {}: half of {} within {} ms, all within {} ms.",
                    title(server),
                    times.len(),
                    times[times.len() / 2].as_millis(),
                    times[times.len() - 1].as_millis()
                );
            }
            text.push('\n');
        }
        if !self.negatives.is_empty() {
            let _written = writeln!(text, "## No losses\n\n{}\n", self.negative_table());
        }
        text
    }

    /// The table, and the reasons for answers that name no cause, with the causes and the logging that they are for.
    fn table(&self, look: Look, server: &str) -> (Table, BTreeMap<&'static str, BTreeSet<String>>) {
        let mut reasons: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        let mut table = Table::new();
        report::style(&mut table);
        table.set_header([
            "cause",
            "logging",
            "injected",
            "right",
            "vague",
            "wrong",
            "taken for",
            "best possible",
        ]);
        for ((of, on, cause, logging), cell) in &self.cells {
            if *of != look || on != server {
                continue;
            }
            let answers: Vec<String> = cell
                .answers
                .iter()
                .map(|(answer, count)| format!("{answer} {count}"))
                .collect();
            let row = best(*cause, product(server), *logging, look);
            let best = match row.best {
                Best::Cause => "itself".to_owned(),
                Best::Class(name) => name.to_owned(),
                Best::Behind(names) => names.join(" or "),
                Best::Unknown => "unknown".to_owned(),
            };
            if row.best != Best::Cause {
                let causes = reasons.entry(row.reason).or_default();
                causes.insert(format!("{} ({})", cause.name(), logging.name()));
            }
            table.add_row([
                cause.name().to_owned(),
                logging.name().to_owned(),
                cell.of.to_string(),
                format!("{:.0} %", cell.rate() * 100.0),
                cell.vague.to_string(),
                cell.wrong.to_string(),
                answers.join(", "),
                best,
            ]);
        }
        (table, reasons)
    }

    fn busy_table(&self) -> Table {
        let mut table = Table::new();
        report::style(&mut table);
        table.set_header([
            "server",
            "evidence",
            "the cause",
            "a class or unknown",
            "wrong",
        ]);
        for ((look, server), counts) in &self.busy {
            let mut row = vec![title(server).to_owned(), look.name().to_owned()];
            row.extend(counts.map(|count| count.to_string()));
            table.add_row(row);
        }
        report::align(&mut table, 2);
        table
    }

    fn negative_table(&self) -> Table {
        let mut table = Table::new();
        report::style(&mut table);
        table.set_header(["what", "server", "times", "incidents"]);
        for ((negative, server), (of, told)) in &self.negatives {
            let what = negative.name().trim_start_matches("negative: ");
            let told = if told.is_empty() {
                "none".to_owned()
            } else {
                told.join(", ")
            };
            table.add_row([
                what.to_owned(),
                title(server).to_owned(),
                of.to_string(),
                told,
            ]);
        }
        table
    }
}

pub(crate) fn title(server: &str) -> &str {
    product(server).name()
}

fn product(server: &str) -> Product {
    if server == "mariadb" {
        Product::MariaDb
    } else {
        Product::MySql
    }
}
