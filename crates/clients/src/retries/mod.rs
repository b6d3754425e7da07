//! `retries`: does anything that retries by itself do a piece of work twice whose outcome is unknown?
//!
//! Helpers (drivers' own reconnection, frameworks, documented recipes; tests/clients/retries) do a piece of work through
//! Steadfast in front of a real server without a commit ledger, and a link takes answers away so that they meet the
//! errors of docs/errors.md. What they then ask for is counted on their side of Steadfast.

mod cases;
mod fault;
mod install;
mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use steadfast_sandbox::{Kind, Server};

use self::cases::{Case, marker};
use self::fault::{Counter, Faults};
use self::report::{Cell, Helper, Report};
use crate::ServerKind;
use crate::child::converse;
use crate::proxy::Proxy;

const USER: &str = "retries";
const DATABASE: &str = "retries";
/// All cases of all helpers of one program: each waits up to ten seconds for its fault.
const LONGEST: Duration = Duration::from_secs(580);

/// Count how often retry helpers do work whose outcome is unknown.
///
/// Starts a server of its own. The exit code is 1 if a helper repeats work of unknown outcome, or does not meet the
/// error that it was to meet; 2 if nothing could run.
#[derive(Args)]
#[command(
    after_help = "Example: cargo run -p steadfast-clients -- retries --server mysql --serve target/debug/steadfast"
)]
pub(crate) struct Options {
    /// The server behind Steadfast.
    #[arg(long, value_enum)]
    server: ServerKind,
    /// The steadfast binary.
    #[arg(long, value_name = "BINARY")]
    serve: PathBuf,
    /// Only helpers whose name begins so (repeatable).
    #[arg(long, value_name = "NAME")]
    helper: Vec<String>,
    /// Only this case (repeatable): commit, write, rolled-back, unavailable, killed.
    #[arg(long, value_name = "NAME", value_parser = case)]
    case: Vec<Case>,
    /// A JDBC driver to try as well, with what it needs (repeatable; separate the files of one driver by colons).
    #[arg(long, value_name = "FILE")]
    jar: Vec<String>,
    /// Also print the table of docs/retries.md.
    #[arg(long)]
    markdown: bool,
}

fn case(name: &str) -> Result<Case, String> {
    Case::of_name(name).ok_or_else(|| {
        let names: Vec<_> = Case::ALL.iter().map(|case| case.name()).collect();
        format!("choose of {}", names.join(", "))
    })
}

/// What a program gets on standard input.
#[derive(Serialize)]
struct Request<'a> {
    host: String,
    port: u16,
    user: &'a str,
    password: &'a str,
    database: &'a str,
    /// Only helpers whose names begin so; none: all.
    helpers: &'a [String],
    cases: Vec<cases::Work>,
}

/// A line that a program writes: what one helper made of one case.
#[derive(Deserialize)]
struct Line {
    helper: String,
    /// Of the library.
    version: String,
    case: String,
    /// What is expected: `none` repeats nothing, `transactions` repeats a transaction that was rolled back, `careless`
    /// is known to repeat too much.
    retries: report::Habit,
    /// How often the helper ran the work.
    runs: u32,
    /// What it gave up with.
    error: Option<report::Told>,
}

/// Runs the helpers; true: all is well.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    let kind = match options.server {
        ServerKind::Mariadb => Kind::MariaDb,
        ServerKind::Mysql => Kind::MySql,
    };
    let mut report = Report::default();
    let mut programs = Vec::new();
    for (name, program) in install::programs(&options.jar)? {
        match program {
            Ok(program) => programs.push((name, program)),
            Err(reason) => report.absent.push((name, format!("{reason:#}"))),
        }
    }
    if programs.is_empty() {
        bail!("no helper can run: {}", report.absences());
    }
    let server = Arc::new(
        Server::of(kind)
            .option("innodb_flush_log_at_trx_commit=0")
            .option("sync_binlog=0")
            .start()?,
    );
    server.sql(&format!(
        "CREATE DATABASE {DATABASE}; CREATE TABLE {DATABASE}.work (id INT AUTO_INCREMENT PRIMARY KEY, marker VARCHAR(200));
         CREATE USER {USER}@'%' IDENTIFIED BY ''; GRANT ALL ON {DATABASE}.* TO {USER}@'%'"
    ))?;
    report.server = format!("{kind} {}", server.version());
    let faults = Faults::before(Arc::clone(&server))?;
    let directory = tempfile::tempdir()?;
    // No TLS to the server, so that the link sees what is said.
    let configuration = directory.path().join("steadfast.toml");
    std::fs::write(
        &configuration,
        format!(
            "[backend]\ntls = \"disabled\"\n[timeouts]\nhold = \"{}s\"\n",
            fault::HOLD.as_secs()
        ),
    )?;
    let mut proxy = Proxy::configured(
        &options.serve,
        faults.addr(),
        directory.path(),
        Some(&configuration),
    )?;
    let counter = Counter::before(proxy.addr)?;
    let chosen: Vec<Case> = Case::ALL
        .into_iter()
        .filter(|case| options.case.is_empty() || options.case.contains(case))
        .collect();
    for (name, program) in &programs {
        eprintln!("clients: {name}");
        let request = Request {
            host: counter.addr().ip().to_string(),
            port: counter.addr().port(),
            user: USER,
            password: "",
            database: DATABASE,
            helpers: &options.helper,
            cases: chosen.iter().map(|case| case.work()).collect(),
        };
        let mut command = Command::new(&program.path);
        command
            .args(&program.args)
            .envs(program.env.iter().map(|(name, value)| (name, value)));
        let (lines, failure) = converse::<Line>(command, &request, LONGEST)?;
        report
            .failures
            .extend(failure.map(|failure| format!("{name}: {failure}")));
        for line in lines {
            let case = Case::of_name(&line.case)
                .with_context(|| format!("{name} speaks of a case {}", line.case))?;
            let marker = marker(case, &line.helper);
            let cell = Cell {
                asked: counter.count(&marker),
                rows: rows(&server, &marker)?,
                struck: faults.struck(&marker),
                runs: line.runs,
                error: line.error,
            };
            match report
                .helpers
                .iter_mut()
                .find(|one| one.name == line.helper)
            {
                Some(helper) => {
                    helper.cells.insert(case, cell);
                }
                None => report.helpers.push(Helper {
                    name: line.helper,
                    version: line.version,
                    habit: line.retries,
                    cells: BTreeMap::from([(case, cell)]),
                }),
            }
        }
    }
    report.failures.extend(proxy.ended()?);
    report.print(&chosen, options.markdown);
    Ok(report.wrong() == 0)
}

/// The rows that a helper's work has left.
fn rows(server: &Server, marker: &str) -> anyhow::Result<u32> {
    let counted = server.sql(&format!(
        "SELECT COUNT(*) FROM {DATABASE}.work WHERE marker = '{marker}'"
    ))?;
    let last = counted.lines().last().unwrap_or_default();
    last.trim()
        .parse()
        .with_context(|| format!("not a number of rows: {last}"))
}
