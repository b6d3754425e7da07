//! What a client did not ask for it cannot get, and what it has been given of a result stays true.

use steadfast_sandbox::{Cut, Direction, Kind, Verdict};

use crate::case::{At, Case, on_both_servers};
use crate::client::CLIENT_MULTI_STATEMENTS;

on_both_servers! {
    fn multi_statements_need_to_be_asked_for(case) {
        let mut client = case.client();
        for round in 0..3 {
            let answer = client.query("SELECT 1; INSERT INTO t (n) VALUES (1)");
            assert_eq!(answer.error(), "1064/42000", "round {round}");
            match round {
                0 => case.cut(),
                _ => { client.command(31, b"").good(); }
            }
        }
        assert_eq!(case.rows(), Vec::<String>::new());
        // COM_SET_OPTION: on, and off again, also across a loss.
        client.command(27, &[0, 0]).good();
        case.cut();
        client.run(&["SELECT 1; INSERT INTO t (n) VALUES (1)"]);
        client.command(27, &[1, 0]).good();
        case.cut();
        client.query("SELECT 1; INSERT INTO t (n) VALUES (1)").fails("1064/42000");
        let mut multi = case.client_with(CLIENT_MULTI_STATEMENTS);
        multi.run(&["SELECT 1; INSERT INTO t (n) VALUES (2)"]);
        assert_eq!(case.rows(), ["1", "2"]);
    }

    fn a_result_that_was_cut_goes_on_with_the_next_sequence_id(case) {
        // The client checks each sequence id; a re-run behind a part that was delivered must go on where it was.
        case.witness().run(&[
            "SET SESSION cte_max_recursion_depth=1000000, SESSION max_recursive_iterations=1000000"
        ].map(|sql| if case.is_mariadb() { "SET SESSION max_recursive_iterations=1000000" } else { sql.split(',').next().unwrap() }));
        case.witness().run(&["INSERT INTO t (n) VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9),(10)"]);
        let mut client = case.client();
        let big = "SELECT a.n + 10*b.n + 100*c.n + 1000*d.n AS x, REPEAT('x', 100) FROM t a, t b, t c, t d ORDER BY x, a.id, b.id, c.id";
        let whole = client.query(big).lines();
        assert_eq!(whole.len(), 10_000);
        for bytes in [10, 3_000, 70_000, 600_000] {
            case.link.cut_after(bytes, Cut::Rst);
            assert!(client.query(big).lines() == whole, "cut after {bytes} bytes");
        }
        let mut several = case.client_with(CLIENT_MULTI_STATEMENTS);
        case.cut_answer_to(At::Text("SELECT 1; SELECT 2"));
        several.query("SELECT 1; SELECT 2").fails("1180/08007");
    }

    fn a_result_that_is_lost_again_and_again_ends_with_the_next_sequence_id(case) {
        let numbers: Vec<String> = (0..10).map(|n| format!("({n})")).collect();
        case.witness().run(&[&format!("INSERT INTO t (n) VALUES {}", numbers.join(","))]);
        let mut client = case.client();
        let big = "SELECT REPEAT('x', 100) FROM t a, t b, t c, t d";
        // Cut in the middle, and each re-run before it has come as far.
        let (mut first, mut bytes) = (None, 0);
        case.link.set_tap(move |direction, connection, chunk| {
            if direction == Direction::ToServer && At::Text("SELECT REPEAT").is(chunk) {
                bytes = if first.is_none_or(|id| id == connection) { 400_000 } else { 2_000 };
                first = first.or(Some(connection));
            } else if direction == Direction::ToClient && bytes > 0 {
                if chunk.len() >= bytes {
                    return Verdict::CutWithin(std::mem::take(&mut bytes), Cut::Fin);
                }
                bytes -= chunk.len();
            }
            Verdict::Pass
        });
        client.query(big).fails("1053/08S01");
        case.link.clear_tap();
        assert_eq!(client.query(big).lines().len(), 10_000);
    }

    fn a_result_that_begins_differently_is_not_joined_to_the_first(case) {
        case.witness().run(&["INSERT INTO t (n) VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9),(10)"]);
        let mut client = case.client();
        // Not with RST: that also throws away what Steadfast has not read yet, which may be all.
        case.link.cut_after(400_000, Cut::Fin);
        let message = client
            .query("SELECT UUID(), REPEAT('x', 100) FROM t a, t b, t c, t d")
            .fails("1213/40001");
        assert!(message.contains("which is different now; run the query again"), "{message}");
        assert_eq!(client.line("SELECT 1"), "1");
    }

    fn a_long_row_that_was_delivered_in_part_goes_on_or_ends_the_connection(case) {
        // The same again: it goes on in the middle of the row.
        let mut client = case.client();
        let row = "SELECT CONCAT('same', REPEAT('x', 1000000)), REPEAT('y', 500000)";
        let whole = client.line(row);
        for bytes in [100_000, 400_000, 1_200_000] {
            case.link.cut_after(bytes, Cut::Rst);
            assert!(client.line(row) == whole, "cut after {bytes} bytes");
        }
        // Another: no packet can follow half a packet, and half a row is no answer.
        for (before, row) in [
            (&[][..], "SELECT UUID(), REPEAT('x', 1000000)"),
            (&["BEGIN", "INSERT INTO t (n) VALUES (1)"][..], "SELECT CONCAT(UUID(), REPEAT('x', 1000000))"),
        ] {
            let mut client = case.client();
            client.run(before);
            case.link.cut_after(400_000, Cut::Fin);
            match client.query(row) {
                crate::client::Answer::Gone(_) => {}
                other => panic!("{row}: {}", other.error()),
            }
            drop(client);
            // What was open is rolled back, the loss is told where it can be, and others go on.
            case.wait("its connections are gone", std::time::Duration::from_secs(2), || {
                case.steadfast.metric("clients_connected") == 1.0 && case.steadfast.metric("server_connections_open") == 1.0
            });
            assert_eq!(case.rows(), Vec::<String>::new());
        }
        assert_eq!(case.steadfast.metric("failures_total{kind=\"rolled-back\",reason=\"part-mismatch\"}"), 2.0);
        // A loss is told when it has been looked into.
        case.wait("it is told", std::time::Duration::from_secs(10), || {
            case.steadfast.log().contains("the client's connection had to be closed")
        });
        assert_eq!(client.line("SELECT 1"), "1");
    }
}
