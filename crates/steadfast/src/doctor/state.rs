//! What doctor remembers of a server from one look to the next: when it was started.

use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use steadfast_diagnose::checks::Facts;
use steadfast_diagnose::checks::facts::{Restarts, Seen};
use steadfast_proxy::config::default_state_dir;

use super::identity::Identity;
use super::session::Session;
use crate::cli::DoctorArgs;

/// Two starts that are nearer than this are the same one: clocks are corrected, and Uptime has whole seconds.
const SAME: u64 = 5;

const DAY: u64 = 86_400;

/// A file in the state directory about this server.
///
/// # Errors
/// There is no state directory.
pub(super) fn file(args: &DoctorArgs, server: &Identity, kind: &str) -> anyhow::Result<PathBuf> {
    let name = format!("{kind}-{}.json", server.file_name());
    Ok(directory(args)?.join(name))
}

fn directory(args: &DoctorArgs) -> anyhow::Result<PathBuf> {
    let state = match &args.state_dir {
        Some(directory) => directory.clone(),
        None => default_state_dir()?,
    };
    Ok(state.join("doctor"))
}

fn make(directory: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(directory)
}

/// Keeps others from reading and writing these files, until it is dropped or the process ends.
pub(super) struct Lock {
    _directory: File,
}

/// Waits until nobody else has it.
///
/// # Errors
/// There is no state directory, or it cannot be made or locked.
pub(super) fn lock(args: &DoctorArgs) -> anyhow::Result<Lock> {
    let path = directory(args)?;
    // The directory itself: the files in it are replaced, and a file for the lock alone would stay behind.
    let locked = || {
        make(&path)?;
        let directory = File::open(&path)?;
        match directory.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("steadfast: another one uses {}: waiting", path.display());
                directory.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Lock {
            _directory: directory,
        })
    };
    locked().with_context(|| format!("{} cannot be locked", path.display()))
}

/// Writes a file, so that a crash leaves the old one or the new one.
///
/// # Errors
/// The directory or the file cannot be written.
pub(super) fn write(path: &Path, content: &impl Serialize) -> anyhow::Result<()> {
    let cannot = || format!("{} cannot be written", path.display());
    if let Some(directory) = path.parent() {
        make(directory).with_context(cannot)?;
    }
    let new = path.with_extension("new");
    let write = || {
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&serde_json::to_vec_pretty(content)?)?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    write().with_context(cannot)
}

/// Reads a file; `None` where there is none.
///
/// # Errors
/// It is there and cannot be read.
pub(super) fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> anyhow::Result<Option<T>> {
    match fs::read(path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .with_context(|| format!("{} is not what doctor wrote", path.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// What is remembered, in seconds since 1970 by this machine's clock.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug)]
struct Looks {
    /// When doctor looked last.
    last: u64,
    /// When the server that it saw then was started.
    start: u64,
    /// Restarts that were seen within a day: when it was started again.
    restarts: Vec<u64>,
}

/// Takes note of a look, whose uptime was read at this time, and tells of restarts between the earlier ones and it.
pub(super) fn restarts(
    args: &DoctorArgs,
    session: &Session,
    facts: &Facts,
    looked_at: SystemTime,
) -> Seen<Restarts> {
    let looked = || -> anyhow::Result<Restarts> {
        let _lock = lock(args)?;
        let path = file(args, &Identity::of(session, &facts.variables), "seen")?;
        let looks: Option<Looks> = read(&path)?;
        let now = looked_at
            .duration_since(UNIX_EPOCH)
            .context("the clock is before 1970")?
            .as_secs();
        let uptime = facts
            .counter("uptime")
            .map_err(|missing| anyhow::anyhow!(missing.0))?;
        let (looks, restarts) = look(looks, now, uptime);
        write(&path, &looks)?;
        Ok(restarts)
    };
    match looked() {
        Ok(restarts) => Seen::Is(restarts),
        Err(error) => Seen::Unseen(format!("{error:#}")),
    }
}

fn look(looks: Option<Looks>, now: u64, uptime: u64) -> (Looks, Restarts) {
    let start = now.saturating_sub(uptime);
    let mut since_last_look = None;
    let mut restarts = Vec::new();
    if let Some(looks) = looks {
        restarts = looks.restarts;
        if looks.start.abs_diff(start) > SAME {
            since_last_look = Some(Duration::from_secs(now.saturating_sub(looks.last)));
            restarts.push(start);
        }
    }
    restarts.retain(|restart| restart + DAY > now);
    let seen = Restarts {
        since_last_look,
        within_a_day: restarts.len(),
    };
    let looks = Looks {
        last: now,
        start,
        restarts,
    };
    (looks, seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_told_apart_and_forgotten() {
        let (looks, seen) = look(None, 1_000_000, 500);
        assert_eq!((seen.since_last_look, seen.within_a_day), (None, 0));
        // The same one, with a clock that was corrected.
        let (looks, seen) = look(Some(looks), 1_000_600, 1_103);
        assert_eq!((seen.since_last_look, seen.within_a_day), (None, 0));
        let (looks, seen) = look(Some(looks), 1_001_000, 100);
        assert_eq!(
            (seen.since_last_look, seen.within_a_day),
            (Some(Duration::from_secs(400)), 1)
        );
        let (looks, seen) = look(Some(looks), 1_002_000, 100);
        assert_eq!(seen.within_a_day, 2);
        let (looks, seen) = look(Some(looks), 1_003_000, 100);
        assert_eq!(seen.within_a_day, 3);
        // A day later.
        let (looks, seen) = look(Some(looks), 1_003_000 + DAY, 100 + DAY);
        assert_eq!((seen.since_last_look, seen.within_a_day), (None, 0));
        assert_eq!(looks.restarts, [0; 0]);
    }
}
