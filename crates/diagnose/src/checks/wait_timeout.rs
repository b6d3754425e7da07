//! Does the server cut idle connections early?

use core::time::Duration;

use super::{Area, Check, Found};
use crate::checks::facts::RECENT;
use crate::checks::{Facts, Missing};
use crate::rule::{Setting, Step, advise};

/// The server cut an idle connection, MySQL 8.0.24 and later.
const IDLE_CUT: u16 = 4031;

/// Below it no pool with its usual defaults lives.
const SHORT: Duration = Duration::from_secs(30);

/// From here on it is longer than what the commonest middleboxes allow, 240 s.
const ENOUGH: Duration = Duration::from_secs(300);

pub(super) const CHECK: Check = Check {
    name: "wait-timeout",
    area: Area::Timeouts,
    only: None,
    rule: "`wait_timeout` is 30 s or less (warning), or less than 300 s (note; warning where the server has counted that it cut \
           idle connections within a week: MySQL's error 4031).",
    why: "The server ends every connection that is idle for longer. A pool that keeps connections longer hands out dead ones: \
          2006 or 2013 at the next statement.",
    risk: "More sleeping connections stay open: watch Threads_connected against max_connections.",
    look,
    fix,
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let limit = facts.seconds("wait_timeout")?;
    let seen = format!("wait_timeout is {} s", limit.as_secs());
    if limit <= SHORT {
        return Ok(vec![Found::warning(seen)]);
    }
    if limit >= ENOUGH {
        return Ok(Vec::new());
    }
    let cut = facts
        .raised(IDLE_CUT)
        .filter(|raised| raised.last.is_none_or(|last| last < RECENT));
    Ok(vec![match cut {
        Some(raised) => Found::warning(format!(
            "{seen}, and the server has cut idle connections {}",
            raised.told()
        )),
        None => Found::note(seen),
    }])
}

fn fix(facts: &Facts) -> Vec<Step> {
    let below = facts
        .seconds("wait_timeout")
        .unwrap_or(Duration::from_secs(28_800));
    vec![
        advise(format!(
            "Best in the client: let the pool close connections after {} s (its maximum lifetime or idle time), below \
             wait_timeout, or test them before use.",
            (below * 3 / 4).as_secs()
        )),
        Setting::live("wait_timeout", 28_800),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Note, Warning};
    use super::super::testing::{mysql, on_both, severity};

    #[test]
    fn short_ones_are_found() {
        on_both(
            "wait-timeout",
            "wait_timeout",
            &[
                ("20", Some(Warning)),
                ("120", Some(Note)),
                ("300", None),
                ("28800", None),
                ("31536000", None),
            ],
        );
    }

    #[test]
    fn a_counted_cut_makes_a_note_a_warning() {
        let facts = mysql(&[("wait_timeout", "120")]).raising(4031, 3);
        assert_eq!(severity(&facts, "wait-timeout"), Some(Warning));
        let facts = mysql(&[("wait_timeout", "28800")]).raising(4031, 3);
        assert_eq!(severity(&facts, "wait-timeout"), None);
    }
}
