//! Initialised data directories: made once for each server version, copied for each server.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use crate::programs::{Programs, option};
use crate::progress::Progress;
use crate::{Error, Kind, cache};

/// What MySQL writes into a data directory to name the server; each copy needs its own.
const SERVER_UUID: &str = "auto.cnf";

/// Copies an initialised data directory of this server's version to `data`.
pub(crate) fn copy_to(data: &Path, programs: &Programs, progress: &Progress) -> Result<(), Error> {
    let version: String = programs
        .version()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || ".-".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    let name = format!("data-{}-{version}", programs.kind().slug());
    let template = cache::entry(&name, |into| {
        progress.say(&format!(
            "initialising a data directory of {} (once)",
            programs.kind()
        ));
        initialise(into, programs)
    })?;
    copy(&template, data)
}

fn initialise(data: &Path, programs: &Programs) -> Result<(), Error> {
    let mut command = programs.server_command();
    command
        .arg(option("--datadir", data))
        .arg("--innodb-buffer-pool-size=64M");
    let input = match programs.kind() {
        Kind::MySql => {
            command.arg("--initialize-insecure");
            Vec::new()
        }
        Kind::MariaDb => {
            command.args([
                "--bootstrap",
                "--log-warnings=0",
                "--enforce-storage-engine=",
            ]);
            system_tables(programs)?
        }
    };
    let what = || {
        format!(
            "initialise a data directory with {}",
            programs.server_program().display()
        )
    };
    let mut server = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(Error::io(what()))?;
    let stdin = server.stdin.take();
    // Its messages are read while it is fed, or both sides could wait on a full pipe.
    let feeder = std::thread::spawn(move || match stdin {
        Some(mut stdin) => stdin.write_all(&input),
        None => Ok(()),
    });
    let output = server.wait_with_output().map_err(Error::io(what()))?;
    let fed = feeder.join().unwrap_or(Ok(()));
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr);
        return Err(Error::Start {
            kind: programs.kind(),
            reason: format!("initialising a data directory ended with {}", output.status),
            log: last_lines(&log, 5),
        });
    }
    fed.map_err(Error::io(what()))
}

/// The SQL that creates MariaDB's system tables, as `mariadb-install-db` composes it: one
/// statement a line, root with no password, no lines about this host's name.
fn system_tables(programs: &Programs) -> Result<Vec<u8>, Error> {
    let share = programs.share().ok_or_else(|| Error::Start {
        kind: programs.kind(),
        reason: "the SQL files for its system tables were not found".to_owned(),
        log: format!("looked beside {}", programs.server_program().display()),
    })?;
    let mut sql = String::from(
        "create database if not exists mysql;\nuse mysql;\nSET @auth_root_socket=NULL;\n",
    );
    for file in [
        "system_tables.sql",
        "performance_tables.sql",
        "system_tables_data.sql",
        "maria_add_gis_sp_bootstrap.sql",
        "sys_schema.sql",
    ] {
        // 11.x ships `mariadb_…` where 10.x ships `mysql_…`.
        let path = ["mariadb_", "mysql_", ""]
            .map(|prefix| share.join(format!("{prefix}{file}")))
            .into_iter()
            .find(|path| path.is_file())
            .unwrap_or_else(|| share.join(file));
        let text = fs::read_to_string(&path).map_err(Error::at("read", &path))?;
        for line in text
            .lines()
            .filter(|line| !line.contains("@current_hostname"))
        {
            sql.push_str(line);
            sql.push('\n');
        }
    }
    Ok(sql.into_bytes())
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(Error::at("create", to))?;
    for entry in fs::read_dir(from).map_err(Error::at("list", from))? {
        let entry = entry.map_err(Error::at("list", from))?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type().map_err(Error::at("examine", from))?;
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if entry.file_name() != SERVER_UUID {
            fs::copy(entry.path(), &target).map_err(Error::at("copy to", &target))?;
        }
    }
    Ok(())
}

/// The last lines of a log, on one line.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(count)..].join(" / ")
}
