//! The operations that every client performs, and the database that they find.

use std::path::Path;

use serde_json::{Value, json};

use crate::request::{LoginChange, Op, Step};

/// The database that is made anew before each run of a client.
pub(crate) const DATABASE: &str = "matrix";
/// A second database, for COM_INIT_DB and COM_CHANGE_USER.
pub(crate) const OTHER_DATABASE: &str = "matrix_other";
/// A session that waits in this database has its server connection cut: see [`crate::lose`].
pub(crate) const LOST_DATABASE: &str = "matrix_lost";
/// Holds what is only read: made once.
pub(crate) const STATIC_DATABASE: &str = "matrix_static";
/// 40 MB: more than two of the protocol's frames of 16 MB.
const BLOB_BYTES: usize = 40 << 20;

/// Makes the 200,000 rows; run once per server.
pub(crate) const STATIC_SCHEMA: &[&str] = &[
    "DROP DATABASE IF EXISTS matrix_static",
    "CREATE DATABASE matrix_static CHARACTER SET utf8mb4",
    // MySQL wants one for the derived table.
    "USE matrix_static",
    "CREATE TABLE matrix_static.digits (d INT PRIMARY KEY)",
    "INSERT INTO matrix_static.digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)",
    "CREATE TABLE matrix_static.numbers (n INT PRIMARY KEY, label VARCHAR(50), half DECIMAL(12,1) NULL)",
    "INSERT INTO matrix_static.numbers
     SELECT n, CONCAT('row ', n, ' ', LEFT(SHA2(n, 256), 32)), IF(n % 7 = 0, NULL, n / 2) FROM (
       SELECT a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d + 100000 * f.d AS n
       FROM matrix_static.digits a, matrix_static.digits b, matrix_static.digits c,
            matrix_static.digits d, matrix_static.digits e, matrix_static.digits f
       WHERE f.d < 2) AS all_numbers",
];

/// Makes the databases that a run of a client changes.
pub(crate) const SCHEMA: &[&str] = &[
    "DROP DATABASE IF EXISTS matrix",
    "DROP DATABASE IF EXISTS matrix_other",
    "CREATE DATABASE matrix CHARACTER SET utf8mb4",
    "CREATE DATABASE matrix_other CHARACTER SET utf8mb4",
    "USE matrix",
    "CREATE TABLE items (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50) NOT NULL, UNIQUE KEY by_name (name))",
    "INSERT INTO items (name) VALUES ('one'), ('two'), ('three')",
    "CREATE TABLE accounts (id INT PRIMARY KEY, balance DECIMAL(12,2) NOT NULL)",
    "INSERT INTO accounts VALUES (1, 100), (2, 200)",
    "CREATE TABLE blobs (id INT PRIMARY KEY, content LONGBLOB)",
    "CREATE TABLE loaded (id INT PRIMARY KEY, name VARCHAR(50), amount DECIMAL(10,2))",
    "CREATE TABLE typed (
       id INT AUTO_INCREMENT PRIMARY KEY, tiny TINYINT, small SMALLINT UNSIGNED, medium MEDIUMINT, big BIGINT,
       ubig BIGINT UNSIGNED, exact DECIMAL(30,10), single FLOAT, twice DOUBLE, bits BIT(12), day DATE,
       clock TIME(6), moment DATETIME(3), stamp TIMESTAMP NULL, year_ YEAR, fixed CHAR(10), text_ VARCHAR(100),
       bin BINARY(4), vbin VARBINARY(20), long_text TEXT, long_bin BLOB, choice ENUM('red','green'),
       some SET('x','y','z'), document JSON, place POINT)",
    "INSERT INTO typed VALUES
       (1, -128, 65535, -8388608, -9223372036854775808, 18446744073709551615, -12345678901234567890.0123456789,
        1.5, -2.5e300, b'101010101010', '2024-02-29', '-838:59:58.999999', '9999-12-31 23:59:59.999',
        '2038-01-19 03:14:07', 2155, 'fixed', 'Grüße, 世界 🌍', 'ab', x'00FF27225C', 'long\\ntext', x'00010203FFFE',
        'green', 'x,z', '{\"a\": [1, null, \"ü\"]}', ST_GeomFromText('POINT(1 2)')),
       (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL),
       (3, 0, 0, 0, 0, 0, 0, 0, 0, 0, '1000-01-01', '00:00:00', '1000-01-01 00:00:00', '1970-01-02 00:00:01', 1901,
        '', '', '', '', '', '', 'red', '', '[]', ST_GeomFromText('POINT(0 0)'))",
    "CREATE PROCEDURE several(IN n INT, OUT total INT) BEGIN
       SELECT n AS first_result;
       SELECT id, name FROM items ORDER BY id;
       INSERT INTO items (name) VALUES (CONCAT('from procedure ', n));
       SELECT 'last' AS third_result;
       SET total = n * 2;
     END",
    "CREATE PROCEDURE fails_late() BEGIN SELECT 'before' AS the_error; SELECT * FROM missing_table; END",
];

/// The file that LOAD DATA LOCAL reads.
pub(crate) const LOAD_FILE: &str = "1,one,1.50\n2,two,not a number\n3,drei ü,3.25\n";

fn query(sql: &str) -> Step {
    Step::Query {
        sql: sql.to_owned(),
        digest: false,
    }
}

fn execute<const N: usize>(sql: &str, params: [Value; N]) -> Step {
    let params = params
        .into_iter()
        .map(|list| list.as_array().cloned().unwrap_or_default());
    Step::Execute {
        sql: sql.to_owned(),
        params: params.collect(),
    }
}

fn op<const N: usize>(name: &str, steps: [Step; N]) -> Op {
    Op {
        name: name.to_owned(),
        login: LoginChange::default(),
        steps: steps.into(),
    }
}

fn queries<const N: usize>(name: &str, statements: [&str; N]) -> Op {
    op(name, statements.map(query))
}

/// All operations; `second` is the account (user, password) for COM_CHANGE_USER.
pub(crate) fn operations(load_file: &Path, second: (&str, &str)) -> Vec<Op> {
    let mut ops = vec![
        op(
            "login",
            [
                Step::Server,
                query("SELECT CURRENT_USER(), USER(), DATABASE()"),
                query("SELECT VERSION()"),
            ],
        ),
        queries(
            "query",
            [
                "SELECT * FROM typed ORDER BY id",
                "SELECT * FROM typed WHERE FALSE",
                "SELECT 1 AS a, NULL AS b, 'ü' AS c, 1.50 AS d, 2e0 AS e, DATE'2020-02-02' AS f, x'41' AS g",
                "SET NAMES latin1",
                "SELECT @@character_set_results, HEX('Gr\u{fc}n'), LENGTH('\u{fc}')",
                "SET NAMES utf8mb4",
                "DO 1",
            ],
        ),
    ];
    ops.push(prepared());
    ops.push(prepared_errors());
    ops.push(queries(
        "sql prepare",
        [
            "PREPARE s FROM 'SELECT ? + 1 AS answer, name FROM items WHERE id = ?'",
            "SET @a = 41, @id = 2",
            "EXECUTE s USING @a, @id",
            "DEALLOCATE PREPARE s",
            "EXECUTE s USING @a, @id",
        ],
    ));
    ops.push(queries(
        "transaction",
        [
            "BEGIN",
            "UPDATE accounts SET balance = balance - 10 WHERE id = 1",
            "UPDATE accounts SET balance = balance + 10 WHERE id = 2",
            "COMMIT",
            "START TRANSACTION",
            "UPDATE accounts SET balance = 0",
            "SAVEPOINT here",
            "DELETE FROM accounts",
            "ROLLBACK TO SAVEPOINT here",
            "SELECT * FROM accounts ORDER BY id",
            "ROLLBACK",
            "SET autocommit = 0",
            "INSERT INTO accounts VALUES (3, 1)",
            "SELECT @@autocommit, COUNT(*) FROM accounts",
            "ROLLBACK",
            "SELECT * FROM accounts ORDER BY id",
        ],
    ));
    ops.push(op(
        "blob 40 MB",
        [
            Step::Blob { bytes: BLOB_BYTES },
            query("SELECT LENGTH(content), SHA2(content, 256) FROM blobs"),
        ],
    ));
    ops.push(queries(
        "error",
        [
            "SELEKT 1",
            "INSERT INTO items (id, name) VALUES (1, 'again')",
            "SELECT * FROM missing_table",
            "SELECT missing_column FROM items",
            "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'own error', MYSQL_ERRNO = 3333",
            "SELECT 'alive'",
        ],
    ));
    ops.push(op(
        "kill query",
        [Step::KillQuery {
            sql: "SELECT SLEEP(30)".to_owned(),
        }],
    ));
    ops.push(op(
        "200,000 rows",
        [Step::Query {
            sql: "SELECT * FROM matrix_static.numbers ORDER BY n".to_owned(),
            digest: true,
        }],
    ));
    ops.push(op(
        "procedure",
        [
            query("CALL several(21, @total)"),
            query("SELECT @total"),
            query("CALL fails_late()"),
            query("SELECT 'alive'"),
        ],
    ));
    ops.push(op(
        "prepared procedure",
        [
            execute("CALL several(?, @total)", [json!([4]), json!([5])]),
            query("SELECT @total"),
        ],
    ));
    ops.push(load_data(load_file));
    ops.push(op(
        "reset connection",
        [
            query("SET @kept = 'yes', SESSION sql_mode = 'ANSI_QUOTES'"),
            query("CREATE TEMPORARY TABLE scratch (a INT)"),
            Step::Reset,
            query("SELECT @kept, @@sql_mode, DATABASE()"),
            query("SELECT * FROM scratch"),
        ],
    ));
    let change = |password: &str| Step::ChangeUser {
        user: second.0.to_owned(),
        password: password.to_owned(),
        database: OTHER_DATABASE.to_owned(),
    };
    ops.push(op(
        "change user",
        [
            query("SET @kept = 'yes'"),
            change(second.1),
            query("SELECT @kept, CURRENT_USER(), DATABASE()"),
        ],
    ));
    ops.push(op("change user, wrong password", [change("wrong")]));
    ops.push(queries(
        "warnings",
        [
            "SELECT 1 / 0, CAST('abc' AS SIGNED)",
            "SHOW WARNINGS",
            "SELECT @@warning_count, @@error_count",
            "DROP TABLE IF EXISTS missing_table",
            "SHOW COUNT(*) WARNINGS",
            "SELEKT 1",
            "SHOW ERRORS",
        ],
    ));
    ops.push(queries(
        "insert id",
        [
            "INSERT INTO items (name) VALUES ('four')",
            "SELECT LAST_INSERT_ID(), ROW_COUNT()",
            "INSERT INTO items (name) VALUES ('five'), ('six')",
            "SELECT LAST_INSERT_ID()",
            "UPDATE items SET name = 'four' WHERE name = 'four'",
            "SELECT ROW_COUNT()",
            "INSERT INTO items (name) VALUES ('four') ON DUPLICATE KEY UPDATE name = 'quatre'",
            "SELECT SQL_CALC_FOUND_ROWS id FROM items ORDER BY id LIMIT 2",
            "SELECT FOUND_ROWS()",
        ],
    ));
    let several = "SELECT 1 AS a; SELECT 2 AS b; UPDATE items SET name = 'changed' WHERE id = 1; SELECT 3 AS c";
    let mut on = queries(
        "multi-statements on",
        [several, "SELECT 1; SELEKT 2; SELECT 3", "SELECT 'alive'"],
    );
    on.login.multi = true;
    ops.push(on);
    ops.push(queries(
        "multi-statements off",
        [several, "SELECT name FROM items WHERE id = 1"],
    ));
    ops.push(queries(
        "variables",
        [
            "SET SESSION sql_mode = 'ANSI_QUOTES', @mine = 'ü', @number = 1.5",
            "SELECT @@sql_mode, @mine, @number, @unset",
            "SET time_zone = '+03:00', lc_time_names = 'de_DE'",
            "SELECT @@time_zone, DATE_FORMAT('2024-03-01', '%M')",
            "SET SESSION no_such_variable = 1",
        ],
    ));
    ops.push(queries(
        "hidden settings",
        [
            "SHOW VARIABLES LIKE 'session_track%'",
            "SELECT @@session.wait_timeout, @@net_write_timeout, @@net_read_timeout, @@interactive_timeout",
            "SELECT @@autocommit, @@character_set_client, @@collation_connection, @@max_allowed_packet",
            "SHOW SESSION VARIABLES LIKE '%timeout'",
        ],
    ));
    ops.push(op("ping", [Step::Ping]));
    let init_db = |database: &str| Step::InitDb {
        database: database.to_owned(),
    };
    ops.push(op(
        "init db",
        [
            init_db(OTHER_DATABASE),
            query("SELECT DATABASE()"),
            init_db("missing_db"),
        ],
    ));
    ops
}

fn prepared() -> Op {
    let insert = "INSERT INTO typed (tiny, exact, twice, moment, text_, vbin, document) VALUES (?, ?, ?, ?, ?, ?, ?)";
    op(
        "prepared",
        [
            execute(
                "SELECT ? AS a, ? AS b",
                [
                    json!([1, "x"]),
                    json!([null, null]),
                    json!(["1.5", { "hex": "00ff27" }]),
                    json!([1.5, "日本"]),
                    json!([-1, 1099511627776_i64]),
                ],
            ),
            execute(
                insert,
                [
                    json!([1, "12.5", 0.25, "2024-05-06 07:08:09.123", "ü", { "hex": "0001" }, "{\"k\": 1}"]),
                    json!([null, null, null, null, null, null, null]),
                ],
            ),
            execute(
                "SELECT * FROM typed WHERE id >= ? ORDER BY id",
                [json!([1]), json!([4])],
            ),
            execute(
                "SELECT name FROM items WHERE id = ?",
                [json!([1]), json!([2]), json!([99])],
            ),
            execute(
                "UPDATE accounts SET balance = balance + ? WHERE id = ?",
                [json!([5, 1]), json!(["0.25", 2])],
            ),
            query("SELECT * FROM accounts ORDER BY id"),
        ],
    )
}

/// On connections of its own: some clients are not usable after such an error.
fn prepared_errors() -> Op {
    op(
        "prepared, error",
        [
            execute("SELEKT ?", [json!([1])]),
            execute(
                "INSERT INTO items (id, name) VALUES (?, ?)",
                [json!([1, "again"]), json!([50, "fifty"])],
            ),
        ],
    )
}

fn load_data(file: &Path) -> Op {
    let load = |path: &str| {
        query(&format!(
            "LOAD DATA LOCAL INFILE '{path}' INTO TABLE loaded CHARACTER SET utf8mb4 FIELDS TERMINATED BY ','"
        ))
    };
    let path = file.display().to_string();
    op(
        "load data local",
        [
            load(&path),
            query("SHOW WARNINGS"),
            query("SELECT * FROM loaded ORDER BY id"),
            load(&path),
        ],
    )
}

/// The logins to one account of the logins matrix: the right password, the same again (a server may have cached it),
/// a wrong one, and one whose server connection is lost meanwhile; the files that say so are in `lost`.
pub(crate) fn logins(plugin: &str, user: &str, right: &str, wrong: &str, lost: &Path) -> Vec<Op> {
    let login = |password: &str| LoginChange {
        user: Some(user.to_owned()),
        password: Some(password.to_owned()),
        multi: false,
        clear_password: plugin == CLEAR_PASSWORD,
    };
    let attempts = [
        ("login", right),
        ("login again", right),
        ("wrong password", wrong),
    ];
    let attempt = |(name, password): (&str, &str)| Op {
        name: format!("{plugin}, {name}"),
        login: login(password),
        steps: vec![query("SELECT CURRENT_USER(), USER()")],
    };
    let mut ops: Vec<Op> = attempts.map(attempt).into();
    ops.push(Op {
        name: format!("{plugin}, {SURVIVES}"),
        login: login(right),
        steps: vec![
            query(&format!("SET @kept = '{KEPT}'")),
            query(&format!("USE {LOST_DATABASE}")),
            Step::Wait {
                file: lost.join(user),
            },
            query("SELECT @kept, DATABASE(), CURRENT_USER()"),
        ],
    });
    ops
}

/// The plugin that clients must be told to allow.
pub(crate) const CLEAR_PASSWORD: &str = "mysql_clear_password";
/// The last of [`logins`].
pub(crate) const SURVIVES: &str = "survives";
/// What the last of [`logins`] shows at its end, if it survived.
pub(crate) const KEPT: &str = "kept in spite of the loss";
