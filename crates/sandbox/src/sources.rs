//! The machine's own apt sources, read to write private ones for another suite.
//!
//! Nothing but the suite and the components is changed: mirror, keyring and options stay those
//! of the machine. Formats: sources.list(5), one-line and deb822.

use std::fs;
use std::path::{Path, PathBuf};

/// One entry of the machine's sources: one stanza or one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The archive's address.
    pub(crate) uri: String,
    /// `bookworm`, `noble-updates`, …
    pub(crate) suites: Vec<String>,
    /// Everything else, in the form of the entry.
    options: Options,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Options {
    /// What stood between the brackets of a `deb [...]` line.
    Line(String),
    /// The remaining fields of a stanza, continuation lines included.
    Stanza(String),
}

impl Source {
    /// This entry as a private one: its file's extension and text.
    pub(crate) fn for_suites(&self, suites: &[String], components: &str) -> (&'static str, String) {
        match &self.options {
            Options::Line(options) => {
                let options = if options.is_empty() {
                    String::new()
                } else {
                    format!("[{options}] ")
                };
                let lines = suites
                    .iter()
                    .map(|suite| format!("deb {options}{} {suite} {components}\n", self.uri));
                ("list", lines.collect())
            }
            Options::Stanza(fields) => (
                "sources",
                format!(
                    "Types: deb\nURIs: {}\nSuites: {}\nComponents: {components}\n{fields}",
                    self.uri,
                    suites.join(" "),
                ),
            ),
        }
    }
}

/// All enabled binary sources below `etc` (`/etc/apt`), the distribution's own files first.
pub(crate) fn read(etc: &Path) -> Vec<Source> {
    let mut files: Vec<PathBuf> = fs::read_dir(etc.join("sources.list.d"))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    let distribution_first = |path: &PathBuf| {
        let name = path.file_stem().and_then(|name| name.to_str());
        (!matches!(name, Some("debian" | "ubuntu")), path.clone())
    };
    files.sort_by_key(distribution_first);
    files.insert(0, etc.join("sources.list"));
    let mut sources = Vec::new();
    for file in files {
        // A file that cannot be read cannot be used by this user's apt either.
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("list") => sources.extend(text.lines().filter_map(parse_line)),
            Some("sources") => sources.extend(parse_stanzas(&text)),
            _ => {}
        }
    }
    sources
}

fn parse_line(line: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t']) {
        return None;
    }
    let rest = rest.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(bracket) => bracket.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    Some(Source {
        uri: words.next()?.to_owned(),
        suites: vec![words.next()?.to_owned()],
        options: Options::Line(options.trim().to_owned()),
    })
}

fn parse_stanzas(text: &str) -> Vec<Source> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines
        .split(|line| line.trim().is_empty())
        .filter_map(parse_stanza)
        .flatten()
        .collect()
}

/// One source for each address of a stanza; `None` when it is no enabled binary source.
fn parse_stanza(lines: &[&str]) -> Option<Vec<Source>> {
    let (mut types, mut uris, mut suites) = (Vec::new(), Vec::new(), Vec::new());
    let mut options = String::new();
    let mut kept = false;
    for line in lines {
        if line.starts_with([' ', '\t']) {
            if kept {
                options.push_str(line);
                options.push('\n');
            }
            continue;
        }
        let (name, value) = line.split_once(':')?;
        let words = || value.split_whitespace().map(str::to_owned);
        kept = false;
        match name.to_ascii_lowercase().as_str() {
            "types" => types.extend(words()),
            "uris" => uris.extend(words()),
            "suites" => suites.extend(words()),
            "components" => {}
            "enabled" if matches!(value.trim(), "no" | "false" | "0" | "off") => return None,
            _ => {
                kept = true;
                options.push_str(line);
                options.push('\n');
            }
        }
    }
    if !types.iter().any(|word| word == "deb") || suites.is_empty() {
        return None;
    }
    let source = |uri| Source {
        uri,
        suites: suites.clone(),
        options: Options::Stanza(options.clone()),
    };
    Some(uris.into_iter().map(source).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stanza_keeps_its_inline_key_and_changes_its_suite() {
        let text = "# comment\nTypes: deb deb-src\nURIs: http://mirror.test/debian\nSuites: bookworm bookworm-updates\nComponents: main contrib\nSigned-By:\n -----BEGIN\n .\n abc\n\nTypes: deb\nURIs: http://off.test\nSuites: x\nEnabled: no\n";
        let sources = parse_stanzas(text);
        assert_eq!(sources.len(), 1);
        assert_eq!(sources[0].suites, ["bookworm", "bookworm-updates"]);
        assert_eq!(
            sources[0].for_suites(&["unstable".to_owned()], "main"),
            (
                "sources",
                "Types: deb\nURIs: http://mirror.test/debian\nSuites: unstable\nComponents: main\nSigned-By:\n -----BEGIN\n .\n abc\n".to_owned()
            )
        );
    }

    #[test]
    fn a_line_keeps_its_options_and_changes_its_suite() {
        let line = "deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian bookworm main";
        let source = parse_line(line).unwrap();
        assert_eq!(
            source.for_suites(&["unstable".to_owned()], "main").1,
            "deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian unstable main\n"
        );
        assert_eq!(parse_line("deb-src http://mirror.test/debian x main"), None);
        assert_eq!(parse_line("# deb http://mirror.test/debian x main"), None);
    }
}
