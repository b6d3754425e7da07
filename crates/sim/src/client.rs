//! A client of the simulation: speaks the protocol to the proxy, and expects nothing.

use std::collections::BTreeMap;

use steadfast_wire::auth::{Password, native_response};
use steadfast_wire::command::{Query, code};
use steadfast_wire::frame::{self, HEADER_LEN, Header};
use steadfast_wire::handshake::{Greeting, HandshakeResponse};
use steadfast_wire::response::{
    BinaryRow, ColumnCount, ColumnDefinition, ErrPacket, OkPacket, PrepareOk, TextRow,
};
use steadfast_wire::value::{ColumnType, Value as WireValue};
use steadfast_wire::{Capabilities, StatusFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::network::{End, Network};

/// The account of all clients.
pub const USER: &[u8] = b"app";
/// Its password.
pub const PASSWORD: &[u8] = b"secret";

/// What a client gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reply {
    /// OK.
    Ok {
        /// Affected rows.
        affected: u64,
        /// Insert id.
        insert_id: u64,
        /// A transaction is open.
        in_transaction: bool,
    },
    /// Rows, as text.
    Rows(Vec<Vec<Option<String>>>),
    /// ERR.
    Error {
        /// Error number.
        code: u16,
        /// SQLSTATE.
        sqlstate: String,
        /// Its text.
        text: String,
    },
}

/// The connection ended, or what came makes no sense.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Closed(pub String);

impl From<std::io::Error> for Closed {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<steadfast_wire::Error> for Closed {
    fn from(error: steadfast_wire::Error) -> Self {
        Self(format!("the answer makes no sense: {error}"))
    }
}

/// A connection of a client.
#[derive(Debug)]
pub struct Client {
    end: End,
    inbound: Vec<u8>,
    /// What the next packet must have.
    sequence: u8,
    capabilities: Capabilities,
    /// Ids and parameters of what was prepared, by text.
    prepared: BTreeMap<String, (u32, u16)>,
    /// Whether an execution has told its types.
    bound: BTreeMap<u32, bool>,
}

impl Client {
    /// Connects and logs in. `new_style`: without EOF packets.
    ///
    /// # Errors
    /// There is no proxy, or it does not let the client in.
    pub async fn connect(network: &Network, new_style: bool) -> Result<Self, Closed> {
        let end = network.connect_client().await?;
        let mut client = Self {
            end,
            inbound: Vec::new(),
            sequence: 0,
            capabilities: Capabilities::empty(),
            prepared: BTreeMap::new(),
            bound: BTreeMap::new(),
        };
        let payload = client.packet().await?;
        if payload.first() == Some(&0xFF) {
            return Err(Closed(error_text(&payload, Capabilities::empty())));
        }
        let greeting = Greeting::parse(&payload)?;
        let mut wanted = Capabilities::LONG_PASSWORD
            | Capabilities::LONG_FLAG
            | Capabilities::CONNECT_WITH_DB
            | Capabilities::PROTOCOL_41
            | Capabilities::TRANSACTIONS
            | Capabilities::SECURE_CONNECTION
            | Capabilities::PLUGIN_AUTH;
        wanted.set(Capabilities::DEPRECATE_EOF, new_style);
        wanted.set(Capabilities::SESSION_TRACK, new_style);
        client.capabilities = wanted & (greeting.capabilities | Capabilities::LONG_PASSWORD);
        let answer = native_response(&Password::new(PASSWORD), &greeting.nonce);
        let response = HandshakeResponse {
            capabilities: client.capabilities,
            max_packet_size: 1 << 24,
            collation: 45,
            reserved: [0; 19],
            user: USER,
            auth_response: &answer,
            database: Some(b"sim"),
            plugin: Some(b"mysql_native_password"),
            attributes: None,
            zstd_level: None,
        };
        let mut bytes = Vec::new();
        response.write(&mut bytes)?;
        let mut out = Vec::new();
        client.sequence = frame::write(&mut out, client.sequence, &bytes);
        client.end.write_all(&out).await?;
        let payload = client.packet().await?;
        match payload.first() {
            Some(0) => Ok(client),
            _ => Err(Closed(error_text(&payload, client.capabilities))),
        }
    }

    /// Runs a text.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn query(&mut self, text: &str) -> Result<Reply, Closed> {
        let mut payload = Vec::new();
        Query::new(text.as_bytes()).write(&mut payload, self.capabilities);
        self.send(&payload).await?;
        self.reply(false).await
    }

    /// Runs a text with `?` as a prepared statement; prepares it if it is new.
    ///
    /// # Errors
    /// The connection ended.
    pub async fn execute(&mut self, text: &str, parameters: &[i64]) -> Result<Reply, Closed> {
        let (id, count) = match self.prepared.get(text) {
            Some(known) => *known,
            None => match self.prepare(text).await? {
                Ok(new) => {
                    self.prepared.insert(text.to_owned(), new);
                    new
                }
                Err(error) => return Ok(error),
            },
        };
        let mut payload = vec![code::STMT_EXECUTE];
        payload.extend_from_slice(&id.to_le_bytes());
        payload.push(0);
        payload.extend_from_slice(&1u32.to_le_bytes());
        if count > 0 {
            payload.extend(vec![0; usize::from(count).div_ceil(8)]);
            // As many drivers do: types only with the first execution.
            let bound = self.bound.insert(id, true).unwrap_or(false);
            payload.push(u8::from(!bound));
            if !bound {
                for _ in 0..count {
                    payload.extend_from_slice(&[ColumnType::LONGLONG.0, 0]);
                }
            }
            for parameter in parameters {
                payload.extend_from_slice(&parameter.to_le_bytes());
            }
        }
        self.send(&payload).await?;
        self.reply(true).await
    }

    async fn prepare(&mut self, text: &str) -> Result<Result<(u32, u16), Reply>, Closed> {
        let mut payload = vec![code::STMT_PREPARE];
        payload.extend_from_slice(text.as_bytes());
        self.send(&payload).await?;
        let payload = self.packet().await?;
        if payload.first() == Some(&0xFF) {
            return Ok(Err(self.error(&payload)?));
        }
        let ok = PrepareOk::parse(&payload, self.capabilities)?;
        let eof = usize::from(!self.capabilities.contains(Capabilities::DEPRECATE_EOF));
        for count in [usize::from(ok.parameters), usize::from(ok.columns)] {
            if count > 0 {
                for _ in 0..count + eof {
                    self.packet().await?;
                }
            }
        }
        Ok(Ok((ok.statement_id, ok.parameters)))
    }

    /// Leaves in order.
    pub async fn quit(mut self) {
        // Whether it arrives or not, the client is gone.
        let _ = self.send(&[code::QUIT]).await;
    }

    async fn send(&mut self, payload: &[u8]) -> Result<(), Closed> {
        let mut out = Vec::new();
        self.sequence = frame::write(&mut out, 0, payload);
        Ok(self.end.write_all(&out).await?)
    }

    async fn packet(&mut self) -> Result<Vec<u8>, Closed> {
        loop {
            if let Some(header) = Header::peek(&self.inbound) {
                let end = HEADER_LEN + header.len as usize;
                if let Some(payload) = self.inbound.get(HEADER_LEN..end) {
                    let payload = payload.to_vec();
                    self.inbound.drain(..end);
                    if header.seq != self.sequence {
                        return Err(Closed(format!(
                            "packets out of order: sequence id {} instead of {}",
                            header.seq, self.sequence
                        )));
                    }
                    self.sequence = header.seq.wrapping_add(1);
                    return Ok(payload);
                }
            }
            if self.end.read_buf(&mut self.inbound).await? == 0 {
                return Err(Closed("FIN".to_owned()));
            }
        }
    }

    fn error(&self, payload: &[u8]) -> Result<Reply, Closed> {
        let err = ErrPacket::parse(payload, self.capabilities)?;
        Ok(Reply::Error {
            code: err.code,
            sqlstate: String::from_utf8_lossy(&err.sqlstate.unwrap_or_default()).into_owned(),
            text: String::from_utf8_lossy(err.message).into_owned(),
        })
    }

    async fn reply(&mut self, binary: bool) -> Result<Reply, Closed> {
        let payload = self.packet().await?;
        match payload.first() {
            Some(0x00) => {
                let ok = OkPacket::parse(&payload, self.capabilities)?;
                return Ok(Reply::Ok {
                    affected: ok.affected_rows,
                    insert_id: ok.last_insert_id,
                    in_transaction: ok.status.contains(StatusFlags::IN_TRANS),
                });
            }
            Some(0xFF) => return self.error(&payload),
            _ => {}
        }
        let count = ColumnCount::parse(&payload, self.capabilities)?.columns as usize;
        let mut kinds = Vec::new();
        for _ in 0..count {
            let payload = self.packet().await?;
            if payload.first() == Some(&0xFF) {
                return self.error(&payload);
            }
            kinds.push(ColumnDefinition::parse(&payload, self.capabilities)?.kind);
        }
        if !self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            let payload = self.packet().await?;
            if payload.first() == Some(&0xFF) {
                return self.error(&payload);
            }
        }
        let mut rows = Vec::new();
        loop {
            let payload = self.packet().await?;
            match payload.first() {
                Some(0xFF) => return self.error(&payload),
                Some(0xFE) if payload.len() < 100 => return Ok(Reply::Rows(rows)),
                _ => {}
            }
            rows.push(if binary {
                let mut row = BinaryRow::parse(&payload, count)?;
                let mut values = Vec::new();
                for kind in &kinds {
                    values.push(shown(&row.value_of(*kind, false)?));
                }
                values
            } else {
                let mut values = Vec::new();
                for value in TextRow::new(&payload).iter() {
                    values.push(value?.map(|v| String::from_utf8_lossy(v).into_owned()));
                }
                values
            });
        }
    }
}

fn shown(value: &WireValue<'_>) -> Option<String> {
    match value {
        WireValue::Null => None,
        WireValue::Int(number) => Some(number.to_string()),
        WireValue::UInt(number) => Some(number.to_string()),
        WireValue::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        other => Some(format!("{other:?}")),
    }
}

fn error_text(payload: &[u8], capabilities: Capabilities) -> String {
    match ErrPacket::parse(payload, capabilities) {
        Ok(err) => format!("{} {}", err.code, String::from_utf8_lossy(err.message)),
        Err(error) => error.to_string(),
    }
}
