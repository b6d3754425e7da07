//! Are transactions open that nobody works on?

use core::time::Duration;

use super::{Area, Check, Found};
use crate::checks::{Facts, Missing};
use crate::rule::{Step, advise};
use crate::words::time;

const LONG: Duration = Duration::from_secs(600);
const VERY_LONG: Duration = Duration::from_secs(3_600);

pub(super) const CHECK: Check = Check {
    name: "idle-transactions",
    area: Area::State,
    only: None,
    rule: "A transaction is open for over 10 min and its session is idle (warning), or a statement of one runs for over an hour \
           (note).",
    why: "It keeps its locks, for which others wait until their clients give up, and all old versions of rows: undo logs grow, and \
          a shutdown takes so long that it ends with a kill.",
    risk: "KILL rolls it back, which may take as long as its changes took.",
    look,
    fix: |_: &Facts| -> Vec<Step> {
        vec![
            advise(
                "Find the application that forgot it: autocommit off in a tool, or a transaction around a call to another service.",
            ),
            Step::Sql {
                mariadb: "KILL CONNECTION id;",
                mysql: "KILL CONNECTION id;",
            },
        ]
    },
};

fn look(facts: &Facts) -> Result<Vec<Found>, Missing> {
    let mut found = Vec::new();
    for one in facts.transactions.get()? {
        let whose = format!(
            "a transaction of {} (connection {})",
            one.account, one.connection
        );
        if one.age > LONG
            && let Some(idle) = one.idle
        {
            found.push(Found::warning(format!(
                "{whose} is open for {}, its session is idle for {}, {} rows are locked",
                time(one.age),
                time(idle),
                one.locked
            )));
        } else if one.age > VERY_LONG {
            found.push(Found::note(format!("{whose} runs for {}", time(one.age))));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::Severity::{Note, Warning};
    use super::super::facts::{Seen, Transaction};
    use super::super::testing::{mysql, severity};
    use super::*;

    #[test]
    fn an_idle_one_is_worse_than_a_long_one() {
        for (age, idle, expected) in [
            (60, Some(50), None),
            (700, Some(650), Some(Warning)),
            (700, None, None),
            (4000, None, Some(Note)),
        ] {
            let mut facts = mysql(&[]);
            facts.transactions = Seen::Is(vec![Transaction {
                connection: 7,
                account: "app@10.0.0.7".to_owned(),
                age: Duration::from_secs(age),
                idle: idle.map(Duration::from_secs),
                locked: 3,
            }]);
            assert_eq!(severity(&facts, "idle-transactions"), expected);
        }
    }
}
