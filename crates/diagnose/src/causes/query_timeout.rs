//! `max_execution_time`, `max_statement_time`, KILL QUERY.

use crate::cause::Cause;
use crate::evidence::Product;
use crate::evidence::{End, Evidence};
use crate::rule::{Rule, Setting, Sign, Step, advise};
use crate::signs::LOST_IT;

/// The limit to a statement's time, on MySQL and on MariaDB.
pub(super) const CODES: &[u16] = &[3024, 1969];

pub(super) const RULE: Rule = Rule {
    cause: Cause::QueryTimeout,
    meaning: "The statement ran longer than max_execution_time (MySQL) or max_statement_time (MariaDB), and the server ended it; \
              the connection goes on.",
    proofs: &[Sign {
        what: "the server said 3024 (MySQL) or 1969 (MariaDB)",
        seen: |evidence| evidence.told_any(CODES),
    }],
    refutations: &[
        LOST_IT,
        Sign {
            what: "the server counted no statement that ran too long (Max_execution_time_exceeded, \
                   Max_statement_time_exceeded)",
            seen: |evidence| {
                let counted = evidence
                    .moved("Max_execution_time_exceeded")
                    .or_else(|| evidence.moved("Max_statement_time_exceeded"))?;
                (counted == 0 && evidence.told_any(CODES).is_none())
                    .then(|| "the server counted no statement that ran too long".to_owned())
            },
        },
        Sign {
            what: "the connection was lost: a server that ends a statement by its time says so, and keeps the connection",
            seen: |evidence| match &evidence.wire.as_ref()?.end {
                End::Said { code, .. } if CODES.contains(code) => None,
                End::Said { code, message, .. } => {
                    Some(format!("the server said {code}: {message}"))
                }
                _ => Some("the connection itself was lost, not only a statement".to_owned()),
            },
        },
    ],
    hints: &[Sign {
        what: "the server counted a statement that ran too long (Max_execution_time_exceeded, Max_statement_time_exceeded)",
        seen: |evidence| {
            let counted = evidence
                .moved("Max_execution_time_exceeded")
                .or_else(|| evidence.moved("Max_statement_time_exceeded"))?;
            (counted > 0).then(|| "the server counted a statement that ran too long".to_owned())
        },
    }],
    brings: &[],
    question: "Which limit to a statement's time does the session have (max_execution_time, max_statement_time)?",
    fix,
};

fn fix(evidence: &Evidence) -> Vec<Step> {
    let mut steps = vec![advise(
        "Make the statement faster (EXPLAIN shows what it lacks), or break it up; the limit did what it is for.",
    )];
    if let Some(limit) = evidence.variables.number("max_execution_time") {
        steps.push(Setting::only(
            Product::MySql,
            "max_execution_time",
            limit.saturating_mul(2),
        ));
    }
    if let Some(limit) = evidence.variables.number("max_statement_time") {
        steps.push(Setting::only(
            Product::MariaDb,
            "max_statement_time",
            limit.saturating_mul(2),
        ));
    }
    steps.push(advise(
        "For one statement only: SELECT /*+ MAX_EXECUTION_TIME(60000) */ … (MySQL, milliseconds), SET STATEMENT \
         max_statement_time=60 FOR SELECT … (MariaDB, seconds).",
    ));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Moment;
    use crate::testing::{certain, mariadb, mysql, of_server, wire};

    #[test]
    fn the_statement_is_ended_and_the_connection_goes_on() {
        for (server, code) in [(mysql(), 3024), (mariadb(), 1969)] {
            let said = End::Said {
                code,
                message: "Query execution was interrupted".to_owned(),
                survives: true,
            };
            certain(
                &of_server(server, wire(Moment::Waiting, said)),
                Cause::QueryTimeout,
            );
        }
    }
}
