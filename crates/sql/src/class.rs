//! The class of a statement: what it is, what it may change, what it reads from its session.

use bitflags::bitflags;

bitflags! {
    /// What a statement may change by its own text. Empty: nothing.
    ///
    /// A view, a trigger or a stored function behind a name may still write: the text does
    /// not show it. [`Uses::UNKNOWN_FUNCTION`] tells whether a function is called that is
    /// not one of the server's own. Row locks of a locking read are [`Uses::LOCKING_READ`],
    /// not an effect. DDL on a name that a temporary table hides shows as `SCHEMA` only.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
    pub struct Effects: u16 {
        /// Rows of tables, or the value of a sequence.
        const ROWS = 1;
        /// Definitions of tables, views, stored programs, databases; TRUNCATE.
        const SCHEMA = 1 << 1;
        /// The session: variables, the default database, roles, prepared statements.
        const SESSION = 1 << 2;
        /// The state of the transaction, in any spelling.
        const TRANSACTION = 1 << 3;
        /// Locks that outlive a transaction: GET_LOCK, LOCK TABLES, FLUSH … WITH READ LOCK,
        /// LOCK INSTANCE, BACKUP STAGE.
        const LOCKS = 1 << 4;
        /// Temporary tables, named as such in the text.
        const TEMP_TABLES = 1 << 5;
        /// Files on the server's host are written.
        const FILES = 1 << 6;
        /// The whole server: accounts, KILL, SET GLOBAL, replication, FLUSH, SHUTDOWN.
        const ADMIN = 1 << 7;
        /// Not recognised, or its text is elsewhere (CALL, EXECUTE): anything.
        const UNKNOWN = 1 << 8;
    }
}

bitflags! {
    /// What a statement mentions that makes its result or its replay depend on the session,
    /// the moment or chance.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
    pub struct Uses: u32 {
        /// The statement's time, which `SET timestamp` pins: NOW(), CURRENT_TIMESTAMP, CURDATE,
        /// UTC_TIME, UNIX_TIMESTAMP(), …
        const NOW = 1;
        /// RAND().
        const RAND = 1 << 1;
        /// A value that nothing pins: UUID(), UUID_SHORT(), SYSDATE(), RANDOM_BYTES(), …
        const UUID = 1 << 2;
        /// LAST_INSERT_ID(), `@@last_insert_id`, `@@identity`. With an argument the function
        /// also sets it: then [`Effects::SESSION`] is present.
        const LAST_INSERT_ID = 1 << 3;
        /// ROW_COUNT().
        const ROW_COUNT = 1 << 4;
        /// FOUND_ROWS().
        const FOUND_ROWS = 1 << 5;
        /// SQL_CALC_FOUND_ROWS.
        const CALC_FOUND_ROWS = 1 << 6;
        /// SHOW WARNINGS, SHOW ERRORS, GET DIAGNOSTICS, `@@warning_count`, `@@error_count`.
        const DIAGNOSTICS = 1 << 7;
        /// CONNECTION_ID(), `@@pseudo_thread_id`.
        const CONNECTION_ID = 1 << 8;
        /// A user variable is mentioned.
        const USER_VARIABLE = 1 << 9;
        /// A user variable may be assigned: SET @x, `@x :=`, INTO @x; CALL and EXECUTE always.
        const ASSIGNS_USER_VARIABLE = 1 << 10;
        /// A system variable may be seen: `@@x`, SHOW VARIABLES, the tables that list variables.
        const SYSTEM_VARIABLE = 1 << 11;
        /// GET_LOCK, RELEASE_LOCK, RELEASE_ALL_LOCKS, IS_FREE_LOCK, IS_USED_LOCK,
        /// MySQL's locking service.
        const USER_LOCK = 1 << 12;
        /// SLEEP, BENCHMARK, or a wait for replication.
        const SLEEP = 1 << 13;
        /// FOR UPDATE, FOR SHARE, LOCK IN SHARE MODE.
        const LOCKING_READ = 1 << 14;
        /// NEXTVAL, SETVAL, LASTVAL, NEXT VALUE FOR, PREVIOUS VALUE FOR.
        const SEQUENCE = 1 << 15;
        /// SELECT … INTO OUTFILE or DUMPFILE.
        const INTO_FILE = 1 << 16;
        /// LOAD DATA LOCAL, LOAD XML LOCAL: the client is asked for a file.
        const LOCAL_INFILE = 1 << 17;
        /// The process list, or a status that shows other or hidden connections.
        const PROCESSLIST = 1 << 18;
        /// A writing statement with RETURNING (MariaDB).
        const RETURNING = 1 << 19;
        /// A function is called that is not one of the server's own by its name:
        /// stored or loadable, it may do anything.
        const UNKNOWN_FUNCTION = 1 << 20;
        /// The text has a `?` outside of literals: a placeholder of a prepared statement.
        const PLACEHOLDER = 1 << 21;
        /// SHOW STATUS, SHOW PROFILE, the tables of status counters: what a session has done,
        /// hidden statements included.
        const STATUS = 1 << 22;
        /// LAST_INSERT_ID() without an argument, `@@last_insert_id` or `@@identity` is asked for: the
        /// statement depends on what it was.
        const ASKS_INSERT_ID = 1 << 23;
    }
}

/// What a statement is, by its leading words.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Kind {
    /// No statement at all: white space and comments.
    Empty,
    /// SELECT, TABLE, VALUES, a parenthesised query, WITH … SELECT.
    Select,
    /// SHOW of anything.
    Show,
    /// EXPLAIN or DESCRIBE of a statement; ANALYZE of a statement (MariaDB), which runs it.
    Explain,
    /// DESCRIBE or EXPLAIN of a table.
    Describe,
    /// USE.
    Use,
    /// SET of variables, NAMES, CHARACTER SET; SET SESSION TRANSACTION. `SET STATEMENT … FOR x`
    /// has the kind of x.
    Set,
    /// SET TRANSACTION without a scope: for the next transaction only.
    SetTransaction,
    /// INSERT.
    Insert,
    /// REPLACE.
    Replace,
    /// UPDATE, also behind WITH.
    Update,
    /// DELETE, also behind WITH.
    Delete,
    /// LOAD DATA, LOAD XML.
    LoadData,
    /// CALL.
    Call,
    /// DO.
    Do,
    /// HANDLER.
    Handler,
    /// CREATE, ALTER, DROP, RENAME, TRUNCATE of anything but accounts.
    Ddl,
    /// BEGIN, START TRANSACTION.
    Begin,
    /// COMMIT.
    Commit,
    /// ROLLBACK without TO.
    Rollback,
    /// SAVEPOINT.
    Savepoint,
    /// ROLLBACK TO.
    RollbackTo,
    /// RELEASE SAVEPOINT.
    ReleaseSavepoint,
    /// XA.
    Xa,
    /// LOCK TABLES.
    LockTables,
    /// UNLOCK TABLES.
    UnlockTables,
    /// PREPARE.
    Prepare,
    /// EXECUTE, EXECUTE IMMEDIATE.
    Execute,
    /// DEALLOCATE PREPARE, DROP PREPARE.
    Deallocate,
    /// KILL.
    Kill,
    /// SET ROLE.
    SetRole,
    /// SET PASSWORD.
    SetPassword,
    /// GRANT, REVOKE, CREATE/ALTER/DROP/RENAME USER or ROLE, SET DEFAULT ROLE.
    Account,
    /// FLUSH, ANALYZE TABLE, OPTIMIZE, replication, plugins, SHUTDOWN and the like.
    Admin,
    /// GET DIAGNOSTICS.
    GetDiagnostics,
    /// HELP.
    Help,
    /// Anything else.
    Unknown,
}

/// A choice that a statement leaves to the server when it does not make it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub enum Tri {
    /// Not said: `completion_type` decides.
    #[default]
    Unset,
    /// Said: yes.
    Yes,
    /// Said: NO.
    No,
}

/// What a statement does to the transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Control {
    /// Nothing by its text.
    None,
    /// BEGIN or START TRANSACTION: commits an open transaction, then begins one.
    Begin {
        /// READ ONLY, READ WRITE, or not said.
        read_only: Option<bool>,
        /// WITH CONSISTENT SNAPSHOT.
        snapshot: bool,
    },
    /// COMMIT.
    Commit {
        /// AND [NO] CHAIN.
        chain: Tri,
        /// [NO] RELEASE: the server closes the connection after it.
        release: Tri,
    },
    /// ROLLBACK.
    Rollback {
        /// AND [NO] CHAIN.
        chain: Tri,
        /// [NO] RELEASE: the server closes the connection after it.
        release: Tri,
    },
    /// SAVEPOINT name.
    Savepoint,
    /// ROLLBACK TO name.
    RollbackTo,
    /// RELEASE SAVEPOINT name.
    ReleaseSavepoint,
    /// SET autocommit of the session; `None` when the value is not a plain on or off.
    /// Setting it on commits an open transaction when it was off.
    SetAutocommit(Option<bool>),
    /// The manual lists the statement as one that commits an open transaction
    /// (`UNLOCK TABLES` does so only when tables are locked).
    ImplicitCommit,
    /// Any XA statement.
    Xa,
    /// SET TRANSACTION without scope, or `SET @@transaction_isolation`: consumed by the next
    /// transaction.
    OneShot,
    /// It may control transactions in a way that the text does not tell.
    Unknown,
}

/// Where the rows of an INSERT or REPLACE come from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub enum InsertRows {
    /// Not an INSERT or REPLACE, or a shape that is not recognised.
    #[default]
    NotInsert,
    /// One row: VALUES with one list, or SET.
    SingleRow,
    /// VALUES with two or more lists.
    MultiRow,
    /// A query.
    Select,
}

/// The shape of an INSERT or REPLACE: how many ids it may draw.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct InsertShape {
    /// Where the rows come from.
    pub rows: InsertRows,
    /// ON DUPLICATE KEY UPDATE.
    pub on_duplicate: bool,
    /// INSERT IGNORE.
    pub ignore: bool,
}

/// The class of a text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Class {
    /// Of the first statement.
    pub kind: Kind,
    /// Of the first statement; [`Control::Unknown`] when a later one controls transactions.
    pub control: Control,
    /// Of all statements together.
    pub effects: Effects,
    /// Of all statements together.
    pub uses: Uses,
    /// Statements in the text that are not empty, at most 255. A trailing `;` adds none; the
    /// body of a stored program is part of its statement. More than one needs the client's
    /// CLIENT_MULTI_STATEMENTS, else the server answers with a syntax error.
    pub statements: u8,
    /// Of the first statement.
    pub insert: InsertShape,
}

impl Class {
    /// The class of what cannot be understood.
    pub const UNKNOWN: Class = Class {
        kind: Kind::Unknown,
        control: Control::Unknown,
        effects: Effects::UNKNOWN,
        uses: Uses::empty(),
        statements: 1,
        insert: InsertShape {
            rows: InsertRows::NotInsert,
            on_duplicate: false,
            ignore: false,
        },
    };
}
