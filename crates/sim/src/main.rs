//! `steadfast-sim`: many runs, every fault at every point of small scripts, or one run again, step by step.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};
use steadfast_sim::coverage::Sum;
use steadfast_sim::exhaust::Walk;
use steadfast_sim::plan::{Plan, Plant};
use steadfast_sim::run::run;
use steadfast_sim::trace::Keep;

/// Seeds of one line of a results file.
const CHUNK: u64 = 500;

#[derive(Parser)]
#[command(
    about = "The proxy on a simulated network and server, under every kind of fault, checked."
)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Runs the plans of these seeds and prints what struck where.
    #[command(after_help = "Example: steadfast-sim run --seeds 0..100000 --jobs 2 --json sim.json")]
    Run {
        /// FROM..TO; TO is not run.
        #[arg(long, value_parser = range)]
        seeds: (u64, u64),
        /// Threads.
        #[arg(long, default_value_t = 1)]
        jobs: u64,
        /// Results are appended there, and what is in it already is not run again.
        #[arg(long)]
        json: Option<PathBuf>,
        /// The ledger in all runs, or in none; else the seed decides.
        #[arg(long)]
        ledger: Option<bool>,
        /// What is wrong on purpose: the first seed that finds it ends the command.
        #[arg(long, value_parser = plant)]
        plant: Option<Plant>,
    },
    /// Every fault at every point of small scripts.
    #[command(after_help = "Example: steadfast-sim exhaust --depth 1")]
    Exhaust {
        /// Faults in one run: 1 or 2.
        #[arg(long, default_value_t = 1)]
        depth: u8,
        /// Threads.
        #[arg(long, default_value_t = 1)]
        jobs: u64,
    },
    /// Runs a seed, or a plan, and prints all that happens.
    #[command(after_help = "Example: steadfast-sim replay 4711")]
    Replay {
        /// The seed, or the plan as `exhaust` printed it.
        what: String,
        /// As it was given to `run`.
        #[arg(long)]
        ledger: Option<bool>,
        /// As it was given to `run`.
        #[arg(long, value_parser = plant)]
        plant: Option<Plant>,
    },
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("'{text}' is no range of seeds; write FROM..TO");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let from = from.parse().map_err(|_| wrong())?;
    let to = to.parse().map_err(|_| wrong())?;
    Ok((from, to))
}

fn plant(text: &str) -> Result<Plant, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

/// A line of a results file.
#[derive(Serialize, Deserialize)]
struct Chunk {
    from: u64,
    to: u64,
    ledger: Option<bool>,
    sum: Sum,
}

fn main() -> Result<()> {
    match Arguments::parse().what {
        What::Run {
            seeds,
            jobs,
            json,
            ledger,
            plant,
        } => many(
            seeds,
            jobs,
            json.as_deref(),
            ledger,
            plant.unwrap_or_default(),
        ),
        What::Exhaust { depth, jobs } => exhaust(depth, jobs),
        What::Replay {
            what,
            ledger,
            plant,
        } => replay(&what, ledger, plant.unwrap_or_default()),
    }
}

fn many(
    (from, to): (u64, u64),
    jobs: u64,
    json: Option<&Path>,
    ledger: Option<bool>,
    plant: Plant,
) -> Result<()> {
    let mut total = Sum::default();
    let mut done = BTreeSet::new();
    let known = match json {
        Some(path) if path.exists() => std::fs::read_to_string(path).context("the results file")?,
        _ => String::new(),
    };
    for line in known.lines() {
        let chunk: Chunk = serde_json::from_str(line).context("a line of the results file")?;
        if chunk.ledger == ledger && chunk.from >= from && chunk.to <= to {
            total.merge(&chunk.sum);
            done.insert((chunk.from, chunk.to));
        }
    }
    let chunks: Vec<(u64, u64)> = (from..to)
        .step_by(CHUNK as usize)
        .map(|at| (at, (at + CHUNK).min(to)))
        .filter(|chunk| !done.contains(chunk))
        .collect();
    let next = AtomicU64::new(0);
    let found = AtomicU64::new(0);
    let total = Mutex::new(total);
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..jobs.max(1))
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed) as usize;
                        let Some(&(from, to)) = chunks.get(index) else {
                            return Ok(());
                        };
                        let mut sum = Sum::default();
                        for seed in from..to {
                            if found.load(Ordering::Relaxed) > 0 {
                                return Ok(());
                            }
                            let report = run(&Plan::random(seed, ledger, plant), Keep::Violations)?;
                            if !report.violations.is_empty() {
                                eprintln!("seed {seed}: {}", report.violations[0]);
                                if plant != Plant::None {
                                    found.store(seed + 1, Ordering::Relaxed);
                                }
                            }
                            sum.add(|| seed.to_string(), &report);
                        }
                        let mut total = total
                            .lock()
                            .unwrap_or_else(|poisoned| poisoned.into_inner());
                        total.merge(&sum);
                        eprintln!(
                            "{} runs, {:.0} s",
                            total.runs,
                            begun.elapsed().as_secs_f64()
                        );
                        if let Some(path) = json {
                            let chunk = Chunk {
                                from,
                                to,
                                ledger,
                                sum,
                            };
                            append(path, &serde_json::to_string(&chunk)?)?;
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(outcome) => outcome?,
                Err(_) => bail!("a thread has panicked"),
            }
        }
        Ok(())
    })?;
    let total = total
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    match (plant, found.load(Ordering::Relaxed)) {
        (Plant::None, _) => finish(&total),
        (_, 0) => bail!("{plant:?} was not found"),
        (_, seed) => {
            println!("{plant:?} was found by seed {}", seed - 1);
            Ok(())
        }
    }
}

fn append(path: &Path, line: &str) -> Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .context("the results file")?;
    writeln!(file, "{line}").context("the results file")
}

fn exhaust(depth: u8, jobs: u64) -> Result<()> {
    let walks = Walk::all(depth);
    let mut parts = Vec::new();
    for walk in &walks {
        let points = walk.points()?;
        eprintln!("{:?}: {points} points", walk.plan.script);
        parts.extend((0..points).map(|point| (walk, point)));
    }
    let next = AtomicU64::new(0);
    let total = Mutex::new(Sum::default());
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..jobs.max(1))
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed) as usize;
                        let Some((walk, point)) = parts.get(index) else {
                            return Ok(());
                        };
                        let mut sum = Sum::default();
                        walk.at(*point, &mut |plan, report| {
                            let name = || serde_json::to_string(plan).unwrap_or_default();
                            if !report.violations.is_empty() {
                                eprintln!("{}: {}", name(), report.violations[0]);
                            }
                            sum.add(name, report);
                        })?;
                        let mut total = total
                            .lock()
                            .unwrap_or_else(|poisoned| poisoned.into_inner());
                        total.merge(&sum);
                    }
                })
            })
            .collect();
        for worker in workers {
            match worker.join() {
                Ok(outcome) => outcome?,
                Err(_) => bail!("a thread has panicked"),
            }
        }
        Ok(())
    })?;
    finish(
        &total
            .into_inner()
            .unwrap_or_else(|poisoned| poisoned.into_inner()),
    )
}

fn finish(total: &Sum) -> Result<()> {
    println!("{}", total.table());
    for (name, what) in &total.violations {
        println!("{name}: {what}");
    }
    if total.violations.is_empty() {
        Ok(())
    } else {
        bail!("{} runs broke a promise", total.violations.len())
    }
}

fn replay(what: &str, ledger: Option<bool>, plant: Plant) -> Result<()> {
    let plan = match what.parse() {
        Ok(seed) => Plan::random(seed, ledger, plant),
        Err(_) => serde_json::from_str(what).context("neither a seed nor a plan")?,
    };
    println!("{}", serde_json::to_string(&plan)?);
    let report = run(&plan, Keep::Printed)?;
    println!("{:?}", report.tally);
    if report.violations.is_empty() {
        println!("no violation");
        return Ok(());
    }
    bail!("{}", report.violations.join("; "))
}
