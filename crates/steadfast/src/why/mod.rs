//! `steadfast why`: lost connections, explained.

mod text;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use steadfast_diagnose::{Finding, Reading, Told};

use crate::FAILED;
use crate::cli::WhyArgs;

/// Bytes of a line that are taken; the rest of it is passed over.
const MAX_LINE: u64 = 64 << 10;

/// Runs the command. Errors are one line on the standard error stream.
pub(crate) fn run(args: &WhyArgs) -> ExitCode {
    match explain(args) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads it has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("steadfast: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn explain(args: &WhyArgs) -> anyhow::Result<()> {
    let mut reading = Reading::default();
    for path in &args.from {
        read(path, &mut reading)?;
        reading.end_of_file();
    }
    let (findings, more) = reading.finish();
    let mut out = io::stdout().lock();
    if args.json {
        let findings = findings.iter().map(Explained::new).collect();
        serde_json::to_writer_pretty(&mut out, &Answer { findings, more })?;
        writeln!(out)?;
    } else {
        text::write(&mut out, &findings, more)?;
    }
    out.flush()?;
    Ok(())
}

/// The lines of a file, or of the standard input; `-` is that one.
fn read(path: &Path, reading: &mut Reading) -> anyhow::Result<()> {
    if path == Path::new("-") {
        return lines(io::stdin().lock(), reading).context("the standard input cannot be read");
    }
    let cannot = || format!("{} cannot be read", path.display());
    let file = File::open(path).with_context(cannot)?;
    lines(BufReader::with_capacity(1 << 20, file), reading).with_context(cannot)
}

fn lines(mut from: impl BufRead, reading: &mut Reading) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if from.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.len() as u64 == MAX_LINE && !line.ends_with(b"\n") {
            from.skip_until(b'\n')?;
        }
        reading.line(&line);
    }
}

/// `--json`.
#[derive(Serialize)]
struct Answer {
    findings: Vec<Explained>,
    /// Findings that are not among them.
    more: u64,
}

#[derive(Serialize)]
struct Explained {
    count: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    first: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    last: String,
    #[serde(flatten)]
    told: Told,
}

impl Explained {
    fn new(finding: &Finding) -> Self {
        Self {
            count: finding.count,
            first: finding.first.clone(),
            last: finding.last.clone(),
            told: finding.told(),
        }
    }
}
