//! What SHOW GLOBAL STATUS says, and other numbers that a server is asked for.

use std::time::Duration;

use steadfast_net::QueryResult;
use tokio::time::Instant;

/// Two boots that are seen within this time are one.
const SAME_BOOT: Duration = Duration::from_secs(3);

/// How far two answers about one start can be apart: `Uptime` has whole seconds.
pub(crate) const OFF: Duration = Duration::from_millis(1_300);

/// When the server was started that has just told this `Uptime`, up to a second late; `None`: it is not among these.
pub(crate) fn boot_of(status: &QueryResult) -> Option<Instant> {
    let uptime = Duration::from_secs(value(status, "Uptime")?);
    Instant::now().checked_sub(uptime)
}

/// Whether two answers of [`boot_of`] are of one and the same start.
pub(crate) fn same_boot(one: Instant, other: Instant) -> bool {
    one.max(other) - one.min(other) < SAME_BOOT
}

/// Whether two answers of [`boot_of`] are of one and the same start, as far as whole seconds can tell: a server that is
/// started again takes longer than what they can be off by.
pub(crate) fn same_boot_for_sure(one: Instant, other: Instant) -> bool {
    one.max(other) - one.min(other) < OFF
}

/// The value of a status variable; `None`: it is not among these, or no number.
pub(crate) fn value(status: &QueryResult, name: &str) -> Option<u64> {
    setting(status, name)?.parse().ok()
}

/// The text beside a name; `None`: it is not among these.
pub(crate) fn setting(shown: &QueryResult, name: &str) -> Option<String> {
    let row = shown.rows.iter().find(|row| {
        row.first()
            .and_then(Option::as_deref)
            .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
    })?;
    let text = std::str::from_utf8(row.get(1)?.as_deref()?).ok()?;
    Some(text.to_owned())
}

/// The number in a column of the first row; `None`: there is no row, or no number.
pub(crate) fn number(result: &QueryResult, column: usize) -> Option<u64> {
    let text = result.rows.first()?.get(column)?.as_deref()?;
    std::str::from_utf8(text).ok()?.parse().ok()
}
