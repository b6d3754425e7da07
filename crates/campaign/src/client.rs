//! One client: a session of an independent driver, its statements timed, its errors sorted by
//! the error contract. It never retries a statement; it reconnects only after the connection
//! was lost or an error said to (SQLSTATE 08S01), which counts as a client-visible failure.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mysql_async::{Conn, Opts, Row, Value, prelude::Queryable};
use serde::{Deserialize, Serialize};

use crate::check::{Kind, Violation};
use crate::profiles::Profile;
use crate::record::Record;
use crate::rng::Rng;
use crate::state::SessionState;

/// A statement that takes longer than the proxy's hold (60 s) and a margin is a hang.
const PATIENCE: Duration = Duration::from_secs(90);
/// From this long on, a statement counts as interrupted.
const PAUSE: Duration = Duration::from_millis(500);
const RECONNECT_EVERY: Duration = Duration::from_millis(100);

/// Text protocol or server-side prepared statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Text,
    Prepared,
}

/// The result of a statement; values as text, so that both protocols compare.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) rows: Vec<Vec<String>>,
    pub(crate) insert_id: u64,
    pub(crate) affected: u64,
}

/// Why a transaction ended before its last statement.
#[derive(Debug, Clone)]
pub(crate) enum Stop {
    /// The server or the proxy refused the statement; the connection is alive.
    Error {
        sql: String,
        code: u16,
        state: String,
        message: String,
    },
    /// The connection is gone, or the statement hung.
    Lost { sql: String, message: String },
    /// A statement succeeded with a result that cannot be right.
    Wrong {
        sql: String,
        what: String,
        kind: Kind,
    },
}

impl Stop {
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Error { code: 1213, state, .. } if state == "40001")
    }

    /// An error that tells the client to open another connection, as a pool does on this state.
    pub(crate) fn ends_session(&self) -> bool {
        matches!(self, Self::Error { state, .. } if state == "08S01")
    }

    pub(crate) fn is_doubt(&self) -> bool {
        matches!(self, Self::Error { code: 1180, state, .. } if state == "08007")
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Error {
                sql,
                code,
                state,
                message,
            } => {
                write!(f, "ERROR {code} ({state}): {message}; statement: {sql}")
            }
            Self::Lost { sql, message } => {
                write!(f, "connection lost: {message}; statement: {sql}")
            }
            Self::Wrong { sql, what, .. } => write!(f, "wrong answer: {what}; statement: {sql}"),
        }
    }
}

/// What is counted per profile.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Stats {
    pub(crate) operations: u64,
    pub(crate) transactions: u64,
    /// Statements that took longer than 0.5 s.
    pub(crate) interrupted: u64,
    pub(crate) longest_pause_ms: u64,
    pub(crate) refused: u64,
    pub(crate) doubt: u64,
    pub(crate) doubt_present: u64,
    pub(crate) doubt_absent: u64,
    pub(crate) proved: u64,
    /// Commits and writes that failed otherwise than by a refusal or 1180: their outcome is open.
    #[serde(default)]
    pub(crate) unanswered: u64,
    /// Connections that were lost where that is allowed: the proxy itself was killed.
    #[serde(default)]
    pub(crate) excused: u64,
}

impl Stats {
    pub(crate) fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.transactions += other.transactions;
        self.interrupted += other.interrupted;
        self.longest_pause_ms = self.longest_pause_ms.max(other.longest_pause_ms);
        self.refused += other.refused;
        self.doubt += other.doubt;
        self.doubt_present += other.doubt_present;
        self.doubt_absent += other.doubt_absent;
        self.proved += other.proved;
        self.unanswered += other.unanswered;
        self.excused += other.excused;
    }
}

/// What the clients of a leg share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) stop: AtomicBool,
    /// Zero of the campaign's clock.
    pub(crate) start: Instant,
    /// Per client: when the statement that it waits for was sent, in microseconds of the
    /// campaign's clock; 0 when it waits for none.
    pub(crate) waiting_since: Vec<AtomicU64>,
    pub(crate) visible: AtomicU64,
    /// Clients that have connected for the first time.
    pub(crate) ready: AtomicU64,
    /// What the clients are owed.
    pub(crate) terms: Terms,
}

/// What clients are owed in a leg.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms {
    /// Commits are recorded: a doubt is a failure, except where the ledger promises nothing.
    pub(crate) no_doubt: bool,
    /// The proxy itself is killed: a lost connection is no failure.
    pub(crate) losses_excused: bool,
}

impl Shared {
    pub(crate) fn new(clients: u32, terms: Terms) -> Arc<Self> {
        Arc::new(Self {
            terms,
            stop: AtomicBool::new(false),
            start: Instant::now(),
            waiting_since: (0..clients).map(|_| AtomicU64::new(0)).collect(),
            visible: AtomicU64::new(0),
            ready: AtomicU64::new(0),
        })
    }

    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A client and everything it remembers.
pub(crate) struct Client {
    /// From 1.
    pub(crate) id: u32,
    pub(crate) rng: Rng,
    pub(crate) state: SessionState,
    pub(crate) profile: Profile,
    pub(crate) number: u32,
    pub(crate) records: Vec<Record>,
    pub(crate) violations: Vec<Violation>,
    pub(crate) stats: BTreeMap<&'static str, Stats>,
    /// The last acknowledged version of each private row.
    pub(crate) own_seen: HashMap<u32, u64>,
    pub(crate) shared: Arc<Shared>,
    opts: Opts,
    conn: Option<Conn>,
}

impl Client {
    pub(crate) fn new(
        id: u32,
        seed: u64,
        opts: Opts,
        state: SessionState,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            id,
            rng: Rng::new(seed.wrapping_mul(1000).wrapping_add(u64::from(id))),
            state,
            profile: Profile::Idle,
            number: 0,
            records: Vec::new(),
            violations: Vec::new(),
            stats: BTreeMap::new(),
            own_seen: HashMap::new(),
            shared,
            opts,
            conn: None,
        }
    }

    /// Connects and sets the session up, trying again until it works or the leg stops.
    ///
    /// Returns the last error when the leg stopped first.
    pub(crate) async fn connect(&mut self) -> Result<(), String> {
        loop {
            let error = match tokio::time::timeout(PATIENCE, Conn::new(self.opts.clone())).await {
                Ok(Ok(conn)) => {
                    self.conn = Some(conn);
                    match self.set_up_session().await {
                        Ok(()) => return Ok(()),
                        Err(stop) => stop.to_string(),
                    }
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no greeting or login within 90 s".to_owned(),
            };
            self.conn = None;
            if self.shared.stop.load(Ordering::Relaxed) {
                return Err(error);
            }
            tokio::time::sleep(RECONNECT_EVERY).await;
        }
    }

    fn waiting(&self, since: u64) {
        if let Some(cell) = self.shared.waiting_since.get(self.id as usize - 1) {
            cell.store(since, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.conn.is_some()
    }

    /// Gives the session up; the next work begins on another connection.
    pub(crate) fn abandon_session(&mut self) {
        self.conn = None;
    }

    pub(crate) async fn disconnect(&mut self) {
        if let Some(conn) = self.conn.take()
            && let Ok(Err(error)) =
                tokio::time::timeout(Duration::from_secs(5), conn.disconnect()).await
        {
            self.violate(Kind::ClientVisible, 0, format!("COM_QUIT failed: {error}"));
        }
    }

    pub(crate) fn stats(&mut self) -> &mut Stats {
        self.stats.entry(self.profile.name()).or_default()
    }

    pub(crate) fn violate(&mut self, kind: Kind, number: u32, detail: String) {
        if kind == Kind::ClientVisible {
            self.shared.visible.fetch_add(1, Ordering::Relaxed);
        }
        self.violations.push(Violation {
            kind,
            profile: self.profile.name().to_owned(),
            client: self.id,
            number,
            detail: format!("at {:.3} s: {detail}", self.shared.now() as f64 / 1e6),
        });
    }

    /// Time between two statements, in half of the cases: faults shall fall between statements
    /// and into them.
    pub(crate) async fn think(&mut self) {
        if self.rng.one_in(2) {
            let pause = self.rng.millis(0, 16);
            tokio::time::sleep(pause).await;
        }
    }

    pub(crate) async fn text(&mut self, sql: &'static str) -> Result<Answer, Stop> {
        self.run(How::Text, sql, Vec::new()).await
    }

    /// Runs a statement whose `?` are filled with `params`: by the server when prepared, as
    /// literals in the text protocol.
    pub(crate) async fn run(
        &mut self,
        how: How,
        sql: &'static str,
        params: Vec<Value>,
    ) -> Result<Answer, Stop> {
        let shown = literal(sql, &params);
        let Some(mut conn) = self.conn.take() else {
            return Err(Stop::Lost {
                sql: shown,
                message: "not connected".into(),
            });
        };
        let began = Instant::now();
        self.waiting(self.shared.now());
        let attempt = attempt(&mut conn, how, sql, &shown, params);
        let outcome = tokio::time::timeout(PATIENCE, attempt).await;
        let took = began.elapsed();
        let stats = self.stats();
        stats.operations += 1;
        stats.interrupted += u64::from(took > PAUSE);
        stats.longest_pause_ms = stats
            .longest_pause_ms
            .max(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        let result = match outcome {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(mysql_async::Error::Server(error))) => Err(Stop::Error {
                sql: shown,
                code: error.code,
                state: error.state,
                message: error.message,
            }),
            Ok(Err(error)) => Err(Stop::Lost {
                sql: shown,
                message: error.to_string(),
            }),
            Err(_) => Err(Stop::Lost {
                sql: shown,
                message: "no answer within 90 s".into(),
            }),
        };
        if !matches!(result, Err(Stop::Lost { .. })) {
            self.conn = Some(conn);
        }
        self.waiting(0);
        result
    }
}

async fn attempt(
    conn: &mut Conn,
    how: How,
    sql: &'static str,
    shown: &str,
    params: Vec<Value>,
) -> Result<Answer, mysql_async::Error> {
    let rows: Vec<Row> = match how {
        How::Text => conn.query(shown).await?,
        How::Prepared => {
            // The driver keeps statements by their text, and closes the oldest when it has too many.
            let statement = conn.prep(sql).await?;
            conn.exec(statement, params).await?
        }
    };
    Ok(Answer {
        rows: rows
            .into_iter()
            .map(|row| row.unwrap().iter().map(as_text).collect())
            .collect(),
        insert_id: conn.last_insert_id().unwrap_or_default(),
        affected: conn.affected_rows(),
    })
}

fn as_text(value: &Value) -> String {
    match value {
        Value::NULL => "NULL".into(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Int(number) => number.to_string(),
        Value::UInt(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Date(..) | Value::Time(..) => value.as_sql(true).trim_matches('\'').to_owned(),
    }
}

fn literal(sql: &str, params: &[Value]) -> String {
    let mut parts = sql.split('?');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for (part, param) in parts.zip(params) {
        text.push_str(&param.as_sql(true));
        text.push_str(part);
    }
    text
}
