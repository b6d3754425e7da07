//! The campaign: a checked workload on real servers under injected faults, direct or through
//! Steadfast.
//!
//! `survive` runs twelve clients through rounds of each fault and checks that nobody noticed
//! and that nothing was lost or doubled; `peers` does the same to other proxies, to compare; `cost` measures what the
//! commit ledger takes; `bench` what all of Steadfast does, beside other proxies; `accuracy` asks how often the cause of a loss is found; `big-result` cuts a 100 MB result in the
//! middle; `plant` shows that the checker finds what is wrong when something is.

mod accuracy;
mod bench;
mod big_result;
mod check;
mod client;
mod cost;
mod drive;
mod faults;
mod peers;
mod plant;
mod points;
mod profiles;
mod proxy;
mod record;
mod report;
mod rig;
mod rng;
mod schedule;
mod schema;
mod snapshot;
mod state;
mod statistics;
mod survive;
mod way;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use steadfast_sandbox::Kind;
use tokio::signal::unix::{SignalKind, signal};

use client::Terms;
use faults::Fault;
use profiles::Profile;
use rig::{Account, Front, Rig, Run};
use schedule::{Goal, Schedule};
use survive::Plan;

/// A checked workload on real servers under injected faults.
#[derive(Debug, Parser)]
#[command(name = "steadfast-campaign", version, after_help = EXAMPLE)]
struct Cli {
    #[command(subcommand)]
    command: Sub,
}

const EXAMPLE: &str = "Example: steadfast-campaign survive --server mariadb --serve target/debug/steadfast \
                       --ledger --faults-total 1000 --json survive.jsonl\n\
                       Exit code: 0 nothing broken, 1 a promise broken, 2 the campaign could not run.";

#[derive(Debug, Subcommand)]
enum Sub {
    /// Twelve clients, rounds of each fault, then the check.
    Survive(SurviveArgs),
    /// A 100 MB result that is cut in the middle must end complete.
    BigResult(BigResultArgs),
    /// What the commit ledger costs: direct, through Steadfast without it and with it.
    Cost(CostArgs),
    /// The same faults through other proxies: HAProxy, MySQL Router, ProxySQL.
    Peers(PeersArgs),
    /// How often the cause of a lost connection is found: each cause injected, and diagnosed.
    Accuracy(AccuracyArgs),
    /// Measure what the proxies cost, direct, through Steadfast and through others in turn.
    Bench(BenchArgs),
    /// Plant wrong states and show that the checker names each.
    Plant(PlantArgs),
    /// List the workload.
    Profiles,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ServerKind {
    Mariadb,
    Mysql,
}

impl ServerKind {
    fn kind(self) -> Kind {
        match self {
            Self::Mariadb => Kind::MariaDb,
            Self::Mysql => Kind::MySql,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Mariadb => "mariadb",
            Self::Mysql => "mysql",
        }
    }
}

#[derive(Debug, Args)]
#[group(skip)]
struct FrontArgs {
    /// The steadfast binary to start between the clients and the server.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["none", "through"])]
    serve: Option<PathBuf>,
    /// A further argument for `steadfast serve`; may be given several times.
    #[arg(
        long,
        value_name = "ARG",
        requires = "serve",
        allow_hyphen_values = true
    )]
    serve_arg: Vec<String>,
    /// No proxy: the clients connect to the link in front of the server.
    #[arg(long, conflicts_with = "through")]
    none: bool,
    /// A proxy that runs already; implies that no faults are injected.
    #[arg(long, value_name = "URL", requires = "direct")]
    through: Option<String>,
    /// The server behind --through, for setting up and checking.
    #[arg(long, value_name = "URL")]
    direct: Option<String>,
}

impl FrontArgs {
    /// `visible`: the link must see what is said.
    fn front(self, ledger: bool, visible: bool) -> Result<Front> {
        match (self.serve, self.none, self.through, self.direct) {
            (Some(binary), _, _, _) => Ok(Front::Steadfast(Run {
                // A `--config` of the caller's own is for the caller to get right.
                configuration: (visible
                    && !self.serve_arg.iter().any(|arg| arg.starts_with("--config")))
                .then(proxy::visible),
                binary,
                arguments: self.serve_arg,
                ledger,
            })),
            _ if ledger => bail!("--ledger needs --serve PATH"),
            (None, true, _, _) => Ok(Front::Direct),
            (None, false, Some(through), Some(direct)) => Ok(Front::External { through, direct }),
            _ => bail!(
                "say what is between the clients and the server: --serve PATH, --through URL --direct URL, or --none"
            ),
        }
    }
}

#[derive(Debug, Args)]
struct SurviveArgs {
    /// The kind of server.
    #[arg(long, value_enum)]
    server: ServerKind,
    /// Rounds of each fault.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// So many faults over all kinds instead, or over those of --faults.
    #[arg(long, value_name = "N", conflicts_with = "rounds", value_parser = clap::value_parser!(u32).range(1..))]
    faults_total: Option<u32>,
    /// How many of --faults-total at least end a process with kill -9; default: a fifth.
    #[arg(long, value_name = "N", requires = "faults_total")]
    min_kills: Option<u32>,
    /// The faults; by default those from outside, with --faults-total all.
    #[arg(long, value_enum, value_delimiter = ',', hide_possible_values = true, long_help = list_faults())]
    faults: Vec<Fault>,
    /// Rounds on the same tables; after each batch the check, and a line in --json.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Install the commit ledger; then no doubt (1180) may be told where it records.
    #[arg(long)]
    ledger: bool,
    /// Clients at the same time.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=100))]
    clients: u32,
    /// Seconds of undisturbed work in each round; default: 3, with --faults-total 1.5.
    #[arg(long)]
    seconds_per_round: Option<f64>,
    /// How the clients' account logs in; `ed25519` is MariaDB's alone.
    #[arg(long, value_enum, default_value_t = Account::Default)]
    account: Account,
    /// Seed of all random choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only these profiles, by name (see `profiles`).
    #[arg(long, value_delimiter = ',')]
    profiles: Vec<String>,
    /// Append a JSON line per batch; what the file already has for this server is not done again.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write what every client remembers into this directory.
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    #[command(flatten)]
    front: FrontArgs,
}

#[derive(Debug, Args)]
struct BigResultArgs {
    /// The kind of server.
    #[arg(long, value_enum)]
    server: ServerKind,
    /// The faults.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Fault::Fin, Fault::Rst, Fault::Kill])]
    faults: Vec<Fault>,
    #[command(flatten)]
    front: FrontArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Both programs should be release builds.")]
struct CostArgs {
    /// The kind of server.
    #[arg(long, value_enum)]
    server: ServerKind,
    /// The steadfast binary.
    #[arg(long, value_name = "PATH")]
    serve: PathBuf,
    /// How long an fsync takes, in milliseconds; a server for each.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 5])]
    fsync_ms: Vec<u32>,
    /// Rounds; in each, every work is done through every front.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of one work through one front.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Clients at the same time.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=100))]
    clients: u32,
    /// Commit so often through the ledger, and tell its size.
    #[arg(long, value_name = "N", default_value_t = 0)]
    commits: u64,
    /// Append a JSON line per measurement; complete rounds in the file are not done again.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The proxies that are compared.
#[derive(Debug, Args)]
#[group(skip)]
struct ProgramArgs {
    /// The steadfast binary.
    #[arg(long, value_name = "PATH")]
    serve: PathBuf,
    /// HAProxy, if not the one in PATH or from packages.
    #[arg(long, value_name = "PATH")]
    haproxy: Option<PathBuf>,
    /// MySQL Router, if not the one in PATH or from packages.
    #[arg(long, value_name = "PATH")]
    mysqlrouter: Option<PathBuf>,
    /// ProxySQL, if not the one in PATH.
    #[arg(long, value_name = "PATH")]
    proxysql: Option<PathBuf>,
}

impl ProgramArgs {
    fn programs(self) -> way::Programs {
        way::Programs {
            steadfast: self.serve,
            haproxy: self.haproxy,
            mysql_router: self.mysqlrouter,
            proxysql: self.proxysql,
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "A proxy that is not installed is fetched from the system's own packages, without root; \
                        ProxySQL is in none."
)]
struct PeersArgs {
    /// The kind of server.
    #[arg(long, value_enum)]
    server: ServerKind,
    #[command(flatten)]
    programs: ProgramArgs,
    /// Only these ways to the server.
    #[arg(long, value_enum, value_delimiter = ',')]
    ways: Vec<way::Way>,
    /// Rounds of each fault through each way.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The faults; `survive --help` describes them.
    #[arg(long, value_enum, value_delimiter = ',', hide_possible_values = true)]
    faults: Vec<Fault>,
    /// Clients at the same time.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=100))]
    clients: u32,
    /// Seconds of undisturbed work in each round.
    #[arg(long, default_value_t = 1.5)]
    seconds_per_round: f64,
    /// Seed of all random choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Append a JSON line per fault and way; what the file already has for this server is not done again.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl PeersArgs {
    fn plan(self) -> peers::Plan {
        peers::Plan {
            kind: self.server.kind(),
            server: self.server.name(),
            programs: self.programs.programs(),
            ways: self.ways,
            faults: self.faults,
            rounds: self.rounds,
            clients: self.clients,
            seconds_per_round: self.seconds_per_round,
            seed: self.seed,
            json: self.json,
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "The work is sysbench's and that of own clients. A program that is not installed is fetched from the \
                        system's own packages, without root; ProxySQL is in none. Build the campaign with --release: \
                        its clients share the machine with what is measured."
)]
struct BenchArgs {
    /// The kind of server.
    #[arg(long, value_enum)]
    server: ServerKind,
    #[command(flatten)]
    programs: ProgramArgs,
    /// sysbench, if not the one in PATH or from packages.
    #[arg(long, value_name = "PATH")]
    sysbench: Option<PathBuf>,
    /// Only these ways to the server.
    #[arg(long, value_enum, value_delimiter = ',')]
    ways: Vec<way::Way>,
    /// Only these kinds of work.
    #[arg(long, value_enum, value_delimiter = ',')]
    works: Vec<bench::Work>,
    /// Clients of sysbench at the same time, one number for each run.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 256], value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: Vec<u32>,
    /// Clients that connect at the same time, one number for each run.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8], value_parser = clap::value_parser!(u32).range(1..=100))]
    connecting: Vec<u32>,
    /// Idle clients; fewer where this process may not open files enough for a proxy with as many.
    #[arg(long, default_value_t = 10_000)]
    idle: u32,
    /// Rounds in which every work is done through every way.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of one work through one way.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..))]
    seconds: u32,
    /// Append a JSON line per measurement; what the file already has is not measured again.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the page bench.md, of all servers in --json FILE, and its pictures into this directory.
    #[arg(long, value_name = "DIRECTORY")]
    docs: Option<PathBuf>,
}

impl BenchArgs {
    fn plan(self) -> bench::Plan {
        bench::Plan {
            kind: self.server.kind(),
            server: self.server.name(),
            programs: self.programs.programs(),
            sysbench: self.sysbench,
            ways: self.ways,
            works: self.works,
            clients: self.clients,
            connecting: self.connecting,
            idle: self.idle,
            rounds: self.rounds,
            seconds: self.seconds,
            json: self.json,
            docs: self.docs,
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit code: 0 at least 98 % right and nothing wrong, 1 less, 2 the campaign could not run.\n\
                        Memory, disk and file limits and, with --serve, faults of the network need root; what cannot be \
                        injected is named at the end."
)]
struct AccuracyArgs {
    /// The kind of server.
    #[arg(long, value_enum)]
    server: ServerKind,
    /// The steadfast binary that clients come through: measures its incidents. Without it they come to the server itself,
    /// and what can be seen there is judged.
    #[arg(long, value_name = "PATH")]
    serve: Option<PathBuf>,
    /// Only these causes, by name (`steadfast why` names them).
    #[arg(long, value_delimiter = ',')]
    causes: Vec<String>,
    /// Injections of each cause: logging is default and verbose in turn, TLS off and on every second time.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Seed of all random choices.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Inject nothing; judge again what --json FILE has.
    #[arg(long, requires = "json")]
    judge_only: bool,
    /// Append a JSON line per injection; what the file already has for this server is not done again.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the matrix of all servers in --json FILE there, in Markdown.
    #[arg(long, value_name = "FILE")]
    docs: Option<PathBuf>,
    /// Tell each verdict that is not right, with its evidence.
    #[arg(long)]
    explain: bool,
}

#[derive(Debug, Args)]
struct PlantArgs {
    /// The kind of server.
    #[arg(long, value_enum)]
    server: ServerKind,
    /// Rounds of 3 s before the plants.
    #[arg(long, default_value_t = 2)]
    rounds: u32,
}

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("steadfast-campaign: no runtime: {error}");
            return ExitCode::from(2);
        }
    };
    let command = Cli::parse().command;
    // Leaving by a return, not by the signal, ends the server and Steadfast with their owners.
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = run(command) => outcome,
            signal = interrupted() => Err(signal),
        }
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("steadfast-campaign: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(command: Sub) -> Result<bool> {
    match command {
        Sub::Survive(args) => survive(args).await,
        Sub::BigResult(args) => {
            let front = args.front.front(false, false)?;
            let mut rig = Rig::start(args.server.kind(), &front, Account::Default).await?;
            big_result::run(&mut rig, &args.faults).await
        }
        Sub::Cost(args) => {
            let plan = cost::Plan {
                kind: args.server.kind(),
                server: args.server.name(),
                binary: args.serve,
                fsync_ms: args.fsync_ms,
                rounds: args.rounds,
                seconds: args.seconds,
                clients: args.clients,
                commits: args.commits,
                json: args.json,
            };
            cost::run(&plan).await
        }
        Sub::Peers(args) => peers::run(&args.plan()).await,
        Sub::Bench(args) => bench::run(&args.plan()).await,
        Sub::Accuracy(args) => {
            let plan = accuracy::Plan {
                kind: args.server.kind(),
                serve: args.serve,
                causes: args.causes,
                rounds: args.rounds,
                seed: args.seed,
                judge_only: args.judge_only,
                json: args.json,
                docs: args.docs,
                explain: args.explain,
            };
            accuracy::run(&plan).await
        }
        Sub::Plant(args) => plant(args).await,
        Sub::Profiles => {
            list_profiles();
            Ok(true)
        }
    }
}

async fn interrupted() -> anyhow::Error {
    let mut terminate = match signal(SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => return error.into(),
    };
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => match pressed {
            Ok(()) => anyhow!("interrupted"),
            Err(error) => error.into(),
        },
        _ = terminate.recv() => anyhow!("terminated"),
    }
}

fn list_profiles() {
    for profile in Profile::ALL {
        let contended = if profile.contended() {
            " (1213 possible)"
        } else {
            ""
        };
        println!("{:24} {}{contended}", profile.name(), profile.what());
    }
}

fn chosen(names: &[String]) -> Result<&'static [Profile]> {
    if names.is_empty() {
        return Ok(Profile::ALL);
    }
    let mut chosen = Vec::new();
    for name in names {
        match Profile::ALL.iter().find(|profile| profile.name() == name) {
            Some(profile) => chosen.push(*profile),
            None => bail!("no profile is named {name:?}; `steadfast-campaign profiles` lists them"),
        }
    }
    Ok(chosen.leak())
}

fn list_faults() -> String {
    let mut text = "The faults; by default those from outside, with --faults-total all:".to_owned();
    for fault in Fault::value_variants() {
        if let Some(value) = fault.to_possible_value() {
            let help = value
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            text.push_str(&format!("\n  {:16} {help}", fault.name()));
        }
    }
    text
}

async fn survive(args: SurviveArgs) -> Result<bool> {
    let profiles = chosen(&args.profiles)?;
    let goal = Goal {
        faults: args.faults,
        rounds: args.rounds,
        total: args.faults_total,
        min_kills: args.min_kills,
        ledger: args.ledger,
    }
    .rounds()?;
    let visible = goal.iter().any(|(fault, _)| fault.aim().is_some());
    let front = args.front.front(args.ledger, visible)?;
    let (server, front_name) = (args.server.name(), front.name());
    let pace = if args.faults_total.is_some() {
        1.5
    } else {
        3.0
    };
    let seconds_per_round = args.seconds_per_round.unwrap_or(pace);
    let mut legs = match &args.json {
        Some(path) => report::read_lines(path)?,
        None => Vec::new(),
    };
    let ours = |leg: &report::LegReport| {
        leg.server == server && leg.front == front_name && leg.ledger == args.ledger
    };
    let mut schedule = Schedule::new(goal, args.batch, legs.iter().filter(|leg| ours(leg)));
    let mut seed = args.seed.wrapping_add(legs.len() as u64);
    let mut rig = None;
    while let Some((fault, rounds)) = schedule.next() {
        let rig = match &mut rig {
            Some(rig) => rig,
            None => rig.insert(Rig::start(args.server.kind(), &front, args.account).await?),
        };
        let plan = Plan {
            fault,
            rounds,
            clients: args.clients,
            seconds_per_round,
            seed,
            profiles,
            terms: Terms {
                no_doubt: args.ledger,
                losses_excused: fault.kills_the_proxy(),
            },
            logs: args.logs.clone(),
        };
        let leg = survive::leg(rig, &plan, server, front_name).await?;
        for violation in &leg.violations {
            println!(
                "{} {:?} client {} transaction {} ({}): {}",
                leg.fault,
                violation.kind,
                violation.client,
                violation.number,
                violation.profile,
                violation.detail
            );
        }
        if let Some(path) = &args.json {
            report::append_line(path, &leg)?;
        }
        schedule.done(fault, leg.rounds);
        eprintln!("{}", schedule.progress());
        legs.push(leg);
        seed = seed.wrapping_add(1);
    }
    if let Some(peak) = rig.as_ref().and_then(Rig::proxy_peak_kib) {
        println!(
            "Steadfast's peak resident memory: {:.1} MiB",
            peak as f64 / 1024.0
        );
    }
    legs.retain(ours);
    println!("{}", report::tables(&legs));
    let never = schedule.never_struck();
    if !never.is_empty() {
        bail!(
            "nothing came by that these faults are for: {}",
            never.join(", ")
        );
    }
    Ok(!legs.iter().any(report::LegReport::failed))
}

async fn plant(args: PlantArgs) -> Result<bool> {
    let mut rig = Rig::start(args.server.kind(), &Front::Direct, Account::Default).await?;
    let plan = Plan {
        fault: Fault::None,
        rounds: args.rounds,
        clients: 12,
        seconds_per_round: 3.0,
        seed: 1,
        profiles: Profile::ALL,
        terms: Terms::default(),
        logs: None,
    };
    let (lines, all) = plant::run(&mut rig, &plan).await?;
    for line in lines {
        println!("{line}");
    }
    Ok(all)
}
