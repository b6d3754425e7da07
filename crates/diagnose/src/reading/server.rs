//! Which server wrote a log, and of which version.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use crate::evidence::{Product, Server, Variables};

/// Words that only one family of servers writes.
const WORDS: &[(&str, Product)] = &[
    ("MariaDB", Product::MariaDb),
    ("mariadbd", Product::MariaDb),
    ("[MY-0", Product::MySql),
    ("MySQL Community", Product::MySql),
    ("Percona Server", Product::MySql),
];

#[expect(
    clippy::unwrap_used,
    reason = "the words are constants, and the tests build the automaton"
)]
static AUTOMATON: LazyLock<AhoCorasick> =
    LazyLock::new(|| AhoCorasick::new(WORDS.iter().map(|(word, _)| word)).unwrap());

/// What comes before a version where a server begins, or begins to take connections.
const BEFORE_VERSION: &[&str] = &["Version: '", "(mysqld ", "(mariadbd ", "Starting MariaDB "];

/// Who writes a log.
#[derive(Debug, Default)]
pub(super) struct Writer {
    product: Option<Product>,
    version: Version,
}

#[derive(Clone, Copy, Debug, Default)]
enum Version {
    #[default]
    Unknown,
    One(u32),
    /// Updated within the log, or logs of several servers.
    Several,
}

impl Writer {
    /// Looks for words that tell.
    pub(super) fn look(&mut self, line: &[u8]) {
        if self.product.is_none()
            && let Some(found) = AUTOMATON.find(line)
        {
            self.product = Some(WORDS[found.pattern().as_usize()].1);
        }
    }

    /// A line with which a server begins, or begins to take connections.
    pub(super) fn version(&mut self, line: &str) {
        let written = BEFORE_VERSION.iter().find_map(|before| {
            let (_, rest) = line.split_once(before)?;
            Some(rest)
        });
        let Some((number, product)) = written.and_then(read) else {
            return;
        };
        self.product = self.product.or(Some(product));
        self.version = match self.version {
            Version::Unknown => Version::One(number),
            Version::One(known) if known == number => self.version,
            Version::One(_) | Version::Several => Version::Several,
        };
    }

    /// The server, as far as its log or its variables tell.
    pub(super) fn server(&self, variables: &Variables) -> Option<Server> {
        let dumped = variables.text("version").and_then(read);
        let product = self.product.or(dumped.map(|(_, product)| product))?;
        let version = match (self.version, dumped) {
            (Version::One(number), _) => number,
            (Version::Unknown, Some((number, of))) if of == product => number,
            _ => 0,
        };
        Some(Server { product, version })
    }
}

/// `10.11.19-MariaDB-log`, `8.0.36-0ubuntu0.22.04.1`: 101119 and 80036, and whose.
fn read(text: &str) -> Option<(u32, Product)> {
    let end = text
        .find(|c: char| c == '\'' || c == ')' || c.is_whitespace())
        .unwrap_or(text.len());
    let version = &text[..end];
    let mut parts = version.split('.').map(|part| {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        part[..digits]
            .parse::<u32>()
            .ok()
            .filter(|part| *part < 1000)
    });
    let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next()??);
    let product = if version.contains("MariaDB") || (10..=13).contains(&major) {
        Product::MariaDb
    } else {
        Product::MySql
    };
    Some((major * 10_000 + minor * 100 + patch, product))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_in_every_wording() {
        use Product::{MariaDb, MySql};
        for (line, expected) in [
            (
                "[Note] /usr/sbin/mysqld (mysqld 5.7.44-log) starting as process 1 ...",
                (50_744, MySql),
            ),
            (
                "[System] [MY-010116] [Server] /usr/sbin/mysqld (mysqld 8.0.36-0ubuntu0.22.04.1) starting as process 7",
                (80_036, MySql),
            ),
            (
                "ready for connections. Version: '8.4.3'  socket: '/x'  port: 3306",
                (80_403, MySql),
            ),
            ("Version: '9.7.4'  socket: ''", (90_704, MySql)),
            (
                "[Note] mysqld (mysqld 10.3.39-MariaDB-0ubuntu0.20.04.2) starting as process 9 ...",
                (100_339, MariaDb),
            ),
            (
                "[Note] /usr/sbin/mariadbd (server 10.6.16-MariaDB) Version: '10.6.16-MariaDB-log'",
                (100_616, MariaDb),
            ),
            (
                "[Note] Starting MariaDB 11.8.2-MariaDB-ubu2404 source revision x as process 1",
                (110_802, MariaDb),
            ),
            ("Version: '11.4.5-MariaDB'", (110_405, MariaDb)),
        ] {
            let mut writer = Writer::default();
            writer.version(line);
            let server = writer.server(&Variables::default()).unwrap();
            assert_eq!((server.version, server.product), expected, "{line}");
        }
    }

    #[test]
    fn two_versions_are_none() {
        let mut writer = Writer::default();
        writer.version("Version: '8.0.20'");
        writer.version("Version: '8.0.36'");
        assert_eq!(writer.server(&Variables::default()).unwrap().version, 0);
    }

    #[test]
    fn a_dump_tells_it_too() {
        let variables = Variables([("version".to_owned(), "8.0.36".to_owned())].into());
        let server = Writer::default().server(&variables).unwrap();
        assert_eq!((server.version, server.product), (80_036, Product::MySql));
        assert_eq!(Writer::default().server(&Variables::default()), None);
    }
}
