//! Which faults are still to be injected, and in what order: all kinds in turn, a batch each, so that a campaign that
//! is stopped has seen all of them.

use std::collections::{BTreeMap, VecDeque};

use anyhow::{Result, bail};

use crate::faults::Fault;
use crate::report::LegReport;

/// Batches of a fault without a strike, after which it is left alone.
const GIVE_UP: u32 = 3;

/// The faults where none are named.
const FROM_OUTSIDE: &[Fault] = &[
    Fault::Kill,
    Fault::Restart,
    Fault::Fin,
    Fault::Rst,
    Fault::Freeze,
    Fault::Blackhole,
];

/// What was asked for on the command line.
#[derive(Debug)]
pub(crate) struct Goal {
    /// None: the default.
    pub(crate) faults: Vec<Fault>,
    /// Of each.
    pub(crate) rounds: u32,
    /// Of all together, instead.
    pub(crate) total: Option<u32>,
    /// How many of the total kill a process; `None`: a fifth.
    pub(crate) min_kills: Option<u32>,
    pub(crate) ledger: bool,
}

impl Goal {
    /// How often each fault is to strike.
    ///
    /// # Errors
    /// Kills of processes are asked for, and no such fault is among them.
    pub(crate) fn rounds(&self) -> Result<Vec<(Fault, u32)>> {
        let Some(total) = self.total else {
            let faults = match &self.faults[..] {
                [] => FROM_OUTSIDE,
                named => named,
            };
            return Ok(faults.iter().map(|fault| (*fault, self.rounds)).collect());
        };
        let faults = match (&self.faults[..], self.ledger) {
            ([], false) => Fault::WITHOUT_LEDGER.to_vec(),
            ([], true) => {
                // In turn, so that the first batches show something of each.
                let mut all = Fault::WITHOUT_LEDGER.to_vec();
                for (index, fault) in Fault::OF_THE_LEDGER.iter().enumerate() {
                    all.insert((index * 3 + 1).min(all.len()), *fault);
                }
                all
            }
            (named, _) => named.to_vec(),
        };
        let (kills, others): (Vec<Fault>, Vec<Fault>) =
            faults.iter().partition(|fault| fault.kills_a_process());
        let min_kills = match (self.min_kills, kills.is_empty()) {
            (Some(1..), true) => bail!("none of the faults kills a process"),
            (_, true) => 0,
            (Some(min), false) => min,
            (None, false) => total.div_ceil(5),
        };
        let fair = share(total, faults.len()).saturating_mul(kills.len() as u32);
        let killing = match others.is_empty() {
            true => total,
            false => fair.max(min_kills).min(total),
        };
        let mut goal: BTreeMap<Fault, u32> = BTreeMap::new();
        for (number, among) in [(killing, &kills), (total - killing, &others)] {
            for (index, fault) in among.iter().enumerate() {
                // The first ones take what does not divide.
                let (whole, rest) = (number / among.len() as u32, number % among.len() as u32);
                goal.insert(*fault, whole + u32::from((index as u32) < rest));
            }
        }
        Ok(faults
            .into_iter()
            .map(|fault| (fault, goal.get(&fault).copied().unwrap_or_default()))
            .collect())
    }
}

fn share(total: u32, among: usize) -> u32 {
    total.checked_div(among as u32).unwrap_or_default()
}

/// What is left of a goal.
#[derive(Debug)]
pub(crate) struct Schedule {
    left: VecDeque<Left>,
    batch: u32,
    done: u32,
    total: u32,
    never: Vec<&'static str>,
}

#[derive(Debug)]
struct Left {
    fault: Fault,
    rounds: u32,
    /// Batches without a strike.
    misses: u32,
}

impl Schedule {
    /// The goal without what these legs have done, in batches of at most so many rounds.
    pub(crate) fn new<'a>(
        goal: Vec<(Fault, u32)>,
        batch: u32,
        legs: impl Iterator<Item = &'a LegReport>,
    ) -> Self {
        let mut had: BTreeMap<&str, u32> = BTreeMap::new();
        for leg in legs {
            *had.entry(&leg.fault).or_default() += leg.rounds;
        }
        let total = goal.iter().map(|(_, rounds)| rounds).sum();
        let mut done = 0;
        let mut left = VecDeque::new();
        for (fault, rounds) in goal {
            let had = had.get(fault.name()).copied().unwrap_or_default();
            done += had.min(rounds);
            if had < rounds {
                left.push_back(Left {
                    fault,
                    rounds: rounds - had,
                    misses: 0,
                });
            }
        }
        Self {
            left,
            batch,
            done,
            total,
            never: Vec::new(),
        }
    }

    /// The next batch: a fault and how many rounds of it.
    pub(crate) fn next(&self) -> Option<(Fault, u32)> {
        let left = self.left.front()?;
        Some((left.fault, left.rounds.min(self.batch)))
    }

    /// The batch of this fault, the next one, struck so often.
    pub(crate) fn done(&mut self, fault: Fault, rounds: u32) {
        let Some(mut left) = self.left.pop_front() else {
            return;
        };
        debug_assert_eq!(left.fault, fault);
        self.done += rounds.min(left.rounds);
        left.rounds = left.rounds.saturating_sub(rounds);
        left.misses = if rounds == 0 { left.misses + 1 } else { 0 };
        if left.misses >= GIVE_UP {
            self.never.push(left.fault.name());
        } else if left.rounds > 0 {
            self.left.push_back(left);
        }
    }

    pub(crate) fn progress(&self) -> String {
        format!("{} of {} faults", self.done, self.total)
    }

    /// Faults that found nothing to strike.
    pub(crate) fn never_struck(&self) -> &[&'static str] {
        &self.never
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(total: u32, min_kills: Option<u32>, ledger: bool) -> Goal {
        Goal {
            faults: Vec::new(),
            rounds: 20,
            total: Some(total),
            min_kills,
            ledger,
        }
    }

    fn kills(rounds: &[(Fault, u32)]) -> u32 {
        let killing = rounds.iter().filter(|(fault, _)| fault.kills_a_process());
        killing.map(|(_, rounds)| rounds).sum()
    }

    #[test]
    fn a_total_is_spread_over_all_kinds_with_enough_kills_among_them() {
        for ledger in [false, true] {
            let rounds = goal(1000, Some(200), ledger).rounds().unwrap();
            assert_eq!(rounds.iter().map(|(_, rounds)| rounds).sum::<u32>(), 1000);
            assert!(kills(&rounds) >= 200);
            assert!(rounds.iter().all(|(_, rounds)| *rounds >= 30), "{rounds:?}");
        }
        let many = goal(100, Some(90), true).rounds().unwrap();
        assert_eq!(kills(&many), 90);
        assert_eq!(kills(&goal(50, None, true).rounds().unwrap()), 10);
    }

    #[test]
    fn kills_cannot_be_asked_of_faults_that_kill_nobody() {
        let mut goal = goal(10, Some(1), false);
        goal.faults = vec![Fault::Fin];
        assert!(goal.rounds().is_err());
        goal.min_kills = None;
        assert_eq!(goal.rounds().unwrap(), [(Fault::Fin, 10)]);
    }

    #[test]
    fn faults_take_turns_and_a_fault_that_never_strikes_is_left_alone() {
        let none = std::iter::empty();
        let mut schedule = Schedule::new(vec![(Fault::Fin, 3), (Fault::AutoBegin, 5)], 2, none);
        let mut order = Vec::new();
        while let Some((fault, rounds)) = schedule.next() {
            order.push((fault, rounds));
            schedule.done(fault, if fault == Fault::Fin { rounds } else { 0 });
        }
        let expected = [
            (Fault::Fin, 2),
            (Fault::AutoBegin, 2),
            (Fault::Fin, 1),
            (Fault::AutoBegin, 2),
            (Fault::AutoBegin, 2),
        ];
        assert_eq!(order, expected);
        assert_eq!(schedule.never_struck(), ["auto-begin"]);
        assert_eq!(schedule.progress(), "3 of 8 faults");
    }

    #[test]
    fn what_was_done_before_is_not_done_again() {
        let leg: LegReport = serde_json::from_str(
            r#"{"server":"mariadb","front":"steadfast","fault":"fin","rounds":2,"clients":12,"seed":1,
                "seconds":1.0,"slowest_recovery_ms":1,"profiles":{},"violations":[]}"#,
        )
        .unwrap();
        let goal = vec![(Fault::Fin, 3), (Fault::Rst, 1)];
        let schedule = Schedule::new(goal.clone(), 10, [&leg].into_iter());
        assert_eq!(schedule.next(), Some((Fault::Fin, 1)));
        assert_eq!(schedule.progress(), "2 of 4 faults");
        let schedule = Schedule::new(goal, 10, [&leg, &leg].into_iter());
        assert_eq!(schedule.next(), Some((Fault::Rst, 1)));
    }
}
