//! The statements that the server understands: those of the workload and those that the proxy sends on its own.
//! Anything else is an error that fails the run.

use super::storage::Table;

/// A word of a text.
#[derive(Clone, PartialEq, Debug)]
enum Token {
    Word(String),
    /// `@name` or `` @`name` ``, lower case.
    UserVariable(String),
    /// `@@[SESSION.]name`, lower case.
    SystemVariable(String),
    Number(String),
    Text(String),
    /// `X'…'`.
    Bytes(Vec<u8>),
    Mark(char),
    Parameter,
}

/// An expression.
#[derive(Clone, PartialEq, Debug)]
pub enum Expression {
    /// A literal.
    Value(Value),
    /// `@name`.
    UserVariable(String),
    /// `@@name`.
    SystemVariable(String),
    /// A call, with the function's name in upper case.
    Call(String, Vec<Expression>),
    /// A name alone, such as DEFAULT.
    Name(String),
}

/// A value.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// NULL.
    Null,
    /// A number.
    Int(i64),
    /// Text, or bytes.
    Text(Vec<u8>),
}

impl Value {
    /// As the text protocol shows it.
    pub fn shown(&self) -> Option<Vec<u8>> {
        match self {
            Value::Null => None,
            Value::Int(number) => Some(number.to_string().into_bytes()),
            Value::Text(text) => Some(text.clone()),
        }
    }
}

/// What SET sets.
#[derive(Clone, PartialEq, Debug)]
pub enum Assigned {
    /// `@name`.
    User(String),
    /// A system variable of the session.
    System(String),
}

/// What a SELECT from a table gives.
#[derive(Clone, PartialEq, Debug)]
pub enum Columns {
    /// These columns.
    Named(Vec<String>),
    /// The sum of this one.
    Sum(String),
}

/// A statement.
#[derive(Clone, PartialEq, Debug)]
pub enum Statement {
    /// BEGIN, START TRANSACTION.
    Begin {
        /// READ ONLY.
        read_only: bool,
    },
    /// COMMIT.
    Commit {
        /// AND CHAIN.
        chain: bool,
    },
    /// ROLLBACK.
    Rollback,
    /// SAVEPOINT.
    Savepoint(String),
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo(String),
    /// RELEASE SAVEPOINT.
    ReleaseSavepoint(String),
    /// SET.
    Set {
        /// What, in order.
        list: Vec<(Assigned, Expression)>,
        /// It says SESSION: the proxy does, where it restores a session, and the workload does not.
        session: bool,
    },
    /// SELECT without tables, with the texts of its columns.
    Select(Vec<(String, Expression)>),
    /// `SELECT @a INTO @a`.
    SelectInto(String),
    /// SELECT from a table.
    Find {
        /// From where.
        table: Table,
        /// What.
        columns: Columns,
        /// `WHERE column = value`.
        with: Option<(String, Expression)>,
        /// FOR UPDATE.
        locking: bool,
    },
    /// INSERT of rows with all columns but the key.
    Insert {
        /// Where.
        table: Table,
        /// What.
        rows: Vec<Vec<Expression>>,
    },
    /// UPDATE of one column of one row: adds to it.
    Add {
        /// Where.
        table: Table,
        /// Which column.
        column: String,
        /// How much.
        by: Expression,
        /// The key.
        id: Expression,
    },
    /// DELETE by a column.
    Delete {
        /// Where.
        table: Table,
        /// Which rows.
        with: (String, Expression),
    },
    /// CALL of a procedure of the ledger.
    Call(String, Vec<Expression>),
    /// USE.
    Use(String),
    /// DO.
    Do,
    /// KILL.
    Kill {
        /// Whom.
        id: u32,
        /// Only what it runs.
        query: bool,
    },
    /// Whether a connection of this id and client is there.
    Processlist {
        /// The id.
        id: u32,
        /// Host and port.
        host: Vec<u8>,
    },
    /// SHOW GLOBAL STATUS of these names.
    Status(Vec<String>),
    /// Names of tables without transactions.
    Catalogue,
    /// Whether the account may use the ledger.
    Usable,
    /// The AUTO_INCREMENT column of the table of this name, and when it was made.
    AutoIncrement(String),
}

/// Why a text is not understood.
pub type NotUnderstood = String;

/// Takes a text apart; `?` stand for these values.
///
/// # Errors
/// It is none that is known here.
pub fn parse(text: &str, parameters: &[Value]) -> Result<Statement, NotUnderstood> {
    if text.starts_with("SELECT DISTINCT TABLE_NAME FROM information_schema.TABLES") {
        return Ok(Statement::Catalogue);
    }
    if text.starts_with("SELECT COUNT(*) FROM information_schema.ROUTINES") {
        return Ok(Statement::Usable);
    }
    if text.starts_with("SELECT c.COLUMN_NAME, UNIX_TIMESTAMP(t.CREATE_TIME)") {
        return auto_increment(text).ok_or_else(|| text.to_owned());
    }
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens,
        at: 0,
        parameters: parameters.iter(),
        text,
    };
    let statement = parser.statement()?;
    if parser.at < parser.tokens.len() {
        return Err(format!("'{text}' at word {}", parser.at));
    }
    Ok(statement)
}

/// How many `?` are in a text.
pub fn parameters(text: &str) -> usize {
    text.matches('?').count()
}

fn auto_increment(text: &str) -> Option<Statement> {
    let (_, rest) = text.split_once("t.TABLE_NAME = X'")?;
    let (hex, _) = rest.split_once('\'')?;
    let name = String::from_utf8(unhex(hex)).ok()?;
    Some(Statement::AutoIncrement(name))
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap_or(0) as u8;
    hex.as_bytes()
        .chunks(2)
        .map(|pair| pair.iter().fold(0, |byte, half| byte << 4 | digit(*half)))
        .collect()
}

fn tokens(text: &str) -> Result<Vec<Token>, NotUnderstood> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    let word = |from: usize| {
        let more = bytes[from..]
            .iter()
            .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$'));
        from + more.count()
    };
    let until = |from: usize, end: u8| -> Result<usize, NotUnderstood> {
        let length = bytes[from..].iter().position(|b| *b == end);
        Ok(from + length.ok_or_else(|| format!("'{text}' is cut"))?)
    };
    while let Some(&first) = bytes.get(at) {
        match first {
            b' ' | b'\n' | b'\t' => at += 1,
            b'@' if bytes.get(at + 1) == Some(&b'@') => {
                let mut end = word(at + 2);
                let mut name = &text[at + 2..end];
                if name.eq_ignore_ascii_case("session") || name.eq_ignore_ascii_case("global") {
                    let start = end + 1;
                    end = word(start);
                    name = &text[start..end];
                }
                tokens.push(Token::SystemVariable(name.to_ascii_lowercase()));
                at = end;
            }
            b'@' if bytes.get(at + 1) == Some(&b'`') => {
                let end = until(at + 2, b'`')?;
                tokens.push(Token::UserVariable(text[at + 2..end].to_ascii_lowercase()));
                at = end + 1;
            }
            b'@' => {
                let end = word(at + 1);
                tokens.push(Token::UserVariable(text[at + 1..end].to_ascii_lowercase()));
                at = end;
            }
            b'`' => {
                let end = until(at + 1, b'`')?;
                tokens.push(Token::Word(text[at + 1..end].to_owned()));
                at = end + 1;
            }
            b'\'' => {
                let end = until(at + 1, b'\'')?;
                tokens.push(Token::Text(text[at + 1..end].to_owned()));
                at = end + 1;
            }
            b'X' if bytes.get(at + 1) == Some(&b'\'') => {
                let end = until(at + 2, b'\'')?;
                tokens.push(Token::Bytes(unhex(&text[at + 2..end])));
                at = end + 1;
            }
            b'0'..=b'9' => {
                let digits = bytes[at..]
                    .iter()
                    .take_while(|b| b.is_ascii_digit() || **b == b'.');
                let end = at + digits.count();
                tokens.push(Token::Number(text[at..end].to_owned()));
                at = end;
            }
            b'?' => {
                tokens.push(Token::Parameter);
                at += 1;
            }
            _ if first.is_ascii_alphabetic() || first == b'_' => {
                let end = word(at);
                tokens.push(Token::Word(text[at..end].to_owned()));
                at = end;
            }
            _ => {
                tokens.push(Token::Mark(first as char));
                at += 1;
            }
        }
    }
    Ok(tokens)
}

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    parameters: std::slice::Iter<'a, Value>,
    text: &'a str,
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

    fn statement(&mut self) -> Result<Statement, NotUnderstood> {
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
            self.expression()?;
            return Ok(Statement::Do);
        }
        if self.takes("KILL") {
            let query = self.takes("QUERY");
            self.takes("CONNECTION");
            let id = self.number()?;
            return Ok(Statement::Kill { id, query });
        }
        if self.takes("SHOW") {
            self.needs(&["GLOBAL", "STATUS"])?;
            let names = self.tokens[self.at..]
                .iter()
                .filter_map(|token| match token {
                    Token::Text(name) => Some(name.clone()),
                    _ => None,
                })
                .collect();
            self.at = self.tokens.len();
            return Ok(Statement::Status(names));
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
            .starts_with("SELECT 1 FROM information_schema.PROCESSLIST")
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
        match (numbers.get(1), host) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_what_the_proxy_asks() {
        for text in [
            "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS UNSIGNED)",
            "SELECT @@SESSION.max_allowed_packet, (SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID())",
            "SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = 7 AND HOST = X'3132'",
            "SHOW GLOBAL STATUS LIKE 'Uptime'",
            "SAVEPOINT `steadfast pin`",
            "ROLLBACK TO SAVEPOINT `steadfast pin`",
            "COMMIT AND NO CHAIN NO RELEASE",
            "SET timestamp=1.500000, insert_id=7",
            "SET @`v`=_utf8mb4 X'C3A9' COLLATE utf8mb4_bin",
            "CALL steadfast.commit(18446744073709551615,2,3,4,0)",
            "SELECT COALESCE(LENGTH(@`v`), 0), HEX(@`v`)",
        ] {
            assert!(parse(text, &[]).is_ok(), "{text}: {:?}", parse(text, &[]));
        }
        assert!(parse("SELECT * FROM nowhere", &[]).is_err());
    }

    #[test]
    fn parameters_take_the_place_of_marks() {
        let parsed = parse(
            "UPDATE t_account SET balance = balance + ? WHERE id = ?",
            &[Value::Int(-3), Value::Int(9)],
        );
        assert_eq!(
            parsed,
            Ok(Statement::Add {
                table: Table::Account,
                column: "balance".to_owned(),
                by: Expression::Value(Value::Int(-3)),
                id: Expression::Value(Value::Int(9)),
            })
        );
    }
}
