//! Where a case runs: a server that all cases of the run share, one at a time, and doctor.

use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde_json::Value;
use steadfast_sandbox::{Kind, Server};

/// The servers of this run. They end with the process: the sandbox sees to it.
static MARIADB: OnceLock<Mutex<Server>> = OnceLock::new();
static MYSQL: OnceLock<Mutex<Server>> = OnceLock::new();

/// A server for one case.
pub(crate) struct Place {
    server: MutexGuard<'static, Server>,
}

impl Place {
    /// The run's server of this kind.
    pub(crate) fn of(kind: Kind) -> Self {
        let shared = match kind {
            Kind::MariaDb => &MARIADB,
            Kind::MySql => &MYSQL,
        };
        let server = shared
            .get_or_init(|| Mutex::new(Server::of(kind).start().unwrap()))
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let place = Self { server };
        if !place.is_mariadb() {
            place.sql(
                "TRUNCATE performance_schema.events_errors_summary_global_by_error;
                       TRUNCATE performance_schema.events_errors_summary_by_account_by_error;",
            );
        }
        place
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) fn is_mariadb(&self) -> bool {
        self.server.kind() == Kind::MariaDb
    }

    /// Runs SQL as the administrator; gives what the client prints.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.sql(sql).unwrap()
    }

    /// Sets global variables until the guard is dropped.
    #[track_caller]
    pub(crate) fn set<'a>(&'a self, settings: &[(&str, &str)]) -> Set<'a> {
        let mut set = Set {
            server: &self.server,
            back: Vec::new(),
        };
        for (name, value) in settings {
            let before = self.sql(&format!("SELECT @@GLOBAL.{name}"));
            set.back.push(format!(
                "SET GLOBAL {name} = {}",
                literal(before.trim_end_matches('\n'))
            ));
            self.sql(&format!("SET GLOBAL {name} = {value}"));
        }
        set
    }

    /// What doctor finds with these arguments beside those of [`quick`].
    #[track_caller]
    pub(crate) fn found(&self, arguments: &[&str]) -> Vec<(String, String)> {
        found(&self.server, arguments)
    }
}

/// Settings, until it is dropped.
pub(crate) struct Set<'a> {
    server: &'a Server,
    back: Vec<String>,
}

impl Drop for Set<'_> {
    fn drop(&mut self) {
        for statement in self.back.iter().rev() {
            if let Err(error) = self.server.sql(statement) {
                assert!(std::thread::panicking(), "{error}");
            }
        }
    }
}

fn literal(value: &str) -> String {
    if value.parse::<f64>().is_ok() || matches!(value, "ON" | "OFF") {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', "''"))
}

/// Makes neither probes nor a second sample.
pub(crate) const QUICK: [&str; 3] = ["--no-probes", "--sample", "0s"];

/// Where doctor keeps its files, if a test does not say it.
static STATE: OnceLock<tempfile::TempDir> = OnceLock::new();

/// Doctor with these arguments.
pub(crate) fn doctor(server: &Server, arguments: &[&str]) -> Output {
    steadfast()
        .arg("doctor")
        .args(arguments)
        .arg(format!("mysql://{}@{}", server.admin_user(), server.addr()))
        .env("STEADFAST_PASSWORD", server.admin_password())
        .output()
        .unwrap()
}

/// The program, with a state directory that nobody else uses.
pub(crate) fn steadfast() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
    let state = STATE.get_or_init(|| tempfile::tempdir().unwrap());
    command.env("XDG_STATE_HOME", state.path());
    command
}

/// What doctor says in JSON, quickly, with these arguments beside.
#[track_caller]
pub(crate) fn answer(server: &Server, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = QUICK
        .iter()
        .chain(&["--json"])
        .chain(arguments)
        .copied()
        .collect();
    let output = doctor(server, &arguments);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{error}"));
    let bad = answer["findings"]
        .as_array()
        .unwrap()
        .iter()
        .any(|finding| finding["severity"] != "note");
    assert_eq!(
        output.status.code(),
        Some(if bad { 3 } else { 0 }),
        "{answer}"
    );
    answer
}

/// Checks and severities that doctor finds, but for two notes: MySQL's default verbosity, and that what a test has set
/// would not survive a restart.
#[track_caller]
pub(crate) fn found(server: &Server, arguments: &[&str]) -> Vec<(String, String)> {
    let answer = answer(server, arguments);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut found: Vec<(String, String)> = answer["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (text(&finding["check"]), text(&finding["severity"])))
        .filter(|(check, severity)| {
            severity != "note" || !matches!(check.as_str(), "error-log" | "lost-at-restart")
        })
        .collect();
    found.sort();
    found
}

/// For comparing with [`found`].
pub(crate) fn these(findings: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut these: Vec<(String, String)> = findings
        .iter()
        .map(|(check, severity)| ((*check).to_owned(), (*severity).to_owned()))
        .collect();
    these.sort();
    these
}
