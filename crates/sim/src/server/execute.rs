//! What statements do.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::connection::{Answer, Connection, Failed};
use super::sql::{self, Assigned, Columns, Expression, Statement, Value};
use super::storage::{Asked, Key, Row, Table, TransactionId};

impl Connection {
    /// Runs a text.
    pub(super) async fn statement(
        &mut self,
        text: &str,
        parameters: &[Value],
    ) -> Result<Answer, Failed> {
        let statement = match sql::parse(text, parameters) {
            Ok(statement) => statement,
            Err(what) => {
                self.server
                    .trace
                    .violation(format!("the simulated server does not understand {what}"));
                return Err(Failed::Gone);
            }
        };
        self.server.trace.note("server", || {
            let shown: Vec<String> = parameters
                .iter()
                .map(|value| {
                    format!(
                        "{:?}",
                        value
                            .shown()
                            .map(|v| String::from_utf8_lossy(&v).into_owned())
                    )
                })
                .collect();
            format!("{} runs {text} {}", self.id, shown.join(","))
        });
        let answer = self.run_statement(statement).await;
        match &answer {
            Ok(Answer::Rows { rows, .. }) => {
                self.session.found_rows = rows.len() as u64;
                self.session.row_count = -1;
                if let Some(open) = &mut self.session.open {
                    open.sent = true;
                }
            }
            Ok(Answer::Ok { affected, .. }) => self.session.row_count = affected.cast_signed(),
            Err(_) => self.session.row_count = -1,
        }
        answer
    }

    async fn run_statement(&mut self, statement: Statement) -> Result<Answer, Failed> {
        match statement {
            Statement::Begin { read_only } => {
                self.commit_open(false).await?;
                let id = self.server.storage.borrow_mut().begin();
                self.session.begin(id, true, read_only);
                Ok(Answer::OK)
            }
            Statement::Commit { chain } => {
                self.commit_open(chain).await?;
                Ok(Answer::OK)
            }
            Statement::Rollback => {
                self.roll_back();
                Ok(Answer::OK)
            }
            Statement::Savepoint(name) => {
                if let Some(open) = self.session.open {
                    self.server.storage.borrow_mut().savepoint(open.id, &name);
                } else if !self.session.autocommit() {
                    let early = &mut self.session.early_savepoints;
                    early.retain(|known| *known != name);
                    early.push(name);
                }
                Ok(Answer::OK)
            }
            Statement::RollbackTo(name) => {
                let early = &mut self.session.early_savepoints;
                let done = match self.session.open {
                    Some(open) => {
                        let mut storage = self.server.storage.borrow_mut();
                        storage.rollback_to(open.id, &name)
                    }
                    None => match early.iter().position(|known| *known == name) {
                        Some(index) => {
                            early.truncate(index + 1);
                            true
                        }
                        None => false,
                    },
                };
                done.then_some(Answer::OK).ok_or_else(no_savepoint)
            }
            Statement::ReleaseSavepoint(name) => {
                let early = &mut self.session.early_savepoints;
                let done = match self.session.open {
                    Some(open) => {
                        let mut storage = self.server.storage.borrow_mut();
                        storage.release_savepoint(open.id, &name)
                    }
                    None => match early.iter().position(|known| *known == name) {
                        Some(index) => {
                            early.truncate(index);
                            true
                        }
                        None => false,
                    },
                };
                done.then_some(Answer::OK).ok_or_else(no_savepoint)
            }
            Statement::Set { list, session } => self.set(list, session).await,
            Statement::Select(columns) => {
                let names = columns.iter().map(|(name, _)| name.clone()).collect();
                let mut row = Vec::new();
                for (_, expression) in columns {
                    row.push(self.value(&expression)?);
                }
                let rows = vec![row];
                Ok(Answer::Rows { names, rows })
            }
            Statement::SelectInto(name) => {
                let value = self.session.user_variables.get(&name).cloned();
                self.session
                    .user_variables
                    .insert(name, value.unwrap_or(Value::Null));
                Ok(Answer::Ok {
                    affected: 1,
                    insert_id: 0,
                })
            }
            Statement::Find { .. }
            | Statement::Insert { .. }
            | Statement::Add { .. }
            | Statement::Delete { .. } => self.on_tables(statement).await,
            Statement::Call(name, arguments) => self.call(&name, &arguments).await,
            Statement::Use(name) => {
                self.session.set_schema(&name);
                Ok(Answer::OK)
            }
            Statement::Do => Ok(Answer::OK),
            Statement::Kill { id, query } => {
                if self.server.kill(id, query) {
                    Ok(Answer::OK)
                } else {
                    let text = format!("Unknown thread id: {id}");
                    Err(Failed::sql(1094, b"HY000", text))
                }
            }
            Statement::Processlist { id, host } => {
                let processes = self.server.processes.borrow();
                let found = processes
                    .get(&id)
                    .is_some_and(|process| process.host.as_bytes() == host);
                let rows = if found {
                    vec![vec![Value::Text(b"Sleep".to_vec())]]
                } else {
                    vec![]
                };
                let names = vec!["COMMAND".to_owned()];
                Ok(Answer::Rows { names, rows })
            }
            Statement::Status(wanted) => {
                let rows = wanted
                    .into_iter()
                    .map(|name| {
                        let value = match name.as_str() {
                            "Com_kill" => self.server.kills.get(),
                            "Uptime" => self.server.uptime(),
                            _ => 0,
                        };
                        let text = |text: String| Value::Text(text.into_bytes());
                        vec![text(name), text(value.to_string())]
                    })
                    .collect();
                let names = vec!["Variable_name".to_owned(), "Value".to_owned()];
                Ok(Answer::Rows { names, rows })
            }
            Statement::Warnings => Ok(Answer::Rows {
                names: ["Level", "Code", "Message"].map(str::to_owned).to_vec(),
                rows: Vec::new(),
            }),
            Statement::Variables(wanted) => {
                // It keeps what it acknowledges, and has no binary log.
                let text = |text: &str| Value::Text(text.as_bytes().to_vec());
                let value = |name: &str| match name {
                    "innodb_doublewrite" => "ON",
                    "innodb_flush_log_at_trx_commit" | "sync_binlog" => "1",
                    _ => "OFF",
                };
                let rows = wanted
                    .iter()
                    .map(|name| vec![text(name), text(value(name))])
                    .collect();
                let names = vec!["Variable_name".to_owned(), "Value".to_owned()];
                Ok(Answer::Rows { names, rows })
            }
            Statement::Catalogue => Ok(Answer::Rows {
                names: vec!["TABLE_NAME".to_owned()],
                rows: Vec::new(),
            }),
            Statement::Usable => {
                let procedures = if self.server.settings.ledger { 2 } else { 0 };
                Ok(Answer::Rows {
                    names: vec!["COUNT(*)".to_owned()],
                    rows: vec![vec![Value::Int(procedures)]],
                })
            }
            Statement::AutoIncrement(table) => {
                let names = vec!["COLUMN_NAME".to_owned(), "t".to_owned()];
                let rows = if table == "t_entry" {
                    vec![vec![Value::Text(b"id".to_vec()), Value::Int(1_700_000_000)]]
                } else {
                    Vec::new()
                };
                Ok(Answer::Rows { names, rows })
            }
        }
    }

    /// The columns of a statement's result.
    pub(super) fn names_of(&self, statement: &Statement) -> Vec<String> {
        match statement {
            Statement::Find { columns, .. } => match columns {
                Columns::Named(names) => names.clone(),
                Columns::Sum(name) => vec![format!("SUM({name})")],
            },
            Statement::Select(columns) => columns.iter().map(|(name, _)| name.clone()).collect(),
            _ => Vec::new(),
        }
    }

    async fn set(
        &mut self,
        list: Vec<(Assigned, Expression)>,
        session: bool,
    ) -> Result<Answer, Failed> {
        for (assigned, expression) in list {
            let value = match &expression {
                Expression::Name(word) => Value::Text(word.clone().into_bytes()),
                other => self.value(other)?,
            };
            match assigned {
                Assigned::User(name) => {
                    self.session.user_variables.insert(name, value);
                }
                Assigned::System(name) => {
                    let forgotten = self.server.settings.flaws.forgets_restored;
                    if session && forgotten == Some(name.as_str()) {
                        continue;
                    }
                    let was_on = self.session.autocommit();
                    if !self.session.set(&name, value) {
                        let text = format!("Unknown system variable '{name}'");
                        self.server
                            .trace
                            .violation(format!("the simulated server: {text}"));
                        return Err(Failed::sql(1193, b"HY000", text));
                    }
                    if name == "autocommit" && !was_on && self.session.autocommit() {
                        self.commit_open(false).await?;
                    }
                }
            }
        }
        Ok(Answer::OK)
    }

    /// A statement on tables: in the open transaction, or in one of its own.
    async fn on_tables(&mut self, statement: Statement) -> Result<Answer, Failed> {
        let writes = !matches!(statement, Statement::Find { .. });
        let own = self.session.open.is_none() && self.session.autocommit();
        let id = match self.session.open {
            Some(open) if open.read_only && writes => {
                let text = "Cannot execute statement in a READ ONLY transaction.";
                return Err(Failed::sql(1792, b"25006", text));
            }
            Some(open) => open.id,
            None => {
                let id = self.server.storage.borrow_mut().begin();
                if !own {
                    self.session.begin(id, false, false);
                    for name in std::mem::take(&mut self.session.early_savepoints) {
                        self.server.storage.borrow_mut().savepoint(id, &name);
                    }
                }
                id
            }
        };
        let before = self.server.storage.borrow().written(id);
        let outcome = self.on_rows(id, statement).await;
        match &outcome {
            Ok(_) => {
                if let Some(open) = &mut self.session.open {
                    open.wrote |= writes;
                    open.read |= !writes;
                }
                if own {
                    if writes {
                        self.committing().await?;
                    }
                    self.server.storage.borrow_mut().commit(id);
                }
            }
            Err(Failed::Sql(1213, ..)) => {
                self.session.open = None;
                self.server.storage.borrow_mut().rollback(id);
                if self.server.settings.flaws.hides_deadlocks && writes {
                    return Ok(Answer::Ok {
                        affected: 1,
                        insert_id: 0,
                    });
                }
            }
            Err(_) if own => self.server.storage.borrow_mut().rollback(id),
            Err(_) => self.server.storage.borrow_mut().restore(id, before),
        }
        outcome
    }

    async fn on_rows(&mut self, id: TransactionId, statement: Statement) -> Result<Answer, Failed> {
        match statement {
            Statement::Find {
                table,
                columns,
                with,
                locking,
            } => {
                let wanted = match &with {
                    Some((column, expression)) => Some((column.as_str(), self.number(expression)?)),
                    None => None,
                };
                if !locking {
                    self.server.storage.borrow_mut().take_snapshot(id);
                }
                let mut found = Vec::new();
                for key in self.matching(id, table, wanted, locking) {
                    let place = (table, key);
                    let row = if locking {
                        self.lock(id, place).await?;
                        self.server.storage.borrow().current(id, place)
                    } else {
                        self.server.storage.borrow().read(id, place)
                    };
                    if let Some(row) = row.filter(|row| fits(table, key, row, wanted)) {
                        found.push((key, row));
                    }
                }
                Ok(result(table, &columns, &found))
            }
            Statement::Insert { table, rows } => {
                let mut first = 0;
                // `SET insert_id` carries all rows of a statement.
                let mut pinned = self.session.insert_id.take();
                for row in &rows {
                    let mut values = Vec::new();
                    for expression in row {
                        values.push(self.number(expression)?);
                    }
                    let key = match &mut pinned {
                        Some(next) => {
                            *next += 1;
                            *next - 1
                        }
                        None => self.server.storage.borrow_mut().draw(table),
                    };
                    self.lock(id, (table, key)).await?;
                    let mut storage = self.server.storage.borrow_mut();
                    if storage.current(id, (table, key)).is_some() {
                        let text = format!("Duplicate entry '{key}' for key 'PRIMARY'");
                        return Err(Failed::sql(1062, b"23000", text));
                    }
                    storage.drawn(table, key);
                    storage.write(id, (table, key), Some(values));
                    if first == 0 {
                        first = key;
                    }
                }
                self.session.last_insert_id = first;
                Ok(Answer::Ok {
                    affected: rows.len() as u64,
                    insert_id: first,
                })
            }
            Statement::Add {
                table,
                column,
                by,
                id: key,
            } => {
                let place = (table, self.number(&key)?.cast_unsigned());
                let by = self.number(&by)?;
                self.lock(id, place).await?;
                let mut storage = self.server.storage.borrow_mut();
                let Some(mut row) = storage.current(id, place) else {
                    return Ok(Answer::OK);
                };
                if let Some(value) = position(table, &column).and_then(|at| row.get_mut(at)) {
                    *value += by;
                }
                storage.write(id, place, Some(row));
                Ok(Answer::Ok {
                    affected: u64::from(by != 0),
                    insert_id: 0,
                })
            }
            Statement::Delete { table, with } => {
                let wanted = Some((with.0.as_str(), self.number(&with.1)?));
                let mut affected = 0;
                for key in self.matching(id, table, wanted, true) {
                    self.lock(id, (table, key)).await?;
                    let mut storage = self.server.storage.borrow_mut();
                    let row = storage.current(id, (table, key));
                    if row.is_some_and(|row| fits(table, key, &row, wanted)) {
                        storage.write(id, (table, key), None);
                        affected += 1;
                    }
                }
                Ok(Answer::Ok {
                    affected,
                    insert_id: 0,
                })
            }
            _ => Ok(Answer::OK),
        }
    }

    /// Keys of rows that may fit.
    fn matching(
        &self,
        id: TransactionId,
        table: Table,
        wanted: Option<(&str, i64)>,
        now: bool,
    ) -> Vec<u64> {
        if let Some(("id", key)) = wanted {
            return vec![key.cast_unsigned()];
        }
        let storage = self.server.storage.borrow();
        let fitting = |key: &u64| {
            let row = if now {
                storage.current(id, (table, *key))
            } else {
                storage.read(id, (table, *key))
            };
            row.is_some_and(|row| fits(table, *key, &row, wanted))
        };
        storage
            .keys(id, table)
            .into_iter()
            .filter(fitting)
            .collect()
    }

    /// Waits for a row's lock.
    pub(super) async fn lock(&self, id: TransactionId, key: Key) -> Result<(), Failed> {
        let deadline = Instant::now() + Duration::from_secs(self.session.lock_wait());
        let mut waited = false;
        loop {
            let changed = self.server.storage.borrow().changed();
            let notified = changed.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            match self.server.storage.borrow_mut().lock(id, key) {
                Asked::Granted => return Ok(()),
                Asked::Deadlock => {
                    let text = "Deadlock found when trying to get lock; try restarting transaction";
                    return Err(Failed::sql(1213, b"40001", text));
                }
                Asked::Wait => {}
            }
            if !waited {
                waited = true;
                self.server
                    .trace
                    .note("server", || format!("{} waits for {key:?}", self.id));
            }
            let process = Rc::clone(&self.process);
            let in_time = tokio::select! {
                biased;
                () = std::future::poll_fn(|cx| self.end.poll_killed(cx)) => {
                    self.server.kills.set(self.server.kills.get() + 1);
                    self.process.killed.set(Some(false));
                    true
                }
                () = process.told.notified() => true,
                woken = timeout_at(deadline, &mut notified) => woken.is_ok(),
            };
            self.server.network.thawed().await;
            if !self.lives() {
                return Err(Failed::Gone);
            }
            let killed = self.process.killed.get();
            if killed.is_some() || !in_time {
                self.server.storage.borrow_mut().stop_waiting(id);
            }
            match killed {
                Some(false) => return Err(Failed::Gone),
                Some(true) => {
                    self.process.killed.set(None);
                    return Err(Failed::sql(
                        1317,
                        b"70100",
                        "Query execution was interrupted",
                    ));
                }
                None if !in_time => {
                    let text = "Lock wait timeout exceeded; try restarting transaction";
                    return Err(Failed::sql(1205, b"HY000", text));
                }
                None => {}
            }
        }
    }

    /// Commits what is open.
    pub(super) async fn commit_open(&mut self, chain: bool) -> Result<(), Failed> {
        self.session.early_savepoints.clear();
        let Some(open) = self.session.open else {
            return Ok(());
        };
        self.committing().await?;
        self.server.storage.borrow_mut().commit(open.id);
        self.session.open = None;
        if chain {
            let id = self.server.storage.borrow_mut().begin();
            self.session.begin(id, true, open.read_only);
        }
        Ok(())
    }

    /// Takes back what is open.
    pub(super) fn roll_back(&mut self) {
        self.session.early_savepoints.clear();
        if let Some(open) = self.session.open.take() {
            self.server.storage.borrow_mut().rollback(open.id);
        }
    }
}

fn no_savepoint() -> Failed {
    Failed::sql(1305, b"42000", "SAVEPOINT does not exist")
}

fn position(table: Table, column: &str) -> Option<usize> {
    table.columns().iter().position(|name| *name == column)
}

fn column(table: Table, key: u64, row: &Row, name: &str) -> i64 {
    if name == "id" {
        return key.cast_signed();
    }
    position(table, name)
        .and_then(|at| row.get(at))
        .copied()
        .unwrap_or_default()
}

fn fits(table: Table, key: u64, row: &Row, wanted: Option<(&str, i64)>) -> bool {
    wanted.is_none_or(|(name, value)| column(table, key, row, name) == value)
}

fn result(table: Table, columns: &Columns, found: &[(u64, Row)]) -> Answer {
    match columns {
        Columns::Named(names) => {
            let rows = found
                .iter()
                .map(|(key, row)| {
                    names
                        .iter()
                        .map(|name| Value::Int(column(table, *key, row, name)))
                        .collect()
                })
                .collect();
            let names = names.clone();
            Answer::Rows { names, rows }
        }
        Columns::Sum(name) => {
            let sum = found
                .iter()
                .map(|(key, row)| column(table, *key, row, name))
                .sum();
            Answer::Rows {
                names: vec![format!("SUM({name})")],
                rows: vec![vec![Value::Int(sum)]],
            }
        }
    }
}
