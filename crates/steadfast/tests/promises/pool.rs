//! A login that gets the server connection of a client that has left is a login as any other.

use std::time::Duration;

use crate::case::{Case, on_both_servers};
use crate::client::{CLIENT_MULTI_STATEMENTS, Client};
use steadfast_sandbox::Kind;

const SOON: Duration = Duration::from_secs(5);
const FOUND_ROWS: u32 = 1 << 1;
const INTERACTIVE: u32 = 1 << 10;

/// What a session has of its own, as its first statements tell; not the time, and not what is random.
fn session(client: &mut Client) -> Vec<String> {
    let mut seen = vec![
        client.line("SELECT ROW_COUNT(), FOUND_ROWS(), LAST_INSERT_ID(), @mine, DATABASE()"),
        client.line(
            "SELECT CURRENT_USER() = SUBSTRING_INDEX(USER(), '@', 1), @@identity, @@autocommit",
        ),
    ];
    seen.extend(client.query("SHOW WARNINGS").lines());
    let variables = client.query("SHOW SESSION VARIABLES").lines();
    seen.extend(variables.into_iter().filter(|line| {
        let of_its_own = ["pseudo_thread_id ", "timestamp ", "rand_seed", "error_count ", "warning_count ", "statement_id "];
        !of_its_own.iter().any(|name| line.starts_with(name))
            // Of the server and not of the session.
            && !line.starts_with("gtid_") && !line.starts_with("innodb_") && !line.starts_with("last_gtid")
    }));
    seen
}

fn rests(case: &Case, count: f64) {
    case.wait("the connection is kept", SOON, || {
        case.steadfast.metric("server_connections_pooled") == count
    });
}

fn pooled(case: &Case) -> f64 {
    // A client has its answer before all is counted.
    std::thread::sleep(Duration::from_millis(50));
    case.steadfast.metric("logins_pooled_total")
}

on_both_servers! {
    #[settings = "[timeouts]\npool = \"1h\"\n"]
    fn the_session_is_as_new(case) {
        let mut first = case.client();
        let fresh = session(&mut first);
        first.run(&[
            "SET @mine = 'left behind'",
            "SET SESSION sql_mode = 'ANSI_QUOTES', time_zone = '+07:00', lock_wait_timeout = 7, net_read_timeout = 7",
            "SET NAMES latin1",
            "CREATE TEMPORARY TABLE t (nothing INT)",
            "PREPARE named FROM 'SELECT 1'",
        ]);
        first.prepare("SELECT 2");
        drop(first);
        // What it held that cannot be known in detail has gone with its connection.
        case.wait("it has left", SOON, || case.steadfast.metric("server_connections_open") == 0.0);
        let mut second = case.client();
        assert_eq!(pooled(case), 0.0);
        second.run(&[
            "SET @mine = 'left behind'",
            "SET SESSION sql_mode = 'ANSI_QUOTES', time_zone = '+07:00', lock_wait_timeout = 7, net_read_timeout = 7",
            "SET NAMES latin1",
            "PREPARE named FROM 'SELECT 1'",
            "INSERT INTO t (n) VALUES (1), (2)",
            "SELECT SQL_CALC_FOUND_ROWS n FROM t LIMIT 1",
            "BEGIN",
            "INSERT INTO t (n) VALUES (3)",
        ]);
        let prepared = second.prepare("SELECT 2");
        drop(second);
        rests(case, 1.0);
        assert_eq!(case.rows(), ["1", "2"], "what was open is rolled back when the client leaves");
        let mut next = case.client();
        assert_eq!(pooled(case), 1.0);
        let (first, next_one) = (fresh, session(&mut next));
        let differs: Vec<_> = first.iter().zip(&next_one).filter(|(one, other)| one != other).collect();
        assert!(differs.is_empty() && first.len() == next_one.len(), "{differs:?}");
        // Its loss is survived as any other.
        next.run(&["SET @mine = 5", "BEGIN", "INSERT INTO t (n) VALUES (4)"]);
        case.cut();
        next.run(&["INSERT INTO t (n) VALUES (@mine)", "COMMIT"]);
        assert_eq!(case.rows(), ["1", "2", "4", "5"]);
        assert_eq!(next.query("EXECUTE named").error(), "1243/HY000");
        assert_eq!(next.execute(prepared, &[], true, false).error(), "1243/HY000");
    }

    #[settings = "[timeouts]\npool = \"1h\"\n"]
    fn the_server_is_asked_whether_the_account_may_log_in(case) {
        let mut root = case.witness();
        let try_it = || Client::try_connect(case.steadfast.address, &case.user, &case.database, 0).err().map(|answer| answer.error());
        drop(case.client());
        rests(case, 1.0);
        assert_eq!(try_it(), None);
        assert_eq!(pooled(case), 1.0);
        rests(case, 1.0);
        root.run(&[&format!("ALTER USER {}@'%' ACCOUNT LOCK", case.user)]);
        let locked = try_it().unwrap();
        assert!(locked == "3118/HY000" || locked == "4151/HY000", "{locked}");
        root.run(&[&format!("ALTER USER {}@'%' ACCOUNT UNLOCK", case.user)]);
        drop(case.client());
        rests(case, 1.0);
        root.run(&[&format!("ALTER USER {}@'%' IDENTIFIED BY 'another'", case.user)]);
        assert_eq!(try_it().unwrap(), "1045/28000");
        root.run(&[&format!("ALTER USER {}@'%' IDENTIFIED BY ''", case.user)]);
        drop(case.client());
        rests(case, 1.0);
        root.run(&[&format!("DROP USER {}@'%'", case.user)]);
        assert_eq!(try_it().unwrap(), "1045/28000");
    }

    #[settings = "[timeouts]\npool = \"1h\"\n"]
    fn another_account_gets_it_too(case) {
        let mut root = case.witness();
        let other = format!("{}other", case.user);
        root.run(&[
            &format!("CREATE USER {other}@'%' IDENTIFIED BY ''"),
            &format!("GRANT SELECT ON {}.* TO {other}@'%'", case.database),
        ]);
        drop(case.client());
        rests(case, 1.0);
        let mut client = Client::connect(case.steadfast.address, &other, &case.database, 0);
        assert_eq!(pooled(case), 1.0);
        assert_eq!(client.line("SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"), other);
        assert_eq!(client.query("INSERT INTO t (n) VALUES (1)").error(), "1142/42000");
    }

    #[settings = "[timeouts]\npool = \"1h\"\n"]
    fn a_client_of_another_kind_gets_one_that_suits_it(case) {
        drop(case.client());
        rests(case, 1.0);
        // It was greeted for the other, so that its id is not the one that it was told.
        let mut client = case.client_with(FOUND_ROWS | CLIENT_MULTI_STATEMENTS);
        assert_eq!(pooled(case), 0.0);
        rests(case, 1.0);
        client.run(&["INSERT INTO t (n) VALUES (1)"]);
        let crate::client::Answer::Ok { affected, .. } = client.query("UPDATE t SET n = 1") else { panic!() };
        assert_eq!(affected, 1, "rows found, and not rows changed");
        drop(client);
        rests(case, 2.0);
        let mut client = case.client_with(FOUND_ROWS | CLIENT_MULTI_STATEMENTS);
        assert_eq!(pooled(case), 1.0);
        assert_eq!(client.line("SELECT CONNECTION_ID()"), client.id.to_string());
        // One whose wait_timeout is another gets a new one.
        for _ in 0..2 {
            let mut client = case.client_with(INTERACTIVE);
            assert_eq!(client.line("SELECT @@wait_timeout = @@GLOBAL.interactive_timeout"), "1");
            drop(client);
            case.wait("it has left", SOON, || case.steadfast.metric("clients_connected") == 1.0);
        }
        assert_eq!(pooled(case), 1.0);
    }

    #[settings = "[timeouts]\npool = \"1h\"\n"]
    fn one_that_the_server_has_ended_is_not_given_to_anybody(case) {
        let client = case.client();
        let id = client.id;
        drop(client);
        rests(case, 1.0);
        case.witness().run(&[&format!("KILL {id}")]);
        let mut next = case.client();
        assert_eq!(next.line("SELECT 1"), "1");
        drop(next);
        case.wait("another is kept", SOON, || case.steadfast.metric("server_connections_pooled") == 1.0);
        case.cut();
        let mut next = case.client();
        assert_eq!(next.line("SELECT 1"), "1");
        assert_eq!(case.steadfast.metric("losses_total{end=\"rst\",phase=\"idle\"}"), 0.0);
    }

    #[settings = "[timeouts]\npool = \"1h\"\n"]
    fn what_was_asked_before_is_nobody_elses_business(case) {
        let mut first = case.client();
        let (turn_on, look) = if case.is_mariadb() {
            ("SET profiling = 1", "SHOW PROFILES")
        } else {
            ("SET optimizer_trace = 'enabled=on'", "SELECT QUERY FROM information_schema.OPTIMIZER_TRACE")
        };
        first.run(&[turn_on]);
        first.line("SELECT 'a secret'");
        assert!(first.query(look).lines().concat().contains("a secret"));
        drop(first);
        rests(case, 1.0);
        let mut next = case.client();
        assert_eq!(pooled(case), 1.0);
        assert_eq!(next.line("SELECT 'another'"), "another");
        let seen = next.query(look).lines().concat();
        assert!(!seen.contains("secret") && !seen.contains("another"), "{seen}");
    }

    #[settings = "[timeouts]\npool = \"1h\"\n"]
    fn what_administers_the_server_may_last_as_long_as_its_connection(case) {
        let mut client = case.client();
        // As SET RESOURCE GROUP does. Whether it may is not known before it has tried.
        assert_eq!(client.query("FLUSH STATUS").error(), "1227/42000");
        drop(client);
        case.wait("it has left", SOON, || case.steadfast.metric("server_connections_open") == 0.0);
        assert_eq!(case.client().line("SELECT 1"), "1");
        assert_eq!(pooled(case), 0.0);
    }

    #[settings = "[timeouts]\npool = \"1h\"\n"]
    fn an_account_with_few_connections_has_none_kept(case) {
        case.witness().run(&[&format!("ALTER USER {}@'%' WITH MAX_USER_CONNECTIONS 2", case.user)]);
        for _ in 0..5 {
            let mut client = case.client();
            assert_eq!(client.line("SELECT 1"), "1");
            drop(client);
            case.wait("it has left", SOON, || case.steadfast.metric("server_connections_open") == 0.0);
        }
        assert_eq!(pooled(case), 0.0);
    }

    #[settings = "[timeouts]\npool = \"2s\"\n"]
    fn they_end_after_their_time(case) {
        drop(case.client());
        rests(case, 1.0);
        rests(case, 0.0);
        let asked = format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = '{}' AND DB IS NOT NULL", case.user);
        let mut root = case.witness();
        case.wait("the server has none", SOON, || root.line(&asked) == "0");
        let mut next = case.client();
        assert_eq!(next.line("SELECT 1"), "1");
        assert_eq!(pooled(case), 0.0);
    }

    #[settings = "[timeouts]\npool = \"1h\"\n"]
    fn the_clients_may_come_at_the_same_time(case) {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for n in 0..20 {
                        let mut client = case.client();
                        client.run(&[&format!("SET @mine = {n}")]);
                        assert_eq!(client.line("SELECT @mine, CONNECTION_ID()"), format!("{n} {}", client.id));
                    }
                });
            }
        });
        assert!(pooled(case) > 0.0);
    }
}

/// What changes what a login does is not missed.
fn what_the_server_does_at_a_login_is_done(kind: Kind) {
    let case = Case::alone(kind, &[], "[timeouts]\npool = \"1h\"\n");
    let mut root = case.witness();
    drop(case.client());
    rests(&case, 1.0);
    root.run(&[
        "SET GLOBAL init_connect = 'SET @mine = 3'",
        "SET GLOBAL sql_mode = 'PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES'",
    ]);
    for _ in 0..3 {
        let mut next = case.client();
        assert_eq!(next.line("SELECT @mine, 'a' || 'b\\'"), "3 ab\\");
    }
    assert_eq!(case.steadfast.metric("server_connections_pooled"), 0.0);
    root.run(&["SET GLOBAL init_connect = ''"]);
    drop(case.client());
    rests(&case, 1.0);
    root.run(&[
        "SET GLOBAL max_allowed_packet = 2097152",
        "SET GLOBAL time_zone = '+03:00'",
    ]);
    let mut next = case.client();
    assert_eq!(
        next.line("SELECT @@max_allowed_packet, @@time_zone"),
        "2097152 +03:00"
    );
    let long = format!("SELECT LENGTH('{}')", "x".repeat(1_500_000));
    assert_eq!(next.line(&long), "1500000");
    drop(next);
    rests(&case, 1.0);
    case.server.restart().unwrap();
    let mut next = case.client();
    assert_eq!(next.line("SELECT @mine, @@time_zone"), "NULL SYSTEM");
}

fn they_make_room_on_a_server_that_has_none(kind: Kind) {
    let case = Case::alone(kind, &["max_connections=20"], "[timeouts]\npool = \"1h\"\n");
    drop(case.client());
    rests(&case, 1.0);
    let mut others = Vec::new();
    let refused = loop {
        match Client::try_connect(
            case.steadfast.address,
            &case.user,
            &case.database,
            FOUND_ROWS,
        ) {
            Ok(client) => others.push(client),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused.error(), "1040/08004");
    // Of the places one may be the health check's.
    assert!(others.len() >= 19, "{}", others.len());
    rests(&case, 0.0);
    drop(others);
    case.wait("they have left", SOON, || {
        case.steadfast.metric("server_connections_open") == 0.0
    });
    rests(&case, 0.0);
}

#[test]
fn they_make_room_on_a_mariadb_that_has_none() {
    they_make_room_on_a_server_that_has_none(Kind::MariaDb);
}

#[test]
fn they_make_room_on_a_mysql_that_has_none() {
    they_make_room_on_a_server_that_has_none(Kind::MySql);
}

#[test]
fn what_mariadb_does_at_a_login_is_done() {
    what_the_server_does_at_a_login_is_done(Kind::MariaDb);
}

#[test]
fn what_mysql_does_at_a_login_is_done() {
    what_the_server_does_at_a_login_is_done(Kind::MySql);
}
