//! The error contract: what a client is told when a loss cannot be hidden from it.

use std::fmt;

/// Which line of the contract applies. Each has one error code and SQLSTATE, and no other code is invented.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FailureKind {
    /// 1213 / 40001: certainly rolled back and could not be replayed invisibly. Retry the transaction.
    RolledBack,
    /// 1180 / 08007: the outcome is unknown. Check, do not blindly retry.
    InDoubt,
    /// 1317 / 70100: somebody killed it.
    Killed,
    /// 1053 / 08S01: no server, or a lock or temporary table of the session is gone with the old connection.
    Unavailable,
}

impl FailureKind {
    /// The MySQL error code.
    pub fn code(self) -> u16 {
        match self {
            Self::RolledBack => 1213,
            Self::InDoubt => 1180,
            Self::Killed => 1317,
            Self::Unavailable => 1053,
        }
    }

    /// The SQLSTATE.
    pub fn sqlstate(self) -> &'static [u8; 5] {
        match self {
            Self::RolledBack => b"40001",
            Self::InDoubt => b"08007",
            Self::Killed => b"70100",
            Self::Unavailable => b"08S01",
        }
    }
}

/// Why the loss could not be hidden.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// A COMMIT, or a statement that commits, was on its way.
    Commit,
    /// A write outside a transaction was on its way.
    Write,
    /// DDL was on its way.
    Ddl,
    /// A CALL: a procedure may commit.
    Call,
    /// LOAD DATA.
    LoadData,
    /// Several statements in one command.
    MultiStatement,
    /// XA.
    Xa,
    /// A statement that the lexer does not understand.
    NotUnderstood,
    /// It changes accounts, settings or something else of the whole server.
    Administration,
    /// It writes a file on the server.
    File,
    /// User locks, LOCK TABLES or HANDLER.
    Lock,
    /// Temporary tables.
    TemporaryTable,
    /// The statement reads by its text but wrote when it ran: a function or a view behind it.
    WritingRead,
    /// The ledger is required, and cannot be used.
    NoLedger,
    /// Non-transactional tables may have been written.
    NonTransactional,
    /// A replayed statement gave another result than it gave before.
    Mismatch,
    /// A result that was delivered in part began differently when it was run again.
    PartMismatch,
    /// The journal of the transaction grew over its limit of bytes or commands.
    JournalLimit,
    /// The connection was lost again and again while recovering.
    Attempts,
    /// The replay took longer than its limit.
    ReplayTime,
    /// Nobody could be connected to within `hold`.
    NoServer,
    /// The server refused the login.
    LoginRefused,
    /// The session cannot be restored: its password is not known.
    NoPassword,
    /// A setting of the session was refused by the new connection.
    StateRefused,
    /// The statement asks for something of the statement before (ROW_COUNT, warnings…), and that is gone with
    /// the old connection.
    Diagnostics,
    /// A cursor was open.
    Cursor,
    /// What a statement that is not understood may have left in the session.
    Unseen,
    /// Somebody killed the connection.
    Killed,
    /// The abandoned connection could not be ended on the server.
    Zombie,
    /// Steadfast ends, and its drain has run out of time.
    Drain,
}

impl Reason {
    /// One clause for people, without a full stop.
    pub fn text(self) -> &'static str {
        match self {
            Self::Commit => "the server broke off while a COMMIT was on its way",
            Self::Write => "the server broke off while a write was on its way",
            Self::Ddl => "the server broke off during DDL",
            Self::Call => "the server broke off during a CALL, and a procedure may commit",
            Self::LoadData => "the server broke off during LOAD DATA",
            Self::MultiStatement => "the server broke off during several statements in one command",
            Self::Xa => "the server broke off during an XA transaction",
            Self::NotUnderstood => {
                "the server broke off during a statement that is not proved safe to run again"
            }
            Self::Administration => "the server broke off during an administrative statement",
            Self::File => "the server broke off during a statement that writes a file",
            Self::Lock => {
                "a lock of this session (GET_LOCK, LOCK TABLES or HANDLER) is gone, because the server broke off"
            }
            Self::TemporaryTable => {
                "a temporary table of this session is gone, because the server broke off"
            }
            Self::WritingRead => "the server broke off during a read whose function or view writes",
            Self::NoLedger => "the commit ledger, which the configuration requires, cannot be used",
            Self::NonTransactional => {
                "the server broke off and a non-transactional table may have been written"
            }
            Self::Mismatch => "the server broke off and the replay found different data",
            Self::PartMismatch => {
                "the server broke off in the middle of a result, which is different now"
            }
            Self::JournalLimit => "the server broke off and the transaction is too large to replay",
            Self::Attempts => "the server broke off again and again during this statement",
            Self::ReplayTime => "the server broke off and the replay ran out of time",
            Self::NoServer => "no server can be reached",
            Self::LoginRefused => "the server refuses the login of this session",
            Self::NoPassword => {
                "the server broke off and this session's password is not known to log in again"
            }
            Self::StateRefused => {
                "the server broke off and the new one refused a setting of this session"
            }
            Self::Diagnostics => {
                "the server broke off and what this statement asks about the one before is gone with it"
            }
            Self::Cursor => "the server broke off and with it an open cursor",
            Self::Unseen => {
                "a lock or temporary table that a statement which is not understood may have left is gone, because the server broke off"
            }
            Self::Killed => "somebody killed it",
            Self::Zombie => {
                "the server broke off and its transaction could not be ended on the server"
            }
            Self::Drain => "Steadfast was told to end before a server could be reached",
        }
    }

    /// A stable short name, for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Write => "write",
            Self::Ddl => "ddl",
            Self::Call => "call",
            Self::LoadData => "load-data",
            Self::MultiStatement => "multi-statement",
            Self::Xa => "xa",
            Self::NotUnderstood => "not-understood",
            Self::Administration => "administration",
            Self::File => "file",
            Self::Lock => "lock",
            Self::TemporaryTable => "temporary-table",
            Self::WritingRead => "writing-read",
            Self::NoLedger => "no-ledger",
            Self::NonTransactional => "non-transactional",
            Self::Mismatch => "mismatch",
            Self::PartMismatch => "part-mismatch",
            Self::JournalLimit => "journal-limit",
            Self::Attempts => "attempts",
            Self::ReplayTime => "replay-time",
            Self::NoServer => "no-server",
            Self::LoginRefused => "login-refused",
            Self::NoPassword => "no-password",
            Self::StateRefused => "state-refused",
            Self::Diagnostics => "diagnostics",
            Self::Cursor => "cursor",
            Self::Unseen => "unseen",
            Self::Killed => "killed",
            Self::Zombie => "zombie",
            Self::Drain => "drain",
        }
    }
}

/// What the client is told: one line of the contract and the reason.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Failure {
    /// Which line of the contract.
    pub kind: FailureKind,
    /// Why.
    pub reason: Reason,
}

impl Failure {
    /// A failure of `kind` because of `reason`.
    pub fn new(kind: FailureKind, reason: Reason) -> Self {
        Self { kind, reason }
    }

    /// Whether the commit ledger would have known.
    pub fn wants_ledger(&self) -> bool {
        self.kind == FailureKind::InDoubt && matches!(self.reason, Reason::Commit | Reason::Write)
    }

    /// The message of the ERR packet; `incident` names the incident that explains it. `ledger`: this session uses the
    /// commit ledger.
    ///
    /// Retry helpers look for words in messages: no message has those of a lost connection, after which many repeat a
    /// single statement, and a doubt has none that invites a retry. What is rolled back says so in the words of a
    /// server's own 1213, which they look for as well.
    pub fn message(&self, incident: impl fmt::Display, ledger: bool) -> String {
        let advice = match (self.kind, self.reason) {
            (FailureKind::RolledBack, Reason::Diagnostics | Reason::Cursor) => {
                "an open transaction is rolled back; run it, or the statement before, again"
            }
            (FailureKind::RolledBack, Reason::PartMismatch) => "run the query again",
            (FailureKind::RolledBack, _) => {
                "the transaction is rolled back, as after a deadlock; try restarting transaction"
            }
            (FailureKind::InDoubt, _) => "its outcome is unknown; check before you do it again",
            (FailureKind::Killed, _) => "it is not run again",
            (
                FailureKind::Unavailable,
                Reason::Lock | Reason::TemporaryTable | Reason::Unseen | Reason::StateRefused,
            ) => "open a new connection or reset this one",
            (FailureKind::Unavailable, Reason::NoLedger) => {
                "nothing is committed; see steadfast ledger status"
            }
            (FailureKind::Unavailable, _) => "try again later",
        };
        let hint = if self.wants_ledger() && !ledger {
            "; with the commit ledger it would be known: steadfast ledger install"
        } else {
            ""
        };
        format!(
            "Steadfast: {}; {advice}{hint} (steadfast why {incident})",
            self.reason.text()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [FailureKind; 4] = [
        FailureKind::RolledBack,
        FailureKind::InDoubt,
        FailureKind::Killed,
        FailureKind::Unavailable,
    ];

    const REASONS: [Reason; 30] = [
        Reason::Commit,
        Reason::Write,
        Reason::Ddl,
        Reason::Call,
        Reason::LoadData,
        Reason::MultiStatement,
        Reason::Xa,
        Reason::NotUnderstood,
        Reason::Administration,
        Reason::File,
        Reason::Lock,
        Reason::TemporaryTable,
        Reason::WritingRead,
        Reason::NoLedger,
        Reason::NonTransactional,
        Reason::Mismatch,
        Reason::PartMismatch,
        Reason::JournalLimit,
        Reason::Attempts,
        Reason::ReplayTime,
        Reason::NoServer,
        Reason::LoginRefused,
        Reason::NoPassword,
        Reason::StateRefused,
        Reason::Diagnostics,
        Reason::Cursor,
        Reason::Unseen,
        Reason::Killed,
        Reason::Zombie,
        Reason::Drain,
    ];

    #[test]
    fn codes_are_those_of_the_contract() {
        let lines = [
            (FailureKind::RolledBack, 1213, b"40001"),
            (FailureKind::InDoubt, 1180, b"08007"),
            (FailureKind::Killed, 1317, b"70100"),
            (FailureKind::Unavailable, 1053, b"08S01"),
        ];
        for (kind, code, sqlstate) in lines {
            assert_eq!((kind.code(), kind.sqlstate()), (code, sqlstate));
        }
    }

    #[test]
    fn message_names_the_product_and_the_incident() {
        let text = Failure::new(FailureKind::InDoubt, Reason::Commit).message("7F3A", true);
        assert!(text.starts_with("Steadfast: "));
        assert!(text.ends_with("(steadfast why 7F3A)"));
    }

    /// Words by which retry helpers take an error for a lost connection, where they could stand in a message of ours,
    /// in lower case: some compare without regard to case. Laravel 8 to 12 (LostConnectionDetector, which Hyperf and
    /// others have taken over), ThinkPHP 8 (`breakMatchStr`), peewee 4.5 (ReconnectMixin, which also finds the numbers
    /// anywhere in the text), SQLAlchemy 2.1 (`is_disconnect`), Rails 8 (`retryable_connection_error?`), Sequelize 6
    /// and TypeORM 1.1 (names of errors), Connector/J 9.
    const LOST_CONNECTION: &[&str] = &[
        "gone away",
        "went away",
        "no connection",
        "lost connection",
        "connection lost",
        "connection was lost",
        "connection to the server was lost",
        "connection was killed",
        "connection refused",
        "connection timed out",
        "connection reset",
        "connection error",
        "connectionerror",
        "closed connection",
        "connection closed",
        "connection is closed",
        "closed the connection",
        "connection not available",
        "connection is no longer",
        "connection is not usable",
        "connection failed",
        "connection is broken",
        "client is not connected",
        "is dead or not enabled",
        "error while sending",
        "error writing data",
        "resource deadlock avoided",
        "reset by peer",
        "packets out of order",
        "communication link failure",
        "communications link failure",
        "login timeout expired",
        "disconnected by the server",
        "failed to connect",
        "failed with errno",
        "broken pipe",
        "shutting down",
        "read-only option",
        "no such file",
        "timed out",
        "timeout",
        "primary is not serving",
        "no healthy",
        "econn",
        "epipe",
        "2002",
        "2003",
        "2006",
        "2013",
        "2014",
        "2045",
        "2048",
        "2055",
        "4031",
    ];

    /// Words by which they take an error for a deadlock or for something else that asks to be tried again.
    const TRY_AGAIN: &[&str] = &[
        "deadlock",
        "restart",
        "retry",
        "try again",
        "lock wait",
        "conflict",
        "database is locked",
        "serializ",
        "1213",
        "1205",
        "40001",
        "transient",
        "temporar",
    ];

    /// Of temporary tables nothing but their name can be said; nobody looks for it.
    fn plain(kind: FailureKind, reason: Reason, ledger: bool) -> String {
        Failure::new(kind, reason)
            .message("QZQZQZ", ledger)
            .to_lowercase()
            .replace("temporary table", "")
    }

    #[test]
    fn no_message_is_taken_for_a_lost_connection() {
        for (kind, reason) in KINDS
            .iter()
            .flat_map(|kind| REASONS.map(|reason| (*kind, reason)))
        {
            for ledger in [false, true] {
                let message = plain(kind, reason, ledger);
                for words in LOST_CONNECTION {
                    assert!(!message.contains(words), "{words:?} stands in: {message}");
                }
            }
        }
    }

    #[test]
    fn a_doubt_invites_nobody_to_retry() {
        for reason in REASONS {
            for ledger in [false, true] {
                let message = plain(FailureKind::InDoubt, reason, ledger);
                for words in TRY_AGAIN.iter().chain(&["connection", "lost"]) {
                    assert!(!message.contains(words), "{words:?} stands in: {message}");
                }
            }
        }
    }

    #[test]
    fn a_transaction_that_is_rolled_back_is_taken_for_a_deadlock() {
        for reason in [
            Reason::Mismatch,
            Reason::JournalLimit,
            Reason::Call,
            Reason::ReplayTime,
        ] {
            let message = plain(FailureKind::RolledBack, reason, true);
            assert!(message.contains("deadlock"), "{message}");
            assert!(message.contains("try restarting transaction"), "{message}");
        }
    }

    #[test]
    fn a_doubt_that_the_ledger_would_have_resolved_says_so() {
        let hint = "steadfast ledger install";
        let of =
            |reason, ledger| Failure::new(FailureKind::InDoubt, reason).message("7F3A", ledger);
        assert!(of(Reason::Commit, false).contains(hint));
        assert!(of(Reason::Write, false).contains(hint));
        assert!(!of(Reason::Commit, true).contains(hint));
        assert!(!of(Reason::Ddl, false).contains(hint));
    }
}
