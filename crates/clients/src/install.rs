//! Installs the drivers' packages, pinned, into the cache directory; the second run finds them there.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Written last, with the list of packages that was installed: an interrupted installation has none.
pub(crate) const COMPLETE: &str = "complete";

/// `$STEADFAST_CACHE/clients`, else `$XDG_CACHE_HOME/steadfast/clients`, else `~/.cache/steadfast/clients`.
pub(crate) fn cache() -> anyhow::Result<PathBuf> {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let base = set("STEADFAST_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|home| home.join("steadfast")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/steadfast")))
        .context("there is no cache directory: set STEADFAST_CACHE")?;
    Ok(base.join("clients"))
}

/// The Python interpreter of an environment with the packages of requirements.txt.
pub(crate) fn python(scripts: &Path) -> anyhow::Result<PathBuf> {
    python_with("python", scripts)
}

/// The same, with the requirements.txt of another directory, in an environment of its own.
pub(crate) fn python_with(name: &str, scripts: &Path) -> anyhow::Result<PathBuf> {
    let found = version("python3", "install Python 3.9 or newer")?;
    let wanted = format!("{found}\n{}", read(&scripts.join("requirements.txt"))?);
    let place = cache()?.join(name);
    let interpreter = place.join("bin/python");
    if is_complete(&place, &wanted) {
        return Ok(interpreter);
    }
    prepare(&place)?;
    eprintln!(
        "clients: installing the Python drivers into {}",
        place.display()
    );
    run(
        Command::new("python3").args(["-m", "venv"]).arg(&place),
        "python3 cannot make a virtual environment (on Debian and Ubuntu: install python3-venv)",
    )?;
    let requirements = scripts.join("requirements.txt");
    run(
        Command::new(&interpreter)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--only-binary=:all:",
                "--requirement",
            ])
            .arg(requirements),
        "pip cannot install the Python drivers: is there a network?",
    )?;
    fs::write(place.join(COMPLETE), wanted)?;
    Ok(interpreter)
}

/// The directory whose `node_modules` holds the packages of package.json.
pub(crate) fn node(scripts: &Path) -> anyhow::Result<PathBuf> {
    node_with("node", scripts)
}

/// The same, with the package.json of another directory, in a directory of its own.
pub(crate) fn node_with(name: &str, scripts: &Path) -> anyhow::Result<PathBuf> {
    let found = version("node", "install Node 18 or newer")?;
    version("npm", "install npm")?;
    let wanted = format!("{found}\n{}", read(&scripts.join("package-lock.json"))?);
    let place = cache()?.join(name);
    if is_complete(&place, &wanted) {
        return Ok(place);
    }
    prepare(&place)?;
    eprintln!(
        "clients: installing the Node drivers into {}",
        place.display()
    );
    for file in ["package.json", "package-lock.json"] {
        fs::copy(scripts.join(file), place.join(file))?;
    }
    run(
        Command::new("npm")
            .args(["ci", "--silent", "--no-audit", "--no-fund"])
            .current_dir(&place),
        "npm cannot install the Node drivers: is there a network?",
    )?;
    fs::write(place.join(COMPLETE), wanted)?;
    Ok(place)
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

pub(crate) fn is_complete(place: &Path, wanted: &str) -> bool {
    fs::read_to_string(place.join(COMPLETE)).is_ok_and(|installed| installed == wanted)
}

pub(crate) fn prepare(place: &Path) -> anyhow::Result<()> {
    if place.exists() {
        fs::remove_dir_all(place).with_context(|| format!("cannot clear {}", place.display()))?;
    }
    fs::create_dir_all(place).with_context(|| format!("cannot make {}", place.display()))
}

/// What `program --version` says, or who is missing and what to do.
pub(crate) fn version(program: &str, cure: &str) -> anyhow::Result<String> {
    match Command::new(program).arg("--version").output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => bail!("{program} --version failed ({}): {cure}", output.status),
        Err(error) => bail!("{program} cannot be run ({error}): {cure}"),
    }
}

pub(crate) fn run(command: &mut Command, failure: &str) -> anyhow::Result<()> {
    // What an installer prints belongs to the progress, not to the result.
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| failure.to_owned())?;
    if !output.status.success() {
        bail!(
            "{failure}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
