//! Does the server end sessions that use little memory?

use super::{Area, Check, Found};
use crate::checks::facts::Raised;
use crate::checks::{Facts, Missing};
use crate::evidence::Product;
use crate::rule::{Setting, Step, advise};
use crate::words::size;

const ENOUGH: u64 = 16 << 20;

/// What one session may have that nothing is known of: plenty for any sort.
const PLENTY: u64 = 256 << 20;

/// MySQL has ended a session that used more than it may have.
const OWN_LIMIT: u16 = 4082;

/// MySQL has ended a session because all together used more than they may have.
const GLOBAL_LIMIT: u16 = 4081;

/// "No limit", as MySQL writes it.
const NO_LIMIT: u64 = u64::MAX;

pub(super) const CHECK: Check = Check {
    name: "session-memory-limit",
    area: Area::Memory,
    only: None,
    rule: "MySQL's `connection_memory_limit` with `global_connection_memory_tracking` ON, or MariaDB's `max_session_mem_used`, is \
           below 16 MiB; or MySQL has ended sessions within a week, and since the limit was set: for this one (error 4082), or for \
           `global_connection_memory_limit` (4081).",
    why: "MySQL ends the connection of an account that uses more, with 4082, or with 4081 where all together do; MariaDB ends the \
          statement, with 1290. An ordinary sort or a large row is enough.",
    risk: "A session may take more memory.",
    look,
    fix,
};

/// The variable that limits one session; `None`: there is none, or it is not in force.
fn limiting(facts: &Facts) -> Result<Option<&'static str>, Missing> {
    Ok(match facts.product()? {
        Product::MariaDb => Some("max_session_mem_used"),
        Product::MySql if facts.is_mysql_since(80_028) => facts
            .is_on("global_connection_memory_tracking")?
            .then_some("connection_memory_limit"),
        Product::MySql => None,
    })
}

fn ended(facts: &Facts) -> Option<&Raised> {
    facts.raised_lately(OWN_LIMIT, "connection_memory_limit")
}

fn ended_for_all(facts: &Facts) -> Option<&Raised> {
    facts.raised_lately(GLOBAL_LIMIT, "global_connection_memory_limit")
}

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let Some(name) = limiting(facts)? else {
        return Ok(Vec::new());
    };
    let limit = facts.number(name)?;
    let mut found = Vec::new();
    match ended(facts) {
        Some(raised) => found.push(Found::warning(format!(
            "{name} is {}, and sessions were ended for it {}",
            size(limit),
            raised.told()
        ))),
        None if limit < ENOUGH => found.push(Found::warning(format!("{name} is {}", size(limit)))),
        None => {}
    }
    if let Some(raised) = ended_for_all(facts) {
        let global = facts.number("global_connection_memory_limit")?;
        found.push(Found::warning(format!(
            "global_connection_memory_limit is {}, and sessions were ended for it {}",
            size(global),
            raised.told()
        )));
    }
    Ok(found)
}

fn fix(facts: &Facts) -> Vec<Step> {
    let mut steps = Vec::new();
    if facts.product() != Ok(Product::MariaDb) {
        let limit = facts.number("connection_memory_limit").unwrap_or_default();
        let wanted = limit.saturating_mul(2).max(PLENTY);
        // Only what was found, and never less than it is.
        if (limit < ENOUGH || ended(facts).is_some()) && wanted > limit {
            steps.push(Setting::only(
                Product::MySql,
                "connection_memory_limit",
                wanted,
            ));
        }
    }
    if facts.product() != Ok(Product::MySql) {
        steps.push(Setting::only(
            Product::MariaDb,
            "max_session_mem_used",
            NO_LIMIT,
        ));
    }
    // How much all may have is for people to decide, who know the machine.
    if ended_for_all(facts).is_some() || facts.product().is_err() {
        steps.push(advise(
            "Where all sessions together have too much (4081): raise MySQL's global_connection_memory_limit as far as the machine \
             has memory, or lower max_connections, or find who needs so much: Global_connection_memory, and \
             sys.processlist's current_memory.",
        ));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Warning;
    use super::super::testing::{mariadb, mysql, severity};
    use super::*;

    #[test]
    fn mysql_must_also_count() {
        let facts = |limit, tracking| {
            mysql(&[
                ("connection_memory_limit", limit),
                ("global_connection_memory_tracking", tracking),
            ])
        };
        let check = "session-memory-limit";
        assert_eq!(severity(&facts("2097152", "ON"), check), Some(Warning));
        assert_eq!(severity(&facts("2097152", "OFF"), check), None);
        assert_eq!(severity(&facts("18446744073709551615", "ON"), check), None);
        for (limit, expected) in [("1048576", Some(Warning)), ("9223372036854775807", None)] {
            assert_eq!(
                severity(&mariadb(&[("max_session_mem_used", limit)]), check),
                expected
            );
        }
    }

    #[test]
    fn each_limit_has_its_own_fix_and_none_is_lowered() {
        let facts = |own: &str, code: u16| {
            mysql(&[
                ("connection_memory_limit", own),
                ("global_connection_memory_limit", "8589934592"),
                ("global_connection_memory_tracking", "ON"),
            ])
            .raising(code, 2)
        };
        let wanted = |bytes: u64| Setting::only(Product::MySql, "connection_memory_limit", bytes);
        assert_eq!(fix(&facts("2097152", OWN_LIMIT)), [wanted(PLENTY)]);
        assert_eq!(fix(&facts("1073741824", OWN_LIMIT)), [wanted(2 << 30)]);
        // The global one is not mended by the other.
        let all = facts("1073741824", GLOBAL_LIMIT);
        let found = look(&all).unwrap();
        assert!(
            found.len() == 1
                && found[0]
                    .seen
                    .starts_with("global_connection_memory_limit is 8 GiB"),
            "{found:?}"
        );
        let steps = fix(&all);
        assert!(matches!(&steps[..], [Step::Do(_)]), "{steps:?}");
    }
}
