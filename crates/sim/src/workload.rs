//! What clients do, what they must get, and what they write down for the checker.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

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
            (1053, "08S01") => (own && rules.unavailable, Outcome::RolledBack),
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

    /// INSERT, UPDATE or DELETE outside a transaction.
    async fn write_alone(&mut self) -> Result<(), Stop> {
        let which = self.random.below(10);
        self.write_one(which).await
    }

    async fn insert_alone(&mut self) -> Result<(), Stop> {
        self.write_one(0).await
    }

    async fn write_one(&mut self, which: u64) -> Result<(), Stop> {
        let mut unit = self.unit();
        let token = self.token();
        let (text, parameters, affected) = match which {
            0..=4 => {
                unit.tokens.push((token, None));
                (INSERT, vec![token, 1], 1)
            }
            5 => {
                let second = self.token();
                unit.tokens.extend([(token, None), (second, None)]);
                (INSERT_TWO, vec![token, 1, second, 2], 2)
            }
            6 if !self.mine.is_empty() => {
                let victim = self.random.pick(&self.mine);
                unit.deleted.push(victim);
                // Whatever becomes of it, it is not deleted twice.
                self.mine.retain(|mine| *mine != victim);
                (DELETE, vec![victim], 1)
            }
            _ => {
                let id = self.random.between(1, COUNTERS);
                unit.added.push((Table::Counter, id, 1));
                (COUNT, vec![1, id.cast_signed()], 1)
            }
        };
        let reply = match self.run(text, &parameters).await {
            Ok(reply) => reply,
            Err(stop) => {
                unit.outcome = Outcome::Doubt;
                self.done(unit);
                return Err(stop);
            }
        };
        match &reply {
            Reply::Ok {
                affected: got,
                insert_id,
                in_transaction,
            } => {
                if *got != affected {
                    self.wrong(format!("{text} changed {got} rows and not {affected}"));
                }
                if *in_transaction {
                    self.wrong(format!("{text} outside a transaction left one open"));
                }
                for (index, place) in unit.tokens.iter_mut().enumerate() {
                    place.1 = Some(insert_id + index as u64);
                }
                unit.outcome = Outcome::Committed;
                let inserted = unit.tokens.first().and_then(|(_, id)| *id);
                self.done(unit);
                self.ask_about_write(affected, inserted).await
            }
            other => {
                unit.outcome = self.judge(other, text);
                self.done(unit);
                Ok(())
            }
        }
    }

    /// ROW_COUNT() or LAST_INSERT_ID() right after a write.
    async fn ask_about_write(&mut self, affected: u64, inserted: Option<u64>) -> Result<(), Stop> {
        let (question, expected) = match (self.random.below(6), inserted) {
            (0, _) if !self.world.rules.row_count_lost => ("SELECT ROW_COUNT()", affected),
            (1, Some(id)) => ("SELECT LAST_INSERT_ID()", id),
            _ => return Ok(()),
        };
        match self.run(question, &[]).await? {
            Reply::Rows(rows) => {
                if rows != vec![vec![Some(expected.to_string())]] {
                    self.wrong(format!("{question} gives {rows:?} and not {expected}"));
                }
            }
            error => {
                self.judge(&error, question);
            }
        }
        Ok(())
    }

    /// A read outside a transaction.
    async fn read(&mut self) -> Result<(), Stop> {
        if self.mine.is_empty() || self.random.chance(50) {
            return match self.run(SUM, &[]).await? {
                Reply::Rows(rows) => {
                    self.is_sum(&rows);
                    Ok(())
                }
                error => {
                    self.judge(&error, SUM);
                    Ok(())
                }
            };
        }
        let token = self.random.pick(&self.mine);
        match self.run(MINE, &[token]).await? {
            Reply::Rows(rows) if rows.len() == 1 => {}
            Reply::Rows(rows) => self.wrong(format!(
                "it reads {} rows of its acknowledged token {token}",
                rows.len()
            )),
            error => {
                self.judge(&error, MINE);
            }
        }
        Ok(())
    }

    fn is_sum(&self, rows: &[Vec<Option<String>>]) {
        let sum = (BALANCE * ACCOUNTS.cast_signed()).to_string();
        if rows != [vec![Some(sum.clone())]] {
            self.wrong(format!("the sum of balances is {rows:?} and not {sum}"));
        }
    }

    /// SETs something, or looks whether all is as it was set.
    async fn change_session(&mut self) -> Result<(), Stop> {
        let mut expected = self.session.clone();
        let text = match self.random.below(8) {
            0 | 1 => {
                let value = self.random.below(1000).cast_signed();
                expected.variable = Some(value);
                format!("SET @v = {value}")
            }
            2 | 3 => {
                expected.time_zone = self.random.pick(&["+01:00", "+02:00", "SYSTEM"]);
                format!("SET time_zone = '{}'", expected.time_zone)
            }
            4 => {
                expected.lock_wait = self.random.pick(&[2, 5, 50]);
                format!("SET innodb_lock_wait_timeout = {}", expected.lock_wait)
            }
            _ => return self.look_at_session().await,
        };
        match self.run(&text, &[]).await? {
            Reply::Ok { .. } => self.session = expected,
            error => {
                self.judge(&error, &text);
            }
        }
        Ok(())
    }

    async fn look_at_session(&mut self) -> Result<(), Stop> {
        let session = &self.session;
        let expected = vec![vec![
            session.variable.map(|value| value.to_string()),
            Some(session.time_zone.to_owned()),
            Some(session.lock_wait.to_string()),
            Some(u8::from(session.autocommit).to_string()),
        ]];
        match self.run(ASK, &[]).await? {
            Reply::Rows(rows) if rows == expected => Ok(()),
            Reply::Rows(rows) => {
                self.wrong(format!("the session is {rows:?} and not {expected:?}"));
                Ok(())
            }
            error => Err(Stop::Ended(self.judge(&error, ASK))),
        }
    }

    /// Leaves without a word: between two things, in a transaction, or with a statement on its way.
    async fn vanish(&mut self) -> Result<(), Stop> {
        let mut unit = self.unit();
        let token = self.token();
        unit.tokens.push((token, None));
        let in_transaction = self.random.chance(60);
        if in_transaction && self.run("BEGIN", &[]).await.is_err() {
            return Err(Stop::Gone);
        }
        let patience = Duration::from_millis(self.random.below(8));
        let sent = timeout(patience, self.run(INSERT, &[token, 1])).await;
        let mut outcome = match (&sent, in_transaction) {
            (_, true) => Outcome::RolledBack,
            (Ok(Ok(Reply::Ok { .. })), false) => Outcome::Committed,
            (Ok(Ok(error)), false) => self.judge(error, INSERT),
            (_, false) => Outcome::Doubt,
        };
        if in_transaction && matches!(sent, Ok(Ok(Reply::Ok { .. }))) && self.random.chance(60) {
            let patience = Duration::from_millis(self.random.below(8));
            outcome = match timeout(patience, self.run("COMMIT", &[])).await {
                Ok(Ok(Reply::Ok { .. })) => Outcome::Committed,
                Ok(Ok(error)) => self.judge(&error, "COMMIT"),
                _ => Outcome::Doubt,
            };
        }
        unit.outcome = outcome;
        self.done(unit);
        self.world
            .trace
            .note(format!("client {}", self.index), || "vanishes".to_owned());
        self.client = None;
        Ok(())
    }

    async fn transaction(&mut self) -> Result<(), Stop> {
        let implicit = self.random.chance(15);
        let steps = self.random.between(1, 5);
        self.transaction_of(implicit, steps).await
    }

    /// BEGIN, one write, COMMIT.
    async fn short_transaction(&mut self) -> Result<(), Stop> {
        self.transaction_of(false, 0).await
    }

    /// SETs before and in a transaction, and a look at what is left of them.
    async fn session_and_transaction(&mut self) -> Result<(), Stop> {
        for text in ["SET time_zone = '+02:00'", "SET @v = 7"] {
            match self.run(text, &[]).await? {
                Reply::Ok { .. } if text.contains("@v") => self.session.variable = Some(7),
                Reply::Ok { .. } => self.session.time_zone = "+02:00",
                error => {
                    self.judge(&error, text);
                }
            }
        }
        self.transaction_of(false, 1).await?;
        match self.look_at_session().await {
            Err(Stop::Gone) => Err(Stop::Gone),
            Ok(()) | Err(Stop::Ended(_)) => Ok(()),
        }
    }

    async fn transaction_of(&mut self, implicit: bool, steps: u64) -> Result<(), Stop> {
        let mut unit = self.unit();
        let begin = if implicit {
            "SET autocommit = 0"
        } else {
            "BEGIN"
        };
        match self.run(begin, &[]).await? {
            Reply::Ok { .. } => {}
            error => {
                self.judge(&error, begin);
                return Ok(());
            }
        }
        self.session.autocommit = !implicit;
        let worked = self.statements(&mut unit, steps).await;
        let ended = match worked {
            Ok(()) if steps == 0 => self.end_by(&mut unit, "COMMIT", true).await,
            Ok(()) => self.end(&mut unit, implicit).await,
            Err(stop) => Err(stop),
        };
        let gone = match ended {
            Ok(outcome) => {
                unit.outcome = outcome;
                false
            }
            Err(Stop::Ended(outcome)) => {
                unit.outcome = outcome;
                self.roll_back().await.is_err()
            }
            // What had been sent when the connection ended is written in the unit.
            Err(Stop::Gone) => true,
        };
        self.done(unit);
        if gone {
            return Err(Stop::Gone);
        }
        if implicit && !self.session.autocommit {
            match self.run("SET autocommit = 1", &[]).await? {
                Reply::Ok { .. } => self.session.autocommit = true,
                error => {
                    self.judge(&error, "SET autocommit = 1");
                    // What it left open is of no use.
                    return Err(Stop::Gone);
                }
            }
        }
        Ok(())
    }

    /// ROLLBACK is always answered with OK, unless there is no server.
    async fn roll_back(&mut self) -> Result<(), Stop> {
        loop {
            match self.run("ROLLBACK", &[]).await? {
                Reply::Ok { .. } => return Ok(()),
                error => {
                    self.judge(&error, "ROLLBACK");
                    if !self.world.rules.unavailable {
                        self.wrong("ROLLBACK failed");
                        return Err(Stop::Gone);
                    }
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// A statement of a transaction that must give OK with this many rows; gives the insert id.
    async fn must(&mut self, text: &str, parameters: &[i64], rows: u64) -> Result<u64, Stop> {
        match self.run(text, parameters).await? {
            Reply::Ok {
                affected,
                insert_id,
                ..
            } => {
                if affected != rows {
                    self.wrong(format!("{text} changed {affected} rows and not {rows}"));
                }
                Ok(insert_id)
            }
            error => Err(Stop::Ended(self.judge(&error, text))),
        }
    }

    async fn rows(
        &mut self,
        text: &str,
        parameters: &[i64],
    ) -> Result<Vec<Vec<Option<String>>>, Stop> {
        match self.run(text, parameters).await? {
            Reply::Rows(rows) => Ok(rows),
            error => Err(Stop::Ended(self.judge(&error, text))),
        }
    }

    async fn statements(&mut self, unit: &mut Unit, steps: u64) -> Result<(), Stop> {
        let mut summed = true;
        let mut held: BTreeMap<u64, i64> = BTreeMap::new();
        for step in 0..steps {
            match self.random.below(12) {
                0..=2 => {
                    let token = self.token();
                    let id = self.must(INSERT, &[token, step.cast_signed()], 1).await?;
                    unit.tokens.push((token, Some(id)));
                }
                3 | 4 => {
                    let from = self.random.between(1, ACCOUNTS);
                    let to = 1 + (from + self.random.below(ACCOUNTS - 1)) % ACCOUNTS;
                    let sum = self.random.between(1, 9).cast_signed();
                    summed = false;
                    for (id, by) in [(from, -sum), (to, sum)] {
                        self.must(MOVE, &[by, id.cast_signed()], 1).await?;
                        unit.added.push((Table::Account, id, by));
                        if let Some(known) = held.get_mut(&id) {
                            *known += by;
                        }
                    }
                }
                5 if summed => {
                    let rows = self.rows(SUM, &[]).await?;
                    self.is_sum(&rows);
                }
                6 => {
                    let id = self.random.between(1, ACCOUNTS);
                    let rows = self.rows(HOLD, &[id.cast_signed()]).await?;
                    let found = rows
                        .first()
                        .and_then(|row| row.first()?.as_ref()?.parse::<i64>().ok());
                    match (found, held.get(&id)) {
                        (Some(now), Some(known)) if now != *known => self.wrong(format!(
                            "account {id} was {known} under its lock, and is {now}"
                        )),
                        (Some(now), _) => {
                            held.insert(id, now);
                        }
                        (None, _) => self.wrong(format!("{HOLD} gives {rows:?}")),
                    }
                }
                7 if !unit.tokens.is_empty() => {
                    self.must("SAVEPOINT s", &[], 0).await?;
                    let token = self.token();
                    self.must(INSERT, &[token, 0], 1).await?;
                    self.must("ROLLBACK TO SAVEPOINT s", &[], 0).await?;
                    // It must not be there: nobody has inserted it.
                }
                8 => {
                    let value = self.random.below(1000).cast_signed();
                    self.must(&format!("SET @v = {value}"), &[], 0).await?;
                    self.session.variable = Some(value);
                }
                9 => self.look_at_session().await?,
                10 => {
                    if let Some(&(token, Some(id))) = unit.tokens.last() {
                        let rows = self.rows(MINE, &[token]).await?;
                        let read = rows.first().and_then(|row| row.first()?.clone());
                        if rows.len() != 1 || read != Some(id.to_string()) {
                            self.wrong(format!("it reads {rows:?} of its token {token}, id {id}"));
                        }
                    }
                }
                _ => {
                    let millis = self.random.pick(&[0, 2, 30, 600]);
                    sleep(Duration::from_millis(millis)).await;
                }
            }
        }
        // So that what became of it can be seen.
        let token = self.token();
        let id = self.must(INSERT, &[token, 9], 1).await?;
        unit.tokens.push((token, Some(id)));
        Ok(())
    }

    /// Ends the transaction, in one of the ways there are.
    async fn end(&mut self, unit: &mut Unit, implicit: bool) -> Result<Outcome, Stop> {
        let (text, commits) = match self.random.below(20) {
            0..=2 => ("ROLLBACK", false),
            3 | 4 if implicit => ("SET autocommit = 1", true),
            3 => ("BEGIN", true),
            4 => ("COMMIT AND CHAIN", true),
            _ => ("COMMIT", true),
        };
        self.end_by(unit, text, commits).await
    }

    async fn end_by(
        &mut self,
        unit: &mut Unit,
        text: &str,
        commits: bool,
    ) -> Result<Outcome, Stop> {
        if commits {
            // Until there is an answer.
            unit.outcome = Outcome::Doubt;
        }
        let reply = self.run(text, &[]).await?;
        if !matches!(reply, Reply::Ok { .. }) {
            let outcome = self.judge(&reply, text);
            if text == "SET autocommit = 1" && outcome == Outcome::Doubt {
                // Whether it is set is as unknown.
                return Err(Stop::Gone);
            }
            return Err(Stop::Ended(outcome));
        }
        if text == "SET autocommit = 1" {
            self.session.autocommit = true;
        }
        if text == "BEGIN" || text == "COMMIT AND CHAIN" {
            self.unit_after(unit).await?;
        }
        Ok(if commits {
            Outcome::Committed
        } else {
            Outcome::RolledBack
        })
    }

    /// The transaction that an implicit commit or AND CHAIN has begun: something in it, and its end.
    async fn unit_after(&mut self, before: &mut Unit) -> Result<(), Stop> {
        before.outcome = Outcome::Committed;
        let mut unit = self.unit();
        let token = self.token();
        unit.tokens.push((token, None));
        let inserted = self.must(INSERT, &[token, 0], 1).await;
        let outcome = match inserted {
            Ok(id) => {
                unit.tokens[0].1 = Some(id);
                unit.outcome = Outcome::Doubt;
                match self.run("COMMIT", &[]).await {
                    Ok(Reply::Ok { .. }) => Ok(Outcome::Committed),
                    Ok(error) => Err(Stop::Ended(self.judge(&error, "COMMIT"))),
                    Err(stop) => Err(stop),
                }
            }
            Err(stop) => Err(stop),
        };
        let stopped = match outcome {
            Ok(outcome) => {
                unit.outcome = outcome;
                Ok(())
            }
            Err(Stop::Ended(outcome)) => {
                unit.outcome = outcome;
                self.roll_back().await
            }
            Err(Stop::Gone) => Err(Stop::Gone),
        };
        self.done(unit);
        stopped
    }
}
