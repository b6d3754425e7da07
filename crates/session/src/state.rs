//! What a session can observe of itself, and the statements that give another server connection the same.
//!
//! Filled from the servers' session tracking and from the lexer for what they do not track. Everything here is
//! ordered, so that equal states give equal scripts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::quoting::{identifier, use_schema};
use crate::values::variable_expression;

/// Variables that never go into a restored session: they belong to one statement or one connection, are
/// restored in another way, or are reported wrongly (`timestamp`: after `SET timestamp=DEFAULT` both servers
/// report the old frozen value, and restoring it would freeze the clock).
const NOT_RESTORED: &[&str] = &[
    "error_count",
    "gtid_next",
    "gtid_seq_no",
    "identity",
    "in_transaction",
    "insert_id",
    "last_gtid",
    "last_insert_id",
    "pseudo_slave_mode",
    "pseudo_replica_mode",
    "pseudo_thread_id",
    "rand_seed1",
    "rand_seed2",
    "statement_id",
    "timestamp",
    "warning_count",
];

/// Bytes of a SET of several user variables; one that is longer has a statement of its own.
const SET_BYTES: usize = 128 << 10;

/// Settings that Steadfast makes for itself on every server connection; a client sees its own values of them.
///
/// The timeouts are as long as both servers take: Steadfast itself ends what hangs, and an idle client needs
/// no server connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Hidden;

impl Hidden {
    /// Name and value, in the order of names.
    pub const SETTINGS: &[(&str, &str)] = &[
        ("net_read_timeout", "86400"),
        ("net_write_timeout", "86400"),
        ("session_track_schema", "1"),
        ("session_track_state_change", "1"),
        ("session_track_system_variables", "'*'"),
        ("session_track_transaction_info", "'CHARACTERISTICS'"),
        ("wait_timeout", "2147483"),
    ];

    /// The one of them with which the server tells what a transaction has written.
    pub const TRACKS_WRITES: &str = "session_track_transaction_info";

    /// Whether `name` (lower case) is one of them.
    pub fn contains(name: &str) -> bool {
        Self::SETTINGS.iter().any(|(hidden, _)| *hidden == name)
    }

    /// The statement that makes the settings.
    pub fn set() -> String {
        let list: Vec<String> = Self::SETTINGS
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        format!("SET SESSION {}", list.join(", "))
    }

    /// The columns of a query for their values, of the session or those that the next session begins with (`GLOBAL`),
    /// in the order of [`Hidden::SETTINGS`].
    pub fn columns(global: bool) -> String {
        let scope = if global { "GLOBAL" } else { "SESSION" };
        let list: Vec<String> = Self::SETTINGS
            .iter()
            .map(|(name, _)| format!("@@{scope}.{name}"))
            .collect();
        list.join(", ")
    }

    /// The query for the session's, of one row.
    pub fn query() -> String {
        format!("SELECT {} LIMIT 1", Self::columns(false))
    }
}

/// A user variable's value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum UserVariable {
    /// An expression, in ASCII, that gives the same value, type, character set and collation.
    Known(Arc<str>),
    /// It was assigned and its value has not been asked for yet.
    Unknown,
    /// Its value is too long to be kept, or its name is not ASCII and means different variables in different
    /// character sets: the session cannot be restored while it has it.
    NotKept,
}

/// A statement that was prepared by name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct PreparedByName {
    /// The whole PREPARE statement.
    text: Box<[u8]>,
    /// The user variable that it was prepared from, with its value at that time.
    from: Option<(Box<[u8]>, UserVariable)>,
    /// The default schema that its names without a schema mean.
    schema: Option<Box<[u8]>>,
}

/// What a name of PREPARE stands for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum ByName {
    /// What the session's own PREPARE made it.
    Known(PreparedByName),
    /// Something else may have been prepared under it since, or it may be gone: the session cannot be restored while it
    /// has such a name.
    Unknown,
}

/// Whether the collation of the connection is known. The servers do not tell it when a statement changes nothing but
/// it: SET NAMES … COLLATE.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
enum Collation {
    /// It is, or follows from the character sets.
    #[default]
    Known,
    /// This statement makes it again, after the system variables.
    Made(Box<[u8]>),
    /// It is still to be asked for.
    Unknown,
}

/// What a session can observe of itself.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct SessionState {
    schema: Option<Box<[u8]>>,
    variables: BTreeMap<Box<str>, Box<[u8]>>,
    user_variables: BTreeMap<Box<[u8]>, UserVariable>,
    prepared: BTreeMap<Box<[u8]>, ByName>,
    role: Option<Box<[u8]>>,
    collation: Collation,
    characteristics: Box<[u8]>,
    frozen_clock: Option<Box<[u8]>>,
    insert_id: u64,
    multi_statements: Option<bool>,
}

impl SessionState {
    /// The state after a login, with this default schema.
    pub fn new(schema: Option<&[u8]>) -> Self {
        Self {
            schema: schema.filter(|name| !name.is_empty()).map(Into::into),
            ..Self::default()
        }
    }

    /// The default schema.
    pub fn schema(&self) -> Option<&[u8]> {
        self.schema.as_deref()
    }

    /// The server reported another default schema; empty: none.
    pub fn set_schema(&mut self, name: &[u8]) {
        self.schema = Some(name).filter(|name| !name.is_empty()).map(Into::into);
    }

    /// The value of a system variable, if the session has changed it.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        self.variables.get(name).map(AsRef::as_ref)
    }

    /// The server reported the value of a system variable.
    pub fn set_variable(&mut self, name: &str, value: &[u8]) {
        let name = name.to_ascii_lowercase();
        if NOT_RESTORED.contains(&name.as_str()) {
            return;
        }
        if name == "collation_connection" {
            self.collation = Collation::Known;
        }
        if self
            .variables
            .get(name.as_str())
            .is_some_and(|known| known.as_ref() == value)
        {
            return;
        }
        self.variables.insert(name.into(), value.into());
    }

    /// A statement may have set the collation of the connection, and the server has not told. `statement`: the SET
    /// that does so, alone and with a literal.
    pub fn collation_assigned(&mut self, statement: Option<Vec<u8>>) {
        self.collation = match statement.filter(|text| text.is_ascii()) {
            Some(text) => Collation::Made(text.into()),
            None => Collation::Unknown,
        };
    }

    /// Whether the collation of the connection is still to be asked for.
    pub fn has_unasked_collation(&self) -> bool {
        self.collation != Collation::Known
    }

    /// Whether another connection can be given the collation of this one.
    pub fn knows_collation(&self) -> bool {
        self.collation != Collation::Unknown
    }

    /// The variables that the session has changed, by name.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// A statement may have assigned this user variable.
    pub fn user_variable_assigned(&mut self, name: &[u8]) {
        let value = if name.is_ascii() {
            UserVariable::Unknown
        } else {
            UserVariable::NotKept
        };
        self.user_variables.insert(folded(name), value);
    }

    /// The value of a user variable is too long to be kept.
    pub fn user_variable_not_kept(&mut self, name: &[u8]) {
        self.user_variables
            .insert(folded(name), UserVariable::NotKept);
    }

    /// The value of a user variable has been asked for: an expression that gives it again.
    pub fn set_user_variable(&mut self, name: &[u8], expression: String) {
        let value = if name.is_ascii() {
            UserVariable::Known(expression.into())
        } else {
            UserVariable::NotKept
        };
        self.user_variables.insert(folded(name), value);
    }

    /// All user variables that are known may have been assigned (CALL, EXECUTE).
    pub fn all_user_variables_assigned(&mut self) {
        for (name, value) in &mut self.user_variables {
            if name.is_ascii() {
                *value = UserVariable::Unknown;
            }
        }
    }

    /// User variables whose value must be asked for, by name.
    pub fn unknown_user_variables(&self) -> impl Iterator<Item = &[u8]> {
        self.user_variables
            .iter()
            .filter(|(_, value)| **value == UserVariable::Unknown)
            .map(|(name, _)| name.as_ref())
    }

    /// Whether the value of some user variable is still to be asked for.
    pub fn has_unknown_user_variables(&self) -> bool {
        self.unknown_user_variables().next().is_some()
    }

    /// Whether the value of each user variable is known, so that another connection can be given it.
    pub fn knows_user_variables(&self) -> bool {
        self.user_variables
            .values()
            .all(|value| matches!(value, UserVariable::Known(_)))
    }

    /// Bytes of the values that are kept of user variables, about: what they take in a script is twice that.
    pub fn user_variables_size(&self) -> usize {
        let twice: usize = self
            .user_variables
            .values()
            .map(|value| match value {
                UserVariable::Known(expression) => expression.len(),
                UserVariable::Unknown | UserVariable::NotKept => 0,
            })
            .sum();
        twice / 2
    }

    /// PREPARE from a literal: `text` is the whole PREPARE statement.
    pub fn prepare(&mut self, name: &[u8], text: &[u8]) {
        let prepared = PreparedByName {
            text: text.into(),
            from: None,
            schema: self.schema.clone(),
        };
        self.prepared.insert(folded(name), ByName::Known(prepared));
    }

    /// PREPARE from the user variable `variable`, whose value now is what is prepared; `text` is the whole PREPARE
    /// statement.
    pub fn prepare_from(&mut self, name: &[u8], text: &[u8], variable: &[u8]) {
        let variable = folded(variable);
        let value = self
            .user_variables
            .get(&variable)
            .cloned()
            .unwrap_or(UserVariable::Unknown);
        let prepared = PreparedByName {
            text: text.into(),
            from: Some((variable, value)),
            schema: self.schema.clone(),
        };
        self.prepared.insert(folded(name), ByName::Known(prepared));
    }

    /// What `name` stands for is not known any more, if it stood for something.
    pub fn prepared_unknown(&mut self, name: &[u8]) {
        if let Some(prepared) = self.prepared.get_mut(&folded(name)) {
            *prepared = ByName::Unknown;
        }
    }

    /// Any name that stood for something may stand for something else (CALL, several statements in one command).
    pub fn all_prepared_unknown(&mut self) {
        for prepared in self.prepared.values_mut() {
            *prepared = ByName::Unknown;
        }
    }

    /// Whether something is known to be prepared by name, or was.
    pub fn has_prepared(&self) -> bool {
        !self.prepared.is_empty()
    }

    /// Whether it is not known what some name stands for, or what it was prepared from.
    pub fn has_unknown_prepared(&self) -> bool {
        self.prepared.values().any(|prepared| match prepared {
            ByName::Unknown => true,
            ByName::Known(prepared) => match &prepared.from {
                Some((name, value)) => !matches!(value, UserVariable::Known(_)) || !name.is_ascii(),
                None => false,
            },
        })
    }

    /// DEALLOCATE PREPARE.
    pub fn deallocate(&mut self, name: &[u8]) {
        self.prepared.remove(folded(name).as_ref());
    }

    /// The PREPARE statement that made `name`, if that is known.
    pub fn prepared(&self, name: &[u8]) -> Option<&[u8]> {
        match self.prepared.get(folded(name).as_ref()) {
            Some(ByName::Known(prepared)) => Some(prepared.text.as_ref()),
            Some(ByName::Unknown) | None => None,
        }
    }

    /// SET ROLE: the whole statement.
    pub fn set_role(&mut self, text: &[u8]) {
        self.role = Some(text.into());
    }

    /// The statements that would begin the next transaction like the one that was asked for
    /// (SESSION_TRACK_TRANSACTION_CHARACTERISTICS); empty: nothing special.
    pub fn set_characteristics(&mut self, text: &[u8]) {
        if self.characteristics.as_ref() != text {
            self.characteristics = text.into();
        }
    }

    /// What [`SessionState::set_characteristics`] was last given.
    pub fn characteristics(&self) -> &[u8] {
        &self.characteristics
    }

    /// `SET timestamp = literal`: the session's clock stands still; `None`: it runs again.
    pub fn freeze_clock(&mut self, value: Option<&[u8]>) {
        self.frozen_clock = value.map(Into::into);
    }

    /// Whether the client has frozen its clock.
    pub fn clock_is_frozen(&self) -> bool {
        self.frozen_clock.is_some()
    }

    /// What LAST_INSERT_ID() gives, as far as an OK told.
    pub fn set_insert_id(&mut self, id: u64) {
        self.insert_id = id;
    }

    /// What it was last given.
    pub fn insert_id(&self) -> u64 {
        self.insert_id
    }

    /// COM_SET_OPTION.
    pub fn set_multi_statements(&mut self, on: bool) {
        self.multi_statements = Some(on);
    }

    /// What COM_SET_OPTION last said.
    pub fn multi_statements(&self) -> Option<bool> {
        self.multi_statements
    }

    /// COM_RESET_CONNECTION: everything but the default schema, which both servers keep.
    pub fn reset(&mut self) {
        *self = Self {
            schema: self.schema.take(),
            multi_statements: self.multi_statements,
            ..Self::default()
        };
    }

    /// Whether the client changed nothing since its login.
    pub fn is_pristine(&self) -> bool {
        *self
            == Self {
                schema: self.schema.clone(),
                ..Self::default()
            }
    }

    /// The statements that bring a connection that has just logged in with [`SessionState::schema`] to this
    /// state, in order. `as_strings`: write variables that look like numbers as strings
    /// (see [`variable_expression`]).
    pub fn script(&self, as_strings: bool) -> Vec<Vec<u8>> {
        let mut script = Vec::new();
        if let Some(role) = &self.role {
            script.push(role.to_vec());
        }
        let variables: Vec<String> = self
            .variables
            .iter()
            .filter(|(name, _)| !Hidden::contains(name))
            .map(|(name, value)| format!("{name}={}", variable_expression(name, value, as_strings)))
            .collect();
        // User variables before the client's character set: their names are sent in utf8mb4.
        let user_variables: Vec<String> = self
            .user_variables
            .iter()
            .filter_map(|(name, value)| match value {
                UserVariable::Known(expression) => Some(format!(
                    "@{}={expression}",
                    identifier(&String::from_utf8_lossy(name))
                )),
                UserVariable::Unknown | UserVariable::NotKept => None,
            })
            .collect();
        if !user_variables.is_empty() {
            if user_variables.iter().any(|text| !text.is_ascii()) {
                script.push(b"SET character_set_client=utf8mb4".to_vec());
            }
            script.extend(set_in_portions(user_variables));
        }
        if !variables.is_empty() {
            script.push(format!("SET SESSION {}", variables.join(", ")).into_bytes());
        }
        if let Collation::Made(text) = &self.collation {
            script.push(text.to_vec());
        }
        let mut schema = self.schema.as_deref();
        for prepared in self.prepared.values() {
            let ByName::Known(prepared) = prepared else {
                continue;
            };
            if prepared.schema.is_some() && prepared.schema.as_deref() != schema {
                schema = prepared.schema.as_deref();
                script.extend(schema.map(use_schema));
            }
            let Some((variable, UserVariable::Known(then))) = &prepared.from else {
                script.push(prepared.text.to_vec());
                continue;
            };
            let set = |expression: &str| {
                let name = identifier(&String::from_utf8_lossy(variable));
                format!("SET @{name}={expression}").into_bytes()
            };
            script.push(set(then));
            script.push(prepared.text.to_vec());
            if let Some(UserVariable::Known(now)) = self.user_variables.get(variable) {
                script.push(set(now));
            }
        }
        if schema != self.schema() {
            script.extend(self.schema().map(use_schema));
        }
        if let Some(value) = &self.frozen_clock {
            script.push([b"SET timestamp=".as_slice(), value].concat());
        }
        if self.insert_id != 0 {
            script.push(format!("SET last_insert_id={}", self.insert_id).into_bytes());
        }
        // Last, because a one-shot SET TRANSACTION is consumed by what comes after it. Where a transaction is to be
        // begun as well, its opening is part of the replay.
        if self.opening().all(|text| !begins_transaction(&text)) {
            script.extend(self.opening());
        }
        script
    }

    /// The statements of [`SessionState::characteristics`].
    pub fn opening(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.characteristics
            .split(|&byte| byte == b';')
            .map(<[u8]>::trim_ascii)
            .filter(|text| !text.is_empty())
            .map(<[u8]>::to_vec)
    }
}

/// SET of these assignments, in as many statements as the servers' smaller max_allowed_packet need.
fn set_in_portions(assignments: Vec<String>) -> Vec<Vec<u8>> {
    let mut statements: Vec<Vec<u8>> = Vec::new();
    for assignment in assignments {
        match statements.last_mut() {
            Some(last) if last.len() + assignment.len() < SET_BYTES => {
                last.extend_from_slice(b", ");
                last.extend_from_slice(assignment.as_bytes());
            }
            _ => statements.push(format!("SET {assignment}").into_bytes()),
        }
    }
    statements
}

/// Whether a statement of the characteristics begins a transaction, and is not only a one-shot SET TRANSACTION.
fn begins_transaction(text: &[u8]) -> bool {
    !text
        .get(..3)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"SET"))
}

/// Both servers compare these names without regard to case; ASCII is enough here, because a name that is
/// stored twice is only restored twice.
fn folded(name: &[u8]) -> Box<[u8]> {
    name.to_ascii_lowercase().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(state: &SessionState) -> Vec<String> {
        state
            .script(false)
            .into_iter()
            .map(|text| String::from_utf8(text).unwrap())
            .collect()
    }

    #[test]
    fn restores_variables_in_one_statement() {
        let mut state = SessionState::new(Some(b"shop"));
        state.set_variable("time_zone", b"+02:00");
        state.set_variable("autocommit", b"OFF");
        state.set_user_variable(b"A", "5".to_owned());
        assert_eq!(
            script(&state),
            [
                "SET @`a`=5",
                "SET SESSION autocommit='OFF', time_zone='+02:00'"
            ]
        );
    }

    #[test]
    fn long_user_variables_are_restored_in_several_statements() {
        let mut state = SessionState::default();
        for name in [&b"a"[..], b"b", b"c"] {
            state.set_user_variable(name, "1".repeat(SET_BYTES / 2 - 20));
        }
        let lengths: Vec<usize> = state.script(false).iter().map(Vec::len).collect();
        assert_eq!(lengths.len(), 2);
        assert!(lengths.iter().all(|length| *length < SET_BYTES));
        assert_eq!(state.user_variables_size(), 3 * (SET_BYTES / 2 - 20) / 2);
    }

    #[test]
    fn never_restores_the_clock_or_own_settings() {
        let mut state = SessionState::default();
        state.set_variable("timestamp", b"1700000000.000000");
        state.set_variable("statement_id", b"17");
        state.set_variable("wait_timeout", b"5");
        assert!(script(&state).is_empty());
        assert_eq!(state.variable("wait_timeout"), Some(&b"5"[..]));
    }

    #[test]
    fn a_statement_prepared_from_a_variable_is_prepared_from_its_value_then() {
        let mut state = SessionState::default();
        state.set_user_variable(b"q", "'SELECT 7'".to_owned());
        state.prepare_from(b"s", b"PREPARE s FROM @q", b"Q");
        state.set_user_variable(b"q", "'SELECT 8'".to_owned());
        assert_eq!(
            script(&state),
            [
                "SET @`q`='SELECT 8'",
                "SET @`q`='SELECT 7'",
                "PREPARE s FROM @q",
                "SET @`q`='SELECT 8'"
            ]
        );
        assert!(!state.has_unknown_prepared());
        state.user_variable_assigned(b"q");
        state.prepare_from(b"s", b"PREPARE s FROM @q", b"q");
        assert!(state.has_unknown_prepared());
    }

    #[test]
    fn a_name_that_may_stand_for_something_else_stands_for_nothing_known() {
        let mut state = SessionState::default();
        state.all_prepared_unknown();
        assert!(!state.has_unknown_prepared());
        state.prepare(b"s", b"PREPARE s FROM 'COMMIT'");
        state.prepared_unknown(b"other");
        assert!(state.prepared(b"S").is_some() && !state.has_unknown_prepared());
        state.prepared_unknown(b"S");
        assert!(state.prepared(b"s").is_none() && state.has_unknown_prepared());
        state.prepare(b"s", b"PREPARE s FROM 'COMMIT'");
        assert!(!state.has_unknown_prepared());
        state.all_prepared_unknown();
        state.deallocate(b"s");
        assert!(!state.has_unknown_prepared() && !state.has_prepared());
    }

    #[test]
    fn a_one_shot_set_transaction_comes_last() {
        let mut state = SessionState::default();
        state.set_characteristics(b"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE;");
        state.set_insert_id(7);
        assert_eq!(
            script(&state),
            [
                "SET last_insert_id=7",
                "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"
            ]
        );
    }

    #[test]
    fn a_transaction_that_is_open_is_not_begun_by_the_script() {
        let mut state = SessionState::default();
        state.set_characteristics(
            b"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; START TRANSACTION READ ONLY;",
        );
        assert!(script(&state).is_empty());
        assert_eq!(state.opening().count(), 2);
    }

    #[test]
    fn a_statement_is_prepared_in_the_schema_that_it_was_prepared_in() {
        let mut state = SessionState::new(Some(b"a"));
        state.prepare(b"s", b"PREPARE s FROM 'INSERT INTO t VALUES (1)'");
        state.set_schema(b"b");
        assert_eq!(
            script(&state),
            [
                "USE `a`",
                "PREPARE s FROM 'INSERT INTO t VALUES (1)'",
                "USE `b`"
            ]
        );
    }

    #[test]
    fn a_variable_that_is_not_kept_stops_the_restore() {
        let mut state = SessionState::default();
        state.set_user_variable(b"a", "1".to_owned());
        assert!(state.knows_user_variables());
        state.user_variable_assigned("é".as_bytes());
        assert!(!state.knows_user_variables() && !state.has_unknown_user_variables());
    }

    #[test]
    fn a_collation_that_was_not_asked_for_is_made_again() {
        let mut state = SessionState::default();
        state.set_variable("character_set_connection", b"utf8mb3");
        state.collation_assigned(Some(b"SET NAMES utf8mb3 COLLATE utf8mb3_bin".to_vec()));
        assert_eq!(
            script(&state),
            [
                "SET SESSION character_set_connection='utf8mb3'",
                "SET NAMES utf8mb3 COLLATE utf8mb3_bin"
            ]
        );
        state.collation_assigned(None);
        assert!(!state.knows_collation());
        state.set_variable("collation_connection", b"utf8mb3_bin");
        assert!(state.knows_collation());
        assert_eq!(script(&state).len(), 1);
    }

    #[test]
    fn reset_keeps_the_schema_only() {
        let mut state = SessionState::new(Some(b"shop"));
        state.set_variable("time_zone", b"+02:00");
        state.user_variable_assigned(b"x");
        state.reset();
        assert_eq!(state, SessionState::new(Some(b"shop")));
        assert!(state.is_pristine());
    }
}
