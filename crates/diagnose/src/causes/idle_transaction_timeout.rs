//! MariaDB's limits to being idle inside a transaction.

use crate::cause::Cause;
use crate::evidence::{End, Evidence, Moment, Product};
use crate::log::Aborted;
use crate::rule::{Rule, Setting, Sign, Step, advise};
use crate::signs::{
    BUSY, CLIENT_ENDED, EARLY, FELL_SILENT, LEFT_OVER, NOT_ABORTED, NOT_LOGGED_IN, SPOKE, SURVIVED,
    matches_timer,
};
use crate::words::time;

pub(super) const RULE: Rule = Rule {
    cause: Cause::IdleTransactionTimeout,
    meaning: "A transaction was left open and idle for idle_transaction_timeout (or its variants for reading and writing \
              transactions), and MariaDB closed the connection, which rolled it back.",
    proofs: &[
        Sign {
            what: "the server reset the connection just when idle_transaction_timeout had passed inside a transaction",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let (name, limit) = evidence.idle_transaction_limit()?;
                let ended = matches!(evidence.server_end()?, End::Reset | End::Fin);
                (ended
                    && wire.moment == Moment::Idle
                    && wire.in_transaction
                    && matches_timer(wire.quiet, limit)
                    && evidence.idle_limit().is_none_or(|idle| limit < idle))
                .then(|| {
                    format!(
                        "a transaction was open and idle for {}, and {name} is {}",
                        time(wire.quiet),
                        time(limit)
                    )
                })
            },
        },
        Sign {
            what: "the error log says that reading timed out inside a transaction, earlier than wait_timeout allows",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let (_, limit) = evidence.idle_transaction_limit()?;
                let shorter = evidence.idle_limit().is_none_or(|idle| limit < idle);
                (wire.in_transaction && wire.moment == Moment::Idle && shorter)
                    .then(|| evidence.aborted(&[Aborted::TimeoutReading]))?
            },
        },
    ],
    refutations: &[
        NOT_ABORTED,
        CLIENT_ENDED,
        NOT_LOGGED_IN,
        BUSY,
        FELL_SILENT,
        LEFT_OVER,
        SPOKE,
        SURVIVED,
        Sign {
            what: "the server is MySQL, which has no such limit",
            seen: |evidence| {
                evidence
                    .is(Product::MySql)
                    .then(|| "MySQL has no limit to being idle in a transaction".to_owned())
            },
        },
        Sign {
            what: "no transaction was open",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                (!wire.in_transaction).then(|| "no transaction was open".to_owned())
            },
        },
        Sign {
            what: "no limit is set",
            seen: |evidence| {
                evidence.variables.text("idle_transaction_timeout")?;
                evidence
                    .idle_transaction_limit()
                    .is_none()
                    .then(|| "idle_transaction_timeout is 0".to_owned())
            },
        },
        Sign {
            what: "the transaction had been idle for less than the limit",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                let (name, limit) = evidence.idle_transaction_limit()?;
                (wire.quiet + EARLY < limit).then(|| {
                    format!(
                        "the connection had been idle for {} only, and {name} is {}",
                        time(wire.quiet),
                        time(limit)
                    )
                })
            },
        },
        Sign {
            what: "the connection was closed with FIN; MariaDB resets it",
            seen: |evidence| {
                (evidence.server_end()? == &End::Fin).then(|| {
                    "the connection was closed with FIN; a timeout of MariaDB resets it".to_owned()
                })
            },
        },
    ],
    hints: &[],
    brings: &[],
    question: "Was a transaction open (BEGIN, autocommit off) while the application did something else?",
    fix,
};

fn fix(evidence: &Evidence) -> Vec<Step> {
    let (name, limit) = evidence
        .idle_transaction_limit()
        .map_or(("idle_transaction_timeout", 60), |(name, limit)| {
            (name, limit.as_secs())
        });
    vec![
        advise(
            "End transactions before doing anything slow (calls to other services, waiting for people); switch autocommit on \
             where nothing needs a transaction.",
        ),
        Setting::only(Product::MariaDb, name, limit.saturating_mul(5)),
    ]
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::testing::{certain, mariadb, of_server, wire};

    #[test]
    fn a_transaction_that_stands_idle_is_ended() {
        let mut seen = wire(Moment::Idle, End::Reset);
        seen.in_transaction = true;
        seen.quiet = Duration::from_secs(60);
        let mut evidence = of_server(mariadb(), seen);
        for (name, value) in [
            ("wait_timeout", "28800"),
            ("idle_transaction_timeout", "60"),
        ] {
            evidence
                .variables
                .0
                .insert(name.to_owned(), value.to_owned());
        }
        certain(&evidence, Cause::IdleTransactionTimeout);
    }
}
