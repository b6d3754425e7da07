//! Takes the server connections of waiting sessions away.
//!
//! A session says that it waits by changing to [`LOST_DATABASE`]. Through a proxy its server connection is then killed
//! from the side, directly nothing happens to it; in both cases a file tells the driver to go on.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};

use crate::operations::LOST_DATABASE;

/// How often the server is asked who waits.
const PAUSE: Duration = Duration::from_millis(20);

/// Watches a server until it is told to end.
pub(crate) struct Watch {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Watch {
    /// Watches the server that this URL reaches as root. For each user whose session waits, `kill`s its connection
    /// and writes a file of its name into `files`.
    pub(crate) fn start(url: &str, files: &Path, kill: bool) -> anyhow::Result<Self> {
        let options = Opts::from_url(url)?;
        let files = files.to_owned();
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = thread::spawn(move || runtime.block_on(watch(options, files, kill, &seen)));
        Ok(Self { ended, thread })
    }

    /// Ends it, and says what went wrong in it.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        self.ended.store(true, Ordering::SeqCst);
        match self.thread.join() {
            Ok(outcome) => outcome.context("waiting sessions could not be watched"),
            Err(_) => anyhow::bail!("the thread that watches waiting sessions failed"),
        }
    }
}

async fn watch(
    options: Opts,
    files: PathBuf,
    kill: bool,
    ended: &AtomicBool,
) -> anyhow::Result<()> {
    let mut conn = Conn::new(options).await?;
    let waiting = format!(
        "SELECT ID, USER FROM information_schema.PROCESSLIST WHERE DB = '{LOST_DATABASE}' AND COMMAND = 'Sleep'"
    );
    let gone =
        |id: u64| format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = {id}");
    let mut lost = BTreeSet::new();
    while !ended.load(Ordering::SeqCst) {
        let sessions: Vec<(u64, String)> = conn.query(&waiting).await?;
        for (id, user) in sessions {
            if !lost.insert(user.clone()) {
                continue;
            }
            if kill {
                conn.query_drop(format!("KILL {id}")).await?;
                while conn.query_first::<u64, _>(gone(id)).await? != Some(0) {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            fs::write(files.join(&user), [])?;
        }
        tokio::time::sleep(PAUSE).await;
    }
    conn.disconnect().await?;
    Ok(())
}
