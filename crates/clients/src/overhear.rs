//! Listens on a leg of the clients' connections for the accounts' password in the clear.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use steadfast_sandbox::{Direction, Link, Verdict};

use crate::accounts::PASSWORD;

/// Bytes from the beginning of a connection in which a login is over.
const LOGIN: usize = 8 << 10;

/// A link on the way to a server or a proxy.
pub(crate) struct Leg {
    link: Link,
    heard: Arc<AtomicBool>,
}

impl Leg {
    /// On the way to this address.
    pub(crate) fn to(address: SocketAddr) -> io::Result<Self> {
        let link = Link::to(address)?;
        let heard = Arc::new(AtomicBool::new(false));
        let hears = Arc::clone(&heard);
        let mut sent: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        link.set_tap(move |direction, connection, bytes| {
            let sent = sent.entry(connection).or_default();
            if direction == Direction::ToServer && sent.len() < LOGIN {
                sent.extend(bytes.iter().take(LOGIN));
                if contains(sent, PASSWORD.as_bytes()) {
                    hears.store(true, Ordering::SeqCst);
                }
            }
            Verdict::Pass
        });
        Ok(Self { link, heard })
    }

    /// Where to connect instead.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.link.addr()
    }

    /// Whether the password was heard since this was last asked.
    pub(crate) fn heard(&self) -> bool {
        self.heard.swap(false, Ordering::SeqCst)
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn hears(sent: &[&[u8]]) -> bool {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let leg = Leg::to(server.local_addr().unwrap()).unwrap();
        let mut client = TcpStream::connect(leg.addr()).unwrap();
        let (mut accepted, _) = server.accept().unwrap();
        for part in sent {
            client.write_all(part).unwrap();
            accepted.read_exact(&mut vec![0; part.len()]).unwrap();
        }
        leg.heard()
    }

    #[test]
    fn a_password_is_heard_also_in_two_parts() {
        let (one, two) = PASSWORD.as_bytes().split_at(4);
        assert!(hears(&[b"user\0", PASSWORD.as_bytes(), b"\0"]));
        assert!(hears(&[one, two]));
        assert!(!hears(&[two, one]));
    }
}
