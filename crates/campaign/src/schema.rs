//! The tables of the workload. Every change of state leaves a row in a log table, keyed by
//! (client, transaction number, step) without a unique index: a transaction applied twice is
//! seen as two rows, not as a duplicate-key error.

use anyhow::{Context, Result};
use mysql_async::{Conn, prelude::Queryable};

/// Hot accounts that all clients move money between.
pub(crate) const ACCOUNTS: u32 = 8;
/// Balance of an account at the start.
pub(crate) const INITIAL_BALANCE: i64 = 1_000_000;
/// Private rows per client.
pub(crate) const SLOTS: u32 = 4;
/// What each change adds to a private row, so that value = OWN_STEP × version always.
pub(crate) const OWN_STEP: i64 = 7;
/// Rows of the read-only table.
pub(crate) const BULK_ROWS: u32 = 2000;

/// A log table and the columns that a client may have been told about.
pub(crate) struct LogTable {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [&'static str],
}

/// Every log table, with the columns that the checker reads.
pub(crate) const LOGS: &[LogTable] = &[
    LogTable {
        name: "tx",
        columns: &["profile"],
    },
    LogTable {
        name: "transfer",
        columns: &["src", "dst", "amount"],
    },
    LogTable {
        name: "own_log",
        columns: &["slot", "amount"],
    },
    LogTable {
        name: "kv_log",
        columns: &["k", "amount"],
    },
    LogTable {
        name: "tag_log",
        columns: &["tag", "amount"],
    },
    LogTable {
        name: "item",
        columns: &["id", "label"],
    },
    LogTable {
        name: "item_after",
        columns: &["id", "label"],
    },
    LogTable {
        name: "audit",
        columns: &["item_id"],
    },
    LogTable {
        name: "item_before",
        columns: &["id", "mark"],
    },
    LogTable {
        name: "mark_log",
        columns: &["mark"],
    },
    LogTable {
        name: "clock",
        columns: &["told", "dflt", "short"],
    },
    LogTable {
        name: "noise",
        columns: &["r"],
    },
    LogTable {
        name: "request",
        columns: &["id", "label"],
    },
];

const LOG_KEY: &str = "client INT NOT NULL, n INT NOT NULL, step INT NOT NULL";

/// Each table draws ids of its own: where LAST_INSERT_ID() is the same number as before, nobody can tell after a loss
/// whether an INSERT into a table with triggers has drawn it (docs/errors.md).
fn tables() -> Vec<String> {
    let auto = "id BIGINT AUTO_INCREMENT PRIMARY KEY";
    vec![
        format!("CREATE TABLE tx ({LOG_KEY}, profile VARCHAR(40) NOT NULL)"),
        "CREATE TABLE account (id INT PRIMARY KEY, balance BIGINT NOT NULL, version BIGINT NOT NULL)".into(),
        format!("CREATE TABLE transfer ({LOG_KEY}, src INT NOT NULL, dst INT NOT NULL, amount BIGINT NOT NULL)"),
        "CREATE TABLE own (client INT, slot INT, value BIGINT NOT NULL, version BIGINT NOT NULL, PRIMARY KEY (client, slot))".into(),
        format!("CREATE TABLE own_log ({LOG_KEY}, slot INT NOT NULL, amount BIGINT NOT NULL)"),
        "CREATE TABLE kv (client INT, k INT, hits BIGINT NOT NULL, version BIGINT NOT NULL, PRIMARY KEY (client, k))".into(),
        format!("CREATE TABLE kv_log ({LOG_KEY}, k INT NOT NULL, amount BIGINT NOT NULL)"),
        format!("CREATE TABLE tagged ({auto}, client INT NOT NULL, tag INT NOT NULL, hits BIGINT NOT NULL, UNIQUE KEY (client, tag)) AUTO_INCREMENT = 3000001"),
        format!("CREATE TABLE tag_log ({LOG_KEY}, tag INT NOT NULL, amount BIGINT NOT NULL)"),
        format!("CREATE TABLE item ({auto}, {LOG_KEY}, label VARCHAR(40) NOT NULL)"),
        format!("CREATE TABLE item_after ({auto}, {LOG_KEY}, label VARCHAR(40) NOT NULL) AUTO_INCREMENT = 4000001"),
        format!("CREATE TABLE audit ({auto}, item_id BIGINT NOT NULL, {LOG_KEY}) AUTO_INCREMENT = 1000001"),
        format!("CREATE TABLE item_before ({auto}, {LOG_KEY}, mark BIGINT NOT NULL) AUTO_INCREMENT = 5000001"),
        format!("CREATE TABLE mark_log ({auto}, mark BIGINT NOT NULL, {LOG_KEY}) AUTO_INCREMENT = 2000001"),
        format!("CREATE TABLE clock ({LOG_KEY}, told DATETIME(6) NOT NULL, dflt DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6), short DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, KEY (client, n))"),
        format!("CREATE TABLE noise ({LOG_KEY}, r DOUBLE NOT NULL, KEY (client, n))"),
        format!("CREATE TABLE request ({auto}, {LOG_KEY}, label VARCHAR(40) NOT NULL) AUTO_INCREMENT = 6000001"),
        "CREATE TABLE tally (client INT PRIMARY KEY, hits BIGINT NOT NULL)".into(),
        "CREATE TABLE triple (client INT, k INT, hits BIGINT NOT NULL, PRIMARY KEY (client, k))".into(),
        "CREATE TABLE bulk (id INT PRIMARY KEY, n BIGINT NOT NULL, body VARCHAR(200) NOT NULL)".into(),
        "CREATE TRIGGER item_after_insert AFTER INSERT ON item_after FOR EACH ROW \
         INSERT INTO audit (item_id, client, n, step) VALUES (NEW.id, NEW.client, NEW.n, NEW.step)".into(),
        "CREATE TRIGGER item_before_insert BEFORE INSERT ON item_before FOR EACH ROW BEGIN \
         INSERT INTO mark_log (mark, client, n, step) VALUES (NEW.n * 100 + NEW.step, NEW.client, NEW.n, NEW.step); \
         SET NEW.mark = NEW.n * 100 + NEW.step; END".into(),
        "CREATE PROCEDURE ask (IN client_ INT, IN n_ INT, IN label_ VARCHAR(40)) \
         INSERT INTO request (client, n, step, label) VALUES (client_, n_, 1, label_)".into(),
    ]
}

/// Creates the database `name` from nothing and fills it for `clients` clients.
pub(crate) async fn create(conn: &mut Conn, name: &str, clients: u32) -> Result<()> {
    let mut statements = vec![
        format!("DROP DATABASE IF EXISTS {name}"),
        format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"),
        format!("USE {name}"),
    ];
    statements.extend(tables());
    let accounts: Vec<String> = (1..=ACCOUNTS)
        .map(|id| format!("({id}, {INITIAL_BALANCE}, 0)"))
        .collect();
    statements.push(format!("INSERT INTO account VALUES {}", accounts.join(",")));
    for client in 1..=clients {
        let own: Vec<String> = (0..SLOTS)
            .map(|slot| format!("({client}, {slot}, 0, 0)"))
            .collect();
        statements.push(format!("INSERT INTO own VALUES {}", own.join(",")));
        statements.push(format!("INSERT INTO tally VALUES ({client}, 0)"));
        statements.push(format!(
            "INSERT INTO triple VALUES ({client}, 1, 0), ({client}, 2, 0), ({client}, 3, 0)"
        ));
        // Both ends of the client's key range exist from the start, so that the gap locks of
        // INSERT … ON DUPLICATE KEY UPDATE never touch a neighbour's keys and cannot deadlock.
        statements.push(format!(
            "INSERT INTO tagged (client, tag, hits) VALUES ({client}, 0, 0), ({client}, 99, 0)"
        ));
    }
    for chunk in (1..=BULK_ROWS).collect::<Vec<_>>().chunks(500) {
        let rows: Vec<String> = chunk
            .iter()
            .map(|id| format!("({id}, {}, '{}')", bulk_n(*id), bulk_body(*id)))
            .collect();
        statements.push(format!("INSERT INTO bulk VALUES {}", rows.join(",")));
    }
    for statement in statements {
        conn.query_drop(&statement)
            .await
            .with_context(|| format!("setting up the workload failed at: {statement:.120}"))?;
    }
    Ok(())
}

/// Column `n` of the read-only row `id`.
pub(crate) fn bulk_n(id: u32) -> u64 {
    u64::from(id) * 2_654_435_761 % 1_000_003
}

/// Column `body` of the read-only row `id`.
pub(crate) fn bulk_body(id: u32) -> String {
    format!("{:016x}", bulk_n(id).wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(1 + id as usize % 10)
}
