use super::*;

fn kind_of(line: &str) -> Option<LogKind> {
    LogEvent::read(line.as_bytes()).map(|event| event.kind)
}

fn of(thread: u64, why: Aborted) -> Option<LogKind> {
    Some(LogKind::Aborted { thread, why })
}

#[test]
fn aborted_connections_have_their_reason_and_their_id() {
    let cases = [
        (
            "2026-11-02  3:04:05 1234 [Warning] Aborted connection 1234 to db: 'shop' user: 'app' host: '10.0.0.7' (Got timeout reading communication packets)",
            of(1234, Aborted::TimeoutReading),
        ),
        (
            "2026-11-02T03:04:05.123456Z 1234 [Note] [MY-010914] [Server] Aborted connection 1234 to db: 'shop' user: 'app' host: 'web1' (The client was disconnected by the server because of inactivity.).",
            of(1234, Aborted::Inactivity),
        ),
        (
            "2026-11-02T03:04:05.123456+02:00 7 [Note] Aborted connection 7 to db: 'unconnected' user: 'app' host: 'web1' (Got an error reading communication packets)",
            of(7, Aborted::ErrorReading),
        ),
        (
            "Nov  2 03:04:05 db1 mariadbd[815]: 2026-11-02  3:04:05 9 [Warning] Aborted connection 9 to db: 'shop' user: 'app' host: 'x' (KILLED)",
            of(9, Aborted::Killed),
        ),
        (
            "2026-11-02 13:04:05 12 [Warning] Aborted connection 12 to db: 'unconnected' user: 'unauthenticated' host: '10.0.0.7' (This connection closed normally without authentication)",
            of(12, Aborted::Unauthenticated),
        ),
        (
            "2026-11-02 13:04:05 12 [Warning] Aborted connection 12 to db: 'unconnected' user: 'unauthenticated' host: '10.0.0.7' (Got timeout reading communication packets)",
            of(12, Aborted::LoginTimeout),
        ),
        (
            "2026-11-02T03:04:05.123456Z 8 [Note] [MY-010914] [Server] Got timeout reading communication packets",
            of(8, Aborted::LoginTimeout),
        ),
        (
            "2026-11-02 13:04:05 12 [Warning] Aborted connection 12 to db: 'unconnected' user: 'unauthenticated' host: 'connecting host' (Too many connections)",
            Some(LogKind::TooManyConnections),
        ),
        (
            r#"{ "prio" : 3, "err_code" : 10914, "subsystem" : "Server", "msg" : "Aborted connection 55 to db: 'shop' user: 'app' host: 'x' (Got timeout writing communication packets).", "time" : "2026-11-02T03:04:05.123456Z" }"#,
            of(55, Aborted::TimeoutWriting),
        ),
    ];
    for (line, kind) in cases {
        assert_eq!(kind_of(line), kind, "{line}");
    }
}

#[test]
fn mariadb_says_more_of_packets_that_failed_at_log_warnings_4() {
    let failed = |thread, why| Some(LogKind::PacketFailed { thread, why });
    let cases = [
        (
            "2026-11-23 10:32:59 184 [Warning] Could not read packet: fd: 45  state: 1  read_length: 4  errno: 110  vio_errno: 1159  length: -1",
            failed(184, Aborted::TimeoutReading),
        ),
        (
            "2026-11-23 10:34:29 65 [Warning] Could not read packet: fd: 45  state: 1  read_length: 51958  errno: 110  vio_errno: 1159  length: -1",
            failed(65, Aborted::TimeoutWithinPacket),
        ),
        (
            "2026-11-23 10:33:17 10 [Warning] Could not write packet: fd: 46  state: 1  errno: 110  vio_errno: 1160  length: 3424",
            failed(10, Aborted::TimeoutWriting),
        ),
        (
            "2026-11-23 10:34:09 30 [Warning] Could not read packet: fd: 45  state: 1  read_length: 4  errno: 104  vio_errno: 1158  length: -1",
            None,
        ),
        (
            "2026-11-23 10:33:38 64 [ERROR] mariadbd: Got packets out of order",
            failed(64, Aborted::OutOfOrder),
        ),
    ];
    for (line, kind) in cases {
        assert_eq!(kind_of(line), kind, "{line}");
    }
}

#[test]
fn what_ends_and_begins_a_server_is_told_apart() {
    let cases = [
        (
            "2026-11-02T03:04:05.1Z 0 [System] [MY-013172] [Server] Received SHUTDOWN from user <via user signal>. Shutting down mysqld (Version: 9.7.4).",
            LogKind::ShutdownAsked,
        ),
        (
            "2026-11-02  3:04:05 0 [Note] /usr/sbin/mariadbd (initiated by: unknown): Normal shutdown",
            LogKind::ShutdownAsked,
        ),
        (
            "2026-11-02T03:04:05.1Z 0 [Warning] [MY-010909] [Server] /usr/sbin/mysqld: Forcing close of thread 12  user: 'app'.",
            LogKind::ShutdownAsked,
        ),
        (
            "2026-11-02  3:04:05 0 [Note] /usr/sbin/mariadbd: Shutdown complete",
            LogKind::ShutDown,
        ),
        ("03:04:05 UTC - mysqld got signal 11 ;", LogKind::Signal(11)),
        (
            "261102  3:04:05 [ERROR] /usr/sbin/mariadbd got signal 6 ;",
            LogKind::Signal(6),
        ),
        (
            "2026-11-02T03:04:05.1Z 1 [ERROR] [MY-013183] [InnoDB] Assertion failure: fil0fil.cc:100:x == y thread 139",
            LogKind::Assertion,
        ),
        (
            "2026-11-02T03:04:05.1Z 1 [Note] [MY-012551] [InnoDB] Database was not shutdown normally!",
            LogKind::Recovers,
        ),
        (
            "2026-11-02  3:04:05 0 [Note] InnoDB: Starting crash recovery from checkpoint LSN=45056",
            LogKind::Recovers,
        ),
        (
            "2026-11-02  3:04:05 0 [Note] Starting MariaDB 10.11.19-MariaDB source revision abc as process 4711",
            LogKind::Started,
        ),
        (
            "2026-11-02T03:04:05.1Z 0 [System] [MY-010931] [Server] /usr/sbin/mysqld: ready for connections. Version: '9.7.4'",
            LogKind::Ready,
        ),
        (
            "mariadb.service: Main process exited, code=killed, status=9/KILL",
            LogKind::KilledBySignal9,
        ),
        (
            "mariadb.service: Failed with result 'oom-kill'.",
            LogKind::OomKilled,
        ),
    ];
    for (line, kind) in cases {
        assert_eq!(kind_of(line), Some(kind), "{line}");
    }
}

#[test]
fn what_is_full_damaged_or_stuck_is_told_apart() {
    let cases = [
        (
            "[ERROR] mysqld: Disk is full writing './binlog.000003' (Errcode: 28 \"No space left on device\"). Waiting for someone to free space...",
            LogKind::DiskFull,
        ),
        (
            "[ERROR] [MY-012639] [InnoDB] Write to file ./ibdata1 failed at offset 0, 1 bytes should have been written, only 0 were written. Operating system error number 28.",
            LogKind::DiskFull,
        ),
        (
            "[ERROR] [FATAL] InnoDB: pwrite(\"ib_logfile0\") returned -1, operating system error 28",
            LogKind::DiskFull,
        ),
        (
            "[ERROR] Incorrect key file for table '/tmp/#sql_1a2_0.MAI'; try to repair it",
            LogKind::DiskFull,
        ),
        (
            "[ERROR] mysqld: Table './shop/orders' is marked as crashed and should be repaired",
            LogKind::Corruption,
        ),
        (
            "[ERROR] [MY-011906] [InnoDB] Database page corruption on disk or a failed file read of page [page id: space=5]",
            LogKind::Corruption,
        ),
        (
            "[ERROR] [MY-011904] [InnoDB] Space id and page number stored in the page read in are [page id: space=2779096485, page number=2779096485], should be [page id: space=3, page number=6]",
            LogKind::Corruption,
        ),
        (
            "[Warning] [MY-012985] [InnoDB] A long semaphore wait:",
            LogKind::LongWait,
        ),
        (
            "[ERROR] Error in accept: Too many open files",
            LogKind::OpenFiles,
        ),
        (
            "[ERROR] Can't open file: './shop/orders.frm' (errno: 24)",
            LogKind::OpenFiles,
        ),
        (
            "[ERROR] mysqld: Out of memory (Needed 128917 bytes)",
            LogKind::OutOfMemory,
        ),
        (
            "[ERROR] [MY-013833] [Server] Connection closed. Connection memory limit 2097152 bytes exceeded. Consumed 2105344 bytes.",
            LogKind::MemoryLimit,
        ),
        (
            "[System] [MY-011565] [Repl] Plugin group_replication reported: 'Setting super_read_only=ON.'",
            LogKind::Demoted,
        ),
    ];
    for (line, kind) in cases {
        assert_eq!(kind_of(line), Some(kind), "{line}");
    }
}

#[test]
fn every_versions_wording_is_understood() {
    let cases = [
        // MySQL 5.5 and 5.6, MariaDB 5.5 and 10.0.
        (
            "161102  3:04:05 [Note] /usr/sbin/mysqld: Normal shutdown",
            LogKind::ShutdownAsked,
        ),
        (
            "161102  3:04:05 [Note] Got signal 15 to shutdown mysqld",
            LogKind::ShutdownAsked,
        ),
        ("03:04:05 UTC - mysqld got signal 11 ;", LogKind::Signal(11)),
        ("InnoDB: Warning: a long semaphore wait:", LogKind::LongWait),
        (
            "2016-11-02 03:04:05 7f41 InnoDB: Assertion failure in thread 140 in file trx0trx.cc line 366",
            LogKind::Assertion,
        ),
        // MySQL 5.7.
        (
            "2018-11-02T03:04:05.1Z 0 [Note] Giving 3 client threads a chance to die gracefully",
            LogKind::ShutdownAsked,
        ),
        (
            "2018-11-02T03:04:05.1Z 0 [Note] mysqld: Shutdown complete",
            LogKind::ShutDown,
        ),
        (
            "2018-11-02T03:04:05.1Z 0 [Note] InnoDB: Database was not shutdown normally!",
            LogKind::Recovers,
        ),
        (
            "2018-11-02T03:04:05.1Z 0 [ERROR] Error in accept: Too many open files",
            LogKind::OpenFiles,
        ),
        (
            "2018-11-02T03:04:05.1Z 0 [Note] /usr/sbin/mysqld (mysqld 5.7.44-log) starting as process 9 ...",
            LogKind::Started,
        ),
        (
            "2018-11-02T03:04:05.1Z 9 [ERROR] Disk is full writing './binlog.7' (Errcode: 28 - No space left on device). Waiting for someone to free space...",
            LogKind::DiskFull,
        ),
        (
            "2018-11-02T03:04:05.1Z 0 [Warning] InnoDB: A long semaphore wait:",
            LogKind::LongWait,
        ),
        // MySQL 8.0 to 9.x.
        (
            "2024-11-02T03:04:05Z UTC - mysqld got signal 6 ;",
            LogKind::Signal(6),
        ),
        (
            "2024-11-02T03:04:05.1Z 0 [ERROR] [MY-013183] [InnoDB] Assertion failure: buf0buf.cc:1:x",
            LogKind::Assertion,
        ),
        (
            "2024-11-02T03:04:05.1Z 1 [ERROR] [MY-012639] [InnoDB] Write to file ./ibtmp1 failed at offset 1048576. Operating system error number 28.",
            LogKind::DiskFull,
        ),
        (
            "2024-11-02T03:04:05.1Z 0 [System] [MY-013172] [Server] Received SHUTDOWN from user <via user signal>. Shutting down mysqld (Version: 8.4.3).",
            LogKind::ShutdownAsked,
        ),
        (
            "2024-11-02T03:04:05.1Z 0 [System] [MY-010931] [Server] mysqld: ready for connections. Version: '8.0.36'",
            LogKind::Ready,
        ),
        (
            "2024-11-02T03:04:05.1Z 0 [System] [MY-015015] [Server] MySQL Server - start.",
            LogKind::Started,
        ),
        // MariaDB 10.1 to 11.8.
        (
            "2017-08-22 8:22:53 140295123512064 [Warning] mysqld: Disk is full writing '/tmp/#sql_41a0_0.MAD' (Errcode: 28 \"No space left on device\"). Waiting for someone to free space...",
            LogKind::DiskFull,
        ),
        (
            "2020-12-08 19:21:20 0 [Note] /usr/sbin/mysqld (mysqld 10.3.39-MariaDB) starting as process 9 ...",
            LogKind::Started,
        ),
        (
            "2025-11-02  3:04:05 0 [Note] Starting MariaDB 11.8.2-MariaDB source revision x as process 9",
            LogKind::Started,
        ),
        (
            "2025-11-02  3:04:05 0 [Note] mariadbd: Aria engine: starting recovery",
            LogKind::Recovers,
        ),
        // Who watches it.
        (
            "mariadb.service: Main process exited, code=killed, status=9/KILL",
            LogKind::KilledBySignal9,
        ),
        ("db-1 exited with code 137", LogKind::KilledBySignal9),
        ("      Exit Code:    137", LogKind::KilledBySignal9),
        ("      Reason:       OOMKilled", LogKind::OomKilled),
        (
            "mysql.service: A process of this unit has been killed by the OOM killer.",
            LogKind::OomKilled,
        ),
    ];
    for (line, kind) in cases {
        assert_eq!(kind_of(line), Some(kind), "{line}");
    }
    assert_eq!(
        kind_of(
            "2018-11-02T03:04:05.1Z 8 [Note] Aborted connection 8 to db: 'unconnected' user: 'repl' host: 'x' (Failed on my_net_write())"
        ),
        of(8, Aborted::ErrorWriting)
    );
}

#[test]
fn others_texts_tell_nothing() {
    for line in [
        "",
        "2026-11-02 03:04:05 0 [Note] InnoDB: Buffer pool(s) load completed at 261102  3:04:05",
        "[Warning] Unsafe statement written to the binary log using statement format. Statement: INSERT INTO t VALUES ('mysqld got signal 11')",
        "[Note] Event Scheduler: [app].[shop.clean] Disk is full",
        "[ERROR] Slave I/O: error reconnecting to master 'repl@db:3306' - Too many connections, Internal MariaDB error code: 1040",
        "[System] [MY-010229] [Server] Starting XA crash recovery...",
        "[System] [MY-011323] [Server] X Plugin ready for connections.",
        "[Note] InnoDB: Setting file './ibtmp1' size to 12 MB. Physically writing the file full; Please wait ...",
        "[ERROR] Error in accept: Bad file descriptor",
        "[ERROR] Operating system error number 2 in a file operation.",
        "mysqld invoked oom-killer: gfp_mask=0x100cca",
        "[Warning] Got signal 14 from thread 4711",
        // What every report of a crash says.
        "InnoDB: immediately after the mysqld startup, there may be",
        "InnoDB: corruption in the InnoDB tablespace. Please refer to",
        "or one of the libraries it was linked against is corrupt, improperly built,",
    ] {
        assert_eq!(kind_of(line), None, "{line}");
    }
}

#[test]
fn people_read_what_a_line_says() {
    for (line, said) in [
        (
            "2026-11-02  3:04:05 0 [Note] mariadbd: Aria engine: starting recovery",
            "mariadbd: Aria engine: starting recovery",
        ),
        (
            "2026-11-02T03:04:05.1Z 0 [System] [MY-013172] [Server] Received SHUTDOWN from user root.",
            "Received SHUTDOWN from user root.",
        ),
        (
            "2026-11-02T03:04:05.1Z 9 [ERROR] [MY-012639] [InnoDB] Operating system error number 28.",
            "9 [ERROR] [MY-012639] [InnoDB] Operating system error number 28.",
        ),
        ("mysqld got signal 11 ;", "mysqld got signal 11 ;"),
    ] {
        let event = LogEvent::read(line.as_bytes()).unwrap();
        assert_eq!(event.said(), said);
    }
}

#[test]
fn the_servers_own_time_is_kept() {
    let event = LogEvent::read(
        b"Nov  2 03:04:09 db1 mariadbd[815]: 2026-11-02  3:04:05 0 [Note] mariadbd: Shutdown complete\r",
    )
    .unwrap();
    assert_eq!(event.at, "2026-11-02  3:04:05");
    assert_eq!(event.line, "0 [Note] mariadbd: Shutdown complete");
    let long = format!("Aborted connection 1 to db ({})", "x".repeat(1 << 20));
    assert!(LogEvent::read(long.as_bytes()).unwrap().line.len() <= MAX_LINE);
    assert!(LogEvent::read(b"\xff\xfe got signal 11 \xff").is_some());
}
