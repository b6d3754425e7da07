//! What happened around a loss on other connections: attempts to connect, and other losses. Touched by losses and
//! attempts only, never by a query.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use steadfast_diagnose::{Leftover, Others, Reach};
use steadfast_net::{ConnectError, ConnectStage, LoginError, LossKind};
use tokio::time::Instant;

/// Losses, and attempts, that are remembered.
const REMEMBERED: usize = 1024;

/// The server's refusals that have nothing to do with who logs in: it is full, the account is, the host is blocked, it is
/// offline, it shuts down, it can open no more files.
pub(crate) const OF_THE_SERVER: [u16; 8] = [23, 24, 1040, 1053, 1129, 1203, 1226, 3032];

/// Losses within this time before and after count as one event.
const TOGETHER: Duration = Duration::from_secs(1);

/// Losses within this time of each other are remembered as one, with their number.
const MOMENT: Duration = Duration::from_millis(50);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Around {
    reached: Mutex<VecDeque<(Instant, Reach)>>,
    lost: Mutex<VecDeque<(Instant, usize)>>,
    left_over: Mutex<VecDeque<(Instant, u32, Leftover)>>,
    killed: Mutex<VecDeque<(Instant, u32)>>,
}

fn remember<T>(queue: &Mutex<VecDeque<T>>, value: T) {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    if queue.len() == REMEMBERED {
        queue.pop_front();
    }
    queue.push_back(value);
}

impl Around {
    /// An attempt to connect that began then has met this.
    pub(crate) fn reached(&self, began: Instant, reach: Reach) {
        remember(&self.reached, (began, reach));
    }

    /// It has been greeted, and its login has failed: where the server's words have nothing to do with who logs in, they
    /// are what it met.
    pub(crate) fn refused(&self, began: Instant, error: &LoginError) {
        let LoginError::Refused(error) = error else {
            return;
        };
        if !OF_THE_SERVER.contains(&error.code) {
            return;
        }
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, reach)) = reached.iter_mut().rev().find(|(at, _)| *at == began) {
            *reach = Reach::Said(error.code);
        }
    }

    /// It has been let in, and met this error at once.
    pub(crate) fn answered(&self, code: u16) {
        if OF_THE_SERVER.contains(&code) {
            self.reached(Instant::now(), Reach::Said(code));
        }
    }

    /// A session's server connection is lost.
    pub(crate) fn lost(&self, at: Instant) {
        {
            // All of a storm are one entry for each moment of it.
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((last, count)) = lost.back_mut()
                && at.saturating_duration_since(*last) < MOMENT
            {
                *count += 1;
                return;
            }
        }
        remember(&self.lost, (at, 1));
    }

    /// This is what the server had of a lost connection, by its id of it, when it could be asked.
    pub(crate) fn left_over(&self, id: u32, what: Leftover) {
        remember(&self.left_over, (Instant::now(), id, what));
    }

    /// Steadfast itself kills a connection that is lost to it.
    pub(crate) fn killed(&self, id: u32) {
        remember(&self.killed, (Instant::now(), id));
    }

    /// Whether it did so with this one after its loss.
    pub(crate) fn was_killed(&self, id: u32, lost: Instant) -> bool {
        let killed = self.killed.lock().unwrap_or_else(PoisonError::into_inner);
        killed.iter().any(|(at, of)| *of == id && *at >= lost)
    }

    /// What the server had of a connection after its loss, if it could be asked: the first that was seen, and not of one that
    /// had the same id before a restart.
    pub(crate) fn left_over_of(&self, id: u32, lost: Instant) -> Option<Leftover> {
        let known = self
            .left_over
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .find(|(at, of, _)| *of == id && *at >= lost)
            .map(|(_, _, what)| *what)
    }

    /// What the first attempt met that was begun after a loss, if it came to an end.
    pub(crate) fn reach_after(&self, lost: Instant) -> Option<Reach> {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        reached
            .iter()
            .filter(|(began, _)| *began >= lost)
            .min_by_key(|(began, _)| *began)
            .map(|(_, reach)| *reach)
    }

    /// What the last attempt met that was begun since then and came to nothing.
    pub(crate) fn last_failure_since(&self, then: Instant) -> Option<Reach> {
        self.last_failure_between(then, Instant::now())
    }

    /// What the last attempt met that was begun between these and came to nothing.
    pub(crate) fn last_failure_between(&self, from: Instant, to: Instant) -> Option<Reach> {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failed = reached
            .iter()
            .filter(|(began, reach)| (from..=to).contains(began) && *reach != Reach::Greeted);
        failed.next_back().map(|(_, reach)| *reach)
    }

    /// What became of the other connections at the time of a loss; `open` are open now, or are about to be again.
    pub(crate) fn others(&self, lost: Instant, open: usize) -> Others {
        let known = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let together: usize = known
            .iter()
            .filter(|(at, _)| lost.max(*at) - lost.min(*at) <= TOGETHER)
            .map(|(_, count)| count)
            .sum();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Others {
            lost: count(together.saturating_sub(1)),
            kept: count(open.saturating_sub(together)),
        }
    }
}

/// What a failed attempt to connect met; `None`: nothing that tells of the server.
pub(crate) fn met(error: &ConnectError) -> Option<Reach> {
    match error {
        ConnectError::Refused(error) => Some(Reach::Said(error.code)),
        ConnectError::Timeout {
            stage: ConnectStage::Greeting,
            ..
        } => Some(Reach::Mute),
        ConnectError::Timeout {
            stage: ConnectStage::Connecting,
            ..
        } => Some(Reach::Silent),
        ConnectError::Io(LossKind::Refused, _) => Some(Reach::Refused),
        ConnectError::Io(LossKind::Silence | LossKind::Unreachable, _) => Some(Reach::Silent),
        ConnectError::Timeout { .. } | ConnectError::Io(..) | ConnectError::Nonsense(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_of_the_same_second_are_counted_together() {
        let around = Around::default();
        let at = Instant::now();
        for millis in [0, 300, 900, 5_000] {
            around.lost(at + Duration::from_millis(millis));
        }
        assert_eq!(around.others(at, 10), Others { lost: 2, kept: 7 });
        assert_eq!(around.others(at, 3), Others { lost: 2, kept: 0 });
        // A storm of more than what is remembered.
        let at = at + Duration::from_secs(60);
        for number in 0..10_000 {
            around.lost(at + Duration::from_micros(50 * number));
        }
        assert_eq!(
            around.others(at, 10_001),
            Others {
                lost: 9_999,
                kept: 1
            }
        );
    }

    #[test]
    fn a_refused_login_met_the_servers_words() {
        let around = Around::default();
        let at = Instant::now();
        let refusal = |code| {
            LoginError::Refused(steadfast_net::ServerError {
                code,
                sqlstate: None,
                message: Vec::new(),
            })
        };
        around.reached(at, Reach::Greeted);
        around.refused(at, &refusal(1045));
        assert_eq!(around.reach_after(at), Some(Reach::Greeted));
        around.refused(at, &refusal(3032));
        assert_eq!(around.reach_after(at), Some(Reach::Said(3032)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_over_is_of_its_loss_only() {
        let around = Around::default();
        let before = Instant::now();
        around.left_over(7, Leftover::Runs);
        tokio::time::advance(Duration::from_secs(60)).await;
        let lost = Instant::now();
        assert_eq!(around.left_over_of(7, lost), None);
        around.left_over(7, Leftover::Gone);
        assert_eq!(around.left_over_of(7, lost), Some(Leftover::Gone));
        assert_eq!(around.left_over_of(7, before), Some(Leftover::Runs));
        assert_eq!(around.left_over_of(8, before), None);
    }

    #[test]
    fn an_own_kill_is_of_its_loss_only() {
        let around = Around::default();
        let before = Instant::now();
        around.killed(7);
        assert!(around.was_killed(7, before));
        assert!(!around.was_killed(8, before));
        // The id of another connection, after a restart.
        assert!(!around.was_killed(7, Instant::now() + Duration::from_secs(1)));
    }

    #[test]
    fn only_what_was_tried_after_the_loss_tells_of_it() {
        let around = Around::default();
        let at = Instant::now();
        let after = |millis| at + Duration::from_millis(millis);
        around.reached(after(0), Reach::Greeted);
        assert_eq!(around.reach_after(after(1)), None);
        around.reached(after(900), Reach::Greeted);
        around.reached(after(100), Reach::Refused);
        assert_eq!(around.reach_after(after(1)), Some(Reach::Refused));
        // While it was silent.
        assert_eq!(around.last_failure_between(at, after(99)), None);
        let failed = around.last_failure_between(at, after(1_000));
        assert_eq!(failed, Some(Reach::Refused));
    }
}
