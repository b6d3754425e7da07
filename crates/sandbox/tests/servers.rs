//! Real servers of both kinds: what a test may rely on.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::TcpStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use steadfast_sandbox::{Kind, Server, client};

fn each(test: impl Fn(Kind) + Sync) {
    std::thread::scope(|scope| {
        for kind in Kind::ALL {
            let test = &test;
            scope.spawn(move || test(kind));
        }
    });
}

#[test]
fn a_server_lives_through_its_faults_and_leaves_nothing() {
    each(|kind| {
        let server = Server::of(kind)
            .option("max_connections=77")
            .start()
            .unwrap();
        assert_eq!(
            server.sql("SELECT 1, @@max_connections").unwrap(),
            "1\t77\n"
        );
        let port = server.port();
        server
            .sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY); INSERT INTO d.t VALUES (1)")
            .unwrap();

        let first = server.pid().unwrap();
        server.kill().unwrap();
        assert!(!server.is_running());
        assert_eq!(server.pid(), None);
        assert!(!Path::new(&format!("/proc/{first}")).exists());
        assert!(TcpStream::connect(server.addr()).is_err());
        server.start_again().unwrap();
        assert_eq!(server.sql("SELECT a FROM d.t").unwrap(), "1\n");

        server.restart().unwrap();
        assert_eq!(server.port(), port);
        assert_eq!(server.sql("SELECT a FROM d.t").unwrap(), "1\n");

        server.freeze().unwrap();
        let mut silent = TcpStream::connect(server.addr()).unwrap();
        silent
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let mut byte = [0];
        assert!(std::io::Read::read(&mut silent, &mut byte).is_err());
        server.thaw().unwrap();
        silent
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        assert_eq!(std::io::Read::read(&mut silent, &mut byte).unwrap(), 1);

        let pid = server.pid().unwrap();
        let directory = server.data_dir().parent().unwrap().to_owned();
        server.freeze().unwrap();
        drop(server);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
        assert!(!directory.exists());
    });
}

#[test]
fn admin_logs_in_over_tcp_with_either_client_and_over_tls() {
    each(|kind| {
        let server = Server::of(kind).start().unwrap();
        for program in Kind::ALL {
            let mut command = client(program).unwrap();
            command.args([
                "--host",
                server.host(),
                "--port",
                &server.port().to_string(),
            ]);
            command.args([
                "--user",
                server.admin_user(),
                "--batch",
                "--skip-column-names",
            ]);
            command.args(["--execute", "SHOW STATUS LIKE 'Ssl_version'"]);
            command.env("MYSQL_PWD", server.admin_password());
            match program {
                Kind::MariaDb => command.arg("--ssl"),
                Kind::MySql => command.arg("--ssl-mode=REQUIRED"),
            };
            let output = command.output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains("TLSv1."), "{program} to {kind}: {output:?}");
        }
    });
}

#[test]
fn the_settings_are_the_ones_that_are_promised() {
    each(|kind| {
        let server = Server::of(kind).start().unwrap();
        let settings =
            "SELECT @@innodb_flush_log_at_trx_commit, @@skip_name_resolve, @@local_infile, @@port";
        let port = server.port();
        assert_eq!(server.sql(settings).unwrap(), format!("1\t1\t1\t{port}\n"));
        assert_eq!(
            server
                .sql("SELECT user, host FROM mysql.user WHERE user IN ('', 'root') ORDER BY host")
                .unwrap(),
            "root\t127.0.0.1\nroot\tlocalhost\n"
        );
        if kind == Kind::MySql {
            let key = "SHOW STATUS LIKE 'Caching_sha2_password_rsa_public_key'";
            assert!(server.sql(key).unwrap().contains("BEGIN PUBLIC KEY"));
        }
        assert!(server.ca_certificate().is_file());
        if kind == Kind::MariaDb {
            server
                .sql("CREATE USER e IDENTIFIED VIA ed25519 USING PASSWORD('x')")
                .unwrap();
        }
        assert!(
            server
                .sql("SELECT nonsense")
                .unwrap_err()
                .to_string()
                .contains("nonsense")
        );
    });
}

#[test]
fn two_mysql_servers_are_two_servers() {
    let one = Server::mysql().start().unwrap();
    let two = Server::mysql().start().unwrap();
    let uuid = "SELECT @@server_uuid";
    assert_ne!(one.sql(uuid).unwrap(), two.sql(uuid).unwrap());
}

#[test]
fn a_server_that_cannot_start_says_why() {
    // What is fetched and initialised the first time on a machine takes its own time.
    drop(Server::mariadb().start().unwrap());
    let begun = Instant::now();
    let error = Server::mariadb()
        .option("no-such-option=1")
        .start()
        .unwrap_err();
    assert!(error.to_string().contains("no-such-option"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_server_outlives_its_own_end() {
    let server = Server::mariadb().start().unwrap();
    server.sql("SHUTDOWN").unwrap();
    while server.is_running() {
        sleep(Duration::from_millis(20));
    }
    server.start_again().unwrap();
    assert_eq!(server.sql("SELECT 1").unwrap(), "1\n");
}

#[test]
fn accounts_may_log_in_with_a_clear_password() {
    each(|kind| {
        let right = "It's \\ a \"pass\" #1";
        let server = Server::of(kind).clear_password(right).start().unwrap();
        let clause = server.clear_password_clause().unwrap();
        server.sql(&format!("CREATE USER clear {clause}")).unwrap();
        let says_to = |user: &str, password: &str, options: &[&str]| {
            let output = client(kind)
                .unwrap()
                .args(["--protocol=tcp", "--host=127.0.0.1", "-N"])
                .arg(format!("--port={}", server.port()))
                .arg(format!("--user={user}"))
                .args(options)
                .args(["-e", "SELECT CURRENT_USER()"])
                .env("MYSQL_PWD", password)
                .output()
                .unwrap();
            String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
        };
        let tls: &[&str] = match kind {
            Kind::MariaDb => &["--ssl", "--skip-ssl-verify-server-cert"],
            Kind::MySql => &["--ssl-mode=REQUIRED", "--enable-cleartext-plugin"],
        };
        let says = |password: &str| says_to("clear", password, tls);
        assert_eq!(says(right), "clear@%\n");
        for wrong in ["wrong", "It's", "It's \\ a \"pass\" #1 "] {
            let said = says(wrong);
            assert!(said.contains("1045 (28000): Access denied"), "{said}");
        }
        if kind == Kind::MySql {
            // The server has its own plugins too: one of them empties the cache of passwords.
            server.sql("CREATE USER cached IDENTIFIED BY 'p'").unwrap();
            let plain = ["--ssl-mode=DISABLED"];
            assert_eq!(says_to("cached", "p", tls), "cached@%\n");
            assert_eq!(says_to("cached", "p", &plain), "cached@%\n");
            server.sql("FLUSH PRIVILEGES").unwrap();
            assert!(says_to("cached", "p", &plain).contains("ERROR 2061"));
        }
        // A restart has the same plugins.
        server.restart().unwrap();
        assert_eq!(says(right), "clear@%\n");
    });
}

#[test]
fn a_disk_of_a_given_speed_takes_its_time_and_counts() {
    each(|kind| {
        let takes = Duration::from_millis(20);
        let server = Server::of(kind).fsync(takes).start().unwrap();
        server
            .sql("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY)")
            .unwrap();
        let inserts: String = (0..20)
            .map(|n| format!("INSERT INTO d.t VALUES ({n});"))
            .collect();
        let (counted, begun) = (server.fsyncs().unwrap(), Instant::now());
        server.sql(&inserts).unwrap();
        let synced = server.fsyncs().unwrap() - counted;
        assert!(synced >= 20, "{kind}: {synced} for 20 commits");
        assert!(
            begun.elapsed() >= 20 * takes,
            "{kind}: {:?}",
            begun.elapsed()
        );
        server.kill().unwrap();
        server.start_again().unwrap();
        assert_eq!(server.sql("SELECT COUNT(*) FROM d.t").unwrap(), "20\n");
    });
}
