//! The drivers of the clients that need no other language: the same contract as the scripts in tests/clients,
//! request on standard input, transcript on standard output.

mod command_line;
mod mysql_async;

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::request::{Login, Request, Step};

/// Name of the driver for the `mariadb` and `mysql` command line clients.
pub(crate) const COMMAND_LINE: &str = "command-line";
/// Name of the driver for the mysql_async crate.
pub(crate) const MYSQL_ASYNC: &str = "mysql_async";

/// A client that can be connected.
trait Client {
    type Session;

    /// Connects, or gives the results that describe why not.
    fn connect(&self, login: &Login) -> Result<Self::Session, Vec<Value>>;

    /// Takes one step; errors of the client are results too.
    fn step(&self, session: &mut Self::Session, login: &Login, step: &Step) -> Vec<Value>;
}

/// Runs one of the drivers: reads the request, writes the transcript.
pub(crate) fn run(name: &str) -> anyhow::Result<()> {
    let request: Request =
        serde_json::from_reader(io::stdin()).context("cannot read the request")?;
    match name {
        COMMAND_LINE => {
            let program = request
                .program
                .clone()
                .context("the request names no program")?;
            converse(&command_line::CommandLine::new(program), &request)
        }
        MYSQL_ASYNC => converse(&mysql_async::MysqlAsync::new()?, &request),
        other => bail!("there is no driver {other}"),
    }
}

fn converse<C: Client>(client: &C, request: &Request) -> anyhow::Result<()> {
    for op in &request.ops {
        let login = request.login.with(&op.login);
        let mut session = match client.connect(&login) {
            Ok(session) => session,
            Err(results) => {
                emit(&op.name, &json!("connect"), results)?;
                continue;
            }
        };
        for (number, step) in op.steps.iter().enumerate() {
            let results = match step {
                Step::Wait { file } => wait(file),
                step => client.step(&mut session, &login, step),
            };
            emit(&op.name, &json!(number), results)?;
        }
    }
    Ok(())
}

fn emit(op: &str, step: &Value, results: Vec<Value>) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for result in results {
        let mut line = Map::new();
        line.insert("op".to_owned(), json!(op));
        line.insert("step".to_owned(), step.clone());
        if let Value::Object(members) = result {
            line.extend(members);
        }
        writeln!(out, "{}", Value::Object(line))?;
    }
    Ok(())
}

/// Waits for a file; the session is idle meanwhile.
fn wait(file: &Path) -> Vec<Value> {
    let began = Instant::now();
    while !file.exists() && began.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(10));
    }
    vec![json!({ "waited": file.exists() })]
}

fn unsupported(step: &Step) -> Vec<Value> {
    vec![json!({ "unsupported": format!("no {} in this client", step.kind()) })]
}

fn sha256(data: &[u8]) -> String {
    digest(&SHA256, data)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// `size` bytes (a multiple of 64) of hexadecimal digits in which no two blocks of 64 KiB are equal, so that a lost
/// or exchanged part changes the hash.
fn pattern(size: usize) -> String {
    const BLOCK: usize = 64 << 10;
    let mut text = String::with_capacity(size + BLOCK);
    for block in 0..size.div_ceil(BLOCK) {
        let line = sha256(block.to_string().as_bytes());
        for _ in 0..BLOCK / line.len() {
            text.push_str(&line);
        }
    }
    text.truncate(size);
    text
}
