//! The first packet of a server: never a panic, and what was read is written and read again the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steadfast_wire::handshake::{Greeting, InitialPacket};

fuzz_target!(|payload: &[u8]| {
    if let Ok(InitialPacket::Greeting(greeting)) = InitialPacket::parse(payload) {
        let mut again = Vec::new();
        greeting.write(&mut again);
        assert_eq!(Greeting::parse(&again), Ok(greeting));
    }
});
