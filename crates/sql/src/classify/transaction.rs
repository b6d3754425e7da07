//! Transaction control and table locks.

use super::Head;
use crate::keywords::Kw;
use crate::scan::Scan;
use crate::{Control, Effects, Kind, Tri};

pub(super) fn control(scan: &mut Scan<'_>) -> Head {
    match scan.cur.kw {
        Kw::Begin => begin(scan),
        Kw::Start => start(scan),
        Kw::Commit | Kw::Rollback => end(scan),
        Kw::Savepoint => named(scan, Kind::Savepoint, Control::Savepoint),
        Kw::Release => {
            scan.bump();
            if scan.at(Kw::Savepoint) {
                named(scan, Kind::ReleaseSavepoint, Control::ReleaseSavepoint)
            } else {
                Head::unknown(Kind::Unknown)
            }
        }
        Kw::Xa => Head::new(Kind::Xa, Effects::TRANSACTION).with_control(Control::Xa),
        Kw::Lock | Kw::Unlock => lock(scan),
        _ => Head::unknown(Kind::Unknown),
    }
}

/// BEGIN [WORK]; any other BEGIN is a compound statement.
fn begin(scan: &mut Scan<'_>) -> Head {
    scan.bump();
    let work = scan.eat(Kw::Work);
    if !scan.cur.ends() || (scan.dialect().oracle && !work) {
        scan.finish_text();
        return Head::unknown(Kind::Unknown);
    }
    Head::new(Kind::Begin, Effects::TRANSACTION).with_control(Control::Begin {
        read_only: None,
        snapshot: false,
    })
}

/// START TRANSACTION; other things that can be started change the server.
fn start(scan: &mut Scan<'_>) -> Head {
    if !scan.next.is(Kw::Transaction) {
        return super::administration::administer(scan);
    }
    scan.bump();
    scan.bump();
    let mut read_only = None;
    let mut snapshot = false;
    while !scan.cur.ends() {
        let first = scan.cur.kw;
        scan.bump();
        match (first, scan.cur.kw) {
            (Kw::Read, Kw::Only) if read_only.is_none() => read_only = Some(true),
            (Kw::Read, Kw::Write) if read_only.is_none() => read_only = Some(false),
            (Kw::With, Kw::Consistent) if scan.next.is(Kw::Snapshot) => {
                scan.bump();
                snapshot = true;
            }
            _ => return confused(Kind::Begin),
        }
        scan.bump();
        if scan.cur.is_punct(b',') && !scan.next.ends() {
            scan.bump();
        } else if !scan.cur.ends() {
            return confused(Kind::Begin);
        }
    }
    Head::new(Kind::Begin, Effects::TRANSACTION).with_control(Control::Begin {
        read_only,
        snapshot,
    })
}

/// COMMIT and ROLLBACK.
fn end(scan: &mut Scan<'_>) -> Head {
    let commit = scan.at(Kw::Commit);
    let kind = if commit { Kind::Commit } else { Kind::Rollback };
    scan.bump();
    scan.eat(Kw::Work);
    if !commit && scan.eat(Kw::To) {
        if scan.at(Kw::Savepoint) && !scan.next.ends() {
            scan.bump();
        }
        let named = scan.cur.is_name() && scan.next.ends();
        scan.bump();
        return if named {
            Head::new(Kind::RollbackTo, Effects::TRANSACTION).with_control(Control::RollbackTo)
        } else {
            confused(Kind::RollbackTo)
        };
    }
    let mut chain = Tri::Unset;
    let mut release = Tri::Unset;
    if scan.eat(Kw::And) {
        chain = choice(scan);
        if !scan.eat(Kw::Chain) {
            return confused(kind);
        }
    }
    if scan.at(Kw::No) || scan.at(Kw::Release) {
        release = choice(scan);
        if !scan.eat(Kw::Release) {
            return confused(kind);
        }
    }
    // Both servers refuse to go on with another transaction and to end the session as well.
    let both = chain == Tri::Yes && release == Tri::Yes;
    if both || !scan.cur.ends() {
        return confused(kind);
    }
    let control = if commit {
        Control::Commit { chain, release }
    } else {
        Control::Rollback { chain, release }
    };
    Head::new(kind, Effects::TRANSACTION).with_control(control)
}

fn choice(scan: &mut Scan<'_>) -> Tri {
    if scan.eat(Kw::No) { Tri::No } else { Tri::Yes }
}

/// From SAVEPOINT on: one name and no more.
fn named(scan: &mut Scan<'_>, kind: Kind, control: Control) -> Head {
    scan.bump();
    let named = scan.cur.is_name() && scan.next.ends();
    scan.finish_statement();
    if named {
        Head::new(kind, Effects::TRANSACTION).with_control(control)
    } else {
        confused(kind)
    }
}

/// Words that no grammar has here.
fn confused(kind: Kind) -> Head {
    Head::new(kind, Effects::TRANSACTION | Effects::UNKNOWN).with_control(Control::Unknown)
}

/// LOCK and UNLOCK of tables or of the instance.
fn lock(scan: &mut Scan<'_>) -> Head {
    let kind = if scan.at(Kw::Lock) {
        Kind::LockTables
    } else {
        Kind::UnlockTables
    };
    match scan.next.kw {
        Kw::Table | Kw::Tables => {
            Head::new(kind, Effects::LOCKS).with_control(Control::ImplicitCommit)
        }
        Kw::Instance => {
            Head::new(Kind::Admin, Effects::LOCKS | Effects::ADMIN).with_control(Control::Unknown)
        }
        _ => Head::unknown(Kind::Unknown),
    }
}
