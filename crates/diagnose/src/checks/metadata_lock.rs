//! Do sessions wait for a lock that only a person can end?

use core::time::Duration;

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};
use crate::words::time;

const LONG: Duration = Duration::from_secs(60);
const MANY: usize = 10;

pub(super) const CHECK: Check = Check {
    name: "metadata-lock",
    area: Area::State,
    only: None,
    rule: "Ten sessions wait for a metadata lock or a global lock (error), or one for over a minute (warning).",
    why: "An ALTER TABLE behind an open transaction, or a backup's global read lock, stops everything that comes after it, for up \
          to lock_wait_timeout: a year on MySQL, a day on MariaDB. Clients see a server that hangs, and give up.",
    risk: "What is killed is rolled back.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            advise(
                "Find the transaction or the backup that they wait for, and end it; or end the ALTER TABLE that waits first.",
            ),
            Step::Sql {
                mariadb: "SELECT * FROM information_schema.METADATA_LOCK_INFO; -- with the plugin metadata_lock_info",
                mysql: "SELECT * FROM sys.schema_table_lock_waits;",
            },
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let waiting = &facts.sessions.get()?.waiting;
    let Some((state, longest)) = waiting.iter().max_by_key(|(_, time)| *time) else {
        return Ok(Vec::new());
    };
    let seen = match waiting.len() {
        1 => format!("a session is in \"{state}\" for {}", time(*longest)),
        count => format!(
            "{count} sessions wait for locks of whole tables, in \"{state}\" for {}",
            time(*longest)
        ),
    };
    Ok(if waiting.len() >= MANY {
        vec![Found::error(seen)]
    } else if *longest > LONG {
        vec![Found::warning(seen)]
    } else {
        Vec::new()
    })
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Error, Warning};
    use super::super::facts::{Seen, Sessions};
    use super::super::testing::{mysql, severity};
    use super::*;

    #[test]
    fn many_or_long_waits_are_found() {
        for (count, seconds, expected) in [
            (0, 0, None),
            (1, 5, None),
            (1, 70, Some(Warning)),
            (12, 5, Some(Error)),
        ] {
            let mut facts = mysql(&[]);
            let wait = (
                "Waiting for table metadata lock".to_owned(),
                Duration::from_secs(seconds),
            );
            facts.sessions = Seen::Is(Sessions {
                waiting: vec![wait; count],
                ..Sessions::default()
            });
            assert_eq!(severity(&facts, "metadata-lock"), expected);
        }
    }
}
