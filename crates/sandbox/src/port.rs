//! Picks the port of a server.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

use crate::Error;

/// A free port on 127.0.0.1, one that the kernel gives to nobody else.
///
/// A server keeps its port while it is down. A port from the kernel's ephemeral range could
/// then be taken by any outgoing connection, even by a client's attempt to reach that very
/// server (TCP connects such a socket to itself). So the port is chosen below that range.
///
/// # Errors
/// There is none, or the system does not tell.
pub fn free_port() -> Result<u16, Error> {
    const LOWEST: u16 = 10_240;
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let ephemeral = range
        .split_whitespace()
        .next()
        .and_then(|low| low.parse().ok());
    let above = ephemeral.unwrap_or(32_768u16);
    let what = "find a free port on 127.0.0.1";
    if above > LOWEST + 1_000 {
        for _ in 0..64 {
            let [a, b] = random()?;
            let port = LOWEST + u16::from_le_bytes([a, b]) % (above - LOWEST);
            match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                Ok(_) => return Ok(port),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(Error::io(what)(error)),
            }
        }
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io(what))?;
    Ok(listener.local_addr().map_err(Error::io(what))?.port())
}

/// Random bytes from the kernel.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    fs::File::open("/dev/urandom")
        .and_then(|mut source| io::Read::read_exact(&mut source, &mut bytes))
        .map_err(Error::io("read random bytes"))?;
    Ok(bytes)
}

/// Random bytes in hexadecimal, `2 * N` characters.
pub(crate) fn random_hex<const N: usize>() -> Result<String, Error> {
    Ok(random::<N>()?
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
