//! One injection's stage: its server, its choices, and what is looked at just before, right after and in the end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use super::bench::{Bench, kernel_log};
use super::bystanders::Bystanders;
use super::collected::{Collected, Listed, Logging, Met, Through};
use super::front::{Front, Incident};
use super::here::millis;
use super::session::{Door, Saw, Session};
use crate::rng::Rng;

/// How long a server may take to see and to log what happened to a connection.
const NOTICES_WITHIN: Duration = Duration::from_secs(8);
/// How long an attempt to connect may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// A server that is younger would hide its restart: uptimes are whole seconds.
const YOUNGEST: u64 = 4;

/// Steadfast samples the server every half second: what moves between two samples is what tells.
const SAMPLED: Duration = Duration::from_millis(1_200);
/// How long an incident may take to be written.
const WRITTEN_WITHIN: Duration = Duration::from_secs(12);
/// How long one is waited for where there is to be none, and for a second verdict.
const SETTLED: Duration = Duration::from_millis(2_500);

/// What causes move.
const COUNTERS: &[&str] = &[
    "aborted_clients",
    "aborted_connects",
    "aborted_connects_preauth",
    "access_denied_errors",
    "com_kill",
    "connection_errors_accept",
    "connection_errors_internal",
    "connection_errors_max_connections",
    "connection_errors_peer_address",
    "connection_errors_select",
    "connection_errors_tcpwrap",
    "connections",
    "max_execution_time_exceeded",
    "max_statement_time_exceeded",
];

/// What was there just before.
struct Before {
    at: Instant,
    uptime: u64,
    status: BTreeMap<String, u64>,
    variables: BTreeMap<String, String>,
    log: u64,
    kernel: Option<usize>,
    group_kills: Option<u64>,
    pid: Option<u32>,
}

/// What was there in the end.
struct Gathered {
    same_boot: Option<u64>,
    restarted: Option<u64>,
    moved: Option<BTreeMap<String, u64>>,
    log: Vec<String>,
    kernel: Option<Vec<String>>,
    group_kills: Option<u64>,
}

/// One injection.
pub(crate) struct Stage<'a> {
    pub(crate) bench: &'a Bench,
    pub(crate) rng: Rng,
    pub(crate) tls: bool,
    logging: Logging,
    busy: bool,
    bystanders: Option<Bystanders>,
    own: BTreeMap<String, String>,
    /// When one began to watch, in milliseconds since 1970.
    since_ms: u64,
    /// Steadfast's id of the lost connection.
    connection: Option<u64>,
    /// The loss is to be prevented.
    prevented: bool,
    /// A Steadfast of this injection's own.
    front: Option<Front>,
    before: Option<Before>,
    gathered: Option<Gathered>,
    variables: Option<BTreeMap<String, String>>,
    what: String,
    thread: Option<u64>,
    met: Option<Met>,
    listed: Option<Listed>,
    message: Option<String>,
    group_kills: Option<u64>,
}

impl<'a> Stage<'a> {
    pub(crate) async fn set(
        bench: &'a Bench,
        seed: u64,
        logging: Logging,
        tls: bool,
        busy: bool,
    ) -> Result<Self> {
        bench.set_logging(logging).await?;
        Ok(Self {
            bench,
            rng: Rng::new(seed),
            tls,
            logging,
            busy,
            bystanders: None,
            own: BTreeMap::new(),
            since_ms: 0,
            connection: None,
            prevented: false,
            front: None,
            before: None,
            gathered: None,
            variables: None,
            what: String::new(),
            thread: None,
            met: None,
            listed: None,
            message: None,
            group_kills: None,
        })
    }

    /// Settings do not survive a restart.
    pub(crate) async fn set_logging_again(&self) -> Result<()> {
        self.bench.set_logging(self.logging).await
    }

    /// Where clients come in.
    pub(crate) fn door(&self) -> Door {
        self.bench.door(self.tls)
    }

    /// Whether clients come through Steadfast.
    pub(crate) fn is_through(&self) -> bool {
        self.bench.front.is_some()
    }

    /// A client that has logged in, of which the injection is about to be.
    pub(crate) async fn client(&mut self) -> Result<Session> {
        self.client_at(&self.door()).await
    }

    /// The same, through the link.
    pub(crate) async fn client_through_link(&mut self) -> Result<Session> {
        self.client_at(&self.bench.door_through_link(self.tls))
            .await
    }

    /// The same, through this door.
    pub(crate) async fn client_at(&mut self, door: &Door) -> Result<Session> {
        let mut session = door.open().await?;
        self.thread = Some(session.id);
        if self.is_through() {
            self.connection = Some(session.id);
            let told = session.run("SELECT CONNECTION_ID()").await?;
            let id = told.rows.first().and_then(|row| row.first()?.as_deref());
            let id = id.and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
            self.thread = Some(id.context("CONNECTION_ID() is a number")?);
        }
        Ok(session)
    }

    /// Steadfast is to prevent it: there is to be no incident.
    pub(crate) fn is_prevented(&mut self) {
        self.prevented = true;
    }

    /// Clients came through this Steadfast instead.
    pub(crate) fn came_through(&mut self, front: Front) {
        self.front = Some(front);
    }

    /// What the client sees of its end, within this time; through Steadfast that may be an answer.
    ///
    /// # Errors
    /// It saw nothing, or on the server itself an answer.
    pub(crate) async fn outcome(&self, client: &mut Session, within: Duration) -> Result<Saw> {
        if !self.is_through() {
            return client.lost(within).await;
        }
        match tokio::time::timeout(within, client.end()).await {
            Ok(ended) => Ok(ended?.err().unwrap_or(Saw::Answered)),
            Err(_) => bail!("the client has neither answer nor error after {within:?}"),
        }
    }

    /// The same, of its next statement.
    pub(crate) async fn next_outcome(&self, client: &mut Session, within: Duration) -> Result<Saw> {
        match client.ask("SELECT 1").await {
            Ok(()) => self.outcome(client, within).await,
            Err(saw) => Ok(saw),
        }
    }

    /// The server's id of it.
    pub(crate) fn thread(&self) -> Option<u64> {
        self.thread
    }

    /// Where a client connects that will not log in.
    pub(crate) fn login_addr(&self) -> std::net::SocketAddr {
        match &self.bench.front {
            Some(front) => front.addr(),
            None => self.bench.server.addr(),
        }
    }

    /// The connection that the injection is of.
    pub(crate) fn is_of(&mut self, thread: u64) {
        self.thread = Some(thread);
    }

    /// What is done, in words with numbers.
    pub(crate) fn does(&mut self, what: impl Into<String>) {
        self.what = what.into();
    }

    /// A variable that the session has set for itself.
    pub(crate) fn session_has(&mut self, name: &str, value: u64) {
        self.own.insert(name.to_owned(), value.to_string());
    }

    /// What the client saw.
    pub(crate) fn saw(&mut self, saw: &Saw) {
        self.message = Some(saw.message());
    }

    /// What the server's control group counts now, before it is gone.
    pub(crate) fn group_killed(&mut self, kills: u64) {
        self.group_kills = Some(kills);
    }

    /// Looks at the server, just before. Where `restarts`, once it is old enough for its restart to be seen.
    pub(crate) async fn watch(&mut self, restarts: bool) -> Result<()> {
        // First: what is logged while one looks is new.
        let log = std::fs::metadata(self.bench.server.error_log()).map_or(0, |log| log.len());
        let mut status = self.bench.status().await?;
        while restarts && status.get("Uptime").copied().unwrap_or_default() < YOUNGEST {
            millis(200).await;
            status = self.bench.status().await?;
        }
        self.before = Some(Before {
            at: Instant::now(),
            uptime: status
                .get("Uptime")
                .copied()
                .context("the server counts no Uptime")?,
            status,
            variables: self.bench.variables().await?,
            log,
            kernel: kernel_log().await.map(|lines| lines.len()),
            group_kills: None,
            pid: self.bench.server.pid(),
        });
        if self.is_through() {
            tokio::time::sleep(SAMPLED).await;
            self.since_ms = now_ms();
        }
        if self.busy {
            let rng = Rng::new(self.rng.next());
            self.bystanders = Some(Bystanders::begin(self.bench, rng).await?);
        }
        Ok(())
    }

    /// From now on the server's control group has killed so many.
    pub(crate) fn group_had_killed(&mut self, kills: u64) {
        if let Some(before) = &mut self.before {
            before.group_kills = Some(kills);
        }
    }

    /// Tries to connect, right after, and reads the variables as they are then.
    pub(crate) async fn probe(&mut self) -> Result<()> {
        self.probe_only().await?;
        if matches!(self.met, Some(Met::Greeting | Met::Said(_))) {
            self.variables = Some(self.bench.variables().await?);
        }
        Ok(())
    }

    /// Tries to connect, right after.
    pub(crate) async fn probe_only(&mut self) -> Result<()> {
        let met = self.met().await?;
        self.has_met(met);
        Ok(())
    }

    pub(crate) fn has_met(&mut self, met: Met) {
        self.met = Some(met);
    }

    /// What an attempt to connect to the server itself meets.
    pub(crate) async fn met(&self) -> Result<Met> {
        let mut door = self.bench.back_door(self.tls);
        door.patience = PATIENCE;
        // A login to its end, and a goodbye: nothing that counters would count.
        Ok(match door.enter().await? {
            Ok(session) => {
                session.quit().await;
                Met::Greeting
            }
            Err(Saw::Said { code, .. }) => Met::Said(code),
            Err(Saw::NoGreeting(110)) => Met::Mute,
            Err(Saw::NoConnection(110)) => Met::Silent,
            Err(Saw::NoConnection(_) | Saw::NoGreeting(_)) => Met::Refused,
            Err(_) => Met::Greeting,
        })
    }

    /// Looks for the connection in the process list; where `goes`, until it is gone or the server had time enough.
    pub(crate) async fn look(&mut self, goes: bool) -> Result<()> {
        let Some(thread) = self.thread else {
            return Ok(());
        };
        let begun = Instant::now();
        loop {
            let list = self.bench.sql("SHOW PROCESSLIST").await?;
            let listed = list
                .lines()
                .map(|line| line.split('\t').collect::<Vec<_>>())
                .find(|columns| columns.first().and_then(|id| id.parse().ok()) == Some(thread))
                .map_or(Listed::Gone, |columns| {
                    if columns.get(4) == Some(&"Sleep") {
                        Listed::Sleeps
                    } else {
                        Listed::Runs
                    }
                });
            self.listed = Some(listed);
            if !goes || listed == Listed::Gone {
                return Ok(());
            }
            if begun.elapsed() > NOTICES_WITHIN {
                bail!("the server still has the connection that was to be lost ({listed:?})");
            }
            millis(50).await;
        }
    }

    /// Gathers what there is to see now, where what comes next would change it.
    pub(crate) async fn gather(&mut self) -> Result<()> {
        let before = self.before.as_ref().context("nobody watched before")?;
        self.bystanders = None;
        // Counters move, and lines are written, when a thread has come to its end.
        millis(100).await;
        let status = match self.bench.status().await {
            Ok(status) => Some(status),
            // A server with a full disk, say.
            Err(_) if self.bench.server.is_running() => None,
            Err(error) => return Err(error),
        };
        let uptime = status
            .as_ref()
            .and_then(|status| status.get("Uptime").copied());
        let expected = before.uptime + before.at.elapsed().as_secs();
        let restarted = uptime.is_some_and(|uptime| uptime + 1 < expected);
        let moved = status.filter(|_| !restarted).map(|status| {
            let counters = before.status.iter();
            counters
                .filter(|(name, _)| COUNTERS.contains(&name.to_lowercase().as_str()))
                .filter_map(|(name, before)| {
                    let now = status.get(name)?;
                    Some((name.clone(), now.saturating_sub(*before)))
                })
                .collect()
        });
        let kernel = match before.kernel {
            Some(known) => kernel_log().await.map(|mut lines| {
                lines.drain(..known.min(lines.len()));
                // Of several servers on this machine.
                lines.retain(|line| !of_other_process(line, before.pid));
                lines
            }),
            None => None,
        };
        let log = std::fs::read(self.bench.server.error_log())?;
        let log = log.get(before.log as usize..).unwrap_or_default();
        self.gathered = Some(Gathered {
            same_boot: uptime.filter(|_| !restarted),
            restarted: uptime.filter(|_| restarted),
            moved,
            log: String::from_utf8_lossy(log)
                .lines()
                .map(str::to_owned)
                .collect(),
            group_kills: match (self.group_kills, before.group_kills) {
                (Some(now), Some(before)) => Some(now.saturating_sub(before)),
                _ => kernel.as_ref().map(|_| 0),
            },
            kernel,
        });
        Ok(())
    }

    /// What Steadfast says of it.
    async fn told_by_steadfast(&self) -> Result<Through> {
        let front = self.front.as_ref().or(self.bench.front.as_ref());
        let front = front.context("there is no Steadfast")?;
        let begun = Instant::now();
        let mut found: Option<Incident> = None;
        loop {
            let incidents = front.incidents(self.since_ms).await?;
            let ours = |incident: &&Incident| match self.connection {
                Some(id) => incident.connection == id,
                None => incident.phase == "login",
            };
            if let Some(incident) = incidents.iter().find(ours) {
                found = Some(incident.clone());
            }
            // Before the server is back, half of what there is to know is missing.
            let known = found
                .as_ref()
                .is_some_and(|incident| incident.evidence.aside.boot.is_some());
            let waited = begun.elapsed();
            if known || (waited > SETTLED && (self.prevented || found.is_some())) {
                break;
            }
            if waited > WRITTEN_WITHIN {
                bail!("Steadfast has written no incident of it");
            }
            millis(50).await;
        }
        Ok(Through {
            prevented: self.prevented,
            incident: found,
        })
    }

    /// All that was seen.
    pub(crate) async fn collect(mut self, subject: &str, seed: u64) -> Result<Collected> {
        if self.gathered.is_none() {
            self.gather().await?;
        }
        let steadfast = match self.is_through() {
            true => Some(self.told_by_steadfast().await?),
            false => None,
        };
        let before = self.before.context("nobody watched before")?;
        let gathered = self.gathered.context("nobody gathered")?;
        Ok(Collected {
            steadfast,
            server: self.bench.name().to_owned(),
            version: self.bench.version(),
            subject: subject.to_owned(),
            seed,
            logging: self.logging,
            tls: self.tls,
            busy: self.busy,
            what: self.what,
            thread: self.thread,
            met: self.met,
            listed: self.listed,
            same_boot: gathered.same_boot,
            restarted: gathered.restarted,
            moved: gathered.moved,
            variables: {
                let mut variables = told(self.variables.unwrap_or(before.variables));
                variables.extend(self.own);
                variables
            },
            log: gathered.log,
            kernel: gathered.kernel,
            group_kills: gathered.group_kills,
            message: self.message,
        })
    }
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

/// Of the variables those that a diagnosis can use.
fn told(variables: BTreeMap<String, String>) -> BTreeMap<String, String> {
    const WORDS: &[&str] = &[
        "timeout",
        "limit",
        "max_",
        "log_error_verbosity",
        "log_warnings",
        "offline_mode",
        "read_only",
        "version",
        "performance_schema",
    ];
    variables
        .into_iter()
        .filter(|(name, value)| value.len() < 100 && WORDS.iter().any(|word| name.contains(word)))
        .collect()
}

/// Whether the kernel tells of the end of a process that is not this one.
fn of_other_process(line: &str, pid: Option<u32>) -> bool {
    let named = line
        .split_once("Killed process ")
        .map(|(_, rest)| rest)
        .or_else(|| line.split_once(",pid=").map(|(_, rest)| rest));
    let number = named.map(|rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        &rest[..digits]
    });
    match (number, pid) {
        (Some(number), Some(pid)) => number != pid.to_string(),
        _ => false,
    }
}
