//! Lines of an error log that were wrapped, by a terminal or a mail: joined again.

use crate::log::{LogEvent, has_time};

/// Bytes of a line that is put together.
const MAX_WHOLE: usize = 4 << 10;

/// Lines that one may be wrapped over.
const MAX_PIECES: usize = 8;

/// The line that was begun.
#[derive(Debug, Default)]
pub(super) struct Wrapped {
    /// As a terminal wraps, in the middle of a word.
    tight: Vec<u8>,
    /// As people and mails wrap, where there was a space.
    spaced: Vec<u8>,
    /// What may go on with it.
    pieces: Vec<Vec<u8>>,
}

/// What a line is to the one that was begun.
#[derive(Debug)]
pub(super) enum Rest {
    /// None of it.
    No,
    /// Perhaps a part of it.
    Perhaps,
    /// Its last part: this is the event.
    Last(LogEvent, Vec<u8>),
}

/// What was begun, and never came to its end.
#[derive(Debug, Default)]
pub(super) struct Begun {
    /// What it tells all the same, and its text.
    pub(super) event: Option<(LogEvent, Vec<u8>)>,
    /// Lines that may have been parts of it, and were not.
    pub(super) others: Vec<Vec<u8>>,
}

impl Wrapped {
    /// A line of a log, of which nothing says that it is whole.
    pub(super) fn begin(&mut self, line: &[u8]) {
        self.tight.clear();
        self.spaced.clear();
        self.pieces.clear();
        let line = &line[..line.len().min(MAX_WHOLE)];
        self.tight.extend_from_slice(line);
        self.spaced.extend_from_slice(line.trim_ascii_end());
    }

    /// Takes a line that is, perhaps, a part of the one that was begun.
    pub(super) fn goes_on(&mut self, line: &[u8]) -> Rest {
        let piece = line.strip_prefix(b"> ").unwrap_or(line);
        let rest = piece.trim_ascii();
        if self.tight.is_empty()
            || self.pieces.len() == MAX_PIECES
            || rest.is_empty()
            || self.tight.len() + piece.len() > MAX_WHOLE
            || has_time(piece)
        {
            return Rest::No;
        }
        self.tight.extend_from_slice(piece);
        self.spaced.push(b' ');
        self.spaced.extend_from_slice(rest);
        self.pieces.push(line.to_vec());
        match self.read(|event, whole| !event.is_cut(whole)) {
            Some((event, whole)) => {
                self.tight.clear();
                Rest::Last(event, whole)
            }
            None => Rest::Perhaps,
        }
    }

    /// Nothing goes on with it.
    pub(super) fn end(&mut self) -> Begun {
        if self.tight.is_empty() {
            return Begun::default();
        }
        let event = self.read(|_, _| true);
        self.tight.clear();
        let others = std::mem::take(&mut self.pieces);
        Begun { event, others }
    }

    fn read(&self, is: impl Fn(&LogEvent, &[u8]) -> bool) -> Option<(LogEvent, Vec<u8>)> {
        [&self.tight, &self.spaced].into_iter().find_map(|whole| {
            let event = LogEvent::read(whole)?;
            is(&event, whole).then(|| (event, whole.clone()))
        })
    }
}
