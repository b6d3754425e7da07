//! What a run stands on: a sandboxed server, the link in front of it, and Steadfast as a child
//! process between the link and the clients; or a server and a proxy that somebody else runs.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mysql_async::{Conn, Opts, OptsBuilder, prelude::Queryable};
use steadfast_sandbox::{Cut, Kind, Link, Server};

use crate::faults::Fault;

const USER: &str = "campaign";
const PASSWORD: &str = "Campaign-Password-1";
const PROXY_STARTS_WITHIN: Duration = Duration::from_secs(20);

/// How the clients' account logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Account {
    /// The server's default: `mysql_native_password` on MariaDB, `caching_sha2_password` on MySQL.
    Default,
    /// MariaDB's `ed25519` plugin.
    Ed25519,
}

impl Account {
    fn identified(self) -> String {
        match self {
            Self::Default => format!("IDENTIFIED BY '{PASSWORD}'"),
            Self::Ed25519 => format!("IDENTIFIED VIA ed25519 USING PASSWORD('{PASSWORD}')"),
        }
    }
}

/// What stands between the clients and the link.
#[derive(Debug, Clone)]
pub(crate) enum Front {
    /// Nothing.
    Direct,
    /// `steadfast serve`, the binary at this path, with further arguments.
    Steadfast {
        binary: PathBuf,
        arguments: Vec<String>,
    },
    /// A proxy that runs already, and the server behind it; no faults are injected.
    External { through: String, direct: String },
}

impl Front {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Steadfast { .. } => "steadfast",
            Self::External { .. } => "external",
        }
    }
}

/// The server, the way to it, and the accounts.
pub(crate) struct Rig {
    pub(crate) mariadb: bool,
    /// For setting up and checking: an account with all privileges, straight to the server.
    pub(crate) direct: Opts,
    clients: Opts,
    sandbox: Option<(Arc<Server>, Arc<Link>)>,
    proxy: Option<Proxy>,
}

impl Rig {
    /// Starts everything that `front` asks for.
    pub(crate) async fn start(kind: Kind, front: &Front, account: Account) -> Result<Self> {
        if let Front::External { through, direct } = front {
            return Self::external(through, direct).await;
        }
        let server = tokio::task::spawn_blocking(move || {
            Server::of(kind).option("max_connections=300").start()
        })
        .await??;
        server.sql(&format!(
            "CREATE USER '{USER}'@'%' {}; GRANT ALL ON `survive\\_%`.* TO '{USER}'@'%';",
            account.identified()
        ))?;
        let direct = options(server.addr(), server.admin_user(), server.admin_password());
        let server = Arc::new(server);
        let link = Arc::new(Link::to(server.addr())?);
        let mut rig = Self {
            mariadb: kind == Kind::MariaDb,
            direct,
            clients: options(link.addr(), USER, PASSWORD),
            sandbox: Some((server, link)),
            proxy: None,
        };
        if let Front::Steadfast { binary, arguments } = front
            && let Some((_, link)) = &rig.sandbox
        {
            let mut proxy = Proxy::start(binary, arguments, link.addr())?;
            rig.clients = options(proxy.listen, USER, PASSWORD);
            proxy.wait_until_ready(&rig.clients).await?;
            rig.proxy = Some(proxy);
        }
        Ok(rig)
    }

    async fn external(through: &str, direct: &str) -> Result<Self> {
        let clients =
            Opts::from_url(through).context("--through wants mysql://USER:PASSWORD@HOST:PORT")?;
        let direct =
            Opts::from_url(direct).context("--direct wants mysql://USER:PASSWORD@HOST:PORT")?;
        let mut conn = Conn::new(direct.clone())
            .await
            .context("--direct does not answer")?;
        let version: Option<String> = conn.query_first("SELECT VERSION()").await?;
        let mariadb = version.is_some_and(|version| version.contains("MariaDB"));
        Ok(Self {
            mariadb,
            direct,
            clients,
            sandbox: None,
            proxy: None,
        })
    }

    /// How a client of the workload connects to `database`; its driver keeps at most this many
    /// prepared statements.
    pub(crate) fn client_options(&self, database: &str, statements_kept: usize) -> Opts {
        OptsBuilder::from_opts(self.clients.clone())
            .db_name(Some(database))
            .stmt_cache_size(Some(statements_kept))
            .into()
    }

    pub(crate) async fn inject(&self, fault: Fault) -> Result<()> {
        match &self.sandbox {
            Some((server, link)) => fault.inject(server, link).await,
            None if fault == Fault::None => Ok(()),
            None => bail!(
                "faults need a server of the campaign's own: leave --through out, or give --faults none"
            ),
        }
    }

    /// Arms the link to cut after so many bytes of an answer; `None` when the fault is not a cut.
    pub(crate) fn cut_after(&self, bytes: u64, fault: Fault) -> Option<()> {
        let (_, link) = self.sandbox.as_ref()?;
        let cut = match fault {
            Fault::Fin => Cut::Fin,
            Fault::Rst => Cut::Rst,
            _ => return None,
        };
        link.cut_after(bytes, cut);
        Some(())
    }

    /// Fails with the end of its log when Steadfast has ended.
    pub(crate) fn check_proxy(&mut self) -> Result<()> {
        match &mut self.proxy {
            Some(proxy) => proxy.check(),
            None => Ok(()),
        }
    }

    /// Steadfast's peak resident memory in KiB, where the system tells.
    pub(crate) fn proxy_peak_kib(&self) -> Option<u64> {
        let proxy = self.proxy.as_ref()?;
        let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}

fn options(addr: SocketAddr, user: &str, password: &str) -> Opts {
    OptsBuilder::default()
        .ip_or_hostname(addr.ip().to_string())
        .tcp_port(addr.port())
        .user(Some(user))
        .pass(Some(password))
        .prefer_socket(false)
        .into()
}

/// Steadfast as a child process; killed when dropped.
struct Proxy {
    child: Child,
    listen: SocketAddr,
    log: PathBuf,
    directory: Option<tempfile::TempDir>,
}

impl Proxy {
    fn start(binary: &Path, arguments: &[String], backend: SocketAddr) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("steadfast-campaign-")
            .tempdir()?;
        let listen = free_port()?;
        let log = directory.path().join("steadfast.log");
        let output = File::create(&log)?;
        let child = Command::new(binary)
            .arg("serve")
            .args(["--backend", &backend.to_string()])
            .args(["--listen", &listen.to_string()])
            .args(["--admin", &free_port()?.to_string()])
            .arg("--state-dir")
            .arg(directory.path().join("state"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("could not start {}", binary.display()))?;
        Ok(Self {
            child,
            listen,
            log,
            directory: Some(directory),
        })
    }

    async fn wait_until_ready(&mut self, clients: &Opts) -> Result<()> {
        let begun = Instant::now();
        loop {
            let error =
                match tokio::time::timeout(PROXY_STARTS_WITHIN, Conn::new(clients.clone())).await {
                    Ok(Ok(conn)) => {
                        conn.disconnect().await?;
                        return Ok(());
                    }
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "no greeting".to_owned(),
                };
            self.check()?;
            if begun.elapsed() > PROXY_STARTS_WITHIN {
                bail!(
                    "no login through Steadfast within 20 s: {error}; its log ends with:\n{}",
                    self.log_end()
                );
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "Steadfast ended ({status}); its log ends with:\n{}",
                self.log_end()
            );
        }
        Ok(())
    }

    fn log_end(&self) -> String {
        match std::fs::read_to_string(&self.log) {
            Ok(text) => {
                let lines: Vec<&str> = text.lines().collect();
                lines[lines.len().saturating_sub(30)..].join("\n")
            }
            Err(error) => format!("(no log: {error})"),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill, only to reap.
        let killed = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = killed {
            eprintln!("could not end Steadfast: {error}");
        }
        if std::env::var_os("STEADFAST_CAMPAIGN_KEEP").is_some()
            && let Some(directory) = self.directory.take()
        {
            eprintln!("kept {}", directory.keep().display());
        }
    }
}

/// A port that nobody listens on at the moment.
fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
