//! What doctor found, for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use steadfast_diagnose::ToldStep;
use steadfast_diagnose::checks::{Examination, Facts, Severity, ToldFinding};

use super::fix::Fixed;
use super::session::Session;

/// The whole report.
pub(super) fn report(session: &Session, facts: &Facts, examination: &Examination) -> String {
    let mut out = String::new();
    line(
        &mut out,
        &format!("{}, {}", session.version(), session.name),
    );
    line(&mut out, "");
    for finding in &examination.findings {
        told(&mut out, &finding.told(facts.server));
    }
    unseen(&mut out, examination);
    line(&mut out, &sum(examination));
    out
}

fn told(out: &mut String, told: &ToldFinding) {
    line(out, &format!("{}: {}", told.severity, told.check));
    for seen in &told.seen {
        wrapped(out, "  ", "  ", &format!("{seen}."));
    }
    wrapped(out, "  Why it matters: ", "    ", told.why);
    line(out, "  Fix");
    for one in &told.fix {
        step(out, one);
    }
    wrapped(out, "  Its risk: ", "    ", told.risk);
    line(out, "");
}

fn step(out: &mut String, step: &ToldStep) {
    if let Some(text) = &step.text {
        wrapped(out, "    - ", "      ", text);
    }
    // The server is known: there is one.
    for sql in step.sql.values() {
        line(out, &format!("    - {sql}"));
    }
    for option in step.option.values() {
        let bullet = if step.sql.is_empty() { "-" } else { " " };
        line(out, &format!("    {bullet} [mysqld] {option}"));
    }
}

/// Checks that could not look, those with the same reason together.
fn unseen(out: &mut String, examination: &Examination) {
    if examination.unseen.is_empty() {
        return;
    }
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (check, why) in &examination.unseen {
        by_reason.entry(why).or_default().push(check);
    }
    line(out, "Not looked at");
    for (why, checks) in by_reason {
        wrapped(
            out,
            "  - ",
            "    ",
            &format!("{}: {why}", checks.join(", ")),
        );
    }
    line(out, "");
}

/// `2 warnings, 1 note; 38 checks found nothing, 3 could not look.`
fn sum(examination: &Examination) -> String {
    let counts: Vec<String> = [Severity::Error, Severity::Warning, Severity::Note]
        .into_iter()
        .filter_map(|severity| {
            let count = examination
                .findings
                .iter()
                .filter(|finding| finding.severity == severity)
                .count();
            let plural = if count == 1 { "" } else { "s" };
            (count > 0).then(|| format!("{count} {severity}{plural}"))
        })
        .collect();
    let found = match counts.join(", ") {
        none if none.is_empty() => none,
        some => format!("{some}; "),
    };
    let fine = examination.fine.len();
    let unseen = match examination.unseen.len() {
        0 => String::new(),
        count => format!(", {count} could not look"),
    };
    format!("{found}{fine} checks found nothing{unseen}.")
}

/// What `--fix` did.
pub(super) fn fixed(fixed: &Fixed, examination: &Examination) -> String {
    let mut out = String::new();
    line(&mut out, "");
    for statement in &fixed.done {
        line(&mut out, &format!("done: {statement}"));
    }
    for refused in &fixed.refused {
        wrapped(
            &mut out,
            "refused: ",
            "  ",
            &format!("{}: {}", refused.statement, refused.why),
        );
    }
    for skipped in &fixed.skipped {
        let text = format!("left alone: {}: {}", skipped.name, skipped.why);
        wrapped(&mut out, "", "  ", &text);
    }
    option_lines(
        &mut out,
        "So that the next restart does not undo it, in an option file of its own, such as \
         /etc/my.cnf.d/99-steadfast.cnf or /etc/mysql/conf.d/99-steadfast.cnf:",
        &fixed.options,
    );
    option_lines(
        &mut out,
        "What needs a restart, in an option file:",
        &fixed.at_start,
    );
    if !fixed.on_command_line.is_empty() {
        line(&mut out, "");
        wrapped(
            &mut out,
            "",
            "",
            &format!(
                "The server's command line sets {}, and wins at the next restart: change it there.",
                fixed.on_command_line.join(", ")
            ),
        );
    }
    if fixed.interrupted.is_some() {
        line(&mut out, "");
        let text = format!(
            "It ended early. --undo brings back what was set, or may have been (from {}).",
            fixed.undo_file
        );
        wrapped(&mut out, "", "", &text);
        return out;
    }
    if !fixed.done.is_empty() {
        line(&mut out, "");
        wrapped(
            &mut out,
            "",
            "",
            &format!(
                "Sessions that are open keep the old values. --undo brings them back (from {}).",
                fixed.undo_file
            ),
        );
    }
    line(&mut out, &format!("Left: {}", sum(examination)));
    out
}

fn option_lines(out: &mut String, title: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    line(out, "");
    wrapped(out, "", "", title);
    line(out, "");
    line(out, "  [mysqld]");
    for option in lines {
        line(out, &format!("  {option}"));
    }
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}

fn wrapped(out: &mut String, first: &str, then: &str, text: &str) {
    out.push_str(&crate::wrap::wrapped(first, then, text));
}
