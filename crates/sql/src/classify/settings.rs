//! SET in all its forms.

use super::{Head, statement};
use crate::keywords::Kw;
use crate::lexer::Tok;
use crate::scan::{Scan, bare};
use crate::set::{Item, Items, Scope, Target};
use crate::{Control, Effects, Kind, Uses};

pub(super) fn set(scan: &mut Scan<'_>) -> Head {
    let mut items = Items::begin(scan);
    let for_one_statement = items.is_statement();
    let mut head = Head::new(Kind::Set, Effects::empty());
    while let Some(item) = items.next(scan) {
        assignment(&mut head, &item, scan);
    }
    if for_one_statement {
        return inner(head, scan);
    }
    if head.effects.is_empty() {
        return Head::unknown(Kind::Set);
    }
    head
}

/// The statement after SET STATEMENT … FOR.
fn inner(settings: Head, scan: &mut Scan<'_>) -> Head {
    // This FOR UPDATE is no locking clause.
    scan.target = true;
    let there = scan.eat(Kw::For);
    scan.target = false;
    if !there || scan.at(Kw::Set) && scan.next.is(Kw::Statement) {
        return Head::unknown(Kind::Unknown);
    }
    if scan.cur.ends() {
        return Head::unknown(Kind::Unknown);
    }
    let head = statement(scan);
    // The server refuses the statement as a whole if it cannot make a setting; what the settings are, it alone knows.
    let control = match (settings.control, head.control) {
        (Control::None, Control::None) => Control::None,
        (Control::None, Control::ImplicitCommit) => Control::ImplicitCommit,
        _ => Control::Unknown,
    };
    Head {
        control,
        effects: head.effects | settings.effects & Effects::UNKNOWN,
        uses: head.uses | settings.uses,
        ..head
    }
}

fn assignment(head: &mut Head, item: &Item, scan: &Scan<'_>) {
    let (effects, control) = match item.target {
        Target::User => {
            head.uses |= Uses::USER_VARIABLE | Uses::ASSIGNS_USER_VARIABLE;
            (Effects::SESSION, Control::None)
        }
        Target::System(scope) => variable(item, scope, scan),
        Target::Names | Target::CharacterSet => (Effects::SESSION, Control::None),
        Target::Transaction(Scope::Bare) => {
            head.kind = Kind::SetTransaction;
            (Effects::TRANSACTION, Control::OneShot)
        }
        Target::Transaction(Scope::Session) => (Effects::SESSION, Control::None),
        Target::Transaction(_) => (Effects::ADMIN, Control::None),
        Target::Password => {
            head.kind = Kind::SetPassword;
            (Effects::ADMIN, Control::ImplicitCommit)
        }
        Target::Role => {
            head.kind = Kind::SetRole;
            (Effects::SESSION, Control::None)
        }
        Target::DefaultRole => {
            head.kind = Kind::Account;
            (Effects::ADMIN, Control::ImplicitCommit)
        }
        Target::ResourceGroup => (Effects::SESSION | Effects::ADMIN, Control::None),
        Target::Other => (Effects::SESSION | Effects::UNKNOWN, Control::Unknown),
    };
    head.effects |= effects;
    head.control = match (head.control, control) {
        (before, Control::None) => before,
        (Control::None, now) => now,
        (before, now) if before == now => now,
        _ => Control::Unknown,
    };
}

fn variable(item: &Item, scope: Scope, scan: &Scan<'_>) -> (Effects, Control) {
    let name = item.name.map_or(&[][..], |token| bare(token, scan.text()));
    let is = |known: &[u8]| known.eq_ignore_ascii_case(name);
    if !name
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
    {
        // Names are compared without regard to accents and trailing spaces: it may be any.
        return (Effects::SESSION | Effects::UNKNOWN, Control::Unknown);
    }
    let effects = match scope {
        Scope::Session | Scope::Bare | Scope::Statement => Effects::SESSION,
        Scope::Global | Scope::Persist | Scope::PersistOnly => Effects::ADMIN,
    };
    let session = matches!(scope, Scope::Session | Scope::Bare);
    if is(b"autocommit") {
        let control = match scope {
            Scope::Session | Scope::Bare => Control::SetAutocommit(on_or_off(item, scan)),
            // Whether GLOBAL carries over to this item, differs between versions.
            _ if item.sticky => Control::Unknown,
            _ => Control::None,
        };
        let effects = if session {
            effects | Effects::TRANSACTION
        } else {
            effects
        };
        return (effects, control);
    }
    let one_shot = is(b"transaction_isolation")
        || is(b"transaction_read_only")
        || is(b"tx_isolation")
        || is(b"tx_read_only");
    if one_shot && scope == Scope::Bare {
        return (Effects::TRANSACTION, Control::OneShot);
    }
    if is(b"gtid_next") && session {
        // It can own, skip or end a transaction.
        return (effects | Effects::UNKNOWN, Control::Unknown);
    }
    (effects, Control::None)
}

fn on_or_off(item: &Item, scan: &Scan<'_>) -> Option<bool> {
    let value = item.value.single?;
    let text = value.slice(scan.text());
    let text = match value.tok {
        Tok::Str => text.get(1..text.len().saturating_sub(1))?,
        Tok::Word | Tok::Number => text,
        _ => return None,
    };
    let is = |names: [&[u8]; 3]| names.iter().any(|name| name.eq_ignore_ascii_case(text));
    if is([b"1", b"on", b"true"]) {
        Some(true)
    } else if is([b"0", b"off", b"false"]) {
        Some(false)
    } else {
        None
    }
}
