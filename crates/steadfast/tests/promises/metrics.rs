//! Each metric moves when what it names happens on a real session, and by as much.

use std::thread::sleep;
use std::time::Duration;

use steadfast_sandbox::{Cut, Kind};

use crate::case::{At, Case, on_both_servers};
use crate::client::Client;

const SOON: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(5);
/// Longer than two samples of the server's count of KILLs.
const SAMPLES: Duration = Duration::from_millis(1200);

/// Metrics that may not go on while `what` happens, and by how much they did.
#[track_caller]
fn grows(case: &Case, metrics: &[&str], what: impl FnOnce()) -> Vec<f64> {
    let now = || -> Vec<f64> {
        metrics
            .iter()
            .map(|name| case.steadfast.metric(name))
            .collect()
    };
    let before = now();
    what();
    // A client has its answer before all is counted.
    sleep(Duration::from_millis(100));
    now()
        .iter()
        .zip(before)
        .map(|(after, before)| after - before)
        .collect()
}

/// By one, each of these.
#[track_caller]
fn counts(case: &Case, metrics: &[&str], what: impl FnOnce()) {
    let now = || -> Vec<f64> {
        metrics
            .iter()
            .map(|name| case.steadfast.metric(name))
            .collect()
    };
    let expected: Vec<f64> = now().iter().map(|count| count + 1.0).collect();
    what();
    // A client has its answer before all is counted.
    case.wait(&format!("{metrics:?} went on by one"), SOON, || {
        now() == expected
    });
}

const BYTES: [&str; 4] = [
    "client_received_bytes_total",
    "client_sent_bytes_total",
    "server_received_bytes_total",
    "server_sent_bytes_total",
];

/// Bytes that may come on top of a payload: frames, an OK, column definitions, what Steadfast asks for itself.
const SMALL: f64 = 2000.0;

/// The bytes that went on, in units of the payload: client to server up, and back.
#[track_caller]
fn moves(case: &Case, up: usize, down: usize, what: impl FnOnce()) {
    let grown = grows(case, &BYTES, what);
    let expected = [up, down, down, up].map(|bytes| bytes as f64);
    for ((name, grown), expected) in BYTES.iter().zip(grown).zip(expected) {
        assert!(
            (expected..expected + SMALL + expected / 100.0).contains(&grown),
            "{name} went on by {grown}, and {expected} bytes were sent"
        );
    }
}

on_both_servers! {
    fn bytes_are_counted_on_both_legs_in_both_directions(case) {
        let mut client = case.client();
        client.run(&["SELECT 1"]);
        let long = "x".repeat(1 << 20);
        moves(case, 1 << 20, 0, || client.run(&[&format!("DO LENGTH('{long}')")]));
        moves(case, 0, 3 << 20, || {
            assert_eq!(client.line(&format!("SELECT REPEAT('y', {})", 3 << 20)).len(), 3 << 20);
        });
        // Binary, with long data.
        let length = client.prepare("SELECT LENGTH(?)");
        moves(case, 300_000, 0, || {
            for _ in 0..3 {
                client.long_data(length, 0, &[b'z'; 100_000]);
            }
            client.execute(length, &[None], true, false).good();
        });
        // Many small ones.
        let small = "SELECT REPEAT('abc', 4000)";
        moves(case, 100 * small.len(), 100 * 12_000, || {
            for _ in 0..100 {
                client.run(&[small]);
            }
        });
        // A loss: the server is asked and answers twice, the client notices nothing.
        let half = grows(case, &BYTES, || {
            case.link.cut_after(1 << 20, Cut::Rst);
            assert_eq!(client.line(&format!("SELECT REPEAT('y', {})", 2 << 20)).len(), 2 << 20);
        });
        let mib = |by: f64| by / f64::from(1 << 20);
        assert!(mib(half[0]) < 0.01 && mib(half[3]) < 0.01, "{half:?}");
        assert!((2.0..2.1).contains(&mib(half[1])), "{half:?}");
        // What had come and was not read when the connection was reset is lost in the kernel.
        assert!((2.0..3.1).contains(&mib(half[2])), "{half:?}");
        // What a loss took before the client had it is not counted as sent to it.
        let twice = grows(case, &BYTES, || {
            case.link.cut_after(30_000, Cut::Rst);
            client.line("SELECT REPEAT('y', 40000)");
        });
        assert!((40_000.0..42_000.0).contains(&twice[1]), "{twice:?}");
        assert!((40_000.0..80_000.0).contains(&twice[2]), "{twice:?}");
        // An error of Steadfast's own goes to the client only.
        let told = grows(case, &BYTES, || {
            client.command(99, b"").fails("1047/08S01");
        });
        assert!(told[0] > 0.0 && told[1] > 0.0 && told[2] == 0.0 && told[3] == 0.0, "{told:?}");
    }

    fn clients_and_logins_are_counted(case) {
        let metric = |name: &str| case.steadfast.metric(name);
        assert_eq!(metric("clients_connected"), 0.0);
        let mut client = case.client();
        let other = case.client();
        assert_eq!(metric("clients_connected"), 2.0);
        assert_eq!(metric("clients_total"), 2.0);
        // A client has its answer before all is counted.
        case.wait("both logins are counted", SOON, || metric("logins_ok_total") == 2.0);
        assert_eq!(metric("server_connections_open"), 2.0);
        assert_eq!(metric("server_up"), 1.0);
        assert_eq!(metric("ready"), 1.0);
        other.vanish();
        case.wait("one is left", SOON, || metric("clients_connected") == 1.0 && metric("server_connections_open") == 1.0);
        counts(case, &["commands_total"], || client.run(&["SELECT 1"]));
        let prepared = client.prepare("SELECT 1");
        counts(case, &["commands_total"], || { client.execute(prepared, &[], true, false).good(); });
        counts(case, &["commands_total"], || client.change_user().good().error().clear());
        assert_eq!(metric("server_connections_open"), 1.0);
        case.cut();
        case.wait("its loss is seen", SOON, || metric("server_connections_open") == 0.0);
        client.run(&["SELECT 1"]);
        assert_eq!(metric("server_connections_open"), 1.0);
        counts(case, &["logins_refused_total{reason=\"server\"}", "clients_total"], || {
            let refused = Client::try_connect(case.steadfast.address, "nobody_of_that_name", "", 0);
            assert!(refused.is_err());
        });
        drop(client);
        case.wait("nobody is left", SOON, || metric("clients_connected") == 0.0 && metric("server_connections_open") == 0.0);
        assert_eq!(metric("clients_total"), 3.0);
    }

    #[settings = "[timeouts]\nhold = \"1s\"\nhandshake = \"1s\"\n[limits]\nclients = 2\npool = 0\n"]
    fn refused_logins_are_counted_by_their_reason(case) {
        let refused = |reason: &str| format!("logins_refused_total{{reason=\"{reason}\"}}");
        let connect = || std::net::TcpStream::connect(case.steadfast.address).unwrap();
        let became = |reason: &str, count: f64| {
            let name = refused(reason);
            case.wait(reason, LONG, || case.steadfast.metric(&name) == count);
        };
        drop(connect());
        became("gone", 1.0);
        let silent = connect();
        became("timeout", 1.0);
        drop(silent);
        let mut garbage = connect();
        std::io::Write::write_all(&mut garbage, b"\x05\x00\x00\x01hello").unwrap();
        became("malformed", 1.0);
        drop(garbage);
        let (one, two) = (case.client(), case.client());
        assert!(Client::try_connect(case.steadfast.address, &case.user, "", 0).is_err());
        became("limit", 1.0);
        drop((one, two));
        case.wait("their places are free", SOON, || case.steadfast.metric("clients_connected") == 0.0);
        case.link.refuse(true);
        assert!(Client::try_connect(case.steadfast.address, &case.user, "", 0).is_err());
        became("no-server", 1.0);
        assert_eq!(case.steadfast.metric("server_up"), 0.0);
        for reason in ["gone", "timeout", "malformed", "limit"] {
            assert_eq!(case.steadfast.metric(&refused(reason)), 1.0, "{reason}");
        }
        assert_eq!(case.steadfast.metric("server_connections_open"), 0.0);
    }

    fn losses_that_nobody_noticed_are_counted_by_what_was_lost_and_how_it_was_hidden(case) {
        let mut client = case.client();
        client.run(&["SELECT 1"]);
        let cut_and = |client: &mut Client, sql: &str| {
            case.cut();
            client.run(&[sql]);
        };
        counts(case, &["losses_total{end=\"rst\",phase=\"idle\"}", "recovered_total{how=\"idle\"}", "hold_seconds_count"], || {
            cut_and(&mut client, "SELECT 1");
        });
        counts(case, &["losses_total{end=\"rst\",phase=\"command\"}", "recovered_total{how=\"rerun\"}", "hold_seconds_count"], || {
            case.cut_answer_to(At::Text("SELECT 2"));
            client.run(&["SELECT 2"]);
        });
        counts(case, &["losses_total{end=\"fin\",phase=\"response\"}", "recovered_total{how=\"rerun\"}"], || {
            // RST would also throw away what has come and was not read yet, which may be all.
            case.link.cut_after(400_000, Cut::Fin);
            client.run(&["SELECT REPEAT('y', 1000000)"]);
        });
        // Three statements and the command that was on its way.
        let replayed = "replayed_commands_total";
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)", "SELECT n FROM t"]);
        let journal = case.steadfast.metric("journal_bytes");
        assert!(journal > 0.0 && journal < 1000.0, "{journal}");
        let by = grows(case, &["losses_total{end=\"rst\",phase=\"transaction\"}", "recovered_total{how=\"replay\"}", replayed], || {
            cut_and(&mut client, "SELECT 3");
        });
        assert_eq!(by, [1.0, 1.0, 3.0]);
        assert!(case.steadfast.metric("journal_bytes") > journal);
        client.run(&["COMMIT"]);
        case.wait("it is forgotten", SOON, || case.steadfast.metric("journal_bytes") == 0.0);
        for end in ["ROLLBACK", "reset", "change user", "leave"] {
            let mut client = case.client();
            client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
            assert!(case.steadfast.metric("journal_bytes") > 0.0);
            match end {
                "reset" => { client.command(31, b"").good(); }
                "change user" => { client.change_user().good(); }
                "leave" => client.vanish(),
                sql => client.run(&[sql]),
            }
            case.wait(end, SOON, || case.steadfast.metric("journal_bytes") == 0.0);
        }
        // Held, and how long.
        let waited = grows(case, &["hold_seconds_sum", "hold_seconds_count", "hold_seconds_bucket{le=\"0.25\"}"], || {
            client.run(&["BEGIN", "SELECT 1"]);
            case.link.refuse(true);
            case.cut();
            case.wait("it is held", SOON, || case.steadfast.metric("sessions_held") == 1.0);
            client.start_query("SELECT 4");
            sleep(Duration::from_millis(800));
            assert_eq!(case.steadfast.metric("sessions_held"), 1.0);
            case.link.refuse(false);
            client.answer().good();
        });
        case.wait("nobody is held", SOON, || case.steadfast.metric("sessions_held") == 0.0);
        assert!((0.8..4.0).contains(&waited[0]) && waited[1] == 1.0 && waited[2] == 0.0, "{waited:?}");
        // FIN that was not a KILL.
        sleep(SAMPLES);
        client.run(&["COMMIT"]);
        counts(case, &["losses_total{end=\"fin\",phase=\"idle\"}"], || {
            case.link.cut(Cut::Fin);
            client.run(&["SELECT 1"]);
        });
        case.server.sql("SELECT 1").unwrap();
        assert!(case.steadfast.metric("health_check_age_seconds") < 30.0);
        assert!(case.steadfast.metric("uptime_seconds") > 1.0);
    }

    #[settings = "[timeouts]\nhold = \"1s\"\n"]
    fn losses_that_a_client_was_told_of_are_counted_by_their_reason(case) {
        let mut client = case.client();
        let failures = |kind: &str, reason: &str| format!("failures_total{{kind=\"{kind}\",reason=\"{reason}\"}}");
        counts(case, &[&failures("in-doubt", "commit"), "hold_seconds_count"], || {
            client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
            case.cut_answer_to(At::Text("COMMIT"));
            client.query("COMMIT").fails("1180/08007");
        });
        counts(case, &[&failures("in-doubt", "write")], || {
            case.cut_answer_to(At::Text("VALUES (2)"));
            client.query("INSERT INTO t (n) VALUES (2)").fails("1180/08007");
        });
        counts(case, &[&failures("rolled-back", "mismatch")], || {
            client.run(&["BEGIN", "SELECT UUID()"]);
            case.cut();
            client.query("SELECT 1").fails("1213/40001");
        });
        client.run(&["ROLLBACK"]);
        counts(case, &[&failures("unavailable", "no-server")], || {
            case.link.refuse(true);
            case.cut();
            client.query("SELECT 1").fails("1053/08S01");
        });
        case.link.refuse(false);
        client.run(&["SELECT 1"]);
        sleep(SAMPLES);
        counts(case, &[&failures("killed", "killed")], || {
            client.start_query("SELECT SLEEP(20), 'counted'");
            case.wait("the statement runs", LONG, || case.running("SELECT SLEEP(20), \\'counted") == 1);
            let now = case.witness().line(&format!("SELECT ID FROM information_schema.PROCESSLIST WHERE USER='{}' AND INFO LIKE '%counted%'", case.user));
            case.witness().run(&[&format!("KILL {now}")]);
            client.answer().fails("1317/70100");
        });
        assert_eq!(case.steadfast.metric("sessions_held"), 0.0);
    }

    #[settings = "[timeouts]\nhold = \"1s\"\n"]
    fn the_incident_that_an_error_names_is_in_the_log_with_what_was_told(case) {
        let is_logged = |message: &str, told: &str| {
            let id = message.rsplit("steadfast why ").next().unwrap().trim_end_matches(')');
            let incident = format!("incident={id} ");
            case.wait(&format!("{told}: {message}"), SOON, || {
                case.steadfast.log().lines().any(|line| line.contains(told) && line.contains(&incident))
            });
        };
        case.witness().run(&["CREATE PROCEDURE nothing() BEGIN END"]);
        // Lost while idle, and no server for the next command.
        let mut client = case.client();
        case.link.refuse(true);
        case.cut();
        client.start_query("SELECT 1");
        case.wait("it is held", SOON, || case.steadfast.metric("sessions_held") == 1.0);
        is_logged(&client.answer().fails("1053/08S01"), "the client was told 1053 (no-server)");
        // It tries again, and waits again.
        client.start_query("SELECT 1");
        case.wait("it is held again", SOON, || case.steadfast.metric("sessions_held") == 1.0);
        is_logged(&client.answer().fails("1053/08S01"), "the client was told 1053 (no-server)");
        case.link.refuse(false);
        // A transaction that cannot be replayed, lost while its client says nothing.
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)", "CALL nothing()"]);
        case.cut();
        sleep(Duration::from_millis(100));
        is_logged(&client.query("SELECT 1").fails("1213/40001"), "the client was told 1213 (call)");
        client.run(&["ROLLBACK"]);
        // A lock.
        client.run(&["SELECT GET_LOCK('named in the log', 1)"]);
        case.cut();
        sleep(Duration::from_millis(100));
        let message = client.query("SELECT 1").fails("1053/08S01");
        is_logged(&message, "the client was told 1053 (lock)");
        assert_eq!(client.query("SELECT 1").fails("1053/08S01"), message, "one loss, one incident");
        client.command(31, b"").good();
        // What nobody noticed is told once, and not as if somebody was.
        let told = |text: &str| case.steadfast.log().matches(text).count();
        let idle = told("the session was idle, the client saw nothing");
        case.cut();
        case.wait("it is told", SOON, || told("the session was idle, the client saw nothing") == idle + 1);
        client.run(&["SELECT 1"]);
        assert_eq!(told("the session was idle, the client saw nothing"), idle + 1);
        assert_eq!(case.steadfast.metric("sessions_held"), 0.0);
        assert_eq!(told("the client was told"), 4, "{}", case.steadfast.log());
    }
}
