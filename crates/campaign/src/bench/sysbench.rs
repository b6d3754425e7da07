//! sysbench at work, and what it tells.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use steadfast_sandbox::{Server, Sysbench};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::usage::Usage;
use super::work::Script;
use super::{DATABASE, Done, Latency};
use crate::rig::{PASSWORD, USER};

/// Rows of the one table: 20 MB with its index, which the buffer pool holds.
const ROWS: u32 = 100_000;

/// What sysbench looks for in its working directory when it is to use TLS.
const CERTIFICATES: [&str; 3] = ["cacert.pem", "client-cert.pem", "client-key.pem"];

/// One run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    pub(super) script: Script,
    pub(super) encrypted: bool,
    pub(super) clients: u32,
    pub(super) seconds: u32,
    /// Where the clients connect.
    pub(super) addr: SocketAddr,
    /// The proxy's process.
    pub(super) process: Option<u32>,
}

/// Creates the table, straight on the server.
pub(super) fn prepare(sysbench: &Sysbench, addr: SocketAddr) -> Result<()> {
    let mut command = sysbench.command("oltp_point_select");
    command.args(common(addr)).arg("prepare");
    let output = command
        .output()
        .context("sysbench could not be started (prepare)")?;
    if !output.status.success() {
        bail!(
            "sysbench could not prepare its table: {}",
            last_words(&output.stdout, &output.stderr)
        );
    }
    Ok(())
}

/// Puts what sysbench needs for TLS where it looks for it.
pub(super) fn certificates(server: &Server, directory: &Path) -> Result<()> {
    let (certificate, key) = server.certificate();
    let files = [server.ca_certificate(), certificate, key];
    for (file, name) in files.iter().zip(CERTIFICATES) {
        std::fs::copy(file, directory.join(name))
            .with_context(|| format!("could not copy {}", file.display()))?;
    }
    Ok(())
}

fn common(addr: SocketAddr) -> Vec<String> {
    vec![
        "--db-driver=mysql".to_owned(),
        format!("--mysql-host={}", addr.ip()),
        format!("--mysql-port={}", addr.port()),
        format!("--mysql-user={USER}"),
        format!("--mysql-password={PASSWORD}"),
        format!("--mysql-db={DATABASE}"),
        "--tables=1".to_owned(),
        format!("--table-size={ROWS}"),
    ]
}

impl Run {
    /// Its first second, with the logins, is not counted.
    ///
    /// # Errors
    /// sysbench failed, or lost a connection.
    pub(super) async fn done(&self, sysbench: &Sysbench, directory: &Path) -> Result<Done> {
        let mut command: Command = sysbench.command(self.script.name);
        let prepared = if self.script.prepared {
            "auto"
        } else {
            "disable"
        };
        let tls = if self.encrypted { "on" } else { "off" };
        command
            .args(common(self.addr))
            .arg(format!("--threads={}", self.clients))
            .arg(format!("--time={}", self.seconds + 1))
            .args(["--events=0", "--report-interval=1", "--histogram=on"])
            .args(["--rand-type=uniform"])
            .arg(format!("--db-ps-mode={prepared}"))
            .arg(format!("--mysql-ssl={tls}"))
            .arg("run")
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .context("sysbench could not be started")?;
        let stdout = child.stdout.take().context("sysbench has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut window = Window::default();
        let mut said = String::new();
        while let Some(line) = lines.next_line().await? {
            if let Some(interval) = Interval::of(&line) {
                window.add(interval, self.process)?;
            }
            said.push_str(&line);
            said.push('\n');
        }
        let mut errors = Vec::new();
        if let Some(mut stderr) = child.stderr.take() {
            stderr.read_to_end(&mut errors).await?;
        }
        let status = child.wait().await?;
        if !status.success() {
            bail!(
                "sysbench failed ({status}): {}",
                last_words(said.as_bytes(), &errors)
            );
        }
        let latency = latency(&said).context("sysbench tells no latencies")?;
        window.done(latency)
    }
}

fn last_words(stdout: &[u8], stderr: &[u8]) -> String {
    let said = [stdout, stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let fatal = said.lines().filter(|line| line.starts_with("FATAL"));
    let words: Vec<&str> = fatal.take(3).collect();
    match words.is_empty() {
        true => said.lines().last().unwrap_or_default().to_owned(),
        false => words.join(" / "),
    }
}

/// A line that sysbench prints each second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Interval {
    transactions: f64,
    queries: f64,
    reconnects: f64,
}

impl Interval {
    /// Such as `[ 2s ] thds: 16 tps: 714.32 qps: 14293.36 (r/w/o: …) lat (ms,95%): 33.72 err/s: 0.00 reconn/s: 0.00`.
    fn of(line: &str) -> Option<Self> {
        if !line.starts_with("[ ") {
            return None;
        }
        let figure = |name: &str| {
            let (_, rest) = line.split_once(name)?;
            rest.split_whitespace().next()?.parse().ok()
        };
        Some(Self {
            transactions: figure(" tps: ")?,
            queries: figure(" qps: ")?,
            reconnects: figure(" reconn/s: ")?,
        })
    }
}

/// What was done between sysbench's first line and its last.
#[derive(Debug, Default)]
struct Window {
    began: Option<(Instant, Option<Usage>)>,
    ended: Option<(Instant, Option<Usage>)>,
    transactions: f64,
    queries: f64,
}

impl Window {
    fn add(&mut self, interval: Interval, process: Option<u32>) -> Result<()> {
        if interval.reconnects > 0.0 {
            bail!("a client lost its connection");
        }
        let now = (Instant::now(), process.map(Usage::of).transpose()?);
        let Some((began, _)) = self.began else {
            self.began = Some(now);
            return Ok(());
        };
        let before = self.ended.map_or(began, |(ended, _)| ended);
        let seconds = (now.0 - before).as_secs_f64();
        self.transactions += interval.transactions * seconds;
        self.queries += interval.queries * seconds;
        self.ended = Some(now);
        Ok(())
    }

    fn done(self, latency: Latency) -> Result<Done> {
        let (Some((began, before)), Some((ended, after))) = (self.began, self.ended) else {
            bail!("sysbench has told no second second");
        };
        Ok(Done {
            operations: self.transactions,
            queries: self.queries,
            seconds: (ended - began).as_secs_f64(),
            latency,
            used: after.zip(before).map(|(after, before)| after.since(before)),
        })
    }
}

/// From its histogram, whose lines are such as `       0.063 |***          2`.
fn latency(said: &str) -> Option<Latency> {
    let bars = said.lines().filter_map(|line| {
        let (value, bar) = line.split_once(" |")?;
        let milliseconds: f64 = value.trim().parse().ok()?;
        let count: u64 = bar.trim_start_matches('*').trim().parse().ok()?;
        Some((milliseconds, count))
    });
    Latency::of(&bars.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "[ 2s ] thds: 16 tps: 714.32 qps: 14293.36 (r/w/o: 10004.45/2859.27/1429.64) \
                        lat (ms,95%): 33.72 err/s: 0.00 reconn/s: 0.00";

    #[test]
    fn its_lines_are_read() {
        let interval = Interval::of(LINE).unwrap();
        assert_eq!(interval.transactions, 714.32);
        assert_eq!(interval.queries, 14_293.36);
        assert_eq!(Interval::of("Threads started!"), None);
        assert_eq!(Interval::of("[ 2s ] thds: 16"), None);
    }

    #[test]
    fn its_histogram_is_read() {
        let text = "Latency histogram (values are in milliseconds)\n\
                    \x20      value  ------------- distribution ------------- count\n\
                    \x20      0.100 |****************************             700\n\
                    \x20      0.200 |**********                               290\n\
                    \x20      5.000 |                                          10\n \n";
        let latency = latency(text).unwrap();
        assert_eq!((latency.p50, latency.p99, latency.p999), (0.1, 0.2, 5.0));
        assert!(super::latency("no histogram").is_none());
    }

    #[test]
    fn a_lost_connection_is_no_figure() {
        let lost = LINE.replace("reconn/s: 0.00", "reconn/s: 1.00");
        let interval = Interval::of(&lost).unwrap();
        assert!(Window::default().add(interval, None).is_err());
    }
}
