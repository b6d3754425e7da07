//! Other proxies, for a campaign that compares.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;
use crate::other::{Names, Other};
use crate::progress::Progress;

/// A proxy of somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Peer {
    /// HAProxy; from packages: that of the distribution.
    HaProxy,
    /// MySQL Router; from packages: Debian unstable's, on Ubuntu its own suite's.
    MySqlRouter,
    /// ProxySQL, which neither distribution packages.
    ProxySql,
}

impl Peer {
    /// All of them.
    pub const ALL: [Peer; 3] = [Peer::HaProxy, Peer::MySqlRouter, Peer::ProxySql];

    /// The name under which the program is installed.
    pub fn program_name(self) -> &'static str {
        match self {
            Peer::HaProxy => "haproxy",
            Peer::MySqlRouter => "mysqlrouter",
            Peer::ProxySql => "proxysql",
        }
    }

    pub(crate) fn by_hand(self) -> &'static str {
        match self {
            Peer::HaProxy => "install HAProxy so that `haproxy` is in PATH",
            Peer::MySqlRouter => "install MySQL Router so that `mysqlrouter` is in PATH",
            Peer::ProxySql => "install ProxySQL so that `proxysql` is in PATH",
        }
    }

    fn names(self) -> Names {
        Names {
            product: self.into(),
            program: self.program_name(),
            version_option: match self {
                Peer::HaProxy => "-v",
                Peer::MySqlRouter | Peer::ProxySql => "--version",
            },
        }
    }

    /// The program: the given one, else one that is installed, else one from packages, fetched now or before.
    ///
    /// # Errors
    /// The given one is not this program; or none is installed, and none can be fetched on this system.
    pub fn program(self, given: Option<&Path>) -> Result<PeerProgram, Error> {
        let names = self.names();
        let program = match given {
            Some(path) => names.given(path)?,
            None => names.found_or_fetched(&Progress::default())?,
        };
        Ok(PeerProgram {
            peer: self,
            program,
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Peer::HaProxy => "HAProxy",
            Peer::MySqlRouter => "MySQL Router",
            Peer::ProxySql => "ProxySQL",
        })
    }
}

/// A proxy's program on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerProgram {
    peer: Peer,
    program: Other,
}

impl PeerProgram {
    /// Which one it is.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The version as the program gives it, such as `2.6.12-1+deb12u4`.
    pub fn version(&self) -> &str {
        self.program.version()
    }

    /// A command that runs it; arguments are the caller's.
    pub fn command(&self) -> Command {
        self.program.command()
    }

    /// Where a fetched MySQL Router has its plugins; an installed one knows.
    pub fn plugin_directory(&self) -> Option<PathBuf> {
        let lib = self.program.root().join("usr/lib");
        let libraries = self.program.libraries();
        libraries
            .iter()
            .chain(libraries.first().map(|_| &lib))
            .flat_map(|directory| {
                ["mysqlrouter/plugin", "mysqlrouter"].map(|plugins| directory.join(plugins))
            })
            .find(|plugins| plugins.join("routing.so").is_file())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_program_that_is_something_else_is_refused() {
        let error = Peer::HaProxy
            .program(Some(Path::new("/nonexistent/haproxy")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nonexistent/haproxy"), "{error}");
    }
}
