//! SET: what is assigned, in which scope.

use crate::Dialect;
use crate::keywords::Kw;
use crate::lexer::{Tok, Token};
use crate::names::name_of;
use crate::scan::Scan;
use std::borrow::Cow;
use std::ops::Range;

/// The scope of a system variable in SET.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scope {
    /// SESSION, LOCAL, `@@session.`, `@@local.`, or a plain name.
    Session,
    /// `@@name` without a scope: as [`Scope::Session`], but for `transaction_isolation`,
    /// `transaction_read_only` and `tx_…` it means the next transaction only. In
    /// [`Target::Transaction`]: no scope, the next transaction only.
    Bare,
    /// GLOBAL. The keyword also counts for plain names after it in the list.
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
    /// SET TRANSACTION with this scope.
    Transaction(Scope),
    /// SET PASSWORD.
    Password,
    /// SET ROLE.
    Role,
    /// SET DEFAULT ROLE.
    DefaultRole,
    /// SET RESOURCE GROUP (MySQL).
    ResourceGroup,
    /// Not understood.
    Other,
}

/// One assignment of a SET statement.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Assignment<'a> {
    /// What is assigned.
    pub target: Target,
    /// The variable's name without `@`, scope and quotes, in the case of the text; of a
    /// structured variable (`hot_cache.key_buffer_size`) the last part. Empty where there is
    /// none.
    pub name: Cow<'a, [u8]>,
    /// The value as written, without surrounding white space; comments within stay.
    pub value: &'a [u8],
    /// Where the value stands in the text.
    pub value_span: Range<usize>,
    /// The value is a literal with or without a sign, or a single word such as ON or DEFAULT:
    /// it reads nothing from the session. Always true of NAMES and CHARACTER SET.
    pub literal: bool,
}

/// The assignments of a SET statement in their order; nothing for another statement. Of a
/// multi-statement text, those of the first statement. A list that is not understood ends
/// with one [`Target::Other`]. For `SET STATEMENT … FOR …`: the variables before FOR.
pub fn set_assignments<'a>(
    text: &'a [u8],
    dialect: Dialect,
) -> impl Iterator<Item = Assignment<'a>> {
    let mut scan = Scan::new(text, dialect);
    scan.first_statement();
    let mut items = scan.at(Kw::Set).then(|| Items::begin(&mut scan));
    std::iter::from_fn(move || {
        let item = items.as_mut()?.next(&mut scan)?;
        Some(Assignment {
            target: item.target,
            name: item.name.map_or(Cow::Borrowed(&[][..]), |token| {
                name_of(token, text, dialect)
            }),
            value: text.get(item.value.span.clone()).unwrap_or_default(),
            literal: item.value.shape.is_literal()
                || item.value.shape == Shape::Word
                || matches!(item.target, Target::Names | Target::CharacterSet),
            value_span: item.value.span,
        })
    })
}

/// One assignment, as tokens.
pub(crate) struct Item {
    pub(crate) target: Target,
    pub(crate) name: Option<Token>,
    /// The scope was not written here but taken over from the item before.
    pub(crate) sticky: bool,
    pub(crate) value: Value,
}

/// The value of an assignment.
pub(crate) struct Value {
    pub(crate) span: Range<usize>,
    pub(crate) shape: Shape,
    /// The only token of the value.
    pub(crate) single: Option<Token>,
}

/// How a value is made up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    Empty,
    /// A sign that a number must follow.
    Sign,
    /// `_utf8mb4`, that a literal must follow.
    Introducer,
    /// String literals one after the other: they are one.
    Strings,
    /// A number, NULL, TRUE, FALSE.
    Literal,
    /// One other word.
    Word,
    Complex,
}

impl Shape {
    pub(crate) fn is_literal(self) -> bool {
        matches!(self, Shape::Strings | Shape::Literal)
    }

    fn with(self, token: Token, text: &[u8]) -> Shape {
        match (self, token.tok) {
            (Shape::Empty, Tok::Punct(b'+' | b'-')) => Shape::Sign,
            (Shape::Empty | Shape::Strings, Tok::Str) => Shape::Strings,
            (Shape::Introducer, Tok::Str) => Shape::Literal,
            (Shape::Empty | Shape::Sign | Shape::Introducer, Tok::Number) => Shape::Literal,
            (Shape::Empty, Tok::Word) if matches!(token.kw, Kw::Null | Kw::True | Kw::False) => {
                Shape::Literal
            }
            (Shape::Empty, Tok::Word) if token.slice(text).starts_with(b"_") => Shape::Introducer,
            (Shape::Empty, Tok::Word | Tok::Quoted) => Shape::Word,
            _ => Shape::Complex,
        }
    }
}

/// The list of a SET statement.
pub(crate) struct Items {
    scope: Scope,
    /// SET STATEMENT: the list ends at FOR.
    statement: bool,
    done: bool,
}

impl Items {
    /// From the SET on, which is the current token.
    pub(crate) fn begin(scan: &mut Scan<'_>) -> Items {
        scan.target = true;
        scan.bump();
        let statement = scan.mariadb() && scan.at(Kw::Statement) && !assigns(scan.next);
        if statement {
            scan.bump();
        }
        Items {
            scope: if statement {
                Scope::Statement
            } else {
                Scope::Session
            },
            statement,
            done: false,
        }
    }

    pub(crate) fn is_statement(&self) -> bool {
        self.statement
    }

    pub(crate) fn next(&mut self, scan: &mut Scan<'_>) -> Option<Item> {
        if self.done {
            return None;
        }
        let item = self.item(scan);
        // Up to the comma that parts it from the next item.
        self.done = !(scan.cur.is_punct(b',') && scan.depth == 0);
        scan.target = true;
        if !self.done {
            scan.bump();
        } else if !(scan.cur.ends() || self.statement && scan.at(Kw::For)) {
            scan.target = false;
            return Some(Item {
                target: Target::Other,
                ..item
            });
        }
        scan.target = !self.done;
        Some(item)
    }

    fn item(&mut self, scan: &mut Scan<'_>) -> Item {
        let word = scan.cur.kw;
        let bare_word = !assigns(scan.next) && !scan.next.is_punct(b'.');
        if bare_word {
            let target = match word {
                Kw::Names => Some(Target::Names),
                Kw::Charset => Some(Target::CharacterSet),
                Kw::Character if scan.next.is(Kw::Set) => {
                    scan.bump();
                    Some(Target::CharacterSet)
                }
                Kw::Transaction => Some(Target::Transaction(Scope::Bare)),
                Kw::Password => Some(Target::Password),
                Kw::Role => Some(Target::Role),
                Kw::Default if scan.next.is(Kw::Role) => {
                    scan.bump();
                    Some(Target::DefaultRole)
                }
                Kw::Resource if scan.next.is(Kw::Group) => {
                    scan.bump();
                    Some(Target::ResourceGroup)
                }
                _ => None,
            };
            if let Some(target) = target {
                return self.clause(target, scan);
            }
        } else if word == Kw::Password && assigns(scan.next) {
            return self.clause(Target::Password, scan);
        }
        let mut sticky = scan.cur.tok != Tok::AtAt;
        if bare_word && let Some(scope) = scope_of(word) {
            sticky = false;
            scan.bump();
            if scan.at(Kw::Transaction) && !assigns(scan.next) {
                return self.clause(Target::Transaction(scope), scan);
            }
            self.scope = scope;
        }
        self.variable(sticky, scan)
    }

    /// A clause whose words are its value.
    fn clause(&self, target: Target, scan: &mut Scan<'_>) -> Item {
        scan.target = false;
        scan.bump();
        // Their commas do not part assignments.
        let list = matches!(
            target,
            Target::Transaction(_) | Target::Role | Target::DefaultRole | Target::ResourceGroup
        );
        Item {
            target,
            name: None,
            sticky: false,
            value: self.value(list, scan),
        }
    }

    fn variable(&mut self, sticky: bool, scan: &mut Scan<'_>) -> Item {
        let (target, name) = match scan.cur.tok {
            Tok::UserVar => {
                let name = scan.cur;
                scan.bump();
                (Target::User, Some(name))
            }
            Tok::AtAt => {
                scan.bump();
                let scope = scope_of_path(scan);
                if scope.is_some() {
                    scan.bump();
                    scan.bump();
                }
                (
                    Target::System(scope.unwrap_or(Scope::Bare)),
                    scan.skip_path(),
                )
            }
            _ => (Target::System(self.scope), scan.skip_path()),
        };
        let understood = name.is_some() && assigns(scan.cur);
        scan.target = false;
        if understood {
            scan.bump();
        }
        let value = self.value(false, scan);
        Item {
            target: if understood && value.shape != Shape::Empty {
                target
            } else {
                Target::Other
            },
            name: name.filter(|_| understood),
            sticky,
            value,
        }
    }

    fn value(&self, list: bool, scan: &mut Scan<'_>) -> Value {
        let start = scan.cur.start;
        let mut end = start;
        let mut shape = Shape::Empty;
        let mut single = None;
        while !scan.cur.ends()
            && (scan.depth > 0 || list || !scan.cur.is_punct(b','))
            && !(self.statement && scan.depth == 0 && scan.at(Kw::For))
        {
            single = (shape == Shape::Empty).then_some(scan.cur);
            shape = shape.with(scan.cur, scan.text());
            end = scan.cur.end;
            scan.bump();
        }
        Value {
            span: start..end,
            shape,
            single,
        }
    }
}

/// `=` or `:=`.
fn assigns(token: Token) -> bool {
    token.is_punct(b'=') || token.tok == Tok::Assign
}

fn scope_of(word: Kw) -> Option<Scope> {
    match word {
        Kw::Session | Kw::Local => Some(Scope::Session),
        Kw::Global => Some(Scope::Global),
        Kw::Persist => Some(Scope::Persist),
        Kw::PersistOnly => Some(Scope::PersistOnly),
        _ => None,
    }
}

/// The scope in `@@scope.name`, from `scope` on. Before a `.` a word is not lexed as a keyword.
fn scope_of_path(scan: &Scan<'_>) -> Option<Scope> {
    if !scan.next.is_punct(b'.') {
        return None;
    }
    scope_of(crate::keywords::keyword(scan.slice()))
}
