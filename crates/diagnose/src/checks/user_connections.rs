//! May an account have few connections only?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Setting, Step, advise};

pub(super) const CHECK: Check = Check {
    name: "user-connections",
    area: Area::State,
    only: None,
    rule: "The global `max_user_connections` is 1 to 4, or an account has nine tenths of what it allows; 0 is no limit.",
    why: "The next connection of this account gets 1203 or 1226. A pool that is one larger than the limit fails now and then, \
          and a driver that opens a second connection to cancel a query cannot.",
    risk: "One account may take the connections of all others: max_connections stays the limit.",
    look,
    fix,
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let limit = facts.number("max_user_connections")?;
    if limit == 0 {
        return Ok(Vec::new());
    }
    if limit < 5 {
        return Ok(vec![Found::warning(format!(
            "max_user_connections is {limit}"
        ))]);
    }
    let sessions = facts.sessions.get()?;
    Ok(sessions
        .by_account
        .iter()
        .filter(|(_, count)| count * 10 >= limit * 9)
        .map(|(account, count)| {
            Found::warning(format!("{account} has {count} of {limit} connections"))
        })
        .collect())
}

fn fix(facts: &Facts) -> Vec<Step> {
    let limit = facts.number("max_user_connections").unwrap_or_default();
    let wanted = if limit < 5 { 0 } else { limit * 2 };
    vec![
        Setting::live("max_user_connections", wanted),
        advise(
            "An account may have a limit of its own: ALTER USER … WITH MAX_USER_CONNECTIONS 0 removes it.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Warning;
    use super::super::facts::{Seen, Sessions};
    use super::super::testing::{mysql, severity};

    #[test]
    fn few_are_found_and_used_up_ones() {
        let facts = |limit, used| {
            let mut facts = mysql(&[("max_user_connections", limit)]);
            facts.sessions = Seen::Is(Sessions {
                by_account: vec![("app@10.0.0.7".to_owned(), used)],
                ..Sessions::default()
            });
            facts
        };
        for (limit, used, expected) in [
            ("0", 500, None),
            ("2", 1, Some(Warning)),
            ("20", 5, None),
            ("20", 18, Some(Warning)),
        ] {
            assert_eq!(severity(&facts(limit, used), "user-connections"), expected);
        }
    }
}
