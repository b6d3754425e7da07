//! One command to the server and its response to the client.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;

use steadfast_session::{
    End, Event, Flight, Handle, Recording, Response, Sent, SessionState, Status,
};
use steadfast_sql::{Class, Kind, Uses};
use steadfast_wire::command::{Query, code};
use steadfast_wire::frame::{self, HEADER_LEN, Header, MAX_FRAME};
use steadfast_wire::response::ErrPacket;
use steadfast_wire::walk::Expect;
use steadfast_wire::{Capabilities, StatusFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::before::Before;
use super::wait::Heard;
use super::{AHEAD, Driver, Exit, end_of, end_of_io, silence};
use crate::command::Stored;
use crate::registry::Control;
use crate::relay::{Ended, Fed, Order, is_goodbye};
use crate::scratch;

/// A command up to this many bytes is written without looking at what the server says meanwhile: it can have nothing
/// to say before it has it all.
const WRITE_AT_ONCE: usize = 64 << 10;

/// Goes before a write that is to be recorded.
const BEGIN: &[u8] = b"START TRANSACTION";

/// What became of an exchange.
pub(super) enum Exchanged {
    /// The response has ended.
    Ended(Ended),
    /// The server refused the guard (1792).
    GuardRefused,
    /// The result is not the one that was delivered in part.
    PartDiffers,
    /// What is to be fetched from is gone, in an open transaction.
    CursorGone,
    /// The server connection is lost; how much of the command it may have.
    Lost(End, Sent),
    /// The statement could not be prepared on this connection as it was: the client is told this error.
    NotPrepared {
        code: u16,
        sqlstate: [u8; 5],
        message: Vec<u8>,
    },
}

/// What the server says of [`BEGIN`].
enum Begun {
    NotYet,
    Yes,
    /// The error code.
    No(u16),
    Nonsense,
}

/// Takes the answer to [`BEGIN`] off, unless it ends the connection. Session state in it is the hidden transaction's.
fn begun(inbound: &mut Vec<u8>) -> Begun {
    let Some(header) = Header::peek(inbound) else {
        return Begun::NotYet;
    };
    let end = HEADER_LEN + header.len as usize;
    let Some(payload) = inbound.get(HEADER_LEN..end) else {
        return Begun::NotYet;
    };
    match payload.first() {
        Some(0x00) => {
            inbound.drain(..end);
            Begun::Yes
        }
        Some(0xFF) => match ErrPacket::parse(payload, Capabilities::PROTOCOL_41) {
            Ok(error) => {
                let code = error.code;
                if !is_goodbye(code) {
                    inbound.drain(..end);
                }
                Begun::No(code)
            }
            Err(_) => Begun::Nonsense,
        },
        _ => Begun::Nonsense,
    }
}

impl Driver {
    /// Runs the command in flight for the client.
    ///
    /// What most commands do not need has a place of its own ([`Box::pin`]), here and in all that it calls: what one
    /// waits with is small, and stays in the processor's cache while other sessions run.
    pub(super) async fn send(&mut self, flight: &Flight) -> Result<Event, Exit> {
        let Some(stored) = self.store.get(flight.handle.0).cloned() else {
            // The driver keeps every command until its answer: this cannot be, and must not go on if it is.
            return Err(Exit::Closed);
        };
        self.unhold_answer();
        if self.aftermath.has_failed_call()
            && let Err(error) = Box::pin(self.undo_failed_call()).await
        {
            return Ok(Box::pin(self.lost(end_of(&error), Sent::Nothing)).await);
        }
        self.aftermath.forget_saved();
        // KILL may be meant for what replays.
        let kills = stored.class.is_some_and(|class| class.kind == Kind::Kill);
        if !self.shared.gate.is_open() && !kills && self.waits_at_gate(flight) {
            Box::pin(self.shared.gate.admitted(crate::gate::ADMISSION)).await;
            self.arrived = None;
        }
        let exchanged = self.exchange(&stored, flight).await?;
        Ok(match exchanged {
            Exchanged::Ended(_)
                if flight.may_have_run
                    && !self.streamed
                    && self.wrote_non_transactional(stored.class) =>
            {
                self.client.outbound.clear();
                self.sequence = self.reply_from;
                self.mark = None;
                Event::RanTwice
            }
            Exchanged::Ended(ended) if flight.recording == Recording::Write && ended.error == 0 => {
                self.hold_answer(&stored, ended)
            }
            Exchanged::Ended(ended) => {
                self.mark = None;
                let changes = self.changes();
                let state = Rc::clone(&self.state);
                if flight.recording == Recording::Write {
                    Box::pin(self.roll_back(&ended)).await;
                }
                self.completed(flight.handle, &stored, ended, &changes);
                if flight.recording == Recording::Write {
                    self.keep_conditions_of_failure();
                }
                let mut response = self.response(&ended, stored.class);
                if flight.guarded {
                    Box::pin(self.end_guard()).await;
                }
                // Before the client knows that it is done: what is lost after that must be known.
                if self.may_ask_at_once(&stored)
                    && let Err(end) = Box::pin(self.ask_at_once(&stored, &ended)).await
                    && let Some(lost) = Box::pin(self.never_known(end, state)).await
                {
                    return Ok(lost);
                }
                if Self::is_reset(&stored)
                    && let Some(status) = &mut response.status
                {
                    status.autocommit = self.own.autocommits;
                    self.status
                        .set(StatusFlags::AUTOCOMMIT, self.own.autocommits);
                }
                self.tell_killed(ended.error);
                if ended.error != 0 {
                    self.note_error(ended.error);
                }
                self.succeeded = ended.error == 0;
                self.client.flush().await.map_err(Exit::ClientGone)?;
                Event::Response(response)
            }
            Exchanged::GuardRefused => {
                Box::pin(self.end_guard()).await;
                Event::GuardRefused
            }
            Exchanged::PartDiffers => Event::PartDiffers,
            Exchanged::CursorGone => Event::CursorGone,
            Exchanged::NotPrepared {
                code,
                sqlstate,
                message,
            } => {
                if self.mark.take().is_some_and(|mark| mark.is_inside_packet()) {
                    // No packet can follow half a packet.
                    return Err(Exit::Closed);
                }
                Box::pin(self.answer_error(code, sqlstate, &message)).await?;
                Event::Response(Response {
                    status: None,
                    error: code,
                    digest: 0,
                    insert_id: 0,
                    wrote: false,
                    non_transactional: false,
                    order: 0,
                })
            }
            Exchanged::Lost(end, sent) => {
                self.kill_is_lost();
                Box::pin(self.lost(end, sent)).await
            }
        })
    }

    /// Whether a statement waits until all transactions have been replayed. One whose transaction lost nothing holds
    /// its locks and goes on: others may wait for them. One that was replayed itself has its locks again, and must not
    /// take those that another transaction is about to take again; but it may end.
    fn waits_at_gate(&self, flight: &Flight) -> bool {
        let boundary = flight.statement.boundary;
        let ends = boundary.may_commit() || boundary == steadfast_session::Boundary::Rollback;
        !self.core.transaction().is_open() || (self.wave == Some(self.shared.gate.wave()) && !ends)
    }

    pub(super) fn response(&mut self, ended: &Ended, class: Option<Class>) -> Response {
        if let Some(status) = ended.status {
            self.status = status;
        }
        Response {
            // A response without an OK or EOF that tells, like that of COM_STMT_PREPARE, changes no transaction.
            status: (ended.error == 0).then_some(Status {
                in_transaction: self.status.contains(StatusFlags::IN_TRANS),
                autocommit: self.status.contains(StatusFlags::AUTOCOMMIT),
            }),
            error: ended.error,
            digest: ended.digest,
            insert_id: ended.insert_id,
            wrote: self.wrote(ended),
            non_transactional: self.wrote_non_transactional(class),
            // Whether an error has left a transaction open is still to be asked.
            order: match ended.error != 0
                || self.status.contains(StatusFlags::IN_TRANS)
                || self.core.transaction().is_open()
            {
                true => self.shared.gate.next_order(),
                false => 0,
            },
        }
    }

    /// The connection is lost before what a statement changed in the session is known. The client has not been told that
    /// it is done, so it counts as lost itself: run again or in doubt, in a session as it was before. `None`: a part of its
    /// answer has been given, or it is in a transaction, which is replayed.
    async fn never_known(&mut self, end: End, before: Rc<SessionState>) -> Option<Event> {
        let in_transaction = self.core.transaction().is_open()
            || self.status.contains(StatusFlags::IN_TRANS)
            || !self.core.autocommit();
        if in_transaction || self.streamed {
            self.discard();
            return None;
        }
        self.state = before;
        self.client.outbound.clear();
        self.sequence = self.reply_from;
        Some(self.lost(end, Sent::All).await)
    }

    async fn exchange(&mut self, stored: &Stored, flight: &Flight) -> Result<Exchanged, Exit> {
        let payload = match self
            .prepare_to_send(stored, flight.pins, flight.guarded)
            .await
        {
            Ok(payload) => payload,
            Err(Before::Lost(end)) => return Ok(Exchanged::Lost(end, Sent::Nothing)),
            Err(Before::NotPrepared {
                code,
                sqlstate,
                message,
            }) => {
                return Ok(Exchanged::NotPrepared {
                    code,
                    sqlstate,
                    message,
                });
            }
            Err(Before::CursorGone) => return Ok(Exchanged::CursorGone),
            Err(Before::Exit(exit)) => return Err(exit),
        };
        // Hidden work has brought it up to date.
        self.before = Rc::clone(&self.state);
        self.drawn_before = self.drawn.clone();
        let order = Order {
            expect: stored.expect,
            // A re-run makes the whole response again; what the client has of it is skipped.
            client_sequence: self.reply_from,
            server_sequence: 0,
            hidden: false,
            guarded: flight.guarded,
            within: flight.recording == Recording::Write,
            commits: false,
            statement_id: self.next_statement,
            delivered: self.mark,
        };
        self.tell_kill_sent();
        self.add_rows(stored);
        let warnings = self.warnings_to_add(stored);
        if let Some(link) = &mut self.link {
            link.relay.add_warnings(warnings);
        }
        let exchanged = self.converse(&payload, order).await;
        scratch::give_back(payload);
        exchanged
    }

    /// The response to a command gets the rows that the server no longer has.
    pub(super) fn add_rows(&mut self, stored: &Stored) {
        if let (Some(rows), Some(link)) = (&stored.added_rows, &mut self.link) {
            link.relay.add_rows(Rc::clone(rows));
        }
    }

    /// Runs a command that the client sees nothing of.
    pub(super) async fn converse_hidden(
        &mut self,
        payload: &[u8],
        expect: Expect,
    ) -> Result<Ended, Before> {
        let exchanged = self.converse(payload, Order::hidden(expect)).await;
        match exchanged.map_err(Before::Exit)? {
            Exchanged::Ended(ended) => Ok(ended),
            Exchanged::Lost(end, _) => Err(Before::Lost(end)),
            Exchanged::GuardRefused
            | Exchanged::PartDiffers
            | Exchanged::CursorGone
            | Exchanged::NotPrepared { .. } => Err(Before::Lost(End::Nonsense)),
        }
    }

    /// Sends a payload and relays the response.
    pub(super) async fn converse(
        &mut self,
        payload: &[u8],
        order: Order,
    ) -> Result<Exchanged, Exit> {
        let silences = self.shared.health.silences_counted();
        let status = self.status;
        if order.within || !status.contains(StatusFlags::IN_TRANS) {
            self.began = self.local.moment();
        }
        // The server's answer to it would come while a long command is being written, as only an error does.
        let begun_apart = order.within && payload.len() > WRITE_AT_ONCE;
        if begun_apart && let Err(error) = Box::pin(self.query(BEGIN)).await {
            return Ok(Exchanged::Lost(end_of(&error), Sent::Nothing));
        }
        let Some(link) = &mut self.link else {
            return Ok(Exchanged::Lost(End::Fin, Sent::Nothing));
        };
        let mut bytes = scratch::take();
        bytes.reserve(payload.len() + payload.len() / MAX_FRAME * 4 + 8 + BEGIN.len() * 2);
        if order.within && !begun_apart {
            // In one write, so that it costs no round trip.
            let capabilities = link.connection.capabilities;
            frame::write_with(&mut bytes, 0, |out| {
                Query::new(BEGIN).write(out, capabilities);
            });
        }
        let server_sequence = frame::write(&mut bytes, 0, payload);
        link.relay.begin(
            Order {
                server_sequence,
                ..order
            },
            status,
        );
        let mut flushed = order.delivered.is_some();
        if order.delivered.is_none() && !order.hidden {
            self.given = None;
        }
        let mut begins = order.within && !begun_apart;
        // An error answers BEGIN: the command runs by itself, and cannot be taken back. What is known only when its answer
        // is there is whether the server has begun the transaction all the same: it looks for a KILL once more when it is
        // done (MariaDB). The answer's status tells.
        let mut alone = false;
        link.traffic
            .begin(self.arrived.take().unwrap_or_else(Instant::now));
        let written = self.write(&bytes).await?;
        let all = bytes.len();
        scratch::give_back(bytes);
        let written = match written {
            Ok(written) => written,
            Err(end) => return Ok(Exchanged::Lost(end, Sent::Nothing)),
        };
        self.local.tally.server_sent.add(written as u64);
        if let Some(link) = &mut self.link {
            link.traffic.sent(written);
        }
        // What came of bytes that were relayed as they were read.
        let mut fed = None;
        let end = loop {
            let link = match &mut self.link {
                Some(link) => link,
                None => break End::Fin,
            };
            let connection = &mut link.connection;
            if begins && !connection.inbound.is_empty() {
                match begun(&mut connection.inbound) {
                    Begun::NotYet => {}
                    Begun::Yes => begins = false,
                    Begun::No(code) => {
                        tracing::debug!(client = %self.peer, "the hidden transaction of a write: error {code}");
                        if is_goodbye(code) {
                            // It reads no further command.
                            break End::Said(code);
                        }
                        alone = true;
                        begins = false;
                    }
                    Begun::Nonsense => break End::Nonsense,
                }
            }
            if fed.is_none() && !begins && !connection.inbound.is_empty() {
                let room = self.client.room();
                let outcome = link.relay.feed(&connection.inbound, room, &self.tracking);
                if let Ok((taken, _)) = &outcome {
                    connection.inbound.drain(..*taken);
                }
                fed = Some(outcome);
            }
            if let Some(outcome) = fed.take() {
                let (taken, fed) = match outcome {
                    Ok(fed) => fed,
                    Err(error) => {
                        tracing::warn!(client = %self.peer, "{error}");
                        break End::Nonsense;
                    }
                };
                if connection.inbound.is_empty() {
                    scratch::give_back(std::mem::take(&mut connection.inbound));
                }
                self.local.tally.server_received.add(taken as u64);
                match fed {
                    Fed::More => {}
                    Fed::Ended(ended) => {
                        if !order.hidden {
                            self.sequence = link.relay.client_sequence();
                            self.streamed = flushed;
                        }
                        return Ok(Exchanged::Ended(ended));
                    }
                    Fed::WantsFile => {
                        flushed = true;
                        if let Some(end) = Box::pin(self.relay_file()).await? {
                            break end;
                        }
                        continue;
                    }
                    Fed::GuardRefused => {
                        Box::pin(self.keep_part(order, flushed)).await?;
                        return Ok(Exchanged::GuardRefused);
                    }
                    // It has taken effect, with another result than what the client has a part of.
                    Fed::PartDiffers if alone => break End::Nonsense,
                    // The client's sequence goes on where it was when the connection was lost.
                    Fed::PartDiffers => return Ok(Exchanged::PartDiffers),
                    Fed::Goodbye(code) => break End::Said(code),
                }
                if self.client.outbound.len() >= self.shared.hold_back
                    && !order.hidden
                    && link.relay.may_break_off()
                {
                    flushed = true;
                    if order.within {
                        let point = link.relay.client_sequence();
                        self.given = link.relay.mark().map(|mark| (mark, point));
                    }
                    link.traffic.give();
                    self.client.flush().await.map_err(Exit::ClientGone)?;
                    link.traffic.taken();
                    continue;
                }
            }
            let ahead = self.client.buffered() < AHEAD;
            let heard = poll_fn(|context| {
                let fed = (!begins).then_some(&mut fed);
                self.poll_heard(context, fed, ahead, |shared| {
                    shared.health.silences_counted() != silences
                })
            });
            match heard.await {
                Heard::Server(Ok(0)) => break End::Fin,
                Heard::Server(Ok(count)) => {
                    if let Some(link) = &mut self.link {
                        link.traffic.received(count);
                    }
                }
                Heard::Server(Err(error)) => break end_of_io(&error),
                Heard::Client(Ok(0)) => {
                    return Err(Exit::ClientGone(io::ErrorKind::UnexpectedEof.into()));
                }
                Heard::Client(Ok(_)) => {}
                Heard::Client(Err(error)) => return Err(Exit::ClientGone(error)),
                Heard::Word(Control::Close) => return Err(Exit::Closed),
                Heard::Word(Control::Interrupt) if self.core.is_replaying() => {
                    Box::pin(self.interrupt_held()).await?;
                }
                Heard::Word(Control::Interrupt) if !order.hidden => self.interrupt_running(),
                // Nothing runs yet.
                Heard::Word(Control::Interrupt) => {}
                Heard::Word(Control::Kill) => {
                    self.kill_here();
                    break End::Fin;
                }
                Heard::Word(word) => self.note_kill(word),
                Heard::Bell => break End::Silence,
            }
        };
        if alone {
            self.core.step(Event::NotBegun);
        }
        let sent = if written == 0 {
            Sent::Nothing
        } else if written < all {
            Sent::Part
        } else {
            Sent::All
        };
        Box::pin(self.keep_part(order, flushed)).await?;
        Ok(Exchanged::Lost(end, sent))
    }

    /// The response breaks off: what the client has been given of it, or is about to be, stays; what was held back goes.
    async fn keep_part(&mut self, order: Order, flushed: bool) -> Result<(), Exit> {
        if order.hidden {
            return Ok(());
        }
        if !flushed {
            self.client.outbound.clear();
            return Ok(());
        }
        if let Some(link) = &self.link {
            let mark = link.relay.mark();
            // A re-run that was lost inside what had been delivered has given nothing: the client is where it was.
            if mark != order.delivered {
                self.mark = mark;
                self.sequence = link.relay.client_sequence();
            }
            if order.within {
                self.given = self.mark.map(|mark| (mark, self.sequence));
            }
        }
        self.client.flush().await.map_err(Exit::ClientGone)
    }

    /// Writes a command; gives how many bytes the kernel took. What the server says meanwhile is buffered: a packet
    /// that is too large for it is answered before it has all of it. A failed write is not the end: what the server
    /// said before it closed can still be read.
    async fn write(&mut self, bytes: &[u8]) -> Result<Result<usize, End>, Exit> {
        let Some(link) = &mut self.link else {
            return Ok(Err(End::Fin));
        };
        let connection = &mut link.connection;
        let mut written = 0;
        // A BEGIN may go before it.
        if bytes.len() <= WRITE_AT_ONCE + 64 {
            while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
                match connection.stream.write(rest).await {
                    Ok(0) | Err(_) => return Ok(Ok(written)),
                    Ok(count) => written += count,
                }
            }
            // An error shows when the answer is read.
            let _ = connection.stream.flush().await;
            return Ok(Ok(written));
        }
        let (mut reader, mut writer) = tokio::io::split(&mut connection.stream);
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            tokio::select! {
                biased;
                read = reader.read_buf(&mut connection.inbound) => match read {
                    Ok(0) | Err(_) => return Ok(Ok(written)),
                    // It has seen enough: an error.
                    Ok(_) => return Ok(Ok(written)),
                },
                wrote = writer.write(rest) => match wrote {
                    Ok(0) | Err(_) => return Ok(Ok(written)),
                    Ok(count) => written += count,
                },
                read = self.client.fill(), if self.client.buffered() < AHEAD => match read {
                    Ok(0) => return Err(Exit::ClientGone(io::ErrorKind::UnexpectedEof.into())),
                    Ok(_) => {}
                    Err(error) => return Err(Exit::ClientGone(error)),
                },
            }
        }
        let _ = writer.flush().await;
        Ok(Ok(written))
    }

    /// LOAD DATA LOCAL: passes the client's file on, up to the empty packet at its end. `Some`: the server is gone;
    /// the client's file has been read to its end all the same, so that it can be told.
    async fn relay_file(&mut self) -> Result<Option<End>, Exit> {
        self.client.flush().await.map_err(Exit::ClientGone)?;
        let mut lost = None;
        let mut server_sequence = match &self.link {
            Some(link) => link.relay.server_sequence(),
            None => 0,
        };
        loop {
            let packet = self.client.packet().await.map_err(Exit::ClientGone)?;
            if let (Some(link), None) = (&mut self.link, lost) {
                let mut bytes = Vec::with_capacity(packet.payload.len() + 8);
                server_sequence = frame::write(&mut bytes, server_sequence, &packet.payload);
                if let Err(error) = link.connection.stream.write_all(&bytes).await {
                    lost = Some(end_of_io(&error));
                } else {
                    self.local.tally.server_sent.add(bytes.len() as u64);
                }
            }
            if packet.payload.is_empty() {
                self.sequence = packet.next_sequence;
                if let Some(link) = &mut self.link {
                    link.relay.file_sent(packet.next_sequence, server_sequence);
                }
                return Ok(lost);
            }
        }
    }

    /// Takes the hidden read-only transaction of a re-run off again.
    async fn end_guard(&mut self) {
        if let Err(error) = self.query(b"COMMIT AND NO CHAIN NO RELEASE").await {
            tracing::debug!("the read-only transaction of a re-run was not ended: {error}");
            // What follows must not run inside it. The next use of the connection finds that it is lost.
            self.discard();
        }
        self.status -= StatusFlags::IN_TRANS | StatusFlags::IN_TRANS_READONLY;
    }

    /// Whether the command may be noticed to come after hidden work: it asks about the statement before it, or lets the
    /// next one ask.
    pub(super) fn asks_about_the_statement_before(stored: &Stored) -> bool {
        // Commands without a text leave what is there: connector-python pings before each statement, and others prepare
        // the question.
        stored.class.is_none_or(|class| {
            class
                .uses
                .intersects(Uses::ROW_COUNT | Uses::FOUND_ROWS | Uses::DIAGNOSTICS)
        })
    }

    /// After an ERR: does the transaction live? Asked by a COM_SET_OPTION that changes nothing: it leaves the
    /// diagnostics area alone, and ROW_COUNT() at -1 as the ERR did, where COM_PING leaves 0 (both servers).
    pub(super) async fn probe(&mut self) -> Result<Event, Exit> {
        let several = self.state.multi_statements().unwrap_or_else(|| {
            let capabilities = self.identity.capabilities;
            capabilities.contains(Capabilities::MULTI_STATEMENTS)
        });
        let Some(link) = &mut self.link else {
            return Ok(self.lost(End::Fin, Sent::Nothing).await);
        };
        let question = [code::SET_OPTION, u8::from(!several), 0];
        let limit = 2 * self.shared.timeouts.dead_after;
        let answered = timeout(limit, link.connection.command(&question)).await;
        match answered.unwrap_or_else(|_| Err(silence())) {
            Ok(ok) => {
                self.status = ok.status;
                self.note_late_changes(&ok.session_state);
                Ok(Event::Response(Response {
                    status: Some(Status {
                        in_transaction: ok.status.contains(StatusFlags::IN_TRANS),
                        autocommit: ok.status.contains(StatusFlags::AUTOCOMMIT),
                    }),
                    error: 0,
                    digest: 0,
                    insert_id: 0,
                    wrote: false,
                    non_transactional: false,
                    order: self.shared.gate.next_order(),
                }))
            }
            Err(error) => Ok(self.lost(end_of(&error), Sent::Nothing).await),
        }
    }

    /// Commands of the open transaction stay; any other has had its answer.
    pub(super) fn forget_answered(&mut self) {
        if !self.core.transaction().is_open() {
            self.store.clear();
        }
    }

    /// The handle of the next command.
    pub(super) fn store(&mut self, stored: Stored) -> Handle {
        let handle = self.next_handle;
        self.next_handle += 1;
        self.forget_answered();
        self.store.insert(handle, stored);
        Handle(handle)
    }

    /// The client's capabilities.
    pub(super) fn capabilities(&self) -> Capabilities {
        self.capabilities
    }
}
