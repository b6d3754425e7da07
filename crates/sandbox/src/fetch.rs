//! Fetches packages with the machine's apt, without root and without touching the
//! machine's own package state, and unpacks them.
//!
//! The packages come with everything down to the C library, so that they also run on a system
//! that is older than they are: see [`crate::programs`] for how they are started.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::plan::Plan;
use crate::progress::Progress;
use crate::{Error, Product};

/// What makes apt leave the machine's state alone. The machine's configuration is read (it may
/// hold a proxy), but its hooks after an update are not run. Lists that a lagging mirror did not
/// renew in time will do: they are signed all the same, and a sandboxed server is for tests.
const APT_CONF: &str = "\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::IndexTargets::deb::DEP-11;
APT::Install-Recommends \"false\";
APT::Update::Error-Mode \"any\";
APT::Sandbox::User \"root\";
Acquire::Check-Valid-Until \"false\";
Acquire::Languages \"none\";
Acquire::Retries \"2\";
";

impl Plan {
    /// Fetches and unpacks the packages into `into`, which must be empty.
    pub(crate) fn fetch(&self, into: &Path, progress: &Progress) -> Result<(), Error> {
        let private = into.join("apt");
        let mut refused = None;
        for (number, sources) in self.sources.iter().enumerate() {
            let apt = Apt::new(self.product, private.join(number.to_string()), sources)?;
            match self.fetch_from(&apt, into, progress) {
                Ok(()) => {
                    fs::remove_dir_all(&private).map_err(Error::at("remove", &private))?;
                    return Ok(());
                }
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        Err(refused.unwrap_or(Error::Unavailable {
            product: self.product,
            reason: "no apt source was found".to_owned(),
            install: "add one",
        }))
    }

    fn fetch_from(&self, apt: &Apt, into: &Path, progress: &Progress) -> Result<(), Error> {
        progress.say(&format!(
            "fetching the package lists for {} (once)",
            self.product
        ));
        // The status is of no interest: a source that failed shows when its package is missing.
        let update = apt.run("update", &[])?;
        progress.say(&format!(
            "fetching the packages of {} (10 to 90 MB, once)",
            self.product
        ));
        let options = ["--download-only", "--yes"];
        let install: Vec<&str> = options.iter().chain(self.packages).copied().collect();
        apt.check("install", &install).map_err(|error| {
            if update.success {
                error
            } else {
                apt.failed("apt-get update", &update.text)
            }
        })?;
        if !self.alone.is_empty() {
            apt.check("download", self.alone)?;
        }
        progress.say(&format!("unpacking {}", self.product));
        let root = into.join("root");
        for package in apt.packages()? {
            let mut dpkg = Command::new("dpkg");
            dpkg.arg("-x").arg(&package).arg(&root);
            let outcome = Outcome::of(&mut dpkg)?;
            if !outcome.success {
                return Err(apt.failed("dpkg -x", &outcome.text));
            }
        }
        trim(&root)
    }
}

/// Removes what no server needs and takes most of the room after the programs.
fn trim(root: &Path) -> Result<(), Error> {
    for unneeded in [
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
        "usr/share/perl",
    ] {
        let path = root.join(unneeded);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::at("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// apt with a state of its own.
struct Apt {
    product: Product,
    directory: PathBuf,
}

struct Outcome {
    success: bool,
    text: String,
}

impl Outcome {
    fn of(command: &mut Command) -> Result<Outcome, Error> {
        let program = command.get_program().to_string_lossy().into_owned();
        let output = command
            .stdin(Stdio::null())
            .output()
            .map_err(Error::io(format!("run {program}")))?;
        Ok(Outcome {
            success: output.status.success(),
            text: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}

impl Apt {
    fn new(
        product: Product,
        directory: PathBuf,
        sources: &[(&'static str, String)],
    ) -> Result<Apt, Error> {
        let apt = Apt { product, directory };
        for below in ["sources", "dpkg", "lists/partial", "cache/archives/partial"] {
            let path = apt.directory.join(below);
            fs::create_dir_all(&path).map_err(Error::at("create", &path))?;
        }
        let write = |name: &str, text: &str| {
            let path = apt.directory.join(name);
            fs::write(&path, text).map_err(Error::at("write", &path))
        };
        write("apt.conf", APT_CONF)?;
        write("dpkg/status", "")?;
        for (number, (extension, text)) in sources.iter().enumerate() {
            write(&format!("sources/{number}.{extension}"), text)?;
        }
        Ok(apt)
    }

    fn run(&self, action: &str, arguments: &[&str]) -> Result<Outcome, Error> {
        let mut command = Command::new("apt-get");
        let archives = self.directory.join("cache/archives");
        command.env("LC_ALL", "C").current_dir(&archives);
        command
            .arg("-c")
            .arg(self.directory.join("apt.conf"))
            .arg("-q");
        let option = |command: &mut Command, name: &str, value: &Path| {
            command.arg("-o").arg(format!("{name}={}", value.display()));
        };
        option(&mut command, "Dir::Etc::SourceList", Path::new("/dev/null"));
        option(
            &mut command,
            "Dir::Etc::SourceParts",
            &self.directory.join("sources"),
        );
        option(
            &mut command,
            "Dir::Etc::Preferences",
            Path::new("/dev/null"),
        );
        option(
            &mut command,
            "Dir::Etc::PreferencesParts",
            Path::new("/dev/null"),
        );
        option(&mut command, "Dir::State", &self.directory);
        option(
            &mut command,
            "Dir::State::Lists",
            &self.directory.join("lists"),
        );
        // Empty: no package counts as installed, so that the C library is fetched too. apt locks
        // beside it.
        option(
            &mut command,
            "Dir::State::status",
            &self.directory.join("dpkg/status"),
        );
        option(&mut command, "Dir::Cache", &self.directory.join("cache"));
        option(&mut command, "Dir::Cache::archives", &archives);
        command.arg(action).args(arguments);
        Outcome::of(&mut command)
    }

    fn check(&self, action: &str, arguments: &[&str]) -> Result<(), Error> {
        let outcome = self.run(action, arguments)?;
        if outcome.success {
            Ok(())
        } else {
            Err(self.failed(&format!("apt-get {action}"), &outcome.text))
        }
    }

    fn failed(&self, step: &str, text: &str) -> Error {
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        Error::Fetch {
            product: self.product,
            step: step.to_owned(),
            detail: lines[lines.len().saturating_sub(3)..].join(" / "),
        }
    }

    fn packages(&self) -> Result<Vec<PathBuf>, Error> {
        let archives = self.directory.join("cache/archives");
        let entries = fs::read_dir(&archives).map_err(Error::at("list", &archives))?;
        let mut packages = Vec::new();
        for entry in entries {
            let path = entry.map_err(Error::at("list", &archives))?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                packages.push(path);
            }
        }
        packages.sort();
        Ok(packages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_out_of_reach_is_named() {
        if Command::new("apt-get").arg("--version").output().is_err() {
            // There is nothing to fetch with, and that has its own message.
            return;
        }
        let into = tempfile::tempdir().unwrap();
        let source = "deb http://127.0.0.1:9/archive suite main\n";
        let plan = Plan {
            product: crate::Kind::MariaDb.into(),
            sources: vec![vec![("list", source.to_owned())]],
            packages: &["mariadb-server-core"],
            alone: &[],
        };
        let quiet = Progress::new(|_| {});
        let error = plan.fetch(into.path(), &quiet).unwrap_err().to_string();
        assert!(error.contains("127.0.0.1:9/archive"), "{error}");
        assert!(error.contains("install MariaDB"), "{error}");
    }
}
