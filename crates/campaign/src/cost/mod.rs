//! What the commit ledger costs: the same work direct, through Steadfast without the ledger and with it, in turn, on
//! one server at its durable defaults, on disks of several speeds.

mod report;
mod work;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use mysql_async::{Conn, prelude::Queryable};
use serde::{Deserialize, Serialize};
use steadfast_sandbox::{Kind, Server};

use crate::proxy::{Proxy, Run, configuration};
use crate::rig::{PASSWORD, USER, options};
use report::{Sample, Size};
use work::{Load, Work};

/// What is to be measured.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) server: &'static str,
    pub(crate) binary: PathBuf,
    /// How long an fsync takes, in milliseconds, one server each.
    pub(crate) fsync_ms: Vec<u32>,
    /// Rounds in which every work is done through every front.
    pub(crate) rounds: u32,
    /// Of one work through one front in one round.
    pub(crate) seconds: f64,
    pub(crate) clients: u32,
    /// Recorded commits after which the ledger's size is told; 0: not asked.
    pub(crate) commits: u64,
    pub(crate) json: Option<PathBuf>,
}

/// A way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Front {
    Direct,
    WithoutLedger,
    WithLedger,
    /// No proxy: the clients themselves give each transaction a GTID that they know, before it begins. No proxy that did
    /// so could cost less.
    OwnGtids,
}

impl Front {
    const ALL: [Front; 4] = [
        Front::Direct,
        Front::WithoutLedger,
        Front::WithLedger,
        Front::OwnGtids,
    ];

    /// MariaDB has no `gtid_next`.
    fn of(kind: Kind) -> &'static [Front] {
        match kind {
            Kind::MariaDb => &Front::ALL[..3],
            Kind::MySql => &Front::ALL,
        }
    }
}

/// How a server writes its logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Logs {
    /// As it does when nothing is configured: each commit on disk; MySQL's in its binary log too.
    Default,
    /// MariaDB with a binary log, which is not its default, on disk at each commit.
    Binlog,
}

impl Logs {
    fn of(kind: Kind) -> &'static [Logs] {
        match kind {
            Kind::MariaDb => &[Logs::Default, Logs::Binlog],
            Kind::MySql => &[Logs::Default],
        }
    }
}

/// Measures what is not in the file yet, and prints the tables.
pub(crate) async fn run(plan: &Plan) -> Result<bool> {
    let mut done = report::read(plan.json.as_deref())?;
    for logs in Logs::of(plan.kind) {
        for fsync_ms in &plan.fsync_ms {
            let open = report::open_rounds(&done.samples, plan, *logs, *fsync_ms);
            if open.is_empty() {
                continue;
            }
            let mut bench = Bench::start(plan, *logs, *fsync_ms).await?;
            // What the first round finds cold is not the ledger's.
            bench.round(plan, 0).await?;
            for round in open {
                for sample in bench.round(plan, round).await? {
                    report::append(plan.json.as_deref(), &sample)?;
                    done.samples.push(sample);
                }
                eprintln!(
                    "{logs:?} logs, fsync {fsync_ms} ms: round {round}/{}",
                    plan.rounds
                );
            }
        }
    }
    if plan.commits > 0 && !done.sizes.iter().any(|size| size.is_of(plan)) {
        let mut bench = Bench::start(plan, Logs::Default, 0).await?;
        let size = bench.grow(plan).await?;
        report::append(plan.json.as_deref(), &size)?;
        done.sizes.push(size);
    }
    println!("{}", report::tables(&done, plan));
    Ok(true)
}

/// A server and the ways to it.
struct Bench {
    server: Arc<Server>,
    logs: Logs,
    fsync_ms: u32,
    loads: Vec<(Front, Load)>,
    /// Alive as long as their clients.
    _proxies: Vec<Proxy>,
}

impl Bench {
    async fn start(plan: &Plan, logs: Logs, fsync_ms: u32) -> Result<Self> {
        let kind = plan.kind;
        let server = tokio::task::spawn_blocking(move || {
            let builder = Server::of(kind)
                .option("max_connections=500")
                .fsync(Duration::from_millis(u64::from(fsync_ms)));
            match logs {
                Logs::Default => builder.start(),
                Logs::Binlog => builder
                    .option("log-bin=binlog")
                    .option("sync-binlog=1")
                    .start(),
            }
        })
        .await??;
        let mut setup = Conn::new(options(
            server.addr(),
            server.admin_user(),
            server.admin_password(),
        ))
        .await?;
        setup
            .query_drop(format!(
                "CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'"
            ))
            .await?;
        setup
            .query_drop(format!("GRANT ALL ON cost.* TO '{USER}'@'%'"))
            .await?;
        if kind == Kind::MySql {
            // To set gtid_next.
            setup
                .query_drop(format!("GRANT REPLICATION_APPLIER ON *.* TO '{USER}'@'%'"))
                .await?;
        }
        work::create(&mut setup, plan.clients).await?;
        setup.disconnect().await?;
        let run = |ledger| Run {
            binary: plan.binary.clone(),
            arguments: Vec::new(),
            ledger,
            // Neither leg of a proxy is encrypted: the direct one is not either.
            configuration: Some(configuration(None, ledger)),
        };
        let (with, without) = (run(true), run(false));
        with.install_ledger(&server.url())?;
        let mut loads = Vec::new();
        let mut proxies = Vec::new();
        for front in Front::of(kind) {
            let front = *front;
            let addr = match front {
                Front::Direct | Front::OwnGtids => server.addr(),
                Front::WithoutLedger | Front::WithLedger => {
                    let run = if front == Front::WithLedger {
                        &with
                    } else {
                        &without
                    };
                    let mut proxy = Proxy::start(run.clone(), server.addr())?;
                    proxy
                        .wait_until_ready(&options(proxy.listen(), USER, PASSWORD))
                        .await?;
                    let addr = proxy.listen();
                    proxies.push(proxy);
                    addr
                }
            };
            let gtids = front == Front::OwnGtids;
            let load = Load::connect(&options(addr, USER, PASSWORD), plan.clients, gtids)
                .await
                .with_context(|| format!("the clients of {front:?} could not connect"))?;
            loads.push((front, load));
        }
        Ok(Self {
            server: Arc::new(server),
            logs,
            fsync_ms,
            loads,
            _proxies: proxies,
        })
    }

    /// Every work through every front, in an order that turns with the rounds.
    async fn round(&mut self, plan: &Plan, round: u32) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for work in Work::ALL {
            let turn = round as usize % self.loads.len();
            self.loads.rotate_left(turn);
            for (front, load) in &mut self.loads {
                let before = self.server.fsyncs()?;
                let done = load
                    .run(work, Duration::from_secs_f64(plan.seconds))
                    .await?;
                let fsyncs = self.server.fsyncs()? - before;
                samples.push(Sample {
                    server: plan.server.to_owned(),
                    version: self.server.version(),
                    logs: self.logs,
                    fsync_ms: self.fsync_ms,
                    work,
                    front: *front,
                    round,
                    clients: plan.clients,
                    seconds: done.seconds,
                    commits: done.commits,
                    fsyncs,
                });
            }
        }
        Ok(samples)
    }

    /// Commits until so many are recorded, and looks how large the ledger is.
    async fn grow(&mut self, plan: &Plan) -> Result<Size> {
        let mut commits = 0;
        let Some((_, load)) = self
            .loads
            .iter_mut()
            .find(|(front, _)| *front == Front::WithLedger)
        else {
            anyhow::bail!("there is no way with a ledger");
        };
        while commits < plan.commits {
            commits += load
                .run(Work::Spread, Duration::from_secs(20))
                .await?
                .commits;
            eprintln!("{commits} of {} commits", plan.commits);
        }
        let rows = self
            .server
            .sql("SELECT COUNT(*) FROM steadfast.commit_ledger")?;
        let last = self
            .server
            .sql("SELECT CAST(SUM(sequence) AS CHAR) FROM steadfast.commit_ledger")?;
        let file = self.server.data_dir().join("steadfast/commit_ledger.ibd");
        Ok(Size {
            server: plan.server.to_owned(),
            version: self.server.version(),
            clients: plan.clients,
            commits,
            recorded: last
                .trim()
                .parse()
                .context("the sum of sequences is no number")?,
            rows: rows.trim().parse()?,
            bytes: std::fs::metadata(&file)
                .with_context(|| format!("no file {}", file.display()))?
                .len(),
        })
    }
}
