//! The shell that runs a server and cleans up when its owner is gone.
//!
//! The server is the shell's child, so that its process id is known before anything can go
//! wrong and is not given to another process before the shell has reaped it. The shell has a
//! process group of its own: a Ctrl-C on the terminal reaches the owner only, and the end of
//! the owner ends the rest.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::Error;

const SCRIPT: &str = include_str!("watchdog.sh");

/// A signal that a server can be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Signal {
    Kill,
    Terminate,
    Stop,
    Continue,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Signal::Kill => "KILL",
            Signal::Terminate => "TERM",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        }
    }
}

/// A running watchdog. Dropping it kills the server and removes the directory.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
    /// `None` once the watchdog was told to end.
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Watchdog {
    /// Starts the shell and makes it create `directory`; the server does not run yet.
    pub(crate) fn spawn(directory: &Path, server: &Command) -> Result<Self, Error> {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", SCRIPT, "steadfast-watchdog"])
            .arg(directory)
            .arg(server.get_program())
            .args(server.get_args().map(OsString::from))
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let what = "start the shell that watches over a server";
        let mut shell = command.spawn().map_err(Error::io(what))?;
        let (orders, answers) = (shell.stdin.take(), shell.stdout.take());
        let (Some(orders), Some(answers)) = (orders, answers) else {
            return Err(Error::io(what)(std::io::ErrorKind::BrokenPipe.into()));
        };
        let mut watchdog = Watchdog {
            shell,
            orders: Some(orders),
            answers: BufReader::new(answers),
        };
        let answer = watchdog.answer()?;
        if answer != "ready" {
            return Err(Error::io(format!(
                "create the directory {}",
                directory.display()
            ))(std::io::Error::other(answer)));
        }
        Ok(watchdog)
    }

    /// Starts the server and returns its process id.
    pub(crate) fn start(&mut self) -> Result<u32, Error> {
        let answer = self.order("start")?;
        answer
            .parse()
            .map_err(|_| lost(format!("the answer was `{answer}`")))
    }

    /// Sends the server a signal; an error when it does not exist.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<(), Error> {
        match self.order(signal.name())?.as_str() {
            "0" => Ok(()),
            status => Err(Error::io(format!("send SIG{} to a server", signal.name()))(
                std::io::Error::other(format!("kill ended with status {status}")),
            )),
        }
    }

    /// Waits until the server has ended.
    pub(crate) fn reap(&mut self) -> Result<(), Error> {
        self.order("reap").map(drop)
    }

    fn order(&mut self, order: &str) -> Result<String, Error> {
        let orders = self.orders.as_mut().ok_or_else(|| lost("it was ended"))?;
        writeln!(orders, "{order}").map_err(lost)?;
        self.answer()
    }

    fn answer(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(0) => Err(lost("it is gone")),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) => Err(lost(error)),
        }
    }
}

fn lost(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::io("give an order to the shell that watches over a server")(std::io::Error::other(
        reason,
    ))
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.orders = None;
        if let Err(error) = self.shell.wait() {
            eprintln!("steadfast: could not wait for a sandboxed server's end: {error}");
        }
    }
}
