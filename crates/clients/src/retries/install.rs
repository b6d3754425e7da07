//! The programs that run helpers, with what they need: packages of their languages, pinned, and of the machine's own
//! distribution, unpacked without root into the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use crate::catalog;
use crate::install;

/// Debian's and Ubuntu's packages for Laravel's database library, down to what is not on every machine.
const PHP: &[&str] = &[
    "php-illuminate-database",
    "php-mysql",
    "php-mbstring",
    "php-cli",
];
/// MariaDB Connector/J.
const JAVA: &[&str] = &["libmariadb-java"];

/// A program to start.
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
}

/// All programs by name, or why one cannot run.
pub(super) fn programs(jars: &[String]) -> anyhow::Result<Vec<(String, anyhow::Result<Program>)>> {
    // Java takes a path with dots in it for the name of a class.
    let scripts = fs::canonicalize(catalog::scripts().join("retries"))?;
    let mut programs = vec![
        ("python".to_owned(), python(&scripts)),
        ("node".to_owned(), node(&scripts)),
        ("php (Laravel)".to_owned(), php(&scripts)),
    ];
    match java(&scripts) {
        Ok(java) => {
            let own = unpack("java", JAVA).map(|root| jar_of(&root));
            programs.push((
                "MariaDB Connector/J".to_owned(),
                own.and_then(|jar| java.with(jar?)),
            ));
            for jar in jars {
                programs.push((jar.clone(), java.with(jar.clone())));
            }
        }
        Err(reason) => programs.push(("java".to_owned(), Err(reason))),
    }
    if !jars.iter().any(|jar| jar.contains("connector-j")) {
        let missing = "no distribution has a package of it: name it with --jar";
        programs.push(("Connector/J".to_owned(), Err(anyhow::Error::msg(missing))));
    }
    Ok(programs)
}

fn script(path: PathBuf, script: &Path) -> Program {
    Program {
        path,
        args: vec![script.display().to_string()],
        env: Vec::new(),
    }
}

fn python(scripts: &Path) -> anyhow::Result<Program> {
    let interpreter = install::python_with("retries-python", scripts)?;
    let mut program = script(interpreter, &scripts.join("helpers.py"));
    program
        .env
        .push(("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned()));
    Ok(program)
}

fn node(scripts: &Path) -> anyhow::Result<Program> {
    let modules = install::node_with("retries-node", scripts)?;
    let mut program = script("node".into(), &scripts.join("helpers.mjs"));
    program
        .env
        .push(("CLIENT_MODULES".to_owned(), modules.display().to_string()));
    Ok(program)
}

/// PHP and Laravel's library from the distribution's packages: nothing of the machine's own PHP is used.
fn php(scripts: &Path) -> anyhow::Result<Program> {
    let root = unpack("php", PHP)?;
    let binary = find(&root.join("usr/bin"), "php", |name| {
        name.trim_start_matches("php").parse::<f32>().is_ok()
    })?;
    let extensions = find(&root.join("usr/lib/php"), "PHP's extensions", |name| {
        name.len() == 8 && name.parse::<u32>().is_ok()
    })?;
    let libraries = find(&root.join("usr/lib"), "PHP's libraries", |name| {
        name.ends_with("-linux-gnu")
    })?;
    let mut program = script(binary, &scripts.join("helpers.php"));
    let mut args = vec!["-n".to_owned()];
    let mut set = |setting: String| args.extend(["-d".to_owned(), setting]);
    set(format!("extension_dir={}", extensions.display()));
    set(format!(
        "include_path={}",
        root.join("usr/share/php").display()
    ));
    for name in ["mbstring", "mysqlnd", "pdo", "pdo_mysql"] {
        set(format!("extension={name}"));
    }
    args.append(&mut program.args);
    program.args = args;
    program.env.push((
        "LD_LIBRARY_PATH".to_owned(),
        libraries.display().to_string(),
    ));
    Ok(program)
}

/// A Java that compiles and runs one source file.
struct Java {
    source: PathBuf,
}

fn java(scripts: &Path) -> anyhow::Result<Java> {
    install::version("javac", "install a JDK of 17 or newer")?;
    Ok(Java {
        source: scripts.join("Helpers.java"),
    })
}

impl Java {
    fn with(&self, jar: String) -> anyhow::Result<Program> {
        Ok(Program {
            path: "java".into(),
            args: vec!["-cp".to_owned(), jar, self.source.display().to_string()],
            env: Vec::new(),
        })
    }
}

fn jar_of(root: &Path) -> anyhow::Result<String> {
    let jar = root.join("usr/share/java/mariadb-java-client.jar");
    if !jar.exists() {
        bail!("the package has no {}", jar.display());
    }
    Ok(jar.display().to_string())
}

fn find(directory: &Path, what: &str, is: impl Fn(&str) -> bool) -> anyhow::Result<PathBuf> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&is) {
            return Ok(entry.path());
        }
    }
    bail!("{} has no {what}", directory.display())
}

/// Fetches packages of the distribution with what they depend on, and unpacks them into the cache.
fn unpack(name: &str, packages: &[&str]) -> anyhow::Result<PathBuf> {
    let place = install::cache()?.join(format!("retries-{name}"));
    let wanted = packages.join("\n");
    let root = place.join("root");
    if install::is_complete(&place, &wanted) {
        return Ok(root);
    }
    install::prepare(&place)?;
    eprintln!(
        "clients: fetching packages of this distribution into {}",
        place.display()
    );
    let download = place.join("packages");
    fs::create_dir_all(&download)?;
    // As for a machine that has nothing: what is needed does not depend on what this one has.
    let plan = Command::new("apt-get")
        .args(["--simulate", "--no-install-recommends"])
        .args(["--option", "Dir::State::status=/dev/null", "install"])
        .args(packages)
        .stdin(Stdio::null())
        .output()
        .context("there is no apt here: only Debian and Ubuntu have these packages ready")?;
    let plan = String::from_utf8_lossy(&plan.stdout).into_owned();
    let needed: Vec<&str> = plan
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next())
        .filter(|package| !on_every_machine(package))
        .collect();
    if needed.is_empty() {
        bail!("apt knows no {}: run apt-get update", packages.join(", "));
    }
    install::run(
        Command::new("apt-get")
            .args(["download", "--quiet"])
            .args(&needed)
            .current_dir(&download),
        "apt-get cannot download the packages: is there a network, and was apt-get update run?",
    )?;
    for entry in fs::read_dir(&download)? {
        install::run(
            Command::new("dpkg").arg("-x").arg(entry?.path()).arg(&root),
            "dpkg cannot unpack a package",
        )?;
    }
    fs::remove_dir_all(&download)?;
    fs::write(place.join(install::COMPLETE), wanted)?;
    Ok(root)
}

/// What a machine with apt has, and what must not be exchanged under a running program: the C library.
fn on_every_machine(package: &str) -> bool {
    ["libc6", "libgcc", "gcc-", "debconf", "tzdata", "perl"]
        .iter()
        .any(|start| package.starts_with(start))
}
