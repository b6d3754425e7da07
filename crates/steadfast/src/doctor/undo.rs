//! `--undo`, and the file that makes it possible: what `--fix` has set on a server, and what was there before.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use steadfast_diagnose::checks::Facts;
use steadfast_diagnose::{Setting, Variables};

use super::gather;
use super::identity::Identity;
use super::session::Session;
use super::state::{self, Lock};
use crate::cli::DoctorArgs;

/// A variable that was set.
#[derive(Serialize, Deserialize, Clone, Debug)]
pub(super) struct Change {
    /// Its name.
    pub(super) name: String,
    /// Its global value before the first time.
    pub(super) before: String,
    /// What the server would have set it to at its next start, before the first time.
    pub(super) persisted: Option<String>,
    /// Its global value after the last time; `None`: it is not known whether it was set.
    pub(super) after: Option<String>,
}

impl Change {
    /// Whether --fix or --undo may have left this value; one that nobody knows of may be either's.
    fn left(&self, current: &str) -> bool {
        let Some(after) = &self.after else {
            return true;
        };
        // An --undo that was cut off in the middle leaves what was persisted: SET PERSIST sets it at once, too.
        [Some(after), Some(&self.before), self.persisted.as_ref()]
            .into_iter()
            .flatten()
            .any(|value| same(value, current))
    }
}

/// What is in an undo file.
#[derive(Serialize, Deserialize)]
struct Content {
    /// Whose variables were set.
    server: Identity,
    changes: Vec<Change>,
}

/// The undo file of one server. Nobody else reads or writes it while there is this.
pub(super) struct Journal {
    path: PathBuf,
    content: Content,
    _lock: Lock,
}

impl Journal {
    /// That of this server; empty where there is none. Taking the lock first makes that what is read of the server then is
    /// not what another one is about to change.
    ///
    /// # Errors
    /// The file is there and cannot be read, or is about another server, or there is no state directory.
    pub(super) fn open(args: &DoctorArgs, server: Identity, lock: Lock) -> anyhow::Result<Self> {
        let path = state::file(args, &server, "undo")?;
        let written: Option<Content> = state::read(&path)?;
        let changes = match written {
            None => Vec::new(),
            Some(written) => match written.server.differs(&server) {
                None => written.changes,
                Some(how) => bail!(
                    "{} is about another server: {how}; move it away, or, where it is the same one after all, write there what \
                     it is now",
                    path.display()
                ),
            },
        };
        Ok(Self {
            path,
            content: Content { server, changes },
            _lock: lock,
        })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a change that is to be made. What was there before the first one stays.
    pub(super) fn add(&mut self, change: Change) {
        let changes = &mut self.content.changes;
        match changes.iter_mut().find(|other| other.name == change.name) {
            Some(other) => other.after = None,
            None => changes.push(change),
        }
    }

    /// A change was made.
    pub(super) fn done(&mut self, name: &str, after: String) {
        let changes = &mut self.content.changes;
        if let Some(change) = changes.iter_mut().find(|change| change.name == name) {
            change.after = Some(after);
        }
    }

    /// A change was refused: the value is the one of before. What an earlier one did stays.
    pub(super) fn forget(&mut self, name: &str, facts: &Facts) {
        let now = facts.text(name).unwrap_or_default();
        self.content
            .changes
            .retain(|change| change.name != name || change.before != now);
        self.done(name, now.to_owned());
    }

    /// Writes it; where nothing is left to undo, removes it.
    ///
    /// # Errors
    /// The directory or the file cannot be written.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        if !self.content.changes.is_empty() {
            return state::write(&self.path, &self.content);
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", self.path.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Brings back what was there before `--fix`.
///
/// # Errors
/// There is nothing to undo, the server refuses, its session is lost, or somebody has set something else since: that is left
/// alone.
pub(super) async fn run(args: &DoctorArgs, session: &mut Session) -> anyhow::Result<()> {
    let mut facts = Facts {
        server: Some(session.server),
        ..Facts::default()
    };
    let lock = state::lock(args)?;
    gather::variables(session, &mut facts).await?;
    let mut journal = Journal::open(args, Identity::of(session, &facts.variables), lock)?;
    if journal.content.changes.is_empty() {
        bail!(
            "{}: there is nothing to undo ({} is not there)",
            session.name,
            journal.path.display()
        );
    }
    let mut left = Vec::new();
    for change in journal.content.changes.clone().into_iter().rev() {
        let undone = undo(session, &facts.variables, &change)
            .await
            .with_context(|| format!("what is left to undo is in {}", journal.path.display()))?;
        match undone {
            Ok(statements) => {
                let changes = &mut journal.content.changes;
                changes.retain(|other| other.name != change.name);
                journal.write()?;
                for statement in statements {
                    super::print(&format!("done: {statement}\n"))?;
                }
            }
            Err(why) => left.push(format!("{}: {why}", change.name)),
        }
    }
    if !left.is_empty() {
        bail!(
            "not undone, and kept in {}: {}",
            journal.path.display(),
            left.join("; ")
        );
    }
    super::print(
        "Undone. Sessions that are open keep their values; lines in option files are yours to remove.\n",
    )
}

/// The statements that undid it; the inner error: why it is left alone.
async fn undo(
    session: &mut Session,
    now: &Variables,
    change: &Change,
) -> anyhow::Result<Result<Vec<String>, String>> {
    let name = &change.name;
    let current = now.text(name).unwrap_or_default();
    if let Some(after) = &change.after
        && !change.left(current)
    {
        return Ok(Err(format!(
            "somebody has set it to {current} since; it was {} before --fix, which set {after}",
            change.before
        )));
    }
    let mut statements = Vec::new();
    if Setting::persists(session.server) {
        statements.push(match &change.persisted {
            Some(value) => format!("SET PERSIST {name} = {}", literal(value)),
            None => format!("RESET PERSIST IF EXISTS {name}"),
        });
    }
    statements.push(format!("SET GLOBAL {name} = {}", literal(&change.before)));
    for statement in &statements {
        if let Err(why) = session.ask(statement).await? {
            return Ok(Err(format!("{why}; it was: {statement}")));
        }
    }
    Ok(Ok(statements))
}

/// Whether two values are the same, however they are written: 0.5 and 0.500000.
fn same(one: &str, other: &str) -> bool {
    let number = |text: &str| text.trim().parse::<f64>().ok();
    one == other || (number(one).is_some() && number(one) == number(other))
}

/// A value as SQL: numbers and switches as they are, the rest as a string.
fn literal(value: &str) -> String {
    let is_number = value.parse::<f64>().is_ok_and(f64::is_finite);
    if is_number || matches!(value, "ON" | "OFF") {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_undo_left_in_the_middle_is_ours() {
        let change = |persisted: Option<&str>, after: Option<&str>| Change {
            name: "wait_timeout".to_owned(),
            before: "20".to_owned(),
            persisted: persisted.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        for (persisted, after, current, expected) in [
            (None, Some("28800"), "28800", true),
            (None, Some("28800"), "20", true),
            (None, Some("28800"), "600", false),
            (Some("600"), Some("28800"), "600", true),
            (Some("600"), Some("28800"), "700", false),
            (None, None, "700", true),
        ] {
            assert_eq!(
                change(persisted, after).left(current),
                expected,
                "{current}"
            );
        }
    }

    #[test]
    fn values_are_written_as_sql() {
        for (value, sql) in [
            ("28800", "28800"),
            ("0.500000", "0.500000"),
            ("OFF", "OFF"),
            ("", "''"),
            ("SET NAMES 'x'", "'SET NAMES ''x'''"),
        ] {
            assert_eq!(literal(value), sql);
        }
        assert!(same("0.5", "0.500000"));
        assert!(!same("a", "b"));
    }
}
