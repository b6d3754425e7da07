//! A question that is to be proved right before it is asked must not be lost again and again without an end.

use steadfast_session::{
    Action, Catalogue, Command, End, Event, FailureKind, Handle, Limits, Loss, Response, Sent,
    Session, Statement, Status,
};
use steadfast_sql::{Dialect, classify};

fn command(number: u64, text: &str) -> Event {
    Event::Command(Command {
        handle: Handle(number),
        statement: Statement::of(&classify(text.as_bytes(), Dialect::mysql(90_704))),
        bytes: text.len() as u64,
        clock: None,
        random: 0,
        ledger: false,
    })
}

fn lost() -> Event {
    Event::Lost(Loss {
        end: End::Fin,
        sent: Sent::Nothing,
        delivered: 0,
        killed: false,
    })
}

#[test]
fn a_question_that_is_lost_while_it_is_proved_is_given_up() {
    let status = Status {
        in_transaction: false,
        autocommit: true,
    };
    let mut session = Session::new(Limits::default(), status);
    session.step(command(0, "INSERT INTO t (a) VALUES (1)"));
    session.step(Event::Response(Response {
        status: Some(status),
        error: 0,
        digest: 1,
        insert_id: 7,
        wrote: false,
        non_transactional: false,
        order: 0,
    }));
    session.step(lost());
    let mut actions = session.step(command(1, "SELECT LAST_INSERT_ID()"));
    for round in 0..100 {
        let mut next = None;
        for action in actions.iter() {
            match action {
                Action::Attach(_) => {
                    next = Some(Event::Attached(Catalogue {
                        command: false,
                        journal: false,
                    }));
                }
                Action::ProveInsertId(_) => next = Some(lost()),
                Action::Fail(failure) => {
                    assert_eq!(failure.kind, FailureKind::Unavailable);
                    assert!(round > 2, "it was tried more than once");
                    return;
                }
                _ => {}
            }
        }
        actions = session.step(next.expect("an answer, or something to do"));
    }
    panic!("it never ends");
}
