//! CREATE, ALTER, DROP, RENAME, TRUNCATE: definitions and accounts.

use super::Head;
use crate::keywords::Kw;
use crate::lexer::Tok;
use crate::scan::Scan;
use crate::{Control, Effects, Kind};

pub(super) fn define(scan: &mut Scan<'_>) -> Head {
    let verb = scan.cur.kw;
    match verb {
        Kw::Truncate => return ddl(Effects::SCHEMA | Effects::ROWS),
        Kw::Rename => {
            return match scan.next.kw {
                Kw::User => account(),
                Kw::Table | Kw::Tables => ddl(Effects::SCHEMA),
                _ => Head::unknown(Kind::Unknown),
            };
        }
        _ => {}
    }
    scan.bump();
    let mut temporary = false;
    // To the word that says what is defined, past OR REPLACE, DEFINER, ALGORITHM, UNIQUE, …
    while !scan.cur.ends() {
        let word = scan.cur.kw;
        match word {
            Kw::Temporary => temporary = true,
            Kw::User | Kw::Role => return account(),
            Kw::Table | Kw::Tables => return table(scan, verb, temporary),
            Kw::Procedure | Kw::Function | Kw::Trigger | Kw::Event | Kw::Package => {
                return program(scan, verb, word);
            }
            Kw::View | Kw::Index | Kw::Tablespace | Kw::Logfile | Kw::Undo => {
                return ddl(Effects::SCHEMA);
            }
            Kw::Database | Kw::Schema => {
                let head = ddl(Effects::SCHEMA);
                // Not on MariaDB's list but for its upgrade form.
                return if verb == Kw::Alter && scan.mariadb() {
                    head.with_control(Control::Unknown)
                } else {
                    head
                };
            }
            Kw::Sequence if temporary => {
                return Head::new(Kind::Ddl, Effects::SCHEMA | Effects::TEMP_TABLES)
                    .with_control(Control::Unknown);
            }
            Kw::Sequence => return ddl(Effects::SCHEMA | Effects::ROWS),
            Kw::Server => return ddl(Effects::SCHEMA | Effects::ADMIN),
            Kw::Spatial if scan.next.is(Kw::Reference) => return ddl(Effects::SCHEMA),
            Kw::Reference if verb != Kw::Alter => return ddl(Effects::SCHEMA),
            Kw::Instance | Kw::Resource => {
                return Head::new(Kind::Admin, Effects::ADMIN).with_control(Control::Unknown);
            }
            _ => {}
        }
        scan.bump();
    }
    Head::unknown(Kind::Ddl)
}

fn ddl(effects: Effects) -> Head {
    Head::new(Kind::Ddl, effects).with_control(Control::ImplicitCommit)
}

fn account() -> Head {
    Head::new(Kind::Account, Effects::ADMIN).with_control(Control::ImplicitCommit)
}

/// Tables. CREATE and DROP of temporary ones do not commit; CREATE … SELECT writes rows.
fn table(scan: &mut Scan<'_>, verb: Kw, temporary: bool) -> Head {
    let mut effects = if temporary {
        Effects::TEMP_TABLES
    } else {
        Effects::SCHEMA
    };
    scan.naming = verb == Kw::Create;
    scan.bump();
    while verb == Kw::Create && !scan.cur.ends() {
        if matches!(scan.cur.kw, Kw::Select | Kw::With | Kw::Values | Kw::Table) {
            effects |= Effects::ROWS;
        }
        // Names before parentheses are columns' types and keys here.
        scan.naming = !effects.contains(Effects::ROWS);
        scan.bump();
    }
    let control = match (verb, temporary) {
        (Kw::Create | Kw::Drop, true) => Control::None,
        (_, true) => Control::Unknown,
        _ => Control::ImplicitCommit,
    };
    Head::new(Kind::Ddl, effects).with_control(control)
}

/// Stored programs. Their bodies have semicolons of their own: the rest of the text is taken
/// for the body, and if anything follows a semicolon, for something unknown.
fn program(scan: &mut Scan<'_>, verb: Kw, word: Kw) -> Head {
    if verb == Kw::Drop {
        let head = ddl(Effects::SCHEMA);
        // A loadable function is dropped without a commit.
        return if word == Kw::Function {
            head.with_control(Control::Unknown)
        } else {
            head
        };
    }
    let mut loadable = false;
    let mut more = false;
    while scan.cur.tok != Tok::End {
        loadable |= scan.at(Kw::Soname);
        more |= scan.cur.tok == Tok::Semi && !scan.next.ends();
        scan.bump();
    }
    // What the body mentions does not happen now.
    scan.uses = crate::Uses::empty();
    scan.effects = Effects::empty();
    if more {
        return Head::new(Kind::Ddl, Effects::SCHEMA | Effects::UNKNOWN)
            .with_control(Control::Unknown);
    }
    if loadable {
        return Head::new(Kind::Ddl, Effects::SCHEMA | Effects::ADMIN)
            .with_control(Control::Unknown);
    }
    ddl(Effects::SCHEMA)
}
