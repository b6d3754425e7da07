//! Do passwords expire that programs use?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};

pub(super) const CHECK: Check = Check {
    name: "password-expiry",
    area: Area::Modes,
    only: None,
    rule: "The password of an account that is not locked expires within 14 days, or has expired.",
    why: "From that day its logins fail with 1862, or each of its statements with 1820: for a pool that is an outage.",
    risk: "The password stays valid until somebody changes it.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            advise("Change the password, or for an account that a program uses:"),
            Step::Sql {
                mariadb: "ALTER USER 'app'@'%' PASSWORD EXPIRE NEVER;",
                mysql: "ALTER USER 'app'@'%' PASSWORD EXPIRE NEVER;",
            },
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    Ok(facts
        .expiring
        .get()?
        .iter()
        .filter(|(_, days)| *days <= 14)
        .map(|(account, days)| {
            Found::warning(match days {
                ..0 => format!("the password of {account} has expired"),
                _ => format!("the password of {account} expires in {days} days"),
            })
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Warning;
    use super::super::facts::Seen;
    use super::super::testing::{mysql, severity};

    #[test]
    fn two_weeks_are_soon() {
        for (days, expected) in [
            (60, None),
            (14, Some(Warning)),
            (0, Some(Warning)),
            (-3, Some(Warning)),
        ] {
            let mut facts = mysql(&[]);
            facts.expiring = Seen::Is(vec![("app@%".to_owned(), days)]);
            assert_eq!(severity(&facts, "password-expiry"), expected);
        }
    }
}
