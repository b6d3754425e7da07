//! User-level locks: which ones a text names, and what it does to them.

use crate::Dialect;
use crate::keywords::Kw;
use crate::lexer::{Tok, Token};
use crate::names::unescape;
use crate::scan::{Scan, bare};
use std::borrow::Cow;

/// The user-level locks of a text: what its calls say, not whether they are reached or what
/// they answer. Calls within views, stored programs and prepared statements are not seen.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct UserLocks<'a> {
    /// The names in GET_LOCK, RELEASE_LOCK, IS_USED_LOCK and IS_FREE_LOCK that are plain string
    /// literals, their escapes resolved, in the order of the text, each as often as it is
    /// there; in `character_set_client`. `'a'` and `'A'` are two locks to MariaDB 10.11 and
    /// one to MySQL 9.7.
    pub names: Vec<Cow<'a, [u8]>>,
    /// `names` is all that there is. `false` when some name is an expression, a placeholder
    /// or a literal with a prefix, an introducer or a second part; when a function of such a
    /// name is called in a schema (there it is a stored one, or MariaDB's own in
    /// `mariadb_schema`); when MySQL's locking service is called; and when the text cannot be
    /// cut into tokens for certain.
    pub all_literal: bool,
    /// RELEASE_LOCK or RELEASE_ALL_LOCKS is called.
    pub releases: bool,
    /// RELEASE_ALL_LOCKS is called.
    pub releases_all: bool,
    /// GET_LOCK is called, or `service_get_…_locks` of MySQL's locking service.
    pub takes: bool,
}

/// The user-level locks that all statements of a text together name.
#[must_use]
pub fn user_locks<'a>(text: &'a [u8], dialect: Dialect) -> UserLocks<'a> {
    let mut locks = UserLocks {
        names: Vec::new(),
        all_literal: true,
        releases: false,
        releases_all: false,
        takes: false,
    };
    let mut scan = Scan::new(text, dialect);
    scan.first_statement();
    while scan.cur.tok != Tok::End {
        if is_call(&scan) {
            note(&mut locks, &mut scan);
        } else {
            scan.bump();
        }
    }
    locks.all_literal &= !scan.ambiguous();
    locks
}

/// A name before `(` that is not the name of a table being written, made or defined.
fn is_call(scan: &Scan<'_>) -> bool {
    let table = matches!(
        scan.prev().kw,
        Kw::Insert
            | Kw::Replace
            | Kw::Delayed
            | Kw::LowPriority
            | Kw::Ignore
            | Kw::Into
            | Kw::Table
            | Kw::Exists
            | Kw::With
            | Kw::Recursive
    );
    scan.cur.is_name() && scan.next.is_punct(b'(') && !table
}

/// Notes the call that begins here and moves to its first argument.
fn note<'a>(locks: &mut UserLocks<'a>, scan: &mut Scan<'a>) {
    let name = bare(scan.cur, scan.text());
    let qualified = scan.prev().is_punct(b'.');
    scan.bump();
    scan.bump();
    let called = |function: &str| name.eq_ignore_ascii_case(function.as_bytes());
    let takes = called("get_lock");
    let releases = called("release_lock");
    if qualified {
        // A stored function may release nothing: a lock is rather believed to be held.
        locks.takes |= takes;
        locks.all_literal &= !(takes || releases || called("release_all_locks"));
    } else if takes || releases || called("is_used_lock") || called("is_free_lock") {
        locks.takes |= takes;
        locks.releases |= releases;
        match plain_literal(scan) {
            Some(literal) => locks.names.push(unescape(literal, scan.dialect())),
            None => locks.all_literal = false,
        }
    } else if called("release_all_locks") {
        locks.releases = true;
        locks.releases_all = true;
    } else if called("service_get_read_locks") || called("service_get_write_locks") {
        locks.takes = true;
        locks.all_literal = false;
    }
}

/// The current token, if it is a whole argument and a string literal without a prefix.
fn plain_literal<'a>(scan: &Scan<'a>) -> Option<&'a [u8]> {
    let last = |token: Token| token.is_punct(b',') || token.is_punct(b')');
    let plain = scan.cur.tok == Tok::Str
        && matches!(scan.slice().first(), Some(b'\'' | b'"'))
        && last(scan.next);
    plain.then(|| scan.slice())
}
