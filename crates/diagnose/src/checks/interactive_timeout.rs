//! Does the server cut people's idle sessions early?

use super::{Area, Check, Found};
use crate::checks::Facts;
use crate::rule::{Setting, Step};

pub(super) const CHECK: Check = Check {
    name: "interactive-timeout",
    area: Area::Timeouts,
    only: None,
    rule: "`interactive_timeout` is below 60 s.",
    why: "It takes the place of wait_timeout for clients that say they are interactive: the mysql program, tools with \
          windows, drivers that are told so.",
    risk: "Forgotten sessions of people stay open longer, with what they have locked.",
    look: |facts| {
        let limit = facts.seconds("interactive_timeout")?.as_secs();
        Ok(if limit < 60 {
            vec![Found::note(format!(
                "interactive_timeout is {limit} s: people's sessions are cut while they think"
            ))]
        } else {
            Vec::new()
        })
    },
    fix: |_: &Facts| -> Vec<Step> { vec![Setting::live("interactive_timeout", 28_800)] },
};

#[cfg(test)]
mod tests {
    use super::super::Severity::Note;
    use super::super::testing::on_both;

    #[test]
    fn below_a_minute_is_a_note() {
        on_both(
            "interactive-timeout",
            "interactive_timeout",
            &[("59", Some(Note)), ("60", None)],
        );
    }
}
