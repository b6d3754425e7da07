//! The lanes that no session uses now.

use super::Lane;

/// Lanes are used for half a day after they were opened, in seconds: the ledger keeps a lane for a day
/// (`schema`), and a lane that it has forgotten refuses to record.
const REUSED_FOR: u64 = 12 * 60 * 60;

/// A point in the order in which lanes come back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Moment(u64);

/// Lanes that were given back and may be used by another COMMIT.
///
/// A lane comes back only when every COMMIT that was sent under it has been answered: then nothing of it is on its
/// way any more. A lane with a COMMIT in doubt is never used again.
///
/// A transaction gets a lane that came back before it began. Where REPEATABLE READ refuses to write a row that somebody
/// else has written since the transaction's snapshot (error 1020 under `innodb_snapshot_isolation`, the default since
/// MariaDB 11.6.2), the lane's row would be such a one.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Lanes {
    /// In the order in which they came back.
    free: Vec<(Moment, Lane)>,
    now: Moment,
}

impl Lanes {
    /// Forgets those that are free: their rows may be gone.
    pub fn forget(&mut self) {
        self.free.clear();
    }

    /// A lane for a transaction that began at that moment; `None`: another must be opened. `now` as in [`Lane::new`].
    pub fn take(&mut self, now: u64, began: Moment) -> Option<Lane> {
        let mut fit = self.free.partition_point(|(back, _)| *back <= began);
        // The last of them: those that came back long ago stay for transactions that last long, so that there are not
        // more lanes than transactions at the same time need.
        while fit > 0 {
            fit -= 1;
            let (_, lane) = self.free.remove(fit);
            if now.saturating_sub(lane.opened) < REUSED_FOR {
                return Some(lane);
            }
        }
        None
    }

    /// Gives a lane back, whose every COMMIT was answered.
    pub fn give_back(&mut self, lane: Lane) {
        self.now.0 += 1;
        self.free.push((self.now, lane));
    }

    /// Now: for a transaction that begins.
    pub fn now(&self) -> Moment {
        self.now
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
        let mut again = lanes.take(1, lanes.now()).unwrap();
        assert_ne!(again.mark(), first, "a mark is never used twice");
        assert!(lanes.is_empty());
    }

    #[test]
    fn an_old_lane_is_not_used_again() {
        let mut lanes = Lanes::default();
        lanes.give_back(Lane::new(1, 2, 0));
        assert_eq!(lanes.take(REUSED_FOR, lanes.now()), None);
        assert_eq!(lanes.len(), 0);
    }

    #[test]
    fn a_transaction_gets_no_lane_that_was_used_since_it_began() {
        let mut lanes = Lanes::default();
        lanes.give_back(Lane::new(1, 0, 0));
        lanes.give_back(Lane::new(2, 0, 0));
        let began = lanes.now();
        lanes.give_back(Lane::new(3, 0, 0));
        assert_eq!(lanes.take(1, began).map(|lane| lane.id()), Some(2));
        assert_eq!(lanes.take(1, began).map(|lane| lane.id()), Some(1));
        assert_eq!(lanes.take(1, began), None);
        assert_eq!(lanes.take(1, lanes.now()).map(|lane| lane.id()), Some(3));
    }

    /// Forty short ones at the same time for a long while, and one long one in every hundred.
    #[test]
    fn there_are_not_more_lanes_than_transactions_need() {
        let mut lanes = Lanes::default();
        let mut open = std::collections::VecDeque::new();
        let mut long = std::collections::VecDeque::new();
        let mut opened = 0;
        let mut commit = |lanes: &mut Lanes, began| {
            let lane = lanes.take(1, began).unwrap_or_else(|| {
                opened += 1;
                Lane::new(opened, 0, 0)
            });
            lanes.give_back(lane);
            opened
        };
        let mut most = 0;
        for turn in 0..50_000 {
            open.push_back(lanes.now());
            if turn % 100 == 0 {
                long.push_back(lanes.now());
            }
            if open.len() > 40 {
                let began = open.pop_front().unwrap();
                most = commit(&mut lanes, began);
            }
            if long.len() > 20 {
                let began = long.pop_front().unwrap();
                most = commit(&mut lanes, began);
            }
        }
        assert!(most < 2 * (40 + 20) + 10, "{most} lanes");
    }
}
