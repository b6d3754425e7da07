//! How long may a login take?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Setting, Step};

pub(super) const CHECK: Check = Check {
    name: "connect-timeout",
    area: Area::Timeouts,
    only: None,
    rule: "`connect_timeout` is below 5 s (warning), or over 60 s (note).",
    why: "A login over TLS with an external authority, a slow name server or a busy machine takes seconds. Too little shows as \
          \"Lost connection … at 'reading authorization packet'\"; too much lets half-made logins hold connections.",
    risk: "A client that connects and says nothing holds a connection for so much longer.",
    look,
    fix: |_: &Facts| -> Vec<Step> { vec![Setting::live("connect_timeout", 10)] },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let limit = facts.seconds("connect_timeout")?.as_secs();
    Ok(match limit {
        0..5 => vec![Found::warning(format!(
            "connect_timeout is {limit} s: slow logins are cut"
        ))],
        5..=60 => Vec::new(),
        _ => vec![Found::note(format!(
            "connect_timeout is {limit} s: half-made logins hold connections for so long"
        ))],
    })
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Note, Warning};
    use super::super::testing::on_both;

    #[test]
    fn too_little_and_too_much_are_found() {
        on_both(
            "connect-timeout",
            "connect_timeout",
            &[
                ("2", Some(Warning)),
                ("5", None),
                ("10", None),
                ("60", None),
                ("600", Some(Note)),
            ],
        );
    }
}
