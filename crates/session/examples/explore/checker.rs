//! The checker: knows what a client was told, and nothing of the machine's inside.

use steadfast_session::FailureKind;

use crate::model::Told;
use crate::text::Text;

/// What the application believes, and what it may believe.
#[derive(Default)]
pub(crate) struct Checker {
    /// Writes whose transaction the client believes open.
    pub(crate) open: Vec<usize>,
    pub(crate) in_transaction: bool,
    pub(crate) autocommit_off: bool,
    /// Writes acknowledged as committed, certainly not committed, in doubt.
    pub(crate) acknowledged: Vec<usize>,
    pub(crate) refused: Vec<usize>,
    pub(crate) doubtful: Vec<usize>,
    pub(crate) locked: bool,
    /// The lock, or what a statement that failed may have got of it.
    pub(crate) may_hold: bool,
    /// What LAST_INSERT_ID() is; `None`: an INSERT has failed, and nobody can know.
    pub(crate) last_insert_id: Option<u64>,
}

impl Checker {
    pub(crate) fn told(&mut self, text: Text, told: Told, interrupted: bool) {
        let open = self.in_transaction || self.autocommit_off;
        if let Text::Draw(_) = text {
            self.last_insert_id = (told == Told::Ok).then_some(text.insert_id());
        }
        match told {
            Told::Ok => match text {
                Text::Write(id) | Text::Draw(id) | Text::Give(id) if open => {
                    self.open.push(id);
                    self.in_transaction = true;
                }
                Text::Write(id) | Text::Draw(id) | Text::Give(id) => self.acknowledged.push(id),
                Text::Begin => {
                    self.acknowledged.append(&mut self.open);
                    self.in_transaction = true;
                }
                Text::Commit | Text::Ddl => {
                    self.acknowledged.append(&mut self.open);
                    self.in_transaction = false;
                }
                Text::AutocommitOn => {
                    if self.autocommit_off {
                        self.acknowledged.append(&mut self.open);
                        self.in_transaction = false;
                    }
                    self.autocommit_off = false;
                }
                Text::AutocommitOff => self.autocommit_off = true,
                Text::Rollback => {
                    self.refused.append(&mut self.open);
                    self.in_transaction = false;
                }
                Text::Read | Text::Ask => {}
                Text::Lock => {
                    self.locked = true;
                    self.may_hold = true;
                }
                Text::Unlock => {
                    self.locked = false;
                    self.may_hold = false;
                }
                Text::CommitChain => {
                    self.acknowledged.append(&mut self.open);
                    self.in_transaction = true;
                }
                Text::RollbackChain => {
                    self.refused.append(&mut self.open);
                    self.in_transaction = true;
                }
            },
            Told::Error { rolled_back } => {
                match text {
                    Text::Write(id) | Text::Draw(id) | Text::Give(id) => self.refused.push(id),
                    Text::Lock => self.may_hold = true,
                    // It has committed before it failed.
                    Text::Ddl => {
                        self.acknowledged.append(&mut self.open);
                        self.in_transaction = false;
                    }
                    _ => {}
                }
                if rolled_back {
                    self.refused.append(&mut self.open);
                    self.in_transaction = false;
                }
            }
            // As a native 1317: the statement is rolled back, its transaction lives.
            Told::Failed(FailureKind::Killed, _) if interrupted => {
                if let Text::Write(id) | Text::Draw(id) | Text::Give(id) = text {
                    self.refused.push(id);
                }
            }
            Told::Failed(kind, _) => {
                if let Text::Write(id) | Text::Draw(id) | Text::Give(id) = text {
                    self.open.push(id);
                }
                match kind {
                    FailureKind::InDoubt => self.doubtful.append(&mut self.open),
                    FailureKind::RolledBack | FailureKind::Killed | FailureKind::Unavailable => {
                        self.refused.append(&mut self.open);
                    }
                }
                self.in_transaction = false;
            }
        }
    }
}
