//! Settings that a server must be started with.

use std::fs;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use steadfast_sandbox::{Kind, Server};

use crate::place::{answer, found, these};

fn started(kind: Kind, options: &[&str]) -> Server {
    options
        .iter()
        .fold(Server::of(kind), |builder, option| builder.option(option))
        .start()
        .unwrap()
}

#[test]
fn a_fresh_server_is_fine() {
    for kind in [Kind::MariaDb, Kind::MySql] {
        let server = started(kind, &[]);
        let answer = answer(&server, &[]);
        let names = |list: &str| -> Vec<String> {
            let list = answer[list].as_array().unwrap().iter();
            list.map(|one| one["check"].as_str().unwrap().to_owned())
                .collect()
        };
        // MySQL's default verbosity is the one default that deserves a line.
        let expected = match kind {
            Kind::MariaDb => vec![],
            Kind::MySql => vec!["error-log"],
        };
        assert_eq!(names("findings"), expected, "{answer}");
        // An administrator on the same machine sees everything but the path.
        assert_eq!(
            names("not_looked_at"),
            ["pool-lifetime", "path-idle", "path-packet", "path-pause"],
            "{answer}"
        );
        a_file_that_is_loaded_under_a_short_timeout(&server);
    }
}

fn a_file_that_is_loaded_under_a_short_timeout(server: &Server) {
    server.sql("SET GLOBAL net_read_timeout = 2").unwrap();
    assert_eq!(found(server, &[]), these(&[("net-read-timeout", "note")]));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rows");
    fs::write(&file, "1\n2\n").unwrap();
    let load = format!(
        "CREATE DATABASE app; CREATE TABLE app.t (a INT); LOAD DATA LOCAL INFILE '{}' INTO TABLE app.t",
        file.display()
    );
    let loaded = server
        .client()
        .args(["--local-infile=1", "--execute", &load])
        .output()
        .unwrap();
    assert!(loaded.status.success(), "{loaded:?}");
    assert_eq!(
        found(server, &[]),
        these(&[("net-read-timeout", "warning")])
    );
}

#[test]
fn a_restart_is_told_once() {
    let server = started(Kind::MariaDb, &[]);
    let only = ["--only", "restarts"];
    assert_eq!(found(&server, &only), these(&[]));
    std::thread::sleep(Duration::from_secs(7));
    server.restart().unwrap();
    assert_eq!(found(&server, &only), these(&[("restarts", "note")]));
    assert_eq!(found(&server, &only), these(&[]));
}

/// What both find.
const BOTH: [(&str, &str); 3] = [
    ("back-log", "note"),
    ("doublewrite", "warning"),
    ("user-connections", "warning"),
];

const BOTH_OPTIONS: [&str; 3] = [
    "max_user_connections=2",
    "back_log=5",
    "innodb_doublewrite=OFF",
];

#[test]
fn a_badly_started_mariadb() {
    let options = [
        // MySQL cannot be started with these two in the sandbox: it stays without names, and without accounts.
        "skip-name-resolve=0",
        "innodb_force_recovery=1",
        "max_connect_errors=1",
        "log_bin=log",
        "sync_binlog=0",
        "innodb_fatal_semaphore_wait_threshold=5",
    ];
    let server = started(Kind::MariaDb, &[&BOTH_OPTIONS[..], &options].concat());
    let own = [
        ("blocked-hosts", "warning"),
        ("force-recovery", "error"),
        ("binlog-expiry", "warning"),
        ("durability", "warning"),
        ("fatal-semaphore-wait", "warning"),
    ];
    assert_eq!(found(&server, &[]), these(&[&BOTH[..], &own].concat()));
}

#[test]
fn a_badly_started_mysql() {
    let server = started(
        Kind::MySql,
        &[&BOTH_OPTIONS[..], &["performance_schema=OFF"]].concat(),
    );
    assert_eq!(
        found(&server, &[]),
        these(&[&BOTH[..], &[("performance-schema", "note")]].concat())
    );
}

#[test]
fn a_certificate_that_has_expired() {
    for kind in [Kind::MariaDb, Kind::MySql] {
        let directory = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
        certificate.not_before = date_time_ymd(2020, 1, 1);
        certificate.not_after = date_time_ymd(2021, 1, 1);
        let at = |name: &str| directory.path().join(name);
        fs::write(at("cert.pem"), certificate.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(at("key.pem"), key.serialize_pem()).unwrap();
        let option = |name: &str, file: &str| format!("{name}={}", at(file).display());
        let server = started(
            kind,
            &[
                &option("ssl-ca", "cert.pem"),
                &option("ssl-cert", "cert.pem"),
                &option("ssl-key", "key.pem"),
            ],
        );
        assert_eq!(
            found(&server, &[]),
            these(&[("certificate", "warning")]),
            "{kind:?}"
        );
    }
}
