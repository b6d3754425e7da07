//! Has the server restarted since doctor was here last?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};
use crate::words::time;

/// Restarts in a day that nobody plans.
const MANY: usize = 3;

pub(super) const CHECK: Check = Check {
    name: "restarts",
    area: Area::State,
    only: None,
    rule: "The server has restarted since doctor looked at it last (note), or doctor has seen three restarts within a day (error). \
           What it has seen is kept in the state directory.",
    why: "A restart ends all connections. One that nobody planned was a crash, a kill for memory, or an orchestrator that thinks \
          the server is ill; what restarted it will do so again.",
    risk: "None: it is to be looked into.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![advise(
            "`steadfast why --from` with the server's error log and the kernel's (dmesg -T) says why: a shutdown, a crash or a kill.",
        )]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let seen = facts.restarts.get()?;
    if seen.within_a_day >= MANY {
        return Ok(vec![Found::error(format!(
            "the server was restarted {} times within a day",
            seen.within_a_day
        ))]);
    }
    Ok(match seen.since_last_look {
        Some(last_look) => vec![Found::note(format!(
            "the server has restarted since doctor looked at it {} ago; it is up for {}",
            time(last_look),
            time(core::time::Duration::from_secs(facts.counter("uptime")?))
        ))],
        None => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::super::Severity::{Error, Note};
    use super::super::facts::{Restarts, Seen};
    use super::super::testing::{mysql, severity};

    #[test]
    fn one_is_a_note_and_three_are_an_error() {
        for (since, within_a_day, expected) in [
            (None, 1, None),
            (Some(Duration::from_secs(60)), 1, Some(Note)),
            (None, 3, Some(Error)),
        ] {
            let mut facts = mysql(&[]).counting(&[("uptime", "30")]);
            facts.restarts = Seen::Is(Restarts {
                since_last_look: since,
                within_a_day,
            });
            assert_eq!(severity(&facts, "restarts"), expected);
        }
    }
}
