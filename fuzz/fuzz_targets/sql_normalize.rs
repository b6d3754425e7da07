//! Digests of any bytes: bounded, cut only when too long, and the same each time.

#![no_main]

use libfuzzer_sys::fuzz_target;
use steadfast_sql::{Dialect, digest, normalize};

fuzz_target!(|input: (u8, &[u8])| {
    let (limit, text) = input;
    for dialect in [Dialect::mysql(90_704), Dialect::mariadb(101_119)] {
        let mut cut = String::new();
        normalize(text, dialect, &mut cut, usize::from(limit));
        assert!(cut.len() <= usize::from(limit));
        let mut whole = String::new();
        normalize(text, dialect, &mut whole, usize::MAX);
        if whole.len() <= usize::from(limit) {
            assert_eq!(cut, whole);
        }
        let mut again = String::new();
        normalize(text, dialect, &mut again, usize::MAX);
        assert_eq!(whole, again);
        let _ = digest(text, dialect);
    }
});
