//! A session's server connection: logged in, tracked, and given the session's state.

use std::io;
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use steadfast_diagnose::Reach;
use steadfast_net::{LoginError, QueryError, QueryResult, ServerConnection, ServerError, greet};
use steadfast_session::{Hidden, Inherited, Reason, SessionState};
use steadfast_sql::{Charset, Dialect, Server};
use steadfast_wire::Capabilities;
use steadfast_wire::auth::Password;
use steadfast_wire::command::code;
use tokio::time::{Instant, sleep, timeout};

use crate::alike::Alike;
use crate::around::met;
use crate::catalogue::Tables;
use crate::client::ClientLeg;
use crate::clock::CLOCK;
use crate::health;
use crate::ledger;
use crate::relay::{Fed, Relay, Tracking};
use crate::scratch;
use crate::shared::Shared;
use crate::traffic::Traffic;
use crate::zombie::{self, Zombie};

/// First pause between two attempts to connect; each further one is twice as long, up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_millis(250);

/// Connection attributes: names and values.
pub(crate) type Attributes = [(Vec<u8>, Vec<u8>)];

/// Who a session is, and as what kind of client it logs in.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// User name.
    pub(crate) user: Vec<u8>,
    /// The password, if it is known.
    pub(crate) password: Option<Password>,
    /// Capabilities for the server's leg.
    pub(crate) capabilities: Capabilities,
    /// Collation of the handshake.
    pub(crate) collation: u8,
    /// The largest packet that the client takes.
    pub(crate) max_packet_size: u32,
    /// The client's connection attributes.
    pub(crate) attributes: Rc<Attributes>,
    /// The connection id that the client knows.
    pub(crate) believed_id: u32,
    /// The client has reset its session (COM_RESET_CONNECTION): the settings of its handshake, such as the
    /// character set, are gone.
    pub(crate) reset: bool,
}

impl Identity {
    /// The login for a server connection with this default schema.
    pub(crate) fn login<'a>(
        &'a self,
        password: &'a Password,
        database: Option<&'a [u8]>,
    ) -> steadfast_net::Login<'a> {
        steadfast_net::Login {
            user: &self.user,
            password,
            database,
            capabilities: self.capabilities,
            collation: self.collation,
            max_packet_size: self.max_packet_size,
            attributes: &self.attributes,
            first_plugin: None,
        }
    }
}

/// What came of bytes that were fed to a relay: how many it has taken, or that they make no sense.
pub(crate) type Outcome = Result<(usize, Fed), steadfast_wire::Error>;

/// What a server connection had of its own after the login, before anything was set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct OwnSettings {
    /// Values in the order of [`Hidden::SETTINGS`].
    pub(crate) hidden: Vec<Vec<u8>>,
    /// `max_allowed_packet`, bytes.
    pub(crate) max_allowed_packet: u64,
    /// Values in the order of [`Inherited::names`]; empty: the server lacks one of them.
    pub(crate) inherited: Vec<Vec<u8>>,
    /// `sql_mode`.
    pub(crate) sql_mode: Vec<u8>,
    /// `character_set_client`.
    pub(crate) character_set_client: Vec<u8>,
    /// `autocommit` of a new session.
    pub(crate) autocommits: bool,
    /// Which server it is: no other has the same, and it has the same after a restart.
    pub(crate) server: Vec<u8>,
}

thread_local! {
    /// Most have the same.
    static ALIKE: Alike<OwnSettings> = Alike::default();
}

impl OwnSettings {
    /// In a place that is shared with others that are the same.
    fn shared(self) -> Rc<Self> {
        let mut own = Rc::new(self);
        ALIKE.with(|alike| alike.share(&mut own));
        own
    }

    /// One of [`OwnSettings::inherited`]; empty if it is not one of them.
    pub(crate) fn value(&self, which: Inherited, wanted: &str) -> &[u8] {
        which
            .names()
            .zip(&self.inherited)
            .find(|(name, _)| *name == wanted)
            .map_or(&[], |(_, value)| value.as_slice())
    }
}

/// A session's server connection.
pub(crate) struct Link {
    /// The connection.
    pub(crate) connection: ServerConnection,
    /// Its responses on their way to the client.
    pub(crate) relay: Relay,
    /// What passes on it.
    pub(crate) traffic: Traffic,
    /// No other link has the same.
    pub(crate) number: u64,
    /// What it had of its own.
    pub(crate) own: Rc<OwnSettings>,
    /// What the server's process list calls this connection's client.
    host: Vec<u8>,
    /// Its account can use the ledger.
    pub(crate) ledger: bool,
    /// When it was made.
    pub(crate) made: Instant,
    /// COM_CHANGE_USER makes of it what a login makes of a new connection.
    pub(crate) changes_user: bool,
    /// See [`Zombie::boot`].
    boot: Option<Instant>,
}

impl Link {
    /// The server's id of the connection.
    pub(crate) fn id(&self) -> u32 {
        self.connection.greeting.connection_id
    }

    /// How it lexes text after its login.
    pub(crate) fn dialect(&self) -> Dialect {
        let greeting = &self.connection.greeting;
        let server = if greeting.is_mariadb() {
            Server::MariaDb
        } else {
            Server::MySql
        };
        Dialect {
            server,
            version: version_number(&greeting.version),
            charset: Charset::from_name(&self.own.character_set_client),
            ..Dialect::mysql(0)
        }
        .with_sql_mode(&self.own.sql_mode)
    }

    /// Which variables a session inherits on this server.
    pub(crate) fn inherited(&self) -> Inherited {
        Inherited::of(self.connection.greeting.is_mariadb())
    }

    /// Reads what the server says; 0: it has closed. Nothing is lost when nobody waits for it any more.
    ///
    /// # Errors
    /// What the stream says.
    pub(crate) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let connection = &mut self.connection;
        let inbound = &mut connection.inbound;
        scratch::poll_read(&mut connection.stream, context, |bytes| {
            if inbound.capacity() == 0 {
                *inbound = scratch::take();
            }
            inbound.extend_from_slice(bytes);
        })
    }

    /// Reads what the server says and feeds it to the relay, without keeping it between; `fed` is what came of it. As
    /// [`Link::poll_read`] where too much has been kept to go before it.
    ///
    /// # Errors
    /// What the stream says.
    pub(crate) fn poll_feed(
        &mut self,
        context: &mut Context<'_>,
        client: &mut ClientLeg,
        tracking: &Tracking,
        fed: &mut Option<Outcome>,
    ) -> Poll<io::Result<usize>> {
        if self.connection.inbound.len() > scratch::BEFORE {
            return self.poll_read(context);
        }
        let connection = &mut self.connection;
        let relay = &mut self.relay;
        let (stream, inbound) = (&mut connection.stream, &mut connection.inbound);
        scratch::poll_read_behind(stream, context, inbound, |inbound, bytes| {
            let outcome = relay.feed(bytes, client.room(), tracking);
            let taken = outcome.as_ref().map_or(0, |(taken, _)| *taken);
            let rest = bytes.get(taken..).unwrap_or_default();
            inbound.clear();
            if !rest.is_empty() {
                if inbound.capacity() == 0 {
                    *inbound = scratch::take();
                }
                inbound.extend_from_slice(rest);
            }
            *fed = Some(outcome);
        })
    }

    /// What is to be killed, should it be lost.
    pub(crate) fn zombie(&self) -> Zombie {
        Zombie {
            id: self.id(),
            host: self.host.clone(),
            boot: self.boot,
        }
    }
}

/// `5.5.5-10.11.19-MariaDB…` is 101119, `9.7.4-2` is 90704.
fn version_number(version: &[u8]) -> u32 {
    let text = version.strip_prefix(b"5.5.5-").unwrap_or(version);
    let mut numbers = text.split(|byte| !byte.is_ascii_digit()).map(|digits| {
        digits.iter().fold(0u32, |n, digit| {
            n.saturating_mul(10).saturating_add(u32::from(digit - b'0'))
        })
    });
    let mut next = || numbers.next().unwrap_or(0).min(99);
    next() * 10_000 + next() * 100 + next()
}

/// What a connection is asked after its login.
struct Questions {
    /// Of a new one; followed by what the session inherits.
    first: String,
    /// What a session inherits: a server may lack one of the variables.
    inherited: String,
    /// After COM_CHANGE_USER and Steadfast's settings, when the rest is known. The session's own values of the settings
    /// were the global ones.
    again: String,
}

/// Number of columns before those that only one of the questions has: the clock, [`Hidden::SETTINGS`], and three more.
const COMMON: usize = Hidden::SETTINGS.len() + 4;

impl Questions {
    fn new(mariadb: bool) -> Self {
        let common = |global| {
            format!(
                "SELECT {CLOCK}, {}, @@SESSION.max_user_connections, @@SESSION.max_allowed_packet, \
                @@GLOBAL.init_connect",
                Hidden::columns(global)
            )
        };
        let inherited = Inherited::of(mariadb);
        // Older MariaDB versions have no server_uid.
        let server = if mariadb {
            "CONCAT_WS('/', @@hostname, @@port, @@server_id, @@datadir)"
        } else {
            "@@server_uuid"
        };
        Self {
            first: format!(
                "{}, @@SESSION.sql_mode, @@SESSION.character_set_client, @@SESSION.autocommit, \
                (SELECT HOST FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()), {server}, \
                @@GLOBAL.max_connections LIMIT 1",
                common(false)
            ),
            inherited: inherited.query(),
            again: format!("{}, {} LIMIT 1", common(true), inherited.columns()),
        }
    }

    fn of(mariadb: bool) -> &'static Self {
        static MARIADB: LazyLock<Questions> = LazyLock::new(|| Questions::new(true));
        static MYSQL: LazyLock<Questions> = LazyLock::new(|| Questions::new(false));
        if mariadb { &MARIADB } else { &MYSQL }
    }
}

/// Takes away what COM_RESET_CONNECTION and COM_CHANGE_USER leave to the next session of what the last one did: the
/// texts of `SHOW PROFILES`, and that it is on whatever `@@profiling` says (MariaDB 10.11.19); the optimizer's trace
/// (MySQL 9.7.4).
pub(crate) fn clean(mariadb: bool) -> &'static [&'static [u8]] {
    if mariadb {
        &[
            b"SET profiling=1, profiling_history_size=0",
            b"SET profiling=0",
            b"SET profiling_history_size=DEFAULT",
        ]
    } else {
        &[b"SET optimizer_trace_offset=DEFAULT"]
    }
}

/// Makes Steadfast's settings.
static SET: LazyLock<String> = LazyLock::new(Hidden::set);

/// What all questions tell.
struct Told {
    hidden: Vec<Vec<u8>>,
    max_allowed_packet: u64,
    /// A login runs `init_connect`, and COM_CHANGE_USER does not.
    init_connect: bool,
    /// The account may have only so many connections: one that is kept would be missed.
    limited: bool,
    /// The columns after those.
    rest: Vec<Vec<u8>>,
}

impl Told {
    fn new(shared: &Shared, result: &QueryResult, asked: Instant) -> Self {
        let mut hidden = first_row(result);
        hidden.resize(hidden.len().max(COMMON), Vec::new());
        let rest = hidden.split_off(COMMON);
        let init_connect = hidden.pop().is_some_and(|text| !text.is_empty());
        let max_allowed_packet = hidden.pop().and_then(|text| number_of(&text));
        let limited = hidden.pop().is_none_or(|most| most != b"0");
        if let Some(shown) = number_of(&hidden.remove(0)) {
            shared.clock.sample(shown, asked, Instant::now());
        }
        Self {
            hidden,
            max_allowed_packet: max_allowed_packet.unwrap_or(u64::MAX),
            init_connect,
            limited,
            rest,
        }
    }
}

fn number_of(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads what a new connection has of its own, and makes Steadfast's settings.
///
/// # Errors
/// [`QueryError`].
pub(crate) async fn set_up(
    shared: &Shared,
    connection: ServerConnection,
    user: &[u8],
    client: Capabilities,
) -> Result<Link, QueryError> {
    let mut connection = connection;
    let questions = Questions::of(connection.greeting.is_mariadb());
    let texts = [
        questions.first.as_bytes(),
        SET.as_bytes(),
        questions.inherited.as_bytes(),
    ];
    let asked = Instant::now();
    let mut results = connection.query_each(&texts).await?;
    let inherited = match results.pop() {
        Some(Ok(result)) => first_row(&result),
        // A version without one of the variables, or with one that has no value of a session, must not keep anybody from
        // logging in. After any other error it would go unnoticed that the session has lost what it inherited.
        Some(Err(error)) if matches!(error.code, 1193 | 1238) => {
            tracing::debug!("what a session inherits cannot be read: {error}");
            Vec::new()
        }
        Some(Err(error)) => return Err(QueryError::Server(error)),
        None => Vec::new(),
    };
    let told = first_of(shared, results, asked)?;
    let mut values = told.rest.into_iter();
    let mut next = || values.next().unwrap_or_default();
    let own = OwnSettings {
        hidden: told.hidden,
        inherited,
        max_allowed_packet: told.max_allowed_packet,
        sql_mode: next(),
        character_set_client: next(),
        autocommits: next() == b"1",
        server: Vec::new(),
    };
    let host = next();
    let own = OwnSettings {
        server: next(),
        ..own
    };
    if let Some(most) = number_of(&next()) {
        shared.pooled.server_takes(most);
    }
    let ledger = settle(shared, &mut connection, &own, user).await?;
    let boot = if zombie::has_port(&host) {
        None
    } else {
        zombie::boot(&mut connection).await?
    };
    let capabilities = connection.capabilities;
    Ok(Link {
        relay: Relay::new(client, capabilities),
        connection,
        traffic: Traffic::new(),
        number: shared.number(),
        changes_user: !(told.init_connect
            || told.limited
            || own.inherited.is_empty()
            // Its `wait_timeout` is `interactive_timeout`, but after COM_CHANGE_USER it is not.
            || capabilities.contains(Capabilities::INTERACTIVE)),
        own: own.shared(),
        host,
        ledger,
        made: Instant::now(),
        boot,
    })
}

/// As [`set_up`], after COM_CHANGE_USER on a link's connection.
///
/// # Errors
/// [`QueryError`]; also where what a login would do is not what COM_CHANGE_USER has done.
pub(crate) async fn set_up_again(
    shared: &Shared,
    link: Link,
    user: &[u8],
    client: Capabilities,
) -> Result<Link, QueryError> {
    let mut connection = link.connection;
    let mariadb = connection.greeting.is_mariadb();
    // The result comes last: then ROW_COUNT() is what it is in a new session.
    let texts = [SET.as_bytes(), Questions::of(mariadb).again.as_bytes()];
    let asked = Instant::now();
    let mut results = connection.query_each(&texts).await?;
    results.reverse();
    let told = first_of(shared, results, asked)?;
    // The server's own limit for the connection is what it was at its first login.
    if told.init_connect || told.max_allowed_packet != link.own.max_allowed_packet {
        return Err(QueryError::Nonsense(
            "the server's settings have changed: another connection is needed".to_owned(),
        ));
    }
    let mut own = OwnSettings {
        hidden: told.hidden,
        inherited: told.rest,
        ..OwnSettings::clone(&link.own)
    };
    let inherited = Inherited::of(mariadb);
    own.sql_mode = own.value(inherited, "sql_mode").to_vec();
    own.character_set_client = own.value(inherited, "character_set_client").to_vec();
    own.autocommits = own.value(inherited, "autocommit") == b"1";
    let ledger = settle(shared, &mut connection, &own, user).await?;
    Ok(Link {
        relay: Relay::new(client, connection.capabilities),
        connection,
        traffic: Traffic::new(),
        number: shared.number(),
        changes_user: !told.limited,
        own: own.shared(),
        ledger,
        ..link
    })
}

/// What the first of several questions was answered, if none met an error.
fn first_of(
    shared: &Shared,
    results: Vec<Result<QueryResult, ServerError>>,
    asked: Instant,
) -> Result<Told, QueryError> {
    let results: Vec<QueryResult> = results
        .into_iter()
        .collect::<Result<_, _>>()
        .map_err(QueryError::Server)?;
    let nothing = QueryResult::default();
    let first = results.first().unwrap_or(&nothing);
    Ok(Told::new(shared, first, asked))
}

/// What a session needs after its settings; whether the account can use the ledger.
async fn settle(
    shared: &Shared,
    connection: &mut ServerConnection,
    own: &OwnSettings,
    user: &[u8],
) -> Result<bool, QueryError> {
    if !own.autocommits && !connection.greeting.is_mariadb() {
        connection.query_all(WITHOUT_AUTOCOMMIT).await?;
    }
    match shared.ledger.is_usable(user) {
        Some(usable) => Ok(usable),
        None if own.autocommits => {
            let usable = ledger::is_usable(&connection.query(ledger::USABLE).await?);
            shared.ledger.note(user, usable);
            Ok(usable)
        }
        // MySQL answers from InnoDB, and the session's first transaction would have begun with that. It is tried.
        None => Ok(true),
    }
}

/// Makes MySQL's status flags tell the truth in a session that begins without autocommit, because that is the server's
/// setting: they claim autocommit until it is changed (9.7.4).
pub(crate) const WITHOUT_AUTOCOMMIT: &[&[u8]] = &[b"SET autocommit=1", b"SET autocommit=0"];

/// The values of the first row; NULL is empty.
pub(crate) fn first_row(result: &QueryResult) -> Vec<Vec<u8>> {
    let row = result.rows.first().into_iter().flatten();
    row.map(|value| value.clone().unwrap_or_default()).collect()
}

/// What a new server connection is to be.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    /// Who logs in.
    pub(crate) identity: &'a Identity,
    /// The client's capabilities.
    pub(crate) client: Capabilities,
    /// What the session had before it changed anything.
    pub(crate) own: &'a OwnSettings,
    /// The state to restore.
    pub(crate) state: &'a SessionState,
    /// Lost connections that must be gone before anything is run.
    pub(crate) zombies: &'a [Zombie],
    /// A transaction is to be replayed, or a write runs again: the locks of a zombie that cannot be ended are in its way.
    pub(crate) takes_locks: bool,
    /// What is known of tables is needed.
    pub(crate) tables: bool,
}

/// A new server connection, and what is known of the tables, if that was wanted.
type Attached = (Link, Option<Arc<Tables>>);

/// Connects, logs in, ends what the lost connection left on the server, and restores the session's state. Tries again
/// until `deadline`.
///
/// # Errors
/// Why there is no connection.
pub(crate) async fn attach(
    shared: &Shared,
    wanted: &Wanted<'_>,
    deadline: Instant,
) -> Result<Attached, (Reason, String)> {
    if !wanted.state.knows_user_variables() {
        return Err((
            Reason::StateRefused,
            "the value of a user variable was not known yet".to_owned(),
        ));
    }
    if wanted.state.has_unknown_prepared() {
        return Err((
            Reason::StateRefused,
            "what a name of PREPARE stands for was not known".to_owned(),
        ));
    }
    if !wanted.state.knows_collation() {
        return Err((
            Reason::StateRefused,
            "the collation of the connection was not known yet".to_owned(),
        ));
    }
    let mut pause = MIN_PAUSE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = left.min(shared.timeouts.attempt());
        let failed = match timeout(limit, attempt(shared, wanted)).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(Attempt::Final(reason, why))) => return Err((reason, why)),
            Ok(Err(Attempt::Again(why))) => why,
            Err(_) => "it does not answer".to_owned(),
        };
        if Instant::now() + pause >= deadline {
            return Err((Reason::NoServer, failed));
        }
        tracing::debug!("no server connection yet: {failed}");
        sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Why an attempt at a server connection came to nothing.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// Something passing.
    Again(String),
    /// No use in trying again.
    Final(Reason, String),
}

impl From<QueryError> for Attempt {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Server(error) if !is_passing(&error) && !is_of_the_moment(&error) => {
                Self::Final(Reason::StateRefused, error.to_string())
            }
            other => Self::Again(other.to_string()),
        }
    }
}

/// Connects, logs in, and makes Steadfast's settings.
///
/// # Errors
/// Whether there is use in trying again.
pub(crate) async fn open(
    shared: &Shared,
    identity: &Identity,
    client: Capabilities,
    schema: Option<&[u8]>,
) -> Result<Link, Attempt> {
    let Some(password) = &identity.password else {
        return Err(Attempt::Final(
            Reason::NoPassword,
            "its password was not learned".to_owned(),
        ));
    };
    let (began, greeted) = loop {
        let began = Instant::now();
        match greet(&shared.target).await {
            Ok(greeted) => {
                shared.around.reached(began, Reach::Greeted);
                let id = greeted.greeting.connection_id;
                if shared.registry.may_use(identity.believed_id, id) {
                    break (began, greeted);
                }
                // Another client believes this id to be its own: a KILL of that id must not hit this session. After
                // a restart the server counts from 1 again, so the next id is soon free.
                greeted.abandon().await;
            }
            Err(error) => {
                if let Some(met) = met(&error) {
                    shared.around.reached(began, shared.health.met(began, met));
                }
                return Err(Attempt::Again(error.to_string()));
            }
        }
    };
    let login = identity.login(password, schema);
    let mut connection = match greeted.login(&login).await {
        Ok(connection) => connection,
        Err(error) => {
            shared.around.refused(began, &error);
            if let LoginError::Refused(error) = &error {
                shared.pooled.make_room(error.code);
            }
            if !is_final(&error) {
                return Err(Attempt::Again(error.to_string()));
            }
            return Err(Attempt::Final(Reason::LoginRefused, error.to_string()));
        }
    };
    if identity.reset {
        connection.reset_connection().await?;
    }
    Ok(set_up(shared, connection, &identity.user, client).await?)
}

async fn attempt(shared: &Shared, wanted: &Wanted<'_>) -> Result<Attached, Attempt> {
    let mut link = open(
        shared,
        wanted.identity,
        wanted.client,
        wanted.state.schema(),
    )
    .await?;
    for zombie in wanted.zombies {
        let gone = zombie::end(shared, &mut link.connection, zombie).await?;
        if !gone && wanted.takes_locks {
            return Err(Attempt::Again(format!(
                "the lost connection {} still lives on the server",
                zombie.id
            )));
        }
    }
    let tables = if wanted.tables {
        Some(tables(shared, &wanted.identity.user, &mut link).await?)
    } else {
        None
    };
    inherit(&mut link, wanted.own).await?;
    restore(&mut link.connection, wanted.state).await?;
    Ok((link, tables))
}

/// Whether there is no use in trying to log in again: the account is refused, or has a plugin that cannot be answered
/// on this connection.
pub(crate) fn is_final(error: &LoginError) -> bool {
    match error {
        LoginError::Refused(error) => !is_passing(error),
        LoginError::UnsupportedPlugin(_) | LoginError::InsecurePlugin(_) => true,
        _ => false,
    }
}

/// Refusals that a server gives while it starts, shuts down or is crowded: 1040, 1053, 1129, 1152, 1158 to 1161,
/// 1203, 1226, 3032.
pub(crate) fn is_passing(error: &ServerError) -> bool {
    error.ends_connection() || matches!(error.code, 1040 | 1129 | 1152 | 1203 | 1226 | 3032)
}

/// Errors in answer to a statement that say nothing about it, and need not come the next time:
///
/// - 1317: somebody interrupts whatever runs, of this account or of all (KILL QUERY);
/// - 1969 (MariaDB), 3024 (MySQL): a global `max_statement_time` or `max_execution_time`, under load;
/// - 1205, 1213: others' locks;
/// - 1047: a node of a Galera cluster is not in sync with it, or without it (`WSREP has not yet prepared node`);
/// - 1021, 1114: a disk is full, even for the temporary table of a process list;
/// - 1037, 1038, 1041, 1135: the server's machine is short of memory or of threads;
/// - 3168: the server is not available for statements (MySQL).
fn is_of_the_moment(error: &ServerError) -> bool {
    matches!(
        error.code,
        1021 | 1037 | 1038 | 1041 | 1047 | 1114 | 1135 | 1205 | 1213 | 1317 | 1969 | 3024 | 3168
    )
}

/// What is known of the tables, as far as the account can see. Many sessions that come back at once share one look at
/// them, unless a table has become another since.
async fn tables(shared: &Shared, user: &[u8], link: &mut Link) -> Result<Arc<Tables>, QueryError> {
    let status = link.connection.query(health::STATUS).await?;
    let told = shared.health.note_status(&status).is_some();
    let count = shared.health.tables();
    if let Some(known) = shared.tables(user, count).filter(|_| told) {
        return Ok(known);
    }
    let asked = match Tables::ask(&mut link.connection).await {
        // The next attempt, on another connection, does not ask again.
        Err(error @ QueryError::TooLarge(_)) => (Tables::unknown(), Some(error)),
        asked => (asked?, None),
    };
    let tables = Arc::new(asked.0);
    shared.set_tables(user, count, Arc::clone(&tables));
    asked.1.map_or(Ok(tables), Err)
}

/// Gives a new connection what the session had when it began, where the global settings have changed since.
async fn inherit(link: &mut Link, then: &OwnSettings) -> Result<(), Attempt> {
    if then.inherited.is_empty() || link.own.inherited.is_empty() {
        return Ok(());
    }
    let set = |as_strings| {
        link.inherited()
            .restore(&then.inherited, &link.own.inherited, as_strings)
    };
    let (numbers, strings) = (set(false), set(true));
    for text in [numbers, strings].into_iter().flatten() {
        match link.connection.query(text.as_bytes()).await {
            Ok(_) => break,
            // 1232: a variable wants a string where its value looks like a number.
            Err(QueryError::Server(error)) if error.code == 1232 => {}
            Err(error) => return Err(error.into()),
        }
    }
    let own = OwnSettings {
        max_allowed_packet: link.own.max_allowed_packet,
        server: link.own.server.clone(),
        ..then.clone()
    };
    link.own = own.shared();
    Ok(())
}

/// Gives the session's state to a connection that has just logged in.
async fn restore(connection: &mut ServerConnection, state: &SessionState) -> Result<(), Attempt> {
    if let Some(on) = state.multi_statements() {
        let payload = [code::SET_OPTION, u8::from(!on), 0];
        connection.command(&payload).await?;
    }
    let script = state.script(false);
    if script.is_empty() {
        return Ok(());
    }
    let texts: Vec<&[u8]> = script.iter().map(Vec::as_slice).collect();
    match connection.query_all(&texts).await {
        Ok(_) => Ok(()),
        // 1232: a variable wants a string where its value looks like a number.
        Err(QueryError::Server(error)) if error.code == 1232 => {
            let script = state.script(true);
            let texts: Vec<&[u8]> = script.iter().map(Vec::as_slice).collect();
            connection.query_all(&texts).await?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_moment_ends_the_attempt_and_not_the_session() {
        let attempt = |code| {
            Attempt::from(QueryError::Server(ServerError {
                code,
                sqlstate: None,
                message: Vec::new(),
            }))
        };
        for code in [1047, 1053, 1205, 1213, 1226, 1317, 1927, 1969, 3024, 3032] {
            assert!(matches!(attempt(code), Attempt::Again(_)), "{code}");
        }
        // A variable that is not there, a value that it cannot have, a right that is missing.
        for code in [1193, 1231, 1227] {
            assert!(matches!(attempt(code), Attempt::Final(..)), "{code}");
        }
    }

    #[test]
    fn versions_of_both_servers() {
        assert_eq!(version_number(b"5.5.5-10.11.19-MariaDB-0+deb12u1"), 101_119);
        assert_eq!(version_number(b"9.7.4-2"), 90_704);
        assert_eq!(version_number(b"11.8.9-MariaDB"), 110_809);
        assert_eq!(version_number(b"nonsense"), 0);
    }
}
