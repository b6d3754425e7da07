//! What is wrong with the settings, in one line: file, line, setting, and what to write instead.

use std::{fmt, ops::Range, path::Path};

/// One line for people: where, which setting, what is wrong with it and what to write instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError(String);

impl ConfigError {
    pub(super) fn new(text: String) -> Self {
        // Error texts of the TOML parser may have several lines.
        Self(text.trim().replace('\n', "; "))
    }

    pub(super) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        Self::new(format!("{} cannot be read: {error}", path.display()))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// A file's name and text, to name lines of it.
pub(super) struct SourceText<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> SourceText<'a> {
    pub(super) fn new(path: &'a Path, text: &'a str) -> Self {
        Self { path, text }
    }

    /// The error `FILE:LINE: KEY: WHAT`, without the parts that are not known.
    pub(super) fn error_at(
        &self,
        span: Option<Range<usize>>,
        key: Option<&str>,
        what: &str,
    ) -> ConfigError {
        let mut place = self.path.display().to_string();
        if let Some(before) = span.and_then(|span| self.text.get(..span.start)) {
            let line = 1 + before.matches('\n').count();
            place.push_str(&format!(":{line}"));
        }
        match key {
            Some(key) if !key.is_empty() => ConfigError::new(format!("{place}: {key}: {what}")),
            _ => ConfigError::new(format!("{place}: {what}")),
        }
    }
}
