//! A program that is no server: found on the machine, else fetched like the servers.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::plan::{self, Plan};
use crate::progress::Progress;
use crate::unpacked::Loader;
use crate::{Error, Product, cache};

/// How such a program is called.
pub(crate) struct Names {
    pub(crate) product: Product,
    /// In PATH, and below `usr/sbin` or `usr/bin` in its package.
    pub(crate) program: &'static str,
    /// With it the program says its version.
    pub(crate) version_option: &'static str,
}

/// Such a program on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Other {
    version: String,
    program: PathBuf,
    unpacked: Option<Tree>,
}

/// The tree of packages that a fetched program lives in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tree {
    root: PathBuf,
    loader: Loader,
}

impl Names {
    /// The program at this path.
    ///
    /// # Errors
    /// It is not this program.
    pub(crate) fn given(&self, path: &Path) -> Result<Other, Error> {
        self.asked(path.to_owned(), None)
            .ok_or_else(|| Error::Unavailable {
                product: self.product,
                reason: format!("`{}` does not tell its version", path.display()),
                install: "give the path of the program",
            })
    }

    /// One that is installed, else one from packages, fetched now or before.
    ///
    /// # Errors
    /// None is installed, and none can be fetched on this system.
    pub(crate) fn found_or_fetched(&self, progress: &Progress) -> Result<Other, Error> {
        let path = env::var_os("PATH").unwrap_or_default();
        let installed = env::split_paths(&path)
            .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
            .find_map(|directory| self.asked(directory.join(self.program), None));
        match installed {
            Some(program) => Ok(program),
            None => self.fetched(progress),
        }
    }

    fn fetched(&self, progress: &Progress) -> Result<Other, Error> {
        let product = self.product;
        let entry = cache::entry(&plan::cache_name(product), |into| {
            Plan::for_this_system(product)?.fetch(into, progress)
        })?;
        let root = entry.join("root");
        let program = ["usr/sbin", "usr/bin"]
            .map(|directory| root.join(directory).join(self.program))
            .into_iter()
            .find(|path| path.is_file());
        let complete = program
            .zip(Loader::of(&root))
            .and_then(|(program, loader)| self.asked(program, Some(Tree { root, loader })));
        complete.ok_or_else(|| Error::Fetch {
            product,
            step: "unpacking".to_owned(),
            detail: format!("{} is incomplete, remove it", entry.display()),
        })
    }

    /// With the version that the program says it has; `None` when it says none.
    fn asked(&self, program: PathBuf, unpacked: Option<Tree>) -> Option<Other> {
        let mut other = Other {
            version: String::new(),
            program,
            unpacked,
        };
        let output = other
            .command()
            .arg(self.version_option)
            .stdin(Stdio::null())
            .output()
            .ok()?;
        // ProxySQL says it on standard error.
        let said = [output.stdout, output.stderr].concat();
        other.version = version_in(&String::from_utf8_lossy(&said))?;
        Some(other)
    }
}

impl Other {
    /// The version as the program gives it.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// A command that runs it; arguments are the caller's.
    pub(crate) fn command(&self) -> Command {
        match &self.unpacked {
            Some(tree) => tree.loader.command(&self.program),
            None => Command::new(&self.program),
        }
    }

    /// A fetched one's libraries; none for one that is installed on this system.
    pub(crate) fn libraries(&self) -> &[PathBuf] {
        self.unpacked
            .as_ref()
            .map_or(&[], |tree| tree.loader.directories())
    }

    /// The directory below which its packages put their files.
    pub(crate) fn root(&self) -> &Path {
        self.unpacked
            .as_ref()
            .map_or(Path::new("/"), |tree| &tree.root)
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
    fn each_program_tells_its_version_in_its_own_way() {
        let haproxy = "HAProxy version 2.6.12-1+deb12u4 2026/06/01 - https://haproxy.org/\nStatus: long-term\n";
        let router = "MySQL Router  Ver 9.7.4 for Linux on x86_64 ((Debian))\n";
        let proxysql = "ProxySQL version 2.7.3-12-g50b7f85, codename Truls\n";
        let sysbench = "sysbench 1.0.20\n";
        assert_eq!(version_in(haproxy).as_deref(), Some("2.6.12-1+deb12u4"));
        assert_eq!(version_in(router).as_deref(), Some("9.7.4"));
        assert_eq!(version_in(proxysql).as_deref(), Some("2.7.3-12-g50b7f85"));
        assert_eq!(version_in(sysbench).as_deref(), Some("1.0.20"));
        assert_eq!(version_in("usage: nothing of the kind\n"), None);
    }
}
