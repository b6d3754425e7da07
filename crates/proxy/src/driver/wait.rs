//! What comes first, for a session that waits: what the server says, what the client says, a word from outside, the bell.

use std::task::{Context, Poll};

use steadfast_session::End;
use steadfast_wire::Capabilities;
use steadfast_wire::response::ErrPacket;

use super::{Driver, Exit, end_of_io};
use crate::client::Packet;
use crate::link::Outcome;
use crate::pace::Awake;
use crate::registry::Control;
use crate::shared::Shared;

/// What an idle session meets next.
pub(super) enum Next {
    /// A command of the client.
    Command(Packet),
    /// The loss of its server connection.
    Lost(End),
    /// So many bytes of a packet, and there is no memory for them.
    TooMuch(u64),
    /// Nothing, for a while.
    Rest,
}

/// What a session that waits hears first. Not by `select!`: its futures would need a place of their own in a session
/// that waits, and be made anew for each wait.
pub(super) enum Heard {
    /// What a read of the server's stream gave.
    Server(std::io::Result<usize>),
    /// The same of the client's.
    Client(std::io::Result<usize>),
    /// A word from outside.
    Word(Control),
    /// The bell.
    Bell,
}

impl Driver {
    /// What comes next; [`Next::Rest`]: nothing until then.
    pub(super) fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        rest_at: Option<(&Awake, u64)>,
    ) -> Poll<Result<Next, Exit>> {
        if self.closing {
            return Poll::Ready(Err(Exit::Closed));
        }
        loop {
            if let Some(packet) = self.client.take().map_err(|error| {
                Exit::ClientGone(std::io::Error::new(std::io::ErrorKind::InvalidData, error))
            })? {
                return Poll::Ready(Ok(Next::Command(packet)));
            }
            let drains = self.shared.drains();
            let Poll::Ready(heard) =
                self.poll_heard(context, None, true, |shared| shared.drains() != drains)
            else {
                // Not before the client has been found to say nothing: a command that has come is served.
                if drains && !self.core.transaction().is_open() && self.client.buffered() == 0 {
                    return Poll::Ready(Err(Exit::Closed));
                }
                let rests = rest_at.is_some_and(|(awake, at)| awake.tires(context, at));
                return match rests {
                    true => Poll::Ready(Ok(Next::Rest)),
                    false => Poll::Pending,
                };
            };
            match heard {
                // What a server says while nothing is asked ends the connection, and so does its end.
                Heard::Server(Ok(_)) => return Poll::Ready(Ok(Next::Lost(self.unsolicited()))),
                Heard::Server(Err(error)) => {
                    return Poll::Ready(Ok(Next::Lost(end_of_io(&error))));
                }
                Heard::Client(Ok(0)) => {
                    let error = std::io::ErrorKind::UnexpectedEof.into();
                    return Poll::Ready(Err(Exit::ClientGone(error)));
                }
                Heard::Client(Ok(_)) => {
                    let size = self.client.buffered();
                    if !self.memory.cover(size) {
                        return Poll::Ready(Ok(Next::TooMuch(size as u64)));
                    }
                }
                Heard::Client(Err(error)) => return Poll::Ready(Err(Exit::ClientGone(error))),
                Heard::Word(Control::Close) => return Poll::Ready(Err(Exit::Closed)),
                Heard::Word(Control::Kill) if self.link.is_some() => {
                    self.kill_here();
                    return Poll::Ready(Ok(Next::Lost(End::Fin)));
                }
                // Nothing runs.
                Heard::Word(Control::Interrupt | Control::Kill) | Heard::Bell => {}
                Heard::Word(word) => self.note_kill(word),
            }
        }
    }

    /// What comes first; of several at once the server's. `fed`: it is relayed, and that is what came of it. `client`: it is
    /// read. `rings`: whether the bell has rung for it.
    pub(super) fn poll_heard(
        &mut self,
        context: &mut Context<'_>,
        fed: Option<&mut Option<Outcome>>,
        client: bool,
        rings: impl FnOnce(&Shared) -> bool,
    ) -> Poll<Heard> {
        if let Some(link) = &mut self.link {
            let read = match fed {
                Some(fed) => link.poll_feed(context, &mut self.client, &self.tracking, fed),
                None => link.poll_read(context),
            };
            if let Poll::Ready(read) = read {
                return Poll::Ready(Heard::Server(read));
            }
        }
        if client && let Poll::Ready(read) = self.client.poll_fill(context) {
            return Poll::Ready(Heard::Client(read));
        }
        if let Poll::Ready(word) = self.control.poll_next(context) {
            return Poll::Ready(Heard::Word(word));
        }
        let shared = &self.shared;
        if self.ear.hears(context, || rings(shared)) {
            return Poll::Ready(Heard::Bell);
        }
        Poll::Pending
    }

    /// What the server said before it closed, while nothing was asked.
    fn unsolicited(&self) -> End {
        let inbound = self
            .link
            .as_ref()
            .map(|link| link.connection.inbound.as_slice())
            .unwrap_or_default();
        match inbound
            .get(4..)
            .map(|payload| ErrPacket::parse(payload, Capabilities::PROTOCOL_41))
        {
            Some(Ok(err)) => End::Said(err.code),
            Some(Err(_)) => End::Nonsense,
            None => End::Fin,
        }
    }
}
