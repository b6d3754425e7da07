//! A server that answers a hidden statement too late, or is lost in the middle of one.

use std::time::Duration;

use steadfast_sandbox::{Cut, Direction, Kind, Verdict};

use crate::case::{At, Case, on_both_servers};

on_both_servers! {
    #[settings = "[timeouts]\ndead_after = '500ms'\n"]
    fn a_late_answer_to_a_hidden_question_is_not_taken_for_the_next_one(case) {
        let mut client = case.client();
        client.run(&["SET @a = 1"]);
        let mut done = false;
        case.link.set_tap(move |direction, _, bytes| {
            let asks = |what: &[u8]| bytes.windows(what.len()).any(|part| part == what);
            if !done && direction == Direction::ToServer && asks(b"@@SESSION.collation_connection") {
                done = true;
                // Longer than Steadfast waits for it, which is twice dead_after.
                std::thread::sleep(Duration::from_millis(1_800));
            }
            Verdict::Pass
        });
        client.run(&["SET NAMES utf8mb4 COLLATE utf8mb4_bin"]);
        for n in 0..20 {
            assert_eq!(client.line(&format!("SELECT {n} + 100")), (n + 100).to_string());
        }
        case.link.clear_tap();
        assert_eq!(client.line("SELECT @@collation_connection"), "utf8mb4_bin");
        assert_eq!(client.line("SELECT @a"), "1");
    }

    fn a_loss_at_the_end_of_a_replay_leaves_no_client_without_an_answer(case) {
        let mut client = case.client();
        client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
        case.cut();
        case.cut_instead_of(At::Text("SET timestamp=DEFAULT"));
        client.start_query("SELECT ROW_COUNT()");
        assert!(client.has_answer_within(Duration::from_secs(5)));
        client.answer().fails("1213/40001");
        // Where the transaction goes on, it goes on.
        client.run(&["ROLLBACK", "BEGIN", "INSERT INTO t (n) VALUES (2)"]);
        case.cut();
        case.cut_instead_of(At::Text("SET timestamp=DEFAULT"));
        client.run(&["INSERT INTO t (n) VALUES (3)", "COMMIT"]);
        assert_eq!(case.rows(), ["2", "3"]);
        // Others are not kept waiting.
        case.link.cut(Cut::Rst);
        assert_eq!(case.client().line("SELECT 1"), "1");
    }
}
