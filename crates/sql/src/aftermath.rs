//! Questions about the statement before, rewritten so that they carry their answers.
//!
//! Where something else has run on the connection since, ROW_COUNT() and the diagnostics area are that one's. What is
//! known of the client's own statement is put into the text of the question: ROW_COUNT() becomes an expression of the
//! same type, nullability and length, an unnamed column keeps its name, GET DIAGNOSTICS becomes SET (compared on
//! MariaDB 10.11.19 and MySQL 9.7.4, text and binary protocol).

use crate::Dialect;
use crate::keywords::Kw;
use crate::lexer::{Lexer, Tok, Token};

/// Longest name of a column that is made from its expression: servers cut longer ones, and refuse longer aliases.
const LONGEST_NAME: usize = 64;

/// A condition of the diagnostics area, as SHOW WARNINGS tells it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Condition {
    /// Note, Warning or Error.
    pub level: Vec<u8>,
    /// The error code.
    pub code: u16,
    /// The SQLSTATE, where it is known: SHOW WARNINGS does not tell it.
    pub sqlstate: Option<[u8; 5]>,
    /// The message, in the character set of results.
    pub message: Vec<u8>,
}

impl Condition {
    /// Whether SHOW ERRORS has it.
    pub fn is_error(&self) -> bool {
        self.level.eq_ignore_ascii_case(b"error")
    }
}

/// The diagnostics area that a statement has left.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Conditions {
    /// In order; as many as `max_error_count` lets the server keep.
    pub list: Vec<Condition>,
    /// How many there were (`@@warning_count`).
    pub count: u64,
}

impl Conditions {
    /// `@@error_count`.
    pub fn errors(&self) -> u64 {
        self.list.iter().filter(|one| one.is_error()).count() as u64
    }
}

/// What is known of the statement before, where the server would tell something else.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Answers<'a> {
    /// ROW_COUNT().
    pub row_count: Option<i64>,
    /// The diagnostics area.
    pub conditions: Option<&'a Conditions>,
}

/// A question with its answers in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answered {
    /// The text to send instead; `None`: as it was.
    pub text: Option<Vec<u8>>,
    /// Nothing is left in it that asks for what the server does not know any more.
    pub complete: bool,
}

/// Which conditions a SHOW WARNINGS or SHOW ERRORS tells.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ShowConditions {
    /// SHOW ERRORS.
    pub errors_only: bool,
    /// How many to skip.
    pub offset: u64,
    /// How many at most.
    pub limit: u64,
}

impl ShowConditions {
    /// Those of `list` that it tells.
    pub fn of(self, list: &[Condition]) -> impl Iterator<Item = &Condition> {
        let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        list.iter()
            .filter(move |one| !self.errors_only || one.is_error())
            .skip(whole(self.offset))
            .take(whole(self.limit))
    }
}

/// Takes a text apart that is one SHOW WARNINGS or SHOW ERRORS and nothing else; not SHOW COUNT(*), which [`answer`]
/// rewrites.
#[must_use]
pub fn show_conditions(text: &[u8], dialect: Dialect) -> Option<ShowConditions> {
    let tokens = tokens(text, dialect)?;
    let mut statements = tokens.split(|token| token.tok == Tok::Semi);
    let statement = statements.find(|tokens| !tokens.is_empty())?;
    if statements.any(|tokens| !tokens.is_empty()) {
        return None;
    }
    let (show, rest) = statement.split_first()?;
    let (what, rest) = rest.split_first()?;
    if !show.is(Kw::Show) || !(what.is(Kw::Warnings) || what.is(Kw::Errors)) {
        return None;
    }
    let (offset, limit) = match rest {
        [] => (0, u64::MAX),
        [word, limit] if word.is(Kw::Limit) => (0, number(*limit, text)?),
        [word, first, between, second] if word.is(Kw::Limit) => {
            let (first, second) = (number(*first, text)?, number(*second, text)?);
            if between.is(Kw::Offset) {
                (second, first)
            } else if between.is_punct(b',') {
                (first, second)
            } else {
                return None;
            }
        }
        _ => return None,
    };
    Some(ShowConditions {
        errors_only: what.is(Kw::Errors),
        offset,
        limit,
    })
}

/// Puts the answers into a question. Of several statements only those before which nothing has replaced what is asked
/// for: those behind GET DIAGNOSTICS.
#[must_use]
pub fn answer(text: &[u8], dialect: Dialect, answers: Answers<'_>) -> Answered {
    let unanswered = Answered {
        text: None,
        complete: false,
    };
    let Some(tokens) = tokens(text, dialect) else {
        return unanswered;
    };
    let mut writer = Writer {
        text,
        answers,
        edits: Vec::new(),
        complete: true,
    };
    for statement in tokens.split(|token| token.tok == Tok::Semi) {
        if statement.is_empty() {
            continue;
        }
        if statement.first().is_some_and(|token| token.is(Kw::Get)) {
            writer.get_diagnostics(statement);
        } else {
            writer.statement(statement);
            break;
        }
    }
    writer.finish()
}

/// Whether a statement mentions a table by its text: MariaDB then forgets the conditions of the statement before
/// (`mysql_execute_command`, 10.11). Tables behind stored functions do not count.
#[must_use]
pub fn mentions_tables(text: &[u8], dialect: Dialect) -> bool {
    let Some(tokens) = tokens(text, dialect) else {
        return true;
    };
    // The function that each open parenthesis belongs to.
    let mut open: Vec<Option<Token>> = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| tokens.get(before));
        let after = tokens.get(index + 1);
        match token.tok {
            Tok::Punct(b'(') => open.push(before.copied()),
            Tok::Punct(b')') => {
                open.pop();
            }
            _ => {}
        }
        let function = open.last().copied().flatten();
        let separates = function.is_some_and(|function| {
            let name = function.slice(text);
            [
                &b"extract"[..],
                b"trim",
                b"substr",
                b"substring",
                b"mid",
                b"trim_oracle",
            ]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
        });
        let mentions = match token.kw {
            Kw::From => !separates && !after.is_some_and(|token| token.is(Kw::Dual)),
            Kw::Table | Kw::Tables | Kw::Sequence => true,
            Kw::For => before.is_some_and(|token| token.is(Kw::Value)),
            _ => [&b"nextval"[..], b"lastval", b"setval"]
                .iter()
                .any(|name| token.slice(text).eq_ignore_ascii_case(name)),
        };
        if mentions {
            return true;
        }
    }
    false
}

/// The text's tokens; `None` if the server may cut it otherwise.
fn tokens(text: &[u8], dialect: Dialect) -> Option<Vec<Token>> {
    let mut lexer = Lexer::new(text, dialect);
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next();
        if token.tok == Tok::End {
            return (!lexer.ambiguous()).then_some(tokens);
        }
        tokens.push(token);
    }
}

fn number(token: Token, text: &[u8]) -> Option<u64> {
    let digits = token.slice(text);
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Bytes of the text and what comes in their place.
struct Edit {
    start: usize,
    end: usize,
    with: Vec<u8>,
}

struct Writer<'a> {
    text: &'a [u8],
    answers: Answers<'a>,
    edits: Vec<Edit>,
    complete: bool,
}

impl Writer<'_> {
    fn finish(mut self) -> Answered {
        if self.edits.is_empty() {
            return Answered {
                text: None,
                complete: self.complete,
            };
        }
        self.edits.sort_by_key(|edit| (edit.start, edit.end));
        let mut out = Vec::with_capacity(self.text.len() + 64 * self.edits.len());
        let mut at = 0;
        for edit in &self.edits {
            out.extend_from_slice(self.text.get(at..edit.start).unwrap_or_default());
            out.extend_from_slice(&edit.with);
            at = edit.end;
        }
        out.extend_from_slice(self.text.get(at..).unwrap_or_default());
        Answered {
            text: Some(out),
            complete: self.complete,
        }
    }

    fn replace(&mut self, first: Token, last: Token, with: String) {
        self.edits.push(Edit {
            start: first.start,
            end: last.end,
            with: with.into_bytes(),
        });
    }

    fn word_is(&self, token: Option<&Token>, word: &[u8]) -> bool {
        token.is_some_and(|token| {
            token.tok == Tok::Word && token.slice(self.text).eq_ignore_ascii_case(word)
        })
    }

    fn statement(&mut self, tokens: &[Token]) {
        if self.show_count(tokens) {
            return;
        }
        let edits = self.edits.len();
        for index in 0..tokens.len() {
            self.row_count(tokens, index);
            self.counter(tokens, index);
        }
        if self.edits.len() == edits {
            return;
        }
        for (index, token) in tokens.iter().enumerate() {
            if token.is(Kw::Select) {
                self.name_items(tokens.get(index + 1..).unwrap_or_default());
            }
        }
    }

    /// `ROW_COUNT()`.
    fn row_count(&mut self, tokens: &[Token], index: usize) {
        let Some(
            [
                name,
                Token {
                    tok: Tok::Punct(b'('),
                    ..
                },
                close @ Token {
                    tok: Tok::Punct(b')'),
                    ..
                },
            ],
        ) = tokens.get(index..index + 3)
        else {
            return;
        };
        let qualified = index
            .checked_sub(1)
            .and_then(|before| tokens.get(before))
            .is_some_and(|token| token.is_punct(b'.'));
        if qualified || !self.word_is(Some(name), b"row_count") {
            return;
        }
        if let Some(count) = self.answers.row_count {
            let was =
                String::from_utf8_lossy(self.text.get(name.start..close.end).unwrap_or_default())
                    .into_owned();
            self.replace(*name, *close, format!("IF(1,{count},{was})"));
        }
    }

    /// `@@warning_count`, `@@session.error_count`.
    fn counter(&mut self, tokens: &[Token], index: usize) {
        let (Some(at), Some(conditions)) = (tokens.get(index), self.answers.conditions) else {
            return;
        };
        if at.tok != Tok::AtAt {
            return;
        }
        let mut last = index + 1;
        let scope = tokens.get(last);
        if tokens
            .get(last + 1)
            .is_some_and(|token| token.is_punct(b'.'))
            && (self.word_is(scope, b"session") || self.word_is(scope, b"local"))
        {
            last += 2;
        }
        let name = tokens.get(last);
        let count = if self.word_is(name, b"warning_count") {
            conditions.count
        } else if self.word_is(name, b"error_count") {
            conditions.errors()
        } else {
            return;
        };
        let Some(name) = name else { return };
        let was = String::from_utf8_lossy(self.text.get(at.start..name.end).unwrap_or_default())
            .into_owned();
        self.replace(*at, *name, format!("IF(1,CAST({count} AS UNSIGNED),{was})"));
    }

    /// `SHOW COUNT(*) WARNINGS`, which is a SELECT of the variable to the servers too.
    fn show_count(&mut self, tokens: &[Token]) -> bool {
        let [show, count, open, star, close, what] = tokens else {
            return false;
        };
        let shape = show.is(Kw::Show)
            && count.is(Kw::Count)
            && open.is_punct(b'(')
            && star.is_punct(b'*')
            && close.is_punct(b')');
        let Some(conditions) = self.answers.conditions.filter(|_| shape) else {
            return false;
        };
        let (name, count) = match what.kw {
            Kw::Warnings => ("@@session.warning_count", conditions.count),
            Kw::Errors => ("@@session.error_count", conditions.errors()),
            _ => return false,
        };
        let text = format!("SELECT IF(1,CAST({count} AS UNSIGNED),{name}) AS `{name}`");
        self.replace(*show, *what, text);
        true
    }

    /// Gives the items of a select list that have no name of their own, and have been changed, the name that the
    /// server makes of their text.
    fn name_items(&mut self, tokens: &[Token]) {
        let mut depth = 0_usize;
        let mut begun = false;
        let mut first = 0;
        for index in 0..=tokens.len() {
            let token = tokens.get(index);
            let ends = match token {
                None => true,
                Some(token) => match token.tok {
                    Tok::Punct(b'(') => {
                        depth += 1;
                        false
                    }
                    Tok::Punct(b')') if depth == 0 => true,
                    Tok::Punct(b')') => {
                        depth -= 1;
                        false
                    }
                    Tok::Punct(b',') => depth == 0,
                    Tok::Word => depth == 0 && ends_select_list(token.kw),
                    _ => false,
                },
            };
            if !begun && token.is_some_and(|token| is_select_option(token.slice(self.text))) {
                first = index + 1;
                continue;
            }
            begun = true;
            if !ends {
                continue;
            }
            self.name_item(tokens.get(first..index).unwrap_or_default());
            if !token.is_some_and(|token| token.is_punct(b',')) {
                return;
            }
            first = index + 1;
        }
    }

    fn name_item(&mut self, item: &[Token]) {
        let (Some(first), Some(last)) = (item.first(), item.last()) else {
            return;
        };
        let changed = self
            .edits
            .iter()
            .any(|edit| edit.start >= first.start && edit.end <= last.end && edit.end > edit.start);
        if !changed || has_alias(item) {
            return;
        }
        let name = self.text.get(first.start..last.end).unwrap_or_default();
        // In some character sets the second byte of a character may be a backtick.
        if name.len() > LONGEST_NAME || !name.is_ascii() {
            return;
        }
        let mut alias = b" AS `".to_vec();
        for &byte in name {
            alias.push(byte);
            if byte == b'`' {
                alias.push(byte);
            }
        }
        alias.push(b'`');
        self.edits.push(Edit {
            start: last.end,
            end: last.end,
            with: alias,
        });
    }

    /// GET DIAGNOSTICS as SET.
    fn get_diagnostics(&mut self, tokens: &[Token]) {
        if self.names_missing_condition(tokens) {
            // The server tells the same error.
            return;
        }
        match self.assignments(tokens) {
            Some(text) => {
                if let (Some(first), Some(last)) = (tokens.first(), tokens.last()) {
                    self.replace(*first, *last, text);
                }
            }
            None => self.complete = false,
        }
    }

    fn names_missing_condition(&self, tokens: &[Token]) -> bool {
        let Some(conditions) = self.answers.conditions else {
            return false;
        };
        let word = tokens
            .iter()
            .position(|token| self.word_is(Some(token), b"condition"));
        let place = word.and_then(|index| number(*tokens.get(index + 1)?, self.text));
        place.is_some_and(|place| place == 0 || place > conditions.list.len() as u64)
    }

    fn assignments(&self, tokens: &[Token]) -> Option<String> {
        let mut rest = tokens.get(1..)?;
        if rest.first()?.is(Kw::Current) {
            rest = rest.get(1..)?;
        }
        if !rest.first()?.is(Kw::Diagnostics) {
            return None;
        }
        rest = rest.get(1..)?;
        let mut condition = None;
        if self.word_is(rest.first(), b"condition") {
            let place = number(*rest.get(1)?, self.text)?;
            let place = usize::try_from(place).ok()?.checked_sub(1)?;
            condition = Some(self.answers.conditions?.list.get(place)?);
            rest = rest.get(2..)?;
        }
        let mut list = Vec::new();
        for assignment in rest.split(|token| token.is_punct(b',')) {
            let [target, equals, item] = assignment else {
                return None;
            };
            if target.tok != Tok::UserVar || !equals.is_punct(b'=') {
                return None;
            }
            let target = std::str::from_utf8(target.slice(self.text)).ok()?;
            let item = item.slice(self.text).to_ascii_uppercase();
            let value = match condition {
                None => self.statement_item(&item)?,
                Some(condition) => self.condition_item(&item, condition)?,
            };
            list.push(format!("{target}={value}"));
        }
        Some(format!("SET {}", list.join(",")))
    }

    fn statement_item(&self, item: &[u8]) -> Option<String> {
        match item {
            b"NUMBER" => {
                let number = self.answers.conditions?.list.len();
                Some(format!("CAST({number} AS UNSIGNED)"))
            }
            b"ROW_COUNT" => self.answers.row_count.map(|count| count.to_string()),
            _ => None,
        }
    }

    fn condition_item(&self, item: &[u8], condition: &Condition) -> Option<String> {
        // In the character set of the servers' own items: of what VERSION() gives and a literal, it is the former's.
        // MySQL warns of its name.
        let text = |bytes: &[u8]| {
            let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            bytes
                .is_ascii()
                .then(|| format!("CONCAT(LEFT(VERSION(),0),_utf8mb4 X'{hexadecimal}')"))
        };
        match item {
            b"MYSQL_ERRNO" => Some(format!("CAST({} AS UNSIGNED)", condition.code)),
            b"MESSAGE_TEXT" => text(&condition.message),
            b"RETURNED_SQLSTATE" => text(&condition.sqlstate?),
            b"CONSTRAINT_CATALOG"
            | b"CONSTRAINT_SCHEMA"
            | b"CONSTRAINT_NAME"
            | b"CATALOG_NAME"
            | b"SCHEMA_NAME"
            | b"TABLE_NAME"
            | b"COLUMN_NAME"
            | b"CURSOR_NAME" => text(b""),
            _ => None,
        }
    }
}

fn is_select_option(word: &[u8]) -> bool {
    [
        &b"all"[..],
        b"distinct",
        b"distinctrow",
        b"high_priority",
        b"straight_join",
        b"sql_small_result",
        b"sql_big_result",
        b"sql_buffer_result",
        b"sql_cache",
        b"sql_no_cache",
        b"sql_calc_found_rows",
    ]
    .iter()
    .any(|option| word.eq_ignore_ascii_case(option))
}

fn ends_select_list(kw: Kw) -> bool {
    matches!(
        kw,
        Kw::From
            | Kw::Into
            | Kw::Where
            | Kw::Group
            | Kw::Having
            | Kw::Window
            | Kw::Order
            | Kw::Limit
            | Kw::Offset
            | Kw::Fetch
            | Kw::Procedure
            | Kw::For
            | Kw::Lock
            | Kw::Union
            | Kw::Except
            | Kw::Intersect
            | Kw::On
    )
}

/// Whether a select item has a name of its own. A last word that may belong to the expression counts as one: the
/// column is then called otherwise, and its value is right.
fn has_alias(item: &[Token]) -> bool {
    let mut depth = 0_usize;
    for token in item {
        match token.tok {
            Tok::Punct(b'(') => depth += 1,
            Tok::Punct(b')') => depth = depth.saturating_sub(1),
            _ if depth == 0 && token.is(Kw::As) => return true,
            _ => {}
        }
    }
    let [.., before, last] = item else {
        return false;
    };
    let after_operand = matches!(
        before.tok,
        Tok::Punct(b')') | Tok::Number | Tok::Word | Tok::Quoted | Tok::Str | Tok::UserVar
    );
    after_operand
        && match last.tok {
            Tok::Word => !matches!(last.kw, Kw::End | Kw::Null | Kw::True | Kw::False),
            Tok::Quoted | Tok::Str => true,
            _ => false,
        }
}

#[cfg(test)]
mod tests;
