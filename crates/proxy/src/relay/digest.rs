//! What a response said, in 64 bits.

use std::hash::Hasher;

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// Two responses that said the same have the same digest, however they were cut into reads.
///
/// Each piece is digested with what came before it as its seed. That is a third of what it costs to collect pieces as
/// short as rows mostly are.
#[derive(Default)]
pub(super) struct Digest {
    so_far: u64,
    /// The packet that is passed on in parts.
    long: Option<Box<Xxh3>>,
}

impl Digest {
    /// A piece that is here as a whole; its length counts.
    #[inline(never)]
    pub(super) fn add(&mut self, piece: &[u8]) {
        debug_assert!(self.long.is_none(), "a long packet has not ended");
        self.so_far = xxh3_64_with_seed(piece, self.so_far);
    }

    /// A packet begins that comes in parts.
    pub(super) fn begin_long(&mut self) {
        self.add(b"long");
        self.long = Some(Box::new(Xxh3::new()));
    }

    /// A part of it. Where it is cut does not count.
    pub(super) fn add_part(&mut self, part: &[u8]) {
        if let Some(long) = &mut self.long {
            long.update(part);
        }
    }

    /// All of it has come.
    pub(super) fn end_long(&mut self) {
        self.so_far = self.get();
        self.long = None;
    }

    /// The digest of all so far, of the parts of a long packet too.
    pub(super) fn get(&self) -> u64 {
        match &self.long {
            Some(long) => xxh3_64_with_seed(&long.finish().to_le_bytes(), self.so_far),
            None => self.so_far,
        }
    }
}
