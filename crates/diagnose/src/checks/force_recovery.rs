//! Does InnoDB run in its emergency mode?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};

pub(super) const CHECK: Check = Check {
    name: "force-recovery",
    area: Area::Modes,
    only: None,
    rule: "`innodb_force_recovery` is over 0.",
    why: "It is for saving data from a damaged server: from 1 on damaged pages are passed over, from 4 on data can be lost for good. \
          MySQL refuses writes from 1 on, MariaDB from 4.",
    risk: "Without it a damaged server may not start: save the data first.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![advise(
            "Dump everything, make a new data directory, load the dump, and remove innodb_force_recovery from the option file.",
        )]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let level = facts.number("innodb_force_recovery")?;
    Ok(if level > 0 {
        vec![Found::error(format!("innodb_force_recovery is {level}"))]
    } else {
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Error;
    use super::super::testing::on_both;

    #[test]
    fn any_level_is_an_error() {
        on_both(
            "force-recovery",
            "innodb_force_recovery",
            &[("0", None), ("1", Some(Error))],
        );
    }
}
