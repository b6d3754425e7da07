//! The checker: what clients were told against what the server holds. It knows nothing of the proxy.

use std::collections::BTreeMap;

use crate::server::storage::{Row, Table};

/// What became of a unit of work, as its client knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outcome {
    /// Acknowledged: it is there exactly once.
    Committed,
    /// Refused: nothing of it is there.
    RolledBack,
    /// The client was told that nobody knows, or its connection ended: all of it is there, once, or nothing.
    Doubt,
}

/// A transaction, or a write outside one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unit {
    /// Whose.
    pub client: usize,
    /// Which of the client's.
    pub number: u32,
    /// Rows of `t_entry` that it inserts: the token, and the id that the OK told.
    pub tokens: Vec<(i64, Option<u64>)>,
    /// Tokens of rows that it deletes.
    pub deleted: Vec<i64>,
    /// What it adds to balances and counters.
    pub added: Vec<(Table, u64, i64)>,
    /// What became of it.
    pub outcome: Outcome,
}

impl Unit {
    /// One that has done nothing yet.
    pub fn new(client: usize, number: u32) -> Self {
        Self {
            client,
            number,
            tokens: Vec::new(),
            deleted: Vec::new(),
            added: Vec::new(),
            outcome: Outcome::RolledBack,
        }
    }
}

/// What the server holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// `t_entry`.
    pub entries: Vec<(u64, Row)>,
    /// `t_account`.
    pub accounts: Vec<(u64, Row)>,
    /// `t_counter`.
    pub counters: Vec<(u64, Row)>,
}

/// Compares all units with what the server holds; `start`: what it held before. Gives what is wrong.
pub fn check(units: &[Unit], start: &Held, now: &Held) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut rows: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
    for (id, row) in &now.entries {
        rows.entry(row[0]).or_default().push(*id);
    }
    let count = |token: i64| rows.get(&token).map_or(0, Vec::len);
    let deletions: BTreeMap<i64, Outcome> = units
        .iter()
        .flat_map(|unit| unit.deleted.iter().map(|token| (*token, unit.outcome)))
        .fold(BTreeMap::new(), |mut all, (token, outcome)| {
            // The most certain of several attempts.
            let known = all.entry(token).or_insert(outcome);
            if outcome == Outcome::Committed
                || (outcome == Outcome::Doubt && *known == Outcome::RolledBack)
            {
                *known = outcome;
            }
            all
        });
    // Of units in doubt: which are there. `None`: nothing tells.
    let mut there: Vec<Option<bool>> = Vec::new();
    for unit in units {
        let name = format!("client {} unit {}", unit.client, unit.number);
        let found: Vec<usize> = unit.tokens.iter().map(|(token, _)| count(*token)).collect();
        for ((token, id), found) in unit.tokens.iter().zip(&found) {
            let deleted = deletions.get(token).copied();
            let expected = match (unit.outcome, deleted) {
                (Outcome::RolledBack, _) => 0..=0,
                (Outcome::Committed, Some(Outcome::Committed)) => 0..=0,
                (Outcome::Committed, Some(Outcome::Doubt)) => 0..=1,
                (Outcome::Committed, _) => 1..=1,
                (Outcome::Doubt, _) => 0..=1,
            };
            if !expected.contains(found) {
                wrong.push(format!(
                    "{name} was {:?}, and its token {token} is there {found} times",
                    unit.outcome
                ));
            }
            let row = rows.get(token).and_then(|ids| ids.first());
            if let (Some(told), Some(row)) = (id, row)
                && told != row
            {
                wrong.push(format!(
                    "{name}: the OK said id {told} for token {token}, and the row has {row}"
                ));
            }
        }
        let whole = found.iter().all(|one| *one == found[0]);
        if unit.outcome == Outcome::Doubt && !whole {
            wrong.push(format!("{name} in doubt is there in part: {found:?}"));
        }
        there.push(match unit.outcome {
            Outcome::Committed => Some(true),
            Outcome::RolledBack => Some(false),
            Outcome::Doubt => found.first().map(|count| *count > 0),
        });
    }
    let known: Vec<i64> = units
        .iter()
        .flat_map(|unit| unit.tokens.iter().map(|(token, _)| *token))
        .collect();
    for token in rows.keys() {
        if !known.contains(token) {
            wrong.push(format!(
                "token {token} is there, and nobody has inserted it"
            ));
        }
    }
    for (table, before, after) in [
        (Table::Account, &start.accounts, &now.accounts),
        (Table::Counter, &start.counters, &now.counters),
    ] {
        for ((id, before), (_, after)) in before.iter().zip(after) {
            let added = |is_there: &dyn Fn(Option<bool>) -> bool| -> i64 {
                units
                    .iter()
                    .zip(&there)
                    .filter(|(_, there)| is_there(**there))
                    .flat_map(|(unit, _)| &unit.added)
                    .filter(|(of, key, _)| (*of, key) == (table, id))
                    .map(|(_, _, by)| by)
                    .sum()
            };
            // What is in doubt without a trace is one: those of counters.
            let least = before[0] + added(&|there| there == Some(true));
            let most = least + added(&|there| there.is_none());
            if !(least..=most).contains(&after[0]) {
                wrong.push(format!(
                    "{table:?} {id} is {}, and what was acknowledged makes it {least}{}",
                    after[0],
                    if most > least {
                        format!(" to {most}")
                    } else {
                        String::new()
                    }
                ));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(tokens: &[i64], balance: i64) -> Held {
        Held {
            entries: tokens
                .iter()
                .enumerate()
                .map(|(index, token)| (index as u64 + 1, vec![*token, 0]))
                .collect(),
            accounts: vec![(1, vec![balance])],
            counters: vec![(1, vec![0])],
        }
    }

    fn unit(outcome: Outcome) -> Unit {
        Unit {
            tokens: vec![(7, Some(1)), (8, Some(2))],
            added: vec![(Table::Account, 1, 5)],
            outcome,
            ..Unit::new(1, 1)
        }
    }

    fn wrong(outcome: Outcome, now: &Held) -> usize {
        check(&[unit(outcome)], &held(&[], 100), now).len()
    }

    #[test]
    fn what_is_right_is_right() {
        assert_eq!(wrong(Outcome::Committed, &held(&[7, 8], 105)), 0);
        assert_eq!(wrong(Outcome::RolledBack, &held(&[], 100)), 0);
        assert_eq!(wrong(Outcome::Doubt, &held(&[7, 8], 105)), 0);
        assert_eq!(wrong(Outcome::Doubt, &held(&[], 100)), 0);
    }

    #[test]
    fn lost_doubled_partial_and_wrong_ids_are_found() {
        assert!(wrong(Outcome::Committed, &held(&[], 100)) > 0);
        assert!(wrong(Outcome::Committed, &held(&[7, 8, 7, 8], 110)) > 0);
        assert!(wrong(Outcome::Committed, &held(&[8, 7], 105)) > 0);
        assert!(wrong(Outcome::RolledBack, &held(&[7, 8], 105)) > 0);
        assert!(wrong(Outcome::Doubt, &held(&[7], 105)) > 0);
        assert!(wrong(Outcome::Doubt, &held(&[7, 8], 110)) > 0);
        assert!(wrong(Outcome::Committed, &held(&[7, 8, 9], 105)) > 0);
    }

    #[test]
    fn a_counter_in_doubt_may_be_either() {
        let unit = Unit {
            added: vec![(Table::Counter, 1, 1)],
            outcome: Outcome::Doubt,
            ..Unit::new(1, 1)
        };
        for (n, right) in [(0, true), (1, true), (2, false)] {
            let mut now = held(&[], 100);
            now.counters[0].1[0] = n;
            let found = check(std::slice::from_ref(&unit), &held(&[], 100), &now);
            assert_eq!(found.is_empty(), right);
        }
    }
}
