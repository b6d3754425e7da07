//! Nobody listens.

use crate::cause::Cause;
use crate::evidence::{End, Evidence, Moment};
use crate::rule::{Rule, Sign, Step, advise};
use crate::signs::{LOGGED_IN, WAS_GREETED};

pub(super) const RULE: Rule = Rule {
    cause: Cause::NotListening,
    meaning: "The attempt to connect was refused: no server listens at that address and port, or a firewall says so.",
    proofs: &[
        Sign {
            what: "the attempt to connect was refused",
            seen: |evidence| {
                let wire = evidence.wire.as_ref()?;
                (wire.moment == Moment::Connecting && wire.end == End::Refused)
                    .then(|| "the attempt to connect was refused".to_owned())
            },
        },
        Sign {
            what: "the client was refused (111 on Linux, 61 on macOS, 10061 on Windows)",
            seen: |evidence| {
                let client = evidence.client.as_ref()?;
                matches!(client.os_error?, 111 | 61 | 10061)
                    .then(|| format!("the client was refused: {}", client.text))
            },
        },
    ],
    refutations: &[
        WAS_GREETED,
        LOGGED_IN,
        Sign {
            what: "the connection had been made",
            seen: |evidence| {
                (evidence.wire.as_ref()?.end != End::Refused)
                    .then(|| "the connection had been made".to_owned())
            },
        },
    ],
    hints: &[],
    brings: &[],
    question: "Does the server run, and where does it listen (ss -ltnp; bind_address, port, skip_networking)?",
    fix,
};

fn fix(_evidence: &Evidence) -> Vec<Step> {
    vec![
        advise(
            "See whether the server runs (systemctl status mariadb mysql) and where it listens (ss -ltnp): bind_address = \
             127.0.0.1 takes connections of its own machine only, skip_networking none.",
        ),
        advise(
            "Check the address and the port that the client uses, and what the name resolves to (getent hosts NAME).",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{certain, mariadb, wire};

    #[test]
    fn nobody_listens() {
        let evidence = Evidence {
            server: Some(mariadb()),
            wire: Some(wire(Moment::Connecting, End::Refused)),
            ..Evidence::default()
        };
        certain(&evidence, Cause::NotListening);
    }
}
