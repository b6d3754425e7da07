//! Where the server and client programs are, and how each is started.
//!
//! Fetched programs are started through their own dynamic loader: see `unpacked.rs`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::plan::{self, Plan};
use crate::progress::Progress;
use crate::unpacked::Loader;
use crate::{Error, Kind, cache};

/// The programs of one kind of server on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    kind: Kind,
    version: String,
    server: PathBuf,
    client: PathBuf,
    /// `None` for programs that are installed on this system.
    unpacked: Option<Unpacked>,
}

/// A tree of unpacked packages.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unpacked {
    usr: PathBuf,
    loader: Loader,
    client_plugins: PathBuf,
}

static FOUND: Mutex<[Option<Programs>; 2]> = Mutex::new([None, None]);

/// The programs of this kind: found on the machine, in the cache, or fetched now.
///
/// Progress of a fetch goes to standard error. The first answer is kept for the process.
pub fn programs(kind: Kind) -> Result<Programs, Error> {
    find(kind, &Progress::default())
}

/// A command that runs the CLI client of this kind, without option files and with its plugins:
/// add `--host`, `--port`, `--user` and the rest.
pub fn client(kind: Kind) -> Result<Command, Error> {
    programs(kind).map(|programs| programs.client_command())
}

pub(crate) fn find(kind: Kind, progress: &Progress) -> Result<Programs, Error> {
    let mut found = FOUND
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let slot = &mut found[kind as usize];
    if let Some(programs) = slot {
        return Ok(programs.clone());
    }
    if !Path::new("/proc/self/stat").exists() {
        return Err(Error::Unavailable {
            product: kind.into(),
            reason: "its process could not be watched, for want of Linux's /proc".to_owned(),
            install: "use a Linux system with /proc mounted",
        });
    }
    let programs = match installed(kind) {
        Some(programs) => programs,
        None => fetched(kind, progress)?,
    };
    Ok(slot.insert(programs).clone())
}

fn installed(kind: Kind) -> Option<Programs> {
    if kind == Kind::MySql && apparmor_confines_mysqld() {
        return None;
    }
    let (server, version) = on_this_machine(kind, kind.server_names())?;
    let (client, _) = on_this_machine(kind, kind.client_names())?;
    Some(Programs {
        kind,
        version,
        server,
        client,
        unpacked: None,
    })
}

/// Ubuntu's profile lets an installed mysqld use its own directories only.
fn apparmor_confines_mysqld() -> bool {
    Path::new("/etc/apparmor.d/usr.sbin.mysqld").exists()
        && fs::read_to_string("/sys/module/apparmor/parameters/enabled")
            .is_ok_and(|enabled| enabled.starts_with('Y'))
}

fn on_this_machine(kind: Kind, names: &[&str]) -> Option<(PathBuf, String)> {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = [
        "/usr/sbin",
        "/usr/local/sbin",
        "/usr/libexec",
        "/usr/local/mysql/bin",
    ];
    let directories: Vec<PathBuf> = env::split_paths(&path)
        .chain(usual.map(PathBuf::from))
        .collect();
    names.iter().find_map(|name| {
        directories.iter().find_map(|directory| {
            let program = directory.join(name);
            let version = version_of(&mut Command::new(&program), kind)?;
            (leading_numbers(&version) >= kind.oldest()).then_some((program, version))
        })
    })
}

/// The version that a program says it has, when it is of this kind.
fn version_of(command: &mut Command, kind: Kind) -> Option<String> {
    let output = command
        .arg("--no-defaults")
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    parse_version(&text, kind)
}

/// From `mysqld  Ver 9.7.4-2 for Linux …` or the MariaDB client's
/// `mariadb  Ver 15.1 Distrib 10.11.19-MariaDB, for …`.
fn parse_version(text: &str, kind: Kind) -> Option<String> {
    if text.contains("MariaDB") != (kind == Kind::MariaDb) {
        return None;
    }
    let word_after = |marker| {
        let (_, rest) = text.split_once(marker)?;
        rest.split_whitespace().next()
    };
    let version = word_after(" Distrib ").or_else(|| word_after(" Ver "))?;
    version
        .starts_with(|first: char| first.is_ascii_digit())
        .then(|| version.trim_end_matches(',').to_owned())
}

fn leading_numbers(version: &str) -> (u32, u32) {
    let mut numbers = version
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn fetched(kind: Kind, progress: &Progress) -> Result<Programs, Error> {
    let entry = cache::entry(&plan::cache_name(kind.into()), |into| {
        Plan::for_this_system(kind.into())?.fetch(into, progress)
    })?;
    let root = entry.join("root");
    let incomplete = || Error::Fetch {
        product: kind.into(),
        step: "unpacking".to_owned(),
        detail: format!("{} is incomplete, remove it", entry.display()),
    };
    let loader = Loader::of(&root).ok_or_else(incomplete)?;
    let usr = root.join("usr");
    let client_plugins = match kind {
        Kind::MariaDb => loader
            .directories()
            .iter()
            .map(|directory| directory.join("libmariadb3/plugin"))
            .find(|plugins| plugins.is_dir()),
        Kind::MySql => Some(usr.join("lib/mysql/plugin")),
    };
    let program = |directory: &str, names: &[&str]| {
        let path = |name: &&str| usr.join(directory).join(name);
        names
            .iter()
            .map(path)
            .find(|path| path.is_file())
            .ok_or_else(incomplete)
    };
    let mut programs = Programs {
        kind,
        version: String::new(),
        server: program("sbin", kind.server_names())?,
        client: program("bin", kind.client_names())?,
        unpacked: Some(Unpacked {
            loader,
            client_plugins: client_plugins.ok_or_else(incomplete)?,
            usr,
        }),
    };
    programs.version =
        version_of(&mut programs.command(&programs.server), kind).ok_or_else(incomplete)?;
    Ok(programs)
}

impl Programs {
    /// The kind of server.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The server's version as the program gives it, such as `10.11.19-MariaDB-0+deb12u1`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The server program. Fetched ones do not run by this path alone.
    pub fn server_program(&self) -> &Path {
        &self.server
    }

    /// The CLI client program. Fetched ones do not run by this path alone: see
    /// [`Programs::client_command`].
    pub fn client_program(&self) -> &Path {
        &self.client
    }

    /// A command that runs the CLI client without option files and with its plugins.
    pub fn client_command(&self) -> Command {
        let mut command = self.command(&self.client);
        command.arg("--no-defaults");
        if let Some(unpacked) = &self.unpacked {
            command.arg(option("--plugin-dir", &unpacked.client_plugins));
        }
        command
    }

    /// A command that runs another program of the same packages, such as `mariadb-dump`,
    /// `mysqldump` or `mysqladmin`.
    pub fn tool_command(&self, name: &str) -> Command {
        self.command(&self.client.with_file_name(name))
    }

    /// The server with the options that say where its own files are.
    pub(crate) fn server_command(&self) -> Command {
        let mut command = self.command(&self.server);
        command.arg("--no-defaults");
        if let Some(unpacked) = &self.unpacked {
            let share = unpacked.usr.join("share/mysql");
            command
                .arg(option("--basedir", &unpacked.usr))
                .arg(option(
                    "--plugin-dir",
                    &unpacked.usr.join("lib/mysql/plugin"),
                ))
                .arg(option("--lc-messages-dir", &share))
                .arg(option("--character-sets-dir", &share.join("charsets")));
        }
        // Both refuse to run as root unless told to.
        if runs_as_root() {
            command.arg("--user=root");
        }
        command
    }

    /// The directory of MariaDB's SQL files that create the system tables.
    pub(crate) fn share(&self) -> Option<PathBuf> {
        let candidates = match &self.unpacked {
            Some(unpacked) => vec![unpacked.usr.join("share/mysql")],
            None => {
                let prefix = self.server.ancestors().nth(2).unwrap_or(Path::new("/usr"));
                ["mariadb", "mysql"]
                    .map(|name| prefix.join("share").join(name))
                    .to_vec()
            }
        };
        candidates.into_iter().find(|share| {
            ["mysql_system_tables.sql", "mariadb_system_tables.sql"]
                .iter()
                .any(|file| share.join(file).is_file())
        })
    }

    fn command(&self, program: &Path) -> Command {
        match &self.unpacked {
            None => Command::new(program),
            Some(unpacked) => unpacked.loader.command(program),
        }
    }
}

pub(crate) fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

fn runs_as_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_kinds_told_apart() {
        let mysql = "/usr/sbin/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))\n";
        let mariadb = "mariadb  Ver 15.1 Distrib 10.11.19-MariaDB, for debian-linux-gnu\n";
        assert_eq!(
            parse_version(mysql, Kind::MySql).as_deref(),
            Some("9.7.4-2")
        );
        assert_eq!(parse_version(mysql, Kind::MariaDb), None);
        assert_eq!(
            parse_version(mariadb, Kind::MariaDb).as_deref(),
            Some("10.11.19-MariaDB")
        );
        assert_eq!(leading_numbers("10.11.19-MariaDB"), (10, 11));
        assert!(leading_numbers("5.7.44") < Kind::MySql.oldest());
    }
}
