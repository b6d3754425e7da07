//! Does a crash take away what was acknowledged?

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Setting, Step};

pub(super) const CHECK: Check = Check {
    name: "durability",
    area: Area::Modes,
    only: None,
    rule: "`innodb_flush_log_at_trx_commit` is not 1, or `sync_binlog` is not 1 where `log_bin` is ON (0: warning, more than 1: \
           note).",
    why: "After a crash or a loss of power COMMITs that clients saw acknowledged are gone, and replicas may have what their source \
          has not. Whoever looks after a lost connection whether a COMMIT took effect, Steadfast included, cannot know.",
    risk: "Each COMMIT waits for the disk.",
    look,
    fix,
};

/// Settings that lose COMMITs, and their values.
fn loose(facts: &Facts) -> Result<Vec<(&'static str, u64)>, Missing> {
    let mut loose = vec![(
        "innodb_flush_log_at_trx_commit",
        facts.number("innodb_flush_log_at_trx_commit")?,
    )];
    if facts.is_on("log_bin")? {
        loose.push(("sync_binlog", facts.number("sync_binlog")?));
    }
    // 3 is MariaDB's older way to commit groups, as durable as 1.
    loose.retain(|(name, value)| {
        *value != 1 && (*name, *value) != ("innodb_flush_log_at_trx_commit", 3)
    });
    Ok(loose)
}

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    Ok(loose(facts)?
        .into_iter()
        .map(|(name, value)| {
            let seen = format!("{name} is {value}: a crash takes acknowledged COMMITs away");
            // At 2 the log is written at each COMMIT: only the machine's end takes it away.
            if value == 0 {
                Found::warning(seen)
            } else {
                Found::note(seen)
            }
        })
        .collect())
}

fn fix(facts: &Facts) -> Vec<Step> {
    loose(facts)
        .unwrap_or_else(|_| vec![("innodb_flush_log_at_trx_commit", 0), ("sync_binlog", 0)])
        .into_iter()
        .map(|(name, _)| Setting::live(name, 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Note, Warning};
    use super::super::testing::{mariadb, mysql, severity};

    #[test]
    fn the_binary_log_counts_where_there_is_one() {
        for make in [mysql, mariadb] {
            for (flush, sync, log, expected) in [
                ("1", "1", "ON", None),
                ("1", "0", "OFF", None),
                ("1", "0", "ON", Some(Warning)),
                ("0", "1", "OFF", Some(Warning)),
                ("2", "1", "ON", Some(Note)),
            ] {
                let facts = make(&[
                    ("innodb_flush_log_at_trx_commit", flush),
                    ("sync_binlog", sync),
                    ("log_bin", log),
                ]);
                assert_eq!(severity(&facts, "durability"), expected);
            }
        }
    }
}
