//! What the demo has shown: the judgement, in words and as JSON.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::bank::{Audit, CLIENTS};
use super::faults::Fault;
use super::screen::{Paint, clock, seconds};
use super::steadfast::Incident;
use super::tally::{Failure, Fate, Tally};

/// Different failures that are shown.
const FAILURES_SHOWN: usize = 5;

/// The outcome of a demo.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Report {
    /// Kind and version.
    pub(super) server: String,
    /// Whether Steadfast's side was as promised.
    pub(super) kept: bool,
    /// What was not, in people's words.
    pub(super) broken: Vec<String>,
    pub(super) seconds: u64,
    pub(super) direct: SideReport,
    pub(super) steadfast: SideReport,
    pub(super) faults: Vec<FaultReport>,
}

/// What one side's clients saw, and what the server holds in the end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct SideReport {
    clients: usize,
    transfers: usize,
    reads: u64,
    /// Failures seen by clients; without `unknown_told`.
    failures: usize,
    /// Of these, errors 1213.
    retries: usize,
    /// COMMITs of unknown outcome, of which the client was told so: 1180/08007.
    unknown_told: usize,
    /// COMMITs of unknown outcome: the client saw only that its connection was lost.
    unknown_untold: usize,
    longest_pause_ms: u64,
    #[serde(flatten)]
    audit: Audit,
    /// The most frequent failures.
    messages: Vec<Counted>,
}

/// Equal lines.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Counted {
    count: usize,
    what: String,
}

/// A fault and what came of it until the next.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct FaultReport {
    at_ms: u64,
    fault: Fault,
    direct_failures: usize,
    steadfast_failures: usize,
    incidents: Vec<IncidentReport>,
}

/// Equal incidents of Steadfast's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct IncidentReport {
    count: usize,
    what: String,
    /// The error that the clients were told, or 0.
    error: u16,
    longest_wait_ms: u64,
}

impl SideReport {
    pub(super) fn new(tally: &Tally, audit: Audit) -> Self {
        let (transfers, failures) = (tally.transfers(), tally.failures());
        let count = |wanted| transfers.iter().filter(|(_, fate)| *fate == wanted).count();
        Self {
            clients: CLIENTS,
            transfers: count(Fate::Acknowledged),
            reads: tally.reads(),
            failures: failures.len(),
            retries: failures.iter().filter(|failure| failure.retry).count(),
            unknown_told: count(Fate::Doubtful),
            unknown_untold: count(Fate::Untold),
            longest_pause_ms: millis(tally.glance().longest_pause),
            audit,
            messages: counted(failures.into_iter().map(|failure| failure.what)),
        }
    }

    /// What is not as promised for Steadfast's side. No 1213 is excused: nobody else changes
    /// the rows of a client's transactions.
    fn broken(&self) -> Vec<String> {
        let audit = &self.audit;
        let mut broken = Vec::new();
        let mut check = |wrong: bool, what: String| {
            if wrong {
                broken.push(what);
            }
        };
        check(self.transfers == 0, "no transfer was made".to_owned());
        check(
            self.failures > 0,
            format!("clients saw {}", plural(self.failures, "failure")),
        );
        check(
            self.unknown_told > 0,
            format!(
                "the outcome of {} stayed unknown",
                plural(self.unknown_told, "COMMIT")
            ),
        );
        check(
            audit.lost > 0,
            format!("{} lost", plural(audit.lost, "acknowledged transfer")),
        );
        check(
            audit.doubled > 0,
            format!("{} made twice", plural(audit.doubled, "transfer")),
        );
        check(
            audit.made_though_failed > 0,
            format!(
                "{} made that the client was told had failed",
                plural(audit.made_though_failed, "transfer")
            ),
        );
        check(
            audit.sum_after != audit.sum_before,
            format!(
                "the balances add up to {}, not {}",
                audit.sum_after, audit.sum_before
            ),
        );
        check(
            audit.accounts_wrong > 0,
            format!(
                "{} accounts do not fit their transfers",
                audit.accounts_wrong
            ),
        );
        broken
    }
}

impl Report {
    pub(super) fn new(
        server: String,
        took: Duration,
        direct: SideReport,
        steadfast: SideReport,
        faults: Vec<FaultReport>,
    ) -> Self {
        let broken = steadfast.broken();
        Self {
            server,
            kept: broken.is_empty(),
            broken,
            seconds: took.as_secs(),
            direct,
            steadfast,
            faults,
        }
    }

    /// For people.
    pub(super) fn text(&self, paint: Paint) -> String {
        let mut lines = vec![String::new()];
        self.sides(paint, &mut lines);
        self.messages(paint, &mut lines);
        self.course(paint, &mut lines);
        lines.push(String::new());
        lines.push(self.verdict(paint));
        lines.join("\n") + "\n"
    }

    fn sides(&self, paint: Paint, lines: &mut Vec<String>) {
        let (direct, steadfast) = (&self.direct, &self.steadfast);
        let title = format!(
            "{}, {} s, {CLIENTS} clients each",
            self.server, self.seconds
        );
        let heading = format!("{title:<44}{:>12}{:>20}", "direct", "through Steadfast");
        lines.push(paint.bold(&heading));
        let mut row = |name: &str, left: String, right: String, good: Option<[bool; 2]>| {
            let (left, right) = (format!("{left:>12}"), format!("{right:>20}"));
            let (left, right) = match good {
                Some([l, r]) => (paint.verdict(l, &left), paint.verdict(r, &right)),
                None => (left, right),
            };
            lines.push(format!("  {name:<42}{left}{right}"));
        };
        let mut count = |name: &str, left: usize, right: usize, judged: bool| {
            let good = judged.then_some([left == 0, right == 0]);
            row(name, left.to_string(), right.to_string(), good);
        };
        count(
            "transfers done",
            direct.transfers,
            steadfast.transfers,
            false,
        );
        count(
            "failures seen by clients",
            direct.failures,
            steadfast.failures,
            true,
        );
        if direct.unknown_untold + steadfast.unknown_untold > 0 {
            count(
                "  of these, COMMITs of unknown outcome",
                direct.unknown_untold,
                steadfast.unknown_untold,
                true,
            );
        }
        count(
            "outcome unknown (told so)",
            direct.unknown_told,
            steadfast.unknown_told,
            true,
        );
        count(
            "lost transfers",
            direct.audit.lost,
            steadfast.audit.lost,
            true,
        );
        count(
            "double transfers",
            direct.audit.doubled,
            steadfast.audit.doubled,
            true,
        );
        let moved = |side: &SideReport| {
            if side.audit.sum_after == side.audit.sum_before && side.audit.accounts_wrong == 0 {
                "unchanged".to_owned()
            } else {
                format!("{:+}", side.audit.sum_after - side.audit.sum_before)
            }
        };
        row("sum of all balances", moved(direct), moved(steadfast), None);
        let pause = |side: &SideReport| seconds(Duration::from_millis(side.longest_pause_ms));
        row(
            "longest time without an answer",
            pause(direct),
            pause(steadfast),
            None,
        );
    }

    /// The failures that Steadfast should have hidden.
    fn messages(&self, paint: Paint, lines: &mut Vec<String>) {
        if self.steadfast.messages.is_empty() {
            return;
        }
        lines.push(String::new());
        lines.push(paint.bold("Failures seen through Steadfast"));
        for message in self.steadfast.messages.iter().take(FAILURES_SHOWN) {
            lines.push(format!("  {} × {}", message.count, message.what));
        }
        let more = self.steadfast.messages.len().saturating_sub(FAILURES_SHOWN);
        if more > 0 {
            lines.push(format!("  and {more} others"));
        }
    }

    /// Each fault, and the incidents that Steadfast made of it.
    fn course(&self, paint: Paint, lines: &mut Vec<String>) {
        lines.push(String::new());
        lines.push(paint.bold("Each fault, and what Steadfast hid from its clients"));
        for fault in &self.faults {
            lines.push(format!(
                "  {:>5}  {}: {} direct, {} through Steadfast",
                clock(Duration::from_millis(fault.at_ms)),
                fault.fault.name(),
                paint.verdict(
                    fault.direct_failures == 0,
                    &plural(fault.direct_failures, "failure")
                ),
                paint.verdict(
                    fault.steadfast_failures == 0,
                    &fault.steadfast_failures.to_string()
                ),
            ));
            for incident in &fault.incidents {
                // The heading says it.
                let what = incident.what.trim_end_matches(", the client saw nothing");
                lines.push(format!("         {:>4} × {what}", incident.count));
            }
            if fault.incidents.is_empty() {
                lines.push("                no connection was lost; the clients waited".to_owned());
            }
        }
    }

    fn verdict(&self, paint: Paint) -> String {
        if self.kept {
            let kept = "Steadfast kept its promise: no failure reached its clients, nothing was lost, nothing was done twice.";
            paint.verdict(true, kept)
        } else {
            let broken = format!("Steadfast broke its promise: {}.", self.broken.join("; "));
            paint.verdict(false, &broken)
        }
    }
}

/// Puts failures and incidents to the fault that was the last before them; what came before the
/// first fault is put to the first.
pub(super) fn attribute(
    workload_begun: Instant,
    faults: &[(Instant, Fault)],
    direct: &[Failure],
    steadfast: &[Failure],
    incidents: &[Incident],
) -> Vec<FaultReport> {
    let starts: Vec<Instant> = faults.iter().map(|(at, _)| *at).collect();
    let cause = |at: Instant| {
        starts
            .partition_point(|start| *start <= at)
            .saturating_sub(1)
    };
    let failures = |side: &[Failure], n: usize| {
        side.iter()
            .filter(|failure| cause(workload_begun + failure.at) == n)
            .count()
    };
    faults
        .iter()
        .enumerate()
        .map(|(n, (at, fault))| FaultReport {
            at_ms: millis(at.saturating_duration_since(workload_begun)),
            fault: *fault,
            direct_failures: failures(direct, n),
            steadfast_failures: failures(steadfast, n),
            incidents: grouped(
                incidents
                    .iter()
                    .filter(|incident| cause(incident.lost) == n),
            ),
        })
        .collect()
}

fn grouped<'a>(incidents: impl Iterator<Item = &'a Incident>) -> Vec<IncidentReport> {
    let mut groups: BTreeMap<(&str, u16), (usize, Duration)> = BTreeMap::new();
    for incident in incidents {
        let (count, longest) = groups.entry((&incident.what, incident.error)).or_default();
        *count += 1;
        *longest = incident.waited.max(*longest);
    }
    let mut reports: Vec<IncidentReport> = groups
        .into_iter()
        .map(|((what, error), (count, longest))| IncidentReport {
            count,
            what: what.to_owned(),
            error,
            longest_wait_ms: millis(longest),
        })
        .collect();
    reports.sort_by_key(|report| std::cmp::Reverse(report.count));
    reports
}

fn counted(lines: impl Iterator<Item = String>) -> Vec<Counted> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for line in lines {
        *counts.entry(line).or_default() += 1;
    }
    let mut counted: Vec<Counted> = counts
        .into_iter()
        .map(|(what, count)| Counted { count, what })
        .collect();
    counted.sort_by_key(|line| std::cmp::Reverse(line.count));
    counted
}

fn plural(count: usize, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audit() -> Audit {
        Audit {
            lost: 0,
            doubled: 0,
            made_though_failed: 0,
            unknown_made: 0,
            sum_before: 60_000,
            sum_after: 60_000,
            accounts_wrong: 0,
        }
    }

    /// A workload of one failure at 2 s, one transfer, and a COMMIT of that fate.
    fn side(failures: usize, commit: Fate, audit: Audit) -> SideReport {
        let tally = Tally::new(CLIENTS, Instant::now());
        tally.transfer(1, Fate::Acknowledged);
        tally.transfer(2, commit);
        for _ in 0..failures {
            tally.failed("2013 (HY000): Lost connection".to_owned(), false);
        }
        SideReport::new(&tally, audit)
    }

    fn report(steadfast: SideReport) -> Report {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let incident = |seconds, what: &str, error| Incident {
            lost: at(seconds),
            what: what.to_owned(),
            waited: Duration::from_millis(300),
            error,
        };
        let idle = "the server closed the connection; the session was idle, the client saw nothing";
        let resolved = "the server closed the connection; what was lost had been committed, as the ledger tells, \
                        the client saw nothing";
        let lost = |seconds| Failure {
            at: Duration::from_secs(seconds),
            what: "lost".to_owned(),
            retry: false,
        };
        let faults = attribute(
            begun,
            &[(at(1), Fault::Kill), (at(5), Fault::Freeze)],
            &[lost(2), lost(3)],
            &[],
            &[
                incident(1, resolved, 0),
                incident(2, idle, 0),
                incident(3, idle, 0),
            ],
        );
        let direct = side(2, Fate::Untold, audit());
        Report::new(
            "MariaDB 10.11.19".to_owned(),
            Duration::from_secs(15),
            direct,
            steadfast,
            faults,
        )
    }

    #[test]
    fn a_kept_promise_in_words() {
        let report = report(side(0, Fate::Acknowledged, audit()));
        assert!(report.kept);
        insta::assert_snapshot!(report.text(Paint::none()));
    }

    #[test]
    fn a_broken_promise_in_words() {
        let bad = Audit {
            lost: 1,
            sum_after: 59_990,
            ..audit()
        };
        let report = report(side(1, Fate::Failed, bad));
        assert!(!report.kept);
        insta::assert_snapshot!(report.text(Paint::none()));
    }

    #[test]
    fn each_promise_can_be_broken() {
        let good = || side(0, Fate::Acknowledged, audit());
        assert!(good().broken().is_empty());
        for (broken, part) in [
            (
                SideReport {
                    transfers: 0,
                    ..good()
                },
                "no transfer",
            ),
            (
                SideReport {
                    failures: 1,
                    ..good()
                },
                "1 failure",
            ),
            (
                SideReport {
                    unknown_told: 1,
                    ..good()
                },
                "1 COMMIT stayed unknown",
            ),
            (
                SideReport {
                    audit: Audit { lost: 2, ..audit() },
                    ..good()
                },
                "2 acknowledged transfers lost",
            ),
            (
                SideReport {
                    audit: Audit {
                        doubled: 1,
                        ..audit()
                    },
                    ..good()
                },
                "1 transfer made twice",
            ),
            (
                SideReport {
                    audit: Audit {
                        made_though_failed: 1,
                        ..audit()
                    },
                    ..good()
                },
                "told had failed",
            ),
            (
                SideReport {
                    audit: Audit {
                        sum_after: 1,
                        ..audit()
                    },
                    ..good()
                },
                "add up to 1",
            ),
            (
                SideReport {
                    audit: Audit {
                        accounts_wrong: 1,
                        ..audit()
                    },
                    ..good()
                },
                "do not fit",
            ),
        ] {
            let broken = broken.broken();
            assert_eq!(broken.len(), 1);
            assert!(broken[0].contains(part), "{broken:?}");
        }
    }
}
