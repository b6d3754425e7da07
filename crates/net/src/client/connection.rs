//! A logged-in connection and the hidden commands that Steadfast itself runs on it.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;

use steadfast_wire::auth::Plugin;
use steadfast_wire::command::{ChangeUser, Command, Query};
use steadfast_wire::handshake::Attributes;
use steadfast_wire::walk::Expect;
use steadfast_wire::{Capabilities, frame};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::answer::Authentication;
use super::dialogue::Dialogue;
use super::login::{LoggingIn, OF_THE_CONNECTION};
use super::relay::RelayStep;
use super::result::{Outcome, read_responses};
use super::{Login, OwnedGreeting, OwnedOk, QueryResult};
use crate::{LoginError, QueryError, ServerError, Stream};

/// A plugin that no account has: the server answers with the account's.
const NO_PLUGIN: &[u8] = b"none";

/// A logged-in connection. Between commands its sequence ids begin at 0 again.
#[derive(Debug)]
pub struct ServerConnection {
    /// The socket, with TLS if it was negotiated.
    pub stream: Stream,
    /// Bytes that were read from the stream and not yet consumed; normally none.
    pub inbound: Vec<u8>,
    /// What the server said first.
    pub greeting: OwnedGreeting,
    /// What both sides use.
    pub capabilities: Capabilities,
    /// The plugin of the account.
    pub plugin: String,
    /// The OK that ended the login, or the last COM_CHANGE_USER, until it is taken.
    pub login_ok: Option<Box<OwnedOk>>,
}

impl ServerConnection {
    /// Runs SQL text, in the session's character set. See [`QueryResult`] for what is kept of several results.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn query(&mut self, sql: &[u8]) -> Result<QueryResult, QueryError> {
        let outcomes = self.query_each(&[sql]).await?;
        one(outcomes)?.map_err(QueryError::Server)
    }

    /// Runs several texts in one round trip: all are written at once, then all answers are read. The server runs all
    /// of them, also those behind one that fails.
    ///
    /// # Errors
    /// [`QueryError`]; of several errors of the server the first.
    pub async fn query_all(&mut self, texts: &[&[u8]]) -> Result<Vec<QueryResult>, QueryError> {
        let outcomes = self.query_each(texts).await?;
        outcomes
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(QueryError::Server)
    }

    /// As [`query_all`](Self::query_all), with the outcome of each.
    ///
    /// # Errors
    /// [`QueryError`], but for those that the server answers to a text.
    pub async fn query_each(&mut self, texts: &[&[u8]]) -> Result<Vec<Outcome>, QueryError> {
        let mut bytes = Vec::new();
        for text in texts {
            frame::write_with(&mut bytes, 0, |out| {
                Query::new(text).write(out, self.capabilities)
            });
        }
        self.exchange(&bytes, texts.len(), Expect::Query).await
    }

    /// COM_PING: the session's status flags.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn ping(&mut self) -> Result<OwnedOk, QueryError> {
        self.simple(Command::Ping).await
    }

    /// COM_RESET_CONNECTION: a session as after the login, with the same user and capabilities. MariaDB from 10.2,
    /// MySQL from 5.7.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn reset_connection(&mut self) -> Result<OwnedOk, QueryError> {
        self.simple(Command::ResetConnection).await
    }

    /// Runs a command that is answered with OK, EOF or ERR, from its payload.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn command(&mut self, payload: &[u8]) -> Result<OwnedOk, QueryError> {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, 0, payload);
        let outcomes = self.exchange(&bytes, 1, Expect::Simple).await?;
        let result = one(outcomes)?.map_err(QueryError::Server)?;
        result
            .ok
            .ok_or_else(|| QueryError::Nonsense("the server ended a command without OK".to_owned()))
    }

    async fn simple(&mut self, command: Command<'_>) -> Result<OwnedOk, QueryError> {
        let mut payload = Vec::new();
        command
            .write(&mut payload, self.capabilities)
            .map_err(|error| QueryError::Nonsense(error.to_string()))?;
        self.command(&payload).await
    }

    /// The capabilities of any session on it: COM_CHANGE_USER cannot give it others.
    pub fn session_capabilities(&self) -> Capabilities {
        self.capabilities - OF_THE_CONNECTION
    }

    /// Whether nothing has come that nobody asked for, and the server has not ended it, as far as is known without
    /// waiting. What has come is kept.
    pub async fn is_quiet(&mut self) -> bool {
        if !self.inbound.is_empty() {
            return false;
        }
        let mut place = [0; 256];
        poll_fn(|context| {
            let mut bytes = ReadBuf::new(&mut place);
            let read = Pin::new(&mut self.stream).poll_read(context, &mut bytes);
            self.inbound.extend_from_slice(bytes.filled());
            Poll::Ready(read.is_pending())
        })
        .await
    }

    /// COM_CHANGE_USER: another login on this connection. The capabilities stay those of the handshake; those of
    /// `login` are not looked at.
    ///
    /// # Errors
    /// [`LoginError`]; the connection is of no more use then.
    pub async fn change_user(&mut self, login: &Login<'_>) -> Result<(), LoginError> {
        let mut authentication = Authentication::new(login.password, self.greeting.scramble);
        // Servers compare the answer with a nonce of their own choice, and tell it if they are asked to switch.
        let first = login.first_plugin.unwrap_or(Plugin::NativePassword);
        let answer = authentication.first_answer(first, &self.stream);
        let attributes = login.raw_attributes();
        let change = ChangeUser {
            user: login.user,
            auth_response: &answer,
            database: login.database.unwrap_or_default(),
            collation: Some(login.collation.into()),
            plugin: Some(authentication.plugin().as_bytes()),
            attributes: Some(Attributes::from_raw(&attributes)),
        };
        let mut payload = zeroize::Zeroizing::new(Vec::new());
        change
            .write(&mut payload, self.capabilities)
            .map_err(LoginError::codec)?;
        let mut dialogue = Dialogue {
            stream: &mut self.stream,
            inbound: &mut self.inbound,
            sequence: &mut 0,
            capabilities: self.capabilities,
        };
        dialogue.send(&payload).await?;
        self.login_ok = Some(Box::new(authentication.run(&mut dialogue).await?));
        self.plugin = authentication.into_plugin();
        Ok(())
    }

    /// COM_CHANGE_USER with somebody else's answers: the password of `login` is not looked at. The server asks to switch
    /// to the account's plugin, with a nonce of its own choice.
    ///
    /// # Errors
    /// As [`Greeted::login_relayed`](super::Greeted::login_relayed).
    pub async fn change_user_relayed(self, login: &Login<'_>) -> Result<RelayStep, LoginError> {
        let attributes = login.raw_attributes();
        let change = ChangeUser {
            user: login.user,
            auth_response: &[],
            database: login.database.unwrap_or_default(),
            collation: Some(login.collation.into()),
            plugin: Some(NO_PLUGIN),
            attributes: Some(Attributes::from_raw(&attributes)),
        };
        let mut payload = Vec::new();
        change
            .write(&mut payload, self.capabilities)
            .map_err(LoginError::codec)?;
        let nonce = self.greeting.scramble;
        let mut connection = LoggingIn {
            stream: self.stream,
            inbound: self.inbound,
            sequence: 0,
            greeting: self.greeting,
            capabilities: self.capabilities,
        };
        connection.dialogue().send(&payload).await?;
        super::relay::next(connection, NO_PLUGIN.to_vec(), nonce).await
    }

    /// COM_QUIT, and the end of the connection. A server that is gone already is no error.
    pub async fn quit(mut self) {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, 0, &[steadfast_wire::command::code::QUIT]);
        let closing = async {
            self.stream.write_all(&bytes).await?;
            self.stream.shutdown().await
        };
        if let Err(error) = closing.await {
            tracing::debug!(
                "connection {} was gone before COM_QUIT: {error}",
                self.greeting.connection_id
            );
        }
    }

    /// Writes commands and reads their answers at the same time, so that neither side's buffers can block the other.
    async fn exchange(
        &mut self,
        bytes: &[u8],
        answers: usize,
        expect: Expect,
    ) -> Result<Vec<Outcome>, QueryError> {
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        let mut reading = pin!(read_responses(
            &mut reader,
            &mut self.inbound,
            self.capabilities,
            answers,
            expect
        ));
        let mut writing = pin!(write(&mut writer, bytes));
        let mut written = None;
        let outcome = loop {
            tokio::select! {
                biased;
                result = &mut writing, if written.is_none() => written = Some(result),
                outcome = &mut reading => break outcome,
            }
        };
        match (outcome, written) {
            // The write has taken the socket's error, and reading after it looks like FIN. EPIPE says less than
            // reading does: the server may have closed in order before.
            (Err(QueryError::Lost(..)), Some(Err(error)))
                if error.kind() != io::ErrorKind::BrokenPipe =>
            {
                Err(QueryError::lost(error))
            }
            (outcome, _) => outcome,
        }
    }
}

async fn write(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    writer.write_all(bytes).await?;
    writer.flush().await
}

fn one(outcomes: Vec<Outcome>) -> Result<Result<QueryResult, ServerError>, QueryError> {
    outcomes
        .into_iter()
        .next()
        .ok_or_else(|| QueryError::Nonsense("the server's answer is missing".to_owned()))
}
