//! Is the performance schema there?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::evidence::Product;
use crate::rule::{Setting, Step};

pub(super) const CHECK: Check = Check {
    name: "performance-schema",
    area: Area::Visibility,
    only: Some(Product::MySql),
    rule: "MySQL's `performance_schema` is OFF. On MariaDB that is the default, and no finding.",
    why: "MySQL counts there, by account, how often it cut idle connections (4031), refused packets (1153) and gave up on \
          clients (1158 to 1161): at its default verbosity the only trace.",
    risk: "100 to 250 MiB of memory, and some CPU; it needs a restart.",
    look,
    fix,
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    facts.product()?;
    Ok(if facts.is_on("performance_schema")? {
        Vec::new()
    } else {
        vec![Found::note(
            "performance_schema is OFF: errors are not counted, blocked hosts and memory are not shown",
        )]
    })
}

fn fix(_: &Facts) -> Vec<Step> {
    vec![Setting::at_start("performance_schema", "ON")]
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Note;
    use super::super::testing::{mariadb, mysql, severity};

    #[test]
    fn off_is_a_note_on_mysql_only() {
        assert_eq!(
            severity(
                &mysql(&[("performance_schema", "OFF")]),
                "performance-schema"
            ),
            Some(Note)
        );
        assert_eq!(
            severity(
                &mysql(&[("performance_schema", "ON")]),
                "performance-schema"
            ),
            None
        );
        assert_eq!(
            severity(
                &mariadb(&[("performance_schema", "OFF")]),
                "performance-schema"
            ),
            None
        );
    }
}
