//! Where losses are looked into: what the server and its logs tell a moment later is added, it is judged, written down and
//! logged.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::{Incident, Report, Step, Store, log, why};
use crate::shared::Shared;

/// How long a loss waits for what the server can tell of it.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// How often it is looked whether the server has told it.
const LOOK: Duration = Duration::from_millis(100);

/// Incidents on their way to the disk.
const TO_DISK: usize = 4_096;

/// Incidents that are written in one transaction.
const TOGETHER: usize = 256;

/// Looks into losses until the process ends.
pub(crate) async fn look_into(
    shared: Arc<Shared>,
    mut reports: mpsc::Receiver<Report>,
    state_dir: PathBuf,
) {
    let disk = to_disk(state_dir);
    let mut waiting: Vec<(Instant, Report)> = Vec::new();
    loop {
        if waiting.is_empty() {
            let Some(report) = reports.recv().await else {
                return;
            };
            waiting.push((Instant::now() + PATIENCE, report));
        }
        while let Ok(report) = reports.try_recv() {
            waiting.push((Instant::now() + PATIENCE, report));
        }
        let now = Instant::now();
        let ready = |(due, report): &(Instant, Report)| {
            now >= *due || shared.health.has_told_since(report.lost)
        };
        let (done, still): (Vec<_>, Vec<_>) = waiting.into_iter().partition(ready);
        waiting = still;
        for (_, report) in done {
            let incident = judge(&shared, report);
            log(&incident);
            if let Some(disk) = &disk
                && let Err(TrySendError::Full(_)) = disk.try_send(incident)
            {
                shared.metrics.incidents_dropped.inc();
            }
        }
        if !waiting.is_empty() {
            sleep_until(now + LOOK).await;
        }
    }
}

/// What is known by now, and what it comes to.
fn judge(shared: &Shared, report: Report) -> Incident {
    let Report {
        mut incident,
        lost,
        mut evidence,
    } = report;
    let aside = &mut evidence.aside;
    aside.reach = shared.around.reach_after(lost).or(aside.reach);
    aside.others = Some(shared.around.others(lost, shared.registry.len()));
    aside.boot = shared.health.boot_around(lost);
    // A KILL that came through Steadfast is none of another's, and a KILL all the same.
    aside.foreign_kill = aside
        .foreign_kill
        .or_else(|| shared.health.kill_around(lost));
    for (name, value) in shared.health.variables() {
        evidence.variables.0.entry(name).or_insert(value);
    }
    incident.why = why(&evidence);
    incident.story.push(Step {
        ms: i64::try_from(lost.elapsed().as_millis()).unwrap_or(i64::MAX),
        what: format!("judged: {}", incident.why.answer),
    });
    incident.story.sort_by_key(|step| step.ms);
    incident
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
        let mut together = vec![first];
        together.extend(incidents.try_iter().take(TOGETHER - 1));
        if let Err(error) = store.add(&together) {
            tracing::warn!("{} incidents are in the log only: {error}", together.len());
        }
    }
}
