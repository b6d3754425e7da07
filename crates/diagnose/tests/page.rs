//! The pages in `docs/` say what the rules and the checks do.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

fn is_what(name: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(name);
    if std::env::var_os("STEADFAST_WRITE_DOCS").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/{name} is not what the code says; STEADFAST_WRITE_DOCS=1 cargo test -p steadfast-diagnose writes it"
    );
}

#[test]
fn the_page_of_causes_is_made_from_the_rules() {
    is_what("causes.md", &steadfast_diagnose::page());
}

#[test]
fn the_page_of_doctor_is_made_from_the_checks() {
    is_what("doctor.md", &steadfast_diagnose::checks::page());
}
