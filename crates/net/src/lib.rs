//! Sockets, TLS and Steadfast's own MySQL client: the only place that sees clocks and sockets.
