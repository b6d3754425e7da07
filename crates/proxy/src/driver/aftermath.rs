//! What the client's last command left for the next one to ask (ROW_COUNT(), the diagnostics area), where hidden work
//! has left something else on the server connection since: a recorded COMMIT, or the ROLLBACK of a write that failed.
//!
//! A question that comes while they differ is sent with its answers in it ([`steadfast_sql::answer`]); SHOW WARNINGS goes
//! as it is, and gets the rows that the server no longer has. What replaces what was left, by each server's own rules:
//!
//! - ROW_COUNT(): every command but COM_STATISTICS, COM_STMT_PREPARE and GET DIAGNOSTICS.
//! - Conditions, MySQL: every statement but SHOW WARNINGS, SHOW ERRORS and GET DIAGNOSTICS; of the commands without text
//!   COM_STMT_PREPARE and COM_STMT_RESET.
//! - Conditions, MariaDB: what fails, warns or mentions a table.
//!
//! Tried on MySQL 9.7.4 and MariaDB 10.11.19. What a statement leaves costs nothing here unless it left conditions: then
//! they are asked for, once, before it is committed. Over 1 MiB of them are not kept: a question finds none, and from then
//! on nothing goes behind the session's back.

use std::rc::Rc;

use steadfast_net::{QueryError, QueryResult};
use steadfast_session::{Observes, Recording, Safety};
use steadfast_sql::{
    Answers, Class, Condition, Conditions, Dialect, Effects, Kind, PrepareSource, Server, Uses,
    answer, classify, mentions_tables, prepare_parts, show_conditions,
};
use steadfast_wire::command::code;
use steadfast_wire::payload::put_lenenc_bytes;
use steadfast_wire::walk::Expect;

use super::Driver;
use super::hidden::RowCount;
use crate::command::Stored;
use crate::relay::Ended;

/// Asks for the conditions. It leaves them where they are, FOUND_ROWS() too, and ROW_COUNT() at -1 (both servers).
const SHOW: &[u8] = b"SHOW WARNINGS";

/// Makes ROW_COUNT() what an error leaves, -1, and nothing else.
const NOTHING_CHANGED: &[u8] = b"SHOW WARNINGS LIMIT 0";

/// Takes the conditions away, and leaves FOUND_ROWS() alone (MariaDB).
const CLEAR: &[u8] = b"DO (SELECT 1 FROM (SELECT 1) AS t)";

/// COM_STMT_EXECUTE: where its cursor flags stand.
const CURSOR_FLAGS: usize = 5;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Aftermath {
    /// ROW_COUNT() as the last command left it.
    row_count: i64,
    /// The server's is another.
    row_count_differs: bool,
    /// Conditions that the server no longer has; they come before those that it has.
    kept: Option<Rc<Conditions>>,
    /// The server may have conditions.
    server_has_conditions: bool,
    /// A statement has failed since one that sets FOUND_ROWS(): on MySQL a CALL then takes over what that statement
    /// would have set (9.7.4), and a COMMIT does not.
    found_rows_loose: bool,
    /// Conditions that were asked for before hidden work took them away.
    saved: Option<Rc<Conditions>>,
    /// The conditions that the server has are those of a ledger call that failed (MariaDB).
    call_failed: bool,
    /// The session asks, or is told, in a way in which a hidden transaction shows: its writes get none.
    pub(super) shows: bool,
}

impl Aftermath {
    /// What a failed call has left on the server is to be undone.
    pub(super) fn has_failed_call(&self) -> bool {
        self.call_failed
    }

    fn differs(&self) -> bool {
        self.row_count_differs || self.kept.is_some()
    }

    /// Hidden work has replaced what the server had.
    pub(super) fn disturbed(&mut self) {
        self.row_count_differs = true;
        self.server_has_conditions = false;
        self.kept = self.saved.take();
    }

    /// A COMMIT of the client's was done that is not answered by the server's own: MariaDB's leaves the conditions of
    /// before, on the server or here.
    pub(super) fn committed(&mut self) {
        let kept = self.saved.take();
        let has = self.server_has_conditions && kept.is_none();
        self.forget();
        self.kept = kept;
        self.server_has_conditions = has;
    }

    /// Nothing is known of the statement before.
    pub(super) fn forget(&mut self) {
        *self = Self {
            shows: self.shows,
            ..Self::default()
        };
    }

    /// What was saved for a run that is over is of no use for the next.
    pub(super) fn forget_saved(&mut self) {
        self.saved = None;
        self.call_failed = false;
    }

    fn save(&mut self, list: Vec<Condition>, count: u64) {
        self.saved = (!list.is_empty()).then(|| {
            let count = count.max(list.len() as u64);
            Rc::new(Conditions { list, count })
        });
    }
}

impl Driver {
    /// Whether a write may run in a hidden transaction without the client's seeing it.
    pub(super) fn may_be_wrapped(&self, stored: &Stored) -> bool {
        if stored.statement.safety != Safety::Write {
            return true;
        }
        let tracks = |name: &str| {
            self.state
                .variable(name)
                .is_some_and(|value| !value.eq_ignore_ascii_case(b"off") && value != b"0")
        };
        !(self.aftermath.shows
            || tracks("session_track_gtids")
            || tracks("session_track_transaction_info")
            || self.tracking.transaction_state
            || self.tracking.characteristics
            // BEGIN uses up what SET TRANSACTION has set, also where the write itself, which fails, would not.
            || !self.state.characteristics().is_empty()
            // BEGIN would be the statement before.
            || Self::asks_about_the_statement_before(stored))
    }

    /// Puts what the server no longer knows into a command that asks for it.
    pub(super) fn answer_question(&mut self, stored: &mut Stored) {
        self.aftermath.forget_saved();
        let Some(class) = stored.class else { return };
        if !self.aftermath.differs() || !class.uses.intersects(Uses::ROW_COUNT | Uses::DIAGNOSTICS)
        {
            return;
        }
        // What a definition asks is for whoever uses it later.
        if class.effects.contains(Effects::SCHEMA) {
            return;
        }
        let dialect = self.dialect;
        let text = match &stored.prepared {
            Some(prepared) => prepared.text().clone(),
            None => stored.payload.slice(1..),
        };
        if class.kind == Kind::Show
            && let Some(show) = show_conditions(&text, dialect)
        {
            if let Some(kept) = &self.aftermath.kept {
                let binary = stored.expect == Expect::Execute;
                let rows = show.of(&kept.list).map(|one| row(one, binary));
                stored.added_rows = Some(rows.collect());
            }
            stored.statement.observes -= Observes::DIAGNOSTICS;
            return;
        }
        let none = Conditions::default();
        let kept = self.aftermath.kept.as_deref();
        let whole = class.kind == Kind::GetDiagnostics;
        let answers = Answers {
            row_count: (self.aftermath.row_count_differs || whole)
                .then_some(self.aftermath.row_count),
            conditions: kept.or(whole.then_some(&none)),
        };
        let cursor = stored
            .payload
            .get(CURSOR_FLAGS)
            .is_some_and(|&flags| flags != 0);
        let answered = answer(&text, dialect, answers);
        // Another statement's text, or one that is not certain: from now on nothing goes behind its back.
        let elsewhere = matches!(class.kind, Kind::Execute | Kind::Call);
        self.aftermath.shows |= !answered.complete || elsewhere;
        if answered.complete {
            // What is known here, a lost connection cannot take away.
            stored.statement.observes -= Observes::DIAGNOSTICS;
            if answers.row_count.is_some() {
                stored.statement.observes -= Observes::ROW_COUNT;
            }
        }
        let Some(text) = answered.text else { return };
        match &stored.prepared {
            // Its rows are fetched from the statement that the client knows.
            Some(_) if cursor => self.aftermath.shows = true,
            Some(prepared) => stored.prepared = Some(Rc::new(prepared.answered(text.into()))),
            None => stored.payload = [&[code::QUERY], text.as_slice()].concat().into(),
        }
        stored.answered = true;
    }

    /// MySQL counts the conditions that there are in the OK of these commands (9.7.4).
    pub(super) fn warnings_to_add(&self, stored: &Stored) -> u16 {
        let counts = matches!(
            stored.payload.first(),
            Some(&(code::PING | code::SET_OPTION | code::INIT_DB))
        );
        match &self.aftermath.kept {
            Some(kept) if counts && self.dialect.server == Server::MySql => {
                u16::try_from(kept.count).unwrap_or(u16::MAX)
            }
            _ => 0,
        }
    }

    /// Closes what [`Driver::answer_question`] had to be prepared.
    pub(super) async fn close_answered(&mut self, stored: &Stored) {
        if let (true, Some(prepared)) = (stored.answered, &stored.prepared) {
            self.close_there(prepared).await;
        }
    }

    /// A command has its answer: takes note of what it leaves.
    pub(super) fn note_aftermath(&mut self, stored: &Stored, ended: &Ended) {
        let failed = ended.error != 0;
        let first = stored.payload.first().copied().unwrap_or_default();
        let kind = stored.class.map(|class| class.kind);
        let single = stored.class.is_some_and(|class| class.statements == 1);
        let keeps_row_count = !failed
            && (matches!(first, code::STATISTICS | code::STMT_PREPARE)
                || (kind == Some(Kind::GetDiagnostics) && single));
        if keeps_row_count {
            // It went as SET.
            self.aftermath.row_count_differs |= stored.answered;
        } else {
            let rows = ended.rows.is_some()
                || matches!(
                    first,
                    code::SET_OPTION | code::FIELD_LIST | code::STMT_FETCH
                );
            self.aftermath.row_count = if failed || rows {
                -1
            } else {
                i64::try_from(ended.affected_rows).unwrap_or(i64::MAX)
            };
            self.aftermath.row_count_differs = false;
        }
        let has = failed
            || ended.warnings != 0
            || !single
            || matches!(kind, Some(Kind::Call | Kind::Execute | Kind::Unknown));
        let mariadb = self.dialect.server == Server::MariaDb;
        let matters =
            self.aftermath.kept.is_some() || (mariadb && self.aftermath.server_has_conditions);
        if matters && self.keeps_conditions(stored, ended) {
            self.aftermath.server_has_conditions |= has;
        } else {
            self.aftermath.kept = None;
            self.aftermath.server_has_conditions = has;
        }
        if failed {
            self.aftermath.found_rows_loose = true;
        } else if matches!(
            kind,
            Some(Kind::Select | Kind::Insert | Kind::Replace | Kind::Update | Kind::Delete)
        ) {
            self.aftermath.found_rows_loose = false;
        }
        if let (Some(Kind::Prepare), Some(text), false) = (kind, stored.text(), failed) {
            self.aftermath.shows |= prepares_question(text, self.dialect);
        }
    }

    fn keeps_conditions(&self, stored: &Stored, ended: &Ended) -> bool {
        let mariadb = self.dialect.server == Server::MariaDb;
        let quiet = ended.error == 0 && ended.warnings == 0;
        let Some(class) = stored.class else {
            return match stored.payload.first().copied().unwrap_or_default() {
                code::PING | code::STATISTICS | code::SET_OPTION | code::FIELD_LIST => true,
                code::INIT_DB => quiet || !mariadb,
                code::STMT_RESET => mariadb,
                code::STMT_PREPARE => {
                    let text = stored.payload.get(1..).unwrap_or_default();
                    mariadb && quiet && is_without_tables(text, self.dialect)
                }
                _ => false,
            };
        };
        let single = class.statements == 1;
        if single && class.kind == Kind::GetDiagnostics {
            return true;
        }
        let text: &[u8] = match &stored.prepared {
            Some(prepared) => prepared.text(),
            None => stored.text().unwrap_or_default(),
        };
        if class.kind == Kind::Show && class.uses.contains(Uses::DIAGNOSTICS) {
            return single;
        }
        mariadb && quiet && is_without_tables(text, self.dialect)
    }

    /// Saves the conditions that a recorded COMMIT would take away.
    pub(super) async fn save_conditions(&mut self, recording: Recording) -> Result<(), QueryError> {
        if self.aftermath.saved.is_some() {
            // A COMMIT that could not be recorded is tried again without.
            return Ok(());
        }
        let mariadb = self.dialect.server == Server::MariaDb;
        let (needed, count) = match (recording, &self.held) {
            (Recording::Write, Some(held)) => (held.warnings() != 0, held.warnings()),
            (Recording::Commit | Recording::Before, _) => {
                // MySQL's COMMIT and BEGIN take them away themselves.
                (mariadb && self.aftermath.server_has_conditions, 0)
            }
            _ => (false, 0),
        };
        let mut list = match (&self.aftermath.kept, recording) {
            (Some(kept), Recording::Commit | Recording::Before) if mariadb => kept.list.clone(),
            _ => Vec::new(),
        };
        let loose = std::mem::take(&mut self.aftermath.found_rows_loose);
        let commits = matches!(recording, Recording::Commit | Recording::Before);
        if loose && commits && !mariadb && self.found_rows.is_none() {
            self.ask(&[], &RowCount::OfSelect).await?;
        }
        if needed {
            match self.query(SHOW).await {
                Ok(shown) => list.extend(conditions(&shown)),
                Err(QueryError::Dropped(_)) => {
                    list.clear();
                    self.aftermath.shows = true;
                }
                Err(error) => return Err(error),
            }
        }
        self.aftermath.save(list, u64::from(count));
        Ok(())
    }

    /// Ends the hidden transaction of a write that failed, so that what it left stays.
    pub(super) async fn end_failed_write(
        &mut self,
        ended: &Ended,
        rollback: &[u8],
    ) -> Result<(), QueryError> {
        self.aftermath.forget_saved();
        let mariadb = self.dialect.server == Server::MariaDb;
        // A ROLLBACK warns where not all could be taken back. On a direct connection MySQL tells that with the error, and
        // MariaDB does not.
        let texts = [SHOW, rollback, SHOW, NOTHING_CHANGED];
        let results = match self.query_all(&texts).await {
            Err(QueryError::Dropped(_)) => {
                // All of them were run.
                self.aftermath.shows = true;
                Vec::new()
            }
            results => results?,
        };
        let warned = (results.get(1))
            .and_then(|result| result.ok.as_ref())
            .is_some_and(|ok| ok.warnings > 0);
        if mariadb && !warned {
            // It leaves the conditions.
            return Ok(());
        }
        if warned {
            let clear = if mariadb { CLEAR } else { rollback };
            self.query_all(&[clear, NOTHING_CHANGED]).await?;
        }
        let mut list: Vec<Condition> = results.first().map(conditions).unwrap_or_default();
        if let Some(last) = list.iter_mut().rfind(|one| one.code == ended.error) {
            last.sqlstate = ended.sqlstate;
        }
        if warned && !mariadb {
            list.extend(results.get(2).map(conditions).unwrap_or_default());
        }
        self.aftermath.save(list, 0);
        Ok(())
    }

    /// After [`Driver::end_failed_write`], and when the command has been taken note of.
    pub(super) fn keep_conditions_of_failure(&mut self) {
        if self.dialect.server == Server::MySql || self.aftermath.saved.is_some() {
            self.aftermath.kept = self.aftermath.saved.take();
            self.aftermath.server_has_conditions = false;
        }
    }

    /// A ledger call has failed, and left its conditions.
    pub(super) fn note_failed_call(&mut self) {
        self.aftermath.call_failed = self.dialect.server == Server::MariaDb;
    }

    /// Before a command that goes as it is because a ledger call has failed.
    pub(super) async fn undo_failed_call(&mut self) -> Result<(), QueryError> {
        if std::mem::take(&mut self.aftermath.call_failed) {
            self.query(CLEAR).await?;
            self.aftermath.kept = self.aftermath.saved.take();
            self.aftermath.server_has_conditions = false;
        }
        Ok(())
    }

    /// Before a COMMIT that is not recorded: MariaDB's leaves the conditions that the server has. The client's are kept here
    /// where it has others, or where ROW_COUNT() is to be another than the COMMIT's.
    pub(super) async fn before_plain_commit(
        &mut self,
        recording: Recording,
    ) -> Result<(), QueryError> {
        if self.dialect.server == Server::MariaDb {
            let failed = std::mem::take(&mut self.aftermath.call_failed);
            if failed || (recording == Recording::Write && self.aftermath.saved.is_some()) {
                self.query(CLEAR).await?;
            } else {
                self.aftermath.saved = None;
            }
        }
        Ok(())
    }
}

/// The rows of SHOW WARNINGS.
fn conditions(shown: &QueryResult) -> Vec<Condition> {
    let mut list = Vec::new();
    for row in &shown.rows {
        let [Some(level), Some(code), Some(message)] = row.as_slice() else {
            continue;
        };
        let code = std::str::from_utf8(code)
            .ok()
            .and_then(|code| code.parse().ok());
        list.push(Condition {
            level: level.clone(),
            code: code.unwrap_or_default(),
            sqlstate: None,
            message: message.clone(),
        });
    }
    list
}

/// A row of SHOW WARNINGS: two strings and an INT, as a payload of the text or the binary protocol.
fn row(condition: &Condition, binary: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if binary {
        // The header, and the bitmap of NULLs.
        out.extend_from_slice(&[0, 0]);
    }
    put_lenenc_bytes(&mut out, &condition.level);
    if binary {
        out.extend_from_slice(&u32::from(condition.code).to_le_bytes());
    } else {
        put_lenenc_bytes(&mut out, condition.code.to_string().as_bytes());
    }
    put_lenenc_bytes(&mut out, &condition.message);
    out
}

/// Whether MariaDB lets a statement pass as one without tables.
fn is_without_tables(text: &[u8], dialect: Dialect) -> bool {
    let inner = match classify(text, dialect).kind {
        Kind::Prepare => match prepare_parts(text, dialect).map(|parts| parts.source) {
            Some(PrepareSource::Literal(inner)) => inner,
            _ => return false,
        },
        _ => text.into(),
    };
    let Class { kind, uses, .. } = classify(&inner, dialect);
    let plain = matches!(
        kind,
        Kind::Select
            | Kind::Set
            | Kind::SetTransaction
            | Kind::SetRole
            | Kind::Do
            | Kind::Begin
            | Kind::Commit
            | Kind::Rollback
            | Kind::Savepoint
            | Kind::RollbackTo
            | Kind::ReleaseSavepoint
            | Kind::Use
            | Kind::Deallocate
            | Kind::UnlockTables
            | Kind::GetDiagnostics
            | Kind::Help
    );
    // SHOW: all but these two read tables of the information schema.
    let diagnostics = kind == Kind::Show && uses.contains(Uses::DIAGNOSTICS);
    let show = kind == Kind::Show
        && [&b"processlist"[..], b"grants"].iter().any(|word| {
            let trimmed = inner.trim_ascii_end();
            let from = trimmed.len().saturating_sub(word.len());
            trimmed
                .get(from..)
                .is_some_and(|end| end.eq_ignore_ascii_case(word))
        });
    (plain || show || diagnostics) && !mentions_tables(&inner, dialect)
}

/// `PREPARE … FROM` a text that asks about the statement before the EXECUTE, or may.
fn prepares_question(text: &[u8], dialect: Dialect) -> bool {
    match prepare_parts(text, dialect).map(|parts| parts.source) {
        Some(PrepareSource::Literal(inner)) => classify(&inner, dialect)
            .uses
            .intersects(Uses::ROW_COUNT | Uses::DIAGNOSTICS),
        Some(PrepareSource::Variable(_)) | None => false,
    }
}
