//! A client as a plain application writes it: it moves money, reads, and sits idle. After a
//! failure it connects again and goes on with something else; it never repeats a transfer.
//!
//! Each client moves money between accounts of its own, so that nobody else changes the rows
//! that a transaction has read: then no fault excuses error 1213 either.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Error, Opts, Params};
use tokio::time::{sleep, timeout};

use super::bank::{ACCOUNTS_EACH, SUM};
use super::tally::{Fate, Tally};

/// No application waits longer for an answer. More than the 60 s for which Steadfast holds.
const PATIENCE: Duration = Duration::from_secs(75);
/// The pause before the next attempt when no connection can be made.
const BACK_OFF: Duration = Duration::from_secs(1);

const LOCK: &str = "SELECT balance FROM account WHERE id = ? FOR UPDATE";
const MOVE: &str = "UPDATE account SET balance = balance + ? WHERE id = ?";
const NOTE: &str = "INSERT INTO transfer (id, giver, taker, amount) VALUES (?, ?, ?, ?)";
const TOTAL: &str = "SELECT CAST(SUM(balance) AS SIGNED) FROM account";
const SESSION: &str = "SELECT CAST(@teller AS SIGNED), @@SESSION.group_concat_max_len";

/// Why an operation did not come to its end.
enum Trouble {
    /// The server's or Steadfast's error; the connection lives.
    Refused {
        code: u16,
        state: String,
        what: String,
    },
    /// The connection is gone, or was not to be had.
    Lost(String),
    /// An answer that cannot be true.
    Wrong(String),
    /// Steadfast's honest "nobody knows" for a COMMIT that was on its way: 1180/08007.
    Doubt,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { what, .. } | Self::Lost(what) => f.write_str(what),
            Self::Wrong(what) => write!(f, "wrong answer: {what}"),
            Self::Doubt => f.write_str("the outcome of a COMMIT is unknown"),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Server(error) => Self::Refused {
                code: error.code,
                what: format!("{} ({}): {}", error.code, error.state, error.message),
                state: error.state,
            },
            other => Self::Lost(other.to_string()),
        }
    }
}

/// One client of one side.
pub(super) struct Client {
    /// From 0.
    number: usize,
    opts: Opts,
    conn: Option<Conn>,
    tally: Rc<Tally>,
    dice: u64,
    last_transfer: u64,
}

impl Client {
    pub(super) fn new(number: usize, opts: Opts, tally: Rc<Tally>) -> Self {
        Self {
            number,
            opts,
            conn: None,
            tally,
            dice: number as u64 + 1,
            last_transfer: 0,
        }
    }

    /// Works until `stop`, then leaves politely.
    pub(super) async fn run(mut self, stop: Rc<Cell<bool>>) {
        while !stop.get() {
            let outcome = match self.roll(10) {
                0..=6 => self.transfer().await,
                7..=8 => self.total().await,
                _ => self.idle(&stop).await,
            };
            if let Err(trouble) = outcome {
                self.cope(trouble).await;
            }
            self.think(60).await;
        }
        if let Some(conn) = self.conn.take()
            && let Err(error) = conn.disconnect().await
        {
            self.tally.failed(format!("saying goodbye: {error}"), false);
        }
    }

    /// Counts what went wrong, once, and brings the session back to a known state.
    async fn cope(&mut self, trouble: Trouble) {
        let (what, retry) = match &trouble {
            // It is counted with its transfer.
            Trouble::Doubt => (None, false),
            Trouble::Refused { code, .. } => (Some(trouble.to_string()), *code == 1213),
            Trouble::Lost(_) | Trouble::Wrong(_) => (Some(trouble.to_string()), false),
        };
        let lives = matches!(trouble, Trouble::Doubt | Trouble::Refused { .. });
        let rolled_back = if lives {
            self.text("ROLLBACK").await
        } else {
            Ok(())
        };
        let what = match (what, &rolled_back) {
            (what, Ok(())) => what,
            (None, Err(again)) => Some(format!("ROLLBACK: {again}")),
            (Some(what), Err(again)) => Some(format!("{what}; ROLLBACK: {again}")),
        };
        if let Some(what) = what {
            self.tally.failed(what, retry);
        }
        if !lives || rolled_back.is_err() {
            let had_none = self.conn.take().is_none();
            if had_none {
                sleep(BACK_OFF).await;
            }
        }
    }

    async fn transfer(&mut self) -> Result<(), Trouble> {
        self.connect().await?;
        self.last_transfer += 1;
        let id = self.number as u64 * 1_000_000 + self.last_transfer;
        if let Err(trouble) = self.prepare(id).await {
            self.tally.transfer(id, Fate::Failed);
            return Err(trouble);
        }
        let (fate, outcome) = match self.text("COMMIT").await {
            Ok(()) => (Fate::Acknowledged, Ok(())),
            Err(Trouble::Refused {
                code: 1180, state, ..
            }) if state == "08007" => (Fate::Doubtful, Err(Trouble::Doubt)),
            Err(refused @ Trouble::Refused { .. }) => (Fate::Failed, Err(refused)),
            Err(lost) => (Fate::Untold, Err(lost)),
        };
        self.tally.transfer(id, fate);
        outcome
    }

    /// Everything of a transfer but its COMMIT. Rows are locked in the order of ids.
    async fn prepare(&mut self, id: u64) -> Result<(), Trouble> {
        let first = self.number as u64 * ACCOUNTS_EACH + 1;
        let low = first + self.roll(ACCOUNTS_EACH - 1);
        let high = low + 1 + self.roll(first + ACCOUNTS_EACH - low - 1);
        let amount = self.roll(100) as i64 - 50;
        self.text("BEGIN").await?;
        for account in [low, high] {
            let _balance: i64 = self.one(LOCK, (account,)).await?;
            self.think(80).await;
        }
        for (account, change) in [(low, -amount), (high, amount)] {
            self.exec(MOVE, (change, account)).await?;
            self.think(50).await;
        }
        self.exec(NOTE, (id, low, high, amount)).await
    }

    /// The sum over everybody's accounts never moves.
    async fn total(&mut self) -> Result<(), Trouble> {
        self.connect().await?;
        let sum: i64 = self.one(TOTAL, ()).await?;
        if sum != SUM {
            return Err(Trouble::Wrong(format!(
                "the balances add up to {sum}, not {SUM}"
            )));
        }
        self.tally.read();
        Ok(())
    }

    /// Nothing for a while, as with a connection in a pool; then the session must still be the
    /// one that was set up.
    async fn idle(&mut self, stop: &Cell<bool>) -> Result<(), Trouble> {
        self.connect().await?;
        for _ in 0..self.roll(20) {
            if !stop.get() {
                sleep(Duration::from_millis(100)).await;
            }
        }
        let found: (i64, u64) = self.one(SESSION, ()).await?;
        let expected = (self.number as i64, self.result_length());
        if found != expected {
            return Err(Trouble::Wrong(format!(
                "the session's variables are {found:?}, not {expected:?}"
            )));
        }
        self.tally.read();
        Ok(())
    }

    /// A value that differs from the default and from the other clients'.
    fn result_length(&self) -> u64 {
        10_000 + self.number as u64
    }

    async fn connect(&mut self) -> Result<(), Trouble> {
        if self.conn.is_some() {
            return Ok(());
        }
        self.tally.sent(self.number);
        let conn = timeout(PATIENCE, Conn::new(self.opts.clone()))
            .await
            .map_err(|_| no_answer())?;
        self.conn = Some(conn.map_err(|error| match Trouble::from(error) {
            // Whatever refused the login, there is no connection.
            Trouble::Refused { what, .. } => Trouble::Lost(what),
            other => other,
        })?);
        let set_up = self.set_up().await;
        if set_up.is_err() {
            self.conn = None;
        }
        set_up
    }

    async fn set_up(&mut self) -> Result<(), Trouble> {
        let (number, length) = (self.number, self.result_length());
        self.text(&format!("SET @teller = {number}")).await?;
        self.text(&format!("SET SESSION group_concat_max_len = {length}"))
            .await
    }

    async fn text(&mut self, sql: &str) -> Result<(), Trouble> {
        self.call(async |conn| conn.query_drop(sql).await).await
    }

    async fn exec(&mut self, sql: &str, params: impl Into<Params>) -> Result<(), Trouble> {
        let params = params.into();
        self.call(async move |conn| conn.exec_drop(sql, params).await)
            .await
    }

    async fn one<T: FromRow + Send + 'static>(
        &mut self,
        sql: &str,
        params: impl Into<Params>,
    ) -> Result<T, Trouble> {
        let params = params.into();
        self.call(async move |conn| conn.exec_first(sql, params).await)
            .await?
            .ok_or_else(|| Trouble::Wrong(format!("no row for {sql}")))
    }

    async fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut Conn) -> Result<T, Error>,
    ) -> Result<T, Trouble> {
        self.tally.sent(self.number);
        let Some(conn) = &mut self.conn else {
            return Err(Trouble::Lost("not connected".to_owned()));
        };
        let answer = timeout(PATIENCE, call(conn))
            .await
            .map_err(|_| no_answer())??;
        self.tally.answered(self.number);
        Ok(answer)
    }

    /// The time that an application takes between two statements: up to so many milliseconds.
    async fn think(&mut self, most: u64) {
        let pause = self.roll(most + 1);
        sleep(Duration::from_millis(pause)).await;
    }

    /// A number below `sides`; splitmix64, the same in each run.
    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides.max(1)
    }
}

fn no_answer() -> Trouble {
    Trouble::Lost(format!("no answer within {} s", PATIENCE.as_secs()))
}
