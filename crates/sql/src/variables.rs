//! User variables: which are mentioned, and which are set to literals.

use crate::Dialect;
use crate::keywords::Kw;
use crate::lexer::{Lexer, Tok, Token};
use crate::names::name_of;
use crate::scan::Scan;
use crate::set::{Items, Target};
use std::borrow::Cow;

/// The names of the user variables that a text mentions, in order, each as often as it is
/// mentioned, without `@` and quotes. Servers compare names
/// in `utf8mb3_general_ci`: without regard to case, accents and trailing spaces.
pub fn user_variables<'a>(text: &'a [u8], dialect: Dialect) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let mut lexer = Lexer::new(text, dialect);
    let mut prev = Token::NONE;
    std::iter::from_fn(move || {
        loop {
            let token = lexer.next();
            match token.tok {
                Tok::End => return None,
                Tok::UserVar if !token.is_host(prev) => return Some(name_of(token, text, dialect)),
                _ => prev = token,
            }
        }
    })
}

/// One `@name = literal` of a SET.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LiteralAssignment<'a> {
    /// The variable's name without `@` and quotes, in the case of the text.
    pub name: Cow<'a, [u8]>,
    /// The literal as written.
    pub value: &'a [u8],
}

/// The assignments, if the text is one SET statement that does nothing but give user variables
/// literal values (strings, numbers with a sign, NULL, TRUE, FALSE, bit and hexadecimal
/// literals): run again, it does the same. String literals without an introducer take
/// `collation_connection`, so the same holds only under the same SET NAMES.
#[must_use]
pub fn literal_assignments<'a>(
    text: &'a [u8],
    dialect: Dialect,
) -> Option<impl Iterator<Item = LiteralAssignment<'a>>> {
    let mut scan = Scan::new(text, dialect);
    scan.first_statement();
    if !scan.at(Kw::Set) {
        return None;
    }
    let start = scan.clone();
    let mut items = Items::begin(&mut scan);
    while let Some(item) = items.next(&mut scan) {
        if item.target != Target::User || !item.value.shape.is_literal() {
            return None;
        }
    }
    if !scan.is_over() {
        return None;
    }
    let mut scan = start;
    let mut items = Items::begin(&mut scan);
    Some(std::iter::from_fn(move || {
        let item = items.next(&mut scan)?;
        Some(LiteralAssignment {
            name: name_of(item.name?, text, dialect),
            value: text.get(item.value.span)?,
        })
    }))
}
