//! What a server session is: variables, the open transaction, and what session tracking tells of both.

use std::collections::BTreeMap;

use steadfast_wire::StatusFlags;
use steadfast_wire::response::{SessionStateChange, TransactionState};

use super::Dialect;
use super::sql::Value;
use super::storage::TransactionId;

/// A transaction that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) id: TransactionId,
    /// BEGIN, not a statement under autocommit=0.
    explicit: bool,
    pub(super) read_only: bool,
    pub(super) read: bool,
    pub(super) wrote: bool,
    pub(super) sent: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Session {
    variables: BTreeMap<&'static str, Value>,
    pub(super) user_variables: BTreeMap<String, Value>,
    pub(super) schema: String,
    pub(super) open: Option<Open>,
    /// Savepoints that were set before the first statement of a transaction under autocommit=0. Neither server tells a
    /// transaction then, and both know them in it (MariaDB 10.11.19, MySQL 9.7.4).
    pub(super) early_savepoints: Vec<String>,
    /// `SET insert_id`: the next value that an INSERT draws.
    pub(super) insert_id: Option<u64>,
    pub(super) last_insert_id: u64,
    pub(super) row_count: i64,
    pub(super) found_rows: u64,
    /// What the next OK tells.
    changes: Vec<u8>,
    told_state: [u8; 8],
    told_characteristics: &'static [u8],
}

/// Variables that session tracking shows as switches.
const SWITCHES: &[&str] = &[
    "autocommit",
    "foreign_key_checks",
    "sql_auto_is_null",
    "sql_safe_updates",
    "unique_checks",
    "transaction_read_only",
    "tx_read_only",
    "session_track_schema",
    "session_track_state_change",
];

/// Not reported, because restoring them would be wrong or is done in another way.
const SILENT: &[&str] = &[
    "timestamp",
    "insert_id",
    "last_insert_id",
    "rand_seed1",
    "rand_seed2",
];

impl Session {
    pub(super) fn new(dialect: Dialect, schema: &str) -> Self {
        Self {
            variables: defaults(dialect),
            user_variables: BTreeMap::new(),
            schema: schema.to_owned(),
            open: None,
            early_savepoints: Vec::new(),
            insert_id: None,
            last_insert_id: 0,
            row_count: 0,
            found_rows: 0,
            changes: Vec::new(),
            told_state: *b"________",
            told_characteristics: b"",
        }
    }

    pub(super) fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.get(name)
    }

    fn number(&self, name: &str) -> i64 {
        match self.variables.get(name) {
            Some(Value::Int(number)) => *number,
            _ => 0,
        }
    }

    /// Seconds that a lock is waited for.
    pub(super) fn lock_wait(&self) -> u64 {
        self.number("innodb_lock_wait_timeout").unsigned_abs()
    }

    pub(super) fn autocommit(&self) -> bool {
        self.number("autocommit") != 0
    }

    /// Sets a variable; false: there is none of this name.
    pub(super) fn set(&mut self, name: &str, value: Value) -> bool {
        if SILENT.contains(&name) {
            match (name, &value) {
                ("insert_id", Value::Int(id)) => self.insert_id = Some(id.cast_unsigned()),
                ("last_insert_id", Value::Int(id)) => self.last_insert_id = id.cast_unsigned(),
                _ => {}
            }
            return true;
        }
        let Some(place) = self.variables.get_mut(name) else {
            return false;
        };
        let switch = SWITCHES.contains(&name);
        let value = match value {
            Value::Text(text) if switch => Value::Int(i64::from(text.eq_ignore_ascii_case(b"ON"))),
            Value::Text(text) if matches!(place, Value::Int(_)) => {
                let number = std::str::from_utf8(&text).ok().and_then(|t| t.parse().ok());
                number.map_or(Value::Text(text), Value::Int)
            }
            other => other,
        };
        *place = value.clone();
        let shown = match &value {
            Value::Int(on) if switch => Some(if *on != 0 {
                b"ON".to_vec()
            } else {
                b"OFF".to_vec()
            }),
            other => other.shown(),
        };
        if self.variables.get("session_track_system_variables") == Some(&Value::Text(b"*".to_vec()))
        {
            SessionStateChange::SystemVariable {
                name: name.as_bytes(),
                value: shown.as_deref(),
            }
            .write(&mut self.changes);
        }
        true
    }

    pub(super) fn set_schema(&mut self, name: &str) {
        name.clone_into(&mut self.schema);
        if self.number("session_track_schema") != 0 {
            SessionStateChange::Schema(name.as_bytes()).write(&mut self.changes);
        }
    }

    pub(super) fn begin(&mut self, id: TransactionId, explicit: bool, read_only: bool) {
        self.open = Some(Open {
            id,
            explicit,
            read_only,
            read: false,
            wrote: false,
            sent: false,
        });
    }

    pub(super) fn status(&self) -> StatusFlags {
        let mut status = StatusFlags::empty();
        status.set(StatusFlags::AUTOCOMMIT, self.autocommit());
        status.set(StatusFlags::IN_TRANS, self.open.is_some());
        let read_only = self.open.is_some_and(|open| open.read_only);
        status.set(StatusFlags::IN_TRANS_READONLY, read_only);
        status
    }

    /// The session state for the OK that ends a statement.
    pub(super) fn take_changes(&mut self) -> Vec<u8> {
        let info = match self.variables.get("session_track_transaction_info") {
            Some(Value::Text(info)) => info.to_ascii_uppercase(),
            _ => Vec::new(),
        };
        let (state, characteristics): ([u8; 8], &'static [u8]) = match &self.open {
            None => (*b"________", b""),
            Some(open) => {
                let flag = |on: bool, letter: u8| if on { letter } else { b'_' };
                let state = [
                    if open.explicit { b'T' } else { b'I' },
                    b'_',
                    flag(open.read, b'R'),
                    b'_',
                    flag(open.wrote, b'W'),
                    b'_',
                    flag(open.sent, b'S'),
                    b'_',
                ];
                let text: &'static [u8] = match (open.explicit, open.read_only) {
                    (true, true) => b"START TRANSACTION READ ONLY;",
                    (true, false) => b"START TRANSACTION;",
                    (false, _) => b"",
                };
                (state, text)
            }
        };
        if info == b"CHARACTERISTICS" && characteristics != self.told_characteristics {
            self.told_characteristics = characteristics;
            SessionStateChange::TransactionCharacteristics(characteristics)
                .write(&mut self.changes);
        }
        if (info == b"CHARACTERISTICS" || info == b"STATE") && state != self.told_state {
            self.told_state = state;
            SessionStateChange::TransactionState(TransactionState(state)).write(&mut self.changes);
        }
        std::mem::take(&mut self.changes)
    }
}

/// The global values, with which a session begins.
pub(super) fn defaults(dialect: Dialect) -> BTreeMap<&'static str, Value> {
    let text = |text: &str| Value::Text(text.as_bytes().to_vec());
    let mut all = BTreeMap::from([
        ("net_read_timeout", Value::Int(30)),
        ("net_write_timeout", Value::Int(60)),
        ("session_track_schema", Value::Int(1)),
        ("session_track_state_change", Value::Int(0)),
        (
            "session_track_system_variables",
            text("autocommit,character_set_client"),
        ),
        ("session_track_transaction_info", text("OFF")),
        ("wait_timeout", Value::Int(28_800)),
        ("autocommit", Value::Int(1)),
        ("character_set_client", text("utf8mb4")),
        ("character_set_connection", text("utf8mb4")),
        ("character_set_results", text("utf8mb4")),
        ("collation_connection", text("utf8mb4_general_ci")),
        ("completion_type", text("NO_CHAIN")),
        ("default_week_format", Value::Int(0)),
        ("div_precision_increment", Value::Int(4)),
        ("foreign_key_checks", Value::Int(1)),
        ("group_concat_max_len", Value::Int(1024)),
        ("innodb_lock_wait_timeout", Value::Int(50)),
        ("lc_time_names", text("en_US")),
        ("lock_wait_timeout", Value::Int(86_400)),
        ("sql_auto_is_null", Value::Int(0)),
        ("sql_mode", text("STRICT_TRANS_TABLES")),
        ("sql_safe_updates", Value::Int(0)),
        ("sql_select_limit", text("18446744073709551615")),
        ("time_zone", text("SYSTEM")),
        ("unique_checks", Value::Int(1)),
        ("max_allowed_packet", Value::Int(16 << 20)),
        ("init_connect", text("")),
        ("max_connections", Value::Int(151)),
        ("max_user_connections", Value::Int(0)),
        ("profiling", Value::Int(0)),
        ("profiling_history_size", Value::Int(15)),
        ("optimizer_trace_offset", Value::Int(-1)),
        ("hostname", text("simulated")),
        ("port", Value::Int(3306)),
        ("server_id", Value::Int(1)),
        ("datadir", text("/var/lib/mysql/")),
        ("server_uuid", text("51b1d3c5-0000-0000-0000-000000000001")),
    ]);
    all.extend(match dialect {
        Dialect::MariaDb => [
            ("max_statement_time", Value::Int(0)),
            ("tx_isolation", text("REPEATABLE-READ")),
            ("tx_read_only", Value::Int(0)),
        ],
        Dialect::MySql => [
            ("max_execution_time", Value::Int(0)),
            ("transaction_isolation", text("REPEATABLE-READ")),
            ("transaction_read_only", Value::Int(0)),
        ],
    });
    all
}
