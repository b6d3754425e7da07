//! LAST_INSERT_ID() after a loss. Servers do not track it: an OK tells ids that an INSERT was given as well as ids that
//! it drew from the counter, and only the latter set it. Which of the two it was is found out when somebody asks, from
//! the definition of the table; nothing is asked of the server before that.

use std::rc::Rc;

use bytes::Bytes;
use steadfast_net::{QueryError, QueryResult};
use steadfast_session::{Entry, Event, Handle, InsertId, Observes, Sent, hexadecimal};
use steadfast_sql::{Dialect, InsertTarget, Server, insert_target};
use steadfast_wire::command::code;

use super::hidden::RowCount;
use super::{Driver, end_of};
use crate::command::Stored;
use crate::health;
use crate::relay::Ended;
use crate::status::number;

/// Bytes of the longest INSERT whose text is kept.
const KEPT_TEXT: usize = 64 << 10;

/// An INSERT whose OK told an id.
#[derive(Debug)]
pub(super) struct Drawn {
    handle: Handle,
    text: Bytes,
    dialect: Dialect,
    schema: Option<Box<[u8]>>,
    /// The server's clock when it arrived, seconds since 1970.
    at: u64,
    /// Which definitions the tables had then.
    definitions: u64,
}

/// What is known, when a command arrives, of the time and of the tables.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arrival {
    /// The server's clock, microseconds since 1970.
    pub(super) clock: Option<u64>,
    /// See [`health::Health::definitions`].
    pub(super) definitions: u64,
}

impl Driver {
    /// Takes note of an INSERT whose OK told an id.
    pub(super) fn note_insert(&mut self, handle: Handle, stored: &Stored, ended: Ended) {
        if ended.error != 0 || ended.insert_id == 0 || !stored.statement.inserts {
            return;
        }
        self.drawn = self.drawn_by(handle, stored).map(Rc::new);
    }

    fn drawn_by(&self, handle: Handle, stored: &Stored) -> Option<Drawn> {
        let (text, dialect, schema) = match (&stored.prepared, stored.payload.first()?) {
            (Some(prepared), &code::STMT_EXECUTE) => (
                prepared.text().clone(),
                prepared.dialect(),
                prepared.schema(),
            ),
            (None, &code::QUERY) => (stored.payload.slice(1..), self.dialect, self.state.schema()),
            _ => return None,
        };
        // ON DUPLICATE KEY UPDATE also tells the id of the row that it found.
        let plain = stored.class.is_some_and(|class| !class.insert.on_duplicate);
        if !plain || text.len() > KEPT_TEXT || self.arrival.definitions == 0 {
            return None;
        }
        Some(Drawn {
            handle,
            text,
            dialect,
            schema: schema.map(Into::into),
            at: self.arrival.clock? / 1_000_000,
            definitions: self.arrival.definitions,
        })
    }

    /// Whether LAST_INSERT_ID() is on this connection what it was on the lost one.
    pub(super) async fn prove_insert_id(&mut self, told: Option<Handle>) -> Event {
        let drawn = self.drawn.clone();
        match self.right_insert_id(told, drawn).await {
            Ok(proved) => {
                if let Some(id) = proved {
                    self.state_mut().set_insert_id(id);
                }
                Event::InsertIdProved(proved.is_some())
            }
            // 1317 says nothing of the table: somebody's KILL QUERY, or a server that shuts down.
            Err(QueryError::Server(error)) if !error.ends_connection() && error.code != 1317 => {
                tracing::debug!(client = %self.peer, "the table of an INSERT cannot be asked for: {error}");
                Event::InsertIdProved(false)
            }
            Err(error) => self.lost(end_of(&error), Sent::Nothing).await,
        }
    }

    /// A replayed statement asks for LAST_INSERT_ID(): whether it finds what it found before.
    pub(super) async fn replays_insert_id(&mut self, entry: &Entry) -> Result<bool, QueryError> {
        if !entry.statement.observes.contains(Observes::LAST_INSERT_ID) {
            return Ok(true);
        }
        let told = match self.core.insert_id_at_start() {
            InsertId::Known => return Ok(true),
            InsertId::Unknown => None,
            InsertId::Told(handle) => Some(handle),
        };
        let drawn = self.drawn_at_start.clone();
        let right = self.right_insert_id(told, drawn).await?.is_some();
        if right {
            self.core.step(Event::InsertIdProved(true));
        }
        Ok(right)
    }

    /// Before an INSERT is replayed whose id happens to be the one that was restored: afterwards nobody could tell whether
    /// it was drawn. Restores another one; gives the one that was restored.
    pub(super) async fn tell_insert_id_apart(
        &mut self,
        entry: &Entry,
    ) -> Result<Option<u64>, QueryError> {
        let restored = self.restored_insert_id;
        if entry.insert_id != restored || self.core.insert_id_at_start() == InsertId::Known {
            return Ok(None);
        }
        self.set_insert_id(restored ^ 1).await?;
        Ok(Some(restored))
    }

    /// After it: it has drawn its id, or `id` is restored again.
    pub(super) async fn restore_insert_id_unless_set(&mut self, id: u64) -> Result<(), QueryError> {
        let found = self.ask_one(b"SELECT LAST_INSERT_ID() LIMIT 1").await?;
        if number(&found, 0) == Some(self.restored_insert_id) {
            self.set_insert_id(id).await?;
        }
        Ok(())
    }

    async fn set_insert_id(&mut self, id: u64) -> Result<(), QueryError> {
        self.query(format!("SET last_insert_id={id}").as_bytes())
            .await?;
        self.restored_insert_id = id;
        Ok(())
    }

    /// The server's LAST_INSERT_ID(), if it is the session's. It is, if a statement has set it since it was restored;
    /// what was restored is right, if it was drawn by the INSERT that `told` it.
    async fn right_insert_id(
        &mut self,
        told: Option<Handle>,
        drawn: Option<Rc<Drawn>>,
    ) -> Result<Option<u64>, QueryError> {
        let found = self.ask_one(b"SELECT LAST_INSERT_ID() LIMIT 1").await?;
        let id = number(&found, 0);
        if id != Some(self.restored_insert_id) {
            return Ok(id);
        }
        match drawn {
            Some(drawn) if Some(drawn.handle) == told && self.was_drawn(&drawn).await? => Ok(id),
            _ => Ok(None),
        }
    }

    async fn ask_one(&mut self, text: &[u8]) -> Result<QueryResult, QueryError> {
        let mut results = self.ask(&[text], &RowCount::OfSelect).await?;
        results
            .pop()
            .ok_or_else(|| QueryError::Nonsense("the server's answer is missing".to_owned()))
    }

    /// Whether the id was drawn from the counter: the table is one, without triggers, its AUTO_INCREMENT column is not
    /// among those that the statement gave values, and nobody has changed its definition since.
    async fn was_drawn(&mut self, drawn: &Drawn) -> Result<bool, QueryError> {
        let Some(target) = insert_target(&drawn.text, drawn.dialect) else {
            return Ok(false);
        };
        let Some(question) = question(&target, drawn.schema.as_deref(), drawn.dialect.server)
        else {
            return Ok(false);
        };
        let status = self.ask_one(health::STATUS).await?;
        if self.shared.health.note_status(&status) != Some(drawn.definitions) {
            return Ok(false);
        }
        let found = self.ask_one(question.as_bytes()).await?;
        if found.rows.len() != 1 {
            return Ok(false);
        }
        let column = found.value().unwrap_or_default();
        let given = target
            .columns
            .iter()
            .flatten()
            .any(|name| !name.is_ascii() || name.eq_ignore_ascii_case(column));
        // Whole seconds, by a clock that is known to within one.
        let older = number(&found, 1).is_some_and(|created| created + 1 < drawn.at);
        Ok(column.is_ascii() && !given && older)
    }
}

/// The query for a table's AUTO_INCREMENT column and the time of its definition: no row, if there is no such table, or if
/// it has triggers or the account cannot see whether it has. A BEFORE INSERT trigger may give an id. `None`: the
/// statement gives values to all columns, or names are not understood.
fn question(target: &InsertTarget<'_>, schema: Option<&[u8]>, server: Server) -> Option<String> {
    target.columns.as_ref()?;
    let schema = target.schema.as_deref().or(schema)?;
    let table = target.table.as_ref();
    if !schema.is_ascii() || !table.is_ascii() {
        return None;
    }
    let (schema, table) = (hexadecimal(schema), hexadecimal(table));
    let host = "SUBSTRING_INDEX(CURRENT_USER(), '@', -1)";
    let user =
        format!("LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - 1 - CHAR_LENGTH({host}))");
    let mine = format!(
        "PRIVILEGE_TYPE = 'TRIGGER' AND GRANTEE = \
         CONCAT(CHAR(39), {user}, CHAR(39), '@', CHAR(39), {host}, CHAR(39))"
    );
    // The escape character is named: under NO_BACKSLASH_ESCAPES there is none, and a grant on `app\_%` would match nothing.
    // With partial revokes a privilege for all schemas need not be one for this.
    let whole = match server {
        Server::MySql => "@@GLOBAL.partial_revokes = 0",
        Server::MariaDb => "1 = 1",
    };
    Some(format!(
        "SELECT c.COLUMN_NAME, UNIX_TIMESTAMP(t.CREATE_TIME) \
         FROM information_schema.TABLES t, information_schema.COLUMNS c \
         WHERE t.TABLE_SCHEMA = X'{schema}' AND t.TABLE_NAME = X'{table}' \
         AND c.TABLE_SCHEMA = X'{schema}' AND c.TABLE_NAME = X'{table}' \
         AND t.TABLE_TYPE = 'BASE TABLE' AND c.EXTRA LIKE '%auto_increment%' \
         AND NOT EXISTS (SELECT 1 FROM information_schema.TRIGGERS \
         WHERE EVENT_OBJECT_SCHEMA = X'{schema}' AND EVENT_OBJECT_TABLE = X'{table}') \
         AND {whole} AND (EXISTS (SELECT 1 FROM information_schema.USER_PRIVILEGES WHERE {mine}) \
         OR EXISTS (SELECT 1 FROM information_schema.SCHEMA_PRIVILEGES WHERE {mine} \
         AND X'{schema}' LIKE TABLE_SCHEMA ESCAPE X'5C') \
         OR EXISTS (SELECT 1 FROM information_schema.TABLE_PRIVILEGES WHERE {mine} \
         AND TABLE_SCHEMA = X'{schema}' AND TABLE_NAME = X'{table}'))"
    ))
}
