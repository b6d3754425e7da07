//! What may bring about the next lost connection: one file for each check says what it looks at, when it finds
//! something, why that matters, and what mends it. Pure: [`Facts`] in, an [`Examination`] out.
//!
//! A check finds something only where there is a mechanism by which a connection would be lost, refused or cut. A
//! default that nothing speaks against is no finding. What nobody could look at is told as such, never as fine.

mod aborted_clients;
mod back_log;
mod binlog_expiry;
mod blocked_hosts;
mod certificate;
mod cluster;
mod connect_timeout;
mod connection_errors;
mod connections;
mod disk_space;
mod doublewrite;
mod durability;
mod error_log;
mod error_log_suppressed;
pub mod facts;
mod fatal_semaphore_wait;
mod force_recovery;
mod general_log;
mod idle_transaction_timeout;
mod idle_transactions;
mod init_connect;
mod interactive_timeout;
mod keepalive;
mod lock_wait_timeout;
mod lost_at_restart;
mod memory_limit;
mod metadata_lock;
mod net_read_timeout;
mod net_write_timeout;
mod offline_mode;
mod open_files;
mod out_of_memory;
mod packet_buffer;
mod packet_limit;
mod page;
mod password_expiry;
mod path_idle;
mod path_packet;
mod path_pause;
mod performance_schema;
mod pool_lifetime;
mod read_only;
mod replica_packet;
mod replication;
mod restarts;
mod retransmissions;
mod session_memory;
mod session_memory_limit;
mod statement_limit;
#[cfg(test)]
mod testing;
mod told;
mod user_connections;
mod wait_timeout;

use core::fmt;

use serde::Serialize;

use crate::evidence::Product;
use crate::rule::Step;
pub use facts::{Facts, Missing, Seen};
pub use page::page;
pub use told::ToldFinding;

/// What there is to know about one check.
pub struct Check {
    /// Its stable name.
    pub name: &'static str,
    /// What it is about.
    pub area: Area,
    /// On which servers it means something; `None`: on both.
    pub only: Option<Product>,
    /// When it finds something, for the documentation.
    pub rule: &'static str,
    /// Why it matters for lost connections.
    pub why: &'static str,
    /// What the fix may cost.
    pub risk: &'static str,
    /// What it finds; an error: what it would have had to know.
    pub look: fn(&Facts) -> Result<Vec<Found>, Missing>,
    /// What to do about it. With [`Facts::default`]: in general. What it sets can be set by a program; what may
    /// only be done after thinking is words or SQL.
    pub fix: fn(&Facts) -> Vec<Step>,
}

/// What a check is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Area {
    /// Can the server tell at all why a connection was lost?
    Visibility,
    /// Timeouts and keepalive, from the client's end to the server's.
    Timeouts,
    /// Limits of packets.
    Packets,
    /// Memory.
    Memory,
    /// What is used up, full, blocked or waiting now.
    State,
    /// Modes in which a server cuts or refuses.
    Modes,
    /// What lies between.
    Path,
}

impl Area {
    /// All of them, in their order.
    pub const ALL: [Self; 7] = [
        Self::Visibility,
        Self::Timeouts,
        Self::Packets,
        Self::Memory,
        Self::State,
        Self::Modes,
        Self::Path,
    ];

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Visibility => "Visibility",
            Self::Timeouts => "Timeouts",
            Self::Packets => "Packets",
            Self::Memory => "Memory",
            Self::State => "State",
            Self::Modes => "Modes",
            Self::Path => "Path",
        }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// After a loss evidence would be missing, or a habit will cost later. Not counted as a fault.
    Note,
    /// Ordinary use will lose connections.
    Warning,
    /// Connections are cut or refused now, or the next ordinary event will certainly do it.
    Error,
}

impl Severity {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub seen: String,
}

impl Found {
    fn error(seen: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            seen: seen.into(),
        }
    }

    fn warning(seen: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            seen: seen.into(),
        }
    }

    fn note(seen: impl Into<String>) -> Self {
        Self {
            severity: Severity::Note,
            seen: seen.into(),
        }
    }
}

/// What came of looking.
#[derive(Clone, PartialEq, Default)]
pub struct Examination {
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
    /// The checks that found nothing.
    pub fine: Vec<&'static str>,
    /// The checks that could not look, and why.
    pub unseen: Vec<(&'static str, String)>,
}

/// What a check found, and the check.
#[derive(Clone)]
pub struct Finding {
    /// The check.
    pub check: &'static Check,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen, in a sentence each.
    pub seen: Vec<String>,
    /// What to do about it.
    pub fix: Vec<Step>,
}

impl PartialEq for Finding {
    fn eq(&self, other: &Self) -> bool {
        (self.check.name, self.severity, &self.seen)
            == (other.check.name, other.severity, &other.seen)
    }
}

/// All checks, in the order in which they are told.
pub static CHECKS: &[Check] = &[
    error_log::CHECK,
    error_log_suppressed::CHECK,
    performance_schema::CHECK,
    general_log::CHECK,
    wait_timeout::CHECK,
    interactive_timeout::CHECK,
    net_write_timeout::CHECK,
    net_read_timeout::CHECK,
    connect_timeout::CHECK,
    idle_transaction_timeout::CHECK,
    statement_limit::CHECK,
    lock_wait_timeout::CHECK,
    pool_lifetime::CHECK,
    keepalive::CHECK,
    retransmissions::CHECK,
    packet_limit::CHECK,
    packet_buffer::CHECK,
    replica_packet::CHECK,
    memory_limit::CHECK,
    out_of_memory::CHECK,
    session_memory::CHECK,
    session_memory_limit::CHECK,
    restarts::CHECK,
    connections::CHECK,
    user_connections::CHECK,
    connection_errors::CHECK,
    blocked_hosts::CHECK,
    aborted_clients::CHECK,
    back_log::CHECK,
    open_files::CHECK,
    disk_space::CHECK,
    binlog_expiry::CHECK,
    idle_transactions::CHECK,
    metadata_lock::CHECK,
    replication::CHECK,
    offline_mode::CHECK,
    cluster::CHECK,
    read_only::CHECK,
    force_recovery::CHECK,
    init_connect::CHECK,
    durability::CHECK,
    doublewrite::CHECK,
    fatal_semaphore_wait::CHECK,
    certificate::CHECK,
    password_expiry::CHECK,
    lost_at_restart::CHECK,
    path_idle::CHECK,
    path_packet::CHECK,
    path_pause::CHECK,
];

/// The check of this name.
pub fn named(name: &str) -> Option<&'static Check> {
    CHECKS.iter().find(|check| check.name == name)
}

/// Looks at everything.
pub fn look(facts: &Facts) -> Examination {
    let mut examination = Examination::default();
    for check in CHECKS {
        let product = facts.server.map(|server| server.product);
        if check.only.is_some() && product.is_some() && check.only != product {
            continue;
        }
        match (check.look)(facts) {
            Ok(found) => match found.iter().map(|one| one.severity).max() {
                None => examination.fine.push(check.name),
                Some(severity) => examination.findings.push(Finding {
                    check,
                    severity,
                    seen: found.into_iter().map(|one| one.seen).collect(),
                    fix: (check.fix)(facts),
                }),
            },
            Err(Missing(why)) => examination.unseen.push((check.name, why)),
        }
    }
    // Stable: within a severity in the checks' order.
    examination
        .findings
        .sort_by_key(|finding| core::cmp::Reverse(finding.severity));
    examination
}

impl Examination {
    /// The worst that was found.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|finding| finding.severity).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_for_machines() {
        for (index, check) in CHECKS.iter().enumerate() {
            assert!(
                check
                    .name
                    .chars()
                    .all(|letter| letter.is_ascii_lowercase() || letter == '-'),
                "{}",
                check.name
            );
            assert!(
                CHECKS[..index].iter().all(|other| other.name != check.name),
                "{}",
                check.name
            );
        }
    }

    #[test]
    fn nothing_known_is_nothing_found_and_nothing_fine() {
        let examination = look(&Facts::default());
        assert_eq!(examination.findings.len(), 0);
        assert_eq!(examination.fine, [""; 0]);
        assert_eq!(examination.unseen.len(), CHECKS.len());
    }

    #[test]
    fn every_check_says_what_to_do_without_knowing_anything() {
        for check in CHECKS {
            assert!(!(check.fix)(&Facts::default()).is_empty(), "{}", check.name);
        }
    }
}
