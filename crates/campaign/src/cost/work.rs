//! The work that is measured: clients that write as fast as they can.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mysql_async::{Conn, Opts, OptsBuilder, prelude::Queryable};
use serde::{Deserialize, Serialize};

use crate::rng::Rng;

/// Rows of each client.
const ROWS: u64 = 500;

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Work {
    /// BEGIN, two INSERT, two UPDATE, COMMIT.
    FourWrites,
    /// UPDATE of one row without a transaction, each time another one.
    Spread,
    /// UPDATE of the same row without a transaction, by all clients.
    HotRow,
}

impl Work {
    pub(crate) const ALL: [Work; 3] = [Work::FourWrites, Work::Spread, Work::HotRow];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FourWrites => "transactions of four writes",
            Self::Spread => "single-row UPDATE, spread",
            Self::HotRow => "single-row UPDATE, one hot row",
        }
    }
}

/// Creates the tables.
pub(crate) async fn create(conn: &mut Conn, clients: u32) -> Result<()> {
    let key = "client INT NOT NULL, k INT NOT NULL";
    let mut statements = vec![
        "CREATE DATABASE cost".to_owned(),
        "USE cost".to_owned(),
        format!("CREATE TABLE own ({key}, hits BIGINT NOT NULL, PRIMARY KEY (client, k))"),
        "CREATE TABLE log (id BIGINT AUTO_INCREMENT PRIMARY KEY, client INT NOT NULL, note VARCHAR(40) NOT NULL)"
            .to_owned(),
        "CREATE TABLE hot (id INT PRIMARY KEY, hits BIGINT NOT NULL)".to_owned(),
        "INSERT INTO hot VALUES (1, 0)".to_owned(),
    ];
    for client in 0..clients {
        let rows: Vec<String> = (0..ROWS).map(|k| format!("({client}, {k}, 0)")).collect();
        statements.push(format!("INSERT INTO own VALUES {}", rows.join(",")));
    }
    for statement in statements {
        conn.query_drop(&statement)
            .await
            .with_context(|| format!("setting up failed at: {statement:.120}"))?;
    }
    Ok(())
}

/// What was done in a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) commits: u64,
    pub(crate) seconds: f64,
}

/// Connected clients.
pub(crate) struct Load {
    clients: Vec<Client>,
}

struct Client {
    id: u32,
    conn: Conn,
    rng: Rng,
    gtids: Option<Gtids>,
}

/// GTIDs that one client gives its transactions: of a source of its own, so that each is new to the server.
struct Gtids {
    client: u32,
    last: u64,
}

impl Gtids {
    fn next(&mut self) -> String {
        self.last += 1;
        format!(
            "SET gtid_next='00000000-0000-4000-8000-{:012x}:{}'",
            self.client, self.last
        )
    }
}

/// Without it, the statement after one that used up its GTID fails (1837).
const AUTOMATIC: &str = "SET gtid_next='AUTOMATIC'";

impl Load {
    pub(crate) async fn connect(opts: &Opts, clients: u32, gtids: bool) -> Result<Self> {
        let opts: Opts = OptsBuilder::from_opts(opts.clone())
            .db_name(Some("cost"))
            .into();
        let mut connected = Vec::new();
        for id in 0..clients {
            connected.push(Client {
                id,
                conn: Conn::new(opts.clone()).await?,
                rng: Rng::new(u64::from(id)),
                gtids: gtids.then_some(Gtids {
                    client: id,
                    last: 0,
                }),
            });
        }
        Ok(Self { clients: connected })
    }

    /// Lets all clients work for this long.
    ///
    /// # Errors
    /// Any error of any statement: nothing here may fail.
    pub(crate) async fn run(&mut self, work: Work, time: Duration) -> Result<Done> {
        let begun = Instant::now();
        let tasks: Vec<_> = self
            .clients
            .drain(..)
            .map(|client| tokio::spawn(client.work(work, begun + time)))
            .collect();
        let mut commits = 0;
        for task in tasks {
            let (client, done) = task.await.context("a client's task ended by a panic")??;
            commits += done;
            self.clients.push(client);
        }
        Ok(Done {
            commits,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }
}

impl Client {
    async fn work(mut self, work: Work, until: Instant) -> Result<(Self, u64)> {
        let mut commits = 0;
        while Instant::now() < until {
            match work {
                Work::FourWrites => self.four_writes().await?,
                Work::Spread => {
                    let update = self.update();
                    self.write(update).await?;
                }
                Work::HotRow => {
                    let update = "UPDATE hot SET hits = hits + 1 WHERE id = 1";
                    self.write(update.to_owned()).await?;
                }
            }
            commits += 1;
        }
        Ok((self, commits))
    }

    /// Under a GTID its answer comes before its COMMIT goes, in two commands: of a COMMIT that was lost with the write's
    /// answer, GTIDs would tell that it took effect, but nobody the rows and the insert id.
    async fn write(&mut self, statement: String) -> Result<()> {
        let Some(gtids) = &mut self.gtids else {
            return Ok(self.conn.query_drop(statement).await?);
        };
        let begun = format!("{}; BEGIN; {statement}", gtids.next());
        self.conn.query_drop(begun).await?;
        let commit = format!("COMMIT; {AUTOMATIC}");
        Ok(self.conn.query_drop(commit).await?)
    }

    async fn four_writes(&mut self) -> Result<()> {
        let insert = format!(
            "INSERT INTO log (client, note) VALUES ({}, 'a note')",
            self.id
        );
        let (begin, commit) = match &mut self.gtids {
            Some(gtids) => (
                format!("{}; BEGIN", gtids.next()),
                format!("COMMIT; {AUTOMATIC}"),
            ),
            None => ("BEGIN".to_owned(), "COMMIT".to_owned()),
        };
        self.conn.query_drop(begin).await?;
        for _ in 0..2 {
            self.conn.query_drop(insert.as_str()).await?;
            let update = self.update();
            self.conn.query_drop(update).await?;
        }
        self.conn.query_drop(commit).await?;
        Ok(())
    }

    fn update(&mut self) -> String {
        let k = self.rng.between(0, ROWS);
        format!(
            "UPDATE own SET hits = hits + 1 WHERE client = {} AND k = {k}",
            self.id
        )
    }
}
