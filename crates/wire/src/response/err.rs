//! ERR, and MariaDB's progress report, which looks like one.

use crate::capability::Capabilities;
use crate::error::{Error, Peer};
use crate::payload::{Reader, put_lenenc_bytes};

/// An error of the server.
///
/// Source: MySQL internals manual, *ERR_Packet*.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ErrPacket<'a> {
    /// Error number.
    pub code: u16,
    /// SQLSTATE; missing before capabilities are negotiated.
    pub sqlstate: Option<[u8; 5]>,
    /// Message in `character_set_results`.
    pub message: &'a [u8],
}

impl std::fmt::Debug for ErrPacket<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ERR {self}")
    }
}

/// As the clients print it: `1045 (28000): Access denied …`.
impl std::fmt::Display for ErrPacket<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(sqlstate) = self.sqlstate {
            write!(f, " ({})", String::from_utf8_lossy(&sqlstate))?;
        }
        write!(f, ": {}", String::from_utf8_lossy(self.message))
    }
}

impl<'a> ErrPacket<'a> {
    /// Reads a payload. The SQLSTATE is recognised by its `#` whatever the capabilities: the first packet of a
    /// connection may have one or not. MariaDB's progress report is not an ERR: see [`ProgressReport::parse`].
    ///
    /// # Errors
    /// The server is blamed for a packet that is no ERR.
    pub fn parse(payload: &'a [u8], capabilities: Capabilities) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Peer::Server, "ERR");
        if reader.u8("it is empty")? != 0xFF {
            return Err(reader.malformed("it does not begin with 0xff"));
        }
        let code = reader.u16("the error number is cut")?;
        let mut sqlstate = None;
        if reader.peek() == Some(b'#') {
            if reader.remaining() > 5 {
                let [_, state @ ..]: [u8; 6] = reader.array("the SQLSTATE is cut")?;
                sqlstate = Some(state);
            } else if capabilities.contains(Capabilities::PROTOCOL_41) {
                return Err(reader.malformed("the SQLSTATE is cut"));
            }
        }
        Ok(ErrPacket {
            code,
            sqlstate,
            message: reader.rest(),
        })
    }

    /// Appends the payload. The SQLSTATE is written for [`Capabilities::PROTOCOL_41`]; where it is missing then,
    /// it is `HY000`.
    pub fn write(&self, out: &mut Vec<u8>, capabilities: Capabilities) {
        out.push(0xFF);
        out.extend_from_slice(&self.code.to_le_bytes());
        if capabilities.contains(Capabilities::PROTOCOL_41) {
            out.push(b'#');
            out.extend_from_slice(&self.sqlstate.unwrap_or(*b"HY000"));
        }
        out.extend_from_slice(self.message);
    }
}

/// MariaDB's progress report: an ERR with number 0xFFFF that ends nothing. Sent with [`Capabilities::PROGRESS`].
///
/// Source: MariaDB, *ERR_Packet* and *Progress Reporting*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressReport<'a> {
    /// Current stage, from 1.
    pub stage: u8,
    /// Number of stages.
    pub max_stage: u8,
    /// Progress of the stage, in thousandths of a percent.
    pub progress: u32,
    /// What the server is doing.
    pub info: &'a [u8],
}

impl<'a> ProgressReport<'a> {
    /// Whether a payload is a progress report.
    pub fn is_one(payload: &[u8], capabilities: Capabilities) -> bool {
        capabilities.contains(Capabilities::PROGRESS) && payload.starts_with(&[0xFF, 0xFF, 0xFF])
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// The server is blamed for a packet that is no progress report.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(payload, Peer::Server, "progress report");
        if reader.u24("it is cut")? != 0xFF_FFFF {
            return Err(reader.malformed("it does not begin with 0xffffff"));
        }
        reader.u8("the number of strings is missing")?;
        let stage = reader.u8("the stage is missing")?;
        let max_stage = reader.u8("the number of stages is missing")?;
        let progress = reader.u24("the progress is cut")?;
        let info = reader.lenenc_bytes("the info is cut")?;
        Ok(ProgressReport {
            stage,
            max_stage,
            progress,
            info,
        })
    }

    /// Appends the payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0xFF, 0xFF, 0xFF, 1, self.stage, self.max_stage]);
        out.extend_from_slice(&self.progress.to_le_bytes()[..3]);
        put_lenenc_bytes(out, self.info);
    }
}
