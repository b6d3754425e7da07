//! Does the server give up early on clients that send a file?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Setting, Step};

pub(super) const CHECK: Check = Check {
    name: "net-read-timeout",
    area: Area::Timeouts,
    only: None,
    rule: "`net_read_timeout` is below 10 s (warning where LOAD DATA is used with `local_infile` ON, else a note).",
    why: "It limits a pause in what a client sends for LOAD DATA LOCAL. It limits neither an idle connection nor a slow query, \
          nor even a slowly sent one, whatever one reads about it: those are wait_timeout's (measured: MariaDB 10.11 and \
          11.8, MySQL 9.7).",
    risk: "None worth naming: a client that has gone away in the middle of a file is noticed later.",
    look,
    fix: |_: &Facts| -> Vec<Step> { vec![Setting::live("net_read_timeout", 30)] },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let limit = facts.seconds("net_read_timeout")?.as_secs();
    if limit >= 10 {
        return Ok(Vec::new());
    }
    let loads = facts.counter("com_load").unwrap_or_default();
    let local = facts.is_on("local_infile").unwrap_or_default();
    let seen = format!("net_read_timeout is {limit} s");
    Ok(vec![if local && loads > 0 {
        Found::warning(format!(
            "{seen}, and LOAD DATA was used {loads} times since the server's start"
        ))
    } else {
        Found::note(seen)
    }])
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Note, Warning};
    use super::super::testing::{mariadb, severity};

    #[test]
    fn it_matters_where_files_are_loaded() {
        let facts = |value| mariadb(&[("net_read_timeout", value), ("local_infile", "ON")]);
        assert_eq!(severity(&facts("2"), "net-read-timeout"), Some(Note));
        assert_eq!(
            severity(
                &facts("2").counting(&[("com_load", "1")]),
                "net-read-timeout"
            ),
            Some(Warning)
        );
        assert_eq!(
            severity(
                &facts("30").counting(&[("com_load", "1")]),
                "net-read-timeout"
            ),
            None
        );
    }
}
