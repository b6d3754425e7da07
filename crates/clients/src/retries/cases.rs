//! What befalls the work of a helper, and what the helper must make of it.

use serde::Serialize;

/// One line of the error contract, as a client meets it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Case {
    /// The answer to COMMIT is lost, and there is no ledger: 1180.
    Commit,
    /// The answer to a write outside a transaction is lost: 1180.
    Write,
    /// A transaction that cannot be replayed, because it was shown a UUID: 1213.
    RolledBack,
    /// No server within `hold`, in a transaction: 1053.
    Unavailable,
    /// Somebody kills the session in a transaction: 1317.
    Killed,
}

/// A case for the program that runs a helper.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Work {
    case: &'static str,
    /// In a transaction, or a statement by itself.
    transaction: bool,
    /// What the transaction does before it writes; `{marker}` stands for the marker.
    before: Vec<&'static str>,
}

impl Case {
    pub(super) const ALL: [Case; 5] = [
        Case::Commit,
        Case::Write,
        Case::RolledBack,
        Case::Unavailable,
        Case::Killed,
    ];

    /// As markers have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Write => "write",
            Self::RolledBack => "rolled-back",
            Self::Unavailable => "unavailable",
            Self::Killed => "killed",
        }
    }

    /// The heading of its column.
    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Commit => "1180, COMMIT",
            Self::Write => "1180, write",
            Self::RolledBack => "1213",
            Self::Unavailable => "1053",
            Self::Killed => "1317",
        }
    }

    /// The error that Steadfast tells.
    pub(super) fn code(self) -> u16 {
        match self {
            Self::Commit | Self::Write => 1180,
            Self::RolledBack => 1213,
            Self::Unavailable => 1053,
            Self::Killed => 1317,
        }
    }

    /// The work may have been done: to do it again is wrong.
    pub(super) fn is_doubt(self) -> bool {
        self.code() == 1180
    }

    pub(super) fn work(self) -> Work {
        let before = match self {
            Self::Commit | Self::Unavailable => vec!["SELECT COUNT(*) FROM work"],
            Self::Write => Vec::new(),
            Self::RolledBack => vec!["SELECT COUNT(*), UUID() FROM work"],
            Self::Killed => vec!["SELECT SLEEP(6), '{marker}'"],
        };
        Work {
            case: self.name(),
            transaction: self != Self::Write,
            before,
        }
    }

    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.name() == name)
    }

    pub(super) fn of_marker(marker: &str) -> Option<Self> {
        Self::of_name(marker.split('/').nth(1)?)
    }
}

/// The marker of a helper's work in a case.
pub(super) fn marker(case: Case, helper: &str) -> String {
    format!("retries/{}/{helper}/", case.name())
}
