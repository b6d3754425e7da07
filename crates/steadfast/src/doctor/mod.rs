//! `steadfast doctor`: looks for the next lost connection.

mod fix;
mod gather;
mod identity;
mod machine;
mod probe;
mod session;
mod state;
mod text;
mod undo;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde::Serialize;
use steadfast_diagnose::checks::{Examination, Facts, Severity, ToldFinding, look};

use crate::access::{Access, PasswordError};
use crate::cli::DoctorArgs;
use crate::{FAILED, USAGE};
use session::Session;

/// Errors or warnings were found.
const FOUND: u8 = 3;

/// Runs the command. Errors are one line on the standard error stream.
pub(crate) fn run(args: DoctorArgs) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("steadfast: the runtime cannot be started: {error}");
            return ExitCode::from(FAILED);
        }
    };
    match runtime.block_on(doctor(&args)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("steadfast: {error:#}");
            let usage = error.downcast_ref::<PasswordError>().is_some();
            ExitCode::from(if usage { USAGE } else { FAILED })
        }
    }
}

async fn doctor(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let access = Access::new(&args.server)?;
    let mut session = Session::open(&access).await?;
    if args.undo {
        undo::run(args, &mut session).await?;
        session.quit().await;
        return Ok(ExitCode::SUCCESS);
    }
    let mut facts = gather::gather(&mut session, args).await?;
    probe::run(&access, args, &mut facts).await;
    if args.fix {
        // The path may have cut this one, too, while the probes ran.
        session.quit().await;
        session = Session::open(&access).await?;
    }
    let mut examination = examine(&facts, args);
    if args.fix && !args.json {
        print(&text::report(&session, &facts, &examination))?;
    }
    let mut fixed = if args.fix {
        fix::run(args, &mut session, &facts, &examination).await?
    } else {
        None
    };
    if let Some(fixed) = &mut fixed
        && fixed.interrupted.is_none()
    {
        match gather::variables(&mut session, &mut facts).await {
            Ok(()) => examination = examine(&facts, args),
            Err(error) => fixed.interrupted = Some(format!("{error:#}")),
        }
    }
    // Told after what was done.
    let interrupted = fixed.as_ref().and_then(|fixed| fixed.interrupted.clone());
    if args.json {
        let answer = Answer::new(&session, &facts, &examination, fixed);
        print(&(serde_json::to_string_pretty(&answer)? + "\n"))?;
    } else if !args.fix {
        print(&text::report(&session, &facts, &examination))?;
    } else if let Some(fixed) = fixed {
        print(&text::fixed(&fixed, &examination))?;
    }
    if let Some(why) = interrupted {
        bail!(why);
    }
    session.quit().await;
    Ok(match examination.worst() {
        Some(Severity::Warning | Severity::Error) => ExitCode::from(FOUND),
        Some(Severity::Note) | None => ExitCode::SUCCESS,
    })
}

/// What all checks find, or those that the command line names.
fn examine(facts: &Facts, args: &DoctorArgs) -> Examination {
    let mut examination = look(facts);
    if !args.only.is_empty() {
        let wanted = |name: &str| args.only.iter().any(|only| only == name);
        examination
            .findings
            .retain(|finding| wanted(finding.check.name));
        examination.fine.retain(|name| wanted(name));
        examination.unseen.retain(|(name, _)| wanted(name));
    }
    examination
}

/// `--json`.
#[derive(Serialize)]
struct Answer {
    /// Kind and version.
    server: String,
    findings: Vec<ToldFinding>,
    /// Checks that found nothing.
    fine: Vec<&'static str>,
    /// Checks that could not look.
    not_looked_at: Vec<NotLookedAt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fixed: Option<fix::Fixed>,
}

#[derive(Serialize)]
struct NotLookedAt {
    check: &'static str,
    why: String,
}

impl Answer {
    fn new(
        session: &Session,
        facts: &Facts,
        examination: &Examination,
        fixed: Option<fix::Fixed>,
    ) -> Self {
        let told = examination
            .findings
            .iter()
            .map(|finding| finding.told(facts.server));
        let unseen = examination.unseen.iter().map(|(check, why)| NotLookedAt {
            check,
            why: why.clone(),
        });
        Self {
            server: session.version(),
            findings: told.collect(),
            fine: examination.fine.clone(),
            not_looked_at: unseen.collect(),
            fixed,
        }
    }
}

/// Writes to the standard output. Somebody who reads no further, such as `head`, is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("the standard output cannot be written")
        }
        _ => Ok(()),
    }
}
