//! What a run stands on: a sandboxed server, the link in front of it, and a proxy as a child
//! process between the link and the clients; or a server and a proxy that somebody else runs.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use mysql_async::{Conn, Opts, OptsBuilder, prelude::Queryable};
use steadfast_sandbox::{Cut, Kind, Link, PeerProgram, Server};

use crate::faults::Fault;
use crate::peers::configuration::Purpose;
use crate::proxy::Proxy;
pub(crate) use crate::proxy::{DEAD_AFTER, Killer, Run};

pub(crate) const USER: &str = "campaign";
pub(crate) const PASSWORD: &str = "Campaign-Password-1";
/// To the server at the same time, at most.
const CONNECTIONS: u32 = 300;
/// ER_NO_SUCH_THREAD.
const NO_SUCH_THREAD: u16 = 1094;

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
    /// `steadfast serve`.
    Steadfast(Run),
    /// Another proxy.
    Peer(PeerProgram),
    /// A proxy that runs already, and the server behind it; no faults are injected.
    External { through: String, direct: String },
}

impl Front {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Steadfast(_) => "steadfast",
            Self::Peer(program) => program.peer().program_name(),
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
            Server::of(kind)
                .option(format!("max_connections={CONNECTIONS}"))
                .start()
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
        let Some((server, link)) = &rig.sandbox else {
            return Ok(rig);
        };
        let proxy = match front {
            Front::Direct | Front::External { .. } => None,
            Front::Steadfast(run) => {
                if run.ledger {
                    run.install_ledger(&server.url())?;
                }
                Some(Proxy::start(run.clone(), link.addr())?)
            }
            Front::Peer(program) => {
                let purpose = Purpose {
                    backend: link.addr(),
                    server_version: server.version(),
                    clients: CONNECTIONS,
                    certificate: None,
                };
                Some(Proxy::start_peer(program, &purpose)?)
            }
        };
        if let Some(mut proxy) = proxy {
            rig.clients = options(proxy.listen(), USER, PASSWORD);
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

    /// The server and the link in front of it.
    ///
    /// # Errors
    /// They are somebody else's, so that no faults can be injected.
    pub(crate) fn sandbox(&self) -> Result<(Arc<Server>, Arc<Link>)> {
        match &self.sandbox {
            Some((server, link)) => Ok((Arc::clone(server), Arc::clone(link))),
            None => bail!(
                "faults need a server of the campaign's own: leave --through out, or give --faults none"
            ),
        }
    }

    /// Does something to the server that takes its time.
    pub(crate) async fn on_server(
        &self,
        action: impl FnOnce(&Server) -> Result<(), steadfast_sandbox::Error> + Send + 'static,
    ) -> Result<()> {
        let (server, _) = self.sandbox()?;
        tokio::task::spawn_blocking(move || action(&server)).await??;
        Ok(())
    }

    /// KILL of every session of the clients' account; how many there were.
    pub(crate) async fn kill_sessions(&self) -> Result<u32> {
        let mut conn = Conn::new(self.direct.clone())
            .await
            .context("the administrator could not connect")?;
        let sessions: Vec<u64> = conn
            .exec(
                "SELECT id FROM information_schema.processlist WHERE user = ?",
                (USER,),
            )
            .await?;
        let mut killed = 0;
        for id in sessions {
            match conn.query_drop(format!("KILL {id}")).await {
                Ok(()) => killed += 1,
                // It has left meanwhile.
                Err(mysql_async::Error::Server(error)) if error.code == NO_SUCH_THREAD => {}
                Err(error) => return Err(error).context("KILL failed"),
            }
        }
        conn.disconnect().await?;
        Ok(killed)
    }

    /// What kills the proxy from any thread.
    pub(crate) fn proxy_killer(&self) -> Option<Killer> {
        self.proxy.as_ref().map(Proxy::killer)
    }

    /// kill -9 of the proxy.
    pub(crate) fn kill_proxy(&self) -> Result<()> {
        match self.proxy_killer() {
            Some(killer) => killer.kill(),
            None => bail!("there is no proxy to kill: give --serve PATH"),
        }
    }

    /// Starts the proxy after [`Self::kill_proxy`], with the same addresses and state.
    pub(crate) async fn start_proxy_again(&mut self) -> Result<()> {
        match &mut self.proxy {
            Some(proxy) => {
                proxy.start_again()?;
                proxy.wait_until_ready(&self.clients).await
            }
            None => Ok(()),
        }
    }

    /// How many rows the commit ledger has; `None` without one.
    pub(crate) fn ledger_rows(&self) -> Result<Option<u64>> {
        let Some((server, _)) = self.sandbox.as_ref().filter(|_| self.has_ledger()) else {
            return Ok(None);
        };
        let rows = server.sql("SELECT COUNT(*) FROM steadfast.commit_ledger")?;
        Ok(Some(rows.trim().parse()?))
    }

    /// Whether commits are recorded.
    pub(crate) fn has_ledger(&self) -> bool {
        self.proxy.as_ref().is_some_and(Proxy::has_ledger)
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

    /// Fails with the end of its log when the proxy has ended.
    pub(crate) fn check_proxy(&mut self) -> Result<()> {
        match &mut self.proxy {
            Some(proxy) => proxy.check(),
            None => Ok(()),
        }
    }

    /// The proxy's peak resident memory in KiB, where the system tells.
    pub(crate) fn proxy_peak_kib(&self) -> Option<u64> {
        self.proxy.as_ref()?.peak_kib()
    }
}

pub(crate) fn options(addr: SocketAddr, user: &str, password: &str) -> Opts {
    OptsBuilder::default()
        .ip_or_hostname(addr.ip().to_string())
        .tcp_port(addr.port())
        .user(Some(user))
        .pass(Some(password))
        .prefer_socket(false)
        .into()
}
