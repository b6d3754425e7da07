//! Where a case runs: a server that all cases of the run share, one at a time, without a ledger and without accounts
//! of the case before.

use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use steadfast_sandbox::{Kind, Server};

/// The servers of this run. They end with the process: the sandbox sees to it.
static MARIADB: OnceLock<Mutex<Server>> = OnceLock::new();
static MYSQL: OnceLock<Mutex<Server>> = OnceLock::new();

/// A server for one case.
pub(crate) struct Place {
    server: MutexGuard<'static, Server>,
}

impl Place {
    /// The run's server of this kind, cleaned.
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
        place.clean();
        place
    }

    /// Drops the ledger and everything that is not the server's own.
    fn clean(&self) {
        let others = self.sql(
            "SELECT CONCAT(QUOTE(User), IF(Host = '', '', CONCAT('@', QUOTE(Host)))) FROM mysql.user
             WHERE User NOT IN ('root', 'mariadb.sys', 'mysql', 'PUBLIC') AND User NOT LIKE 'mysql.%'",
        );
        let mut script = "DROP DATABASE IF EXISTS steadfast; DROP DATABASE IF EXISTS app;
            DELETE FROM mysql.db WHERE Db = 'steadfast'; FLUSH PRIVILEGES;"
            .to_owned();
        // The client prints a backslash as two.
        for other in others.replace(r"\\", r"\").lines() {
            let is_role = self.is_mariadb() && !other.contains('@');
            script += &format!("DROP {} {other};", if is_role { "ROLE" } else { "USER" });
        }
        self.sql(&script);
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

    /// The first value of what a query gives.
    #[track_caller]
    pub(crate) fn value(&self, sql: &str) -> String {
        self.sql(sql).trim().to_owned()
    }

    /// `steadfast ledger` with these arguments and the administrator's account.
    pub(crate) fn ledger(&self, arguments: &[&str]) -> Output {
        let server = &self.server;
        run(
            server,
            server.admin_user(),
            server.admin_password(),
            arguments,
        )
    }

    /// The same, which must succeed; gives its output.
    #[track_caller]
    pub(crate) fn done(&self, arguments: &[&str]) -> String {
        succeeded(&self.ledger(arguments))
    }

    /// The same, which must fail with exit code 1; gives the one line of the error.
    #[track_caller]
    pub(crate) fn refused(&self, arguments: &[&str]) -> String {
        failed(&self.ledger(arguments))
    }

    /// The same as another account.
    pub(crate) fn ledger_as(&self, user: &str, password: &str, arguments: &[&str]) -> Output {
        run(&self.server, user, password, arguments)
    }

    /// What `status --json` says.
    #[track_caller]
    pub(crate) fn status(&self) -> serde_json::Value {
        let output = self.ledger(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let expected = if status["state"] == "current" { 0 } else { 1 };
        assert_eq!(output.status.code(), Some(expected), "{status}");
        status
    }
}

/// `steadfast ledger` on a server.
pub(crate) fn run(server: &Server, user: &str, password: &str, arguments: &[&str]) -> Output {
    let url = format!("mysql://{user}@{}", server.addr());
    Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .arg("ledger")
        .args(arguments)
        .arg(url)
        .env("STEADFAST_PASSWORD", password)
        .output()
        .unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[track_caller]
pub(crate) fn succeeded(output: &Output) -> String {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    assert_eq!(error, "");
    text(&output.stdout)
}

#[track_caller]
pub(crate) fn failed(output: &Output) -> String {
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("steadfast: "), "{error}");
    assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    error
}
