//! COM_CHANGE_USER and COM_RESET_CONNECTION while there is no server, and with a server that does not answer.

use std::thread::sleep;
use std::time::Duration;

use steadfast_sandbox::{Cut, Kind, Side};

use crate::case::{Case, on_both_servers};
use crate::client::{Answer, Client};

const RESET_CONNECTION: u8 = 31;
const SOON: Duration = Duration::from_secs(2);
const HELD: Duration = Duration::from_millis(600);

/// How a session begins anew.
#[derive(Clone, Copy, Debug)]
enum Anew {
    ChangeUser,
    Reset,
}

const BOTH: [Anew; 2] = [Anew::ChangeUser, Anew::Reset];

impl Anew {
    /// `replays`: what comes first is the replay of a transaction, and nothing is asked of the client before.
    #[track_caller]
    fn start(self, case: &Case, client: &mut Client, replays: bool) {
        match self {
            Anew::ChangeUser if replays => client.start_change_user(&case.user),
            Anew::ChangeUser => client.begin_change_user(&case.user),
            Anew::Reset => client.start(RESET_CONNECTION, b""),
        }
    }

    fn answer(self, client: &mut Client) -> Answer {
        match self {
            Anew::ChangeUser => client.user_changed(),
            Anew::Reset => client.answer(),
        }
    }
}

/// Row 1 is locked by nobody.
fn is_free(case: &Case) -> bool {
    let mut witness = case.witness();
    witness.run(&["SET innodb_lock_wait_timeout = 1", "BEGIN"]);
    witness
        .query("SELECT n FROM t WHERE id = 1 FOR UPDATE")
        .error()
        == "0"
}

#[track_caller]
fn nobody_is_left(case: &Case, anew: Anew) {
    case.wait(
        &format!("the client's place is given back: {anew:?}"),
        SOON,
        || case.steadfast.metric("clients_connected") == 0.0,
    );
    assert_eq!(case.steadfast.metric("sessions_held"), 0.0);
    assert_eq!(case.steadfast.metric("server_connections_open"), 0.0);
    assert_eq!(case.steadfast.metric("journal_bytes"), 0.0);
}

on_both_servers! {
    fn a_client_that_leaves_while_its_session_would_begin_anew_is_noticed(case) {
        for anew in BOTH {
            for in_transaction in [false, true] {
                case.link.refuse(false);
                let mut client = case.client();
                if in_transaction {
                    client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
                    assert!(case.steadfast.metric("journal_bytes") > 0.0);
                }
                case.link.refuse(true);
                case.cut();
                anew.start(case, &mut client, in_transaction);
                assert!(!client.has_answer_within(HELD), "{anew:?} is held");
                assert_eq!(case.steadfast.metric("clients_connected"), 1.0);
                assert_eq!(case.steadfast.metric("sessions_held"), 1.0, "{anew:?}");
                client.vanish();
                nobody_is_left(case, anew);
            }
        }
        case.link.refuse(false);
        assert_eq!(case.rows(), Vec::<String>::new());
    }

    fn a_client_that_stays_begins_anew_when_the_server_is_back(case) {
        for anew in BOTH {
            let mut client = case.client();
            let statement = client.prepare("SELECT 1");
            client.run(&["SET @x = 5, time_zone='+02:00', autocommit=0", "INSERT INTO t (n) VALUES (1)"]);
            case.link.refuse(true);
            case.cut();
            anew.start(case, &mut client, true);
            assert!(!client.has_answer_within(HELD), "{anew:?} is held");
            case.link.refuse(false);
            assert!(client.has_answer_within(SOON), "{anew:?}: {}", case.steadfast.log());
            anew.answer(&mut client).good();
            assert_eq!(client.line("SELECT @x, @@time_zone = @@global.time_zone, @@autocommit, DATABASE()"), format!("NULL 1 1 {}", case.database));
            client.execute(statement, &[], true, false).fails("1243/HY000");
            assert_eq!(case.rows(), Vec::<String>::new(), "the transaction is rolled back");
            // It is a session like any other.
            client.run(&["SET @x = 6", "BEGIN", "INSERT INTO t (n) VALUES (2)"]);
            case.cut();
            client.run(&["COMMIT"]);
            assert_eq!(client.line("SELECT @x"), "6");
            assert_eq!(case.rows(), ["2"]);
            client.run(&["DELETE FROM t"]);
            assert_eq!(case.steadfast.metric("server_connections_open"), 1.0);
            drop(client);
            nobody_is_left(case, anew);
        }
    }

    #[settings = "[timeouts]\nhold = \"1s\"\n"]
    fn without_a_server_within_hold_the_client_is_told(case) {
        for anew in BOTH {
            let mut client = case.client();
            client.run(&["BEGIN", "INSERT INTO t (n) VALUES (1)"]);
            case.link.refuse(true);
            case.cut();
            anew.start(case, &mut client, true);
            let message = anew.answer(&mut client).fails("1053/08S01");
            assert!(message.starts_with("Steadfast: "), "{message}");
            case.link.refuse(false);
            assert_eq!(case.rows(), Vec::<String>::new());
        }
    }

    fn a_changed_user_that_the_server_refuses_is_refused_when_it_is_back(case) {
        let locked = format!("{}locked", case.user);
        case.witness().run(&[&format!("CREATE USER {locked}@'%' IDENTIFIED BY 'secret'")]);
        let mut direct = Client::connect(case.server.addr(), &case.user, &case.database, 0);
        direct.start_change_user(&locked);
        let expected = direct.user_changed().error();
        let mut client = case.client();
        case.link.refuse(true);
        case.cut();
        client.start_change_user(&locked);
        sleep(HELD);
        case.link.refuse(false);
        assert_eq!(client.user_changed().error(), expected);
        drop(client);
        nobody_is_left(case, Anew::ChangeUser);
    }

    fn what_the_lost_connection_holds_is_given_back(case) {
        // Only Steadfast's side of the connection is lost: the server still holds its locks.
        let other = format!("{}other", case.user);
        case.witness().run(&[
            "INSERT INTO t (id, n) VALUES (1, 1)",
            &format!("CREATE USER {other}@'%' IDENTIFIED BY ''"),
            &format!("GRANT ALL ON {}.* TO {other}@'%'", case.database),
        ]);
        for begin in ["the same", "another", "reset"] {
            let mut client = case.client();
            client.run(&["BEGIN", "UPDATE t SET n = 2 WHERE id = 1"]);
            case.link.refuse(true);
            case.link.cut_side(Side::Client, Cut::Rst);
            match begin {
                "the same" => client.start_change_user(&case.user),
                "another" => client.start_change_user(&other),
                _ => client.start(RESET_CONNECTION, b""),
            }
            sleep(HELD);
            assert!(!is_free(case), "the lock is still there");
            case.link.refuse(false);
            if begin == "reset" {
                client.answer().good();
            } else {
                client.user_changed().good();
            }
            case.wait(&format!("the lock is free: {begin}"), SOON, || is_free(case));
            assert_eq!(case.rows(), ["1"]);
            let who = if begin == "another" { &other } else { &case.user };
            assert_eq!(client.line("SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"), *who);
            // Outside a transaction too.
            let lock = format!("{} {begin}", case.user);
            client.run(&[&format!("SELECT GET_LOCK('{lock}', 1)")]);
            case.link.cut_side(Side::Client, Cut::Rst);
            sleep(HELD);
            let mut witness = case.witness();
            assert_eq!(witness.line(&format!("SELECT IS_FREE_LOCK('{lock}')")), "0");
            if begin == "reset" {
                client.command(RESET_CONNECTION, b"").good();
            } else {
                // Back to the first user.
                client.change_user().good();
            }
            case.wait(&format!("the user lock is free: {begin}"), SOON, || witness.line(&format!("SELECT IS_FREE_LOCK('{lock}')")) == "1");
        }
    }

    #[settings = "[timeouts]\ndead_after = \"2s\"\n"]
    fn a_client_that_leaves_a_server_that_does_not_answer_is_noticed(case) {
        for anew in BOTH {
            let client = {
                let mut client = case.client();
                client.run(&["SET @x = 5"]);
                case.link.black_hole(true);
                anew.start(case, &mut client, false);
                assert!(!client.has_answer_within(HELD), "{anew:?} waits");
                client
            };
            client.vanish();
            nobody_is_left(case, anew);
            case.link.black_hole(false);
        }
        // One that stays gets another connection.
        for anew in BOTH {
            let mut client = case.client();
            client.run(&["SET @x = 5"]);
            case.link.black_hole(true);
            anew.start(case, &mut client, false);
            sleep(Duration::from_secs(5));
            case.link.cut(Cut::Rst);
            case.link.black_hole(false);
            anew.answer(&mut client).good();
            assert_eq!(client.line("SELECT @x"), "NULL");
        }
    }
}
