//! Do connections end without goodbye?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};

/// What MySQL counts, and what it means.
const KINDS: [(u16, &str); 6] = [
    (4031, "cut by the server because they were idle"),
    (1153, "ended because of a packet that was too large"),
    (1158, "lost while the server read"),
    (1159, "given up while the server read"),
    (1160, "lost while the server wrote"),
    (1161, "given up while the server wrote"),
];

pub(super) const CHECK: Check = Check {
    name: "aborted-clients",
    area: Area::State,
    only: None,
    rule: "While doctor looked, more than one connection in 10 s ended without goodbye (`Aborted_clients`), and they were over 5 % \
           of those that were made (warning); or over 5 % since the server's start, at least 100, and it is up for over an hour \
           (note).",
    why: "Each is a connection that was lost, or a client that does not say goodbye. On MySQL the counts of errors tell which.",
    risk: "None: it is the clients that are to be mended.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            advise(
                "Let clients close their connections; PHP and short scripts often do not, and a pool that is killed cannot.",
            ),
            advise(
                "Else they are lost: `steadfast why --from` with the server's error log says why.",
            ),
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let (aborted, made) = (
        facts.counter("aborted_clients")?,
        facts.counter("connections")?,
    );
    let uptime = facts.counter("uptime")?;
    if let (Some(aborts), Some(connects)) =
        (facts.rate("aborted_clients"), facts.rate("connections"))
        && aborts > 0.1
        && aborts > 0.05 * connects
    {
        return Ok(vec![Found::warning(format!(
            "{aborts:.1} connections a second end without goodbye, {connects:.1} a second are made{}",
            kinds(facts)
        ))]);
    }
    Ok(if aborted >= 100 && aborted * 20 > made && uptime > 3_600 {
        vec![Found::note(format!(
            "{aborted} of {made} connections since the server's start ended without goodbye{}",
            kinds(facts)
        ))]
    } else {
        Vec::new()
    })
}

/// `: 12 cut by the server because they were idle`
fn kinds(facts: &Facts) -> String {
    let known: Vec<String> = KINDS
        .iter()
        .filter_map(|(code, what)| Some(format!("{} {what}", facts.raised(*code)?.count)))
        .collect();
    if known.is_empty() {
        String::new()
    } else {
        format!(": {}", known.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::super::Severity::{Note, Warning};
    use super::super::facts::{Later, Seen};
    use super::super::testing::{mysql, severity};
    use super::*;

    /// Aborted clients, connections and uptime, and again 5 s later.
    fn facts(first: [&str; 3], then: [&str; 3]) -> Facts {
        let of = |[aborted, made, uptime]: [&str; 3]| {
            mysql(&[]).counting(&[
                ("aborted_clients", aborted),
                ("connections", made),
                ("uptime", uptime),
            ])
        };
        let mut facts = of(first);
        facts.later = Seen::Is(Later {
            after: Duration::from_secs(5),
            status: of(then).status,
        });
        facts
    }

    #[test]
    fn rates_count_and_totals_only_where_they_are_large() {
        let check = "aborted-clients";
        assert_eq!(
            severity(&facts(["3", "9", "90000"], ["3", "10", "90005"]), check),
            None
        );
        assert_eq!(
            severity(&facts(["3", "9", "90000"], ["8", "19", "90005"]), check),
            Some(Warning)
        );
        assert_eq!(
            severity(
                &facts(["300", "900", "90000"], ["300", "900", "90005"]),
                check
            ),
            Some(Note)
        );
        assert_eq!(
            severity(
                &facts(["300", "90000", "90000"], ["300", "90000", "90005"]),
                check
            ),
            None
        );
    }
}
