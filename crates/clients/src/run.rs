//! Starts a client's driver, hands it the request and takes its transcript.

use std::env;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::catalog::{Client, Kind};
use crate::drive;
use crate::install;
use crate::request::{Program, Request};

/// A driver that takes longer is ended: something hangs, which is a finding.
const LONGEST: Duration = Duration::from_secs(240);

/// A client that is ready to run.
pub(crate) struct Ready {
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, PathBuf)>,
    command_line: Option<Program>,
}

/// What a driver wrote.
pub(crate) struct Transcript {
    pub(crate) lines: Vec<Value>,
    /// How the driver ended, if not well.
    pub(crate) failure: Option<String>,
}

/// Makes a client ready: installs what it needs.
pub(crate) fn ready(client: &Client, scripts: &Path) -> anyhow::Result<Ready> {
    let own = |driver: &str| -> anyhow::Result<Ready> {
        let args = vec!["--drive".to_owned(), driver.to_owned()];
        Ok(Ready {
            program: env::current_exe()?,
            args,
            env: Vec::new(),
            command_line: None,
        })
    };
    let script = |program: PathBuf, path: &Path, env| {
        let args = vec![path.display().to_string()];
        Ok(Ready {
            program,
            args,
            env,
            command_line: None,
        })
    };
    match &client.kind {
        Kind::MysqlAsync => own(drive::MYSQL_ASYNC),
        Kind::MariaDbCommandLine => {
            let command_line = Some(command_line(steadfast_sandbox::Kind::MariaDb)?);
            Ok(Ready {
                command_line,
                ..own(drive::COMMAND_LINE)?
            })
        }
        Kind::MySqlCommandLine => {
            let command_line = Some(command_line(steadfast_sandbox::Kind::MySql)?);
            Ok(Ready {
                command_line,
                ..own(drive::COMMAND_LINE)?
            })
        }
        Kind::Python(path) => {
            let no_cache = ("PYTHONDONTWRITEBYTECODE".to_owned(), PathBuf::from("1"));
            script(install::python(scripts)?, path, vec![no_cache])
        }
        Kind::Node(path) => {
            let modules = ("CLIENT_MODULES".to_owned(), install::node(scripts)?);
            script("node".into(), path, vec![modules])
        }
    }
}

fn command_line(kind: steadfast_sandbox::Kind) -> anyhow::Result<Program> {
    let command = steadfast_sandbox::client(kind)?;
    let text = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
    Ok(Program {
        path: text(command.get_program()),
        args: command.get_args().map(text).collect(),
        env: command
            .get_envs()
            .filter_map(|(name, value)| Some((text(name), text(value?))))
            .collect(),
        mysql: kind == steadfast_sandbox::Kind::MySql,
    })
}

impl Ready {
    /// Runs the driver once.
    pub(crate) fn run(&self, request: &Request) -> anyhow::Result<Transcript> {
        let request = Request {
            program: self.command_line.clone(),
            ..request.clone()
        };
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let (Some(mut input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            bail!("a pipe to {} is missing", self.program.display());
        };
        let output = thread::spawn(move || read(output));
        let errors = thread::spawn(move || read(errors));
        // A driver that ended before it read the request says why on standard error.
        let written = input.write_all(&serde_json::to_vec(&request)?);
        drop(input);
        let ended = wait(&mut child)?;
        let (Ok(output), Ok(errors)) = (output.join(), errors.join()) else {
            bail!("a reader of the driver's output failed");
        };
        let mut lines = Vec::new();
        for line in output?.lines() {
            lines.push(
                serde_json::from_str(line)
                    .with_context(|| format!("not a line of a transcript: {line}"))?,
            );
        }
        let errors = errors?;
        let failure = match ended {
            None => Some(format!("still running after {} s", LONGEST.as_secs())),
            Some(status) if !status.success() => Some(format!("{status}: {}", errors.trim())),
            Some(_) => written
                .err()
                .map(|error| format!("did not take the request: {error}")),
        };
        Ok(Transcript { lines, failure })
    }
}

fn read(mut from: impl Read) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn wait(child: &mut Child) -> anyhow::Result<Option<std::process::ExitStatus>> {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if began.elapsed() > LONGEST {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(10));
    }
}
