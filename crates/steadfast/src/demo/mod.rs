//! `steadfast demo`: a real server, a workload, real faults; direct and through Steadfast side
//! by side.
//!
//! Both sides do the same work on the same server, on tables of their own, and suffer the same
//! faults:
//!
//! ```text
//! 12 clients ─────────────── link ─┐
//!                                  ├─ server
//! 12 clients ── Steadfast ── link ─┘
//! ```

mod bank;
mod faults;
mod report;
mod screen;
mod steadfast;
mod tally;
mod workload;

use std::cell::Cell;
use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mysql_async::{Opts, OptsBuilder};
use steadfast_sandbox::{Kind, Link, Server};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{interval, sleep, timeout};

use self::bank::CLIENTS;
use self::faults::{Course, Victims};
use self::report::{Report, SideReport, attribute};
use self::screen::{Moment, Paint, Screen};
use self::steadfast::{Incident, Steadfast};
use self::tally::Tally;
use self::workload::Client;
use crate::FAILED;
use crate::cli::{DemoArgs, DemoServer};

/// Ended by a signal; what a shell reports for Ctrl-C.
const STOPPED: u8 = 130;
const DIRECT: &str = "direct";
const THROUGH: &str = "steadfast";
const REDRAW: Duration = Duration::from_millis(200);
/// For the clients to finish what they are doing.
const LAST_ANSWERS: Duration = Duration::from_secs(30);

/// Runs the command. Errors are one line on the standard error stream.
pub(crate) fn run(args: DemoArgs) -> ExitCode {
    match demo(&args) {
        Ok(Some(report)) if report.kept => ExitCode::SUCCESS,
        Ok(Some(_)) => ExitCode::from(FAILED),
        Ok(None) => {
            eprintln!("steadfast: the demo was stopped; nothing is left behind");
            ExitCode::from(STOPPED)
        }
        Err(error) => {
            eprintln!("steadfast: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// `None`: a signal has ended it.
fn demo(args: &DemoArgs) -> Result<Option<Report>> {
    let kind = match args.server {
        DemoServer::Mysql => Kind::MySql,
        DemoServer::Mariadb => Kind::MariaDb,
    };
    eprintln!("steadfast: starting {kind} in a directory of its own");
    // Signals still have their default action here: the sandbox cleans up behind a process that
    // ends while it fetches or starts a server.
    let server = Arc::new(Server::of(kind).option("max_connections=300").start()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let report = LocalSet::new().block_on(&runtime, async {
        tokio::select! {
            report = play(args, server) => report.map(Some),
            stopped = stopped() => stopped.map(|()| None),
        }
    });
    // A server that is just being started would be waited for otherwise.
    runtime.shutdown_background();
    report
}

/// Returns at Ctrl-C, SIGTERM, or when the terminal is closed.
async fn stopped() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

async fn play(args: &DemoArgs, server: Arc<Server>) -> Result<Report> {
    if !args.json {
        say(&format!(
            "The same work twice: {CLIENTS} clients directly, {CLIENTS} through Steadfast. Each fault hits both.\n"
        ))?;
    }
    let total = Duration::from_secs(args.seconds.into());
    let stage = Stage::build(server).await?;
    let report = stage.perform(total, Screen::new(args.json)).await?;
    let text = if args.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        report.text(Paint::for_stdout())
    };
    say(&text)?;
    Ok(report)
}

fn say(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("the standard output cannot be written")
}

/// Everything that a demo stands on.
struct Stage {
    victims: Victims,
    steadfast: Steadfast,
    password: String,
}

impl Stage {
    async fn build(server: Arc<Server>) -> Result<Self> {
        // As hard to guess as the sandbox's own.
        let password = format!("Teller-{}", server.admin_password());
        let sql = format!(
            "CREATE USER '{}'@'%' IDENTIFIED BY '{password}';\n{}{}",
            bank::USER,
            bank::tables(DIRECT),
            bank::tables(THROUGH)
        );
        let owner = Arc::clone(&server);
        tokio::task::spawn_blocking(move || owner.sql(&sql)).await??;
        bank::install_ledger(&admin(&server), server.kind()).await?;
        let links = [Link::to(server.addr())?, Link::to(server.addr())?];
        let [_, behind_steadfast] = &links;
        let steadfast = Steadfast::start(behind_steadfast.addr()).await?;
        Ok(Self {
            victims: Victims { server, links },
            steadfast,
            password,
        })
    }

    async fn perform(mut self, total: Duration, mut screen: Screen) -> Result<Report> {
        let begun = Instant::now();
        let scene = Scene {
            begun,
            total,
            direct: Rc::new(Tally::new(CLIENTS, begun)),
            through: Rc::new(Tally::new(CLIENTS, begun)),
            course: Course::default(),
        };
        let mut incidents = Vec::new();
        let mut workload = self.workload(&scene);
        tokio::select! {
            never = scene.show(&mut screen) => match never? {},
            never = listen(&mut self.steadfast, &mut incidents) => match never? {},
            finished = scene.run(&self.victims, &mut workload) => finished?,
        }
        screen.show(&scene.moment())?;
        self.audit(&scene, &incidents).await
    }

    fn workload(&self, scene: &Scene) -> Workload {
        let stop = Rc::new(Cell::new(false));
        let mut clients = JoinSet::new();
        let [link, _] = &self.victims.links;
        for (addr, schema, tally) in [
            (link.addr(), DIRECT, &scene.direct),
            (self.steadfast.addr(), THROUGH, &scene.through),
        ] {
            let opts = options(addr, bank::USER, &self.password, Some(schema));
            for number in 0..CLIENTS {
                let client = Client::new(number, opts.clone(), Rc::clone(tally));
                clients.spawn_local(client.run(Rc::clone(&stop)));
            }
        }
        Workload { clients, stop }
    }

    async fn audit(self, scene: &Scene, incidents: &[Incident]) -> Result<Report> {
        let Self {
            victims: Victims { server, links },
            steadfast,
            ..
        } = self;
        let took = scene.begun.elapsed();
        // Nothing of theirs may still be on its way to the tables.
        drop((steadfast, links));
        let admin = admin(&server);
        let (direct, through) = (&scene.direct, &scene.through);
        let direct_audit = bank::audit(&admin, DIRECT, &direct.transfers()).await?;
        let through_audit = bank::audit(&admin, THROUGH, &through.transfers()).await?;
        Ok(Report::new(
            format!("{} {}", server.kind(), release(&server.version())),
            took,
            SideReport::new(direct, direct_audit),
            SideReport::new(through, through_audit),
            attribute(
                scene.begun,
                &scene.course.begun(),
                &direct.failures(),
                &through.failures(),
                incidents,
            ),
        ))
    }
}

/// The clients of both sides.
struct Workload {
    clients: JoinSet<()>,
    stop: Rc<Cell<bool>>,
}

/// What is going on.
struct Scene {
    begun: Instant,
    total: Duration,
    direct: Rc<Tally>,
    through: Rc<Tally>,
    course: Course,
}

impl Scene {
    /// Until the time is over, all faults are, and the clients have left.
    async fn run(&self, victims: &Victims, workload: &mut Workload) -> Result<()> {
        let ((), faults) = tokio::join!(sleep(self.total), self.course.run(victims, self.total));
        faults?;
        workload.stop.set(true);
        let leaving = async {
            while let Some(client) = workload.clients.join_next().await {
                client.context("a client of the demo has failed")?;
            }
            Ok(())
        };
        if let Ok(left) = timeout(LAST_ANSWERS, leaving).await {
            return left;
        }
        for tally in [&self.direct, &self.through] {
            for _ in 0..tally.glance().waiting {
                let what = format!(
                    "no answer {} s after the last fault",
                    LAST_ANSWERS.as_secs()
                );
                tally.failed(what, false);
            }
        }
        workload.clients.abort_all();
        Ok(())
    }

    async fn show(&self, screen: &mut Screen) -> Result<Infallible> {
        let mut ticks = interval(REDRAW);
        loop {
            ticks.tick().await;
            screen.show(&self.moment())?;
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            elapsed: self.begun.elapsed(),
            total: self.total,
            direct: self.direct.glance(),
            steadfast: self.through.glance(),
            fault: self.course.current(),
        }
    }
}

async fn listen(steadfast: &mut Steadfast, incidents: &mut Vec<Incident>) -> Result<Infallible> {
    loop {
        incidents.push(steadfast.incident().await?);
    }
}

/// The version without what its packagers have added: 10.11.19 of 10.11.19-MariaDB-0+deb12u1.
fn release(version: &str) -> &str {
    version.split('-').next().unwrap_or(version)
}

fn admin(server: &Server) -> Opts {
    options(
        server.addr(),
        server.admin_user(),
        server.admin_password(),
        None,
    )
}

fn options(addr: SocketAddr, user: &str, password: &str, schema: Option<&str>) -> Opts {
    OptsBuilder::default()
        .ip_or_hostname(addr.ip().to_string())
        .tcp_port(addr.port())
        .user(Some(user))
        .pass(Some(password))
        .db_name(schema)
        // Else the driver would change over to the server's Unix socket, past all faults.
        .prefer_socket(false)
        .into()
}
