//! Connection ids begin again when a server restarts: an id that a client has been told stays its own.

use std::time::Duration;

use steadfast_sandbox::{Cut, Kind, Side};

use crate::case::Case;
use crate::client::{Answer, Client};

const LONG: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_secs(2);

/// Connects directly until the server's next connection id is at least `id`.
#[track_caller]
fn count_up_to(case: &Case, id: u32) {
    while case.witness().id + 1 < id {}
}

/// The server connection that a client has now.
#[track_caller]
fn connection(client: &mut Client) -> u32 {
    client.line("SELECT CONNECTION_ID()").parse().unwrap()
}

#[track_caller]
fn starts_to_sleep(case: &Case, client: &mut Client, mark: &str) {
    client.start_query(&format!("SELECT SLEEP(25), '{mark}'"));
    let part = format!("SLEEP(25), \\'{mark}");
    case.wait("the statement runs", LONG, || case.running(&part) == 1);
}

/// It has been ended by KILL QUERY: 1317, or 1 from MySQL's SLEEP.
#[track_caller]
fn is_ended(client: &mut Client, mark: &str) {
    assert!(client.has_answer_within(SOON), "{mark} was not hit");
    match client.answer() {
        Answer::Rows(rows) => assert_eq!(rows[0][0].as_deref(), Some("1")),
        other => {
            other.fails("1317/70100");
        }
    }
}

/// KILL QUERY with the id that the target has been told ends the target's statement and no other.
#[track_caller]
fn kill_hits(case: &Case, killer: &mut Client, target: &mut Client, bystander: &mut Client) {
    starts_to_sleep(case, target, "target");
    starts_to_sleep(case, bystander, "bystander");
    killer.run(&[&format!("KILL QUERY {}", target.id)]);
    is_ended(target, "the target");
    assert!(!bystander.has_answer_within(Duration::from_millis(300)));
    killer.run(&[&format!("KILL QUERY {}", bystander.id)]);
    is_ended(bystander, "the bystander");
}

fn ids_stay_their_own(case: &Case) {
    count_up_to(case, 60);
    let mut idle = case.client();
    let mut other = case.client();
    let mut third = case.client();
    assert!(idle.id >= 60);
    case.server.restart().unwrap();

    // New logins come to the ids that live clients believe to be theirs: they are given others.
    count_up_to(case, idle.id - 2);
    let mut new: Vec<Client> = (0..6).map(|_| case.client()).collect();
    for client in &mut new {
        for known in [&idle, &other, &third] {
            assert_ne!(client.id, known.id, "told to two clients");
        }
        assert_eq!(connection(client), client.id);
    }
    assert!(
        new.iter().any(|client| client.id > third.id),
        "the ids were met"
    );

    // The old ones come back, on other connections, under the ids that they know.
    kill_hits(case, &mut new[0], &mut idle, &mut other);
    let [target, bystander, ..] = &mut new[..] else {
        panic!()
    };
    kill_hits(case, &mut idle, target, bystander);
    kill_hits(case, &mut other, &mut third, &mut idle);

    // A session that comes back is not given an id that another one, still without a connection, believes in.
    let known: Vec<u32> = [&idle, &other, &third].map(|client| client.id).into();
    case.server.restart().unwrap();
    count_up_to(case, known[0] - 1);
    for client in &mut new {
        let now = connection(client);
        assert!(
            now == client.id || !known.contains(&now),
            "{now} is another client's"
        );
    }
    let [killer, bystander, ..] = &mut new[..] else {
        panic!()
    };
    kill_hits(case, killer, &mut idle, bystander);
}

/// Nothing told Steadfast that its connection has ended with the server: only its side is left.
fn a_stale_connection_is_not_taken_for_a_new_one(case: &Case) {
    count_up_to(case, 60);
    let mut idle = case.client();
    let mut killer = case.client();
    // Its connection is not the one whose id it knows.
    case.cut();
    let stale = connection(&mut idle);
    assert_ne!(stale, idle.id);
    case.link.cut_side(Side::Server, Cut::Rst);
    case.server.restart().unwrap();
    count_up_to(case, stale);
    let mut innocent = case.client();
    assert_eq!(innocent.id, stale);
    starts_to_sleep(case, &mut innocent, "innocent");
    // The killer finds its own connection lost at the first statement that it needs it for.
    case.link.clear_tap();
    let mut fresh = case.client();
    fresh.run(&[&format!("KILL QUERY {}", idle.id)]);
    assert!(
        !innocent.has_answer_within(Duration::from_millis(500)),
        "an innocent was hit"
    );
    fresh.run(&[&format!("KILL QUERY {}", innocent.id)]);
    is_ended(&mut innocent, "the innocent");
    case.link.cut(Cut::Rst);
    assert_eq!(killer.line("SELECT 1"), "1");
    assert_eq!(idle.line("SELECT 1"), "1");
}

#[test]
fn ids_stay_their_own_when_a_server_restarts_mariadb() {
    ids_stay_their_own(&Case::alone(Kind::MariaDb, &[], ""));
}

#[test]
fn ids_stay_their_own_when_a_server_restarts_mysql() {
    ids_stay_their_own(&Case::alone(Kind::MySql, &[], ""));
}

#[test]
fn a_stale_connection_is_not_taken_for_a_new_one_mariadb() {
    a_stale_connection_is_not_taken_for_a_new_one(&Case::alone(Kind::MariaDb, &[], ""));
}

#[test]
fn a_stale_connection_is_not_taken_for_a_new_one_mysql() {
    a_stale_connection_is_not_taken_for_a_new_one(&Case::alone(Kind::MySql, &[], ""));
}
