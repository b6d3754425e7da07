//! The server that is struck: its account for clients, its settings, and what of its machine can be used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use steadfast_sandbox::{Cut, Kind, Link, Server};

use super::collected::Logging;
use super::front::Front;
use super::here::{NotHere, OTHER_HOST, PASSWORD, USER, millis};
use super::path;
use super::session::Door;

/// A server, and the link to it.
pub(crate) struct Bench {
    pub(crate) kind: Kind,
    pub(crate) server: Arc<Server>,
    pub(crate) link: Link,
    /// Through which clients come; `None`: they come to the server itself.
    pub(crate) front: Option<Front>,
    /// Settings as the server began with them.
    settings: BTreeMap<String, String>,
}

impl Bench {
    /// Where `serve` is given, with this Steadfast before it.
    pub(crate) async fn start(kind: Kind, serve: Option<&Path>) -> Result<Self> {
        let server = tokio::task::spawn_blocking(move || {
            Server::of(kind)
                // Only with it are hosts blocked; nothing here has a name that would have to be asked for.
                .option("skip-name-resolve=OFF")
                .start()
        })
        .await??;
        let server = Arc::new(server);
        let mut bench = Self {
            kind,
            link: match serve {
                Some(_) if path::is_inside() => Link::from_to(OTHER_HOST, server.addr())?,
                _ => Link::to(server.addr())?,
            },
            server,
            front: None,
            settings: BTreeMap::new(),
        };
        bench
            .sql(format!(
                "CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';
                 CREATE DATABASE bench;
                 CREATE TABLE bench.t (id INT PRIMARY KEY, v VARCHAR(200));
                 INSERT INTO bench.t VALUES (1, 'one'), (2, 'two');
                 GRANT ALL ON bench.* TO '{USER}'@'%';"
            ))
            .await?;
        bench.settings = bench.variables().await?;
        if let Some(binary) = serve {
            bench.front = Some(Front::before(binary, bench.link.addr()).await?);
        }
        Ok(bench)
    }

    /// The steadfast binary, where clients come through one.
    pub(crate) fn serve(&self) -> Option<&Path> {
        self.front.as_ref().map(Front::binary)
    }

    pub(crate) fn is_mariadb(&self) -> bool {
        self.kind == Kind::MariaDb
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            Kind::MariaDb => "mariadb",
            Kind::MySql => "mysql",
        }
    }

    /// 10.11.19 as 101119.
    pub(crate) fn version(&self) -> u32 {
        let text = self.settings.get("version").map_or("", String::as_str);
        let mut numbers = text
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|part| part.parse::<u32>().ok());
        let mut next = || numbers.next().unwrap_or(0).min(99);
        next() * 10_000 + next() * 100 + next()
    }

    /// Runs SQL as administrator.
    pub(crate) async fn sql(&self, sql: impl Into<String>) -> Result<String> {
        let (server, sql) = (Arc::clone(&self.server), sql.into());
        Ok(tokio::task::spawn_blocking(move || server.sql(&sql)).await??)
    }

    /// Does something to the server that takes its time.
    pub(crate) async fn on_server(
        &self,
        action: impl FnOnce(&Server) -> Result<(), steadfast_sandbox::Error> + Send + 'static,
    ) -> Result<()> {
        let server = Arc::clone(&self.server);
        tokio::task::spawn_blocking(move || action(&server)).await??;
        Ok(())
    }

    /// Name and number of what SHOW GLOBAL STATUS counts.
    pub(crate) async fn status(&self) -> Result<BTreeMap<String, u64>> {
        let text = self.sql("SHOW GLOBAL STATUS").await?;
        Ok(pairs(&text)
            .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
            .collect())
    }

    pub(crate) async fn variables(&self) -> Result<BTreeMap<String, String>> {
        let text = self.sql("SHOW GLOBAL VARIABLES").await?;
        Ok(pairs(&text)
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect())
    }

    /// Sets global variables; [`Bench::restore`] gives them back.
    pub(crate) async fn set(&self, settings: &[(&str, String)]) -> Result<()> {
        let sql: String = settings
            .iter()
            .map(|(name, value)| format!("SET GLOBAL {name} = {value};"))
            .collect();
        self.sql(sql).await.map(drop)
    }

    /// What injections set is as the server began with it.
    pub(crate) async fn restore(&self) -> Result<()> {
        const SET_BY_INJECTIONS: &[&str] = &[
            "offline_mode",
            "super_read_only",
            "read_only",
            "max_connections",
            "max_connect_errors",
            "connect_timeout",
            "wait_timeout",
            "interactive_timeout",
            "idle_transaction_timeout",
            "idle_readonly_transaction_timeout",
            "idle_write_transaction_timeout",
            "net_read_timeout",
            "net_write_timeout",
            "max_allowed_packet",
            "max_statement_time",
            "max_execution_time",
            "max_session_mem_used",
            "connection_memory_limit",
            "global_connection_memory_tracking",
        ];
        let sql: String = SET_BY_INJECTIONS
            .iter()
            .filter_map(|name| {
                let value = self.settings.get(*name)?;
                Some(format!("SET GLOBAL {name} = {value};"))
            })
            .collect();
        let hosts = match self.kind {
            Kind::MariaDb => "FLUSH HOSTS;",
            Kind::MySql => "TRUNCATE TABLE performance_schema.host_cache;",
        };
        self.sql(format!("{sql} {hosts}")).await.map(drop)
    }

    pub(crate) async fn set_logging(&self, logging: Logging) -> Result<()> {
        let (name, value) = match (self.kind, logging) {
            (Kind::MariaDb, Logging::Default) => ("log_warnings", 2),
            (Kind::MariaDb, Logging::Verbose) => ("log_warnings", 4),
            (Kind::MySql, Logging::Default) => ("log_error_verbosity", 2),
            (Kind::MySql, Logging::Verbose) => ("log_error_verbosity", 3),
        };
        self.set(&[(name, value.to_string())]).await
    }

    /// How clients come in.
    pub(crate) fn door(&self, tls: bool) -> Door {
        let addr = match &self.front {
            Some(front) => front.addr(),
            None => self.server.addr(),
        };
        Door::tcp(addr, USER, PASSWORD, tls)
    }

    /// The server itself.
    pub(crate) fn back_door(&self, tls: bool) -> Door {
        Door::tcp(self.server.addr(), USER, PASSWORD, tls)
    }

    /// How clients come in through the link.
    pub(crate) fn door_through_link(&self, tls: bool) -> Door {
        match &self.front {
            Some(_) => self.door(tls),
            None => Door::tcp(self.link.addr(), USER, PASSWORD, tls),
        }
    }

    /// Where an injection was given up half-way, the server may be down or stopped.
    pub(crate) async fn alive(&self) -> Result<()> {
        if !self.server.is_running() {
            self.on_server(|server| server.start_again()).await?;
        }
        Ok(())
    }

    /// What injections may leave behind is gone: faults of the link, and clients that the server still has.
    pub(crate) async fn settle(&self) -> Result<()> {
        self.link.clear_tap();
        self.link.black_hole(false);
        self.link.cut(Cut::Rst);
        // Steadfast's own look at the server is a client that stays.
        let stay = usize::from(self.front.is_some());
        for _ in 0..200 {
            let list = self.sql("SHOW PROCESSLIST").await?;
            let left: Vec<&str> = list
                .lines()
                .map(|line| line.split('\t').collect::<Vec<_>>())
                .filter(|columns| columns.get(1).is_some_and(|user| user.starts_with(USER)))
                .filter_map(|columns| columns.first().copied())
                .collect();
            if left.len() <= stay {
                return Ok(());
            }
            for id in left {
                // One that has ended by now is as good.
                let _ended = self.sql(format!("KILL {id}")).await;
            }
            millis(50).await;
        }
        bail!("clients of an injection are still there, though they were killed");
    }

    /// A memory control group of the server's own.
    ///
    /// # Errors
    /// [`NotHere`].
    pub(crate) fn memory_group(&self) -> Result<MemoryGroup> {
        let pid = self.server.pid().context("the server does not run")?;
        MemoryGroup::of(pid)
    }
}

/// Lines of name, tab, value.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.split_once('\t'))
}

/// A memory control group (version 1) with one process in it. Dropping it removes it; the process must have ended or is
/// moved out.
#[derive(Debug)]
pub(crate) struct MemoryGroup {
    path: PathBuf,
    parent: PathBuf,
    pid: u32,
}

impl MemoryGroup {
    fn of(pid: u32) -> Result<Self> {
        let missing =
            |why: String| NotHere(format!("needs root and memory control groups v1: {why}"));
        let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
        let own = text
            .lines()
            .find_map(|line| line.split_once(":memory:"))
            .map(|(_, path)| path)
            .ok_or_else(|| missing("the kernel has none".to_owned()))?;
        let parent = PathBuf::from(format!("/sys/fs/cgroup/memory{own}"));
        let path = parent.join(format!("steadfast-accuracy-{pid}"));
        std::fs::create_dir(&path).map_err(|error| missing(error.to_string()))?;
        let group = Self { path, parent, pid };
        std::fs::write(group.path.join("cgroup.procs"), pid.to_string())
            .map_err(|error| missing(error.to_string()))?;
        Ok(group)
    }

    /// Limits it to so many bytes.
    pub(crate) fn limit(&self, bytes: u64) -> Result<()> {
        let path = self.path.join("memory.limit_in_bytes");
        std::fs::write(&path, bytes.to_string())
            .with_context(|| format!("could not write {}", path.display()))
    }

    /// Processes that were killed in it for memory.
    pub(crate) fn kills(&self) -> Result<u64> {
        oom_kills(&self.path).context("memory.oom_control has no oom_kill")
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // A process that has ended is in no group any more: that this fails is as it should be.
        let moved = std::fs::write(self.parent.join("cgroup.procs"), self.pid.to_string());
        if let Err(error) = std::fs::remove_dir(&self.path) {
            eprintln!(
                "{} could not be removed: {error} ({moved:?})",
                self.path.display()
            );
        }
    }
}

fn oom_kills(path: &std::path::Path) -> Option<u64> {
    let text = std::fs::read_to_string(path.join("memory.oom_control")).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("oom_kill "))?
        .parse()
        .ok()
}

/// The kernel's log; `None`: it cannot be read.
pub(crate) async fn kernel_log() -> Option<Vec<String>> {
    let output = tokio::task::spawn_blocking(|| Command::new("dmesg").output())
        .await
        .ok()?
        .ok()?;
    if !output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().map(str::to_owned).collect())
}

/// Runs a program of the system's to its end.
///
/// # Errors
/// It is not there, or failed.
pub(crate) async fn system(program: &'static str, arguments: Vec<String>) -> Result<()> {
    let output =
        tokio::task::spawn_blocking(move || Command::new(program).args(arguments).output())
            .await?
            .with_context(|| format!("{program} could not be run"))?;
    if !output.status.success() {
        bail!(
            "{program} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
