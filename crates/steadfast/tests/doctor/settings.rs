//! Settings that can be made while a server runs: each bad one is found, and nothing beside it; good ones are not.

use serde_json::json;

use crate::on_both;
use crate::place::{Place, answer, these};

on_both!(
    bad_settings_are_found,
    unusual_settings_that_are_fine_are_not,
    a_path_with_a_limit_wants_keepalive,
    a_small_machine_is_too_small,
    what_would_not_survive_a_restart_is_told,
);

/// Settings, the check that finds them, and how bad it is.
type Case = (
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
);

const BOTH: &[Case] = &[
    (&[("wait_timeout", "20")], "wait-timeout", "warning"),
    (&[("wait_timeout", "120")], "wait-timeout", "note"),
    (
        &[("interactive_timeout", "30")],
        "interactive-timeout",
        "note",
    ),
    (
        &[("net_write_timeout", "5")],
        "net-write-timeout",
        "warning",
    ),
    (&[("connect_timeout", "2")], "connect-timeout", "warning"),
    (&[("connect_timeout", "600")], "connect-timeout", "note"),
    (
        &[("innodb_lock_wait_timeout", "3600")],
        "lock-wait-timeout",
        "note",
    ),
    (
        &[("max_allowed_packet", "1048576")],
        "packet-limit",
        "warning",
    ),
    (&[("read_only", "1")], "read-only", "warning"),
    (
        &[("init_connect", "'SET NAMES utf8mb4'")],
        "init-connect",
        "note",
    ),
    (
        &[("innodb_flush_log_at_trx_commit", "0")],
        "durability",
        "warning",
    ),
    (
        &[("sort_buffer_size", "1073741824")],
        "session-memory",
        "warning",
    ),
    (
        &[
            ("tmp_table_size", "17179869184"),
            ("max_heap_table_size", "17179869184"),
        ],
        "session-memory",
        "warning",
    ),
    (&[("general_log", "1")], "general-log", "note"),
    (
        &[("default_password_lifetime", "1")],
        "password-expiry",
        "warning",
    ),
];

const MARIADB: &[Case] = &[
    (&[("log_warnings", "0")], "error-log", "warning"),
    (
        &[("max_statement_time", "0.5")],
        "statement-limit",
        "warning",
    ),
    (
        &[("idle_transaction_timeout", "3")],
        "idle-transaction-timeout",
        "warning",
    ),
    (
        &[("max_session_mem_used", "4194304")],
        "session-memory-limit",
        "warning",
    ),
    (
        &[("slave_max_allowed_packet", "1048576")],
        "replica-packet",
        "warning",
    ),
];

const MYSQL: &[Case] = &[
    (&[("log_error_verbosity", "1")], "error-log", "warning"),
    (
        &[("log_error_suppression_list", "'MY-010914'")],
        "error-log-suppressed",
        "note",
    ),
    (
        &[("log_error_services", "''")],
        "error-log-suppressed",
        "error",
    ),
    (
        &[("max_execution_time", "500")],
        "statement-limit",
        "warning",
    ),
    (
        &[
            ("connection_memory_limit", "2097152"),
            ("global_connection_memory_tracking", "1"),
        ],
        "session-memory-limit",
        "warning",
    ),
    (
        &[("replica_max_allowed_packet", "1048576")],
        "replica-packet",
        "warning",
    ),
    (
        &[("binlog_expire_logs_seconds", "0")],
        "binlog-expiry",
        "warning",
    ),
    (&[("sync_binlog", "0")], "durability", "warning"),
    (&[("offline_mode", "1")], "offline-mode", "error"),
];

fn bad_settings_are_found(place: &Place) {
    let own = if place.is_mariadb() { MARIADB } else { MYSQL };
    for (settings, check, severity) in BOTH.iter().chain(own) {
        let set = place.set(settings);
        assert_eq!(
            place.found(&[]),
            these(&[(check, severity)]),
            "{settings:?}"
        );
        drop(set);
    }
    assert_eq!(place.found(&[]), these(&[]));
}

fn unusual_settings_that_are_fine_are_not(place: &Place) {
    for settings in [
        &[
            ("max_allowed_packet", "1073741824"),
            ("wait_timeout", "300"),
        ][..],
        &[("wait_timeout", "31536000"), ("interactive_timeout", "60")],
        &[("max_connections", "2000"), ("net_write_timeout", "3600")],
        &[
            ("connect_timeout", "60"),
            ("innodb_lock_wait_timeout", "300"),
        ],
    ] {
        let _set = place.set(settings);
        assert_eq!(place.found(&[]), these(&[]), "{settings:?}");
    }
    let _set = match place.is_mariadb() {
        // Without a binary log it does not matter.
        true => place.set(&[("sync_binlog", "0")]),
        false => place.set(&[("log_error_verbosity", "3")]),
    };
    assert_eq!(place.found(&[]), these(&[]));
}

fn a_path_with_a_limit_wants_keepalive(place: &Place) {
    let limit = ["--idle-limit", "350s"];
    assert_eq!(place.found(&limit), these(&[("keepalive", "warning")]));
    assert_eq!(place.found(&["--idle-limit", "365d"]), these(&[]));
    assert_eq!(
        place.found(&["--pool-lifetime", "9h"]),
        these(&[("pool-lifetime", "warning")])
    );
    assert_eq!(place.found(&["--pool-lifetime", "30m"]), these(&[]));
    if place.is_mariadb() {
        let _set = place.set(&[("tcp_keepalive_time", "120")]);
        assert_eq!(place.found(&limit), these(&[]));
    }
}

fn a_small_machine_is_too_small(place: &Place) {
    assert_eq!(
        place.found(&["--memory", "200M"])[0],
        ("memory-limit".to_owned(), "error".to_owned())
    );
    assert_eq!(place.found(&["--memory", "4G"]), these(&[]));
}

fn what_would_not_survive_a_restart_is_told(place: &Place) {
    let _set = place.set(&[("wait_timeout", "28801")]);
    let answer = answer(place.server(), &["--only", "lost-at-restart"]);
    assert_eq!(answer["findings"][0]["check"], "lost-at-restart");
    let said = answer["findings"][0]["seen"].to_string();
    assert!(said.contains("wait_timeout"), "{said}");
    assert_eq!(answer["fine"], json!([]));
}
