//! When a session that had commands has had none for a while: so that it gives back what only commands need.
//!
//! Without a timer for each command: all threads hear the same beat. A thread counts it as long as it has sessions with
//! commands, and each of those looks at the count when it waits.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use crate::bell::{Bell, Ear};

/// Between two beats.
const STEP: Duration = Duration::from_secs(1);

/// What all threads hear.
pub(crate) type Beat = watch::Sender<()>;

/// Beats, as long as it is not dropped; on a thread without sessions, which the timer would cost a system call.
pub(crate) async fn beat(beat: Beat) {
    loop {
        sleep(STEP).await;
        beat.send_replace(());
    }
}

/// A session without commands rests after so many beats.
const PATIENCE: u64 = 2;

/// Of one thread.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    steps: Cell<u64>,
    awake: Cell<usize>,
    begins: Notify,
    bell: Bell,
}

/// A session that has commands.
#[derive(Debug)]
pub(crate) struct Awake {
    pace: Rc<Pace>,
    ear: Ear,
}

impl Pace {
    /// A session gets its first command.
    pub(crate) fn wake(self: &Rc<Self>) -> Awake {
        self.awake.set(self.awake.get() + 1);
        if self.awake.get() == 1 {
            self.begins.notify_one();
        }
        Awake {
            pace: Rc::clone(self),
            ear: self.bell.ear(),
        }
    }

    /// Counts, as long as there is a beat.
    pub(crate) async fn count(self: Rc<Self>, mut beat: watch::Receiver<()>) {
        loop {
            while self.awake.get() == 0 {
                self.begins.notified().await;
                // Those that came meanwhile are over.
                beat.mark_unchanged();
            }
            if beat.changed().await.is_err() {
                return;
            }
            self.steps.set(self.steps.get() + 1);
            self.bell.ring();
        }
    }
}

impl Awake {
    /// When a session rests that has a command now.
    pub(crate) fn rest_at(&self) -> u64 {
        self.pace.steps.get() + PATIENCE
    }

    /// Whether it is time to rest; if not, the task is woken when it may be.
    pub(crate) fn tires(&self, context: &Context<'_>, rest_at: u64) -> bool {
        let steps = || self.pace.steps.get();
        self.ear.hears(context, || steps() >= rest_at)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.pace.awake.set(self.pace.awake.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use tokio::task::{LocalSet, spawn_local};
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_rests_a_while_after_its_last_command() {
        LocalSet::new()
            .run_until(async {
                let pace = Rc::new(Pace::default());
                let sender = Beat::default();
                spawn_local(Rc::clone(&pace).count(sender.subscribe()));
                spawn_local(beat(sender));
                for _ in 0..2 {
                    let awake = pace.wake();
                    let begun = Instant::now();
                    let tires = || {
                        let rest_at = awake.rest_at();
                        let awake = &awake;
                        poll_fn(move |context| match awake.tires(context, rest_at) {
                            true => Poll::Ready(()),
                            false => Poll::Pending,
                        })
                    };
                    // Commands keep coming.
                    for _ in 0..20 {
                        let half = Duration::from_millis(500);
                        assert!(timeout(half, tires()).await.is_err());
                    }
                    tires().await;
                    let rested = begun.elapsed() - Duration::from_secs(10);
                    assert!((STEP..=3 * STEP).contains(&rested), "{rested:?}");
                    drop(awake);
                    // Nobody counts for nobody.
                    let steps = pace.steps.get();
                    sleep(Duration::from_secs(60)).await;
                    assert!(pace.steps.get() <= steps + 1);
                }
            })
            .await;
    }
}
