//! One connection: its login, its commands, its end.

use std::collections::BTreeMap;
use std::rc::Rc;

use steadfast_wire::command::{Command, code};
use steadfast_wire::frame::{self, HEADER_LEN, Header};
use steadfast_wire::handshake::{Greeting, HandshakeResponse};
use steadfast_wire::payload::Reader;
use steadfast_wire::response::{
    ColumnCount, ColumnDefinition, EofPacket, ErrPacket, OkHeader, OkPacket, PrepareOk, TextRow,
};
use steadfast_wire::value::{ColumnType, Value as WireValue};
use steadfast_wire::{Capabilities, StatusFlags};
use tokio::io::AsyncWriteExt;

use super::session::Session;
use super::sql::{self, Value};
use super::{Dialect, Process, Server};
use crate::fault::Phase;
use crate::network::{End, class_of_text};
use steadfast_net::simulation::Carrier;

/// Why a command has no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Failed {
    /// An ERR.
    Sql(u16, &'static [u8; 5], String),
    /// The connection is gone: it was killed, or its process is dead.
    Gone,
}

impl Failed {
    pub(super) fn sql(code: u16, sqlstate: &'static [u8; 5], text: impl Into<String>) -> Self {
        Self::Sql(code, sqlstate, text.into())
    }
}

/// What a statement answers.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Answer {
    Ok {
        affected: u64,
        insert_id: u64,
    },
    Rows {
        names: Vec<String>,
        rows: Vec<Vec<Value>>,
    },
}

impl Answer {
    pub(super) const OK: Answer = Answer::Ok {
        affected: 0,
        insert_id: 0,
    };
}

#[derive(Clone, Debug)]
struct Prepared {
    text: String,
    parameters: usize,
    types: Vec<u8>,
}

/// See the module.
pub(super) struct Connection {
    pub(super) server: Rc<Server>,
    pub(super) end: End,
    pub(super) id: u32,
    pub(super) boot: u64,
    pub(super) process: Rc<Process>,
    pub(super) session: Session,
    capabilities: Capabilities,
    inbound: Vec<u8>,
    sequence: u8,
    prepared: BTreeMap<u32, Prepared>,
    next_statement: u32,
}

const SERVER_CAPABILITIES: Capabilities = Capabilities::FOUND_ROWS
    .union(Capabilities::LONG_FLAG)
    .union(Capabilities::CONNECT_WITH_DB)
    .union(Capabilities::PROTOCOL_41)
    .union(Capabilities::TRANSACTIONS)
    .union(Capabilities::SECURE_CONNECTION)
    .union(Capabilities::MULTI_RESULTS)
    .union(Capabilities::PS_MULTI_RESULTS)
    .union(Capabilities::PLUGIN_AUTH)
    .union(Capabilities::CONNECT_ATTRS)
    .union(Capabilities::PLUGIN_AUTH_LENENC_CLIENT_DATA)
    .union(Capabilities::SESSION_TRACK)
    .union(Capabilities::DEPRECATE_EOF);

/// Serves a connection until its end; then what is open on it is rolled back.
pub(super) async fn serve(server: Rc<Server>, end: End, id: u32, boot: u64) {
    let host = end.peer_addr().to_string();
    let process = Rc::new(Process {
        host,
        killed: std::cell::Cell::new(None),
        told: tokio::sync::Notify::new(),
    });
    server
        .processes
        .borrow_mut()
        .insert(id, Rc::clone(&process));
    let session = Session::new(server.settings.dialect, "");
    let mut connection = Connection {
        server: Rc::clone(&server),
        end,
        id,
        boot,
        process,
        session,
        capabilities: Capabilities::empty(),
        inbound: Vec::new(),
        sequence: 0,
        prepared: BTreeMap::new(),
        next_statement: 1,
    };
    let ended = connection.run().await;
    if !server.network.lives(boot) {
        return;
    }
    server
        .trace
        .note("server", || format!("connection {id} ends: {ended:?}"));
    connection.roll_back();
    server.processes.borrow_mut().remove(&id);
}

impl Connection {
    async fn run(&mut self) -> Result<(), Failed> {
        self.log_in().await?;
        loop {
            let payload = self.packet().await?;
            if payload.first() == Some(&code::QUIT) {
                return Ok(());
            }
            self.command(&payload).await?;
        }
    }

    async fn log_in(&mut self) -> Result<(), Failed> {
        self.server.network.thawed().await;
        let mut capabilities = SERVER_CAPABILITIES;
        let version: &[u8] = match self.server.settings.dialect {
            Dialect::MariaDb => b"5.5.5-10.11.19-MariaDB",
            Dialect::MySql => {
                capabilities |= Capabilities::LONG_PASSWORD;
                b"9.7.4"
            }
        };
        let mut greeting = Vec::new();
        Greeting {
            version,
            connection_id: self.id,
            nonce: [b'n'; 20],
            capabilities,
            collation: 45,
            status: StatusFlags::AUTOCOMMIT,
            plugin: Some(b"mysql_native_password"),
        }
        .write(&mut greeting);
        let mut out = Vec::new();
        frame::write(&mut out, 0, &greeting);
        self.write(&out).await?;
        let payload = self.packet().await?;
        let response = HandshakeResponse::parse(&payload).map_err(|_| Failed::Gone)?;
        self.capabilities = response.capabilities & capabilities;
        if let Some(schema) = response.database {
            self.session.schema = String::from_utf8_lossy(schema).into_owned();
        }
        self.point(Phase::Before).await?;
        let ok = OkPacket::new(self.session.status());
        self.send(|out, capabilities| ok.write(out, capabilities))
            .await?;
        self.server.network.note_transaction(self.end.id(), false);
        Ok(())
    }

    /// The next packet; ends with the connection.
    async fn packet(&mut self) -> Result<Vec<u8>, Failed> {
        loop {
            if let Some(header) = Header::peek(&self.inbound) {
                let end = HEADER_LEN + header.len as usize;
                if let Some(payload) = self.inbound.get(HEADER_LEN..end) {
                    let payload = payload.to_vec();
                    self.inbound.drain(..end);
                    self.sequence = header.seq.wrapping_add(1);
                    self.server.network.thawed().await;
                    return if self.lives() {
                        Ok(payload)
                    } else {
                        Err(Failed::Gone)
                    };
                }
            }
            if self.process.killed.get() == Some(false) {
                return Err(Failed::Gone);
            }
            let process = Rc::clone(&self.process);
            tokio::select! {
                biased;
                () = process.told.notified() => {}
                read = self.end.read_unless_killed(&mut self.inbound) => match read {
                    Some(Ok(0) | Err(_)) => return Err(Failed::Gone),
                    Some(Ok(_)) => {}
                    None => {
                        self.server.kills.set(self.server.kills.get() + 1);
                        return Err(Failed::Gone);
                    }
                },
            }
            if !self.lives() {
                return Err(Failed::Gone);
            }
        }
    }

    pub(super) fn lives(&self) -> bool {
        self.server.network.lives(self.boot)
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        self.server.network.thawed().await;
        if !self.lives() {
            return Err(Failed::Gone);
        }
        self.end.write_all(bytes).await.map_err(|_| Failed::Gone)
    }

    async fn send(&mut self, fill: impl FnOnce(&mut Vec<u8>, Capabilities)) -> Result<(), Failed> {
        let capabilities = self.capabilities;
        let mut out = Vec::new();
        frame::write_with(&mut out, self.sequence, |out| fill(out, capabilities));
        self.write(&out).await
    }

    /// At a point of the command that runs.
    pub(super) async fn point(&self, phase: Phase) -> Result<(), Failed> {
        self.pass(phase).await?;
        if self.process.killed.get() == Some(false) {
            return Err(Failed::Gone);
        }
        Ok(())
    }

    /// Between the decision to commit and the log: nobody looks for a KILL.
    pub(super) async fn committing(&self) -> Result<(), Failed> {
        self.pass(Phase::Within).await
    }

    async fn pass(&self, phase: Phase) -> Result<(), Failed> {
        let lives = self
            .server
            .network
            .server_point(self.boot, self.end.id(), phase)
            .await;
        lives.then_some(()).ok_or(Failed::Gone)
    }

    async fn command(&mut self, payload: &[u8]) -> Result<(), Failed> {
        let command = Command::parse(payload, self.capabilities);
        if let Ok(Command::StmtClose(id)) = command {
            self.prepared.remove(&id);
            return Ok(());
        }
        self.point(Phase::Before).await?;
        let mut binary = false;
        let outcome = match command {
            Ok(Command::Query(query)) => {
                let text = String::from_utf8_lossy(query.text).into_owned();
                self.statement(&text, &[]).await
            }
            Ok(Command::StmtExecute(execute)) => {
                binary = true;
                match self.bind(&execute) {
                    Ok((text, values)) => self.statement(&text, &values).await,
                    Err(failed) => Err(failed),
                }
            }
            Ok(Command::StmtPrepare(text)) => {
                let text = String::from_utf8_lossy(text).into_owned();
                return self.prepare(text).await;
            }
            Ok(Command::Ping) => Ok(Answer::OK),
            Ok(Command::ResetConnection) => {
                self.roll_back();
                self.prepared.clear();
                let dialect = self.server.settings.dialect;
                self.session = Session::new(dialect, &self.session.schema);
                Ok(Answer::OK)
            }
            Ok(Command::ChangeUser(change)) => {
                self.roll_back();
                self.prepared.clear();
                let schema = String::from_utf8_lossy(change.database);
                self.session = Session::new(self.server.settings.dialect, &schema);
                Ok(Answer::OK)
            }
            Ok(Command::SetOption(_)) => {
                self.point(Phase::After).await?;
                return self.end_of_rows(0).await;
            }
            other => {
                self.server
                    .trace
                    .violation(format!("the simulated server does not know {other:?}"));
                return Err(Failed::Gone);
            }
        };
        let outcome = match outcome {
            Err(Failed::Gone) => return Err(Failed::Gone),
            other => other,
        };
        self.point(Phase::After).await?;
        self.server
            .network
            .note_transaction(self.end.id(), self.session.open.is_some());
        match outcome {
            Ok(Answer::Ok {
                affected,
                insert_id,
            }) => {
                let changes = self.session.take_changes();
                let ok = OkPacket {
                    affected_rows: affected,
                    last_insert_id: insert_id,
                    session_state: &changes,
                    ..OkPacket::new(self.session.status())
                };
                self.send(|out, capabilities| ok.write(out, capabilities))
                    .await
            }
            Ok(Answer::Rows { names, rows }) => self.rows(&names, &rows, binary).await,
            Err(Failed::Sql(code, sqlstate, text)) => {
                *self.server.errors.borrow_mut().entry(code).or_default() += 1;
                self.server
                    .trace
                    .note("server", || format!("{} answers {code}: {text}", self.id));
                let err = ErrPacket {
                    code,
                    sqlstate: Some(*sqlstate),
                    message: text.as_bytes(),
                };
                self.send(|out, capabilities| err.write(out, capabilities))
                    .await
            }
            Err(Failed::Gone) => Err(Failed::Gone),
        }
    }

    async fn prepare(&mut self, text: String) -> Result<(), Failed> {
        let parameters = sql::parameters(&text);
        let columns = match sql::parse(&text, &[]) {
            Ok(statement) => self.names_of(&statement),
            Err(what) => {
                self.server
                    .trace
                    .violation(format!("the simulated server cannot prepare {what}"));
                return Err(Failed::Gone);
            }
        };
        let id = self.next_statement;
        self.next_statement += 1;
        let class = class_of_text(text.as_bytes(), false);
        self.server.network.note_prepared(self.end.id(), id, class);
        self.point(Phase::After).await?;
        let prepared = Prepared {
            text,
            parameters,
            types: Vec::new(),
        };
        self.prepared.insert(id, prepared);
        let capabilities = self.capabilities;
        let mut out = Vec::new();
        let mut sequence = frame::write_with(&mut out, self.sequence, |out| {
            PrepareOk {
                statement_id: id,
                columns: columns.len() as u16,
                parameters: parameters as u16,
                warnings: 0,
                definitions_follow: true,
            }
            .write(out, capabilities);
        });
        let marks = vec!["?".to_owned(); parameters];
        for names in [&marks, &columns] {
            if names.is_empty() {
                continue;
            }
            for name in names {
                sequence = frame::write_with(&mut out, sequence, |out| {
                    definition(name, ColumnType::LONGLONG).write(out, capabilities);
                });
            }
            if !capabilities.contains(Capabilities::DEPRECATE_EOF) {
                sequence = self.eof(&mut out, sequence);
            }
        }
        self.write(&out).await
    }

    fn eof(&self, out: &mut Vec<u8>, sequence: u8) -> u8 {
        let eof = EofPacket {
            warnings: 0,
            status: self.session.status(),
        };
        frame::write_with(out, sequence, |out| eof.write(out, self.capabilities))
    }

    /// The values of an execution, and the text that they belong to.
    fn bind(
        &mut self,
        execute: &steadfast_wire::command::Execute<'_>,
    ) -> Result<(String, Vec<Value>), Failed> {
        let unknown = || Failed::sql(1243, b"HY000", "Unknown prepared statement handler");
        let wrong = || Failed::sql(1210, b"HY000", "Incorrect arguments to mysqld_stmt_execute");
        let capabilities = self.capabilities;
        let prepared = self
            .prepared
            .get_mut(&execute.statement_id)
            .ok_or_else(unknown)?;
        let parameters = execute
            .parameters(prepared.parameters as u16, capabilities)
            .map_err(|_| wrong())?;
        if let Some(types) = parameters.types {
            prepared.types = types.raw.to_vec();
        }
        if prepared.types.len() < 2 * prepared.parameters {
            return Err(wrong());
        }
        let mut reader = Reader::new(
            parameters.values,
            steadfast_wire::Peer::Client,
            "parameters",
        );
        let mut values = Vec::new();
        for (index, kind) in prepared
            .types
            .chunks(2)
            .take(prepared.parameters)
            .enumerate()
        {
            let null = parameters.nulls[index / 8] >> (index % 8) & 1 == 1;
            if null {
                values.push(Value::Null);
                continue;
            }
            let unsigned = kind[1] & 0x80 != 0;
            let value = WireValue::read(&mut reader, ColumnType(kind[0]), unsigned);
            values.push(match value.map_err(|_| wrong())? {
                WireValue::Int(number) => Value::Int(number),
                WireValue::UInt(number) => Value::Int(number.cast_signed()),
                WireValue::Bytes(bytes) => Value::Text(bytes.to_vec()),
                _ => return Err(wrong()),
            });
        }
        Ok((prepared.text.clone(), values))
    }

    async fn rows(
        &mut self,
        names: &[String],
        rows: &[Vec<Value>],
        binary: bool,
    ) -> Result<(), Failed> {
        let capabilities = self.capabilities;
        let mut out = Vec::new();
        let mut sequence = frame::write_with(&mut out, self.sequence, |out| {
            ColumnCount {
                columns: names.len() as u32,
                definitions_follow: true,
            }
            .write(out, capabilities);
        });
        let kind = |index: usize| match rows.first().and_then(|row| row.get(index)) {
            Some(Value::Text(_)) => ColumnType::VAR_STRING,
            _ => ColumnType::LONGLONG,
        };
        for (index, name) in names.iter().enumerate() {
            sequence = frame::write_with(&mut out, sequence, |out| {
                definition(name, kind(index)).write(out, capabilities);
            });
        }
        if !capabilities.contains(Capabilities::DEPRECATE_EOF) {
            sequence = self.eof(&mut out, sequence);
        }
        for row in rows {
            sequence = frame::write_with(&mut out, sequence, |out| {
                if binary {
                    binary_row(out, row);
                } else {
                    let shown: Vec<Option<Vec<u8>>> = row.iter().map(Value::shown).collect();
                    TextRow::write(out, shown.iter().map(Option::as_deref));
                }
            });
        }
        self.sequence = sequence;
        self.end_of(&mut out);
        self.write(&out).await
    }

    /// What ends rows.
    fn end_of(&mut self, out: &mut Vec<u8>) {
        if !self.capabilities.contains(Capabilities::DEPRECATE_EOF) {
            self.eof(out, self.sequence);
            return;
        }
        let changes = self.session.take_changes();
        let ok = OkPacket {
            header: OkHeader::Eof,
            session_state: &changes,
            ..OkPacket::new(self.session.status())
        };
        let capabilities = self.capabilities;
        frame::write_with(out, self.sequence, |out| ok.write(out, capabilities));
    }

    async fn end_of_rows(&mut self, _rows: usize) -> Result<(), Failed> {
        let mut out = Vec::new();
        self.end_of(&mut out);
        self.write(&out).await
    }
}

fn definition(name: &str, kind: ColumnType) -> ColumnDefinition<'_> {
    ColumnDefinition {
        catalog: b"def",
        schema: b"",
        table: b"",
        org_table: b"",
        name: name.as_bytes(),
        org_name: b"",
        extended: b"",
        collation: if kind == ColumnType::LONGLONG { 63 } else { 45 },
        length: 20,
        kind,
        flags: 0,
        decimals: 0,
        tail: b"",
    }
}

fn binary_row(out: &mut Vec<u8>, row: &[Value]) {
    out.push(0);
    let mut nulls = vec![0u8; (row.len() + 9) / 8];
    for (index, value) in row.iter().enumerate() {
        if *value == Value::Null {
            nulls[(index + 2) / 8] |= 1 << ((index + 2) % 8);
        }
    }
    out.extend(nulls);
    for value in row {
        match value {
            Value::Null => {}
            Value::Int(number) => out.extend_from_slice(&number.to_le_bytes()),
            Value::Text(text) => steadfast_wire::payload::put_lenenc_bytes(out, text),
        }
    }
}
