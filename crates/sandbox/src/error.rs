//! What can go wrong with a sandboxed server, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use crate::{Kind, Product};

/// Why a sandboxed server could not be had or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine does not have it, and packages cannot be fetched here.
    #[error("no {product} on this machine: {reason}; {install}")]
    Unavailable {
        /// What is missing.
        product: Product,
        /// Why it cannot be fetched.
        reason: String,
        /// What to install.
        install: &'static str,
    },
    /// The packages could not be fetched.
    #[error(
        "could not fetch the packages of {product}: {step} failed: {detail}; mend that, or {}",
        product.by_hand()
    )]
    Fetch {
        /// What was wanted.
        product: Product,
        /// The command that failed.
        step: String,
        /// The last lines of what it said.
        detail: String,
    },
    /// There is no place for the cache.
    #[error(
        "no directory for the servers' cache: set STEADFAST_CACHE, XDG_CACHE_HOME or HOME to an absolute path"
    )]
    NoCache,
    /// The server did not come up.
    #[error("{kind} did not start: {reason}; its log ends with: {log}")]
    Start {
        /// The kind of server.
        kind: Kind,
        /// What was observed.
        reason: String,
        /// The end of its error log.
        log: String,
    },
    /// The call does not fit what the server is doing.
    #[error("{kind} on port {port} {state}: {wanted}")]
    State {
        /// The kind of server.
        kind: Kind,
        /// Its port.
        port: u16,
        /// What it is doing.
        state: &'static str,
        /// What to do instead.
        wanted: &'static str,
    },
    /// The server refused a statement, or the client program could not reach it.
    #[error("{kind} on port {port} refused `{statement}`: {message}")]
    Sql {
        /// The kind of server.
        kind: Kind,
        /// Its port.
        port: u16,
        /// The beginning of the SQL text.
        statement: String,
        /// What the client program said.
        message: String,
    },
    /// The operating system refused something.
    #[error("could not {what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl Error {
    /// For `map_err`: an IO error while doing `what`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let what = what.into();
        move |source| Error::Io { what, source }
    }

    /// For `map_err`: an IO error while doing `what` to `path`.
    pub(crate) fn at<'a>(what: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
        let path: PathBuf = path.to_owned();
        move |source| Error::Io {
            what: format!("{what} {}", path.display()),
            source,
        }
    }
}
