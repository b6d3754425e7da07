//! SET: what is assigned, in which scope.

use crate::Dialect;
use std::borrow::Cow;
use std::ops::Range;

/// The scope of a system variable in SET.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    /// SESSION, LOCAL, `@@session.`, `@@local.`, or a plain name.
    Session,
    /// `@@name` without a scope: as [`Scope::Session`], but for `transaction_isolation`,
    /// `transaction_read_only` and `tx_…` it means the next transaction only.
    Bare,
    /// GLOBAL.
    Global,
    /// PERSIST (MySQL).
    Persist,
    /// PERSIST_ONLY (MySQL).
    PersistOnly,
    /// SET STATEMENT … FOR (MariaDB): for one statement.
    Statement,
}

/// What an assignment of SET is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Target {
    /// A system variable (or, within a stored program, a local one).
    System(Scope),
    /// A user variable.
    User,
    /// SET NAMES: sets `character_set_client`, `…_connection`, `…_results` and the collation.
    /// The value includes COLLATE.
    Names,
    /// SET CHARACTER SET, SET CHARSET.
    CharacterSet,
    /// SET TRANSACTION with this scope; [`Scope::Bare`] is the one for the next transaction.
    Transaction(Scope),
    /// Something else: PASSWORD, ROLE, RESOURCE GROUP, or not understood.
    Other,
}

/// One assignment of a SET statement.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Assignment<'a> {
    /// What is assigned.
    pub target: Target,
    /// The variable's name without `@`, scope and quotes, in the case of the text, with its
    /// prefix if it has one (`hot_cache.key_buffer_size`); empty where there is none.
    pub name: Cow<'a, [u8]>,
    /// The value as written, without surrounding white space.
    pub value: &'a [u8],
    /// Where the value stands in the text.
    pub value_span: Range<usize>,
    /// The value is a literal, a word such as ON or DEFAULT, or a signed number: it reads
    /// nothing from the session.
    pub literal: bool,
}

/// The assignments of a SET statement in their order; nothing for another statement. Of a
/// multi-statement text, those of the first statement. A list that is not understood ends
/// with one [`Target::Other`].
pub fn set_assignments<'a>(
    text: &'a [u8],
    dialect: Dialect,
) -> impl Iterator<Item = Assignment<'a>> {
    let _ = (text, dialect);
    std::iter::empty()
}
