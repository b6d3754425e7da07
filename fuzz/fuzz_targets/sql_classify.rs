//! Classes, assignments and names of any bytes in any dialect.
//!
//! The first byte chooses the dialect. A text that is one harmless statement stays so when
//! white space is put around it, and the cache agrees with the lexer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use steadfast_sql::{
    Charset, ClassCache, Dialect, Effects, classify, deallocate_name, execute_name, kill_target,
    literal_assignments, prepare_parts, set_assignments, user_variables,
};

fuzz_target!(|input: (u8, &[u8])| {
    let (choice, text) = input;
    let charset = match choice & 7 {
        0 => Charset::Gbk,
        1 => Charset::Big5,
        2 => Charset::Sjis,
        3 => Charset::Cp932,
        4 => Charset::Gb18030,
        5 => Charset::SingleOrUtf8,
        _ => Charset::Utf8,
    };
    let server = if choice & 8 == 0 {
        Dialect::mysql(90_704)
    } else {
        Dialect::mariadb(101_119)
    };
    let dialect = Dialect {
        charset,
        ansi_quotes: choice & 16 != 0,
        no_backslash_escapes: choice & 32 != 0,
        oracle: choice & 64 != 0,
        ..server
    };
    let class = classify(text, dialect);
    if !class.effects.contains(Effects::UNKNOWN) {
        let spaced = [b" \n", text, b"\n "].concat();
        assert_eq!(classify(&spaced, dialect), class);
    }
    let mut cache = ClassCache::with_memory(0);
    assert_eq!(cache.class(text, dialect), class);
    assert_eq!(cache.class(text, dialect), class);
    for assignment in set_assignments(text, dialect) {
        assert_eq!(&text[assignment.value_span], assignment.value);
    }
    let mentioned = user_variables(text, dialect).count();
    if let Some(assigned) = literal_assignments(text, dialect) {
        assert_eq!(assigned.count(), mentioned);
    }
    if let Some(kill) = kill_target(text, dialect) {
        assert!(!text[kill.id_span].is_empty());
    }
    let _ = (prepare_parts(text, dialect), execute_name(text, dialect));
    let _ = deallocate_name(text, dialect);
});
