//! The faults, from outside: on the server's process and on the network in front of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use steadfast_sandbox::{Cut, Link, Server};

const FROZEN: Duration = Duration::from_secs(3);
const BLACK_HOLE: Duration = Duration::from_secs(5);

/// A kind of fault.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    clap::ValueEnum,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Fault {
    /// Nothing happens.
    None,
    /// kill -9 and start again.
    Kill,
    /// Graceful shutdown and start again.
    Restart,
    /// Every connection to the server is closed with FIN.
    Fin,
    /// Every connection to the server is closed with RST.
    Rst,
    /// SIGSTOP for 3 s.
    Freeze,
    /// No byte passes for 5 s, nothing is closed.
    Blackhole,
}

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::Freeze => "freeze",
            Self::Blackhole => "blackhole",
        }
    }

    /// Lets it happen, and returns when its cause is over.
    pub(crate) async fn inject(self, server: &Arc<Server>, link: &Link) -> Result<()> {
        match self {
            Self::None => {}
            Self::Kill => {
                blocking(server, |server| {
                    server.kill()?;
                    server.start_again()
                })
                .await?;
            }
            Self::Restart => blocking(server, |server| server.restart()).await?,
            Self::Fin => link.cut(Cut::Fin),
            Self::Rst => link.cut(Cut::Rst),
            Self::Freeze => {
                server.freeze()?;
                tokio::time::sleep(FROZEN).await;
                server.thaw()?;
            }
            Self::Blackhole => {
                link.black_hole(true);
                tokio::time::sleep(BLACK_HOLE).await;
                link.black_hole(false);
            }
        }
        Ok(())
    }
}

async fn blocking(
    server: &Arc<Server>,
    action: impl FnOnce(&Server) -> Result<(), steadfast_sandbox::Error> + Send + 'static,
) -> Result<()> {
    let server = Arc::clone(server);
    tokio::task::spawn_blocking(move || action(&server)).await??;
    Ok(())
}
