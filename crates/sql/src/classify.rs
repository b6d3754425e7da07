//! From text to [`Class`]: one pass over the tokens, statement by statement.

mod administration;
mod definition;
mod query;
mod settings;
mod transaction;

use crate::keywords::Kw;
use crate::lexer::Tok;
use crate::scan::Scan;
use crate::{Class, Control, Dialect, Effects, InsertRows, InsertShape, Kind, Uses};

/// The class of a text as a COM_QUERY or COM_STMT_PREPARE would carry it. Does not allocate.
#[must_use]
pub fn classify(text: &[u8], dialect: Dialect) -> Class {
    let mut scan = Scan::new(text, dialect);
    let mut class = Class {
        kind: Kind::Empty,
        control: Control::None,
        effects: Effects::empty(),
        uses: Uses::empty(),
        statements: 0,
        insert: InsertShape::default(),
    };
    while scan.cur.tok != Tok::End {
        scan.begin_statement();
        if scan.cur.ends() {
            continue;
        }
        let head = statement(&mut scan);
        scan.finish_statement();
        add(&mut class, head, &scan);
    }
    if scan.ambiguous() {
        class.effects |= Effects::UNKNOWN;
        class.control = Control::Unknown;
    }
    class
}

/// What the leading words of one statement tell; what it mentions is in the [`Scan`].
struct Head {
    kind: Kind,
    control: Control,
    effects: Effects,
    uses: Uses,
    insert: InsertShape,
}

impl Head {
    fn new(kind: Kind, effects: Effects) -> Head {
        Head {
            kind,
            control: Control::None,
            effects,
            uses: Uses::empty(),
            insert: InsertShape::default(),
        }
    }

    fn with_control(self, control: Control) -> Head {
        Head { control, ..self }
    }

    fn with_uses(self, uses: Uses) -> Head {
        Head { uses, ..self }
    }

    fn unknown(kind: Kind) -> Head {
        Head::new(kind, Effects::UNKNOWN).with_control(Control::Unknown)
    }
}

/// Joins one statement to the class of the text.
fn add(class: &mut Class, head: Head, scan: &Scan<'_>) {
    let mut effects = head.effects | scan.effects;
    let mut control = head.control;
    let mut insert = head.insert;
    if insert.rows != InsertRows::NotInsert {
        insert.on_duplicate = scan.on_duplicate;
    }
    if scan.dialect().oracle && !plain_in_oracle(head.kind) {
        effects |= Effects::UNKNOWN;
        control = Control::Unknown;
    }
    let mut uses = head.uses | scan.uses;
    if head.kind == Kind::Ddl && !effects.contains(Effects::ROWS) {
        // Columns, keys and types stand before parentheses; nothing is called.
        uses.remove(Uses::UNKNOWN_FUNCTION);
    }
    class.effects |= effects;
    class.uses |= uses;
    if class.statements == 0 {
        class.kind = head.kind;
        class.control = control;
        class.insert = insert;
    } else if control != Control::None {
        class.control = Control::Unknown;
    }
    class.statements = class.statements.saturating_add(1);
}

/// Statements that `sql_mode=ORACLE` parses as the default grammar does.
fn plain_in_oracle(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Select
            | Kind::Show
            | Kind::Explain
            | Kind::Describe
            | Kind::Use
            | Kind::Set
            | Kind::SetTransaction
            | Kind::Insert
            | Kind::Replace
            | Kind::Update
            | Kind::Delete
            | Kind::Begin
            | Kind::Commit
            | Kind::Rollback
            | Kind::Savepoint
            | Kind::RollbackTo
            | Kind::ReleaseSavepoint
    )
}

/// One statement, from its first token on.
fn statement(scan: &mut Scan<'_>) -> Head {
    match scan.cur.kw {
        Kw::Explain | Kw::Describe | Kw::Desc => query::explain(scan),
        Kw::Analyze => query::analyze(scan),
        Kw::Set => settings::set(scan),
        Kw::Show => query::show(scan),
        Kw::Use => Head::new(Kind::Use, Effects::SESSION),
        Kw::Help => Head::new(Kind::Help, Effects::empty()),
        Kw::Do => Head::new(Kind::Do, Effects::empty()),
        // An open handler and its position are state that nothing tracks.
        Kw::Handler => Head::new(Kind::Handler, Effects::SESSION | Effects::UNKNOWN),
        Kw::Call => call(scan),
        Kw::Prepare => Head::new(Kind::Prepare, Effects::SESSION),
        Kw::Execute => Head::unknown(Kind::Execute).with_uses(Uses::ASSIGNS_USER_VARIABLE),
        Kw::Deallocate => Head::new(Kind::Deallocate, Effects::SESSION),
        Kw::Drop if scan.next.is(Kw::Prepare) => Head::new(Kind::Deallocate, Effects::SESSION),
        Kw::Get => diagnostics(scan),
        Kw::Create | Kw::Alter | Kw::Drop | Kw::Rename | Kw::Truncate => definition::define(scan),
        Kw::Grant | Kw::Revoke => {
            Head::new(Kind::Account, Effects::ADMIN).with_control(Control::ImplicitCommit)
        }
        Kw::Begin
        | Kw::Start
        | Kw::Commit
        | Kw::Rollback
        | Kw::Savepoint
        | Kw::Release
        | Kw::Xa
        | Kw::Lock
        | Kw::Unlock => transaction::control(scan),
        _ if query::begins(scan) => query::data(scan),
        _ => administration::administer(scan),
    }
}

/// CALL: what the procedure does, is not in the text.
fn call(scan: &mut Scan<'_>) -> Head {
    scan.naming = true;
    scan.bump();
    scan.skip_path();
    scan.naming = false;
    Head::unknown(Kind::Call).with_uses(Uses::ASSIGNS_USER_VARIABLE)
}

/// GET [CURRENT | STACKED] DIAGNOSTICS.
fn diagnostics(scan: &mut Scan<'_>) -> Head {
    scan.finish_statement();
    let mut uses = Uses::DIAGNOSTICS;
    if scan.uses.contains(Uses::USER_VARIABLE) {
        uses |= Uses::ASSIGNS_USER_VARIABLE;
    }
    Head::new(Kind::GetDiagnostics, Effects::SESSION).with_uses(uses)
}
