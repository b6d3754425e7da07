//! Corners of what is restored: values too long to be kept, the schema that a statement was prepared in, collations.

use steadfast_sandbox::Kind;

use crate::case::{At, Case, on_both_servers};
use crate::client::{Client, Prepared};

const GONE: &str = "1053/08S01";
const NO_DATABASE: &str = "1049/42000";
const RESET_CONNECTION: u8 = 31;
const STMT_EXECUTE: u8 = 23;

/// Longer than what is kept of a user variable.
const LONG: &str = "SET @x = REPEAT('y', 40000)";

/// Makes a second schema with a table `t` of its own, and gives its name. In `t` of the first is 1, in this one's 2.
fn second_schema(case: &Case) -> String {
    let name = format!("{}b", case.database);
    case.witness().run(&[
        "INSERT INTO t (n) VALUES (1)",
        &format!("CREATE DATABASE {name}"),
        &format!("GRANT ALL ON {name}.* TO {}@'%'", case.user),
        &format!("CREATE TABLE {name}.t LIKE t"),
        &format!("INSERT INTO {name}.t (n) VALUES (2)"),
    ]);
    name
}

#[track_caller]
fn executed(client: &mut Client, statement: Prepared) -> String {
    client.execute(statement, &[], true, false).line()
}

/// What a session says of its character set and its collation, and how it compares.
#[track_caller]
fn comparisons(client: &mut Client) -> Vec<String> {
    [
        "SELECT @@character_set_client, @@character_set_connection, @@character_set_results, @@collation_connection",
        "SELECT 'a' = 'A', 'o' = X'C3B6', COLLATION('a'), COLLATION(CONCAT(1))",
        "SELECT CONCAT(n) = 'A', COLLATION(n) FROM (SELECT 'a' AS n) s",
    ]
    .iter()
    .flat_map(|sql| client.query(sql).lines())
    .collect()
}

#[track_caller]
fn collation_stays(case: &Case, before: &[&str]) {
    let mut direct = Client::connect(case.server.addr(), &case.user, &case.database, 0);
    direct.run(before);
    let expected = comparisons(&mut direct);
    let mut client = case.client();
    client.run(before);
    // Nothing comes between the statement and the loss.
    case.cut();
    assert_eq!(
        comparisons(&mut client),
        expected,
        "{before:?}, lost at once"
    );
    case.cut();
    assert_eq!(comparisons(&mut client), expected, "{before:?}, lost again");
    // Inside a transaction, and in the middle of a statement.
    let mut client = case.client();
    client.run(&["BEGIN"]);
    client.run(before);
    case.cut();
    assert_eq!(comparisons(&mut client), expected, "{before:?}, replayed");
    client.run(&["COMMIT"]);
    case.cut_answer_to(At::Text("SELECT 'a' = 'A'"));
    assert_eq!(comparisons(&mut client), expected, "{before:?}, run again");
    client.command(RESET_CONNECTION, b"").good();
    direct.command(RESET_CONNECTION, b"").good();
    case.cut();
    assert_eq!(
        comparisons(&mut client),
        comparisons(&mut direct),
        "{before:?}, reset"
    );
}

on_both_servers! {
    fn a_variable_is_known_although_a_procedure_ran_last(case) {
        case.witness().run(&[
            "CREATE PROCEDURE sets() BEGIN SET @one = @one + 1; END",
            "CREATE PROCEDURE writes() BEGIN INSERT INTO t (n) VALUES (@one); SET @one = @one + 1; END",
            "CREATE PROCEDURE gives(OUT x INT) BEGIN SELECT 1; SET x = 5; END",
        ]);
        let mut client = case.client();
        client.run(&["SET @one = 1", "CALL sets()"]);
        case.cut();
        assert_eq!(client.line("SELECT @one"), "2");
        client.run(&["CALL writes()"]);
        case.cut();
        assert_eq!(client.line("SELECT @one"), "3");
        client.run(&["CALL gives(@two)"]);
        case.cut();
        assert_eq!(client.line("SELECT @one, @two"), "3 5");
        assert_eq!(case.rows(), ["2"]);
    }

    fn a_user_variable_that_is_too_long_to_be_kept_is_told_until_reset(case) {
        let mut client = case.client();
        client.run(&[LONG]);
        assert_eq!(client.line("SELECT LENGTH(@x)"), "40000");
        case.cut();
        for sql in ["SELECT 1", "SELECT LENGTH(@x)", "SET @x = 1", "BEGIN", "ROLLBACK"] {
            let message = client.query(sql).fails(GONE);
            assert!(message.starts_with("Steadfast: ") && message.contains("(steadfast why "), "{message}");
        }
        client.command(RESET_CONNECTION, b"").good();
        assert_eq!(client.line("SELECT @x, 1"), "NULL 1");
        // By COM_CHANGE_USER too.
        client.run(&[LONG]);
        case.cut();
        client.query("SELECT 1").fails(GONE);
        client.change_user().good();
        assert_eq!(client.line("SELECT @x, 1"), "NULL 1");
        case.cut();
        assert_eq!(client.line("SELECT 2"), "2");
    }

    fn a_user_variable_that_is_short_again_is_kept(case) {
        let mut client = case.client();
        for short in ["SET @x = 5", "SET @x = CONCAT('', 5)", "SELECT @x := 5", "SELECT 5 INTO @x"] {
            client.run(&[LONG, short]);
            if short.contains(":=") && !case.is_mariadb() {
                // MySQL warns; the value is asked for when nobody can ask for the warning any more.
                client.run(&["SELECT 1"]);
            }
            case.cut();
            assert_eq!(client.line("SELECT @x"), "5", "{short}");
        }
        // A value of exactly the limit is kept, in characters of several bytes too.
        client.run(&["SET @x = REPEAT('ä', 16384)", "SET @y = SHA2(@x, 256)"]);
        case.cut();
        assert_eq!(client.line("SELECT LENGTH(@x), CHAR_LENGTH(@x), SHA2(@x, 256) = @y"), "32768 16384 1");
    }

    fn many_long_user_variables_are_kept_up_to_a_sum(case) {
        case.witness().run(&["CREATE PROCEDURE sets() BEGIN SET @a3 = 'three'; END"]);
        let assign = |count: usize| {
            let list: Vec<String> = (1..=count).map(|n| format!("@a{n}:=REPEAT('x',32000)")).collect();
            format!("SELECT {}", list.join(", "))
        };
        let lengths = |client: &mut Client, count: usize| {
            let list: Vec<String> = (1..=count).map(|n| format!("LENGTH(@a{n})")).collect();
            client.line(&format!("SELECT {}", list.join(", ")))
        };
        let expected = |count: usize| vec!["32000"; count].join(" ");
        for count in [11, 64] {
            let mut client = case.client();
            client.run(&[&assign(count), "INSERT INTO t (n) VALUES (1)", "UPDATE t SET n = n + 1", "SET @b = CONCAT('', 1)"]);
            assert_eq!(lengths(&mut client, count), expected(count));
            case.cut();
            assert_eq!(lengths(&mut client, count), expected(count));
            // After a procedure no value is known any more.
            client.run(&["CALL sets()", "INSERT INTO t (n) VALUES (3)", "DELETE FROM t"]);
            case.cut();
            assert_eq!(lengths(&mut client, count), expected(count).replacen("32000 32000 32000", "32000 32000 5", 1));
            assert_eq!(client.line("SELECT @a3, @b, SHA2(@a4, 256) = SHA2(REPEAT('x', 32000), 256)"), "three 1 1");
        }
        // Names and types take room as well.
        let mut client = case.client();
        for part in 0..10 {
            let list: Vec<String> = (0..400).map(|n| format!("@a_name_that_is_nearly_as_long_as_the_servers_take_them_{part}_{n} = CONCAT('', {n})")).collect();
            client.run(&[&format!("SET {}", list.join(", "))]);
        }
        client.run(&["CALL sets()", "INSERT INTO t (n) VALUES (4)", "DELETE FROM t"]);
        case.cut();
        assert_eq!(client.line("SELECT @a_name_that_is_nearly_as_long_as_the_servers_take_them_9_399"), "399");
        // More than the sum: nothing happens before a loss.
        let mut client = case.client();
        client.run(&[&assign(80), "INSERT INTO t (n) VALUES (1)", "CALL sets()", "UPDATE t SET n = n + 1"]);
        assert_eq!(client.line("SELECT LENGTH(@a80), @a3"), "32000 three");
        assert_eq!(case.rows(), ["2"]);
        case.cut();
        client.query("SELECT 1").fails(GONE);
        client.command(RESET_CONNECTION, b"").good();
        assert_eq!(client.line("SELECT @a1, 1"), "NULL 1");
    }

    fn what_a_transaction_assigned_is_not_asked_for_before_it_is_replayed(case) {
        let mut client = case.client();
        // On MySQL with a warning, after which nothing is asked until the next statement.
        client.run(&["SET @x = 1", "BEGIN", "INSERT INTO t (n) VALUES (1)", "SELECT @x := @x + 4", "SET NAMES utf8mb3 COLLATE utf8mb3_bin"]);
        case.cut();
        client.run(&["COMMIT"]);
        case.cut();
        assert_eq!(client.line("SELECT @x, @@collation_connection LIKE 'utf8%_bin'"), "5 1");
    }

    fn a_transaction_of_a_session_with_a_long_user_variable_is_not_committed_in_part(case) {
        let mut client = case.client();
        client.run(&[LONG, "BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        case.cut();
        for sql in ["INSERT INTO t (n) VALUES (2)", "COMMIT", "SELECT 1"] {
            client.query(sql).fails(GONE);
        }
        assert_eq!(case.rows(), Vec::<String>::new());
        // ROLLBACK ends the transaction; the session still cannot be restored.
        client.query("ROLLBACK");
        client.query("SELECT 1").fails(GONE);
        client.command(RESET_CONNECTION, b"").good();
        client.run(&["INSERT INTO t (n) VALUES (3)"]);
        // Assigned inside the transaction it is made again.
        client.run(&["BEGIN", LONG, "INSERT INTO t (n) VALUES (4)"]);
        case.cut();
        assert_eq!(client.line("SELECT LENGTH(@x)"), "40000");
        client.run(&["COMMIT"]);
        assert_eq!(case.rows(), ["3", "4"]);
        case.cut();
        client.query("SELECT 1").fails(GONE);
    }

    fn a_prepared_statement_means_the_schema_in_which_it_was_prepared(case) {
        let second = second_schema(case);
        let mut client = case.client();
        let first = client.prepare("SELECT n, DATABASE() FROM t");
        let insert = client.prepare("INSERT INTO t (n) VALUES (7)");
        let before = executed(&mut client, first);
        client.run(&[&format!("USE {second}")]);
        let other = client.prepare("SELECT n FROM t");
        // DATABASE() in it is the schema of its preparation or of its execution: as on the server.
        let after = executed(&mut client, first);
        let others = executed(&mut client, other);
        assert_ne!(before[..6], others[..6], "{before} and {others}");
        for _ in 0..2 {
            case.cut();
            assert_eq!(executed(&mut client, first), after);
            assert_eq!(executed(&mut client, other), others);
            assert_eq!(client.line("SELECT DATABASE()"), second);
        }
        case.cut_answer_to(At::Code(STMT_EXECUTE));
        assert_eq!(executed(&mut client, first), after);
        assert_eq!(client.line("SELECT n FROM t"), "2");
        // In a transaction that changes the schema.
        client.run(&[&format!("USE {}", case.database), "BEGIN", &format!("USE {second}")]);
        client.execute(insert, &[], true, false).good();
        case.cut();
        assert_eq!(executed(&mut client, other), others);
        assert_eq!(client.line("SELECT DATABASE()"), second);
        client.execute(insert, &[], true, false).good();
        client.run(&["COMMIT"]);
        assert_eq!(case.rows(), ["1", "7", "7"]);
        assert_eq!(client.line("SELECT n FROM t"), "2");
    }

    fn a_statement_prepared_by_name_means_the_schema_in_which_it_was_prepared(case) {
        let second = second_schema(case);
        let mut client = case.client();
        client.run(&["PREPARE s FROM 'SELECT n FROM t'", "SET @insert = 'INSERT INTO t (n) VALUES (7)'", "PREPARE i FROM @insert"]);
        client.run(&[&format!("USE {second}"), "PREPARE other FROM 'SELECT n FROM t'"]);
        for _ in 0..2 {
            case.cut();
            assert_eq!(client.line("EXECUTE s"), "1");
            assert_eq!(client.line("EXECUTE other"), "2");
            assert_eq!(client.line("SELECT DATABASE()"), second);
        }
        case.cut_answer_to(At::Text("EXECUTE s"));
        assert_eq!(client.line("EXECUTE s"), "1");
        case.cut();
        client.run(&["EXECUTE i"]);
        assert_eq!(case.rows(), ["1", "7"]);
    }

    fn a_statement_whose_schema_is_gone_is_an_error_of_its_own(case) {
        let second = second_schema(case);
        let mut client = case.client();
        client.run(&[&format!("USE {second}")]);
        let select = client.prepare("SELECT n FROM t");
        client.run(&[&format!("USE {}", case.database)]);
        case.witness().run(&[&format!("DROP DATABASE {second}")]);
        case.cut();
        let answer = client.execute(select, &[], true, false);
        assert_eq!(answer.error(), NO_DATABASE, "{answer:?}");
        // The session itself has lost nothing.
        assert_eq!(client.line("SELECT n, DATABASE() FROM t"), format!("1 {}", case.database));
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (3)"]);
        let answer = client.execute(select, &[], true, false);
        assert_eq!(answer.error(), NO_DATABASE, "{answer:?}");
        client.run(&["COMMIT"]);
        assert_eq!(case.rows(), ["1", "3"]);
    }

    fn a_collation_stays_however_it_was_set(case) {
        collation_stays(case, &["SET NAMES utf8mb4 COLLATE utf8mb4_bin"]);
        collation_stays(case, &["SET NAMES 'latin1' COLLATE 'latin1_german2_ci'"]);
        collation_stays(case, &["SET collation_connection=utf8mb4_bin"]);
        collation_stays(case, &["SET @@session.collation_connection=latin1_german2_ci, character_set_results=latin1"]);
        collation_stays(case, &["SET NAMES latin1", "SET collation_connection='latin1_bin'"]);
        collation_stays(case, &["SET collation_connection=latin1_bin", "SET NAMES utf8mb4"]);
        collation_stays(case, &["SET character_set_connection=latin1"]);
        collation_stays(case, &["SET CHARACTER SET latin1"]);
        // With a warning on MySQL, after which nothing may be asked.
        collation_stays(case, &["SET NAMES utf8mb3 COLLATE utf8mb3_bin"]);
        collation_stays(case, &["SET collation_connection=utf8mb3_bin"]);
        collation_stays(case, &["SET NAMES utf8mb4 COLLATE utf8mb4_bin", "SET NAMES utf8mb3"]);
        collation_stays(case, &["SET NAMES utf8mb4 COLLATE utf8mb4_bin", "SET CHARACTER SET utf8mb3"]);
        // The character set afterwards, which brings its own collation.
        for then in ["SET character_set_connection=latin1", "SET SESSION character_set_connection='utf8mb4'", "SET @@character_set_connection=DEFAULT", "SET character_set_connection=@@global.character_set_connection", "SET character_set_connection=latin1, character_set_results=latin1"] {
            collation_stays(case, &["SET NAMES utf8mb4 COLLATE utf8mb4_bin", then]);
        }
        collation_stays(case, &["SET character_set_connection=latin1", "SET collation_connection=latin1_bin", "SET character_set_connection=latin1"]);
        collation_stays(case, &["PREPARE n FROM 'SET NAMES utf8mb4 COLLATE utf8mb4_bin'", "EXECUTE n"]);
    }

    fn a_collation_set_by_a_prepared_statement_stays_and_a_procedure_sets_none(case) {
        case.witness().run(&["CREATE PROCEDURE sets() BEGIN SET NAMES utf8mb4 COLLATE utf8mb4_bin; SET collation_connection=latin1_bin; END"]);
        let mut direct = Client::connect(case.server.addr(), &case.user, &case.database, 0);
        let mut client = case.client();
        let before = comparisons(&mut client);
        for client in [&mut client, &mut direct] {
            client.run(&["CALL sets()"]);
        }
        case.cut();
        assert_eq!(comparisons(&mut client), before);
        assert_eq!(comparisons(&mut direct), before);
        let set = client.prepare("SET NAMES utf8mb4 COLLATE utf8mb4_bin");
        client.execute(set, &[], true, false).good();
        case.cut();
        direct.run(&["SET NAMES utf8mb4 COLLATE utf8mb4_bin"]);
        assert_eq!(comparisons(&mut client), comparisons(&mut direct));
    }

    fn a_collation_that_is_not_known_is_not_guessed(case) {
        // What EXECUTE ran is not known, and nothing may be asked before the next statement.
        let mut client = case.client();
        client.run(&["SET @text = 'SET NAMES utf8mb4 COLLATE utf8mb4_bin'", "PREPARE s FROM @text", "EXECUTE s"]);
        case.cut();
        let answer = client.query("SELECT @@collation_connection");
        if answer.error() == "0" {
            assert_eq!(answer.line(), "utf8mb4_bin");
        } else {
            answer.fails(GONE);
            client.command(RESET_CONNECTION, b"").good();
        }
        assert_eq!(client.line("SELECT 1"), "1");
    }
}
