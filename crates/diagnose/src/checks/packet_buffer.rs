//! Do the packet buffer and the packet limit agree?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Setting, Step};

pub(super) const CHECK: Check = Check {
    name: "packet-buffer",
    area: Area::Packets,
    only: None,
    rule: "`net_buffer_length` is larger than `max_allowed_packet`.",
    why: "The buffer that a session begins with is then larger than the largest packet it may have: the server refuses what \
          fits its buffer.",
    risk: "None.",
    look,
    fix: |_: &Facts| -> Vec<Step> { vec![Setting::live("net_buffer_length", 16_384)] },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let (buffer, limit) = (
        facts.number("net_buffer_length")?,
        facts.number("max_allowed_packet")?,
    );
    Ok(if buffer > limit {
        vec![Found::warning(format!(
            "net_buffer_length is {buffer} bytes, max_allowed_packet {limit} bytes"
        ))]
    } else {
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Warning;
    use super::super::testing::{mysql, severity};

    #[test]
    fn the_buffer_must_not_be_larger() {
        for (buffer, expected) in [("16384", None), ("65536", Some(Warning))] {
            let facts = mysql(&[
                ("net_buffer_length", buffer),
                ("max_allowed_packet", "32768"),
            ]);
            assert_eq!(severity(&facts, "packet-buffer"), expected);
        }
    }
}
