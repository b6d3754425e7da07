//! Does a server that is no replica refuse writes?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};

pub(super) const CHECK: Check = Check {
    name: "read-only",
    area: Area::Modes,
    only: None,
    rule: "`read_only` or MySQL's `super_read_only` is ON, and the server is no replica.",
    why: "Every write is refused with 1290: a server that was demoted, or a failover that stopped half-way. Pools that still have \
          connections to it fail until they are emptied.",
    risk: "With another server that takes writes, data go apart: be sure that there is none.",
    look,
    // A program must not: two servers that take writes are worse than none.
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            advise("Be sure that no other server takes the writes now. Then:"),
            Step::Sql {
                mariadb: "SET GLOBAL read_only = OFF;",
                mysql: "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF;",
            },
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let plain = facts.text("read_only")?;
    // MariaDB 12 has words where others have ON and OFF.
    let plain = !matches!(plain.to_ascii_uppercase().as_str(), "OFF" | "0");
    let name = if facts.is_on("super_read_only").unwrap_or_default() {
        "super_read_only"
    } else if plain {
        "read_only"
    } else {
        return Ok(Vec::new());
    };
    Ok(
        if facts.replication.get()?.is_empty() && !is_group_member(facts) {
            vec![Found::warning(format!(
                "{name} is ON, and the server is no replica"
            ))]
        } else {
            Vec::new()
        },
    )
}

fn is_group_member(facts: &Facts) -> bool {
    facts
        .text("group_replication_group_name")
        .is_ok_and(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Warning;
    use super::super::facts::{Channel, Seen};
    use super::super::testing::{mariadb, mysql, severity};

    #[test]
    fn a_replica_may_be() {
        let replica = Channel {
            name: String::new(),
            receives: "Yes".to_owned(),
            applies: "Yes".to_owned(),
            behind: None,
        };
        for make in [mysql, mariadb] {
            for (value, channels, expected) in [
                ("ON", vec![], Some(Warning)),
                ("OFF", vec![], None),
                ("ON", vec![replica.clone()], None),
            ] {
                let mut facts = make(&[("read_only", value)]);
                facts.replication = Seen::Is(channels);
                assert_eq!(severity(&facts, "read-only"), expected);
            }
        }
    }

    #[test]
    fn whether_it_is_a_replica_must_be_known() {
        let examination = super::super::look(&mysql(&[("read_only", "ON")]));
        assert!(
            examination
                .unseen
                .iter()
                .any(|(name, _)| *name == "read-only")
        );
    }
}
