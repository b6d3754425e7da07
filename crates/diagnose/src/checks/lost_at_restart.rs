//! Would a restart undo what somebody has set?

use super::{Area, Check, Found};
use crate::checks::facts::Origin;
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};

/// Those that matter for lost connections.
const NAMES: [&str; 16] = [
    "connect_timeout",
    "innodb_buffer_pool_size",
    "interactive_timeout",
    "log_error_verbosity",
    "log_warnings",
    "max_allowed_packet",
    "max_connect_errors",
    "max_connections",
    "max_heap_table_size",
    "max_session_mem_used",
    "net_read_timeout",
    "net_write_timeout",
    "sort_buffer_size",
    "tcp_keepalive_time",
    "tmp_table_size",
    "wait_timeout",
];

pub(super) const CHECK: Check = Check {
    name: "lost-at-restart",
    area: Area::Modes,
    only: None,
    rule: "A variable that matters for lost connections was set at run time, and is not kept over a restart (note).",
    why: "A timeout or a limit that somebody mended comes back broken after the next restart, when nobody remembers.",
    risk: "None: it is the value that is in force now.",
    look,
    fix,
};

fn set_now(facts: &Facts) -> Result<Vec<&'static str>, Missing> {
    let origins = facts.origins.get()?;
    Ok(NAMES
        .into_iter()
        .filter(|name| origins.get(*name) == Some(&Origin::RunTime))
        .collect())
}

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let names = set_now(facts)?;
    Ok(if names.is_empty() {
        Vec::new()
    } else {
        vec![Found::note(format!(
            "set at run time only: {}",
            names.join(", ")
        ))]
    })
}

fn fix(facts: &Facts) -> Vec<Step> {
    let lines: Vec<String> = set_now(facts)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|name| Some(format!("{name} = {}", facts.text(name).ok()?)))
        .collect();
    let what = if lines.is_empty() {
        "the lines".to_owned()
    } else {
        lines.join("; ")
    };
    vec![advise(format!(
        "Write what shall stay below [mysqld] in the option file: {what}. On MySQL 8.0 and later, SET PERSIST does it."
    ))]
}

#[cfg(test)]
mod tests {
    use super::super::Severity::Note;
    use super::super::facts::Seen;
    use super::super::testing::{mysql, severity};
    use super::*;

    #[test]
    fn only_what_matters_and_is_not_kept() {
        for (name, origin, expected) in [
            ("wait_timeout", Origin::RunTime, Some(Note)),
            ("wait_timeout", Origin::Persisted, None),
            ("general_log", Origin::RunTime, None),
        ] {
            let mut facts = mysql(&[("wait_timeout", "600")]);
            facts.origins = Seen::Is([(name.to_owned(), origin)].into());
            assert_eq!(severity(&facts, "lost-at-restart"), expected);
        }
    }
}
