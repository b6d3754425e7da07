//! What injections have in common: an account, an address, a moment, and what this machine does not let be done.

use std::net::Ipv4Addr;
use std::time::Duration;

/// The account.
pub(crate) const USER: &str = "accuracy";
pub(crate) const PASSWORD: &str = "Accuracy-Password-1";

/// Something that this machine does not let be injected.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotHere(pub(crate) String);

/// Where the server sees its clients, in a network namespace of this command's own: connections from this machine to itself
/// never block a host. 198.18.0.0/15 is for tests of networks: RFC 2544.
pub(crate) const OTHER_HOST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

/// A moment.
pub(crate) async fn millis(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
