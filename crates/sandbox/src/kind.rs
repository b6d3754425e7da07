//! The two kinds of servers, and what differs between them before one runs.

use std::fmt;

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// MariaDB, 10.6 or newer; from packages: that of the distribution (Debian 12: 10.11).
    MariaDb,
    /// MySQL, 8.0 or newer; from packages: Debian unstable's (9.7), on Ubuntu its own suite's.
    MySql,
}

impl Kind {
    /// Both kinds, for tests that want each.
    pub const ALL: [Kind; 2] = [Kind::MariaDb, Kind::MySql];

    /// The names under which the server program is installed.
    pub(crate) fn server_names(self) -> &'static [&'static str] {
        match self {
            Kind::MariaDb => &["mariadbd", "mysqld"],
            Kind::MySql => &["mysqld"],
        }
    }

    /// The names under which the command line client is installed.
    pub(crate) fn client_names(self) -> &'static [&'static str] {
        match self {
            Kind::MariaDb => &["mariadb", "mysql"],
            Kind::MySql => &["mysql"],
        }
    }

    /// The oldest version that is taken from the machine: (major, minor).
    pub(crate) fn oldest(self) -> (u32, u32) {
        match self {
            Kind::MariaDb => (10, 6),
            Kind::MySql => (8, 0),
        }
    }

    /// What to do where no packages can be fetched.
    pub(crate) fn by_hand(self) -> &'static str {
        match self {
            Kind::MariaDb => {
                "install MariaDB 10.6 or newer so that `mariadbd` and `mariadb` are in PATH"
            }
            Kind::MySql => "install MySQL 8.0 or newer so that `mysqld` and `mysql` are in PATH",
        }
    }

    /// The kind in a file name.
    pub(crate) fn slug(self) -> &'static str {
        match self {
            Kind::MariaDb => "mariadb",
            Kind::MySql => "mysql",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::MariaDb => "MariaDB",
            Kind::MySql => "MySQL",
        })
    }
}
