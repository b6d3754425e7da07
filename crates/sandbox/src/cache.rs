//! The directory that keeps fetched servers and initialised data directories.

use std::env;
use std::fs::{self, File};
use std::path::PathBuf;

use crate::Error;

/// The cache directory: `$STEADFAST_CACHE`, else `$XDG_CACHE_HOME/steadfast`, else
/// `$HOME/.cache/steadfast`. Relative paths are ignored, as the XDG specification asks.
pub(crate) fn directory() -> Result<PathBuf, Error> {
    let absolute = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let path = absolute("STEADFAST_CACHE")
        .or_else(|| absolute("XDG_CACHE_HOME").map(|path| path.join("steadfast")))
        .or_else(|| absolute("HOME").map(|path| path.join(".cache/steadfast")))
        .ok_or(Error::NoCache)?
        .join("servers");
    fs::create_dir_all(&path).map_err(Error::at("create the cache directory", &path))?;
    Ok(path)
}

/// An entry of the cache, made by `make` in a temporary place unless it is already there.
///
/// Concurrent processes wait for the one that makes it; a half-made entry of a process that
/// was killed is thrown away.
pub(crate) fn entry(
    name: &str,
    make: impl FnOnce(&std::path::Path) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    let cache = directory()?;
    let finished = cache.join(name);
    if finished.is_dir() {
        return Ok(finished);
    }
    let lock_path = cache.join(format!("{name}.lock"));
    let lock = File::create(&lock_path).map_err(Error::at("create", &lock_path))?;
    lock.lock().map_err(Error::at("lock", &lock_path))?;
    if finished.is_dir() {
        return Ok(finished);
    }
    let partial = cache.join(format!("{name}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(Error::at("remove", &partial))?;
    }
    fs::create_dir(&partial).map_err(Error::at("create", &partial))?;
    make(&partial)?;
    fs::rename(&partial, &finished).map_err(Error::at("rename", &partial))?;
    Ok(finished)
}
