//! The admin HTTP: `/metrics`, `/health`, `/ready`.
//!
//! It answers from atomics only, so it answers also while the server is away. Connections are few and have time
//! limits, so nobody can keep others from it by keeping connections open.

use std::{
    fmt,
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use serde_json::json;
use steadfast_net::Listener;
use tokio::sync::Semaphore;

use crate::{
    config::{Address, format_duration},
    metrics::Metrics,
};

/// Connections at the same time; more wait.
const CONNECTIONS: usize = 64;
/// How long a connection may be without a complete request.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How long to wait before accepting again when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Whether the process takes clients, and when it last heard of the server. The proxy's core writes it, `/ready`
/// and `/metrics` read it.
#[derive(Debug)]
pub struct Readiness {
    started: Instant,
    lately: Duration,
    stage: AtomicU8,
    server_up: AtomicBool,
    /// Milliseconds from `started` to the last proof that the server answers, plus one; 0: never.
    server_seen: AtomicU64,
    /// Milliseconds from `started` to when `server_up` last changed.
    server_changed: AtomicU64,
}

const STARTING: u8 = 0;
const ACCEPTING: u8 = 1;
const DRAINING: u8 = 2;

/// Why new clients should not be sent here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotReady {
    /// The listeners are not open yet.
    Starting,
    /// It is shutting down.
    Draining,
    /// No connection to the server has succeeded since the start.
    NeverReached,
    /// The server cannot be reached, for this long.
    Unreachable(Duration),
    /// The server was reachable this long ago, and nobody has asked since.
    NotAsked(Duration),
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds =
            |duration: &Duration| format_duration(Duration::from_secs(duration.as_secs()));
        match self {
            Self::Starting => f.write_str("starting: not listening yet"),
            Self::Draining => f.write_str("draining: shutting down, new clients are not accepted"),
            Self::NeverReached => f.write_str("no server: it has not been reached since the start"),
            Self::Unreachable(time) => {
                write!(f, "no server: it cannot be reached for {}", seconds(time))
            }
            Self::NotAsked(time) => {
                write!(
                    f,
                    "no recent health check: the last was {} ago",
                    seconds(time)
                )
            }
        }
    }
}

impl Readiness {
    /// A process that starts now. A server that was reached no longer than `lately` ago counts as reachable; a few
    /// times the health check's interval.
    pub fn new(lately: Duration) -> Self {
        Self {
            started: Instant::now(),
            lately,
            stage: AtomicU8::new(STARTING),
            server_up: AtomicBool::new(false),
            server_seen: AtomicU64::new(0),
            server_changed: AtomicU64::new(0),
        }
    }

    /// The listeners are open.
    pub fn accepting(&self) {
        self.stage.store(ACCEPTING, Relaxed);
    }

    /// The shutdown has begun; there is no way back.
    pub fn draining(&self) {
        self.stage.store(DRAINING, Relaxed);
    }

    /// The server has just answered.
    pub fn server_reached(&self) {
        self.server_seen.store(self.millis() + 1, Relaxed);
        if !self.server_up.swap(true, Relaxed) {
            self.server_changed.store(self.millis(), Relaxed);
        }
    }

    /// The server has just been found unreachable or dead.
    pub fn server_lost(&self) {
        if self.server_up.swap(false, Relaxed) {
            self.server_changed.store(self.millis(), Relaxed);
        }
    }

    /// Whether the last attempt to reach the server succeeded.
    pub fn server_is_up(&self) -> bool {
        self.server_up.load(Relaxed)
    }

    /// How long ago the server last answered; `None`: never.
    pub fn server_seen_ago(&self) -> Option<Duration> {
        let seen = self.server_seen.load(Relaxed).checked_sub(1)?;
        Some(self.since(seen))
    }

    /// How long the process has been running.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether new clients may be sent here.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), NotReady> {
        match self.stage.load(Relaxed) {
            STARTING => return Err(NotReady::Starting),
            DRAINING => return Err(NotReady::Draining),
            _ => {}
        }
        let seen = self.server_seen_ago().ok_or(NotReady::NeverReached)?;
        if !self.server_is_up() {
            return Err(NotReady::Unreachable(
                self.since(self.server_changed.load(Relaxed)),
            ));
        }
        match seen <= self.lately {
            true => Ok(()),
            false => Err(NotReady::NotAsked(seen)),
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.uptime().as_millis()).unwrap_or(u64::MAX)
    }

    fn since(&self, millis: u64) -> Duration {
        Duration::from_millis(self.millis().saturating_sub(millis))
    }
}

/// The admin address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the admin address {address} cannot be opened: {error}; give another with --admin, or --admin off"
)]
pub struct AdminError {
    address: Address,
    #[source]
    error: io::Error,
}

/// The admin HTTP, bound and not yet answering.
#[derive(Debug)]
pub struct AdminServer {
    listener: Listener,
    address: Address,
}

impl AdminServer {
    /// Binds `address`; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// The address is in use, is not one of this machine, or may not be used.
    pub async fn bind(address: &Address) -> Result<Self, AdminError> {
        let failed = |error| AdminError {
            address: address.clone(),
            error,
        };
        let listener = Listener::bind(address).await.map_err(failed)?;
        let address = listener.local_address().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// The address that is bound.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Answers until `shutdown` completes.
    pub async fn run(
        self,
        metrics: Arc<Metrics>,
        readiness: Arc<Readiness>,
        shutdown: impl Future<Output = ()>,
    ) {
        let service = TowerToHyperService::new(router(AdminState { metrics, readiness }));
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        let accept = async {
            loop {
                let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
                    return;
                };
                let stream = match self.listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "the admin address cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                };
                let service = service.clone();
                tokio::spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(REQUEST_TIME)
                        .serve_connection(TokioIo::new(stream), service);
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "an admin connection ended early");
                    }
                    drop(permit);
                });
            }
        };
        tokio::select! {
            () = accept => {}
            () = shutdown => {}
        }
    }
}

#[derive(Clone)]
struct AdminState {
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
}

fn router(state: AdminState) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/ready", get(ready))
        .with_state(state)
}

async fn index() -> &'static str {
    concat!(
        "Steadfast ",
        env!("CARGO_PKG_VERSION"),
        "\n\n",
        "/metrics  counters and gauges, OpenMetrics text\n",
        "/health   200 while the process serves; JSON\n",
        "/ready    200 while new clients are welcome, otherwise 503 with the reason; JSON\n",
    )
}

async fn metrics(State(state): State<AdminState>) -> Response {
    match state.metrics.encode() {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the metrics cannot be written: {error}\n"),
        )
            .into_response(),
    }
}

async fn health(State(state): State<AdminState>) -> Json<serde_json::Value> {
    Json(json!({
        "status": "ok",
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": state.readiness.uptime().as_secs(),
    }))
}

async fn ready(State(state): State<AdminState>) -> Response {
    match state.readiness.check() {
        Ok(()) => Json(json!({ "ready": true })).into_response(),
        Err(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "ready": false, "reason": reason.to_string() })),
        )
            .into_response(),
    }
}
