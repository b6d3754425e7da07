//! Facts for the checks' tests.

use core::time::Duration;

use super::{Facts, Seen, Severity, facts::Raised, look};
use crate::testing;

/// A MySQL server with these variables.
pub(super) fn mysql(variables: &[(&str, &str)]) -> Facts {
    with(
        Facts {
            server: Some(testing::mysql()),
            ..Facts::default()
        },
        variables,
    )
}

/// A MariaDB server with these variables.
pub(super) fn mariadb(variables: &[(&str, &str)]) -> Facts {
    with(
        Facts {
            server: Some(testing::mariadb()),
            ..Facts::default()
        },
        variables,
    )
}

fn with(mut facts: Facts, variables: &[(&str, &str)]) -> Facts {
    for (name, value) in variables {
        facts
            .variables
            .0
            .insert((*name).to_owned(), (*value).to_owned());
    }
    facts
}

impl Facts {
    /// With these counters.
    pub(super) fn counting(mut self, status: &[(&str, &str)]) -> Self {
        for (name, value) in status {
            self.status
                .0
                .insert((*name).to_owned(), (*value).to_owned());
        }
        self
    }

    /// After raising this error, a minute ago.
    pub(super) fn raising(mut self, code: u16, count: u64) -> Self {
        let raised = Raised {
            count,
            last: Some(Duration::from_secs(60)),
            at: None,
            by: vec!["app@10.0.0.7".to_owned()],
        };
        self.errors = Seen::Is([(code, raised)].into());
        self
    }
}

/// What this check finds: `None` for nothing. Panics where it could not look.
#[track_caller]
pub(super) fn severity(facts: &Facts, check: &str) -> Option<Severity> {
    let examination = look(facts);
    if let Some((_, why)) = examination.unseen.iter().find(|(name, _)| *name == check) {
        panic!("{check} was not looked at: {why}");
    }
    examination
        .findings
        .iter()
        .find(|finding| finding.check.name == check)
        .map(|finding| finding.severity)
}

/// The same on both servers, for each value of one variable.
#[track_caller]
pub(super) fn on_both(check: &str, variable: &str, cases: &[(&str, Option<Severity>)]) {
    for (value, expected) in cases {
        for facts in [mysql(&[(variable, value)]), mariadb(&[(variable, value)])] {
            assert_eq!(severity(&facts, check), *expected, "{variable} = {value}");
        }
    }
}
