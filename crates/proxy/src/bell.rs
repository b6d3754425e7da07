//! Wakes all sessions of a thread: for what concerns each of them, and happens hardly ever.
//!
//! So that waiting for it costs a session nothing: no lock, and no place in a queue that all threads share.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};

/// Of one thread.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    ears: RefCell<Vec<Weak<Slot>>>,
}

/// One session's.
#[derive(Debug)]
pub(crate) struct Ear(Rc<Slot>);

type Slot = RefCell<Option<Waker>>;

impl Bell {
    /// For a session of this thread.
    pub(crate) fn ear(&self) -> Ear {
        let slot = Rc::new(Slot::default());
        let mut ears = self.ears.borrow_mut();
        // Those of sessions that have ended make way before the room grows.
        if ears.len() == ears.capacity() {
            ears.retain(|ear| ear.strong_count() > 0);
        }
        ears.push(Rc::downgrade(&slot));
        Ear(slot)
    }

    /// All sessions look at what they wait for.
    pub(crate) fn ring(&self) {
        let mut ears = self.ears.borrow_mut();
        ears.retain(|ear| {
            let slot = ear.upgrade();
            if let Some(slot) = &slot
                && let Some(waker) = slot.borrow_mut().take()
            {
                waker.wake();
            }
            slot.is_some()
        });
    }
}

impl Ear {
    /// Whether this is so; if not, the task is woken when the bell has rung: who makes it so rings after that.
    pub(crate) fn hears(&self, context: &Context<'_>, so: impl FnOnce() -> bool) -> bool {
        if so() {
            return true;
        }
        let mut slot = self.0.borrow_mut();
        match &mut *slot {
            Some(waker) => waker.clone_from(context.waker()),
            None => *slot = Some(context.waker().clone()),
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::task::Poll;

    use tokio::task::{LocalSet, spawn_local, yield_now};

    use super::*;

    #[tokio::test]
    async fn all_who_wait_hear_it_and_look_for_themselves() {
        LocalSet::new()
            .run_until(async {
                let bell = Rc::new(Bell::default());
                let count = Rc::new(Cell::new(0));
                let heard: Vec<_> = [1, 1, 2]
                    .map(|wanted| {
                        let (ear, count) = (bell.ear(), Rc::clone(&count));
                        spawn_local(poll_fn(move |context| {
                            match ear.hears(context, || count.get() >= wanted) {
                                true => Poll::Ready(()),
                                false => Poll::Pending,
                            }
                        }))
                    })
                    .into();
                yield_now().await;
                let done = || {
                    heard
                        .iter()
                        .map(|task| task.is_finished())
                        .collect::<Vec<_>>()
                };
                bell.ring();
                yield_now().await;
                assert_eq!(done(), [false, false, false]);
                for (number, expected) in [(1, [true, true, false]), (2, [true, true, true])] {
                    count.set(number);
                    bell.ring();
                    yield_now().await;
                    assert_eq!(done(), expected);
                }
            })
            .await;
    }

    #[test]
    fn sessions_that_have_ended_take_no_room() {
        let bell = Bell::default();
        let _stays = bell.ear();
        for _ in 0..10_000 {
            drop(bell.ear());
        }
        assert!(bell.ears.borrow().len() < 100);
        bell.ring();
        assert_eq!(bell.ears.borrow().len(), 1);
    }
}
