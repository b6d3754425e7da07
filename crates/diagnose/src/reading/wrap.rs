//! Lines of an error log that were wrapped, by a terminal or a mail: joined again.

use crate::log::has_time;

/// Bytes of a line that is put together.
const MAX_WHOLE: usize = 4 << 10;

/// Lines that one may be wrapped over.
const MAX_PIECES: u32 = 8;

/// The line that was begun.
#[derive(Debug, Default)]
pub(super) struct Wrapped {
    /// As a terminal wraps, in the middle of a word.
    tight: Vec<u8>,
    /// As people and mails wrap, where there was a space.
    spaced: Vec<u8>,
    pieces: u32,
}

impl Wrapped {
    /// A line of a log, of which nothing says that it is whole.
    pub(super) fn begin(&mut self, line: &[u8]) {
        self.tight.clear();
        self.spaced.clear();
        let line = &line[..line.len().min(MAX_WHOLE)];
        self.tight.extend_from_slice(line);
        self.spaced.extend_from_slice(line.trim_ascii_end());
        self.pieces = 1;
    }

    /// What was begun, and was not known to be whole.
    pub(super) fn end(&mut self) -> Option<Vec<u8>> {
        let begun = std::mem::take(&mut self.pieces) > 0;
        begun.then(|| std::mem::take(&mut self.spaced))
    }

    /// Whether this line is the rest of the one that was begun: then that one, as far as it has come and tells something.
    pub(super) fn goes_on(&mut self, line: &[u8]) -> Option<Vec<u8>> {
        let line = line.strip_prefix(b"> ").unwrap_or(line);
        let rest = line.trim_ascii();
        if self.pieces == 0
            || self.pieces == MAX_PIECES
            || rest.is_empty()
            || self.tight.len() + rest.len() > MAX_WHOLE
            || has_time(line)
        {
            return None;
        }
        self.pieces += 1;
        self.tight.extend_from_slice(line);
        self.spaced.push(b' ');
        self.spaced.extend_from_slice(rest);
        let whole = [&self.tight, &self.spaced].into_iter().find(|whole| {
            crate::log::LogEvent::read(whole).is_some_and(|event| !event.is_cut(whole))
        })?;
        let whole = whole.clone();
        self.pieces = 0;
        Some(whole)
    }
}
