//! Other proxies, for a campaign that compares: found on the machine, else fetched like the servers.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::plan::{self, Plan};
use crate::product::Product;
use crate::progress::Progress;
use crate::unpacked::Loader;
use crate::{Error, cache};

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

    fn version_option(self) -> &'static str {
        match self {
            Peer::HaProxy => "-v",
            Peer::MySqlRouter | Peer::ProxySql => "--version",
        }
    }

    /// The program: the given one, else one that is installed, else one from packages, fetched now or before.
    ///
    /// # Errors
    /// The given one is not this program; or none is installed, and none can be fetched on this system.
    pub fn program(self, given: Option<&Path>) -> Result<PeerProgram, Error> {
        if let Some(path) = given {
            return PeerProgram::installed(self, path).ok_or_else(|| Error::Unavailable {
                product: self.into(),
                reason: format!("`{}` does not tell its version", path.display()),
                install: "give the path of the program",
            });
        }
        match candidates(self).find_map(|path| PeerProgram::installed(self, &path)) {
            Some(program) => Ok(program),
            None => PeerProgram::fetched(self, &Progress::default()),
        }
    }
}

fn candidates(peer: Peer) -> impl Iterator<Item = PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories: Vec<PathBuf> = env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .collect();
    directories
        .into_iter()
        .map(move |directory| directory.join(peer.program_name()))
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
    version: String,
    program: PathBuf,
    /// `None` for a program that is installed on this system.
    loader: Option<Loader>,
}

impl PeerProgram {
    /// Which one it is.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The version as the program gives it, such as `2.6.12-1+deb12u4`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// A command that runs it; arguments are the caller's.
    pub fn command(&self) -> Command {
        match &self.loader {
            Some(loader) => loader.command(&self.program),
            None => Command::new(&self.program),
        }
    }

    /// Where a fetched MySQL Router has its plugins; an installed one knows.
    pub fn plugin_directory(&self) -> Option<PathBuf> {
        let loader = self.loader.as_ref()?;
        let lib = self.program.parent()?.parent()?.join("lib");
        loader
            .directories()
            .iter()
            .chain([&lib])
            .flat_map(|directory| {
                ["mysqlrouter/plugin", "mysqlrouter"].map(|plugins| directory.join(plugins))
            })
            .find(|plugins| plugins.join("routing.so").is_file())
    }

    fn installed(peer: Peer, path: &Path) -> Option<Self> {
        Self {
            peer,
            version: String::new(),
            program: path.to_owned(),
            loader: None,
        }
        .asked()
    }

    fn fetched(peer: Peer, progress: &Progress) -> Result<Self, Error> {
        let product = Product::Peer(peer);
        if peer == Peer::ProxySql {
            return Err(plan::unpackaged(product));
        }
        let entry = cache::entry(&plan::cache_name(product), |into| {
            Plan::for_this_system(product)?.fetch(into, progress)
        })?;
        let root = entry.join("root");
        let program = ["usr/sbin", "usr/bin"]
            .map(|directory| root.join(directory).join(peer.program_name()))
            .into_iter()
            .find(|path| path.is_file());
        let complete = program
            .zip(Loader::of(&root))
            .and_then(|(program, loader)| {
                Self {
                    peer,
                    version: String::new(),
                    program,
                    loader: Some(loader),
                }
                .asked()
            });
        complete.ok_or_else(|| Error::Fetch {
            product,
            step: "unpacking".to_owned(),
            detail: format!("{} is incomplete, remove it", entry.display()),
        })
    }

    /// With the version that the program says it has; `None` when it says none.
    fn asked(mut self) -> Option<Self> {
        let output = self
            .command()
            .arg(self.peer.version_option())
            .stdin(Stdio::null())
            .output()
            .ok()?;
        // ProxySQL says it on standard error.
        let said = [output.stdout, output.stderr].concat();
        self.version = version_in(&String::from_utf8_lossy(&said))?;
        Some(self)
    }
}

/// The first word that begins with a digit and has a dot: `HAProxy version 2.6.12-1+deb12u4 2026/06/01 - …`,
/// `MySQL Router  Ver 9.7.4 for Linux …`, `ProxySQL version 2.7.3-12-g50b7f85, codename Truls`.
fn version_in(text: &str) -> Option<String> {
    text.split_whitespace()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('.'))
        .map(|word| word.trim_end_matches(',').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_proxy_tells_its_version_in_its_own_way() {
        let haproxy = "HAProxy version 2.6.12-1+deb12u4 2026/06/01 - https://haproxy.org/\nStatus: long-term\n";
        let router = "MySQL Router  Ver 9.7.4 for Linux on x86_64 ((Debian))\n";
        let proxysql = "ProxySQL version 2.7.3-12-g50b7f85, codename Truls\n";
        assert_eq!(version_in(haproxy).as_deref(), Some("2.6.12-1+deb12u4"));
        assert_eq!(version_in(router).as_deref(), Some("9.7.4"));
        assert_eq!(version_in(proxysql).as_deref(), Some("2.7.3-12-g50b7f85"));
        assert_eq!(version_in("usage: nothing of the kind\n"), None);
    }

    #[test]
    fn a_given_program_that_is_something_else_is_refused() {
        let error = Peer::HaProxy
            .program(Some(Path::new("/nonexistent/haproxy")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nonexistent/haproxy"), "{error}");
    }
}
