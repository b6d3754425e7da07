//! Where COMMITs are recorded: what the configuration says, and which accounts can.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use steadfast_net::QueryResult;
use tokio::time::Instant;

use crate::config::{LedgerMode, LedgerSettings};
use crate::status::number;

/// What is known of an account is believed for this long by sessions that begin.
const BELIEVED: Duration = Duration::from_secs(15);

/// A session without the ledger tries it again after this time.
pub(crate) const TRY_AGAIN: Duration = Duration::from_secs(30);

/// Accounts that are remembered at most.
const ACCOUNTS: usize = 4096;

/// Asks whether this account can use the ledger: servers show procedures to those who may execute them.
pub(crate) const USABLE: &[u8] = b"SELECT COUNT(*) FROM information_schema.ROUTINES \
    WHERE ROUTINE_SCHEMA = 'steadfast' AND ROUTINE_NAME IN ('commit', 'fence') LIMIT 1";

/// What an answer to [`USABLE`] says.
pub(crate) fn is_usable(answer: &QueryResult) -> bool {
    number(answer, 0) == Some(2)
}

/// For all sessions.
#[derive(Debug)]
pub(crate) struct Ledger {
    settings: LedgerSettings,
    /// By user name: whether it can be used, as it was found at that time.
    accounts: Mutex<HashMap<Vec<u8>, (bool, Instant)>>,
}

impl Ledger {
    /// As the configuration says.
    pub(crate) fn new(settings: LedgerSettings) -> Self {
        Self {
            settings,
            accounts: Mutex::default(),
        }
    }

    /// What the configuration says for this user and default schema.
    pub(crate) fn mode(&self, user: &[u8], schema: Option<&[u8]>) -> LedgerMode {
        self.settings.of(user, schema)
    }

    /// Whether nobody is to use it.
    pub(crate) fn is_off(&self) -> bool {
        self.settings.is_off()
    }

    /// Whether the user can use it; `None`: nobody has asked lately.
    pub(crate) fn is_usable(&self, user: &[u8]) -> Option<bool> {
        if self.settings.is_off() {
            return Some(false);
        }
        let (usable, at) = *self.accounts().get(user)?;
        (at.elapsed() < BELIEVED).then_some(usable)
    }

    /// What was found.
    pub(crate) fn note(&self, user: &[u8], usable: bool) {
        let mut accounts = self.accounts();
        if accounts.len() >= ACCOUNTS {
            accounts.retain(|_, (_, at)| at.elapsed() < BELIEVED);
        }
        if accounts.len() < ACCOUNTS {
            accounts.insert(user.to_vec(), (usable, Instant::now()));
        }
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Vec<u8>, (bool, Instant)>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
