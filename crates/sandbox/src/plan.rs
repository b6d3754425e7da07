//! Decides which packages to fetch from where on this system.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::sources::{self, Source};
use crate::{Error, Kind, Peer, Product};

/// What to take from where on this system.
pub(crate) struct Plan {
    pub(crate) product: Product,
    /// Alternatives: the first whose package lists offer the packages is taken. Each is a list
    /// of source files: extension and text.
    pub(crate) sources: Vec<Vec<(&'static str, String)>>,
    /// Fetched with all that they depend on.
    pub(crate) packages: &'static [&'static str],
    /// Fetched without their dependencies.
    pub(crate) alone: &'static [&'static str],
}

/// The name of its packages for this system in the cache.
pub(crate) fn cache_name(product: Product) -> String {
    let Release {
        id,
        version,
        codename,
    } = Release::read();
    let machine = std::env::consts::ARCH;
    format!("{}-{id}{version}{codename}-{machine}", product.slug())
}

/// No system's packages have it.
fn unpackaged(product: Product) -> Error {
    Error::Unavailable {
        product,
        reason: "no distribution packages it".to_owned(),
        install: product.by_hand(),
    }
}

/// What os-release(5) says about this system; empty where it says nothing.
struct Release {
    id: String,
    version: String,
    codename: String,
}

impl Release {
    fn read() -> Release {
        let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let field = |name: &str| {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_default().trim_matches('"').to_owned()
        };
        Release {
            id: field("ID"),
            version: field("VERSION_ID"),
            codename: field("VERSION_CODENAME"),
        }
    }
}

impl Plan {
    /// The plan for this system, or an error that says what to install by hand.
    pub(crate) fn for_this_system(product: Product) -> Result<Plan, Error> {
        let unavailable = |reason: String| Error::Unavailable {
            product,
            reason,
            install: product.by_hand(),
        };
        let release = Release::read();
        let ubuntu = match release.id.as_str() {
            "debian" => false,
            "ubuntu" => true,
            "" => {
                return Err(unavailable(
                    "packages can be fetched on Debian and Ubuntu only".to_owned(),
                ));
            }
            other => {
                return Err(unavailable(format!(
                    "packages can be fetched on Debian and Ubuntu only, and this is `{other}`"
                )));
            }
        };
        for tool in ["apt-get", "dpkg"] {
            if !runs(tool) {
                return Err(unavailable(format!("`{tool}` is needed to fetch one")));
            }
        }
        let machine = sources::read(Path::new("/etc/apt"));
        let Some(own) = OwnSources::among(&machine, &release.codename) else {
            return Err(unavailable(format!(
                "/etc/apt has no source for this system's own suite, `{}`",
                release.codename
            )));
        };
        let components = if ubuntu { "main universe" } else { "main" };
        let (sources, packages, alone): (_, &[_], &[_]) = match product {
            Product::Server(Kind::MariaDb) => {
                let (packages, alone) = mariadb_packages(&release);
                (vec![own.as_they_are(components)], packages, alone)
            }
            Product::Server(Kind::MySql) if ubuntu => (
                vec![own.as_they_are(components)],
                &["mysql-server", "mysql-client"],
                &[],
            ),
            // Debian's own suites have no MySQL.
            Product::Server(Kind::MySql) => (
                own.for_suite("unstable", components),
                &["mysql-server-core", "mysql-client-core"],
                &[],
            ),
            Product::Peer(Peer::HaProxy) => (vec![own.as_they_are(components)], &["haproxy"], &[]),
            Product::Peer(Peer::MySqlRouter) if ubuntu => {
                (vec![own.as_they_are(components)], &["mysql-router"], &[])
            }
            Product::Peer(Peer::MySqlRouter) => (
                own.for_suite("unstable", components),
                &["mysql-router"],
                &[],
            ),
            Product::Peer(Peer::ProxySql) => return Err(unpackaged(product)),
            Product::Strace => (vec![own.as_they_are(components)], &["strace"], &[]),
            Product::Sysbench => (vec![own.as_they_are(components)], &["sysbench"], &[]),
        };
        Ok(Plan {
            product,
            sources,
            packages,
            alone,
        })
    }
}

/// MariaDB's packages, and the one that is fetched for its plugins alone: it depends on much that
/// only its maintainer scripts need.
fn mariadb_packages(release: &Release) -> (&'static [&'static str], &'static [&'static str]) {
    // The packages' names lost the version with 10.11. Debian 12 has that, Ubuntu 22.04 has 10.6.
    if release.id == "ubuntu" && release.version.starts_with("22.") {
        (
            &[
                "mariadb-server-core-10.6",
                "mariadb-client-core-10.6",
                "libmariadb3",
            ],
            &["mariadb-server-10.6"],
        )
    } else {
        (
            &["mariadb-server-core", "mariadb-client-core", "libmariadb3"],
            &["mariadb-server"],
        )
    }
}

fn runs(tool: &str) -> bool {
    let mut command = Command::new(tool);
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The sources of this system's release.
struct OwnSources<'a> {
    all: &'a [Source],
    suite: &'a str,
}

impl<'a> OwnSources<'a> {
    fn among(all: &'a [Source], codename: &'a str) -> Option<OwnSources<'a>> {
        let aliases = ["stable", "oldstable", "testing", "unstable", "sid"];
        let present = |name: &&str| {
            let mut suites = all.iter().flat_map(|source| &source.suites);
            suites.any(|suite| suite == name)
        };
        let suite = [codename].into_iter().chain(aliases).find(present)?;
        Some(OwnSources { all, suite })
    }

    /// All of them together, updates and security fixes included.
    fn as_they_are(&self, components: &str) -> Vec<(&'static str, String)> {
        let ours = |suite: &&String| {
            let rest = suite.strip_prefix(self.suite);
            rest.is_some_and(|rest| matches!(rest, "" | "-updates" | "-security"))
        };
        let private = |source: &Source| {
            let suites: Vec<String> = source.suites.iter().filter(ours).cloned().collect();
            (!suites.is_empty()).then(|| source.for_suites(&suites, components))
        };
        self.all.iter().filter_map(private).collect()
    }

    /// Each archive that has the release, with another suite.
    fn for_suite(&self, suite: &str, components: &str) -> Vec<Vec<(&'static str, String)>> {
        let has_release = |source: &&Source| source.suites.iter().any(|name| name == self.suite);
        let other = [suite.to_owned()];
        let mut sources: Vec<_> = self
            .all
            .iter()
            .filter(has_release)
            .map(|source| vec![source.for_suites(&other, components)])
            .collect();
        sources.dedup();
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> tempfile::TempDir {
        let etc = tempfile::tempdir().unwrap();
        let parts = etc.path().join("sources.list.d");
        fs::create_dir(&parts).unwrap();
        let write = |name: &str, text: &str| fs::write(parts.join(name), text).unwrap();
        write(
            "a-third-party.list",
            "deb [arch=amd64] https://packages.test/tool bookworm-tool main\n",
        );
        write(
            "debian.sources",
            "Types: deb\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\n\
             Types: deb\nURIs: http://mirror.test/security\nSuites: bookworm-security\nComponents: main\n",
        );
        etc
    }

    #[test]
    fn the_own_suite_comes_with_its_updates_and_no_third_party() {
        let etc = machine();
        let all = sources::read(etc.path());
        let own = OwnSources::among(&all, "bookworm").unwrap();
        let text: String = own
            .as_they_are("main")
            .into_iter()
            .map(|(_, text)| text)
            .collect();
        assert!(
            text.contains("Suites: bookworm bookworm-updates\n"),
            "{text}"
        );
        assert!(text.contains("Suites: bookworm-security\n"), "{text}");
        assert!(!text.contains("packages.test"), "{text}");
    }

    #[test]
    fn packages_of_mariadb_are_named_as_the_release_names_them() {
        let of = |id: &str, version: &str| {
            mariadb_packages(&Release {
                id: id.to_owned(),
                version: version.to_owned(),
                codename: String::new(),
            })
        };
        assert_eq!(of("ubuntu", "22.04").1, ["mariadb-server-10.6"]);
        assert_eq!(of("ubuntu", "24.04").1, ["mariadb-server"]);
        assert_eq!(of("debian", "12").1, ["mariadb-server"]);
    }

    #[test]
    fn another_suite_is_asked_of_the_main_archive_only() {
        let etc = machine();
        let all = sources::read(etc.path());
        let own = OwnSources::among(&all, "bookworm").unwrap();
        let files = own.for_suite("unstable", "main");
        let text =
            "Types: deb\nURIs: http://mirror.test/debian\nSuites: unstable\nComponents: main\n";
        assert_eq!(files, [[("sources", text.to_owned())]]);
        assert!(OwnSources::among(&all, "trixie").is_none());
    }
}
