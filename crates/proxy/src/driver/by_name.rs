//! What the session has prepared by name, with SQL's PREPARE. The servers tell nothing of it; EXECUTE runs, commits or
//! rolls back whatever the name stands for now.

use std::rc::Rc;

use steadfast_sql::{Class, Effects, Kind, PrepareSource, deallocate_name, prepare_parts};

use super::Driver;
use crate::command::Stored;
use crate::relay::Ended;

/// ER_UNKNOWN_STMT_HANDLER: DEALLOCATE of what is not there.
const UNKNOWN_STATEMENT: u16 = 1243;

impl Driver {
    /// A command that may have prepared or deallocated something has ended. What is not one plain PREPARE or DEALLOCATE
    /// may have done so to any name.
    pub(super) fn note_prepared_by_name(&mut self, stored: &Stored, class: Class, ended: Ended) {
        let text = stored.text();
        let several = class.statements > 1
            && text.is_none_or(|text| {
                let word = b"prepare";
                text.windows(word.len())
                    .any(|part| part.eq_ignore_ascii_case(word))
            });
        if several || class.effects.contains(Effects::UNKNOWN) {
            self.forget_prepared_by_name();
            return;
        }
        match (class.kind, text) {
            (Kind::Prepare, Some(text)) => self.note_prepare(text, ended),
            (Kind::Deallocate, Some(text)) => self.note_deallocate(text, ended),
            _ => {}
        }
    }

    fn note_prepare(&mut self, text: &[u8], ended: Ended) {
        let Some(parts) = prepare_parts(text, self.dialect) else {
            // MariaDB takes any expression.
            self.forget_prepared_by_name();
            return;
        };
        if !is_plain(&parts.name) {
            self.forget_prepared_by_name();
        }
        let state = Rc::make_mut(&mut self.state);
        match (ended.error, parts.source) {
            (0, PrepareSource::Literal(_)) => state.prepare(&parts.name, text),
            (0, PrepareSource::Variable(variable)) => {
                state.prepare_from(&parts.name, text, &variable);
            }
            (error, _) if drops_name(error) => state.deallocate(&parts.name),
            _ => state.prepared_unknown(&parts.name),
        }
        if !is_plain(&parts.name) {
            state.prepared_unknown(&parts.name);
        }
    }

    fn note_deallocate(&mut self, text: &[u8], ended: Ended) {
        let name = deallocate_name(text, self.dialect).filter(|name| is_plain(name));
        let Some(name) = name else {
            self.forget_prepared_by_name();
            return;
        };
        let state = Rc::make_mut(&mut self.state);
        match ended.error {
            0 | UNKNOWN_STATEMENT => state.deallocate(&name),
            _ => state.prepared_unknown(&name),
        }
    }

    fn forget_prepared_by_name(&mut self) {
        if self.state.has_prepared() {
            self.state_mut().all_prepared_unknown();
        }
    }
}

/// Whether PREPARE with this error has come as far as the statement's text: what had its name before is gone then. A
/// syntax error, a table or column that is not there, a statement that cannot be prepared. Tried on MySQL 9.7.4 and
/// MariaDB 10.11.19.
fn drops_name(error: u16) -> bool {
    matches!(error, 1054 | 1064 | 1146 | 1295)
}

/// Whether only ASCII case makes two names of it the same: the servers compare them without regard to accents and
/// trailing spaces.
fn is_plain(name: &[u8]) -> bool {
    name.iter()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$'))
}
