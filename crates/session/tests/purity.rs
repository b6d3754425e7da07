//! The pure crates stay pure: what decides whether a statement may run again has no runtime, no socket and no clock,
//! so that it can be explored.

#![expect(
    clippy::expect_used,
    reason = "a test says by panicking what it could not read"
)]

use std::path::Path;
use std::process::Command;

const PURE: &[&str] = &[
    "steadfast-wire",
    "steadfast-sql",
    "steadfast-session",
    "steadfast-diagnose",
];

/// Crates that are, or bring, a runtime, sockets or a clock.
const FORBIDDEN: &[&str] = &[
    "async-io",
    "async-std",
    "chrono",
    "hyper",
    "jiff",
    "mio",
    "rustls",
    "smol",
    "socket2",
    "time",
    "tokio",
    "coarsetime",
    "quanta",
];

#[test]
fn pure_crates_depend_on_no_runtime_socket_or_clock() {
    for package in PURE {
        let output = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--package",
                package,
                "--edges",
                "normal,build",
                "--prefix",
                "none",
            ])
            .args(["--format", "{p}", "--offline"])
            .output()
            .expect("cargo runs");
        assert!(
            output.status.success(),
            "cargo tree: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let tree = String::from_utf8(output.stdout).expect("package names are text");
        assert!(tree.contains(package), "the tree is that of {package}");
        for line in tree.lines() {
            let name = line.split_whitespace().next().unwrap_or_default();
            assert!(!FORBIDDEN.contains(&name), "{package} reaches {name}");
        }
    }
}

#[test]
fn pure_crates_look_at_no_clock_and_draw_no_random_number() {
    for package in ["wire", "sql", "session", "diagnose"] {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(package)
            .join("src");
        visit(&sources, &mut |path, text| {
            for forbidden in [
                "std::time",
                "Instant::now",
                "SystemTime::now",
                "std::net",
                "std::thread",
            ] {
                assert!(
                    !text.contains(forbidden),
                    "{} uses {forbidden}",
                    path.display()
                );
            }
        });
    }
}

#[test]
fn the_core_iterates_over_no_hash_map() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    visit(&sources, &mut |path, text| {
        for forbidden in ["HashMap", "HashSet", "RandomState"] {
            assert!(
                !text.contains(forbidden),
                "{} uses {forbidden}",
                path.display()
            );
        }
    });
}

fn visit(folder: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            visit(&path, look);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            look(
                &path,
                &std::fs::read_to_string(&path).expect("a source file"),
            );
        }
    }
}
