//! Steadfast as the demo runs it: `steadfast serve` of the same program, in a process of its
//! own, and what its log tells.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use serde::Deserialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

const SCRIPT: &str = include_str!("steadfast.sh");
/// Lines of the log that are kept to explain an unexpected end.
const LINES_KEPT: usize = 5;

/// A loss that Steadfast has dealt with, or has told a client of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Incident {
    /// When the connection was lost.
    pub(super) lost: Instant,
    /// What happened, in people's words.
    pub(super) what: String,
    /// From the loss until it was dealt with.
    pub(super) waited: Duration,
    /// The error that the client was told, or 0.
    pub(super) error: u16,
}

/// What Steadfast's standard error said.
#[derive(Debug)]
enum News {
    Listening(SocketAddr),
    Incident(Incident),
    /// It has ended; the end of its log.
    Ended(String),
}

/// A running Steadfast. Dropping it kills it and removes its directory.
pub(super) struct Steadfast {
    shell: Child,
    /// `None` once the shell was told to end.
    life: Option<ChildStdin>,
    news: UnboundedReceiver<News>,
    addr: SocketAddr,
}

impl Steadfast {
    /// Starts `steadfast serve` in front of `backend`, and returns when it listens.
    pub(super) async fn start(backend: SocketAddr) -> Result<Self> {
        let program = std::env::current_exe().context("this program's file is not known")?;
        let directory = private_directory();
        let mut command = command(&program, &directory, backend);
        let mut shell = command.spawn().context("Steadfast cannot be started")?;
        let life = shell.stdin.take();
        let stderr = shell.stderr.take().context("Steadfast has no log")?;
        let (tell, news) = unbounded_channel();
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || read_log(stderr, &tell))
            .context("no thread can be started")?;
        let mut steadfast = Self {
            shell,
            life,
            news,
            addr: backend,
        };
        match steadfast.news.recv().await {
            Some(News::Listening(addr)) => steadfast.addr = addr,
            Some(News::Ended(log)) => return Err(ended(&log)),
            Some(News::Incident(_)) | None => return Err(ended("")),
        }
        Ok(steadfast)
    }

    /// Where clients connect.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next incident, whenever it comes.
    ///
    /// # Errors
    /// Steadfast has ended, which it should not.
    pub(super) async fn incident(&mut self) -> Result<Incident> {
        loop {
            match self.news.recv().await {
                Some(News::Incident(incident)) => return Ok(incident),
                Some(News::Listening(_)) => {}
                Some(News::Ended(log)) => return Err(ended(&log)),
                None => return Err(ended("")),
            }
        }
    }
}

impl Drop for Steadfast {
    fn drop(&mut self) {
        self.life = None;
        if let Err(error) = self.shell.wait() {
            eprintln!("steadfast: could not wait for the end of Steadfast: {error}");
        }
    }
}

fn ended(log: &str) -> anyhow::Error {
    anyhow!("Steadfast ended by itself; the end of its log: {log}")
}

fn command(program: &Path, directory: &Path, backend: SocketAddr) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", SCRIPT, "steadfast-demo"])
        .arg(directory)
        .arg(program)
        .args(["serve", "--backend", &backend.to_string()])
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .arg("--config")
        .arg(directory.join("steadfast.toml"))
        .arg("--state-dir")
        .arg(directory.join("state"))
        .args(["--log-format", "json"])
        .current_dir("/")
        // A Ctrl-C on the terminal is for the demo, which ends this in its own time.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// A name that does not exist yet.
fn private_directory() -> std::path::PathBuf {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    std::env::temp_dir().join(format!("steadfast-demo-{}-{now:x}", std::process::id()))
}

/// Reads until the end of the stream. A receiver that is gone wants no more news.
fn read_log(stderr: impl Read, tell: &UnboundedSender<News>) {
    let mut last: Vec<String> = Vec::new();
    for line in BufReader::new(stderr).split(b'\n') {
        let line = match line {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("(unreadable: {error})"),
        };
        if let Some(news) = news(&line) {
            if tell.send(news).is_err() {
                return;
            }
            continue;
        }
        last.push(line);
        if last.len() > LINES_KEPT {
            last.remove(0);
        }
    }
    let _unheard_after_the_demo = tell.send(News::Ended(last.join(" | ")));
}

/// A line of the log that has an incident.
#[derive(Deserialize)]
struct Line {
    message: String,
    #[serde(rename = "incident")]
    _id: String,
    waited_ms: u64,
    #[serde(default)]
    error: u16,
}

fn news(line: &str) -> Option<News> {
    if let Some(addr) = line.strip_prefix("listening on ") {
        return addr.parse().ok().map(News::Listening);
    }
    let line: Line = serde_json::from_str(line).ok()?;
    let waited = Duration::from_millis(line.waited_ms);
    let now = Instant::now();
    Some(News::Incident(Incident {
        lost: now.checked_sub(waited).unwrap_or(now),
        what: without_particulars(&line.message),
        waited,
        error: line.error,
    }))
}

/// The message without who it was and without counts, so that equal incidents read the same.
fn without_particulars(message: &str) -> String {
    let what = message
        .split_once("): ")
        .map_or(message, |(_who, what)| what);
    let mut text = String::new();
    let mut rest = what;
    while let Some((before, after)) = rest.split_once(" (") {
        text.push_str(before);
        match after.split_once(')') {
            Some((inside, after)) if inside.ends_with(" statements") => rest = after,
            _ => {
                text.push_str(" (");
                rest = after;
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_is_read_from_the_log() {
        let line = r#"{"timestamp":"2026-11-22T18:00:00Z","level":"INFO","message":"teller@127.0.0.1:9 (connection 7): the server closed the connection; the open transaction was replayed (4 statements), the client saw nothing","incident":"00ABCD","waited_ms":250}"#;
        let Some(News::Incident(incident)) = news(line) else {
            panic!("no incident");
        };
        assert_eq!(
            incident.what,
            "the server closed the connection; the open transaction was replayed, the client saw nothing"
        );
        assert_eq!(incident.waited, Duration::from_millis(250));
        assert_eq!(incident.error, 0);
    }

    #[test]
    fn an_errors_code_stays_in_the_text() {
        assert_eq!(
            without_particulars(
                "u@h:1 (connection 7): the server is shutting down (1053); the client was told 1180 (commit)"
            ),
            "the server is shutting down (1053); the client was told 1180 (commit)"
        );
    }

    #[test]
    fn other_lines_are_no_news_but_the_address() {
        assert!(news("admin on http://127.0.0.1:1").is_none());
        assert!(news(r#"{"level":"WARN","message":"x"}"#).is_none());
        assert!(matches!(
            news("listening on 127.0.0.1:6033"),
            Some(News::Listening(_))
        ));
    }
}
