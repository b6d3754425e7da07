//! Does the kernel give up early on a path that is down for a moment?

use super::{Area, Check, Found};
use crate::checks::Facts;
use crate::rule::{Step, advise};

pub(super) const CHECK: Check = Check {
    name: "retransmissions",
    area: Area::Timeouts,
    only: None,
    rule: "`net.ipv4.tcp_retries2` on the server's machine is below 8.",
    why: "It is how long data may be unacknowledged before the kernel ends a connection. RFC 1122 asks for at least 100 s, which \
          8 are; less ends connections over a network that is down for half a minute.",
    risk: "A path that is dead for good is noticed later; timeouts of the client's own are the better means against that.",
    look: |facts| {
        let retries = facts.kernel.get()?.retries;
        Ok(if retries < 8 {
            vec![Found::warning(format!(
                "net.ipv4.tcp_retries2 is {retries}"
            ))]
        } else {
            Vec::new()
        })
    },
    fix: |_: &Facts| -> Vec<Step> {
        vec![advise(
            "sysctl -w net.ipv4.tcp_retries2=15 on the server's machine, and in /etc/sysctl.d.",
        )]
    },
};

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::super::Severity::Warning;
    use super::super::facts::{KernelTcp, Seen};
    use super::super::testing::{mysql, severity};

    #[test]
    fn few_are_found() {
        for (retries, expected) in [(15, None), (8, None), (5, Some(Warning))] {
            let mut facts = mysql(&[]);
            facts.kernel = Seen::Is(KernelTcp {
                keepalive: Duration::from_secs(7200),
                retries,
            });
            assert_eq!(severity(&facts, "retransmissions"), expected);
        }
    }
}
