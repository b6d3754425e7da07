//! `--fix`: sets what can be set while the server runs, after showing it, asking, and writing down how to undo it.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, bail};
use serde::Serialize;
use steadfast_diagnose::checks::facts::Origin;
use steadfast_diagnose::checks::{Examination, Facts, Severity};
use steadfast_diagnose::{Product, Setting, Step};

use super::session::Session;
use super::undo::{Change, Journal};
use crate::cli::DoctorArgs;

/// The first MySQL that has SET PERSIST.
const HAS_PERSIST: u32 = 80_000;

/// What was done.
#[derive(Serialize)]
pub(super) struct Fixed {
    /// Statements that the server has run.
    pub(super) done: Vec<String>,
    /// Statements that it has refused.
    pub(super) refused: Vec<Refused>,
    /// Lines for the option file, without which the next restart undoes it.
    pub(super) options: Vec<String>,
    /// Lines for the option file that need a restart.
    pub(super) at_start: Vec<String>,
    /// Of those that were set, the ones that the server's command line sets again at the next restart.
    pub(super) on_command_line: Vec<&'static str>,
    /// Where it is written how to undo it.
    pub(super) undo_file: String,
}

/// A statement that the server has refused.
#[derive(Serialize)]
pub(super) struct Refused {
    pub(super) statement: String,
    pub(super) why: String,
}

/// Whether this server keeps a variable that is SET PERSIST over a restart.
pub(super) fn persists(session: &Session) -> bool {
    session.server.product == Product::MySql && session.server.version >= HAS_PERSIST
}

/// Fixes what was found. `None`: there was nothing to do, or somebody said no.
///
/// # Errors
/// The session is lost, the undo file cannot be written, or there is nobody to ask.
pub(super) async fn run(
    args: &DoctorArgs,
    session: &mut Session,
    facts: &Facts,
    examination: &Examination,
) -> anyhow::Result<Option<Fixed>> {
    let settings = settings(args, facts, examination);
    let (live, at_start): (Vec<&Setting>, Vec<&Setting>) =
        settings.iter().partition(|setting| setting.live);
    let persists = persists(session);
    let product = session.server.product;
    let lines = |settings: &[&Setting]| -> Vec<String> {
        let line = |setting: &&Setting| setting.option_line(product);
        settings.iter().filter_map(line).collect()
    };
    let options = if persists { Vec::new() } else { lines(&live) };
    if live.is_empty() {
        eprintln!("steadfast: there is nothing that --fix may set while the server runs");
        return Ok(None);
    }
    let scope = if persists { "PERSIST" } else { "GLOBAL" };
    let statements: Vec<String> = live
        .iter()
        .map(|setting| format!("SET {scope} {} = {}", setting.name, setting.value))
        .collect();
    if !args.yes && !agreed(session, facts, &live, &statements)? {
        return Ok(None);
    }
    let mut journal = Journal::open(args, session, facts)?;
    for setting in &live {
        let before = facts
            .text(setting.name)
            .map_err(|missing| anyhow::anyhow!(missing.0))?;
        let persisted = if persists {
            persisted(session, setting.name).await?
        } else {
            None
        };
        journal.add(Change {
            name: setting.name.to_owned(),
            before: before.to_owned(),
            persisted,
            after: None,
        });
    }
    journal.write()?;
    let mut fixed = Fixed {
        done: Vec::new(),
        refused: Vec::new(),
        options,
        at_start: lines(&at_start),
        on_command_line: Vec::new(),
        undo_file: journal.path().display().to_string(),
    };
    for (setting, statement) in live.iter().zip(statements) {
        match session.ask(&statement).await? {
            Ok(_) => {
                let now = session
                    .value(&format!("SELECT @@GLOBAL.{}", setting.name))
                    .await?;
                journal.done(setting.name, shown(&now, facts, setting.name));
                fixed.done.push(statement);
                let origins = facts.origins.ok();
                if origins.and_then(|origins| origins.get(setting.name))
                    == Some(&Origin::CommandLine)
                {
                    fixed.on_command_line.push(setting.name);
                }
            }
            Err(why) => {
                journal.forget(setting.name, facts);
                fixed.refused.push(Refused { statement, why });
            }
        }
        journal.write()?;
    }
    Ok(Some(fixed))
}

/// A value of `SELECT @@x` as SHOW VARIABLES would write it: 1 and 0 are ON and OFF where it says so.
fn shown(value: &str, facts: &Facts, name: &str) -> String {
    let is_switch = facts
        .text(name)
        .is_ok_and(|text| text == "ON" || text == "OFF");
    match value {
        "1" if is_switch => "ON".to_owned(),
        "0" if is_switch => "OFF".to_owned(),
        _ => value.to_owned(),
    }
}

/// What is to be set, each once: for errors and warnings, and for notes whose check the command line names.
fn settings(args: &DoctorArgs, facts: &Facts, examination: &Examination) -> Vec<Setting> {
    let mut settings: Vec<Setting> = Vec::new();
    let wanted = examination
        .findings
        .iter()
        .filter(|finding| finding.severity > Severity::Note || !args.only.is_empty());
    for step in wanted.flat_map(|finding| &finding.fix) {
        if let Step::Set(setting) = step
            && setting.only.is_none_or(|only| facts.product() == Ok(only))
            // A version may not have it.
            && facts.text(setting.name).is_ok()
            && settings.iter().all(|other| other.name != setting.name)
        {
            settings.push(setting.clone());
        }
    }
    settings
}

/// Shows what is to be set, and asks.
fn agreed(
    session: &Session,
    facts: &Facts,
    live: &[&Setting],
    statements: &[String],
) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("--fix asks before it sets anything, and there is no terminal: say --yes");
    }
    let mut text = format!("\nTo be set, as {}:\n", session.name);
    for (setting, statement) in live.iter().zip(statements) {
        let now = facts.text(setting.name).unwrap_or_default();
        text.push_str(&format!("  {statement}  -- now {now}\n"));
    }
    text.push_str("Set it? [y/N] ");
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("the question cannot be written")?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .context("the answer cannot be read")?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

/// What MySQL will set the variable to at its next start, if anything.
async fn persisted(session: &mut Session, name: &str) -> anyhow::Result<Option<String>> {
    let rows = session
        .ask(&format!(
            "SELECT VARIABLE_VALUE FROM performance_schema.persisted_variables WHERE VARIABLE_NAME = '{name}'"
        ))
        .await?;
    match rows {
        Ok(rows) => Ok(rows.into_iter().flatten().next()),
        // Undoing it would lose what was persisted.
        Err(why) => bail!(
            "what is persisted for {name} cannot be seen, so that it could not be undone: {why}"
        ),
    }
}
