//! Where COMMITs are recorded: what the configuration says, and where the ledger turned out not to be there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::{LedgerMode, LedgerSettings};

/// An account that could not use the ledger is taken to be unable to for this long.
const MISSING_FOR: Duration = Duration::from_secs(15);

/// For all sessions.
#[derive(Debug)]
pub(crate) struct Ledger {
    settings: LedgerSettings,
    /// Accounts that could not use it, by user name: until when that is believed.
    missing: Mutex<HashMap<Vec<u8>, Instant>>,
}

impl Ledger {
    /// As the configuration says.
    pub(crate) fn new(settings: LedgerSettings) -> Self {
        Self {
            settings,
            missing: Mutex::default(),
        }
    }

    /// What the configuration says for this user and default schema.
    pub(crate) fn mode(&self, user: &[u8], schema: Option<&[u8]>) -> LedgerMode {
        self.settings.of(user, schema)
    }

    /// Until when the user is believed to be unable to use it.
    pub(crate) fn missing_until(&self, user: &[u8]) -> Option<Instant> {
        self.missing().get(user).copied()
    }

    /// The user could not use it; gives until when that is believed.
    pub(crate) fn is_missing(&self, user: &[u8]) -> Instant {
        let now = Instant::now();
        let until = now + MISSING_FOR;
        let mut missing = self.missing();
        missing.retain(|_, until| *until > now);
        missing.insert(user.to_vec(), until);
        until
    }

    fn missing(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, Instant>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
