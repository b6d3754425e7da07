//! How long does a statement wait for a row?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Setting, Step};

pub(super) const CHECK: Check = Check {
    name: "lock-wait-timeout",
    area: Area::Timeouts,
    only: None,
    rule: "`innodb_lock_wait_timeout` is over 300 s, or below 5 s.",
    why: "A statement that waits longer for a row than its client waits for an answer is seen as a lost connection, and goes on \
          waiting. One that hardly waits fails with 1205 where a moment would have been enough.",
    risk: "Applications that need to wait for long get 1205.",
    look,
    fix: |_: &Facts| -> Vec<Step> { vec![Setting::live("innodb_lock_wait_timeout", 50)] },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let limit = facts.seconds("innodb_lock_wait_timeout")?.as_secs();
    Ok(match limit {
        0..5 => vec![Found::note(format!(
            "innodb_lock_wait_timeout is {limit} s: statements hardly wait"
        ))],
        5..=300 => Vec::new(),
        _ => vec![Found::note(format!(
            "innodb_lock_wait_timeout is {limit} s: clients give up before the server does"
        ))],
    })
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Note;
    use super::super::testing::on_both;

    #[test]
    fn too_little_and_too_much_are_notes() {
        on_both(
            "lock-wait-timeout",
            "innodb_lock_wait_timeout",
            &[
                ("1", Some(Note)),
                ("50", None),
                ("300", None),
                ("3600", Some(Note)),
            ],
        );
    }
}
