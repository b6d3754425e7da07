//! The comparison as tables: one line per way, and the failures of each fault by way.

use std::collections::BTreeMap;

use comfy_table::Table;

use super::{SEEN_AS_FAILURE, Way};
use crate::check::Kind;
use crate::faults::Fault;
use crate::report::{LegReport, ProfileReport, align, style};

/// Whether it is more than a failure that the client was told.
pub(super) fn is_wrong(kind: Kind) -> bool {
    !SEEN_AS_FAILURE.contains(&kind)
}

/// Violations in a leg that are more than failures.
pub(super) fn wrong(leg: &LegReport) -> u64 {
    Sums::of([leg].into_iter()).wrong()
}

/// What one cell or line is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sums {
    faults: u64,
    statements: u64,
    /// Errors and lost connections, seen by clients.
    failures: u64,
    /// Of these: a COMMIT or a write outside a transaction of which the client does not know what became.
    unknown: u64,
    /// Of these: 1213, certainly rolled back.
    refused: u64,
    lost: u64,
    doubled: u64,
    otherwise_wrong: u64,
}

impl Sums {
    fn of<'a>(legs: impl Iterator<Item = &'a LegReport>) -> Self {
        let mut total = ProfileReport::default();
        let mut faults = 0;
        for leg in legs {
            total.add(&leg.total());
            if leg.fault != Fault::None.name() {
                faults += u64::from(leg.rounds);
            }
        }
        let stats = &total.stats;
        let otherwise: Vec<Kind> = Kind::ALL
            .iter()
            .map(|(kind, _)| *kind)
            .filter(|kind| is_wrong(*kind) && !matches!(kind, Kind::Lost | Kind::Doubled))
            .collect();
        Self {
            faults,
            statements: stats.operations,
            failures: total.count(&[Kind::ClientVisible]) + stats.doubt + stats.refused,
            unknown: stats.doubt + stats.unanswered,
            refused: stats.refused,
            lost: total.count(&[Kind::Lost]),
            doubled: total.count(&[Kind::Doubled]),
            otherwise_wrong: total.count(&otherwise),
        }
    }

    fn wrong(&self) -> u64 {
        self.lost + self.doubled + self.otherwise_wrong
    }

    /// `12 (3)`: failures, and those of unknown outcome; what is wrong is named.
    fn brief(&self) -> String {
        let mut text = match self.unknown {
            0 => self.failures.to_string(),
            unknown => format!("{} ({unknown})", self.failures),
        };
        for (count, what) in [
            (self.lost, "lost"),
            (self.doubled, "doubled"),
            (self.otherwise_wrong, "wrong"),
        ] {
            if count > 0 {
                text.push_str(&format!(", {count} {what}"));
            }
        }
        text
    }
}

const COLUMNS: [&str; 9] = [
    "way",
    "faults",
    "statements",
    "failures",
    "of these: outcome unknown",
    "of these: 1213",
    "lost",
    "doubled",
    "otherwise wrong",
];

/// The tables; `notes`: why a way was not measured, or not to the end.
pub(super) fn tables(legs: &[LegReport], notes: &[(Way, String)]) -> String {
    let of = |way: Way| legs.iter().filter(move |leg| leg.front == way.name());
    let measured: Vec<Way> = Way::ALL
        .into_iter()
        .filter(|way| of(*way).next().is_some())
        .collect();
    let mut ways = Table::new();
    style(&mut ways);
    ways.set_header(COLUMNS);
    for way in Way::ALL {
        if measured.contains(&way) {
            let sums = Sums::of(of(way));
            let mut row = vec![named(way, of(way))];
            row.extend(
                [
                    sums.faults,
                    sums.statements,
                    sums.failures,
                    sums.unknown,
                    sums.refused,
                    sums.lost,
                    sums.doubled,
                    sums.otherwise_wrong,
                ]
                .map(|count| count.to_string()),
            );
            ways.add_row(row);
        } else if notes.iter().any(|(noted, _)| *noted == way) {
            ways.add_row([way.title(), "not measured"]);
        }
    }
    align(&mut ways, 1);

    let mut by_fault: BTreeMap<Fault, Vec<&LegReport>> = BTreeMap::new();
    for leg in legs {
        if let Ok(fault) = <Fault as clap::ValueEnum>::from_str(&leg.fault, false) {
            by_fault.entry(fault).or_default().push(leg);
        }
    }
    let mut faults = Table::new();
    style(&mut faults);
    faults.set_header(
        ["fault"]
            .into_iter()
            .chain(measured.iter().map(|way| way.title())),
    );
    for (fault, legs) in by_fault {
        let mut row = vec![fault.name().to_owned()];
        for way in &measured {
            let mut legs = legs.iter().filter(|leg| leg.front == way.name()).peekable();
            row.push(match legs.peek() {
                Some(_) => Sums::of(legs.copied()).brief(),
                None => "-".to_owned(),
            });
        }
        faults.add_row(row);
    }
    align(&mut faults, 1);

    let mut text = format!("{ways}\n\nFailures (of these: outcome unknown) by fault:\n\n{faults}");
    for (way, why) in notes {
        text.push_str(&format!("\n\n{}: {why}", way.title()));
    }
    text
}

/// The way with the version that was measured.
fn named<'a>(way: Way, mut legs: impl Iterator<Item = &'a LegReport>) -> String {
    match legs.find_map(|leg| leg.front_version.as_ref()) {
        Some(version) => format!("{} {version}", way.title()),
        None => way.title().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leg(front: &str, fault: &str, profile: &str) -> LegReport {
        serde_json::from_str(&format!(
            r#"{{"server":"mysql","front":"{front}","front_version":"1.2","fault":"{fault}","rounds":2,"clients":12,
                "seed":1,"seconds":1.0,"slowest_recovery_ms":1,"violations":[],"profiles":{{"p":{profile}}}}}"#
        ))
        .unwrap()
    }

    fn profile(violations: &str) -> String {
        format!(
            r#"{{"operations":100,"transactions":9,"interrupted":0,"longest_pause_ms":0,"refused":1,"doubt":2,
                "doubt_present":0,"doubt_absent":0,"proved":0,"unanswered":4,"violations":{violations}}}"#
        )
    }

    #[test]
    fn failures_are_errors_doubts_and_refusals_each_counted_once() {
        let found = r#"{"client-visible":7,"unproved1213":1,"lost":1,"doubled":3,"wrong-id":5}"#;
        let leg = leg("proxysql", "kill", &profile(found));
        let sums = Sums::of([&leg].into_iter());
        let wanted = Sums {
            faults: 2,
            statements: 100,
            failures: 10,
            unknown: 6,
            refused: 1,
            lost: 1,
            doubled: 3,
            otherwise_wrong: 5,
        };
        assert_eq!(sums, wanted);
        assert_eq!(sums.brief(), "10 (6), 1 lost, 3 doubled, 5 wrong");
        assert_eq!(wrong(&leg), 9);
    }

    #[test]
    fn the_control_is_no_fault_and_what_was_not_measured_is_said() {
        let legs = [
            leg("direct", "none", &profile("{}")),
            leg("direct", "commit-fin", &profile("{}")),
            leg("haproxy", "none", &profile("{}")),
        ];
        assert_eq!(Sums::of(legs[..2].iter()).faults, 2);
        let text = tables(&legs, &[(Way::Proxysql, "not found".to_owned())]);
        assert!(text.contains("HAProxy 1.2"), "{text}");
        assert!(
            text.contains("ProxySQL") && text.contains("not measured"),
            "{text}"
        );
        assert!(text.ends_with("ProxySQL: not found"), "{text}");
        let row = text
            .lines()
            .find(|line| line.contains("commit-fin"))
            .unwrap();
        assert!(row.contains("3 (6)") && row.contains(" - "), "{row}");
        assert!(!text.contains("MySQL Router"), "{text}");
    }
}
