//! Does MariaDB cut applications that think between two statements of a transaction?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::evidence::Product;
use crate::rule::{Setting, Step};

/// One for transactions that have written, one for those that have not, one for all.
const NAMES: [&str; 3] = [
    "idle_transaction_timeout",
    "idle_write_transaction_timeout",
    "idle_readonly_transaction_timeout",
];

pub(super) const CHECK: Check = Check {
    name: "idle-transaction-timeout",
    area: Area::Timeouts,
    only: Some(Product::MariaDb),
    rule: "`idle_transaction_timeout`, `idle_write_transaction_timeout` or `idle_readonly_transaction_timeout` is between 1 and 9 s.",
    why: "MariaDB ends a connection whose open transaction is idle for longer, and rolls it back: an application that computes \
          or calls another service between two statements is cut.",
    risk: "Forgotten transactions keep their locks for longer.",
    look,
    fix,
};

fn short(facts: &Facts) -> Result<Vec<(&'static str, u64)>, Missing> {
    facts.product()?;
    let mut short = Vec::new();
    for name in NAMES {
        let limit = facts.seconds(name)?.as_secs();
        if (1..10).contains(&limit) {
            short.push((name, limit));
        }
    }
    Ok(short)
}

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    Ok(short(facts)?
        .into_iter()
        .map(|(name, limit)| Found::warning(format!("{name} is {limit} s")))
        .collect())
}

fn fix(facts: &Facts) -> Vec<Step> {
    let names = short(facts).unwrap_or_else(|_| vec![(NAMES[0], 0)]);
    names
        .into_iter()
        .map(|(name, _)| Setting::only(Product::MariaDb, name, 60))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Warning;
    use super::super::testing::{mariadb, severity};

    #[test]
    fn a_few_seconds_are_found() {
        for (value, expected) in [("0", None), ("3", Some(Warning)), ("10", None)] {
            let facts = mariadb(&[
                ("idle_transaction_timeout", value),
                ("idle_write_transaction_timeout", "0"),
                ("idle_readonly_transaction_timeout", "0"),
            ]);
            assert_eq!(severity(&facts, "idle-transaction-timeout"), expected);
        }
    }
}
