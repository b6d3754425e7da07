//! `--fix`: sets what can be set while the server runs, after showing it, asking, and writing down how to undo it.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, anyhow, bail};
use serde::Serialize;
use steadfast_diagnose::checks::facts::Origin;
use steadfast_diagnose::checks::{Examination, Facts, Severity};
use steadfast_diagnose::{Setting, Step};

use super::gather;
use super::identity::Identity;
use super::session::Session;
use super::state;
use super::undo::{Change, Journal};
use crate::cli::DoctorArgs;

/// What was done.
#[derive(Serialize)]
pub(super) struct Fixed {
    /// Statements that the server has run.
    pub(super) done: Vec<String>,
    /// Statements that it has refused.
    pub(super) refused: Vec<Refused>,
    /// What was not set, because it is no longer what was shown.
    pub(super) skipped: Vec<Skipped>,
    /// Lines for the option file, without which the next restart undoes it.
    pub(super) options: Vec<String>,
    /// Lines for the option file that need a restart.
    pub(super) at_start: Vec<String>,
    /// Of those that were set, the ones that the server's command line sets again at the next restart.
    pub(super) on_command_line: Vec<String>,
    /// Where it is written how to undo it.
    pub(super) undo_file: String,
    /// Why it ended before all was done, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) interrupted: Option<String>,
}

/// A statement that the server has refused.
#[derive(Serialize)]
pub(super) struct Refused {
    pub(super) statement: String,
    pub(super) why: String,
}

/// A variable that was left alone.
#[derive(Serialize)]
pub(super) struct Skipped {
    pub(super) name: &'static str,
    pub(super) why: String,
}

/// Fixes what was found. `None`: there was nothing to do, or somebody said no.
///
/// # Errors
/// There is nobody to ask, this is not the server that was looked at, the undo file cannot be used, or the session is lost
/// before anything was set. What goes wrong later is in [`Fixed::interrupted`], beside what was done.
pub(super) async fn run(
    args: &DoctorArgs,
    session: &mut Session,
    facts: &Facts,
    examination: &Examination,
) -> anyhow::Result<Option<Fixed>> {
    let settings = settings(args, facts, examination);
    let (live, at_start): (Vec<&Setting>, Vec<&Setting>) =
        settings.iter().partition(|setting| setting.live);
    if live.is_empty() {
        eprintln!("steadfast: there is nothing that --fix may set while the server runs");
        return Ok(None);
    }
    let scope = if Setting::persists(session.server) {
        "PERSIST"
    } else {
        "GLOBAL"
    };
    let statements: Vec<String> = live
        .iter()
        .map(|setting| format!("SET {scope} {} = {}", setting.name, setting.value))
        .collect();
    if !args.yes && !agreed(session, facts, &live, &statements)? {
        return Ok(None);
    }
    let lock = state::lock(args)?;
    let now = again(session, facts).await?;
    let mut journal = Journal::open(args, Identity::of(session, &now.variables), lock)?;
    let lines = at_start.iter();
    let mut fixed = Fixed {
        done: Vec::new(),
        refused: Vec::new(),
        skipped: Vec::new(),
        options: Vec::new(),
        at_start: lines
            .filter_map(|setting| setting.option_line(session.server.product))
            .collect(),
        on_command_line: Vec::new(),
        undo_file: journal.path().display().to_string(),
        interrupted: None,
    };
    let mut planned = Vec::new();
    for (setting, statement) in live.iter().zip(statements) {
        match plan(session, facts, &now, setting, statement).await? {
            Ok(one) => planned.push(one),
            Err(skipped) => fixed.skipped.push(skipped),
        }
    }
    for one in planned {
        if let Err(error) = set(session, &mut journal, &mut fixed, &now, one).await {
            fixed.interrupted = Some(format!("{error:#}"));
            break;
        }
    }
    Ok(Some(fixed))
}

/// What is to be set.
struct Planned {
    statement: String,
    /// The line for the option file, where the server does not keep it by itself.
    option: Option<String>,
    change: Change,
}

/// The inner error: it is left alone.
///
/// # Errors
/// The session is lost, or it could not be undone.
async fn plan(
    session: &mut Session,
    facts: &Facts,
    now: &Facts,
    setting: &Setting,
    statement: String,
) -> anyhow::Result<Result<Planned, Skipped>> {
    let name = setting.name;
    let before = now.text(name).map_err(|missing| anyhow!(missing.0))?;
    let shown = facts.text(name).unwrap_or_default();
    if shown != before {
        let why = format!("somebody has set it to {before} since it was looked at; it was {shown}");
        return Ok(Err(Skipped { name, why }));
    }
    let persists = Setting::persists(session.server);
    let persisted = if persists {
        persisted(session, name).await?
    } else {
        None
    };
    let option = setting.option_line(session.server.product);
    Ok(Ok(Planned {
        statement,
        option: option.filter(|_| !persists),
        change: Change {
            name: name.to_owned(),
            before: before.to_owned(),
            persisted,
            after: None,
        },
    }))
}

/// The variables as they are now: since they were looked at, minutes may have passed.
async fn again(session: &mut Session, facts: &Facts) -> anyhow::Result<Facts> {
    let mut now = Facts {
        server: Some(session.server),
        ..Facts::default()
    };
    gather::variables(session, &mut now).await?;
    let examined = Identity::of(session, &facts.variables);
    match examined.differs(&Identity::of(session, &now.variables)) {
        None => Ok(now),
        Some(how) => bail!(
            "{}: nothing was set: another server answers than the one that was looked at: {how}; name one server, not several \
             behind one address",
            session.name
        ),
    }
}

/// Sets one variable, after writing down what it was.
///
/// # Errors
/// The session is lost, or the undo file cannot be written.
async fn set(
    session: &mut Session,
    journal: &mut Journal,
    fixed: &mut Fixed,
    now: &Facts,
    planned: Planned,
) -> anyhow::Result<()> {
    let Planned {
        statement,
        option,
        change,
    } = planned;
    let name = change.name.clone();
    journal.add(change);
    journal.write()?;
    let answer = session.ask(&statement).await;
    match answer.with_context(|| format!("whether this was done is not known: {statement}"))? {
        Ok(_) => {
            fixed.done.push(statement);
            fixed.options.extend(option);
            let origins = now.origins.ok();
            if let Some((name, Origin::CommandLine)) =
                origins.and_then(|origins| origins.get_key_value(&name))
            {
                fixed.on_command_line.push(name.clone());
            }
            let value = session.value(&format!("SELECT @@GLOBAL.{name}")).await?;
            journal.done(&name, shown(&value, now, &name));
        }
        Err(why) => {
            journal.forget(&name, now);
            fixed.refused.push(Refused { statement, why });
        }
    }
    journal.write()
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
