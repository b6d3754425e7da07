//! Is a disk nearly full?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};
use crate::words::size;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

pub(super) const CHECK: Check = Check {
    name: "disk-space",
    area: Area::State,
    only: None,
    rule: "A file system that the server writes has less than 2 % or 500 MiB free (error), or less than 10 % and 10 GiB \
           (warning); for `tmpdir`, less than 256 MiB (warning).",
    why: "On a full disk MySQL waits and MariaDB may end its process: statements hang until their clients give up, or all \
          connections are lost.",
    risk: "What is deleted is gone: binary logs only by PURGE BINARY LOGS, and not before all replicas have them.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            advise(
                "Free some space: old binary logs, logs, dumps, core files; or enlarge the disk.",
            ),
            Step::Sql {
                mariadb: "SHOW BINARY LOGS;",
                mysql: "SHOW BINARY LOGS;",
            },
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let mut found = Vec::new();
    for disk in facts.disks.get()? {
        let seen = format!(
            "{} of {} are free at {} ({})",
            size(disk.free),
            size(disk.size),
            disk.path,
            disk.what
        );
        if disk.what == "tmpdir" {
            if disk.free < 256 * MIB {
                found.push(Found::warning(seen));
            }
        } else if disk.free < 500 * MIB || disk.free * 50 < disk.size {
            found.push(Found::error(seen));
        } else if disk.free < 10 * GIB && disk.free * 10 < disk.size {
            found.push(Found::warning(seen));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Error, Warning};
    use super::super::facts::{Disk, Seen};
    use super::super::testing::{mysql, severity};
    use super::*;

    #[test]
    fn little_is_judged_by_part_and_by_size() {
        for (what, free, total, expected) in [
            ("datadir", 50 * GIB, 1000 * GIB, None),
            ("datadir", 5 * GIB, 20 * GIB, None),
            ("datadir", 5 * GIB, 100 * GIB, Some(Warning)),
            ("datadir", GIB, 100 * GIB, Some(Error)),
            ("tmpdir", 300 * MIB, GIB, None),
            ("tmpdir", 100 * MIB, GIB, Some(Warning)),
        ] {
            let mut facts = mysql(&[]);
            facts.disks = Seen::Is(vec![Disk {
                path: "/data".to_owned(),
                what,
                free,
                size: total,
            }]);
            assert_eq!(severity(&facts, "disk-space"), expected);
        }
    }
}
