//! What many sessions of a thread have alike is kept once.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

/// Different ones that are remembered, the latest first, as long as a session has them.
const KEPT: usize = 16;

/// Those of one kind, on one thread.
#[derive(Debug)]
pub(crate) struct Alike<T: ?Sized>(RefCell<Vec<Weak<T>>>);

impl<T: ?Sized> Default for Alike<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: ?Sized + Eq> Alike<T> {
    /// Puts in its place the one that others have, if that is the same.
    pub(crate) fn share(&self, mine: &mut Rc<T>) {
        let mut kept = self.0.borrow_mut();
        kept.retain(|one| one.strong_count() > 0);
        let same = |one: &Weak<T>| {
            one.upgrade()
                .filter(|one| Rc::ptr_eq(one, mine) || **one == **mine)
        };
        let found = kept
            .iter()
            .enumerate()
            .find_map(|(at, one)| Some((at, same(one)?)));
        if let Some((at, one)) = found {
            kept[..=at].rotate_right(1);
            *mine = one;
        } else {
            kept.truncate(KEPT - 1);
            kept.insert(0, Rc::downgrade(mine));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_are_one_for_as_long_as_somebody_has_it() {
        let alike = Alike::default();
        let shared = |value: u32| {
            let mut mine = Rc::new(value);
            alike.share(&mut mine);
            assert_eq!(*mine, value);
            mine
        };
        let first = shared(7);
        let others: Vec<_> = (100..100 + KEPT as u32 - 1).map(shared).collect();
        assert!(Rc::ptr_eq(&shared(7), &first));
        // The one that was used last is forgotten last.
        let more: Vec<_> = (200..200 + KEPT as u32 - 1).map(shared).collect();
        assert!(Rc::ptr_eq(&shared(7), &first));
        let rest: Vec<_> = (300..300 + KEPT as u32).map(shared).collect();
        assert!(!Rc::ptr_eq(&shared(7), &first));
        drop((others, more, rest));
        assert_eq!(Rc::strong_count(&first), 1);
        shared(8);
        assert_eq!(alike.0.borrow().len(), 1);
    }
}
