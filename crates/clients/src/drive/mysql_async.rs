//! The mysql_async crate. It always negotiates multi-statements.

use std::time::{Duration, Instant};

use futures_util::{FutureExt, StreamExt, stream};
use mysql_async::prelude::{GlobalHandler, Protocol, Queryable};
use mysql_async::{
    BinaryProtocol, ChangeUserOpts, Column, Conn, Error, InfileData, OptsBuilder, Params,
    QueryResult, Row, SslOpts, TextProtocol, Value as Field,
};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::{Client, pattern, sha256, unsupported};
use crate::request::{Login, Step};

pub(super) struct MysqlAsync {
    runtime: Runtime,
}

impl MysqlAsync {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            runtime: Builder::new_current_thread().enable_all().build()?,
        })
    }
}

impl Client for MysqlAsync {
    type Session = Conn;

    fn connect(&self, login: &Login) -> Result<Conn, Vec<Value>> {
        self.runtime
            .block_on(open(login))
            .map_err(|error| vec![describe(&error)])
    }

    fn step(&self, conn: &mut Conn, login: &Login, step: &Step) -> Vec<Value> {
        let results = self.runtime.block_on(async {
            match step {
                Step::Query { sql, digest } => Ok(query(conn, sql, *digest).await),
                Step::Execute { sql, params } => execute(conn, sql, params).await,
                Step::Blob { bytes } => blob(conn, *bytes).await,
                Step::KillQuery { sql } => kill_query(conn, login, sql).await,
                Step::Server => server(conn).await,
                Step::Ping => conn.ping().await.map(|()| vec![json!({ "ping": true })]),
                Step::Reset => conn
                    .reset()
                    .await
                    .map(|done| vec![json!({ "reset": done })]),
                Step::ChangeUser {
                    user,
                    password,
                    database,
                } => {
                    let to = ChangeUserOpts::default()
                        .with_user(Some(user.clone()))
                        .with_pass(Some(password.clone()))
                        .with_db_name(Some(database.clone()));
                    conn.change_user(to)
                        .await
                        .map(|()| vec![json!({ "changed": true })])
                }
                Step::InitDb { .. } | Step::Wait { .. } => Ok(unsupported(step)),
            }
        });
        results.unwrap_or_else(|error| vec![describe(&error)])
    }
}

/// Sends the file that the server asks for.
struct ReadFile;

impl GlobalHandler for ReadFile {
    fn handle(
        &self,
        file: &[u8],
    ) -> futures_util::future::BoxFuture<'static, Result<InfileData, mysql_async::LocalInfileError>>
    {
        let path = String::from_utf8_lossy(file).into_owned();
        async move {
            let content = std::fs::read(path)?;
            Ok(stream::once(async move { Ok(content.into()) }).boxed())
        }
        .boxed()
    }
}

async fn open(login: &Login) -> Result<Conn, Error> {
    let tls = SslOpts::default()
        .with_danger_accept_invalid_certs(true)
        .with_danger_skip_domain_validation(true);
    let options = OptsBuilder::default()
        .ip_or_hostname(login.host.clone())
        .tcp_port(login.port)
        .user(Some(login.user.clone()))
        .pass(Some(login.password.clone()))
        .db_name(login.database.clone())
        .prefer_socket(false)
        .enable_cleartext_plugin(login.clear_password)
        .local_infile_handler(Some(ReadFile))
        .ssl_opts(login.tls.then_some(tls));
    Conn::new(options).await
}

fn describe(error: &Error) -> Value {
    match error {
        Error::Server(e) => {
            json!({ "error": { "code": e.code, "sqlstate": e.state, "message": e.message } })
        }
        other => json!({ "error": { "message": other.to_string() } }),
    }
}

async fn query(conn: &mut Conn, sql: &str, digest: bool) -> Vec<Value> {
    match conn.query_iter(sql).await {
        Ok(result) => collect::<TextProtocol>(result, digest).await,
        Err(error) => vec![describe(&error)],
    }
}

async fn execute(conn: &mut Conn, sql: &str, lists: &[Vec<Value>]) -> Result<Vec<Value>, Error> {
    let statement = conn.prep(sql).await?;
    let mut results = Vec::new();
    for list in lists {
        let params = Params::Positional(list.iter().map(field).collect());
        match conn.exec_iter(&statement, params).await {
            Ok(result) => results.extend(collect::<BinaryProtocol>(result, false).await),
            Err(error) => results.push(describe(&error)),
        }
    }
    conn.close(statement).await?;
    Ok(results)
}

/// All results of a statement; an error in a later one ends the list.
async fn collect<P: Protocol + Unpin>(
    mut result: QueryResult<'_, '_, P>,
    digest: bool,
) -> Vec<Value> {
    let mut results = Vec::new();
    loop {
        let columns = result.columns();
        let rows = match result.collect::<Row>().await {
            Ok(rows) => rows,
            Err(error) => {
                results.push(describe(&error));
                return results;
            }
        };
        let mut one = json!({
            "affected": result.affected_rows(),
            "insert_id": result.last_insert_id(),
            "warnings": result.warnings(),
            "info": result.info(),
        });
        if let Some(columns) = columns.filter(|columns| !columns.is_empty()) {
            one["columns"] = columns.iter().map(column).collect();
            let rows: Vec<Value> = rows
                .into_iter()
                .map(|row| row.unwrap().iter().map(shown).collect())
                .collect();
            if digest {
                one["rows"] = json!(rows.len());
                one["sha256"] = json!(sha256(Value::Array(rows).to_string().as_bytes()));
            } else {
                one["rows"] = Value::Array(rows);
            }
        }
        results.push(one);
        if result.is_empty() {
            return results;
        }
    }
}

fn column(column: &Column) -> Value {
    json!([
        column.name_str(),
        format!("{:?}", column.column_type()),
        column.column_length(),
        column.decimals(),
        format!("{:?}", column.flags()),
        column.character_set(),
        column.schema_str(),
        column.table_str(),
        column.org_table_str(),
        column.org_name_str(),
    ])
}

/// A parameter of the request as the client's own value.
fn field(param: &Value) -> Field {
    match param {
        Value::Null => Field::NULL,
        Value::Bool(truth) => Field::from(*truth),
        Value::Number(number) => number
            .as_i64()
            .map_or_else(|| Field::from(number.as_f64()), Field::from),
        Value::String(text) => Field::from(text),
        bytes => Field::Bytes(unhex(bytes["hex"].as_str().unwrap_or_default())),
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2).map(String::from_utf8_lossy);
    pairs
        .filter_map(|pair| u8::from_str_radix(&pair, 16).ok())
        .collect()
}

fn shown(field: &Field) -> Value {
    match field {
        Field::NULL => Value::Null,
        Field::Bytes(bytes) => String::from_utf8(bytes.clone())
            .map_or_else(|_| json!(field.as_sql(true)), Value::String),
        Field::Int(number) => json!(number),
        Field::UInt(number) => json!(number),
        other => json!(other.as_sql(true)),
    }
}

async fn blob(conn: &mut Conn, bytes: usize) -> Result<Vec<Value>, Error> {
    let sent = pattern(bytes);
    conn.exec_drop("REPLACE INTO blobs VALUES (1, ?)", (&sent,))
        .await?;
    let affected = conn.affected_rows();
    let received: Option<String> = conn
        .query_first("SELECT content FROM blobs WHERE id = 1")
        .await?;
    let received = received.unwrap_or_default();
    Ok(vec![json!({
        "affected": affected,
        "length": received.len(),
        "sha256": sha256(received.as_bytes()),
        "same": sent == received,
    })])
}

async fn server(conn: &mut Conn) -> Result<Vec<Value>, Error> {
    let own: Option<u32> = conn.query_first("SELECT CONNECTION_ID()").await?;
    Ok(vec![json!({
        "server_version": format!("{:?}", conn.server_version()),
        "id_is_connection_id": own == Some(conn.id()),
    })])
}

async fn kill_query(conn: &mut Conn, login: &Login, sql: &str) -> Result<Vec<Value>, Error> {
    let began = Instant::now();
    let id = conn.id();
    let killing = async {
        let mut killer = open(login).await?;
        let watch =
            format!("SELECT COUNT(*) FROM information_schema.processlist WHERE info = '{sql}'");
        while began.elapsed() < Duration::from_secs(10) {
            if killer.query_first::<u32, _>(&watch).await? == Some(1) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let kill = query(&mut killer, &format!("KILL QUERY {id}"), false).await;
        killer.disconnect().await?;
        Ok::<_, Error>(kill)
    };
    let (kill, outcome) = tokio::join!(killing, query(conn, sql, false));
    let mut results = vec![json!({ "kill": kill? })];
    results.extend(outcome);
    results.push(json!({ "ended_early": began.elapsed() < Duration::from_secs(15) }));
    results.extend(query(conn, "SELECT 1", false).await);
    Ok(results)
}
