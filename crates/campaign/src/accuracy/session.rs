//! A client that can do what drivers do not: send half of a command, stop reading, leave without a goodbye. What it sees
//! of its loss it tells in the words of libmysqlclient.

use std::io;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use steadfast_net::tls::{Connector, Verify};
use steadfast_net::{
    Address, ConnectError, ConnectStage, Login, LoginError, LossKind, QueryError, QueryResult,
    ServerConnection, ServerError, Target, greet,
};
use steadfast_wire::Capabilities;
use steadfast_wire::auth::Password;
use steadfast_wire::frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// utf8mb4_general_ci.
const COLLATION: u8 = 45;
/// COM_QUERY.
const QUERY: u8 = 3;
const MAX_PACKET: u32 = 1 << 30;
/// A result that stands still for so long has come to its end.
const PAUSE: Duration = Duration::from_secs(2);

/// What a client saw of its end, or of its error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Saw {
    /// An error of the server's.
    Said { code: u16, text: String },
    /// It could not connect: the system's error number.
    NoConnection(i32),
    /// The connection ended before the greeting.
    NoGreeting(i32),
    /// The connection ended during the login.
    NoLogin(i32),
    /// It could not send.
    NotSent,
    /// It got no answer, or half of one.
    NoAnswer,
    /// It gave up waiting.
    GaveUp,
    /// Its answer: through Steadfast.
    Answered,
}

impl Saw {
    /// The message, as libmysqlclient has it; where the client itself gave up, as PyMySQL has it.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Said { code, text } => format!("ERROR {code}: {text}"),
            Self::NoConnection(error) => format!(
                "ERROR 2003 (HY000): Can't connect to MySQL server on '127.0.0.1:3306' ({error})"
            ),
            Self::NoGreeting(error) => format!(
                "ERROR 2013 (HY000): Lost connection to MySQL server at 'reading initial communication packet', \
                 system error: {error}"
            ),
            Self::NoLogin(error) => format!(
                "ERROR 2013 (HY000): Lost connection to MySQL server at 'reading authorization packet', system error: \
                 {error}"
            ),
            Self::NotSent => "ERROR 2006 (HY000): MySQL server has gone away".to_owned(),
            Self::NoAnswer => {
                "ERROR 2013 (HY000): Lost connection to MySQL server during query".to_owned()
            }
            Self::Answered => "answered".to_owned(),
            Self::GaveUp => {
                "(2013, 'Lost connection to MySQL server during query (timed out)')".to_owned()
            }
        }
    }

    fn server(error: &ServerError) -> Self {
        Self::Said {
            code: error.code,
            text: String::from_utf8_lossy(&error.message).into_owned(),
        }
    }

    fn of_connect(error: &ConnectError) -> Result<Self> {
        Ok(match error {
            ConnectError::Refused(error) => Self::server(error),
            ConnectError::Io(LossKind::Refused, _) => Self::NoConnection(111),
            ConnectError::Io(_, error) => Self::NoGreeting(error.raw_os_error().unwrap_or(0)),
            ConnectError::Timeout {
                stage: ConnectStage::Greeting,
                ..
            } => Self::NoGreeting(110),
            ConnectError::Timeout { .. } => Self::NoConnection(110),
            ConnectError::Nonsense(text) => bail!("{text}"),
        })
    }

    fn of_login(error: &LoginError) -> Result<Self> {
        Ok(match error {
            LoginError::Refused(error) => Self::server(error),
            LoginError::Lost(_, error) => Self::NoLogin(error.raw_os_error().unwrap_or(0)),
            other => bail!("{other}"),
        })
    }

    fn of_query(error: &QueryError) -> Result<Self> {
        Ok(match error {
            QueryError::Server(error) => Self::server(error),
            QueryError::Lost(..) => Self::NoAnswer,
            other => bail!("{other}"),
        })
    }

    /// Reading, or writing where `sending`, ended so.
    fn of_io(error: &io::Error, sending: bool) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::GaveUp,
            _ if sending => Self::NotSent,
            _ => Self::NoAnswer,
        }
    }
}

/// How a client logs in.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) address: Address,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) tls: bool,
    /// Not named to the server's `wait_timeout` but to its `interactive_timeout`.
    pub(crate) interactive: bool,
    /// How long it waits for the greeting.
    pub(crate) patience: Duration,
}

impl Door {
    pub(crate) fn tcp(addr: std::net::SocketAddr, user: &str, password: &str, tls: bool) -> Self {
        Self {
            address: Address::Tcp {
                host: addr.ip().to_string(),
                port: addr.port(),
            },
            user: user.to_owned(),
            password: password.to_owned(),
            tls,
            interactive: false,
            patience: Duration::from_secs(10),
        }
    }

    pub(crate) fn target(&self) -> Result<Target> {
        let verify = if self.tls {
            Verify::Required
        } else {
            Verify::Disabled
        };
        let mut target = Target::new(self.address.clone(), Connector::new(verify)?);
        target.connect_timeout = self.patience;
        Ok(target)
    }

    /// Logs in; the inner error is what the client saw.
    pub(crate) async fn enter(&self) -> Result<Result<Session, Saw>> {
        let greeted = match greet(&self.target()?).await {
            Ok(greeted) => greeted,
            Err(error) => return Saw::of_connect(&error).map(Err),
        };
        let id = u64::from(greeted.greeting.connection_id);
        let mut capabilities = Capabilities::LOCAL_FILES
            | Capabilities::PROTOCOL_41
            | Capabilities::TRANSACTIONS
            | Capabilities::MULTI_RESULTS;
        capabilities.set(Capabilities::INTERACTIVE, self.interactive);
        let password = Password::new(&self.password);
        let login = Login {
            user: self.user.as_bytes(),
            password: &password,
            database: None,
            capabilities,
            collation: COLLATION,
            max_packet_size: MAX_PACKET,
            attributes: &[],
            first_plugin: None,
        };
        match greeted.login(&login).await {
            Ok(connection) => Ok(Ok(Session { connection, id })),
            Err(error) => Saw::of_login(&error).map(Err),
        }
    }

    /// Logs in, where nothing is to go wrong.
    ///
    /// # Errors
    /// Something did.
    pub(crate) async fn open(&self) -> Result<Session> {
        self.enter()
            .await?
            .map_err(|saw| anyhow!("the client could not log in: {}", saw.message()))
    }
}

/// A client that has logged in.
#[derive(Debug)]
pub(crate) struct Session {
    connection: ServerConnection,
    /// The server's id of the connection.
    pub(crate) id: u64,
}

impl Session {
    /// Runs SQL whose answer is small; the inner error is what the client saw.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<Result<QueryResult, Saw>> {
        match self.connection.query(sql.as_bytes()).await {
            Ok(result) => Ok(Ok(result)),
            Err(error) => Saw::of_query(&error).map(Err),
        }
    }

    /// Runs SQL that is not to fail.
    ///
    /// # Errors
    /// It failed.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<QueryResult> {
        self.query(sql)
            .await?
            .map_err(|saw| anyhow!("{sql:.60} failed: {}", saw.message()))
    }

    /// Runs SQL that is to fail, or to lose its connection.
    ///
    /// # Errors
    /// It did not fail.
    pub(crate) async fn lose(&mut self, sql: &str) -> Result<Saw> {
        match self.query(sql).await? {
            Ok(_) => bail!("{sql:.60} was to lose its connection, and was answered"),
            Err(saw) => Ok(saw),
        }
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Saw> {
        let sent = async {
            self.connection.stream.write_all(bytes).await?;
            self.connection.stream.flush().await
        };
        sent.await.map_err(|error| Saw::of_io(&error, true))
    }

    /// Sends COM_QUERY and reads nothing.
    pub(crate) async fn ask(&mut self, sql: &str) -> Result<(), Saw> {
        self.send(&query_packet(sql, 0)).await
    }

    /// Reads the next packet: its payload.
    pub(crate) async fn packet(&mut self) -> Result<Vec<u8>, Saw> {
        let read = async {
            let mut header = [0; frame::HEADER_LEN];
            self.connection.stream.read_exact(&mut header).await?;
            let length = u32::from_le_bytes([header[0], header[1], header[2], 0]);
            let mut payload = vec![0; length as usize];
            self.connection.stream.read_exact(&mut payload).await?;
            io::Result::Ok(payload)
        };
        read.await.map_err(|error| Saw::of_io(&error, false))
    }

    /// Reads packets until the connection ends or the server says an error: what the client saw. `Ok` where an answer
    /// came to its end instead: rows, then OK or EOF.
    pub(crate) async fn end(&mut self) -> Result<Result<(), Saw>> {
        loop {
            let payload = match self.packet().await {
                Ok(payload) => payload,
                Err(saw) => return Ok(Err(saw)),
            };
            match payload.first() {
                Some(0xFF) if payload.len() >= 3 => {
                    let text = payload.get(9..).unwrap_or_default();
                    return Ok(Err(Saw::Said {
                        code: u16::from_le_bytes([payload[1], payload[2]]),
                        text: String::from_utf8_lossy(text).into_owned(),
                    }));
                }
                // The column count of a result is one byte that is neither.
                Some(0xFE) if payload.len() < 0xFF_FFFF && payload.len() > 1 => return Ok(Ok(())),
                Some(0x00) if payload.len() >= 7 => return Ok(Ok(())),
                _ => {}
            }
        }
    }

    /// [`Session::end`], where the connection or the statement is to be lost within this time.
    ///
    /// # Errors
    /// It was not.
    pub(crate) async fn lost(&mut self, within: Duration) -> Result<Saw> {
        match timeout(within, self.end()).await {
            Ok(ended) => match ended? {
                Err(saw) => Ok(saw),
                Ok(()) => bail!("the client was to lose its connection, and was answered"),
            },
            Err(_) => bail!("the client was to lose its connection, and has it after {within:?}"),
        }
    }

    /// Takes bytes that have come, this many at most, and does not care what they are; 0: the connection has ended.
    pub(crate) async fn take(&mut self, most: usize) -> usize {
        let mut bytes = vec![0; most];
        self.connection.stream.read(&mut bytes).await.unwrap_or(0)
    }

    /// Says goodbye where the connection is still there.
    pub(crate) async fn leave(mut self) {
        // COM_QUIT; a connection that has been lost takes it no more.
        let _lost = self.send(&[1, 0, 0, 0, 1]).await;
    }

    /// Takes all that comes. Whole packets cannot be found in the middle of a result: until nothing comes any more.
    pub(crate) async fn take_all(&mut self) {
        while let Ok(1..) = timeout(PAUSE, self.take(1 << 20)).await {}
    }

    /// Says goodbye: COM_QUIT.
    pub(crate) async fn quit(self) {
        self.connection.quit().await;
    }
}

/// COM_QUERY in one packet, whatever its length below 16 MiB.
pub(crate) fn query_packet(sql: &str, sequence: u8) -> Vec<u8> {
    let mut bytes = header(sql.len() + 1, sequence).to_vec();
    bytes.push(QUERY);
    bytes.extend_from_slice(sql.as_bytes());
    bytes
}

/// A packet's header.
pub(crate) fn header(length: usize, sequence: u8) -> [u8; frame::HEADER_LEN] {
    let length = (length.min(0xFF_FFFF) as u32).to_le_bytes();
    [length[0], length[1], length[2], sequence]
}
