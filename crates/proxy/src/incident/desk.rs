//! Where losses are looked into: what the server and its logs tell a moment later is added, it is judged, written down and
//! logged.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use steadfast_diagnose::log::{Aborted, LogKind};
use steadfast_diagnose::{End, Log, Moment, Side};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Incident, Report, Step, Store, log, why};
use crate::shared::Shared;

/// How long a loss waits for what the server can tell of it.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// How often it is looked whether the server has told it.
const LOOK: Duration = Duration::from_millis(100);

/// The same, of losses that have been judged without the server because it could not be asked.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// For how long such a loss may be judged again.
const AGAIN: Duration = Duration::from_secs(600);

/// Losses that may be judged again.
const MAX_AGAIN: usize = 1024;

/// Incidents on their way to the disk.
const TO_DISK: usize = 16_384;

/// Incidents that are written in one transaction.
const TOGETHER: usize = 256;

/// So the step of a story begins that is a verdict.
const JUDGED: &str = "judged";

/// Looks into losses until the process ends.
pub(crate) async fn look_into(
    shared: Arc<Shared>,
    mut reports: mpsc::Receiver<Report>,
    state_dir: PathBuf,
) {
    let mut desk = Desk {
        disk: to_disk(state_dir),
        shared,
        waiting: BTreeMap::new(),
        again: BTreeMap::new(),
    };
    let mut next_look = Instant::now();
    loop {
        let report = match desk.rest() {
            None => reports.recv().await,
            Some(rest) => {
                next_look = next_look.min(Instant::now() + rest);
                tokio::select! {
                    biased;
                    () = sleep_until(next_look) => {
                        desk.look();
                        next_look = Instant::now() + LOOK_AGAIN;
                        continue;
                    }
                    report = reports.recv() => report,
                }
            }
        };
        let Some(report) = report else {
            return;
        };
        desk.shared.health.ask_variables();
        desk.take(report);
    }
}

/// Losses that are being looked into.
struct Desk {
    shared: Arc<Shared>,
    disk: Option<SyncSender<Incident>>,
    /// By their ids, with the time at which they are judged by what is known.
    waiting: BTreeMap<String, (Instant, Report)>,
    /// They were judged while the server could not be asked, or before their end.
    again: BTreeMap<String, Report>,
}

impl Desk {
    /// Until when there is nothing to look at; `None`: until there is another loss.
    fn rest(&self) -> Option<Duration> {
        if !self.waiting.is_empty() {
            Some(LOOK)
        } else if !self.again.is_empty() {
            Some(LOOK_AGAIN)
        } else {
            None
        }
    }

    /// A new one, or what became of one that is known.
    fn take(&mut self, report: Report) {
        let id = report.incident.id.clone();
        if let Some((_, known)) = self.waiting.get_mut(&id) {
            known.end(report);
        } else if let Some(mut known) = self.again.remove(&id) {
            known.end(report);
            self.judge_again(known, true);
        } else {
            self.waiting.insert(id, (Instant::now() + PATIENCE, report));
        }
    }

    fn look(&mut self) {
        let now = Instant::now();
        let shared = Arc::clone(&self.shared);
        let told = |report: &Report| shared.health.has_told_since(report.lost);
        self.again.retain(|_, report| report.lost.elapsed() < AGAIN);
        let (done, waiting): (BTreeMap<_, _>, _) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(_, (due, report))| now >= *due || told(report));
        let (back, again): (BTreeMap<_, _>, _) = std::mem::take(&mut self.again)
            .into_iter()
            .partition(|(_, report)| report.misses_the_server() && told(report));
        self.waiting = waiting;
        self.again = again;
        for (_, mut report) in done.into_values() {
            judge(&self.shared, &mut report);
            log(&report.incident);
            self.write(report.incident.clone());
            self.keep(report);
        }
        for report in back.into_values() {
            self.judge_again(report, false);
        }
    }

    /// `ended`: it is known now what became of it; otherwise the server has told its side.
    fn judge_again(&mut self, mut report: Report, ended: bool) {
        let before = report.incident.why.answer.clone();
        judge(&self.shared, &mut report);
        let Incident { id, why, .. } = &report.incident;
        if ended {
            log(&report.incident);
        } else if why.answer != before {
            tracing::info!(incident = %id, cause = why.answer, "the server has told its side");
        }
        self.write(report.incident.clone());
        self.keep(report);
    }

    /// Those about which there is more to come.
    fn keep(&mut self, report: Report) {
        if (report.incident.waits || report.misses_the_server()) && self.again.len() < MAX_AGAIN {
            self.again.insert(report.incident.id.clone(), report);
        }
    }

    fn write(&self, incident: Incident) {
        if let Some(disk) = &self.disk
            && let Err(TrySendError::Full(_)) = disk.try_send(incident)
        {
            self.shared.metrics.incidents_dropped.inc();
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
fn judge(shared: &Shared, report: &mut Report) {
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
    aside.reach = silent_since
        .and_then(|since| shared.around.last_failure_between(since, *lost))
        .or_else(|| shared.around.reach_after(*lost))
        .or(aside.reach);
    // What becomes of a connection whose client has left is Steadfast's own doing.
    let by_server = evidence
        .wire
        .as_ref()
        .is_some_and(|wire| wire.side == Side::Server);
    aside.leftover = incident
        .server_connection
        .filter(|_| by_server)
        .and_then(|id| shared.around.left_over_of(id, *lost))
        .or(aside.leftover);
    aside.others = Some(shared.around.others(*lost, shared.registry.len()));
    aside.boot = shared.health.boot_around(*lost, *made).or(aside.boot);
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
    let (log, kernel) = shared.health.told_around(*lost, waited.unwrap_or_default());
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
    evidence.log =
        log.map(|events| Log::of_last_end(events, incident.server_connection.map(u64::from)));
    evidence.kernel = kernel;
    // What was in force on the connection itself goes before what the server has for all.
    let mut variables = shared.health.variables();
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

/// A thread that writes incidents to the disk; `None`: it cannot, and has said so.
fn to_disk(state_dir: PathBuf) -> Option<SyncSender<Incident>> {
    let mut store = match Store::open(&state_dir) {
        Ok(store) => store,
        Err(error) => {
            tracing::warn!("incidents are in the log only: {error}");
            return None;
        }
    };
    let (sender, receiver) = sync_channel(TO_DISK);
    let writer = std::thread::Builder::new()
        .name("incidents".to_owned())
        .spawn(move || write(&mut store, &receiver));
    match writer {
        Ok(_) => Some(sender),
        Err(error) => {
            tracing::warn!("incidents are in the log only: no thread for them: {error}");
            None
        }
    }
}

fn write(store: &mut Store, incidents: &Receiver<Incident>) {
    while let Ok(first) = incidents.recv() {
        let more = incidents.try_iter().take(TOGETHER - 1);
        let together: Vec<Incident> = std::iter::once(first).chain(more).collect();
        if let Err(error) = store.write(&together) {
            let count = together.len();
            tracing::warn!("{count} incidents are in the log only: {error}");
        }
    }
}
