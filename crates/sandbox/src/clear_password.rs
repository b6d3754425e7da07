//! Accounts that log in with `mysql_clear_password`: the server is told the password itself, as for PAM and LDAP.
//!
//! MariaDB does it with PAM, as it is used in the field: its own plugin, the system's libpam, `pam_exec` and a service
//! that knows one password. libpam reads services in `/etc/pam.d` only, which belongs to root and to the whole system;
//! so the server is started with a preloaded library of one function (`pam.c`) that shows libpam another directory.
//! This needs neither root nor namespaces (Ubuntu 24.04 forbids mounts in those that are made without root), and
//! nothing is left outside of the server's directory.
//!
//! MySQL's community server has no such plugin, but for the one in its package of tests (340 MB). So a plugin is
//! compiled (`plugin.c`) that compares what it is told with the account's authentication string.
//!
//! Both need a C compiler: `$CC`, or `cc`.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs::{Programs, option};
use crate::template::last_lines;
use crate::{Error, Kind, compile};

const PAM: &str = include_str!("clear_password/pam.c");
const PLUGIN: &str = include_str!("clear_password/plugin.c");

/// The PAM service.
const SERVICE: &str = "sandbox";

/// MySQL's plugin, as `plugin.c` names it.
const MYSQL_PLUGIN: &str = "sandbox_clear";

/// Its file.
const LIBRARY: &str = "sandbox_clear.so";

/// The directory with all of this in it, within the server's.
const DIRECTORY: &str = "clear-password";

/// What follows the account's name in CREATE USER.
pub(crate) fn clause(kind: Kind, password: &str) -> String {
    match kind {
        Kind::MariaDb => format!("IDENTIFIED VIA pam USING '{SERVICE}'"),
        Kind::MySql => {
            let quoted = password.replace('\\', "\\\\").replace('\'', "''");
            format!("IDENTIFIED WITH {MYSQL_PLUGIN} BY '{quoted}'")
        }
    }
}

/// The server's command line with what loads the plugin.
pub(crate) fn prepare(kind: Kind, server: Command, directory: &Path) -> Command {
    let directory = directory.join(DIRECTORY);
    match kind {
        Kind::MariaDb => {
            // Before libpam, to be found first; and libpam too, for the plugin alone would have it to itself.
            let mut preload = OsString::from("LD_PRELOAD=");
            preload.push(library(kind, &directory));
            preload.push(":libpam.so.0");
            let mut command = Command::new("env");
            command
                .arg(preload)
                .arg(server.get_program())
                .args(server.get_args())
                // In the server's process: the other version asks a program that ignores LD_PRELOAD where it is setuid.
                .arg("--plugin-load-add=auth_pam_v1")
                .arg("--pam-use-cleartext-plugin=ON");
            command
        }
        Kind::MySql => {
            let mut command = server;
            command
                .arg(option("--plugin-dir", &directory))
                .arg(format!("--plugin-load-add={MYSQL_PLUGIN}={LIBRARY}"));
            command
        }
    }
}

/// Compiles and writes what [`prepare`] names.
///
/// # Errors
/// There is no C compiler, or the directory cannot be written.
pub(crate) fn install(programs: &Programs, password: &str, directory: &Path) -> Result<(), Error> {
    let kind = programs.kind();
    let directory = directory.join(DIRECTORY);
    fs::create_dir(&directory).map_err(Error::at("create", &directory))?;
    let library = library(kind, &directory);
    match kind {
        Kind::MariaDb => {
            let define = format!("-DDIRECTORY=\"{}\"", directory.display());
            compile::library(&needed(kind), PAM, &[&define], &library)?;
            let secret = directory.join("secret");
            let write =
                |path: &Path, text: &str| fs::write(path, text).map_err(Error::at("write", path));
            write(&secret, password)?;
            // Some versions of pam_exec end what they are told with a NUL.
            let check = directory.join("check");
            let script = format!(
                "test \"$(tr -d '\\000')\" = \"$(cat '{}')\"\n",
                secret.display()
            );
            write(&check, &script)?;
            let service = format!(
                "auth required pam_exec.so quiet expose_authtok /bin/sh {}\naccount required pam_permit.so\n",
                check.display()
            );
            write(&directory.join(SERVICE), &service)
        }
        Kind::MySql => {
            // Its own too: without its `component_reference_cache.so`, FLUSH PRIVILEGES leaves the cache of
            // `caching_sha2_password` as it was (9.7).
            let own = plugin_directory(programs)?;
            for entry in fs::read_dir(&own).map_err(Error::at("list", &own))? {
                let path = entry.map_err(Error::at("list", &own))?.path();
                let link = directory.join(path.file_name().unwrap_or_default());
                symlink(&path, &link).map_err(Error::at("create", &link))?;
            }
            compile::library(&needed(kind), PLUGIN, &[], &library)
        }
    }
}

/// Where a server's plugins are, as it says itself.
fn plugin_directory(programs: &Programs) -> Result<PathBuf, Error> {
    let what = || "find the plugins of a server";
    let output = programs
        .server_command()
        .args(["--verbose", "--help"])
        .output()
        .map_err(Error::io(what()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let directory = text
        .lines()
        .find_map(|line| line.strip_prefix("plugin-dir "));
    match directory {
        Some(directory) => Ok(PathBuf::from(directory.trim())),
        None => Err(Error::io(what())(io::Error::other(last_lines(
            &String::from_utf8_lossy(&output.stderr),
            3,
        )))),
    }
}

/// The plugin as the server knows it, and what to do where it is missing.
pub(crate) const fn plugin(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::MariaDb => ("pam", "install the server's PAM plugin, auth_pam_v1.so"),
        Kind::MySql => (MYSQL_PLUGIN, "it needs MySQL 8.0 or newer and 64 bits"),
    }
}

fn needed(kind: Kind) -> String {
    format!("what {kind} needs for mysql_clear_password")
}

fn library(kind: Kind, directory: &Path) -> PathBuf {
    directory.join(match kind {
        Kind::MariaDb => "pam.so",
        Kind::MySql => LIBRARY,
    })
}
