//! `steadfast why --from`: what people have in files, explained.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use steadfast_diagnose::{Finding, Reading, Told};

use super::text;
use crate::cli::WhyArgs;

/// Bytes of a line that are taken; the rest of it is passed over.
const MAX_LINE: u64 = 64 << 10;

/// Explains the files.
///
/// # Errors
/// One of them cannot be read, or the standard output cannot be written.
pub(super) fn explain(args: &WhyArgs) -> anyhow::Result<()> {
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
        write(&mut out, &findings, more)?;
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

/// Findings that are told in full; of the rest only what they come to.
const IN_FULL: usize = 20;

fn write(out: &mut impl Write, findings: &[Finding], more: u64) -> io::Result<()> {
    if findings.is_empty() {
        return writeln!(
            out,
            "Nothing here tells of a lost connection. The server's error log, the kernel's log, SHOW GLOBAL VARIABLES and\n\
             the client's message would help; `steadfast why --help` has examples."
        );
    }
    for finding in findings.iter().take(IN_FULL) {
        heading(out, finding)?;
        text::told(out, &finding.told())?;
        writeln!(out)?;
    }
    let rest = findings.len().saturating_sub(IN_FULL) as u64 + more;
    if rest > 0 {
        writeln!(
            out,
            "{rest} more; --json has the first {} of all.",
            findings.len()
        )?;
    }
    if findings.len() > 1 {
        writeln!(out, "In all:")?;
        for (answer, count) in steadfast_diagnose::by_answer(findings) {
            writeln!(out, "  {count:>6}  {answer}")?;
        }
    }
    Ok(())
}

fn heading(out: &mut impl Write, finding: &Finding) -> io::Result<()> {
    write!(out, "{}", finding.verdict.answer.name())?;
    if finding.count > 1 {
        write!(out, ", {} times", finding.count)?;
    }
    match (finding.first.as_str(), finding.last.as_str()) {
        ("", _) => writeln!(out),
        (first, last) if first == last => writeln!(out, ", {first}"),
        (first, last) => writeln!(out, ", {first} to {last}"),
    }
}
