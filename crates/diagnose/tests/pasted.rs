//! What people paste into forums and bug reports, in the shape that each program gives it: the answer is the right cause or
//! class, or *unknown*, and never something else.

use steadfast_diagnose::Reading;

/// What is told of a paste: answers, each with its likeliest candidate where it is no cause.
fn told(paste: &str) -> Vec<String> {
    let mut reading = Reading::default();
    for line in paste.split_inclusive('\n') {
        reading.line(line.as_bytes());
    }
    reading
        .finish()
        .0
        .iter()
        .map(|finding| {
            let answer = finding.verdict.answer.name();
            match finding.verdict.candidates.first() {
                Some(first) if first.cause.name() != answer => format!("{answer}: {}", first.cause),
                _ => answer.to_owned(),
            }
        })
        .collect()
}

#[test]
fn every_shape_is_told_what_it_allows() {
    let cases: &[(&str, &[&str])] = &[
        // The command line and dumps.
        (
            "ERROR 2013 (HY000): Lost connection to MySQL server during query",
            &["unknown: idle-timeout"],
        ),
        (
            "ERROR 2013 (HY000) at line 1044: Lost connection to MySQL server during query",
            &["unknown: idle-timeout"],
        ),
        (
            "ERROR 2006 (HY000) at line 283: MySQL server has gone away\nNo connection. Trying to reconnect...\nConnection id:    12",
            &["unknown: idle-timeout"],
        ),
        (
            "ERROR 2013 (HY000): Lost connection to server at 'handshake: reading initial communication packet', system error: 11",
            &["unknown: handshake-timeout"],
        ),
        (
            "ERROR 2055 (HY000): Lost connection to MySQL server at 'reading authorization packet', system error: 104",
            &["unknown: handshake-timeout"],
        ),
        ("ERROR 1927 (70100): Connection was killed", &["killed"]),
        (
            "ERROR 1153 (08S01) at line 96: Got a packet bigger than 'max_allowed_packet' bytes",
            &["packet-too-large"],
        ),
        (
            "ERROR 1040 (HY000): Too many connections",
            &["too-many-connections"],
        ),
        (
            "ERROR 1129 (HY000): Host '10.0.0.7' is blocked because of many connection errors; unblock with 'mysqladmin flush-hosts'",
            &["host-blocked"],
        ),
        (
            "ERROR 2002 (HY000): Can't connect to local MySQL server through socket '/var/run/mysqld/mysqld.sock' (2)",
            &["not-listening"],
        ),
        (
            "ERROR 2003 (HY000): Can't connect to MySQL server on '10.0.0.5:3306' (111)",
            &["not-listening"],
        ),
        (
            "ERROR 2003 (HY000): Can't connect to MySQL server on 'db' (110)",
            &["unknown: network-drop"],
        ),
        (
            "mysqldump: Error 2013: Lost connection to MySQL server during query when dumping table `big` at row: 1234567",
            &["unknown: slow-reader"],
        ),
        (
            "mysqldump: Error 2020: Got packet bigger than 'max_allowed_packet' bytes when dumping table `search` at row: 68014",
            &["packet-too-large"],
        ),
        (
            "mysqldump: Got error: 2013: Lost connection to MySQL server at 'reading initial communication packet', system error: 0 when trying to connect",
            &["unknown: handshake-timeout"],
        ),
        (
            "ERROR 1205 (HY000): Lock wait timeout exceeded; try restarting transaction",
            &[],
        ),
        (
            "ERROR 1045 (28000): Access denied for user 'root'@'localhost' (using password: YES)",
            &[],
        ),
        (
            "ERROR 3024 (HY000): Query execution was interrupted, maximum statement execution time exceeded",
            &["query-timeout"],
        ),
        (
            "ERROR 1969 (70100): Query execution was interrupted (max_statement_time exceeded)",
            &["query-timeout"],
        ),
        (
            "ERROR 1290 (HY000): The MySQL server is running with the --super-read-only option so it cannot execute this statement",
            &["demoted"],
        ),
        (
            "ERROR 1047 (08S01): WSREP has not yet prepared node for application use",
            &["demoted"],
        ),
        (
            "ERROR 1047 (08S01) at line 3: Unknown command",
            &["protocol-misuse"],
        ),
        (
            "ERROR 1021 (HY000): Disk full (/tmp/#sql_15455_1.MAI); waiting for someone to free some space... (errno: 28 \"No space left on device\")",
            &["disk-full"],
        ),
        (
            "ERROR 1213 (40001): Deadlock found when trying to get lock; try restarting transaction",
            &[],
        ),
        ("ERROR 1317 (70100): Query execution was interrupted", &[]),
        (
            "ERROR 1290 (HY000): The MySQL server is running with the --secure-file-priv option so it cannot execute this statement",
            &[],
        ),
        (
            "ERROR 1226 (42000): User 'app' has exceeded the 'max_questions' resource (current value: 5)",
            &[],
        ),
        (
            "ERROR 1226 (42000): User 'app' has exceeded the 'max_user_connections' resource (current value: 5)",
            &["too-many-connections"],
        ),
        (
            "ERROR 1135 (HY000): Can't create a new thread (errno 11)",
            &["unknown: out-of-memory"],
        ),
        (
            "ERROR 1037 (HY001): Out of memory; restart server and try again (needed 65536 bytes)",
            &["unknown: out-of-memory"],
        ),
        (
            "ERROR 1041 (HY000): Out of memory",
            &["unknown: out-of-memory"],
        ),
        (
            "ERROR 1130 (HY000): Host '10.0.0.7' is not allowed to connect to this MySQL server",
            &[],
        ),
        (
            "ERROR 1114 (HY000): The table 't' is full",
            &["unknown: disk-full"],
        ),
        (
            "ERROR 1053 (08S01): Server shutdown in progress",
            &["shutdown"],
        ),
        (
            "ERROR 1053 (08S01): Steadfast: the server did not come back in time (steadfast why QQLKNC)",
            &["unknown: idle-timeout"],
        ),
        (
            "ERROR 1317 (70100): Steadfast: somebody killed it; it is not run again (steadfast why QQLKNC)",
            &["unknown: idle-timeout"],
        ),
        (
            "ERROR 3169 (HY000): Session was killed",
            &["unknown: killed"],
        ),
        (
            "ERROR 1877 (HY000): Operation cannot be performed. The table 't' is missing, corrupt or contains bad data",
            &["corruption"],
        ),
        (
            "ERROR 1159 (08S01): Got timeout reading communication packets",
            &["unknown: idle-timeout"],
        ),
        // Python.
        (
            "sqlalchemy.exc.OperationalError: (pymysql.err.OperationalError) (2013, 'Lost connection to MySQL server during query')\n[SQL: SELECT 1]\n(Background on this error at: https://sqlalche.me/e/20/e3q8)",
            &["unknown: idle-timeout"],
        ),
        (
            "pymysql.err.OperationalError: (2013, 'Lost connection to MySQL server during query ([Errno 54] Connection reset by peer)')",
            &["unknown: idle-timeout"],
        ),
        (
            "pymysql.err.OperationalError: (2006, \"MySQL server has gone away (BrokenPipeError(32, 'Broken pipe'))\")",
            &["unknown: idle-timeout"],
        ),
        (
            "pymysql.err.OperationalError: (2003, \"Can't connect to MySQL server on 'db' (timed out)\")",
            &["unknown: handshake-timeout"],
        ),
        (
            "pymysql.err.OperationalError: (2013, 'Lost connection to MySQL server during query (timed out)')",
            &["no-answer-in-time: client-timeout"],
        ),
        ("pymysql.err.InterfaceError: (0, '')", &[]),
        (
            "pymysql.err.InternalError: Packet sequence number wrong - got 1 expected 2",
            &["protocol-misuse"],
        ),
        (
            "MySQLdb._exceptions.OperationalError: (4031, 'The client was disconnected by the server because of inactivity. See wait_timeout and interactive_timeout for configuring this behavior.')",
            &["idle-timeout"],
        ),
        (
            "mysql.connector.errors.OperationalError: 2055: Lost connection to MySQL server at 'db:3306', system error: 32 Broken pipe",
            &["unknown: idle-timeout"],
        ),
        (
            "mysql.connector.errors.OperationalError: MySQL Connection not available.",
            &["unknown: idle-timeout"],
        ),
        (
            "django.db.utils.OperationalError: (1040, 'Too many connections')",
            &["too-many-connections"],
        ),
        (
            "aiomysql: (2013, 'Lost connection to MySQL server during query')\nasyncio.exceptions.IncompleteReadError: 0 bytes read on a total of 4 expected bytes",
            &["unknown: idle-timeout"],
        ),
        // PHP.
        (
            "PDOException: SQLSTATE[HY000]: General error: 2006 MySQL server has gone away in /srv/app/Connection.php:57",
            &["unknown: idle-timeout"],
        ),
        (
            "SQLSTATE[HY000] [2002] Connection refused",
            &["not-listening"],
        ),
        (
            "SQLSTATE[HY000] [2002] php_network_getaddresses: getaddrinfo failed: Name or service not known",
            &[],
        ),
        (
            "SQLSTATE[08004] [1040] Too many connections",
            &["too-many-connections"],
        ),
        (
            "mysqli_real_connect(): (HY000/2002): Connection timed out",
            &["unknown: network-drop"],
        ),
        (
            "PHP Warning:  mysqli::query(): MySQL server has gone away in /srv/wp/wp-db.php on line 2033",
            &["unknown: idle-timeout"],
        ),
        (
            "Warning: Packets out of order. Expected 1 received 0. Packet size=145 in /srv/app/PDOStatement.php on line 105",
            &["idle-timeout"],
        ),
        (
            "Error while sending QUERY packet. PID=824",
            &["unknown: idle-timeout"],
        ),
        (
            "Warning: mysqli_query(): Error reading result set's header",
            &["unknown: idle-timeout"],
        ),
        (
            "SQLSTATE[HY000]: General error: 4031 The client was disconnected by the server because of inactivity.",
            &["idle-timeout"],
        ),
        // Java.
        (
            "com.mysql.cj.jdbc.exceptions.CommunicationsException: Communications link failure\n\nThe last packet successfully received from the server was 7,204,123 milliseconds ago. The last packet sent successfully to the server was 7,204,124 milliseconds ago.\n\tat com.mysql.cj.jdbc.exceptions.SQLError.createCommunicationsException(SQLError.java:174)\nCaused by: java.io.EOFException: Can not read response from server. Expected to read 4 bytes, read 0 bytes before connection was unexpectedly lost.",
            &["unknown: idle-timeout"],
        ),
        (
            "Communications link failure\n\nThe last packet sent successfully to the server was 0 milliseconds ago. The driver has not received any packets from the server.\nCaused by: java.net.ConnectException: Connection refused (Connection refused)",
            &["not-listening"],
        ),
        (
            "com.mysql.cj.jdbc.exceptions.CommunicationsException: Communications link failure\n\nThe last packet successfully received from the server was 30,012 milliseconds ago. The last packet sent successfully to the server was 30,012 milliseconds ago.\nCaused by: java.net.SocketTimeoutException: Read timed out",
            &["no-answer-in-time: middlebox-idle"],
        ),
        (
            "HikariPool-1 - Failed to validate connection com.mysql.cj.jdbc.ConnectionImpl@57825052 (No operations allowed after connection closed.). Possibly consider using a shorter maxLifetime value.",
            &["unknown: idle-timeout"],
        ),
        (
            "HikariPool-1 - Connection is not available, request timed out after 30000ms.",
            &[],
        ),
        (
            "com.mysql.cj.jdbc.exceptions.PacketTooBigException: Packet for query is too large (5,245,000 > 4,194,304). You can change this value on the server by setting the 'max_allowed_packet' variable.",
            &["packet-too-large"],
        ),
        (
            "java.sql.SQLNonTransientConnectionException: (conn=42) unexpected end of stream, read 0 bytes from 4 (socket was closed by server)",
            &["unknown: idle-timeout"],
        ),
        // Go.
        (
            "[mysql] 2020/05/24 12:01:49 packets.go:36: unexpected EOF\n2020/05/24 12:01:49 exec failed: invalid connection",
            &["unknown: idle-timeout"],
        ),
        (
            "[mysql] packets.go:58 read tcp 10.0.0.1:51234->10.0.0.2:3306: i/o timeout",
            &["no-answer-in-time: client-timeout"],
        ),
        (
            "dial tcp 10.0.0.5:3306: connect: connection refused",
            &["not-listening"],
        ),
        (
            "[mysql] 2022/01/02 03:04:05 packets.go:122: closing bad idle connection: EOF",
            &["unknown: idle-timeout"],
        ),
        (
            "[mysql] connection.go:173: write tcp 10.0.0.1:5->10.0.0.2:3306: write: broken pipe\ndriver: bad connection",
            &["unknown: idle-timeout"],
        ),
        // Node.
        (
            "Error: Connection lost: The server closed the connection.\n    at Protocol.end (/srv/node_modules/mysql/lib/protocol/Protocol.js:112:13)\n  fatal: true,\n  code: 'PROTOCOL_CONNECTION_LOST'",
            &["unknown: idle-timeout"],
        ),
        (
            "Error: read ECONNRESET\n    at TCP.onStreamRead (internal/stream_base_commons.js:209:20) {\n  errno: -104,\n  code: 'ECONNRESET',\n  syscall: 'read', fatal: true }",
            &["unknown: idle-timeout"],
        ),
        (
            "Error: connect ETIMEDOUT\n  errorno: 'ETIMEDOUT',\n  code: 'ETIMEDOUT',\n  syscall: 'connect', fatal: true",
            &["unknown: network-drop"],
        ),
        (
            "Error: The client was disconnected by the server because of inactivity. See wait_timeout and interactive_timeout for configuring this behavior.\n  code: 'ER_CLIENT_INTERACTION_TIMEOUT',\n  errno: 4031,",
            &["idle-timeout"],
        ),
        (
            "{ Error: Query inactivity timeout code: 'PROTOCOL_SEQUENCE_TIMEOUT', fatal: true, timeout: 10000 }",
            &["no-answer-in-time: client-timeout"],
        ),
        (
            "Error: Can't add new command when connection is in closed state",
            &["unknown: idle-timeout"],
        ),
        (
            "SequelizeConnectionError: Handshake inactivity timeout",
            &["unknown: handshake-timeout"],
        ),
        // Ruby.
        (
            "ActiveRecord::StatementInvalid: Mysql2::Error::ConnectionError: Lost connection to MySQL server during query",
            &["unknown: idle-timeout"],
        ),
        (
            "Mysql2::Error: MySQL client is not connected",
            &["unknown: idle-timeout"],
        ),
        (
            "ActiveRecord::ConnectionFailed: Trilogy::ClosedConnection: trilogy_query_recv",
            &["unknown: idle-timeout"],
        ),
        // .NET.
        (
            "MySqlConnector.MySqlException (0x80004005): The Command Timeout expired before the operation completed.",
            &["no-answer-in-time: client-timeout"],
        ),
        (
            "MySqlConnector.MySqlException (0x80004005): Connect Timeout expired.",
            &["unknown: handshake-timeout"],
        ),
        (
            "MySql.Data.MySqlClient.MySqlException (0x80004005): Fatal error encountered attempting to read the resultset. ---> System.IO.IOException: Unable to read data from the transport connection: An existing connection was forcibly closed by the remote host.",
            &["unknown: idle-timeout"],
        ),
        (
            "MySql.Data.MySqlClient.MySqlException: Unable to connect to any of the specified MySQL hosts.",
            &["unknown: handshake-timeout"],
        ),
        // Tools.
        (
            "Error Code: 2013. Lost connection to MySQL server during query\t30.002 sec",
            &["no-answer-in-time: client-timeout"],
        ),
        (
            "Error Code: 2013. Lost connection to MySQL server during query\t600.495 sec",
            &["no-answer-in-time: client-timeout"],
        ),
        (
            "15:04:05\tALTER TABLE t ADD INDEX (a)\tError Code: 2013. Lost connection to MySQL server during query\t12.430 sec",
            &["unknown: idle-timeout"],
        ),
        (
            "/* SQL Error (2013): Lost connection to MySQL server during query */",
            &["unknown: idle-timeout"],
        ),
        (
            "#2006 - MySQL server has gone away",
            &["unknown: idle-timeout"],
        ),
        (
            "2013 - Lost connection to MySQL server at 'reading initial communication packet', system error: 0 \"Internal error/check (Not system error)\"",
            &["unknown: handshake-timeout"],
        ),
        (
            "ProxySQL Error: 9001: Max connect timeout reached while reaching hostgroup 10 after 10000ms",
            &["proxy-timeout"],
        ),
        // Replicas.
        (
            "[ERROR] Slave I/O: error reconnecting to master 'repl@db:3306' - retry-time: 60  maximum-retries: 100000  message: Can't connect to MySQL server on 'db' (111), Internal MariaDB error code: 2003",
            &["not-listening"],
        ),
        (
            "[ERROR] [MY-010557] [Repl] Error reading packet from server for channel '': Lost connection to MySQL server during query (server_errno=2013)",
            &["unknown: idle-timeout"],
        ),
        // Other languages, other quotation marks.
        (
            "FEHLER 2013 (HY000): Verbindung zum Server verloren – „Lost connection to MySQL server during query“",
            &["unknown: idle-timeout"],
        ),
        (
            "Erreur SQL : « MySQL server has gone away »",
            &["unknown: idle-timeout"],
        ),
        (
            "C:\\xampp\\mysql\\bin\\mysql.exe: ERROR 2013 (HY000) at line 5: Lost connection to MySQL server during query\r\n",
            &["unknown: idle-timeout"],
        ),
        // Containers and service managers.
        (
            "db-1  | 2026-11-02 03:04:05+00:00 [Note] [Entrypoint]: Entrypoint script for MySQL Server 8.4.2 started.\ndb-1 exited with code 137",
            &["killed-from-outside: out-of-memory"],
        ),
        (
            "    Last State:     Terminated\n      Reason:       OOMKilled\n      Exit Code:    137",
            &["out-of-memory"],
        ),
        (
            "Nov  2 03:04:05 db1 systemd[1]: mariadb.service: Main process exited, code=killed, status=9/KILL\nNov  2 03:04:05 db1 systemd[1]: mariadb.service: Failed with result 'oom-kill'.",
            &["out-of-memory"],
        ),
        (
            "app-1  | 2026-11-02T03:04:05Z ERROR (2006, 'MySQL server has gone away')",
            &["unknown: idle-timeout"],
        ),
        (
            "2026-11-02T03:04:05.123456789Z stderr F SQLSTATE[HY000] [2002] Connection refused",
            &["not-listening"],
        ),
    ];
    let mut wrong = String::new();
    for (paste, expected) in cases {
        let told = told(paste);
        if told != *expected {
            wrong.push_str(&format!("{paste:?}\n    {told:?}, not {expected:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
