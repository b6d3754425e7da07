//! `docs/causes.md` says what the rules do.

use std::path::Path;

#[test]
fn the_page_of_causes_is_made_from_the_rules() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/causes.md");
    let page = steadfast_diagnose::page();
    if std::env::var_os("STEADFAST_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/causes.md is not what the rules say; STEADFAST_WRITE_DOCS=1 cargo test -p steadfast-diagnose writes it"
    );
}
