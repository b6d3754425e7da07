//! What is counted, and its text for Prometheus.
//!
//! Everything is an atomic behind an `Arc`. What a query touches (commands, bytes) is counted by each thread apart
//! ([`Tally`]); what only a login or a loss touches goes through a family with labels from a closed list, so that nobody outside
//! can make the number of series grow.

use std::{fmt, sync::Arc, sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
        info::Info,
    },
    registry::{Registry, Unit},
};
use steadfast_session::ledger::Verdict;
use steadfast_session::{End, Failure, FailureKind};

use crate::tally::Tallies;
pub use crate::tally::{Count, Counts, Tally};
use crate::{config::Config, readiness::Readiness};

type Labels<const N: usize> = [(&'static str, &'static str); N];

/// The counters and gauges of the process. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    /// Clients connected now.
    pub clients_connected: Gauge,
    /// Clients that have connected since the start.
    pub clients: Counter,
    /// Logins that succeeded.
    pub logins_ok: Counter,
    /// Connections to the server that sessions have now.
    pub server_connections: Gauge,
    /// Connections to the server whose clients have left, kept for the next logins.
    pub server_connections_pooled: Gauge,
    /// Logins that got one of those.
    pub logins_pooled: Counter,
    /// Commands sent to the server again by replays.
    pub replayed_commands: Counter,
    /// COMMITs with a mark in the ledger.
    pub commits_recorded: Counter,
    /// COMMITs that should have had one.
    pub commits_unrecorded: Counter,
    commits_resolved: Family<Labels<1>, Counter>,
    /// Bytes of commands that are kept for replay now.
    pub journal_bytes: Gauge,
    /// Incidents that could not be written down, because there were too many at once.
    pub incidents_dropped: Counter,
    /// Sessions that wait for a server now because theirs was lost.
    pub sessions_held: Gauge,
    logins_refused: Family<Labels<1>, Counter>,
    losses: Family<Labels<2>, Counter>,
    recovered: Family<Labels<1>, Counter>,
    failures: Family<Labels<2>, Counter>,
    hold: Histogram,
    tallies: Tallies,
}

/// Why a login was refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LoginRefusal {
    /// The server refused it: password, account, host or limit.
    Server,
    /// No server could be reached.
    NoServer,
    /// It was not complete within `timeouts.handshake`.
    Timeout,
    /// `limits.clients` or `limits.pending_logins` was reached.
    Limit,
    /// The client does not use TLS and must.
    TlsRequired,
    /// What the client sent is not a login.
    Malformed,
    /// The client went away.
    Gone,
    /// The account's plugin and the client have no way in common to log in.
    Plugin,
}

impl LoginRefusal {
    /// The value of the label `reason`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::NoServer => "no-server",
            Self::Timeout => "timeout",
            Self::Limit => "limit",
            Self::TlsRequired => "tls-required",
            Self::Malformed => "malformed",
            Self::Gone => "gone",
            Self::Plugin => "plugin",
        }
    }
}

/// What a session was doing when its server connection was lost.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    /// Nothing, outside a transaction.
    Idle,
    /// Nothing, inside an open transaction.
    Transaction,
    /// A command was on its way; the client had nothing of the response.
    Command,
    /// The client had a part of the response.
    Response,
    /// Logging in to the server.
    Login,
    /// Recovering from the loss before.
    Recovery,
}

impl Phase {
    /// The value of the label `phase`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Transaction => "transaction",
            Self::Command => "command",
            Self::Response => "response",
            Self::Login => "login",
            Self::Recovery => "recovery",
        }
    }
}

/// How a loss was hidden from the client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Recovery {
    /// The session was idle and just got another connection.
    Idle,
    /// The statement had reached the server and was run again.
    Rerun,
    /// The open transaction was replayed.
    Replay,
    /// The statement had not reached the server and was sent again.
    Resend,
    /// The ledger told that it had taken effect.
    Resolved,
}

impl Recovery {
    /// The value of the label `how`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Rerun => "rerun",
            Self::Replay => "replay",
            Self::Resend => "resend",
            Self::Resolved => "resolved",
        }
    }
}

impl Metrics {
    /// All at zero; the limits of `config` are shown beside what they limit.
    pub fn new(config: &Config, readiness: Arc<Readiness>) -> Self {
        let mut metrics = Self {
            registry: Arc::default(),
            clients_connected: Gauge::default(),
            clients: Counter::default(),
            logins_ok: Counter::default(),
            server_connections: Gauge::default(),
            server_connections_pooled: Gauge::default(),
            logins_pooled: Counter::default(),
            replayed_commands: Counter::default(),
            commits_recorded: Counter::default(),
            commits_unrecorded: Counter::default(),
            commits_resolved: Family::default(),
            journal_bytes: Gauge::default(),
            incidents_dropped: Counter::default(),
            sessions_held: Gauge::default(),
            logins_refused: Family::default(),
            losses: Family::default(),
            recovered: Family::default(),
            failures: Family::default(),
            // From a reconnect on the same machine to beyond the default hold.
            hold: Histogram::new([
                0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0,
                120.0, 300.0,
            ]),
            tallies: Tallies::default(),
        };
        let mut registry = Registry::with_prefix("steadfast");
        metrics.register(&mut registry);
        register_limits(&mut registry, config);
        registry.register(
            "build",
            "The version that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register_collector(Box::new(ServerCollector(readiness)));
        registry.register_collector(Box::new(metrics.tallies.clone()));
        metrics.registry = Arc::new(registry);
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "clients_connected",
            "Clients connected now",
            self.clients_connected.clone(),
        );
        registry.register(
            "clients",
            "Clients that have connected",
            self.clients.clone(),
        );
        registry.register("logins_ok", "Logins that succeeded", self.logins_ok.clone());
        registry.register(
            "logins_refused",
            "Logins that were refused, by reason",
            self.logins_refused.clone(),
        );
        registry.register(
            "server_connections_open",
            "Connections to the server that sessions have now",
            self.server_connections.clone(),
        );
        registry.register(
            "server_connections_pooled",
            "Connections to the server whose clients have left, kept for the next logins",
            self.server_connections_pooled.clone(),
        );
        registry.register(
            "logins_pooled",
            "Logins that got a server connection whose client had left",
            self.logins_pooled.clone(),
        );
        registry.register(
            "losses",
            "Server connections lost, by how they ended and what the session was doing",
            self.losses.clone(),
        );
        registry.register(
            "recovered",
            "Losses that no client noticed, by how they were hidden",
            self.recovered.clone(),
        );
        registry.register(
            "failures",
            "Losses that a client was told of, by line of the error contract and reason",
            self.failures.clone(),
        );
        registry.register(
            "replayed_commands",
            "Commands sent to the server again by replays",
            self.replayed_commands.clone(),
        );
        registry.register(
            "commits_recorded",
            "COMMITs that took effect with a mark in the ledger",
            self.commits_recorded.clone(),
        );
        registry.register(
            "commits_unrecorded",
            "COMMITs that went without a mark because the ledger could not be used",
            self.commits_unrecorded.clone(),
        );
        registry.register(
            "commits_resolved",
            "COMMITs whose answer was lost, by what the ledger said of them",
            self.commits_resolved.clone(),
        );
        registry.register_with_unit(
            "hold",
            "How long a client waited because of a loss",
            Unit::Seconds,
            self.hold.clone(),
        );
        registry.register(
            "journal_bytes",
            "Bytes of commands kept for replay now",
            self.journal_bytes.clone(),
        );
        registry.register(
            "incidents_dropped",
            "Incidents that could not be written down, because there were too many at once",
            self.incidents_dropped.clone(),
        );
        registry.register(
            "sessions_held",
            "Sessions that wait for a server now",
            self.sessions_held.clone(),
        );
    }

    /// For a thread that takes commands: what every one of them touches is counted there.
    pub fn tally(&self) -> Tally {
        self.tallies.another()
    }

    /// Counts a login that was refused.
    pub fn login_refused(&self, reason: LoginRefusal) {
        self.logins_refused
            .get_or_create(&[("reason", reason.name())])
            .inc();
    }

    /// Counts a COMMIT whose answer was lost.
    pub fn resolved(&self, verdict: Verdict) {
        let verdict = match verdict {
            Verdict::Committed => "committed",
            Verdict::NotCommitted => "not-committed",
            Verdict::Unknown => "unknown",
        };
        self.commits_resolved
            .get_or_create(&[("verdict", verdict)])
            .inc();
    }

    /// Counts a lost server connection.
    pub fn lost(&self, end: End, phase: Phase) {
        self.losses
            .get_or_create(&[("end", end_name(end)), ("phase", phase.name())])
            .inc();
    }

    /// Counts a loss that the client did not notice, and how long it waited for that.
    pub fn recovered(&self, how: Recovery, waited: Duration) {
        self.recovered.get_or_create(&[("how", how.name())]).inc();
        self.hold.observe(waited.as_secs_f64());
    }

    /// Counts a loss that the client was told of, and how long it had waited.
    pub fn failed(&self, failure: Failure, waited: Duration) {
        let labels = [
            ("kind", kind_name(failure.kind)),
            ("reason", failure.reason.name()),
        ];
        self.failures.get_or_create(&labels).inc();
        self.hold.observe(waited.as_secs_f64());
    }

    /// The OpenMetrics text.
    ///
    /// # Errors
    /// None in practice: a value that cannot be written as text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::with_capacity(8 << 10);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn end_name(end: End) -> &'static str {
    match end {
        End::Fin => "fin",
        End::Rst => "rst",
        End::Silence => "silence",
        End::Said(_) => "said",
        End::Nonsense => "nonsense",
    }
}

fn kind_name(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::RolledBack => "rolled-back",
        FailureKind::InDoubt => "in-doubt",
        FailureKind::Killed => "killed",
        FailureKind::Unavailable => "unavailable",
    }
}

/// Each limit as a gauge, named as its setting, in bytes, seconds or pieces.
fn register_limits(registry: &mut Registry, config: &Config) {
    let limits = &config.limits;
    let timeouts = &config.timeouts;
    let values: [(&'static str, f64); 17] = [
        ("limits.clients", f64::from(limits.clients.get())),
        (
            "limits.pending_logins",
            f64::from(limits.pending_logins.get()),
        ),
        ("limits.pool", f64::from(limits.pool)),
        ("limits.journal_bytes", limits.journal_bytes as f64),
        (
            "limits.journal_commands",
            f64::from(limits.journal_commands.get()),
        ),
        ("limits.replay_time", limits.replay_time.as_secs_f64()),
        ("limits.attempts", f64::from(limits.attempts.get())),
        ("limits.command_memory", limits.command_memory as f64),
        ("limits.packet", limits.packet as f64),
        ("timeouts.hold", timeouts.hold.as_secs_f64()),
        ("timeouts.connect", timeouts.connect.as_secs_f64()),
        ("timeouts.handshake", timeouts.handshake.as_secs_f64()),
        ("timeouts.dead_after", timeouts.dead_after.as_secs_f64()),
        (
            "timeouts.keepalive_idle",
            timeouts.keepalive_idle.as_secs_f64(),
        ),
        (
            "timeouts.keepalive_interval",
            timeouts.keepalive_interval.as_secs_f64(),
        ),
        ("timeouts.drain", timeouts.drain.as_secs_f64()),
        ("timeouts.pool", timeouts.pool.as_secs_f64()),
    ];
    let family = Family::<Labels<1>, Gauge<f64, AtomicU64>>::default();
    for (name, value) in values {
        family.get_or_create(&[("setting", name)]).set(value);
    }
    registry.register(
        "limit",
        "What Steadfast may use and how long it waits, by setting; bytes, seconds or pieces",
        family,
    );
}

/// What is known of the server, looked up when somebody asks.
#[derive(Debug)]
struct ServerCollector(Arc<Readiness>);

impl Collector for ServerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let readiness = &self.0;
        let mut gauge = |name, help, unit: Option<&Unit>, value: f64| {
            let gauge = ConstGauge::new(value);
            let encoder = encoder.encode_descriptor(name, help, unit, gauge.metric_type())?;
            gauge.encode(encoder)
        };
        gauge(
            "server_up",
            "Whether the last attempt to reach the server succeeded.",
            None,
            f64::from(u8::from(readiness.server_is_up())),
        )?;
        gauge(
            "ready",
            "Whether new clients are welcome.",
            None,
            f64::from(u8::from(readiness.check().is_ok())),
        )?;
        gauge(
            "uptime",
            "How long the process has been running.",
            Some(&Unit::Seconds),
            readiness.uptime().as_secs_f64(),
        )?;
        match readiness.server_seen_ago() {
            Some(age) => gauge(
                "health_check_age",
                "How long ago the server last answered; absent before the first answer.",
                Some(&Unit::Seconds),
                age.as_secs_f64(),
            ),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use steadfast_session::Reason;

    use super::*;
    use crate::config::{Limits, Overrides, Timeouts};

    fn metrics() -> Metrics {
        let overrides = Overrides {
            backend: Some("db:3306".parse().unwrap()),
            state_dir: Some("/nowhere".into()),
            ..Overrides::default()
        };
        let config = Config::load(None, overrides).unwrap();
        let readiness = Arc::new(Readiness::new(Duration::from_secs(30)));
        Metrics::new(&config, readiness)
    }

    #[test]
    fn each_thing_that_happens_has_its_series() {
        let metrics = metrics();
        metrics.clients_connected.inc();
        metrics.clients.inc();
        // By two threads.
        let tallies = [metrics.tally(), metrics.tally()];
        for tally in &tallies {
            tally.commands.add(3);
            tally.commands.add(1);
        }
        tallies[1].server_sent.add(10);
        metrics.login_refused(LoginRefusal::Timeout);
        metrics.lost(End::Said(1053), Phase::Transaction);
        metrics.recovered(Recovery::Replay, Duration::from_millis(20));
        let failure = Failure::new(FailureKind::InDoubt, Reason::Commit);
        metrics.failed(failure, Duration::from_secs(3));
        let text = metrics.encode().unwrap();
        for line in [
            "steadfast_clients_connected 1",
            "steadfast_clients_total 1",
            "# HELP steadfast_commands Commands taken from clients.",
            "# TYPE steadfast_commands counter",
            "steadfast_commands_total 8",
            "# HELP steadfast_client_sent_bytes Bytes of commands and responses sent on the leg to the client.",
            "steadfast_server_sent_bytes_total 10",
            "steadfast_client_received_bytes_total 0",
            "steadfast_logins_ok_total 0",
            "steadfast_logins_refused_total{reason=\"timeout\"} 1",
            "steadfast_losses_total{end=\"said\",phase=\"transaction\"} 1",
            "steadfast_recovered_total{how=\"replay\"} 1",
            "steadfast_failures_total{kind=\"in-doubt\",reason=\"commit\"} 1",
            "steadfast_replayed_commands_total 0",
            "steadfast_hold_seconds_count 2",
            "steadfast_hold_seconds_bucket{le=\"0.025\"} 1",
            "steadfast_journal_bytes 0",
            "steadfast_sessions_held 0",
            "steadfast_server_connections_open 0",
            "steadfast_server_up 0.0",
            "steadfast_ready 0.0",
            concat!(
                "steadfast_build_info{version=\"",
                env!("CARGO_PKG_VERSION"),
                "\"} 1"
            ),
            "steadfast_limit{setting=\"timeouts.hold\"} 60.0",
            "# EOF",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "no {line} in\n{text}"
            );
        }
    }

    #[test]
    fn every_limit_and_timeout_is_shown() {
        let text = metrics().encode().unwrap();
        let sections = [
            ("limits", toml::Table::try_from(Limits::default()).unwrap()),
            (
                "timeouts",
                toml::Table::try_from(Timeouts::default()).unwrap(),
            ),
        ];
        for (section, names) in sections {
            for name in names.keys() {
                let label = format!("{{setting=\"{section}.{name}\"}}");
                assert!(text.contains(&label), "no {label} in\n{text}");
            }
        }
    }
}
