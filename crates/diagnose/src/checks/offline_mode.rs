//! Does MySQL cut everybody?

use super::{Area, Check, Found};
use crate::checks::Facts;
use crate::evidence::Product;
use crate::rule::{Step, advise};

pub(super) const CHECK: Check = Check {
    name: "offline-mode",
    area: Area::Modes,
    only: Some(Product::MySql),
    rule: "`offline_mode` is ON.",
    why: "MySQL ends the connections of all accounts without CONNECTION_ADMIN (before 8.0: SUPER), without a word, and refuses new \
          ones with 3032.",
    risk: "Somebody may have turned it on for a reason; Group Replication does, for a member that left its group.",
    look: |facts| {
        Ok(if facts.is_on("offline_mode")? {
            vec![Found::error(
                "offline_mode is ON: ordinary accounts are cut and refused",
            )]
        } else {
            Vec::new()
        })
    },
    // Only a person knows whether this server may be used.
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            advise(
                "Find out who set it: performance_schema.variables_info has SET_USER and SET_TIME. Then:",
            ),
            Step::Sql {
                mariadb: "",
                mysql: "SET GLOBAL offline_mode = OFF;",
            },
        ]
    },
};

#[cfg(test)]
mod tests {
    use super::super::Severity::Error;
    use super::super::testing::{mysql, severity};

    #[test]
    fn on_is_an_error() {
        assert_eq!(
            severity(&mysql(&[("offline_mode", "ON")]), "offline-mode"),
            Some(Error)
        );
        assert_eq!(
            severity(&mysql(&[("offline_mode", "OFF")]), "offline-mode"),
            None
        );
    }
}
