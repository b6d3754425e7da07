//! PREPARE, EXECUTE and DEALLOCATE in SQL: names and sources.
//!
//! Names are given without quotes, in the case of the text; servers compare them without
//! regard to case, in `utf8`.

use crate::Dialect;
use std::borrow::Cow;

/// Where the text of a prepared statement comes from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum PrepareSource<'a> {
    /// A string literal, its escapes resolved; in `character_set_client`.
    Literal(Cow<'a, [u8]>),
    /// A user variable, without `@` and quotes.
    Variable(Cow<'a, [u8]>),
}

/// `PREPARE name FROM source`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PrepareParts<'a> {
    /// The statement's name.
    pub name: Cow<'a, [u8]>,
    /// The statement's text.
    pub source: PrepareSource<'a>,
}

/// The parts, if the text is one PREPARE statement and nothing else. `None` also for
/// MariaDB's PREPARE from an expression that is neither a literal nor a user variable.
#[must_use]
pub fn prepare_parts<'a>(text: &'a [u8], dialect: Dialect) -> Option<PrepareParts<'a>> {
    let _ = (text, dialect);
    None
}

/// The name in `EXECUTE name [USING …]`, if the text is one such statement. `None` for
/// EXECUTE IMMEDIATE.
#[must_use]
pub fn execute_name<'a>(text: &'a [u8], dialect: Dialect) -> Option<Cow<'a, [u8]>> {
    let _ = (text, dialect);
    None
}

/// The name in `DEALLOCATE PREPARE name` or `DROP PREPARE name`, if the text is one such
/// statement.
#[must_use]
pub fn deallocate_name<'a>(text: &'a [u8], dialect: Dialect) -> Option<Cow<'a, [u8]>> {
    let _ = (text, dialect);
    None
}
