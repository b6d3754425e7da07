//! Starts a client's driver, hands it the request and takes its transcript.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::catalog::{Client, Kind};
use crate::child::converse;
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
        let mut command = Command::new(&self.program);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        let (lines, failure) = converse(command, &request, LONGEST)?;
        Ok(Transcript { lines, failure })
    }
}
