//! A window of three tokens that moves over one text and notes what every kind of statement
//! can mention: functions, variables, locking clauses.

use crate::functions::call;
use crate::keywords::{Kw, LONGEST, lower};
use crate::lexer::{Lexer, Tok, Token};
use crate::{Dialect, Effects, Server, Uses};

/// The window. The current token has been noted; the next has not.
#[derive(Clone, Debug)]
pub(crate) struct Scan<'a> {
    lexer: Lexer<'a>,
    prev: Token,
    pub(crate) cur: Token,
    pub(crate) next: Token,
    /// Open parentheses, the current token included.
    pub(crate) depth: usize,
    /// Of the current statement, by what it mentions.
    pub(crate) uses: Uses,
    pub(crate) effects: Effects,
    /// ON DUPLICATE KEY was seen in the current statement.
    pub(crate) on_duplicate: bool,
    /// A name before `(` is a table or an alias here, not a function.
    pub(crate) naming: bool,
    /// `@@name` is assigned here, not read.
    pub(crate) target: bool,
    /// INTO must be followed by a user variable or a file.
    pub(crate) query: bool,
    /// After `@@`, until the last part of the name.
    system_variable: bool,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(text: &'a [u8], dialect: Dialect) -> Self {
        let mut lexer = Lexer::new(text, dialect);
        let next = lexer.next();
        Scan {
            lexer,
            prev: Token::NONE,
            cur: Token::NONE,
            next,
            depth: 0,
            uses: Uses::empty(),
            effects: Effects::empty(),
            on_duplicate: false,
            naming: false,
            target: false,
            query: false,
            system_variable: false,
        }
    }

    /// Moves to the first token of the next statement and forgets what was noted.
    pub(crate) fn begin_statement(&mut self) {
        self.depth = 0;
        self.uses = Uses::empty();
        self.effects = Effects::empty();
        self.on_duplicate = false;
        self.naming = false;
        self.target = false;
        self.query = false;
        self.system_variable = false;
        self.bump();
    }

    /// To the first token of the first statement that is not empty.
    pub(crate) fn first_statement(&mut self) {
        self.begin_statement();
        while self.cur.tok == Tok::Semi {
            self.begin_statement();
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.lexer.dialect()
    }

    pub(crate) fn text(&self) -> &'a [u8] {
        self.lexer.text()
    }

    pub(crate) fn mariadb(&self) -> bool {
        self.dialect().server == Server::MariaDb
    }

    pub(crate) fn prev(&self) -> Token {
        self.prev
    }

    /// The bytes of the current token.
    pub(crate) fn slice(&self) -> &'a [u8] {
        self.cur.slice(self.text())
    }

    pub(crate) fn ambiguous(&self) -> bool {
        self.lexer.ambiguous()
    }

    pub(crate) fn at(&self, kw: Kw) -> bool {
        self.cur.is(kw)
    }

    /// Moves past the current token if it is this keyword.
    pub(crate) fn eat(&mut self, kw: Kw) -> bool {
        let there = self.at(kw);
        if there {
            self.bump();
        }
        there
    }

    /// One token on. Stays at the end.
    pub(crate) fn bump(&mut self) {
        self.prev = self.cur;
        self.cur = self.next;
        if self.cur.tok != Tok::End {
            self.next = self.lexer.next();
        }
        self.note();
    }

    /// To the end of the statement.
    pub(crate) fn finish_statement(&mut self) {
        while !self.cur.ends() {
            self.bump();
        }
    }

    /// To the end of the text; whether another statement might have begun on the way.
    pub(crate) fn finish_text(&mut self) -> bool {
        let mut more = false;
        while self.cur.tok != Tok::End {
            more |= self.cur.tok == Tok::Semi && !self.next.ends();
            self.bump();
        }
        more
    }

    /// From a `(` to after its `)`.
    pub(crate) fn skip_parentheses(&mut self) {
        let outside = self.depth.saturating_sub(1);
        while !self.cur.ends() && self.depth > outside {
            self.bump();
        }
        if self.cur.is_punct(b')') {
            self.bump();
        }
    }

    /// Past a name or a path of names (`a.b.c`); the last name.
    pub(crate) fn skip_path(&mut self) -> Option<Token> {
        let mut last = None;
        while self.cur.is_name() {
            last = Some(self.cur);
            self.bump();
            if !self.cur.is_punct(b'.') {
                break;
            }
            self.bump();
        }
        last
    }

    /// Nothing but empty statements follows, and nothing was guessed.
    pub(crate) fn is_over(&mut self) -> bool {
        while self.cur.tok == Tok::Semi {
            self.bump();
        }
        self.cur.tok == Tok::End && !self.ambiguous()
    }

    fn note(&mut self) {
        let token = self.cur;
        match token.tok {
            Tok::Punct(b'(') => {
                self.depth += 1;
                self.note_argument();
            }
            Tok::Punct(b')') => self.depth = self.depth.saturating_sub(1),
            Tok::Word | Tok::Quoted if self.system_variable => self.note_system_variable(),
            Tok::Word | Tok::Quoted => self.note_word(),
            Tok::UserVar if token.is_host(self.prev) => {}
            Tok::UserVar => {
                self.uses |= Uses::USER_VARIABLE;
                if self.prev.is(Kw::Into) || self.next.tok == Tok::Assign {
                    self.uses |= Uses::ASSIGNS_USER_VARIABLE;
                    self.effects |= Effects::SESSION;
                }
            }
            Tok::AtAt => {
                self.system_variable = true;
                if !self.target {
                    self.uses |= Uses::SYSTEM_VARIABLE;
                }
            }
            Tok::Assign if self.prev.tok != Tok::UserVar && !self.target => {
                self.effects |= Effects::UNKNOWN;
            }
            Tok::Param => self.uses |= Uses::PLACEHOLDER,
            _ => {}
        }
    }

    /// LAST_INSERT_ID with an argument sets what it gives.
    fn note_argument(&mut self) {
        let name = bare(self.prev, self.text());
        if self.prev.is_name() && name.eq_ignore_ascii_case(b"last_insert_id") {
            if self.next.is_punct(b')') {
                self.uses |= Uses::ASKS_INSERT_ID;
            } else {
                self.effects |= Effects::SESSION;
            }
        }
    }

    fn note_system_variable(&mut self) {
        if self.next.is_punct(b'.') {
            return;
        }
        self.system_variable = false;
        if self.target {
            return;
        }
        let mut buffer = [0; LONGEST];
        let name = bare(self.cur, self.text());
        self.uses |= match lower(name, &mut buffer).unwrap_or_default() {
            b"last_insert_id" | b"identity" | b"insert_id" if self.target => Uses::LAST_INSERT_ID,
            b"last_insert_id" | b"identity" | b"insert_id" => {
                Uses::LAST_INSERT_ID | Uses::ASKS_INSERT_ID
            }
            b"warning_count" | b"error_count" => Uses::DIAGNOSTICS,
            b"pseudo_thread_id" => Uses::CONNECTION_ID,
            b"timestamp" => Uses::NOW,
            b"rand_seed1" | b"rand_seed2" => Uses::RAND,
            _ => Uses::empty(),
        };
    }

    fn note_word(&mut self) {
        let qualified = self.prev.is_punct(b'.');
        let name = bare(self.cur, self.text());
        if self.next.is_punct(b'(') && !self.naming {
            let (uses, effects) = call(name, self.dialect().server);
            self.uses |= uses;
            self.effects |= effects;
            if qualified {
                self.uses |= Uses::UNKNOWN_FUNCTION;
            }
        }
        match self.cur.kw {
            Kw::None => self.note_name(name, qualified),
            Kw::CurrentDate
            | Kw::CurrentTime
            | Kw::CurrentTimestamp
            | Kw::Localtime
            | Kw::UtcDate
            | Kw::UtcTime
            | Kw::UtcTimestamp => self.uses |= Uses::NOW,
            Kw::Sysdate if self.dialect().oracle => self.uses |= Uses::UUID,
            Kw::SqlCalcFoundRows => self.uses |= Uses::CALC_FOUND_ROWS,
            Kw::Update | Kw::Share if self.prev.is(Kw::For) && !self.target => {
                self.uses |= Uses::LOCKING_READ;
            }
            Kw::Share if self.prev.is(Kw::In) => self.uses |= Uses::LOCKING_READ,
            Kw::Value if self.next.is(Kw::For) => {
                if self.prev.is(Kw::Next) {
                    self.uses |= Uses::SEQUENCE;
                    self.effects |= Effects::ROWS;
                } else if self.prev.is(Kw::Previous) {
                    self.uses |= Uses::SEQUENCE;
                }
            }
            Kw::Into if self.next.is(Kw::Outfile) || self.next.is(Kw::Dumpfile) => {
                self.uses |= Uses::INTO_FILE;
                self.effects |= Effects::FILES;
            }
            Kw::Into if self.query && self.next.tok != Tok::UserVar => {
                self.effects |= Effects::UNKNOWN;
            }
            // PROCEDURE ANALYSE of old versions.
            Kw::Procedure if self.query => self.effects |= Effects::UNKNOWN,
            Kw::Duplicate if self.prev.is(Kw::On) => self.on_duplicate = true,
            Kw::Processlist => self.uses |= Uses::PROCESSLIST,
            _ => {}
        }
    }

    /// Tables and views that show the session or other sessions, and Oracle's sequences.
    fn note_name(&mut self, name: &[u8], qualified: bool) {
        let mut buffer = [0; LONGEST];
        let Some(name) = lower(name, &mut buffer) else {
            return;
        };
        match name {
            b"processlist"
            | b"innodb_trx"
            | b"innodb_locks"
            | b"innodb_lock_waits"
            | b"data_locks"
            | b"data_lock_waits"
            | b"metadata_locks"
            | b"metadata_lock_info"
            | b"session_connect_attrs"
            | b"session_account_connect_attrs"
            | b"x$processlist"
            | b"x$session" => self.uses |= Uses::PROCESSLIST,
            b"threads" | b"session" if qualified => self.uses |= Uses::PROCESSLIST,
            b"global_variables"
            | b"session_variables"
            | b"variables_by_thread"
            | b"variables_info"
            | b"persisted_variables"
            | b"system_variables" => {
                self.uses |= Uses::SYSTEM_VARIABLE;
            }
            b"user_variables" | b"user_variables_by_thread" => {
                self.uses |= Uses::SYSTEM_VARIABLE | Uses::USER_VARIABLE;
            }
            b"session_status" | b"global_status" | b"status_by_thread" | b"profiling" => {
                self.uses |= Uses::STATUS;
            }
            b"nextval" if qualified => {
                self.uses |= Uses::SEQUENCE;
                if self.dialect().oracle {
                    self.effects |= Effects::ROWS;
                }
            }
            b"currval" if qualified => self.uses |= Uses::SEQUENCE,
            _ => {}
        }
    }
}

/// A name's bytes without its quotes; doubled quotes within stay doubled.
pub(crate) fn bare(token: Token, text: &[u8]) -> &[u8] {
    match token.tok {
        Tok::Quoted => text
            .get(token.start + 1..token.end.saturating_sub(1))
            .unwrap_or_default(),
        _ => token.slice(text),
    }
}
