//! `steadfast doctor` on real servers: what is badly configured is found, on MariaDB and on MySQL, and nothing else.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod between;
mod events;
mod fix;
mod path;
mod place;
mod settings;
mod started;

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
