//! KILL: whom it means.

use crate::Dialect;
use std::ops::Range;

/// What a KILL names its victim by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KillBy {
    /// A connection's id. A server translates it: ids seen by clients may not be the server's.
    Connection,
    /// `KILL QUERY ID n` (MariaDB): the id of a query, not of a connection.
    QueryId,
    /// `KILL … USER name` (MariaDB): all connections of an account.
    User,
}

/// The victim of a KILL statement.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct KillTarget {
    /// KILL QUERY: the connection stays.
    pub query: bool,
    /// KILL SOFT (MariaDB).
    pub soft: bool,
    /// What the victim is named by.
    pub by: KillBy,
    /// The number, when it is a plain decimal one; `None` for an expression, a variable, a
    /// placeholder and for [`KillBy::User`].
    pub id: Option<u64>,
    /// Where the id, expression or user name stands in the text, so that it can be replaced.
    pub id_span: Range<usize>,
}

/// The victim, if the text is one KILL statement and nothing else.
#[must_use]
pub fn kill_target(text: &[u8], dialect: Dialect) -> Option<KillTarget> {
    let _ = (text, dialect);
    None
}
