//! `steadfast why`: lost connections, explained.

mod from;
mod list;
mod story;
mod text;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use serde::Serialize;
use steadfast_proxy::config::default_state_dir;
use steadfast_proxy::{Incident, Store, Stored};

use crate::FAILED;
use crate::cli::WhyArgs;

/// How often new incidents are looked for.
const FOLLOW: Duration = Duration::from_millis(300);

/// Runs the command. Errors are one line on the standard error stream.
pub(crate) fn run(args: &WhyArgs) -> ExitCode {
    let done = if args.from.is_empty() {
        of_steadfast(args)
    } else {
        from::explain(args)
    };
    match done {
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
    let kind = match error.downcast_ref::<serde_json::Error>() {
        Some(error) => error.io_error_kind(),
        None => error.downcast_ref::<io::Error>().map(io::Error::kind),
    };
    kind == Some(io::ErrorKind::BrokenPipe)
}

/// `--json`.
#[derive(Serialize)]
struct Answer<'a> {
    incidents: Vec<&'a Incident>,
}

/// The incidents of the Steadfast that runs here, or ran.
fn of_steadfast(args: &WhyArgs) -> anyhow::Result<()> {
    let state_dir = match &args.state_dir {
        Some(dir) => dir.clone(),
        None => default_state_dir()?,
    };
    let store = Store::read(&state_dir)?;
    let mut out = io::stdout().lock();
    if let Some(id) = &args.id {
        let id = id.to_ascii_uppercase();
        let found = match &store {
            Some(store) => store.of_id(&id)?,
            None => None,
        };
        let Some(found) = found else {
            bail!(
                "no incident {id} is known in {}: give --state-dir where Steadfast keeps its files elsewhere; of very \
                 many it keeps the last 20,000",
                state_dir.display()
            );
        };
        return one(&mut out, &found.incident, args.json);
    }
    let since = args
        .since
        .map_or(0, |span| now_ms().saturating_sub(span.as_millis() as u64));
    let kept_none = || {
        format!(
            "Steadfast has kept no incidents in {} (--state-dir).",
            state_dir.display()
        )
    };
    let (after, found) = match &store {
        // In this order: none is passed over that is written between the two.
        Some(store) => (store.last_changed()?, store.since(since, args.last)?),
        None => (0, Vec::new()),
    };
    if store.is_none() && (args.json || args.follow) {
        // What follows it on the standard output is for machines, or is yet to come.
        eprintln!("{}", kept_none());
    }
    if args.follow {
        return follow(&mut out, args, store, &state_dir, found, after);
    }
    if args.json {
        let incidents = found.iter().map(|stored| &stored.incident).collect();
        serde_json::to_writer_pretty(&mut out, &Answer { incidents })?;
        writeln!(out)?;
    } else if store.is_none() {
        writeln!(out, "{}", kept_none())?;
    } else if found.is_empty() {
        let when = match args.since {
            Some(_) => " in that time",
            None => "",
        };
        writeln!(out, "No connection to a server was lost{when}.")?;
    } else {
        list::write(&mut out, &found)?;
    }
    Ok(())
}

fn one(out: &mut impl Write, incident: &Incident, json: bool) -> anyhow::Result<()> {
    if json {
        serde_json::to_writer_pretty(&mut *out, incident)?;
        writeln!(out)?;
    } else {
        story::write(out, incident)?;
    }
    Ok(())
}

/// Writes those that were found, and each that is written, or comes to something else, after this [`Stored::changed`].
fn follow(
    out: &mut impl Write,
    args: &WhyArgs,
    mut store: Option<Store>,
    state_dir: &std::path::Path,
    mut found: Vec<Stored>,
    mut after: i64,
) -> anyhow::Result<()> {
    loop {
        for stored in &found {
            after = after.max(stored.changed);
            if args.json {
                serde_json::to_writer(&mut *out, &stored.incident)?;
                writeln!(out)?;
            } else {
                list::line(out, &stored.incident)?;
            }
        }
        out.flush()?;
        std::thread::sleep(FOLLOW);
        if store.is_none() {
            store = Store::read(state_dir)?;
        }
        found = match &store {
            Some(store) => store
                .changed_after(after)
                .context("new incidents cannot be read")?,
            None => Vec::new(),
        };
    }
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
