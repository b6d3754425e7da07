//! The `mariadb` and `mysql` command line clients, fed through standard input.
//!
//! Both are run so that they print each result at once with its counters. The end of a step is found by a marker
//! that is selected after it, or, when the connection is gone, by one that the client's shell command prints.

use std::io::{BufRead, BufReader, PipeReader, Write, pipe};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Client, pattern, sha256, unsupported};
use crate::request::{Login, Program, Step};

const DELIMITER: &str = ";;;";
/// The heading of the marker's column.
const HEADING: &str = "marker";
/// What the clients print around a statement that they echo.
const FRAME: &str = "--------------";
/// Longer output is hashed.
const MOST_LINES: usize = 400;

pub(super) struct CommandLine {
    program: Program,
}

/// One running client.
pub(super) struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<PipeReader>,
    steps: usize,
}

impl Drop for Session {
    fn drop(&mut self) {
        // The client ends at the end of its input; a client that hangs must not hold up the others.
        if self.input.write_all(b"\n\\q\n").is_err() || !matches!(wait(&mut self.child), Ok(true)) {
            // Failing to kill means that it has ended.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn wait(child: &mut Child) -> std::io::Result<bool> {
    for _ in 0..100 {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(false)
}

impl Client for CommandLine {
    type Session = Session;

    fn connect(&self, login: &Login) -> Result<Session, Vec<Value>> {
        let mut session = self
            .start(login, true)
            .map_err(|error| vec![failure(&error.to_string())])?;
        match session.finish_step() {
            Ok(Ended::Alive(_)) => Ok(session),
            Ok(Ended::Lost(lines)) => Err(vec![failure(&lines.join("\n"))]),
            Err(error) => Err(vec![failure(&error.to_string())]),
        }
    }

    fn step(&self, session: &mut Session, login: &Login, step: &Step) -> Vec<Value> {
        let results = match step {
            Step::Query { sql, digest } => {
                session.query(sql).map(|lines| vec![shown(&lines, *digest)])
            }
            Step::Blob { bytes } => self.blob(login, *bytes),
            Step::KillQuery { sql } => self.kill_query(session, login, sql),
            Step::Server => self.server(session),
            Step::InitDb { database } => session
                .command(&format!("\\u {database}"))
                .map(|lines| vec![shown(&lines, false)]),
            // MariaDB's client has no such command.
            Step::Reset if self.program.mysql => session
                .command("resetconnection")
                .map(|lines| vec![shown(&lines, false)]),
            Step::Execute { .. }
            | Step::Ping
            | Step::Reset
            | Step::ChangeUser { .. }
            | Step::Wait { .. } => Ok(unsupported(step)),
        };
        results.unwrap_or_else(|error| vec![failure(&error.to_string())])
    }
}

fn failure(text: &str) -> Value {
    json!({ "error": { "message": text } })
}

fn shown(lines: &[String], digest: bool) -> Value {
    if digest || lines.len() > MOST_LINES {
        return json!({ "lines": lines.len(), "sha256": sha256(lines.join("\n").as_bytes()) });
    }
    json!({ "output": lines })
}

/// The content of a line that may stand in a table's frame.
fn bare(line: &str) -> &str {
    line.trim_matches(['|', ' '])
}

enum Ended {
    Alive(Vec<String>),
    Lost(Vec<String>),
}

impl CommandLine {
    pub(super) fn new(program: Program) -> Self {
        Self { program }
    }

    fn command(&self, login: &Login) -> Command {
        let program = &self.program;
        let mut command = Command::new(&program.path);
        command.args(&program.args);
        command.envs(program.env.iter().map(|(name, value)| (name, value)));
        command.env("MYSQL_PWD", &login.password);
        command.args([
            "--protocol=tcp",
            "--batch",
            "--force",
            "--unbuffered",
            "--skip-reconnect",
            "--local-infile=1",
            "--max-allowed-packet=128M",
            "--default-character-set=utf8mb4",
        ]);
        command.arg(format!("--host={}", login.host));
        command.arg(format!("--port={}", login.port));
        command.arg(format!("--user={}", login.user));
        let tls: &[&str] = match (program.mysql, login.tls) {
            (true, true) => &["--ssl-mode=REQUIRED"],
            (true, false) => &["--ssl-mode=DISABLED", "--get-server-public-key"],
            (false, true) => &["--ssl", "--skip-ssl-verify-server-cert"],
            (false, false) => &["--skip-ssl"],
        };
        command.args(tls);
        if program.mysql {
            command.args(["--commands=ON", "--system-command=ON"]);
            if login.clear_password {
                command.arg("--enable-cleartext-plugin");
            }
        }
        if let Some(database) = &login.database {
            command.arg(format!("--database={database}"));
        }
        command
    }

    /// Starts a client; with `talkative` it prints statements, counters and metadata.
    fn start(&self, login: &Login, talkative: bool) -> std::io::Result<Session> {
        let (reader, writer) = pipe()?;
        let mut command = self.command(login);
        if talkative {
            command.args(["-vv", "--table", "--show-warnings", "--column-type-info"]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .spawn()?;
        let input = child.stdin.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        // The command holds the pipe's other end: it must go, or the end of the output is never seen.
        drop(command);
        Ok(Session {
            child,
            input,
            output: BufReader::new(reader),
            steps: 0,
        })
    }

    fn blob(&self, login: &Login, bytes: usize) -> std::io::Result<Vec<Value>> {
        let sent = pattern(bytes);
        let mut session = self.start(login, false)?;
        let stored = session.query(&format!("REPLACE INTO blobs VALUES (1, '{sent}')"))?;
        let received = session.query("SELECT content FROM blobs WHERE id = 1")?;
        let content = received.last().map_or("", String::as_str);
        Ok(vec![
            json!({ "output": stored }),
            json!({ "lines": received.len(), "length": content.len(), "sha256": sha256(content.as_bytes()), "same": sent == content }),
        ])
    }

    fn server(&self, session: &mut Session) -> std::io::Result<Vec<Value>> {
        let id = session.connection_id()?;
        let own = session.query("SELECT CONNECTION_ID()")?;
        let status = session.command("\\s")?;
        // The rest of the status is about the moment, the port, and the encryption of this leg.
        let stable = [
            "Server version:",
            "Protocol version:",
            "Current user:",
            "Current database:",
            "characterset:",
        ];
        let status: Vec<_> = status
            .iter()
            .filter(|line| stable.iter().any(|name| line.contains(name)))
            .collect();
        Ok(vec![
            json!({ "status": status, "id_is_connection_id": own.iter().any(|line| bare(line) == id) }),
        ])
    }

    fn kill_query(
        &self,
        session: &mut Session,
        login: &Login,
        sql: &str,
    ) -> std::io::Result<Vec<Value>> {
        let id = session.connection_id()?;
        let began = Instant::now();
        session.send(sql)?;
        let mut killer = self.start(login, false)?;
        let watch =
            format!("SELECT COUNT(*) FROM information_schema.processlist WHERE info = '{sql}'");
        while began.elapsed() < Duration::from_secs(10) {
            if killer
                .query(&watch)?
                .last()
                .is_some_and(|count| count == "1")
            {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let kill = killer.query(&format!("KILL QUERY {id}"))?;
        let outcome = session.finish_step()?.lines();
        let early = began.elapsed() < Duration::from_secs(15);
        let alive = session.query("SELECT 1")?;
        Ok(vec![
            json!({ "kill": kill }),
            json!({ "output": outcome }),
            json!({ "ended_early": early }),
            json!({ "output": alive }),
        ])
    }
}

impl Ended {
    fn lines(self) -> Vec<String> {
        match self {
            Ended::Alive(lines) | Ended::Lost(lines) => lines,
        }
    }
}

impl Session {
    fn send(&mut self, sql: &str) -> std::io::Result<()> {
        // Another delimiter, so that the client sends several statements as one command.
        write!(
            self.input,
            "DELIMITER {DELIMITER}\n{sql}\n{DELIMITER}\nDELIMITER ;\n"
        )?;
        self.input.flush()
    }

    fn query(&mut self, sql: &str) -> std::io::Result<Vec<String>> {
        self.send(sql)?;
        Ok(self.finish_step()?.lines())
    }

    /// Runs a command of the client itself.
    fn command(&mut self, command: &str) -> std::io::Result<Vec<String>> {
        writeln!(self.input, "{command}")?;
        Ok(self.finish_step()?.lines())
    }

    /// The id that the client itself shows: what the server's greeting said.
    fn connection_id(&mut self) -> std::io::Result<String> {
        let status = self.command("\\s")?;
        let id = status
            .iter()
            .find_map(|line| line.strip_prefix("Connection id:"));
        Ok(id.unwrap_or("none shown").trim().to_owned())
    }

    /// The output up to the marker.
    fn finish_step(&mut self) -> std::io::Result<Ended> {
        self.steps += 1;
        let marker = format!("end of step {}", self.steps);
        let lost = format!("shell after step {}", self.steps);
        // A client that has ended takes no more input; what it said is in its output.
        let _ = write!(
            self.input,
            "SELECT '{marker}' AS '{HEADING}';\n\\! echo {lost}\n"
        );
        let mut lines = Vec::new();
        let (mut alive, mut marked, mut popped) = (false, false, false);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            if self.output.read_until(b'\n', &mut bytes)? == 0 {
                return Ok(Ended::Lost(lines));
            }
            let line = String::from_utf8_lossy(&bytes);
            let line = line.trim_end_matches('\n');
            if line == lost {
                return Ok(if alive {
                    Ended::Alive(lines)
                } else {
                    Ended::Lost(lines)
                });
            }
            alive |= bare(line) == marker;
            marked |= line.contains(&marker);
            if marked {
                // What precedes the marker: the echo's frame, or the heading of the marker's column.
                lines.pop_if(|last| !popped && (last == FRAME || last == HEADING));
                popped = true;
            } else {
                lines.push(line.to_owned());
            }
        }
    }
}
