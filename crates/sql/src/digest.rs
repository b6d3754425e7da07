//! The digest: what stays of a statement without its literals.
//!
//! Literals and placeholders become `?`; lists of nothing but literals become `(?)`, and
//! repeated ones (`VALUES (1),(2)`, `ROW(1),ROW(2)`) one; words are in lower case; comments
//! and the text of executable comments that do not apply are gone.

use crate::Dialect;
use crate::keywords::Kw;
use crate::lexer::{Lexer, Tok, Token};
use xxhash_rust::xxh3::Xxh3;

/// A hash of the text in which literals, lists of literals, white space, comments and the case
/// of words are normalised away. Equal for two texts when [`normalize`] without a limit
/// gives the same string for both. Stable across processes of the same version of Steadfast;
/// not the server's own DIGEST. Case of names is normalised too: two tables that differ in
/// case only share a digest.
#[must_use]
pub fn digest(text: &[u8], dialect: Dialect) -> u64 {
    let mut hash = Xxh3::new();
    write(text, dialect, &mut |piece| {
        hash.update(piece);
        true
    });
    hash.digest()
}

/// Appends the digest's text to `out`: `?` for literals, one space between tokens where one is
/// wanted, words in lower case. At most `limit` bytes are appended; a text that is cut ends in
/// `…` (which counts, so nothing is appended when it does not fit a `limit` below 3). Bytes
/// that are not UTF-8 become U+FFFD. Never contains a literal.
pub fn normalize(text: &[u8], dialect: Dialect, out: &mut String, limit: usize) {
    const CUT: &str = "…";
    let start = out.len();
    // Where the mark of a cut still fits.
    let mut fits = start;
    write(text, dialect, &mut |piece| {
        for chunk in piece.utf8_chunks() {
            for character in chunk.valid().chars() {
                out.push(character);
                let length = out.len() - start;
                if length > limit {
                    return false;
                }
                if length + CUT.len() <= limit {
                    fits = out.len();
                }
            }
            if !chunk.invalid().is_empty() {
                out.push(char::REPLACEMENT_CHARACTER);
                if out.len() - start > limit {
                    return false;
                }
            }
        }
        true
    });
    if out.len() - start > limit {
        out.truncate(fits);
        if limit >= CUT.len() {
            out.push_str(CUT);
        }
    }
}

/// Gives the pieces of the digest's text to `emit`, until it returns `false`.
fn write(text: &[u8], dialect: Dialect, emit: &mut dyn FnMut(&[u8]) -> bool) {
    let mut lexer = Lexer::new(text, dialect);
    let mut writer = Writer {
        text,
        emit,
        last: Last::Start,
        held: Held::Nothing,
        after_list: false,
        going: true,
    };
    loop {
        let token = lexer.next();
        if token.tok == Tok::End || !writer.going {
            break;
        }
        writer.token(token);
    }
    writer.finish();
}

/// What was written last, for spaces and signs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Start,
    /// A word that is or may be a name.
    Word,
    /// A word after which a sign belongs to what follows, and a parenthesis is no call.
    Keyword,
    Literal,
    /// `)` or a name in quotes.
    Operand,
    /// `(`, `.`, `@@`: nothing parts it from what follows.
    Tight,
    Other,
}

/// What has been read and is not yet written, since it may go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Nothing,
    /// A sign that may belong to a literal.
    Sign(u8),
    /// A comma after a literal or after a list.
    Comma,
    /// A semicolon that may be the last.
    Semi,
    /// `(`, perhaps a literal, perhaps a comma, perhaps a sign: a list so far.
    List(List),
    /// `row` after a comma, after a list.
    Row,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct List {
    /// Another list and a comma stand before it.
    repeated: bool,
    /// Has a literal.
    filled: bool,
    /// A comma after a literal.
    comma: bool,
    sign: Option<u8>,
}

struct Writer<'a, 'e> {
    text: &'a [u8],
    emit: &'e mut dyn FnMut(&[u8]) -> bool,
    last: Last,
    held: Held,
    /// The last thing written was `(?)`.
    after_list: bool,
    going: bool,
}

impl Writer<'_, '_> {
    fn token(&mut self, token: Token) {
        let literal = matches!(token.tok, Tok::Str | Tok::Number | Tok::Param);
        match (self.held, token.tok) {
            (Held::List(list), _) => {
                if self.list(list, token, literal) {
                    return;
                }
                self.flush();
            }
            (Held::Sign(_), _) if literal => self.held = Held::Nothing,
            // ?, ?, ? is ?
            (Held::Comma, _) if literal && !self.after_list => {
                self.held = Held::Nothing;
                return;
            }
            (Held::Comma, _) if self.after_list && token.is(Kw::Row) => {
                self.held = Held::Row;
                return;
            }
            (Held::Comma | Held::Row, Tok::Punct(b'(')) if self.after_list => {
                self.held = Held::List(List {
                    repeated: true,
                    ..List::default()
                });
                return;
            }
            (Held::Semi, Tok::Semi) | (Held::Nothing, _) => {}
            _ => self.flush(),
        }
        self.plain(token, literal);
    }

    /// Whether the list goes on with this token.
    fn list(&mut self, list: List, token: Token, literal: bool) -> bool {
        let open = !list.filled || list.comma;
        let held = match token.tok {
            _ if open && (literal || token.is(Kw::Null)) => List {
                filled: true,
                comma: false,
                sign: None,
                ..list
            },
            Tok::Str if list.filled => list,
            Tok::Punct(sign @ (b'+' | b'-')) if open && list.sign.is_none() => List {
                sign: Some(sign),
                ..list
            },
            Tok::Punct(b',') if list.filled && !list.comma => List {
                comma: true,
                ..list
            },
            Tok::Punct(b')') if list.filled && !list.comma => {
                self.held = Held::Nothing;
                if !list.repeated {
                    self.put(b"(?)", Last::Operand);
                }
                self.after_list = true;
                return true;
            }
            _ => return false,
        };
        self.held = Held::List(held);
        true
    }

    fn plain(&mut self, token: Token, literal: bool) {
        if literal {
            // Adjacent string literals are one.
            if self.last != Last::Literal {
                self.put(b"?", Last::Literal);
            }
            return;
        }
        match token.tok {
            Tok::Punct(b'(') => self.held = Held::List(List::default()),
            Tok::Punct(b',') if self.after_list || self.last == Last::Literal => {
                self.held = Held::Comma;
            }
            Tok::Punct(sign @ (b'+' | b'-'))
                if !matches!(self.last, Last::Literal | Last::Operand | Last::Word) =>
            {
                self.held = Held::Sign(sign);
            }
            Tok::Semi if self.last == Last::Start => {}
            Tok::Semi => self.held = Held::Semi,
            _ => self.write(token),
        }
    }

    fn write(&mut self, token: Token) {
        let slice = token.slice(self.text);
        match token.tok {
            Tok::Word if expects_operand(token.kw) => self.put(slice, Last::Keyword),
            Tok::Word => self.put(slice, Last::Word),
            Tok::Quoted | Tok::UserVar => self.put(slice, Last::Operand),
            Tok::AtAt => self.put(slice, Last::Tight),
            Tok::Punct(b'.') => self.put(b".", Last::Tight),
            Tok::Punct(b')') => self.put(b")", Last::Operand),
            _ => self.put(slice, Last::Other),
        }
    }

    /// Writes what is held as it was.
    fn flush(&mut self) {
        match std::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => {}
            Held::Semi => self.put(b";", Last::Other),
            Held::Sign(sign) => self.put(&[sign], Last::Other),
            Held::Comma => self.put(b",", Last::Other),
            Held::Row => {
                self.put(b",", Last::Other);
                self.put(b"row", Last::Word);
            }
            Held::List(list) => {
                if list.repeated {
                    self.put(b",", Last::Other);
                }
                self.put(b"(", Last::Tight);
                if list.filled {
                    self.put(b"?", Last::Literal);
                }
                if list.comma {
                    self.put(b",", Last::Other);
                }
                if let Some(sign) = list.sign {
                    self.put(&[sign], Last::Other);
                }
            }
        }
    }

    fn finish(&mut self) {
        if self.held != Held::Semi {
            self.flush();
        }
    }

    fn put(&mut self, piece: &[u8], last: Last) {
        if !self.going {
            return;
        }
        let tight = matches!(self.last, Last::Start | Last::Tight)
            || matches!(piece, b"," | b"." | b")" | b";");
        let call = piece.first() == Some(&b'(') && self.last == Last::Word;
        if !tight && !call {
            self.going &= (self.emit)(b" ");
        }
        let mut buffer = [0; 64];
        for chunk in piece.chunks(buffer.len()) {
            let lower = buffer.get_mut(..chunk.len()).unwrap_or_default();
            lower.copy_from_slice(chunk);
            lower.make_ascii_lowercase();
            if self.going {
                self.going = (self.emit)(lower);
            }
        }
        self.last = last;
        self.after_list = false;
    }
}

/// Words after which an expression or a list begins.
fn expects_operand(word: Kw) -> bool {
    matches!(
        word,
        Kw::Select
            | Kw::Where
            | Kw::Having
            | Kw::On
            | Kw::And
            | Kw::Or
            | Kw::Xor
            | Kw::Not
            | Kw::By
            | Kw::When
            | Kw::Then
            | Kw::Else
            | Kw::Case
            | Kw::Limit
            | Kw::Offset
            | Kw::In
            | Kw::Between
            | Kw::Like
            | Kw::Div
            | Kw::Distinct
            | Kw::All
            | Kw::Interval
            | Kw::Values
            | Kw::Into
            | Kw::From
            | Kw::As
            | Kw::Join
            | Kw::Union
            | Kw::Using
            | Kw::Exists
            | Kw::Over
            | Kw::Against
            | Kw::Key
            | Kw::Index
            | Kw::Set
    )
}
