//! Does the server fail to take connections?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};

/// Counters, and what they mean. Too many connections, wrong clients and names are other checks' or nobody's fault.
const COUNTERS: [(&str, &str); 3] = [
    ("connection_errors_accept", "could not be accepted"),
    (
        "connection_errors_internal",
        "failed for want of memory or threads",
    ),
    (
        "connection_errors_select",
        "failed while the server waited for them",
    ),
];

pub(super) const CHECK: Check = Check {
    name: "connection-errors",
    area: Area::State,
    only: None,
    rule: "`Connection_errors_accept`, `Connection_errors_internal` or `Connection_errors_select` moves while doctor looks (error), or \
           has moved since the server's start (note).",
    why: "The server had no file, thread or memory left for a connection: its client gets an error, or no greeting at all.",
    risk: "None worth naming: they are limits.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            advise(
                "Look at what the server's error log says at the same time: \"Can't create thread\", \"Too many open files\".",
            ),
            advise(
                "Raise the limits of its unit: LimitNOFILE, TasksMax; of its container: pids; or give it memory.",
            ),
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let mut found = Vec::new();
    for (name, what) in COUNTERS {
        let count = facts.counter(name)?;
        if facts.rate(name).is_some_and(|rate| rate > 0.0) {
            found.push(Found::error(format!(
                "connections fail now: {count} {what}"
            )));
        } else if count > 0 {
            found.push(Found::note(format!(
                "since the server's start {count} connections {what}"
            )));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::super::Severity::{Error, Note};
    use super::super::facts::{Later, Seen};
    use super::super::testing::{mysql, severity};
    use super::*;

    #[test]
    fn now_is_worse_than_once() {
        let counts = |accept| {
            let none = "0";
            mysql(&[]).counting(&[
                (COUNTERS[0].0, accept),
                (COUNTERS[1].0, none),
                (COUNTERS[2].0, none),
            ])
        };
        for (first, then, expected) in [
            ("0", "0", None),
            ("3", "3", Some(Note)),
            ("3", "4", Some(Error)),
        ] {
            let mut facts = counts(first);
            facts.later = Seen::Is(Later {
                after: Duration::from_secs(5),
                status: counts(then).status,
            });
            assert_eq!(severity(&facts, "connection-errors"), expected);
        }
    }
}
