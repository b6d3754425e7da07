//! Dumps of variables and of status counters, as people paste them: tables with borders, tab-separated, `\G`, CSV,
//! `mysqladmin variables`, and option files.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

/// The variables that a diagnosis can use.
const VARIABLES: &[&str] = &[
    "connect_timeout",
    "connection_memory_limit",
    "global_connection_memory_limit",
    "idle_readonly_transaction_timeout",
    "idle_transaction_timeout",
    "idle_write_transaction_timeout",
    "innodb_buffer_pool_size",
    "interactive_timeout",
    "log_error_verbosity",
    "log_warnings",
    "max_allowed_packet",
    "max_connect_errors",
    "max_connections",
    "max_execution_time",
    "max_session_mem_used",
    "max_statement_time",
    "max_user_connections",
    "net_read_timeout",
    "net_write_timeout",
    "offline_mode",
    "open_files_limit",
    "read_only",
    "super_read_only",
    "version",
    "version_comment",
    "wait_timeout",
];

/// Finds the lines that may be a part of a dump.
#[expect(
    clippy::unwrap_used,
    reason = "the names are constants, and the tests build the automaton"
)]
static NAMES: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(names())
        .unwrap()
});

/// What a line of a dump has in it, in lower case.
pub(crate) fn names() -> impl Iterator<Item = String> {
    VARIABLES
        .iter()
        .flat_map(|name| [(*name).to_owned(), name.replace('_', "-")])
        .chain(["variable_name:".to_owned(), "value:".to_owned()])
}

/// The half of a `\G` pair that has come.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Dump {
    name: Option<&'static str>,
}

impl Dump {
    /// A variable and its value, if this line gives one.
    pub(crate) fn read(&mut self, line: &str) -> Option<(&'static str, String)> {
        if !NAMES.is_match(line) {
            self.name = None;
            return None;
        }
        let line = line.trim();
        if let Some(name) = line.strip_prefix("Variable_name:") {
            self.name = known(name);
            return None;
        }
        if let Some(value) = line.strip_prefix("Value:") {
            return Some((self.name.take()?, clean(value)));
        }
        self.name = None;
        let inner = line.strip_prefix('|').unwrap_or(line);
        let (name, value) = ['|', '\t', ',', '=', ':']
            .into_iter()
            .filter_map(|separator| inner.split_once(separator))
            .find_map(|(name, value)| Some((known(name)?, value)))
            .or_else(|| {
                let (name, value) = inner.split_once(' ')?;
                Some((known(name)?, value)).filter(|(_, value)| !value.trim().contains(' '))
            })?;
        let value = clean(value.trim_end_matches('|'));
        (!value.is_empty() && value.len() <= 200).then_some((name, value))
    }
}

/// The variable of this name, in whichever way option files and dumps write it.
fn known(name: &str) -> Option<&'static str> {
    let name = clean(name).to_ascii_lowercase().replace('-', "_");
    let name = name.trim_start_matches("@@").trim_start_matches("global.");
    VARIABLES.iter().copied().find(|known| *known == name)
}

/// Without quotes and white space.
fn clean(text: &str) -> String {
    text.trim().trim_matches(['"', '\'', '`']).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_paste_a_variable_is_read() {
        for line in [
            "| wait_timeout | 600 |",
            "| wait_timeout                       | 600      |\r",
            "wait_timeout\t600",
            "wait_timeout,600",
            "\"wait_timeout\",\"600\"",
            "wait_timeout = 600",
            "wait-timeout=600",
            "wait_timeout: 600",
            "wait_timeout 600",
            "@@global.wait_timeout = 600",
        ] {
            assert_eq!(
                Dump::default().read(line),
                Some(("wait_timeout", "600".to_owned())),
                "{line}"
            );
        }
        let mut dump = Dump::default();
        assert_eq!(dump.read("Variable_name: wait_timeout"), None);
        assert_eq!(
            dump.read("        Value: 600"),
            Some(("wait_timeout", "600".to_owned()))
        );
    }

    #[test]
    fn prose_is_no_dump() {
        for line in [
            "",
            "wait_timeout is what you should raise",
            "+--------------+-------+",
            "| Variable_name | Value |",
            "Value: 600",
            "| nothing_known | 1 |",
        ] {
            assert_eq!(Dump::default().read(line), None, "{line}");
        }
    }
}
