//! User variables: which are mentioned, and which are set to literals.

use crate::Dialect;
use std::borrow::Cow;

/// The names of the user variables that a text mentions, in order, each as often as it is
/// mentioned, without `@` and quotes. Servers compare names without regard to case.
pub fn user_variables<'a>(text: &'a [u8], dialect: Dialect) -> impl Iterator<Item = Cow<'a, [u8]>> {
    let _ = (text, dialect);
    std::iter::empty()
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
    let _ = (text, dialect);
    None::<std::iter::Empty<LiteralAssignment<'a>>>
}
