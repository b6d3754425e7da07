//! What `cargo test` walks: all that is short, longer scripts of few commands, and planted bugs.

use super::coverage::Coverage;
use super::model::{Ledger, Plant};
use super::text::Text;
use super::walk::{ALL, Letter, Walk};
use super::walk_all;

/// Longer scripts with one fault.
fn explore(ledger: Ledger, letters: &[Letter]) {
    let walk = Walk {
        ledger,
        letters,
        length: 5,
        faults: 1,
    };
    let (schedules, _) = walk_all(walk, 1);
    println!("{schedules} schedules");
    assert!(schedules > 50_000);
}

/// Whether the bug is found.
fn finds(plant: Plant, letters: &[Letter]) -> bool {
    let walk = Walk {
        ledger: Ledger::Planted(plant),
        letters,
        length: 4,
        faults: 2,
    };
    std::panic::catch_unwind(|| walk_all(walk, 1)).is_err()
}

/// All scripts of three commands, with up to two faults; gives what struck.
fn all_of_three(ledger: Ledger) -> Coverage {
    let walk = Walk {
        ledger,
        letters: &ALL,
        length: 3,
        faults: 2,
    };
    let (schedules, coverage) = walk_all(walk, 2);
    println!("{schedules} schedules");
    assert!(schedules > 2_000_000);
    coverage
}

#[test]
fn no_promise_is_broken_and_everything_that_can_strike_does() {
    let mut coverage = all_of_three(Ledger::No);
    coverage.merge(&all_of_three(Ledger::Yes));
    assert_eq!(coverage.missing(), []);
}

#[test]
fn transactions_are_whole_or_absent() {
    let letters: &[Letter] = &[
        |_| Text::Begin,
        Text::Write,
        |_| Text::Read,
        |_| Text::Commit,
        |_| Text::Rollback,
    ];
    explore(Ledger::No, letters);
    explore(Ledger::Yes, letters);
}

#[test]
fn implicit_commits_and_switches_of_autocommit_are_seen() {
    let letters: &[Letter] = &[
        |_| Text::AutocommitOff,
        Text::Write,
        |_| Text::AutocommitOn,
        |_| Text::Ddl,
        |_| Text::Begin,
    ];
    explore(Ledger::No, letters);
    explore(Ledger::Yes, letters);
}

#[test]
fn chained_transactions_are_whole_or_absent() {
    let letters: &[Letter] = &[
        |_| Text::Begin,
        Text::Write,
        |_| Text::CommitChain,
        |_| Text::RollbackChain,
        |_| Text::Rollback,
    ];
    explore(Ledger::No, letters);
    explore(Ledger::Yes, letters);
}

#[test]
fn last_insert_id_is_right_or_refused() {
    let letters: &[Letter] = &[
        |_| Text::Begin,
        Text::Draw,
        Text::Give,
        |_| Text::Ask,
        |_| Text::Commit,
    ];
    explore(Ledger::No, letters);
    explore(Ledger::Yes, letters);
}

#[test]
fn a_lost_lock_is_never_believed_in() {
    let letters: &[Letter] = &[
        |_| Text::Lock,
        |_| Text::Unlock,
        Text::Write,
        |_| Text::Begin,
        |_| Text::Commit,
    ];
    explore(Ledger::No, letters);
    explore(Ledger::Yes, letters);
}

#[test]
fn planted_bugs_are_found() {
    let transactions: &[Letter] = &[|_| Text::Begin, Text::Write, |_| Text::Commit];
    let switches: &[Letter] = &[|_| Text::AutocommitOff, Text::Write, |_| Text::Commit];
    let writes: &[Letter] = &[Text::Write, |_| Text::Read];
    assert!(finds(Plant::NoFence, transactions));
    assert!(finds(Plant::NoFence, writes));
    assert!(finds(Plant::ReplayAfterCommit, transactions));
    assert!(finds(Plant::ReplayAfterCommit, writes));
    assert!(finds(Plant::MarkUsedAgain, writes));
    assert!(finds(Plant::ForgottenState, switches));
}
