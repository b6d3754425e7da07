//! Which statements may write tables without transactions: what they wrote is not undone by a rollback, so they must not
//! run again.
//!
//! Asked of the server after a loss only. Where there is no such table, nothing else is asked. Where there is one, a
//! statement is in the clear if none of its names is one of these: such a table, a view, a stored function, a table
//! whose triggers reach such a table, or a schema whose triggers this account cannot see.
//!
//! MariaDB always has such tables in the schema `mysql`. They have names that other tables have as well (`user`, `host`,
//! `event`), so a statement must name the schema too, or be in it, to count as one that may write them; and a view,
//! a function or a trigger must say so in a text that this account can see.

use std::collections::HashSet;

use steadfast_net::{QueryError, QueryResult, ServerConnection};
use steadfast_sql::{Dialect, mentions};

/// Names of one kind that are looked at; where there are more, every statement counts as one that may write.
const NAMES: usize = 5000;

const SYSTEM: &str = "('mysql', 'information_schema', 'performance_schema', 'sys')";

/// The schema of the server's own tables.
const OWN: &[u8] = b"mysql";

const TRANSACTIONAL: &str = "('InnoDB', 'ROCKSDB', 'ndbcluster')";

/// What is known of the server's tables, as far as one account can see.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tables {
    /// Names, in lower case, that a statement must not have.
    names: HashSet<Vec<u8>>,
    /// Names, in lower case, of tables of the schema [`OWN`] that a statement must not have.
    own: HashSet<Vec<u8>>,
    /// Not even this is known.
    unknown: bool,
}

impl Tables {
    /// Asks on a connection that has its account's default schema, or none.
    ///
    /// # Errors
    /// [`QueryError`].
    pub(crate) async fn ask(connection: &mut ServerConnection) -> Result<Self, QueryError> {
        let limit = NAMES + 1;
        let select = "SELECT DISTINCT TABLE_NAME FROM information_schema.TABLES WHERE";
        let without = format!(
            "{select} TABLE_TYPE NOT IN ('VIEW', 'SYSTEM VIEW') AND TABLE_SCHEMA NOT IN {SYSTEM} \
            AND NOT IFNULL(ENGINE IN {TRANSACTIONAL}, FALSE) LIMIT {limit}"
        );
        // The logs take no writes (1556). A view is here what MariaDB's `user` is: rows of another table.
        let own = format!(
            "{select} TABLE_SCHEMA = 'mysql' AND TABLE_NAME NOT IN ('general_log', 'slow_log') \
            AND NOT IFNULL(ENGINE IN {TRANSACTIONAL}, FALSE) LIMIT {limit}"
        );
        let results = connection
            .query_all(&[without.as_bytes(), own.as_bytes()])
            .await;
        let Some(mut results) = unless_dropped(results)? else {
            return Ok(Self::unknown());
        };
        let own = results.pop().unwrap_or_default();
        let without = results.pop().unwrap_or_default();
        let mut tables = Self::default();
        tables.add_own(own);
        if without.rows.is_empty() && !(tables.has_own() && mention_own(connection).await?) {
            return Ok(tables);
        }
        let views = format!(
            "SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA NOT IN {SYSTEM} LIMIT {limit}"
        );
        let functions = format!(
            "SELECT ROUTINE_NAME FROM information_schema.ROUTINES \
            WHERE ROUTINE_TYPE = 'FUNCTION' AND ROUTINE_SCHEMA <> 'sys' LIMIT {limit}"
        );
        // Triggers are shown to who may make them.
        let blind = format!(
            "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA s WHERE SCHEMA_NAME NOT IN {SYSTEM} \
            AND NOT EXISTS (SELECT 1 FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'TRIGGER') \
            AND NOT EXISTS (SELECT 1 FROM information_schema.SCHEMA_PRIVILEGES p \
            WHERE p.PRIVILEGE_TYPE = 'TRIGGER' AND s.SCHEMA_NAME LIKE p.TABLE_SCHEMA) LIMIT {limit}"
        );
        let triggers = format!(
            "SELECT EVENT_OBJECT_TABLE, ACTION_STATEMENT FROM information_schema.TRIGGERS \
            WHERE TRIGGER_SCHEMA <> 'sys' LIMIT {limit}"
        );
        let cascades = format!(
            "SELECT REFERENCED_TABLE_NAME, TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS LIMIT {limit}"
        );
        tables.add(without);
        // Names alone fit into an answer. Texts may not.
        let [views, functions, blind] = [views, functions, blind].map(String::into_bytes);
        let results = connection.query_all(&[&views, &functions, &blind]).await;
        let Some(results) = unless_dropped(results)? else {
            return Ok(Self::unknown());
        };
        for names in results {
            tables.add(names);
        }
        let Some(cascades) = unless_dropped(connection.query(cascades.as_bytes()).await)? else {
            return Ok(Self::unknown());
        };
        let cascades = pairs(cascades);
        let triggers = match unless_dropped(connection.query(triggers.as_bytes()).await)? {
            Some(triggers) => pairs(triggers),
            None => {
                // Too long to be looked into: each may lead there.
                let triggered = format!(
                    "SELECT DISTINCT EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS \
                    WHERE TRIGGER_SCHEMA <> 'sys' LIMIT {limit}"
                );
                tables.add(connection.query(triggered.as_bytes()).await?);
                Vec::new()
            }
        };
        tables.unknown |= cascades.len() > NAMES || triggers.len() > NAMES;
        tables.follow(&triggers, &cascades);
        Ok(tables)
    }

    /// Every statement counts as one that may write such a table.
    pub(crate) fn unknown() -> Self {
        Self {
            unknown: true,
            ..Self::default()
        }
    }

    fn add(&mut self, names: QueryResult) {
        self.unknown |= names.rows.len() > NAMES;
        for row in names.rows {
            match row.into_iter().next().flatten() {
                // Beyond ASCII, what is one name is the collation's affair.
                Some(name) if name.is_ascii() => {
                    self.names.insert(name.to_ascii_lowercase());
                }
                _ => self.unknown = true,
            }
        }
    }

    fn add_own(&mut self, names: QueryResult) {
        let mut others = Self::default();
        others.add(names);
        self.own = others.names;
        self.unknown |= others.unknown;
    }

    fn has_own(&self) -> bool {
        !self.own.is_empty()
    }

    /// Adds tables whose triggers reach a name, and those that cascade to them.
    fn follow(&mut self, triggers: &[(Vec<u8>, Vec<u8>)], cascades: &[(Vec<u8>, Vec<u8>)]) {
        let plain = Dialect::mysql(0);
        loop {
            let before = self.names.len();
            for (table, body) in triggers {
                // A procedure's tables are not in the trigger's text.
                let reaches = mentions(body, plain, |name| {
                    self.has(name) || name.eq_ignore_ascii_case(b"call")
                });
                if reaches || self.names_own(body, plain, None) {
                    self.names.insert(table.to_ascii_lowercase());
                }
            }
            for (parent, child) in cascades {
                if self.has(child) {
                    self.names.insert(parent.to_ascii_lowercase());
                }
            }
            if self.names.len() == before {
                return;
            }
        }
    }

    fn has(&self, name: &[u8]) -> bool {
        self.names.contains(&name.to_ascii_lowercase())
    }

    /// Whether a statement names a table without transactions of the schema [`OWN`]; `schema` is the one that its names
    /// are of.
    pub(crate) fn names_own(&self, text: &[u8], dialect: Dialect, schema: Option<&[u8]>) -> bool {
        let is_own = |name: &[u8]| name.eq_ignore_ascii_case(OWN);
        self.has_own()
            && (schema.is_some_and(is_own) || mentions(text, dialect, is_own))
            && mentions(text, dialect, |name| {
                self.own.contains(&name.to_ascii_lowercase())
            })
    }

    /// Whether a statement may write a table without transactions, but for those that [`Tables::names_own`] tells of;
    /// `schema` is the one that its names are of.
    pub(crate) fn reached_by(&self, text: &[u8], dialect: Dialect, schema: Option<&[u8]>) -> bool {
        if self.names.is_empty() && !self.unknown {
            return false;
        }
        self.unknown
            || schema.is_some_and(|schema| self.has(schema))
            || mentions(text, dialect, |name| self.has(name))
    }
}

/// Whether a view, a function or a trigger may reach a table of the schema [`OWN`]. A procedure's tables are not in the
/// text of who calls it.
async fn mention_own(connection: &mut ServerConnection) -> Result<bool, QueryError> {
    let question = format!(
        "SELECT 1 FROM information_schema.VIEWS WHERE TABLE_SCHEMA NOT IN {SYSTEM} AND VIEW_DEFINITION LIKE '%mysql%' \
        UNION ALL SELECT 1 FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'FUNCTION' AND ROUTINE_SCHEMA <> 'sys' \
        AND (ROUTINE_SCHEMA = 'mysql' OR ROUTINE_DEFINITION LIKE '%mysql%' OR ROUTINE_DEFINITION LIKE '%call%') \
        UNION ALL SELECT 1 FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA <> 'sys' \
        AND (ACTION_STATEMENT LIKE '%mysql%' OR ACTION_STATEMENT LIKE '%call%') LIMIT 1"
    );
    let found = connection.query(question.as_bytes()).await?;
    Ok(!found.rows.is_empty())
}

/// `None`: the answer was too large to be kept.
fn unless_dropped<T>(answer: Result<T, QueryError>) -> Result<Option<T>, QueryError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(QueryError::Dropped(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn pairs(result: QueryResult) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = result.rows;
    rows.into_iter()
        .map(|row| {
            let mut values = row.into_iter().map(Option::unwrap_or_default);
            let mut next = || values.next().unwrap_or_default();
            (next(), next())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables() -> Tables {
        let mut tables = Tables::default();
        tables.names.insert(b"log".to_vec());
        let pair = |a: &str, b: &str| (a.as_bytes().to_vec(), b.as_bytes().to_vec());
        tables.follow(
            &[
                pair("Orders", "INSERT INTO audit VALUES (NEW.id)"),
                pair("audit", "BEGIN INSERT INTO Log VALUES (1); END"),
                pair("users", "SET NEW.name = 'log'"),
                pair("calls", "CALL something()"),
            ],
            &[pair("customers", "orders"), pair("shops", "users")],
        );
        tables
    }

    fn reached(text: &str) -> bool {
        tables().reached_by(text.as_bytes(), Dialect::mysql(90704), Some(b"app"))
    }

    #[test]
    fn a_statement_is_in_the_clear_if_nothing_that_it_names_leads_to_such_a_table() {
        for text in [
            "INSERT INTO users VALUES (1, 'log')",
            "UPDATE shops SET a = 1",
            "DELETE FROM other",
        ] {
            assert!(!reached(text), "{text}");
        }
    }

    #[test]
    fn triggers_and_cascades_lead_there() {
        for text in [
            "INSERT INTO log VALUES (1)",
            "INSERT INTO app.`LOG` VALUES (1)",
            "UPDATE audit SET a = 1",
            "DELETE FROM orders",
            "DELETE FROM Customers",
            "INSERT INTO calls VALUES (1)",
        ] {
            assert!(reached(text), "{text}");
        }
    }

    #[test]
    fn where_there_is_none_nothing_leads_there() {
        let none = Tables::default();
        assert!(!none.reached_by(b"DELETE FROM log", Dialect::mysql(90704), None));
    }

    #[test]
    fn a_table_of_the_servers_own_is_named_with_its_schema() {
        let mut tables = Tables::default();
        let pair = |a: &str, b: &str| (a.as_bytes().to_vec(), b.as_bytes().to_vec());
        tables
            .own
            .extend([b"user".to_vec(), b"db".to_vec(), b"time_zone".to_vec()]);
        tables.follow(
            &[
                pair("zones", "INSERT INTO mysql.time_zone VALUES (NEW.id)"),
                pair("people", "INSERT INTO user VALUES (NEW.id)"),
            ],
            &[],
        );
        let dialect = Dialect::mysql(90704);
        let reached = |text: &str, schema: &[u8]| {
            tables.names_own(text.as_bytes(), dialect, Some(schema))
                || tables.reached_by(text.as_bytes(), dialect, Some(schema))
        };
        for text in [
            "INSERT INTO mysql.time_zone VALUES (1)",
            "DELETE FROM `MySQL` . `User`",
            "INSERT INTO a SELECT 1; UPDATE mysql.db SET a = 1",
            "INSERT INTO zones VALUES (1)",
        ] {
            assert!(reached(text, b"app"), "{text}");
        }
        for text in [
            "INSERT INTO time_zone VALUES (1)",
            "UPDATE user SET db = 'mysql.user'",
            "INSERT INTO people VALUES (1)",
            "UPDATE mysql.innodb_table_stats SET n_rows = 1",
        ] {
            assert!(!reached(text, b"app"), "{text}");
        }
        assert!(reached("INSERT INTO time_zone VALUES (1)", b"mysql"));
        assert!(!reached("INSERT INTO others VALUES (1)", b"mysql"));
    }

    #[test]
    fn a_schema_whose_triggers_are_hidden_is_not_in_the_clear() {
        let mut tables = tables();
        tables.names.insert(b"blind".to_vec());
        let dialect = Dialect::mysql(90704);
        assert!(tables.reached_by(b"DELETE FROM users", dialect, Some(b"blind")));
        assert!(tables.reached_by(b"DELETE FROM blind.users", dialect, Some(b"app")));
    }
}
