//! Hidden work on the server connection: settings that the client does not see, and questions about what servers do not
//! track.
//!
//! What a statement leaves for the next one to ask must be what the client's own statement left:
//!
//! - ROW_COUNT() and the diagnostics area: MySQL replaces them with each statement, MariaDB 10.11 keeps warnings over
//!   statements without tables. So hidden work has no tables, and is done right before a command that replaces them;
//!   right after one only where a last hidden statement can leave what it left.
//! - FOUND_ROWS(): is the last SELECT's, on both servers. What it was before a hidden SELECT is remembered, and made
//!   again before it is asked for.
//! - LAST_INSERT_ID(): no hidden statement moves it.

use std::rc::Rc;
use std::time::Duration;

use steadfast_net::{QueryError, QueryResult};
use steadfast_session::{End, Hidden, Inherited, identifier};
use steadfast_sql::{Effects, Kind, Server, Uses};
use tokio::time::timeout;

use super::before::Before;
use super::{Deferred, Driver, silence};
use crate::command::Stored;
use crate::link::WITHOUT_AUTOCOMMIT;
use crate::relay::{Ended, is_goodbye};

/// FOUND_ROWS() above this is not made again: the rows would have to be sent.
const REMADE_ROWS: u64 = 10_000;

/// What ROW_COUNT() is to be after hidden questions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum RowCount {
    /// What a SELECT leaves: -1.
    OfSelect,
    /// What a SET leaves.
    Zero,
    /// What a SELECT INTO this variable leaves.
    One(Vec<u8>),
}

impl RowCount {
    /// The statement that leaves it.
    fn statement(&self) -> Option<Vec<u8>> {
        match self {
            Self::OfSelect => None,
            Self::Zero => Some(b"DO 0".to_vec()),
            Self::One(name) => {
                let name = identifier(&String::from_utf8_lossy(name));
                Some(format!("SELECT @{name} INTO @{name}").into_bytes())
            }
        }
    }
}

impl Driver {
    /// Hidden work that waited for a moment when nobody can notice it, and what this command needs done before it.
    pub(super) async fn work_off(&mut self, stored: &Stored) -> Result<(), Before> {
        let looks = self.looks_at_hidden_settings(stored);
        if self.deferred != Deferred::default() && !Self::asks_about_the_statement_before(stored) {
            let mut deferred = std::mem::take(&mut self.deferred);
            if self.turn.is_some() {
                // The connection is not yet what the session is: its transaction is being replayed.
                self.deferred = Deferred {
                    clock: false,
                    hide: false,
                    untracked: false,
                    ..deferred
                };
                deferred = Deferred {
                    clock: deferred.clock,
                    hide: deferred.hide,
                    ..Deferred::default()
                };
            }
            if deferred.clock && !self.state.clock_is_frozen() {
                self.query(b"SET timestamp=DEFAULT").await?;
            }
            if deferred.variables {
                self.hear_of_variables().await?;
            }
            if deferred.hide {
                self.hide_settings().await?;
            }
            if deferred.collation {
                self.ask_collation(&RowCount::OfSelect).await?;
            }
            if deferred.user_variables {
                self.ask_user_variables(&RowCount::OfSelect).await?;
            }
            if deferred.user_locks {
                self.ask_user_locks(&RowCount::OfSelect).await?;
                self.tell_released();
            }
        }
        if !looks.is_empty() {
            self.show_settings(&looks).await?;
        }
        if let Some(rows) = self.found_rows
            && may_look_at_found_rows(stored)
        {
            self.find_rows_again(rows).await?;
        }
        Ok(())
    }

    /// A hidden statement.
    pub(super) async fn query(&mut self, text: &[u8]) -> Result<QueryResult, QueryError> {
        let mut results = self.query_all(&[text]).await?;
        results
            .pop()
            .ok_or_else(|| QueryError::Nonsense("the server's answer is missing".to_owned()))
    }

    /// Hidden statements, in one round trip.
    pub(super) async fn query_all(
        &mut self,
        texts: &[&[u8]],
    ) -> Result<Vec<QueryResult>, QueryError> {
        // Hidden work is small: a server that takes longer than this for it is gone.
        self.query_within(2 * self.shared.timeouts.dead_after, texts)
            .await
    }

    /// Hidden statements that may take so long.
    pub(super) async fn query_within(
        &mut self,
        limit: Duration,
        texts: &[&[u8]],
    ) -> Result<Vec<QueryResult>, QueryError> {
        self.arrived = None;
        match &mut self.link {
            Some(link) => timeout(limit, link.connection.query_all(texts))
                .await
                .unwrap_or_else(|_| Err(silence())),
            None => Err(QueryError::Lost(
                steadfast_net::LossKind::Eof,
                std::io::ErrorKind::UnexpectedEof.into(),
            )),
        }
    }

    /// Hidden SELECTs; gives their rows in order. What the client's FOUND_ROWS() was is remembered.
    pub(super) async fn ask(
        &mut self,
        texts: &[&[u8]],
        leave: &RowCount,
    ) -> Result<Vec<QueryResult>, QueryError> {
        let last = leave.statement();
        let mut all: Vec<&[u8]> = Vec::with_capacity(texts.len() + 2);
        let known = self.found_rows.is_some();
        if !known {
            all.push(b"SELECT FOUND_ROWS() LIMIT 1");
        }
        all.extend_from_slice(texts);
        all.extend(last.as_deref());
        let mut results = self.query_all(&all).await?;
        if !known {
            let found = results.remove(0).rows.into_iter().next();
            let rows = found.and_then(|row| {
                std::str::from_utf8(row.first()?.as_deref()?)
                    .ok()?
                    .parse()
                    .ok()
            });
            // A hidden SELECT of one row leaves 1.
            self.found_rows = rows.filter(|rows| *rows != 1);
        }
        results.truncate(texts.len());
        Ok(results)
    }

    /// Makes FOUND_ROWS() what the client's last SELECT left.
    async fn find_rows_again(&mut self, rows: u64) -> Result<(), Before> {
        self.found_rows = None;
        let ten = ["SELECT 1"; 10].join(" UNION ALL ");
        let text = match rows {
            0 => "SELECT 1 FROM DUAL WHERE FALSE".to_owned(),
            // Without tables: MariaDB keeps the warnings.
            1..=10 => vec!["SELECT 1"; rows as usize].join(" UNION ALL ") + " LIMIT 10",
            11..=REMADE_ROWS => {
                format!("SELECT 1 FROM ({ten}) a, ({ten}) b, ({ten}) c, ({ten}) d LIMIT {rows}")
            }
            _ => {
                tracing::debug!(client = %self.peer, "FOUND_ROWS() is too large to be made again: {rows}");
                return Ok(());
            }
        };
        self.query(text.as_bytes()).await?;
        Ok(())
    }

    /// Which settings that Steadfast made for itself a command's result may show.
    /// Whether [`Driver::work_off`] may have anything to do.
    pub(super) fn may_have_work(&self, stored: &Stored) -> bool {
        self.deferred != Deferred::default()
            || self.found_rows.is_some()
            || stored
                .class
                .is_some_and(|class| class.uses.contains(Uses::SYSTEM_VARIABLE))
    }

    /// Whether [`Driver::ask_at_once`] may have anything to ask.
    pub(super) fn may_ask_at_once(&self, stored: &Stored) -> bool {
        let deferred = self.deferred;
        deferred.collation
            || deferred.user_locks
            || deferred.user_variables
            || Self::is_reset(stored)
    }

    fn looks_at_hidden_settings(&self, stored: &Stored) -> Vec<&'static str> {
        let Some(class) = stored.class else {
            return Vec::new();
        };
        if !class.uses.contains(Uses::SYSTEM_VARIABLE) || class.kind == Kind::Set {
            return Vec::new();
        }
        let text: &[u8] = match &stored.prepared {
            Some(prepared) => prepared.text(),
            None => stored.text().unwrap_or_default(),
        };
        let text = text.to_ascii_lowercase();
        let contains = |name: &[u8]| text.windows(name.len()).any(|part| part == name);
        let all = contains(b"variables");
        let names = Hidden::SETTINGS.iter().map(|(name, _)| *name);
        names
            .filter(|name| all || contains(name.as_bytes()))
            .collect()
    }

    /// Gives the client its own values of these hidden settings, for one statement. No others: while the server does not
    /// tell what is written, everything counts as written.
    async fn show_settings(&mut self, names: &[&str]) -> Result<(), Before> {
        let Some(link) = &self.link else {
            return Ok(());
        };
        let list: Vec<String> = Hidden::SETTINGS
            .iter()
            .zip(&link.own.hidden)
            .filter(|((name, _), _)| names.contains(name))
            .map(|((name, _), own)| {
                let value = self.state.variable(name).unwrap_or(own);
                format!(
                    "{name}={}",
                    steadfast_session::variable_expression(name, value, false)
                )
            })
            .collect();
        let text = format!("SET SESSION {}", list.join(", "));
        self.query(text.as_bytes()).await?;
        self.deferred.hide = true;
        self.deferred.untracked |= names.contains(&Hidden::TRACKS_WRITES);
        Ok(())
    }

    /// Makes Steadfast's settings again. What is found there that is not Steadfast's is the client's.
    async fn hide_settings(&mut self) -> Result<(), Before> {
        let query = Hidden::query();
        let row = first_row(self.ask(&[query.as_bytes()], &RowCount::OfSelect).await?);
        for ((name, ours), value) in Hidden::SETTINGS.iter().zip(row) {
            let value = value.unwrap_or_default();
            let ours = ours.trim_matches('\'').as_bytes();
            if value != ours {
                self.state_mut().set_variable(name, &value);
            }
        }
        let set = self.query(Hidden::set().as_bytes()).await?;
        if let Some(ok) = set.ok {
            self.note_late_changes(&ok.session_state);
        }
        self.learn_settings();
        Ok(())
    }

    /// Asks for what a statement may have changed right after it, so that a loss cannot take it, where nobody can notice
    /// it: the statement left no warnings, and the ROW_COUNT() that it left can be made again.
    ///
    /// # Errors
    /// How the connection was lost: what the statement changed will never be known.
    pub(super) async fn ask_at_once(&mut self, stored: &Stored, ended: &Ended) -> Result<(), End> {
        if Self::is_reset(stored) && ended.error == 0 {
            if let Err(error) = self.begin_again().await
                && self.not_asked("settings", &error).is_err()
            {
                // What a session begins with is asked for on another connection.
                self.discard();
            }
            return Ok(());
        }
        let Some(class) = stored.class else {
            return Ok(());
        };
        if ended.error != 0 || ended.warnings != 0 || class.statements > 1 {
            return Ok(());
        }
        let leave = match class.kind {
            Kind::Set | Kind::Do => RowCount::Zero,
            Kind::Select | Kind::Execute if ended.rows.is_some() => RowCount::OfSelect,
            // Its procedure may have assigned any of them.
            Kind::Call => match (
                ended.affected_rows,
                self.state.unknown_user_variables().next(),
            ) {
                (0, _) => RowCount::Zero,
                (1, Some(name)) => RowCount::One(name.to_vec()),
                _ => return Ok(()),
            },
            // It has found one row: else there would be a warning.
            Kind::Select => match self.state.unknown_user_variables().next() {
                Some(name) => RowCount::One(name.to_vec()),
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        if self.deferred.collation {
            match self.ask_collation(&leave).await {
                Ok(()) => self.deferred.collation = false,
                Err(error) => return self.not_asked("the collation", &error),
            }
        }
        if self.deferred.user_locks {
            match self.ask_user_locks(&leave).await {
                Ok(()) => self.deferred.user_locks = false,
                Err(error) => return self.not_asked("user locks", &error),
            }
        }
        if !self.deferred.user_variables {
            return Ok(());
        }
        match self.ask_user_variables(&leave).await {
            Ok(()) => self.deferred.user_variables = false,
            Err(error) => return self.not_asked("user variables", &error),
        }
        Ok(())
    }

    /// A question was not answered. An error in its place leaves the connection in step, and it can wait; else what the
    /// server still owes of it must not be taken for the answer to the next command.
    fn not_asked(&self, what: &str, error: &Before) -> Result<(), End> {
        tracing::debug!(client = %self.peer, "{what} could not be asked for");
        match error {
            Before::Lost(End::Said(code)) if !is_goodbye(*code) => Ok(()),
            Before::Lost(end) => Err(*end),
            Before::NotPrepared { .. } | Before::CursorGone => Ok(()),
            // It is found again at the next use of the client's connection.
            Before::Exit(_) => Err(End::Fin),
        }
    }

    /// Lets MariaDB report the variables that an earlier statement set before it failed: it does so with the next change
    /// (10.11). Not a change of session_track_system_variables, with which it forgets them.
    async fn hear_of_variables(&mut self) -> Result<(), Before> {
        let set = self.query(b"SET SESSION session_track_schema=1").await?;
        if let Some(ok) = set.ok {
            self.note_late_changes(&ok.session_state);
        }
        Ok(())
    }

    /// After COM_RESET_CONNECTION: Steadfast's settings, and what the connection has of its own now. The global settings
    /// may have changed since the login, and a MariaDB that did not know the collation of the client's handshake
    /// resets to the character set of whichever session its thread served before (10.11, `THD::org_charset` and the
    /// thread cache).
    async fn begin_again(&mut self) -> Result<(), Before> {
        let hidden = Hidden::query();
        let own: &[u8] = b"SELECT @@SESSION.sql_mode, @@SESSION.character_set_client, @@SESSION.autocommit LIMIT 1";
        let mut texts = vec![hidden.as_bytes(), own];
        // Asked only of a server that knew all of these at the login.
        let inherited = match &self.link {
            Some(link) if !link.own.inherited.is_empty() => Some(link.inherited()),
            _ => None,
        };
        let inherited = inherited.map(Inherited::query);
        texts.extend(inherited.as_ref().map(String::as_bytes));
        let mut rows = self
            .ask(&texts, &RowCount::OfSelect)
            .await?
            .into_iter()
            .map(|result| first_row(vec![result]));
        let mut values = |wanted: usize| -> Vec<Vec<u8>> {
            let row = rows.next().unwrap_or_default();
            let mut row: Vec<_> = row.into_iter().map(Option::unwrap_or_default).collect();
            row.resize(row.len().max(wanted), Vec::new());
            row
        };
        let hidden = values(Hidden::SETTINGS.len());
        let mut own = values(3);
        let inherited = values(0);
        let set = Hidden::set();
        self.query(set.as_bytes()).await?;
        self.deferred.hide = false;
        self.deferred.untracked = false;
        if let Some(link) = &mut self.link {
            let now = Rc::make_mut(&mut link.own);
            now.hidden = hidden;
            now.inherited = inherited;
            now.autocommits = own.pop().is_some_and(|on| on == b"1");
            now.character_set_client = own.pop().unwrap_or_default();
            now.sql_mode = own.pop().unwrap_or_default();
            self.own.clone_from(&link.own);
            self.dialect = link.dialect();
        }
        self.learn_dialect();
        self.learn_settings();
        if !self.own.autocommits && self.dialect.server == Server::MySql {
            self.query_all(WITHOUT_AUTOCOMMIT).await?;
        }
        Ok(())
    }

    async fn ask_collation(&mut self, leave: &RowCount) -> Result<(), Before> {
        let question: &[u8] = b"SELECT @@SESSION.collation_connection LIMIT 1";
        let row = first_row(self.ask(&[question], leave).await?);
        if let Some(value) = row.into_iter().next().flatten() {
            self.state_mut()
                .set_variable("collation_connection", &value);
        }
        Ok(())
    }
}

/// The first row of the first result.
pub(super) fn first_row(results: Vec<QueryResult>) -> Vec<Option<Vec<u8>>> {
    results
        .into_iter()
        .next()
        .and_then(|result| result.rows.into_iter().next())
        .unwrap_or_default()
}

/// Whether FOUND_ROWS() must be the client's before a command. Not before one that asks what a statement that makes it
/// again would disturb.
fn may_look_at_found_rows(stored: &Stored) -> bool {
    stored.class.is_some_and(|class| {
        !class.uses.intersects(Uses::ROW_COUNT | Uses::DIAGNOSTICS)
            && (class
                .uses
                .intersects(Uses::FOUND_ROWS | Uses::UNKNOWN_FUNCTION)
                || class.effects.contains(Effects::UNKNOWN)
                || class.statements > 1
                || matches!(class.kind, Kind::Call | Kind::Execute | Kind::Show))
    })
}
