//! Is the largest packet that the server takes large enough?

use super::{Area, Check, Found};
use crate::checks::facts::Raised;
use crate::checks::{Facts, Missing};
use crate::rule::{Setting, Step, advise};
use crate::words::size;

/// The server refused a packet that was larger than it takes.
const TOO_LARGE: u16 = 1153;

const MIB: u64 = 1 << 20;

/// Enough where nothing was refused: the default of MySQL 8.
const ENOUGH: u64 = 64 * MIB;

/// The most that max_allowed_packet can be.
const LARGEST: u64 = 1 << 30;

pub(super) const CHECK: Check = Check {
    name: "packet-limit",
    area: Area::Packets,
    only: None,
    rule: "`max_allowed_packet` is below 4 MiB (warning), or below 16 MiB (note); or, whatever it is, the server has refused a \
           packet within a week, and since the limit was set (warning; MySQL's count of error 1153).",
    why: "A statement or a value that is larger ends the connection: 2006, 2013, ECONNRESET or EPIPE, depending on the client. \
          An INSERT of many rows or of one picture is enough.",
    risk: "One session may take as much memory for a packet, while it sends one that large. Sessions that are open keep the old \
           limit.",
    look,
    fix,
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let limit = facts.number("max_allowed_packet")?;
    let seen = format!("max_allowed_packet is {}", size(limit));
    Ok(match refused(facts) {
        Some(raised) => vec![Found::warning(format!(
            "{seen}, and larger packets were refused {}",
            raised.told()
        ))],
        None if limit < 4 * MIB => vec![Found::warning(seen)],
        None if limit < 16 * MIB => vec![Found::note(seen)],
        None => Vec::new(),
    })
}

/// Packets that are refused now, under this limit.
fn refused(facts: &Facts) -> Option<&Raised> {
    facts.raised_lately(TOO_LARGE, "max_allowed_packet")
}

fn fix(facts: &Facts) -> Vec<Step> {
    let limit = facts.number("max_allowed_packet").unwrap_or_default();
    // The server does not tell how large the refused one was: four times as much, and at most what the protocol has.
    let wanted = match refused(facts) {
        Some(_) => limit.saturating_mul(4).clamp(ENOUGH, LARGEST),
        None => ENOUGH,
    };
    let mut steps = Vec::new();
    if wanted > limit {
        steps.push(Setting::live("max_allowed_packet", wanted));
    } else if limit >= LARGEST {
        steps.push(advise(
            "No server takes a larger packet than 1 GiB: send large values in parts, and many rows in several statements.",
        ));
    }
    steps.push(advise(
        "The client has a limit of its own: 16 MiB in the mysql program, 24 MiB in mysqldump (--max-allowed-packet), 64 MiB \
         in Go's driver (maxAllowedPacket); Java's drivers ask the server.",
    ));
    steps
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::super::Severity::{Note, Warning};
    use super::super::facts::Seen;
    use super::super::testing::{mysql, on_both, severity};
    use super::*;

    #[test]
    fn small_limits_are_found_and_large_ones_are_not() {
        on_both(
            "packet-limit",
            "max_allowed_packet",
            &[
                ("1048576", Some(Warning)),
                ("4194304", Some(Note)),
                ("16777216", None),
                ("67108864", None),
                ("1073741824", None),
            ],
        );
    }

    #[test]
    fn a_refused_packet_is_found_at_any_limit() {
        let facts = mysql(&[("max_allowed_packet", "67108864")]).raising(1153, 2);
        assert_eq!(severity(&facts, "packet-limit"), Some(Warning));
        assert_eq!(
            fix(&facts)[0],
            Setting::live("max_allowed_packet", 256 * MIB)
        );
        // There is no larger one.
        let facts = mysql(&[("max_allowed_packet", "1073741824")]).raising(1153, 2);
        assert_eq!(severity(&facts, "packet-limit"), Some(Warning));
        assert!(fix(&facts).iter().all(|step| !matches!(step, Step::Set(_))));
    }

    /// The server counts until its next start: the limit would be raised each night.
    #[test]
    fn what_was_refused_before_the_limit_was_raised_is_forgotten() {
        const DAY: u64 = 86_400;
        const NOW: u64 = 20_000 * DAY;
        for (refused, set, expected) in [
            (2, Some(1), None),
            (1, Some(2), Some(Warning)),
            (1, None, Some(Warning)),
            (8, None, None),
        ] {
            let mut facts = mysql(&[("max_allowed_packet", "67108864")]);
            let raised = Raised {
                count: 2,
                last: Some(Duration::from_secs(refused * DAY)),
                at: Some(NOW - refused * DAY),
                by: Vec::new(),
            };
            facts.errors = Seen::Is([(TOO_LARGE, raised)].into());
            facts
                .set_at
                .extend(set.map(|set| ("max_allowed_packet".to_owned(), NOW - set * DAY)));
            assert_eq!(
                severity(&facts, "packet-limit"),
                expected,
                "{refused} {set:?}"
            );
        }
    }
}
