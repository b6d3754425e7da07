//! What an account with EXECUTE and nothing else can do to others: nothing. And what the procedures promise.

use std::thread;
use std::time::Duration;

use crate::on_both;
use crate::place::Place;
use crate::session::{Session, now};

on_both!(
    a_lane_is_safe_without_its_secret,
    nobody_can_keep_others_from_opening_lanes,
    a_refused_commit_keeps_no_lock,
    sweeping_locks_nothing_that_is_in_use,
    resolvers_decide_the_same,
    a_ledger_that_was_emptied_proves_nothing,
    a_ledger_of_the_same_second_proves_nothing,
    a_session_s_settings_do_not_reach_it,
);

fn prepared(place: &Place) -> (Session, Session) {
    place.sql("CREATE USER app@'%' IDENTIFIED BY ''; CREATE USER mallory@'%' IDENTIFIED BY '';");
    place.sql("CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY, v INT); INSERT INTO app.t VALUES (1, 1);");
    place.sql("GRANT ALL ON app.* TO app@'%'; GRANT ALL ON app.* TO mallory@'%';");
    place.done(&["install"]);
    let mut app = Session::new(place.server(), "app");
    app.run("SET SESSION innodb_lock_wait_timeout = 1");
    (app, Session::new(place.server(), "mallory"))
}

fn a_lane_is_safe_without_its_secret(place: &Place) {
    let (mut app, mut mallory) = prepared(place);
    app.commit(7, 42, 1).unwrap();
    assert_eq!(mallory.fence(7, 41), None);
    assert_eq!(mallory.commit(7, 41, 2), Err(1644));
    assert_eq!(mallory.commit(7, 41, 1), Err(1062));
    mallory.run("ROLLBACK");
    // Lane 0 is nobody's: its secret can be read in the source.
    assert_eq!(mallory.commit(0, 0, 1), Err(1062));
    assert_eq!(mallory.commit(0, 0, 2), Err(1644));
    assert_eq!(app.commit(7, 42, 2), Ok(()));
    assert_eq!(
        place.value("SELECT sequence FROM steadfast.commit_ledger WHERE lane = 0"),
        "0"
    );
    assert_eq!(place.status()["state"], "current");
}

/// REPEATABLE READ locks the gap where a row would be that a statement looks for and does not find: in a ledger of few
/// lanes, nearly all of it.
fn nobody_can_keep_others_from_opening_lanes(place: &Place) {
    let (mut app, mut mallory) = prepared(place);
    let mut fresh = 0;
    for isolation in ["REPEATABLE READ", "SERIALIZABLE"] {
        mallory.run(&format!(
            "SET SESSION TRANSACTION ISOLATION LEVEL {isolation}"
        ));
        let calls = [
            format!("CALL steadfast.commit(5000, 1, 2, {}, 0)", now()),
            format!("CALL steadfast.commit(5000, 1, 1, {}, 0)", now() - 50_000),
            format!("CALL steadfast.fence(5000, 1, {}, @r)", now()),
            "CALL steadfast.fence(0, 1, 0, @r)".to_owned(),
            "CALL steadfast.sweep()".to_owned(),
            // And with one of its own that is there: 1062.
            format!("CALL steadfast.commit(6000, 1, 1, {}, 0)", now()),
            format!("CALL steadfast.commit(6000, 1, 1, {}, 0)", now()),
        ];
        for call in calls {
            mallory.run("BEGIN");
            mallory.run("UPDATE app.t SET v = v + 1 WHERE id = 1");
            // Refused or not: what is asked is whether others can go on.
            let _ = mallory.ask(&call);
            fresh += 1;
            for lane in [fresh, 4900 - fresh, 5500 - fresh, u64::MAX - fresh] {
                assert_eq!(
                    app.commit(lane, 9, 1),
                    Ok(()),
                    "{lane} after {isolation}: {call}"
                );
            }
            mallory.run("ROLLBACK");
        }
        place.sql("DELETE FROM steadfast.commit_ledger WHERE lane > 0;");
    }
}

fn a_refused_commit_keeps_no_lock(place: &Place) {
    let (mut app, mut zombie) = prepared(place);
    app.commit(7, 1, 1).unwrap();
    assert_eq!(app.fence(7, 1).as_deref(), Some("1"));
    zombie.run("BEGIN");
    zombie.run("UPDATE app.t SET v = 99");
    assert_eq!(zombie.commit(7, 1, 2), Err(1644));
    assert_eq!(app.ask("UPDATE app.t SET v = v + 1 WHERE id = 1"), Ok(None));
    assert_eq!(
        app.ask("SELECT v FROM app.t").unwrap().as_deref(),
        Some("2")
    );
    // It does not come back as a transaction that somebody could commit.
    zombie.run("COMMIT");
    assert_eq!(
        app.ask("SELECT v FROM app.t").unwrap().as_deref(),
        Some("2")
    );
}

fn sweeping_locks_nothing_that_is_in_use(place: &Place) {
    let (mut app, mut sweeper) = prepared(place);
    let old = now() - 90_000;
    place.sql(&format!(
        "INSERT INTO steadfast.commit_ledger VALUES (100, 1, 1, 0, {old}), (300, 1, 1, 1, {old});"
    ));
    app.commit(200, 1, 1).unwrap();
    app.run("BEGIN");
    app.run("UPDATE app.t SET v = 2");
    sweeper.run("SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE");
    sweeper.run("SET autocommit = 0, innodb_lock_wait_timeout = 1");
    sweeper.run("CALL steadfast.sweep()");
    assert_eq!(app.commit(200, 1, 2), Ok(()));
    let left = "SELECT GROUP_CONCAT(lane ORDER BY lane) FROM steadfast.commit_ledger";
    assert_eq!(place.value(left), "0,200");
    // The ledger's birth is old one day, and stays.
    place.sql("UPDATE steadfast.commit_ledger SET opened = 5;");
    sweeper.run("CALL steadfast.sweep()");
    assert_eq!(place.value(left), "0");
}

/// Several that wait for the same COMMIT deadlock when it is rolled back.
fn resolvers_decide_the_same(place: &Place) {
    const RESOLVERS: usize = 4;
    let (mut app, _) = prepared(place);
    place.sql("CREATE USER zombie@'%' IDENTIFIED BY ''; GRANT ALL ON steadfast.* TO zombie@'%';");
    for (lane, commits) in [(11_u64, false), (12, false), (13, true), (14, true)] {
        // What the procedure does, up to its COMMIT.
        let mut zombie = Session::new(place.server(), "zombie");
        zombie.run("BEGIN");
        let opened = now();
        zombie.run(&format!(
            "INSERT INTO steadfast.commit_ledger VALUES ({lane}, 1, 1, 0, {opened})"
        ));
        let records: Vec<Option<String>> = thread::scope(|scope| {
            let resolve = || {
                let mut resolver = Session::new(place.server(), "app");
                if place.is_mariadb() {
                    // The default since MariaDB 11.6.2; some are then told 1020.
                    resolver.run("SET innodb_snapshot_isolation = 1");
                }
                resolver.fence(lane, 1)
            };
            let resolvers: Vec<_> = (0..RESOLVERS).map(|_| scope.spawn(resolve)).collect();
            // All of them wait for the lane by then, most often.
            thread::sleep(Duration::from_millis(300));
            zombie.run(if commits { "COMMIT" } else { "ROLLBACK" });
            resolvers
                .into_iter()
                .map(|one| one.join().unwrap())
                .collect()
        });
        let expected = if commits { "1" } else { "0" };
        assert_eq!(records, vec![Some(expected.to_owned()); RESOLVERS]);
    }
    // What was decided stays decided.
    assert_eq!(app.commit(11, 1, 1), Err(1062));
    assert_eq!(app.commit(13, 1, 2), Err(1644));
}

/// A lane without a row is one that has committed nothing, unless the row is gone.
fn a_ledger_that_was_emptied_proves_nothing(place: &Place) {
    let (mut app, _) = prepared(place);
    let made = now();
    app.commit(7, 1, 1).unwrap();
    place.sql("TRUNCATE steadfast.commit_ledger;");
    assert_eq!(app.fence_made(7, 1, made), None);
    assert_eq!(
        app.fence_made(7, 1, made),
        None,
        "nor for the next who asks"
    );
    thread::sleep(Duration::from_millis(1100));
    place.done(&["remove"]);
    place.done(&["install"]);
    let mut app = Session::new(place.server(), "app");
    assert_eq!(app.fence_made(7, 1, made), None);
    assert_eq!(app.fence_made(8, 1, now()).as_deref(), Some("0"));
    // So old that it may have been swept.
    place.sql("UPDATE steadfast.commit_ledger SET opened = 5 WHERE lane = 0;");
    assert_eq!(app.fence_made(9, 1, now() - 50_000), None);
}

/// A clock of seconds does not tell whether the lane or the ledger was first.
fn a_ledger_of_the_same_second_proves_nothing(place: &Place) {
    let (mut app, _) = prepared(place);
    let made = now();
    app.commit(7, 1, 1).unwrap();
    place.sql(&format!(
        "TRUNCATE steadfast.commit_ledger; INSERT INTO steadfast.commit_ledger VALUES (0, 0, 0, 1, {made});"
    ));
    assert_eq!(app.fence_made(7, 1, made), None);
    assert_eq!(app.fence_made(8, 1, made + 1).as_deref(), Some("0"));
}

fn a_session_s_settings_do_not_reach_it(place: &Place) {
    let (mut app, _) = prepared(place);
    for (lane, setting) in (20..).zip([
        "SET sql_safe_updates = 1, sql_select_limit = 0",
        "SET completion_type = CHAIN",
        "SET autocommit = 0",
        "SET SESSION TRANSACTION READ ONLY",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
        "SET timestamp = 1000000000",
        "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,ONLY_FULL_GROUP_BY'",
        "SET time_zone = '-12:00'",
        "SET foreign_key_checks = 0, unique_checks = 0",
    ]) {
        app.run("SET SESSION TRANSACTION READ WRITE");
        app.run(setting);
        app.run("START TRANSACTION READ WRITE");
        app.run("UPDATE app.t SET v = v + 1 WHERE id = 1");
        assert_eq!(app.commit(lane, 1, 1), Ok(()), "{setting}");
        app.run("START TRANSACTION READ WRITE");
        app.run("UPDATE app.t SET v = v + 1 WHERE id = 1");
        assert_eq!(app.commit(lane, 1, 2), Ok(()), "{setting}");
        // COMMIT AND NO CHAIN, whatever completion_type is.
        app.run("SET TRANSACTION READ WRITE");
        assert_eq!(app.fence(lane, 1).as_deref(), Some("2"), "{setting}");
        assert_eq!(app.fence(lane + 100, 1).as_deref(), Some("0"), "{setting}");
        app.run("CALL steadfast.sweep()");
    }
}
