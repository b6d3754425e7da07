//! The steadfast command line.

mod access;
mod cli;
mod demo;
mod doctor;
mod ledger;
mod open_files;
mod serve;
mod why;
mod wrap;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

/// The command failed. The command line's own errors are 2, which is also clap's.
const FAILED: u8 = 1;
/// The command line or the configuration is wrong.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(*args),
        Command::Demo(args) => demo::run(args),
        Command::Ledger(args) => ledger::run(args),
        Command::Why(args) => why::run(&args),
        Command::Doctor(args) => doctor::run(*args),
    }
}
