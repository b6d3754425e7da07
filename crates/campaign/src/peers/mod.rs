//! The same workload under the same faults through other proxies and through Steadfast: what clients saw, and what the
//! database holds.
//!
//! Everything stands at the same place: client, proxy, faulty link, server.

pub(crate) mod configuration;
mod table;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use steadfast_sandbox::{Kind, Peer};

use crate::check;
use crate::client::Terms;
use crate::faults::Fault;
use crate::profiles::Profile;
use crate::proxy::{PLAIN, Run, WITHOUT_LEDGER};
use crate::report::{self, LegReport};
use crate::rig::{Account, Front, Rig};
use crate::schedule::Schedule;
use crate::survive;

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

/// A way from the clients to the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Way {
    /// No proxy.
    Direct,
    /// HAProxy in TCP mode.
    Haproxy,
    /// MySQL Router.
    MysqlRouter,
    /// ProxySQL.
    Proxysql,
    /// Steadfast without the commit ledger.
    Steadfast,
    /// Steadfast with it.
    SteadfastLedger,
}

impl Way {
    pub(crate) const ALL: [Way; 6] = [
        Way::Direct,
        Way::Haproxy,
        Way::MysqlRouter,
        Way::Proxysql,
        Way::Steadfast,
        Way::SteadfastLedger,
    ];

    /// The name in reports.
    fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Haproxy => "haproxy",
            Self::MysqlRouter => "mysql-router",
            Self::Proxysql => "proxysql",
            Self::Steadfast => "steadfast-no-ledger",
            Self::SteadfastLedger => "steadfast-ledger",
        }
    }

    /// The name in tables.
    fn title(self) -> &'static str {
        match self {
            Self::Direct => "no proxy",
            Self::Haproxy => "HAProxy",
            Self::MysqlRouter => "MySQL Router",
            Self::Proxysql => "ProxySQL",
            Self::Steadfast => "Steadfast, no ledger",
            Self::SteadfastLedger => "Steadfast, ledger",
        }
    }

    fn peer(self) -> Option<Peer> {
        match self {
            Self::Haproxy => Some(Peer::HaProxy),
            Self::MysqlRouter => Some(Peer::MySqlRouter),
            Self::Proxysql => Some(Peer::ProxySql),
            Self::Direct | Self::Steadfast | Self::SteadfastLedger => None,
        }
    }

    fn is_steadfast(self) -> bool {
        matches!(self, Self::Steadfast | Self::SteadfastLedger)
    }
}

/// Where the proxies are.
#[derive(Debug)]
pub(crate) struct Programs {
    pub(crate) steadfast: PathBuf,
    /// `None`: one that is installed, else one from packages.
    pub(crate) haproxy: Option<PathBuf>,
    pub(crate) mysql_router: Option<PathBuf>,
    pub(crate) proxysql: Option<PathBuf>,
}

impl Programs {
    fn given(&self, peer: Peer) -> Option<&PathBuf> {
        match peer {
            Peer::HaProxy => self.haproxy.as_ref(),
            Peer::MySqlRouter => self.mysql_router.as_ref(),
            Peer::ProxySql => self.proxysql.as_ref(),
        }
    }

    /// The front, and its version where it is another proxy.
    async fn front(&self, way: Way) -> Result<(Front, Option<String>)> {
        if let Some(peer) = way.peer() {
            let given = self.given(peer).cloned();
            let program =
                tokio::task::spawn_blocking(move || peer.program(given.as_deref())).await??;
            let version = program.version().to_owned();
            return Ok((Front::Peer(program), Some(version)));
        }
        let steadfast = |ledger, configuration: &str| {
            Front::Steadfast(Run {
                binary: self.steadfast.clone(),
                arguments: Vec::new(),
                ledger,
                configuration: Some(configuration.to_owned()),
            })
        };
        Ok(match way {
            Way::Steadfast => (steadfast(false, WITHOUT_LEDGER), None),
            Way::SteadfastLedger => (steadfast(true, PLAIN), None),
            _ => (Front::Direct, None),
        })
    }
}

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
    let (front, version) = plan.programs.front(way).await?;
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
