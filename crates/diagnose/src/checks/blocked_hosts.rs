//! Are client hosts blocked, or soon?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Setting, Step};

pub(super) const CHECK: Check = Check {
    name: "blocked-hosts",
    area: Area::State,
    only: None,
    rule: "Where the server looks up names (`skip_name_resolve` OFF, `host_cache_size` over 0): a host has used up \
           `max_connect_errors` (error) or half of it (warning), or `max_connect_errors` is below 10 (warning).",
    why: "After so many attempts that broke off without a login between them, by health checks or a bad network, the server \
          refuses the host with 1129 until somebody unblocks it.",
    risk: "None worth naming: it was never a protection against guessing passwords.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            Setting::live("max_connect_errors", 1_000_000),
            Step::Sql {
                mariadb: "FLUSH HOSTS;",
                mysql: "TRUNCATE TABLE performance_schema.host_cache;",
            },
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    // With either, nothing is counted.
    if facts.is_on("skip_name_resolve")? || facts.number("host_cache_size")? == 0 {
        return Ok(Vec::new());
    }
    let limit = facts.number("max_connect_errors")?;
    let mut found = Vec::new();
    if limit < 10 {
        found.push(Found::warning(format!("max_connect_errors is {limit}")));
    }
    let hosts = match facts.hosts.get() {
        Ok(hosts) => hosts.as_slice(),
        Err(missing) if found.is_empty() => return Err(missing),
        Err(_) => &[],
    };
    for host in hosts {
        let seen = format!(
            "{} has {} failed attempts to connect, max_connect_errors is {limit}",
            host.name, host.errors
        );
        if host.errors >= limit {
            found.push(Found::error(format!("{seen}: it is blocked")));
        } else if host.errors * 2 >= limit && host.errors > 0 {
            found.push(Found::warning(seen));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Error, Warning};
    use super::super::facts::{Host, Seen};
    use super::super::testing::{mariadb, severity};
    use super::*;

    fn facts(skip: &str, limit: &str, errors: u64) -> Facts {
        let mut facts = mariadb(&[
            ("skip_name_resolve", skip),
            ("host_cache_size", "128"),
            ("max_connect_errors", limit),
        ]);
        facts.hosts = Seen::Is(vec![Host {
            name: "10.0.0.7".to_owned(),
            errors,
        }]);
        facts
    }

    #[test]
    fn only_where_names_are_looked_up() {
        for (skip, limit, errors, expected) in [
            ("ON", "1", 0, None),
            ("OFF", "1", 0, Some(Warning)),
            ("OFF", "100", 3, None),
            ("OFF", "100", 60, Some(Warning)),
            ("OFF", "100", 100, Some(Error)),
        ] {
            assert_eq!(
                severity(&facts(skip, limit, errors), "blocked-hosts"),
                expected
            );
        }
    }

    #[test]
    fn hosts_that_cannot_be_seen_are_not_fine() {
        let unseen = |limit| {
            let mut facts = facts("OFF", limit, 0);
            facts.hosts = Seen::Unseen("SELECT command denied".to_owned());
            facts
        };
        let missing = Missing("SELECT command denied".to_owned());
        assert_eq!(look(&unseen("100")), Err(missing));
        assert_eq!(severity(&unseen("1"), "blocked-hosts"), Some(Warning));
    }
}
