//! Does MariaDB end itself on a slow disk?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::evidence::Product;
use crate::rule::{Setting, Step};

pub(super) const CHECK: Check = Check {
    name: "fatal-semaphore-wait",
    area: Area::Modes,
    only: Some(Product::MariaDb),
    rule: "`innodb_fatal_semaphore_wait_threshold` is below 60 s.",
    why: "MariaDB ends its own process, and all connections, when one of its threads waits longer for a latch: a disk that \
          hesitates is enough.",
    risk: "A server that really hangs, hangs for longer. It needs a restart.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![Setting::at_start_only(
            Product::MariaDb,
            "innodb_fatal_semaphore_wait_threshold",
            600,
        )]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let limit = facts
        .seconds("innodb_fatal_semaphore_wait_threshold")?
        .as_secs();
    Ok(if limit < 60 {
        vec![Found::warning(format!(
            "innodb_fatal_semaphore_wait_threshold is {limit} s"
        ))]
    } else {
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Warning;
    use super::super::testing::{mariadb, severity};

    #[test]
    fn a_few_seconds_are_found() {
        for (value, expected) in [("5", Some(Warning)), ("600", None)] {
            let facts = mariadb(&[("innodb_fatal_semaphore_wait_threshold", value)]);
            assert_eq!(severity(&facts, "fatal-semaphore-wait"), expected);
        }
    }
}
