//! After a loss the session is what it was: what the servers track, and what they do not.

use std::thread::sleep;
use std::time::Duration;

use steadfast_sandbox::Kind;

use crate::case::{At, Case, on_both_servers};

/// Hidden settings as a client may look at them.
const HIDDEN: [&str; 7] = [
    "net_read_timeout",
    "net_write_timeout",
    "session_track_schema",
    "session_track_state_change",
    "session_track_system_variables",
    "session_track_transaction_info",
    "wait_timeout",
];

/// The query gives the same before and after a loss.
#[track_caller]
fn stays(case: &Case, before: &[&str], query: &str) {
    let mut client = case.client();
    client.run(before);
    let expected = client.query(query).lines();
    case.cut();
    assert_eq!(
        client.query(query).lines(),
        expected,
        "{before:?} then {query}"
    );
    client.command(31, b"").good();
}

on_both_servers! {
    fn what_a_session_has_set_stays(case) {
        stays(case, &["SET sql_mode='ANSI_QUOTES,NO_BACKSLASH_ESCAPES', time_zone='+02:00'"], "SELECT @@sql_mode, @@time_zone, \"id\" FROM t RIGHT JOIN (SELECT 1) o ON TRUE");
        stays(case, &["SET NAMES latin1"], "SELECT @@character_set_client, @@character_set_results, @@collation_connection, HEX('\u{e9}')");
        stays(case, &["SET character_set_results=NULL"], "SELECT @@character_set_results");
        stays(case, &["USE information_schema"], "SELECT DATABASE()");
        stays(case, &["SET autocommit=0"], "SELECT @@autocommit");
        stays(case, &["SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"], if case.is_mariadb() { "SELECT @@tx_isolation" } else { "SELECT @@transaction_isolation" });
        stays(case, &["SET long_query_time=0.5, lc_time_names='de_DE', group_concat_max_len=77"], "SELECT @@long_query_time, @@lc_time_names, @@group_concat_max_len");
    }

    fn user_variables_stay_however_they_were_assigned(case) {
        stays(case, &["SET @a=1, @b='x''y', @c=NULL, @d=1.50, @e=1e3"], "SELECT @a, @b, @c, @d, @e");
        stays(case, &["SELECT @u:=5"], "SELECT @u");
        stays(case, &["SELECT 6 INTO @z"], "SELECT @z");
        stays(case, &["SET @b=_latin1 X'E9' COLLATE latin1_bin"], "SELECT HEX(@b), CHARSET(@b), COLLATION(@b)");
        case.witness().run(&["CREATE PROCEDURE sets(OUT o INT) BEGIN SET @inside=4; SET o=5; END"]);
        stays(case, &["SET @inside=1", "CALL sets(@out)"], "SELECT @out, @inside");
    }

    fn rows_found_are_what_the_client_found(case) {
        case.witness().run(&["INSERT INTO t (n) VALUES (1), (2), (3)"]);
        let mut client = case.client();
        for text in ["SELECT @u:=n FROM t", "SELECT n FROM t WHERE n > 1", "SELECT n FROM t LIMIT 1 INTO @v", "SELECT SQL_CALC_FOUND_ROWS @u:=n FROM t LIMIT 1"] {
            let mut direct = crate::client::Client::connect(case.server.addr(), &case.user, &case.database, 0);
            client.run(&[text]);
            direct.run(&[text]);
            assert_eq!(client.line("SELECT FOUND_ROWS()"), direct.line("SELECT FOUND_ROWS()"), "{text}");
        }
    }

    fn variables_that_a_procedure_sets_are_known_after_it(case) {
        case.witness().run(&["CREATE PROCEDURE zone() BEGIN SET time_zone='+03:00'; SIGNAL SQLSTATE '45000'; END"]);
        let mut client = case.client();
        client.query("CALL zone()").fails("1644/45000");
        assert_eq!(client.line("SELECT @@time_zone"), "+03:00");
        case.cut();
        assert_eq!(client.line("SELECT @@time_zone"), "+03:00");
    }

    fn a_clock_that_runs_again_is_not_frozen_by_a_loss(case) {
        let mut client = case.client();
        client.run(&["SET timestamp=1700000000.5"]);
        case.cut();
        assert_eq!(client.line("SELECT UNIX_TIMESTAMP(NOW(6))"), "1700000000.500000", "frozen it stays");
        client.run(&["SET timestamp=DEFAULT"]);
        case.cut();
        let first = client.line("SELECT UNIX_TIMESTAMP(NOW(6))");
        assert!(first.as_str() > "1700000001", "{first}");
        sleep(Duration::from_millis(20));
        assert_ne!(client.line("SELECT UNIX_TIMESTAMP(NOW(6))"), first, "it runs");
        // A pin inside a transaction is taken off again.
        client.run(&["BEGIN", "SELECT NOW(6)"]);
        case.cut();
        let first = client.line("SELECT NOW(6)");
        sleep(Duration::from_millis(20));
        assert_ne!(client.line("SELECT NOW(6)"), first);
        client.run(&["COMMIT"]);
        let first = client.line("SELECT NOW(6)");
        sleep(Duration::from_millis(20));
        assert_ne!(client.line("SELECT NOW(6)"), first);
        assert_eq!(client.line("SELECT ABS(TIMESTAMPDIFF(SECOND, NOW(), SYSDATE())) < 3"), "1");
    }

    fn a_one_shot_set_transaction_is_for_the_next_transaction_also_after_a_loss(case) {
        let mut client = case.client();
        client.run(&["SET TRANSACTION READ ONLY"]);
        case.cut();
        client.run(&["BEGIN"]);
        client.query("INSERT INTO t (n) VALUES (1)").fails("1792/25006");
        client.run(&["COMMIT", "INSERT INTO t (n) VALUES (2)"]);
        // In the transaction: the replay begins it in the same way.
        client.run(&["SET TRANSACTION READ ONLY", "BEGIN", "SELECT 1"]);
        case.cut();
        client.query("INSERT INTO t (n) VALUES (3)").fails("1792/25006");
        client.run(&["COMMIT", "INSERT INTO t (n) VALUES (4)"]);
        // Consumed once, it does not come back.
        case.cut();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (5)", "COMMIT"]);
        assert_eq!(case.rows(), ["2", "4", "5"]);
    }

    fn settings_are_replayed_where_they_stood(case) {
        let mut client = case.client();
        client.run(&["SET time_zone='+00:00'", "SET timestamp=0"]);
        client.run(&["BEGIN"]);
        let zero = client.line("SELECT FROM_UNIXTIME(0)");
        client.run(&["SET time_zone='+05:00', @n=1"]);
        let five = client.line("SELECT FROM_UNIXTIME(0)");
        assert_ne!(zero, five);
        client.run(&["INSERT INTO t (n) VALUES (@n)", "SET @n=2", "INSERT INTO t (n) VALUES (@n)", "SET time_zone='+09:00'"]);
        case.cut();
        client.run(&["INSERT INTO t (n) VALUES (@n)"]);
        assert_eq!(client.line("SELECT @@time_zone"), "+09:00");
        client.run(&["COMMIT"]);
        assert_eq!(case.rows(), ["1", "2", "2"]);
    }

    fn a_chained_transaction_is_replayed(case) {
        let mut client = case.client();
        client.run(&[
            "START TRANSACTION", "INSERT INTO t (n) VALUES (1)", "COMMIT AND CHAIN", "INSERT INTO t (n) VALUES (2)",
        ]);
        case.cut();
        client.run(&["INSERT INTO t (n) VALUES (3)"]);
        assert_eq!(case.rows(), ["1"], "it is open");
        client.run(&["ROLLBACK AND CHAIN", "INSERT INTO t (n) VALUES (4)"]);
        case.cut();
        client.run(&["COMMIT"]);
        assert_eq!(case.rows(), ["1", "4"]);
    }

    fn autocommit_off_is_replayed_and_rolls_back(case) {
        let mut client = case.client();
        client.run(&["SET autocommit=0", "INSERT INTO t (n) VALUES (1)"]);
        case.cut();
        client.run(&["INSERT INTO t (n) VALUES (2)"]);
        assert_eq!(case.rows(), Vec::<String>::new());
        client.run(&["COMMIT", "INSERT INTO t (n) VALUES (3)"]);
        case.cut();
        client.run(&["ROLLBACK"]);
        assert_eq!(case.rows(), ["1", "2"]);
        case.cut_answer_to(At::Text("VALUES (4)"));
        client.run(&["INSERT INTO t (n) VALUES (4)", "COMMIT"]);
        assert_eq!(case.rows(), ["1", "2", "4"]);
    }

    fn hidden_settings_are_not_visible(case) {
        let list = HIDDEN.map(|name| format!("@@{name}")).join(", ");
        let queries = [
            format!("SELECT {list}"),
            format!("SELECT {}", list.replace("@@", "@@SESSION.")),
            format!("SHOW VARIABLES WHERE Variable_name IN ('{}')", HIDDEN.join("','")),
            "SHOW SESSION VARIABLES LIKE 'session\\_track%'".to_owned(),
            "SHOW VARIABLES LIKE '%timeout'".to_owned(),
        ];
        let mut direct = crate::client::Client::connect(case.server.addr(), &case.user, &case.database, 0);
        let mut client = case.client();
        for round in ["at first", "after a loss", "after a reset"] {
            for query in &queries {
                assert_eq!(client.query(query).lines(), direct.query(query).lines(), "{round}: {query}");
            }
            match round {
                "at first" => case.cut(),
                _ => { client.command(31, b"").good(); }
            }
        }
        for set in ["SET wait_timeout=77, net_read_timeout=78", "SET session_track_schema=0"] {
            client.run(&[set]);
            direct.run(&[set]);
        }
        for _ in 0..2 {
            for query in &queries {
                assert_eq!(client.query(query).lines(), direct.query(query).lines(), "{query}");
            }
            case.cut();
        }
    }

    fn an_idle_session_outlives_its_own_wait_timeout(case) {
        let mut client = case.client();
        client.run(&["SET wait_timeout=1, @x=3"]);
        sleep(Duration::from_millis(2500));
        assert_eq!(client.line("SELECT @x, @@wait_timeout"), "3 1");
    }

    fn what_the_last_statement_left_is_told_or_refused(case) {
        let mut client = case.client();
        client.run(&["INSERT INTO t (n) VALUES (1), (2)"]);
        assert_eq!(client.line("SELECT ROW_COUNT()"), "2");
        client.run(&["INSERT INTO t (n) VALUES (3)"]);
        case.cut();
        // Not a wrong answer.
        client.query("SELECT ROW_COUNT()").fails("1213/40001");
        client.run(&["INSERT INTO t (n) VALUES (4)"]);
        assert_eq!(client.line("SELECT ROW_COUNT()"), "1");
        case.cut();
        match client.query("SELECT LAST_INSERT_ID()") {
            crate::client::Answer::Rows(rows) => assert_eq!(rows, [[Some("4".to_owned())]]),
            other => { other.fails("1213/40001"); }
        }
    }

    fn an_error_in_a_transaction_does_not_hide_whether_it_lives(case) {
        case.witness().run(&["INSERT INTO t (id, n) VALUES (1, 1)"]);
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (2)"]);
        client.query("INSERT INTO t (id, n) VALUES (1, 9)").fails("1062/23000");
        client.query("SELECT nonsense").fails("1054/42S22");
        case.cut();
        client.run(&["INSERT INTO t (n) VALUES (3)", "COMMIT"]);
        assert_eq!(case.rows(), ["1", "2", "3"]);
        // A deadlock's 1213 rolls everything back: what comes after is not part of a transaction.
        let mut one = case.client();
        let mut two = case.client();
        one.run(&["BEGIN", "UPDATE t SET n = 1 WHERE id = 1"]);
        two.run(&["BEGIN", "UPDATE t SET n = 4 WHERE n >= 2 AND id > 1"]);
        one.start_query("UPDATE t SET n = 5 WHERE id > 1");
        sleep(Duration::from_millis(300));
        let second = two.query("UPDATE t SET n = 5 WHERE id = 1").error();
        let first = one.answer().error();
        let (mut lost, mut won) = match (first.as_str(), second.as_str()) {
            ("0", "1213/40001") => (two, one),
            ("1213/40001", "0") => (one, two),
            other => panic!("{other:?}"),
        };
        won.run(&["ROLLBACK"]);
        case.cut();
        lost.run(&["INSERT INTO t (n) VALUES (6)"]);
        assert!(case.rows().contains(&"6".to_owned()));
    }

    fn a_statement_with_its_own_settings_leaves_none(case) {
        let mut client = case.client();
        if case.is_mariadb() {
            let before = client.line("SELECT @@max_statement_time");
            client.run(&["SET STATEMENT max_statement_time=1 FOR SELECT 1"]);
            case.cut();
            assert_eq!(client.line("SELECT @@max_statement_time"), before);
            client.run(&["SET STATEMENT max_statement_time=1 FOR SELECT 1", "SET time_zone='+01:00'"]);
            case.cut();
            assert_eq!(client.line("SELECT @@max_statement_time, @@time_zone"), format!("{before} +01:00"));
        } else {
            client.run(&["SELECT /*+ SET_VAR(max_execution_time=1000) */ 1", "SET time_zone='+01:00'"]);
            case.cut();
            assert_eq!(client.line("SELECT @@max_execution_time, @@time_zone"), "0 +01:00");
        }
    }

    fn begin_releases_table_locks_and_their_loss_is_none(case) {
        let mut client = case.client();
        client.run(&["LOCK TABLES t WRITE", "BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        case.cut();
        client.run(&["COMMIT"]);
        client.run(&["LOCK TABLES t WRITE", "UNLOCK TABLES"]);
        case.cut();
        client.run(&["INSERT INTO t (n) VALUES (2)"]);
        assert_eq!(case.rows(), ["1", "2"]);
    }

    fn a_backslash_that_is_half_a_character_is_none(case) {
        // Under gbk 0xBF5C is one character: the quote after it ends the string, and what follows is code.
        let mut client = case.client();
        client.run(&["SET NAMES gbk", "BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        case.cut_answer_to(At::Text("/*! COMMIT */"));
        let mut text = b"/*! COMMIT */ -- '".to_vec();
        text.extend_from_slice(b"\xbf\x5c'");
        client.start(3, &text);
        client.answer().fails("1180/08007");
        client.query("ROLLBACK").good();
        assert_eq!(case.rows(), ["1"]);
        // A read by its ASCII text, taking a lock by its real text.
        let text = b"SELECT '\xbf\x5c', GET_LOCK('gbk', 1), ' '";
        client.start(3, text);
        client.answer().good();
        case.cut();
        client.query("SELECT 1").fails("1053/08S01");
    }
}

on_both_servers! {
    fn a_call_whose_traces_are_lost_is_in_doubt_and_its_session_goes_on(case) {
        case.witness().run(&[&format!("CREATE PROCEDURE {}.adds() INSERT INTO t (n) VALUES (1)", case.database)]);
        let mut client = case.client();
        client.run(&["SET @v = 5"]);
        for at in [At::Text("LENGTH(@"), At::Text("HEX(@")] {
            case.witness().run(&["TRUNCATE t"]);
            case.cut_instead_of(at);
            client.query("CALL adds()").fails("1180/08007");
            case.link.clear_tap();
            assert_eq!(case.rows(), ["1"]);
            assert_eq!(client.line("SELECT @v"), "5");
            client.run(&["CALL adds()"]);
            assert_eq!(case.rows(), ["1", "1"]);
        }
    }
}

on_both_servers! {
    // They rest, and share the place of what they have alike.
    fn what_rested_sessions_had_alike_is_each_ones_own(case) {
        let mut clients: Vec<_> = (0..3).map(|_| case.client()).collect();
        for client in &mut clients {
            client.run(&["SET @v = 1, time_zone = '+01:00'", "BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        }
        sleep(Duration::from_secs(4));
        let [first, second, third] = &mut clients[..] else {
            unreachable!("there are three");
        };
        first.run(&["SET @v = 2, time_zone = '+02:00'"]);
        second.run(&["COMMIT", "SET @v = 3"]);
        case.cut();
        for (client, expected) in [(first, "2 +02:00"), (second, "3 +01:00"), (third, "1 +01:00")] {
            assert_eq!(client.line("SELECT CONCAT(@v, ' ', @@time_zone)"), expected);
            client.run(&["COMMIT"]);
        }
        assert_eq!(case.rows(), ["1", "1", "1"]);
    }
}
