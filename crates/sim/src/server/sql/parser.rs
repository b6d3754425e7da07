//! Words, put together to statements.

use super::tokens::Token;
use super::{Assigned, Columns, Expression, NotUnderstood, Statement, Value};
use crate::server::storage::Table;

pub(super) struct Parser<'a> {
    pub(super) tokens: Vec<Token>,
    pub(super) at: usize,
    pub(super) parameters: std::slice::Iter<'a, Value>,
    pub(super) text: &'a str,
}

impl Parser<'_> {
    fn wrong<T>(&self) -> Result<T, NotUnderstood> {
        Err(format!("'{}' at word {}", self.text, self.at))
    }

    fn is(&self, word: &str) -> bool {
        matches!(self.tokens.get(self.at), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn takes(&mut self, word: &str) -> bool {
        let is = self.is(word);
        self.at += usize::from(is);
        is
    }

    fn mark(&mut self, mark: char) -> bool {
        let is = self.tokens.get(self.at) == Some(&Token::Mark(mark));
        self.at += usize::from(is);
        is
    }

    fn needs(&mut self, words: &[&str]) -> Result<(), NotUnderstood> {
        for word in words {
            if !self.takes(word) {
                return self.wrong();
            }
        }
        Ok(())
    }

    fn needs_mark(&mut self, mark: char) -> Result<(), NotUnderstood> {
        if self.mark(mark) {
            Ok(())
        } else {
            self.wrong()
        }
    }

    fn name(&mut self) -> Result<String, NotUnderstood> {
        match self.tokens.get(self.at) {
            Some(Token::Word(name)) => {
                self.at += 1;
                Ok(name.clone())
            }
            _ => self.wrong(),
        }
    }

    fn number(&mut self) -> Result<u32, NotUnderstood> {
        match self.tokens.get(self.at) {
            Some(Token::Number(text)) => {
                self.at += 1;
                text.parse().map_err(|_| format!("'{}'", self.text))
            }
            _ => self.wrong(),
        }
    }

    fn table(&mut self) -> Result<Table, NotUnderstood> {
        let name = self.name()?;
        match Table::from_name(&name) {
            Some(table) => Ok(table),
            None => self.wrong(),
        }
    }

    pub(super) fn statement(&mut self) -> Result<Statement, NotUnderstood> {
        if self.takes("BEGIN") {
            return Ok(Statement::Begin { read_only: false });
        }
        if self.takes("START") {
            self.needs(&["TRANSACTION"])?;
            let read_only = self.takes("READ") && {
                self.needs(&["ONLY"])?;
                true
            };
            return Ok(Statement::Begin { read_only });
        }
        if self.takes("COMMIT") {
            let chain = self.ending()?;
            return Ok(Statement::Commit { chain });
        }
        if self.takes("ROLLBACK") {
            if self.takes("TO") {
                self.takes("SAVEPOINT");
                return Ok(Statement::RollbackTo(self.name()?));
            }
            self.ending()?;
            return Ok(Statement::Rollback);
        }
        if self.takes("SAVEPOINT") {
            return Ok(Statement::Savepoint(self.name()?));
        }
        if self.takes("RELEASE") {
            self.needs(&["SAVEPOINT"])?;
            return Ok(Statement::ReleaseSavepoint(self.name()?));
        }
        if self.takes("SET") {
            return self.set();
        }
        if self.takes("SELECT") {
            return self.select();
        }
        if self.takes("INSERT") {
            return self.insert();
        }
        if self.takes("UPDATE") {
            return self.update();
        }
        if self.takes("DELETE") {
            self.needs(&["FROM"])?;
            let table = self.table()?;
            self.needs(&["WHERE"])?;
            let with = self.condition()?;
            return Ok(Statement::Delete { table, with });
        }
        if self.takes("CALL") {
            self.needs(&["steadfast"])?;
            self.needs_mark('.')?;
            let name = self.name()?;
            self.needs_mark('(')?;
            let arguments = self.list()?;
            return Ok(Statement::Call(name, arguments));
        }
        if self.takes("USE") {
            return Ok(Statement::Use(self.name()?));
        }
        if self.takes("DO") {
            if self.mark('(') && self.takes("SELECT") {
                // Nothing that the simulated server keeps depends on it.
                self.at = self.tokens.len();
            } else {
                self.expression()?;
            }
            return Ok(Statement::Do);
        }
        if self.takes("KILL") {
            let query = self.takes("QUERY");
            self.takes("CONNECTION");
            let id = self.number()?;
            return Ok(Statement::Kill { id, query });
        }
        if self.takes("SHOW") {
            if self.takes("WARNINGS") {
                if self.takes("LIMIT") {
                    self.number()?;
                }
                return Ok(Statement::Warnings);
            }
            self.needs(&["GLOBAL"])?;
            let variables = self.takes("VARIABLES");
            if !variables {
                self.needs(&["STATUS"])?;
            }
            let names = self.tokens[self.at..]
                .iter()
                .filter_map(|token| match token {
                    Token::Text(name) => Some(name.clone()),
                    _ => None,
                })
                .collect();
            self.at = self.tokens.len();
            return Ok(if variables {
                Statement::Variables(names)
            } else {
                Statement::Status(names)
            });
        }
        self.wrong()
    }

    /// `[AND [NO] CHAIN] [[NO] RELEASE]`: whether it chains.
    fn ending(&mut self) -> Result<bool, NotUnderstood> {
        let mut chain = false;
        if self.takes("AND") {
            chain = !self.takes("NO");
            self.needs(&["CHAIN"])?;
        }
        if self.takes("NO") {
            self.needs(&["RELEASE"])?;
        }
        Ok(chain)
    }

    fn set(&mut self) -> Result<Statement, NotUnderstood> {
        let mut list = Vec::new();
        let session = self.takes("SESSION");
        loop {
            let assigned = match self.tokens.get(self.at).cloned() {
                Some(Token::UserVariable(name)) => Assigned::User(name),
                Some(Token::SystemVariable(name)) => Assigned::System(name),
                Some(Token::Word(name)) => Assigned::System(name.to_ascii_lowercase()),
                _ => return self.wrong(),
            };
            self.at += 1;
            self.mark(':');
            self.needs_mark('=')?;
            list.push((assigned, self.expression()?));
            if !self.mark(',') {
                return Ok(Statement::Set { list, session });
            }
        }
    }

    fn select(&mut self) -> Result<Statement, NotUnderstood> {
        let start = self.at;
        if let Some(statement) = self.processlist()? {
            return Ok(statement);
        }
        self.at = start;
        let into = self.tokens.get(self.at + 1);
        if let (Some(Token::UserVariable(name)), Some(Token::Word(word))) =
            (self.tokens.get(self.at).cloned(), into)
            && word == "INTO"
        {
            self.at += 3;
            return Ok(Statement::SelectInto(name));
        }
        let is_table = self
            .tokens
            .iter()
            .position(|token| matches!(token, Token::Word(word) if word == "FROM"))
            .and_then(|at| self.tokens.get(at + 1))
            .is_some_and(
                |token| matches!(token, Token::Word(name) if Table::from_name(name).is_some()),
            );
        if is_table {
            return self.find();
        }
        let mut columns = Vec::new();
        loop {
            let from = self.at;
            let expression = self.expression()?;
            columns.push((format!("c{from}"), expression));
            if !self.mark(',') {
                if self.takes("LIMIT") {
                    self.number()?;
                }
                return Ok(Statement::Select(columns));
            }
        }
    }

    fn processlist(&mut self) -> Result<Option<Statement>, NotUnderstood> {
        if !self
            .text
            .starts_with("SELECT COMMAND FROM information_schema.PROCESSLIST")
        {
            return Ok(None);
        }
        let numbers: Vec<u32> = self
            .tokens
            .iter()
            .filter_map(|token| match token {
                Token::Number(text) => text.parse().ok(),
                _ => None,
            })
            .collect();
        let host = self.tokens.iter().find_map(|token| match token {
            Token::Bytes(host) => Some(host.clone()),
            _ => None,
        });
        self.at = self.tokens.len();
        match (numbers.first(), host) {
            (Some(id), Some(host)) => Ok(Some(Statement::Processlist { id: *id, host })),
            _ => self.wrong(),
        }
    }

    fn find(&mut self) -> Result<Statement, NotUnderstood> {
        let columns = if self.takes("SUM") {
            self.needs_mark('(')?;
            let name = self.name()?;
            self.needs_mark(')')?;
            Columns::Sum(name)
        } else {
            let mut names = vec![self.name()?];
            while self.mark(',') {
                names.push(self.name()?);
            }
            Columns::Named(names)
        };
        self.needs(&["FROM"])?;
        let table = self.table()?;
        let with = if self.takes("WHERE") {
            Some(self.condition()?)
        } else {
            None
        };
        let locking = self.takes("FOR");
        if locking {
            self.needs(&["UPDATE"])?;
        }
        Ok(Statement::Find {
            table,
            columns,
            with,
            locking,
        })
    }

    fn condition(&mut self) -> Result<(String, Expression), NotUnderstood> {
        let column = self.name()?;
        self.needs_mark('=')?;
        Ok((column, self.expression()?))
    }

    fn insert(&mut self) -> Result<Statement, NotUnderstood> {
        self.needs(&["INTO"])?;
        let table = self.table()?;
        self.needs_mark('(')?;
        for (index, column) in table.columns().iter().enumerate() {
            if index > 0 {
                self.needs_mark(',')?;
            }
            self.needs(&[column])?;
        }
        self.needs_mark(')')?;
        self.needs(&["VALUES"])?;
        let mut rows = Vec::new();
        loop {
            self.needs_mark('(')?;
            rows.push(self.list()?);
            if !self.mark(',') {
                return Ok(Statement::Insert { table, rows });
            }
        }
    }

    fn update(&mut self) -> Result<Statement, NotUnderstood> {
        let table = self.table()?;
        self.needs(&["SET"])?;
        let column = self.name()?;
        self.needs_mark('=')?;
        self.needs(&[&column])?;
        self.needs_mark('+')?;
        let by = self.expression()?;
        self.needs(&["WHERE", "id"])?;
        self.needs_mark('=')?;
        let id = self.expression()?;
        Ok(Statement::Add {
            table,
            column,
            by,
            id,
        })
    }

    /// Expressions up to the closing bracket.
    fn list(&mut self) -> Result<Vec<Expression>, NotUnderstood> {
        let mut list = Vec::new();
        if self.mark(')') {
            return Ok(list);
        }
        loop {
            list.push(self.expression()?);
            if self.mark(')') {
                return Ok(list);
            }
            self.needs_mark(',')?;
        }
    }

    fn expression(&mut self) -> Result<Expression, NotUnderstood> {
        let Some(token) = self.tokens.get(self.at).cloned() else {
            return self.wrong();
        };
        self.at += 1;
        Ok(match token {
            Token::Number(text) => Expression::Value(number(&text)),
            Token::Text(text) => Expression::Value(Value::Text(text.into_bytes())),
            Token::Bytes(bytes) => Expression::Value(Value::Text(bytes)),
            Token::Parameter => match self.parameters.next() {
                Some(value) => Expression::Value(value.clone()),
                // Being prepared: any value will do.
                None => Expression::Value(Value::Int(0)),
            },
            Token::UserVariable(name) => Expression::UserVariable(name),
            Token::SystemVariable(name) => Expression::SystemVariable(name),
            Token::GlobalVariable(name) => Expression::GlobalVariable(name),
            Token::Mark('-') => match self.expression()? {
                Expression::Value(Value::Int(number)) => Expression::Value(Value::Int(-number)),
                _ => return self.wrong(),
            },
            Token::Mark('(') => {
                // The one subquery that the proxy asks: its own host.
                while self.at < self.tokens.len() && self.tokens[self.at] != Token::Mark(')') {
                    let nested = self.tokens[self.at] == Token::Mark('(');
                    self.at += 1 + usize::from(nested);
                }
                self.needs_mark(')')?;
                Expression::Call("HOST".to_owned(), Vec::new())
            }
            Token::Word(name) if name.eq_ignore_ascii_case("CAST") => self.cast()?,
            Token::Word(name) if name.eq_ignore_ascii_case("NULL") => {
                Expression::Value(Value::Null)
            }
            Token::Word(name) => {
                if self.mark('(') {
                    let arguments = self.list()?;
                    Expression::Call(name.to_ascii_uppercase(), arguments)
                } else if name.starts_with('_') {
                    // A character set before a literal.
                    let literal = self.expression()?;
                    if self.takes("COLLATE") {
                        self.name()?;
                    }
                    literal
                } else {
                    Expression::Name(name)
                }
            }
            Token::Mark(_) => return self.wrong(),
        })
    }

    /// `CAST(x AS UNSIGNED)`, also of the clock in microseconds.
    fn cast(&mut self) -> Result<Expression, NotUnderstood> {
        self.needs_mark('(')?;
        let mut inner = self.expression()?;
        if self.mark('*') {
            self.expression()?;
            inner = Expression::Call("CLOCK".to_owned(), Vec::new());
        }
        self.needs(&["AS", "UNSIGNED"])?;
        self.needs_mark(')')?;
        Ok(inner)
    }
}

fn number(text: &str) -> Value {
    // Unsigned numbers of 64 bits keep their bits.
    match text.parse::<i64>() {
        Ok(number) => Value::Int(number),
        Err(_) => match text.parse::<u64>() {
            Ok(number) => Value::Int(number.cast_signed()),
            Err(_) => Value::Text(text.as_bytes().to_vec()),
        },
    }
}
