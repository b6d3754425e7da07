//! Do large packets pass?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};

pub(super) const CHECK: Check = Check {
    name: "path-packet",
    area: Area::Path,
    only: None,
    rule: "The probe `packet` sends and fetches packets of growing size, and one was lost though the server's `max_allowed_packet` \
           allows it (error).",
    why: "Logins and small statements work, and every large one is lost: a proxy with a limit of its own, or a path whose largest \
          packet is smaller than both ends think and that drops the message which says so (path MTU).",
    risk: "A smaller MTU costs a little throughput.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            advise(
                "Over a VPN or tunnel: lower the MTU of both ends to what ping -M do -s 1372 HOST finds, or let the tunnel clamp the MSS.",
            ),
            advise(
                "Through a proxy: raise its limit of packets to the server's max_allowed_packet.",
            ),
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let probe = facts.path.packet.get()?;
    Ok(probe.failed.iter().map(Found::error).collect())
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Error;
    use super::super::facts::{PacketProbe, Seen};
    use super::super::testing::{mysql, severity};

    #[test]
    fn what_does_not_pass_is_an_error() {
        for (failed, expected) in [
            (None, None),
            (Some("64 KiB up: no answer".to_owned()), Some(Error)),
        ] {
            let mut facts = mysql(&[]);
            facts.path.packet = Seen::Is(PacketProbe {
                up: 1024,
                down: 1024,
                failed,
            });
            assert_eq!(severity(&facts, "path-packet"), expected);
        }
    }
}
