//! The best answer that each kind of evidence allows for each cause, and why it allows no better one. An answer that says
//! less is not right, and one that is certain and something else is wrong.

use steadfast_diagnose::{Cause, Product};

use super::collected::{Collected, Listed, Logging, Look};

/// The best possible answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Best {
    /// The cause itself.
    Cause,
    /// This class, or a smaller one that holds it.
    Class(&'static str),
    /// The cause is behind what can be seen, which is one of these.
    Behind(&'static [&'static str]),
    /// Nothing: *unknown* with the cause among its candidates, or a class that holds it.
    Unknown,
}

/// A best possible answer, and its reason.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    cause: Cause,
    /// `None`: on both.
    product: Option<Product>,
    logging: Option<Logging>,
    look: Option<Look>,
    pub(crate) best: Best,
    /// What the evidence lacks.
    pub(crate) reason: &'static str,
}

impl Row {
    /// A row for any look is for those from the server's side: Steadfast sees more.
    fn is_for(&self, look: Look) -> bool {
        match self.look {
            Some(one) => one == look,
            None => !matches!(look, Look::Both | Look::Proxy),
        }
    }
}

const MARIADB: Option<Product> = Some(Product::MariaDb);
const MYSQL: Option<Product> = Some(Product::MySql);
const QUIET: Option<Logging> = Some(Logging::Default);
const SERVER: Option<Look> = Some(Look::Server);
const PROXY: Option<Look> = Some(Look::Proxy);
const BOTH: Option<Look> = Some(Look::Both);

const fn row(
    cause: Cause,
    product: Option<Product>,
    logging: Option<Logging>,
    look: Option<Look>,
    best: Best,
    reason: &'static str,
) -> Row {
    Row {
        cause,
        product,
        logging,
        look,
        best,
        reason,
    }
}

const NO_LOG: &str = "MySQL logs no aborted connection at log_error_verbosity=2, and Aborted_clients moves for all of these";
const ANY_READ: &str = "MariaDB logs the same words for all waits for a client's packet, and no length of what had come of it";
const SAME_READ: &str = "between two packets of a file the same is logged as between two commands";
const CLOSED: &str =
    "whoever closed it, the server read the end of the connection, and logs the same words";
const NO_END: &str = "the server still has the connection and does not know of its end: a client's host that vanished looks so too";
const NO_PATH: &str = "a client that waits tells nothing of the way: forgotten or lost packets look alike from both ends";
const NO_ID: &str =
    "the connection never had an id, and the server counts it with others or not at all";
const STATEMENT: &str = "the statement's error went to the client only";

const LEFT: &str = "a client that gives up and one that ends close their connections alike";
const ENDED: &str = "without its logs a server that was restarted tells nothing of its end";

/// The first that fits counts; where none does, the evidence allows the cause itself.
const ROWS: &[Row] = &[
    row(Cause::ClientGone, None, None, BOTH, CLIENT_LEFT, LEFT),
    row(Cause::ClientGone, None, None, PROXY, CLIENT_LEFT, LEFT),
    row(Cause::ClientTimeout, None, None, BOTH, CLIENT_LEFT, LEFT),
    row(Cause::ClientTimeout, None, None, PROXY, CLIENT_LEFT, LEFT),
    row(Cause::Shutdown, None, None, PROXY, RESTARTED, ENDED),
    row(Cause::Crash, None, None, PROXY, RESTARTED, ENDED),
    row(Cause::ProcessKilled, None, None, PROXY, RESTARTED, ENDED),
    row(Cause::OutOfMemory, None, None, PROXY, RESTARTED, ENDED),
    row(Cause::Corruption, None, None, PROXY, RESTARTED, ENDED),
    row(Cause::DiskFull, MARIADB, None, PROXY, RESTARTED, ENDED),
    row(
        Cause::DiskFull,
        MYSQL,
        None,
        PROXY,
        Best::Behind(&["client-left", "unknown"]),
        "MySQL stands still or says 1114, as it does of a table that has reached its own limit; the client's end is told",
    ),
    row(
        Cause::OpenFilesLimit,
        None,
        None,
        PROXY,
        Best::Unknown,
        "a server that can take no connection looks as one that hangs",
    ),
    row(Cause::IdleTimeout, MYSQL, QUIET, SERVER, UNCHANGED, NO_LOG),
    row(Cause::IdleTimeout, MARIADB, QUIET, None, READ, ANY_READ),
    row(Cause::IdleTimeout, MARIADB, None, None, READ, SAME_READ),
    row(
        Cause::IdleTransactionTimeout,
        MARIADB,
        QUIET,
        None,
        READ,
        ANY_READ,
    ),
    row(
        Cause::IdleTransactionTimeout,
        MARIADB,
        None,
        None,
        READ,
        "nothing is logged of transactions",
    ),
    row(
        Cause::StalledUpload,
        MYSQL,
        QUIET,
        SERVER,
        UNCHANGED,
        NO_LOG,
    ),
    row(Cause::StalledUpload, MARIADB, QUIET, None, READ, ANY_READ),
    row(Cause::StalledUpload, MARIADB, None, None, READ, SAME_READ),
    row(Cause::SlowReader, MYSQL, QUIET, None, UNCHANGED, NO_LOG),
    row(
        Cause::SlowReader,
        MARIADB,
        QUIET,
        None,
        Best::Class("write-failed"),
        "MariaDB logs an error where writing timed out, as where the client had gone; only log_warnings=4 has the number",
    ),
    row(
        Cause::HandshakeTimeout,
        MYSQL,
        QUIET,
        SERVER,
        LOGIN,
        "MySQL logs no aborted login at log_error_verbosity=2, and Aborted_connects moves for all of these",
    ),
    row(
        Cause::HandshakeTimeout,
        MARIADB,
        QUIET,
        None,
        LOGIN,
        "MariaDB logs the same words for a client that left during the login; only log_warnings=4 tells of the timer",
    ),
    row(Cause::PacketTooLarge, MYSQL, QUIET, None, UNCHANGED, NO_LOG),
    row(Cause::Killed, MYSQL, QUIET, None, UNCHANGED, NO_LOG),
    row(
        Cause::Killed,
        MYSQL,
        None,
        None,
        CLOSED_BY_SERVER,
        "MySQL logs neither KILL nor packets out of order, and Com_kill may have moved for another connection",
    ),
    row(
        Cause::Killed,
        MARIADB,
        QUIET,
        None,
        CLOSED_BY_SERVER,
        "MariaDB logs neither KILL nor packets out of order at log_warnings=2, and Com_kill may have moved for another",
    ),
    row(Cause::ClientGone, MYSQL, QUIET, None, UNCHANGED, NO_LOG),
    row(Cause::ClientGone, None, None, None, NOT_SERVER, CLOSED),
    row(
        Cause::ClientTimeout,
        MYSQL,
        QUIET,
        SERVER,
        UNCHANGED,
        NO_LOG,
    ),
    row(Cause::ClientTimeout, None, None, SERVER, NOT_SERVER, CLOSED),
    row(Cause::ProxyTimeout, MYSQL, QUIET, None, UNCHANGED, NO_LOG),
    row(Cause::ProxyTimeout, None, None, None, NOT_SERVER, CLOSED),
    row(Cause::MiddleboxIdle, None, None, SERVER, NOT_SERVER, NO_END),
    row(Cause::MiddleboxIdle, None, None, None, PATH, NO_PATH),
    row(Cause::NetworkDrop, None, None, SERVER, NOT_SERVER, NO_END),
    row(Cause::NetworkDrop, None, None, None, PATH, NO_PATH),
    row(
        Cause::QueryTimeout,
        None,
        None,
        SERVER,
        Best::Unknown,
        STATEMENT,
    ),
    row(Cause::Demoted, None, None, SERVER, Best::Unknown, STATEMENT),
    row(
        Cause::ServerMemoryLimit,
        MARIADB,
        None,
        SERVER,
        Best::Unknown,
        STATEMENT,
    ),
    row(
        Cause::TooManyConnections,
        None,
        None,
        SERVER,
        Best::Unknown,
        NO_ID,
    ),
    row(Cause::HostBlocked, None, None, SERVER, Best::Unknown, NO_ID),
    row(
        Cause::NotListening,
        None,
        None,
        SERVER,
        Best::Unknown,
        NO_ID,
    ),
];

const CLIENT_LEFT: Best = Best::Class("client-left");
const RESTARTED: Best = Best::Class("server-restarted");
const UNCHANGED: Best = Best::Class("server-unchanged");
const READ: Best = Best::Class("read-timeout");
const LOGIN: Best = Best::Class("login-broken-off");
const CLOSED_BY_SERVER: Best = Best::Class("closed-by-server");
const NOT_SERVER: Best = Best::Class("not-by-the-server");
const PATH: Best = Best::Class("path");

/// For the cause itself.
const ITSELF: Row = row(Cause::IdleTimeout, None, None, None, Best::Cause, "");

/// Right after, where the server still runs the statement.
const STILL_RUNS: Row = row(
    Cause::ClientTimeout,
    None,
    None,
    None,
    Best::Class("no-answer-in-time"),
    "while the server still runs the statement, a client that gave up and an answer that cannot arrive look alike",
);

/// The best answer for this cause from what was collected.
pub(crate) fn best_of(collected: &Collected, cause: Cause, look: Look) -> Row {
    if collected.steadfast.is_some() {
        return best(cause, collected.product(), collected.logging, look);
    }
    let waited = matches!(cause, Cause::ClientTimeout | Cause::NetworkDrop);
    if waited && collected.listed == Some(Listed::Runs) {
        let best = match look {
            Look::ServerAndMessage => STILL_RUNS.best,
            _ => NOT_SERVER,
        };
        return Row {
            cause,
            best,
            ..STILL_RUNS
        };
    }
    best(cause, collected.product(), collected.logging, look)
}

/// The best answer for this cause from this evidence.
pub(crate) fn best(cause: Cause, product: Product, logging: Logging, look: Look) -> Row {
    ROWS.iter()
        .find(|row| {
            row.cause == cause
                && row.product.is_none_or(|one| one == product)
                && row.logging.is_none_or(|one| one == logging)
                && row.is_for(look)
        })
        .copied()
        .unwrap_or(Row { cause, ..ITSELF })
}

#[cfg(test)]
mod tests {
    use steadfast_diagnose::Class;

    use super::*;

    #[test]
    fn classes_exist_and_hold_the_cause() {
        for row in ROWS {
            assert!(!row.reason.is_empty(), "{row:?}");
            if let Best::Class(name) = row.best {
                let class = Class::ALL.iter().find(|class| class.name == name);
                assert!(
                    class.is_some_and(|class| class.members.contains(&row.cause)),
                    "{row:?}"
                );
            }
        }
    }
}
