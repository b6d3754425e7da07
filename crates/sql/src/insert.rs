//! INSERT and REPLACE: the table that they write to and the columns that they name.
//!
//! Grammar: the manuals' pages on INSERT and REPLACE, tried on MySQL 9.7.4 and MariaDB
//! 10.11.19. Neither takes an alias between the table and its columns.

use crate::Dialect;
use crate::keywords::Kw;
use crate::lexer::{Tok, Token};
use crate::names::name_of;
use crate::scan::Scan;
use std::borrow::Cow;

/// Where an INSERT or REPLACE puts its rows. Names are given without quotes, in the case of
/// the text and in `character_set_client`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct InsertTarget<'a> {
    /// The database, when the table's name is qualified with it; else it is the session's.
    pub schema: Option<Cow<'a, [u8]>>,
    /// The table or view.
    pub table: Cow<'a, [u8]>,
    /// The columns that get values, without their qualifiers and in the order of the text:
    /// those of a column list, or those that SET assigns; nothing for `t () VALUES ()`.
    /// `None`: there is no list, or an empty one before rows that are not empty. Rows then have
    /// all (visible) columns, except those of `t VALUES ()`, which have none.
    pub columns: Option<Vec<Cow<'a, [u8]>>>,
}

/// The target, if the text is one INSERT or REPLACE and nothing else. `None` for anything that
/// is not understood, for EXPLAIN, and behind `SET STATEMENT … FOR`.
#[must_use]
pub fn insert_target<'a>(text: &'a [u8], dialect: Dialect) -> Option<InsertTarget<'a>> {
    let mut scan = Scan::new(text, dialect);
    scan.first_statement();
    if !scan.eat(Kw::Insert) && !scan.eat(Kw::Replace) {
        return None;
    }
    if matches!(
        scan.cur.kw,
        Kw::LowPriority | Kw::Delayed | Kw::HighPriority
    ) {
        scan.bump();
    }
    scan.eat(Kw::Ignore);
    scan.eat(Kw::Into);
    let (schema, table) = path(&mut scan, 2)?;
    if scan.eat(Kw::Partition) {
        if !scan.cur.is_punct(b'(') {
            return None;
        }
        scan.skip_parentheses();
    }
    let columns = columns(&mut scan)?;
    scan.finish_statement();
    scan.is_over().then(|| InsertTarget {
        schema: schema.map(|name| name_of(name, text, dialect)),
        table: name_of(table, text, dialect),
        columns,
    })
}

/// What stands between the table and the rows: the outer `None` when neither a list nor rows
/// follow, the inner one when there is no list.
#[expect(
    clippy::option_option,
    reason = "not understood is not the same as no list"
)]
fn columns<'a>(scan: &mut Scan<'a>) -> Option<Option<Vec<Cow<'a, [u8]>>>> {
    if scan.eat(Kw::Set) {
        return assigned(scan).map(Some);
    }
    let list = scan.cur.is_punct(b'(') && !scan.next.is_punct(b'(') && !is_query(scan.next);
    let mut columns = if list { Some(listed(scan)?) } else { None };
    let values = scan.at(Kw::Values) || scan.at(Kw::Value);
    if !values && !scan.cur.is_punct(b'(') && !is_query(scan.cur) {
        return None;
    }
    if columns.as_ref().is_some_and(Vec::is_empty) {
        // Servers take an empty list for no list: `t () VALUES (1, 2)` gives all columns values.
        // All rows have as many values as the first, else it is error 1136.
        scan.bump();
        if !(values && scan.cur.is_punct(b'(') && scan.next.is_punct(b')')) {
            columns = None;
        }
    }
    Some(columns)
}

/// A reserved word with which a query begins; no unquoted column has such a name.
fn is_query(token: Token) -> bool {
    matches!(token.kw, Kw::Select | Kw::With | Kw::Values | Kw::Table)
}

/// The names from a `(` to after its `)`.
fn listed<'a>(scan: &mut Scan<'a>) -> Option<Vec<Cow<'a, [u8]>>> {
    scan.bump();
    let mut columns = Vec::new();
    if !scan.cur.is_punct(b')') {
        columns.push(column(scan)?);
    }
    while scan.cur.is_punct(b',') {
        scan.bump();
        columns.push(column(scan)?);
    }
    if !scan.cur.is_punct(b')') {
        return None;
    }
    scan.bump();
    Some(columns)
}

/// The names that are assigned after SET.
fn assigned<'a>(scan: &mut Scan<'a>) -> Option<Vec<Cow<'a, [u8]>>> {
    let mut columns = Vec::new();
    loop {
        columns.push(column(scan)?);
        if !scan.cur.is_punct(b'=') && scan.cur.tok != Tok::Assign {
            return None;
        }
        scan.bump();
        skip_value(scan);
        if !scan.cur.is_punct(b',') {
            return Some(columns);
        }
        scan.bump();
    }
}

/// To the comma behind a value, or to what follows the last one. The comma in
/// `MATCH a, b AGAINST` is taken for one too; what follows it is then no assignment.
fn skip_value(scan: &mut Scan<'_>) {
    while !scan.cur.ends() {
        let ends = match scan.cur.kw {
            Kw::On | Kw::As => true,
            // Only there it is reserved.
            Kw::Returning => scan.mariadb(),
            _ => scan.cur.is_punct(b','),
        };
        if ends && scan.depth == 0 {
            return;
        }
        scan.bump();
    }
}

/// `a`, `t.a` or `db.t.a`: its last part.
fn column<'a>(scan: &mut Scan<'a>) -> Option<Cow<'a, [u8]>> {
    let (_, name) = path(scan, 3)?;
    Some(name_of(name, scan.text(), scan.dialect()))
}

/// Past a path of at most so many names; its last name and the one before.
fn path(scan: &mut Scan<'_>, most: usize) -> Option<(Option<Token>, Token)> {
    let mut before = None;
    for _ in 0..most {
        let name = scan.cur;
        if !name.is_name() {
            return None;
        }
        scan.bump();
        if !scan.cur.is_punct(b'.') {
            return Some((before, name));
        }
        scan.bump();
        before = Some(name);
    }
    None
}
