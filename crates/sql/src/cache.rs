//! A bounded cache from text to class.

use crate::shape::{self, SHAPE_LIMIT};
use crate::{Class, Dialect, Server, classify};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A bounded cache of classes. A hit needs the same text, byte for byte but for the numbers in
/// it, and the same [`Dialect`]; a hash alone never decides. A hit does not allocate, and a miss only where the
/// text that makes way is shorter.
#[derive(Debug)]
pub struct ClassCache {
    slots: Box<[Option<Entry>]>,
    /// Bytes of room for texts.
    kept: usize,
    /// Limit of `kept`.
    texts: usize,
    /// Where the next eviction looks first.
    hand: usize,
    /// Room for a text's shape.
    shape: Vec<u8>,
}

#[derive(Debug)]
struct Entry {
    text: Vec<u8>,
    dialect: Dialect,
    class: Class,
    /// Hit since the hand went by.
    hot: bool,
}

impl Default for ClassCache {
    fn default() -> Self {
        Self::with_memory(Self::DEFAULT_MEMORY)
    }
}

impl ClassCache {
    /// Texts longer than this many bytes are classified each time.
    pub const TEXT_LIMIT: usize = 4096;
    /// The memory limit of [`ClassCache::default`] in bytes.
    pub const DEFAULT_MEMORY: usize = 1 << 20;
    /// The length of text, in bytes, for which the numbers of slots and of bytes fit.
    const USUAL_TEXT: usize = 256;

    /// A cache that holds at most `bytes` of slots and texts together (but for the allocator's
    /// own overhead), and at least two slots with room for one text.
    #[must_use]
    pub fn with_memory(bytes: usize) -> Self {
        let slot = size_of::<Option<Entry>>();
        let wanted = bytes / (slot + Self::USUAL_TEXT);
        let count = wanted.max(2).next_power_of_two();
        let count = if count > wanted { count / 2 } else { count }.max(2);
        ClassCache {
            slots: std::iter::repeat_with(|| None).take(count).collect(),
            kept: 0,
            texts: bytes.saturating_sub(count * slot).max(Self::TEXT_LIMIT),
            hand: 0,
            shape: Vec::with_capacity(SHAPE_LIMIT),
        }
    }

    /// The class of a text, from the cache or else [`classify`]ed and kept.
    pub fn class(&mut self, text: &[u8], dialect: Dialect) -> Class {
        if text.len() > Self::TEXT_LIMIT {
            return classify(text, dialect);
        }
        let places = self.places(text, dialect);
        if let Some(class) = self.find(places, text, dialect) {
            return class;
        }
        // A statement with other numbers in it.
        let mut shape = std::mem::take(&mut self.shape);
        let class = if !shape::shape(text, &mut shape) {
            let class = classify(text, dialect);
            self.keep(places, text, dialect, class);
            class
        } else {
            let places = self.places(&shape, dialect);
            self.find(places, &shape, dialect).unwrap_or_else(|| {
                let class = classify(text, dialect);
                self.keep(places, &shape, dialect, class);
                class
            })
        };
        self.shape = shape;
        class
    }

    fn find(&mut self, places: [usize; 2], text: &[u8], dialect: Dialect) -> Option<Class> {
        for place in places {
            if let Some(Some(entry)) = self.slots.get_mut(place)
                && entry.dialect == dialect
                && entry.text == text
            {
                entry.hot = true;
                return Some(entry.class);
            }
        }
        None
    }

    /// The two slots where a text may be.
    fn places(&self, text: &[u8], dialect: Dialect) -> [usize; 2] {
        let seed = u64::from(dialect.version) << 8
            | u64::from(dialect.server == Server::MySql) << 7
            | u64::from(dialect.ansi_quotes) << 6
            | u64::from(dialect.no_backslash_escapes) << 5
            | u64::from(dialect.oracle) << 4
            | dialect.charset as u64;
        let hash = xxh3_64_with_seed(text, seed);
        let mask = self.slots.len() - 1;
        let first = hash as usize & mask;
        [first, first ^ 1]
    }

    fn keep(&mut self, places: [usize; 2], text: &[u8], dialect: Dialect, class: Class) {
        let [first, second] = places;
        let (held, other) = (self.slots.get(first), self.slots.get(second));
        let place = match (held, other) {
            (Some(Some(_)), Some(None)) => second,
            (Some(Some(held)), Some(Some(other))) if held.hot && !other.hot => second,
            _ => first,
        };
        // Its room is used again.
        let mut room = self.take(place).unwrap_or_default();
        room.clear();
        room.reserve_exact(text.len());
        room.extend_from_slice(text);
        if let Some(Some(other)) = self.slots.get_mut(place ^ 1) {
            other.hot = false;
        }
        while self.kept > 0 && self.kept + room.capacity() > self.texts {
            self.evict();
        }
        if let Some(slot) = self.slots.get_mut(place) {
            self.kept += room.capacity();
            *slot = Some(Entry {
                text: room,
                dialect,
                class,
                hot: false,
            });
        }
    }

    /// Drops one entry that was not hit since the hand went by.
    fn evict(&mut self) {
        loop {
            let at = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            match self.slots.get_mut(at) {
                Some(Some(entry)) if entry.hot => entry.hot = false,
                Some(Some(_)) => {
                    self.take(at);
                    return;
                }
                _ if self.kept == 0 => return,
                _ => {}
            }
        }
    }

    /// Empties a slot, and gives the room of its text.
    fn take(&mut self, place: usize) -> Option<Vec<u8>> {
        let entry = self.slots.get_mut(place)?.take()?;
        self.kept -= entry.text.capacity();
        Some(entry.text)
    }
}
