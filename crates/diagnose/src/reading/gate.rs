//! A quick look at a line: most lines of a large log tell nothing to anybody.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use crate::{dump, kernel, log};

#[expect(
    clippy::unwrap_used,
    reason = "the phrases are constants, and the tests build the automaton"
)]
static AUTOMATON: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let phrases = log::phrases().chain(kernel::phrases()).map(str::to_owned);
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(phrases.chain(dump::names()))
        .unwrap()
});

/// Whether a line, from its level on where it has one, may be of a server's or a kernel's log, or of a dump.
pub(super) fn may_tell(line: &[u8]) -> bool {
    AUTOMATON.is_match(line)
}
