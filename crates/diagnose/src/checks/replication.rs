//! Does a replica follow its source?

use core::time::Duration;

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};
use crate::words::time;

pub(super) const CHECK: Check = Check {
    name: "replication",
    area: Area::State,
    only: None,
    rule: "This server is a replica, and it does not receive or apply (error), or it is over 60 s behind (note).",
    why: "Nobody can fail over to a replica that does not follow: the next loss of the source lasts until somebody mends this one.",
    risk: "Skipping what it cannot apply makes it differ from its source: better to copy it anew.",
    look,
    fix,
};

/// The first MySQL that has SHOW REPLICA STATUS; 8.4 and later have nothing else.
const HAS_REPLICA_STATUS: u32 = 80_022;

fn fix(facts: &Facts) -> Vec<Step> {
    let knows_replicas = facts.is_mysql_since(HAS_REPLICA_STATUS);
    vec![
        Step::Sql {
            mariadb: "SHOW ALL SLAVES STATUS\\G",
            mysql: match facts.product() {
                Err(_) => "SHOW REPLICA STATUS\\G -- before 8.0.22: SHOW SLAVE STATUS\\G",
                Ok(_) if knows_replicas => "SHOW REPLICA STATUS\\G",
                Ok(_) => "SHOW SLAVE STATUS\\G",
            },
        },
        advise("Last_IO_Error and Last_SQL_Error say what it wants."),
    ]
}

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let mut found = Vec::new();
    for channel in facts.replication.get()? {
        let name = if channel.name.is_empty() {
            String::new()
        } else {
            format!(" ({})", channel.name)
        };
        if channel.receives != "Yes" {
            found.push(Found::error(format!(
                "the replica{name} does not receive: {}",
                channel.receives
            )));
        }
        if channel.applies != "Yes" {
            found.push(Found::error(format!(
                "the replica{name} does not apply: {}",
                channel.applies
            )));
        }
        if let Some(behind) = channel
            .behind
            .filter(|behind| *behind > Duration::from_secs(60))
        {
            found.push(Found::note(format!(
                "the replica{name} is {} behind",
                time(behind)
            )));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Error, Note};
    use super::super::facts::{Channel, Seen};
    use super::super::testing::{mysql, severity};
    use super::*;
    use crate::evidence::{Product, Server};

    #[test]
    fn each_server_is_told_what_it_knows() {
        for (version, expected) in [
            (50_744, "SHOW SLAVE STATUS\\G"),
            (80_021, "SHOW SLAVE STATUS\\G"),
            (80_022, "SHOW REPLICA STATUS\\G"),
            (90_704, "SHOW REPLICA STATUS\\G"),
        ] {
            let mut facts = mysql(&[]);
            facts.server = Some(Server {
                product: Product::MySql,
                version,
            });
            let step = Step::Sql {
                mariadb: "SHOW ALL SLAVES STATUS\\G",
                mysql: expected,
            };
            assert_eq!(fix(&facts)[0], step, "{version}");
        }
    }

    #[test]
    fn what_does_not_run_is_an_error() {
        for (receives, behind, expected) in [
            ("Yes", 0, None),
            ("Connecting", 0, Some(Error)),
            ("Yes", 600, Some(Note)),
        ] {
            let mut facts = mysql(&[]);
            facts.replication = Seen::Is(vec![Channel {
                name: String::new(),
                receives: receives.to_owned(),
                applies: "Yes".to_owned(),
                behind: Some(Duration::from_secs(behind)),
            }]);
            assert_eq!(severity(&facts, "replication"), expected);
        }
        let mut none = mysql(&[]);
        none.replication = Seen::Is(Vec::new());
        assert_eq!(severity(&none, "replication"), None);
    }
}
