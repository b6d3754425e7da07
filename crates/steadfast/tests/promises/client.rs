//! A client of the protocol in plain bytes, independent of the crates under test. It checks the sequence id of every
//! packet that it gets.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take before it counts as missing.
const PATIENCE: Duration = Duration::from_secs(40);

pub(crate) const CLIENT_MULTI_STATEMENTS: u32 = 1 << 16;
/// LONG_PASSWORD, LONG_FLAG, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, MULTI_RESULTS, PS_MULTI_RESULTS,
/// PLUGIN_AUTH.
const CAPABILITIES: u32 = 1 | 1 << 2 | 1 << 9 | 1 << 13 | 1 << 15 | 1 << 17 | 1 << 18 | 1 << 19;
const CONNECT_WITH_DB: u32 = 1 << 3;

const MORE_RESULTS: u16 = 8;
const CURSOR_EXISTS: u16 = 64;

/// What a command was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Ok {
        affected: u64,
        insert_id: u64,
    },
    /// Text values; of a binary row one value, all its bytes in hexadecimal.
    Rows(Vec<Vec<Option<String>>>),
    Err {
        code: u16,
        sqlstate: String,
        message: String,
    },
    /// The connection has ended, or nothing came in time.
    Gone(String),
}

impl Answer {
    /// `code/sqlstate` of an ERR, else 0 for success.
    #[track_caller]
    pub(crate) fn error(&self) -> String {
        match self {
            Answer::Err { code, sqlstate, .. } => format!("{code}/{sqlstate}"),
            Answer::Ok { .. } | Answer::Rows(_) => "0".to_owned(),
            Answer::Gone(why) => format!("gone: {why}"),
        }
    }

    #[track_caller]
    pub(crate) fn good(self) -> Self {
        assert_eq!(self.error(), "0", "{self:?}");
        self
    }

    /// Fails unless it is this error, `code/sqlstate`; gives its message.
    #[track_caller]
    pub(crate) fn fails(self, expected: &str) -> String {
        assert_eq!(self.error(), expected, "{self:?}");
        match self {
            Answer::Err { message, .. } => message,
            _ => String::new(),
        }
    }

    /// Rows as lines of values with a space between; NULL is `NULL`.
    #[track_caller]
    pub(crate) fn lines(self) -> Vec<String> {
        match self {
            Answer::Rows(rows) => rows
                .iter()
                .map(|row| {
                    let values: Vec<&str> =
                        row.iter().map(|v| v.as_deref().unwrap_or("NULL")).collect();
                    values.join(" ")
                })
                .collect(),
            other => panic!("no rows: {other:?}"),
        }
    }

    /// The only line.
    #[track_caller]
    pub(crate) fn line(self) -> String {
        let lines = self.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.concat()
    }
}

/// A prepared statement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prepared {
    pub(crate) id: u32,
    pub(crate) parameters: u16,
}

pub(crate) struct Client {
    stream: TcpStream,
    sequence: u8,
    /// What the last answer told beside its rows: status flags, warnings, info, definitions of columns.
    pub(crate) beside: Vec<u8>,
    /// The connection id of the greeting.
    pub(crate) id: u32,
    user: String,
    database: String,
}

impl Client {
    /// Logs in with an empty password; panics if that is refused.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr, user: &str, database: &str, more: u32) -> Self {
        match Self::try_connect(address, user, database, more) {
            Ok(client) => client,
            Err(answer) => panic!("the login of {user} came to {answer:?}"),
        }
    }

    pub(crate) fn try_connect(
        address: SocketAddr,
        user: &str,
        database: &str,
        more: u32,
    ) -> Result<Self, Answer> {
        let gone = |error: io::Error| Answer::Gone(error.to_string());
        let stream = TcpStream::connect(address).map_err(gone)?;
        stream.set_nodelay(true).map_err(gone)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(gone)?;
        let mut client = Self {
            stream,
            sequence: 0,
            beside: Vec::new(),
            id: 0,
            user: user.to_owned(),
            database: database.to_owned(),
        };
        let greeting = client.packet().map_err(gone)?;
        if greeting.first() == Some(&0xFF) {
            return Err(error_without_state(&greeting));
        }
        let after_version = 1 + greeting.iter().skip(1).position(|b| *b == 0).unwrap() + 1;
        client.id = u32::from_le_bytes(
            greeting[after_version..after_version + 4]
                .try_into()
                .unwrap(),
        );
        let mut response = Vec::new();
        let mut capabilities = CAPABILITIES | more;
        if !database.is_empty() {
            capabilities |= CONNECT_WITH_DB;
        }
        response.extend_from_slice(&capabilities.to_le_bytes());
        response.extend_from_slice(&(1u32 << 30).to_le_bytes());
        response.push(45);
        response.extend_from_slice(&[0; 23]);
        response.extend_from_slice(user.as_bytes());
        response.extend_from_slice(&[0, 0]);
        if !database.is_empty() {
            response.extend_from_slice(database.as_bytes());
            response.push(0);
        }
        response.extend_from_slice(b"mysql_native_password\0");
        client.send(&response).map_err(gone)?;
        client.finish_login()?;
        Ok(client)
    }

    fn finish_login(&mut self) -> Result<(), Answer> {
        let gone = |error: io::Error| Answer::Gone(error.to_string());
        loop {
            let packet = self.packet().map_err(gone)?;
            match packet.first() {
                Some(0) => return Ok(()),
                // Auth switch: an empty password answers every plugin with nothing.
                Some(0xFE) => self.send(&[]).map_err(gone)?,
                Some(1) => {}
                _ => return Err(err(&packet)),
            }
        }
    }

    fn send(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut bytes = (payload.len() as u32).to_le_bytes()[..3].to_vec();
        bytes.push(self.sequence);
        bytes.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.stream.write_all(&bytes)
    }

    fn packet(&mut self) -> io::Result<Vec<u8>> {
        let mut payload = Vec::new();
        loop {
            let mut header = [0; 4];
            self.stream.read_exact(&mut header)?;
            assert_eq!(
                header[3], self.sequence,
                "sequence ids seen by a client are continuous"
            );
            self.sequence = self.sequence.wrapping_add(1);
            let len = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
            let at = payload.len();
            payload.resize(at + len, 0);
            self.stream.read_exact(&mut payload[at..])?;
            if len < 0xFF_FFFF {
                return Ok(payload);
            }
        }
    }

    /// Sends a command and does not wait for its answer.
    #[track_caller]
    pub(crate) fn start(&mut self, code: u8, body: &[u8]) {
        self.sequence = 0;
        self.beside.clear();
        self.send(&[&[code], body].concat())
            .expect("the client connection lives");
    }

    /// Sends a query and does not wait for its answer.
    #[track_caller]
    pub(crate) fn start_query(&mut self, sql: &str) {
        self.start(3, sql.as_bytes());
    }

    /// The answer to what was started: the last of several results, or the first error.
    pub(crate) fn answer(&mut self) -> Answer {
        self.read_answer(false)
    }

    fn read_answer(&mut self, binary: bool) -> Answer {
        let read = || -> io::Result<Answer> {
            loop {
                let (answer, status) = self.one_result(binary)?;
                if status & MORE_RESULTS == 0 || matches!(answer, Answer::Err { .. }) {
                    return Ok(answer);
                }
            }
        };
        let mut read = read;
        read().unwrap_or_else(|error| Answer::Gone(error.to_string()))
    }

    fn one_result(&mut self, binary: bool) -> io::Result<(Answer, u16)> {
        let first = self.packet()?;
        match first.first() {
            Some(0) => {
                let mut rest = &first[1..];
                let affected = lenenc(&mut rest);
                let insert_id = lenenc(&mut rest);
                let status = u16::from_le_bytes([rest[0], rest[1]]);
                self.beside.extend_from_slice(rest);
                return Ok((
                    Answer::Ok {
                        affected,
                        insert_id,
                    },
                    status,
                ));
            }
            Some(0xFF) => return Ok((err(&first), 0)),
            // COM_SET_OPTION is answered with EOF.
            Some(0xFE) if first.len() < 9 => {
                self.beside.extend_from_slice(&first);
                return Ok((
                    Answer::Ok {
                        affected: 0,
                        insert_id: 0,
                    },
                    0,
                ));
            }
            _ => {}
        }
        let columns = lenenc(&mut first.as_slice());
        for _ in 0..columns {
            let definition = self.packet()?;
            self.beside.extend_from_slice(&definition);
        }
        // Of the status flags that this EOF has, a proxy that leaves it out on its server leg cannot know.
        let eof = self.packet()?;
        if eof.first() == Some(&0xFF) {
            return Ok((err(&eof), 0));
        }
        assert_eq!(eof.first(), Some(&0xFE), "EOF after the columns");
        let status = u16::from_le_bytes([eof[3], eof[4]]);
        if status & CURSOR_EXISTS != 0 {
            return Ok((Answer::Rows(Vec::new()), status));
        }
        self.rows(columns, binary)
    }

    fn rows(&mut self, columns: u64, binary: bool) -> io::Result<(Answer, u16)> {
        let mut rows = Vec::new();
        loop {
            let packet = self.packet()?;
            match packet.first() {
                Some(0xFE) if packet.len() < 9 => {
                    self.beside.extend_from_slice(&packet);
                    return Ok((
                        Answer::Rows(rows),
                        u16::from_le_bytes([packet[3], packet[4]]),
                    ));
                }
                Some(0xFF) => return Ok((err(&packet), 0)),
                _ if binary => {
                    let hex: String = packet.iter().map(|byte| format!("{byte:02x}")).collect();
                    rows.push(vec![Some(hex)]);
                }
                _ => {
                    let mut rest = packet.as_slice();
                    rows.push((0..columns).map(|_| text(&mut rest)).collect());
                }
            }
        }
    }

    #[track_caller]
    pub(crate) fn query(&mut self, sql: &str) -> Answer {
        self.start_query(sql);
        self.answer()
    }

    /// Queries that must all succeed.
    #[track_caller]
    pub(crate) fn run(&mut self, statements: &[&str]) {
        for sql in statements {
            let answer = self.query(sql);
            assert_eq!(answer.error(), "0", "{sql}: {answer:?}");
        }
    }

    /// The only row of a query.
    #[track_caller]
    pub(crate) fn line(&mut self, sql: &str) -> String {
        self.query(sql).line()
    }

    /// A command without a resultset, such as COM_PING (14) or COM_RESET_CONNECTION (31).
    #[track_caller]
    pub(crate) fn command(&mut self, code: u8, body: &[u8]) -> Answer {
        self.start(code, body);
        self.answer()
    }

    /// COM_CHANGE_USER to the same account.
    #[track_caller]
    pub(crate) fn change_user(&mut self) -> Answer {
        let user = self.user.clone();
        self.start_change_user(&user);
        self.user_changed()
    }

    /// Sends COM_CHANGE_USER and does not wait.
    #[track_caller]
    pub(crate) fn start_change_user(&mut self, user: &str) {
        let mut body = user.as_bytes().to_vec();
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(self.database.as_bytes());
        body.push(0);
        body.extend_from_slice(&45u16.to_le_bytes());
        body.extend_from_slice(b"mysql_native_password\0");
        self.start(17, &body);
    }

    /// Sends COM_CHANGE_USER, and answers when asked for the password. Does not wait for what it comes to.
    #[track_caller]
    pub(crate) fn begin_change_user(&mut self, user: &str) {
        self.start_change_user(user);
        let request = self.packet().expect("a request for the password");
        assert_eq!(request.first(), Some(&0xFE), "{request:?}");
        self.send(&[]).expect("the client connection lives");
    }

    /// What COM_CHANGE_USER comes to, with an empty password.
    pub(crate) fn user_changed(&mut self) -> Answer {
        match self.finish_login() {
            Ok(()) => Answer::Ok {
                affected: 0,
                insert_id: 0,
            },
            Err(answer) => answer,
        }
    }

    /// COM_STATISTICS; gives its text.
    #[track_caller]
    pub(crate) fn statistics(&mut self) -> String {
        self.start(9, b"");
        let text = self.packet().expect("an answer to STATISTICS");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// COM_STMT_PREPARE; panics if that is refused.
    #[track_caller]
    pub(crate) fn prepare(&mut self, sql: &str) -> Prepared {
        match self.try_prepare(sql) {
            Ok(prepared) => prepared,
            Err(answer) => panic!("{sql}: {answer:?}"),
        }
    }

    /// COM_STMT_PREPARE.
    pub(crate) fn try_prepare(&mut self, sql: &str) -> Result<Prepared, Answer> {
        self.start(22, sql.as_bytes());
        let first = self.packet().expect("an answer to PREPARE");
        if first.first() != Some(&0) {
            return Err(err(&first));
        }
        let short = |at: usize| u16::from_le_bytes([first[at], first[at + 1]]);
        let (columns, parameters) = (short(5), short(7));
        for count in [parameters, columns] {
            if count > 0 {
                for _ in 0..=count {
                    self.packet().expect("a definition or EOF");
                }
            }
        }
        Ok(Prepared {
            id: u32::from_le_bytes(first[1..5].try_into().unwrap()),
            parameters,
        })
    }

    /// COM_STMT_EXECUTE with string parameters (`None`: sent as long data before); `types` says whether the types are
    /// sent; `cursor` opens a read-only cursor.
    #[track_caller]
    pub(crate) fn execute(
        &mut self,
        statement: Prepared,
        values: &[Option<&str>],
        types: bool,
        cursor: bool,
    ) -> Answer {
        self.start_execute(statement, values, types, cursor);
        self.read_answer(true)
    }

    /// Sends COM_STMT_EXECUTE and does not wait.
    #[track_caller]
    pub(crate) fn start_execute(
        &mut self,
        statement: Prepared,
        values: &[Option<&str>],
        types: bool,
        cursor: bool,
    ) {
        assert_eq!(values.len(), usize::from(statement.parameters));
        let mut body = statement.id.to_le_bytes().to_vec();
        body.push(u8::from(cursor));
        body.extend_from_slice(&1u32.to_le_bytes());
        if !values.is_empty() {
            body.extend(vec![0; values.len().div_ceil(8)]);
            body.push(u8::from(types));
            if types {
                for value in values {
                    // VAR_STRING, or BLOB for long data.
                    body.extend_from_slice(&[if value.is_some() { 253 } else { 252 }, 0]);
                }
            }
            for value in values.iter().flatten() {
                body.push(u8::try_from(value.len()).expect("a short value"));
                body.extend_from_slice(value.as_bytes());
            }
        }
        self.start(23, &body);
    }

    /// COM_STMT_FETCH of one row.
    #[track_caller]
    pub(crate) fn fetch(&mut self, statement: Prepared) -> Answer {
        self.start(
            28,
            &[statement.id.to_le_bytes(), 1u32.to_le_bytes()].concat(),
        );
        match self.rows(0, true) {
            Ok((answer, _)) => answer,
            Err(error) => Answer::Gone(error.to_string()),
        }
    }

    /// COM_STMT_SEND_LONG_DATA.
    #[track_caller]
    pub(crate) fn long_data(&mut self, statement: Prepared, parameter: u16, data: &[u8]) {
        self.start(
            24,
            &[
                &statement.id.to_le_bytes()[..],
                &parameter.to_le_bytes(),
                data,
            ]
            .concat(),
        );
    }

    /// Whether an answer has come, or the connection has ended, within this time.
    pub(crate) fn has_answer_within(&self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let seen = self.stream.peek(&mut [0]).is_ok();
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        seen
    }

    /// Sends the header of a frame of `len` bytes and only the beginning of it.
    #[track_caller]
    pub(crate) fn claim(&mut self, len: u32, beginning: &[u8]) {
        let mut bytes = len.to_le_bytes()[..3].to_vec();
        bytes.push(0);
        bytes.extend_from_slice(beginning);
        self.stream.write_all(&bytes).unwrap();
    }

    /// Sends a COM_PING with sequence id 5; gives the error that comes, whatever its own sequence id.
    #[track_caller]
    pub(crate) fn out_of_order(&mut self) -> (u16, String) {
        self.stream.write_all(&[1, 0, 0, 5, 14]).unwrap();
        self.sequence = 6;
        match self.answer() {
            Answer::Err { code, message, .. } => (code, message),
            other => panic!("{other:?}"),
        }
    }

    /// Vanishes with RST.
    pub(crate) fn vanish(self) {
        socket2::SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

fn lenenc(rest: &mut &[u8]) -> u64 {
    let first = rest[0];
    let len = match first {
        0xFC => 2,
        0xFD => 3,
        0xFE => 8,
        _ => {
            *rest = &rest[1..];
            return u64::from(first);
        }
    };
    let mut bytes = [0; 8];
    bytes[..len].copy_from_slice(&rest[1..=len]);
    *rest = &rest[1 + len..];
    u64::from_le_bytes(bytes)
}

fn text(rest: &mut &[u8]) -> Option<String> {
    if rest[0] == 0xFB {
        *rest = &rest[1..];
        return None;
    }
    let len = lenenc(rest) as usize;
    let (value, after) = rest.split_at(len);
    *rest = after;
    Some(String::from_utf8_lossy(value).into_owned())
}

fn err(packet: &[u8]) -> Answer {
    if packet.first() != Some(&0xFF) || packet.get(3) != Some(&b'#') {
        return error_without_state(packet);
    }
    Answer::Err {
        code: u16::from_le_bytes([packet[1], packet[2]]),
        sqlstate: String::from_utf8_lossy(&packet[4..9]).into_owned(),
        message: String::from_utf8_lossy(&packet[9..]).into_owned(),
    }
}

fn error_without_state(packet: &[u8]) -> Answer {
    match packet {
        [0xFF, low, high, message @ ..] => Answer::Err {
            code: u16::from_le_bytes([*low, *high]),
            sqlstate: String::new(),
            message: String::from_utf8_lossy(message).into_owned(),
        },
        _ => Answer::Gone(format!("no ERR: {packet:?}")),
    }
}
