//! One response on its way from the server to the client: walked packet by packet, digested, given the client's
//! sequence ids and the client's capabilities.
//!
//! Sans-IO. The server leg always tracks session state and deprecates EOF; the client's leg may do neither, so OK
//! packets lose what the client did not ask for and EOF packets are put where it expects them. The same packets of
//! the server always give the same bytes for the client: that is what lets a result go on where it was cut.

use std::rc::Rc;

use steadfast_wire::capability::{Capabilities, StatusFlags};
use steadfast_wire::frame::{HEADER_LEN, Header, MAX_FRAME};
use steadfast_wire::response::{
    EofPacket, ErrPacket, OkHeader, OkPacket, PrepareOk, SessionStateChange,
};
use steadfast_wire::walk::{Definitions, Expect, ResponseWalker, Seen};
use steadfast_wire::{Error, error::Peer};

use crate::scratch;

mod digest;
mod terms;
mod tracking;

use digest::Digest;
pub(crate) use terms::{Ended, Fed, Mark, Order};
pub(crate) use tracking::Tracking;
use tracking::begins_or_ends_explicitly;

/// Packets up to this many payload bytes are passed on whole or not at all; a longer one may be cut by a loss after
/// its beginning was delivered.
pub(crate) const WHOLE_PACKET: usize = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cut {
    BetweenPackets,
    /// In a long packet: payload bytes left in this frame, and whether another frame follows.
    Inside {
        left: usize,
        continued: bool,
    },
    /// Before the header of a continuing frame.
    NextFrame,
}

/// Relays the responses of one server connection to one client. See the module.
pub(crate) struct Relay {
    client: Capabilities,
    walker: ResponseWalker,
    order: Order,
    cut: Cut,
    server_sequence: u8,
    client_sequence: u8,
    digest: Digest,
    /// Nobody may ask for the digest: see [`Relay::feed`].
    undigested: bool,
    /// Bytes made for the client so far, skipped ones included.
    made: u64,
    /// An EOF after column definitions is due before the next row.
    eof_due: bool,
    last_status: StatusFlags,
    /// Session state changes of this response as they came, one OK after the other.
    changes: Vec<u8>,
    prepared: Option<PrepareOk>,
    rows: Option<u64>,
    sqlstate: Option<[u8; 5]>,
    /// The beginning of the error's message.
    message: Vec<u8>,
    /// Rows that go before those of the server: of this response, and of the one that begins next.
    added: Option<Rc<[Vec<u8>]>>,
    to_add: Option<Rc<[Vec<u8>]>>,
    /// Warnings that the next OK tells beside those of the server.
    more_warnings: u16,
    /// What is made is not what was delivered: a packet goes over the point up to which it was.
    differs: bool,
    /// What was delivered has been made again, and it was the same. Before that nothing goes to the client.
    verified: bool,
    /// Parameter definitions of COM_STMT_PREPARE that are still to come.
    parameters_left: u16,
}

/// Errors with which a server says that it ends the connection, or did: 1053 server shutdown, 1927 connection
/// killed (MariaDB), 4031 idle too long (MySQL).
pub(crate) fn is_goodbye(code: u16) -> bool {
    matches!(code, 1053 | 1927 | 4031)
}

/// Bytes of an error's message that are kept: the servers write no longer ones (MYSQL_ERRMSG_SIZE).
const MAX_MESSAGE: usize = 512;

impl Relay {
    /// The message of the last error.
    pub(crate) fn message(&self) -> String {
        String::from_utf8_lossy(&self.message).into_owned()
    }

    /// Between responses, for a client and a server connection with these capabilities.
    pub(crate) fn new(client: Capabilities, server: Capabilities) -> Self {
        Self {
            client,
            walker: ResponseWalker::new(server),
            order: Order::hidden(Expect::None),
            cut: Cut::BetweenPackets,
            server_sequence: 0,
            client_sequence: 0,
            digest: Digest::default(),
            undigested: false,
            made: 0,
            eof_due: false,
            last_status: StatusFlags::empty(),
            changes: Vec::new(),
            prepared: None,
            rows: None,
            sqlstate: None,
            message: Vec::new(),
            added: None,
            to_add: None,
            more_warnings: 0,
            differs: false,
            verified: false,
            parameters_left: 0,
        }
    }

    /// A command was sent: its response begins.
    pub(crate) fn begin(&mut self, order: Order, status: StatusFlags) {
        self.undigested = order.is_plain()
            && status.contains(StatusFlags::AUTOCOMMIT)
            && !status.contains(StatusFlags::IN_TRANS)
            && self.to_add.is_none()
            && self.more_warnings == 0;
        self.start(order, status);
    }

    fn start(&mut self, order: Order, status: StatusFlags) {
        self.walker.begin(order.expect);
        self.cut = Cut::BetweenPackets;
        self.server_sequence = order.server_sequence;
        self.client_sequence = order.client_sequence;
        self.digest = Digest::default();
        self.made = 0;
        self.differs = false;
        self.verified = false;
        self.eof_due = false;
        self.last_status = status;
        self.changes.clear();
        self.prepared = None;
        self.rows = None;
        self.sqlstate = None;
        self.added = self.to_add.take();
        self.order = order;
    }

    /// Between responses: gives back room that it does not need while none comes.
    pub(crate) fn rest(&mut self) {
        self.changes = Vec::new();
    }

    /// The response that begins next gets these rows, as payloads of the protocol that it is in, before those of the
    /// server.
    pub(crate) fn add_rows(&mut self, rows: Rc<[Vec<u8>]>) {
        self.to_add = Some(rows);
    }

    /// The next OK tells so many warnings more.
    pub(crate) fn add_warnings(&mut self, count: u16) {
        self.more_warnings = count;
    }

    fn write_added(&mut self, out: &mut Vec<u8>) {
        for payload in self.added.take().iter().flat_map(|rows| rows.iter()) {
            self.rows = self.rows.map(|rows| rows + 1);
            self.due_eof(out);
            self.copy(payload, out);
        }
    }

    /// Session state changes of the response, as the server sent them.
    pub(crate) fn changes(&self) -> &[u8] {
        &self.changes
    }

    /// The client's file has been relayed; `client_sequence` is due next to the client, `server_sequence` from the
    /// server.
    pub(crate) fn file_sent(&mut self, client_sequence: u8, server_sequence: u8) {
        self.client_sequence = client_sequence;
        self.server_sequence = server_sequence;
    }

    /// The sequence id that is due next to the client.
    pub(crate) fn client_sequence(&self) -> u8 {
        self.client_sequence
    }

    /// The sequence id that is due next from the server.
    pub(crate) fn server_sequence(&self) -> u8 {
        self.server_sequence
    }

    /// Whether what has been made of the response may be given to the client, because it may be all that comes before an
    /// ERR.
    pub(crate) fn may_break_off(&self) -> bool {
        self.walker.may_break_off()
    }

    /// Everything made for the client so far counts as delivered: where a re-run has to go on.
    pub(crate) fn mark(&self) -> Option<Mark> {
        match self.order.delivered {
            // Still inside what an earlier run delivered.
            Some(mark) if self.made <= mark.bytes => Some(mark),
            _ if self.made == 0 || self.order.hidden => None,
            _ => Some(Mark {
                bytes: self.made,
                digest: self.digested(),
                inside_packet: self.cut != Cut::BetweenPackets,
                sequence: self.client_sequence,
            }),
        }
    }

    /// Takes bytes of the server from the front of `input`, appends bytes for the client to `out`, and gives how
    /// many were taken.
    ///
    /// A response is digested so that another run of its command can be compared with it: where a transaction is open
    /// behind it, or where the client is given a part of it. One to a command outside a transaction that is here as a
    /// whole is walked without that, and once more where it has opened one.
    ///
    /// # Errors
    /// The server's bytes make no sense: the connection is of no use any more.
    pub(crate) fn feed(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        tracking: &Tracking,
    ) -> Result<(usize, Fed), Error> {
        if self.undigested {
            let (before, status) = (out.len(), self.last_status);
            let (at, fed) = self.walk(input, out, tracking)?;
            match fed {
                Fed::Ended(ended)
                    if ended.error == 0
                        && ended
                            .status
                            .is_none_or(|status| !status.contains(StatusFlags::IN_TRANS)) =>
                {
                    return Ok((at, fed));
                }
                _ => {}
            }
            out.truncate(before);
            self.undigested = false;
            self.start(self.order, status);
        }
        self.walk(input, out, tracking)
    }

    fn walk(
        &mut self,
        input: &[u8],
        out: &mut Vec<u8>,
        tracking: &Tracking,
    ) -> Result<(usize, Fed), Error> {
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            match self.cut {
                Cut::Inside { left, continued } => {
                    if rest.is_empty() && left > 0 {
                        return Ok((at, Fed::More));
                    }
                    let take = rest.len().min(left);
                    let fed = self.pass(rest.get(..take).unwrap_or_default(), out);
                    at += take;
                    self.cut = match (left - take, continued) {
                        (0, true) => Cut::NextFrame,
                        (0, false) => {
                            self.digest.end_long();
                            Cut::BetweenPackets
                        }
                        (left, continued) => Cut::Inside { left, continued },
                    };
                    if !fed {
                        return Ok((at, Fed::PartDiffers));
                    }
                }
                Cut::NextFrame => {
                    let Some(header) = Header::peek(rest) else {
                        return Ok((at, Fed::More));
                    };
                    self.check(header)?;
                    at += HEADER_LEN;
                    self.head(header.len, out);
                    self.cut = Cut::Inside {
                        left: header.len as usize,
                        continued: header.is_continued(),
                    };
                }
                Cut::BetweenPackets => {
                    if self.walker.in_rows() && self.passes_rows_at_once() {
                        let rows = self.pass_rows(rest, out);
                        if rows > 0 {
                            at += rows;
                            continue;
                        }
                    }
                    if self.walker.is_idle() {
                        return Ok((at, Fed::Ended(self.ended(None, 0))));
                    }
                    let Some(header) = Header::peek(rest) else {
                        return Ok((at, Fed::More));
                    };
                    let len = header.len as usize;
                    let body = rest.get(HEADER_LEN..).unwrap_or_default();
                    let long = len > WHOLE_PACKET && {
                        let Some(&first) = body.first() else {
                            return Ok((at, Fed::More));
                        };
                        !self.walker.wants_whole(first, len as u64)?
                    };
                    if long {
                        self.check(header)?;
                        at += HEADER_LEN;
                        if !self.begin_long(header, body, out)? {
                            return Ok((at, Fed::PartDiffers));
                        }
                        continue;
                    }
                    let Some(payload) = body.get(..len) else {
                        return Ok((at, Fed::More));
                    };
                    // MySQL sends 4031 with sequence id 0, whatever was due.
                    if payload.first() != Some(&0xFF) {
                        self.check(header)?;
                    }
                    at += HEADER_LEN + len;
                    let fed = self.packet(payload, out, tracking)?;
                    let ended = matches!(fed, Some(Fed::Ended(_)));
                    if self.part_differs() || (ended && self.falls_short()) {
                        let error = match fed {
                            Some(Fed::Ended(ended)) => ended.error,
                            _ => 0,
                        };
                        tracing::debug!(
                            error,
                            "what was delivered in part is not what the server says now"
                        );
                        return Ok((at, Fed::PartDiffers));
                    }
                    if let Some(fed) = fed {
                        return Ok((at, fed));
                    }
                }
            }
        }
    }

    fn check(&mut self, header: Header) -> Result<(), Error> {
        if header.seq != self.server_sequence {
            return Err(Error::OutOfOrder {
                peer: Peer::Server,
                expected: self.server_sequence,
                got: header.seq,
            });
        }
        self.server_sequence = self.server_sequence.wrapping_add(1);
        Ok(())
    }

    /// Whether nothing but their sequence ids makes rows for the client of the server's.
    fn passes_rows_at_once(&self) -> bool {
        !self.eof_due
            && self.added.is_none()
            && !self.order.hidden
            && self.order.delivered.is_none()
    }

    /// Passes on the rows at the front of `input` that are here as a whole, all at once, and gives how many bytes they
    /// have. 0: what comes next is for [`Relay::packet`], which does the same with a row.
    #[inline(never)]
    fn pass_rows(&mut self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let (mut len, mut rows) = (0, 0);
        while let Some(header) = input.get(len..).and_then(Header::peek)
            && header.seq == self.server_sequence
            && header.len as usize <= WHOLE_PACKET
            && let Some(payload) =
                input.get(len + HEADER_LEN..len + HEADER_LEN + header.len as usize)
            && let Some(&first) = payload.first()
            && self.walker.is_row(first, header.len.into())
        {
            self.digest(payload);
            self.server_sequence = self.server_sequence.wrapping_add(1);
            len += HEADER_LEN + payload.len();
            rows += 1;
        }
        let made = out.len();
        out.extend_from_slice(&input[..len]);
        self.number(&mut out[made..], rows);
        self.rows = self.rows.map(|before| before + rows);
        self.made += len as u64;
        len
    }

    /// Gives `packets` in `made` the sequence ids that are due to the client.
    fn number(&mut self, made: &mut [u8], packets: u64) {
        let first = self.client_sequence;
        self.client_sequence = first.wrapping_add(packets as u8);
        // All of them are as they were, or none is.
        if self.client_sequence == self.server_sequence {
            return;
        }
        let (mut at, mut sequence) = (0, first);
        while let Some(header) = made.get_mut(at..at + HEADER_LEN) {
            header[HEADER_LEN - 1] = sequence;
            at += HEADER_LEN + u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
            sequence = sequence.wrapping_add(1);
        }
    }

    fn begin_long(
        &mut self,
        header: Header,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        let step = self
            .walker
            .packet(body.get(..1).unwrap_or_default(), u64::from(header.len))?;
        if matches!(step.seen, Seen::Row) {
            self.rows = self.rows.map(|rows| rows + 1);
            self.due_eof(out);
        }
        if !self.undigested {
            self.digest.begin_long();
        }
        self.head(header.len, out);
        self.cut = Cut::Inside {
            left: header.len as usize,
            continued: header.is_continued(),
        };
        if matches!(step.seen, Seen::ColumnDefinition) {
            self.after_definitions();
        }
        Ok(!self.part_differs())
    }

    /// A whole packet; gives what the response came to, if it came to something.
    fn packet(
        &mut self,
        payload: &[u8],
        out: &mut Vec<u8>,
        tracking: &Tracking,
    ) -> Result<Option<Fed>, Error> {
        let step = self.walker.packet(payload, payload.len() as u64)?;
        match step.seen {
            Seen::Ok(_) | Seen::ResultEnd(_) => {
                if matches!(step.seen, Seen::ResultEnd(_)) {
                    self.write_added(out);
                }
                let summary = self.end_of_result(payload, out, tracking)?;
                if step.ended {
                    return Ok(Some(Fed::Ended(self.ended(Some(summary), 0))));
                }
            }
            Seen::Err { code, .. } => {
                // The end of the connection, not of the response: no part of what is digested.
                if is_goodbye(code) {
                    return Ok(Some(Fed::Goodbye(code)));
                }
                self.digest(b"err");
                self.digest(&code.to_le_bytes());
                self.more_warnings = 0;
                if self.order.guarded && code == 1792 {
                    return Ok(Some(Fed::GuardRefused));
                }
                self.break_off();
                let err = ErrPacket::parse(payload, self.walker.capabilities())?;
                self.sqlstate = err.sqlstate;
                self.message.clear();
                let kept = err.message.len().min(MAX_MESSAGE);
                self.message.extend_from_slice(&err.message[..kept]);
                self.write(out, |out, client| err.write(out, client));
                return Ok(Some(Fed::Ended(self.ended(None, code))));
            }
            Seen::PrepareOk(ok) => {
                self.prepared = Some(ok);
                self.parameters_left = ok.parameters;
                self.digest(&ok.parameters.to_le_bytes());
                self.digest(&ok.columns.to_le_bytes());
                let told = PrepareOk {
                    statement_id: self.order.statement_id,
                    ..ok
                };
                self.write(out, |out, client| told.write(out, client));
                if step.ended {
                    return Ok(Some(Fed::Ended(self.ended(None, 0))));
                }
            }
            Seen::ParameterDefinition => {
                self.copy(payload, out);
                self.parameters_left = self.parameters_left.saturating_sub(1);
                if self.parameters_left == 0 {
                    self.end_of_definitions(out);
                }
                if step.ended {
                    return Ok(Some(Fed::Ended(self.ended(None, 0))));
                }
            }
            Seen::ColumnDefinition => {
                self.copy(payload, out);
                self.after_definitions();
                if step.ended {
                    self.end_of_definitions(out);
                    return Ok(Some(Fed::Ended(self.ended(None, 0))));
                }
            }
            Seen::Row => {
                self.write_added(out);
                self.rows = self.rows.map(|rows| rows + 1);
                self.due_eof(out);
                self.copy(payload, out);
            }
            Seen::Eof { after, status, .. } => {
                // Only a server without DEPRECATE_EOF sends one here.
                self.last_status = status;
                if !(after == Definitions::Columns && step.ended) {
                    self.copy(payload, out);
                }
            }
            Seen::LocalInfile => {
                self.copy(payload, out);
                return Ok(Some(Fed::WantsFile));
            }
            // It tells how long the server has been running.
            Seen::Statistics => {
                self.copy_undigested(payload, out);
                return Ok(Some(Fed::Ended(self.ended(None, 0))));
            }
            Seen::ColumnCount { .. } | Seen::Event => {
                if matches!(step.seen, Seen::ColumnCount { .. }) {
                    self.rows = self.rows.or(Some(0));
                }
                self.copy(payload, out);
                if step.ended {
                    return Ok(Some(Fed::Ended(self.ended(None, 0))));
                }
            }
            Seen::Progress | Seen::Auth => self.copy_undigested(payload, out),
        }
        Ok(None)
    }

    fn after_definitions(&mut self) {
        if self.walker.in_rows() && self.translates_eof() {
            self.eof_due = true;
        }
    }

    /// Whether the server leaves out EOF packets that the client expects.
    fn translates_eof(&self) -> bool {
        self.walker
            .capabilities()
            .contains(Capabilities::DEPRECATE_EOF)
            && !self.client.contains(Capabilities::DEPRECATE_EOF)
    }

    fn due_eof(&mut self, out: &mut Vec<u8>) {
        if self.eof_due {
            self.eof_due = false;
            self.end_of_definitions(out);
        }
    }

    fn end_of_definitions(&mut self, out: &mut Vec<u8>) {
        if self.translates_eof() {
            // What a server says here of the session: nothing of the result itself is known yet.
            let status = self.last_status & (StatusFlags::AUTOCOMMIT | StatusFlags::IN_TRANS);
            let eof = EofPacket {
                warnings: 0,
                status: self.masked(status),
            };
            self.write(out, |out, client| eof.write(out, client));
        }
    }

    fn masked(&self, status: StatusFlags) -> StatusFlags {
        if self.order.guarded || self.order.within {
            status - (StatusFlags::IN_TRANS | StatusFlags::IN_TRANS_READONLY)
        } else {
            status
        }
    }

    /// OK, or the end of rows: rewritten for the client.
    fn end_of_result(
        &mut self,
        payload: &[u8],
        out: &mut Vec<u8>,
        tracking: &Tracking,
    ) -> Result<EndOfResult, Error> {
        let capabilities = self.walker.capabilities();
        // The two forms do not overlap in length: EOF has five bytes, an OK with header 0xFE at least seven.
        let mut ok = if payload.first() == Some(&0xFE) && payload.len() <= 5 {
            let eof = EofPacket::parse(payload, capabilities)?;
            OkPacket {
                header: OkHeader::Eof,
                warnings: eof.warnings,
                ..OkPacket::new(eof.status)
            }
        } else {
            OkPacket::parse(payload, capabilities)?
        };
        if !only_counts(&ok) {
            self.changes.extend_from_slice(ok.session_state);
        }
        self.last_status = ok.status;
        self.digest(b"ok");
        self.digest(&ok.affected_rows.to_le_bytes());
        self.digest(&ok.last_insert_id.to_le_bytes());
        // Of a command without a text they are those of the statement before, or of hidden ones after it (MySQL 9.7.4).
        if self.order.expect != Expect::Simple {
            self.digest(&ok.warnings.to_le_bytes());
        }
        self.digest(ok.info);
        let result = EndOfResult {
            status: ok.status,
            affected_rows: if self.order.commits {
                0
            } else {
                ok.affected_rows
            },
            insert_id: ok.last_insert_id,
            warnings: ok.warnings,
        };
        ok.warnings = ok
            .warnings
            .saturating_add(std::mem::take(&mut self.more_warnings));
        ok.status = self.masked(ok.status);
        if self.order.commits {
            // A procedure's OK tells what its statements wrote (MariaDB).
            ok.affected_rows = 0;
        }
        if ok.header == OkHeader::Eof && self.translates_eof() {
            if ok.status.contains(StatusFlags::CURSOR_EXISTS) && self.eof_due {
                // The EOF after the definitions is the one that opens the cursor.
                self.eof_due = false;
            }
            self.due_eof(out);
            let eof = EofPacket {
                warnings: ok.warnings,
                status: ok.status - StatusFlags::SESSION_STATE_CHANGED,
            };
            self.write(out, |out, client| eof.write(out, client));
            return Ok(result);
        }
        // Session state that the client is told of.
        let mut wanted = scratch::take();
        if self.client.contains(Capabilities::SESSION_TRACK) && !ok.session_state.is_empty() {
            let begins_or_ends = !capabilities.is_mariadb() && begins_or_ends_explicitly(&ok);
            for change in ok.session_state() {
                let change = change?;
                if (self.order.within || self.order.guarded) && tells_of_transaction(&change) {
                    continue;
                }
                let told =
                    begins_or_ends && matches!(change, SessionStateChange::TransactionState(_));
                if told || tracking.wants(&change) {
                    change.write(&mut wanted);
                }
            }
        }
        ok.session_state = &wanted;
        self.write(out, |out, client| ok.write(out, client));
        scratch::give_back(wanted);
        Ok(result)
    }

    fn ended(&self, result: Option<EndOfResult>, error: u16) -> Ended {
        Ended {
            status: result.map(|result| result.status),
            error,
            sqlstate: self.sqlstate.filter(|_| error != 0),
            digest: self.digested(),
            affected_rows: result.map_or(0, |result| result.affected_rows),
            insert_id: result.map_or(0, |result| result.insert_id),
            warnings: result.map_or(0, |result| result.warnings),
            prepared: self.prepared,
            rows: self.rows,
        }
    }

    fn digest(&mut self, bytes: &[u8]) {
        if !self.undigested {
            self.digest.add(bytes);
        }
    }

    /// The digest so far; 0 where nobody may ask for it.
    fn digested(&self) -> u64 {
        match self.undigested {
            true => 0,
            false => self.digest.get(),
        }
    }

    fn copy(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        self.digest(payload);
        self.copy_undigested(payload, out);
    }

    fn copy_undigested(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        debug_assert!(payload.len() < MAX_FRAME);
        self.put(payload, out);
    }

    /// Payload bytes of a long packet. False if the part that was delivered before is not the same.
    fn pass(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let until = self
            .order
            .delivered
            .and_then(|mark| mark.bytes.checked_sub(self.made))
            .filter(|left| *left < bytes.len() as u64);
        let (before, after) = bytes.split_at(until.unwrap_or(0) as usize);
        if until.is_some() {
            self.digest.add_part(before);
            self.emit(before, out);
            if self.part_differs() {
                return false;
            }
        }
        self.digest.add_part(after);
        self.emit(after, out);
        !self.part_differs()
    }

    fn write(&mut self, out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>, Capabilities)) {
        let mut bytes = scratch::take();
        payload(&mut bytes, self.client);
        self.put(&bytes, out);
        scratch::give_back(bytes);
    }

    fn head(&mut self, len: u32, out: &mut Vec<u8>) {
        let header = self.header(len);
        self.emit(&header, out);
    }

    fn header(&mut self, len: u32) -> [u8; HEADER_LEN] {
        let header = Header {
            len,
            seq: self.client_sequence,
        };
        self.client_sequence = self.client_sequence.wrapping_add(1);
        header.to_bytes()
    }

    /// A whole packet.
    fn put(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        let header = self.header(payload.len() as u32);
        if self.order.hidden || self.order.delivered.is_some() {
            self.emit(&header, out);
            self.emit(payload, out);
            return;
        }
        // Nothing is skipped.
        self.made += (HEADER_LEN + payload.len()) as u64;
        out.reserve(HEADER_LEN + payload.len());
        out.extend_from_slice(&header);
        out.extend_from_slice(payload);
    }

    fn emit(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.order.hidden {
            return;
        }
        let len = bytes.len() as u64;
        let skip = self
            .order
            .delivered
            .map_or(0, |mark| mark.bytes.saturating_sub(self.made).min(len));
        // What was delivered ended between two pieces, or inside a long packet, which is cut there.
        self.differs |= skip > 0 && skip < len;
        // It ended elsewhere, or it was something else.
        self.differs |= skip < len && !self.verified && self.order.delivered.is_some();
        self.made += len;
        if self.differs {
            return;
        }
        out.extend_from_slice(bytes.get(skip as usize..).unwrap_or_default());
    }

    /// Whether exactly the delivered part has been made again and it is not what was delivered.
    fn part_differs(&mut self) -> bool {
        if let Some(mark) = self.order.delivered
            && mark.bytes == self.made
            && !self.verified
        {
            self.verified = self.digested() == mark.digest;
            self.differs |= !self.verified;
        }
        self.differs
    }

    /// An ERR is due: it voids the response wherever it comes, also before all of what was delivered has come again. The
    /// client gets it where it is, unless that is inside a packet.
    fn break_off(&mut self) {
        if let Some(mark) = self.order.delivered
            && self.falls_short()
            && !self.differs
            && !mark.inside_packet
        {
            self.made = mark.bytes;
            self.client_sequence = mark.sequence;
            self.verified = true;
        }
    }

    /// Whether the response has ended before all of what was delivered came again.
    fn falls_short(&self) -> bool {
        self.order
            .delivered
            .is_some_and(|mark| self.made < mark.bytes)
    }
}

fn tells_of_transaction(change: &SessionStateChange<'_>) -> bool {
    matches!(
        change,
        SessionStateChange::TransactionState(_) | SessionStateChange::TransactionCharacteristics(_)
    )
}

/// Whether all that is told of the session is the number of the statement, as MySQL 9 does behind each: that is nothing
/// that a session has.
fn only_counts(ok: &OkPacket<'_>) -> bool {
    let mut changes = ok.session_state();
    let first = changes.next();
    let counts = |change| matches!(change, Ok(SessionStateChange::SystemVariable { name, .. }) if name == b"statement_id");
    first.is_some_and(counts) && changes.next().is_none()
}

#[derive(Clone, Copy)]
struct EndOfResult {
    status: StatusFlags,
    affected_rows: u64,
    insert_id: u64,
    warnings: u16,
}

#[cfg(test)]
mod tests;
