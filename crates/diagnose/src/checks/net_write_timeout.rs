//! Does the server give up early on clients that read slowly?

use core::time::Duration;

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Setting, Step, advise};

/// Error and timeout while writing packets.
const WRITE_ERRORS: [u16; 2] = [1160, 1161];

/// The servers' default.
const DEFAULT: Duration = Duration::from_secs(60);

pub(super) const CHECK: Check = Check {
    name: "net-write-timeout",
    area: Area::Timeouts,
    only: None,
    rule: "`net_write_timeout` is below 20 s (warning), or below its default of 60 s (note; warning where the server has \
           counted errors 1160 or 1161).",
    why: "A client that works on each row while it reads a long result, a dump above all, takes nothing for a while. When \
          the buffers between are full for this long, the server cuts it in the middle of a row.",
    risk: "A client that hangs holds its result, its locks and its snapshot for so much longer.",
    look,
    fix,
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let limit = facts.seconds("net_write_timeout")?;
    if limit >= DEFAULT {
        return Ok(Vec::new());
    }
    let seen = format!("net_write_timeout is {} s", limit.as_secs());
    let given_up = WRITE_ERRORS.iter().find_map(|code| facts.raised(*code));
    Ok(vec![match given_up {
        Some(raised) => Found::warning(format!(
            "{seen}, and the server has given up on clients {}",
            raised.told()
        )),
        None if limit < Duration::from_secs(20) => Found::warning(seen),
        None => Found::note(seen),
    }])
}

fn fix(_: &Facts) -> Vec<Step> {
    vec![
        Setting::live("net_write_timeout", DEFAULT.as_secs()),
        advise("A dump or an export sets more for itself: SET SESSION net_write_timeout = 3600."),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Note, Warning};
    use super::super::testing::{mysql, on_both, severity};

    #[test]
    fn below_the_default_is_found() {
        on_both(
            "net-write-timeout",
            "net_write_timeout",
            &[
                ("5", Some(Warning)),
                ("30", Some(Note)),
                ("60", None),
                ("600", None),
            ],
        );
        let facts = mysql(&[("net_write_timeout", "30")]).raising(1161, 1);
        assert_eq!(severity(&facts, "net-write-timeout"), Some(Warning));
    }
}
