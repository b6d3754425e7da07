//! What a proxy costs: the same work direct, through Steadfast and through other proxies, in turn, on one server.
//!
//! - `work.rs`: what is measured; `sysbench.rs`, `own.rs`: who does it;
//! - `usage.rs`: what the proxy's process uses for it;
//! - `report.rs`, `plot.rs`: what came of it.

mod own;
mod plot;
mod report;
mod sysbench;
mod usage;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mysql_async::{Conn, Opts, OptsBuilder, SslOpts};
use steadfast_sandbox::{Kind, Server, Sysbench};

use self::report::{Figure, Sample};
use self::usage::Usage;
pub(crate) use self::work::Work;
use crate::peers::configuration::{Certificate, Purpose};
use crate::proxy::Proxy;
use crate::report as lines;
use crate::rig::{Front, PASSWORD, USER, options};
use crate::way::{Programs, Way};

const DATABASE: &str = "bench";

/// Connections beside those of the clients: setting up, health checks, and lost ones that the server has not noticed.
const SPARE: u32 = 64;

/// Files that a proxy has open beside the two connections of each client.
const OTHER_FILES: u64 = 200;

/// What is to be measured.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) server: &'static str,
    pub(crate) programs: Programs,
    /// `None`: one that is installed, else one from packages.
    pub(crate) sysbench: Option<PathBuf>,
    /// None: all.
    pub(crate) ways: Vec<Way>,
    /// None: all.
    pub(crate) works: Vec<Work>,
    /// Of sysbench, at the same time.
    pub(crate) clients: Vec<u32>,
    /// That connect, at the same time.
    pub(crate) connecting: Vec<u32>,
    /// That do nothing; fewer if this process may not open so many files.
    pub(crate) idle: u32,
    pub(crate) rounds: u32,
    /// Of one work through one way in one round.
    pub(crate) seconds: u32,
    pub(crate) json: Option<PathBuf>,
    /// Write the page and its pictures into this directory.
    pub(crate) docs: Option<PathBuf>,
}

impl Plan {
    fn works(&self) -> Vec<(Work, u32)> {
        let works = match &self.works[..] {
            [] => &Work::ALL[..],
            named => named,
        };
        let idle = [idle_clients(self.idle)];
        let clients = |work: &Work| match work {
            Work::Connect | Work::ConnectTls => &self.connecting[..],
            Work::LargeResult => &[1],
            Work::Idle => &idle[..],
            _ => &self.clients[..],
        };
        works
            .iter()
            .flat_map(|work| clients(work).iter().map(|clients| (*work, *clients)))
            .collect()
    }

    fn ways(&self) -> &[Way] {
        match &self.ways[..] {
            [] => &Way::ALL[..],
            named => named,
        }
    }
}

/// A proxy that inherits this process's limit has two connections for each.
fn idle_clients(wanted: u32) -> u32 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let most = files.map_or(u64::MAX, |files| files.saturating_sub(OTHER_FILES) / 2);
    wanted.min(u32::try_from(most).unwrap_or(u32::MAX))
}

/// How long an operation took, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
}

impl Latency {
    /// Of times in milliseconds, ascending, and how often each was taken. `None`: there are none.
    fn of(bars: &[(f64, u64)]) -> Option<Self> {
        let all: u64 = bars.iter().map(|(_, count)| count).sum();
        let at = |share: f64| {
            let wanted = (all as f64 * share).ceil() as u64;
            let mut seen = 0;
            let bar = bars.iter().find(|(_, count)| {
                seen += count;
                seen >= wanted
            });
            bar.map(|(time, _)| *time)
        };
        Some(Self {
            p50: at(0.5)?,
            p99: at(0.99)?,
            p999: at(0.999)?,
        })
    }

    fn of_times(times: &[Duration]) -> Option<Self> {
        let mut bars: Vec<(f64, u64)> = times
            .iter()
            .map(|time| (time.as_secs_f64() * 1e3, 1))
            .collect();
        bars.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
        Self::of(&bars)
    }
}

/// What came of one work through one way.
#[derive(Debug)]
struct Done {
    /// Transactions, connections or results.
    operations: f64,
    queries: f64,
    seconds: f64,
    /// Of an operation.
    latency: Latency,
    /// By the proxy.
    used: Option<Usage>,
}

impl Done {
    fn figures(&self) -> BTreeMap<Figure, f64> {
        let mut figures = BTreeMap::from([
            (Figure::Rate, self.operations / self.seconds),
            (Figure::P50, self.latency.p50),
            (Figure::P99, self.latency.p99),
            (Figure::P999, self.latency.p999),
        ]);
        if let Some(used) = self.used {
            figures.insert(Figure::Cpu, used.cpu.as_secs_f64() * 1e6 / self.queries);
            figures.insert(Figure::Switches, used.switches as f64 / self.queries);
        }
        figures
    }
}

/// Measures what is not in the file yet, and prints the tables.
///
/// # Errors
/// The server, Steadfast or sysbench cannot be run. What another proxy cannot do is told in the tables.
pub(crate) async fn run(plan: &Plan) -> Result<bool> {
    let mut samples: Vec<Sample> = match &plan.json {
        Some(path) => lines::read_lines(path)?,
        None => Vec::new(),
    };
    let given = plan.sysbench.clone();
    let sysbench =
        tokio::task::spawn_blocking(move || Sysbench::program(given.as_deref())).await??;
    let mut notes = BTreeSet::new();
    for encrypted in [false, true] {
        let works: Vec<(Work, u32)> = plan
            .works()
            .into_iter()
            .filter(|(work, _)| work.encrypted() == encrypted)
            .collect();
        let missing = |samples: &[Sample], work, clients, way, round| {
            !samples.iter().any(|sample| {
                (&sample.server[..], sample.work, sample.clients) == (plan.server, work, clients)
                    && (&sample.way[..], sample.round) == (way, round)
            })
        };
        let mut stage = None;
        for round in 1..=plan.rounds {
            for (work, clients) in &works {
                let (work, clients) = (*work, *clients);
                let ways = plan.ways().iter().filter(|way| work.is_for(**way));
                let mut open: Vec<Way> = ways
                    .filter(|way| missing(&samples, work, clients, way.name(), round))
                    .copied()
                    .collect();
                if open.is_empty() {
                    continue;
                }
                let stage = match &mut stage {
                    Some(stage) => stage,
                    None => stage.insert(Stage::start(plan, &sysbench, encrypted).await?),
                };
                notes.extend(stage.notes.iter().cloned());
                // Who comes first, and after whom, is not always the same.
                let turn = round as usize % open.len();
                open.rotate_left(turn);
                for way in open {
                    let sample = match stage.sample(plan, work, clients, way, round).await {
                        Ok(Some(sample)) => sample,
                        Ok(None) => continue,
                        Err(error) if way.peer().is_some() => {
                            notes.insert(format!("{error:#}"));
                            continue;
                        }
                        Err(error) => return Err(error),
                    };
                    if let Some(path) = &plan.json {
                        lines::append_line(path, &sample)?;
                    }
                    samples.push(sample);
                }
                eprintln!(
                    "round {round}/{}: {}, {clients} clients",
                    plan.rounds,
                    work.title()
                );
            }
        }
    }
    println!("{}", report::text(&samples, plan.server));
    for note in &notes {
        println!("{note}");
    }
    if let Some(directory) = &plan.docs {
        report::write(&samples, directory)?;
    }
    Ok(true)
}

/// A server and the ways to it.
struct Stage {
    server: Arc<Server>,
    sysbench: Sysbench,
    encrypted: bool,
    legs: Vec<Leg>,
    /// Why a way is not here.
    notes: Vec<String>,
    /// Where sysbench works.
    directory: tempfile::TempDir,
}

struct Leg {
    way: Way,
    version: Option<String>,
    addr: SocketAddr,
    proxy: Option<Proxy>,
}

impl Stage {
    async fn start(plan: &Plan, sysbench: &Sysbench, encrypted: bool) -> Result<Self> {
        let kind = plan.kind;
        let most = plan.works().iter().map(|(_, clients)| *clients).max();
        let clients = most.unwrap_or_default() + SPARE;
        let server = tokio::task::spawn_blocking(move || {
            Server::of(kind)
                .option(format!("max_connections={clients}"))
                // Statements of sysbench's 256 clients.
                .option("max_prepared_stmt_count=100000")
                .start()
        })
        .await??;
        server.sql(&format!(
            "CREATE DATABASE {DATABASE}; CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'; \
             GRANT ALL ON {DATABASE}.* TO '{USER}'@'%';"
        ))?;
        let directory = tempfile::tempdir()?;
        sysbench::certificates(&server, directory.path())?;
        sysbench::prepare(sysbench, server.addr())?;
        let mut conn = Conn::new(client_options(server.addr(), false)).await?;
        own::prepare(&mut conn).await?;
        conn.disconnect().await?;
        let mut stage = Self {
            server: Arc::new(server),
            sysbench: sysbench.clone(),
            encrypted,
            legs: Vec::new(),
            notes: Vec::new(),
            directory,
        };
        for way in plan.ways() {
            match stage.leg(plan, *way, clients).await {
                Ok(leg) => stage.legs.push(leg),
                Err(error) if way.peer().is_some() => {
                    let tls = if encrypted { " with TLS" } else { "" };
                    let note = format!("{}{tls}: {error:#}", way.title());
                    stage
                        .notes
                        .push(note.lines().next().unwrap_or_default().to_owned());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(stage)
    }

    async fn leg(&self, plan: &Plan, way: Way, clients: u32) -> Result<Leg> {
        let certificate = self.encrypted.then(|| {
            let (chain, key) = self.server.certificate();
            Certificate { chain, key }
        });
        let (front, version) = plan.programs.front(way, certificate.as_ref()).await?;
        let backend = self.server.addr();
        let proxy = match front {
            Front::Direct | Front::External { .. } => None,
            Front::Steadfast(run) => {
                if run.ledger {
                    run.install_ledger(&self.server.url())?;
                }
                Some(Proxy::start(run, backend)?)
            }
            Front::Peer(program) => {
                let purpose = Purpose {
                    backend,
                    server_version: self.server.version(),
                    clients,
                    certificate,
                };
                Some(Proxy::start_peer(&program, &purpose)?)
            }
        };
        let mut leg = Leg {
            way,
            version,
            addr: proxy.as_ref().map_or(backend, Proxy::listen),
            proxy,
        };
        leg.wait_until_ready(self.encrypted).await?;
        Ok(leg)
    }

    /// `None`: this way is not here.
    async fn sample(
        &mut self,
        plan: &Plan,
        work: Work,
        clients: u32,
        way: Way,
        round: u32,
    ) -> Result<Option<Sample>> {
        let Some(leg) = self.legs.iter_mut().find(|leg| leg.way == way) else {
            return Ok(None);
        };
        let process = leg.proxy.as_ref().map(Proxy::id);
        let opts = client_options(leg.addr, self.encrypted);
        let measured = async {
            if let Some(script) = work.script() {
                let run = sysbench::Run {
                    script,
                    encrypted: self.encrypted,
                    clients,
                    seconds: plan.seconds,
                    addr: leg.addr,
                    process,
                };
                let done = run.done(&self.sysbench, self.directory.path()).await?;
                return anyhow::Ok(done.figures());
            }
            match work {
                Work::LargeResult => {
                    let (done, grown) = own::large_result(&opts, process).await?;
                    let mut figures = done.figures();
                    let grown = grown.map(|kib| (Figure::Memory, kib as f64));
                    figures.extend(grown);
                    Ok(figures)
                }
                Work::Idle => {
                    // What earlier clients have left behind is not these ones'.
                    let process = leg.restart(self.encrypted).await?;
                    let kib = own::idle(&opts, clients, process).await?;
                    let each = kib as f64 / f64::from(clients);
                    Ok(BTreeMap::from([(Figure::Memory, each)]))
                }
                _ => {
                    let time = Duration::from_secs(u64::from(plan.seconds));
                    let done = own::connect(&opts, clients, time, process).await?;
                    Ok(done.figures())
                }
            }
        };
        let figures = measured
            .await
            .with_context(|| format!("{}, {clients} clients, {}", work.title(), way.title()))?;
        Ok(Some(Sample {
            server: plan.server.to_owned(),
            version: self.server.version(),
            work,
            clients,
            way: way.name().to_owned(),
            way_version: leg.version.clone(),
            round,
            figures,
        }))
    }
}

impl Leg {
    async fn wait_until_ready(&mut self, encrypted: bool) -> Result<()> {
        match &mut self.proxy {
            Some(proxy) => {
                proxy
                    .wait_until_ready(&client_options(self.addr, encrypted))
                    .await
            }
            None => Ok(()),
        }
    }

    /// A proxy that has had no clients; its process.
    async fn restart(&mut self, encrypted: bool) -> Result<u32> {
        let proxy = self.proxy.as_mut().context("there is no proxy")?;
        proxy.killer().kill()?;
        proxy.start_again()?;
        let process = proxy.id();
        self.wait_until_ready(encrypted).await?;
        Ok(process)
    }
}

/// They ask the server nothing of their own.
fn client_options(addr: SocketAddr, encrypted: bool) -> Opts {
    let tls = SslOpts::default()
        .with_danger_accept_invalid_certs(true)
        .with_danger_skip_domain_validation(true);
    OptsBuilder::from_opts(options(addr, USER, PASSWORD))
        .db_name(Some(DATABASE))
        .max_allowed_packet(Some(16 << 20))
        .wait_timeout(Some(28_800))
        .ssl_opts(encrypted.then_some(tls))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_that_was_counted() {
        let bars = [(1.0, 980), (2.0, 15), (9.0, 5)];
        let latency = Latency::of(&bars).unwrap();
        assert_eq!((latency.p50, latency.p99, latency.p999), (1.0, 2.0, 9.0));
        assert!(Latency::of(&[]).is_none());
        let times = [3, 1, 2].map(Duration::from_millis);
        assert_eq!(Latency::of_times(&times).unwrap().p50, 2.0);
    }

    #[test]
    fn figures_are_of_one_operation_and_one_query() {
        let done = Done {
            operations: 100.0,
            queries: 2_000.0,
            seconds: 2.0,
            latency: Latency {
                p50: 1.0,
                p99: 2.0,
                p999: 3.0,
            },
            used: Some(Usage {
                cpu: Duration::from_millis(40),
                switches: 500,
            }),
        };
        let figures = done.figures();
        assert_eq!(figures[&Figure::Rate], 50.0);
        assert_eq!(figures[&Figure::Cpu], 20.0);
        assert_eq!(figures[&Figure::Switches], 0.25);
    }
}
