//! A tree of unpacked packages, and how its programs are started: through the dynamic loader that was fetched with
//! them, because they may be newer than this system's C library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The dynamic loader and the libraries of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Loader {
    loader: PathBuf,
    directories: Vec<PathBuf>,
}

impl Loader {
    /// That of the tree below `root`; `None` where there is none.
    pub(crate) fn of(root: &Path) -> Option<Loader> {
        let directories = library_directories(root);
        let loader = directories
            .iter()
            .find_map(|directory| loader_in(directory))?;
        Some(Loader {
            loader,
            directories,
        })
    }

    /// Where the tree's libraries are.
    pub(crate) fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// A command that runs a program of the tree.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let path: Vec<String> = self
            .directories
            .iter()
            .map(|directory| directory.display().to_string())
            .collect();
        let mut command = Command::new(&self.loader);
        command
            .arg("--library-path")
            .arg(path.join(":"))
            .arg("--argv0")
            .arg(program)
            .arg(program);
        command
    }
}

/// `lib/<triple>`, `usr/lib/<triple>` and the private ones of the packages of MySQL and MySQL Router.
fn library_directories(root: &Path) -> Vec<PathBuf> {
    let mut directories = Vec::new();
    for lib in ["lib", "usr/lib"] {
        let Ok(entries) = fs::read_dir(root.join(lib)) else {
            continue;
        };
        let triple = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            path.is_dir() && name.contains("-linux-gnu")
        };
        directories.extend(entries.flatten().map(|entry| entry.path()).filter(triple));
    }
    let of_packages = ["mysql/private", "mysql-router", "mysqlrouter/private"];
    let private: Vec<PathBuf> = directories
        .iter()
        .chain([&root.join("usr/lib")])
        .flat_map(|directory| of_packages.map(|private| directory.join(private)))
        .filter(|directory| directory.is_dir())
        .collect();
    directories.extend(private);
    directories.sort();
    directories
}

fn loader_in(directory: &Path) -> Option<PathBuf> {
    let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("ld-linux");
    let mut entries = fs::read_dir(directory).ok()?.flatten();
    entries.find(name).map(|entry| entry.path())
}
