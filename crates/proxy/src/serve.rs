//! `steadfast serve` from bound addresses to the end of the drain.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::ledger::Ledger;
use crate::local::{Local, ring_the_bell};
use steadfast_net::{Address, Gate, Listener, SocketOptions, Target, tls};
use steadfast_session::Limits;
use steadfast_wire::auth::{Password, RsaKeyPair};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use crate::accept::serve_client;
use crate::admin::{AdminError, AdminServer};
use crate::config::{AdminAddress, BackendTls, Certificate, ClientTls, Config};
use crate::health;
use crate::incident::look_into;
use crate::metrics::Metrics;
use crate::pace;
use crate::readiness::Readiness;
use crate::registry::Control;
use crate::shared::{Parts, Shared};
use crate::spread::{Arrival, Spread};
use crate::vault::{Key, Vault};

/// How long the listener rests after an error of accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    /// A certificate, a key or an authority cannot be used.
    #[error("TLS cannot be used: {0}")]
    Tls(#[from] tls::TlsError),
    /// No key pair can be made.
    #[error(transparent)]
    Key(#[from] steadfast_wire::Error),
    /// A thread cannot be started, or the process cannot be told to end.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
}

/// Serves until SIGTERM or SIGINT, then drains; `ready` gets the bound addresses.
///
/// # Errors
/// An address cannot be opened, TLS cannot be used, or no key pair can be made.
pub async fn serve(config: Config, ready: oneshot::Sender<Listening>) -> Result<(), ServeError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Making it takes longer than all the rest, and many clients need it never or later.
    let (made, key) = watch::channel(None);
    let makes_key = tokio::task::spawn_blocking(move || {
        RsaKeyPair::generate().map(|key| drop(made.send_replace(Some(Arc::new(key)))))
    });
    let shared = Arc::new(shared(&config, key)?);
    let mut listeners = Vec::new();
    let mut clients = Vec::new();
    for address in &config.listen {
        let failed = |error| ServeError::Listen {
            address: address.clone(),
            error,
        };
        let listener = Listener::bind_shared(address).await.map_err(failed)?;
        clients.push(listener.local_address().map_err(failed)?);
        listeners.push(listener);
    }
    let admin = match &config.admin {
        AdminAddress::Off => None,
        AdminAddress::At(address) => Some(AdminServer::bind(address).await?),
    };
    let listening = Listening {
        clients: clients.clone(),
        admin: admin.as_ref().map(|server| server.address().clone()),
    };
    if let Some(server) = admin {
        tokio::spawn(server.run(
            Arc::clone(&shared.metrics),
            Arc::clone(&shared.readiness),
            std::future::pending(),
        ));
    }
    tokio::spawn(health::watch(Arc::clone(&shared)));
    tokio::spawn(pace::beat(shared.beat.clone()));
    let dropped = shared.metrics.incidents_dropped.clone();
    let desk = match shared.incidents.open_desk(dropped) {
        Some(reports) => Some(look_into(
            Arc::clone(&shared),
            reports,
            config.state_dir.clone(),
        )?),
        None => None,
    };
    let workers = Workers::start(&shared, &clients, listeners, config.threads.get())?;
    shared.readiness.accepting();
    if ready.send(listening).is_err() {
        tracing::debug!("nobody asked for the bound addresses");
    }
    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        error = fails(makes_key) => {
            tracing::error!("{error}; Steadfast ends");
            Err(error)
        }
    };
    drain(&shared, config.timeouts.drain).await;
    workers.stop();
    if let Some(desk) = desk {
        desk.end().await;
    }
    outcome
}

/// Why the key cannot be made.
async fn fails(makes_key: JoinHandle<Result<(), steadfast_wire::Error>>) -> ServeError {
    match makes_key.await {
        Ok(Ok(())) => std::future::pending().await,
        Ok(Err(error)) => error.into(),
        Err(panicked) => ServeError::System(io::Error::other(panicked)),
    }
}

/// What all sessions share, of this configuration.
///
/// # Errors
/// TLS cannot be used.
pub(crate) fn shared(config: &Config, key: Key) -> Result<Shared, ServeError> {
    let readiness = Arc::new(Readiness::new(3 * config.timeouts.dead_after));
    let metrics = Arc::new(Metrics::new(config, Arc::clone(&readiness)));
    let roots = || {
        config
            .backend
            .ca
            .clone()
            .map_or(tls::Roots::System, tls::Roots::File)
    };
    let connector = tls::Connector::new(match config.backend.tls {
        BackendTls::Disabled => tls::Verify::Disabled,
        BackendTls::Preferred => tls::Verify::Preferred,
        BackendTls::Required => tls::Verify::Required,
        BackendTls::VerifyCa => match config.backend.ca.clone() {
            Some(authorities) => tls::Verify::Ca(authorities),
            None => tls::Verify::Identity(tls::Roots::System),
        },
        BackendTls::VerifyIdentity => tls::Verify::Identity(roots()),
    })?;
    let mut target = Target::new(config.backend.address.clone(), connector);
    target.connect_timeout = config.timeouts.connect;
    target.options = SocketOptions {
        keepalive_idle: config.timeouts.keepalive_idle,
        keepalive_interval: config.timeouts.keepalive_interval,
        // A flow that something between has forgotten, while the server is well: the health check cannot see it.
        user_timeout: Some(2 * config.timeouts.dead_after),
        ..SocketOptions::default()
    };
    let certificate = |certificate: &Certificate| match certificate {
        Certificate::Generated => tls::Acceptor::generated(&["localhost"]),
        Certificate::Files { certificate, key } => tls::Acceptor::from_pem_files(certificate, key),
    };
    let (acceptor, tls_required) = match &config.tls {
        ClientTls::Off => (None, false),
        ClientTls::Optional(files) => (Some(certificate(files)?), false),
        ClientTls::Required(files) => (Some(certificate(files)?), true),
    };
    let given = config
        .users
        .iter()
        .map(|(user, password)| (user.as_bytes().to_vec(), Password::new(password.as_bytes())));
    Ok(Shared::new(Parts {
        target,
        acceptor,
        tls_required,
        timeouts: config.timeouts,
        limits: Limits {
            journal_bytes: config.limits.journal_bytes,
            journal_commands: config.limits.journal_commands.get(),
            attempts: u8::try_from(config.limits.attempts.get()).unwrap_or(u8::MAX),
        },
        replay_time: config.limits.replay_time,
        packet_limit: config.limits.packet,
        command_memory: config.limits.command_memory,
        clients: config.limits.clients.get(),
        pending_logins: config.limits.pending_logins.get(),
        pool: config.limits.pool,
        vault: Vault::new(given, key),
        ledger: Ledger::new(config.ledger.clone()),
        literals: config.incidents.literals,
        metrics,
        readiness,
    }))
}

/// Threads, each with a runtime of its own: a session lives on one of them from its accept to its end.
struct Workers {
    stop: watch::Sender<bool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Workers {
    fn start(
        shared: &Arc<Shared>,
        addresses: &[Address],
        listeners: Vec<Listener>,
        threads: usize,
    ) -> Result<Self, ServeError> {
        let (stop, stopped) = watch::channel(false);
        let mut workers = Self {
            stop,
            threads: Vec::new(),
        };
        // The first listeners only made sure that the addresses can be had, and hold them until all share them.
        let (listens, bound) = std::sync::mpsc::channel();
        let (spread, arrivals) = Spread::new(threads);
        for (index, arrivals) in arrivals.into_iter().enumerate() {
            let spread = Arc::clone(&spread);
            let shared = Arc::clone(shared);
            let addresses = addresses.to_vec();
            let mut stopped = stopped.clone();
            let listens = listens.clone();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            let thread = std::thread::Builder::new()
                .name(format!("sessions-{index}"))
                .spawn(move || {
                    let local = LocalSet::new();
                    local.block_on(&runtime, async move {
                        let here = Rc::new(Local::new(&shared));
                        tokio::task::spawn_local(ring_the_bell(
                            Arc::clone(&shared),
                            Rc::clone(&here),
                        ));
                        tokio::task::spawn_local(
                            Rc::clone(&here.pace).count(shared.beat.subscribe()),
                        );
                        tokio::task::spawn_local(
                            Rc::clone(&here.pool).tend(Arc::clone(&shared), shared.timeouts.pool),
                        );
                        tokio::task::spawn_local(take_over(
                            Arc::clone(&shared),
                            arrivals,
                            Rc::clone(&here),
                        ));
                        for address in addresses {
                            let listener = Listener::bind_shared(&address).await;
                            let failed = listener.is_err();
                            if let Ok(listener) = listener {
                                tokio::task::spawn_local(accept(
                                    Arc::clone(&shared),
                                    listener,
                                    Rc::clone(&here),
                                    Some((Arc::clone(&spread), index)),
                                ));
                            }
                            // The starter waits for it.
                            let _ = listens.send(failed);
                        }
                        drop(listens);
                        // It is polled whenever a session is. An error means that the starter is gone.
                        let mut stop = std::pin::pin!(stopped.wait_for(|stop| *stop));
                        let mut gate = Gate::default();
                        let ended = poll_fn(|context| {
                            gate.poll(context, |context| stop.as_mut().poll(context))
                        });
                        let _ = ended.await;
                    });
                })?;
            workers.threads.push(thread);
        }
        drop(listens);
        let refused = bound.iter().filter(|failed| *failed).count();
        if refused == threads * addresses.len() {
            // A Unix socket cannot be shared: the first listener serves it, on a thread of its own.
            tracing::debug!("the addresses cannot be shared between threads");
        }
        drop(listeners);
        Ok(workers)
    }

    fn stop(self) {
        // Nobody listens any more if all threads have ended.
        let _ = self.stop.send(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread of sessions has panicked");
            }
        }
    }
}

/// Serves the listener's clients, each by a task of this thread or of one that has fewer, until the process drains.
/// `spread`: which of the threads this is; none, if there is no other.
pub(crate) async fn accept(
    shared: Arc<Shared>,
    listener: Listener,
    local: Rc<Local>,
    spread: Option<(Arc<Spread>, usize)>,
) {
    let mut draining = shared.draining.subscribe();
    let options = SocketOptions {
        keepalive_idle: shared.timeouts.keepalive_idle,
        keepalive_interval: shared.timeouts.keepalive_interval,
        ..SocketOptions::default()
    };
    if let Err(error) = listener.apply(&options) {
        tracing::warn!("socket options for clients were refused: {error}");
    }
    loop {
        tokio::select! {
            biased;
            _ = draining.wait_for(|draining| *draining) => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let place = spread.as_ref().map(|(spread, here)| (spread.place(*here), *here));
                    let place = match place {
                        Some((place, here)) if place.thread() != here => {
                            match stream.detach() {
                                Ok(stream) => if !place.pass_on(stream, peer) {
                                    tracing::debug!("a client came while its thread ended");
                                },
                                Err(error) => tracing::warn!("a client could not be passed on: {error}"),
                            }
                            continue;
                        }
                        place => place.map(|(place, _)| place),
                    };
                    let (shared, local) = (Arc::clone(&shared), Rc::clone(&local));
                    tokio::task::spawn_local(serve_client(shared, stream, peer, local, place));
                }
                Err(error) => {
                    tracing::warn!("a client could not be accepted: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

/// Serves clients that other threads pass on.
async fn take_over(
    shared: Arc<Shared>,
    mut arrivals: mpsc::UnboundedReceiver<Arrival>,
    local: Rc<Local>,
) {
    while let Some((stream, peer, place)) = arrivals.recv().await {
        let stream = match stream.attach() {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!("a client could not be taken over: {error}");
                continue;
            }
        };
        let (shared, local) = (Arc::clone(&shared), Rc::clone(&local));
        tokio::task::spawn_local(serve_client(shared, stream, peer, local, Some(place)));
    }
}

/// No new clients; idle sessions end, open transactions may finish for `at_most`, then they are closed.
async fn drain(shared: &Shared, at_most: Duration) {
    shared.readiness.draining();
    shared.drain();
    tracing::info!(
        sessions = shared.registry.len(),
        "draining: open transactions may finish within {at_most:?}"
    );
    let deadline = Instant::now() + at_most;
    while !shared.registry.is_empty() && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
    if !shared.registry.is_empty() {
        tracing::warn!(
            sessions = shared.registry.len(),
            "the drain ran out of time: the remaining sessions are closed"
        );
        shared.registry.tell_all(Control::Close);
        let deadline = Instant::now() + Duration::from_secs(2);
        while !shared.registry.is_empty() && Instant::now() < deadline {
            sleep(Duration::from_millis(20)).await;
        }
    }
}
