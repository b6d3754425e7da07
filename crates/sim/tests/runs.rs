//! Runs without a violation, runs that are the same twice, and planted bugs that are found.

use std::sync::atomic::{AtomicU64, Ordering};

use steadfast_sim::exhaust::Walk;
use steadfast_sim::fault::{Class, Fault, Phase, Planned, Seen, When};
use steadfast_sim::plan::{Plan, Plant, Script};
use steadfast_sim::run::run;
use steadfast_sim::trace::Keep;

/// Runs seeds on two threads until `until` says so; gives the first that it said so of.
fn each(
    seeds: std::ops::Range<u64>,
    plan: impl Fn(u64) -> Plan + Sync,
    until: impl Fn(u64, &[String]) -> bool + Sync,
) -> Option<u64> {
    let next = AtomicU64::new(seeds.start);
    let found = AtomicU64::new(u64::MAX);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while found.load(Ordering::Relaxed) == u64::MAX {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let Ok(report) = run(&plan(seed), Keep::Violations) else {
                        panic!("seed {seed} did not begin");
                    };
                    if until(seed, &report.violations) {
                        found.fetch_min(seed, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    Some(found.into_inner()).filter(|seed| *seed != u64::MAX)
}

fn finds(plant: Plant) {
    let seeds = 0..3000;
    let found = each(
        seeds.clone(),
        |seed| {
            let mut plan = Plan::random(seed, Some(true), plant);
            if plant == Plant::NoFence {
                // By chance it takes some thousand runs.
                plan.faults.push(Planned {
                    when: When::At(Phase::Within, Class::Ledger, seed as u32 % 4),
                    fault: Fault::Stall {
                        millis: 6_000,
                        lost: true,
                    },
                });
            }
            plan
        },
        |seed, violations| {
            if !violations.is_empty() {
                eprintln!("{plant:?}, seed {seed}: {violations:?}");
            }
            assert!(
                violations
                    .iter()
                    .all(|what| !what.contains("simulated server")),
                "{violations:?}"
            );
            !violations.is_empty()
        },
    );
    assert!(found.is_some(), "{plant:?} was not found in {seeds:?}");
}

#[test]
fn no_promise_is_broken() {
    let broken = each(
        0..150,
        |seed| Plan::random(seed, None, Plant::None),
        |seed, violations| {
            if !violations.is_empty() {
                eprintln!("seed {seed}: {violations:?}");
            }
            !violations.is_empty()
        },
    );
    assert_eq!(
        broken, None,
        "replay it: cargo run -p steadfast-sim -- replay SEED"
    );
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in 1000..1012 {
        let plan = Plan::random(seed, None, Plant::None);
        let once = run(&plan, Keep::Events).unwrap();
        let again = run(&plan, Keep::Events).unwrap();
        let differs = once
            .events
            .iter()
            .zip(&again.events)
            .find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(once.events.len(), again.events.len(), "seed {seed}");
    }
}

#[test]
fn every_fault_at_the_points_of_a_recorded_write() {
    let mut walk = Walk {
        plan: Plan::quiet(Script::Write, true, true, 1),
        first: steadfast_sim::plan::all_faults(),
        second: Vec::new(),
    };
    // A sixth of the faults at every point: `exhaust` walks all.
    let every = walk.first.clone();
    for point in 0..walk.points().unwrap() {
        let skipped = point as usize % 6;
        walk.first = every.iter().skip(skipped).step_by(6).copied().collect();
        walk.at(point, &mut |plan, report| {
            assert!(
                report.violations.is_empty(),
                "{plan:?}: {:?}",
                report.violations
            );
        })
        .unwrap();
    }
}

#[test]
fn what_a_client_leaves_in_a_transaction_is_ended_whatever_becomes_of_its_connection() {
    let cut = |cut| Fault::Fin {
        cut,
        seen: Seen::ByProxy,
    };
    let walk = Walk {
        plan: Plan::quiet(Script::Vanish, true, true, 1),
        first: vec![
            cut(0),
            cut(500),
            Fault::BlackHole {
                cut: 0,
                millis: 5_000,
            },
        ],
        second: Vec::new(),
    };
    assert_eq!(walk.walk().unwrap().violations, []);
}

#[test]
fn a_connection_that_falls_silent_while_a_session_comes_back_does_not_use_up_hold() {
    let mut plan = Plan::quiet(Script::Transaction, false, true, 1);
    plan.hold = 60_000;
    plan.faults.push(Planned {
        when: When::At(Phase::Send, Class::Write, 0),
        fault: Fault::Rst {
            cut: 0,
            seen: Seen::ByBoth,
        },
    });
    let lost = Walk {
        plan,
        first: vec![Fault::Delay { millis: 100_000 }],
        second: Vec::new(),
    };
    let sum = lost.walk().unwrap();
    assert_eq!(sum.violations, []);
    assert!(!sum.errors.contains_key(&1053), "{:?}", sum.errors);
}

#[test]
fn a_statement_that_is_lost_again_and_again_is_given_up_and_has_done_nothing() {
    let mut plan = Plan::quiet(Script::Write, true, true, 1);
    plan.faults = (0..8)
        .map(|time| Planned {
            when: When::At(Phase::Before, Class::Autocommit, time),
            fault: Fault::Rst {
                cut: 0,
                seen: Seen::ByBoth,
            },
        })
        .collect();
    let report = run(&plan, Keep::Violations).unwrap();
    assert_eq!(report.violations, [""; 0]);
    assert_eq!(report.tally.errors.get(&1053), Some(&1));
}

#[test]
fn a_fence_that_does_not_fence_is_found() {
    finds(Plant::NoFence);
}

#[test]
fn a_call_that_does_not_wait_for_the_write_before_it_is_found() {
    finds(Plant::PipelinedCall);
}

#[test]
fn a_lane_that_a_new_process_uses_again_is_found() {
    finds(Plant::LaneReused);
}

#[test]
fn a_replay_after_the_commit_took_effect_is_found() {
    finds(Plant::ReplayAfterCommit);
}

#[test]
fn a_set_that_is_forgotten_is_found() {
    finds(Plant::ForgottenSet);
}
