//! The directory that keeps fetched servers and initialised data directories.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::{Error, port};

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
/// was killed is thrown away. Each has a place of its own, because what the killed process
/// started, such as a download, may still be writing into its.
pub(crate) fn entry(
    name: &str,
    make: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
    entry_in(&directory()?, name, make)
}

fn entry_in(
    cache: &Path,
    name: &str,
    make: impl FnOnce(&Path) -> Result<(), Error>,
) -> Result<PathBuf, Error> {
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
    remove_partial(cache, &format!("{name}.partial"))?;
    let partial = cache.join(format!("{name}.partial-{}", port::random_hex::<4>()?));
    fs::create_dir(&partial).map_err(Error::at("create", &partial))?;
    make(&partial)?;
    fs::rename(&partial, &finished).map_err(Error::at("rename", &partial))?;
    Ok(finished)
}

/// Throws half-made entries away, but for what is still being written there: the next one to make
/// the entry comes upon it again.
fn remove_partial(cache: &Path, prefix: &str) -> Result<(), Error> {
    for item in fs::read_dir(cache).map_err(Error::at("list", cache))? {
        let path = item.map_err(Error::at("list", cache))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(prefix) {
            continue;
        }
        match fs::remove_dir_all(&path) {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound
                ) =>
            {
                return Err(Error::at("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_in_nobodys_way() {
        let cache = tempfile::tempdir().unwrap();
        let cache = cache.path();
        let left = cache.join("name.partial-0123");
        fs::create_dir_all(left.join("apt")).unwrap();
        let made = entry_in(cache, "name", |into| {
            // What the killed process started goes on writing.
            fs::create_dir_all(left.join("apt")).unwrap();
            assert_eq!(fs::read_dir(into).unwrap().count(), 0);
            fs::write(into.join("file"), "1").map_err(Error::at("write", into))
        })
        .unwrap();
        assert_eq!(fs::read(made.join("file")).unwrap(), b"1");
        let again = entry_in(cache, "name", |_| panic!("it is there already")).unwrap();
        assert_eq!(again, made);
    }
}
