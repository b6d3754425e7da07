//! A disk of a given speed: every fsync and fdatasync of the server takes this long, whatever the machine's own disk
//! is like, and is counted.
//!
//! The server is started with a preloaded library of two functions (`disk/disk.c`), which needs neither root nor a
//! kernel module. They do not ask the real disk: what the server has written survives its process all the same, but not
//! the machine. O_SYNC and O_DSYNC, which no server uses by default, are not slowed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Error, compile};

const SOURCE: &str = include_str!("disk/disk.c");
const LIBRARY: &str = "disk.so";
const COUNT: &str = "disk.count";

/// The server's command line with the library.
pub(crate) fn prepare(server: Command, directory: &Path) -> Command {
    let mut preload = OsString::from("LD_PRELOAD=");
    preload.push(directory.join(LIBRARY));
    let mut command = Command::new("env");
    command
        .arg(preload)
        .arg(server.get_program())
        .args(server.get_args());
    command
}

/// Compiles the library for a disk of this speed.
///
/// # Errors
/// There is no C compiler, or the directory cannot be written.
pub(crate) fn install(fsync: Duration, directory: &Path) -> Result<(), Error> {
    let count = count_file(directory);
    fs::write(&count, [0; 8]).map_err(Error::at("write", &count))?;
    let arguments = [
        format!("-DCOUNT=\"{}\"", count.display()),
        format!("-DNANOSECONDS={}LL", fsync.as_nanos()),
    ];
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    compile::library(
        "a disk of a given speed",
        SOURCE,
        &arguments,
        &directory.join(LIBRARY),
    )
}

/// How often the server has called fsync and fdatasync, since it was made.
///
/// # Errors
/// The counter cannot be read.
pub(crate) fn fsyncs(directory: &Path) -> Result<u64, Error> {
    let count = count_file(directory);
    let bytes = fs::read(&count).map_err(Error::at("read", &count))?;
    let mut number = [0; 8];
    number
        .iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = from);
    Ok(u64::from_ne_bytes(number))
}

fn count_file(directory: &Path) -> PathBuf {
    directory.join(COUNT)
}
