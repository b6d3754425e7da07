//! Is the largest packet that the server takes large enough?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Setting, Step, advise};
use crate::words::size;

/// The server refused a packet that was larger than it takes.
const TOO_LARGE: u16 = 1153;

const MIB: u64 = 1 << 20;

pub(super) const CHECK: Check = Check {
    name: "packet-limit",
    area: Area::Packets,
    only: None,
    rule: "`max_allowed_packet` is below 4 MiB (warning), or below 16 MiB (note); or, whatever it is, the server has refused a \
           packet since its start (warning; MySQL's count of error 1153).",
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
    Ok(match facts.raised(TOO_LARGE) {
        Some(raised) => vec![Found::warning(format!(
            "{seen}, and larger packets were refused {}",
            raised.told()
        ))],
        None if limit < 4 * MIB => vec![Found::warning(seen)],
        None if limit < 16 * MIB => vec![Found::note(seen)],
        None => Vec::new(),
    })
}

fn fix(facts: &Facts) -> Vec<Step> {
    let limit = facts.number("max_allowed_packet").unwrap_or_default();
    let refused = facts.raised(TOO_LARGE).is_some();
    // The server does not tell how large the refused one was: four times as much, and at most what the protocol has.
    let wanted = if refused { limit.saturating_mul(4) } else { 0 };
    let wanted = wanted.clamp(64 * MIB, 1 << 30);
    vec![
        Setting::live("max_allowed_packet", wanted),
        advise(
            "The client has a limit of its own: 16 MiB in the mysql program, 24 MiB in mysqldump (--max-allowed-packet), 64 MiB \
             in Go's driver (maxAllowedPacket); Java's drivers ask the server.",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Note, Warning};
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
    }
}
