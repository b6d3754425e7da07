//! Capability flags, status flags and the types of session state changes.
//!
//! Sources: MySQL `include/mysql_com.h` (9.x), MariaDB `include/mysql_com.h` (11.x) and *Connection / Capabilities*.

bitflags::bitflags! {
    /// What both sides of a connection may use: the 32 bits of MySQL, and MariaDB's extended ones above them.
    ///
    /// Bits without a name are kept.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
    pub struct Capabilities: u64 {
        /// Old clients' long passwords. MariaDB calls it `CLIENT_MYSQL`: when it is *not* set, the peer is MariaDB's
        /// and the extended capabilities are in use. See [`Capabilities::is_mariadb`].
        const LONG_PASSWORD = 1;
        /// Affected rows count rows found, not rows changed.
        const FOUND_ROWS = 1 << 1;
        /// All column flags.
        const LONG_FLAG = 1 << 2;
        /// The handshake response names a database.
        const CONNECT_WITH_DB = 1 << 3;
        /// `database.table.column` is refused.
        const NO_SCHEMA = 1 << 4;
        /// zlib compression.
        const COMPRESS = 1 << 5;
        /// ODBC client.
        const ODBC = 1 << 6;
        /// LOAD DATA LOCAL is possible.
        const LOCAL_FILES = 1 << 7;
        /// Spaces before `(` are ignored.
        const IGNORE_SPACE = 1 << 8;
        /// Protocol 4.1; without it nothing here works.
        const PROTOCOL_41 = 1 << 9;
        /// `interactive_timeout` instead of `wait_timeout`.
        const INTERACTIVE = 1 << 10;
        /// TLS follows the SSL request.
        const SSL = 1 << 11;
        /// A hint of the client library, without effect on the wire.
        const IGNORE_SIGPIPE = 1 << 12;
        /// Status flags in OK.
        const TRANSACTIONS = 1 << 13;
        /// Old flag of protocol 4.1.
        const RESERVED = 1 << 14;
        /// 20-byte scramble. MySQL 8 calls it `CLIENT_RESERVED2`.
        const SECURE_CONNECTION = 1 << 15;
        /// Several statements in one COM_QUERY.
        const MULTI_STATEMENTS = 1 << 16;
        /// Several results for COM_QUERY.
        const MULTI_RESULTS = 1 << 17;
        /// Several results for COM_STMT_EXECUTE.
        const PS_MULTI_RESULTS = 1 << 18;
        /// Authentication plugins.
        const PLUGIN_AUTH = 1 << 19;
        /// Connection attributes.
        const CONNECT_ATTRS = 1 << 20;
        /// The authentication response has a length-encoded length.
        const PLUGIN_AUTH_LENENC_CLIENT_DATA = 1 << 21;
        /// The client understands an expired password.
        const CAN_HANDLE_EXPIRED_PASSWORDS = 1 << 22;
        /// OK carries session state changes.
        const SESSION_TRACK = 1 << 23;
        /// No EOF packets: OK with header 0xFE ends rows, nothing ends column definitions.
        const DEPRECATE_EOF = 1 << 24;
        /// MySQL: a resultset may come without column definitions.
        const OPTIONAL_RESULTSET_METADATA = 1 << 25;
        /// MySQL: zstd compression.
        const ZSTD_COMPRESSION = 1 << 26;
        /// MySQL: query attributes.
        const QUERY_ATTRIBUTES = 1 << 27;
        /// MySQL: several authentication factors.
        const MULTI_FACTOR_AUTHENTICATION = 1 << 28;
        /// MySQL: reserved for an extension of this field. MariaDB's obsolete progress flag.
        const CAPABILITY_EXTENSION = 1 << 29;
        /// The client verifies the server's certificate.
        const SSL_VERIFY_SERVER_CERT = 1 << 30;
        /// The client library keeps its options over a failed connect.
        const REMEMBER_OPTIONS = 1 << 31;
        /// MariaDB: progress reports.
        const PROGRESS = 1 << 32;
        /// MariaDB: COM_MULTI, withdrawn.
        const COM_MULTI = 1 << 33;
        /// MariaDB: COM_STMT_BULK_EXECUTE.
        const STMT_BULK_OPERATIONS = 1 << 34;
        /// MariaDB: type and format names in column definitions (also called `EXTENDED_TYPE_INFO`).
        const EXTENDED_METADATA = 1 << 35;
        /// MariaDB: column definitions are left out when they did not change.
        const CACHE_METADATA = 1 << 36;
        /// MariaDB: a bulk execution may return a row per unit.
        const BULK_UNIT_RESULTS = 1 << 37;
        const _ = !0;
    }
}

impl Capabilities {
    /// Whether the peer that sent these flags speaks MariaDB's dialect: `CLIENT_MYSQL` is not set.
    pub const fn is_mariadb(self) -> bool {
        !self.contains(Capabilities::LONG_PASSWORD)
    }

    /// The 32 bits that MySQL knows.
    pub const fn low(self) -> u32 {
        self.bits() as u32
    }

    /// MariaDB's extended 32 bits.
    pub const fn extended(self) -> u32 {
        (self.bits() >> 32) as u32
    }

    /// Flags from the two halves.
    pub const fn from_halves(low: u32, extended: u32) -> Self {
        Capabilities::from_bits_retain(low as u64 | (extended as u64) << 32)
    }
}

bitflags::bitflags! {
    /// The session's state as OK and EOF packets show it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
    pub struct StatusFlags: u16 {
        /// A transaction is open.
        const IN_TRANS = 1;
        /// Autocommit is on.
        const AUTOCOMMIT = 2;
        /// Another result follows.
        const MORE_RESULTS_EXISTS = 8;
        /// No good index was used.
        const NO_GOOD_INDEX_USED = 16;
        /// No index was used.
        const NO_INDEX_USED = 32;
        /// A cursor is open: rows come with COM_STMT_FETCH.
        const CURSOR_EXISTS = 64;
        /// The cursor is at its end.
        const LAST_ROW_SENT = 128;
        /// A database was dropped.
        const DB_DROPPED = 256;
        /// `sql_mode` has NO_BACKSLASH_ESCAPES.
        const NO_BACKSLASH_ESCAPES = 512;
        /// The statement was prepared again and its columns changed.
        const METADATA_CHANGED = 1024;
        /// The query was slow.
        const QUERY_WAS_SLOW = 2048;
        /// This resultset holds OUT parameters.
        const PS_OUT_PARAMS = 4096;
        /// The open transaction is READ ONLY.
        const IN_TRANS_READONLY = 8192;
        /// The OK packet carries session state changes.
        const SESSION_STATE_CHANGED = 1 << 14;
        /// MariaDB: `sql_mode` has ANSI_QUOTES.
        const ANSI_QUOTES = 1 << 15;
        const _ = !0;
    }
}

/// Types of session state changes in an OK packet.
pub mod session_track {
    /// Names and new values of system variables.
    pub const SYSTEM_VARIABLES: u8 = 0;
    /// The new default database.
    pub const SCHEMA: u8 = 1;
    /// Whether any session state changed.
    pub const STATE_CHANGE: u8 = 2;
    /// GTIDs of the statement or transaction.
    pub const GTIDS: u8 = 3;
    /// The statements that would start this transaction again.
    pub const TRANSACTION_CHARACTERISTICS: u8 = 4;
    /// Eight characters that tell what the transaction has done.
    pub const TRANSACTION_STATE: u8 = 5;
}
