//! Where losses are looked into: what the server and its logs tell a moment later is added, it is judged, written down and
//! logged.
//!
//! It has a thread of its own: logs are read here, from disks that may stand still, and a storm of losses takes its time.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use steadfast_diagnose::log::{Aborted, LogKind};
use steadfast_diagnose::{Boot, End, Log, Moment, Side};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::{Incident, Report, Step, Store, log, why};
use crate::host::Host;
use crate::metrics::Metrics;
use crate::shared::Shared;

/// How long a loss waits for what the server can tell of it.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// How often it is looked whether the server has told it.
const LOOK: Duration = Duration::from_millis(100);

/// For how long such a loss may be judged again.
const AGAIN: Duration = Duration::from_secs(600);

/// For how long it is waited for what becomes of one whose client waits.
const UNENDED: Duration = Duration::from_secs(3600);

/// Losses that may be judged again.
const MAX_AGAIN: usize = 16_384;

/// For how long what the server's machine has told of a loss is remembered for sure.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Time between two looks at what the server's machine tells.
const LISTEN: Duration = Duration::from_millis(500);

/// How long the end of the process waits for what has still to be judged and written.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// Incidents on their way to the disk.
const TO_DISK: usize = 16_384;

/// Incidents that are written in one transaction.
const TOGETHER: usize = 256;

/// So the step of a story begins that is a verdict.
const JUDGED: &str = "judged";

/// The desk at work; it ends with [`AtWork::end`].
#[derive(Debug)]
pub(crate) struct AtWork {
    end: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl AtWork {
    /// Judges and writes what it has, for [`ENDS_WITHIN`] at most.
    pub(crate) async fn end(self) {
        // It is gone already where its thread has panicked.
        let _ = self.end.send(());
        if tokio::time::timeout(ENDS_WITHIN, self.ended).await.is_err() {
            tracing::warn!("the last incidents may be in the log only: the disk takes too long");
        }
    }
}

/// Looks into losses on a thread of its own, until it is told to end.
///
/// # Errors
/// There is no thread for it.
pub(crate) fn look_into(
    shared: Arc<Shared>,
    reports: mpsc::Receiver<Report>,
    state_dir: PathBuf,
) -> io::Result<AtWork> {
    let (end, told_to_end) = oneshot::channel();
    let (has_ended, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    std::thread::Builder::new()
        .name("incidents".to_owned())
        .spawn(move || {
            let disk = Disk::of(state_dir, &shared.metrics);
            let desk = Desk {
                shared,
                disk,
                host: Host::default(),
                variables: Arc::default(),
                waiting: BTreeMap::new(),
                again: BTreeMap::new(),
            };
            runtime.block_on(desk.work(reports, told_to_end));
            // Nobody waits for it any more where that took too long.
            let _ = has_ended.send(());
        })?;
    Ok(AtWork { end, ended })
}

/// Losses that are being looked into.
struct Desk {
    shared: Arc<Shared>,
    disk: Option<Disk>,
    host: Host,
    /// The settings of the server on that host.
    variables: Arc<BTreeMap<String, String>>,
    /// By their ids, with the time at which they are judged by what is known.
    waiting: BTreeMap<String, (Instant, Report)>,
    /// They were judged while the server could not be asked, or before their end.
    again: BTreeMap<String, Report>,
}

impl Desk {
    async fn work(
        mut self,
        mut reports: mpsc::Receiver<Report>,
        mut told_to_end: oneshot::Receiver<()>,
    ) {
        let mut next_look = Instant::now();
        loop {
            next_look = next_look.min(Instant::now() + self.rest());
            tokio::select! {
                biased;
                _ = &mut told_to_end => break,
                () = sleep_until(next_look) => {
                    self.look(false);
                    next_look = Instant::now() + LISTEN;
                }
                report = reports.recv() => match report {
                    Some(report) => {
                        self.shared.health.ask_variables();
                        self.take(report);
                    }
                    None => break,
                },
            }
        }
        reports.close();
        while let Some(report) = reports.recv().await {
            self.take(report);
        }
        self.look(true);
        if let Some(disk) = self.disk.take() {
            disk.end();
        }
    }

    /// How long there is nothing to look at, if nothing is lost.
    fn rest(&self) -> Duration {
        if !self.waiting.is_empty() {
            LOOK
        } else {
            LISTEN
        }
    }

    /// What the server's machine has told by now.
    fn listen(&mut self) {
        let variables = self.shared.health.variables();
        if !Arc::ptr_eq(&variables, &self.variables) {
            self.host.become_of(&variables);
            self.variables = variables;
        }
        self.host.note();
    }

    /// A new one, or what became of one that is known.
    fn take(&mut self, report: Report) {
        let id = report.incident.id.clone();
        if let Some((_, known)) = self.waiting.get_mut(&id) {
            known.end(report);
        } else if let Some(mut known) = self.again.remove(&id) {
            known.end(report);
            // The next look listens first to what the server's machine has told meanwhile.
            self.waiting.insert(id, (Instant::now(), known));
        } else {
            self.waiting.insert(id, (Instant::now() + PATIENCE, report));
        }
    }

    /// Judges those about which all is known that will be; at the `last` look all.
    fn look(&mut self, last: bool) {
        self.listen();
        let now = Instant::now();
        let shared = Arc::clone(&self.shared);
        let told = |report: &Report| shared.health.has_told_since(report.lost);
        self.again.retain(|_, report| {
            let most = if report.incident.waits {
                UNENDED
            } else {
                AGAIN
            };
            report.lost.elapsed() < most
        });
        let (done, waiting): (BTreeMap<_, _>, _) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(_, (due, report))| last || now >= *due || told(report));
        let (back, again): (BTreeMap<_, _>, _) = std::mem::take(&mut self.again)
            .into_iter()
            .partition(|(_, report)| report.misses_the_server() && told(report));
        self.waiting = waiting;
        self.again = again;
        for (_, mut report) in done.into_values() {
            judge(&self.shared, &self.host, &mut report);
            log(&report.incident);
            self.write(report.incident.clone());
            self.keep(report);
        }
        for mut report in back.into_values() {
            let before = report.incident.why.answer.clone();
            judge(&self.shared, &self.host, &mut report);
            let Incident { id, why, .. } = &report.incident;
            if why.answer != before {
                tracing::info!(incident = %id, cause = why.answer, "the server has told its side");
            }
            self.write(report.incident.clone());
            self.keep(report);
        }
    }

    /// Those about which there is more to come.
    fn keep(&mut self, report: Report) {
        if (report.incident.waits || report.misses_the_server()) && self.again.len() < MAX_AGAIN {
            self.again.insert(report.incident.id.clone(), report);
        }
    }

    fn write(&self, incident: Incident) {
        if let Some(disk) = &self.disk {
            disk.write(incident);
        }
    }
}

impl Report {
    /// What the server itself tells of its loss is not known yet.
    fn misses_the_server(&self) -> bool {
        self.incident.evidence.aside.boot.is_none()
    }

    /// What became of it.
    fn end(&mut self, end: Self) {
        let known = std::mem::replace(self, end);
        let killed = self.incident.evidence.aside.foreign_kill;
        self.incident.evidence.log = known.incident.evidence.log;
        self.incident.evidence.kernel = known.incident.evidence.kernel;
        self.incident.evidence.aside = known.incident.evidence.aside;
        let aside = &mut self.incident.evidence.aside;
        aside.foreign_kill = killed.or(aside.foreign_kill);
        let judged = known.incident.story.into_iter();
        self.incident
            .story
            .extend(judged.filter(|step| step.what.starts_with(JUDGED)));
        self.incident.why = known.incident.why;
    }
}

/// What is known by now, and what it comes to.
///
/// What was seen nearer to the loss stays: memories end, and later ones may be of another event.
fn judge(shared: &Shared, host: &Host, report: &mut Report) {
    let Report {
        incident,
        lost,
        in_force,
        made,
        since,
    } = report;
    let evidence = &mut incident.evidence;
    let aside = &mut evidence.aside;
    // A connection that is given up for its silence has ended before that.
    let silent_since = evidence
        .wire
        .as_ref()
        .filter(|wire| wire.end == End::Silence)
        .and_then(|wire| lost.checked_sub(wire.quiet));
    aside.reach = aside.reach.or_else(|| {
        silent_since
            .and_then(|since| shared.around.last_failure_between(since, *lost))
            .or_else(|| shared.around.reach_after(*lost))
    });
    // What becomes of a connection whose client has left is Steadfast's own doing.
    let by_server = evidence
        .wire
        .as_ref()
        .is_some_and(|wire| wire.side == Side::Server);
    aside.leftover = aside.leftover.or_else(|| {
        let id = incident.server_connection.filter(|_| by_server)?;
        shared.around.left_over_of(id, *lost)
    });
    aside
        .others
        .get_or_insert_with(|| shared.around.others(*lost, shared.registry.len()));
    aside.boot = aside
        .boot
        .or_else(|| shared.health.boot_around(*lost, *made));
    // A KILL that came through Steadfast is none of another's, and a KILL all the same.
    aside.foreign_kill = aside
        .foreign_kill
        .or_else(|| shared.health.kill_around(*since, *lost));
    aside.kills_before = aside
        .kills_before
        .or_else(|| shared.health.kills_before(*since, *lost));
    if let Some(wire) = &evidence.wire
        && matches!(wire.moment, Moment::Connecting | Moment::Login)
    {
        let began = lost.checked_sub(wire.waited).unwrap_or(*lost);
        // MySQL writes a line of 256 such errors.
        if let Some(count) = shared.health.not_accepted(began, *lost) {
            let moved = aside.moved.get_or_insert_default();
            moved.insert("Connection_errors_accept".to_owned(), count);
        }
    }
    let waited = evidence.wire.as_ref().map(|wire| wire.waited);
    let (log, kernel) = host.told_around(
        *lost,
        waited.unwrap_or_default(),
        incident.server_connection,
    );
    let log = log.map(|mut events| {
        if let Some(id) = incident.server_connection
            && shared.around.was_killed(id, *lost)
        {
            // Of what it leaves behind Steadfast's own KILL is the end, not the cause.
            let own = LogKind::Aborted {
                thread: u64::from(id),
                why: Aborted::Killed,
            };
            events.retain(|event| event.kind != own);
        }
        events
    });
    let restarted = matches!(evidence.aside.boot, Some(Boot::Restarted(_)));
    let connection = incident.server_connection.map(u64::from);
    let log = log.map(|events| Log::of_last_end(events, connection, restarted));
    if lost.elapsed() < REMEMBERED || evidence.log.is_none() {
        evidence.log = log;
        evidence.kernel = kernel;
    }
    // What was in force on the connection itself goes before what the server has for all.
    let mut variables = BTreeMap::clone(&shared.health.variables());
    variables.extend(in_force.0.clone());
    evidence.variables.0 = variables;
    incident.why = why(&incident.evidence);
    let judged = format!("{JUDGED}: {}", incident.why.answer);
    let known = incident.story.iter().rev();
    let before = known
        .map(|step| &step.what)
        .find(|what| what.starts_with(JUDGED));
    if before != Some(&judged) {
        incident.story.push(Step {
            ms: i64::try_from(lost.elapsed().as_millis()).unwrap_or(i64::MAX),
            what: judged,
        });
    }
    incident.story.sort_by_key(|step| step.ms);
}

/// The thread that writes incidents to the disk.
struct Disk {
    incidents: SyncSender<Incident>,
    thread: JoinHandle<()>,
    metrics: Arc<Metrics>,
}

impl Disk {
    /// `None`: it cannot, and has said so.
    fn of(state_dir: PathBuf, metrics: &Arc<Metrics>) -> Option<Self> {
        let store = Store::open(&state_dir).and_then(|store| {
            store.close_unended()?;
            Ok(store)
        });
        let mut store = match store {
            Ok(store) => store,
            Err(error) => {
                tracing::warn!("incidents are in the log only: {error}");
                return None;
            }
        };
        let (incidents, receiver) = sync_channel(TO_DISK);
        let counter = Arc::clone(metrics);
        let writer = std::thread::Builder::new()
            .name("incidents-disk".to_owned())
            .spawn(move || write(&mut store, &receiver, &counter));
        match writer {
            Ok(thread) => Some(Self {
                incidents,
                thread,
                metrics: Arc::clone(metrics),
            }),
            Err(error) => {
                tracing::warn!("incidents are in the log only: no thread for them: {error}");
                None
            }
        }
    }

    fn write(&self, incident: Incident) {
        if let Err(TrySendError::Full(_)) = self.incidents.try_send(incident) {
            self.metrics.incidents_dropped.inc();
        }
    }

    /// Waits until all is written.
    fn end(self) {
        drop(self.incidents);
        if self.thread.join().is_err() {
            tracing::error!("the thread that writes incidents has panicked");
        }
    }
}

fn write(store: &mut Store, incidents: &Receiver<Incident>, metrics: &Metrics) {
    while let Ok(first) = incidents.recv() {
        let more = incidents.try_iter().take(TOGETHER - 1);
        let together: Vec<Incident> = std::iter::once(first).chain(more).collect();
        if let Err(error) = store.write(&together) {
            let count = together.len();
            metrics.incidents_dropped.inc_by(count as u64);
            tracing::warn!("{count} incidents are in the log only: {error}");
        }
    }
}
