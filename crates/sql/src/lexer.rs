//! Bytes to tokens, as the servers' own lexers cut them (`lex_one_token` in `sql_lex.cc`,
//! MySQL 8.0 to 9.7 and MariaDB 10.6 to 11.8).
//!
//! Where servers, versions or character sets disagree about a byte, the lexer goes on and
//! remembers that it has guessed: [`Lexer::ambiguous`].

use crate::keywords::{Kw, keyword};
use crate::{Charset, Dialect, Server};

/// The kinds of tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tok {
    /// An unquoted word: a keyword or a name.
    Word,
    /// A quoted name; the span includes the quotes.
    Quoted,
    /// A string literal with its prefix (`N'…'`, `x'…'`, `b'…'`).
    Str,
    /// A number, hexadecimal or bit literal; `\N`.
    Number,
    /// `?`.
    Param,
    /// `@name`, `@'name'`, …; the span includes the `@`.
    UserVar,
    /// `@@`.
    AtAt,
    /// `:=`.
    Assign,
    /// `;`.
    Semi,
    /// Any other single byte.
    Punct(u8),
    /// The end of the text.
    End,
}

/// A token: what it is and where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Token {
    pub(crate) tok: Tok,
    /// [`Kw::None`] for what is not an unquoted keyword.
    pub(crate) kw: Kw,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    /// A token that stands for nothing, before the first one.
    pub(crate) const NONE: Token = Token {
        tok: Tok::Punct(0),
        kw: Kw::None,
        start: 0,
        end: 0,
    };

    pub(crate) fn is(self, kw: Kw) -> bool {
        self.kw == kw
    }

    pub(crate) fn is_punct(self, byte: u8) -> bool {
        self.tok == Tok::Punct(byte)
    }

    /// The `@host` of an account, right after its user's quotes, and no variable.
    pub(crate) fn is_host(self, prev: Token) -> bool {
        self.tok == Tok::UserVar
            && prev.end == self.start
            && matches!(prev.tok, Tok::Str | Tok::Quoted)
    }

    /// A word or quoted name that can name something.
    pub(crate) fn is_name(self) -> bool {
        matches!(self.tok, Tok::Word | Tok::Quoted)
    }

    /// End of the statement.
    pub(crate) fn ends(self) -> bool {
        matches!(self.tok, Tok::Semi | Tok::End)
    }

    pub(crate) fn slice(self, text: &[u8]) -> &[u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// The lexer of one text.
#[derive(Clone, Debug)]
pub(crate) struct Lexer<'a> {
    text: &'a [u8],
    pos: usize,
    dialect: Dialect,
    /// Between `/*!` and its `*/`.
    in_code_comment: bool,
    /// The last token was a `.` that a name follows at once: it is no keyword, and may begin
    /// with a digit where the token before was a word.
    after_dot: AfterDot,
    last_was_word: bool,
    ambiguous: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum AfterDot {
    No,
    /// The next word is a name, not a keyword.
    Name,
    /// The same, and digits begin a name too.
    NameOrDigits,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a [u8], dialect: Dialect) -> Self {
        Lexer {
            text,
            pos: 0,
            dialect,
            in_code_comment: false,
            after_dot: AfterDot::No,
            last_was_word: false,
            ambiguous: false,
        }
    }

    pub(crate) fn text(&self) -> &'a [u8] {
        self.text
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Some byte so far may be read differently by the server: unbalanced quotes or comments,
    /// bytes that are not characters, syntax that only some versions have.
    pub(crate) fn ambiguous(&self) -> bool {
        self.ambiguous
    }

    /// The byte `ahead` of the position; 0 at the end, as the servers' lexers see it.
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.pos + ahead).copied().unwrap_or(0)
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.pos..).unwrap_or_default()
    }

    fn guess(&mut self) {
        self.ambiguous = true;
    }

    /// The next token. After the end: [`Tok::End`] again and again.
    pub(crate) fn next(&mut self) -> Token {
        self.skip_space();
        let start = self.pos;
        let after_dot = std::mem::replace(&mut self.after_dot, AfterDot::No);
        let after_word = std::mem::replace(&mut self.last_was_word, false);
        let tok = self.scan(after_dot, after_word, start);
        let token = Token {
            tok,
            kw: Kw::None,
            start,
            end: self.pos,
        };
        if tok != Tok::Word {
            return token;
        }
        self.last_was_word = true;
        // `word.name` is a path, even when the word is a keyword.
        let path = self.peek(0) == b'.' && is_word_byte(self.peek(1));
        let kw = if after_dot == AfterDot::No && !path {
            keyword(token.slice(self.text))
        } else {
            Kw::None
        };
        Token { kw, ..token }
    }

    fn scan(&mut self, after_dot: AfterDot, after_word: bool, start: usize) -> Tok {
        if self.pos >= self.text.len() {
            if self.in_code_comment {
                self.guess();
            }
            return Tok::End;
        }
        let byte = self.peek(0);
        match byte {
            b'\'' => self.string(byte),
            b'"' if self.dialect.ansi_quotes => self.quoted_name(byte),
            b'"' => self.string(byte),
            b'`' => self.quoted_name(byte),
            b'0'..=b'9' if after_dot == AfterDot::NameOrDigits => self.word(),
            b'0'..=b'9' => self.number(),
            b'.' if self.peek(1).is_ascii_digit() && !after_word => self.fraction(),
            b'.' => {
                self.pos += 1;
                let next = self.peek(0);
                if is_word_byte(next) {
                    self.after_dot = if after_word && start > 0 {
                        AfterDot::NameOrDigits
                    } else {
                        AfterDot::Name
                    };
                }
                Tok::Punct(byte)
            }
            b'n' | b'N' | b'x' | b'X' | b'b' | b'B'
                if self.peek(1) == b'\'' && after_dot == AfterDot::No =>
            {
                self.pos += 1;
                if matches!(byte, b'n' | b'N') {
                    self.string(b'\'')
                } else {
                    self.digits_string(matches!(byte, b'x' | b'X'))
                }
            }
            b'$' if after_dot == AfterDot::No && self.dialect.server == Server::MySql => {
                self.dollar()
            }
            b'@' => self.at(),
            b':' if self.peek(1) == b'=' => {
                self.pos += 2;
                Tok::Assign
            }
            b';' => {
                self.pos += 1;
                if self.in_code_comment {
                    self.guess();
                }
                Tok::Semi
            }
            b'?' => {
                self.pos += 1;
                if is_word_byte(self.peek(0)) {
                    self.guess();
                }
                Tok::Param
            }
            b'\\' if self.peek(1) == b'N' => {
                self.pos += 2;
                Tok::Number
            }
            _ if is_word_byte(byte) => self.word(),
            _ => {
                self.pos += 1;
                if byte < b' ' || byte == 0x7f || byte == b'\\' {
                    self.guess();
                }
                Tok::Punct(byte)
            }
        }
    }

    /// White space and comments; enters and leaves executable comments.
    fn skip_space(&mut self) {
        loop {
            match self.peek(0) {
                b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r' => self.pos += 1,
                b'#' => self.skip_line(),
                b'-' if self.peek(1) == b'-' && self.dashes_comment() => self.skip_line(),
                b'/' if self.peek(1) == b'*' => self.open_comment(),
                b'*' if self.in_code_comment && self.peek(1) == b'/' => {
                    self.in_code_comment = false;
                    self.pos += 2;
                }
                _ => return,
            }
            // White space and comments part a dot from what follows.
            self.after_dot = AfterDot::No;
            self.last_was_word = false;
        }
    }

    /// `--` begins a comment before white space, a control character or the end.
    fn dashes_comment(&mut self) -> bool {
        let next = self.peek(2);
        if next >= 0x80 && self.dialect.charset == Charset::SingleOrUtf8 {
            self.guess();
        }
        next <= b' ' || next == 0x7f
    }

    /// To the end of the line. A NUL ends a line comment too, and then the statement.
    fn skip_line(&mut self) {
        let line = self.rest();
        let end = line.iter().position(|&byte| byte == b'\n' || byte == 0);
        self.pos += end.unwrap_or(line.len());
    }

    fn open_comment(&mut self) {
        let mariadb = self.dialect.server == Server::MariaDb;
        let own = mariadb && self.peek(2) == b'M' && self.peek(3) == b'!';
        if self.peek(2) == b'!' || own {
            let marker = if own { 4 } else { 3 };
            if mariadb && self.peek(marker) == b'!' {
                // `/*!!` means the reverse from MariaDB 13 on.
                self.guess();
            }
            let (digits, version) = self.comment_version(marker);
            if digits == 0 || self.applies(version, own) {
                if self.in_code_comment {
                    // The first `*/` would end both.
                    self.guess();
                }
                self.in_code_comment = true;
                self.pos += marker + digits;
            } else {
                self.pos += marker;
                self.skip_block(true);
            }
            return;
        }
        let hint = self.peek(2) == b'+';
        let start = self.pos;
        self.pos += 2;
        self.skip_block(false);
        if hint {
            self.check_hint(start);
        }
    }

    /// How many digits after the marker are the version, and the version; (0, 0) without one.
    fn comment_version(&mut self, marker: usize) -> (usize, u32) {
        let count = (0..6)
            .take_while(|&digit| self.peek(marker + digit).is_ascii_digit())
            .count();
        let digits = match (count, self.dialect.server) {
            (0..=4, _) => return (0, 0),
            (6, Server::MariaDb) => 6,
            (6, Server::MySql) => {
                // Six digits count only before white space, and only in later versions.
                let spaced = matches!(self.peek(marker + 6), b' ' | 0x09..=0x0d);
                if spaced && (80_000..80_100).contains(&self.dialect.version) {
                    self.guess();
                }
                if spaced && self.dialect.version >= 80_000 {
                    6
                } else {
                    5
                }
            }
            _ => 5,
        };
        let version = (0..digits).fold(0, |version, digit| {
            version * 10 + u32::from(self.peek(marker + digit) - b'0')
        });
        (digits, version)
    }

    fn applies(&self, version: u32, own: bool) -> bool {
        // MariaDB skips the comments meant for MySQL 5.7 to 9.x.
        let foreign =
            self.dialect.server == Server::MariaDb && !own && (50_700..=99_999).contains(&version);
        version <= self.dialect.version && !foreign
    }

    /// To after `*/`. Only within a versioned comment that does not apply, one level of
    /// comments is recognised.
    fn skip_block(&mut self, nested: bool) {
        let mut depth = 0_u8;
        let bytes = self.rest();
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let next = bytes.get(at + 1).copied().unwrap_or(0);
            match (byte, next) {
                (b'*', b'/') if depth == 0 => {
                    self.pos += at + 2;
                    return;
                }
                (b'*', b'/') => {
                    depth = 0;
                    at += 2;
                }
                (b'/', b'*') if nested && depth == 0 => {
                    depth = 1;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        self.pos = self.text.len();
        self.guess();
    }

    /// The scanner of optimizer hints reads on through a `*/` within quotes: quotes must be of
    /// one kind and in pairs.
    fn check_hint(&mut self, start: usize) {
        let hint = self.text.get(start..self.pos).unwrap_or_default();
        let mut kinds = 0;
        for quote in [b'`', b'"', b'\''] {
            let count = hint.iter().filter(|&&byte| byte == quote).count();
            kinds += usize::from(count > 0);
            if count % 2 == 1 || kinds > 1 {
                self.guess();
            }
        }
    }

    /// A string literal from its opening quote on.
    fn string(&mut self, quote: u8) -> Tok {
        let charset = self.dialect.charset;
        let escapes = !self.dialect.no_backslash_escapes;
        let bytes = self.rest();
        let mut at = 1;
        while let Some(&byte) = bytes.get(at) {
            if byte >= 0x80 {
                let tail = bytes.get(at..).unwrap_or_default();
                at += charset.wide(tail).unwrap_or(1);
            } else if byte == b'\\' && escapes {
                // One byte is skipped, even when it begins a character.
                at += 2;
            } else if byte == quote {
                if bytes.get(at + 1) != Some(&quote) {
                    self.pos += at + 1;
                    return Tok::Str;
                }
                at += 2;
            } else {
                at += 1;
            }
        }
        self.pos = self.text.len();
        self.guess();
        Tok::Str
    }

    /// `x'…'` or `b'…'` from its quote on; anything but its digits is an error to the server.
    fn digits_string(&mut self, hexadecimal: bool) -> Tok {
        let start = self.pos;
        self.string(b'\'');
        let body = self.text.get(start + 1..self.pos.saturating_sub(1));
        let fits = |byte: &u8| {
            if hexadecimal {
                byte.is_ascii_hexdigit()
            } else {
                matches!(byte, b'0' | b'1')
            }
        };
        if !body.unwrap_or_default().iter().all(fits) {
            self.guess();
        }
        Tok::Str
    }

    fn quoted_name(&mut self, quote: u8) -> Tok {
        let charset = self.dialect.charset;
        let bytes = self.rest();
        let mut at = 1;
        while let Some(&byte) = bytes.get(at) {
            if byte >= 0x80 {
                let tail = bytes.get(at..).unwrap_or_default();
                at += charset.wide(tail).unwrap_or(1);
            } else if byte == quote {
                if bytes.get(at + 1) != Some(&quote) {
                    self.pos += at + 1;
                    return Tok::Quoted;
                }
                at += 2;
            } else {
                if byte == 0 {
                    self.guess();
                }
                at += 1;
            }
        }
        self.pos = self.text.len();
        self.guess();
        Tok::Quoted
    }

    /// An unquoted word, from its first byte on.
    fn word(&mut self) -> Tok {
        let start = self.pos;
        let mut ascii = true;
        while is_word_byte(self.peek(0)) {
            if self.peek(0) < 0x80 {
                self.pos += 1;
                continue;
            }
            ascii = false;
            let rest = self.rest();
            match self.dialect.charset {
                Charset::Utf8 | Charset::SingleOrUtf8 => match utf8_length(rest) {
                    Some(length) => self.pos += length,
                    None => {
                        self.guess();
                        self.pos += 1;
                    }
                },
                charset => match charset.wide(rest) {
                    Some(length) => self.pos += length,
                    None => {
                        let katakana = matches!(charset, Charset::Sjis | Charset::Cp932)
                            && matches!(rest.first(), Some(0xa1..=0xdf));
                        if !katakana {
                            self.guess();
                        }
                        self.pos += 1;
                    }
                },
            }
        }
        if !ascii && self.dialect.charset == Charset::SingleOrUtf8 {
            // In single-byte sets these are no-break spaces: a word may begin after them.
            let word = self.text.get(start..self.pos).unwrap_or_default();
            let space = |pair: &[u8]| matches!(pair, [0x9a | 0xa0 | 0xff, next] if *next < 0x80);
            if word.windows(2).any(space) {
                self.guess();
            }
        }
        Tok::Word
    }

    /// A number, or a name that begins with digits (`1st`, `0xyz`).
    fn number(&mut self) -> Tok {
        if self.peek(0) == b'0' && matches!(self.peek(1), b'x' | b'b') {
            let start = self.pos;
            let hexadecimal = self.peek(1) == b'x';
            self.pos += 2;
            while if hexadecimal {
                self.peek(0).is_ascii_hexdigit()
            } else {
                matches!(self.peek(0), b'0' | b'1')
            } {
                self.pos += 1;
            }
            if self.pos > start + 2 && !is_word_byte(self.peek(0)) {
                return Tok::Number;
            }
            return self.word();
        }
        self.skip_digits();
        match self.peek(0) {
            b'.' => self.fraction(),
            b'e' | b'E' if self.exponent() => Tok::Number,
            byte if is_word_byte(byte) => self.word(),
            _ => Tok::Number,
        }
    }

    /// From the `.` of a number on.
    fn fraction(&mut self) -> Tok {
        self.pos += 1;
        self.skip_digits();
        if matches!(self.peek(0), b'e' | b'E') && !self.exponent() {
            // The servers then read byte by byte.
            self.guess();
        }
        Tok::Number
    }

    /// Consumes an exponent; `false`, and nothing consumed, when it has no digits.
    fn exponent(&mut self) -> bool {
        let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
        if !self.peek(1 + sign).is_ascii_digit() {
            return false;
        }
        self.pos += 1 + sign;
        self.skip_digits();
        true
    }

    fn skip_digits(&mut self) {
        while self.peek(0).is_ascii_digit() {
            self.pos += 1;
        }
    }

    /// `@name`, `@@`. White space after `@` makes a variable with an empty name.
    fn at(&mut self) -> Tok {
        self.pos += 1;
        match self.peek(0) {
            b'@' => {
                self.pos += 1;
                return Tok::AtAt;
            }
            quote @ (b'`' | b'"' | b'\'') => {
                if quote == b'\'' || (quote == b'"' && !self.dialect.ansi_quotes) {
                    self.string(quote);
                } else {
                    self.quoted_name(quote);
                }
                return Tok::UserVar;
            }
            _ => {}
        }
        while matches!(self.peek(0), b'.') || is_word_byte(self.peek(0)) {
            if self.peek(0) >= 0x80 {
                self.guess();
            }
            self.pos += 1;
        }
        Tok::UserVar
    }

    /// A word that begins with `$`, or a dollar-quoted text (`$tag$ … $tag$`) of later MySQL
    /// versions: which of them, is a guess.
    fn dollar(&mut self) -> Tok {
        self.guess();
        let rest = self.rest();
        let tag = rest
            .iter()
            .skip(1)
            .take_while(|&&byte| is_word_byte(byte) && byte != b'$');
        let length = tag.count() + 2;
        if rest.get(length - 1) != Some(&b'$') {
            return self.word();
        }
        let (tag, body) = rest.split_at(length);
        let mut at = 0;
        while let Some(offset) = body
            .get(at..)
            .and_then(|tail| tail.iter().position(|&byte| byte == b'$'))
        {
            at += offset;
            if body.get(at..).is_some_and(|tail| tail.starts_with(tag)) {
                self.pos += length + at + length;
                return Tok::Str;
            }
            at += 1;
        }
        self.pos = self.text.len();
        Tok::Str
    }
}

/// Bytes of unquoted names, those of multi-byte characters included.
fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// Length of the valid multi-byte UTF-8 character at the start.
fn utf8_length(bytes: &[u8]) -> Option<usize> {
    let length = match bytes.first()? {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    std::str::from_utf8(bytes.get(..length)?).ok()?;
    Some(length)
}
