//! Are binary logs ever removed?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};

pub(super) const CHECK: Check = Check {
    name: "binlog-expiry",
    area: Area::State,
    only: None,
    rule: "`log_bin` is ON, and binary logs are kept for ever: `binlog_expire_logs_seconds` and `expire_logs_days` are 0, or MySQL's \
           `binlog_expire_logs_auto_purge` is OFF.",
    why: "They fill the disk some day, and a full disk stalls or ends the server.",
    risk: "A replica or a backup that is farther behind can then not go on: look at them first.",
    look,
    // Not to be set by a program: it removes what a replica may still need.
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            advise("When no replica and no backup needs older ones:"),
            Step::Sql {
                mariadb: "SET GLOBAL binlog_expire_logs_seconds = 604800;",
                mysql: "SET PERSIST binlog_expire_logs_seconds = 604800;",
            },
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    facts.product()?;
    if !facts.is_on("log_bin")? {
        return Ok(Vec::new());
    }
    // MySQL 5.7 and MariaDB before 10.6 have days only, MySQL 9 seconds only.
    let seconds = facts.number("binlog_expire_logs_seconds");
    let days = facts
        .variables
        .seconds("expire_logs_days")
        .map(|days| days.as_secs());
    if seconds.is_err() && days.is_none() {
        return Err(Missing(
            "for how long binary logs are kept is not known".to_owned(),
        ));
    }
    if seconds.unwrap_or_default() == 0 && days.unwrap_or_default() == 0 {
        return Ok(vec![Found::warning(
            "binary logs are written and never removed",
        )]);
    }
    Ok(
        if facts
            .is_on("binlog_expire_logs_auto_purge")
            .is_ok_and(|on| !on)
        {
            vec![Found::warning(
                "binary logs are written and never removed: binlog_expire_logs_auto_purge is OFF",
            )]
        } else {
            Vec::new()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Warning;
    use super::super::testing::{mariadb, mysql, severity};

    #[test]
    fn for_ever_is_found_where_there_are_any() {
        let check = "binlog-expiry";
        for (seconds, expected) in [("0", Some(Warning)), ("604800", None)] {
            let facts = mysql(&[("log_bin", "ON"), ("binlog_expire_logs_seconds", seconds)]);
            assert_eq!(severity(&facts, check), expected);
        }
        let fresh = mariadb(&[("log_bin", "OFF"), ("binlog_expire_logs_seconds", "0")]);
        assert_eq!(severity(&fresh, check), None);
        let debian = mariadb(&[("log_bin", "ON"), ("expire_logs_days", "10.000000")]);
        assert_eq!(severity(&debian, check), None);
    }
}
