//! The statements that the proxy sends about the ledger, and what it reads back.
//!
//! Numbers only, so that they are the same under every `sql_mode` and character set.

use super::{Lane, Mark, Record};

/// The user variable in which [`fence`] leaves what it found. A result set would need CLIENT_MULTI_RESULTS, which
/// the client may not have; on the new connection of a resolver, nobody looks at user variables.
const RECORD: &str = "@steadfast_record";

/// Makes the lane's row. To be sent while no transaction is open.
pub fn open(lane: &Lane) -> String {
    format!("CALL steadfast.open_lane({},{})", lane.id, lane.secret)
}

/// Records the mark and commits, in one step. `affected_rows` and `insert_id`: what the OK of the transaction's only
/// statement said, 0 for a COMMIT of the client's.
pub fn commit(mark: &Mark, affected_rows: u64, insert_id: u64) -> String {
    format!(
        "CALL steadfast.commit({},{},{},{affected_rows},{insert_id})",
        mark.lane, mark.secret, mark.sequence
    )
}

/// Makes certain that no COMMIT under the mark's lane takes effect any more, and what the last was that did. To be
/// sent first, on a connection without a transaction, and followed by [`RECORDED`]. It waits for the lock of a
/// transaction that is being committed.
pub fn fence(mark: &Mark) -> String {
    format!(
        "CALL steadfast.fence({},{},{RECORD})",
        mark.lane, mark.secret
    )
}

/// Reads what [`fence`] found: one row with one text.
pub const RECORDED: &str = "SELECT @steadfast_record";

/// Deletes the lane's row: every COMMIT that was sent under it has been answered.
pub fn close(lane: &Lane) -> String {
    format!("CALL steadfast.close_lane({},{})", lane.id, lane.secret)
}

/// Takes the text of [`RECORDED`] apart; `None`: there is no such lane, or it is not such a text.
pub fn record(text: &[u8]) -> Option<Record> {
    let mut numbers = std::str::from_utf8(text).ok()?.split(' ').map(str::parse);
    let mut next = || numbers.next()?.ok();
    let record = Record {
        sequence: next()?,
        affected_rows: next()?,
        insert_id: next()?,
    };
    numbers.next().is_none().then_some(record)
}

/// Errors that say that the ledger itself is not there or not allowed: 1044, 1142, 1370 access denied, 1049 no such
/// database, 1146 no such table, 1305 no such procedure, 1449 its definer is gone, 1356, 1548 it is broken.
pub fn is_missing(error: u16) -> bool {
    matches!(
        error,
        1044 | 1049 | 1142 | 1143 | 1146 | 1305 | 1318 | 1356 | 1370 | 1449 | 1457 | 1548
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_three_numbers() {
        assert_eq!(
            record(b"7 2 18446744073709551615"),
            Some(Record {
                sequence: 7,
                affected_rows: 2,
                insert_id: u64::MAX
            })
        );
        for bad in ["", "7", "7 2", "7 2 3 4", "7 2 x", "-1 2 3", "NULL"] {
            assert_eq!(record(bad.as_bytes()), None, "{bad}");
        }
    }
}
