//! The workload: every kind of work that a client does, by name.

mod autocommit;
pub(super) mod inserts;
mod money;
mod own_rows;
mod reads;

use crate::check::Kind;
use crate::client::{Answer, Client, How, Stop};
use crate::record::{Phase, Tx};

macro_rules! profiles {
    ($($variant:ident $name:literal $weight:literal $contended:literal $what:literal,)*) => {
        /// A kind of work.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Profile { $($variant,)* }

        impl Profile {
            pub(crate) const ALL: &'static [Profile] = &[$(Profile::$variant,)*];

            /// The name in reports.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Profile::$variant => $name,)* }
            }

            /// How often it is drawn, relative to the others.
            pub(crate) fn weight(self) -> u64 {
                match self { $(Profile::$variant => $weight,)* }
            }

            /// Whether other sessions commit changes to rows that it reads.
            pub(crate) fn contended(self) -> bool {
                match self { $(Profile::$variant => $contended,)* }
            }

            /// Whether the ledger promises to know its outcome; else a doubt may be told, and a refusal.
            pub(crate) fn recorded(self) -> bool {
                !matches!(self, Profile::CallAutocommit | Profile::MultiStatement)
            }

            /// One line for the report.
            pub(crate) fn what(self) -> &'static str {
                match self { $(Profile::$variant => $what,)* }
            }
        }
    };
}

profiles! {
    Idle "idle" 2 false "idle 0.5-2.5 s, then the session state is checked",
    ReadText "read-text" 2 false "reads outside transactions, text protocol",
    ReadPrepared "read-prepared" 2 false "reads outside transactions, prepared",
    ReadRows "read-rows" 2 false "2,000 rows outside a transaction, text and prepared",
    ReadSlow "read-slow" 2 false "a read of 50-300 ms outside a transaction",
    ReadOnlyTx "read-only-tx" 1 false "START TRANSACTION READ ONLY, private rows",
    TransferText "transfer-text" 3 true "SELECT FOR UPDATE on hot rows, session's isolation level, text",
    TransferPrepared "transfer-prepared" 3 true "the same, prepared",
    TransferRc "transfer-rc" 2 true "the same, READ COMMITTED by one-shot SET TRANSACTION",
    TransferSerializable "transfer-serializable" 2 true "the same, SERIALIZABLE by one-shot SET TRANSACTION",
    SnapshotRr "snapshot-rr" 1 true "consistent reads of the hot rows twice, REPEATABLE READ",
    SnapshotRc "snapshot-rc" 1 true "reads of the hot rows twice, READ COMMITTED",
    OwnRr "own-rr" 2 false "read and update private rows, REPEATABLE READ",
    OwnRc "own-rc" 2 false "the same, READ COMMITTED, prepared",
    OwnSerializable "own-serializable" 2 false "the same, SERIALIZABLE",
    UserVariables "user-variables" 2 false "user variables set and used inside a transaction",
    Autocommit0 "autocommit-0" 2 false "autocommit=0, two transactions, then autocommit=1",
    Savepoint "savepoint" 2 false "SAVEPOINT, ROLLBACK TO, RELEASE; READ COMMITTED",
    InsertSingle "insert-single" 2 false "auto-increment, single row, text and prepared",
    InsertMulti "insert-multi" 2 false "auto-increment, three rows in one INSERT",
    InsertAfterTrigger "insert-after-trigger" 2 false "AFTER INSERT trigger writes another auto-increment table",
    InsertBeforeTrigger "insert-before-trigger" 2 false "BEFORE INSERT trigger writes another auto-increment table",
    Clock "clock" 2 false "NOW(6), CURRENT_TIMESTAMP defaults, read back in the transaction",
    Random "random" 2 false "RAND() shown and stored in a transaction",
    Upsert "upsert" 2 false "INSERT ON DUPLICATE KEY UPDATE on a primary key",
    UpsertAuto "upsert-auto" 2 false "the same with auto-increment and a unique key, then a plain insert",
    InsertAutocommit "insert-autocommit" 2 false "single INSERT with a request id, no transaction",
    CounterAutocommit "counter-autocommit" 2 false "counter UPDATE, no transaction",
    TripleAutocommit "triple-autocommit" 2 false "UPDATE of three rows, no transaction",
    ManyAutocommit "many-autocommit" 2 false "INSERT of three rows, no transaction, then LAST_INSERT_ID()",
    TriggerAutocommit "trigger-autocommit" 2 false "INSERT with an AFTER INSERT trigger, no transaction",
    CallAutocommit "call-autocommit" 1 false "CALL of a procedure that inserts, no transaction",
    MultiStatement "multi-statement" 1 false "BEGIN, INSERT and COMMIT in one command",
}

impl Client {
    /// Draws the next profile by weight.
    pub(crate) fn draw(&mut self, among: &[Profile]) -> Profile {
        let total: u64 = among.iter().map(|profile| profile.weight()).sum();
        let mut ticket = self.rng.between(0, total);
        for profile in among {
            if ticket < profile.weight() {
                return *profile;
            }
            ticket -= profile.weight();
        }
        Profile::Idle
    }

    /// Does the current profile's work once.
    pub(crate) async fn work(&mut self, tx: &mut Tx) -> Result<(), Stop> {
        let either = self.either();
        match self.profile {
            Profile::Idle => self.idle().await,
            Profile::ReadText => self.read_rows_by_key(How::Text).await,
            Profile::ReadPrepared => self.read_rows_by_key(How::Prepared).await,
            Profile::ReadRows => self.read_many(either).await,
            Profile::ReadSlow => self.read_slow(either).await,
            Profile::ReadOnlyTx => self.read_only_transaction(either, tx).await,
            Profile::TransferText => self.transfer(How::Text, None, tx).await,
            Profile::TransferPrepared => self.transfer(How::Prepared, None, tx).await,
            Profile::TransferRc => self.transfer(either, Some(READ_COMMITTED), tx).await,
            Profile::TransferSerializable => self.transfer(either, Some(SERIALIZABLE), tx).await,
            Profile::SnapshotRr => self.snapshot(either, REPEATABLE_READ, true, tx).await,
            Profile::SnapshotRc => self.snapshot(either, READ_COMMITTED, false, tx).await,
            Profile::OwnRr => self.own_rows(either, REPEATABLE_READ, tx).await,
            Profile::OwnRc => self.own_rows(How::Prepared, READ_COMMITTED, tx).await,
            Profile::OwnSerializable => self.own_rows(either, SERIALIZABLE, tx).await,
            Profile::UserVariables => self.user_variables(tx).await,
            Profile::Autocommit0 => self.autocommit_off(either, tx).await,
            Profile::Savepoint => self.savepoint(either, tx).await,
            Profile::InsertSingle => self.insert_single(either, tx).await,
            Profile::InsertMulti => self.insert_multi(either, tx).await,
            Profile::InsertAfterTrigger => self.insert_after_trigger(either, tx).await,
            Profile::InsertBeforeTrigger => self.insert_before_trigger(either, tx).await,
            Profile::Clock => self.clock(either, tx).await,
            Profile::Random => self.random(either, tx).await,
            Profile::Upsert => self.upsert(either, tx).await,
            Profile::UpsertAuto => self.upsert_auto(either, tx).await,
            Profile::InsertAutocommit => self.insert_autocommit(either, tx).await,
            Profile::CounterAutocommit => self.counter_autocommit(either, tx).await,
            Profile::TripleAutocommit => self.triple_autocommit(either, tx).await,
            Profile::ManyAutocommit => self.many_autocommit(either, tx).await,
            Profile::TriggerAutocommit => self.trigger_autocommit(either, tx).await,
            Profile::CallAutocommit => self.call_autocommit(tx).await,
            Profile::MultiStatement => self.multi_statement(tx).await,
        }
    }

    fn either(&mut self) -> How {
        if self.rng.one_in(2) {
            How::Text
        } else {
            How::Prepared
        }
    }

    /// The row that says which transaction this is.
    async fn announce(&mut self, how: How, tx: &mut Tx) -> Result<(), Stop> {
        tx.expect("tx", 0, vec![("profile", self.profile.name().to_owned())]);
        self.run(
            how,
            "INSERT INTO tx (client, n, step, profile) VALUES (?, ?, 0, ?)",
            vec![self.id.into(), tx.number.into(), self.profile.name().into()],
        )
        .await?;
        Ok(())
    }

    async fn commit(&mut self, tx: &mut Tx) -> Result<(), Stop> {
        tx.phase = Phase::Committing;
        tx.commit_sent = Some(self.shared.now());
        self.text("COMMIT").await?;
        Ok(())
    }
}

const REPEATABLE_READ: &str = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ";
const READ_COMMITTED: &str = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED";
const SERIALIZABLE: &str = "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE";

/// A result that cannot be right.
fn wrong(sql: &str, what: String) -> Stop {
    Stop::Wrong {
        sql: sql.to_owned(),
        what,
        kind: Kind::WrongAnswer,
    }
}

/// Fails unless the two are equal.
fn same<T: PartialEq + std::fmt::Debug>(
    sql: &str,
    what: &str,
    found: &T,
    wanted: &T,
) -> Result<(), Stop> {
    if found == wanted {
        Ok(())
    } else {
        Err(wrong(
            sql,
            format!("{what} is {found:?}, should be {wanted:?}"),
        ))
    }
}

/// Fails unless a statement affected so many rows.
fn affected(sql: &str, answer: &Answer, wanted: u64) -> Result<(), Stop> {
    as_kind(
        Kind::WrongAffected,
        same(sql, "affected rows", &answer.affected, &wanted),
    )
}

/// Calls what is wrong by a name of its own.
fn as_kind(named: Kind, result: Result<(), Stop>) -> Result<(), Stop> {
    result.map_err(|stop| match stop {
        Stop::Wrong { sql, what, .. } => Stop::Wrong {
            sql,
            what,
            kind: named,
        },
        other => other,
    })
}
