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
    fix,
};

/// For how long binary logs are kept.
enum Kept {
    /// For so many seconds or days.
    Some,
    /// For ever; MySQL 8 and MariaDB 10.6 and later: `binlog_expire_logs_seconds` is 0.
    ForEver,
    /// For ever; `expire_logs_days` is 0, and there is nothing else.
    ForEverInDays,
}

fn kept(facts: &Facts) -> Result<Kept, Missing> {
    // MySQL 5.7 and MariaDB before 10.6 have days only, MySQL 9 seconds only.
    let seconds = facts.number("binlog_expire_logs_seconds");
    let days = facts
        .variables
        .seconds("expire_logs_days")
        .map(|days| days.as_secs());
    match (seconds, days) {
        (Err(_), None) => Err(Missing(
            "for how long binary logs are kept is not known".to_owned(),
        )),
        (Err(_), Some(0)) => Ok(Kept::ForEverInDays),
        (Ok(0), None | Some(0)) => Ok(Kept::ForEver),
        _ => Ok(Kept::Some),
    }
}

/// MySQL 8.0.29 and later may keep what has expired.
fn purges(facts: &Facts) -> bool {
    facts.is_on("binlog_expire_logs_auto_purge").unwrap_or(true)
}

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    facts.product()?;
    if !facts.is_on("log_bin")? {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    if !matches!(kept(facts)?, Kept::Some) {
        found.push(Found::warning("binary logs are written and never removed"));
    }
    if !purges(facts) {
        found.push(Found::warning(
            "binary logs are written and never removed: binlog_expire_logs_auto_purge is OFF",
        ));
    }
    Ok(found)
}

/// Not to be set by a program: it removes what a replica may still need.
fn fix(facts: &Facts) -> Vec<Step> {
    let mut steps = vec![advise("When no replica and no backup needs older ones:")];
    let days = Step::Sql {
        mariadb: "SET GLOBAL expire_logs_days = 7;",
        mysql: "SET GLOBAL expire_logs_days = 7;",
    };
    let seconds = Step::Sql {
        mariadb: "SET GLOBAL binlog_expire_logs_seconds = 604800;",
        mysql: "SET PERSIST binlog_expire_logs_seconds = 604800;",
    };
    match kept(facts) {
        Ok(Kept::Some) => {}
        Ok(Kept::ForEver) => steps.push(seconds),
        Ok(Kept::ForEverInDays) => steps.push(days),
        Err(_) => steps.extend([
            seconds,
            advise("MySQL before 8.0 and MariaDB before 10.6 have days only: SET GLOBAL expire_logs_days = 7."),
        ]),
    }
    if !purges(facts) {
        steps.push(Step::Sql {
            mariadb: "",
            mysql: "SET PERSIST binlog_expire_logs_auto_purge = ON;",
        });
    } else if facts.product().is_err() {
        steps.push(advise(
            "Where MySQL's binlog_expire_logs_auto_purge is OFF, nothing is removed that has expired: SET PERSIST \
             binlog_expire_logs_auto_purge = ON.",
        ));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Warning;
    use super::super::testing::{mariadb, mysql, severity};
    use super::*;
    use crate::evidence::Product;

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

    #[test]
    fn each_server_is_told_what_it_knows_and_what_mends_it() {
        let sql = |facts: &Facts| -> Vec<&'static str> {
            assert_eq!(severity(facts, "binlog-expiry"), Some(Warning));
            let of = |step: Step| match step {
                Step::Sql { mariadb, mysql } => match facts.product().unwrap() {
                    Product::MariaDb => Some(mariadb),
                    Product::MySql => Some(mysql),
                },
                _ => None,
            };
            fix(facts).into_iter().filter_map(of).collect()
        };
        let days: &[(&str, &str)] = &[("log_bin", "ON"), ("expire_logs_days", "0")];
        assert_eq!(sql(&mysql(days)), ["SET GLOBAL expire_logs_days = 7;"]);
        assert_eq!(sql(&mariadb(days)), ["SET GLOBAL expire_logs_days = 7;"]);
        let both = [days, &[("binlog_expire_logs_seconds", "0")]].concat();
        assert_eq!(
            sql(&mariadb(&both)),
            ["SET GLOBAL binlog_expire_logs_seconds = 604800;"]
        );
        // It would remove nothing.
        let off = ("binlog_expire_logs_auto_purge", "OFF");
        let purge = "SET PERSIST binlog_expire_logs_auto_purge = ON;";
        let enough = ("binlog_expire_logs_seconds", "604800");
        assert_eq!(sql(&mysql(&[("log_bin", "ON"), enough, off])), [purge]);
        let never = ("binlog_expire_logs_seconds", "0");
        assert_eq!(
            sql(&mysql(&[("log_bin", "ON"), never, off])),
            ["SET PERSIST binlog_expire_logs_seconds = 604800;", purge]
        );
    }
}
