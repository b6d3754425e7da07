//! One run: a world is made, clients work, faults strike, and what is left is checked.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use anyhow::{Context, Result};
use steadfast_net::Listener;
use steadfast_proxy::config::{AdminAddress, BackendTls, ClientTls, Config, LedgerMode, Overrides};
use steadfast_proxy::simulation::{self, Parts, RandomBytes};
use steadfast_session::Limits;
use steadfast_wire::auth::{Password, RsaKeyPair};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, timeout};

use crate::check::{Held, check};
use crate::client::{PASSWORD, USER};
use crate::fault::{Fault, Injector, Struck};
use crate::network::{Network, Pace};
use crate::plan::{Plan, Plant};
use crate::random::Random;
use crate::server::storage::Table;
use crate::server::{Dialect, Flaws, Server, Settings};
use crate::trace::{Event, Keep, Trace};
use crate::workload::{ACCOUNTS, BALANCE, COUNTERS, Rules, Tally, Worker, World};

/// Virtual time after which clients are taken to hang.
const LIMIT: Duration = Duration::from_secs(900);

/// Virtual time in which what is late arrives and what was left behind ends: looked at so often, at most so many times.
const AFTERWARDS: (Duration, u32) = (Duration::from_secs(5), 24);

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What is wrong: nothing, if all is well.
    pub violations: Vec<String>,
    /// The log, if it was kept.
    pub events: Vec<Event>,
    /// What struck where.
    pub struck: Struck,
    /// Points that were passed while clients worked.
    pub points: u32,
    /// What clients got.
    pub tally: Tally,
    /// Milliseconds of virtual time that clients worked.
    pub millis: u64,
}

/// One for all runs: it takes longer to make than a run, and no run uses it.
static KEY: LazyLock<Arc<RsaKeyPair>> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "nothing is decided by it but whether there is one"
    )]
    Arc::new(RsaKeyPair::generate().expect("a key pair"))
});

/// Runs a plan.
///
/// # Errors
/// The run could not begin.
pub fn run(plan: &Plan, keep: Keep) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .context("no runtime")?;
    let local = LocalSet::new();
    let trace = Trace::new(keep);
    let report = local.block_on(&runtime, scenario(plan, trace));
    // What is left ends inside the runtime.
    runtime.block_on(async move { drop(local) });
    report
}

fn config(plan: &Plan) -> Result<Config> {
    let mut config = Config::load(
        None,
        Overrides {
            backend: Some(Network::server_address().into()),
            admin: Some(AdminAddress::Off),
            state_dir: Some("/nonexistent".into()),
            hold: Some(Duration::from_millis(plan.hold)),
            ..Overrides::default()
        },
    )
    .context("the configuration")?;
    config.backend.tls = BackendTls::Disabled;
    config.tls = ClientTls::Off;
    if plan.off {
        config.ledger.mode = LedgerMode::Off;
    }
    Ok(config)
}

async fn scenario(plan: &Plan, trace: Trace) -> Result<Report> {
    trace.begin();
    let random = Random::new(plan.seed);
    let injector = Injector::new(plan.faults.clone(), trace.clone());
    let pace = Pace {
        latency: plan.latency,
        split: plan.split,
    };
    let network = Network::new(random.fork(1), pace, injector.clone(), trace.clone());
    let settings = Settings {
        dialect: if plan.mariadb {
            Dialect::MariaDb
        } else {
            Dialect::MySql
        },
        ledger: plan.ledger,
        forgets_ids: plan.forgets_ids,
        flaws: flaws(plan.plant),
    };
    let server = Server::new(network.clone(), trace.clone(), settings);
    for id in 1..=ACCOUNTS {
        let mut storage = server.storage.borrow_mut();
        storage.seed((Table::Account, id), vec![BALANCE]);
    }
    for id in 1..=COUNTERS {
        let mut storage = server.storage.borrow_mut();
        storage.seed((Table::Counter, id), vec![0]);
    }
    let start = held(&server);
    let world = Rc::new(World {
        network: network.clone(),
        trace: trace.clone(),
        injector: injector.clone(),
        server: Rc::clone(&server),
        rules: rules(plan),
        units: RefCell::default(),
        tally: RefCell::default(),
        doing: RefCell::default(),
    });
    let config = config(plan)?;
    let processes = [
        tokio::task::spawn_local(Rc::clone(&server).run()),
        tokio::task::spawn_local(proxy(
            network.clone(),
            config,
            plan.hold_back,
            random.fork(2),
            plan.plant,
        )),
        tokio::task::spawn_local(strike(network.clone(), injector.clone())),
    ];
    let clients: Vec<_> = (0..plan.clients)
        .map(|index| {
            let worker = Worker::new(Rc::clone(&world), index, random.fork(100 + index as u64));
            tokio::task::spawn_local(worker.work(plan.script, plan.operations))
        })
        .collect();
    let begun = Instant::now();
    let all = async {
        for client in clients {
            if let Err(error) = client.await
                && error.is_panic()
            {
                trace.violation(format!("a client panicked: {error}"));
            }
        }
    };
    if timeout(LIMIT, all).await.is_err() {
        let doing = world.doing.borrow().clone();
        trace.violation(format!("clients hang: {doing:?}"));
    }
    let millis = begun.elapsed().as_millis() as u64;
    injector.end();
    if !trace.is_violated() {
        // What was delayed may still arrive, and must change nothing.
        for _ in 0..AFTERWARDS.1 {
            sleep(AFTERWARDS.0).await;
            if network.is_quiet() && server.storage.borrow().locked() == 0 {
                break;
            }
        }
        settle(plan, &server, &trace);
        let units = world.units.borrow();
        for wrong in check(&units, &start, &held(&server)) {
            trace.violation(wrong);
        }
    }
    for process in processes {
        process.abort();
    }
    let (events, violations) = trace.take();
    let tally = world.tally.borrow().clone();
    Ok(Report {
        violations,
        events,
        struck: injector.struck(),
        points: injector.points(),
        tally,
        millis,
    })
}

/// Nothing may be left behind, unless nobody could have ended it.
fn settle(plan: &Plan, server: &Server, trace: &Trace) {
    let unreachable =
        plan.outlasts_hold() || plan.has(|fault| matches!(fault, Fault::ProxyCrash { .. }));
    let locked = server.storage.borrow().locked();
    if locked > 0 && !unreachable {
        trace.violation(format!(
            "{locked} rows are locked, and all clients have left"
        ));
    }
}

fn flaws(plant: Plant) -> Flaws {
    Flaws {
        fence_looks_only: plant == Plant::NoFence,
        fence_denies: plant == Plant::ReplayAfterCommit,
        forgets_restored: (plant == Plant::ForgottenSet).then_some("time_zone"),
        hides_deadlocks: plant == Plant::PipelinedCall,
    }
}

fn rules(plan: &Plan) -> Rules {
    let long = plan.outlasts_hold();
    Rules {
        doubt: !plan.ledger || long || plan.has(|fault| matches!(fault, Fault::Kill)),
        unavailable: long,
        again: plan.faults.len() >= Limits::default().attempts.into(),
        killed: plan.has(|fault| matches!(fault, Fault::Kill)),
        closed: plan.has(|fault| matches!(fault, Fault::ProxyCrash { .. })),
        row_count_lost: !plan.off,
    }
}

fn held(server: &Server) -> Held {
    let storage = server.storage.borrow();
    Held {
        entries: storage.all_committed(Table::Entry),
        accounts: storage.all_committed(Table::Account),
        counters: storage.all_committed(Table::Counter),
    }
}

/// The proxy's process: dies when it is told to, and starts again.
async fn proxy(
    network: Network,
    config: Config,
    hold_back: Option<usize>,
    random: Random,
    plant: Plant,
) {
    let mut number = 0;
    loop {
        number += 1;
        let (listener, arrivals) = Listener::simulated(Network::proxy_address());
        network.proxy_started(arrivals);
        // A process that reuses its lanes draws the same numbers as the one before.
        let label = if plant == Plant::LaneReused {
            1
        } else {
            number
        };
        let parts = Parts {
            config: config.clone(),
            network: Arc::new(network.clone()),
            listener,
            key: Arc::clone(&KEY),
            accounts: vec![(USER.to_vec(), Password::new(PASSWORD))],
            random: bytes(random.fork(label)),
            hold_back,
        };
        let local = LocalSet::new();
        let changed = network.process_changed();
        let crashed = async {
            loop {
                let notified = changed.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                if let Some(down) = network.proxy_crash() {
                    return down;
                }
                notified.await;
            }
        };
        let down = tokio::select! {
            biased;
            down = crashed => down,
            _ = local.run_until(simulation::run(parts)) => Duration::ZERO,
        };
        drop(local);
        network.proxy_gone();
        sleep(down.max(Duration::from_millis(1))).await;
    }
}

fn bytes(random: Random) -> RandomBytes {
    let random = RefCell::new(random);
    Box::new(move |place| {
        for part in place.chunks_mut(8) {
            let bits = random.borrow_mut().next().to_le_bytes();
            part.copy_from_slice(&bits[..part.len()]);
        }
        Ok(())
    })
}

/// What strikes at moments.
async fn strike(network: Network, injector: Injector) {
    let begun = Instant::now();
    for (at, fault) in injector.moments() {
        let at = begun + Duration::from_millis(at.into());
        tokio::time::sleep_until(at).await;
        if !injector.strike(fault) {
            return;
        }
        network.strike_somewhere(fault);
    }
}
