//! What a client's driver is asked to do: one JSON document on its standard input (tests/clients/README.md).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Everything that one run of a driver needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) login: Login,
    /// How to start the command line client, for the driver that drives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) program: Option<Program>,
    pub(crate) ops: Vec<Op>,
}

/// Where and as whom to connect.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Login {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) database: Option<String>,
    pub(crate) tls: bool,
    /// Whether the client negotiates CLIENT_MULTI_STATEMENTS.
    #[serde(default)]
    pub(crate) multi: bool,
    /// Whether the client is told to allow `mysql_clear_password`.
    #[serde(default)]
    pub(crate) clear_password: bool,
}

impl Login {
    /// This login with what an operation wants otherwise.
    pub(crate) fn with(&self, other: &LoginChange) -> Login {
        let mut login = self.clone();
        if let Some(user) = &other.user {
            login.user.clone_from(user);
        }
        if let Some(password) = &other.password {
            login.password.clone_from(password);
        }
        login.multi |= other.multi;
        login.clear_password |= other.clear_password;
        login
    }
}

/// What one operation changes in the login.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LoginChange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) multi: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) clear_password: bool,
}

/// A command line client: program, leading arguments, environment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) path: String,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    /// Whether it is MySQL's own client (its options for TLS differ from MariaDB's).
    pub(crate) mysql: bool,
}

/// One operation: a connection of its own and the steps taken on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Op {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) login: LoginChange,
    pub(crate) steps: Vec<Step>,
}

/// One thing that a client does on its connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Step {
    /// COM_QUERY. With `digest` the transcript holds a hash of the rows.
    Query {
        sql: String,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        digest: bool,
    },
    /// COM_STMT_PREPARE and one COM_STMT_EXECUTE per list of parameters.
    Execute {
        sql: String,
        params: Vec<Vec<Value>>,
    },
    /// Stores so many bytes in `blobs` and reads them back.
    Blob { bytes: usize },
    /// Runs the statement and kills it from a second connection by the id that the client object shows.
    KillQuery { sql: String },
    /// Waits until this file is there, 10 s at most, with the connection idle.
    Wait { file: PathBuf },
    /// What the client object says about the server.
    Server,
    /// COM_PING.
    Ping,
    /// COM_INIT_DB.
    InitDb { database: String },
    /// COM_RESET_CONNECTION.
    Reset,
    /// COM_CHANGE_USER.
    ChangeUser {
        user: String,
        password: String,
        database: String,
    },
}

impl Step {
    /// The name under which scripts know the step.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Step::Query { .. } => "query",
            Step::Execute { .. } => "execute",
            Step::Blob { .. } => "blob",
            Step::KillQuery { .. } => "kill_query",
            Step::Wait { .. } => "wait",
            Step::Server => "server",
            Step::Ping => "ping",
            Step::InitDb { .. } => "init_db",
            Step::Reset => "reset",
            Step::ChangeUser { .. } => "change_user",
        }
    }
}
