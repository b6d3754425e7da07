//! The commands that a session keeps: the one that runs, and those of the transaction that is open.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::command::Stored;

/// Places that are kept while there is nothing to put there.
const PLACES: usize = 8;

/// Commands by their handles.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// Handles ascend.
    kept: VecDeque<(u64, Rc<Stored>)>,
    /// The place of a command that is not kept any more, for the next one.
    spare: Option<Rc<Stored>>,
}

impl Store {
    /// Keeps a command whose handle is larger than all before.
    pub(super) fn insert(&mut self, handle: u64, stored: Stored) {
        let stored = match self.spare.take() {
            Some(mut place) => match Rc::get_mut(&mut place) {
                Some(inside) => {
                    *inside = stored;
                    place
                }
                None => Rc::new(stored),
            },
            None => Rc::new(stored),
        };
        self.kept.push_back((handle, stored));
    }

    pub(super) fn get(&self, handle: u64) -> Option<&Rc<Stored>> {
        let at = self
            .kept
            .binary_search_by_key(&handle, |(handle, _)| *handle);
        Some(&self.kept.get(at.ok()?)?.1)
    }

    /// Forgets all but this one.
    pub(super) fn keep_only(&mut self, handle: u64) {
        let running = self.get(handle).cloned();
        self.clear();
        self.kept.extend(running.map(|stored| (handle, stored)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(super) fn clear(&mut self) {
        if let Some((_, mut place)) = self.kept.pop_back()
            && let Some(inside) = Rc::get_mut(&mut place)
        {
            inside.empty();
            self.spare = Some(place);
        }
        self.kept.clear();
        self.kept.shrink_to(PLACES);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use steadfast_session::Statement;
    use steadfast_sql::{Dialect, classify};
    use steadfast_wire::walk::Expect;

    use super::*;

    fn stored(text: &'static [u8]) -> Stored {
        let class = classify(b"SELECT 1", Dialect::mysql(90704));
        Stored {
            payload: Bytes::from_static(text),
            expect: Expect::Query,
            statement: Statement::of(&class),
            class: Some(class),
            prepared: None,
            long_data: Vec::new(),
            types: None,
            answered: false,
            added_rows: None,
        }
    }

    #[test]
    fn commands_are_found_by_their_handles() {
        let mut store = Store::default();
        for (handle, text) in [(3, &b"a"[..]), (4, b"b"), (9, b"c")] {
            store.insert(handle, stored(text));
        }
        let text = |store: &Store, handle| Some(store.get(handle)?.payload.to_vec());
        assert_eq!(text(&store, 4).as_deref(), Some(&b"b"[..]));
        assert_eq!(text(&store, 5), None);
        store.keep_only(9);
        assert_eq!(text(&store, 4), None);
        assert_eq!(text(&store, 9).as_deref(), Some(&b"c"[..]));
        store.clear();
        assert_eq!(text(&store, 9), None);
    }

    #[test]
    fn a_place_is_used_again_unless_somebody_has_it_still() {
        let mut store = Store::default();
        store.insert(1, stored(b"a"));
        let first = Rc::as_ptr(store.get(1).unwrap());
        store.clear();
        store.insert(2, stored(b"b"));
        let second = Rc::clone(store.get(2).unwrap());
        assert_eq!(Rc::as_ptr(&second), first);
        store.clear();
        store.insert(3, stored(b"c"));
        assert_eq!(&second.payload[..], b"b");
        assert_eq!(&store.get(3).unwrap().payload[..], b"c");
    }

    #[test]
    fn what_is_not_kept_any_more_takes_no_memory() {
        let mut store = Store::default();
        let text = Bytes::from(vec![0; 100]);
        let mut large = stored(b"");
        large.payload = text.clone();
        store.insert(1, large);
        assert!(!text.is_unique());
        store.clear();
        assert!(text.is_unique());
    }
}
