//! Does the server end sessions that use little memory?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::evidence::Product;
use crate::rule::{Setting, Step};
use crate::words::size;

const ENOUGH: u64 = 16 << 20;

/// MySQL has ended a session that used too much: its own limit, or the global one.
const ENDED: [u16; 2] = [4082, 4081];

/// "No limit", as MySQL writes it.
const NO_LIMIT: u64 = u64::MAX;

pub(super) const CHECK: Check = Check {
    name: "session-memory-limit",
    area: Area::Memory,
    only: None,
    rule: "MySQL's `connection_memory_limit` with `global_connection_memory_tracking` ON, or MariaDB's `max_session_mem_used`, is \
           below 16 MiB; or MySQL has ended sessions for it (errors 4081, 4082).",
    why: "MySQL ends the connection of an account that uses more, with 4082; MariaDB ends the statement, with 1290. An ordinary \
          sort or a large row is enough.",
    risk: "A session may take more memory.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            Setting::only(Product::MySql, "connection_memory_limit", 256 << 20),
            Setting::only(Product::MariaDb, "max_session_mem_used", NO_LIMIT),
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let name = match facts.product()? {
        Product::MariaDb => "max_session_mem_used",
        Product::MySql if facts.is_mysql_since(80_028) => {
            if !facts.is_on("global_connection_memory_tracking")? {
                return Ok(Vec::new());
            }
            "connection_memory_limit"
        }
        Product::MySql => return Ok(Vec::new()),
    };
    let limit = facts.number(name)?;
    let ended = ENDED.iter().find_map(|code| facts.raised(*code));
    Ok(match ended {
        Some(raised) => vec![Found::warning(format!(
            "{name} is {}, and sessions were ended for it {}",
            size(limit),
            raised.told()
        ))],
        None if limit < ENOUGH => vec![Found::warning(format!("{name} is {}", size(limit)))],
        None => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Warning;
    use super::super::testing::{mariadb, mysql, severity};

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
}
