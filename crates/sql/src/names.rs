//! Names and strings without their quotes and escapes.

use crate::Dialect;
use crate::lexer::{Lexer, Tok, Token};
use std::borrow::Cow;

/// Whether a word or quoted name of a text is one for which `is` holds; also where servers or character sets disagree
/// about what its words are.
pub fn mentions(text: &[u8], dialect: Dialect, mut is: impl FnMut(&[u8]) -> bool) -> bool {
    let mut lexer = Lexer::new(text, dialect);
    loop {
        let token = lexer.next();
        match token.tok {
            Tok::End => return lexer.ambiguous(),
            _ if token.is_name() && is(&name_of(token, text, dialect)) => return true,
            _ => {}
        }
    }
}

/// The name that a token gives: without `@`, quotes and doubled quotes.
pub(crate) fn name_of<'a>(token: Token, text: &'a [u8], dialect: Dialect) -> Cow<'a, [u8]> {
    let slice = token.slice(text);
    let slice = match token.tok {
        Tok::UserVar => slice.get(1..).unwrap_or_default(),
        _ => slice,
    };
    match slice.first() {
        Some(b'`') => undouble(slice, dialect),
        Some(b'"') if dialect.ansi_quotes => undouble(slice, dialect),
        Some(b'"' | b'\'') => unescape(slice, dialect),
        _ => Cow::Borrowed(slice),
    }
}

/// The bytes between the quotes of a quoted name.
fn undouble(quoted: &[u8], dialect: Dialect) -> Cow<'_, [u8]> {
    plain_or(quoted, &[], |body, quote| {
        let mut name = Vec::with_capacity(body.len());
        let mut at = 0;
        while let Some(&byte) = body.get(at) {
            let length = copy_character(body, at, dialect, &mut name);
            at += length;
            if length == 1 && byte == quote && body.get(at) == Some(&quote) {
                at += 1;
            }
        }
        name
    })
}

/// The value of a string literal, from its first quote to its last; a prefix is skipped.
/// Escapes as in the manuals' page on string literals.
pub(crate) fn unescape(literal: &[u8], dialect: Dialect) -> Cow<'_, [u8]> {
    let start = literal
        .iter()
        .position(|byte| matches!(byte, b'\'' | b'"'))
        .unwrap_or(0);
    let quoted = literal.get(start..).unwrap_or_default();
    let escapes: &[u8] = if dialect.no_backslash_escapes {
        &[]
    } else {
        b"\\"
    };
    plain_or(quoted, escapes, |body, quote| {
        let mut value = Vec::with_capacity(body.len());
        let mut at = 0;
        while let Some(&byte) = body.get(at) {
            if escapes.contains(&byte) {
                let escaped = body.get(at + 1).copied().unwrap_or(b'\\');
                match escaped {
                    b'0' => value.push(0),
                    b'b' => value.push(8),
                    b'n' => value.push(b'\n'),
                    b'r' => value.push(b'\r'),
                    b't' => value.push(b'\t'),
                    b'Z' => value.push(26),
                    b'%' | b'_' => value.extend([b'\\', escaped]),
                    other => value.push(other),
                }
                at += 2;
                continue;
            }
            let length = copy_character(body, at, dialect, &mut value);
            at += length;
            if length == 1 && byte == quote && body.get(at) == Some(&quote) {
                at += 1;
            }
        }
        value
    })
}

/// The body between the first byte and the last, borrowed when it has neither the quote nor
/// one of the special bytes; else what `rewrite` makes of it.
fn plain_or<'a>(
    quoted: &'a [u8],
    special: &[u8],
    rewrite: impl FnOnce(&[u8], u8) -> Vec<u8>,
) -> Cow<'a, [u8]> {
    let Some((&quote, rest)) = quoted.split_first() else {
        return Cow::Borrowed(&[]);
    };
    let body = rest.strip_suffix(&[quote]).unwrap_or(rest);
    if body
        .iter()
        .any(|byte| *byte == quote || special.contains(byte))
    {
        Cow::Owned(rewrite(body, quote))
    } else {
        Cow::Borrowed(body)
    }
}

/// Copies the character at `at`, whose inside may look like a quote; its length.
fn copy_character(body: &[u8], at: usize, dialect: Dialect, out: &mut Vec<u8>) -> usize {
    let tail = body.get(at..).unwrap_or_default();
    let length = dialect.charset.wide(tail).unwrap_or(1);
    out.extend_from_slice(tail.get(..length).unwrap_or_default());
    length
}
