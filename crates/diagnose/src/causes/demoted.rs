//! The server became read-only.

use crate::cause::Cause;
use crate::evidence::{End, Evidence};
use crate::log::LogKind;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{CLIENT_ENDED, LOST_IT, WORDLESS};

/// Read-only by an option, by replication, by its group; a replica that takes no writes.
pub(super) const CODES: &[u16] = &[1836, 3100, 4222];

/// Unknown command: what a Galera node says to every statement while it takes no part in its cluster.
pub(super) const NOT_PREPARED: u16 = 1047;

/// Whether an error 1047 with this text is of such a node: `WSREP has not yet prepared node for application use` (MariaDB,
/// Percona XtraDB Cluster).
pub(super) fn is_outside_of_cluster(message: &str) -> bool {
    let lower = message.to_ascii_lowercase();
    lower.contains("wsrep") || lower.contains("prepared node")
}

/// As 1290 names the options.
pub(super) const OPTIONS: &[&str] = &["read-only"];

pub(super) const RULE: Rule = Rule {
    cause: Cause::Demoted,
    meaning: "The server takes writes no more: a failover or a switch made another one the primary, and this one read-only; or \
              it is a node of a Galera cluster that takes no part in it.",
    proofs: &[
        Sign {
            what: "the server said 1836 or 3100, 1290 with --read-only or --super-read-only, or 1047 of a node that Galera has \
                   not prepared",
            seen: |evidence| it_said_so(evidence),
        },
        Sign {
            what: "the error log tells that the server was made read-only or left its group",
            seen: |evidence| evidence.logged(|kind| kind == LogKind::Demoted),
        },
    ],
    refutations: &[
        CLIENT_ENDED,
        WORDLESS,
        LOST_IT,
        Sign {
            what: "the server said something else",
            seen: |evidence| match &evidence.wire.as_ref()?.end {
                End::Said { code, message, .. } if it_said_so(evidence).is_none() => {
                    Some(format!("the server said {code}: {message}"))
                }
                _ => None,
            },
        },
        Sign {
            what: "the server is not read-only, and did not say so",
            seen: |evidence| {
                // It may have been so for a moment.
                if it_said_so(evidence).is_some() {
                    return None;
                }
                let read_only = evidence.variables.is_on("read_only")?;
                (!read_only).then(|| "read_only is OFF".to_owned())
            },
        },
    ],
    hints: &[Sign {
        what: "the server is read-only",
        seen: |evidence| {
            evidence
                .variables
                .is_on("read_only")?
                .then(|| "read_only is ON".to_owned())
        },
    }],
    brings: &[],
    question: "Is read_only or super_read_only ON, and was there a failover or a switch at that time?",
    fix,
};

fn it_said_so(evidence: &Evidence) -> Option<String> {
    evidence
        .told_any(CODES)
        .or_else(|| evidence.told_option(OPTIONS))
        .or_else(|| outside_of_cluster(evidence))
}

fn outside_of_cluster(evidence: &Evidence) -> Option<String> {
    let text = evidence.told_text(NOT_PREPARED)?;
    let told = evidence.told(NOT_PREPARED)?;
    is_outside_of_cluster(text).then(|| match evidence.wire {
        Some(_) => told,
        None => format!("{told}: {text}"),
    })
}

/// The first MySQL that has SHOW REPLICA STATUS; 8.4 and later have nothing else.
const HAS_REPLICA_STATUS: u32 = 80_022;

fn fix(evidence: &Evidence) -> Vec<Step> {
    if outside_of_cluster(evidence).is_some() {
        return vec![
            Step::Sql {
                mariadb: "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_cluster_status', \
                          'wsrep_local_state_comment');",
                mysql: "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_ready', 'wsrep_cluster_status', \
                        'wsrep_local_state_comment');",
            },
            advise(
                "Initialized or non-Primary: the node has lost the others; mend its way to them, and see its error log. \
                 Donor or Joining: it gives its data to another node, or gets them, and is back when that is done.",
            ),
            advise(
                "Until then point the clients, or Steadfast's backend.address, at a node that is Synced, and let the load \
                 balancer ask for wsrep_ready.",
            ),
        ];
    }
    let mysql = match evidence.server.map(|server| server.version) {
        Some(1..HAS_REPLICA_STATUS) => {
            "SELECT @@read_only, @@super_read_only; SHOW SLAVE STATUS; \
             SELECT MEMBER_HOST FROM performance_schema.replication_group_members;"
        }
        Some(_) => {
            "SELECT @@read_only, @@super_read_only; SHOW REPLICA STATUS; \
             SELECT MEMBER_HOST, MEMBER_ROLE FROM performance_schema.replication_group_members;"
        }
        None => {
            "SELECT @@read_only, @@super_read_only; SHOW REPLICA STATUS; \
             SELECT MEMBER_HOST, MEMBER_ROLE FROM performance_schema.replication_group_members; \
             -- before 8.0.22: SHOW SLAVE STATUS"
        }
    };
    vec![
        advise(
            "Point the clients, or Steadfast's backend.address, at the primary: by a name or an address that the failover \
             moves.",
        ),
        Step::Sql {
            mariadb: "SELECT @@read_only; SHOW ALL SLAVES STATUS;  -- where the primary is, if this one is its replica",
            mysql,
        },
        advise("If nobody meant it, and no other server takes writes: SET GLOBAL read_only = OFF."),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Moment, Server};
    use crate::testing::{certain, mysql, of_server, wire};

    #[test]
    fn each_server_is_told_what_it_knows() {
        for (version, status) in [
            (50_744, "SHOW SLAVE STATUS"),
            (80_021, "SHOW SLAVE STATUS"),
            (80_022, "SHOW REPLICA STATUS"),
            (0, "SHOW REPLICA STATUS"),
        ] {
            let evidence = Evidence {
                server: Some(Server { version, ..mysql() }),
                ..Evidence::default()
            };
            let steps = fix(&evidence);
            let is_told =
                |step: &Step| matches!(step, Step::Sql { mysql, .. } if mysql.contains(status));
            assert!(steps.iter().any(is_told), "{version}: {steps:?}");
        }
    }

    #[test]
    fn it_says_that_it_is_read_only() {
        let said = End::Said {
            code: 1290,
            message: "The MySQL server is running with the --read-only option so it cannot execute this statement"
                .to_owned(),
            survives: true,
        };
        let mut evidence = of_server(mysql(), wire(Moment::Waiting, said));
        certain(&evidence, Cause::Demoted);
        // When it was asked, it was no more.
        let variables = &mut evidence.variables.0;
        variables.insert("read_only".to_owned(), "OFF".to_owned());
        certain(&evidence, Cause::Demoted);
    }

    #[test]
    fn a_galera_node_outside_of_its_cluster_refuses_every_statement() {
        let said = End::Said {
            code: 1047,
            message: "WSREP has not yet prepared node for application use".to_owned(),
            survives: true,
        };
        let evidence = of_server(crate::testing::mariadb(), wire(Moment::Waiting, said));
        certain(&evidence, Cause::Demoted);
        assert!(matches!(fix(&evidence)[0], Step::Sql { .. }));
    }
}
