//! Do the files suffice?

use super::{Area, Check, Found};
use crate::checks::facts::Origin;
use crate::checks::{Facts, Missing};
use crate::evidence::Product;
use crate::rule::{Setting, Step, advise};

/// Files that a server needs beside those of its connections, at the very least.
const OWN: u64 = 50;

/// What MySQL keeps for itself when it cuts max_connections to the files it may have: 10, and twice a table cache of
/// 400 (sql/mysqld.cc, adjust_max_connections).
const MYSQL_RESERVE: u64 = 810;

pub(super) const CHECK: Check = Check {
    name: "open-files",
    area: Area::State,
    only: None,
    rule: "The server may open hardly more files than `max_connections` (warning), or has cut `max_connections` for that reason \
           (warning), or its process has over 0.85 (warning) or 0.95 (error) of the files open that it may.",
    why: "Every connection is a file, and so is every open table. At the limit the server takes no more connections, or cannot \
          open a table. MySQL silently cuts its settings at its start.",
    risk: "None worth naming. It needs a restart.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            advise(
                "With systemd the unit decides: systemctl edit mariadb (or mysql), LimitNOFILE=1048576; then restart.",
            ),
            Setting::at_start("open_files_limit", 65_535),
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let (limit, connections) = (
        facts.number("open_files_limit")?,
        facts.number("max_connections")?,
    );
    let origins = facts.origins.ok();
    let was_cut = match facts.product()? {
        Product::MySql => connections + MYSQL_RESERVE == limit,
        Product::MariaDb => origins
            .and_then(|origins| origins.get("max_connections"))
            .is_some_and(|origin| *origin == Origin::Computed),
    };
    let mut found = Vec::new();
    if was_cut {
        found.push(Found::warning(format!(
            "the server cut max_connections to {connections}, because it may open {limit} files"
        )));
    }
    if limit < connections + OWN {
        found.push(Found::warning(format!(
            "the server may open {limit} files, and max_connections is {connections}"
        )));
    }
    if let Some(process) = facts.process.ok()
        && let (Some(open), Some(limit)) = (process.open_files, process.file_limit)
    {
        let seen = format!("the server has {open} of {limit} files open");
        let part = open as f64 / limit.max(1) as f64;
        if part > 0.95 {
            found.push(Found::error(seen));
        } else if part > 0.85 {
            found.push(Found::warning(seen));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Error, Warning};
    use super::super::facts::{Process, Seen};
    use super::super::testing::{mariadb, mysql, severity};
    use super::*;

    #[test]
    fn a_cut_limit_is_seen() {
        for (connections, expected) in [("214", Some(Warning)), ("151", None)] {
            let facts = mysql(&[
                ("open_files_limit", "1024"),
                ("max_connections", connections),
            ]);
            assert_eq!(severity(&facts, "open-files"), expected);
        }
        for (origin, expected) in [(Origin::Computed, Some(Warning)), (Origin::Options, None)] {
            let mut facts = mariadb(&[("open_files_limit", "1024"), ("max_connections", "214")]);
            facts.origins = Seen::Is([("max_connections".to_owned(), origin)].into());
            assert_eq!(severity(&facts, "open-files"), expected);
        }
    }

    /// MariaDB 10.11 that is told max_connections does not cut it.
    #[test]
    fn more_connections_than_files_are_found() {
        for (files, expected) in [("1024", Some(Warning)), ("32184", None)] {
            let facts = mariadb(&[("open_files_limit", files), ("max_connections", "3000")]);
            assert_eq!(severity(&facts, "open-files"), expected);
        }
    }

    #[test]
    fn open_files_are_counted() {
        for (open, expected) in [(100, None), (900, Some(Warning)), (1000, Some(Error))] {
            let mut facts = mysql(&[("open_files_limit", "1024"), ("max_connections", "100")]);
            facts.process = Seen::Is(Process {
                open_files: Some(open),
                file_limit: Some(1024),
                ..Process::default()
            });
            assert_eq!(severity(&facts, "open-files"), expected);
        }
    }
}
