//! The admin HTTP: `/metrics`, `/health`, `/ready`.
//!
//! It answers from atomics only, so it answers also while the server is away. Connections are few and have time
//! limits, so nobody can keep others from it by keeping connections open.

use std::{future::Future, io, sync::Arc, time::Duration};

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

use crate::{config::Address, metrics::Metrics, readiness::Readiness};

/// Connections at the same time; more wait.
const CONNECTIONS: usize = 64;
/// How long a connection may be without a complete request.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// How long to wait before accepting again when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

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
