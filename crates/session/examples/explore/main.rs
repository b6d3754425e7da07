//! Every interleaving, up to a depth: all short scripts of a client, with the connection lost, killed or refused at each
//! point of what the machine does, against a model of a server with transactions, with and without the commit ledger. A
//! checker that knows nothing of the machine's inside holds it to the promises.
//!
//! ```text
//! cargo run --release -p steadfast-session --example explore -- --length 3 --faults 3 --jobs 2
//! ```
//!
//! Ends in a table of what struck where. Exit code 1: something that can strike did not. A broken promise panics, with
//! the script and what the client was told. `cargo test` walks a part of it, and planted bugs.

mod checker;
mod choices;
mod coverage;
mod model;
#[cfg(test)]
mod tests;
mod text;
mod walk;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::coverage::Coverage;
use crate::model::Ledger;
use crate::walk::{ALL, Walk};

/// What the command line says.
struct Options {
    length: u32,
    faults: u8,
    jobs: usize,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        length: 3,
        faults: 3,
        jobs: 1,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let number = arguments.next().and_then(|value| value.parse::<u8>().ok());
        let wrong = || format!("{name}: a number is missing; there are --length, --faults, --jobs");
        let number = number.ok_or_else(wrong)?;
        match name.as_str() {
            "--length" => options.length = number.into(),
            "--faults" => options.faults = number,
            "--jobs" => options.jobs = number.max(1).into(),
            _ => return Err(wrong()),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    let begun = Instant::now();
    let (mut schedules, mut coverage) = (0, Coverage::default());
    for ledger in [Ledger::No, Ledger::Yes] {
        let walk = Walk {
            ledger,
            letters: &ALL,
            length: options.length,
            faults: options.faults,
        };
        let (walked, seen) = walk_all(walk, options.jobs);
        eprintln!(
            "ledger {ledger:?}: {} scripts of {} commands, {walked} schedules, {:.0} s",
            walk.scripts(),
            options.length,
            begun.elapsed().as_secs_f64()
        );
        schedules += walked;
        coverage.merge(&seen);
    }
    print!("{}", coverage.table());
    println!(
        "{schedules} distinct schedules: all scripts of {} of {} commands, with up to {} faults, with and without a \
         ledger; no promise broken",
        options.length,
        ALL.len(),
        options.faults
    );
    let missing = coverage.missing();
    for (phase, class, fault) in &missing {
        println!("not hit: {phase:?} {class:?} {fault:?}");
    }
    if missing.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Walks on so many threads; gives how many schedules there were, and what struck.
fn walk_all(walk: Walk<'_>, jobs: usize) -> (u64, Coverage) {
    let next = AtomicU64::new(0);
    let work = || {
        let (mut schedules, mut coverage) = (0, Coverage::default());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= walk.scripts() {
                return (schedules, coverage);
            }
            schedules += walk.walk_script(number, &mut coverage);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let mut all = (0, Coverage::default());
        for worker in workers {
            let (schedules, coverage) = match worker.join() {
                Ok(done) => done,
                // A promise was broken.
                Err(panic) => std::panic::resume_unwind(panic),
            };
            all.0 += schedules;
            all.1.merge(&coverage);
        }
        all
    })
}
