//! What many sessions of a thread have alike is kept once.

use std::cell::RefCell;
use std::rc::Rc;

/// Different ones that are remembered, the latest first.
const KEPT: usize = 4;

/// Those of one kind, on one thread.
#[derive(Debug)]
pub(crate) struct Alike<T: ?Sized>(RefCell<Vec<Rc<T>>>);

impl<T: ?Sized> Default for Alike<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: ?Sized + Eq> Alike<T> {
    /// Puts in its place the one that others have, if that is the same.
    pub(crate) fn share(&self, mine: &mut Rc<T>) {
        let mut kept = self.0.borrow_mut();
        let same = |one: &Rc<T>| Rc::ptr_eq(one, mine) || **one == **mine;
        if let Some(at) = kept.iter().position(same) {
            kept[..=at].rotate_right(1);
            *mine = Rc::clone(&kept[0]);
        } else {
            kept.truncate(KEPT - 1);
            kept.insert(0, Rc::clone(mine));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_are_one_and_only_a_few_are_remembered() {
        let alike = Alike::default();
        let shared = |value: u32| {
            let mut mine = Rc::new(value);
            alike.share(&mut mine);
            assert_eq!(*mine, value);
            mine
        };
        let first = shared(7);
        for value in 1..KEPT as u32 {
            assert!(!Rc::ptr_eq(&shared(value), &first));
        }
        assert!(Rc::ptr_eq(&shared(7), &first));
        // The one that was used last is forgotten last.
        for value in 10..10 + KEPT as u32 - 1 {
            shared(value);
        }
        assert!(Rc::ptr_eq(&shared(7), &first));
        for value in 20..20 + KEPT as u32 {
            shared(value);
        }
        assert!(!Rc::ptr_eq(&shared(7), &first));
        assert_eq!(Rc::strong_count(&first), 1);
    }
}
