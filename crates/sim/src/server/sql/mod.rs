//! The statements that the server understands: those of the workload and those that the proxy sends on its own.
//! Anything else is an error that fails the run.

mod parser;
mod tokens;

use super::storage::Table;
use parser::Parser;
use tokens::{tokens, unhex};

/// An expression.
#[derive(Clone, PartialEq, Debug)]
pub enum Expression {
    /// A literal.
    Value(Value),
    /// `@name`.
    UserVariable(String),
    /// `@@name`.
    SystemVariable(String),
    /// `@@GLOBAL.name`.
    GlobalVariable(String),
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
    /// SHOW WARNINGS: there are none.
    Warnings,
    /// SHOW GLOBAL STATUS of these names.
    Status(Vec<String>),
    /// SHOW GLOBAL VARIABLES of these names.
    Variables(Vec<String>),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_what_the_proxy_asks() {
        for text in [
            "SELECT CAST(@@timestamp * 1000000 AS UNSIGNED) LIMIT 1",
            "SELECT @@SESSION.max_allowed_packet, (SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID())",
            "SELECT COMMAND FROM information_schema.PROCESSLIST WHERE ID = 7 AND HOST = X'3132'",
            "SHOW GLOBAL STATUS LIKE 'Uptime'",
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('log_bin', 'sync_binlog')",
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
