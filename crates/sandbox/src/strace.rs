//! strace, which tells each system call of a program.

use std::process::Command;

use crate::Error;
use crate::other::Names;
use crate::product::Product;
use crate::progress::Progress;

/// A command that runs strace: one that is installed, else one from the distribution's packages, fetched now or before.
/// Arguments are the caller's.
///
/// # Errors
/// None is installed, and none can be fetched on this system.
pub fn strace() -> Result<Command, Error> {
    let names = Names {
        product: Product::Strace,
        program: "strace",
        version_option: "-V",
    };
    Ok(names.found_or_fetched(&Progress::default())?.command())
}
