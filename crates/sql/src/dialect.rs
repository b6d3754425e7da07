//! What decides how the bytes of a statement are cut into tokens: the server,
//! its version, the `sql_mode` flags about quoting, and `character_set_client`.

/// The family of a server: their grammars and executable comments differ.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Server {
    /// MariaDB Server.
    MariaDb,
    /// MySQL Server.
    MySql,
}

/// What `character_set_client` means to a lexer of bytes.
///
/// In five character sets the second byte of a character may be a backslash or
/// a backtick. `ucs2`, `utf16`, `utf16le` and `utf32` cannot be client character sets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Charset {
    /// `utf8mb3` or `utf8mb4`, known to be so.
    Utf8,
    /// Any set whose bytes below 0x80 always stand for themselves: the single-byte
    /// sets, UTF-8, `euckr`, `gb2312`, `ujis`, `eucjpms`. Safe when only that is known:
    /// where the sets disagree about bytes from 0x80 on, the class is unknown.
    #[default]
    SingleOrUtf8,
    /// `gbk`.
    Gbk,
    /// `big5`.
    Big5,
    /// `sjis`.
    Sjis,
    /// `cp932`.
    Cp932,
    /// `gb18030` (MySQL only).
    Gb18030,
}

impl Charset {
    /// The lexer's view of a character set's name as in `@@character_set_client`,
    /// in any case. A name it does not know is [`Charset::SingleOrUtf8`]:
    /// the servers have no other sets with bytes below 0x80 inside a character.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Self {
        const NAMES: [(&[u8], Charset); 8] = [
            (b"utf8mb4", Charset::Utf8),
            (b"utf8mb3", Charset::Utf8),
            (b"utf8", Charset::Utf8),
            (b"gbk", Charset::Gbk),
            (b"big5", Charset::Big5),
            (b"sjis", Charset::Sjis),
            (b"cp932", Charset::Cp932),
            (b"gb18030", Charset::Gb18030),
        ];
        NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or(Charset::SingleOrUtf8, |&(_, charset)| charset)
    }

    /// The lexer's view of a collation id, as a client names it in its handshake
    /// response or in COM_CHANGE_USER (`information_schema.COLLATIONS.ID`, both servers).
    /// An id it does not know is [`Charset::SingleOrUtf8`].
    #[must_use]
    pub fn from_collation_id(id: u16) -> Self {
        // MariaDB numbers the NO PAD twin of a collation 1024 higher.
        let base = if (1024..2048).contains(&id) {
            id - 1024
        } else {
            id
        };
        match base {
            1 | 84 => Charset::Big5,
            13 | 88 => Charset::Sjis,
            28 | 87 => Charset::Gbk,
            95 | 96 => Charset::Cp932,
            248..=250 => Charset::Gb18030,
            33 | 45 | 46 | 83 | 192..=215 | 224..=247 | 255..=323 => Charset::Utf8,
            _ => Charset::SingleOrUtf8,
        }
    }

    /// Length in bytes of a multi-byte character whose inside may look like ASCII,
    /// at the start of `bytes`; `None` when there is no such complete, valid character.
    pub(crate) fn wide(self, bytes: &[u8]) -> Option<usize> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let is = |lead: bool, trail: bool| (lead && trail).then_some(2);
        match self {
            Charset::Utf8 | Charset::SingleOrUtf8 => None,
            Charset::Gbk => is(
                matches!(first, 0x81..=0xfe),
                matches!(second, 0x40..=0x7e | 0x80..=0xfe),
            ),
            Charset::Big5 => is(
                matches!(first, 0xa1..=0xf9),
                matches!(second, 0x40..=0x7e | 0xa1..=0xfe),
            ),
            Charset::Sjis | Charset::Cp932 => is(
                matches!(first, 0x81..=0x9f | 0xe0..=0xfc),
                matches!(second, 0x40..=0x7e | 0x80..=0xfc),
            ),
            Charset::Gb18030 => {
                if !matches!(first, 0x81..=0xfe) {
                    return None;
                }
                match second {
                    0x40..=0x7e | 0x80..=0xfe => Some(2),
                    0x30..=0x39 => {
                        let (&third, &fourth) = (bytes.get(2)?, bytes.get(3)?);
                        (matches!(third, 0x81..=0xfe) && fourth.is_ascii_digit()).then_some(4)
                    }
                    _ => None,
                }
            }
        }
    }
}

/// What decides how bytes are lexed. Part of every cache key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Dialect {
    /// The server's family.
    pub server: Server,
    /// The server's version as in its executable comments, `MMmmpp`:
    /// 101119 is 10.11.19, 90704 is 9.7.4.
    pub version: u32,
    /// `sql_mode` contains ANSI_QUOTES: `"x"` is an identifier.
    pub ansi_quotes: bool,
    /// `sql_mode` contains NO_BACKSLASH_ESCAPES: `\` in a string is an ordinary byte.
    pub no_backslash_escapes: bool,
    /// `sql_mode` contains ORACLE (MariaDB only): another grammar. Transaction control and
    /// everything but plain statements is then unknown.
    pub oracle: bool,
    /// From `character_set_client`.
    pub charset: Charset,
}

impl Dialect {
    /// MariaDB of a version such as 101119, default `sql_mode`, `utf8mb4`.
    #[must_use]
    pub const fn mariadb(version: u32) -> Self {
        Self::new(Server::MariaDb, version)
    }

    /// MySQL of a version such as 90704, default `sql_mode`, `utf8mb4`.
    #[must_use]
    pub const fn mysql(version: u32) -> Self {
        Self::new(Server::MySql, version)
    }

    const fn new(server: Server, version: u32) -> Self {
        Dialect {
            server,
            version,
            ansi_quotes: false,
            no_backslash_escapes: false,
            oracle: false,
            charset: Charset::Utf8,
        }
    }

    /// Takes the quoting flags from a value of `@@sql_mode`, a comma-separated list of names
    /// in any case. Combined modes (`ANSI`, `ORACLE`, `DB2`, `MAXDB`, `MSSQL`, `POSTGRESQL`)
    /// count for what they contain.
    #[must_use]
    pub fn with_sql_mode(mut self, sql_mode: &[u8]) -> Self {
        let has = |names: &[&str]| {
            sql_mode.split(|&byte| byte == b',').any(|mode| {
                let mode = mode.trim_ascii();
                names
                    .iter()
                    .any(|name| name.as_bytes().eq_ignore_ascii_case(mode))
            })
        };
        let ansi = [
            "ANSI_QUOTES",
            "ANSI",
            "ORACLE",
            "DB2",
            "MAXDB",
            "MSSQL",
            "POSTGRESQL",
        ];
        self.ansi_quotes = has(&ansi);
        self.no_backslash_escapes = has(&["NO_BACKSLASH_ESCAPES"]);
        self.oracle = self.server == Server::MariaDb && has(&["ORACLE"]);
        self
    }
}
