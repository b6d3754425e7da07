//! A session's part of the memory for commands, which all sessions share (`limits.command_memory`).

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Up to this many bytes nothing is counted: there are at most `limits.clients` of them.
const FREE: usize = 64 << 10;

/// What one session has taken of the shared memory, in KiB permits; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Memory {
    shared: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Memory {
    /// Nothing yet.
    pub(crate) fn new(shared: Arc<Semaphore>) -> Self {
        Self { shared, held: None }
    }

    /// Takes what is missing for `bytes`; false if there is not that much left.
    pub(crate) fn cover(&mut self, bytes: usize) -> bool {
        if bytes <= FREE {
            return true;
        }
        let wanted = bytes >> 10;
        let have = self
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let Ok(missing) = u32::try_from(wanted.saturating_sub(have)) else {
            return false;
        };
        if missing == 0 {
            return true;
        }
        match Arc::clone(&self.shared).try_acquire_many_owned(missing) {
            Ok(more) => {
                match &mut self.held {
                    Some(held) => held.merge(more),
                    None => self.held = Some(more),
                }
                true
            }
            Err(_) => false,
        }
    }

    /// Gives everything back.
    pub(crate) fn release(&mut self) {
        self.held = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_share_a_limit_and_small_commands_are_free() {
        let shared = Arc::new(Semaphore::new(1024));
        let mut first = Memory::new(Arc::clone(&shared));
        let mut second = Memory::new(shared);
        assert!(first.cover(FREE));
        assert!(first.cover(600 << 10) && first.cover(700 << 10));
        assert!(!second.cover(600 << 10));
        assert!(second.cover(300 << 10));
        first.release();
        assert!(second.cover(600 << 10));
        assert!(!second.cover(usize::MAX));
    }
}
