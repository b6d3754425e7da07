//! `steadfast serve` from bound addresses to the end of the drain.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

use crate::{
    admin::{AdminError, AdminServer, Readiness},
    config::{Address, AdminAddress, Config},
    metrics::Metrics,
};

/// The addresses that are really bound; with port 0 the kernel chose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listening {
    /// Where clients connect.
    pub clients: Vec<Address>,
    /// Where the admin HTTP is, if anywhere.
    pub admin: Option<Address>,
}

/// Why serving did not begin, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A client address cannot be opened.
    #[error("{address} cannot be opened: {error}; give another with --listen")]
    Listen {
        /// The address.
        address: Address,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// The admin address cannot be opened.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The process cannot be told to end.
    #[error("SIGTERM and SIGINT cannot be waited for: {0}")]
    Signal(#[from] io::Error),
}

/// Serves until SIGTERM or SIGINT; `ready` gets the bound addresses.
///
/// # Errors
/// An address cannot be opened.
pub async fn serve(config: Config, ready: oneshot::Sender<Listening>) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let readiness = Arc::new(Readiness::new(3 * config.timeouts.dead_after));
    let metrics = Arc::new(Metrics::new(&config, Arc::clone(&readiness)));
    let mut listeners = Vec::new();
    let mut clients = Vec::new();
    for address in &config.listen {
        let failed = |error| ServeError::Listen {
            address: address.clone(),
            error,
        };
        let listener = TcpListener::bind(address.to_string())
            .await
            .map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?.to_string();
        clients.push(
            bound
                .parse()
                .map_err(|error| failed(io::Error::other(error)))?,
        );
        listeners.push(listener);
    }
    let admin = match &config.admin {
        AdminAddress::Off => None,
        AdminAddress::At(address) => Some(AdminServer::bind(address).await?),
    };
    let listening = Listening {
        clients,
        admin: admin.as_ref().map(|server| server.address().clone()),
    };
    if let Some(server) = admin {
        tokio::spawn(server.run(metrics, Arc::clone(&readiness), std::future::pending()));
    }
    readiness.accepting();
    if ready.send(listening).is_err() {
        tracing::debug!("nobody asked for the bound addresses");
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    readiness.draining();
    tokio::time::sleep(Duration::ZERO).await;
    Ok(())
}
