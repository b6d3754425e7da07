//! Does a torn page damage the data?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Setting, Step, advise};

pub(super) const CHECK: Check = Check {
    name: "doublewrite",
    area: Area::Modes,
    only: None,
    rule: "`innodb_doublewrite` is OFF.",
    why: "A page that was half written when the power failed cannot be mended without it: the server then ends whenever it reads \
          that page, and takes all connections with it.",
    risk: "Pages are written twice. Only file systems that write pages as a whole (ZFS, some NVMe disks) do without it.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            Setting::at_start("innodb_doublewrite", "ON"),
            advise("Unless the file system writes pages as a whole."),
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    // MySQL 8 also has DETECT_AND_RECOVER and DETECT_ONLY, MariaDB 11 fast.
    let value = facts.text("innodb_doublewrite")?.to_ascii_uppercase();
    Ok(match value.as_str() {
        "OFF" | "0" | "FALSE" => vec![Found::warning("innodb_doublewrite is OFF")],
        "DETECT_ONLY" => vec![Found::warning(
            "innodb_doublewrite is DETECT_ONLY: torn pages are seen, not mended",
        )],
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Warning;
    use super::super::testing::on_both;

    #[test]
    fn off_is_found() {
        on_both(
            "doublewrite",
            "innodb_doublewrite",
            &[
                ("ON", None),
                ("OFF", Some(Warning)),
                ("DETECT_ONLY", Some(Warning)),
                ("fast", None),
            ],
        );
    }
}
