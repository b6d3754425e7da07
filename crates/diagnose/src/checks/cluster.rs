//! Does a Galera node take part?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};

pub(super) const CHECK: Check = Check {
    name: "cluster",
    area: Area::Modes,
    only: None,
    rule: "`wsrep_on` is ON, and the status `wsrep_ready` is OFF.",
    why: "A Galera node that has lost its cluster, or gives its data to another, refuses statements with 1047; a load balancer that \
          only tries to connect still sends clients to it.",
    risk: "Bootstrapping a node whose cluster lives elsewhere makes two clusters.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            Step::Sql {
                mariadb: "SHOW GLOBAL STATUS LIKE 'wsrep_local_state_comment';",
                mysql: "SHOW GLOBAL STATUS LIKE 'wsrep_local_state_comment';",
            },
            advise(
                "Let the load balancer ask for wsrep_ready, and mend the node's way to the others.",
            ),
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    facts.product()?;
    // A server without Galera has neither.
    let is_node = facts.is_on("wsrep_on").unwrap_or_default();
    Ok(
        if is_node && facts.status.is_on("wsrep_ready") != Some(true) {
            vec![Found::error(
                "wsrep_ready is OFF: the node takes no part in its cluster",
            )]
        } else {
            Vec::new()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Error;
    use super::super::testing::{mariadb, severity};

    #[test]
    fn only_nodes_must_be_ready() {
        for (on, ready, expected) in [
            ("OFF", "OFF", None),
            ("ON", "ON", None),
            ("ON", "OFF", Some(Error)),
        ] {
            let facts = mariadb(&[("wsrep_on", on)]).counting(&[("wsrep_ready", ready)]);
            assert_eq!(severity(&facts, "cluster"), expected);
        }
    }
}
