//! Prepared statements live on across server connections.

use steadfast_sandbox::Kind;

use crate::case::{At, Case, on_both_servers};

const STMT_FETCH: u8 = 28;
const STMT_EXECUTE: u8 = 23;
const RESET_CONNECTION: u8 = 31;

on_both_servers! {
    fn a_prepared_statement_outlives_its_connection_with_its_types(case) {
        let mut client = case.client();
        let select = client.prepare("SELECT CONCAT(?, '-', ?)");
        let first = client.execute(select, &[Some("a"), Some("b")], true, false).lines();
        case.cut();
        // Without types, as drivers send later executions.
        assert_eq!(client.execute(select, &[Some("a"), Some("b")], false, false).lines(), first);
        case.cut_answer_to(At::Code(STMT_EXECUTE));
        assert_eq!(client.execute(select, &[Some("a"), Some("b")], false, false).lines(), first);
        let insert = client.prepare("INSERT INTO t (n) VALUES (?)");
        assert_ne!(insert.id, select.id);
        client.run(&["BEGIN"]);
        client.execute(insert, &[Some("1")], true, false).good();
        client.execute(insert, &[Some("2")], false, false).good();
        case.cut();
        client.execute(insert, &[Some("3")], false, false).good();
        client.run(&["COMMIT"]);
        assert_eq!(case.rows(), ["1", "2", "3"]);
    }

    fn a_statement_that_was_closed_is_replayed_all_the_same(case) {
        let mut client = case.client();
        client.run(&["BEGIN"]);
        let insert = client.prepare("INSERT INTO t (n) VALUES (?)");
        client.execute(insert, &[Some("1")], true, false).good();
        client.start(25, &insert.id.to_le_bytes());
        case.cut();
        client.run(&["COMMIT"]);
        assert_eq!(case.rows(), ["1"]);
        client.execute(insert, &[Some("2")], true, false).fails("1243/HY000");
    }

    fn long_data_sent_before_a_loss_is_there_after_it(case) {
        let mut client = case.client();
        let select = client.prepare("SELECT CONCAT('<', ?, '>')");
        client.long_data(select, 0, b"one ");
        client.long_data(select, 0, b"two");
        case.cut();
        let hex: String = "<one two>".bytes().map(|byte| format!("{byte:02x}")).collect();
        let line = client.execute(select, &[None], true, false).line();
        assert!(line.ends_with(&hex), "{line}");
        client.long_data(select, 0, b"one two");
        case.cut_answer_to(At::Code(STMT_EXECUTE));
        assert!(client.execute(select, &[None], true, false).line().ends_with(&hex));
    }

    fn an_open_cursor_is_refused_after_a_loss(case) {
        case.witness().run(&["INSERT INTO t (n) VALUES (1), (2), (3)"]);
        let mut client = case.client();
        let select = client.prepare("SELECT n FROM t ORDER BY id");
        client.execute(select, &[], true, true).good();
        let first = client.fetch(select).line();
        client.execute(select, &[], true, true).good();
        assert_eq!(client.fetch(select).line(), first);
        case.cut();
        let answer = client.fetch(select);
        assert_eq!(answer.error(), "1213/40001", "{answer:?}");
        client.execute(select, &[], true, true).good();
        assert_eq!(client.fetch(select).line(), first, "it can be opened again");
        case.cut_answer_to(At::Code(STMT_FETCH));
        client.fetch(select).fails("1213/40001");
        assert_eq!(client.line("SELECT 1"), "1");
    }

    fn an_open_cursor_in_a_transaction_goes_on_or_is_refused(case) {
        case.witness().run(&["INSERT INTO t (n) VALUES (1), (2), (3)"]);
        let mut client = case.client();
        let select = client.prepare("SELECT n FROM t ORDER BY id");
        client.run(&["BEGIN"]);
        client.execute(select, &[], true, true).good();
        let first = client.fetch(select).line();
        let second = client.fetch(select).line();
        case.cut();
        let third = client.fetch(select).line();
        assert!(first != second && second != third, "{first}, {second}, {third}");
        client.run(&["ROLLBACK", "BEGIN"]);
        client.execute(select, &[], true, true).good();
        assert_eq!(client.fetch(select).line(), first);
        case.cut_answer_to(At::Code(STMT_FETCH));
        assert_eq!(client.fetch(select).line(), second);
        client.run(&["COMMIT"]);
    }

    fn a_transaction_does_not_outlive_the_cursor_that_it_reads_from(case) {
        case.witness().run(&["INSERT INTO t (n) VALUES (1), (2), (3)"]);
        let mut client = case.client();
        let select = client.prepare("SELECT n FROM t ORDER BY id");
        for lost_in_flight in [false, true] {
            client.execute(select, &[], true, true).good();
            client.fetch(select).good();
            client.run(&["BEGIN", "INSERT INTO t (n) VALUES (7)"]);
            if lost_in_flight {
                case.cut_answer_to(At::Code(STMT_FETCH));
            } else {
                case.cut();
                client.run(&["SELECT 1"]);
            }
            let message = client.fetch(select).fails("1213/40001");
            assert!(message.contains("an open transaction is rolled back"), "{message}");
            // As after a native 1213: nothing is left to be committed.
            client.run(&["BEGIN", "COMMIT"]);
            assert_eq!(case.rows(), ["1", "2", "3"], "lost in flight: {lost_in_flight}");
        }
    }

    fn a_statement_whose_metadata_changed_is_1615(case) {
        let mut client = case.client();
        let select = client.prepare("SELECT * FROM t");
        client.execute(select, &[], true, false).good();
        case.link.refuse(true);
        case.cut();
        case.witness().run(&["ALTER TABLE t ADD COLUMN more VARCHAR(10)"]);
        case.link.refuse(false);
        client.execute(select, &[], true, false).fails("1615/HY000");
        let again = client.prepare("SELECT * FROM t");
        client.execute(again, &[], true, false).good();
    }

    fn a_statement_prepared_by_name_outlives_its_connection(case) {
        let mut client = case.client();
        client.run(&["PREPARE s FROM 'SELECT ? + 1'", "SET @a=4"]);
        case.cut();
        assert_eq!(client.line("EXECUTE s USING @a"), "5");
        case.cut_answer_to(At::Text("EXECUTE s"));
        assert_eq!(client.line("EXECUTE s USING @a"), "5");
        client.run(&["DEALLOCATE PREPARE s"]);
        case.cut();
        client.query("EXECUTE s USING @a").fails("1243/HY000");
    }

    fn a_statement_prepared_from_a_variable_is_what_it_was(case) {
        let mut client = case.client();
        client.run(&["SET @text='SELECT 7'", "PREPARE s FROM @text", "SET @text='SELECT 8'"]);
        case.cut();
        assert_eq!(client.line("EXECUTE s"), "7");
        // Its text is not known to Steadfast: once it ran, it may have taken a lock. Never another result.
        case.cut();
        let answer = client.query("EXECUTE s");
        if answer.error() == "0" {
            assert_eq!(answer.line(), "7");
        } else {
            answer.fails("1053/08S01");
            client.command(RESET_CONNECTION, b"").good();
            assert_eq!(client.line("SELECT 9"), "9");
        }
    }
}
