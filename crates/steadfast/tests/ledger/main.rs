//! `steadfast ledger` on real servers, as an administrator's shell sees it. Each case is named as the statement that
//! must hold, and runs on MariaDB and on MySQL.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accounts;
mod install;
mod place;
mod rights;
mod safety;
mod session;
mod status;

/// Makes a test of each function for each server.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod mariadb {
            $(#[test] fn $name() { super::$name(&crate::place::Place::of(steadfast_sandbox::Kind::MariaDb)); })*
        }
        mod mysql {
            $(#[test] fn $name() { super::$name(&crate::place::Place::of(steadfast_sandbox::Kind::MySql)); })*
        }
    };
}
use on_both;
