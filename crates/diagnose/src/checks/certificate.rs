//! Does the server's certificate expire?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};

pub(super) const CHECK: Check = Check {
    name: "certificate",
    area: Area::Modes,
    only: None,
    rule: "The server's certificate has expired (error where `require_secure_transport` is ON, else warning), expires within 14 \
           days (warning) or within 30 (note).",
    why: "From that moment clients that verify it end each connection in its handshake.",
    risk: "Clients that trust only the old certificate, and not an authority, need the new one first.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            advise(
                "Put the new certificate and key where ssl_cert and ssl_key say. Then, without a restart:",
            ),
            Step::Sql {
                mariadb: "FLUSH SSL;",
                mysql: "ALTER INSTANCE RELOAD TLS;",
            },
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let Some(days) = *facts.certificate.get()? else {
        return Ok(Vec::new());
    };
    Ok(match days {
        ..0 if facts.is_on("require_secure_transport").unwrap_or_default() => {
            vec![Found::error(format!(
                "the server's certificate expired {} days ago",
                -days
            ))]
        }
        ..0 => vec![Found::warning(format!(
            "the server's certificate expired {} days ago",
            -days
        ))],
        0..=14 => vec![Found::warning(format!(
            "the server's certificate expires in {days} days"
        ))],
        15..=30 => vec![Found::note(format!(
            "the server's certificate expires in {days} days"
        ))],
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Error, Note, Warning};
    use super::super::facts::Seen;
    use super::super::testing::{mysql, severity};

    #[test]
    fn the_sooner_the_worse() {
        for (days, required, expected) in [
            (None, "ON", None),
            (Some(3600), "ON", None),
            (Some(20), "ON", Some(Note)),
            (Some(5), "OFF", Some(Warning)),
            (Some(-1), "OFF", Some(Warning)),
            (Some(-1), "ON", Some(Error)),
        ] {
            let mut facts = mysql(&[("require_secure_transport", required)]);
            facts.certificate = Seen::Is(days);
            assert_eq!(severity(&facts, "certificate"), expected);
        }
    }
}
