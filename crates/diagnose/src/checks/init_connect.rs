//! Does something run at each login that may fail?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Setting, Step};

/// A connection was ended because its init_connect failed.
const ENDED: u16 = 1184;

pub(super) const CHECK: Check = Check {
    name: "init-connect",
    area: Area::Modes,
    only: None,
    rule: "`init_connect` is not empty (note; error where MySQL has ended connections for it: error 1184).",
    why: "It runs at each login of an ordinary account. Where it fails, the server ends the connection at its first statement; an \
          administrator, whose logins do not run it, sees nothing.",
    risk: "What it did for each session, a character set or an audit, is no longer done.",
    look,
    fix: |_: &Facts| -> Vec<Step> { vec![Setting::live("init_connect", "''")] },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let statement = facts.text("init_connect")?.trim();
    if statement.is_empty() {
        return Ok(Vec::new());
    }
    let seen = format!(
        "init_connect is: {}",
        statement.chars().take(80).collect::<String>()
    );
    Ok(vec![match facts.raised(ENDED) {
        Some(raised) => Found::error(format!(
            "{seen}; it failed and ended connections {}",
            raised.told()
        )),
        None => Found::note(seen),
    }])
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Error, Note};
    use super::super::testing::{mysql, on_both, severity};

    #[test]
    fn it_is_worse_once_it_failed() {
        on_both(
            "init-connect",
            "init_connect",
            &[("", None), ("SET NAMES utf8mb4", Some(Note))],
        );
        let facts = mysql(&[("init_connect", "SELECT * FROM no.such")]).raising(1184, 1);
        assert_eq!(severity(&facts, "init-connect"), Some(Error));
    }
}
