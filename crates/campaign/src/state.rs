//! What each client sets in its session and expects to find there for the whole run.

use crate::check::Kind;
use crate::client::{Client, How, Stop};

/// The session's settings. Every client has other ones, so that a mixed-up connection shows.
#[derive(Debug, Clone)]
pub(crate) struct SessionState {
    client: u32,
    database: String,
    isolation_column: &'static str,
    /// A user variable that the client changes all the time.
    sequence: u64,
    price: String,
}

const ISOLATION: [&str; 4] = [
    "REPEATABLE-READ",
    "READ-COMMITTED",
    "SERIALIZABLE",
    "REPEATABLE-READ",
];
const SQL_MODES: [&str; 4] = [
    "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION",
    "ANSI_QUOTES,STRICT_ALL_TABLES",
    "NO_BACKSLASH_ESCAPES,STRICT_TRANS_TABLES",
    "",
];

/// MariaDB 10.11 has no `@@transaction_isolation`, MySQL 9.7 no `@@tx_isolation`.
const VERIFY_MARIADB: &str = "SELECT @@sql_mode, @@time_zone, @@group_concat_max_len, \
     @@tx_isolation, @@autocommit, @@div_precision_increment, @who, @name, @price, @seq, DATABASE()";
const VERIFY_MYSQL: &str = "SELECT @@sql_mode, @@time_zone, @@group_concat_max_len, \
     @@transaction_isolation, @@autocommit, @@div_precision_increment, @who, @name, @price, @seq, DATABASE()";

impl SessionState {
    pub(crate) fn new(client: u32, database: &str, mariadb: bool) -> Self {
        Self {
            client,
            database: database.to_owned(),
            isolation_column: if mariadb {
                VERIFY_MARIADB
            } else {
                VERIFY_MYSQL
            },
            sequence: 0,
            price: format!("{}.{:04}", 12 + client, client * 7),
        }
    }

    fn isolation(&self) -> &'static str {
        ISOLATION[self.client as usize % ISOLATION.len()]
    }

    fn sql_mode(&self) -> &'static str {
        SQL_MODES[self.client as usize % SQL_MODES.len()]
    }

    fn time_zone(&self) -> String {
        format!("+{:02}:30", self.client % 12)
    }

    fn name(&self) -> String {
        format!("Zoë ключ 鍵 {}", self.client)
    }

    fn expected(&self) -> Vec<String> {
        vec![
            self.sql_mode().to_owned(),
            self.time_zone(),
            (4000 + self.client).to_string(),
            self.isolation().to_owned(),
            "1".to_owned(),
            (4 + self.client % 8).to_string(),
            (1_000_000_007 * i64::from(self.client)).to_string(),
            self.name(),
            self.price.clone(),
            self.sequence.to_string(),
            self.database.clone(),
        ]
    }
}

impl Client {
    /// Sets the session up on a new connection and prepares the verifying statement.
    pub(crate) async fn set_up_session(&mut self) -> Result<(), Stop> {
        let state = self.state.clone();
        self.run(
            How::Text,
            "SET SESSION sql_mode = ?",
            vec![state.sql_mode().into()],
        )
        .await?;
        self.run(
            How::Text,
            "SET time_zone = ?",
            vec![state.time_zone().into()],
        )
        .await?;
        self.run(
            How::Text,
            "SET SESSION group_concat_max_len = ?, div_precision_increment = ?",
            vec![(4000 + state.client).into(), (4 + state.client % 8).into()],
        )
        .await?;
        let isolation = match state.isolation() {
            "READ-COMMITTED" => "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SERIALIZABLE" => "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            _ => "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        };
        self.text(isolation).await?;
        self.run(
            How::Text,
            "SET @who = ?, @name = ?, @seq = ?",
            vec![
                (1_000_000_007 * i64::from(state.client)).into(),
                state.name().into(),
                state.sequence.into(),
            ],
        )
        .await?;
        self.run(
            How::Text,
            "SET @price = CAST(? AS DECIMAL(10,4))",
            vec![state.price.clone().into()],
        )
        .await?;
        self.run(How::Prepared, state.isolation_column, Vec::new())
            .await?;
        Ok(())
    }

    /// Compares what the session shows with what the client set; says every difference.
    ///
    /// # Errors
    /// The statement's own failure.
    pub(crate) async fn verify_session(&mut self) -> Result<(), Stop> {
        if self.rng.one_in(4) {
            let sequence = self.state.sequence + 1;
            self.run(How::Text, "SET @seq = ?", vec![sequence.into()])
                .await?;
            self.state.sequence = sequence;
        }
        let how = if self.rng.one_in(2) {
            How::Text
        } else {
            How::Prepared
        };
        let answer = self
            .run(how, self.state.isolation_column, Vec::new())
            .await?;
        let expected = self.state.expected();
        let found = answer.rows.first().cloned().unwrap_or_default();
        if found != expected {
            let detail = format!("the session shows {found:?}, the client set {expected:?}");
            self.violate(Kind::SessionState, self.number, detail);
            if self.is_connected() {
                self.set_up_session().await?;
            }
        }
        Ok(())
    }
}
