//! Polls a source only when it has something to say.
//!
//! A session waits for its client, its server and words from outside at once, and is polled when one of them wakes it:
//! then all are polled, and each of those that have nothing registers its waker again, which costs more than all the rest
//! of the poll. A gate gives its source a waker of its own, and asks it again only after that was called.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// See the module. A source behind a gate must not be polled past it: its waker would be lost.
#[derive(Debug)]
pub struct Gate {
    alarm: Arc<Alarm>,
    /// Calls `alarm`.
    own: Waker,
    /// The source was pending, and has `own`.
    asleep: bool,
    /// The waker in `alarm`.
    task: Option<Waker>,
}

#[derive(Debug, Default)]
struct Alarm {
    rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = &*task {
            task.wake_by_ref();
        }
    }
}

impl Default for Gate {
    fn default() -> Self {
        let alarm = Arc::new(Alarm::default());
        Self {
            own: Waker::from(Arc::clone(&alarm)),
            alarm,
            asleep: false,
            task: None,
        }
    }
}

impl Gate {
    /// Polls the source, unless it was pending and nothing has happened since. `poll` gets the context for it.
    pub fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let waker = context.waker();
        if !self.task.as_ref().is_some_and(|task| task.will_wake(waker)) {
            let mut task = self
                .alarm
                .task
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *task = Some(waker.clone());
            self.task = Some(waker.clone());
        }
        // After the waker is there: who rings before has set this.
        if self.asleep && !self.alarm.rung.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        // Who rings from here on wants another look.
        self.alarm.rung.store(false, Ordering::SeqCst);
        let polled = poll(&mut Context::from_waker(&self.own));
        self.asleep = polled.is_pending();
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[derive(Default)]
    struct Count(std::sync::atomic::AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_source_that_has_nothing_is_asked_once_until_it_rings() {
        let mut gate = Gate::default();
        let task = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&task));
        let mut context = Context::from_waker(&waker);
        let (asked, inner) = (Cell::new(0), Cell::new(None));
        let pending = |context: &mut Context<'_>| -> Poll<()> {
            asked.set(asked.get() + 1);
            inner.set(Some(context.waker().clone()));
            Poll::Pending
        };
        for _ in 0..3 {
            assert!(gate.poll(&mut context, pending).is_pending());
        }
        assert_eq!(asked.get(), 1);
        inner.take().unwrap().wake();
        assert_eq!(task.0.load(Ordering::SeqCst), 1);
        assert!(gate.poll(&mut context, |_| Poll::Ready(7)).is_ready());
        // It may have more.
        assert!(gate.poll(&mut context, |_| Poll::Ready(8)).is_ready());
        assert!(gate.poll(&mut context, pending).is_pending());
        assert_eq!(asked.get(), 2);
        // Another task waits for it now.
        let other = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&other));
        let mut context = Context::from_waker(&waker);
        assert!(gate.poll(&mut context, pending).is_pending());
        assert_eq!(asked.get(), 2);
        inner.take().unwrap().wake();
        assert_eq!(task.0.load(Ordering::SeqCst), 1);
        assert_eq!(other.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_rings_while_it_is_asked_is_not_missed() {
        let mut gate = Gate::default();
        let mut context = Context::from_waker(Waker::noop());
        let polled = gate.poll(&mut context, |context| {
            context.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        assert!(gate.poll(&mut context, |_| Poll::Ready(())).is_ready());
    }
}
