//! What a client said, gathered line by line from a paste: wrapped, indented, in the middle of a stack trace.

use crate::client::ClientMessage;
use crate::log::has_time;

/// Lines that are looked at together.
const MAX_LINES: usize = 24;

/// And so many where the last ones may be a message that goes on.
const MAX_WITH_END: usize = 3 * MAX_LINES;

/// Of lines in which nothing was found, so many may be the beginning of a message.
const OVERLAP: usize = 6;

/// Bytes of a line that are taken.
const MAX_LINE: usize = 2 << 10;

/// Lines that are none of a log's, of a kernel's or of a dump's.
#[derive(Debug, Default)]
pub(super) struct Paste {
    lines: Vec<String>,
}

impl Paste {
    /// Takes a line. What was said in those before it, where it is none of theirs.
    pub(super) fn line(&mut self, text: &str) -> Vec<ClientMessage> {
        let text = text.trim();
        if text.is_empty() {
            // Connector/J has an empty line within its message.
            let goes_on = self
                .lines
                .last()
                .is_some_and(|last| last.ends_with("link failure"));
            return if goes_on { Vec::new() } else { self.end() };
        }
        let mut found = Vec::new();
        let length = self.lines.len();
        if length >= MAX_LINES {
            let all = self.lines.join(" ");
            if !ClientMessage::may_be(&all) {
                self.lines.drain(..length - OVERLAP);
            } else if length == MAX_WITH_END || !ClientMessage::may_be(&self.last_lines()) {
                // A message that may just have begun is waited for.
                found = self.read(&all);
                let kept = if found.is_empty() { OVERLAP } else { 0 };
                self.lines.drain(..length - kept);
            }
        }
        self.lines
            .push(crate::log::cut(text, 0, MAX_LINE).to_owned());
        found
    }

    fn last_lines(&self) -> String {
        self.lines[self.lines.len().saturating_sub(OVERLAP)..].join(" ")
    }

    /// No more lines: what was said.
    pub(super) fn end(&mut self) -> Vec<ClientMessage> {
        if self.lines.is_empty() {
            return Vec::new();
        }
        let all = self.lines.join(" ");
        let found = if ClientMessage::may_be(&all) {
            self.read(&all)
        } else {
            Vec::new()
        };
        self.lines.clear();
        found
    }

    /// Each line by itself, if several of them are messages; else all of them are one.
    fn read(&self, all: &str) -> Vec<ClientMessage> {
        let mut single: Vec<(bool, ClientMessage)> = Vec::new();
        for line in &self.lines {
            if let Some(message) = ClientMessage::read(line) {
                let timed = has_time(line.as_bytes());
                // A stack trace says it again where one error was raised from another.
                let again = single.iter().any(|(known_timed, known)| {
                    !timed && !known_timed && known.code == message.code
                });
                if !again {
                    single.push((timed, message));
                }
            }
        }
        let several = single.len() > 1 && single.iter().all(|(_, message)| message.code.is_some());
        if several {
            return single.into_iter().map(|(_, message)| message).collect();
        }
        ClientMessage::read(all).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<(Option<u16>, bool)> {
        let mut paste = Paste::default();
        let mut found = Vec::new();
        for line in text.lines() {
            found.extend(paste.line(line));
        }
        found.extend(paste.end());
        found
            .into_iter()
            .map(|message| (message.code, message.timed_out))
            .collect()
    }

    #[test]
    fn the_last_line_of_a_long_stack_trace_is_found() {
        let frames = "  File \"app.py\", line 7, in run\n".repeat(100);
        for filler in 0..MAX_LINES {
            let text = format!(
                "{}{}OperationalError: (2013, 'Lost connection to MySQL\nserver during query\n(timed out)')",
                frames,
                "and so on\n".repeat(filler)
            );
            assert_eq!(said(&text), [(Some(2013), true)], "{filler}");
        }
    }

    #[test]
    fn an_error_raised_from_another_is_one() {
        let text = "OperationalError: (2013, 'Lost connection to MySQL server during query')\n\
                    The above exception was the direct cause of:\n\
                    sqlalchemy.exc.OperationalError: (2013, 'Lost connection to MySQL server during query')";
        assert_eq!(said(text), [(Some(2013), false)]);
        let twice = "2026-11-02 03:04:05 (2013, 'Lost connection to MySQL server during query')\n\
                     2026-11-02 03:09:05 (2013, 'Lost connection to MySQL server during query')";
        assert_eq!(said(twice).len(), 2);
    }

    #[test]
    fn connector_js_empty_line_is_within_its_message() {
        let text = "CommunicationsException: Communications link failure\n\n\
                    The last packet successfully received from the server was 30,000 milliseconds ago.";
        assert_eq!(said(text).len(), 1);
    }
}
