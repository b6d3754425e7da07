//! Steadfast between the clients and the server, and what it says of their losses.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use steadfast_diagnose::Evidence;
use tokio::process::Command;

use super::here::{PASSWORD, USER, millis};
use super::session::Door;
use crate::proxy::{Proxy, Run};

/// For the pace of the injections: less than the defaults.
const SETTINGS: &str =
    "[timeouts]\nconnect = \"1500ms\"\ndead_after = \"2s\"\nhandshake = \"3s\"\n";
/// How long it holds clients while there is no server.
const HOLD: Duration = Duration::from_secs(8);
const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A running Steadfast.
pub(crate) struct Front {
    proxy: Proxy,
    binary: PathBuf,
}

impl Front {
    /// Starts it and waits until clients can log in.
    pub(crate) async fn before(binary: &Path, backend: SocketAddr) -> Result<Self> {
        let front = Self::start(binary, backend, HOLD)?;
        let begun = Instant::now();
        let door = Door::tcp(front.addr(), USER, PASSWORD, false);
        loop {
            match door.enter().await {
                Ok(Ok(session)) => {
                    session.quit().await;
                    return Ok(front);
                }
                other if begun.elapsed() > STARTS_WITHIN => {
                    bail!("no login through Steadfast within 20 s: {other:?}")
                }
                _ => millis(50).await,
            }
        }
    }

    /// Starts it before an address where nobody may listen, and waits until it listens itself.
    pub(crate) async fn before_nobody(binary: &Path, backend: SocketAddr) -> Result<Self> {
        let front = Self::start(binary, backend, Duration::from_secs(1))?;
        let begun = Instant::now();
        while tokio::net::TcpStream::connect(front.addr()).await.is_err() {
            if begun.elapsed() > STARTS_WITHIN {
                bail!("Steadfast does not listen after 20 s");
            }
            millis(20).await;
        }
        Ok(front)
    }

    fn start(binary: &Path, backend: SocketAddr, hold: Duration) -> Result<Self> {
        let run = Run {
            binary: binary.to_owned(),
            arguments: vec![format!("--hold={}s", hold.as_secs())],
            ledger: false,
            configuration: Some(SETTINGS.to_owned()),
        };
        Ok(Self {
            proxy: Proxy::start(run, backend)?,
            binary: binary.to_owned(),
        })
    }

    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.proxy.listen()
    }

    /// What `steadfast why --json` tells, of losses from that time on (milliseconds since 1970), the oldest first.
    pub(crate) async fn incidents(&self, since_ms: u64) -> Result<Vec<Incident>> {
        let output = Command::new(&self.binary)
            .args(["why", "--json", "--last", "200", "--state-dir"])
            .arg(self.proxy.state_dir()?)
            .stdin(Stdio::null())
            .output()
            .await
            .with_context(|| format!("could not start {}", self.binary.display()))?;
        if !output.status.success() {
            bail!(
                "`steadfast why` failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let told: Told = serde_json::from_slice(&output.stdout)?;
        let mut incidents = told.incidents;
        incidents.retain(|incident| incident.at_ms >= since_ms);
        Ok(incidents)
    }
}

#[derive(Deserialize)]
struct Told {
    incidents: Vec<Incident>,
}

/// What is used of an incident.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Incident {
    pub(crate) id: String,
    pub(crate) at_ms: u64,
    pub(crate) connection: u64,
    pub(crate) phase: String,
    pub(crate) end: String,
    pub(crate) outcome: String,
    pub(crate) why: Why,
    pub(crate) story: Vec<Step>,
    pub(crate) evidence: Evidence,
}

/// The verdict.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Why {
    pub(crate) answer: String,
}

/// A step of the story.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) ms: i64,
    pub(crate) what: String,
}

impl Incident {
    /// The time from the loss to the first verdict.
    pub(crate) fn judged_after(&self) -> Option<Duration> {
        let judged = self
            .story
            .iter()
            .find(|step| step.what.starts_with("judged"))?;
        u64::try_from(judged.ms).ok().map(Duration::from_millis)
    }
}
