//! Programs that read one JSON document from standard input and write JSON lines.

use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Runs a program for `longest` at most; its lines, and how it ended if not well.
pub(crate) fn converse<L: DeserializeOwned>(
    mut command: Command,
    request: &impl Serialize,
    longest: Duration,
) -> anyhow::Result<(Vec<L>, Option<String>)> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let (Some(mut input), Some(output), Some(errors)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        bail!("a pipe to {name} is missing");
    };
    let output = thread::spawn(move || read(output));
    let errors = thread::spawn(move || read(errors));
    // A program that ended before it read the request says why on standard error.
    let written = input.write_all(&serde_json::to_vec(request)?);
    drop(input);
    let ended = wait(&mut child, longest)?;
    let (Ok(output), Ok(errors)) = (output.join(), errors.join()) else {
        bail!("a reader of the output of {name} failed");
    };
    let mut lines = Vec::new();
    for line in output?.lines() {
        lines.push(
            serde_json::from_str(line)
                .with_context(|| format!("not a line that {name} is to write: {line}"))?,
        );
    }
    let errors = errors?;
    let failure = match ended {
        None => Some(format!("still running after {} s", longest.as_secs())),
        Some(status) if !status.success() => Some(format!("{status}: {}", errors.trim())),
        Some(_) => written
            .err()
            .map(|error| format!("did not take the request: {error}")),
    };
    Ok((lines, failure))
}

fn read(mut from: impl Read) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn wait(child: &mut Child, longest: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if began.elapsed() > longest {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(10));
    }
}
