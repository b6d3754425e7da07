//! A finding in words: for people and for machines, the same ones.

use serde::Serialize;

use super::{Area, Finding, Severity};
use crate::evidence::Server;
use crate::told::ToldStep;

/// A finding in words.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ToldFinding {
    /// The name of the check.
    pub check: &'static str,
    /// What it is about.
    pub area: Area,
    /// How bad it is.
    pub severity: Severity,
    /// What was seen.
    pub seen: Vec<String>,
    /// Why it matters for lost connections.
    pub why: &'static str,
    /// What to do.
    pub fix: Vec<ToldStep>,
    /// What that may cost.
    pub risk: &'static str,
}

impl Finding {
    /// In words, for this server.
    pub fn told(&self, server: Option<Server>) -> ToldFinding {
        let mut fix: Vec<ToldStep> = self.fix.iter().map(|step| step.told(server)).collect();
        fix.retain(|step| *step != ToldStep::default());
        ToldFinding {
            check: self.check.name,
            area: self.check.area,
            severity: self.severity,
            seen: self.seen.clone(),
            why: self.check.why,
            fix,
            risk: self.check.risk,
        }
    }
}
