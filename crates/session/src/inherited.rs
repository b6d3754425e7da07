//! What a session has been given at its login by the server's global settings, and keeps.
//!
//! `SET GLOBAL` changes nothing in sessions that are there, and a restart takes it back: a connection that is made
//! later can have other values than the session that it is made for.

use crate::values::variable_expression;

/// The system variables that are compared. They change what statements mean, and any account may set them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Inherited {
    mariadb: bool,
}

/// Those that both servers have, in an order in which they can be set.
const COMMON: &[&str] = &[
    "autocommit",
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "collation_connection",
    "completion_type",
    "default_week_format",
    "div_precision_increment",
    "foreign_key_checks",
    "group_concat_max_len",
    "innodb_lock_wait_timeout",
    "lc_time_names",
    "lock_wait_timeout",
    "sql_auto_is_null",
    "sql_mode",
    "sql_safe_updates",
    "sql_select_limit",
    "time_zone",
    "unique_checks",
];

/// MariaDB 10.5 and later.
const MARIADB: &[&str] = &["max_statement_time", "tx_isolation", "tx_read_only"];

/// MySQL 8.0 and later.
const MYSQL: &[&str] = &[
    "max_execution_time",
    "transaction_isolation",
    "transaction_read_only",
];

impl Inherited {
    /// Those of a MariaDB, or of a MySQL.
    pub fn of(mariadb: bool) -> Self {
        Self { mariadb }
    }

    /// Their names, lower case.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let own = if self.mariadb { MARIADB } else { MYSQL };
        COMMON.iter().chain(own).copied()
    }

    /// The columns of a query for a connection's values, in the order of [`Inherited::names`].
    pub fn columns(self) -> String {
        let list: Vec<String> = self
            .names()
            .map(|name| format!("@@SESSION.{name}"))
            .collect();
        list.join(", ")
    }

    /// The query for them, of one row.
    pub fn query(self) -> String {
        format!("SELECT {} LIMIT 1", self.columns())
    }

    /// The statement that gives a connection with the values `now` those of `then`; `None`: they are the same.
    /// `as_strings`: see [`variable_expression`].
    pub fn restore(self, then: &[Vec<u8>], now: &[Vec<u8>], as_strings: bool) -> Option<String> {
        let list: Vec<String> = self
            .names()
            .zip(then.iter().zip(now))
            .filter(|(_, (then, now))| then != now)
            .map(|(name, (then, _))| {
                format!("{name}={}", variable_expression(name, then, as_strings))
            })
            .collect();
        (!list.is_empty()).then(|| format!("SET SESSION {}", list.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_set() {
        for mariadb in [false, true] {
            let inherited = Inherited::of(mariadb);
            let now: Vec<Vec<u8>> = inherited.names().map(|_| b"1".to_vec()).collect();
            assert_eq!(inherited.restore(&now, &now, false), None);
            let mut then = now.clone();
            let of = |wanted: &str| inherited.names().position(|name| name == wanted).unwrap();
            then[of("sql_mode")] = Vec::new();
            then[of("time_zone")] = b"+02:00".to_vec();
            assert_eq!(
                inherited.restore(&then, &now, false).as_deref(),
                Some("SET SESSION sql_mode='', time_zone='+02:00'")
            );
        }
    }

    #[test]
    fn nothing_is_set_that_was_not_read() {
        assert_eq!(
            Inherited::of(true).restore(&[], &[b"1".to_vec()], false),
            None
        );
    }
}
