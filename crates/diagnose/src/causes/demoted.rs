//! The server became read-only.

use crate::cause::Cause;
use crate::evidence::{End, Evidence};
use crate::log::LogKind;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{CLIENT_ENDED, LOST_IT, WORDLESS};

/// Read-only by an option, by replication, by its group; a replica that takes no writes.
pub(super) const CODES: &[u16] = &[1836, 3100, 4222];

/// As 1290 names the options.
pub(super) const OPTIONS: &[&str] = &["read-only"];

pub(super) const RULE: Rule = Rule {
    cause: Cause::Demoted,
    meaning: "The server takes writes no more: a failover or a switch made another one the primary, and this one read-only.",
    proofs: &[
        Sign {
            what: "the server said 1836 or 3100, or 1290 with --read-only or --super-read-only",
            seen: |evidence| {
                evidence
                    .told_any(CODES)
                    .or_else(|| read_only_1290(evidence))
            },
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
                End::Said { code, message, .. }
                    if !CODES.contains(code) && read_only_1290(evidence).is_none() =>
                {
                    Some(format!("the server said {code}: {message}"))
                }
                _ => None,
            },
        },
        Sign {
            what: "the server is not read-only, and did not say so",
            seen: |evidence| {
                // It may have been so for a moment.
                if evidence.told_any(CODES).is_some() || read_only_1290(evidence).is_some() {
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

fn read_only_1290(evidence: &Evidence) -> Option<String> {
    evidence.told_option(OPTIONS)
}

/// The first MySQL that has SHOW REPLICA STATUS; 8.4 and later have nothing else.
const HAS_REPLICA_STATUS: u32 = 80_022;

fn fix(evidence: &Evidence) -> Vec<Step> {
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
}
