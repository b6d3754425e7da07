//! A proxy as a child process, Steadfast or another one: started, killed with -9 from any thread, started again on the
//! same addresses.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mysql_async::{Conn, Opts};
use steadfast_sandbox::{PeerProgram, free_port};

use crate::peers::configuration::{self, Certificate, Place, Purpose};

/// How long a server may be silent before the proxy gives its connection up, where a fault needs to outlast it: less
/// than the default, for the pace of the campaign.
pub(crate) const DEAD_AFTER: Duration = Duration::from_secs(2);

const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// How Steadfast is run.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// The program.
    pub(crate) binary: PathBuf,
    /// Further arguments of `serve`.
    pub(crate) arguments: Vec<String>,
    /// The ledger is installed.
    pub(crate) ledger: bool,
    /// What is in its configuration file; `None`: it has none.
    pub(crate) configuration: Option<String>,
}

impl Run {
    /// Installs the ledger on a server with its own command, for all accounts that the server has.
    pub(crate) fn install_ledger(&self, url: &str) -> Result<()> {
        let output = Command::new(&self.binary)
            .args(["ledger", "install", url])
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("could not start {}", self.binary.display()))?;
        if !output.status.success() {
            bail!(
                "`steadfast ledger install` failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    }
}

/// Steadfast's configuration for a comparison: both legs are encrypted, and clients are shown this certificate, or neither
/// is; whether the ledger is used; all else is the default.
pub(crate) fn configuration(certificate: Option<&Certificate>, ledger: bool) -> String {
    let mut text = String::new();
    text.push_str(match certificate {
        Some(_) => "[backend]\ntls = \"required\"\n",
        None => "[backend]\ntls = \"disabled\"\n",
    });
    if let Some(Certificate { chain, key }) = certificate {
        text.push_str(&format!(
            "[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n",
            chain.display(),
            key.display()
        ));
    }
    if !ledger {
        text.push_str("[ledger]\nmode = \"off\"\n");
    }
    text
}

/// The configuration with which the link sees what is said: no TLS to the server, and [`DEAD_AFTER`].
pub(crate) fn visible() -> String {
    format!(
        "[backend]\ntls = \"disabled\"\n[timeouts]\ndead_after = \"{}s\"\n",
        DEAD_AFTER.as_secs()
    )
}

/// What is started, and started again.
struct Launch {
    /// The proxy's name in messages.
    name: String,
    program: OsString,
    arguments: Vec<OsString>,
}

/// A running proxy; killed when dropped.
pub(crate) struct Proxy {
    launch: Launch,
    ledger: bool,
    child: Killer,
    listen: SocketAddr,
    directory: Option<tempfile::TempDir>,
    log: PathBuf,
}

/// Kills a proxy from any thread.
#[derive(Clone)]
pub(crate) struct Killer(Arc<Mutex<Child>>);

impl Killer {
    fn child(&self) -> MutexGuard<'_, Child> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// kill -9, and waits until it is gone.
    ///
    /// # Errors
    /// The system's; it is none if it has ended already.
    pub(crate) fn kill(&self) -> Result<()> {
        let mut child = self.child();
        child
            .kill()
            .and_then(|()| child.wait())
            .context("could not kill the proxy")?;
        Ok(())
    }
}

impl Proxy {
    /// Steadfast.
    pub(crate) fn start(run: Run, backend: SocketAddr) -> Result<Self> {
        let directory = directory()?;
        let (listen, admin) = (local()?, local()?);
        let mut command = vec![
            "serve".to_owned(),
            format!("--backend={backend}"),
            format!("--listen={listen}"),
            format!("--admin={admin}"),
            format!("--state-dir={}", directory.path().join("state").display()),
        ];
        if let Some(configuration) = &run.configuration {
            let file = directory.path().join("steadfast.toml");
            std::fs::write(&file, configuration)?;
            command.push(format!("--config={}", file.display()));
        }
        command.extend(run.arguments);
        let launch = Launch {
            name: "Steadfast".to_owned(),
            program: run.binary.into(),
            arguments: command.into_iter().map(OsString::from).collect(),
        };
        Self::launch(launch, run.ledger, listen, directory)
    }

    /// Another proxy, with a configuration for this server.
    pub(crate) fn start_peer(program: &PeerProgram, purpose: &Purpose) -> Result<Self> {
        let directory = directory()?;
        let place = Place {
            listen: local()?,
            admin: local()?,
            directory: directory.path(),
            plugins: program.plugin_directory(),
            purpose,
        };
        let file = directory.path().join("peer.conf");
        std::fs::write(&file, configuration::text(program.peer(), &place))?;
        let command = program.command();
        let arguments = configuration::arguments(program.peer(), &place, &file);
        let launch = Launch {
            name: program.peer().to_string(),
            program: command.get_program().to_owned(),
            arguments: command
                .get_args()
                .map(ToOwned::to_owned)
                .chain(arguments)
                .collect(),
        };
        let listen = place.listen;
        Self::launch(launch, false, listen, directory)
    }

    fn launch(
        launch: Launch,
        ledger: bool,
        listen: SocketAddr,
        directory: tempfile::TempDir,
    ) -> Result<Self> {
        let log = directory.path().join("proxy.log");
        let child = launch.spawn(&log)?;
        Ok(Self {
            launch,
            ledger,
            child: Killer(Arc::new(Mutex::new(child))),
            listen,
            directory: Some(directory),
            log,
        })
    }

    /// Starts it after it was killed.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        *self.child.child() = self.launch.spawn(&self.log)?;
        Ok(())
    }

    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.child().id()
    }

    /// Where Steadfast keeps its files.
    pub(crate) fn state_dir(&self) -> Result<PathBuf> {
        let directory = self
            .directory
            .as_ref()
            .context("the proxy's directory is gone")?;
        Ok(directory.path().join("state"))
    }

    pub(crate) fn killer(&self) -> Killer {
        self.child.clone()
    }

    pub(crate) fn has_ledger(&self) -> bool {
        self.ledger
    }

    pub(crate) async fn wait_until_ready(&mut self, clients: &Opts) -> Result<()> {
        let begun = Instant::now();
        loop {
            let error = match tokio::time::timeout(STARTS_WITHIN, Conn::new(clients.clone())).await
            {
                Ok(Ok(conn)) => {
                    conn.disconnect().await?;
                    return Ok(());
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no greeting".to_owned(),
            };
            self.check()?;
            if begun.elapsed() > STARTS_WITHIN {
                bail!(
                    "no login through {} within 20 s: {error}; its log ends with:\n{}",
                    self.launch.name,
                    self.log_end()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Fails with the end of its log when it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.child.child().try_wait()? {
            bail!(
                "{} ended ({status}); its log ends with:\n{}",
                self.launch.name,
                self.log_end()
            );
        }
        Ok(())
    }

    /// Its peak resident memory in KiB since it was last started, where the system tells.
    pub(crate) fn peak_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
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

impl Launch {
    fn spawn(&self, log: &Path) -> Result<Child> {
        let output = OpenOptions::new().create(true).append(true).open(log)?;
        Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("could not start {}", self.program.display()))
    }
}

fn directory() -> Result<tempfile::TempDir> {
    Ok(tempfile::Builder::new()
        .prefix("steadfast-campaign-")
        .tempdir()?)
}

/// An address that the kernel gives to no connection: it must still be free when the proxy starts again.
fn local() -> Result<SocketAddr> {
    Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?)))
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill, only to reap.
        if let Err(error) = self.child.kill() {
            eprintln!("{error:#}");
        }
        if std::env::var_os("STEADFAST_CAMPAIGN_KEEP").is_some()
            && let Some(directory) = self.directory.take()
        {
            eprintln!("kept {}", directory.keep().display());
        }
    }
}
