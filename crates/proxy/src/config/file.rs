//! The settings file: read, and where in it each setting stands.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use serde_path_to_error::Segment;
use toml::de::{DeTable, DeValue};

use super::{
    error::{ConfigError, SourceText},
    settings::Settings,
};

/// The settings of a file, and its text to name lines of it.
#[derive(Default)]
pub(super) struct FileSettings {
    pub(super) settings: Settings,
    path: PathBuf,
    text: String,
}

impl FileSettings {
    pub(super) fn read(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        Self::parse(path, text)
    }

    pub(super) fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let source = SourceText::new(path, &text);
        let document = toml::Deserializer::parse(&text).map_err(|error| {
            source.error_at(
                error.span(),
                None,
                &format!("not TOML: {}", error.message()),
            )
        })?;
        let mut settings: Settings =
            serde_path_to_error::deserialize(document).map_err(|error| {
                let key = dotted(error.path());
                let error = error.inner();
                match unknown_key(error.message()) {
                    Some((name, known)) => {
                        source.error_at(error.span(), None, &suggest(&key, name, &known))
                    }
                    None => source.error_at(error.span(), Some(&key), &reworded(error.message())),
                }
            })?;
        settings.make_paths_relative_to(path.parent().unwrap_or(Path::new("")));
        Ok(Self {
            settings,
            path: path.to_owned(),
            text,
        })
    }

    /// Whether the file has the setting `key`, such as `timeouts.hold`; then the error that names its line.
    pub(super) fn error(&self, key: &str, what: &str) -> Option<ConfigError> {
        let span = span_of(&self.text, key)?;
        Some(SourceText::new(&self.path, &self.text).error_at(Some(span), Some(key), what))
    }
}

fn span_of(text: &str, key: &str) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut names = key.split('.').peekable();
    loop {
        let name = names.next()?;
        let (found, value) = table
            .iter()
            .find(|(key, _)| key.get_ref().as_ref() == name)?;
        if names.peek().is_none() {
            return Some(found.span());
        }
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => return None,
        }
    }
}

/// `timeouts.hold`; the index in a list and what has no name are left out.
fn dotted(path: &serde_path_to_error::Path) -> String {
    let names: Vec<&str> = path
        .iter()
        .filter_map(|segment| match segment {
            Segment::Map { key } => Some(key.as_str()),
            Segment::Seq { .. } | Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect();
    names.join(".")
}

/// The unknown name and the known ones, from serde's message for `deny_unknown_fields`. Serde has no other way to
/// tell; tests hold its wording.
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let (name, rest) = message.strip_prefix("unknown field `")?.split_once('`')?;
    Some((name, quoted_names(rest)))
}

/// `a, b` from "expected one of `a`, `b`".
fn quoted_names(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The names that a section knows, `""` being the top level; none if there is no such section.
pub(super) fn names_in(section: &str) -> Vec<String> {
    // An empty name is in no section, so serde answers with all that are.
    let text = match section {
        "" => "\"\" = 0".to_owned(),
        _ => format!("[{section}]\n\"\" = 0"),
    };
    let error = match toml::from_str::<Settings>(&text) {
        Ok(_) => return Vec::new(),
        Err(error) => error,
    };
    unknown_key(error.message()).map_or_else(Vec::new, |(_, known)| {
        known.into_iter().map(str::to_owned).collect()
    })
}

fn suggest(key: &str, name: &str, known: &[&str]) -> String {
    let section = match key.rsplit_once('.') {
        Some((section, last)) if last == name => section,
        _ if key == name => "",
        _ => key,
    };
    let place = match section {
        "" => "at the top level".to_owned(),
        _ => format!("in [{section}]"),
    };
    let elsewhere = names_in("")
        .into_iter()
        .find(|section| names_in(section).iter().any(|known| known == name));
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 3);
    let cure = match (elsewhere, nearest) {
        (Some(section), _) => format!("it is in [{section}]"),
        (None, Some((_, candidate))) => format!("did you mean {candidate:?}?"),
        (None, None) => format!("the settings there are {}", known.join(", ")),
    };
    format!("there is no setting {name:?} {place}; {cure}")
}

/// Serde's words for a value of a wrong kind, in ours.
fn reworded(message: &str) -> String {
    let variant = message
        .strip_prefix("unknown variant `")
        .and_then(|rest| rest.split_once('`'));
    if let Some((name, rest)) = variant {
        return format!("{name:?} is not one of {}", quoted_names(rest).join(", "));
    }
    let kind = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.split_once(", expected "));
    match kind {
        Some((found, expected)) => format!(
            "{} is not {}",
            found_in_words(found),
            expected_in_words(expected)
        ),
        None => message.to_owned(),
    }
}

/// "boolean `true`" is `true`, "sequence" is "a list".
fn found_in_words(found: &str) -> String {
    let value = found
        .split_once('`')
        .and_then(|(_, rest)| rest.strip_suffix('`'));
    match (value, found) {
        (Some(value), _) => value.to_owned(),
        (None, "sequence") => "a list".to_owned(),
        (None, "map") => "a table".to_owned(),
        (None, _) => found.strip_prefix("string ").unwrap_or(found).to_owned(),
    }
}

fn expected_in_words(expected: &str) -> &str {
    match expected {
        "a nonzero u32" => "a whole number from 1 to 4294967295",
        "a nonzero usize" => "a whole number from 1",
        "a sequence" => "a list, such as [\"127.0.0.1:6033\"]",
        "a string" | "string or table" => "text in quotes",
        "path string" => "a path in quotes",
        _ if expected.starts_with("struct ") => "a section",
        _ => expected,
    }
}
