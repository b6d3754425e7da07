//! The same workload under the same faults through other proxies and through Steadfast: what clients saw, and what the
//! database holds.
//!
//! Everything stands at the same place: client, proxy, faulty link, server.

pub(crate) mod configuration;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use steadfast_sandbox::Kind;

use crate::check;
use crate::client::Terms;
use crate::faults::Fault;
use crate::profiles::Profile;
use crate::report::{self, LegReport};
use crate::rig::{Account, Rig};
use crate::schedule::Schedule;
use crate::survive;
use crate::way::{Programs, Way};

/// The faults where none are named. The first is the control: what fails there is not a fault's doing. All of them are
/// over in seconds by themselves, because nothing but Steadfast gives a silent connection up.
const FAULTS: &[Fault] = &[
    Fault::None,
    Fault::Kill,
    Fault::Restart,
    Fault::Fin,
    Fault::Rst,
    Fault::KillSessions,
    Fault::Freeze,
    Fault::Blackhole,
    Fault::Answer,
    Fault::WriteAnswer,
    Fault::CommitFin,
    Fault::CommitRst,
    Fault::CommitHalf,
    Fault::CommitKill,
];

/// What is to be compared.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) server: &'static str,
    pub(crate) programs: Programs,
    /// None: all.
    pub(crate) ways: Vec<Way>,
    /// None: the default.
    pub(crate) faults: Vec<Fault>,
    /// Of each fault through each way.
    pub(crate) rounds: u32,
    pub(crate) clients: u32,
    pub(crate) seconds_per_round: f64,
    pub(crate) seed: u64,
    pub(crate) json: Option<PathBuf>,
}

/// Measures what is not in the file yet, and prints the tables. `false`: Steadfast broke a promise.
pub(crate) async fn run(plan: &Plan) -> Result<bool> {
    let mut legs = match &plan.json {
        Some(path) => report::read_lines(path)?,
        None => Vec::new(),
    };
    let ways = match &plan.ways[..] {
        [] => &Way::ALL[..],
        named => named,
    };
    let mut notes = Vec::new();
    for way in ways {
        if let Err(error) = measure(plan, *way, &mut legs).await {
            if way.peer().is_none() {
                return Err(error.context(format!("through {}", way.title())));
            }
            eprintln!("{}: {error:#}", way.title());
            notes.push((*way, format!("{error:#}")));
        }
    }
    legs.retain(|leg| leg.server == plan.server);
    println!("{}", table::tables(&legs, &notes));
    Ok(!legs.iter().any(|leg| {
        let ours = Way::ALL.iter().find(|way| way.name() == leg.front);
        ours.is_some_and(|way| way.is_steadfast()) && table::wrong(leg) > 0
    }))
}

/// All faults through one way, as far as they are still to be measured.
async fn measure(plan: &Plan, way: Way, legs: &mut Vec<LegReport>) -> Result<()> {
    let faults = match &plan.faults[..] {
        [] => FAULTS,
        named => named,
    };
    if faults.iter().any(|fault| fault.kills_the_proxy()) {
        bail!("a fault that kills the proxy says nothing about what a proxy does for its clients");
    }
    let goal = faults.iter().map(|fault| (*fault, plan.rounds)).collect();
    let had = |leg: &&LegReport| leg.server == plan.server && leg.front == way.name();
    let mut schedule = Schedule::new(goal, plan.rounds, legs.iter().filter(had));
    if schedule.next().is_none() {
        return Ok(());
    }
    let (front, version) = plan.programs.front(way, None).await?;
    let mut rig = Rig::start(plan.kind, &front, Account::Default).await?;
    while let Some((fault, rounds)) = schedule.next() {
        let work = survive::Plan {
            fault,
            rounds,
            clients: plan.clients,
            seconds_per_round: plan.seconds_per_round,
            seed: plan.seed.wrapping_add(legs.len() as u64),
            profiles: Profile::ALL,
            // Every failure is counted, whoever promised what.
            terms: Terms::default(),
            logs: None,
        };
        let mut leg = survive::leg(&mut rig, &work, plan.server, way.name())
            .await
            .with_context(|| format!("under {}", fault.name()))?;
        leg.front_version.clone_from(&version);
        for violation in leg
            .violations
            .iter()
            .filter(|found| table::is_wrong(found.kind))
        {
            println!(
                "{} {} {:?} client {} transaction {} ({}): {}",
                way.name(),
                leg.fault,
                violation.kind,
                violation.client,
                violation.number,
                violation.profile,
                violation.detail
            );
        }
        if let Some(path) = &plan.json {
            report::append_line(path, &leg)?;
        }
        schedule.done(fault, leg.rounds);
        eprintln!("{}: {}", way.title(), schedule.progress());
        legs.push(leg);
    }
    match schedule.never_struck() {
        [] => Ok(()),
        never => bail!(
            "nothing came by that these faults are for: {}",
            never.join(", ")
        ),
    }
}

/// Kinds of violation that are about what was told, not about what was not answered.
const SEEN_AS_FAILURE: [check::Kind; 2] = [check::Kind::ClientVisible, check::Kind::Unproved1213];
