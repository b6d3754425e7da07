//! OK and EOF.

use super::SessionState;
use crate::capability::{Capabilities, StatusFlags};
use crate::error::{Error, Peer};
use crate::payload::{Reader, put_lenenc, put_lenenc_bytes};

/// Which of its two headers an OK packet has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OkHeader {
    /// 0x00: a statement without rows, or a login.
    Ok,
    /// 0xFE: the end of rows under [`Capabilities::DEPRECATE_EOF`].
    Eof,
}

/// Success.
///
/// Source: MySQL internals manual, *OK_Packet*; MariaDB, *OK_Packet*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OkPacket<'a> {
    /// Its first byte.
    pub header: OkHeader,
    /// Rows changed, or found with FOUND_ROWS.
    pub affected_rows: u64,
    /// First generated AUTO_INCREMENT value.
    pub last_insert_id: u64,
    /// State of the session.
    pub status: StatusFlags,
    /// Number of warnings.
    pub warnings: u16,
    /// Text for people, for example `Rows matched: 1 …`.
    pub info: &'a [u8],
    /// Session state changes as they came, see [`OkPacket::session_state`]; empty if there are none.
    pub session_state: &'a [u8],
}

impl<'a> OkPacket<'a> {
    /// An OK of header 0x00 with nothing but a status.
    pub const fn new(status: StatusFlags) -> Self {
        OkPacket {
            header: OkHeader::Ok,
            affected_rows: 0,
            last_insert_id: 0,
            status,
            warnings: 0,
            info: &[],
            session_state: &[],
        }
    }

    /// Reads a payload that came under these capabilities.
    ///
    /// # Errors
    /// The server is blamed for a packet that is no OK.
    pub fn parse(payload: &'a [u8], capabilities: Capabilities) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Peer::Server, "OK");
        let header = match reader.u8("it is empty")? {
            0x00 => OkHeader::Ok,
            0xFE => OkHeader::Eof,
            _ => return Err(reader.malformed("it begins with neither 0x00 nor 0xfe")),
        };
        let affected_rows = reader.lenenc("the number of affected rows is cut")?;
        let last_insert_id = reader.lenenc("the insert id is cut")?;
        let mut ok = OkPacket {
            header,
            affected_rows,
            last_insert_id,
            ..OkPacket::new(StatusFlags::empty())
        };
        if capabilities.intersects(Capabilities::PROTOCOL_41 | Capabilities::TRANSACTIONS) {
            ok.status = StatusFlags::from_bits_retain(reader.u16("the status is cut")?);
        }
        if capabilities.contains(Capabilities::PROTOCOL_41) {
            ok.warnings = reader.u16("the number of warnings is cut")?;
        }
        if capabilities.contains(Capabilities::SESSION_TRACK) {
            // Servers leave the info out when it and the state changes are empty.
            if !reader.is_empty() {
                ok.info = reader.lenenc_bytes("the info is cut")?;
            }
            if ok.status.contains(StatusFlags::SESSION_STATE_CHANGED) && !reader.is_empty() {
                ok.session_state = reader.lenenc_bytes("the session state is cut")?;
            }
        } else {
            ok.info = info_without_session_track(&mut reader);
        }
        Ok(ok)
    }

    /// The session state changes. What is malformed in them shows while they are iterated.
    pub fn session_state(&self) -> SessionState<'a> {
        SessionState::new(self.session_state)
    }

    /// Appends the payload as a server would send it under these capabilities: what the receiver did not ask for is
    /// left out. SESSION_STATE_CHANGED is set exactly if state changes are written.
    pub fn write(&self, out: &mut Vec<u8>, capabilities: Capabilities) {
        out.push(match self.header {
            OkHeader::Ok => 0x00,
            OkHeader::Eof => 0xFE,
        });
        put_lenenc(out, self.affected_rows);
        put_lenenc(out, self.last_insert_id);
        let tracks =
            capabilities.contains(Capabilities::SESSION_TRACK) && !self.session_state.is_empty();
        let mut status = self.status;
        status.set(StatusFlags::SESSION_STATE_CHANGED, tracks);
        if capabilities.intersects(Capabilities::PROTOCOL_41 | Capabilities::TRANSACTIONS) {
            out.extend_from_slice(&status.bits().to_le_bytes());
        }
        if capabilities.contains(Capabilities::PROTOCOL_41) {
            out.extend_from_slice(&self.warnings.to_le_bytes());
        }
        if tracks || !self.info.is_empty() {
            put_lenenc_bytes(out, self.info);
        }
        if tracks {
            put_lenenc_bytes(out, self.session_state);
        }
    }
}

/// The manual says that without SESSION_TRACK the info runs to the end of the packet; both servers put a length
/// before it there too (`net_send_ok`), and clients rely on it.
fn info_without_session_track<'a>(reader: &mut Reader<'a>) -> &'a [u8] {
    let mut counted = reader.clone();
    match counted.lenenc_bytes("the info is cut") {
        Ok(info) if counted.is_empty() => {
            *reader = counted;
            info
        }
        _ => reader.rest(),
    }
}

/// The end of column definitions or rows without [`Capabilities::DEPRECATE_EOF`].
///
/// Source: MySQL internals manual, *EOF_Packet*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EofPacket {
    /// Number of warnings.
    pub warnings: u16,
    /// State of the session.
    pub status: StatusFlags,
}

impl EofPacket {
    /// Reads a payload that came under these capabilities.
    ///
    /// # Errors
    /// The server is blamed for a packet that is no EOF.
    pub fn parse(payload: &[u8], capabilities: Capabilities) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Peer::Server, "EOF");
        if reader.u8("it is empty")? != 0xFE {
            return Err(reader.malformed("it does not begin with 0xfe"));
        }
        let mut eof = EofPacket {
            warnings: 0,
            status: StatusFlags::empty(),
        };
        if capabilities.contains(Capabilities::PROTOCOL_41) {
            eof.warnings = reader.u16("the number of warnings is cut")?;
            eof.status = StatusFlags::from_bits_retain(reader.u16("the status is cut")?);
        }
        if !reader.is_empty() {
            return Err(reader.malformed("it is too long"));
        }
        Ok(eof)
    }

    /// Appends the payload for a receiver with these capabilities.
    pub fn write(&self, out: &mut Vec<u8>, capabilities: Capabilities) {
        out.push(0xFE);
        if capabilities.contains(Capabilities::PROTOCOL_41) {
            out.extend_from_slice(&self.warnings.to_le_bytes());
            out.extend_from_slice(&self.status.bits().to_le_bytes());
        }
    }
}
