//! Words to a session from outside: a small letter box, which costs a session that gets none hardly anything.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::registry::Control;

/// Words that may wait for a session.
const MOST: usize = 8;

/// Says something to a session, from any thread.
#[derive(Clone, Debug)]
pub(crate) struct WordSender(Arc<Letters>);

/// The words that have come for a session. Those about a KILL can be taken out of turn.
#[derive(Debug)]
pub(crate) struct Words {
    letters: Arc<Letters>,
    /// The waker that is in the box.
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Letters {
    /// There are some.
    some: AtomicBool,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    words: VecDeque<Control>,
    waker: Option<Waker>,
}

impl Letters {
    fn open(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WordSender {
    /// Says it. A session that has heard so many words that it does not get to them has something more urgent to do: then
    /// it is lost.
    pub(crate) fn say(&self, word: Control) {
        let mut inside = self.0.open();
        if inside.words.len() == MOST {
            return;
        }
        inside.words.push_back(word);
        self.0.some.store(true, Ordering::SeqCst);
        if let Some(waker) = &inside.waker {
            waker.wake_by_ref();
        }
    }
}

impl Words {
    /// None yet; and who can say some.
    pub(crate) fn new() -> (WordSender, Self) {
        let letters = Arc::new(Letters::default());
        let words = Self {
            letters: Arc::clone(&letters),
            waker: None,
        };
        (WordSender(letters), words)
    }

    /// The next word. Nothing is lost when it is dropped before its end.
    pub(crate) async fn next(&mut self) -> Control {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// As [`Words::next`].
    pub(crate) fn poll_next(&mut self, context: &Context<'_>) -> Poll<Control> {
        let waker = context.waker();
        let known = self.waker.as_ref();
        if !known.is_some_and(|known| known.will_wake(waker)) {
            self.letters.open().waker = Some(waker.clone());
            self.waker = Some(waker.clone());
        }
        // After the waker is there: who spoke before has set this.
        if !self.letters.some.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        match self.take(|_| true) {
            Some(word) => Poll::Ready(word),
            None => Poll::Pending,
        }
    }

    /// The next word about a KILL for a server connection, if one has come; the others stay.
    pub(crate) fn next_about_kill(&mut self) -> Option<Control> {
        self.take(|word| {
            matches!(
                word,
                Control::KillSent(_) | Control::KillTaken(_) | Control::KillRefused(_)
            )
        })
    }

    fn take(&mut self, wanted: impl Fn(Control) -> bool) -> Option<Control> {
        let mut inside = self.letters.open();
        let at = inside.words.iter().position(|word| wanted(*word))?;
        let word = inside.words.remove(at);
        let some = !inside.words.is_empty();
        self.letters.some.store(some, Ordering::SeqCst);
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn words_about_a_kill_are_found_behind_others() {
        let (sender, mut words) = Words::new();
        for word in [Control::Interrupt, Control::KillSent(7), Control::Close] {
            sender.say(word);
        }
        assert_eq!(words.next_about_kill(), Some(Control::KillSent(7)));
        assert_eq!(words.next_about_kill(), None);
        assert_eq!(words.next().await, Control::Interrupt);
        assert_eq!(words.next().await, Control::Close);
    }

    #[tokio::test]
    async fn a_word_from_another_thread_wakes_who_waits() {
        let (sender, mut words) = Words::new();
        for _ in 0..100 {
            let sender = sender.clone();
            let speaks = std::thread::spawn(move || sender.say(Control::Kill));
            assert_eq!(words.next().await, Control::Kill);
            speaks.join().unwrap();
        }
    }

    #[tokio::test]
    async fn the_box_has_an_end() {
        let (sender, mut words) = Words::new();
        for _ in 0..2 * MOST {
            sender.say(Control::Interrupt);
        }
        for _ in 0..MOST {
            words.next().await;
        }
        sender.say(Control::Close);
        assert_eq!(words.next().await, Control::Close);
    }
}
