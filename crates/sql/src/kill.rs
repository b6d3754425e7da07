//! KILL: whom it means.

use crate::Dialect;
use crate::keywords::Kw;
use crate::lexer::Tok;
use crate::scan::Scan;
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
    let mut scan = Scan::new(text, dialect);
    scan.first_statement();
    if !scan.eat(Kw::Kill) {
        return None;
    }
    let soft = scan.at(Kw::Soft);
    if soft || scan.at(Kw::Hard) {
        scan.bump();
    }
    let query = scan.at(Kw::Query);
    if query || scan.at(Kw::Connection) {
        scan.bump();
    }
    let by = match scan.cur.kw {
        Kw::Id if query && !scan.next.ends() => KillBy::QueryId,
        Kw::User if !scan.next.ends() => KillBy::User,
        _ => KillBy::Connection,
    };
    if by != KillBy::Connection {
        scan.bump();
    }
    let start = scan.cur.start;
    let mut end = start;
    let mut tokens = 0_usize;
    let mut id = None;
    while !scan.cur.ends() {
        tokens += 1;
        id = match scan.cur.tok {
            Tok::Number if tokens == 1 => decimal(scan.slice()),
            _ => None,
        };
        end = scan.cur.end;
        scan.bump();
    }
    if tokens == 0 || !scan.is_over() {
        return None;
    }
    Some(KillTarget {
        query,
        soft,
        by,
        id: id.filter(|_| by != KillBy::User),
        id_span: start..end,
    })
}

fn decimal(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
