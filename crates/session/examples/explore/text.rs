//! What a client can send.

use steadfast_session::{Boundary, Held, Observes, PinUse, Reason, Safety, Statement};

/// A command.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Text {
    Begin,
    /// A write with an id of its own.
    Write(usize),
    Read,
    Commit,
    Rollback,
    /// DDL: commits what is open.
    Ddl,
    AutocommitOff,
    AutocommitOn,
    Lock,
    /// Gives the lock back; the server's answer proves it.
    Unlock,
    CommitChain,
    RollbackChain,
    /// An INSERT that draws its id, and so sets LAST_INSERT_ID().
    Draw(usize),
    /// An INSERT that names its id: its OK tells it, and LAST_INSERT_ID() stays.
    Give(usize),
    /// SELECT LAST_INSERT_ID().
    Ask,
}

impl Text {
    /// The id that its OK tells.
    pub(crate) fn insert_id(self) -> u64 {
        match self {
            Text::Draw(at) => 100 + at as u64,
            Text::Give(at) => 200 + at as u64,
            _ => 0,
        }
    }
}

/// What Steadfast takes it for.
pub(crate) fn statement(text: Text) -> Statement {
    let base = Statement::HARMLESS;
    match text {
        Text::Begin => Statement {
            boundary: Boundary::Begin,
            ..base
        },
        Text::Write(_) => Statement {
            safety: Safety::Write,
            ..base
        },
        Text::Read => Statement {
            safety: Safety::Read,
            ..base
        },
        Text::Commit => Statement {
            boundary: Boundary::Commit,
            ..base
        },
        Text::Rollback => Statement {
            boundary: Boundary::Rollback,
            ..base
        },
        Text::Ddl => Statement {
            safety: Safety::Never(Reason::Ddl),
            boundary: Boundary::Implicit,
            ..base
        },
        Text::AutocommitOff => Statement {
            boundary: Boundary::AutocommitOff,
            ..base
        },
        Text::AutocommitOn => Statement {
            boundary: Boundary::AutocommitOn,
            ..base
        },
        Text::Lock => Statement {
            safety: Safety::Never(Reason::Lock),
            leaves: Held::USER_LOCK,
            ..base
        },
        // By its text it may also take one.
        Text::Unlock => statement(Text::Lock),
        Text::CommitChain => Statement {
            boundary: Boundary::CommitAndChain,
            ..base
        },
        Text::RollbackChain => Statement {
            boundary: Boundary::RollbackAndChain,
            ..base
        },
        Text::Draw(_) | Text::Give(_) => Statement {
            safety: Safety::Write,
            pins: PinUse::INSERT_ID,
            inserts: true,
            ..base
        },
        Text::Ask => Statement {
            safety: Safety::Read,
            observes: Observes::LAST_INSERT_ID,
            ..base
        },
    }
}
