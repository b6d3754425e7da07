//! Others who lose their connections at the same time, so that counters move and lines are logged that are not about the
//! loss in question.

use std::time::Duration;

use anyhow::Result;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::bench::Bench;
use super::here::PASSWORD;
use super::session::Door;
use crate::rng::Rng;

/// Their account.
const USER: &str = "accuracy_other";
/// Between two of their losses, in milliseconds.
const PAUSE: (u64, u64) = (100, 500);
const SOON: Duration = Duration::from_secs(2);

/// Bystanders at work, until this is dropped.
#[derive(Debug)]
pub(crate) struct Bystanders(JoinHandle<()>);

impl Bystanders {
    /// Lets them begin.
    pub(crate) async fn begin(bench: &Bench, mut rng: Rng) -> Result<Self> {
        bench
            .sql(format!(
                "CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';"
            ))
            .await?;
        let mut door = bench.back_door(false);
        door.user = USER.to_owned();
        door.patience = SOON;
        let addr = bench.server.addr();
        Ok(Self(tokio::spawn(async move {
            loop {
                // A server that is down, full or stopped lets nobody in: then they lose nothing.
                let _outcome = timeout(SOON, lose(&door, addr, &mut rng)).await;
                sleep(rng.millis(PAUSE.0, PAUSE.1)).await;
            }
        })))
    }
}

impl Drop for Bystanders {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One loss: without a goodbye, in the login, or by KILL.
async fn lose(door: &Door, addr: std::net::SocketAddr, rng: &mut Rng) -> Result<()> {
    match rng.between(0, 3) {
        0 => drop(door.open().await?),
        1 => {
            let mut stream = TcpStream::connect(addr).await?;
            let mut greeting = [0; 128];
            let _length = stream.read(&mut greeting).await?;
        }
        _ => {
            let victim = door.open().await?;
            let mut killer = door.open().await?;
            killer.run(&format!("KILL {}", victim.id)).await?;
            killer.quit().await;
        }
    }
    Ok(())
}
