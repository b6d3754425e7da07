//! `offline_mode` of MySQL.

use crate::cause::Cause;
use crate::evidence::{End, Evidence, Product, Reach};
use crate::log::LogKind;
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{CLIENT_ENDED, FELL_SILENT, LEFT_OVER, NOT_ABORTED};

pub(super) const RULE: Rule = Rule {
    cause: Cause::OfflineMode,
    meaning: "Somebody, or Group Replication when its member failed, switched offline_mode on: the server ends all connections \
              but those of administrators, and refuses new ones.",
    proofs: &[
        Sign {
            what: "the server said 3032, on the connection or to a new one",
            seen: |evidence| {
                evidence.told(3032).or_else(|| {
                    (evidence.aside.reach? == Reach::Said(3032)).then(|| {
                        "a new connection was told 3032: the server is in offline mode".to_owned()
                    })
                })
            },
        },
        Sign {
            what: "the error log says that the server was set into offline mode",
            seen: |evidence| evidence.logged(|kind| kind == LogKind::Offline),
        },
        Sign {
            what: "the server ended the connection without a word, and offline_mode is ON",
            seen: |evidence| {
                let on = evidence.variables.is_on("offline_mode")?;
                (on && evidence.server_end()? == &End::Fin).then(|| "offline_mode is ON".to_owned())
            },
        },
    ],
    refutations: &[
        NOT_ABORTED,
        CLIENT_ENDED,
        FELL_SILENT,
        LEFT_OVER,
        Sign {
            what: "the server is MariaDB, which has no offline mode",
            seen: |evidence| {
                evidence
                    .is(Product::MariaDb)
                    .then(|| "MariaDB has no offline mode".to_owned())
            },
        },
        Sign {
            what: "offline_mode is OFF, or new connections are taken; and none was told 3032",
            seen: |evidence| {
                if evidence.aside.reach == Some(Reach::Said(3032)) {
                    return None;
                }
                if evidence.variables.is_on("offline_mode") == Some(false) {
                    return Some("offline_mode is OFF".to_owned());
                }
                (evidence.aside.reach? == Reach::Greeted
                    && evidence.variables.is_on("offline_mode") != Some(true))
                .then(|| "a new connection was taken".to_owned())
            },
        },
        Sign {
            what: "the server said something else",
            seen: |evidence| match evidence.server_end()? {
                End::Said { code, message, .. } if *code != 3032 => {
                    Some(format!("the server said {code}: {message}"))
                }
                End::Refused => Some("nobody listened at the address".to_owned()),
                End::Reset | End::ResetInAnswer => {
                    Some("the connection was reset; offline mode closes it".to_owned())
                }
                _ => None,
            },
        },
    ],
    hints: &[],
    brings: &[],
    question: "Is offline_mode ON (SELECT @@offline_mode), and did Group Replication put the member into the state ERROR?",
    fix,
};

fn fix(_evidence: &Evidence) -> Vec<Step> {
    vec![
        Step::Sql {
            mariadb: "",
            mysql: "SELECT @@offline_mode; SELECT MEMBER_HOST, MEMBER_STATE FROM performance_schema.replication_group_members;",
        },
        advise(
            "If nobody is at work on the server, and its group has it as a member: SET GLOBAL offline_mode = OFF.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Moment;
    use crate::testing::{certain, mysql, of_server, wire};

    #[test]
    fn new_connections_are_told() {
        let mut evidence = of_server(mysql(), wire(Moment::Idle, End::Fin));
        evidence.aside.reach = Some(Reach::Said(3032));
        evidence.aside.foreign_kill = Some(false);
        certain(&evidence, Cause::OfflineMode);
    }
}
