//! Reads and writes of rows, and what explains them.

use super::Head;
use crate::keywords::Kw;
use crate::scan::Scan;
use crate::{Control, Effects, InsertRows, InsertShape, Kind, Uses};

/// Whether a statement that EXPLAIN takes begins here.
pub(super) fn begins(scan: &Scan<'_>) -> bool {
    scan.cur.is_punct(b'(')
        || matches!(
            scan.cur.kw,
            Kw::Select
                | Kw::With
                | Kw::Values
                | Kw::Table
                | Kw::Insert
                | Kw::Replace
                | Kw::Update
                | Kw::Delete
                | Kw::Load
        )
}

/// A statement for which [`begins`] holds.
pub(super) fn data(scan: &mut Scan<'_>) -> Head {
    match scan.cur.kw {
        Kw::Insert => insert(scan, Kind::Insert),
        Kw::Replace => insert(scan, Kind::Replace),
        Kw::Update => write(scan, Kind::Update),
        Kw::Delete => write(scan, Kind::Delete),
        Kw::Load => load(scan),
        Kw::With => with(scan),
        _ => select(scan),
    }
}

fn select(scan: &mut Scan<'_>) -> Head {
    scan.query = true;
    while scan.cur.is_punct(b'(') {
        scan.bump();
    }
    let known = matches!(scan.cur.kw, Kw::Select | Kw::With | Kw::Values | Kw::Table);
    scan.finish_statement();
    if known {
        Head::new(Kind::Select, Effects::empty())
    } else {
        Head::unknown(Kind::Unknown)
    }
}

/// WITH: what follows the definitions decides.
fn with(scan: &mut Scan<'_>) -> Head {
    scan.query = true;
    while !scan.cur.ends() {
        if scan.depth == 0 {
            match scan.cur.kw {
                Kw::Select | Kw::Values | Kw::Table => return select(scan),
                Kw::Update => return write(scan, Kind::Update),
                Kw::Delete => return write(scan, Kind::Delete),
                Kw::Insert => return insert(scan, Kind::Insert),
                Kw::Replace => return insert(scan, Kind::Replace),
                _ => {}
            }
        }
        let defined = scan.depth == 0 && scan.cur.is_punct(b')');
        // Outside of parentheses stand names of tables, before their columns.
        scan.naming = scan.depth == 0;
        scan.bump();
        scan.naming = false;
        if defined && scan.cur.is_punct(b'(') {
            return select(scan);
        }
    }
    Head::unknown(Kind::Unknown)
}

fn write(scan: &mut Scan<'_>, kind: Kind) -> Head {
    Head::new(kind, Effects::ROWS).with_uses(returning(scan))
}

/// Finishes the statement; whether it gives back rows.
fn returning(scan: &mut Scan<'_>) -> Uses {
    let mut uses = Uses::empty();
    while !scan.cur.ends() {
        if scan.at(Kw::Returning) {
            uses = Uses::RETURNING;
        }
        scan.bump();
    }
    uses
}

fn insert(scan: &mut Scan<'_>, kind: Kind) -> Head {
    scan.naming = true;
    scan.bump();
    let mut shape = InsertShape::default();
    loop {
        match scan.cur.kw {
            Kw::Ignore => shape.ignore = true,
            Kw::LowPriority | Kw::HighPriority | Kw::Delayed | Kw::Into => {}
            _ => break,
        }
        scan.bump();
    }
    scan.skip_path();
    scan.naming = false;
    if scan.eat(Kw::Partition) && scan.cur.is_punct(b'(') {
        scan.skip_parentheses();
    }
    let query = |kw| matches!(kw, Kw::Select | Kw::With | Kw::Table);
    if scan.cur.is_punct(b'(') {
        if query(scan.next.kw) || scan.next.is(Kw::Values) || scan.next.is_punct(b'(') {
            shape.rows = InsertRows::Select;
        } else {
            scan.skip_parentheses();
        }
    }
    if shape.rows == InsertRows::NotInsert {
        shape.rows = match scan.cur.kw {
            Kw::Values | Kw::Value => count(scan),
            Kw::Set => InsertRows::SingleRow,
            kw if query(kw) || scan.cur.is_punct(b'(') => InsertRows::Select,
            _ => InsertRows::NotInsert,
        };
    }
    let uses = returning(scan);
    let mut head = Head::new(kind, Effects::ROWS).with_uses(uses);
    head.insert = shape;
    head
}

/// The row lists after VALUES, which is the current token.
fn count(scan: &mut Scan<'_>) -> InsertRows {
    let mut rows = 0_usize;
    let outside = scan.depth;
    while !scan.cur.ends() {
        let begins = scan.cur.is_punct(b'(') && scan.depth == outside + 1;
        let prev = scan.prev();
        if begins && (prev.is_punct(b',') || matches!(prev.kw, Kw::Values | Kw::Value | Kw::Row)) {
            rows += 1;
        }
        if scan.depth == outside && matches!(scan.cur.kw, Kw::On | Kw::As | Kw::Returning) {
            break;
        }
        scan.bump();
    }
    if scan.at(Kw::As) {
        // VALUES … AS alias (columns)
        scan.naming = true;
        scan.bump();
        scan.naming = false;
    }
    match rows {
        0 => InsertRows::NotInsert,
        1 => InsertRows::SingleRow,
        _ => InsertRows::MultiRow,
    }
}

/// LOAD DATA and LOAD XML; LOAD INDEX INTO CACHE.
fn load(scan: &mut Scan<'_>) -> Head {
    scan.bump();
    match scan.cur.kw {
        Kw::Data | Kw::Xml => {}
        Kw::Index => {
            return Head::new(Kind::Admin, Effects::ADMIN).with_control(Control::ImplicitCommit);
        }
        _ => return Head::unknown(Kind::Unknown),
    }
    let mut uses = Uses::empty();
    let mut control = Control::None;
    while !scan.cur.ends() {
        match scan.cur.kw {
            Kw::Local if scan.next.is(Kw::Infile) => uses |= Uses::LOCAL_INFILE,
            // MySQL's bulk load into an empty table is a definition.
            Kw::Algorithm => control = Control::Unknown,
            _ => {}
        }
        // The table's name stands before the list of its columns.
        scan.naming = scan.at(Kw::Table);
        scan.bump();
        if scan.naming {
            scan.skip_path();
        }
        scan.naming = false;
    }
    let mut effects = Effects::ROWS;
    if scan.uses.contains(Uses::USER_VARIABLE) {
        uses |= Uses::ASSIGNS_USER_VARIABLE;
        effects |= Effects::SESSION;
    }
    Head::new(Kind::LoadData, effects)
        .with_uses(uses)
        .with_control(control)
}

/// EXPLAIN, DESCRIBE and DESC.
pub(super) fn explain(scan: &mut Scan<'_>) -> Head {
    scan.bump();
    let mut runs = false;
    let mut option = false;
    loop {
        match scan.cur.kw {
            Kw::Analyze => {
                runs = true;
                scan.bump();
            }
            Kw::Extended | Kw::Partitions => scan.bump(),
            Kw::Format if scan.next.is_punct(b'=') => {
                scan.bump();
                scan.bump();
                scan.bump();
            }
            Kw::Into if !scan.cur.ends() => {
                // EXPLAIN FORMAT=JSON INTO @variable; noted by the scan.
                scan.bump();
                scan.bump();
            }
            Kw::For if scan.next.is(Kw::Connection) => {
                scan.finish_statement();
                return Head::new(Kind::Explain, Effects::empty()).with_uses(Uses::PROCESSLIST);
            }
            Kw::For if scan.next.is(Kw::Schema) || scan.next.is(Kw::Database) => {
                scan.bump();
                scan.bump();
                scan.bump();
            }
            _ => break,
        }
        option = true;
    }
    if begins(scan) {
        return explained(scan, runs);
    }
    if option {
        return Head::unknown(Kind::Explain);
    }
    scan.finish_statement();
    Head::new(Kind::Describe, Effects::empty())
}

/// The statement that is explained; `runs` says whether it is also run.
fn explained(scan: &mut Scan<'_>, runs: bool) -> Head {
    let inner = data(scan);
    let effects = if runs || inner.kind == Kind::Unknown {
        inner.effects
    } else {
        Effects::empty()
    };
    let uses = if runs {
        inner.uses
    } else {
        inner.uses & Uses::UNKNOWN_FUNCTION
    };
    Head::new(Kind::Explain, effects)
        .with_uses(uses)
        .with_control(inner.control)
}

/// ANALYZE TABLE, or ANALYZE of a statement (MariaDB), which runs it.
pub(super) fn analyze(scan: &mut Scan<'_>) -> Head {
    scan.bump();
    if matches!(
        scan.cur.kw,
        Kw::Table | Kw::Tables | Kw::Local | Kw::NoWriteToBinlog
    ) {
        return Head::new(Kind::Admin, Effects::ADMIN).with_control(Control::ImplicitCommit);
    }
    if scan.at(Kw::Format) && scan.next.is_punct(b'=') {
        scan.bump();
        scan.bump();
        scan.bump();
    }
    if begins(scan) {
        explained(scan, true)
    } else {
        Head::unknown(Kind::Unknown)
    }
}

/// SHOW reads, whatever it shows.
pub(super) fn show(scan: &mut Scan<'_>) -> Head {
    scan.bump();
    let mut uses = Uses::empty();
    let mut first = true;
    while !scan.cur.ends() {
        uses |= match scan.cur.kw {
            Kw::Warnings | Kw::Errors => Uses::DIAGNOSTICS,
            Kw::Variables => Uses::SYSTEM_VARIABLE,
            Kw::Status => Uses::STATUS,
            Kw::Profile | Kw::Profiles => Uses::STATUS,
            Kw::Processlist | Kw::Engine => Uses::PROCESSLIST,
            // SHOW EXPLAIN FOR, SHOW ANALYZE FOR: of another connection.
            Kw::Explain | Kw::Analyze if first => Uses::PROCESSLIST,
            _ => Uses::empty(),
        };
        first = false;
        scan.bump();
    }
    Head::new(Kind::Show, Effects::empty()).with_uses(uses)
}
