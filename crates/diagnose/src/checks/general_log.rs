//! Is every statement logged?

use super::{Area, Check, Found};
use crate::checks::Facts;
use crate::rule::{Setting, Step};

pub(super) const CHECK: Check = Check {
    name: "general-log",
    area: Area::Visibility,
    only: None,
    rule: "`general_log` is ON.",
    why: "It writes every statement and is never emptied: it fills the disk, and a full disk stalls or ends the server.",
    risk: "What reads the general log, an audit perhaps, sees no more of it.",
    look: |facts| {
        Ok(if facts.is_on("general_log")? {
            let place = facts.text("general_log_file").unwrap_or("its file");
            vec![Found::note(format!(
                "general_log is ON: every statement is written to {place}"
            ))]
        } else {
            Vec::new()
        })
    },
    fix: |_: &Facts| -> Vec<Step> { vec![Setting::live("general_log", "OFF")] },
};

#[cfg(test)]
mod tests {
    use super::super::Severity::Note;
    use super::super::testing::on_both;

    #[test]
    fn on_is_a_note() {
        on_both(
            "general-log",
            "general_log",
            &[("ON", Some(Note)), ("OFF", None)],
        );
    }
}
