//! Does something on the way cut silent connections?

use core::time::Duration;

use super::{Area, Check, Found};
use crate::checks::facts::CutHow;
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};

pub(super) const CHECK: Check = Check {
    name: "path-idle",
    area: Area::Path,
    only: None,
    rule: "The probe `idle` keeps connections silent for growing times, and some were lost (warning). That none was \
           tells nothing of silences that were not tried.",
    why: "A firewall, NAT, load balancer or proxy on the way forgets or ends connections that are silent for longer, whatever the \
          server's wait_timeout is: the next statement waits until the client gives up, or fails at once.",
    risk: "A few bytes for each idle connection.",
    look,
    fix,
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let probe = facts.path.idle.get()?;
    let Some(cut) = probe.cut else {
        return match probe.untried() {
            Some(untried) => Err(untried),
            None => Ok(Vec::new()),
        };
    };
    let how = match cut.how {
        CutHow::Closed => "was closed",
        CutHow::Reset => "was reset",
        CutHow::Silent => "was forgotten without a word",
    };
    let keepalive = match cut.keepalive_helps {
        Some(true) => "; one with keepalive was not",
        Some(false) => "; so was one with keepalive",
        None => "",
    };
    Ok(vec![Found::warning(format!(
        "a connection that is silent for {} {how} (cut-off at about {} s: {} was survived){keepalive}",
        time(cut.lost),
        cut.limit().as_secs_f64().round(),
        time(cut.survived),
    ))])
}

fn time(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

fn fix(facts: &Facts) -> Vec<Step> {
    let cut = facts.path.idle.ok().and_then(|probe| probe.cut);
    let pool = match cut {
        Some(cut) => format!("below {} s", cut.survived.as_secs()),
        None => "below the cut-off".to_owned(),
    };
    let mut steps = Vec::new();
    if cut.is_none_or(|cut| cut.keepalive_helps != Some(false)) {
        let period = cut
            .map_or(120, |cut| cut.limit().as_secs() / 3)
            .clamp(1, 120);
        steps.push(advise(format!(
            "Turn keepalive on at either end, every {period} s: in the client's driver or kernel, or at the server (see the check \
             keepalive). Through Steadfast it is on at both ends."
        )));
    }
    steps.push(advise(format!(
        "Or let the pool's longest idle time or lifetime be {pool}, or let the device be silent for longer."
    )));
    steps
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Warning;
    use super::super::facts::{Cut, IdleProbe, Seen};
    use super::super::testing::{mysql, severity};
    use super::*;

    #[test]
    fn a_cut_is_found() {
        let cut = Cut {
            survived: Duration::from_secs(19),
            lost: Duration::from_secs(21),
            how: CutHow::Silent,
            keepalive_helps: Some(true),
        };
        let tried = |longest, cut| {
            let mut facts = mysql(&[]);
            facts.path.idle = Seen::Is(IdleProbe {
                longest: Duration::from_secs(longest),
                cut,
            });
            facts
        };
        assert_eq!(severity(&tried(30, Some(cut)), "path-idle"), Some(Warning));
        assert_eq!(severity(&tried(3_600, None), "path-idle"), None);
        // Half a minute tells nothing about an hour.
        assert!(look(&tried(30, None)).is_err());
        assert_eq!(cut.limit(), Duration::from_secs(20));
    }
}
