//! Incidents on disk: a SQLite database in the state directory, of bounded size. Only who runs Steadfast may read it: it
//! tells of statements and accounts.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};

use super::Incident;

/// The file's name in the state directory.
const FILE: &str = "incidents.db";

/// Incidents that are kept; the oldest make way.
const MAX_INCIDENTS: i64 = 20_000;

/// Bytes that the database may take, without the log of its last transactions.
const MAX_BYTES: i64 = 256 << 20;

/// How long a reader and the writer wait for each other.
const BUSY: Duration = Duration::from_secs(2);

/// The layout of the tables; another one is of another version of Steadfast.
const VERSION: i64 = 2;

const SCHEMA: &str = "
    CREATE TABLE incident (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        changed INTEGER NOT NULL,
        id TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        answer TEXT NOT NULL,
        user TEXT NOT NULL,
        error INTEGER NOT NULL,
        incident TEXT NOT NULL
    );
    CREATE UNIQUE INDEX incident_id ON incident (id, at_ms);
    CREATE INDEX incident_at ON incident (at_ms);
    CREATE INDEX incident_changed ON incident (changed);
";

/// The database could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is not what it should be, or the disk refuses.
    #[error("{path}: {error}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: rusqlite::Error,
    },
    /// It is of another version.
    #[error(
        "{path} was written by another version of Steadfast (layout {found}, not {VERSION}): move it away"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: i64,
    },
    /// The directory or the file cannot be made or looked at.
    #[error("{path}: {error}")]
    Directory {
        /// The directory or the file.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// An incident cannot be written as text, or what is there is none.
    #[error("{path}: an incident in it makes no sense: {error}")]
    Incident {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        error: serde_json::Error,
    },
}

/// An incident in the database.
#[derive(Clone, PartialEq, Debug)]
pub struct Stored {
    /// Larger than of all that were written or changed before.
    pub changed: i64,
    /// It.
    pub incident: Incident,
}

/// The incidents of a state directory.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
}

impl Store {
    /// Opens it for writing, and makes it where it is not there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let unmade = |path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::Directory { path, error }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(state_dir)
            .map_err(unmade(state_dir))?;
        let path = state_dir.join(FILE);
        // SQLite gives the files beside it the same mode.
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(unmade(&path))?;
        let failed = |error| StoreError::Sqlite {
            path: path.clone(),
            error,
        };
        let connection = Connection::open(&path).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        // Incidents are written one by one: an fsync for each would cost more than the last ones are worth when the
        // machine goes down.
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
            .map_err(failed)?;
        let size: i64 = connection
            .pragma_query_value(None, "page_size", |row| row.get(0))
            .map_err(failed)?;
        connection
            .pragma_update(None, "max_page_count", MAX_BYTES / size.max(1))
            .map_err(failed)?;
        let store = Self { path, connection };
        match store.version()? {
            VERSION => {}
            0 => {
                let schema = format!("BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;");
                store
                    .connection
                    .execute_batch(&schema)
                    .map_err(|error| store.failed(error))?;
            }
            found => {
                return Err(StoreError::Version {
                    path: store.path,
                    found,
                });
            }
        }
        Ok(store)
    }

    /// Opens it for reading; `None`: there is none yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(state_dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = state_dir.join(FILE);
        let there = path.try_exists().map_err(|error| StoreError::Directory {
            path: path.clone(),
            error,
        })?;
        if !there {
            return Ok(None);
        }
        let failed = |error| StoreError::Sqlite {
            path: path.clone(),
            error,
        };
        let connection =
            Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(failed)?;
        connection.busy_timeout(BUSY).map_err(failed)?;
        let store = Self { path, connection };
        match store.version()? {
            VERSION => Ok(Some(store)),
            // It is being made.
            0 => Ok(None),
            found => Err(StoreError::Version {
                path: store.path,
                found,
            }),
        }
    }

    fn version(&self) -> Result<i64, StoreError> {
        self.connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(|error| self.failed(error))
    }

    fn failed(&self, error: rusqlite::Error) -> StoreError {
        StoreError::Sqlite {
            path: self.path.clone(),
            error,
        }
    }

    /// Writes incidents, each instead of what is known of it by now; the oldest make way.
    ///
    /// # Errors
    /// [`StoreError`]; none of them is written.
    pub fn write(&mut self, incidents: &[Incident]) -> Result<(), StoreError> {
        let mut written = self.try_write(incidents);
        // By their bytes they are too many before they are by their number.
        for _ in 0..9 {
            if !matches!(&written, Err(StoreError::Sqlite { error, .. }) if is_full(error)) {
                break;
            }
            self.make_way()?;
            written = self.try_write(incidents);
        }
        written
    }

    /// The oldest tenth goes.
    fn make_way(&mut self) -> Result<(), StoreError> {
        self.connection
            .execute(
                "DELETE FROM incident WHERE number <= (SELECT MIN(number) + (MAX(number) - MIN(number)) / 10 FROM incident)",
                [],
            )
            .map(drop)
            .map_err(|error| self.failed(error))
    }

    /// What Steadfast had not seen the end of when it ended will have none any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn close_unended(&self) -> Result<(), StoreError> {
        self.connection
            .execute(
                "UPDATE incident SET changed = changed + (SELECT MAX(changed) FROM incident), \
                 incident = json_set(json_remove(incident, '$.waits'), '$.outcome', ?) \
                 WHERE json_extract(incident, '$.waits')",
                ["Steadfast ended before it was known"],
            )
            .map(drop)
            .map_err(|error| self.failed(error))
    }

    /// [`Stored::changed`] of the newest; 0: there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn last_changed(&self) -> Result<i64, StoreError> {
        self.connection
            .query_row("SELECT IFNULL(MAX(changed), 0) FROM incident", [], |row| {
                row.get(0)
            })
            .map_err(|error| self.failed(error))
    }

    fn try_write(&mut self, incidents: &[Incident]) -> Result<(), StoreError> {
        let path = &self.path;
        let failed = |error| StoreError::Sqlite {
            path: path.clone(),
            error,
        };
        let transaction = self.connection.transaction().map_err(failed)?;
        for incident in incidents {
            let text = serde_json::to_string(incident).map_err(|error| StoreError::Incident {
                path: path.clone(),
                error,
            })?;
            transaction
                .prepare_cached(
                    "INSERT INTO incident (changed, id, at_ms, answer, user, error, incident) \
                     VALUES ((SELECT IFNULL(MAX(changed), 0) + 1 FROM incident), ?, ?, ?, ?, ?, ?) \
                     ON CONFLICT (id, at_ms) DO UPDATE SET changed = excluded.changed, answer = excluded.answer, \
                     user = excluded.user, error = excluded.error, incident = excluded.incident",
                )
                .and_then(|mut insert| {
                    insert.execute(params![
                        incident.id,
                        incident.at_ms,
                        incident.why.answer,
                        incident.user,
                        incident.error,
                        text
                    ])
                })
                .map_err(failed)?;
        }
        transaction
            .execute(
                "DELETE FROM incident WHERE number <= (SELECT MAX(number) FROM incident) - ?",
                [MAX_INCIDENTS],
            )
            .map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    /// The last incident of this id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn of_id(&self, id: &str) -> Result<Option<Stored>, StoreError> {
        let found = self
            .connection
            .query_row(
                "SELECT changed, incident FROM incident WHERE id = ? ORDER BY number DESC LIMIT 1",
                [id],
                row,
            )
            .optional()
            .map_err(|error| self.failed(error))?;
        found.map(|found| self.stored(found)).transpose()
    }

    /// Incidents from that time on (milliseconds since 1970), the oldest first; of more than `limit` the newest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn since(&self, at_ms: u64, limit: u32) -> Result<Vec<Stored>, StoreError> {
        let mut found = self.all(
            "SELECT changed, incident FROM incident WHERE at_ms >= ? ORDER BY number DESC LIMIT ?",
            params![at_ms, limit],
        )?;
        found.reverse();
        Ok(found)
    }

    /// Incidents that were written, or have come to something else, after the one with this [`Stored::changed`], in that
    /// order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn changed_after(&self, changed: i64) -> Result<Vec<Stored>, StoreError> {
        self.all(
            "SELECT changed, incident FROM incident WHERE changed > ? ORDER BY changed",
            params![changed],
        )
    }

    fn all(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Stored>, StoreError> {
        let found = || -> rusqlite::Result<Vec<(i64, String)>> {
            let mut query = self.connection.prepare(sql)?;
            let rows = query.query_map(params, row)?;
            rows.collect()
        };
        let found = found().map_err(|error| self.failed(error))?;
        found.into_iter().map(|found| self.stored(found)).collect()
    }

    fn stored(&self, (changed, text): (i64, String)) -> Result<Stored, StoreError> {
        let incident = serde_json::from_str(&text).map_err(|error| StoreError::Incident {
            path: self.path.clone(),
            error,
        })?;
        Ok(Stored { changed, incident })
    }
}

/// Whether the database may not grow any more.
fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}

fn row(row: &Row<'_>) -> rusqlite::Result<(i64, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(id: &str, at_ms: u64) -> Incident {
        Incident {
            id: id.to_owned(),
            at_ms,
            ..Incident::example()
        }
    }

    #[test]
    fn what_was_written_is_read_by_another() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Store::read(dir.path()).unwrap().is_none());
        let mut store = Store::open(&dir.path().join("new")).unwrap();
        store
            .write(&[incident("AAAAAA", 1), incident("BBBBBB", 2)])
            .unwrap();
        let reader = Store::read(&dir.path().join("new")).unwrap().unwrap();
        let found = reader.of_id("BBBBBB").unwrap().unwrap();
        assert_eq!(found.incident, incident("BBBBBB", 2));
        assert_eq!(reader.of_id("CCCCCC").unwrap(), None);
        let ids = |found: Vec<Stored>| -> Vec<String> {
            found.into_iter().map(|stored| stored.incident.id).collect()
        };
        assert_eq!(ids(reader.since(2, 10).unwrap()), ["BBBBBB"]);
        assert_eq!(ids(reader.since(0, 1).unwrap()), ["BBBBBB"]);
        assert_eq!(
            ids(reader.changed_after(found.changed - 1).unwrap()),
            ["BBBBBB"]
        );
        // The first comes to something else.
        let mut first = incident("AAAAAA", 1);
        first.error = 1053;
        store.write(&[first.clone()]).unwrap();
        let changed = reader.changed_after(found.changed).unwrap();
        assert_eq!(changed[0].incident, first);
        assert_eq!(ids(changed), ["AAAAAA"]);
        assert_eq!(ids(reader.since(0, 10).unwrap()), ["AAAAAA", "BBBBBB"]);
    }

    #[test]
    fn the_oldest_make_way() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let many: Vec<Incident> = (0..MAX_INCIDENTS as u64 + 50)
            .map(|at| incident("DDDDDD", at))
            .collect();
        store.write(&many).unwrap();
        let kept = store.since(0, u32::MAX).unwrap();
        assert_eq!(kept.len() as i64, MAX_INCIDENTS);
        assert_eq!(kept[0].incident.at_ms, 50);
    }

    #[test]
    fn the_oldest_make_way_for_large_ones() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store
            .connection
            .pragma_update(None, "max_page_count", 64)
            .unwrap();
        for at in 0..200 {
            let large = Incident {
                statement: Some("x".repeat(5_000)),
                ..incident("DDDDDD", at)
            };
            store.write(&[large]).unwrap();
        }
        let kept = store.since(0, u32::MAX).unwrap();
        assert!((20..60).contains(&kept.len()), "{}", kept.len());
        assert_eq!(kept.last().unwrap().incident.at_ms, 199);
    }

    #[test]
    fn what_was_waited_for_when_steadfast_ended_has_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        let waits = Incident {
            waits: true,
            ..incident("AAAAAA", 1)
        };
        store.write(&[waits, incident("BBBBBB", 2)]).unwrap();
        let last = store.last_changed().unwrap();
        store.close_unended().unwrap();
        let changed = store.changed_after(last).unwrap();
        assert_eq!(changed.len(), 1);
        assert!(!changed[0].incident.waits);
        assert_eq!(
            changed[0].incident.outcome,
            "Steadfast ended before it was known"
        );
    }

    #[test]
    fn only_who_runs_steadfast_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let mut store = Store::open(&state).unwrap();
        store.write(&[incident("AAAAAA", 1)]).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&state), 0o700);
        for file in std::fs::read_dir(&state).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), vec![b'x'; 8192]).unwrap();
        for error in [
            Store::open(dir.path()).unwrap_err(),
            Store::read(dir.path()).unwrap_err(),
        ] {
            assert!(error.to_string().contains(FILE), "{error}");
        }
    }

    #[test]
    fn another_versions_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        drop(Store::open(dir.path()).unwrap());
        let connection = Connection::open(dir.path().join(FILE)).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let error = Store::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains("another version"), "{error}");
    }
}
