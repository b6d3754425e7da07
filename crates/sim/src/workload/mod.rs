//! What clients do, what they must get, and what they write down for the checker.

mod session;
mod transaction;
mod writes;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use crate::check::{Outcome, Unit};
use crate::client::{Client, Closed, Reply};
use crate::fault::Injector;
use crate::network::Network;
use crate::plan::Script;
use crate::random::Random;
use crate::server::Server;
use crate::server::storage::Table;
use crate::trace::Trace;

/// Rows of `t_account`, with [`BALANCE`] each.
pub const ACCOUNTS: u64 = 4;
/// What each account begins with.
pub const BALANCE: i64 = 1_000;
/// Rows of `t_counter`.
pub const COUNTERS: u64 = 3;

/// Which of the contract's errors the plan of a run can explain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// 1180: without a ledger, or when the server is away for longer than clients are held.
    pub doubt: bool,
    /// 1053: the server is away for longer than clients are held.
    pub unavailable: bool,
    /// 1053 because one statement was lost again and again: there are as many faults as `limits.attempts`.
    pub again: bool,
    /// 1317: somebody KILLs connections.
    pub killed: bool,
    /// A connection of a client may end: the proxy dies.
    pub closed: bool,
    /// ROW_COUNT() is not asked for.
    pub row_count_lost: bool,
}

/// What clients got, counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Statements that were answered.
    pub statements: u64,
    /// Units of work by what became of them.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Errors by code.
    pub errors: BTreeMap<u16, u64>,
}

/// What all clients share.
#[derive(Debug)]
pub struct World {
    /// The way to the proxy.
    pub network: Network,
    /// The log.
    pub trace: Trace,
    /// The faults.
    pub injector: Injector,
    /// The server, to look into.
    pub server: Rc<Server>,
    /// Which errors may come.
    pub rules: Rules,
    /// What was done.
    pub units: RefCell<Vec<Unit>>,
    /// What was got.
    pub tally: RefCell<Tally>,
    /// What each client is doing: told if it hangs.
    pub doing: RefCell<BTreeMap<usize, String>>,
}

/// Why a unit of work does not go on.
#[derive(Debug)]
enum Stop {
    /// It ends so.
    Ended(Outcome),
    /// The connection is gone.
    Gone,
}

/// One client.
pub struct Worker {
    world: Rc<World>,
    index: usize,
    random: Random,
    client: Option<Client>,
    units: u32,
    tokens: i64,
    /// Tokens of acknowledged rows that are not deleted.
    mine: Vec<i64>,
    session: Expected,
    /// A lost connection of before may have left doubt about whether what follows is held up.
    prepared: bool,
    new_style: bool,
}

/// What the session is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Expected {
    variable: Option<i64>,
    time_zone: &'static str,
    lock_wait: i64,
    autocommit: bool,
}

impl Default for Expected {
    fn default() -> Self {
        Self {
            variable: None,
            time_zone: "SYSTEM",
            lock_wait: 50,
            autocommit: true,
        }
    }
}

const INSERT: &str = "INSERT INTO t_entry (token, amount) VALUES (?, ?)";
const INSERT_TWO: &str = "INSERT INTO t_entry (token, amount) VALUES (?, ?), (?, ?)";
const DELETE: &str = "DELETE FROM t_entry WHERE token = ?";
const MINE: &str = "SELECT id, amount FROM t_entry WHERE token = ?";
const COUNT: &str = "UPDATE t_counter SET n = n + ? WHERE id = ?";
const MOVE: &str = "UPDATE t_account SET balance = balance + ? WHERE id = ?";
const SUM: &str = "SELECT SUM(balance) FROM t_account";
const HOLD: &str = "SELECT balance FROM t_account WHERE id = ? FOR UPDATE";
const ASK: &str = "SELECT @v, @@time_zone, @@innodb_lock_wait_timeout, @@autocommit";

impl Worker {
    /// The client of this number.
    pub fn new(world: Rc<World>, index: usize, random: Random) -> Self {
        let mut random = random;
        Self {
            prepared: random.chance(40),
            new_style: random.chance(70),
            tokens: (index as i64 + 1) * 10_000,
            world,
            index,
            random,
            client: None,
            units: 0,
            mine: Vec::new(),
            session: Expected::default(),
        }
    }

    /// Does this many things.
    pub async fn work(mut self, script: Script, operations: u32) {
        for _ in 0..operations {
            if self.client.is_none() {
                self.connect().await;
            }
            // A connection that is gone is made anew for the next thing.
            let done = match script {
                Script::Mixed => self.something().await,
                Script::Write => self.insert_alone().await,
                Script::Transaction => self.short_transaction().await,
                Script::Vanish => self.vanish_in_transaction().await,
                Script::Session => self.session_and_transaction().await,
            };
            if done.is_err() {
                self.client = None;
            }
            if self.world.trace.is_violated() {
                return;
            }
        }
        self.doing("leaves");
        if let Some(client) = self.client.take() {
            client.quit().await;
        }
        self.world.doing.borrow_mut().remove(&self.index);
    }

    async fn something(&mut self) -> Result<(), Stop> {
        match self.random.below(100) {
            0..=24 => self.write_alone().await,
            25..=59 => self.transaction().await,
            60..=69 => self.read().await,
            70..=84 => self.change_session().await,
            85..=93 => {
                let millis = self.random.pick(&[1, 5, 50, 700]);
                sleep(Duration::from_millis(millis)).await;
                Ok(())
            }
            _ => self.vanish().await,
        }
    }

    fn doing(&self, what: &str) {
        self.world
            .doing
            .borrow_mut()
            .insert(self.index, what.to_owned());
    }

    fn wrong(&self, what: impl std::fmt::Display) {
        self.world
            .trace
            .violation(format!("client {}: {what}", self.index));
    }

    async fn connect(&mut self) {
        self.session = Expected::default();
        loop {
            self.doing("logs in");
            match Client::connect(&self.world.network, self.new_style).await {
                Ok(client) => {
                    self.client = Some(client);
                    return;
                }
                Err(Closed(why)) => {
                    let world = &self.world;
                    world.trace.note(format!("client {}", self.index), || {
                        format!("no login: {why}")
                    });
                    let refused = why.starts_with("1053") && world.rules.unavailable;
                    if !world.rules.closed && !refused {
                        self.wrong(format!("the login failed: {why}"));
                        return;
                    }
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    fn unit(&mut self) -> Unit {
        self.units += 1;
        Unit::new(self.index, self.units)
    }

    fn token(&mut self) -> i64 {
        self.tokens += 1;
        self.tokens
    }

    /// Runs a statement; text or prepared.
    async fn run(&mut self, text: &str, parameters: &[i64]) -> Result<Reply, Stop> {
        let who = format!("client {}", self.index);
        let mut shown = text.to_owned();
        for parameter in parameters {
            shown = shown.replacen('?', &parameter.to_string(), 1);
        }
        self.doing(&shown);
        self.world.trace.note(&who, || shown.clone());
        let Some(client) = &mut self.client else {
            return Err(Stop::Gone);
        };
        let reply = if self.prepared && !parameters.is_empty() {
            client.execute(text, parameters).await
        } else {
            client.query(&shown).await
        };
        match reply {
            Ok(reply) => {
                self.world.trace.note(&who, || format!("got {reply:?}"));
                self.world.tally.borrow_mut().statements += 1;
                Ok(reply)
            }
            Err(Closed(why)) => {
                self.world.trace.note(&who, || format!("closed: {why}"));
                if !self.world.rules.closed {
                    self.wrong(format!("its connection ended ({why}) in {shown}"));
                }
                Err(Stop::Gone)
            }
        }
    }

    /// What an error says of the unit that it hit. `commits`: the statement may have committed it.
    fn judge(&self, reply: &Reply, what: &str) -> Outcome {
        let Reply::Error {
            code,
            sqlstate,
            text,
        } = reply
        else {
            self.wrong(format!("{what} got {reply:?}"));
            return Outcome::Doubt;
        };
        *self
            .world
            .tally
            .borrow_mut()
            .errors
            .entry(*code)
            .or_default() += 1;
        let rules = self.world.rules;
        let own = text.starts_with("Steadfast:");
        let (fits, outcome) = match (*code, sqlstate.as_str()) {
            (1213, "40001") => (true, Outcome::RolledBack),
            (1205, "HY000") => (!own, Outcome::RolledBack),
            (1180, "08007") => (own && rules.doubt, Outcome::Doubt),
            (1053, "08S01") => {
                let again = rules.again && text.contains("again and again");
                (own && (rules.unavailable || again), Outcome::RolledBack)
            }
            (1317, "70100") => (own && rules.killed, Outcome::RolledBack),
            _ => (false, Outcome::Doubt),
        };
        if !fits || (own && self.world.injector.struck().is_empty()) {
            self.wrong(format!("{what} got {code} ({sqlstate}) {text}"));
        }
        outcome
    }

    /// A unit is done: writes it down. One that was acknowledged must be there now.
    fn done(&mut self, unit: Unit) {
        self.world.trace.note(format!("client {}", self.index), || {
            format!("unit {} is {:?}", unit.number, unit.outcome)
        });
        if unit.outcome == Outcome::Committed {
            for token in &unit.deleted {
                self.mine.retain(|mine| mine != token);
            }
            let missing: Vec<i64> = {
                let storage = self.world.server.storage.borrow();
                let rows = storage.all_committed(Table::Entry);
                let missing =
                    |token: &&(i64, Option<u64>)| !rows.iter().any(|(_, row)| row[0] == token.0);
                unit.tokens
                    .iter()
                    .filter(missing)
                    .map(|token| token.0)
                    .collect()
            };
            if !missing.is_empty() {
                self.wrong(format!(
                    "unit {} was acknowledged, and tokens {missing:?} are not there",
                    unit.number
                ));
            }
            self.mine
                .extend(unit.tokens.iter().map(|(token, _)| *token));
        }
        let mut tally = self.world.tally.borrow_mut();
        *tally.outcomes.entry(unit.outcome).or_default() += 1;
        drop(tally);
        self.world.units.borrow_mut().push(unit);
    }
}
