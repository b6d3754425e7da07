//! The first packet of a client, and the steps of an authentication.
#![no_main]

use libfuzzer_sys::fuzz_target;
use steadfast_wire::Capabilities;
use steadfast_wire::handshake::{AuthPacket, ClientHello, HandshakeResponse};

fuzz_target!(|payload: &[u8]| {
    match ClientHello::parse(payload) {
        Ok(ClientHello::Response(response)) => {
            let _ = response
                .attributes
                .map(|attributes| attributes.iter().count());
            let mut again = Vec::new();
            // A response that came in can be written: it has no NUL where there is no room for one. Its last string
            // may have come without its NUL, and fields may have been missing, so only a second trip is exact.
            response.write(&mut again).unwrap();
            let second = HandshakeResponse::parse(&again).unwrap();
            assert_eq!(
                (second.user, second.auth_response),
                (response.user, response.auth_response)
            );
            let mut third = Vec::new();
            second.write(&mut third).unwrap();
            assert_eq!(again, third);
        }
        Ok(ClientHello::SslRequest(request)) => {
            let mut again = Vec::new();
            request.write(&mut again);
            assert_eq!(
                ClientHello::parse(&again),
                Ok(ClientHello::SslRequest(request))
            );
        }
        Err(_) => {}
    }
    if let [a, b, rest @ ..] = payload {
        let capabilities = Capabilities::from_bits_retain(u64::from(*a) << 16 | u64::from(*b) << 8);
        let _ = AuthPacket::parse(rest, capabilities);
    }
});
