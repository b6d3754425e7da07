//! Which statements may write tables without transactions: what they wrote is not undone by a rollback, so they must not
//! run again.
//!
//! Asked of the server after a loss only. Where there is no such table, nothing else is asked. Where there is one, a
//! statement is in the clear if none of its names is one of these: such a table, a view, a stored function, a table
//! whose triggers reach such a table, or a schema whose triggers this account cannot see.

use std::collections::HashSet;

use steadfast_net::{QueryError, QueryResult, ServerConnection};
use steadfast_sql::{Dialect, mentions};

/// Names of one kind that are looked at; where there are more, every statement counts as one that may write.
const NAMES: usize = 5000;

const SYSTEM: &str = "('mysql', 'information_schema', 'performance_schema', 'sys')";

/// What is known of the server's tables, as far as one account can see.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Tables {
    /// Names, in lower case, that a statement must not have.
    names: HashSet<Vec<u8>>,
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
        let without = connection
            .query(
                format!(
                    "SELECT DISTINCT TABLE_NAME FROM information_schema.TABLES \
                    WHERE TABLE_TYPE NOT IN ('VIEW', 'SYSTEM VIEW') AND TABLE_SCHEMA NOT IN {SYSTEM} \
                    AND NOT IFNULL(ENGINE IN ('InnoDB', 'ROCKSDB', 'ndbcluster'), FALSE) LIMIT {limit}"
                )
                .as_bytes(),
            )
            .await?;
        let mut tables = Self::default();
        if without.rows.is_empty() {
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
        let [views, functions, blind, triggers, cascades] =
            [views, functions, blind, triggers, cascades].map(String::into_bytes);
        let mut results = connection
            .query_all(&[&views, &functions, &blind, &triggers, &cascades])
            .await?;
        let cascades = pairs(results.pop());
        let triggers = pairs(results.pop());
        tables.unknown = cascades.len() > NAMES || triggers.len() > NAMES;
        tables.add(without);
        for names in results {
            tables.add(names);
        }
        tables.follow(&triggers, &cascades);
        Ok(tables)
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

    /// Adds tables whose triggers reach a name, and those that cascade to them.
    fn follow(&mut self, triggers: &[(Vec<u8>, Vec<u8>)], cascades: &[(Vec<u8>, Vec<u8>)]) {
        let plain = Dialect::mysql(0);
        loop {
            let before = self.names.len();
            for (table, body) in triggers {
                // A procedure's tables are not in the trigger's text.
                if mentions(body, plain, |name| {
                    self.has(name) || name.eq_ignore_ascii_case(b"call")
                }) {
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

    /// Whether a statement may write a table without transactions; `schema` is the one that its names are of.
    pub(crate) fn reached_by(&self, text: &[u8], dialect: Dialect, schema: Option<&[u8]>) -> bool {
        if self.names.is_empty() && !self.unknown {
            return false;
        }
        self.unknown
            || schema.is_some_and(|schema| self.has(schema))
            || mentions(text, dialect, |name| self.has(name))
    }
}

fn pairs(result: Option<QueryResult>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rows = result.map(|result| result.rows).unwrap_or_default();
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
    fn a_schema_whose_triggers_are_hidden_is_not_in_the_clear() {
        let mut tables = tables();
        tables.names.insert(b"blind".to_vec());
        let dialect = Dialect::mysql(90704);
        assert!(tables.reached_by(b"DELETE FROM users", dialect, Some(b"blind")));
        assert!(tables.reached_by(b"DELETE FROM blind.users", dialect, Some(b"app")));
    }
}
