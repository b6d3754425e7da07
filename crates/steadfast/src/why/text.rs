//! A verdict for people.

use std::io::{self, Write};

use steadfast_diagnose::{Told, ToldStep};

/// Writes what a verdict says.
///
/// # Errors
/// Those of `out`.
pub(super) fn told(out: &mut impl Write, told: &Told) -> io::Result<()> {
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

/// Writes `text` in lines that fit, where its words are short enough.
///
/// # Errors
/// Those of `out`.
pub(super) fn wrapped(out: &mut impl Write, first: &str, then: &str, text: &str) -> io::Result<()> {
    out.write_all(crate::wrap::wrapped(first, then, text).as_bytes())
}
