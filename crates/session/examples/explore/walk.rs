//! Every script of some commands, under every schedule with so many faults at most; each is held to the promises.

use steadfast_session::{FailureKind, Limits, Loss, Reason, Sent, Session, Status};

use crate::checker::Checker;
use crate::choices::Choices;
use crate::coverage::{Class, Coverage, Fault, Phase};
use crate::model::{FRESH, LOSS, Ledger, Run, Server, Told};
use crate::text::Text;

/// A command; writes are named by their place in the script.
pub(crate) type Letter = fn(usize) -> Text;

/// All that a client can send.
pub(crate) const ALL: [Letter; 15] = [
    |_| Text::Begin,
    Text::Write,
    |_| Text::Read,
    |_| Text::Commit,
    |_| Text::Rollback,
    |_| Text::Ddl,
    |_| Text::AutocommitOff,
    |_| Text::AutocommitOn,
    |_| Text::Lock,
    |_| Text::Unlock,
    |_| Text::CommitChain,
    |_| Text::RollbackChain,
    Text::Draw,
    Text::Give,
    |_| Text::Ask,
];

/// What is walked: no schedule of it is like another.
#[derive(Clone, Copy)]
pub(crate) struct Walk<'a> {
    pub(crate) ledger: Ledger,
    pub(crate) letters: &'a [Letter],
    /// Commands in a script.
    pub(crate) length: u32,
    /// In one schedule, at most.
    pub(crate) faults: u8,
}

impl Walk<'_> {
    /// How many scripts there are.
    pub(crate) fn scripts(&self) -> u64 {
        (self.letters.len() as u64).pow(self.length)
    }

    fn script(&self, mut number: u64) -> Vec<Text> {
        let of = self.letters.len() as u64;
        let mut script = Vec::new();
        for at in 0..self.length as usize {
            script.push(self.letters[(number % of) as usize](at));
            number /= of;
        }
        script
    }

    /// Walks all schedules of one script; gives how many there were.
    ///
    /// # Panics
    /// A promise was broken.
    pub(crate) fn walk_script(&self, number: u64, coverage: &mut Coverage) -> u64 {
        let script = self.script(number);
        let mut choices = Choices::default();
        let mut schedules = 0;
        loop {
            schedules += 1;
            self.schedule(&script, &mut choices, coverage);
            if !choices.next() {
                return schedules;
            }
        }
    }

    fn schedule(&self, script: &[Text], choices: &mut Choices, coverage: &mut Coverage) {
        let mut run = Run {
            session: Session::new(
                Limits::default(),
                Status {
                    in_transaction: false,
                    autocommit: true,
                },
            ),
            server: Server::new(script.len()),
            texts: script,
            faults: self.faults,
            changes: 1,
            order: 0,
            struck: Vec::new(),
            command: None,
            refused: vec![false; script.len()],
            part: 0,
            told: None,
            now: FRESH,
            at_start: FRESH,
            before: FRESH,
            restored: 0,
            answer: 0,
            interrupted: false,
            released: false,
            mark: 0,
            ledger: self.ledger,
            unanswered: false,
            unresolved: false,
            acknowledged: false,
            lost: false,
            choices,
            coverage,
        };
        let mut checker = Checker {
            last_insert_id: Some(0),
            ..Checker::default()
        };
        let mut story = Vec::new();
        for (at, text) in script.iter().enumerate() {
            let idle = run.strike(Phase::Idle, Class::None, &[Fault::Unsent, Fault::Killed]);
            if let Some(fault) = idle {
                run.told = None;
                run.lose(Loss {
                    sent: Sent::Nothing,
                    killed: fault == Fault::Killed,
                    ..LOSS
                });
                assert!(run.told.is_none(), "told while idle: {script:?}");
            }
            run.command(at);
            let told = run
                .told
                .unwrap_or_else(|| panic!("no answer: {script:?} {story:?}"));
            story.push((*text, told));
            // A lock that is lost keeps BEGIN from its work after it has committed, and no error says so.
            if self.ledger == Ledger::Yes && !run.unresolved && !checker.may_hold {
                let doubt = matches!(
                    told,
                    Told::Failed(FailureKind::InDoubt, Reason::Commit | Reason::Write)
                );
                assert!(!doubt, "needless doubt: {story:?}");
            }
            // After a lost transaction no COMMIT is acknowledged: unless the client was told 1213, it was told
            // at every command since.
            checker.told(*text, told, run.interrupted);
            if let (Text::Ask, Told::Ok, Some(right)) = (text, told, checker.last_insert_id) {
                assert_eq!(run.answer, right, "LAST_INSERT_ID(): {story:?}");
            }
            // A COMMIT that was done is told so even if the transaction that it begins is lost; the next command is told.
            if told == Told::Ok && checker.in_transaction && !run.acknowledged {
                assert!(
                    run.server.in_transaction,
                    "the client believes in a transaction that is not there: {story:?}"
                );
            }
            // A write that was done is told so even if the lock is gone since; the next command is told that.
            if checker.locked && told == Told::Ok && !run.acknowledged {
                assert!(
                    run.server.locked,
                    "the client believes that it holds a lock that is gone: {story:?}"
                );
            }
        }
        // What nobody has fenced arrives in the end.
        run.server.arrive();
        checker.refused.append(&mut checker.open);
        let committed = &run.server.committed;
        for id in &checker.acknowledged {
            assert_eq!(committed[*id], 1, "acknowledged write {id}: {story:?}");
        }
        for id in &checker.refused {
            assert_eq!(committed[*id], 0, "refused write {id}: {story:?}");
        }
        for id in &checker.doubtful {
            assert!(
                committed[*id] <= 1,
                "doubtful write {id} doubled: {story:?}"
            );
        }
    }
}
