//! What clients say when they lose a connection, as people paste it.

use core::time::Duration;

/// What a client said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ClientMessage {
    /// The error's number; 2xxx are the client library's own, others the server's.
    pub code: Option<u16>,
    /// When it happened.
    pub moment: Option<ClientMoment>,
    /// The client itself gave up waiting.
    pub timed_out: bool,
    /// The operating system's error number.
    pub os_error: Option<u32>,
    /// For how long the client had received nothing.
    pub since_received: Option<Duration>,
    /// For how long the client had sent nothing.
    pub since_sent: Option<Duration>,
    /// It says that packets came in another order than they should, or that commands were out of sync.
    pub out_of_order: bool,
    /// A proxy said it, not a server.
    pub proxy: bool,
    /// The message itself, at most [`crate::log::MAX_LINE`] bytes.
    pub text: String,
}

/// When a client's connection was lost, as far as its message tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientMoment {
    /// While it connected: no greeting yet.
    Connecting,
    /// While it logged in.
    Login,
    /// When it began a command: the connection was lost before.
    Sending,
    /// While it waited for the response.
    Waiting,
}
