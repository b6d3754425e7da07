//! Findings for people.

use std::io::{self, Write};

use steadfast_diagnose::{Finding, Told, ToldStep};

/// Findings that are told in full; of the rest only what they come to.
const IN_FULL: usize = 20;

/// Writes them.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(out: &mut impl Write, findings: &[Finding], more: u64) -> io::Result<()> {
    if findings.is_empty() {
        return writeln!(
            out,
            "Nothing here tells of a lost connection. The server's error log, the kernel's log, SHOW GLOBAL VARIABLES and\n\
             the client's message would help; `steadfast why --help` has examples."
        );
    }
    for finding in findings.iter().take(IN_FULL) {
        heading(out, finding)?;
        told(out, &finding.told())?;
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

/// Writes what a verdict says.
fn told(out: &mut impl Write, told: &Told) -> io::Result<()> {
    wrapped(out, "  ", "  ", &told.meaning)?;
    if !told.also.is_empty() {
        wrapped(out, "  Also: ", "  ", &told.also.join(", "))?;
    }
    section(out, "Evidence", &told.evidence)?;
    if !told.candidates.is_empty() {
        let names: Vec<&str> = told
            .candidates
            .iter()
            .map(|candidate| candidate.cause.name())
            .collect();
        wrapped(out, "  May be: ", "  ", &names.join(", "))?;
    }
    if let Some(question) = &told.question {
        wrapped(out, "  To decide: ", "    ", question)?;
    }
    if told.fix.is_empty() {
        return Ok(());
    }
    match told.candidates.first() {
        Some(candidate) => writeln!(out, "  Fix, if it is {}", candidate.cause)?,
        None => writeln!(out, "  Fix")?,
    }
    for step in &told.fix {
        write_step(out, step)?;
    }
    Ok(())
}

fn section(out: &mut impl Write, title: &str, lines: &[String]) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "  {title}")?;
    for line in lines {
        wrapped(out, "    - ", "      ", line)?;
    }
    Ok(())
}

fn write_step(out: &mut impl Write, step: &ToldStep) -> io::Result<()> {
    if let Some(text) = &step.text {
        wrapped(out, "    - ", "      ", text)?;
    }
    let both_alike = step.sql.len() == 2 && step.sql["mariadb"] == step.sql["mysql"];
    for (server, sql) in &step.sql {
        if both_alike {
            writeln!(out, "    - {sql}")?;
            break;
        }
        let of = if step.sql.len() > 1 {
            format!("  -- {}", product(server))
        } else {
            String::new()
        };
        writeln!(out, "    - {sql}{of}")?;
    }
    if let Some(line) = step.option.values().next() {
        writeln!(out, "      [mysqld] {line}")?;
    }
    Ok(())
}

fn product(name: &str) -> &str {
    match name {
        "mariadb" => "MariaDB",
        _ => "MySQL",
    }
}

fn wrapped(out: &mut impl Write, first: &str, then: &str, text: &str) -> io::Result<()> {
    out.write_all(crate::wrap::wrapped(first, then, text).as_bytes())
}
