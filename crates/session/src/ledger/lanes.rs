//! The lanes that no session uses now.

use super::Lane;

/// Lanes are used for half a day after they were opened, in seconds: the ledger keeps a lane for a day
/// (`schema`), and a lane that it has forgotten refuses to record.
const REUSED_FOR: u64 = 12 * 60 * 60;

/// Lanes that were given back and may be used by the next COMMIT.
///
/// A lane comes back only when every COMMIT that was sent under it has been answered: then nothing of it is on its
/// way any more. A lane with a COMMIT in doubt is never used again.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Lanes {
    free: Vec<Lane>,
}

impl Lanes {
    /// A lane to use; `None`: another must be opened. `now` as in [`Lane::new`].
    pub fn take(&mut self, now: u64) -> Option<Lane> {
        // The one used last is the one whose page the server has in memory.
        while let Some(lane) = self.free.pop() {
            if now.saturating_sub(lane.opened) < REUSED_FOR {
                return Some(lane);
            }
        }
        None
    }

    /// Gives a lane back, whose every COMMIT was answered.
    pub fn give_back(&mut self, lane: Lane) {
        self.free.push(lane);
    }

    /// How many are free.
    pub fn len(&self) -> usize {
        self.free.len()
    }

    /// Whether none is free.
    pub fn is_empty(&self) -> bool {
        self.free.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_comes_back_with_its_sequence() {
        let mut lanes = Lanes::default();
        let mut lane = Lane::new(1, 2, 0);
        let first = lane.mark();
        lanes.give_back(lane);
        let mut again = lanes.take(1).unwrap();
        assert_ne!(again.mark(), first, "a mark is never used twice");
        assert!(lanes.is_empty());
    }

    #[test]
    fn an_old_lane_is_not_used_again() {
        let mut lanes = Lanes::default();
        lanes.give_back(Lane::new(1, 2, 0));
        assert_eq!(lanes.take(REUSED_FOR), None);
        assert_eq!(lanes.len(), 0);
    }
}
