//! Are the connections used up?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Setting, Step, advise};

pub(super) const CHECK: Check = Check {
    name: "connections",
    area: Area::State,
    only: None,
    rule: "Nine tenths of `max_connections` are in use now (error), or were at some time since the server's start (warning), or \
           connections were refused (`Connection_errors_max_connections`, warning).",
    why: "The next client gets 1040, Too many connections. Not to be mended by a shorter wait_timeout: that trades refused \
          connections for lost ones.",
    risk: "Each connection needs some memory and a file: see `memory-limit` and `open-files`.",
    look,
    fix,
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let limit = facts.number("max_connections")?;
    let now = facts.counter("threads_connected")?;
    let most = facts.counter("max_used_connections")?;
    let refused = facts
        .counter("connection_errors_max_connections")
        .unwrap_or_default();
    if now * 10 >= limit * 9 {
        return Ok(vec![Found::error(format!(
            "{now} of {limit} connections are in use{}",
            holders(facts)
        ))]);
    }
    let mut found = Vec::new();
    if most * 10 >= limit * 9 {
        found.push(Found::warning(format!(
            "{most} of {limit} connections were in use at the same time"
        )));
    }
    if refused > 0 {
        found.push(Found::warning(format!(
            "{refused} connections were refused since the server's start"
        )));
    }
    Ok(found)
}

/// `: 120 of app@10.0.0.7`
fn holders(facts: &Facts) -> String {
    let Some(sessions) = facts.sessions.ok() else {
        return String::new();
    };
    let most: Vec<String> = sessions
        .by_account
        .iter()
        .take(3)
        .map(|(account, count)| format!("{count} of {account}"))
        .collect();
    if most.is_empty() {
        String::new()
    } else {
        format!(": {}", most.join(", "))
    }
}

fn fix(facts: &Facts) -> Vec<Step> {
    let most = facts.counter("max_used_connections").unwrap_or(100);
    let wanted = (most * 3).div_ceil(2);
    let mut steps = vec![advise(
        "First look for pools that are too large, or that leak connections.",
    )];
    match facts.number("max_connections") {
        // So few were never in use at the same time under this limit: it was raised since, or they were refused before.
        Ok(limit) if limit >= wanted => steps.push(advise(format!(
            "max_connections is {limit}, and {most} were the most in use since the server's start: it was raised since they were \
             refused. FLUSH STATUS counts anew."
        ))),
        _ => steps.push(Setting::live("max_connections", wanted)),
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Error, Warning};
    use super::super::testing::{mysql, severity};
    use super::*;

    #[test]
    fn now_is_worse_than_once() {
        for (now, most, refused, expected) in [
            ("1", "20", "0", None),
            ("90", "90", "0", Some(Error)),
            ("5", "100", "0", Some(Warning)),
            ("5", "50", "3", Some(Warning)),
        ] {
            let facts = mysql(&[("max_connections", "100")]).counting(&[
                ("threads_connected", now),
                ("max_used_connections", most),
                ("connection_errors_max_connections", refused),
            ]);
            assert_eq!(severity(&facts, "connections"), expected);
        }
        let facts = mysql(&[]).counting(&[("max_used_connections", "9")]);
        assert_eq!(fix(&facts)[1], Setting::live("max_connections", 14));
    }

    #[test]
    fn a_limit_is_never_lowered() {
        for (limit, most, refused, wanted) in [
            ("100", "95", "0", Some(143)),
            ("100", "100", "3", Some(150)),
            // They were refused when the limit was lower.
            ("1000", "100", "3", None),
            ("150", "100", "3", None),
        ] {
            let facts = mysql(&[("max_connections", limit)]).counting(&[
                ("threads_connected", "5"),
                ("max_used_connections", most),
                ("connection_errors_max_connections", refused),
            ]);
            assert_eq!(severity(&facts, "connections"), Some(Warning));
            let set = fix(&facts)
                .into_iter()
                .find(|step| matches!(step, Step::Set(_)));
            let wanted = wanted.map(|wanted| Setting::live("max_connections", wanted));
            assert_eq!(set, wanted, "{limit} {most}");
        }
    }
}
