//! Are statements ended after a short time, for everybody?

use core::time::Duration;

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::evidence::Product;
use crate::rule::{Setting, Step, advise};

pub(super) const CHECK: Check = Check {
    name: "statement-limit",
    area: Area::Timeouts,
    only: None,
    rule: "The global limit of a statement's time, MariaDB's `max_statement_time` (s) or MySQL's `max_execution_time` (ms), is \
           below 1 s (warning) or below 10 s (note); 0 is none.",
    why: "Statements that take longer end with 1969 or 3024, dumps and MariaDB's ALTER TABLE among them; many clients show it \
          as a lost connection or close theirs.",
    risk: "Statements that nobody waits for any more run to their end.",
    look,
    fix,
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let (name, limit) = match facts.product()? {
        Product::MariaDb => ("max_statement_time", facts.seconds("max_statement_time")?),
        Product::MySql => (
            "max_execution_time",
            Duration::from_millis(facts.number("max_execution_time")?),
        ),
    };
    if limit.is_zero() || limit >= Duration::from_secs(10) {
        return Ok(Vec::new());
    }
    let seen = format!(
        "{name} ends every statement after {}",
        crate::words::time(limit)
    );
    Ok(vec![if limit < Duration::from_secs(1) {
        Found::warning(seen)
    } else {
        Found::note(seen)
    }])
}

fn fix(_: &Facts) -> Vec<Step> {
    vec![
        Setting::only(Product::MariaDb, "max_statement_time", 0),
        Setting::only(Product::MySql, "max_execution_time", 0),
        advise(
            "Give it to those accounts or sessions that want it: SET SESSION, or MariaDB's ALTER USER … WITH MAX_STATEMENT_TIME.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Note, Warning};
    use super::super::testing::{mariadb, mysql, severity};

    #[test]
    fn the_units_are_the_servers() {
        for (value, expected) in [
            ("0.000000", None),
            ("0.500000", Some(Warning)),
            ("5.000000", Some(Note)),
            ("30", None),
        ] {
            assert_eq!(
                severity(
                    &mariadb(&[("max_statement_time", value)]),
                    "statement-limit"
                ),
                expected
            );
        }
        for (value, expected) in [
            ("0", None),
            ("500", Some(Warning)),
            ("5000", Some(Note)),
            ("30000", None),
        ] {
            assert_eq!(
                severity(&mysql(&[("max_execution_time", value)]), "statement-limit"),
                expected
            );
        }
    }
}
