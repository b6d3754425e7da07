//! PREPARE, EXECUTE and DEALLOCATE in SQL: names and sources.
//!
//! Names are given without quotes, in the case of the text; servers compare them without
//! regard to case, in `utf8`.

use crate::Dialect;
use crate::keywords::Kw;
use crate::lexer::Tok;
use crate::names::{name_of, unescape};
use crate::scan::Scan;
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
    let mut scan = Scan::new(text, dialect);
    scan.first_statement();
    if !scan.eat(Kw::Prepare) {
        return None;
    }
    let name = name(&mut scan)?;
    if !scan.eat(Kw::From) {
        return None;
    }
    let token = scan.cur;
    let source = match token.tok {
        Tok::Str if matches!(scan.slice().first(), Some(b'\'' | b'"')) => {
            PrepareSource::Literal(unescape(scan.slice(), dialect))
        }
        Tok::UserVar => PrepareSource::Variable(name_of(token, text, dialect)),
        _ => return None,
    };
    scan.bump();
    scan.is_over().then_some(PrepareParts { name, source })
}

/// `EXECUTE name [USING …]`.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ExecuteParts<'a> {
    /// The statement's name.
    pub name: Cow<'a, [u8]>,
    /// Values are given for its placeholders. The servers refuse another number of them (1210).
    pub using: bool,
}

/// The parts, if the text is one EXECUTE statement and nothing else. `None` for EXECUTE IMMEDIATE.
#[must_use]
pub fn execute_parts<'a>(text: &'a [u8], dialect: Dialect) -> Option<ExecuteParts<'a>> {
    let mut scan = Scan::new(text, dialect);
    scan.first_statement();
    if !scan.eat(Kw::Execute) {
        return None;
    }
    let name = name(&mut scan)?;
    let using = scan.at(Kw::Using);
    if !scan.cur.ends() && !using {
        return None;
    }
    scan.finish_statement();
    scan.is_over().then_some(ExecuteParts { name, using })
}

/// The name in `DEALLOCATE PREPARE name` or `DROP PREPARE name`, if the text is one such
/// statement.
#[must_use]
pub fn deallocate_name<'a>(text: &'a [u8], dialect: Dialect) -> Option<Cow<'a, [u8]>> {
    let mut scan = Scan::new(text, dialect);
    scan.first_statement();
    if !(scan.eat(Kw::Deallocate) || scan.eat(Kw::Drop)) || !scan.eat(Kw::Prepare) {
        return None;
    }
    let name = name(&mut scan)?;
    scan.is_over().then_some(name)
}

fn name<'a>(scan: &mut Scan<'a>) -> Option<Cow<'a, [u8]>> {
    let token = scan.cur;
    if !token.is_name() {
        return None;
    }
    scan.bump();
    Some(name_of(token, scan.text(), scan.dialect()))
}
