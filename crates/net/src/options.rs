//! Options of TCP sockets, and their defaults.

use std::time::Duration;

/// How a TCP socket behaves. A Unix socket has none of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOptions {
    /// Small packets are sent at once (TCP_NODELAY). Default: true.
    pub nodelay: bool,
    /// Silence before the first keepalive probe (TCP_KEEPIDLE), whole seconds. Default: 10 s, far below the 240 s of
    /// the strictest cloud middlebox.
    pub keepalive_idle: Duration,
    /// Time between probes (TCP_KEEPINTVL), whole seconds. Default: 5 s.
    pub keepalive_interval: Duration,
    /// Unanswered probes after which the connection is dead (TCP_KEEPCNT). Default: 3, so that a vanished peer is
    /// noticed after 25 s.
    pub keepalive_probes: u32,
    /// Age of unacknowledged data at which the connection is dead (TCP_USER_TIMEOUT); it then also takes the place of
    /// [`keepalive_probes`](Self::keepalive_probes). `None` leaves it to the system's retransmissions, about 15
    /// minutes.
    ///
    /// Default: `None`, because Linux also counts a peer that acknowledges everything but keeps its window closed:
    /// a client that pauses in the middle of a result would be cut.
    pub user_timeout: Option<Duration>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        SocketOptions {
            nodelay: true,
            keepalive_idle: Duration::from_secs(10),
            keepalive_interval: Duration::from_secs(5),
            keepalive_probes: 3,
            user_timeout: None,
        }
    }
}

impl SocketOptions {
    pub(crate) fn set(&self, socket: socket2::SockRef<'_>) -> std::io::Result<()> {
        socket.set_tcp_nodelay(self.nodelay)?;
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(self.keepalive_idle)
            .with_interval(self.keepalive_interval)
            .with_retries(self.keepalive_probes);
        socket.set_tcp_keepalive(&keepalive)?;
        socket.set_tcp_user_timeout(self.user_timeout)
    }
}
