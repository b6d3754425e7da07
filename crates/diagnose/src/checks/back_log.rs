//! May few connections wait to be accepted?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Setting, Step, advise};

const FEW: u64 = 50;

pub(super) const CHECK: Check = Check {
    name: "back-log",
    area: Area::State,
    only: None,
    rule: "`back_log` is below 50 (note; warning where more than 100 connections a second are made while doctor looks).",
    why: "Of connections that come at the same moment, after a deploy or a network failure, the kernel drops those that do not \
          fit the queue: they wait for seconds, or time out.",
    risk: "None worth naming. It needs a restart.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            Setting::at_start("back_log", 1024),
            advise(
                "The kernel's net.core.somaxconn limits it: 4096 is its default since Linux 5.4.",
            ),
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let length = facts.number("back_log")?;
    if length >= FEW {
        return Ok(Vec::new());
    }
    let seen = format!("back_log is {length}");
    Ok(vec![
        match facts.rate("connections").filter(|rate| *rate > 100.0) {
            Some(rate) => Found::warning(format!(
                "{seen}, and {rate:.0} connections a second are made"
            )),
            None => Found::note(seen),
        },
    ])
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Note;
    use super::super::testing::on_both;

    #[test]
    fn a_short_queue_is_a_note() {
        on_both(
            "back-log",
            "back_log",
            &[("5", Some(Note)), ("80", None), ("10000", None)],
        );
    }
}
