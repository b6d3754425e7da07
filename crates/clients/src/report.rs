//! What the matrix found, for people and for machines.

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use crate::compare::{Outcome, Verdict};

/// Characters of a line that are printed; `--json` has all.
const MOST_PRINTED: usize = 800;

/// One client's operations.
pub(crate) struct Operations {
    pub(crate) client: String,
    pub(crate) tls: bool,
    pub(crate) outcomes: Vec<Outcome>,
    /// How a driver failed.
    pub(crate) failures: Vec<String>,
}

/// One client's logins to one account.
pub(crate) struct Logins {
    pub(crate) client: String,
    pub(crate) plugin: &'static str,
    pub(crate) tls: bool,
    pub(crate) verdict: Verdict,
    /// Whether a session went on after the loss of its server connection; `None` where none was taken away, or the
    /// client could not log in.
    pub(crate) survived: Option<bool>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) failures: Vec<String>,
}

impl Logins {
    fn is_failure(&self) -> bool {
        self.verdict.is_failure() || self.survived == Some(false)
    }

    fn text(&self) -> String {
        let survived = match self.survived {
            Some(true) => ", survives",
            Some(false) => ", LOST",
            None => "",
        };
        format!("{}{survived}", self.verdict.text())
    }
}

/// Where the password of a client's logins was sent in the clear.
pub(crate) struct Overheard {
    pub(crate) client: String,
    pub(crate) tls: bool,
    /// On a direct connection.
    pub(crate) directly: bool,
    /// Between the client and the proxy.
    pub(crate) through: bool,
}

/// Without TLS it answers a request for `caching_sha2_password` with the password itself. Steadfast asks it only on
/// the same machine (docs/logins.md).
const CARELESS: &str = "connector-pure";

impl Overheard {
    fn is_failure(&self) -> bool {
        self.through && (self.tls || self.client != CARELESS)
    }

    fn note(&self) -> Option<String> {
        let legs = [
            (self.directly, "on a direct connection"),
            (self.through, "to the proxy"),
        ];
        let heard = legs.iter().filter(|leg| leg.0).map(|leg| leg.1);
        let heard: Vec<_> = heard.collect();
        let wrong = if self.is_failure() { ": WRONG" } else { "" };
        (!heard.is_empty()).then(|| {
            format!(
                "password in the clear: {} ({}), {}{wrong}",
                self.client,
                on_off(self.tls),
                heard.join(" and ")
            )
        })
    }
}

/// Everything that was found with one server.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) server: String,
    pub(crate) through: String,
    pub(crate) operations: Vec<Operations>,
    pub(crate) logins: Vec<Logins>,
    pub(crate) overheard: Vec<Overheard>,
    /// Clients that cannot run on this machine, and why.
    pub(crate) absent: Vec<(String, String)>,
    /// Why the proxy ended before its time.
    pub(crate) proxy_ended: Option<String>,
}

/// How a transport is called in tables.
pub(crate) fn on_off(tls: bool) -> &'static str {
    if tls { "TLS" } else { "plain" }
}

impl Report {
    /// How many cells speak against the proxy.
    pub(crate) fn failed(&self) -> usize {
        let operations = self
            .operations
            .iter()
            .flat_map(|run| &run.outcomes)
            .filter(|o| o.verdict.is_failure())
            .count();
        let logins = self
            .logins
            .iter()
            .filter(|login| login.is_failure())
            .count();
        let overheard = self.overheard.iter().filter(|o| o.is_failure()).count();
        operations + logins + overheard + usize::from(self.proxy_ended.is_some())
    }

    /// Differences, tables and what could not run.
    pub(crate) fn print(&self) {
        for run in &self.operations {
            let whose = format!("{} ({})", run.client, on_off(run.tls));
            print_details(&whose, &run.outcomes, &run.failures, |outcome| {
                outcome.verdict.is_failure()
            });
        }
        for login in &self.logins {
            let whose = format!("{}, {} ({})", login.client, login.plugin, on_off(login.tls));
            print_details(&whose, &login.outcomes, &login.failures, |_| {
                login.is_failure()
            });
        }
        println!("\n{}, direct against {}", self.server, self.through);
        if !self.operations.is_empty() {
            println!("{}", self.operations_table());
        }
        if !self.logins.is_empty() {
            println!("{}", self.logins_table());
            for note in self.refusals() {
                println!("{note}");
            }
            for note in self.overheard.iter().filter_map(Overheard::note) {
                println!("{note}");
            }
            println!(
                "equal: right password (twice) and wrong password as on a direct connection; refused: the client"
            );
            println!(
                "cannot log in directly either; better: it can through the proxy only; -: no such operation"
            );
            println!(
                "survives: the session went on after its server connection was taken away; LOST: it did not"
            );
        }
        for (client, reason) in &self.absent {
            println!("not run: {client}: {reason}");
        }
        if let Some(reason) = &self.proxy_ended {
            println!("{reason}");
        }
        let (refused, unsupported) = (
            self.count(Verdict::Refused),
            self.count(Verdict::Unsupported),
        );
        println!(
            "{} of {} cells are wrong; {refused} could not log in directly, {unsupported} have no such operation",
            self.failed(),
            self.cells()
        );
    }

    fn cells(&self) -> usize {
        self.operations
            .iter()
            .map(|run| run.outcomes.len())
            .sum::<usize>()
            + self.logins.len()
    }

    fn count(&self, verdict: Verdict) -> usize {
        let operations = self
            .operations
            .iter()
            .flat_map(|run| &run.outcomes)
            .map(|outcome| outcome.verdict);
        operations
            .chain(self.logins.iter().map(|login| login.verdict))
            .filter(|found| *found == verdict)
            .count()
    }

    /// Why clients cannot log in directly, once per client and plugin.
    fn refusals(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for login in &self.logins {
            let right = login.outcomes.first();
            let Some(reason) = right.and_then(|outcome| outcome.refusal.as_deref()) else {
                continue;
            };
            let how = login.verdict.text();
            let note = format!(
                "{how}: {}, {}, direct: {}",
                login.client,
                login.plugin,
                reason.trim()
            );
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
        notes
    }

    fn operations_table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        let heads = self
            .operations
            .iter()
            .map(|run| format!("{} ({})", run.client, on_off(run.tls)));
        table.set_header(["operation".to_owned()].into_iter().chain(heads));
        let names = self
            .operations
            .first()
            .map(|run| run.outcomes.iter().map(|outcome| outcome.op.clone()));
        for (row, name) in names.into_iter().flatten().enumerate() {
            let cells = self.operations.iter().map(|run| {
                run.outcomes
                    .get(row)
                    .map_or("MISSING", |outcome| outcome.verdict.text())
                    .to_owned()
            });
            table.add_row([name].into_iter().chain(cells));
        }
        table
    }

    fn logins_table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        let mut columns: Vec<(&str, bool)> = Vec::new();
        let mut clients: Vec<&str> = Vec::new();
        for login in &self.logins {
            if !columns.contains(&(login.plugin, login.tls)) {
                columns.push((login.plugin, login.tls));
            }
            if !clients.contains(&login.client.as_str()) {
                clients.push(&login.client);
            }
        }
        let heads = columns
            .iter()
            .map(|(plugin, tls)| format!("{plugin} ({})", on_off(*tls)));
        table.set_header(["login".to_owned()].into_iter().chain(heads));
        for client in clients {
            let cells = columns.iter().map(|&(plugin, tls)| {
                let here = |login: &&Logins| {
                    login.client == client && login.plugin == plugin && login.tls == tls
                };
                self.logins
                    .iter()
                    .find(here)
                    .map_or(String::new(), Logins::text)
            });
            table.add_row([client.to_owned()].into_iter().chain(cells));
        }
        table
    }

    /// The same for machines; every line that differs in full.
    pub(crate) fn json(&self) -> Value {
        let operations = self.operations.iter().map(|run| {
            json!({
                "client": run.client, "tls": run.tls, "failures": run.failures,
                "operations": run.outcomes.iter().map(outcome_json).collect::<Vec<_>>(),
            })
        });
        let logins = self.logins.iter().map(|login| {
            json!({
                "client": login.client, "plugin": login.plugin, "tls": login.tls, "failures": login.failures,
                "verdict": login.verdict.text(), "survived": login.survived,
                "logins": login.outcomes.iter().map(outcome_json).collect::<Vec<_>>(),
            })
        });
        let absent = self
            .absent
            .iter()
            .map(|(client, reason)| json!({ "client": client, "reason": reason }));
        json!({
            "server": self.server,
            "through": self.through,
            "operations": operations.collect::<Vec<_>>(),
            "logins": logins.collect::<Vec<_>>(),
            "in_the_clear": self.overheard.iter().filter_map(Overheard::note).collect::<Vec<_>>(),
            "not_run": absent.collect::<Vec<_>>(),
            "proxy_ended": self.proxy_ended,
            "cells": self.cells(),
            "wrong": self.failed(),
        })
    }
}

fn outcome_json(outcome: &Outcome) -> Value {
    let differences = outcome.differences.iter();
    json!({
        "operation": outcome.op,
        "verdict": outcome.verdict.text(),
        "direct_refusal": outcome.refusal,
        "differences": differences.map(|(direct, through)| json!({ "direct": direct, "through": through })).collect::<Vec<_>>(),
    })
}

fn print_details(
    whose: &str,
    outcomes: &[Outcome],
    failures: &[String],
    shown: impl Fn(&Outcome) -> bool,
) {
    for failure in failures {
        println!("{whose}: {failure}");
    }
    for outcome in outcomes.iter().filter(|outcome| shown(outcome)) {
        for (direct, through) in &outcome.differences {
            let (direct, through) = excerpts(direct, through);
            println!(
                "{whose}, {}:\n  direct:  {direct}\n  through: {through}",
                outcome.op
            );
        }
    }
}

/// Both lines from a little before the place where they part.
fn excerpts(direct: &Option<Value>, through: &Option<Value>) -> (String, String) {
    let text = |line: &Option<Value>| {
        line.as_ref()
            .map_or("(nothing)".to_owned(), Value::to_string)
    };
    let (direct, through) = (text(direct), text(through));
    let same = direct
        .chars()
        .zip(through.chars())
        .take_while(|(a, b)| a == b)
        .count();
    let skipped = if same > MOST_PRINTED / 4 {
        same - MOST_PRINTED / 8
    } else {
        0
    };
    let cut = |text: &str| {
        let shown: String = text.chars().skip(skipped).take(MOST_PRINTED).collect();
        let before = if skipped > 0 { "…" } else { "" };
        let after = if text.chars().count() > skipped + MOST_PRINTED {
            "…"
        } else {
            ""
        };
        format!("{before}{shown}{after}")
    };
    (cut(&direct), cut(&through))
}
