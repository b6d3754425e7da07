//! KILL statements that Steadfast sends or relays: the server counts them as it counts anybody's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct OwnKills {
    sent: AtomicU64,
    ended: Arc<AtomicU64>,
}

/// A KILL from before it is sent until it is answered, or never will be.
#[derive(Debug)]
pub(crate) struct OwnKill {
    ended: Arc<AtomicU64>,
}

impl OwnKills {
    /// One is about to be sent.
    pub(crate) fn begin(&self) -> OwnKill {
        self.sent.fetch_add(1, Ordering::SeqCst);
        OwnKill {
            ended: Arc::clone(&self.ended),
        }
    }

    /// How many were sent: the server has counted no more.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::SeqCst)
    }

    /// How many came to an end: the server has counted no less, but for those that it did not take.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }
}

impl Drop for OwnKill {
    fn drop(&mut self) {
        self.ended.fetch_add(1, Ordering::SeqCst);
    }
}
