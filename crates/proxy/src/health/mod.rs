//! A look at the server from the side: tells a slow query from a dead server, and a cut from a KILL.
//!
//! It uses an account that has logged in through Steadfast, because there is no other that it could know, so there is
//! nothing to check before the first login.

mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadfast_diagnose::{Boot, Reach};
use steadfast_net::QueryResult;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

pub(crate) use self::watch::watch;
use crate::status::{OFF, boot_of, same_boot, same_boot_for_sure, value};

/// How long a session waits for a sample that was taken after its loss.
const SAMPLE_WAIT: Duration = Duration::from_millis(300);

/// For how long samples are kept.
const SAMPLES_KEPT: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    kills: u64,
    /// Steadfast's own that `kills` may have in it, at most.
    own_at_most: u64,
    /// At least.
    own_at_least: u64,
    /// Connections that the server could not accept.
    not_accepted: u64,
}

impl Sample {
    /// Whether the server has counted a KILL of somebody else since `before`: more than all that can be Steadfast's own.
    fn has_others_since(&self, before: &Sample) -> bool {
        let all = self.kills.saturating_sub(before.kills);
        all > self.own_at_most.saturating_sub(before.own_at_least)
    }
}

/// What the look from the side has found.
#[derive(Debug)]
pub(crate) struct Health {
    /// Counts the times that the server was found silent for `dead_after`.
    silences: Arc<Counter>,
    samples: Mutex<Vec<Sample>>,
    sampled: Notify,
    wanted: Notify,
    waiting: AtomicU64,
    /// Counts changes of tables' definitions that the server's counters tell; 0: not asked yet.
    definitions: AtomicU64,
    /// Counts what may have made what is known of all tables wrong.
    tables: AtomicU64,
    counted: Mutex<Option<Counted>>,
    /// The server's starts; the newest are kept.
    boots: Mutex<VecDeque<Start>>,
    /// When its status was told last.
    told: Mutex<Option<Instant>>,
    /// Its global settings that a diagnosis can use.
    variables: Mutex<Arc<BTreeMap<String, String>>>,
    /// They are to be asked for again.
    variables_wanted: AtomicBool,
}

/// Counts, and wakes who waits for it in the order in which they began to. A `watch` wakes in a random order, which a
/// simulation could not run again.
#[derive(Debug, Default)]
struct Counter {
    count: AtomicU64,
    counted: Notify,
}

/// Waits for the server to be found silent.
#[derive(Debug)]
pub(crate) struct Silences {
    counter: Arc<Counter>,
    seen: u64,
}

impl Silences {
    /// The server was found silent since this was made, or since the last time. Nothing is lost when it is dropped
    /// before its end.
    pub(crate) async fn changed(&mut self) {
        let silent = self.counter.counted.notified();
        tokio::pin!(silent);
        // Registered before the look, so that none between the two is missed.
        silent.as_mut().enable();
        if self.counter.count.load(Ordering::SeqCst) == self.seen {
            silent.await;
        }
        self.seen = self.counter.count.load(Ordering::SeqCst);
    }
}

/// A start of the server.
#[derive(Clone, Copy, Debug)]
struct Start {
    /// When it was, up to a second early or late.
    at: Instant,
    /// When it was heard of first.
    heard: Instant,
    /// And last.
    heard_last: Instant,
}

/// What the server had counted.
#[derive(Clone, Copy, Debug)]
struct Counted {
    /// Statements that may make a table another one without giving it a new time of creation.
    changes: u64,
    /// Those, and others that may let a statement reach a table without transactions that did not.
    all_changes: u64,
    /// When the server was started.
    boot: Instant,
}

/// Asks for `Com_kill`, and for what changes tables: on MySQL 9.7 a table keeps its CREATE_TIME when it is renamed, and
/// on both servers when a trigger is dropped. A statement is counted when it begins.
pub(crate) const STATUS: &[u8] = b"SHOW GLOBAL STATUS WHERE Variable_name IN \
    ('Connection_errors_accept', 'Com_alter_table', 'Com_create_function', 'Com_create_sequence', 'Com_create_table', 'Com_create_trigger', \
    'Com_create_view', 'Com_drop_trigger', 'Com_kill', 'Com_rename_table', 'Uptime')";

impl Default for Health {
    fn default() -> Self {
        Self {
            silences: Arc::default(),
            samples: Mutex::default(),
            sampled: Notify::new(),
            wanted: Notify::new(),
            waiting: AtomicU64::new(0),
            definitions: AtomicU64::new(0),
            tables: AtomicU64::new(0),
            counted: Mutex::default(),
            boots: Mutex::default(),
            told: Mutex::default(),
            variables: Mutex::default(),
            variables_wanted: AtomicBool::new(false),
        }
    }
}

/// Starts of the server that are remembered.
const BOOTS: usize = 8;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Health {
    /// Tells when the server was found silent: who waits for it should wait no longer.
    pub(crate) fn silences(&self) -> Silences {
        Silences {
            counter: Arc::clone(&self.silences),
            seen: self.silences.count.load(Ordering::SeqCst),
        }
    }

    /// How often it has been found silent so far.
    pub(crate) fn silences_counted(&self) -> u64 {
        self.silences.count.load(Ordering::SeqCst)
    }

    /// Changes whenever somebody, through Steadfast or not, may have renamed a table, altered one or dropped a trigger;
    /// 0 while that is not known.
    pub(crate) fn definitions(&self) -> u64 {
        self.definitions.load(Ordering::Relaxed)
    }

    /// Changes whenever somebody may have changed which statements write tables without transactions: what was found out
    /// under another number is of no use. Ask right after [`Health::note_status`], which tells of what others have begun;
    /// a change that was on its way at that time, and did not go through Steadfast, is not seen.
    pub(crate) fn tables(&self) -> u64 {
        self.tables.load(Ordering::SeqCst)
    }

    /// A statement that may have changed tables has ended, or nobody knows whether it has.
    pub(crate) fn tables_changed(&self) {
        self.tables.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes note of an answer to [`STATUS`]; gives [`Health::definitions`] as they are now, if it was one. What was
    /// changed within the last half second before a server's crash is not seen: its counters begin at zero.
    pub(crate) fn note_status(&self, status: &QueryResult) -> Option<u64> {
        let changes = ["Com_alter_table", "Com_drop_trigger", "Com_rename_table"]
            .iter()
            .map(|name| value(status, name))
            .sum::<Option<u64>>()?;
        let others = [
            "Com_create_function",
            "Com_create_sequence",
            "Com_create_table",
            "Com_create_trigger",
            "Com_create_view",
        ];
        // MySQL has no sequences.
        let others = others.iter().filter_map(|name| value(status, name));
        let now = Counted {
            changes,
            all_changes: changes + others.sum::<u64>(),
            boot: boot_of(status)?,
        };
        self.note_boot(now.boot);
        let mut counted = lock(&self.counted);
        let before = counted.replace(now);
        let same_boot = before.is_some_and(|before| same_boot(now.boot, before.boot));
        if !same_boot || before.map(|before| before.all_changes) != Some(now.all_changes) {
            self.tables_changed();
        }
        let same = before.is_some_and(|before| {
            if same_boot {
                before.changes == now.changes
            } else {
                now.changes == 0
            }
        });
        if !same {
            self.definitions.fetch_add(1, Ordering::Relaxed);
        }
        Some(self.definitions())
    }

    fn note_boot(&self, boot: Instant) {
        let now = Instant::now();
        let mut boots = lock(&self.boots);
        match boots.back_mut() {
            Some(known) if same_boot_for_sure(known.at, boot) => known.heard_last = now,
            _ => {
                if boots.len() == BOOTS {
                    boots.pop_front();
                }
                boots.push_back(Start {
                    at: boot,
                    heard: now,
                    heard_last: now,
                });
            }
        }
        *lock(&self.told) = Some(now);
    }

    /// What an attempt to connect has met that was begun then: a server that gave no greeting, and answered on the health
    /// check's connection meanwhile, does not hang.
    pub(crate) fn met(&self, began: Instant, reach: Reach) -> Reach {
        match reach {
            Reach::Mute if self.has_told_since(began) => Reach::NotAccepted,
            other => other,
        }
    }

    /// Whether the server has told its status since.
    pub(crate) fn has_told_since(&self, lost: Instant) -> bool {
        lock(&self.told).is_some_and(|told| told > lost)
    }

    /// Whether the server's process after a loss is the one that the connection was `made` to; `None`: it has not told, or
    /// had not. When the loss was seen says little: that may be long after it happened.
    pub(crate) fn boot_around(&self, lost: Instant, made: Option<Instant>) -> Option<Boot> {
        if !self.has_told_since(lost) {
            return None;
        }
        let boots = lock(&self.boots);
        let before = match made {
            // The first that was heard of after it was made; that it died before that shows in the start of the next.
            Some(made) => {
                let mut possible = boots.iter().filter(|start| start.at <= made + OFF);
                possible
                    .clone()
                    .find(|start| start.heard_last >= made)
                    .or_else(|| possible.next_back())
            }
            None => boots.iter().rev().find(|start| start.heard <= lost),
        }?;
        let now = boots.back()?;
        let up = now.at.elapsed();
        Some(if same_boot_for_sure(before.at, now.at) {
            Boot::Same(up)
        } else {
            Boot::Restarted(Some(up))
        })
    }

    /// Whether somebody else's KILL was counted around a loss that happened from `since` on and was seen at `lost`; `None`:
    /// there is no sample right before or after it.
    pub(crate) fn kill_around(&self, since: Instant, lost: Instant) -> Option<bool> {
        let samples = lock(&self.samples);
        let after = samples.iter().find(|sample| sample.at > lost)?;
        let before = last_before(&samples, since, lost)?;
        Some(after.has_others_since(before))
    }

    /// Connections that the server could not accept from `since` until `lost`, by its counter; `None`: it was not asked.
    pub(crate) fn not_accepted(&self, since: Instant, lost: Instant) -> Option<u64> {
        let samples = lock(&self.samples);
        let after = samples.iter().find(|sample| sample.at > lost)?;
        let before = last_before(&samples, since, lost)?;
        Some(after.not_accepted.saturating_sub(before.not_accepted))
    }

    /// Whether others' KILLs were counted in the time before that for which samples are kept.
    pub(crate) fn kills_before(&self, since: Instant, lost: Instant) -> Option<bool> {
        let samples = lock(&self.samples);
        let before = last_before(&samples, since, lost)?;
        Some(before.has_others_since(samples.first()?))
    }

    fn note_variables(&self, shown: &QueryResult) {
        let text = |value: Option<&Option<Vec<u8>>>| {
            let value = value?.as_deref()?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        let variables: BTreeMap<String, String> = shown
            .rows
            .iter()
            .filter_map(|row| Some((text(row.first())?, text(row.get(1))?)))
            .collect();
        *lock(&self.variables) = Arc::new(variables);
    }

    /// The next look at the server asks for its global settings as well.
    pub(crate) fn ask_variables(&self) {
        self.variables_wanted.store(true, Ordering::Relaxed);
    }

    /// The server's global settings, as they were when it was last connected to, or looked at after a loss.
    pub(crate) fn variables(&self) -> Arc<BTreeMap<String, String>> {
        Arc::clone(&lock(&self.variables))
    }

    /// Whether somebody's KILL was counted by the server between the last sample before `since` and now; the loss was seen
    /// at `lost`.
    pub(crate) async fn killed(&self, since: Instant, lost: Instant) -> bool {
        let newer = async {
            loop {
                let sampled = self.sampled.notified();
                tokio::pin!(sampled);
                sampled.as_mut().enable();
                if let Some(answer) = self.kills_around(since, lost) {
                    return answer;
                }
                self.waiting.fetch_add(1, Ordering::Relaxed);
                self.wanted.notify_one();
                sampled.await;
            }
        };
        timeout(SAMPLE_WAIT, newer).await.unwrap_or(false)
    }

    /// `None`: there is no sample after `lost` yet.
    fn kills_around(&self, since: Instant, lost: Instant) -> Option<bool> {
        let samples = lock(&self.samples);
        let after = samples.iter().find(|sample| sample.at > lost)?;
        let before = last_before(&samples, since, lost);
        Some(before.is_some_and(|before| after.has_others_since(before)))
    }

    fn add(&self, sample: Sample) {
        let mut samples = lock(&self.samples);
        samples.push(sample);
        let old = samples
            .iter()
            .take_while(|known| sample.at - known.at > SAMPLES_KEPT)
            .count();
        samples.drain(..old);
        drop(samples);
        self.sampled.notify_waiters();
    }

    /// The server has been restarted, or another one answers: older samples say nothing about it.
    fn forget(&self) {
        lock(&self.samples).clear();
    }
}

/// The last sample before `since`, at most a second older; where that is longer ago than samples are kept, the first one.
fn last_before(samples: &[Sample], since: Instant, lost: Instant) -> Option<&Sample> {
    let first = samples.first().filter(|first| first.at <= lost)?;
    let since = since.max(first.at).min(lost);
    samples
        .iter()
        .rev()
        .find(|sample| sample.at <= since && since - sample.at <= Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::own_kills::OwnKills;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn a_loss_that_is_seen_after_a_restart_is_one_of_the_server_before_it() {
        let health = Health::default();
        let boot = |up| Instant::now().checked_sub(Duration::from_secs(up)).unwrap();
        advance(Duration::from_secs(1_000)).await;
        let made = Instant::now();
        // It was not asked before.
        advance(Duration::from_secs(1)).await;
        health.note_boot(boot(100));
        advance(Duration::from_secs(55)).await;
        health.note_boot(boot(155));
        advance(Duration::from_secs(5)).await;
        health.note_boot(boot(5));
        advance(Duration::from_secs(1)).await;
        let lost = Instant::now();
        advance(Duration::from_millis(200)).await;
        health.note_boot(boot(6));
        let restarted = Boot::Restarted(Some(Duration::from_millis(6_200)));
        assert_eq!(health.boot_around(lost, Some(made)), Some(restarted));
        // Shortly before the restart.
        let made = made + Duration::from_secs(55);
        assert_eq!(health.boot_around(lost, Some(made)), Some(restarted));
        // The next start seems to have been before it was made: an uptime is a difference of whole seconds.
        let health = Health::default();
        let made = Instant::now();
        health.note_boot(boot(9));
        advance(Duration::from_millis(1_500)).await;
        let seen = Instant::now();
        advance(Duration::from_millis(700)).await;
        health.note_boot(boot(1));
        let answer = health.boot_around(seen, Some(made));
        assert!(matches!(answer, Some(Boot::Restarted(_))), "{answer:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_loss_of_a_connection_to_the_server_that_runs_is_none_of_a_restart() {
        let health = Health::default();
        let boot = |up| Instant::now().checked_sub(Duration::from_secs(up)).unwrap();
        advance(Duration::from_secs(1_000)).await;
        health.note_boot(boot(500));
        advance(Duration::from_secs(10)).await;
        health.note_boot(boot(5));
        advance(Duration::from_secs(1)).await;
        let lost = Instant::now();
        advance(Duration::from_millis(200)).await;
        health.note_boot(boot(6));
        // Of a connection that was made after the restart, before that was heard of; and of one that nothing is known of.
        for made in [lost.checked_sub(Duration::from_secs(3)), None] {
            let same = health.boot_around(lost, made);
            assert!(matches!(same, Some(Boot::Same(_))), "{same:?}");
        }
    }

    /// A sample of which `kills` is the answer: what happens while it is on its way is between `asked` and this.
    fn answered(asked: u64, own: &OwnKills, kills: u64) -> Sample {
        Sample {
            at: Instant::now(),
            kills,
            own_at_most: own.sent(),
            own_at_least: asked,
            not_accepted: kills,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_kill_behind_what_a_slow_reader_had_not_taken_is_seen() {
        let (health, own) = (Health::default(), OwnKills::default());
        let at_second = |kills| {
            health.add(answered(own.ended(), &own, kills));
            Instant::now()
        };
        let mut since = Instant::now();
        for (second, kills) in [(0, 4), (1, 4), (2, 5), (3, 5)] {
            let now = at_second(kills);
            if second == 1 {
                since = now;
            }
            advance(Duration::from_secs(1)).await;
        }
        let lost = Instant::now();
        advance(Duration::from_millis(100)).await;
        at_second(5);
        assert_eq!(health.kill_around(lost, lost), Some(false));
        assert_eq!(health.kill_around(since, lost), Some(true));
        let long_ago = since.checked_sub(Duration::from_secs(1_000)).unwrap();
        assert_eq!(health.kill_around(long_ago, lost), Some(true));
        assert_eq!(health.not_accepted(lost, lost), Some(0));
        assert_eq!(health.not_accepted(since, lost), Some(1));
        assert_eq!(health.kills_before(lost, lost), Some(true));
        assert_eq!(health.kills_before(since, lost), Some(false));
    }

    #[test]
    fn an_own_kill_is_nobody_elses_wherever_it_is_when_the_server_is_asked() {
        let own = OwnKills::default();
        let first = answered(own.ended(), &own, 0);
        // Sent after the question, counted before the answer.
        let asked = own.ended();
        let kill = own.begin();
        let second = answered(asked, &own, 1);
        assert!(!second.has_others_since(&first));
        drop(kill);
        // Sent before the question, counted after the answer.
        let kill = own.begin();
        let third = answered(own.ended(), &own, 1);
        let fourth = answered(own.ended(), &own, 2);
        assert!(!fourth.has_others_since(&third));
        drop(kill);
        let fifth = answered(own.ended(), &own, 2);
        let sixth = answered(own.ended(), &own, 3);
        assert!(sixth.has_others_since(&fifth));
    }
}
