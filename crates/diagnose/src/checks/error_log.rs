//! Can the error log tell of a lost connection?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::evidence::Product;
use crate::rule::{Setting, Step, advise};

pub(super) const CHECK: Check = Check {
    name: "error-log",
    area: Area::Visibility,
    only: None,
    rule: "MySQL: `log_error_verbosity` is below 3 (1: warning). MariaDB: `log_warnings` is below 2 (0: warning).",
    why: "A server that does not write why it ended a connection leaves nothing to look at after ERROR 2013. MySQL writes \
          \"Aborted connection\" only at 3, though its default is 2; MariaDB from 2 on, its default.",
    risk: "A line for each connection that ends without goodbye: with thousands of careless clients the log grows.",
    look,
    fix,
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let (name, enough) = match facts.product()? {
        Product::MySql => ("log_error_verbosity", 3),
        Product::MariaDb => ("log_warnings", 2),
    };
    let level = facts.number(name)?;
    if level >= enough {
        return Ok(Vec::new());
    }
    let seen = format!(
        "{name} is {level}: lost connections leave no trace in the error log (they do from {enough} on)"
    );
    Ok(vec![if level < enough - 1 {
        Found::warning(seen)
    } else {
        Found::note(seen)
    }])
}

fn fix(facts: &Facts) -> Vec<Step> {
    let mut steps = vec![
        Setting::only(Product::MySql, "log_error_verbosity", 3),
        Setting::only(Product::MariaDb, "log_warnings", 2),
    ];
    if let Some(rate) = facts.rate("aborted_clients").filter(|rate| *rate > 1.0) {
        steps.push(advise(format!(
            "{rate:.0} clients a second end without goodbye: mend them first, each would be a line."
        )));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Note, Warning};
    use super::super::testing::{mariadb, mysql, severity};

    #[test]
    fn each_server_has_its_own_level() {
        for (level, expected) in [("1", Some(Warning)), ("2", Some(Note)), ("3", None)] {
            assert_eq!(
                severity(&mysql(&[("log_error_verbosity", level)]), "error-log"),
                expected
            );
        }
        for (level, expected) in [
            ("0", Some(Warning)),
            ("1", Some(Note)),
            ("2", None),
            ("4", None),
        ] {
            assert_eq!(
                severity(&mariadb(&[("log_warnings", level)]), "error-log"),
                expected
            );
        }
    }
}
