//! What the core needs to know of one command: may it run again, what does it do to the transaction, what
//! does it leave behind that cannot be restored, and what must be pinned so that it comes out the same.

use bitflags::bitflags;
use steadfast_sql::{Class, Control, Effects, InsertRows, Kind, Tri, Uses};

use crate::contract::Reason;

/// Whether a command whose outcome is unknown may run again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Safety {
    /// Changes nothing but the session itself, which is restored to before it: any number of times.
    Harmless,
    /// Changes nothing by its text, but a function or a view behind it may write: outside a transaction it
    /// runs again only inside `START TRANSACTION READ ONLY`.
    Read,
    /// Changes rows of transactional tables, as far as its text tells: again only where the transaction that
    /// it ran in is certainly rolled back.
    Write,
    /// Never again once the server may have got it.
    Never(Reason),
}

/// What a command does to the transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Boundary {
    /// Nothing; SAVEPOINT and its kin belong here: they are part of a transaction.
    None,
    /// BEGIN, START TRANSACTION: commits an open transaction first.
    Begin,
    /// COMMIT.
    Commit,
    /// COMMIT AND CHAIN, or one that `completion_type` makes so: begins another transaction like the one before.
    CommitAndChain,
    /// ROLLBACK.
    Rollback,
    /// ROLLBACK AND CHAIN, or one that `completion_type` makes so.
    RollbackAndChain,
    /// The session starts anew: COM_RESET_CONNECTION, COM_CHANGE_USER.
    Reset,
    /// Switches autocommit on: commits an open transaction.
    AutocommitOn,
    /// Switches autocommit off.
    AutocommitOff,
    /// Commits an open transaction before it runs, such as DDL.
    Implicit,
    /// It may commit or roll back, and the text does not tell.
    Unknown,
}

impl Boundary {
    /// Whether it may commit a transaction that is open when it arrives.
    pub fn may_commit(self) -> bool {
        match self {
            Self::None
            | Self::Rollback
            | Self::RollbackAndChain
            | Self::Reset
            | Self::AutocommitOff => false,
            Self::Begin
            | Self::Commit
            | Self::CommitAndChain
            | Self::AutocommitOn
            | Self::Implicit
            | Self::Unknown => true,
        }
    }

    /// Whether a transaction that is open after a successful run of it is another one than before. Where the
    /// text does not tell ([`Boundary::Implicit`]: UNLOCK TABLES; [`Boundary::AutocommitOn`] when it was on),
    /// it is not: a journal that goes on too long fails to replay, one that is cut short would replay wrongly.
    pub fn replaces_transaction(self) -> bool {
        matches!(
            self,
            Self::Begin
                | Self::Commit
                | Self::CommitAndChain
                | Self::Rollback
                | Self::RollbackAndChain
        )
    }
}

bitflags! {
    /// What a session holds on its server connection that no other connection can be given.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Held: u8 {
        /// GET_LOCK.
        const USER_LOCK = 1;
        /// LOCK TABLES, FLUSH TABLES WITH READ LOCK, LOCK INSTANCE, BACKUP STAGE.
        const TABLE_LOCK = 1 << 1;
        /// CREATE TEMPORARY TABLE.
        const TEMPORARY_TABLE = 1 << 2;
        /// HANDLER … OPEN.
        const HANDLER = 1 << 3;
        /// XA START.
        const XA = 1 << 4;
        /// What a statement that is not understood may have left.
        const UNSEEN = 1 << 5;
    }

    /// What a statement asks of the statement before it, or of the connection.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Observes: u8 {
        /// ROW_COUNT().
        const ROW_COUNT = 1;
        /// FOUND_ROWS().
        const FOUND_ROWS = 1 << 1;
        /// SHOW WARNINGS, GET DIAGNOSTICS.
        const DIAGNOSTICS = 1 << 2;
        /// LAST_INSERT_ID().
        const LAST_INSERT_ID = 1 << 3;
    }

    /// What must be pinned so that a replay gives the same.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct PinUse: u8 {
        /// The text asks for the time: pinned before the first run.
        const NOW = 1;
        /// RAND(): pinned before the first run.
        const RAND = 1 << 1;
        /// An INSERT or REPLACE that may draw an auto-increment value: pinned in a replay to what it drew.
        const INSERT_ID = 1 << 2;
        /// It writes, so a column may default to the current time: pinned in a replay to when it first ran.
        const WRITE_TIME = 1 << 3;
    }
}

/// What the core needs to know of one command.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Statement {
    /// Whether it may run again.
    pub safety: Safety,
    /// What it does to the transaction.
    pub boundary: Boundary,
    /// What it leaves behind that cannot be restored.
    pub leaves: Held,
    /// What it gives back of that.
    pub releases: Held,
    /// What it asks of the statement before.
    pub observes: Observes,
    /// What to pin.
    pub pins: PinUse,
    /// LAST_INSERT_ID(expr): sets what LAST_INSERT_ID() gives.
    pub sets_insert_id: bool,
    /// An INSERT or REPLACE: its OK tells ids that it was given as well as ids that it drew, and only the latter set
    /// LAST_INSERT_ID(). Tried on MySQL 9.7.4 and MariaDB 10.11.19.
    pub inserts: bool,
}

impl Statement {
    /// A command of the protocol that changes nothing but the session: ping, init-db, prepare, reset of a
    /// statement, statistics, field list, set-option.
    pub const HARMLESS: Statement = Statement {
        safety: Safety::Harmless,
        boundary: Boundary::None,
        leaves: Held::empty(),
        releases: Held::empty(),
        observes: Observes::empty(),
        pins: PinUse::empty(),
        sets_insert_id: false,
        inserts: false,
    };

    /// COM_RESET_CONNECTION and COM_CHANGE_USER.
    pub const RESET: Statement = Statement {
        boundary: Boundary::Reset,
        releases: Held::all(),
        ..Self::HARMLESS
    };

    /// A command that is not understood.
    pub const UNKNOWN: Statement = Statement {
        safety: Safety::Never(Reason::NotUnderstood),
        boundary: Boundary::Unknown,
        ..Self::HARMLESS
    };

    /// COM_STMT_FETCH: its cursor lives on one connection. Inside a transaction the EXECUTE that opened the
    /// cursor is replayed before it.
    pub const FETCH: Statement = Statement {
        safety: Safety::Never(Reason::Cursor),
        ..Self::HARMLESS
    };

    /// What the lexer's class of a text says.
    pub fn of(class: &Class) -> Self {
        if class.kind == Kind::Empty {
            return Self::HARMLESS;
        }
        Statement {
            safety: safety(class),
            boundary: boundary(class),
            leaves: leaves(class),
            releases: releases(class),
            observes: observes(class),
            pins: pins(class),
            sets_insert_id: (class.uses.contains(Uses::LAST_INSERT_ID)
                && class.effects.contains(Effects::SESSION))
                || class.uses.contains(Uses::UNKNOWN_FUNCTION),
            inserts: class.statements == 1 && class.insert.rows != InsertRows::NotInsert,
        }
    }

    /// The same where `completion_type` is CHAIN: a COMMIT or ROLLBACK that does not say otherwise begins another
    /// transaction.
    pub fn chained_by_default(self, class: &Class) -> Self {
        let boundary = match class.control {
            Control::Commit {
                chain: Tri::Unset, ..
            } => Boundary::CommitAndChain,
            Control::Rollback {
                chain: Tri::Unset, ..
            } => Boundary::RollbackAndChain,
            _ => self.boundary,
        };
        Self { boundary, ..self }
    }

    /// Whether a completed run of it may be repeated when its transaction is replayed.
    pub fn replayable(&self) -> Result<(), Reason> {
        match self.safety {
            Safety::Harmless | Safety::Read | Safety::Write => Ok(()),
            // The EXECUTE that opened the cursor stands before it in the journal.
            Safety::Never(Reason::Cursor) => Ok(()),
            Safety::Never(reason) => Err(reason),
        }
    }
}

fn safety(class: &Class) -> Safety {
    let effects = class.effects;
    if class.statements > 1 {
        return Safety::Never(Reason::MultiStatement);
    }
    match class.kind {
        Kind::Call => return Safety::Never(Reason::Call),
        Kind::LoadData => return Safety::Never(Reason::LoadData),
        Kind::Xa => return Safety::Never(Reason::Xa),
        Kind::Handler => return Safety::Never(Reason::Lock),
        _ => {}
    }
    if effects.contains(Effects::UNKNOWN) {
        return Safety::Never(Reason::NotUnderstood);
    }
    if effects.contains(Effects::LOCKS) || class.uses.contains(Uses::USER_LOCK) {
        return Safety::Never(Reason::Lock);
    }
    if effects.contains(Effects::TEMP_TABLES) {
        return Safety::Never(Reason::TemporaryTable);
    }
    if effects.contains(Effects::FILES) || class.uses.contains(Uses::INTO_FILE) {
        return Safety::Never(Reason::File);
    }
    if effects.contains(Effects::SCHEMA) {
        return Safety::Never(Reason::Ddl);
    }
    if effects.contains(Effects::ADMIN) {
        return Safety::Never(Reason::Administration);
    }
    if class.uses.contains(Uses::SEQUENCE) {
        // A sequence does not roll back: a second NEXTVAL draws another value.
        return Safety::Never(Reason::Write);
    }
    if effects.contains(Effects::ROWS) {
        return Safety::Write;
    }
    match class.control {
        Control::None => {}
        Control::Unknown => return Safety::Never(Reason::NotUnderstood),
        Control::Xa => return Safety::Never(Reason::Xa),
        Control::ImplicitCommit => return Safety::Never(Reason::Ddl),
        // `SET autocommit=1, @a=f()`: it switches, and the function may write.
        Control::SetAutocommit(_) | Control::OneShot if !plain_switch(class) => {
            return Safety::Never(Reason::NotUnderstood);
        }
        _ => return Safety::Harmless,
    }
    match class.kind {
        Kind::Use | Kind::Prepare | Kind::Deallocate | Kind::SetRole | Kind::Help => {
            Safety::Harmless
        }
        _ => Safety::Read,
    }
}

/// Whether a SET that controls transactions does nothing else: its values are plain.
fn plain_switch(class: &Class) -> bool {
    (class.uses - Uses::SYSTEM_VARIABLE).is_empty()
        && class.control != Control::SetAutocommit(None)
        && (class.effects - (Effects::SESSION | Effects::TRANSACTION)).is_empty()
}

fn boundary(class: &Class) -> Boundary {
    match class.control {
        Control::None
        | Control::Savepoint
        | Control::RollbackTo
        | Control::ReleaseSavepoint
        | Control::OneShot => {
            if class.effects.contains(Effects::UNKNOWN) || class.kind == Kind::Call {
                Boundary::Unknown
            } else {
                Boundary::None
            }
        }
        Control::Begin { .. } => Boundary::Begin,
        // RELEASE changes nothing here: the server ends the session, and the driver ends the client's.
        Control::Commit { chain, .. } => match chain {
            Tri::Yes => Boundary::CommitAndChain,
            Tri::Unset | Tri::No => Boundary::Commit,
        },
        Control::Rollback { chain, .. } => match chain {
            Tri::Yes => Boundary::RollbackAndChain,
            Tri::Unset | Tri::No => Boundary::Rollback,
        },
        Control::SetAutocommit(Some(false)) => Boundary::AutocommitOff,
        Control::SetAutocommit(_) => Boundary::AutocommitOn,
        Control::ImplicitCommit => Boundary::Implicit,
        Control::Xa | Control::Unknown => Boundary::Unknown,
    }
}

fn leaves(class: &Class) -> Held {
    let mut held = Held::empty();
    held.set(
        Held::USER_LOCK,
        class.uses.contains(Uses::USER_LOCK) && class.effects.contains(Effects::LOCKS),
    );
    held.set(
        Held::TABLE_LOCK,
        class.effects.contains(Effects::LOCKS)
            && (class.statements > 1
                || !class.uses.contains(Uses::USER_LOCK) && class.kind != Kind::UnlockTables),
    );
    held.set(
        Held::TEMPORARY_TABLE,
        class.effects.contains(Effects::TEMP_TABLES),
    );
    held.set(Held::HANDLER, class.kind == Kind::Handler);
    held.set(Held::XA, class.kind == Kind::Xa);
    held.set(
        Held::UNSEEN,
        // Not CALL: a session that calls procedures would not survive any loss. docs/errors.md names the limit.
        matches!(class.kind, Kind::Execute | Kind::Unknown)
            && class.effects.contains(Effects::UNKNOWN),
    );
    held
}

fn releases(class: &Class) -> Held {
    if class.statements > 1 {
        // Another of them may take them again.
        return Held::empty();
    }
    match class.control {
        // BEGIN silently releases LOCK TABLES on both servers.
        Control::Begin { .. } => Held::TABLE_LOCK,
        _ if class.kind == Kind::UnlockTables => Held::TABLE_LOCK,
        _ => Held::empty(),
    }
}

fn observes(class: &Class) -> Observes {
    let mut observes = Observes::empty();
    let uses = class.uses;
    observes.set(Observes::ROW_COUNT, uses.contains(Uses::ROW_COUNT));
    observes.set(Observes::FOUND_ROWS, uses.contains(Uses::FOUND_ROWS));
    observes.set(Observes::DIAGNOSTICS, uses.contains(Uses::DIAGNOSTICS));
    observes.set(
        Observes::LAST_INSERT_ID,
        uses.contains(Uses::ASKS_INSERT_ID),
    );
    observes
}

fn pins(class: &Class) -> PinUse {
    let mut pins = PinUse::empty();
    pins.set(PinUse::NOW, class.uses.contains(Uses::NOW));
    pins.set(PinUse::RAND, class.uses.contains(Uses::RAND));
    let writes = class.effects.contains(Effects::ROWS);
    pins.set(PinUse::WRITE_TIME, writes);
    let one_insert = class.insert.rows != InsertRows::NotInsert;
    // With several rows and ON DUPLICATE KEY UPDATE or IGNORE, the first id that was drawn need not belong to
    // the first row that is inserted; a pin could then hit another row.
    let certain = class.insert.rows == InsertRows::SingleRow
        || !(class.insert.on_duplicate || class.insert.ignore);
    pins.set(PinUse::INSERT_ID, one_insert && certain);
    pins
}

#[cfg(test)]
mod tests {
    use super::*;
    use steadfast_sql::{Dialect, classify};

    fn of(text: &str) -> Statement {
        Statement::of(&classify(text.as_bytes(), Dialect::mysql(90704)))
    }

    #[test]
    fn safety_of_common_statements() {
        for text in ["SELECT 1", "SHOW TABLES", "SELECT a FROM t FOR UPDATE"] {
            assert_eq!(of(text).safety, Safety::Read, "{text}");
        }
        for text in [
            "BEGIN",
            "COMMIT",
            "USE a",
            "SAVEPOINT s",
            "SET autocommit=0",
        ] {
            assert_eq!(of(text).safety, Safety::Harmless, "{text}");
        }
        for text in [
            "INSERT INTO t VALUES (1)",
            "UPDATE t SET a=1",
            "DELETE FROM t",
        ] {
            assert_eq!(of(text).safety, Safety::Write, "{text}");
        }
        let never = [
            ("CALL p()", Reason::Call),
            ("CREATE TABLE t (a INT)", Reason::Ddl),
            ("CREATE TEMPORARY TABLE t (a INT)", Reason::TemporaryTable),
            ("SELECT GET_LOCK('a', 1)", Reason::Lock),
            ("LOCK TABLES t WRITE", Reason::Lock),
            ("SELECT 1; SELECT 2", Reason::MultiStatement),
            ("SELECT 1 INTO OUTFILE 'x'", Reason::File),
            ("XA START 'a'", Reason::Xa),
            ("GRANT SELECT ON t TO u", Reason::Administration),
        ];
        for (text, reason) in never {
            assert_eq!(of(text).safety, Safety::Never(reason), "{text}");
        }
    }

    #[test]
    fn commits_are_seen_in_every_spelling() {
        for text in [
            "COMMIT",
            "commit work and chain",
            "BEGIN",
            "SET autocommit=1",
            "SET a=1, autocommit=ON",
            "CREATE TABLE t (a INT)",
            "/*! COMMIT */",
            "EXECUTE s",
            "CALL p()",
        ] {
            assert!(of(text).boundary.may_commit(), "{text}");
        }
        for text in ["ROLLBACK", "SAVEPOINT a", "SELECT 1", "SET autocommit=0"] {
            assert!(!of(text).boundary.may_commit(), "{text}");
        }
    }

    #[test]
    fn a_switch_that_does_more_is_never_run_again() {
        for text in [
            "SET autocommit=0",
            "SET @@session.autocommit=ON",
            "SET TRANSACTION READ ONLY",
            "SET @@transaction_isolation='SERIALIZABLE'",
        ] {
            assert_eq!(of(text).safety, Safety::Harmless, "{text}");
        }
        for text in [
            "SET @a=f(), autocommit=1",
            "SET autocommit=0, @a=f()",
            "SET @@transaction_isolation='SERIALIZABLE', @a=f()",
            "SET autocommit=(SELECT 1)",
        ] {
            assert!(matches!(of(text).safety, Safety::Never(_)), "{text}");
        }
    }

    #[test]
    fn an_id_is_asked_for_or_set() {
        for text in [
            "SELECT LAST_INSERT_ID()",
            "SELECT @@last_insert_id",
            "INSERT INTO t VALUES (LAST_INSERT_ID( ))",
            "SET @a = LAST_INSERT_ID()",
            "UPDATE t SET a = LAST_INSERT_ID(LAST_INSERT_ID() + 1)",
        ] {
            assert!(
                of(text).observes.contains(Observes::LAST_INSERT_ID),
                "{text}"
            );
        }
        for text in [
            "UPDATE t SET a = LAST_INSERT_ID(a + 1)",
            "SELECT LAST_INSERT_ID(5)",
        ] {
            let statement = of(text);
            assert!(statement.sets_insert_id, "{text}");
            assert!(
                !statement.observes.contains(Observes::LAST_INSERT_ID),
                "{text}"
            );
        }
    }

    #[test]
    fn completion_type_decides_where_the_text_does_not() {
        let by_default = |text: &str| {
            let class = classify(text.as_bytes(), Dialect::mysql(90704));
            Statement::of(&class).chained_by_default(&class).boundary
        };
        assert_eq!(by_default("COMMIT"), Boundary::CommitAndChain);
        assert_eq!(by_default("COMMIT NO RELEASE"), Boundary::CommitAndChain);
        assert_eq!(by_default("ROLLBACK WORK"), Boundary::RollbackAndChain);
        assert_eq!(by_default("COMMIT AND NO CHAIN"), Boundary::Commit);
        assert_eq!(by_default("ROLLBACK TO s"), Boundary::None);
        assert_eq!(of("COMMIT RELEASE").boundary, Boundary::Commit);
        assert_eq!(
            of("ROLLBACK AND CHAIN").boundary,
            Boundary::RollbackAndChain
        );
    }

    #[test]
    fn several_statements_leave_locks_and_release_none() {
        for text in [
            "UNLOCK TABLES; LOCK TABLES t WRITE",
            "BEGIN; LOCK TABLES t WRITE",
            "DO GET_LOCK('x', 0); LOCK TABLES t WRITE",
            "LOCK TABLES t WRITE; UNLOCK TABLES",
        ] {
            let statement = of(text);
            assert!(statement.leaves.contains(Held::TABLE_LOCK), "{text}");
            assert!(statement.releases.is_empty(), "{text}");
        }
        assert_eq!(of("DO GET_LOCK('x', 0)").leaves, Held::USER_LOCK);
        assert!(of("SELECT 1; SELECT 2").leaves.is_empty());
    }

    #[test]
    fn what_is_not_seen_may_be_left() {
        for text in ["EXECUTE s", "GIBBERISH"] {
            assert!(of(text).leaves.contains(Held::UNSEEN), "{text}");
        }
        assert!(of("UPDATE t SET a=1").leaves.is_empty());
    }
}
