//! The survival campaign: for each fault a leg of many rounds on fresh tables, then the check.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mysql_async::Conn;

use crate::check::{self, Violation};
use crate::client::{Client, Shared, Stats, Terms};
use crate::faults::Fault;
use crate::profiles::Profile;
use crate::record::Record;
use crate::report::LegReport;
use crate::rig::Rig;
use crate::rng::Rng;
use crate::state::SessionState;
use crate::{schema, snapshot};

/// A client that has given no answer this long after a fault is reported by itself as hanging.
const RECOVERY: Duration = Duration::from_secs(100);
/// LAST_INSERT_ID() is not proved from a table that was created less than 2 s before the loss (docs/errors.md).
const TABLES_AGE: Duration = Duration::from_millis(2500);
const ALL_CONNECTED_WITHIN: Duration = Duration::from_secs(30);

/// What a leg is to do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) fault: Fault,
    pub(crate) rounds: u32,
    pub(crate) clients: u32,
    pub(crate) seconds_per_round: f64,
    pub(crate) seed: u64,
    pub(crate) profiles: &'static [Profile],
    /// What the clients are owed.
    pub(crate) terms: Terms,
    /// Where each leg's records go, as JSON lines.
    pub(crate) logs: Option<PathBuf>,
}

impl Plan {
    /// The database of this leg; a fresh one each time.
    pub(crate) fn database(&self) -> String {
        format!("survive_{}", self.fault.name().replace('-', "_"))
    }
}

/// The clients after a leg, before the check.
pub(crate) struct Worked {
    pub(crate) clients: Vec<Client>,
    pub(crate) seconds: f64,
    pub(crate) slowest_recovery: Duration,
    /// Rounds in which the fault struck.
    pub(crate) faults: u32,
    /// Connections and processes that it struck.
    pub(crate) hits: u32,
}

/// How many prepared statements a client's driver keeps: every second client closes old ones all
/// the time, the others keep all.
fn statements_kept(client: u32) -> usize {
    if client.is_multiple_of(2) { 16 } else { 200 }
}

/// Runs one leg and checks it.
pub(crate) async fn leg(
    rig: &mut Rig,
    plan: &Plan,
    server: &str,
    front: &str,
) -> Result<LegReport> {
    let mut worked = work(rig, plan).await?;
    let records = take_records(&mut worked);
    if let Some(directory) = &plan.logs {
        write_log(directory, server, front, plan, &records)?;
    }
    let mut checker = Conn::new(rig.direct.clone())
        .await
        .context("the checker could not connect to the server")?;
    let left_open = snapshot::settle(&mut checker).await?;
    let state = snapshot::read(&mut checker, &plan.database()).await?;
    checker.disconnect().await?;
    let findings = check::check(&records, &state);
    let mut report = LegReport {
        server: server.to_owned(),
        front: front.to_owned(),
        front_version: None,
        ledger: rig.has_ledger(),
        ledger_rows: rig.ledger_rows()?,
        fault: plan.fault.name().to_owned(),
        rounds: worked.faults,
        hits: worked.hits,
        kills: if plan.fault.kills_a_process() {
            worked.faults
        } else {
            0
        },
        clients: plan.clients,
        seed: plan.seed,
        seconds: worked.seconds,
        slowest_recovery_ms: u64::try_from(worked.slowest_recovery.as_millis()).unwrap_or(u64::MAX),
        profiles: Default::default(),
        violations: Vec::new(),
    };
    for profile in plan.profiles {
        report
            .profiles
            .entry(profile.name().to_owned())
            .or_default();
    }
    for client in &worked.clients {
        for (profile, stats) in &client.stats {
            report
                .profiles
                .entry((*profile).to_owned())
                .or_default()
                .stats
                .add(stats);
        }
    }
    for (profile, proved) in &findings.proved {
        let stats = Stats {
            proved: *proved,
            ..Stats::default()
        };
        report
            .profiles
            .entry((*profile).to_owned())
            .or_default()
            .stats
            .add(&stats);
    }
    for (profile, (present, absent)) in &findings.resolved {
        let stats = Stats {
            doubt_present: *present,
            doubt_absent: *absent,
            ..Stats::default()
        };
        report
            .profiles
            .entry((*profile).to_owned())
            .or_default()
            .stats
            .add(&stats);
    }
    let seen: Vec<Violation> = worked
        .clients
        .iter_mut()
        .flat_map(|client| std::mem::take(&mut client.violations))
        .collect();
    report.add_violations(seen);
    report.add_violations(findings.violations);
    report.add_violations(left_open);
    Ok(report)
}

/// Creates the tables, lets the clients work through all rounds, and stops them.
pub(crate) async fn work(rig: &mut Rig, plan: &Plan) -> Result<Worked> {
    let database = plan.database();
    let mut setup = Conn::new(rig.direct.clone())
        .await
        .context("could not connect to the server for setting up")?;
    schema::create(&mut setup, &database, plan.clients).await?;
    setup.disconnect().await?;
    tokio::time::sleep(TABLES_AGE).await;

    let begun = Instant::now();
    let shared = Shared::new(plan.clients, plan.terms);
    let tasks: Vec<_> = (1..=plan.clients)
        .map(|id| {
            let state = SessionState::new(id, &database, rig.mariadb);
            let options = rig.client_options(&database, statements_kept(id));
            let client = Client::new(id, plan.seed, options, state, Arc::clone(&shared));
            tokio::spawn(client.run_until_stopped(plan.profiles))
        })
        .collect();
    let rounds = rounds(rig, plan, &shared).await;
    shared.stop.store(true, Ordering::Relaxed);
    let mut clients = Vec::new();
    for task in tasks {
        clients.push(task.await.context("a client's task ended by a panic")?);
    }
    let done = rounds?;
    Ok(Worked {
        clients,
        seconds: begun.elapsed().as_secs_f64(),
        slowest_recovery: done.slowest_recovery,
        faults: done.faults,
        hits: done.hits,
    })
}

#[derive(Debug, Default)]
struct Rounds {
    slowest_recovery: Duration,
    faults: u32,
    hits: u32,
}

async fn rounds(rig: &mut Rig, plan: &Plan, shared: &Arc<Shared>) -> Result<Rounds> {
    let mut rng = Rng::new(plan.seed ^ 0x5eed);
    let begun = Instant::now();
    while shared.ready.load(Ordering::Relaxed) < u64::from(plan.clients) {
        if begun.elapsed() > ALL_CONNECTED_WITHIN {
            bail!("not every client could connect within 30 s, without any fault");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut done = Rounds::default();
    let budget = (plan.seconds_per_round * 1000.0) as u64;
    for round in 1..=plan.rounds {
        let before = rng.millis(budget / 10, budget * 6 / 10);
        tokio::time::sleep(before).await;
        let injected = plan
            .fault
            .inject(rig, &mut rng)
            .await
            .with_context(|| format!("fault {} could not be injected", plan.fault.name()))?;
        done.faults += u32::from(injected.hits > 0 || plan.fault == Fault::None);
        done.hits += injected.hits;
        let over = Instant::now();
        let mark = shared.now();
        while !everybody_answered(shared, mark) && over.elapsed() < RECOVERY {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let recovery = over.elapsed();
        if plan.fault != Fault::None {
            done.slowest_recovery = done.slowest_recovery.max(recovery);
        }
        rig.check_proxy()?;
        eprintln!(
            "{} round {round}/{}: struck {}, recovery {:.1} s, client-visible failures so far {}",
            plan.fault.name(),
            plan.rounds,
            injected.hits,
            recovery.as_secs_f64(),
            shared.visible.load(Ordering::Relaxed)
        );
        tokio::time::sleep(Duration::from_millis(budget).saturating_sub(before)).await;
    }
    Ok(done)
}

/// Whether no client waits any more for a statement that it sent before `mark`.
fn everybody_answered(shared: &Shared, mark: u64) -> bool {
    shared
        .waiting_since
        .iter()
        .map(|since| since.load(Ordering::Relaxed))
        .all(|since| since == 0 || since > mark)
}

pub(crate) fn take_records(worked: &mut Worked) -> Vec<Record> {
    worked
        .clients
        .iter_mut()
        .flat_map(|client| std::mem::take(&mut client.records))
        .collect()
}

fn write_log(
    directory: &Path,
    server: &str,
    front: &str,
    plan: &Plan,
    records: &[Record],
) -> Result<()> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join(format!(
        "{server}-{front}-{}-{}.jsonl",
        plan.fault.name(),
        plan.seed
    ));
    let mut file = BufWriter::new(
        File::create(&path).with_context(|| format!("could not write {}", path.display()))?,
    );
    for record in records {
        writeln!(file, "{}", serde_json::to_string(record)?)?;
    }
    file.flush()?;
    Ok(())
}
