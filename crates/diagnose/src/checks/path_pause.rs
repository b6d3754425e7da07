//! Does a connection survive a pause in the middle of a result or a statement?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};
use crate::words::time;

pub(super) const CHECK: Check = Check {
    name: "path-pause",
    area: Area::Path,
    only: None,
    rule: "The probes `slow-read` and `slow-write` pause in the middle of a result and of a statement, and the connection was lost \
           (warning).",
    why: "A dump or an export that works on what it reads pauses, and so does a client on a bad network. What ends the connection \
          then is net_write_timeout, wait_timeout, or a limit of something on the way.",
    risk: "A client that hangs holds its result and its locks for longer.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            advise(
                "Compare with the checks net-write-timeout and wait-timeout: if they find nothing, it is something on the way.",
            ),
            advise("Let clients fetch long results first and work on them then, or in parts."),
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let path = &facts.path;
    let probes = [
        ("a result", &path.slow_read),
        ("a statement", &path.slow_write),
    ];
    if let (Err(missing), Err(_)) = (path.slow_read.get(), path.slow_write.get()) {
        return Err(missing);
    }
    Ok(probes
        .into_iter()
        .filter_map(|(what, probe)| {
            let probe = probe.ok()?;
            let lost = probe.lost.as_ref()?;
            Some(Found::warning(format!(
                "after a pause of {} in the middle of {what}: {lost}",
                time(probe.pause)
            )))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::super::Severity::Warning;
    use super::super::facts::{PauseProbe, Seen};
    use super::super::testing::{mysql, severity};

    #[test]
    fn one_of_them_is_enough() {
        for (lost, expected) in [
            (None, None),
            (Some("it was reset".to_owned()), Some(Warning)),
        ] {
            let mut facts = mysql(&[]);
            facts.path.slow_read = Seen::Is(PauseProbe {
                pause: Duration::from_secs(5),
                lost,
            });
            assert_eq!(severity(&facts, "path-pause"), expected);
        }
    }
}
