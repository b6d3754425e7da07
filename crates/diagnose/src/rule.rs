//! What a rule is: one file for each cause says what it means, what proves it, what refutes it, and what mends it. The
//! documentation is made from the same sentences that the decision uses.

use crate::cause::Cause;
use crate::evidence::{Evidence, Product, Server};

/// What there is to know about one cause.
pub struct Rule {
    /// The cause.
    pub cause: Cause,
    /// What it means, in one sentence.
    pub meaning: &'static str,
    /// Each of these decides for it.
    pub proofs: &'static [Sign],
    /// Each of these decides against it.
    pub refutations: &'static [Sign],
    /// Each of these makes it likelier among those that are neither proved nor refuted.
    pub hints: &'static [Sign],
    /// Causes that this one brings about: where both are proved, this one is the answer.
    pub brings: &'static [Cause],
    /// The question whose answer would decide.
    pub question: &'static str,
    /// What to do about it. With [`Evidence::default`]: in general.
    pub fix: fn(&Evidence) -> Vec<Step>,
}

/// Something that may be seen.
pub struct Sign {
    /// What it is, in general, for the documentation.
    pub what: &'static str,
    /// What is seen of it here; `None`: nothing, or nobody looked.
    pub seen: fn(&Evidence) -> Option<String>,
}

/// A step of a fix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Something to do, in people's words.
    Do(String),
    /// A system variable of the server.
    Set(Setting),
    /// Statements that are the same for all servers, or differ.
    Sql {
        /// On MariaDB; empty: not there.
        mariadb: &'static str,
        /// On MySQL; empty: not there.
        mysql: &'static str,
    },
}

/// The first MySQL that has SET PERSIST.
const HAS_PERSIST: u32 = 80_000;

/// A system variable to set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Where it exists; `None`: on both.
    pub only: Option<Product>,
    /// It can be set while the server runs.
    pub live: bool,
}

impl Setting {
    /// One that exists on both servers and can be set while they run.
    pub fn live(name: &'static str, value: impl ToString) -> Step {
        Step::Set(Self {
            name,
            value: value.to_string(),
            only: None,
            live: true,
        })
    }

    /// One that only this server has.
    pub fn only(product: Product, name: &'static str, value: impl ToString) -> Step {
        Step::Set(Self {
            name,
            value: value.to_string(),
            only: Some(product),
            live: true,
        })
    }

    /// One that needs a restart of the server.
    pub fn at_start(name: &'static str, value: impl ToString) -> Step {
        Step::Set(Self {
            name,
            value: value.to_string(),
            only: None,
            live: false,
        })
    }

    /// One that only this server has, and that needs a restart.
    pub fn at_start_only(product: Product, name: &'static str, value: impl ToString) -> Step {
        Step::Set(Self {
            name,
            value: value.to_string(),
            only: Some(product),
            live: false,
        })
    }

    /// Whether this server has SET PERSIST: MySQL 8.0 and later, and MySQL of a version that is not known.
    pub fn persists(server: Server) -> bool {
        server.product == Product::MySql && (server.version == 0 || server.version >= HAS_PERSIST)
    }

    /// The statement that sets it on this server, for good where the server can.
    pub fn sql(&self, server: Server) -> Option<String> {
        if !self.live || self.only.is_some_and(|only| only != server.product) {
            return None;
        }
        let scope = if Self::persists(server) {
            "PERSIST"
        } else {
            "GLOBAL"
        };
        Some(format!("SET {scope} {} = {};", self.name, self.value))
    }

    /// The line for the server's option file, below `[mysqld]`.
    pub fn option_line(&self, product: Product) -> Option<String> {
        if self.only.is_some_and(|only| only != product) {
            return None;
        }
        Some(format!("{} = {}", self.name, self.value))
    }
}

/// A step that is only words.
pub(crate) fn advise(text: impl Into<String>) -> Step {
    Step::Do(text.into())
}
