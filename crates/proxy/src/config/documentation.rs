//! `docs/configuration.md` has every setting, with its default, and none that does not exist.

use std::{collections::BTreeMap, fs, path::Path};

use super::{file::names_in, settings::Settings};

/// The rows of the page: setting and default, as they are written.
fn page() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let setting = cells.next()?.strip_suffix('`')?;
        Some((setting.to_owned(), cells.next()?.to_owned()))
    });
    rows.collect()
}

/// Every setting, `section.name`, and its default; `None` if it has none that is a value.
fn settings() -> BTreeMap<String, Option<String>> {
    let defaults = toml::Table::try_from(Settings::default()).unwrap();
    let shown = |value: &toml::Value| match value {
        toml::Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    };
    let mut settings = BTreeMap::new();
    for name in names_in("") {
        let inner = names_in(&name);
        if inner.is_empty() {
            settings.insert(name.clone(), defaults.get(&name).map(shown));
        }
        for key in inner {
            let value = defaults.get(&name).and_then(|section| section.get(&key));
            settings.insert(format!("{name}.{key}"), value.map(shown));
        }
    }
    settings
}

#[test]
fn the_page_has_exactly_the_settings_that_exist() {
    let exist: Vec<_> = settings().into_keys().collect();
    let documented: Vec<_> = page().into_keys().collect();
    assert_eq!(documented, exist);
}

#[test]
fn the_page_has_the_defaults() {
    let page = page();
    for (setting, default) in settings() {
        if let Some(default) = default {
            assert_eq!(page.get(&setting), Some(&default), "{setting}");
        }
    }
}

#[test]
fn settings_of_each_kind_are_found() {
    let settings = settings();
    assert_eq!(settings["timeouts.hold"].as_deref(), Some("`60s`"));
    assert_eq!(
        settings["listen"].as_deref(),
        Some("`[\"127.0.0.1:6033\"]`")
    );
    assert_eq!(settings["backend.ca"], None);
}
