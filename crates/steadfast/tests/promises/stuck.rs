//! A replay that waits for a lock which nobody gives back holds the others up for a limited time.

use std::time::{Duration, Instant};

use steadfast_sandbox::Kind;

use crate::case::{Case, on_both_servers};

/// Others wait at most 5 s for a replay; with what a machine under load adds.
const STAY: Duration = Duration::from_millis(7500);
const SOON: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(5);

on_both_servers! {
    fn a_stuck_replay_holds_the_others_up_for_a_limited_time(case) {
        case.witness().run(&["INSERT INTO t (id, n) VALUES (1, 1), (2, 1), (3, 1)"]);
        let mut stuck = case.client();
        let mut later = case.client();
        let mut outside = case.client();
        // The servers' own limit ends the wait: 9 s instead of 50.
        stuck.run(&["SET innodb_lock_wait_timeout=9", "BEGIN", "UPDATE t SET n = 2 WHERE id = 1"]);
        later.run(&["BEGIN", "UPDATE t SET n = 2 WHERE id = 2", "SELECT n FROM t WHERE id = 2"]);
        case.link.refuse(true);
        case.cut();
        let mut blocker = case.witness();
        blocker.run(&["SET innodb_lock_wait_timeout=1", "BEGIN"]);
        case.wait("the lock is free", LONG, || blocker.query("UPDATE t SET n = n + 0 WHERE id = 1").error() == "0");
        case.link.refuse(false);
        let begun = Instant::now();
        stuck.start_query("SELECT 'stuck'");
        later.start_query("UPDATE t SET n = n + 1 WHERE id = 2");
        outside.start_query("UPDATE t SET n = n + 1 WHERE id = 3");
        case.wait("the replay waits", LONG, || case.running("UPDATE t SET n = 2 WHERE id = 1") == 1);

        // Those that lost nothing of their own, those whose replay comes after it, and newcomers.
        assert!(outside.has_answer_within(STAY.saturating_sub(begun.elapsed())), "outside");
        outside.answer().good();
        assert!(later.has_answer_within(STAY.saturating_sub(begun.elapsed())), "later");
        later.answer().good();
        later.run(&["COMMIT"]);
        let mut newcomer = case.client();
        let then = Instant::now();
        newcomer.run(&["BEGIN", "INSERT INTO t (n) VALUES (9)", "COMMIT"]);
        for _ in 0..20 {
            outside.run(&["UPDATE t SET n = n + 1 WHERE id = 3"]);
        }
        assert!(then.elapsed() < SOON, "they wait once, not each time: {:?}", then.elapsed());
        assert!(begun.elapsed() < STAY + SOON);
        assert_eq!(case.running("UPDATE t SET n = 2 WHERE id = 1"), 1, "the replay still waits");

        // The server ends the wait (1205), which is another result than before.
        assert!(stuck.has_answer_within(Duration::from_secs(12)));
        let message = stuck.answer().fails("1213/40001");
        assert!(message.contains("the replay found different data"), "{message}");
        blocker.run(&["ROLLBACK"]);
        stuck.run(&["ROLLBACK", "BEGIN", "UPDATE t SET n = 3 WHERE id = 1", "COMMIT"]);
        assert_eq!(case.rows(), ["3", "3", "22", "9"]);
    }

    fn a_replay_that_gets_its_lock_late_goes_on(case) {
        case.witness().run(&["INSERT INTO t (id, n) VALUES (1, 1)"]);
        let mut client = case.client();
        client.run(&["BEGIN", "UPDATE t SET n = 2 WHERE id = 1"]);
        case.link.refuse(true);
        case.cut();
        let mut blocker = case.witness();
        blocker.run(&["SET innodb_lock_wait_timeout=1", "BEGIN"]);
        case.wait("the lock is free", LONG, || blocker.query("UPDATE t SET n = n + 0 WHERE id = 1").error() == "0");
        case.link.refuse(false);
        client.start_query("SELECT n FROM t WHERE id = 1");
        assert!(!client.has_answer_within(Duration::from_millis(700)), "it waits");
        blocker.run(&["ROLLBACK"]);
        assert_eq!(client.answer().line(), "2");
        client.run(&["COMMIT"]);
        assert_eq!(case.rows(), ["2"]);
    }
}
