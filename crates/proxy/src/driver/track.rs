//! What the session is: kept up to date after each command, so that another server connection can be made the same.

use std::rc::Rc;

use steadfast_session::{Event, Handle, Held, Hidden, Inherited, Session, SessionState, Status};
use steadfast_sql::{
    Assignment, Charset, Class, Dialect, Kind, PrepareSource, Scope, Server, Target, Uses,
    execute_parts, literal_assignments, prepare_parts, set_assignments, user_variables,
};
use steadfast_wire::Capabilities;
use steadfast_wire::command::code;
use steadfast_wire::response::{self, SessionStateChange};
use steadfast_wire::walk::Expect;

use super::{Deferred, Driver};
use crate::command::Stored;
use crate::prepared::{Prepared, There};
use crate::relay::Ended;

impl Driver {
    pub(super) fn state_mut(&mut self) -> &mut SessionState {
        Rc::make_mut(&mut self.state)
    }

    /// The session's value of a system variable that it inherited or has set since; empty if it is not one of them.
    pub(super) fn setting(&self, name: &str) -> &[u8] {
        let inherited = Inherited::of(self.dialect.server == Server::MariaDb);
        self.state
            .variable(name)
            .unwrap_or_else(|| self.own.value(inherited, name))
    }

    /// What the client sees of the settings that Steadfast makes for itself.
    pub(super) fn learn_settings(&mut self) {
        let value = |name: &str| -> Vec<u8> {
            if let Some(value) = self.state.variable(name) {
                return value.to_vec();
            }
            let own = self.link.as_ref().map(|link| link.own.hidden.as_slice());
            Hidden::SETTINGS
                .iter()
                .position(|(hidden, _)| *hidden == name)
                .and_then(|index| own?.get(index).cloned())
                .unwrap_or_default()
        };
        let on = |value: &[u8]| matches!(value, b"1" | b"ON" | b"on");
        let variables = value("session_track_system_variables").to_ascii_lowercase();
        let info = value("session_track_transaction_info").to_ascii_uppercase();
        self.tracking.schema = on(&value("session_track_schema"));
        self.tracking.state_change = on(&value("session_track_state_change"));
        self.tracking.characteristics = info == b"CHARACTERISTICS";
        self.tracking.transaction_state = info == b"STATE" || info == b"CHARACTERISTICS";
        self.tracking.all_variables = variables == b"*";
        self.tracking.variables = variables
            .split(|&byte| byte == b',')
            .map(|name| String::from_utf8_lossy(name.trim_ascii()).into_owned())
            .collect();
        self.local.tracked.share(&mut self.tracking.variables);
    }

    /// A command has its response: takes note of what it changed in the session.
    /// `changes`: session state changes of its response.
    pub(super) fn completed(
        &mut self,
        handle: Handle,
        stored: &Stored,
        ended: Ended,
        changes: &[u8],
    ) {
        if stored.may_change_tables() {
            self.shared.health.tables_changed();
        }
        if stored.expect == Expect::Prepare && ended.error == 0 {
            self.statement_prepared(stored, ended);
        }
        self.take_changes(stored, changes);
        if ended.insert_id != 0 {
            self.state_mut().set_insert_id(ended.insert_id);
        }
        if Self::is_reset(stored) && ended.error == 0 {
            self.identity.reset = true;
            let state = {
                let mut state = SessionState::clone(&self.state);
                state.reset();
                Rc::new(state)
            };
            self.forget_session_data(state);
            self.deferred = Deferred {
                hide: true,
                untracked: true,
                ..Deferred::default()
            };
        }
        if let (Some(&code::SET_OPTION), Some(&option), 0) =
            (stored.payload.first(), stored.payload.get(1), ended.error)
        {
            self.state_mut().set_multi_statements(option == 0);
        }
        if let Some(class) = stored.class {
            // MySQL runs DO as a SELECT of one row.
            let does = class.kind == Kind::Do && self.dialect.server == Server::MySql;
            let selects = ended.rows.is_some() || class.kind == Kind::Select || does;
            if selects && ended.error == 0 {
                self.found_rows = None;
            }
            self.take_text(stored, class, ended);
        }
        self.note_aftermath(stored, &ended);
        self.note_insert(handle, stored, ended);
        self.note_user_locks(stored, ended);
    }

    fn statement_prepared(&mut self, stored: &Stored, ended: Ended) {
        let (Some(ok), Some(link)) = (ended.prepared, &self.link) else {
            return;
        };
        let id = self.next_statement;
        let text = stored.payload.slice(1..);
        let prepared = Prepared::new(
            id,
            text,
            ok.parameters,
            ended.digest,
            self.dialect,
            self.state.schema(),
        );
        prepared.prepared_on(There {
            connection: link.number,
            id: ok.statement_id,
        });
        self.prepared.insert(id, Rc::new(prepared));
        self.last_prepared = id;
        self.next_statement = self.next_statement.wrapping_add(1).max(1);
    }

    /// The server's session tracking of a command's response.
    fn take_changes(&mut self, stored: &Stored, changes: &[u8]) {
        if changes.is_empty() {
            return;
        }
        // `SET STATEMENT x=1 FOR …`: MariaDB reports the value for the statement, and the reset only later.
        let passing: Vec<Vec<u8>> = stored
            .text()
            .into_iter()
            .flat_map(|text| set_assignments(text, self.dialect))
            .filter(|assignment| assignment.target == Target::System(Scope::Statement))
            .map(|assignment| assignment.name.to_ascii_lowercase())
            .collect();
        self.note_changes(changes, |driver, name, value| {
            if passing.iter().any(|known| known == name.as_bytes()) {
                return;
            }
            if Hidden::contains(name) {
                driver.deferred.hide = true;
                driver.deferred.untracked |= name == Hidden::TRACKS_WRITES;
            }
            if matches!(name, "last_insert_id" | "identity")
                && let Some(id) = std::str::from_utf8(value)
                    .ok()
                    .and_then(|id| id.parse().ok())
            {
                driver.state_mut().set_insert_id(id);
            }
            driver.state_mut().set_variable(name, value);
        });
    }

    /// What a hidden command's OK says of the session: changes that an earlier command made and that came too late for
    /// its own response, such as those of a CALL that failed. Steadfast's own settings are not the client's.
    pub(super) fn note_late_changes(&mut self, changes: &[u8]) {
        self.note_changes(changes, |driver, name, value| {
            if !Hidden::contains(name) {
                driver.state_mut().set_variable(name, value);
            }
        });
    }

    fn note_changes(&mut self, changes: &[u8], variable: impl Fn(&mut Self, &str, &[u8])) {
        let mut lexing = false;
        for change in response::SessionState::new(changes) {
            match change {
                Ok(SessionStateChange::SystemVariable { name, value }) => {
                    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                    lexing |= name == "sql_mode" || name == "character_set_client";
                    variable(self, &name, value.unwrap_or_default());
                }
                Ok(SessionStateChange::Schema(name)) => self.state_mut().set_schema(name),
                Ok(SessionStateChange::TransactionCharacteristics(text)) => {
                    if self.state.characteristics() != text {
                        self.state_mut().set_characteristics(text);
                    }
                }
                Ok(SessionStateChange::TransactionState(state)) if state.holds_table_locks() => {
                    // A procedure may have taken them.
                    self.core.step(Event::Holds(Held::TABLE_LOCK));
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(client = %self.peer, "{error}");
                    break;
                }
            }
        }
        if lexing {
            self.learn_dialect();
        }
    }

    pub(super) fn learn_dialect(&mut self) {
        let mut dialect = self.dialect;
        if let Some(charset) = self.state.variable("character_set_client") {
            dialect.charset = Charset::from_name(charset);
        }
        if let Some(sql_mode) = self.state.variable("sql_mode") {
            dialect = dialect.with_sql_mode(sql_mode);
        }
        self.dialect = dialect;
    }

    /// Session state changes of the last response; moved out.
    pub(super) fn changes(&mut self) -> Vec<u8> {
        match &self.link {
            Some(link) => link.relay.changes().to_vec(),
            None => Vec::new(),
        }
    }

    /// Whether the transaction tracker said that something was written, or could not have said so.
    pub(super) fn wrote(&self, ended: &Ended) -> bool {
        let Some(link) = &self.link else { return true };
        let tells = link
            .connection
            .capabilities
            .contains(Capabilities::DEPRECATE_EOF);
        (ended.rows.is_some() && !tells)
            || self.deferred.untracked
            || response::SessionState::new(link.relay.changes())
                .flatten()
                .any(|change| match change {
                    SessionStateChange::TransactionState(state) => {
                        state.writes_transactional() || state.writes_non_transactional()
                    }
                    // It may have been switched off before something was written.
                    SessionStateChange::SystemVariable { name, .. } => {
                        name == Hidden::TRACKS_WRITES.as_bytes()
                    }
                    _ => false,
                })
    }

    /// Whether the response told GTIDs.
    pub(super) fn told_gtids(&self) -> bool {
        let Some(link) = &self.link else { return false };
        response::SessionState::new(link.relay.changes())
            .flatten()
            .any(|change| matches!(change, SessionStateChange::Gtids { .. }))
    }

    /// Whether the transaction tracker said that non-transactional tables were written, or could not have said so of a
    /// statement that may write.
    pub(super) fn wrote_non_transactional(&self, class: Option<Class>) -> bool {
        let Some(link) = &self.link else { return false };
        let may_write = class.is_none_or(|class| {
            class.uses.contains(Uses::UNKNOWN_FUNCTION)
                || !matches!(class.kind, Kind::Select | Kind::Set | Kind::Show)
        });
        (self.deferred.untracked && may_write)
            || response::SessionState::new(link.relay.changes())
                .flatten()
                .any(|change| match change {
                    SessionStateChange::TransactionState(state) => state.writes_non_transactional(),
                    _ => false,
                })
    }

    /// What the servers do not track, from the text.
    fn take_text(&mut self, stored: &Stored, class: Class, ended: Ended) {
        let dialect = self.dialect;
        if class.uses.contains(Uses::ASSIGNS_USER_VARIABLE) {
            // Also after an error: a part may have been assigned.
            let text = match &stored.prepared {
                Some(prepared) => prepared.text().clone(),
                None => stored.payload.slice(1..),
            };
            self.user_variables_assigned(&text, class, ended);
        }
        self.note_prepared_by_name(stored, class, ended);
        if ended.error != 0 {
            // A part may have set something. MySQL reports it with the next OK, which is that of the probe.
            // A text that could not be parsed (1064) has set nothing.
            self.deferred.variables |= dialect.server == Server::MariaDb
                && !(ended.error == 1064 && class.kind == Kind::Unknown)
                && (class.statements > 1
                    || matches!(class.kind, Kind::Call | Kind::Execute | Kind::Unknown));
            return;
        }
        self.note_collation(stored, class);
        let Some(text) = stored.text() else { return };
        match class.kind {
            Kind::SetRole => Rc::make_mut(&mut self.state).set_role(text),
            Kind::Set => {
                for assignment in set_assignments(text, dialect) {
                    let session = matches!(
                        assignment.target,
                        Target::System(Scope::Session | Scope::Bare)
                    );
                    if session && assignment.name.eq_ignore_ascii_case(b"timestamp") {
                        let running = assignment.value.eq_ignore_ascii_case(b"default")
                            || assignment.value == b"0";
                        Rc::make_mut(&mut self.state)
                            .freeze_clock((!running).then_some(assignment.value));
                        self.deferred.clock = false;
                    }
                    if session
                        && assignment
                            .name
                            .to_ascii_lowercase()
                            .starts_with(b"session_track")
                    {
                        self.deferred.hide = true;
                        self.deferred.untracked = true;
                    }
                }
            }
            _ => {}
        }
    }

    /// A statement that may have set the collation of the connection: the servers do not tell where nothing else
    /// changes, as with SET NAMES … COLLATE.
    fn note_collation(&mut self, stored: &Stored, class: Class) {
        let made = match class.kind {
            Kind::Set => {
                let text = match &stored.prepared {
                    Some(prepared) => prepared.text(),
                    None => stored.payload.get(1..).unwrap_or_default(),
                };
                collation_made(text, self.dialect)
            }
            Kind::Execute => self.collation_made_by_execute(stored),
            _ => return,
        };
        let made = match made {
            Made::No => return,
            Made::By(statement) => Some(statement),
            Made::Somehow => None,
        };
        self.state_mut().collation_assigned(made);
        self.deferred.collation = true;
    }

    fn collation_made_by_execute(&self, stored: &Stored) -> Made {
        let prepared = stored
            .text()
            .and_then(|text| execute_parts(text, self.dialect))
            .and_then(|execute| self.state.prepared(&execute.name));
        let source = prepared
            .and_then(|prepare| prepare_parts(prepare, self.dialect))
            .map(|parts| parts.source);
        match source {
            Some(PrepareSource::Literal(text)) => collation_made(&text, self.dialect),
            // Its text is not known.
            Some(PrepareSource::Variable(_)) | None => Made::Somehow,
        }
    }

    fn user_variables_assigned(&mut self, text: &[u8], class: Class, ended: Ended) {
        let dialect = self.dialect;
        if class.kind == Kind::Set
            && ended.error == 0
            && let Some(literals) = literal_assignments(text, dialect)
        {
            let literals: Vec<(Vec<u8>, Option<String>)> = literals
                .map(|literal| (literal.name.to_vec(), plain_literal(literal.value)))
                .collect();
            for (name, expression) in literals {
                match expression {
                    Some(expression) => self.state_mut().set_user_variable(&name, expression),
                    None => self.state_mut().user_variable_assigned(&name),
                }
            }
        } else {
            if matches!(class.kind, Kind::Call | Kind::Execute | Kind::Unknown) {
                self.state_mut().all_user_variables_assigned();
            }
            let names: Vec<Vec<u8>> = user_variables(text, dialect)
                .map(|name| name.to_vec())
                .collect();
            for name in names {
                self.state_mut().user_variable_assigned(&name);
            }
        }
        self.deferred.user_variables |= self.state.has_unknown_user_variables();
    }

    /// A new session begins, as after COM_CHANGE_USER.
    pub(super) fn forget_session(&mut self, state: Rc<SessionState>) {
        self.identity.reset = false;
        self.core = Session::new(
            self.shared.limits,
            Status {
                in_transaction: false,
                autocommit: true,
            },
        );
        self.forget_journal();
        self.store.clear();
        self.forget_session_data(state);
    }

    fn forget_session_data(&mut self, state: Rc<SessionState>) {
        let mut state = state;
        if let Some(on) = self.state.multi_statements() {
            // A capability of the connection: neither a reset nor another user takes it away.
            Rc::make_mut(&mut state).set_multi_statements(on);
        }
        self.before = Rc::clone(&state);
        self.at_start = Rc::clone(&state);
        self.state = state;
        self.prepared.clear();
        self.long_data.clear();
        self.next_statement = 1;
        self.last_prepared = 0;
        self.deferred = Deferred::default();
        self.user_locks = super::locks::UserLocks::default();
        self.aftermath = super::aftermath::Aftermath::default();
        if let Some(link) = &self.link {
            self.dialect = link.dialect();
        }
        self.learn_settings();
    }
}

/// How a text sets the collation of the connection.
enum Made {
    /// It does not.
    No,
    /// As this statement does.
    By(Vec<u8>),
    /// In a way that is not understood.
    Somehow,
}

fn collation_made(text: &[u8], dialect: Dialect) -> Made {
    let mut assignments = set_assignments(text, dialect);
    let (Some(first), None) = (assignments.next(), assignments.next()) else {
        let some = set_assignments(text, dialect).any(|assignment| sets_collation(&assignment));
        return if some { Made::Somehow } else { Made::No };
    };
    if !sets_collation(&first) {
        return Made::No;
    }
    let words: &[u8] = match first.target {
        Target::Names => b"SET NAMES ",
        Target::CharacterSet => b"SET CHARACTER SET ",
        _ if !first.literal => return Made::Somehow,
        _ if first.name.eq_ignore_ascii_case(b"collation_connection") => {
            b"SET collation_connection="
        }
        _ => b"SET character_set_connection=",
    };
    Made::By([words, first.value].concat())
}

/// `character_set_connection` is reported without the collation that comes with it.
fn sets_collation(assignment: &Assignment<'_>) -> bool {
    let connection = |name: &[u8]| {
        name.eq_ignore_ascii_case(b"collation_connection")
            || name.eq_ignore_ascii_case(b"character_set_connection")
    };
    matches!(assignment.target, Target::Names | Target::CharacterSet)
        || (matches!(
            assignment.target,
            Target::System(Scope::Session | Scope::Bare)
        ) && connection(&assignment.name))
}

/// A literal whose value does not depend on the session: a number, NULL, TRUE, FALSE.
fn plain_literal(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number = !digits.is_empty()
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.starts_with(|first: char| first.is_ascii_digit());
    let word = ["null", "true", "false"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    (number || word).then(|| text.to_owned())
}
