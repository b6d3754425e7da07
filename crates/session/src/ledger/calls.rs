//! The statements that the proxy sends about the ledger, and what it reads back.
//!
//! Numbers only, so that they are the same under every `sql_mode` and character set.

use super::{Mark, Record};

/// Records the mark and commits, in one step; `chain`: AND CHAIN.
pub fn commit(mark: &Mark, chain: bool) -> String {
    format!(
        "CALL steadfast.commit({},{},{},{},{})",
        mark.lane,
        mark.secret,
        mark.sequence,
        mark.made,
        u8::from(chain)
    )
}

/// Makes certain that no COMMIT under the mark's lane takes effect any more, and what the last was that did. To be
/// sent on a connection without a transaction, and followed by [`RECORDED`]. It waits for the lock of a transaction that
/// is being committed, as long as `innodb_lock_wait_timeout` (seconds) lets it.
///
/// It leaves what it found in a user variable. A result set would need CLIENT_MULTI_RESULTS, which the client may not
/// have.
pub fn fence(mark: &Mark) -> String {
    format!(
        "CALL steadfast.fence({},{},{},@steadfast_record)",
        mark.lane, mark.secret, mark.made
    )
}

/// Reads what [`fence`] found: one row with one value. LIMIT: a session's `sql_select_limit` may be 0.
pub const RECORDED: &str = "SELECT @steadfast_record LIMIT 1";

/// Forgets lanes that nobody can ask about any more.
pub const SWEEP: &str = "CALL steadfast.sweep()";

/// Takes the value of [`RECORDED`] apart; `None`: the lane is another's, its row may have been lost, or it is not a
/// number.
pub fn record(text: &[u8]) -> Option<Record> {
    let sequence = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(Record { sequence })
}

/// What an error in answer to [`commit`] says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Refused {
    /// The ledger is not there, or this account may not use it. Nothing has happened: the transaction is as it was.
    Missing,
    /// The ledger cannot be written in this transaction. Nothing has happened: the transaction is as it was.
    Unfit,
    /// The server is read-only for the ledger's account, and has been since before the COMMIT took effect. The
    /// transaction is as it was, if the server says that one is open (COM_PING), else rolled back.
    ReadOnly,
    /// The procedure itself has refused it, and rolled the transaction back.
    RolledBack,
    /// Whether the transaction is committed, open or rolled back is not known: the ledger must be asked.
    Doubtful,
}

/// What the error code in answer to [`commit`] says.
///
/// Missing: 1044, 1142, 1143, 1370 access denied, 1049 no such database, 1146 no such table, 1305 no such procedure,
/// 1318 another number of parameters, 1449 its definer is gone, 1054, 1356, 1457, 1548 it is broken. Unfit: 1100, 1099
/// under LOCK TABLES, 1223 under a read lock of its own, 1785 GTIDs with tables without transactions, 1792 in a
/// READ ONLY transaction, 1665 where the binary log cannot hold it, 1399 in an XA branch: its COMMIT is refused, and the
/// branch goes on with the lane's row in it, which nobody asks for any more. ReadOnly: 1290 with `read_only`, 1836 with
/// `innodb_read_only`; both servers look for it before they write and before they commit.
///
/// RolledBack: the procedure's own SQLSTATE, SF001.
///
/// Anything else can come after the COMMIT as well: servers look for a KILL after each statement of a procedure.
pub fn refused(error: u16, sqlstate: Option<[u8; 5]>) -> Refused {
    match error {
        _ if sqlstate == Some(*b"SF001") => Refused::RolledBack,
        1044 | 1049 | 1054 | 1142 | 1143 | 1146 | 1305 | 1318 | 1356 | 1370 | 1449 | 1457
        | 1548 => Refused::Missing,
        1099 | 1100 | 1223 | 1399 | 1665 | 1785 | 1792 => Refused::Unfit,
        1290 | 1836 => Refused::ReadOnly,
        _ => Refused::Doubtful,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_number() {
        assert_eq!(
            record(b"18446744073709551615"),
            Some(Record { sequence: u64::MAX })
        );
        for bad in ["", "7 2", "x", "-1", "NULL"] {
            assert_eq!(record(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn only_errors_from_before_the_commit_leave_no_doubt() {
        assert_eq!(refused(1305, Some(*b"42000")), Refused::Missing);
        assert_eq!(refused(1785, None), Refused::Unfit);
        assert_eq!(refused(1399, Some(*b"XAE07")), Refused::Unfit);
        assert_eq!(refused(1290, None), Refused::ReadOnly);
        assert_eq!(refused(1644, Some(*b"SF001")), Refused::RolledBack);
        // Deadlock, lock wait, a KILL, a fenced lane, a lane whose row a fence made.
        for error in [1213, 1205, 1317, 1644, 1062, 1180] {
            assert_eq!(refused(error, Some(*b"HY000")), Refused::Doubtful);
        }
    }
}
