//! Does a replica take what its source may send?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::evidence::Product;
use crate::rule::{Setting, Step};
use crate::words::size;

const DEFAULT: u64 = 1 << 30;

pub(super) const CHECK: Check = Check {
    name: "replica-packet",
    area: Area::Packets,
    only: None,
    rule: "`replica_max_allowed_packet` (`slave_max_allowed_packet` on MariaDB and MySQL 5.7) is below `max_allowed_packet`.",
    why: "A row that a client may write may be too large for a replica, whose connection to its source then ends with 1236 again \
          and again: it stays behind, and nobody can fail over to it.",
    risk: "None worth naming: it is a limit, not a buffer.",
    look,
    fix: |facts: &Facts| -> Vec<Step> {
        let mut steps = vec![Setting::only(
            Product::MariaDb,
            "slave_max_allowed_packet",
            DEFAULT,
        )];
        steps.push(Setting::only(Product::MySql, name(facts), DEFAULT));
        steps
    },
};

/// MySQL 8.0.26 has the new name, and both for a while.
fn name(facts: &Facts) -> &'static str {
    let has_old_only = facts.number("slave_max_allowed_packet").is_ok()
        && facts.number("replica_max_allowed_packet").is_err();
    if has_old_only {
        "slave_max_allowed_packet"
    } else {
        "replica_max_allowed_packet"
    }
}

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let name = name(facts);
    let (replica, limit) = (facts.number(name)?, facts.number("max_allowed_packet")?);
    Ok(if replica < limit {
        vec![Found::warning(format!(
            "{name} is {}, max_allowed_packet {}",
            size(replica),
            size(limit)
        ))]
    } else {
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Warning;
    use super::super::testing::{mariadb, mysql, severity};

    #[test]
    fn the_name_is_the_servers() {
        for (value, expected) in [("1073741824", None), ("1048576", Some(Warning))] {
            let limit = ("max_allowed_packet", "16777216");
            assert_eq!(
                severity(
                    &mysql(&[("replica_max_allowed_packet", value), limit]),
                    "replica-packet"
                ),
                expected
            );
            assert_eq!(
                severity(
                    &mariadb(&[("slave_max_allowed_packet", value), limit]),
                    "replica-packet"
                ),
                expected
            );
        }
    }
}
