//! Statements about the server, and everything that is left.

use super::Head;
use crate::keywords::Kw;
use crate::scan::Scan;
use crate::{Control, Effects, Kind};

pub(super) fn administer(scan: &mut Scan<'_>) -> Head {
    let word = scan.cur.kw;
    let next = scan.next.kw;
    match word {
        Kw::Kill => Head::new(Kind::Kill, Effects::ADMIN),
        Kw::Flush => flush(scan),
        Kw::Optimize | Kw::Repair | Kw::Check => commits(),
        Kw::Checksum => Head::new(Kind::Admin, Effects::empty()),
        Kw::Cache if next == Kw::Index => commits(),
        Kw::Reset if next == Kw::Persist => admin(),
        Kw::Reset => commits(),
        Kw::Purge | Kw::Clone | Kw::Import | Kw::Restart => admin(),
        Kw::Shutdown if scan.mariadb() => commits(),
        Kw::Shutdown => admin(),
        Kw::Change if matches!(next, Kw::Master | Kw::Replication) => {
            let filter = next == Kw::Replication && {
                scan.bump();
                !scan.next.slice(scan.text()).eq_ignore_ascii_case(b"source")
            };
            if filter { admin() } else { commits() }
        }
        Kw::Start | Kw::Stop => match next {
            Kw::Slave | Kw::Replica => commits(),
            Kw::All | Kw::GroupReplication => admin(),
            _ => Head::unknown(Kind::Unknown),
        },
        Kw::Install | Kw::Uninstall if next == Kw::Plugin && !scan.mariadb() => commits(),
        Kw::Install | Kw::Uninstall => admin(),
        Kw::Backup => {
            Head::new(Kind::Admin, Effects::ADMIN | Effects::LOCKS).with_control(Control::Unknown)
        }
        Kw::Binlog => Head::unknown(Kind::Admin),
        _ => unknown(scan),
    }
}

/// Changes the server, and is on the manual's list of statements that commit.
fn commits() -> Head {
    Head::new(Kind::Admin, Effects::ADMIN).with_control(Control::ImplicitCommit)
}

/// Changes the server; whether it commits, the manuals do not say.
fn admin() -> Head {
    Head::new(Kind::Admin, Effects::ADMIN).with_control(Control::Unknown)
}

fn flush(scan: &mut Scan<'_>) -> Head {
    let mut locks = Effects::empty();
    while !scan.cur.ends() {
        if matches!(scan.cur.kw, Kw::Lock | Kw::Export) {
            locks = Effects::LOCKS;
        }
        scan.bump();
    }
    let head = commits();
    Head {
        effects: head.effects | locks,
        ..head
    }
}

/// Compound statements (MariaDB: IF, CASE, LOOP, labels, …) have semicolons of their own.
fn unknown(scan: &mut Scan<'_>) -> Head {
    let label = scan.next.is_punct(b':');
    // In Oracle's grammar anything may be a block.
    if label
        || scan.dialect().oracle
        || matches!(
            scan.cur.kw,
            Kw::If | Kw::Case | Kw::Loop | Kw::Repeat | Kw::While | Kw::For | Kw::Declare
        )
    {
        scan.finish_text();
    }
    Head::unknown(Kind::Unknown)
}
