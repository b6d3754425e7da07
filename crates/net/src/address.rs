//! Addresses of servers and listeners, and who is at the other end of a connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// Where a server listens, or where to listen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP: `HOST:PORT` or `[IPV6]:PORT`.
    Tcp {
        /// A name or an address, IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket: an absolute path.
    Unix(PathBuf),
}

/// Why a text is no [`Address`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no address: {what}; write HOST:PORT, [IPV6]:PORT or /path/to/socket")]
pub struct AddressError {
    text: String,
    what: &'static str,
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = |what| AddressError {
            text: text.to_owned(),
            what,
        };
        if text.starts_with('/') {
            return Ok(Address::Unix(text.into()));
        }
        let (host, port) = text
            .rsplit_once(':')
            .ok_or_else(|| wrong("it has no port"))?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')
                .ok_or_else(|| wrong("a bracket is not closed"))?,
            None if host.contains(':') => return Err(wrong("an IPv6 address needs brackets")),
            None => host,
        };
        if host.is_empty() {
            return Err(wrong("it has no host"));
        }
        let port = port
            .parse()
            .map_err(|_| wrong("its port is no number from 0 to 65535"))?;
        Ok(Address::Tcp {
            host: host.to_owned(),
            port,
        })
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Tcp {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

/// As [`FromStr`] reads it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Who is at the other end of an accepted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// Over TCP.
    Tcp(SocketAddr),
    /// Over a Unix socket.
    Unix {
        /// The user id of the process that connected, if the system says.
        uid: Option<u32>,
        /// Its process id, if the system says.
        pid: Option<i32>,
    },
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Tcp(address) => address.fmt(f),
            Peer::Unix { pid: Some(pid), .. } => write!(f, "process {pid} on the Unix socket"),
            Peer::Unix { .. } => f.write_str("a process on the Unix socket"),
        }
    }
}

/// The addresses of a host, as the system's resolver gives them now: nothing is cached, so a name that moved to
/// another machine is followed by the next connection.
///
/// # Errors
/// The resolver's; `NotFound` if the name has no address.
pub async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    if addresses.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("the name {host} has no address"),
        ));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_shown_as_they_are_written() {
        for text in [
            "db1:3306",
            "127.0.0.1:1",
            "[::1]:3306",
            "/run/mysqld/mysqld.sock",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let v6: Address = "[::1]:3306".parse().unwrap();
        assert_eq!(
            v6,
            Address::Tcp {
                host: "::1".to_owned(),
                port: 3306
            }
        );
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (text, what) in [
            ("db1", "no port"),
            ("", "no port"),
            (":3306", "no host"),
            ("[::1:3306", "bracket"),
            ("::1:3306", "brackets"),
            ("db1:x", "no number"),
            ("db1:65536", "no number"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
